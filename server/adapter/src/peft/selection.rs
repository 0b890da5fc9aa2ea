//! Modules that an adapter_config.json picks, by PEFT's rules (`check_target_module_exists`,
//! `get_pattern_key` and `_check_target_module_feedforward` of PEFT 0.21.2).

use std::collections::BTreeSet;

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{bad, unsupported};
use crate::AdapterError;

/// Longest pattern, bytes, and largest compiled one.
const MAX_PATTERN: usize = 4096;
const MAX_COMPILED: usize = 1 << 20;

/// Modules by names or by a pattern over the whole path.
enum Modules {
    Names(Vec<String>),
    Pattern(Regex),
    /// A pattern that looks around, which is not matched here in linear time: the modules are those that
    /// have tensors.
    ByTensors,
}

/// Parts of a pattern that look at what they do not match.
const LOOKS_AROUND: [&str; 4] = ["(?=", "(?!", "(?<=", "(?<!"];

/// Layers by number, and patterns that find a path's number.
type Layers = (Vec<u64>, Vec<Regex>);

/// Rules of a file for which modules carry a part of its adapter. A module is named by its path in the
/// model, as in `model.layers.0.self_attn.q_proj`.
pub(super) struct Selection {
    targets: Modules,
    excluded: Option<Modules>,
    feedforward: Option<Modules>,
    /// Layers, where the file restricts them, with the names of what numbers them.
    layers: Option<Layers>,
    ranks: Vec<(Regex, f64)>,
    alphas: Vec<(Regex, f64)>,
    /// Paths of the modules that have tensors, for patterns that look around.
    present: BTreeSet<String>,
}

impl Selection {
    /// Reads the keys that select modules.
    ///
    /// # Errors
    /// [`AdapterError::Adapter`] for a value of another type than PEFT writes;
    /// [`AdapterError::Unsupported`] for a pattern that is not taken. Both name the key.
    pub(super) fn read(map: &Map<String, Value>) -> Result<Self, AdapterError> {
        let targets = modules(map, "target_modules")?;
        Ok(Selection {
            targets: targets.ok_or_else(|| bad("target_modules is missing"))?,
            excluded: modules(map, "exclude_modules")?,
            feedforward: modules(map, "feedforward_modules")?,
            layers: layers(map)?,
            ranks: by_pattern(map, "rank_pattern")?,
            alphas: by_pattern(map, "alpha_pattern")?,
            present: BTreeSet::new(),
        })
    }

    /// Takes the paths of the modules that have tensors.
    pub(super) fn settle<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        self.present = paths.map(str::to_owned).collect();
    }

    /// Whether the module of this path carries a part of the adapter.
    pub(super) fn picks(&self, path: &str) -> bool {
        let present = self.present.contains(path);
        let excluded = self.excluded.as_ref();
        if excluded.is_some_and(|it| it.has(path, !present)) || !self.targets.has(path, present) {
            return false;
        }
        // A whole path is picked whatever the layers are.
        let whole = |names: &[String]| names.iter().any(|name| name == path);
        match (&self.layers, &self.targets) {
            (_, Modules::Names(names)) if whole(names) => true,
            // A pattern says itself which layers it means.
            (Some((layers, patterns)), Modules::Names(_)) => patterns
                .iter()
                .find_map(|pattern| pattern.captures(path))
                .and_then(|found| found.get(1)?.as_str().parse().ok())
                .is_some_and(|layer: u64| layers.contains(&layer)),
            _ => true,
        }
    }

    /// Whether (IA)^3 scales the input of the module of this path.
    pub(super) fn scales_input(&self, path: &str) -> bool {
        match &self.feedforward {
            None | Some(Modules::ByTensors) => false,
            Some(Modules::Pattern(pattern)) => pattern.is_match(path),
            Some(Modules::Names(names)) => names.iter().any(|name| path.ends_with(name.as_str())),
        }
    }

    /// The rank that `rank_pattern` gives the module of this path.
    ///
    /// # Errors
    /// [`AdapterError::Adapter`] where two of its patterns give different ones.
    pub(super) fn rank(&self, path: &str) -> Result<Option<f64>, AdapterError> {
        value_of("rank_pattern", &self.ranks, path)
    }

    /// The alpha that `alpha_pattern` gives the module of this path.
    ///
    /// # Errors
    /// As [`Selection::rank`].
    pub(super) fn alpha(&self, path: &str) -> Result<Option<f64>, AdapterError> {
        value_of("alpha_pattern", &self.alphas, path)
    }
}

impl Modules {
    /// Whether the path is meant; `by_tensors` is the answer where the tensors give it.
    fn has(&self, path: &str, by_tensors: bool) -> bool {
        match self {
            Modules::ByTensors => by_tensors,
            Modules::Pattern(pattern) => pattern.is_match(path),
            Modules::Names(names) => names.iter().any(|name| {
                let before = path.strip_suffix(name.as_str());
                before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }),
        }
    }
}

/// The value of the patterns that match. PEFT takes the first in the file, whose order is lost here.
fn value_of(key: &str, values: &[(Regex, f64)], path: &str) -> Result<Option<f64>, AdapterError> {
    let mut found = values.iter().filter(|(pattern, _)| pattern.is_match(path));
    let Some((_, value)) = found.next() else {
        return Ok(None);
    };
    match found.all(|(_, other)| other == value) {
        true => Ok(Some(*value)),
        false => Err(bad(format!("{key} gives {path} two different values"))),
    }
}

/// Compiles a pattern. A hostile one costs no more than its size allows, and matching takes linear time.
fn pattern(key: &str, text: &str) -> Result<Regex, AdapterError> {
    let refused = |why: String| {
        let shown: String = text.chars().take(80).collect();
        unsupported(format!("{key}: pattern {shown:?}: {why}"))
    };
    if text.len() > MAX_PATTERN {
        let long = text.len();
        return Err(refused(format!("{long} bytes long, at most {MAX_PATTERN}")));
    }
    RegexBuilder::new(text)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| refused(error.to_string()))
}

fn strings(key: &str, items: &[Value]) -> Result<Vec<String>, AdapterError> {
    let name = |value: &Value| {
        let name = value.as_str().map(str::to_owned);
        name.ok_or_else(|| bad(format!("{key} holds {value}")))
    };
    items.iter().map(name).collect()
}

/// Reads names, or a pattern over whole paths; `None` where the key is absent, null or empty.
fn modules(map: &Map<String, Value>, key: &str) -> Result<Option<Modules>, AdapterError> {
    Ok(match map.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) if items.is_empty() => None,
        Some(Value::Array(items)) => Some(Modules::Names(strings(key, items)?)),
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text))
            if text.len() <= MAX_PATTERN
                && key != "feedforward_modules"
                && LOOKS_AROUND.iter().any(|part| text.contains(part)) =>
        {
            Some(Modules::ByTensors)
        }
        Some(Value::String(text)) => {
            Some(Modules::Pattern(pattern(key, &format!("^(?:{text})$"))?))
        }
        Some(_) => {
            return Err(bad(format!(
                "{key} is neither a list of names nor a pattern"
            )));
        }
    })
}

/// Reads `layers_to_transform`, a number or a list of them, with `layers_pattern`. An empty list
/// restricts nothing; 0 is the first layer.
fn layers(map: &Map<String, Value>) -> Result<Option<Layers>, AdapterError> {
    let key = "layers_to_transform";
    let number = |value: &Value| {
        let number = value.as_u64();
        number.ok_or_else(|| bad(format!("{key} holds {value}, no number of a layer")))
    };
    let layers = match map.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) if items.is_empty() => return Ok(None),
        Some(Value::Array(items)) => items.iter().map(number).collect::<Result<_, _>>()?,
        Some(value) => vec![number(value)?],
    };
    let key = "layers_pattern";
    let names = match map.get(key) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if text.is_empty() => Vec::new(),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => strings(key, items)?,
        Some(_) => return Err(bad(format!("{key} is neither a name nor a list of names"))),
    };
    let patterns = match names.as_slice() {
        [] => vec![pattern(key, r"^.*?\.[^.]*\.(\d+)\.")?],
        names => names
            .iter()
            .map(|name| pattern(key, &format!(r"^(?:.*?\.)??{name}\.(\d+)\.")))
            .collect::<Result<_, _>>()?,
    };
    Ok(Some((layers, patterns)))
}

/// Reads numbers by pattern. A pattern is a name, or its end after a dot.
fn by_pattern(map: &Map<String, Value>, key: &str) -> Result<Vec<(Regex, f64)>, AdapterError> {
    let values = match map.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(values)) => values,
        Some(_) => return Err(bad(format!("{key} is no object"))),
    };
    let one = |(text, value): (&String, &Value)| {
        let number = value.as_f64().filter(|number| number.is_finite());
        let number = number.ok_or_else(|| bad(format!("{key} of {text:?} is {value}")))?;
        Ok((pattern(key, &format!(r"^(?:.*\.)?(?:{text})$"))?, number))
    };
    values.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Selection, AdapterError> {
        Selection::read(value.as_object().unwrap())
    }

    const Q0: &str = "model.layers.0.self_attn.q_proj";
    const Q1: &str = "model.layers.1.self_attn.q_proj";
    const Q10: &str = "model.layers.10.self_attn.q_proj";
    const DOWN: &str = "model.layers.1.mlp.down_proj";

    /// Expected values: `check_target_module_exists` of PEFT 0.21.2 on the four paths.
    #[test]
    fn modules_are_picked_as_peft_picks_them() {
        for (value, expected) in [
            (
                json!({"target_modules": ["q_proj"]}),
                [true, true, true, false],
            ),
            (json!({"target_modules": ["proj"]}), [false; 4]),
            (
                json!({"target_modules": ["self_attn.q_proj"]}),
                [true, true, true, false],
            ),
            (
                json!({"target_modules": [Q0, DOWN]}),
                [true, false, false, true],
            ),
            (json!({"target_modules": r".*\.(q|down)_proj"}), [true; 4]),
            (
                json!({"target_modules": r"model\.layers\.1\..*"}),
                [false, true, false, true],
            ),
            (json!({"target_modules": "q_proj"}), [false; 4]),
            (
                json!({"target_modules": ["q_proj", "down_proj"], "exclude_modules": ["down_proj"]}),
                [true, true, true, false],
            ),
            (
                json!({"target_modules": ["q_proj", "down_proj"], "exclude_modules": r".*\.1\..*"}),
                [true, false, true, false],
            ),
            (
                json!({"target_modules": ["q_proj"], "layers_to_transform": [1, 10]}),
                [false, true, true, false],
            ),
            (
                json!({"target_modules": ["q_proj"], "layers_to_transform": 0}),
                [true, false, false, false],
            ),
            (
                json!({"target_modules": [Q0, "down_proj"], "layers_to_transform": [10]}),
                [true, false, false, false],
            ),
            (
                json!({"target_modules": ["q_proj"], "layers_to_transform": []}),
                [true, true, true, false],
            ),
            (
                json!({"target_modules": ["q_proj"], "layers_to_transform": [1],
                    "layers_pattern": "layers"}),
                [false, true, false, false],
            ),
            (
                json!({"target_modules": ["q_proj"], "layers_to_transform": [1],
                    "layers_pattern": ["h", "blocks"]}),
                [false; 4],
            ),
        ] {
            let selection = read(value.clone()).unwrap();
            assert_eq!(
                [Q0, Q1, Q10, DOWN].map(|path| selection.picks(path)),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn patterns_that_look_around_leave_it_to_the_tensors() {
        for value in [
            json!({"target_modules": r"^(?!.*lm_head).*(q_proj|down_proj)$"}),
            json!({"target_modules": ["q_proj", "down_proj"], "exclude_modules": r"(?<!x).*\.0\..*"}),
        ] {
            let mut selection = read(value).unwrap();
            selection.settle([Q1, DOWN].into_iter());
            assert_eq!(
                [Q0, Q1, Q10, DOWN].map(|path| selection.picks(path)),
                [false, true, false, true]
            );
        }
    }

    #[test]
    fn patterns_of_ranks_and_alphas_match_names_and_ends() {
        let selection = read(json!({
            "target_modules": ["q_proj"],
            "rank_pattern": {"q_proj": 4, "down": 9},
            "alpha_pattern": {r"layers\.1\.self_attn\.q_proj": 2.5},
        }))
        .unwrap();
        assert_eq!(
            [Q0, Q1, DOWN].map(|path| selection.rank(path).unwrap()),
            [Some(4.0), Some(4.0), None]
        );
        assert_eq!(
            [Q0, Q1, Q10].map(|path| selection.alpha(path).unwrap()),
            [None, Some(2.5), None]
        );
    }

    #[test]
    fn two_patterns_with_different_values_are_refused() {
        let of = |second: u32| {
            let ranks = json!({"q_proj": 4, r".*\.self_attn\.q_proj": second});
            let file = json!({"target_modules": ["q_proj"], "rank_pattern": ranks});
            let selection = read(file).unwrap();
            selection.rank(Q0).map_err(|error| error.to_string())
        };
        assert_eq!(of(4).unwrap(), Some(4.0));
        assert!(of(8).unwrap_err().contains("rank_pattern"));
    }

    #[test]
    fn bad_values_name_their_key() {
        for (value, key) in [
            (json!({}), "target_modules"),
            (json!({"target_modules": 3}), "target_modules"),
            (json!({"target_modules": [3]}), "target_modules"),
            (json!({"target_modules": "("}), "target_modules"),
            // Look-around is Python's; what decides numbers is refused, not read otherwise.
            (
                json!({"target_modules": ["a"], "feedforward_modules": r"(?!.*q).*"}),
                "feedforward_modules",
            ),
            (
                json!({"target_modules": ["a"], "rank_pattern": {r"(?!.*q).*": 3}}),
                "rank_pattern",
            ),
            (
                json!({"target_modules": "x".repeat(MAX_PATTERN + 1)}),
                "target_modules",
            ),
            (
                json!({"target_modules": "(((a{100}){100}){100})"}),
                "target_modules",
            ),
            (
                json!({"target_modules": ["a"], "exclude_modules": 1}),
                "exclude_modules",
            ),
            (
                json!({"target_modules": ["a"], "layers_to_transform": "1"}),
                "layers_to_transform",
            ),
            (
                json!({"target_modules": ["a"], "layers_to_transform": [-1]}),
                "layers_to_transform",
            ),
            (
                json!({"target_modules": ["a"], "rank_pattern": {"q": "4"}}),
                "rank_pattern",
            ),
            (
                json!({"target_modules": ["a"], "alpha_pattern": [1]}),
                "alpha_pattern",
            ),
        ] {
            let error = read(value.clone()).err().map(|error| error.to_string());
            assert!(
                error.as_ref().is_some_and(|text| text.contains(key)),
                "{value}: {error:?}"
            );
        }
    }
}
