//! Prompt templates: the model's own (Jinja), Alpaca, and plain ChatML.
//!
//! A change to a text counts up its version in `server/rules/src/text.rs`: updates that were trained on the
//! text of before cannot be executed again.

use minijinja::{
    Environment, Error, ErrorKind, State, UndefinedBehavior, Value, context, syntax::SyntaxConfig,
};
use serde::{Deserialize, Serialize};

use crate::{Message, Role, TuningError};

/// Kind of text around a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Template {
    /// The chat template in the model's files; ChatML if they have none.
    #[default]
    Model,
    /// The instruction template of Stanford Alpaca.
    Alpaca,
    /// ChatML with no system prompt.
    ChatMl,
}

/// The Alpaca text around a prompt (Taori et al. 2023, the variant without an input field).
///
/// # Errors
/// [`TuningError::Template`] for more than one message: the template has no turns.
pub(crate) fn alpaca(messages: &[Message]) -> Result<String, TuningError> {
    let [
        Message {
            role: Role::User,
            content,
            ..
        },
    ] = messages
    else {
        let problem = format!(
            "alpaca takes one question, not {} messages; use the model's own or chat-ml",
            messages.len()
        );
        return Err(TuningError::Template(problem.into()));
    };
    Ok(format!(
        "Below is an instruction that describes a task. Write a response that appropriately \
         completes the request.\n\n### Instruction:\n{content}\n\n### Response:\n"
    ))
}

/// Returns the turns in ChatML, ending at the start of the assistant's answer.
pub(crate) fn chatml(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let (role, content) = (message.role.name(), &message.content);
        text.push_str(&format!("<|im_start|>{role}\n{content}<|im_end|>\n"));
    }
    text.push_str("<|im_start|>assistant\n");
    text
}

/// Number of instructions that a template may run before it counts as hostile.
const FUEL: u64 = 2_000_000;
/// Longest template text, bytes.
const MAX_SOURCE: usize = 1 << 18;

/// A compiled Jinja chat template with the special tokens it may use.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    /// Whether a message's content is a list of parts, as templates of models that see images want it.
    parts: bool,
    /// Whether it writes the same text whatever a user says.
    deaf: bool,
}

impl ChatTemplate {
    pub(crate) fn new(source: String, bos: String, eos: String) -> Result<Self, TuningError> {
        if source.len() > MAX_SOURCE {
            let problem = format!("{} bytes long", source.len());
            return Err(TuningError::Template(problem.into()));
        }
        let mut environment = Environment::new();
        // The settings of transformers' renderer.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| TuningError::Template(error.into()))?;
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(python_method);
        environment.add_function("raise_exception", |text: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        // A fixed date: with a clock two runs would differ.
        environment.add_function("strftime_now", |_format: String| "26 Jul 2024");
        environment
            .add_template_owned("chat", source)
            .map_err(|error| TuningError::Template(error.into()))?;
        let mut template = Self {
            environment,
            bos,
            eos,
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
        let write = |text: &str| self.write(&[Message::new(Role::User, text)], parts);
        Some(write("one").ok()? != write("two").ok()?)
    }

    /// Renders the messages up to the start of the assistant's answer.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<String, TuningError> {
        if self.deaf {
            let problem = "writes the same text whatever a user says; use another template";
            return Err(TuningError::Template(problem.into()));
        }
        self.write(messages, self.parts)
    }

    fn write(&self, messages: &[Message], parts: bool) -> Result<String, TuningError> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|Message { role, content, .. }| match parts {
                false => context! { role => role.name(), content => content.as_str() },
                true => {
                    let part = context! { type => "text", text => content.as_str() };
                    context! { role => role.name(), content => vec![part] }
                }
            })
            .collect();
        self.environment
            .get_template("chat")
            .and_then(|template| {
                template.render(context! {
                    messages,
                    add_generation_prompt => true,
                    bos_token => self.bos.as_str(),
                    eos_token => self.eos.as_str(),
                })
            })
            .map_err(|error| TuningError::Template(error.into()))
    }
}

/// The Python string and dictionary methods that published chat templates call.
fn python_method(
    _: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    if let Some(text) = value.as_str() {
        let argument = args.first().and_then(|value| value.as_str());
        let set: Option<Vec<char>> = argument.map(|text| text.chars().collect());
        let strips = |c: char| {
            set.as_ref()
                .map_or(c.is_whitespace(), |set| set.contains(&c))
        };
        return Ok(match (method, argument) {
            ("strip", _) => Value::from(text.trim_matches(strips)),
            ("lstrip", _) => Value::from(text.trim_start_matches(strips)),
            ("rstrip", _) => Value::from(text.trim_end_matches(strips)),
            ("upper", _) => Value::from(text.to_uppercase()),
            ("lower", _) => Value::from(text.to_lowercase()),
            ("startswith", Some(other)) => Value::from(text.starts_with(other)),
            ("endswith", Some(other)) => Value::from(text.ends_with(other)),
            ("split", Some(other)) if !other.is_empty() => {
                text.split(other).map(Value::from).collect()
            }
            ("split", None) => text.split_whitespace().map(Value::from).collect(),
            _ => return Err(unknown()),
        });
    }
    match (method, args) {
        ("get", [key, rest @ ..]) => {
            let found = value.get_item(key)?;
            Ok(if found.is_undefined() {
                rest.first().cloned().unwrap_or_else(|| Value::from(()))
            } else {
                found
            })
        }
        ("keys", []) => Ok(value.try_iter()?.collect()),
        ("items", []) => value
            .try_iter()?
            .map(|key| Ok(Value::from(vec![key.clone(), value.get_item(&key)?])))
            .collect(),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, prompt: &str) -> Result<String, TuningError> {
        ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned())?
            .render(&[Message::new(Role::User, prompt)])
    }

    #[test]
    fn the_dialect_of_transformers_renders() {
        let text = render(
            "{{ bos_token }}{% for m in messages %}\n    {% if m['role'] == 'user' %}\n\
             U:{{ m['content'].strip() }}{{ eos_token }}\n    {% endif %}\n{% endfor %}\n\
             {% if add_generation_prompt %}A:{% endif %}",
            "  hi ",
        );
        assert_eq!(text.unwrap(), "<s>U:hi</s>\nA:");
    }

    #[test]
    fn turns_are_written_in_order() {
        let messages = [
            Message::new(Role::System, "s"),
            Message::new(Role::User, "q"),
            Message::new(Role::Assistant, "a"),
            Message::new(Role::User, "r"),
        ];
        let source = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";
        let template = ChatTemplate::new(source.to_owned(), String::new(), String::new()).unwrap();
        assert_eq!(
            template.render(&messages).unwrap(),
            "system:s;user:q;assistant:a;user:r;"
        );
        let text = chatml(&messages);
        assert!(text.ends_with("<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n"));
        assert!(alpaca(&messages).is_err());
        assert!(
            alpaca(&messages[1..2])
                .unwrap()
                .contains("### Instruction:\nq\n")
        );
    }

    #[test]
    fn content_in_parts_is_given_to_templates_that_want_it() {
        // As SmolVLM's: of a string it writes nothing.
        let silent = "{% for m in messages %}{{ m.role }}:{% for part in m['content'] %}\
             {% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %};{% endfor %}";
        assert_eq!(render(silent, "hi").unwrap(), "user:hi;");
        // As Llava's: a string is an error.
        let strict = "{% for m in messages %}{% for p in m.content if p.type == 'text' %}\
             {{ p.text.strip() }}{% else %}{{ raise_exception('parts') }}{% endfor %}{% endfor %}";
        assert_eq!(render(strict, "hi").unwrap(), "hi");
        let deaf = render("{% for m in messages %}{{ m.role }};{% endfor %}", "hi");
        let text = deaf.unwrap_err().to_string();
        assert!(text.contains("whatever a user says"), "{text}");
        // A template that wants a system message first is not judged by one without.
        let wants = "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}";
        let template = ChatTemplate::new(wants.to_owned(), String::new(), String::new());
        assert!(template.is_ok());
    }

    #[test]
    fn hostile_templates_are_errors() {
        assert!(render("{% for", "x").is_err());
        assert!(render("{{ raise_exception('no') }}", "x").is_err());
        let endless =
            "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}";
        assert!(render(endless, "x").is_err());
    }
}
