//! Methods of Python's texts, and tests and filters of Jinja2, where minijinja's differ or lack.

use minijinja::{
    Error, ErrorKind, State, Value,
    formatting::{FormatStyle, format},
    value::{Kwargs, ValueKind, from_args},
};
use minijinja_contrib::pycompat;

use super::safe;

/// Blanks of Python's `str.isspace`: Unicode's, and four separators.
pub(super) fn blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn refuse(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.to_owned())
}

/// Methods that minijinja does not know: ours, else those of minijinja-contrib.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str()
        && let Some(result) = text_method(state, text, name, args)
    {
        return result;
    }
    if matches!(value.kind(), ValueKind::Seq) && name == "index" {
        let (item,): (&Value,) = from_args(args)?;
        let found = value.try_iter()?.position(|other| other == *item);
        let found = found.ok_or_else(|| refuse("the list has no such item"));
        return Ok(Value::from(found?));
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

fn text_method(
    state: &State,
    text: &str,
    name: &str,
    args: &[Value],
) -> Option<Result<Value, Error>> {
    Some(match name {
        "strip" => strip(text, args, true, true),
        "lstrip" => strip(text, args, true, false),
        "rstrip" => strip(text, args, false, true),
        "split" => split(text, args, false),
        "rsplit" => split(text, args, true),
        "partition" => partition(text, args, false),
        "rpartition" => partition(text, args, true),
        "removeprefix" => from_args(args)
            .map(|(end,): (&str,)| Value::from(text.strip_prefix(end).unwrap_or(text))),
        "removesuffix" => from_args(args)
            .map(|(end,): (&str,)| Value::from(text.strip_suffix(end).unwrap_or(text))),
        "find" | "rfind" | "index" | "rindex" => find(text, name, args),
        "count" => from_args(args).map(|(part,): (&str,)| {
            let count = match part {
                "" => text.chars().count() + 1,
                part => text.matches(part).count(),
            };
            Value::from(count)
        }),
        "title" => from_args(args).map(|()| Value::from(title(text))),
        "capitalize" => from_args(args).map(|()| Value::from(capitalize(text))),
        "swapcase" => from_args(args).map(|()| Value::from(swapped(text))),
        "casefold" => from_args(args).map(|()| Value::from(text.to_lowercase())),
        "isspace" => {
            from_args(args).map(|()| Value::from(!text.is_empty() && text.chars().all(blank)))
        }
        "isdecimal" => from_args(args)
            .map(|()| Value::from(!text.is_empty() && text.chars().all(char::is_numeric))),
        "istitle" => from_args(args)
            .map(|()| Value::from(text.chars().any(char::is_alphabetic) && title(text) == text)),
        "isidentifier" => from_args(args).map(|()| {
            let mut chars = text.chars();
            let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
            Value::from(first && chars.all(|c| c.is_alphanumeric() || c == '_'))
        }),
        "splitlines" => {
            from_args(args).map(|(keep,): (Option<bool>,)| lines(text, keep.unwrap_or_default()))
        }
        "join" => join(state, text, args),
        "center" | "ljust" | "rjust" | "zfill" => pad(state, text, name, args),
        _ => return None,
    })
}

fn strip(text: &str, args: &[Value], left: bool, right: bool) -> Result<Value, Error> {
    let (set,): (Option<&str>,) = from_args(args)?;
    let strips = |c: char| set.map_or_else(|| blank(c), |set| set.contains(c));
    let mut text = text;
    if left {
        text = text.trim_start_matches(strips);
    }
    if right {
        text = text.trim_end_matches(strips);
    }
    Ok(Value::from(text))
}

/// `split(sep=None, maxsplit=-1)` and its counterpart from the right.
fn split(text: &str, args: &[Value], right: bool) -> Result<Value, Error> {
    let (separator, most, named): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = match separator {
        Some(separator) => Some(separator),
        None => named.get("sep")?,
    };
    let most = match most {
        Some(most) => Some(most),
        None => named.get("maxsplit")?,
    };
    named.assert_all_used()?;
    let most = most
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(usize::MAX);
    let separator = separator.filter(|separator| !separator.is_none());
    let mut parts: Vec<&str> = match &separator {
        Some(separator) => {
            let separator = separator
                .as_str()
                .filter(|separator| !separator.is_empty())
                .ok_or_else(|| refuse("split: the separator is no text, or empty"))?;
            let count = most.saturating_add(1);
            match right {
                true => text.rsplitn(count, separator).collect(),
                false => text.splitn(count, separator).collect(),
            }
        }
        None => words(text, most, right),
    };
    if right {
        parts.reverse();
    }
    Ok(Value::from_iter(parts))
}

/// Parts between blanks; from the right in that order.
fn words(text: &str, most: usize, right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = match right {
        true => text.trim_end_matches(blank),
        false => text.trim_start_matches(blank),
    };
    while !rest.is_empty() {
        let place = match right {
            _ if parts.len() >= most => None,
            true => rest.rfind(blank),
            false => rest.find(blank),
        };
        let Some(at) = place else {
            parts.push(rest);
            break;
        };
        match right {
            true => {
                let width = rest[at..].chars().next().map_or(1, char::len_utf8);
                parts.push(&rest[at + width..]);
                rest = rest[..at].trim_end_matches(blank);
            }
            false => {
                parts.push(&rest[..at]);
                rest = rest[at..].trim_start_matches(blank);
            }
        }
    }
    parts
}

fn partition(text: &str, args: &[Value], right: bool) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    if separator.is_empty() {
        return Err(refuse("partition: the separator is empty"));
    }
    let parts = match right {
        true => text.rsplit_once(separator),
        false => text.split_once(separator),
    };
    let parts = match (parts, right) {
        (Some((before, after)), _) => [before, separator, after],
        (None, true) => ["", "", text],
        (None, false) => [text, "", ""],
    };
    let parts = parts.map(Value::from);
    Ok(Value::from(minijinja::value::Tuple::from(parts)))
}

/// `find(part, start, end)` and its kin, in characters.
fn find(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let (part, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let length = text.chars().count();
    let index = |at: i64| match usize::try_from(at) {
        Ok(at) => at.min(length),
        Err(_) => length.saturating_sub(at.unsigned_abs() as usize),
    };
    let (start, end) = (start.map_or(0, index), end.map_or(length, index));
    let inner: String = text
        .chars()
        .skip(start)
        .take(end.saturating_sub(start))
        .collect();
    let found = match name.starts_with('r') {
        true => inner.rfind(part),
        false => inner.find(part),
    };
    match found.filter(|_| start <= end) {
        Some(at) => Ok(Value::from(start + inner[..at].chars().count())),
        None if name.ends_with("index") => Err(refuse("substring not found")),
        None => Ok(Value::from(-1)),
    }
}

/// Python's `str.title`: a letter is large where none stands before it.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        inside = c.is_alphabetic();
    }
    out
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next();
    let first = first.into_iter().flat_map(char::to_uppercase);
    first.chain(chars.as_str().to_lowercase().chars()).collect()
}

fn swapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_uppercase() {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
    }
    out
}

/// Lines by Python's line ends.
fn lines(text: &str, keep: bool) -> Value {
    let end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(end) {
        let width = match rest[at..].starts_with("\r\n") {
            true => 2,
            false => rest[at..].chars().next().map_or(1, char::len_utf8),
        };
        lines.push(&rest[..if keep { at + width } else { at }]);
        rest = &rest[at + width..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    Value::from_iter(lines)
}

fn join(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (items,): (&Value,) = from_args(args)?;
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        let item = item
            .as_str()
            .ok_or_else(|| refuse("join: an item that is no text"))?;
        state.consume_fuel(((text.len() + item.len()) / 64) as u64)?;
        if index > 0 {
            out.push_str(text);
        }
        out.push_str(item);
    }
    Ok(Value::from(out))
}

fn pad(state: &State, text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let (width, fill): (usize, Option<&str>) = from_args(args)?;
    let missing = width.saturating_sub(text.chars().count());
    state.consume_fuel(missing as u64 / 16)?;
    let fill = fill.unwrap_or(if name == "zfill" { "0" } else { " " });
    let (left, right) = match name {
        "ljust" => (0, missing),
        "center" => {
            let left = missing / 2 + (missing & width & 1);
            (left, missing - left)
        }
        _ => (missing, 0),
    };
    let signed = name == "zfill" && text.starts_with(['+', '-']);
    let (sign, digits) = text.split_at(usize::from(signed));
    Ok(Value::from(format!(
        "{sign}{}{digits}{}",
        fill.repeat(left),
        fill.repeat(right)
    )))
}

/// The filter `trim`, which strips what Python strips.
pub(super) fn trim(value: &Value, set: Option<&str>) -> Value {
    let text = value.to_string();
    let strips = |c: char| set.map_or_else(|| blank(c), |set| set.contains(c));
    safe::like(value, text.trim_matches(strips))
}

/// The operator `%`: of a text the arguments for its places, of numbers the rest of a division.
pub(super) fn modulo(left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        let args: Vec<Value> = match right.is_tuple() {
            true => right.try_iter()?.collect(),
            false => vec![right.clone()],
        };
        let args = safe::beside(left, &args);
        let text = format(FormatStyle::Printf, text, &args)?;
        return Ok(safe::like(left, &text));
    }
    let number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !number(left) || !number(right) {
        return Err(refuse("% of a value that is neither text nor number"));
    }
    let integer = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(i64::from(value.is_true())),
        _ => value.as_i64().filter(|_| value.is_integer()),
    };
    match (integer(left), integer(right)) {
        (_, Some(0)) => Err(refuse("division by zero")),
        (Some(a), Some(b)) => {
            let (a, b) = (i128::from(a), i128::from(b));
            Ok(Value::from(((a % b + b) % b) as i64))
        }
        _ => {
            let (a, b) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
            if b == 0.0 {
                return Err(refuse("division by zero"));
            }
            let rest = a % b;
            let other_sign = rest != 0.0 && (rest < 0.0) != (b < 0.0);
            Ok(Value::from(if other_sign { rest + b } else { rest }))
        }
    }
}

/// The test `sequence`: what has a length and items, which texts and dictionaries have, too.
pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Undefined
    )
}

/// The test `iterable`.
pub(super) fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

/// The test `callable`: functions and macros are; data are not.
pub(super) fn is_callable(value: &Value) -> bool {
    value.kind() == ValueKind::Plain
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};

    /// Each pair was evaluated by Python 3.11.
    #[test]
    fn methods_give_what_python_gives() {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(super::method);
        let text = |source: &str| {
            let expression = environment.compile_expression(source).unwrap();
            let value = expression.eval(context! { d => context! { a => 1, b => 2 } });
            value
                .map(|value| value.to_string())
                .map_err(|error| error.to_string())
        };
        for (source, expected) in [
            ("' a b  c '.split()", "['a', 'b', 'c']"),
            ("' a b  c '.split(none, 1)", "['a', 'b  c ']"),
            ("' a b  c '.rsplit(none, 1)", "[' a b', 'c']"),
            ("'a,b,,c'.split(',')", "['a', 'b', '', 'c']"),
            ("'a,b,,c'.split(',', 1)", "['a', 'b,,c']"),
            ("'a,b,,c'.split(sep=',', maxsplit=2)", "['a', 'b', ',c']"),
            ("'a,b,,c'.rsplit(',', 1)", "['a,b,', 'c']"),
            ("'a=b=c'.partition('=')", "('a', '=', 'b=c')"),
            ("'a=b=c'.rpartition('=')", "('a=b', '=', 'c')"),
            ("'abc'.rpartition('=')", "('', '', 'abc')"),
            ("'abc'.removeprefix('ab') ~ 'abc'.removesuffix('bc')", "ca"),
            ("'xxabxx'.strip('x') ~ '|' ~ '\u{1c} a'.strip()", "ab|a"),
            (
                "'äbäb'.find('b') ~ 'äbäb'.rfind('b') ~ 'äbäb'.find('b', 2) ~ 'a'.find('b')",
                "133-1",
            ),
            ("'abab'.count('ab') ~ 'ab'.count('')", "23"),
            (
                "\"they're here\".title() ~ 'aBC d'.capitalize()",
                "They'Re HereAbc d",
            ),
            ("'a\r\nb\u{2028}c\n'.splitlines()", "['a', 'b', 'c']"),
            ("', '.join(['a', 'b'])", "a, b"),
            (
                "'{} {b!r:>5} {0}'.format('x', b='y') if false else '{}-{}'.format('x', 1)",
                "x-1",
            ),
            (
                "'abc'.startswith(('x', 'ab')) ~ 'abc'.endswith(('x', 'y'))",
                "TrueFalse",
            ),
            (
                "'7'.zfill(3) ~ 'a'.center(4, '*') ~ 'a'.ljust(3, '.') ~ 'a'.rjust(2)",
                "007*a**a.. a",
            ),
            (
                "'aXb'.swapcase() ~ '12'.isdigit() ~ 'a b'.isspace() ~ 'Ab Cd'.istitle()",
                "AxBTrueFalseTrue",
            ),
            ("'a-b-c'.replace('-', '+', 1)", "a+b-c"),
            (
                "d.get('c') ~ d.get('c', 3) ~ (d.values()|list) ~ (d.items()|list)",
                "None3[1, 2][('a', 1), ('b', 2)]",
            ),
            ("['a', 'b'].index('b') ~ ['a', 'a'].count('a')", "12"),
        ] {
            assert_eq!(text(source).unwrap(), expected, "{source}");
        }
        for refused in [
            "'a'.index('b')",
            "', '.join([1])",
            "'a'.split('')",
            "'a'.nothing()",
        ] {
            assert!(text(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_operator_formats_texts_and_divides_numbers() {
        let value = |value: i64| minijinja::Value::from(value);
        let modulo = |a: i64, b: i64| super::modulo(&value(a), &value(b)).unwrap().to_string();
        assert_eq!(
            [modulo(7, 3), modulo(-7, 3), modulo(7, -3)],
            ["1", "2", "-2"]
        );
        let pair = minijinja::value::Tuple::from([value(3), "x".into()]);
        let text = super::modulo(&"%02d %s".into(), &pair.into()).unwrap();
        assert_eq!(text.to_string(), "03 x");
        assert_eq!(
            super::modulo(&"[%s]".into(), &value(4))
                .unwrap()
                .to_string(),
            "[4]"
        );
        assert!(super::modulo(&value(1), &value(0)).is_err());
        assert!(super::modulo(&value(1), &"a".into()).is_err());
    }
}
