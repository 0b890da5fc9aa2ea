use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(to_vec(value).unwrap()).unwrap()
}

#[test]
fn rfc_8785_example() {
    // RFC 8785, section 3.2.2 (input) and 3.2.3 (output).
    let input = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let value: Value = serde_json::from_str(input).unwrap();
    assert_eq!(
        text(&value),
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
         \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
}

#[test]
fn keys_sort_by_utf16() {
    // RFC 8785, section 3.2.3: a supplementary character sorts before U+FB33.
    let value = json!({"\u{fb33}": 1, "\u{1f600}": 2, "\u{20ac}": 3, "\r": 4, "1": 5});
    assert_eq!(
        text(&value),
        "{\"\\r\":4,\"1\":5,\"€\":3,\"😀\":2,\"\u{fb33}\":1}"
    );
}

#[test]
fn numbers_as_ecmascript_prints_them() {
    // RFC 8785, appendix B (bits, text).
    for (bits, expected) in [
        (0x0000000000000000, "0"),
        (0x8000000000000000, "0"),
        (0x0000000000000001, "5e-324"),
        (0x8000000000000001, "-5e-324"),
        (0x7fefffffffffffff, "1.7976931348623157e+308"),
        (0x4340000000000000, "9007199254740992"),
        (0xc340000000000000, "-9007199254740992"),
        (0x4430000000000000, "295147905179352830000"),
        (0x44b52d02c7e14af5, "9.999999999999997e+22"),
        (0x44b52d02c7e14af6, "1e+23"),
        (0x444b1ae4d6e2ef4e, "999999999999999700000"),
        (0x444b1ae4d6e2ef4f, "999999999999999900000"),
        (0x444b1ae4d6e2ef50, "1e+21"),
        (0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"),
        (0x3eb0c6f7a0b5ed8d, "0.000001"),
        (0x41b3de4355555555, "333333333.3333333"),
        (0xbecbf647612f3696, "-0.0000033333333333333333"),
        (0x43143ff3c1cb0959, "1424953923781206.2"),
        // Integers up to the last one whose neighbours are integers.
        (0x433fffffffffffff, "9007199254740991"),
        (0xc30c6bf526340000, "-1000000000000000"),
        (0x405e000000000000, "120"),
        (0x3fe0000000000000, "0.5"),
    ] {
        assert_eq!(text(&f64::from_bits(bits)), expected, "{bits:#018x}");
    }
    assert_eq!(text(&u64::MAX), "18446744073709551615");
    assert_eq!(text(&i64::MIN), "-9223372036854775808");
}

#[test]
fn what_has_no_form_is_refused() {
    assert!(to_vec(&f64::NAN).is_err());
    assert!(to_vec(&vec![f32::INFINITY]).is_err());
    assert!(to_vec(&u128::MAX).is_err());
    assert!(to_vec(&BTreeMap::from([((1, 2), 3)])).is_err());
    assert_eq!(
        text(&BTreeMap::from([(10, "a"), (9, "b")])),
        r#"{"10":"a","9":"b"}"#
    );
}

#[test]
fn what_is_written_stands_for_its_value() {
    #[derive(Serialize)]
    struct Around<T> {
        before: u8,
        b: T,
        a: Option<T>,
    }
    fn around<T: Serialize + Clone>(value: &T) -> String {
        let (b, a) = (value.clone(), Some(value.clone()));
        text(&Around { before: 1, b, a })
    }
    let value = json!({"z": [1.5, null], "b": "\n"});
    assert_eq!(around(&Written::of(&value).unwrap()), around(&value));
    // Bytes as such are no JSON, also behind it.
    struct Bytes;
    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            serializer.serialize_bytes(b"1")
        }
    }
    assert!(to_vec(&Bytes).is_err());
    assert!(to_vec(&(Written::of(&1).unwrap(), Bytes)).is_err());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    b: f64,
    a: Option<u32>,
    kind: Kind,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Unit,
    One(u8),
    Two(u8, u8),
    Named { x: i8 },
}

#[test]
fn only_the_canonical_bytes_are_read() {
    let good = r#"{"a":null,"b":1,"kind":"unit"}"#;
    let value: Sample = from_slice(good.as_bytes()).unwrap();
    assert_eq!(
        value,
        Sample {
            b: 1.0,
            a: None,
            kind: Kind::Unit
        }
    );
    for bad in [
        r#"{"b":1,"a":null,"kind":"unit"}"#,
        r#"{"a":null,"b":1.0,"kind":"unit"}"#,
        r#"{"a":null,"b":-0,"kind":"unit"}"#,
        r#"{"a":null, "b":1,"kind":"unit"}"#,
        r#"{"a":null,"b":1,"kind":"unit","z":0}"#,
        r#"{"b":1,"kind":"unit"}"#,
        r#"{"a":1,"a":null,"b":1,"kind":"unit"}"#,
        r#"{"a":null,"b":1,"kind":"\u0075nit"}"#,
        "{\"a\":null,\"b\":1,\"kind\":\"unit\"}\n",
    ] {
        assert!(from_slice::<Sample>(bad.as_bytes()).is_err(), "{bad}");
    }
    let error = from_slice::<Value>(b"{\"b\":1,\"a\":2}").unwrap_err();
    assert!(
        matches!(error, Error::NotCanonical { offset: 2, .. }),
        "{error}"
    );
}

#[test]
fn enum_variants_as_serde_json_writes_them() {
    for kind in [
        Kind::Unit,
        Kind::One(1),
        Kind::Two(1, 2),
        Kind::Named { x: -1 },
    ] {
        assert_eq!(text(&kind), serde_json::to_string(&kind).unwrap());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn round_trip(value in any_json()) {
        let bytes = to_vec(&value).unwrap();
        let again: Value = from_slice(&bytes).unwrap();
        prop_assert_eq!(&to_vec(&again).unwrap(), &bytes);
        let mut direct = Vec::new();
        write_value(&mut direct, &value);
        prop_assert_eq!(direct, bytes);
    }

    #[test]
    fn keys_order_as_their_utf16(
        a in "[a\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,3}",
        b in "[a\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,3}",
    ) {
        let units = a.encode_utf16().cmp(b.encode_utf16());
        prop_assert_eq!(write::by_utf16(&a, &b), units);
    }

    #[test]
    fn strings_are_written_as_serde_json_writes_them(text in "[ -~\u{0}-\u{20}\"\\\\é\u{7f}😀]{0,40}") {
        prop_assert_eq!(to_vec(&text).unwrap(), serde_json::to_vec(&text).unwrap());
    }

    #[test]
    fn every_float_reads_back(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
        let bytes = to_vec(&value).unwrap();
        prop_assert_eq!(from_slice::<f64>(&bytes).unwrap(), value);
    }
}
