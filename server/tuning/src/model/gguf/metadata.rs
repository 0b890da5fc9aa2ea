//! Metadata of a GGUF file, by key.

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet};

use super::reader::{Value, bad};
use crate::TuningError;

/// Keys and values of a file.
#[derive(Default)]
pub(super) struct Metadata(BTreeMap<String, Value>);

impl Metadata {
    /// Adds a key; an error where the file has it twice.
    pub(super) fn insert(&mut self, key: String, value: Value) -> Result<(), TuningError> {
        if self.0.contains_key(&key) {
            return Err(bad(format!("{key} occurs twice")));
        }
        self.0.insert(key, value);
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, TuningError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) => usize::try_from(*value)
                .map(Some)
                .map_err(|_| bad(format!("{key} is {value}"))),
            Some(_) => Err(bad(format!("{key} is no integer"))),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, TuningError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Number(value)) => Ok(Some(*value)),
            Some(Value::Integer(value)) => Ok(Some(*value as f64)),
            Some(_) => Err(bad(format!("{key} is no number"))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, TuningError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(_) => Err(bad(format!("{key} is no string"))),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, TuningError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(bad(format!("{key} is no boolean"))),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<&[String], TuningError> {
        match self.0.get(key) {
            Some(Value::Texts(values)) => Ok(values),
            Some(_) => Err(bad(format!("{key} is no array of strings"))),
            None => Err(bad(format!("{key} is missing"))),
        }
    }
}

/// The keys of one architecture, `llama.block_count` and so on. Those that nobody asked for are
/// refused at the end: each would change the base.
pub(super) struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(metadata: &'a Metadata, architecture: &'a str) -> Self {
        Self {
            metadata,
            architecture,
            asked: RefCell::default(),
        }
    }

    /// Returns the whole name of a key, which counts as used from here on.
    pub(super) fn name(&self, key: &str) -> String {
        let name = format!("{}.{key}", self.architecture);
        self.asked.borrow_mut().insert(name.clone());
        name
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.metadata.get(&self.name(key))
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, TuningError> {
        self.metadata.size(&self.name(key))
    }

    pub(super) fn need(&self, key: &str) -> Result<usize, TuningError> {
        let missing = || bad(format!("{}.{key} is missing", self.architecture));
        self.size(key)?.ok_or_else(missing)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, TuningError> {
        self.metadata.number(&self.name(key))
    }

    /// Returns a number above 0; zero means that a file leaves it out.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f64>, TuningError> {
        let value = self.number(key)?.filter(|value| *value != 0.0);
        match value {
            Some(value) if !(value.is_finite() && value > 0.0) => {
                Err(bad(format!("{} is {value}", self.name(key))))
            }
            value => Ok(value),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, TuningError> {
        self.metadata.text(&self.name(key))
    }

    /// Refuses a key of this architecture that turns something on and that nobody asked for.
    pub(super) fn refuse_others(&self) -> Result<(), TuningError> {
        let asked = self.asked.borrow();
        let prefix = format!("{}.", self.architecture);
        for (key, value) in &self.metadata.0 {
            if key.starts_with(&prefix) && !asked.contains(key) && !value.is_off() {
                return Err(TuningError::Unsupported(format!("GGUF: {key}")));
            }
        }
        Ok(())
    }
}
