//! Safe texts, as Python's markupsafe has them: whatever is added to one, or put into one, is escaped first.
//!
//! transformers renders without automatic escapes, but a template that says `| safe` gets such a text all the
//! same.

use minijinja::{Error, ErrorKind, State, Value, context, value::ValueKind};

use super::{
    python,
    safe::{beside, escape},
};

/// The operator `+`.
pub(super) fn add(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    if !left.is_safe() && !right.is_safe() {
        let sum = state.env().compile_expression("left + right")?;
        return sum.eval(context! { left, right });
    }
    match (escape(left).as_str(), escape(right).as_str()) {
        (Some(a), Some(b)) if [left, right].iter().all(|it| it.as_str().is_some()) => {
            state.consume_fuel(((a.len() + b.len()) / 64) as u64)?;
            Ok(Value::from_safe_string([a, b].concat()))
        }
        _ => {
            let (a, b) = (left.kind(), right.kind());
            let problem = format!("+ of a safe text needs two texts, not {a} and {b}");
            Err(Error::new(ErrorKind::InvalidOperation, problem))
        }
    }
}

/// The operator `~`, whose result is never safe without automatic escapes.
pub(super) fn join(left: &Value, right: &Value) -> Value {
    Value::from(format!("{left}{right}"))
}

/// A method; of a safe text what it returns is safe, too, and what is put into it is escaped.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if !value.is_safe() {
        return python::method(state, value, name, args);
    }
    let text = Value::from(value.as_str().unwrap_or_default());
    let args = match (name, args) {
        ("replace", [old, new, rest @ ..]) => {
            let new = beside(value, std::slice::from_ref(new));
            [std::slice::from_ref(old), new.as_slice(), rest].concat()
        }
        ("ljust" | "rjust" | "center" | "format", args) => beside(value, args),
        ("join", [items]) => {
            let items: Vec<Value> = items.try_iter()?.collect();
            vec![beside(value, &items).into()]
        }
        (_, args) => args.to_vec(),
    };
    let result = python::method(state, &text, name, &args)?;
    Ok(marked(&result))
}

/// A result with every text in it safe.
fn marked(value: &Value) -> Value {
    let items = || {
        value
            .try_iter()
            .map(|items| items.map(|item| marked(&item)))
    };
    match (value.kind(), value.as_str()) {
        (_, Some(text)) => Value::from_safe_string(text.to_owned()),
        (ValueKind::Seq, _) if value.is_tuple() => items().map_or_else(
            |_| value.clone(),
            |items| minijinja::value::Tuple::from(items.collect::<Vec<_>>()).into(),
        ),
        (ValueKind::Seq, _) => items().map_or_else(|_| value.clone(), Value::from_iter),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{ChatTemplate, Rendering};

    /// Each pair was rendered by jinja2 3.1.6 with markupsafe 3.0.4, set up as transformers does.
    #[test]
    fn what_is_put_beside_a_safe_text_is_escaped() {
        for (source, expected) in [
            (
                "{{ 'a<'|safe + m + '&b' }}",
                "a<&lt;x&gt; &#39;y&#34;&amp;b",
            ),
            ("{{ m + 'a<'|safe }}", "&lt;x&gt; &#39;y&#34;a<"),
            ("{{ 'a<'|safe ~ m ~ '&b' }}", "a<<x> 'y\"&b"),
            ("{{ ('a'|safe ~ 'b'|safe) + m }}", "ab<x> 'y\""),
            ("{{ '<%s>'|safe % m }}", "<&lt;x&gt; &#39;y&#34;>"),
            ("{{ '<{}>'.format(m|e) }}", "<&lt;x&gt; &#39;y&#34;>"),
            (
                "{{ ('<'|safe).join([m, '&']) }}",
                "&lt;x&gt; &#39;y&#34;<&amp;",
            ),
            (
                "{{ ('<a>'|safe).replace('a', m) }}",
                "<&lt;x&gt; &#39;y&#34;>",
            ),
            ("{{ ('<a> '|safe|trim) + m }}", "<a>&lt;x&gt; &#39;y&#34;"),
            ("{{ ('<a,b'|safe).split(',')[1] + '<' }}", "b&lt;"),
            (
                "{{ m|safe }}{{ 1 + 2 }}{{ ([1] + [2])|length }}",
                "<x> 'y\"32",
            ),
        ] {
            let template = ChatTemplate::new("t", source, [], &Rendering::default()).unwrap();
            let text = template.render_json(r#"{"m": "<x> 'y\""}"#).unwrap();
            assert_eq!(text, expected, "{source}");
        }
        let broken = ChatTemplate::new("t", "{{ 'a'|safe + 1 }}", [], &Rendering::default());
        assert!(broken.unwrap().render_json("{}").is_err());
    }
}
