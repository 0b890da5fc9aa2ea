//! Makes docs/attestation.schema.json from the types and compares it with the file.

use std::path::Path;

use serde_json::{Value, json};

use super::tests::predicate;
use super::{PREDICATE_TYPE, SUBJECT_TRANSCRIPT, SUBJECT_UPDATE, UpdatePredicate, statement};
use crate::statement::{STATEMENT_TYPE, Statement};

fn schema() -> Value {
    let schema = schemars::schema_for!(Statement<UpdatePredicate>);
    let mut value = serde_json::to_value(schema).unwrap();
    value["title"] = "fedseal update attestation".into();
    value["description"] = json!(
        "An in-toto Statement v1 about one execution of a module, the payload of a DSSE envelope \
         signed by the node. Made from the types by a test of client-sdk."
    );
    let properties = &mut value["properties"];
    properties["_type"] = json!({"const": STATEMENT_TYPE});
    properties["predicateType"] = json!({"const": PREDICATE_TYPE});
    properties["subject"]["minItems"] = 1.into();
    properties["subject"]["items"] = json!({
        "$ref": "#/$defs/Subject",
        "properties": {"name": {"enum": [SUBJECT_UPDATE, SUBJECT_TRANSCRIPT]}}
    });
    value
}

#[test]
fn the_document_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/attestation.schema.json");
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("FEDSEAL_UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/attestation.schema.json is not what the types say; make it again: \
         FEDSEAL_UPDATE_SCHEMA=1 cargo test -p fedseal-client-sdk --lib schema"
    );
}

/// First place where `value` breaks `schema`, by as much of JSON Schema as the document uses.
fn problem(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let bad = |what: &str| Some(format!("{at}: {what}: {value}"));
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        if let Some(problem) = problem(root, target, value, at) {
            return Some(problem);
        }
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(options) = schema[key].as_array()
            && !options
                .iter()
                .any(|o| problem(root, o, value, at).is_none())
        {
            return bad("fits no option");
        }
    }
    if !schema["const"].is_null() && schema["const"] != *value {
        return bad("is another constant");
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|all| !all.contains(value))
    {
        return bad("is none of the values");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let fits = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        other => panic!("type {other}"),
    };
    if !types.is_empty() && !types.iter().any(fits) {
        return bad(&format!("is not {types:?}"));
    }
    if schema["pattern"].is_string() {
        let text = value.as_str().unwrap_or_default();
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 64 || !text.bytes().all(hex) {
            return bad("is not 64 lowercase hex digits");
        }
    }
    if let Some(object) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(required.as_str().unwrap()) {
                return bad(&format!("lacks {required}"));
            }
        }
        for (key, inner) in object {
            let known = &schema["properties"][key];
            if !known.is_null() {
                if let Some(problem) = problem(root, known, inner, &format!("{at}/{key}")) {
                    return Some(problem);
                }
            } else if schema["additionalProperties"] == false {
                return bad(&format!("has an unknown {key}"));
            }
        }
    }
    if let (Some(array), items) = (value.as_array(), &schema["items"]) {
        for (index, inner) in array.iter().enumerate() {
            if let Some(problem) = problem(root, items, inner, &format!("{at}/{index}")) {
                return Some(problem);
            }
        }
    }
    None
}

#[test]
fn an_attestation_fits_and_a_bent_one_does_not() {
    let schema = schema();
    let good = serde_json::to_value(statement(predicate())).unwrap();
    let check = |value: &Value| problem(&schema, &schema, value, "");
    assert_eq!(check(&good), None);
    for (place, value) in [
        ("/_type", json!("https://in-toto.io/Statement/v0.1")),
        ("/predicate/module", json!("ABC")),
        ("/predicate/examples", json!("8")),
        ("/predicate/lineage/nodes/0/kind", json!("magic")),
        ("/predicate/limits/fuel", json!(null)),
        ("/subject/0/name", json!("something")),
    ] {
        let mut bent = good.clone();
        *bent.pointer_mut(place).unwrap() = value;
        assert!(check(&bent).is_some(), "{place}");
    }
    let mut more = good.clone();
    more["predicate"]["verified"] = true.into();
    assert!(check(&more).is_some());
    let mut less = good;
    less["predicate"].as_object_mut().unwrap().remove("engine");
    assert!(check(&less).is_some());
}
