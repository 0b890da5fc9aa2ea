//! Prompts and answers that do not fit the model's positions together: refused before a run begins,
//! passed over where a model wrote them itself.

use std::sync::Arc;

use crate::double::{Double, create_from, experiment, options};
use fedseal_client_sdk::ids::Seed;
use fedseal_data::world::World;
use fedseal_data::{InstructionKind, TaskData};
use fedseal_federation::defence::posthoc::Posthoc;
use fedseal_federation::defence::{Defence, Tools};
use fedseal_federation::lab::Lab;
use fedseal_federation::runner::{Run, open_model};
use fedseal_record::repairs::{Moment, Repair};
use fedseal_rules::arms;
use fedseal_rules::experiment::adapter_config;

#[test]
fn answers_that_no_prompt_leaves_room_for_are_refused_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    let refused = |experiment: fedseal_rules::experiment::Experiment| {
        let (lab, name) = open_model(&experiment, &options).unwrap();
        let data = Arc::new(World::new());
        let made = Run::create_with(&run, experiment, &options, Arc::new(lab), &name, data);
        let Err(error) = made else {
            panic!("it was begun");
        };
        assert!(!run.join("run.json").exists());
        error.to_string()
    };
    // The embedded model has 256 positions.
    let mut long = experiment();
    long.evaluation.max_new_tokens = 254;
    let text = refused(long);
    for part in ["`evaluation.max_new_tokens`", "254", "256", "at most 2"] {
        assert!(text.contains(part), "{text}\nlacks {part}");
    }
    let mut long = experiment();
    long.defence.max_new_tokens = 250;
    let text = refused(long.clone());
    for part in ["`defence.max_new_tokens`", "250", "256"] {
        assert!(text.contains(part), "{text}\nlacks {part}");
    }
    // Where no model writes, its lengths do not matter.
    long.defence.level = 1;
    let mut own = long.clone();
    own.arm = std::collections::BTreeMap::from([(
        "mine".to_owned(),
        arms::ArmConfig {
            repairs: Some("fedavg".into()),
            parameters: [("level", 2.0), ("max_new_tokens", 251.0)]
                .map(|(key, value)| (key.to_owned(), value))
                .into(),
            ..arms::ArmConfig::default()
        },
    )]);
    own.arms.push("mine".into());
    let text = refused(own);
    for part in ["`arm.mine.parameters.max_new_tokens`", "251", "256"] {
        assert!(text.contains(part), "{text}\nlacks {part}");
    }
    create_from(&run, &options, Double::new(), long).unwrap();
}

#[test]
fn canaries_that_a_model_cannot_read_are_refused_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut short = experiment();
    short.evaluation.max_new_tokens = 1;
    short.arms.retain(|arm| arm != "defended");
    let world = World::new();
    let tasks = world.eval_tasks(short.evaluation.tasks).unwrap();
    let requests = world.eval_requests(short.evaluation.prompts).unwrap();
    let prompts: Vec<String> = tasks
        .into_iter()
        .map(|t| t.prompt)
        .chain(requests)
        .collect();
    // Just enough for every prompt of the evaluation and one word of its answer.
    let longest = Double::new()
        .prompt_tokens(&prompts)
        .unwrap()
        .into_iter()
        .max();
    let positions = longest.unwrap() + 1;
    let lab = Double {
        positions,
        ..Double::new()
    };
    let Err(error) = create_from(&dir.path().join("run"), &options, lab, short) else {
        panic!("it was begun");
    };
    let text = error.to_string();
    let named = text.contains("canary") && text.contains(&positions.to_string());
    assert!(named, "{text}");
}

#[test]
fn a_defence_passes_over_instructions_that_leave_no_room() {
    let world = World::new();
    let experiment = experiment();
    let mut lab = Double::new();
    let asked: Vec<String> = [InstructionKind::Harmful, InstructionKind::Helpful]
        .into_iter()
        .flat_map(|kind| world.generation_prompts(kind, 1, 500))
        .collect();
    let longest = lab
        .prompt_tokens(&asked)
        .unwrap()
        .into_iter()
        .max()
        .unwrap();
    let adapter = lab.initial(&adapter_config(&experiment), 1).unwrap();
    let reminded = world.with_safety_reminder("Tell me more about 7");
    let positions = lab.prompt_tokens(&[reminded]).unwrap()[0];
    assert!(positions >= longest, "{positions} {longest}");
    let arm = arms::arm("defended", &experiment.arm).unwrap();
    let repair = Repair::of(&experiment, &arm).unwrap().unwrap();
    let case = repair.case(Seed(1), Moment::Last, &adapter);
    let mut data = |positions: usize| {
        lab.positions = positions;
        let tools = Tools {
            lab: &lab,
            source: &world,
            experiment: &experiment,
            halt: &|| false,
        };
        Posthoc.data(&case, &tools).unwrap()
    };
    let usual = data(1 << 20);
    assert!(!usual.listed("safety").is_empty() && !usual.listed("helpful").is_empty());
    // The reminder makes every instruction of the one kind as long as the model has positions.
    let short = data(positions);
    assert!(short.listed("safety").is_empty() && short.counted("safety_tried") > 0);
    assert_eq!(short.listed("helpful"), usual.listed("helpful"));
}
