//! Rewriting of what Jinja has and minijinja lacks: `{% generation %}` blocks, `%` of a text, sums of safe
//! texts.
//!
//! `{% generation %}` is a tag of transformers around what an assistant says. It becomes `{% with %}` blocks,
//! which have the same scope, around two variables that mark where the text begins and ends. `a % b` becomes
//! a call of the filter `__modulo`, which formats texts and divides numbers. Where a template marks a text as
//! safe, `+` and `~` become filters as well: Python's markupsafe escapes what is added to a safe text.

use std::borrow::Cow;

use super::operators::{inner, operators, text_end, tokens};

/// Variable that is written where an assistant's text begins.
pub(super) const OPEN: &str = "__generation_begins";
/// Variable that is written where it ends.
pub(super) const CLOSE: &str = "__generation_ends";
/// Filter around what a `for` goes over.
pub(super) const EACH: &str = "__each";

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
    let markup = marks_safe(&source);
    let mut rest = source.as_str();
    while let Some(at) = rest.find('{') {
        let (before, tail) = rest.split_at(at);
        text.push_str(before);
        rest = if tail.starts_with("{#") {
            let end = tail.find("#}").map_or(tail.len(), |end| end + 2);
            copy(&mut text, tail, end)
        } else if tail.starts_with("{{") {
            let end = closing(tail, "}}");
            text.push_str(&operators(&tail[..end], markup));
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
                    text.push_str(&operators(&each(&tail[..end]), markup));
                    &tail[end..]
                }
                _ => {
                    text.push_str(&operators(&tail[..end], markup));
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

/// Whether a source marks a text as safe or escaped, after which operators escape what stands beside it.
fn marks_safe(source: &str) -> bool {
    source.split('|').skip(1).any(|behind| {
        let word = behind.trim_start();
        let end = word.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &word[..end.unwrap_or(word.len())];
        matches!(name, "safe" | "e" | "escape" | "forceescape")
    })
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
}
