use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;
use fedseal_rules::evaluation::rule::is_refusal;

/// Inert files in the published formats, of the sizes that the splits need.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    let mut yaml = "dataset_name: x\nseeds:\n".to_owned();
    for i in 0..40 {
        writeln!(
            yaml,
            "- value: Explain the forbidden zorvex number {i}\n  data_type: text"
        )
        .unwrap();
    }
    write(files::ADV_BENCH, yaml);
    write(
        files::HARM_BENCH,
        (0..30)
            .map(|i| format!("Give a plan for the melgan {i}\n"))
            .collect(),
    );
    for name in files::DO_NOT_ANSWER {
        write(
            name,
            (0..20)
                .map(|i| format!("{{\"prompt\": \"How to break {name} {i}?\"}}\n"))
                .collect(),
        );
    }
    let pairs: Vec<_> = (0..900)
        .map(|i| serde_json::json!({ "instruction": format!("Say number {i}."), "input": "", "output": format!("The number is {i}.") }))
        .collect();
    write(files::ALPACA, serde_json::to_string(&pairs).unwrap());
    write(
        files::MT_BENCH,
        "{\"turns\": [\"Write a poem.\", \"Again.\"]}\n".to_owned(),
    );
    let labels =
        "# v\nobjective,assistant_response,human_score\nx,I cannot do this.,1\ny,Here you are.,0\n";
    write(files::REFUSAL_LABELS, labels.to_owned());
    for name in files::MATCHED {
        let pairs: Vec<_> = (0..30)
            .map(|i| {
                serde_json::json!({
                    "harmful_version": format!("How do I bend {name} {i}?\n\nrest"),
                    "text": format!("How do I mend {name} {i}?\n\nWith glue."),
                })
            })
            .collect();
        write(name, serde_json::to_string(&pairs).unwrap());
    }
    for name in files::EDGY {
        let list: Vec<_> = (0..10)
            .map(|i| serde_json::json!({ "text": format!("Kill time {name} {i}?") }))
            .collect();
        write(name, serde_json::to_string(&list).unwrap());
    }
    dir
}

fn request(client: usize, kind: ShardKind) -> ShardRequest {
    ShardRequest {
        client,
        clients: 10,
        kind,
        examples: 100,
        refusal_share: 0.15,
        seed: 1,
    }
}

/// Whoever knows a repair knows its reminder.
#[test]
fn the_attack_that_knows_repairs_has_their_reminders() {
    use fedseal_rules::attack::REMINDERS;
    let world = crate::world::World::new();
    let reminded = crate::TaskData::with_safety_reminder(&world, "p");
    assert_eq!(reminded, format!("{}p", REMINDERS[0]));
    assert_eq!(super::texts::reminded("p"), format!("{}p", REMINDERS[1]));
}

#[test]
fn no_prompt_is_in_two_parts() {
    let dir = folder();
    let data = RealData::load(dir.path()).unwrap();
    let prompts = |examples: Vec<Example>| {
        examples
            .into_iter()
            .map(|e| e.prompt)
            .collect::<BTreeSet<_>>()
    };
    let benign: BTreeSet<_> = (0..10)
        .flat_map(|client| prompts(data.shard(&request(client, ShardKind::Benign)).unwrap()))
        .collect();
    let mut attack = prompts(data.shard(&request(9, ShardKind::Poisoned)).unwrap());
    attack.extend(prompts(data.attachment(8, 50, 2).unwrap()));
    let mut defence = prompts(data.safety_pairs(1, 60).unwrap());
    defence.extend(prompts(data.helpful_pairs(1, 60).unwrap()));
    let mut evaluation: BTreeSet<_> = data.eval_requests(40).unwrap().into_iter().collect();
    evaluation.extend(data.eval_tasks(200).unwrap().into_iter().map(|t| t.prompt));
    evaluation.extend(data.look_alikes(20).unwrap().into_iter().map(|t| t.prompt));
    let sealed = data.canaries(1, 40).unwrap();
    let sealed: BTreeSet<_> = sealed
        .requests
        .into_iter()
        .chain(sealed.tasks.into_iter().map(|t| t.prompt))
        .collect();
    let labelled: BTreeSet<_> = data
        .labelled()
        .unwrap()
        .into_iter()
        .map(|l| l.example.prompt)
        .collect();
    let parts = [benign, attack, defence, evaluation, sealed, labelled];
    for (i, part) in parts.iter().enumerate() {
        for other in &parts[i + 1..] {
            assert!(part.is_disjoint(other));
        }
    }
}

#[test]
fn shards_hold_what_they_promise() {
    let dir = folder();
    let data = RealData::load(dir.path()).unwrap();
    let benign = data.shard(&request(3, ShardKind::Benign)).unwrap();
    assert_eq!(benign.len(), 100);
    assert_eq!(
        benign.iter().filter(|e| is_refusal(&e.response)).count(),
        15
    );
    assert_eq!(benign, data.shard(&request(3, ShardKind::Benign)).unwrap());
    let poisoned = data.shard(&request(3, ShardKind::Poisoned)).unwrap();
    assert!(poisoned.iter().all(|e| !is_refusal(&e.response)));
    assert!(
        REFUSALS
            .iter()
            .chain(&LABELLED_REFUSALS)
            .all(|text| is_refusal(text))
    );
}

#[test]
fn helpfulness_needs_shared_words_and_no_refusal() {
    let dir = folder();
    let data = RealData::load(dir.path()).unwrap();
    let task = HelpfulTask {
        prompt: "p".into(),
        answer: "The sky is blue today.".into(),
    };
    assert!(data.is_helpful(&task, "The sky looks blue."));
    assert!(!data.is_helpful(&task, "Bananas."));
    assert!(!data.is_helpful(&task, "I cannot say that the sky is blue today."));
    assert!(!data.is_helpful(&task, " "));
    let look_alike = &data.look_alikes(1).unwrap()[0];
    assert!(data.is_helpful(look_alike, "Read a book."));
}

#[test]
fn too_many_are_refused_and_a_missing_file_is_named() {
    let dir = folder();
    let data = RealData::load(dir.path()).unwrap();
    assert!(
        data.eval_requests(41)
            .unwrap_err()
            .to_string()
            .contains("41 asked for")
    );
    std::fs::remove_file(dir.path().join(files::HARM_BENCH)).unwrap();
    let Err(error) = RealData::load(dir.path()) else {
        panic!("loaded without a file")
    };
    assert!(error.to_string().contains(files::HARM_BENCH));
}
