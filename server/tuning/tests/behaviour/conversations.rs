//! Whole conversations in templates of several kinds, as transformers renders and encodes them.
//! `tests/fixtures/conversations.py` made the reference.

use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    template: String,
    eos: String,
    /// A `tokenizer.json`; none for tiny-llama's own.
    tokenizer: Option<Value>,
    messages: Vec<(Role, String)>,
    ids: Vec<u32>,
    learned: Vec<usize>,
    answer: Vec<usize>,
    logprob: f64,
    loss: f64,
}

impl Case {
    fn conversation(&self) -> Conversation {
        let messages = self.messages.iter();
        Conversation {
            messages: messages
                .map(|(role, text)| Message::new(*role, text))
                .collect(),
        }
    }
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn cases() -> BTreeMap<String, Case> {
    let text = std::fs::read(fixtures().join("conversations.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A folder with tiny-llama's weights, and a template of another kind.
fn folder(template: Option<&str>, tokenizer: Option<&Value>, eos: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(
            fixtures().join("tiny-llama").join(name),
            folder.path().join(name),
        )
        .unwrap();
    }
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "tokenizer_config.json",
        json!({ "eos_token": eos }).to_string(),
    );
    if let Some(tokenizer) = tokenizer {
        write("tokenizer.json", tokenizer.to_string());
    }
    if let Some(template) = template {
        write("chat_template.jinja", template.to_owned());
    }
    folder
}

fn load(case: &Case) -> Model {
    let folder = folder(Some(&case.template), case.tokenizer.as_ref(), &case.eos);
    Model::load(folder.path(), &ModelOptions::default()).unwrap()
}

#[test]
fn conversations_have_the_tokens_that_transformers_gives_them() {
    for (name, case) in cases() {
        let model = load(&case);
        let tokens = model
            .encode_conversation(&case.conversation(), 512, 512)
            .unwrap();
        assert_eq!(tokens.ids, case.ids, "{name}");
        let learned: Vec<usize> = (tokens.response_start..tokens.ids.len()).collect();
        assert_eq!(learned, case.learned, "{name}");
        assert!(tokens.gaps.is_empty() && !tokens.cut.is_any(), "{name}");
        // A text that is generated ends where a turn does.
        assert!(model.eos().contains(case.ids.last().unwrap()), "{name}");
    }
}

#[test]
fn scores_and_losses_are_those_of_the_whole_text() {
    for (name, case) in cases() {
        let model = load(&case);
        let conversation = case.conversation();
        let score =
            score_conversations(&model, None, std::slice::from_ref(&conversation)).unwrap()[0];
        assert_eq!(score.tokens, case.answer.len(), "{name}");
        let close = |ours: f64, real: f64| (ours - real).abs() < 1e-5 * real.abs();
        assert!(
            close(score.logprob_sum, case.logprob),
            "{name}: {} {}",
            score.logprob_sum,
            case.logprob
        );
        let config = TrainConfig {
            steps: 1,
            batch_size: 1,
            learning_rate: 0.0,
            ..TrainConfig::default()
        };
        let start = Adapter::init(&AdapterConfig::default(), model.config(), 1).unwrap();
        let examples = [conversation];
        let trained = Trainer::new(&model, &start, &examples, &config)
            .and_then(|trainer| trainer.run_while(&mut || ControlFlow::Continue(())));
        let loss = f64::from(trained.unwrap().losses[0]);
        assert!(close(loss, case.loss), "{name}: {loss} {}", case.loss);
    }
}

#[test]
fn a_folder_without_a_template_names_the_option() {
    let folder = folder(None, None, "<|im_end|>");
    let load = |template: Template| {
        let options = ModelOptions {
            template,
            ..ModelOptions::default()
        };
        Model::load(folder.path(), &options).unwrap()
    };
    let error = load(Template::Model)
        .encode_prompt("x")
        .unwrap_err()
        .to_string();
    assert!(error.contains("--template chatml"), "{error}");
    assert!(load(Template::ChatMl).encode_prompt("x").is_ok());
    assert!(load(Template::Alpaca).encode_prompt("x").is_ok());
}

#[test]
fn a_template_that_is_not_used_is_not_compiled() {
    let folder = folder(Some("{% broken"), None, "<|im_end|>");
    let load = |template: Template| {
        let options = ModelOptions {
            template,
            ..ModelOptions::default()
        };
        Model::load(folder.path(), &options)
    };
    let error = load(Template::Model).unwrap_err().to_string();
    assert!(error.contains("chat template"), "{error}");
    assert!(load(Template::ChatMl).is_ok());
}

#[test]
fn variables_of_the_template_change_the_text() {
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if quiet is defined %} quiet\
                    {% endif %}{{ strftime_now(' %Y') }}";
    let folder = folder(Some(template), None, "<|im_end|>");
    let prompt = |rendering: Rendering| {
        let options = ModelOptions {
            rendering,
            ..ModelOptions::default()
        };
        let model = Model::load(folder.path(), &options).unwrap();
        let ids = model.encode_prompt("the cat").unwrap();
        model.tokenizer().decode(&ids).unwrap()
    };
    assert_eq!(prompt(Rendering::default()), "the cat 2024");
    let given = Rendering {
        args: [Rendering::arg("quiet=true").unwrap()].into(),
        date: "1999-12-31".parse().unwrap(),
    };
    assert_eq!(prompt(given.clone()), "the cat quiet 1999");
    // Another text takes no variables.
    let options = ModelOptions {
        template: Template::ChatMl,
        rendering: given,
        ..ModelOptions::default()
    };
    let error = Model::load(folder.path(), &options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("(quiet)"), "{error}");
}

/// Numbers of tokens are those of the text that is scored, where an answer alone has others.
#[test]
fn counted_tokens_are_those_of_the_whole_text() {
    let mut others = 0;
    for (name, case) in cases() {
        let [(Role::User, prompt), (Role::Assistant, answer)] = case.messages.as_slice() else {
            continue;
        };
        let model = load(&case);
        let tokens = model.scored_tokens(prompt, answer).unwrap();
        assert_eq!(tokens, case.answer.last().unwrap() + 1, "{name}");
        let apart = model.tokenizer().encode(answer, false).unwrap().len();
        others += usize::from(model.encode_prompt(prompt).unwrap().len() + apart != tokens);
    }
    assert!(others > 0);
}

#[test]
fn an_answer_that_the_template_does_not_write_is_not_scored() {
    let template = "{% for m in messages %}{{ m.role }} {% if m.role == 'user' %}{{ m.content }}\
                    {% else %}{{ m.content | length }}{% endif %}\n{% endfor %}\
                    {% if add_generation_prompt %}assistant {% endif %}";
    let folder = folder(Some(template), None, "<|im_end|>");
    let model = Model::load(folder.path(), &ModelOptions::default()).unwrap();
    let error = model.scored_tokens("the cat", "sat").unwrap_err();
    let error = error.to_string();
    assert!(error.contains("as it is given"), "{error}");
}

/// Runs of before were made with prompt and answer encoded apart, and are executed again so.
#[test]
fn answers_apart_are_as_they_were() {
    for (name, case) in cases() {
        let folder = folder(Some(&case.template), case.tokenizer.as_ref(), &case.eos);
        let load = |joining: Joining| {
            let options = ModelOptions {
                joining,
                ..ModelOptions::default()
            };
            Model::load(folder.path(), &options).unwrap()
        };
        let (whole, apart) = (load(Joining::Whole), load(Joining::Apart));
        let conversation = case.conversation();
        let encode = |model: &Model| model.encode_conversation(&conversation, 512, 512).unwrap();
        let (prompt, answer) = conversation.split().unwrap();
        let mut ids = apart.encode_messages(prompt).unwrap();
        let start = ids.len();
        ids.extend(apart.tokenizer().encode(answer, false).unwrap());
        let end = if name == "the end of a turn" {
            0
        } else {
            *case.ids.last().unwrap()
        };
        ids.push(end);
        let tokens = encode(&apart);
        assert_eq!((tokens.ids, tokens.response_start), (ids, start), "{name}");
        // In plain ChatML both are the same.
        if ["one turn", "several turns", "marked"].contains(&name.as_str()) {
            assert_eq!(encode(&whole), encode(&apart), "{name}");
        }
    }
}
