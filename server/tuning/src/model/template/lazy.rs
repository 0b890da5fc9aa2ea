//! Filters that give generators in Jinja2: they are true whatever they hold, have no length, and are no JSON.

use std::{borrow::Cow, sync::Arc};

use minijinja::{
    Error, ErrorKind, State, Value, filters,
    value::{Enumerator, Object, ObjectRepr, Rest, ValueKind, ValueOrKwargs},
};

/// Items that are there one after the other only.
#[derive(Debug)]
pub(super) struct Generator(Vec<Value>);

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(self.0.clone().into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }
}

fn lazy(items: Vec<Value>) -> Value {
    Value::from_object(Generator(items))
}

pub(super) fn map(
    state: &mut State,
    value: Value,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    filters::map(state, value, args).map(lazy)
}

pub(super) fn select(
    state: &mut State,
    value: Value,
    test: Option<Cow<'_, str>>,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    filters::select(state, value, test, args).map(lazy)
}

pub(super) fn reject(
    state: &mut State,
    value: Value,
    test: Option<Cow<'_, str>>,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    filters::reject(state, value, test, args).map(lazy)
}

pub(super) fn selectattr(
    state: &mut State,
    value: Value,
    attribute: Cow<'_, str>,
    test: Option<Cow<'_, str>>,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    filters::selectattr(state, value, attribute, test, args).map(lazy)
}

pub(super) fn rejectattr(
    state: &mut State,
    value: Value,
    attribute: Cow<'_, str>,
    test: Option<Cow<'_, str>>,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    filters::rejectattr(state, value, attribute, test, args).map(lazy)
}

/// Items that a `for` goes over: none and numbers are refused, as Python does.
pub(super) fn each(value: Value) -> Result<Value, Error> {
    match value.kind() {
        kind @ (ValueKind::None | ValueKind::Bool | ValueKind::Number) => {
            let problem = format!("a {kind} is not iterable");
            Err(Error::new(ErrorKind::InvalidOperation, problem))
        }
        _ => Ok(value),
    }
}
