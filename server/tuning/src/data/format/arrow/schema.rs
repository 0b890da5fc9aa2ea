//! The fields of an Arrow file (Schema.fbs of Apache Arrow, format version 5).

use super::flat::Table;
use crate::data::limits;

/// How a field's values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Int {
        bytes: usize,
        signed: bool,
    },
    Float {
        bytes: usize,
    },
    Decimal {
        bytes: usize,
        scale: i32,
    },
    /// Values of a fixed length that are neither text nor number.
    Fixed {
        what: &'static str,
    },
    /// Texts or bytes, with offsets of 4 or 8 bytes.
    Text {
        wide: bool,
    },
    /// Texts or bytes that lie in buffers of their own where they are long.
    View,
    /// Lists, with offsets of 4 or 8 bytes.
    List {
        wide: bool,
    },
    /// Lists with offsets and lengths.
    ListView {
        wide: bool,
    },
    FixedList {
        size: usize,
    },
    Struct,
    Map,
    /// One of several types; `dense` ones have offsets.
    Union {
        dense: bool,
    },
    /// Runs of equal values.
    Runs,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) children: Vec<Field>,
    /// Number of the dictionary that the values lie in, and how its indices are stored.
    pub(super) dictionary: Option<(i64, Kind)>,
    /// Whether texts are JSON documents.
    pub(super) json: bool,
    /// Whether the field is read.
    pub(super) needed: bool,
}

/// Whether a field is needed: its name, below the names of the fields that contain it.
pub(super) type Needed<'a> = &'a dyn Fn(&[&str]) -> bool;

/// Reads the fields of a schema, or says what is wrong.
pub(super) fn fields(schema: Table<'_>, needed: Needed<'_>) -> Result<Vec<Field>, String> {
    if schema.short(0, 0) != 0 {
        return Err("big-endian numbers".to_owned());
    }
    let fields = schema.tables(1).ok_or("a schema without fields")?;
    let mut path = Vec::new();
    fields
        .iter()
        .map(|it| field(*it, needed, &mut path, Within::Struct, true))
        .collect()
}

/// Surroundings of a field.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    /// A row or an object: its name counts.
    Struct,
    Map,
    /// A list, or anything else.
    List,
}

fn field<'a>(
    table: Table<'a>,
    needed: Needed<'_>,
    path: &mut Vec<&'a str>,
    within: Within,
    wanted: bool,
) -> Result<Field, String> {
    let named = within == Within::Struct;
    let name = table.text(0).unwrap_or_default();
    if path.len() > limits::DEPTH {
        return Err(format!("nested deeper than {}", limits::DEPTH));
    }
    // Depth counts elements of lists, which have no name of their own, as well.
    path.push(if named { name } else { "" });
    let names: Vec<&str> = path.iter().copied().filter(|it| !it.is_empty()).collect();
    let wanted = wanted && (!named || needed(&names));
    let kind = kind(table).ok_or_else(|| format!("field {name} has an unknown type"))?;
    // Keys and values of a map have no names of their own.
    let in_struct = matches!(kind, Kind::Struct) && within != Within::Map;
    let children_of = match kind {
        Kind::Map => Within::Map,
        _ if in_struct => Within::Struct,
        _ => Within::List,
    };
    let children = table
        .tables(5)
        .ok_or("a field without its children")?
        .into_iter()
        .map(|child| field(child, needed, path, children_of, wanted))
        .collect::<Result<_, _>>()?;
    path.pop();
    let dictionary = match table.table(4) {
        None => None,
        Some(encoding) => {
            let index = encoding.table(1).map(int);
            let index = index.unwrap_or(Kind::Int {
                bytes: 4,
                signed: true,
            });
            Some((encoding.long(0), index))
        }
    };
    let json = table.tables(6).unwrap_or_default().iter().any(|pair| {
        pair.text(0) == Some("ARROW:extension:name") && pair.text(1) == Some("arrow.json")
    });
    Ok(Field {
        name: name.to_owned(),
        kind,
        children,
        dictionary,
        json,
        needed: wanted,
    })
}

fn int(table: Table<'_>) -> Kind {
    Kind::Int {
        bytes: usize::try_from(table.int(0, 0) / 8).unwrap_or(0),
        signed: table.bool(1),
    }
}

/// Reads the type of a field; the numbers are those of the union `Type`.
fn kind(field: Table<'_>) -> Option<Kind> {
    let inner = field.table(3)?;
    let signed = |bytes| Kind::Int {
        bytes,
        signed: true,
    };
    Some(match field.byte(2) {
        1 => Kind::Null,
        2 => int(inner),
        3 => Kind::Float {
            bytes: match inner.short(0, 0) {
                0 => 2,
                1 => 4,
                2 => 8,
                _ => return None,
            },
        },
        4 | 5 => Kind::Text { wide: false },
        6 => Kind::Bool,
        7 => Kind::Decimal {
            bytes: usize::try_from(inner.int(2, 128) / 8).ok()?,
            scale: inner.int(1, 0),
        },
        8 => signed(if inner.short(0, 1) == 0 { 4 } else { 8 }),
        9 => signed(usize::try_from(inner.int(1, 32) / 8).ok()?),
        10 | 18 => signed(8),
        11 => Kind::Fixed {
            what: "an interval",
        },
        12 => Kind::List { wide: false },
        13 => Kind::Struct,
        14 => Kind::Union {
            dense: inner.short(0, 0) == 1,
        },
        15 => Kind::Fixed {
            what: "bytes of a fixed length",
        },
        16 => Kind::FixedList {
            size: usize::try_from(inner.int(0, 0)).ok()?,
        },
        17 => Kind::Map,
        19 | 20 => Kind::Text { wide: true },
        21 => Kind::List { wide: true },
        22 => Kind::Runs,
        23 | 24 => Kind::View,
        25 => Kind::ListView { wide: false },
        26 => Kind::ListView { wide: true },
        _ => return None,
    })
}
