//! Paths in a Rust source, as far as [`super::circles`] has to know them: no more than words, `::`,
//! braces and attributes are told apart.

/// A path that begins with `crate` or `super`.
#[derive(Debug, PartialEq)]
pub(super) struct Used {
    /// The names of the path, its beginning included.
    pub(super) words: Vec<String>,
    /// Number of modules with a body in this file that enclose it.
    pub(super) depth: usize,
    /// Its line, from 1 on.
    pub(super) line: usize,
}

/// Paths and test modules of one source.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Every `crate::` and `super::` path outside of tests, those in `use` groups one by one.
    pub(super) paths: Vec<Used>,
    /// Every path of every `use`, those in groups one by one, with the name that it brings.
    pub(super) uses: Vec<(Vec<String>, String)>,
    /// Names of the modules `#[cfg(test)] mod NAME;`.
    pub(super) tests: Vec<String>,
}

/// A word or a sign, with its line.
type Token<'a> = (&'a str, usize);

/// Reads a source.
pub(super) fn read(text: &str) -> Found {
    let tokens = tokens(text);
    let mut found = Found::default();
    // For each open brace whether it is a module's.
    let mut open: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let word = |offset: usize| tokens.get(at + offset).map_or("", |token| token.0);
        let depth = open.iter().filter(|module| **module).count();
        match word(0) {
            "#" if word(1) == "[" => {
                let end = closing(&tokens, at + 1);
                let test = word(4) == "test" || word(4) == "all" && word(6) == "test";
                let test = test && word(2) == "cfg";
                at = if test {
                    skip(&tokens, end, &mut found.tests)
                } else {
                    end
                };
                continue;
            }
            "mod" if word(2) == "{" => {
                open.push(true);
                at += 3;
                continue;
            }
            "{" => open.push(false),
            "}" => {
                open.pop();
            }
            "use" => {
                let mut tree = Vec::new();
                at = tree_of(&tokens, at + 1, &mut Vec::new(), &mut tree);
                for leaf in tree {
                    keep(&leaf.words, depth, leaf.line, &mut found);
                    found.uses.push((leaf.words, leaf.name));
                }
                continue;
            }
            "crate" | "super" => {
                let line = tokens[at].1;
                let mut words = vec![word(0).to_owned()];
                while tokens.get(at + 1).is_some_and(|token| token.0 == "::")
                    && let Some((next, _)) = tokens.get(at + 2)
                    && is_word(next)
                {
                    words.push((*next).to_owned());
                    at += 2;
                }
                keep(&words, depth, line, &mut found);
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn keep(words: &[String], depth: usize, line: usize, found: &mut Found) {
    if words.len() > 1 && ["crate", "super"].contains(&words[0].as_str()) {
        let words = words.to_vec();
        found.paths.push(Used { words, depth, line });
    }
}

/// One path of a `use` tree.
struct Leaf {
    words: Vec<String>,
    /// The name that it brings: its last, or the one behind `as`.
    name: String,
    line: usize,
}

/// Reads a `use` tree from `at` on; the position behind it.
fn tree_of(
    tokens: &[Token],
    mut at: usize,
    before: &mut Vec<String>,
    tree: &mut Vec<Leaf>,
) -> usize {
    let length = before.len();
    let mut line = tokens.get(at).map_or(0, |token| token.1);
    let (mut grouped, mut name) = (false, None);
    while let Some((word, its_line)) = tokens.get(at) {
        match *word {
            "::" => {}
            "as" => {
                at += 1;
                name = tokens.get(at).map(|token| token.0);
            }
            "{" => {
                grouped = true;
                at += 1;
                while tokens.get(at).is_some_and(|token| token.0 != "}") {
                    let end = tree_of(tokens, at, before, tree);
                    let comma = tokens.get(end).is_some_and(|token| token.0 == ",");
                    // A sign that no tree has, in a macro, is skipped.
                    at = if comma || end == at { end + 1 } else { end };
                }
            }
            "*" => before.push("*".to_owned()),
            word if is_word(word) => {
                line = *its_line;
                before.push(word.to_owned());
            }
            _ => break,
        }
        at += 1;
    }
    if let (false, Some(last)) = (grouped, before[length..].last()) {
        let name = name.unwrap_or(last).to_owned();
        let words = before.clone();
        tree.push(Leaf { words, name, line });
    }
    before.truncate(length);
    at
}

/// Position behind the item that begins at `at`; keeps its name where it is a module in a file.
fn skip(tokens: &[Token], mut at: usize, tests: &mut Vec<String>) -> usize {
    let (mut module, mut item) = (None, false);
    while let Some((word, _)) = tokens.get(at) {
        item |= ["fn", "impl", "struct", "enum", "trait", "use", "type"].contains(word);
        match *word {
            "mod" => module = tokens.get(at + 1).map(|token| token.0),
            "(" | "[" => {
                at = closing(tokens, at);
                continue;
            }
            "{" => return closing(tokens, at),
            ";" => {
                tests.extend(module.map(str::to_owned));
                return at + 1;
            }
            // A field, a variant or an argument.
            "," if !item => return at + 1,
            "}" | ")" => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Position behind the bracket that closes the one at `at`.
fn closing(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some((word, _)) = tokens.get(at) {
        match *word {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words and signs of a source, without comments, strings and characters.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else if is_word(rest) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let length = end.unwrap_or(rest.len());
            tokens.push((&rest[..length], line));
            length
        } else {
            let length = if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                tokens.push((&rest[..length], line));
            }
            length
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Length of a block comment, others inside it included.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Length of the string, character or lifetime that a text begins with.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r"]
        .into_iter()
        .find(|prefix| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(['"', '\'', '#']))
        })
        .unwrap_or("");
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        // `r#type` is a word.
        body[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = prefix.len() + hashes + 1;
        let length = text[inside..].find(&end).map(|at| inside + at + end.len());
        return Some(length.unwrap_or(text.len()));
    }
    let quote = body.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut letters = body.char_indices().skip(1);
    if quote == '\'' {
        let mut ahead = letters.clone();
        let (one, two) = (ahead.next()?.1, ahead.next().map(|it| it.1));
        if one != '\\' && two != Some('\'') {
            // A lifetime: the sign alone, its name is a word.
            return Some(prefix.len() + 1);
        }
    }
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == quote {
            return Some(prefix.len() + at + 1);
        }
    }
    Some(text.len())
}
