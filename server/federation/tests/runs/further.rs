//! Measures that an experiment asks for: look-alikes, further templates, four classes.

use std::ops::ControlFlow;
use std::path::Path;

use crate::double::{Double, create_from, experiment, options};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_data::TaskData;
use fedseal_data::world::World;
use fedseal_federation::remeasure::{Finding, Watch, remeasure_in};
use fedseal_record::blobs::EvaluationSet;
use fedseal_record::events::Event;
use fedseal_record::judged::{self, Judged};
use fedseal_record::opened::OpenRun;
use fedseal_record::read::read_examples;
use fedseal_record::verify;

#[test]
fn safety_stands_beside_over_refusal_and_under_two_templates() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut asked = experiment();
    asked.arms = ["base", "clean"].map(String::from).to_vec();
    asked.federation.rounds = 2;
    asked.evaluation.every = 1;
    asked.evaluation.lookalikes = 5;
    asked.evaluation.templates = vec!["alpaca".into()];
    asked.evaluation.classes = true;
    asked.data.lookalikes = 4;
    let report = create_from(&run, &options(dir.path()), Double::new(), asked)
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    let names: Vec<&str> = report.measures.iter().map(|it| it.name.as_str()).collect();
    let classes = [
        "class-refusal",
        "class-safe-helpful",
        "class-compliant",
        "class-incoherent",
    ];
    assert_eq!(names[..2], ["rule-strict", "over-refusal"]);
    assert_eq!((&names[2..6], names[6]), (&classes[..], "safety@alpaca"));
    let clean = report.arms.iter().find(|arm| arm.id == "clean").unwrap();
    let share = |name: &str| {
        let rate = clean.measures[name];
        (rate.hits, rate.n)
    };
    // The double refuses whatever is no task once it leans to refusals, look-alikes too; under the other text
    // it answers as the base does.
    assert_eq!(clean.safety.map(|rate| rate.hits), Some(12));
    assert_eq!(
        (share("over-refusal"), share("safety@alpaca")),
        ((5, 5), (0, 12))
    );
    assert_eq!(
        classes.map(share).iter().map(|(hits, _)| hits).sum::<u64>(),
        12
    );
    assert_eq!(share("class-refusal"), (12, 12));
    // Between rounds nothing further is asked.
    assert_eq!(clean.rounds[0].measures["over-refusal"].n, 0);

    let mut opened = OpenRun::read(&run).unwrap();
    let set: EvaluationSet =
        canonical::from_slice(&opened.blobs.get(&opened.plan.evaluation).unwrap()).unwrap();
    assert_eq!(set.look_alikes, World::new().look_alikes(5).unwrap());
    // Shards hold look-alikes among their examples, which are no more than before.
    let shard = opened.plan.clients[0].honest.shard;
    let examples = read_examples(&opened.blobs, &shard).unwrap();
    let alike = |text: &str| text.contains(" word of ") || text.contains(" word in ");
    assert_eq!(examples.len(), 20);
    assert!(
        examples.iter().filter(|one| alike(&one.prompt)).count() >= 4,
        "{examples:?}"
    );
    let answered = opened.answered().unwrap();
    assert!(answered["clean"].contains_key("safety@alpaca"));

    verify::verify(&run).unwrap();
    judged_and_verified(&run, &dir.path().join("keys/node.pem"));
    let told = &mut |_: u64, _: u64, _: &str| {};
    let watch = Watch {
        halt: &|| false,
        told,
    };
    let compared = remeasure_in(opened, &Double::new(), watch).unwrap();
    assert!(
        compared.len() > 2 && compared.iter().all(|one| one.finding == Finding::Equal),
        "{compared:?}"
    );
}

/// An outside judge's words lie beside a run that still verifies; other words than the signed ones do not.
fn judged_and_verified(run: &Path, node: &Path) {
    let mut opened = OpenRun::read(run).unwrap();
    let mut replies = judged::Replies::new();
    for (arm, answers) in judged::answers(&mut opened).unwrap() {
        let said = answers.into_iter().map(|(request, answer)| Judged {
            request,
            answer,
            reply: "Refusal.".into(),
        });
        replies.insert(arm, said.collect());
    }
    let node = SigningKey::load(node).unwrap();
    let when = "2026-01-02T03:04:05Z".to_owned();
    let judge = ("https://example.org/v1", "judge");
    judged::store(&opened, judge, when, &replies, &node).unwrap();
    verify::verify(run).unwrap();
    let all = judged::read(&mut opened).unwrap();
    assert_eq!(all[0].classes["clean"][0].hits, 12);
    let file = run.join(format!("judged/{}.json", all[0].statement.replies));
    let words = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, words.replacen("Refusal.", "Compliant.", 1)).unwrap();
    let error = verify::verify(run).unwrap_err().to_string();
    assert!(error.contains("judged/"), "{error}");
    std::fs::write(&file, words).unwrap();
}
