use serde_json::{Value, json};

use super::*;
use crate::data::Role;

fn row(value: Value) -> Row {
    value.as_object().cloned().unwrap_or_default()
}

fn problem(layout: Layout, value: Value) -> String {
    let fault = layout.read(&row(value)).unwrap_err();
    format!("{}: {}", fault.field, fault.problem)
}

#[test]
fn each_layout_is_recognised_and_read() {
    let turns = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]);
    let rows = [
        (
            Layout::Alpaca,
            json!({"instruction": "q", "input": "", "output": "a"}),
        ),
        (
            Layout::ShareGpt,
            json!({"id": "1", "conversations": [
                {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}),
        ),
        (Layout::Messages, json!({"messages": turns})),
        (
            Layout::Lmsys,
            json!({"conversation_id": "1", "conversation": turns}),
        ),
        (
            Layout::WildChat,
            json!({"conversation_hash": "1", "conversation": turns}),
        ),
        (Layout::Pairs, json!({"prompt": "q", "completion": "a"})),
    ];
    for (layout, value) in rows {
        let row = row(value);
        assert_eq!(Layout::detect(&row).unwrap(), layout);
        let conversation = layout.read(&row).unwrap().unwrap();
        let example = conversation.as_example().unwrap();
        assert_eq!(
            (example.prompt.as_str(), example.response.as_str()),
            ("q", "a")
        );
        assert_eq!(Layout::parse(layout.name()), Some(layout));
    }
    let fault = Layout::detect(&row(json!({"question": 1}))).unwrap_err();
    assert!(fault.problem.to_string().contains("question"), "{fault:?}");
    assert!(fault.problem.to_string().contains("sharegpt"), "{fault:?}");
}

/// One text is learned alike from every layout, blanks around it included.
#[test]
fn a_text_is_the_same_in_every_layout() {
    let (question, answer) = ("  q\n", " A\n");
    let turns = json!([{"role": "user", "content": question},
        {"role": "assistant", "content": answer}]);
    for value in [
        json!({"instruction": question, "output": answer}),
        json!({"instruction": question, "input": " ", "output": answer}),
        json!({"prompt": question, "response": answer}),
        json!({"messages": turns}),
        json!({"conversation": turns}),
        json!({"conversations": [{"from": "human", "value": question},
            {"from": "gpt", "value": answer}]}),
    ] {
        let row = row(value);
        let read = Layout::detect(&row).unwrap().read(&row).unwrap().unwrap();
        let example = read.as_example().unwrap();
        assert_eq!(
            (example.prompt.as_str(), example.response.as_str()),
            (question, answer)
        );
    }
    let blank = row(json!({"prompt": "q", "response": " \n"}));
    assert!(Layout::Pairs.read(&blank).unwrap().is_none());
}

#[test]
fn faults_name_the_field() {
    assert_eq!(
        problem(Layout::Alpaca, json!({"instruction": " ", "output": "a"})),
        "instruction: empty"
    );
    assert_eq!(
        problem(Layout::Alpaca, json!({"instruction": "q", "output": 3})),
        "output: a number, where a text is expected"
    );
    let message = |second: Value| json!({"messages": [{"role": "user", "content": "q"}, second]});
    assert_eq!(
        problem(Layout::Messages, message(json!({"content": "a"}))),
        "messages[1].role: missing"
    );
    let tool = problem(
        Layout::Messages,
        message(json!({"role": "tool", "content": "a"})),
    );
    assert!(tool.starts_with("messages[1].role: \"tool\""), "{tool}");
    let image = json!({"role": "assistant", "content": [{"type": "image_url", "image_url": {}}]});
    let image = problem(Layout::Messages, message(image));
    assert!(image.starts_with("messages[1].content[0]: "), "{image}");
    let late = json!({"role": "system", "content": "s"});
    assert!(problem(Layout::Messages, message(late)).starts_with("messages[1].role: a system"));
    assert_eq!(
        problem(Layout::ShareGpt, json!({"conversations": "x"})),
        "conversations: a text, where a list of messages is expected"
    );
}

#[test]
fn parts_are_joined_and_system_prompts_kept() {
    let value = json!({"messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": null}
    ]});
    let conversation = Layout::Messages.read(&row(value)).unwrap().unwrap();
    let roles: Vec<Role> = conversation.messages.iter().map(|m| m.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant]);
    assert_eq!(conversation.messages[1].content, "ab");
    let unanswered = json!({"messages": [{"role": "user", "content": "q"}]});
    assert!(Layout::Messages.read(&row(unanswered)).unwrap().is_none());
}

/// Fields that change what is learned: used, or refused by name in every layout that has them.
#[test]
fn no_field_that_changes_what_is_learned_is_passed_over() {
    let with = |field: &str, value: Value| {
        let mut answer = json!({"role": "assistant", "content": "a"});
        answer[field] = value;
        json!({"messages": [{"role": "user", "content": "q"}, answer]})
    };
    for (field, value) in [
        ("tool_calls", json!([{"function": {"name": "f"}}])),
        ("function_call", json!({"name": "f"})),
        ("reasoning_content", json!("because")),
        ("thinking", json!("because")),
        ("loss_scale", json!([0.5])),
        ("weight", json!(0.5)),
        ("loss", json!("yes")),
        ("refusal", json!("I will not.")),
    ] {
        let problem = problem(Layout::Messages, with(field, value));
        assert!(
            problem.starts_with(&format!("messages[1].{field}: ")),
            "{problem}"
        );
    }
    for blank in [json!(null), json!(""), json!([])] {
        for field in ["tool_calls", "reasoning_content", "refusal"] {
            let read = Layout::Messages.read(&row(with(field, blank.clone())));
            assert!(read.unwrap().is_some(), "{field} {blank}");
        }
    }
    for beside in [
        json!({"label": false}),
        json!({"kto_tag": "False"}),
        json!({"tools": [{"name": "f"}]}),
        json!({"documents": ["d"]}),
        json!({"chat_template_kwargs": {"enable_thinking": false}}),
        json!({"system": ["s"]}),
        json!({"history": [["q"]]}),
    ] {
        let (field, _) = beside.as_object().unwrap().iter().next().unwrap();
        for (layout, mut value) in [
            (Layout::Messages, with("weight", json!(1))),
            (Layout::Alpaca, json!({"instruction": "q", "output": "a"})),
            (Layout::Pairs, json!({"prompt": "q", "response": "a"})),
        ] {
            value[field] = beside[field].clone();
            let problem = problem(layout, value);
            assert!(problem.starts_with(field.as_str()), "{problem}");
        }
    }
    let class = json!({"prompt": "q", "response": "a", "label": 0, "tools": [], "system": ""});
    assert!(
        Layout::Pairs
            .read(&row(class))
            .unwrap()
            .unwrap()
            .as_example()
            .is_some()
    );
}

#[test]
fn answers_with_weight_0_are_context_alone() {
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let mut turns = [
        turn("user", "q"),
        turn("assistant", "a"),
        turn("user", "r"),
        turn("assistant", "b"),
    ];
    for (field, no) in [
        ("weight", json!(0)),
        ("weight", json!(0.0)),
        ("train", json!(false)),
        ("loss", json!(false)),
        ("training", json!(0)),
    ] {
        let mut turns = turns.clone();
        turns[1][field] = no.clone();
        let conversation = Layout::Messages
            .read(&row(json!({"messages": turns})))
            .unwrap()
            .unwrap();
        let learned: Vec<bool> = conversation.messages.iter().map(|m| m.learned).collect();
        assert_eq!(learned, [true, false, true, true]);
        assert_eq!(conversation.every_answer().len(), 1);
        // Behind the last answer that is learned there is nothing to learn.
        turns[3][field] = no;
        assert!(
            Layout::Messages
                .read(&row(json!({"messages": turns})))
                .unwrap()
                .is_none()
        );
    }
    // A weight is about answers alone, and a user's message is never learned.
    turns[0]["weight"] = json!(0);
    turns[2]["train"] = json!(false);
    let conversation = Layout::Messages
        .read(&row(json!({"messages": turns})))
        .unwrap()
        .unwrap();
    assert_eq!(conversation.every_answer().len(), 2);
    turns[2]["train"] = json!(true);
    assert!(
        problem(Layout::Messages, json!({"messages": turns}))
            .starts_with("messages[2].train: true")
    );
}

#[test]
fn system_history_and_refusals_are_learned_as_they_are_meant() {
    let texts = |layout: Layout, value: Value| -> Vec<(Role, String)> {
        let conversation = layout.read(&row(value)).unwrap().unwrap();
        conversation
            .messages
            .into_iter()
            .map(|m| (m.role, m.content))
            .collect()
    };
    let expected = |all: &[(Role, &str)]| -> Vec<(Role, String)> {
        all.iter()
            .map(|(role, text)| (*role, (*text).to_owned()))
            .collect()
    };
    use Role::{Assistant, System, User};
    let whole = expected(&[
        (System, "s"),
        (User, "p"),
        (Assistant, "o"),
        (User, "q"),
        (Assistant, "a"),
    ]);
    let alpaca = json!({"instruction": "q", "input": "", "output": "a", "system": "s",
                        "history": [["p", "o"]]});
    assert_eq!(texts(Layout::Alpaca, alpaca), whole);
    let pairs =
        json!({"prompt": "q", "completion": "a", "system_prompt": "s", "history": [["p", "o"]]});
    assert_eq!(texts(Layout::Pairs, pairs), whole);
    let sharegpt = json!({"system": "s", "conversations": [
        {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]});
    let short = expected(&[(System, "s"), (User, "q"), (Assistant, "a")]);
    assert_eq!(texts(Layout::ShareGpt, sharegpt), short);
    let refused = json!({"messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "refusal": "a"}]});
    assert_eq!(texts(Layout::Messages, refused), short[1..]);
    let parts = json!({"messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "a"}]}]});
    assert_eq!(texts(Layout::Messages, parts), short[1..]);
    let two = json!({"system": "t", "messages": [{"role": "system", "content": "s"},
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]});
    assert!(problem(Layout::Messages, two).starts_with("system: a second"));
}
