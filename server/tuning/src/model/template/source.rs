//! Rewriting of what Jinja has and minijinja lacks: `{% generation %}` blocks and `%` of a text.
//!
//! `{% generation %}` is a tag of transformers around what an assistant says. It becomes `{% with %}` blocks,
//! which have the same scope, around two variables that mark where the text begins and ends. `a % b` becomes
//! a call of the filter [`MOD`], which formats texts and divides numbers.

use std::{borrow::Cow, ops::Range};

/// Variable that is written where an assistant's text begins.
pub(super) const OPEN: &str = "__generation_begins";
/// Variable that is written where it ends.
pub(super) const CLOSE: &str = "__generation_ends";
/// Filter around what a `for` goes over.
pub(super) const EACH: &str = "__each";
/// Filter that stands for the operator `%`.
pub(super) const MOD: &str = "__modulo";

/// A rewritten source.
pub(super) struct Source {
    /// Source that minijinja compiles.
    pub(super) text: String,
    /// Whether it marks what assistants say.
    pub(super) marks: bool,
}

/// Rewrites a source. Anything that is not understood stays as it is: minijinja says what is wrong with it.
pub(super) fn rewrite(source: &str) -> Source {
    // Jinja2 reads every end of a line as a newline.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut text = String::with_capacity(source.len() + 64);
    let mut marks = false;
    let mut rest = source.as_str();
    while let Some(at) = rest.find('{') {
        let (before, tail) = rest.split_at(at);
        text.push_str(before);
        rest = if tail.starts_with("{#") {
            let end = tail.find("#}").map_or(tail.len(), |end| end + 2);
            copy(&mut text, tail, end)
        } else if tail.starts_with("{{") {
            let end = closing(tail, "}}");
            text.push_str(&operators(&tail[..end]));
            &tail[end..]
        } else if tail.starts_with("{%") {
            let end = closing(tail, "%}");
            let tag = Tag::new(&tail[..end]);
            match tag.name {
                "raw" => copy(&mut text, tail, raw_end(tail, end)),
                "generation" => {
                    marks = true;
                    let Tag { left, right, .. } = tag;
                    text.push_str(&format!(
                        "{{%{left} with %}}{{{{ {OPEN} }}}}{{% with {right}%}}"
                    ));
                    &tail[end..]
                }
                "endgeneration" => {
                    let Tag { left, right, .. } = tag;
                    text.push_str(&format!(
                        "{{%{left} endwith %}}{{{{ {CLOSE} }}}}{{% endwith {right}%}}"
                    ));
                    &tail[end..]
                }
                "for" => {
                    text.push_str(&operators(&each(&tail[..end])));
                    &tail[end..]
                }
                _ => {
                    text.push_str(&operators(&tail[..end]));
                    &tail[end..]
                }
            }
        } else {
            copy(&mut text, tail, 1)
        };
    }
    text.push_str(rest);
    Source { text, marks }
}

fn copy<'a>(text: &mut String, from: &'a str, end: usize) -> &'a str {
    let (own, rest) = from.split_at(end);
    text.push_str(own);
    rest
}

/// A tag `{%- name ... +%}`.
struct Tag<'a> {
    left: &'a str,
    name: &'a str,
    right: &'a str,
}

impl<'a> Tag<'a> {
    fn new(tag: &'a str) -> Self {
        let inner = tag.strip_prefix("{%").unwrap_or(tag);
        let inner = inner.strip_suffix("%}").unwrap_or(inner);
        let sign = |c: &str| matches!(c, "-" | "+");
        let left = inner.get(..1).filter(|c| sign(c)).unwrap_or_default();
        let last = inner.len().checked_sub(1).and_then(|at| inner.get(at..));
        let right = last.filter(|c| sign(c)).unwrap_or_default();
        let words = inner.trim_start_matches(['-', '+']).trim_start();
        let end = words.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &words[..end.unwrap_or(words.len())];
        Self { left, name, right }
    }
}

/// Index behind the end mark of a tag or an expression, past texts and brackets.
fn closing(tail: &str, mark: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 2;
    while let Some(c) = tail[at..].chars().next() {
        if depth == 0 && tail[at..].starts_with(mark) {
            return at + mark.len();
        }
        match c {
            '\'' | '"' => {
                at = text_end(tail, at);
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += c.len_utf8();
    }
    tail.len()
}

/// Index behind the text that begins at `at` with a quote.
fn text_end(source: &str, at: usize) -> usize {
    let quote = source.as_bytes()[at];
    let mut escaped = false;
    for (index, byte) in source.bytes().enumerate().skip(at + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if byte == quote => return index + 1,
            _ => {}
        }
    }
    source.len()
}

/// Index behind `{% endraw %}`.
fn raw_end(tail: &str, begin: usize) -> usize {
    let mut at = begin;
    while let Some(found) = tail[at..].find("{%") {
        let start = at + found;
        let end = tail[start..]
            .find("%}")
            .map_or(tail.len(), |e| start + e + 2);
        if Tag::new(&tail[start..end]).name == "endraw" {
            return end;
        }
        at = start + 2;
    }
    tail.len()
}

/// Puts the filter [`EACH`] around what a tag `for` goes over.
fn each(tag: &str) -> Cow<'_, str> {
    let tokens = tokens(tag, inner(tag));
    let mut depth = 0usize;
    let mut start = None;
    let mut end = tokens.last().map_or(0, |token| token.end);
    for token in &tokens {
        match &tag[token.clone()] {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            "in" if depth == 0 && start.is_none() => start = Some(token.end),
            "if" | "recursive" if depth == 0 && start.is_some() => {
                end = token.start;
                break;
            }
            _ => {}
        }
    }
    match start.filter(|start| *start < end) {
        None => Cow::Borrowed(tag),
        Some(start) => {
            let (head, over) = (&tag[..start], tag[start..end].trim());
            let rest = tag[end..].trim_start();
            Cow::Owned(format!("{head} ({over})|{EACH} {rest}"))
        }
    }
}

/// Part between the delimiters of a tag and the signs beside them, which are about blanks.
fn inner(tag: &str) -> Range<usize> {
    let mut inner = 2..tag.len().saturating_sub(2).max(2);
    let sign = |at: usize| matches!(tag.as_bytes().get(at), Some(b'-' | b'+'));
    inner.start += usize::from(sign(2));
    if inner.end > inner.start && sign(inner.end - 1) {
        inner.end -= 1;
    }
    inner
}

/// Rewrites the operators `%` of one tag or expression, delimiters included.
fn operators(tag: &str) -> Cow<'_, str> {
    let tokens = tokens(tag, inner(tag));
    if !tokens.iter().any(|token| &tag[token.clone()] == "%") {
        return Cow::Borrowed(tag);
    }
    let mut before = vec![String::new(); tokens.len()];
    let mut after = vec![String::new(); tokens.len()];
    let mut operator = vec![false; tokens.len()];
    // First token of the product that is being read, at each depth of brackets.
    let mut products = vec![0];
    for (index, token) in tokens.iter().enumerate() {
        let word = &tag[token.clone()];
        let first = products.last_mut().map(|it| (*it, it));
        match word {
            "(" | "[" | "{" => products.push(index + 1),
            // The first depth stays, whatever is closed too often.
            ")" | "]" | "}" => products.truncate(products.len().max(2) - 1),
            "%" if index + 1 < tokens.len() => {
                let start = first.map_or(0, |(start, _)| start);
                if start < index {
                    before[start].insert(0, '(');
                    operator[index] = true;
                    let end = operand(tag, &tokens, index + 1);
                    after[end].push(')');
                }
            }
            _ if ends_a_product(tag, &tokens, index) => {
                if let Some((_, first)) = first {
                    *first = index + 1;
                }
            }
            _ => {}
        }
    }
    let mut text = String::with_capacity(tag.len() + 32);
    let mut at = 0;
    for (index, token) in tokens.iter().enumerate() {
        text.push_str(&tag[at..token.start]);
        text.push_str(&before[index]);
        match operator[index] {
            true => text.push_str(&format!(")|{MOD}(")),
            false => text.push_str(&tag[token.clone()]),
        }
        text.push_str(&after[index]);
        at = token.end;
    }
    text.push_str(&tag[at..]);
    Cow::Owned(text)
}

/// Words, numbers, texts and operators of an expression.
fn tokens(tag: &str, inner: Range<usize>) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    let mut at = inner.start;
    while at < inner.end {
        let Some(c) = tag[at..].chars().next() else {
            break;
        };
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let end = match c {
            '\'' | '"' => text_end(tag, at).min(inner.end),
            c if word(c) => {
                let length = tag[at..inner.end].find(|c| !word(c));
                length.map_or(inner.end, |length| at + length)
            }
            _ => {
                let two = ["**", "//", "==", "!=", "<=", ">="];
                let pair = two.iter().any(|pair| tag[at..].starts_with(pair));
                at + if pair { 2 } else { c.len_utf8() }
            }
        };
        if !c.is_whitespace() {
            tokens.push(at..end);
        }
        at = end;
    }
    tokens
}

const KEYWORDS: [&str; 16] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "for",
    "set",
    "do",
    "call",
    "with",
    "filter",
    "recursive",
    "import",
];

/// Whether the token binds less than a product. A sign before a number does not.
fn ends_a_product(tag: &str, tokens: &[Range<usize>], index: usize) -> bool {
    let word = &tag[tokens[index].clone()];
    match word {
        "+" | "-" => index.checked_sub(1).is_some_and(|before| {
            let before = &tag[tokens[before].clone()];
            let value =
                |c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '}' | '\'' | '"');
            before.ends_with(value) && !KEYWORDS.contains(&before)
        }),
        "," | ":" | "~" | "=" | "==" | "!=" | "<" | ">" | "<=" | ">=" => true,
        _ => KEYWORDS.contains(&word),
    }
}

/// Last token of the operand that begins at `index`: signs, a value, and what follows it closely.
fn operand(tag: &str, tokens: &[Range<usize>], index: usize) -> usize {
    let word = |index: usize| tokens.get(index).map(|token| &tag[token.clone()]);
    let bracket = |from: usize| {
        let mut depth = 0usize;
        let mut at = from;
        while let Some(text) = word(at) {
            match text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return at;
            }
            at += 1;
        }
        tokens.len() - 1
    };
    let mut at = index;
    while matches!(word(at), Some("+" | "-")) && at + 1 < tokens.len() {
        at += 1;
    }
    if matches!(word(at), Some("(" | "[" | "{")) {
        at = bracket(at);
    }
    loop {
        match word(at + 1) {
            Some("(" | "[") => at = bracket(at + 1),
            Some("." | "|" | "**") if at + 2 < tokens.len() => at += 2,
            _ => return at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_extension_stays_as_it_is() {
        for source in [
            "a {# {% generation %} #} b {% raw %}{{ a % b }}{% generation %}{% endraw %}",
            "{{ '}}' ~ \"{% generation %}\" ~ '5 % 3' }} 100 % { {% if a %}x{% endif %}",
            "{%- set x = {'a': {'b': 1}} -%}{{ {'a': {}} }}{{ broken",
        ] {
            let rewritten = rewrite(source);
            assert_eq!(rewritten.text, source);
            assert!(!rewritten.marks);
        }
    }

    #[test]
    fn generation_keeps_its_scope_and_its_blanks() {
        let source = rewrite("a {%- generation -%} b {% endgeneration +%} c");
        assert!(source.marks);
        assert_eq!(
            source.text,
            "a {%- with %}{{ __generation_begins }}{% with -%} b \
             {% endwith %}{{ __generation_ends }}{% endwith +%} c"
        );
    }

    #[test]
    fn what_a_loop_goes_over_is_looked_at() {
        for (before, after) in [
            ("{%- for a in b -%}", "{%- for a in (b)|__each -%}"),
            (
                "{% for k, v in x.items() if k in 'a if b' %}",
                "{% for k, v in (x.items())|__each if k in 'a if b' %}",
            ),
            (
                "{% for a in [b if c else d] recursive%}",
                "{% for a in ([b if c else d])|__each recursive%}",
            ),
            ("{% for %}", "{% for %}"),
        ] {
            assert_eq!(rewrite(before).text, after);
        }
        assert_eq!(rewrite("a\r\nb\rc").text, "a\nb\nc");
    }

    #[test]
    fn the_operator_of_a_text_becomes_a_filter() {
        for (before, after) in [
            ("{{ a % b }}", "{{ (a )|__modulo( b) }}"),
            (
                "{{ '%s!' % (a, b) ~ c }}",
                "{{ ('%s!' )|__modulo( (a, b)) ~ c }}",
            ),
            (
                "{{ f(x % y.z[0]) + 1 }}",
                "{{ f((x )|__modulo( y.z[0])) + 1 }}",
            ),
            (
                "{% if -i * 2 % 3 == 0 %}",
                "{% if (-i * 2 )|__modulo( 3) == 0 %}",
            ),
            (
                "{{ a + b % -c | abs }}",
                "{{ a + (b )|__modulo( -c | abs) }}",
            ),
            ("{{- a % b -}}", "{{- (a )|__modulo( b) -}}"),
            ("{{ a % b % c }}", "{{ ((a )|__modulo( b) )|__modulo( c) }}"),
        ] {
            assert_eq!(rewrite(before).text, after);
        }
    }
}
