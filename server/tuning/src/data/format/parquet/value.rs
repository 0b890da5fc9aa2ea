//! Values of columns as JSON, by their annotation (parquet-format, LogicalTypes.md).

use half::f16;
use parquet::{
    basic::{ConvertedType, LogicalType, Type as Physical},
    schema::types::Type,
};
use serde_json::{Number, Value};

use super::guard::Problem;

/// How the values of a column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    /// Numbers, booleans, and texts, as they are stored.
    Plain,
    /// Whole numbers without a sign.
    Unsigned,
    /// A text that is a JSON document: the value is the document.
    Json,
    /// A whole number divided by a power of ten.
    Decimal { scale: i32 },
    /// Two bytes.
    Float16,
    /// Nulls alone.
    Null,
    /// Bytes that are neither text nor number: what they are.
    Bytes(&'static str),
}

impl Leaf {
    /// Reads the annotation of a column. A file without a logical type has the older converted type.
    pub(super) fn of(column: &Type) -> Self {
        let info = column.get_basic_info();
        let fixed = column.get_physical_type() == Physical::FIXED_LEN_BYTE_ARRAY;
        let decimal = Self::Decimal {
            scale: column.get_scale(),
        };
        match info.logical_type_ref() {
            Some(LogicalType::Json) => return Self::Json,
            Some(LogicalType::Bson) => return Self::Bytes("BSON"),
            Some(LogicalType::Decimal(_)) => return decimal,
            Some(LogicalType::Float16) => return Self::Float16,
            Some(LogicalType::Uuid) => return Self::Bytes("a UUID"),
            Some(LogicalType::Unknown) => return Self::Null,
            Some(LogicalType::Integer(kind)) if !kind.is_signed => return Self::Unsigned,
            _ => {}
        }
        match info.converted_type() {
            ConvertedType::JSON => Self::Json,
            ConvertedType::BSON => Self::Bytes("BSON"),
            ConvertedType::DECIMAL => decimal,
            ConvertedType::INTERVAL => Self::Bytes("an interval"),
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Self::Unsigned,
            _ if fixed => Self::Bytes("bytes of a fixed length"),
            _ => Self::Plain,
        }
    }
}

/// Makes a number; infinite ones and those that are none, with which pandas fills gaps, are null.
pub(super) fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn decimal(value: f64, scale: i32) -> Value {
    float(value / 10f64.powi(scale))
}

pub(super) fn int32(value: i32, leaf: &Leaf) -> Value {
    match leaf {
        Leaf::Unsigned => value.cast_unsigned().into(),
        Leaf::Decimal { scale } => decimal(f64::from(value), *scale),
        _ => value.into(),
    }
}

pub(super) fn int64(value: i64, leaf: &Leaf) -> Value {
    match leaf {
        Leaf::Unsigned => value.cast_unsigned().into(),
        Leaf::Decimal { scale } => decimal(value as f64, *scale),
        _ => value.into(),
    }
}

pub(super) fn bytes(value: &[u8], leaf: &Leaf) -> Result<Value, Problem> {
    match leaf {
        Leaf::Json => serde_json::from_slice(value)
            .map_err(|error| format!("a JSON column with what is no JSON: {error}").into()),
        // Big-endian, in two's complement.
        Leaf::Decimal { scale } => {
            let negative = value.first().is_some_and(|first| *first > 127);
            let whole = value.iter().fold(0.0, |whole, byte| {
                let byte = if negative { !byte } else { *byte };
                whole * 256.0 + f64::from(byte)
            });
            let whole = if negative { -whole - 1.0 } else { whole };
            Ok(decimal(whole, *scale))
        }
        Leaf::Float16 => match value {
            [low, high] => Ok(float(f16::from_le_bytes([*low, *high]).to_f64())),
            _ => Err("a half-precision number that has not two bytes".into()),
        },
        Leaf::Null => Ok(Value::Null),
        Leaf::Bytes(what) => Err(format!("{what}, where a text is expected").into()),
        Leaf::Plain | Leaf::Unsigned => match std::str::from_utf8(value) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err("not UTF-8".into()),
        },
    }
}
