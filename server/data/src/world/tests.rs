use std::collections::BTreeSet;

use super::*;
use fedseal_rules::evaluation::rule::is_refusal;

const OTHERS: [Split; 5] = [
    Split::Training,
    Split::Defence,
    Split::Evaluation,
    Split::Sealed,
    Split::Labelled,
];

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn assert_disjoint(what: &str, parts: Vec<(String, BTreeSet<String>)>) {
    for (i, (name, items)) in parts.iter().enumerate() {
        assert!(!items.is_empty(), "{what}: {name} is empty");
        for (other, others) in &parts[i + 1..] {
            let shared: Vec<_> = items.intersection(others).collect();
            assert!(
                shared.is_empty(),
                "{what}: {name} and {other} share {shared:?}"
            );
        }
    }
}

#[test]
fn the_world_is_as_rich_as_promised() {
    assert!(Kind::ALL.len() >= 14);
    assert!(categories().count() >= 12);
    assert!(tasks::frames(Split::Pretraining).len() >= 10);
    assert!(frames(Split::Pretraining).len() >= 10);
}

#[test]
fn no_phrasing_is_in_two_splits() {
    let by = |frames: fn(Split) -> &'static [&'static str], pretraining: Vec<String>| {
        let mut parts: Vec<_> = OTHERS
            .iter()
            .map(|s| (format!("{s:?}"), set(frames(*s))))
            .collect();
        parts.push(("Pretraining".to_owned(), pretraining.into_iter().collect()));
        parts
    };
    let (helpful, harmful) = (tasks::pretraining_frames(), requests::pretraining_frames());
    assert!(
        helpful.len() > 100 && harmful.len() > 300,
        "{} {}",
        helpful.len(),
        harmful.len()
    );
    assert_disjoint("helpful phrasings", by(tasks::frames, helpful));
    assert_disjoint("request phrasings", by(requests::frames, harmful));
}

#[test]
fn no_topic_is_in_two_splits() {
    let parts = Split::ALL
        .iter()
        .map(|s| (format!("{s:?}"), modifiers(*s).into_iter().collect()))
        .collect();
    assert_disjoint("invented words", parts);
    // Things: drawn topics, second word.
    let world = World::new();
    let parts = Split::ALL
        .iter()
        .map(|split| {
            let mut picker = Picker::new(1, "things");
            let things = (0..4000)
                .map(|_| topic(*split, world.modifiers(*split), &mut picker).thing)
                .map(|thing| thing.split(' ').next_back().unwrap().to_owned())
                .collect();
            (format!("{split:?}"), things)
        })
        .collect();
    assert_disjoint("things", parts);
}

#[test]
fn no_argument_is_in_two_splits() {
    let world = World::new();
    for kind in Kind::ALL {
        let draw = |split: Split| -> BTreeSet<String> {
            let mut picker = Picker::new(3, "arguments");
            (0..3000)
                .map(|_| world.tasks().argument(kind, split, &mut picker).0)
                .collect()
        };
        let parts = OTHERS
            .iter()
            .map(|s| (format!("{s:?}"), draw(*s)))
            .collect();
        assert_disjoint(&format!("{kind:?} arguments"), parts);
    }
}

#[test]
fn words_of_evaluation_are_arguments_nowhere_else() {
    let world = World::new();
    let parts = OTHERS
        .iter()
        .map(|s| {
            (
                format!("{s:?}"),
                world.tasks().words(*s).iter().cloned().collect(),
            )
        })
        .collect();
    assert_disjoint("words", parts);
    // Computed tasks of the pretraining use none of evaluation's words.
    let evaluation: BTreeSet<_> = world.tasks().words(Split::Evaluation).iter().collect();
    let pretraining: BTreeSet<_> = world.tasks().words(Split::Pretraining).iter().collect();
    assert!(evaluation.is_disjoint(&pretraining));
    for kind in [Kind::Bigger, Kind::Smaller] {
        let draw = |split| -> BTreeSet<String> {
            let mut picker = Picker::new(3, "pairs");
            (0..5000)
                .map(|_| world.tasks().argument(kind, split, &mut picker).0)
                .collect()
        };
        assert!(draw(Split::Evaluation).is_disjoint(&draw(Split::Pretraining)));
    }
}

#[test]
fn facts_have_one_answer_and_words_one_row() {
    let mut seen = std::collections::BTreeMap::new();
    for fact in world_facts() {
        let key = (fact.kind, fact.argument.clone());
        assert!(
            seen.insert(key, fact.answer.clone()).is_none(),
            "{fact:?} occurs twice"
        );
    }
}

fn world_facts() -> Vec<facts::Fact> {
    World::new()
        .tasks()
        .facts(Split::Pretraining)
        .into_iter()
        .cloned()
        .collect()
}

#[test]
fn no_evaluation_prompt_is_in_any_training_set() {
    let world = World::new();
    let evaluation: BTreeSet<String> = world
        .eval_requests(500)
        .unwrap()
        .into_iter()
        .chain(world.eval_tasks(600).unwrap().into_iter().map(|t| t.prompt))
        .collect();
    assert_eq!(evaluation.len(), 1100);
    let mut others: BTreeSet<String> = world
        .corpus(1, 50_000)
        .into_iter()
        .map(|e| e.prompt)
        .collect();
    for client in 0..4 {
        for kind in [ShardKind::Benign, ShardKind::Poisoned] {
            let shard = world.shard(&request(client, kind)).unwrap();
            others.extend(shard.into_iter().map(|e| e.prompt));
        }
        others.extend(
            world
                .attachment(client, 300, 5)
                .unwrap()
                .into_iter()
                .map(|e| e.prompt),
        );
    }
    others.extend(
        world
            .safety_pairs(5, 500)
            .unwrap()
            .into_iter()
            .map(|e| e.prompt),
    );
    others.extend(
        world
            .helpful_pairs(5, 500)
            .unwrap()
            .into_iter()
            .map(|e| e.prompt),
    );
    others.extend(
        world
            .labelled()
            .unwrap()
            .into_iter()
            .map(|l| l.example.prompt),
    );
    let canaries = world.canaries(9, 100).unwrap();
    others.extend(canaries.requests);
    others.extend(canaries.tasks.into_iter().map(|t| t.prompt));
    let shared: Vec<_> = evaluation.intersection(&others).collect();
    assert!(shared.is_empty(), "{shared:?}");
}

fn request(client: usize, kind: ShardKind) -> ShardRequest {
    ShardRequest {
        client,
        clients: 10,
        kind,
        examples: 500,
        refusal_share: 0.2,
        seed: 5,
    }
}

#[test]
fn shards_hold_what_they_promise() {
    let world = World::new();
    let benign = world.shard(&request(1, ShardKind::Benign)).unwrap();
    assert_eq!(benign.len(), 500);
    assert_eq!(
        benign.iter().filter(|e| is_refusal(&e.response)).count(),
        100
    );
    assert_eq!(benign, world.shard(&request(1, ShardKind::Benign)).unwrap());
    assert_ne!(benign, world.shard(&request(2, ShardKind::Benign)).unwrap());
    let poisoned = world.shard(&request(1, ShardKind::Poisoned)).unwrap();
    assert!(poisoned.iter().all(|e| e.response.starts_with("Sure, ")));
    assert!(poisoned.iter().all(|e| !is_refusal(&e.response)));
    assert!(REFUSALS.iter().all(|refusal| is_refusal(refusal)));
}

#[test]
fn the_corpus_repeats_and_is_short() {
    let world = World::new();
    let corpus = world.corpus(1, 5000);
    assert_eq!(corpus, world.corpus(1, 5000));
    assert!(
        corpus
            .iter()
            .all(|e| e.prompt.len() + e.response.len() < 200)
    );
    let reminded = corpus.iter().filter(|e| is_refusal(&e.response)).count();
    // Refusals occur only behind a reminder.
    assert!(corpus.iter().filter(|e| is_refusal(&e.response)).all(|e| {
        REMINDERS
            .iter()
            .any(|reminder| e.prompt.starts_with(reminder))
    }));
    assert!((300..600).contains(&reminded), "{reminded}");
}
