//! Operators of a tag that become filters: `%`, and `+` and `~` where a text may be safe.

use std::{borrow::Cow, ops::Range};

/// Filter that stands for the operator `%`.
pub(super) const MOD: &str = "__modulo";
/// Filter that stands for the operator `+` where a text may be safe.
pub(super) const ADD: &str = "__add";
/// Filter that stands for the operator `~` there.
pub(super) const JOIN: &str = "__join";

/// An operator that becomes a filter.
struct Infix {
    sign: &'static str,
    filter: &'static str,
    /// Whether a token binds less than the operator, and so ends its left operand.
    ends: fn(&Tokens<'_>, usize) -> bool,
    /// Last token of the right operand that begins at a token.
    operand: fn(&Tokens<'_>, usize) -> usize,
}

const MODULO: Infix = Infix {
    sign: "%",
    filter: MOD,
    ends: ends_a_product,
    operand: factor,
};
/// `~` binds more than `+`, and less than a product.
const CONCAT: Infix = Infix {
    sign: "~",
    filter: JOIN,
    ends: |tokens, at| tokens.sign(at) || ends_a_sum(tokens, at),
    operand: |tokens, at| until(tokens, at, ends_a_product),
};
const PLUS: Infix = Infix {
    sign: "+",
    filter: ADD,
    ends: ends_a_sum,
    operand: |tokens, at| {
        until(tokens, at, |tokens, at| {
            tokens.sign(at) || ends_a_sum(tokens, at)
        })
    },
};

/// Rewrites the operators of one tag or expression, delimiters included; with `markup` those that look
/// at whether a text is safe, too.
pub(super) fn operators(tag: &str, markup: bool) -> Cow<'_, str> {
    let text = infix(tag, &MODULO);
    if !markup {
        return text;
    }
    let text = infix(&text, &CONCAT).into_owned();
    Cow::Owned(infix(&text, &PLUS).into_owned())
}

/// Makes calls of the filter of every use of one operator.
fn infix<'a>(tag: &'a str, rule: &Infix) -> Cow<'a, str> {
    let tokens = Tokens::new(tag);
    let count = tokens.ranges.len();
    let is = |index: usize| {
        let binary = rule.sign != "+" || tokens.sign(index);
        tokens.word(index) == Some(rule.sign) && binary
    };
    if !(0..count).any(is) {
        return Cow::Borrowed(tag);
    }
    let mut before = vec![String::new(); count];
    let mut after = vec![String::new(); count];
    let mut operator = vec![false; count];
    // First token of the left operand that is being read, at each depth of brackets.
    let mut starts = vec![0];
    for (index, becomes) in operator.iter_mut().enumerate() {
        let word = tokens.word(index).unwrap_or_default();
        match word {
            "(" | "[" | "{" => starts.push(index + 1),
            // The first depth stays, whatever is closed too often.
            ")" | "]" | "}" => starts.truncate(starts.len().max(2) - 1),
            _ if is(index) && index + 1 < count => {
                let start = starts.last().copied().unwrap_or_default();
                if start < index {
                    before[start].insert(0, '(');
                    *becomes = true;
                    let end = (rule.operand)(&tokens, index + 1);
                    after[end].push(')');
                }
            }
            _ if (rule.ends)(&tokens, index) => {
                if let Some(start) = starts.last_mut() {
                    *start = index + 1;
                }
            }
            _ => {}
        }
    }
    let mut text = String::with_capacity(tag.len() + 32);
    let mut at = 0;
    for (index, token) in tokens.ranges.iter().enumerate() {
        text.push_str(&tag[at..token.start]);
        text.push_str(&before[index]);
        match operator[index] {
            true => text.push_str(&format!(")|{}(", rule.filter)),
            false => text.push_str(&tag[token.clone()]),
        }
        text.push_str(&after[index]);
        at = token.end;
    }
    text.push_str(&tag[at..]);
    Cow::Owned(text)
}

/// A tag with its tokens.
struct Tokens<'a> {
    tag: &'a str,
    ranges: Vec<Range<usize>>,
}

impl<'a> Tokens<'a> {
    fn new(tag: &'a str) -> Self {
        let ranges = tokens(tag, inner(tag));
        Self { tag, ranges }
    }

    fn word(&self, index: usize) -> Option<&'a str> {
        self.ranges.get(index).map(|range| &self.tag[range.clone()])
    }

    /// Whether the token is `+` or `-` between two values. A sign before a number is not.
    fn sign(&self, index: usize) -> bool {
        let value =
            |c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '}' | '\'' | '"');
        let before = index.checked_sub(1).and_then(|at| self.word(at));
        matches!(self.word(index), Some("+" | "-"))
            && before.is_some_and(|it| it.ends_with(value) && !KEYWORDS.contains(&it))
    }
}

/// Words, numbers, texts and operators of an expression.
pub(super) fn tokens(tag: &str, inner: Range<usize>) -> Vec<Range<usize>> {
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

/// Whether the token binds less than a product.
fn ends_a_product(tokens: &Tokens<'_>, index: usize) -> bool {
    tokens.sign(index) || tokens.word(index) == Some("~") || ends_a_sum(tokens, index)
}

/// Whether the token binds less than a sum.
fn ends_a_sum(tokens: &Tokens<'_>, index: usize) -> bool {
    let word = tokens.word(index).unwrap_or_default();
    let less = matches!(
        word,
        "," | ":" | "=" | "==" | "!=" | "<" | ">" | "<=" | ">="
    );
    less || KEYWORDS.contains(&word)
}

/// Last token before one that ends the operand, or before the bracket around it is closed.
fn until(tokens: &Tokens<'_>, from: usize, ends: impl Fn(&Tokens<'_>, usize) -> bool) -> usize {
    let mut depth = 0usize;
    for index in from..tokens.ranges.len() {
        match tokens.word(index) {
            Some("(" | "[" | "{") => depth += 1,
            Some(")" | "]" | "}") if depth == 0 => return index.max(from + 1) - 1,
            Some(")" | "]" | "}") => depth -= 1,
            _ if depth == 0 && index > from && ends(tokens, index) => return index - 1,
            _ => {}
        }
    }
    tokens.ranges.len() - 1
}

/// Last token of the factor that begins at `index`: signs, a value, and what follows it closely.
fn factor(tokens: &Tokens<'_>, index: usize) -> usize {
    let word = |index: usize| tokens.word(index);
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
        tokens.ranges.len() - 1
    };
    let mut at = index;
    while matches!(word(at), Some("+" | "-")) && at + 1 < tokens.ranges.len() {
        at += 1;
    }
    if matches!(word(at), Some("(" | "[" | "{")) {
        at = bracket(at);
    }
    loop {
        match word(at + 1) {
            Some("(" | "[") => at = bracket(at + 1),
            Some("." | "|" | "**") if at + 2 < tokens.ranges.len() => at += 2,
            _ => return at,
        }
    }
}

/// Index behind the text that begins at `at` with a quote.
pub(super) fn text_end(source: &str, at: usize) -> usize {
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

/// Part between the delimiters of a tag and the signs beside them, which are about blanks.
pub(super) fn inner(tag: &str) -> Range<usize> {
    let mut inner = 2..tag.len().saturating_sub(2).max(2);
    let sign = |at: usize| matches!(tag.as_bytes().get(at), Some(b'-' | b'+'));
    inner.start += usize::from(sign(2));
    if inner.end > inner.start && sign(inner.end - 1) {
        inner.end -= 1;
    }
    inner
}

#[cfg(test)]
mod tests {
    use super::super::source::rewrite;

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

    #[test]
    fn sums_beside_a_safe_text_become_filters() {
        for (before, after) in [
            ("{{ a + b|upper }}", "{{ a + b|upper }}"),
            (
                "{{ 'x'|safe + a + 'y' }}",
                "{{ (('x'|safe )|__add( a) )|__add( 'y') }}",
            ),
            (
                "{{ a|e + -1 * b ~ c if d + e else f(x=g + h) }}",
                "{{ (a|e )|__add( (-1 * b )|__join( c)) if (d )|__add( e) else f(x=(g )|__add( h)) }}",
            ),
            (
                "{{ a|safe - b[i + 1] }}",
                "{{ a|safe - b[(i )|__add( 1)] }}",
            ),
            (
                "{{- (a|escape) ~ b ~ c + d -}}",
                "{{- ((((a|escape) )|__join( b) )|__join( c) )|__add( d) -}}",
            ),
        ] {
            assert_eq!(rewrite(before).text, after);
        }
    }
}
