//! Texts that templates write.

use super::*;
use crate::model::template::{alpaca, chatml};

fn template(source: &str) -> Result<ChatTemplate, TuningError> {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
    ChatTemplate::new("chat_template.jinja", source, tokens, &Rendering::default())
}

fn render(source: &str, prompt: &str) -> Result<String, TuningError> {
    template(source)?.prompt(&[Message::new(Role::User, prompt)])
}

fn turns() -> [Message; 4] {
    [
        Message::new(Role::User, "q"),
        Message::new(Role::Assistant, "a"),
        Message::new(Role::User, "r"),
        Message::new(Role::Assistant, " b "),
    ]
}

/// The text with what is learned in brackets, and the answer's own text.
fn learned(source: &str) -> Result<(String, String), TuningError> {
    let Written {
        text,
        learned,
        answer,
    } = template(source)?.conversation(&turns(), true)?;
    let mut marked = text.clone();
    for range in learned.iter().rev() {
        marked.insert(range.end, ']');
        marked.insert(range.start, '[');
    }
    Ok((marked, text[answer.unwrap()].to_owned()))
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
    assert_eq!(
        template(source).unwrap().prompt(&messages).unwrap(),
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
fn the_last_answer_is_what_the_earlier_messages_do_not_write() {
    let plain = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>\n{% endfor %}\
                 {% if add_generation_prompt %}<assistant>{% endif %}";
    let (text, answer) = learned(plain).unwrap();
    assert!(
        text.ends_with("<user>r<end>\n<assistant>[ b <end>\n]"),
        "{text}"
    );
    assert_eq!(answer, " b ");
    // As Qwen3's: a thought stands before the last answer alone, and answers are trimmed.
    let thinks = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' and loop.last %}\
                  <think></think>{% endif %}{{ m.content | trim }}<end>{% endfor %}\
                  {% if add_generation_prompt %}<assistant>{% endif %}";
    let (text, answer) = learned(thinks).unwrap();
    assert_eq!(
        text,
        "<user>q<end><assistant>a<end><user>r<end><assistant>[<think></think>b<end>]"
    );
    assert_eq!(answer, "b");
    // As R1's: where an answer is asked for, a thought is begun that no finished answer has.
    let begins = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}\
                  {% if add_generation_prompt %}<assistant><think>{% endif %}";
    let (text, answer) = learned(begins).unwrap();
    assert_eq!(text, "<user>q<assistant>a<user>r<assistant>[ b ]");
    assert_eq!(answer, " b ");
}

#[test]
fn a_text_that_is_no_continuation_is_an_error_that_names_the_template() {
    let counts = "{{ messages|length }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let error = learned(counts).unwrap_err().to_string();
    assert!(error.contains("chat_template.jinja"), "{error}");
    assert!(error.contains("use another template"), "{error}");
}

/// As Mistral's of 2024: the system message stands before the last question, while nobody has answered it.
#[test]
fn a_system_message_that_a_finished_conversation_loses_is_named() {
    let source = "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}\
                  {% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}\
                  {{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}\
                  {% if loop.last and system is defined %}[INST] {{ system }}\n\n{{ m.content }}[/INST]\
                  {% else %}[INST] {{ m.content }}[/INST]{% endif %}{% else %} {{ m.content }}{{ eos_token }}\
                  {% endif %}{% endfor %}";
    let template = template(source).unwrap();
    let mut messages = vec![Message::new(Role::System, "Be brief.")];
    messages.extend(turns());
    let asked = template.prompt(&messages[..4]).unwrap();
    assert_eq!(
        asked,
        "<s>[INST] q[/INST] a</s>[INST] Be brief.\n\nr[/INST]"
    );
    let error = template.conversation(&messages, false).err().unwrap();
    let error = error.to_string();
    assert!(error.contains("the system message"), "{error}");
    assert!(error.contains("chat_template.jinja"), "{error}");
    let (text, _) = learned(source).unwrap();
    assert_eq!(text, "<s>[INST] q[/INST] a</s>[INST] r[/INST][  b </s>]");
}

#[test]
fn marks_of_the_template_s_own_say_what_is_learned() {
    let marks = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{%- generation %}\n\
                 {{ m.content }}<end>{% endgeneration -%} \n|{% else %}{{ m.content }}|{% endif %}\
                 {% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    let (text, answer) = learned(marks).unwrap();
    assert_eq!(
        text,
        "<user>q|<assistant>a<end>|<user>r|<assistant>[ b <end>]|"
    );
    assert_eq!(answer, " b ");
    let none = "{% for m in messages %}{{ m.content }}{% endfor %}{% if false %}{% generation %}\
                {% endgeneration %}{% endif %}";
    let error = learned(none).unwrap_err().to_string();
    assert!(error.contains("marks nothing"), "{error}");
    // A block has a scope of its own, as in transformers.
    let scope = "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ messages[0].content }}\
                 {% endgeneration %}{{ x }}";
    assert_eq!(render(scope, "hi").unwrap(), "hi1");
}

#[test]
fn variables_and_the_date_are_inputs() {
    let mut rendering = Rendering::default();
    for arg in ["enable_thinking=false", "name=a b", "n={\"x\": [1]}"] {
        let (name, value) = Rendering::arg(arg).unwrap();
        rendering.args.insert(name, value);
    }
    rendering.date = "2025-01-02".parse().unwrap();
    let source = "{{ enable_thinking is false }} {{ name }} {{ n.x[0] }} {{ strftime_now('%-d %B %Y') }} \
                  {{ tools }} {{ documents is none }} {{ messages[0].content }}";
    let template = ChatTemplate::new("t", source, [], &rendering).unwrap();
    let text = template.prompt(&[Message::new(Role::User, "hi")]).unwrap();
    assert_eq!(text, "True a b 1 2 January 2025 None True hi");
    for bad in ["x", "messages=1", "a-b=1", "=1", "1a=2"] {
        assert!(Rendering::arg(bad).is_err(), "{bad}");
    }
}

#[test]
fn generators_and_none_are_what_they_are_in_jinja2() {
    let refused = [
        "{% for a in none %}{% endfor %}",
        "{{ messages|map(attribute='role')|tojson }}",
        "{{ messages|selectattr('role', 'equalto', 'x')|length }}",
    ];
    for source in refused {
        assert!(
            render(&format!("{{{{ messages[0].content }}}}{source}"), "hi").is_err(),
            "{source}"
        );
    }
    let source = "{{ messages|map(attribute='content')|list|tojson }}{{ self.nothing }}\
                  {% if messages|selectattr('role', 'equalto', 'x') %} true{% endif %}\
                  {% for a in nothing %}{% endfor %}{% for a in messages|map(attribute='role') %} {{ a }}\
                  {% endfor %}";
    assert_eq!(render(source, "hi").unwrap(), "[\"hi\"] true user");
}

#[test]
fn json_keeps_the_order_of_its_keys() {
    let source =
        "{{ messages[0] }}{{ tools|tojson }}{% for k, v in tools[0].items() %}{{ k }}{% endfor %}";
    let input = r#"{"messages": [{"role": "user", "content": "it's", "x": [true, null, 1.0]}],
        "tools": [{"z": 1, "items": 2, "a": "é"}]}"#;
    // Written by transformers.
    assert_eq!(
        template(source).unwrap().render_json(input).unwrap(),
        "{'role': 'user', 'content': \"it's\", 'x': [True, None, 1.0]}\
         [{\"z\": 1, \"items\": 2, \"a\": \"é\"}]zitemsa"
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
    assert!(template(wants).is_ok());
}

#[test]
fn hostile_templates_are_errors() {
    let error = render("{% for", "x").unwrap_err().to_string();
    assert!(error.contains("chat_template.jinja"), "{error}");
    let error = render("{{ raise_exception('no way') }}", "x")
        .unwrap_err()
        .to_string();
    assert!(error.contains("no way"), "{error}");
    let endless = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}";
    assert!(render(endless, "x").is_err());
    let marks = template("{% generation %}{{ messages[0].content }}{% endgeneration %}").unwrap();
    let strange = [
        Message::new(Role::User, "\u{fdd0}"),
        Message::new(Role::Assistant, "a"),
    ];
    assert!(marks.conversation(&strange, true).is_err());
}
