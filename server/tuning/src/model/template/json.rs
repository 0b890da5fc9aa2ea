//! The filter `tojson` as transformers has it: Python's `json.dumps` without escapes of HTML.

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Kwargs, Rest, ValueKind, ValueOrKwargs, from_args},
};

use super::lazy::Generator;

/// Options of `json.dumps`.
struct Style {
    ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort: bool,
}

/// Deepest nesting that is written; Python has a bound of its own, near a thousand.
const DEPTH: usize = 256;

pub(super) fn tojson(
    state: &State,
    value: &Value,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    let args = args.into_values();
    let (args, options): (&[Value], Kwargs) = from_args(&args)?;
    let option = |at: usize, name: &str| -> Result<Option<Value>, Error> {
        match args.get(at) {
            Some(value) => Ok(Some(value.clone())),
            None => options.get(name),
        }
    };
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ascii, indent, separators, sort] = [0, 1, 2, 3].map(|at| option(at, names[at]));
    options.assert_all_used()?;
    let indent = match indent?.filter(|indent| !indent.is_none() && !indent.is_undefined()) {
        None => None,
        Some(indent) => Some(match (indent.as_str(), indent.as_i64()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(width)) if width <= 64 => " ".repeat(width.max(0) as usize),
            _ => return Err(refuse("indent is no text and no small number")),
        }),
    };
    let (item, key) = match separators?.filter(|pair| !pair.is_none() && !pair.is_undefined()) {
        Some(pair) => {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            match pair.as_slice() {
                [item, key] => (item.to_string(), key.to_string()),
                _ => return Err(refuse("separators are no pair")),
            }
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let on = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let style = Style {
        ascii: on(ascii?),
        indent,
        item,
        key,
        sort: on(sort?),
    };
    let mut text = String::new();
    style.write(&mut text, value, 0)?;
    state.consume_fuel(text.len() as u64 / 64)?;
    Ok(Value::from(text))
}

fn refuse(problem: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("tojson: {}", problem.into()),
    )
}

impl Style {
    fn write(&self, text: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(refuse(format!("deeper than {DEPTH}")));
        }
        match value.kind() {
            ValueKind::None | ValueKind::Bool | ValueKind::Number => text.push_str(&scalar(value)),
            ValueKind::String => self.text(text, value.as_str().unwrap_or_default()),
            ValueKind::Iterable if value.downcast_object_ref::<Generator>().is_some() => {
                return Err(refuse("a value that is a generator"));
            }
            // Parts and sums of lists are iterators here.
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.body(text, ['[', ']'], items.len(), depth, |text, index| {
                    self.write(text, &items[index], depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut pairs = Vec::new();
                for key in value.try_iter()? {
                    let name = match key.kind() {
                        ValueKind::String => key.to_string(),
                        ValueKind::None | ValueKind::Bool | ValueKind::Number => scalar(&key),
                        other => return Err(refuse(format!("a key that is a {other}"))),
                    };
                    pairs.push((name, value.get_item(&key)?));
                }
                if self.sort {
                    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.body(text, ['{', '}'], pairs.len(), depth, |text, index| {
                    let (name, value) = &pairs[index];
                    self.text(text, name);
                    text.push_str(&self.key);
                    self.write(text, value, depth + 1)
                })?;
            }
            other => return Err(refuse(format!("a value that is {other}"))),
        }
        Ok(())
    }

    fn body(
        &self,
        text: &mut String,
        [open, close]: [char; 2],
        length: usize,
        depth: usize,
        mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = |text: &mut String, depth: usize| {
            if let Some(indent) = &self.indent {
                text.push('\n');
                text.push_str(&indent.repeat(depth));
            }
        };
        text.push(open);
        for index in 0..length {
            if index > 0 {
                text.push_str(&self.item);
            }
            line(text, depth + 1);
            item(text, index)?;
        }
        if length > 0 {
            line(text, depth);
        }
        text.push(close);
        Ok(())
    }

    fn text(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if u32::from(c) < 0x20 || (self.ascii && u32::from(c) > 0x7e) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn scalar(value: &Value) -> String {
    match value.kind() {
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => value.is_true().to_string(),
        _ if value.is_integer() => value.to_string(),
        _ => f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float),
    }
}

/// Writes a float as Python does.
fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};

    #[test]
    fn json_is_written_as_python_does() {
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::tojson);
        let value: minijinja::Value = serde_json::from_str(
            r#"{"z": [1, 2.0, 1e20, 1.5e-7, true, null], "a": "é<&'\"\n\u0001😀", "e": [], "d": {}}"#,
        )
        .unwrap();
        let write = |source: &str| {
            let expression = environment.compile_expression(source).unwrap();
            expression
                .eval(context! { value => value.clone() })
                .map(|it| it.to_string())
        };
        // Written by Python 3.11: json.dumps with the same options.
        for (source, expected) in [
            (
                "value|tojson",
                r#"{"z": [1, 2.0, 1e+20, 1.5e-07, true, null], "a": "é<&'\"\n\u0001😀", "e": [], "d": {}}"#,
            ),
            (
                "value.a|tojson(ensure_ascii=true)",
                r#""\u00e9<&'\"\n\u0001\ud83d\ude00""#,
            ),
            (
                "value|tojson(separators=(',', ':'), sort_keys=true)",
                r#"{"a":"é<&'\"\n\u0001😀","d":{},"e":[],"z":[1,2.0,1e+20,1.5e-07,true,null]}"#,
            ),
            (
                "{'a': [1, {}], 'b': {'c': none}}|tojson(indent=2)",
                "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"c\": null\n  }\n}",
            ),
        ] {
            assert_eq!(write(source).unwrap(), expected, "{source}");
        }
        assert!(write("nothing|tojson").is_err());
        assert!(write("value|tojson(colour=1)").is_err());
    }
}
