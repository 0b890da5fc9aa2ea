//! Answers of the server, held against its own description.

use super::*;

/// First place where a value has a field that its schema does not know, or lacks one that it asks for.
pub(super) fn problem(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(to) = schema["$ref"].as_str() {
        let target = document.pointer(to.trim_start_matches('#')).unwrap();
        return problem(document, target, value, at);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(options) = schema[key].as_array() {
            let problems = options.iter().map(|it| problem(document, it, value, at));
            let problems: Option<Vec<String>> = problems.collect();
            return problems.map(|problems| problems.join(" or "));
        }
    }
    if schema["const"] != Value::Null && schema["const"] != *value {
        return Some(format!("{at}: {value} is not {}", schema["const"]));
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |kind: &&str| *kind == is || (*kind == "number" && is == "integer");
    if !types.is_empty() && !types.iter().any(fits) {
        return Some(format!("{at}: {is} is none of {types:?}"));
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                return Some(format!("{at}: lacks {name}"));
            }
        }
        for (name, inner) in object {
            let more = &schema["additionalProperties"];
            let known = schema["properties"].get(name);
            let Some(known) = known.or(Some(more).filter(|more| more.is_object())) else {
                if schema["properties"].is_object() && *more != Value::Bool(true) {
                    return Some(format!("{at}: {name} is not described"));
                }
                continue;
            };
            if let Some(problem) = problem(document, known, inner, &format!("{at}/{name}")) {
                return Some(problem);
            }
        }
    }
    value
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|element| problem(document, &schema["items"], element, &format!("{at}/#")))
}

pub(super) fn described<'a>(
    document: &'a Value,
    path: &str,
    method: &str,
    status: u16,
) -> &'a Value {
    let response = &document["paths"][path][method]["responses"][status.to_string()];
    let content = response["content"].as_object().unwrap();
    &content.values().next().unwrap()["schema"]
}

#[tokio::test]
async fn answers_are_as_described() {
    let server = TestServer::start().await;
    let (status, document) = server.get("/api/openapi.json").await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.1")));
    let update = format!("/api/runs/demo/updates/{}", server.update);
    let of_update = "/api/runs/{run}/updates/{update}";
    for (path, template) in [
        ("/api/runs", "/api/runs"),
        ("/api/modules", "/api/modules"),
        ("/api/openapi.json", "/api/openapi.json"),
        (&update, of_update),
        (
            &format!("{update}/envelope"),
            &format!("{of_update}/envelope"),
        ),
        (&format!("{update}/bundle"), &format!("{of_update}/bundle")),
        ("/api/runs/demo/answers", "/api/runs/{run}/answers"),
        ("/api/runs/demo/entries?from=3", "/api/runs/{run}/entries"),
        (
            "/api/runs/demo/entries/4",
            "/api/runs/{run}/entries/{index}",
        ),
        (
            "/api/runs/demo/entries/x",
            "/api/runs/{run}/entries/{index}",
        ),
        ("/api/runs/demo/growth?old=4", "/api/runs/{run}/growth"),
        ("/api/runs/demo/growth", "/api/runs/{run}/growth"),
        (
            "/api/runs/demo/arms/mine/rounds/0",
            "/api/runs/{run}/arms/{arm}/rounds/{round}",
        ),
        (
            "/api/runs/demo/arms/mine/rounds/9",
            "/api/runs/{run}/arms/{arm}/rounds/{round}",
        ),
        ("/api/federations", "/api/federations"),
        ("/api/federations/none", "/api/federations/{federation}"),
        ("/api/runs/none", "/api/runs/{run}"),
        ("/api/runs/demo/updates/zz", of_update),
        ("/api/runs/demo/log/lock", "/api/runs/{run}/log/{path}"),
    ] {
        let (status, answer) = server.get(path).await;
        let schema = described(&document, template, "get", status);
        assert_eq!(problem(&document, schema, &answer, path), None, "{answer}");
    }
    let (status, refusal) = server.post(b"{}").await;
    let schema = described(&document, "/api/modules", "post", status);
    assert_eq!(problem(&document, schema, &refusal, "POST"), None);
    // Whatever bends is seen.
    let (_, mut view) = server.get(&update).await;
    view["log"].as_object_mut().unwrap().remove("size");
    let schema = described(&document, of_update, "get", 200);
    assert!(problem(&document, schema, &view, "").is_some());
}

#[tokio::test]
async fn a_verdict_is_flat_in_the_answer() {
    let server = TestServer::start().await;
    let update = format!("/api/runs/demo/updates/{}", server.update);
    let (_, view) = server.get(&update).await;
    assert_eq!(
        view["verdicts"][1],
        json!({"arm": "checked", "round": 0, "effect": "reject", "check": "literal-share",
               "fact": "a fact", "weight": 0.0}),
    );
}
