use proptest::prelude::*;
use serde_json::json;

use super::*;

fn sample() -> Transcript {
    let mut t = Transcript::new();
    t.push("shard", &json!({}), &json!({"handle": 1}));
    t.push(
        "train",
        &json!({"learning-rate": 0.001, "steps": 4}),
        &json!({"handle": 2, "é\n": null}),
    );
    t
}

/// Bytes and root by the definition, step by step: serde's JSON, and the chain over it.
fn by_definition(entries: &[Entry]) -> (Vec<u8>, Digest) {
    let whole = json!({ "entries": entries });
    let mut hash = Digest::of(DOMAIN);
    for entry in entries {
        hash = Digest::of_parts(&[&hash.0, &canonical::to_vec(entry).unwrap()]);
    }
    (canonical::to_vec(&whole).unwrap(), hash)
}

#[test]
fn chain_by_hand() {
    let h0 = Digest::of(b"fedseal-transcript-v1");
    assert_eq!(Transcript::new().root(), h0);
    let mut t = Transcript::new();
    assert_eq!(t.push("shard", &json!({}), &json!({"handle": 1})), 0);
    let entry = br#"{"args":{},"call":"shard","result":{"handle":1},"seq":0}"#;
    assert_eq!(t.root(), Digest::of(&[h0.0.as_slice(), entry].concat()));
}

#[test]
fn bytes_round_trip() {
    let t = sample();
    assert_eq!(Transcript::from_bytes(&t.to_bytes()).unwrap(), t);
    let empty = Transcript::from_bytes(b"{\"entries\":[]}").unwrap();
    assert_eq!((empty.len(), empty.root()), (0, Digest::of(DOMAIN)));
    assert_eq!(empty.to_bytes(), b"{\"entries\":[]}");
}

#[test]
fn only_the_canonical_bytes_are_read() {
    let good = r#"{"entries":[{"args":{},"call":"a","result":1,"seq":0}]}"#;
    Transcript::from_bytes(good.as_bytes()).unwrap();
    for bad in [
        r#"{"entries":[{"args":{},"call":"a","result":1.0,"seq":0}]}"#,
        r#"{"entries":[{"call":"a","args":{},"result":1,"seq":0}]}"#,
        r#"{"entries":[{"args":{"b":1,"a":2},"call":"a","result":1,"seq":0}]}"#,
        r#"{"entries":[{"args":{"a":1,"a":1},"call":"a","result":1,"seq":0}]}"#,
        r#"{"entries":[{"args":{},"call":"\u0061","result":1,"seq":0}]}"#,
        r#"{"entries":[{"args":{},"call":"a","result":1,"seq":0}],"more":1}"#,
        r#"{"entries":[{"args":{},"call":"a","result":1,"seq":0,"x":1}]}"#,
        r#"{"entries":[{"args":{},"call":"a","result":1,"seq":1}]}"#,
        r#"{"entries":[{"args":{},"call":"a","result":1}]}"#,
        r#"{"entries":[{"args":{},"call":"a","result":1,"seq":0},]}"#,
        "{\"entries\":[{\"args\":{},\"call\":\"a\",\"result\":1,\"seq\":0}]}\n",
        r#"{"entries":[]"#,
        "",
    ] {
        assert!(Transcript::from_bytes(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn order_and_content_change_the_root() {
    let t = sample();
    let entries = t.entries().unwrap();
    let swapped = [entries[1].clone(), entries[0].clone()];
    assert_ne!(by_definition(&swapped).1, t.root());
    assert_ne!(by_definition(&entries[..1]).1, t.root());
    let mut renumbered = entries;
    renumbered[1].seq = 2;
    let error = Transcript::from_bytes(&by_definition(&renumbered).0).unwrap_err();
    assert!(error.to_string().contains("entry 1 says it is number 2"));
}

#[test]
fn one_entry_of_much_structure_is_refused_and_many_small_ones_are_read() {
    let of = |args: &str| {
        format!("{{\"entries\":[{{\"args\":{args},\"call\":\"a\",\"result\":1,\"seq\":0}}]}}")
    };
    let wide = |n: usize| of(&format!("[{}0]", "{},".repeat(n)));
    Transcript::from_bytes(wide(1000).as_bytes()).unwrap();
    let error = Transcript::from_bytes(wide(100_000).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("bytes of memory"), "{error}");
    // More than that bound together, each far below it.
    let mut many = Transcript::new();
    for i in 0..30_000 {
        many.push("scale", &json!({"a": {}}), &json!({"handle": i}));
    }
    assert_eq!(Transcript::from_bytes(&many.to_bytes()).unwrap(), many);
    let long = of(&format!("\"{}\"", "a".repeat(MAX_BYTES)));
    assert!(Transcript::from_bytes(long.as_bytes()).is_err());
}

#[test]
fn calls_of_another_transcript_count_on() {
    let mut all = sample();
    let mut other = Transcript::new();
    for i in 0..12 {
        // Ends as an entry's number does.
        other.push("log", &json!({"text": ",\"seq\":1}"}), &json!(i));
    }
    all.append(&other);
    let mut expected = sample();
    for entry in other.entries().unwrap() {
        expected.push(&entry.call, &entry.args, &entry.result);
    }
    assert_eq!(all, expected);
    assert_eq!(Transcript::from_bytes(&all.to_bytes()).unwrap(), all);
}

#[test]
fn the_bound_of_its_bytes_holds_for_the_longest_entries() {
    let mut t = Transcript::new();
    let mut args = Args::default();
    for _ in 0..1_000 {
        t.push_number("abcdefghijklmnopqrstuvwxyz-", &mut args, u64::MAX);
        assert!(t.bytes_at_most() >= t.to_bytes().len() as u64);
    }
}

#[test]
fn arguments_are_forgotten_between_calls() {
    let (mut t, mut args) = (Transcript::new(), Args::default());
    args.set("steps", 3);
    args.set("batch-size", 4);
    t.push_call("train", &mut args, &Value::Null);
    args.clear();
    t.push_number("random-u64", &mut args, u64::MAX);
    let text = String::from_utf8(t.to_bytes()).unwrap();
    assert_eq!(
        text,
        "{\"entries\":[{\"args\":{\"batch-size\":4,\"steps\":3},\"call\":\"train\",\
         \"result\":null,\"seq\":0},{\"args\":{},\"call\":\"random-u64\",\
         \"result\":18446744073709551615,\"seq\":1}]}"
    );
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-20..20_i32).prop_map(|exponent| Value::from(10_f64.powi(exponent))),
        ".*".prop_map(Value::from),
        "[\"\\\\\u{0}-\u{1f}a\u{7f}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const NAMES: [&str; 6] = ["data", "batch-size", "steps", "left", "left-factor", "b"];

proptest! {
    #[test]
    fn written_at_once_and_by_definition_alike(
        calls in prop::collection::vec((".{0,6}", value(), value()), 0..12),
    ) {
        let mut t = Transcript::new();
        let mut entries = Vec::new();
        for (seq, (call, args, result)) in (0..).zip(calls) {
            prop_assert_eq!(t.push(&call, &args, &result), seq);
            entries.push(Entry { seq, call, args, result });
        }
        let (bytes, root) = by_definition(&entries);
        prop_assert!(t.bytes_at_most() >= bytes.len() as u64);
        prop_assert_eq!(t.to_bytes(), bytes);
        prop_assert_eq!(t.root(), root);
        prop_assert_eq!(&Transcript::from_bytes(&t.to_bytes()).unwrap(), &t);
    }

    #[test]
    fn arguments_in_any_order_are_the_object(
        calls in prop::collection::vec(
            (prop::sample::subsequence(&NAMES, 0..=6).prop_shuffle(), value(), value()),
            0..12,
        ),
    ) {
        let (mut fast, mut plain) = (Transcript::new(), Transcript::new());
        let mut args = Args::default();
        for (names, value, result) in calls {
            args.clear();
            let mut object = serde_json::Map::new();
            for name in names {
                args.set(name, value.clone());
                object.insert(name.to_owned(), value.clone());
            }
            match result.as_u64() {
                Some(number) => fast.push_number("call", &mut args, number),
                None => fast.push_call("call", &mut args, &result),
            };
            plain.push("call", &Value::Object(object), &result);
        }
        prop_assert_eq!(fast, plain);
    }
}
