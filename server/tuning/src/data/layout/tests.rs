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
    let weight = json!({"role": "assistant", "content": "a", "weight": 0});
    assert!(problem(Layout::Messages, message(weight)).starts_with("messages[1].weight"));
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
