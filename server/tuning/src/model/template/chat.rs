//! A chat template of a model's files: Jinja as transformers renders it.

use std::ops::Range;

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value, context, syntax::SyntaxConfig,
    value::Serde,
};

use super::{
    Rendering, Written, json, lazy, markup,
    operators::{ADD, JOIN, MOD},
    python, safe,
    source::{CLOSE, EACH, OPEN, rewrite},
};
use crate::{Message, Role, TuningError};

/// Number of instructions that a template may run before it counts as hostile.
const FUEL: u64 = 5_000_000;
/// Longest template text, bytes.
const MAX_SOURCE: usize = 1 << 18;

/// A compiled Jinja chat template with the variables that it is given.
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Name of it in error messages.
    name: String,
    /// Special tokens by their names (`bos_token`), and the caller's variables.
    variables: Vec<(String, Value)>,
    /// Whether `{% generation %}` marks what assistants say.
    marks: bool,
    /// Whether a message's content is a list of parts, as templates of models that see images want it.
    parts: bool,
    /// Whether it writes the same text whatever a user says.
    deaf: bool,
}

/// Marks where an assistant's text begins and ends, and a stand-in for an answer whose place is looked for:
/// noncharacters of Unicode, which no text from a keyboard has.
const BEGINS: char = '\u{fdd0}';
const ENDS: char = '\u{fdd1}';
const PLACE: char = '\u{fdd2}';

impl ChatTemplate {
    /// Compiles a template. `name` is what messages call it; `tokens` are the special tokens' texts by the
    /// names that templates have for them (`bos_token`).
    ///
    /// # Errors
    /// [`TuningError::Template`] for a source that is too long or broken.
    pub fn new<'a>(
        name: &str,
        source: &str,
        tokens: impl IntoIterator<Item = (&'a str, &'a str)>,
        rendering: &Rendering,
    ) -> Result<Self, TuningError> {
        let failed = |error: Error| TuningError::Template(format!("{name}: {error}").into());
        if source.len() > MAX_SOURCE {
            let length = source.len();
            let problem = format!("{name}: {length} bytes long, at most {MAX_SOURCE} are read");
            return Err(TuningError::Template(problem.into()));
        }
        let mut environment = Environment::new();
        // The settings of transformers' renderer.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(failed)?;
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(markup::method);
        environment.add_function("raise_exception", |text: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        let date = rendering.date;
        environment.add_function("strftime_now", move |format: String| {
            let problem = || format!("strftime_now: a directive of {format:?} is not known");
            date.strftime(&format)
                .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, problem()))
        });
        environment.add_filter("tojson", json::tojson);
        environment.add_filter("trim", python::trim);
        environment.add_filter("map", lazy::map);
        environment.add_filter("select", lazy::select);
        environment.add_filter("reject", lazy::reject);
        environment.add_filter("selectattr", lazy::selectattr);
        environment.add_filter("rejectattr", lazy::rejectattr);
        environment.add_filter(EACH, lazy::each);
        environment.add_filter(MOD, python::modulo);
        environment.add_filter(ADD, markup::add);
        environment.add_filter(JOIN, markup::join);
        environment.add_filter("e", safe::escape);
        environment.add_filter("escape", safe::escape);
        environment.add_filter("forceescape", safe::force);
        environment.add_test("sequence", python::is_sequence);
        environment.add_test("iterable", python::is_iterable);
        environment.add_test("callable", python::is_callable);
        let source = rewrite(source);
        environment
            .add_template_owned("chat", source.text)
            .map_err(failed)?;
        let tokens = tokens.into_iter();
        let mut variables: Vec<(String, Value)> = tokens
            .map(|(name, text)| (name.to_owned(), Value::from(text)))
            .collect();
        for (name, value) in &rendering.args {
            variables.retain(|(token, _)| token != name);
            variables.push((name.clone(), Value::from(Serde(value.clone()))));
        }
        let mut template = Self {
            environment,
            name: name.to_owned(),
            variables,
            marks: source.marks,
            parts: false,
            deaf: false,
        };
        // One that fails here asks for more than one message, and says so when it is used.
        (template.parts, template.deaf) = match (template.heeds(false), template.heeds(true)) {
            (Some(true), _) => (false, false),
            (_, Some(true)) => (true, false),
            (text, _) => (false, text == Some(false)),
        };
        Ok(template)
    }

    /// Whether what a user says is in the text; none where the template refuses it. Some templates write
    /// an empty turn for content in another form than theirs.
    fn heeds(&self, parts: bool) -> Option<bool> {
        let write = |text: &str| {
            let messages = values(&[Message::new(Role::User, text)], parts);
            self.write(messages, true, false)
        };
        Some(write("one").ok()? != write("two").ok()?)
    }

    /// Renders the messages up to the start of the assistant's answer.
    pub(crate) fn prompt(&self, messages: &[Message]) -> Result<String, TuningError> {
        self.render(messages, true, false)
    }

    /// Renders a whole conversation, and says what of it the model says; with `place`, where the answer's
    /// own text is, too.
    pub(crate) fn conversation(
        &self,
        messages: &[Message],
        place: bool,
    ) -> Result<Written, TuningError> {
        let Some((answer, before)) = messages.split_last() else {
            return Err(self.refuse("a conversation without messages"));
        };
        let text = self.render(messages, false, false)?;
        let learned = match self.marks {
            true => self.marked(messages, before, &text)?,
            false => std::iter::once(self.difference(before, &text)?).collect(),
        };
        let answer = match place {
            true => self.place(before, answer, &text, &learned),
            false => None,
        };
        Ok(Written {
            text,
            learned,
            answer,
        })
    }

    /// Ranges of the last message that the template marks with `{% generation %}`.
    fn marked(
        &self,
        messages: &[Message],
        before: &[Message],
        text: &str,
    ) -> Result<Vec<Range<usize>>, TuningError> {
        let (plain, ranges) = unmarked(&self.render(messages, false, true)?);
        if plain != text {
            return Err(
                self.refuse("changes its text where it marks answers; use another template")
            );
        }
        // Earlier answers are marked as well.
        let earlier = self.render(before, false, true);
        let earlier = earlier.map_or(0, |text| unmarked(&text).1.len());
        let ranges: Vec<_> = ranges.into_iter().skip(earlier).collect();
        if ranges.iter().all(Range::is_empty) {
            return Err(self.refuse("marks nothing of the last answer as generated"));
        }
        Ok(ranges)
    }

    /// Text that the whole has behind the text of the earlier messages and the start of an answer.
    fn difference(&self, before: &[Message], text: &str) -> Result<Range<usize>, TuningError> {
        let prompt = self.prompt(before)?;
        if text.starts_with(&prompt) && text.len() > prompt.len() {
            return Ok(prompt.len()..text.len());
        }
        // Some write another start where an answer is asked for: a thought that is begun, say.
        let plain = self.render(before, false, false).unwrap_or_default();
        if plain.is_empty() || !text.starts_with(&plain) {
            // As Mistral's of 2024, which transformers renders without it.
            let lost = |it: &Message| {
                let own = it.content.trim();
                it.role == Role::System && prompt.contains(own) && !text.contains(own)
            };
            if before.iter().any(lost) {
                return Err(self.refuse(
                    "the system message is written where an answer is asked for, and left out of a finished \
                     conversation; put it into the first question, or use another template",
                ));
            }
            return Err(self.refuse(
                "the text of a conversation does not begin with the text of its earlier messages, so \
                 the answer's part of it is not known; use another template",
            ));
        }
        let pairs = text.char_indices().zip(prompt.chars());
        let common = pairs.take_while(|((_, a), b)| a == b).last();
        let start = common.map_or(0, |((at, c), _)| at + c.len_utf8());
        Ok(start.max(plain.len())..text.len())
    }

    /// Range of the answer's own text: that which changes with it.
    fn place(
        &self,
        before: &[Message],
        answer: &Message,
        text: &str,
        learned: &[Range<usize>],
    ) -> Option<Range<usize>> {
        let mut messages = before.to_vec();
        messages.push(Message::new(answer.role, PLACE.to_string()));
        let other = self.render(&messages, false, false).ok();
        let around = other.as_deref().and_then(|text| text.split_once(PLACE));
        if let Some((head, tail)) = around
            && !tail.contains(PLACE)
            && text.len() >= head.len() + tail.len()
            && text.starts_with(head)
            && text.ends_with(tail)
        {
            return Some(head.len()..text.len() - tail.len());
        }
        let own = answer.content.trim();
        let found = |range: &Range<usize>| {
            let at = range.start + text.get(range.clone())?.find(own)?;
            Some(at..at + own.len())
        };
        learned.iter().find_map(found)
    }

    fn render(&self, messages: &[Message], asks: bool, marks: bool) -> Result<String, TuningError> {
        if self.deaf {
            return Err(
                self.refuse("writes the same text whatever a user says; use another template")
            );
        }
        if marks
            && messages
                .iter()
                .any(|it| it.content.contains([BEGINS, ENDS, PLACE]))
        {
            return Err(self.refuse("a message has a noncharacter of Unicode (U+FDD0 to U+FDD2)"));
        }
        self.write(values(messages, self.parts), asks, marks)
            .map_err(|error| self.refuse(format!("{error}")))
    }

    /// Renders what transformers' `apply_chat_template` takes, as JSON: `messages`, and where given
    /// `tools`, `documents`, `add_generation_prompt` and variables of the template's own.
    ///
    /// # Errors
    /// [`TuningError::Template`] for JSON that is broken and for what the template refuses.
    pub fn render_json(&self, input: &str) -> Result<String, TuningError> {
        let input: Value =
            serde_json::from_str(input).map_err(|error| self.refuse(error.to_string()))?;
        self.evaluate(input, false)
            .map_err(|error| self.refuse(format!("{error}")))
    }

    fn write(&self, messages: Value, asks: bool, marks: bool) -> Result<String, Error> {
        let input = context! { messages, add_generation_prompt => asks };
        self.evaluate(input, marks)
    }

    fn evaluate(&self, input: Value, marks: bool) -> Result<String, Error> {
        let variables = Value::from_pairs(self.variables.iter().cloned());
        let usual = context! {
            tools => (), documents => (), add_generation_prompt => false,
        };
        let mark = |mark: char| {
            Value::from(if marks {
                mark.to_string()
            } else {
                String::new()
            })
        };
        let marks = Value::from_pairs([(OPEN, mark(BEGINS)), (CLOSE, mark(ENDS))]);
        // `self` has the blocks of a template, of which chat templates have none.
        let own = Value::from_pairs([("self", context! {})]);
        // Of several the first that has a name counts.
        let all = context! { ..marks, ..input, ..variables, ..usual, ..own };
        self.environment.get_template("chat")?.render(all)
    }

    fn refuse(&self, problem: impl AsRef<str>) -> TuningError {
        TuningError::Template(format!("{}: {}", self.name, problem.as_ref()).into())
    }
}

/// Messages as templates see them.
fn values(messages: &[Message], parts: bool) -> Value {
    let value = |Message { role, content, .. }: &Message| match parts {
        false => context! { role => role.name(), content => content.as_str() },
        true => {
            let part = context! { type => "text", text => content.as_str() };
            context! { role => role.name(), content => vec![part] }
        }
    };
    messages.iter().map(value).collect()
}

/// Takes the marks out of a text; returns it with the ranges between them.
fn unmarked(text: &str) -> (String, Vec<Range<usize>>) {
    let mut plain = String::with_capacity(text.len());
    let mut ranges = Vec::new();
    let mut begun = None;
    for c in text.chars() {
        match (c, begun) {
            (BEGINS, _) => begun = Some(plain.len()),
            (ENDS, Some(start)) => {
                ranges.push(start..plain.len());
                begun = None;
            }
            (ENDS, None) => {}
            (c, _) => plain.push(c),
        }
    }
    (plain, ranges)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
