//! The description of the interface (OpenAPI 3.1), made from the table of operations and the types that
//! handlers answer with. Whoever adds a route describes it: an operation is what a route is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::routing::{MethodFilter, on};
use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::Shared;
use super::refusal::{PROBLEM, Problem};

/// Makes a type's schema, and puts what it refers to among the generator's definitions.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// [`Describe`] of a type.
pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// One operation of the interface, described beside its handler.
#[derive(Debug)]
pub(super) struct Operation {
    /// Its name, for programs that are made from the description.
    pub id: &'static str,
    /// GET or POST.
    pub method: Method,
    /// Its path, with parameters in braces as axum has them.
    pub path: &'static str,
    /// The operation in a line.
    pub summary: &'static str,
    /// Parameters that its address may have after a question mark.
    pub query: &'static [Parameter],
    /// Body of the request, where it has one: JSON.
    pub body: Option<Describe>,
    /// The answer that is asked for.
    pub answer: Answer,
    /// Statuses of its refusals.
    pub refusals: &'static [u16],
}

/// A parameter that an address may have after a question mark.
#[derive(Debug)]
pub(super) struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its type in JSON schema: `integer` (from 0) or `string`.
    pub kind: &'static str,
    /// Its meaning, and what holds where it is left out.
    pub meaning: &'static str,
}

impl Parameter {
    fn described(&self) -> Value {
        let mut schema = json!({"type": self.kind});
        if self.kind == "integer" {
            schema["minimum"] = 0.into();
            schema["maximum"] = u32::MAX.into();
        }
        json!({
            "name": self.name, "in": "query", "required": false, "description": self.meaning,
            "schema": schema,
        })
    }
}

/// The answer that is asked for.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its content in a line.
    pub what: &'static str,
    /// Its media types.
    pub media: &'static [&'static str],
    /// Its schema.
    pub schema: Describe,
}

impl Answer {
    /// JSON of a type, with status 200.
    pub(super) const fn json(what: &'static str, schema: Describe) -> Answer {
        Answer {
            status: StatusCode::OK,
            what,
            media: &["application/json"],
            schema,
        }
    }
}

/// [`Describe`] of an answer that is no JSON.
pub(super) fn bytes(_: &mut SchemaGenerator) -> Schema {
    Schema::default()
}

/// Statuses of refusals of what reads a run.
pub(super) const READS: &[u16] = &[400, 404, 408, 409, 500, 503];

/// Parameters of paths, each with its meaning.
const PARAMETERS: [(&str, &str); 8] = [
    (
        "federation",
        "Name of a federation, which its run has, too.",
    ),
    (
        "digest",
        "A module's digest: SHA-256 as 64 hexadecimal digits.",
    ),
    (
        "run",
        "Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below.",
    ),
    (
        "update",
        "An update's id: the digest of its envelope, or its first digits, 8 at least.",
    ),
    ("arm", "Id of an arm of the experiment."),
    ("round", "Number of a round, from 0."),
    ("index", "Number of an entry of the log, from 0."),
    (
        "path",
        "`checkpoint`, or a tile or entry bundle of the tlog-tiles layout (`tile/0/000`). It may contain slashes.",
    ),
];

/// Reason of each status of a refusal.
const REASONS: [(u16, &str); 12] = [
    (400, "The request is not what the operation takes."),
    (401, "A token is missing; `www-authenticate` says which."),
    (
        403,
        "A signature is missing, does not hold, or is not by a trusted key; or the token is another.",
    ),
    (404, "There is no such thing."),
    (408, "The request took too long."),
    (
        409,
        "It was changed since it was logged, or registered otherwise.",
    ),
    (421, "The request names another host than this server's."),
    (413, "The request is too large."),
    (
        422,
        "The signature holds, but no sandbox would run the module.",
    ),
    (
        429,
        "Too many requests; `retry-after` says how many seconds to wait.",
    ),
    (500, "The server has a fault, or cannot read a file."),
    (503, "The server is busy; try again in a moment."),
];

/// Routes and their descriptions, which cannot differ: both are made from the operations.
#[derive(Default)]
pub(super) struct Interface {
    router: Router<Arc<Shared>>,
    operations: Vec<&'static Operation>,
}

impl Interface {
    /// With a handler for an operation.
    pub(super) fn with<H, T>(mut self, operation: &'static Operation, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let filter = match operation.method {
            Method::POST => MethodFilter::POST,
            // HEAD is part of it.
            _ => MethodFilter::GET,
        };
        self.router = self.router.route(operation.path, on(filter, handler));
        self.operations.push(operation);
        self
    }

    /// The routes, and the operations that they are of.
    pub(super) fn into_parts(self) -> (Router<Arc<Shared>>, Vec<&'static Operation>) {
        (self.router, self.operations)
    }
}

/// The description of operations.
pub(super) fn description(operations: &[&Operation]) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
            settings.contract = Contract::Serialize;
        })
        .into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let described = described(operation, &mut generator, &problem);
        // An asterisk is axum's: the parameter takes slashes.
        let path = operation.path.replace("{*", "{");
        let method = operation.method.as_str().to_ascii_lowercase();
        paths.entry(path).or_default().insert(method, described);
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "fedseal serve",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": "Runs with their reports and evidence, and submitted modules. Every refusal is \
                            problem details (RFC 9457).",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn described(operation: &Operation, generator: &mut SchemaGenerator, problem: &Schema) -> Value {
    let answer = &operation.answer;
    let schema = (answer.schema)(generator);
    let media = answer.media.iter();
    let content: BTreeMap<&str, Value> = media
        .map(|media| (*media, json!({"schema": schema})))
        .collect();
    let mut responses = Map::new();
    responses.insert(
        answer.status.as_str().to_owned(),
        json!({"description": answer.what, "content": content}),
    );
    // What has a deadline is read with conditions, see `represent`.
    if operation.method == Method::GET && operation.refusals.contains(&408) {
        responses.insert(
            "206".to_owned(),
            json!({"description": "The part that Range asks for.", "content": content}),
        );
        responses.insert(
            "304".to_owned(),
            json!({"description": "The client has it: If-None-Match names its tag."}),
        );
        responses.insert(
            "416".to_owned(),
            json!({
                "description": "Range asks for what the answer does not have.",
                "content": {PROBLEM: {"schema": problem}},
            }),
        );
    }
    for status in operation.refusals {
        let reason = REASONS.iter().find(|(it, _)| it == status);
        responses.insert(
            status.to_string(),
            json!({
                "description": reason.map_or("It is refused.", |(_, reason)| reason),
                "content": {PROBLEM: {"schema": problem}},
            }),
        );
    }
    let named = |name: &str| {
        operation.path.contains(&format!("{{{name}}}"))
            || operation.path.contains(&format!("{{*{name}}}"))
    };
    let parameters: Vec<Value> = PARAMETERS
        .iter()
        .filter(|(name, _)| named(name))
        .map(|(name, meaning)| {
            json!({
                "name": name, "in": "path", "required": true, "description": meaning,
                "schema": {"type": "string"},
            })
        })
        .chain(operation.query.iter().map(Parameter::described))
        .collect();
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses,
    });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = operation.body {
        described["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": body(generator)}},
        });
    }
    described
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn operations() -> Vec<&'static Operation> {
        let of = |interface: Interface| interface.into_parts().1;
        [of(super::super::timed()), of(super::super::untimed())].concat()
    }

    fn made() -> Value {
        description(&operations())
    }

    #[test]
    fn the_file_is_what_the_types_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let text = serde_json::to_string_pretty(&made()).unwrap() + "\n";
        if std::env::var_os("FEDSEAL_UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "docs/openapi.json is not what the types say; make it again: \
             FEDSEAL_UPDATE_SCHEMA=1 cargo test -p fedseal --bin fedseal openapi, \
             then npm run types in web/"
        );
    }

    #[test]
    fn every_operation_is_described_whole() {
        let description = made();
        let operations = operations();
        let ids: std::collections::BTreeSet<_> = operations.iter().map(|it| it.id).collect();
        assert_eq!(ids.len(), operations.len(), "ids are different");
        for operation in operations {
            let braces = operation.path.matches('{').count();
            let path = operation.path.replace("{*", "{");
            let method = operation.method.as_str().to_ascii_lowercase();
            let described = &description["paths"][&path][&method];
            let parameters = described["parameters"].as_array().map_or(0, Vec::len);
            let wanted = braces + operation.query.len();
            assert_eq!(parameters, wanted, "{path}: every parameter has a meaning");
            for status in operation.refusals {
                let known = REASONS.iter().any(|(it, _)| it == status);
                assert!(known, "{path}: {status} has no reason");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    if let Some(Value::String(to)) = object.get("$ref") {
                        found.push(to.clone());
                    }
                    object.values().for_each(|inner| references(inner, found));
                }
                Value::Array(array) => array.iter().for_each(|inner| references(inner, found)),
                _ => (),
            }
        }
        let description = made();
        let mut found = Vec::new();
        references(&description, &mut found);
        assert!(found.len() > 30, "{found:?}");
        for to in found {
            let target = description.pointer(to.trim_start_matches('#'));
            assert!(target.is_some(), "{to}");
        }
    }
}
