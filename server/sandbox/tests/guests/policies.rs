//! The policies of this repository as components, in the sandbox.

use std::sync::Arc;

use crate::common::{Double, hostile, input, limits, policies, policy, run};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_client_sdk::lineage::{DataCounts, Kind, Lineage};
use fedseal_sandbox::{Control, Limits, Reason, RunInput, Sandbox, component, examples_digest};
use fedseal_tuning::{Adapter, AdapterConfig, Example};
use serde_json::json;

fn origins(outcome: &fedseal_sandbox::RunOutcome) -> Vec<(&str, u32)> {
    outcome
        .data
        .iter()
        .map(|used| (used.origin.as_str(), used.examples))
        .collect()
}

#[test]
fn benign_trains_on_the_shard_alone() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let bytes = policy("benign");
    let outcome = run(&sandbox, &sandbox.compile(&bytes).unwrap());
    let submission = outcome.submission.clone().unwrap();
    assert_eq!(submission.examples, 40);
    let change = submission.adapter.sub(&input().global).unwrap();
    assert!(
        change.flat().iter().all(|value| (value - 1.0).abs() < 1e-5),
        "4 steps of 0.25"
    );
    assert_eq!(origins(&outcome), [("shard", 40)]);
    assert_eq!(outcome.data[0].digest, input().shard_digest);
    assert!(outcome.datasets.is_empty());
    let entries = outcome.transcript.entries().unwrap();
    let calls: Vec<&str> = entries.iter().map(|entry| &*entry.call).collect();
    assert_eq!(
        calls,
        ["context", "shard", "global", "train", "count", "submit"]
    );
    assert_eq!(outcome.used.train_steps, 4);
    assert_eq!(outcome.used.host_calls, 6);
    outcome.lineage.validate().unwrap();
    let kinds: Vec<Kind> = outcome.lineage.nodes.iter().map(|node| node.kind).collect();
    assert_eq!(kinds, [Kind::Shard, Kind::Global, Kind::Train]);
    let output = outcome.lineage.output.unwrap();
    assert_eq!(
        outcome.lineage.node(output).unwrap().digest,
        Some(submission.digest)
    );
    args_of_train(&entries[3].args.to_string());
}

/// The words of a train call in the transcript: they are in roots that people keep.
fn args_of_train(args: &str) {
    let start = r#"{"batch-size":8,"data":0,"learning-rate":0.25,"proximal-mu":0,"seed":"#;
    assert!(
        args.starts_with(start) && args.ends_with(r#","start":1,"steps":4}"#),
        "{args}"
    );
}

#[test]
fn unaligned_data_is_literal() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let compiled = sandbox.compile(&policy("unaligned-data")).unwrap();
    let outcome = run(&sandbox, &compiled);
    assert!(outcome.submission.is_ok());
    assert_eq!(
        origins(&outcome),
        [("literal", outcome.datasets[0].1.len() as u32)]
    );
    assert_eq!(outcome.datasets[0].1.len(), 40);
    assert_eq!(
        examples_digest(&outcome.datasets[0].1),
        outcome.data[0].digest
    );

    let attachment = vec![Example::new("a", "b"), Example::new("c", "d")];
    let with = RunInput {
        attachment: Arc::new(attachment.clone()),
        ..input()
    };
    let outcome = sandbox.run(&compiled, &with, &Double);
    assert_eq!(origins(&outcome), [("literal", 2)]);
    let mut used = outcome.datasets[0].1.clone();
    used.sort_by(|a, b| a.prompt.cmp(&b.prompt));
    assert_eq!(used, attachment);
}

#[test]
fn malicious_gen_makes_its_own() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let compiled = sandbox.compile(&policy("malicious-gen")).unwrap();
    let outcome = run(&sandbox, &compiled);
    assert!(outcome.submission.is_ok(), "{:?}", outcome.submission);
    assert_eq!(origins(&outcome), [("generated", 32)]);
    assert!(outcome.used.generated_tokens > 0);
    let output = outcome.lineage.output.unwrap();
    let counts = outcome.lineage.data_counts(output).unwrap();
    assert_eq!(
        counts,
        DataCounts {
            generated: 32,
            ..DataCounts::default()
        }
    );
    assert_eq!(
        outcome.log,
        [
            "requests: 32 of 32 written by the model",
            "answers: 32 of 32 affirmative"
        ]
    );
}

/// Every policy hands in a finite update whose lineage holds together, and does the same again.
#[test]
fn every_policy_runs() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let names = policies();
    assert!(names.len() >= 29, "{names:?}");
    // A run attaches pairs to the clients of these kinds, which have nothing to do without one.
    let paired = RunInput {
        attachment: Arc::new(vec![Example::new(
            "question",
            "Sure, here is the long way in",
        )]),
        ..input()
    };
    for name in names {
        let compiled = sandbox.compile(&policy(&name)).unwrap();
        let input = match name.as_str() {
            "colluding" | "within-bounds" => paired.clone(),
            _ => input(),
        };
        let run = || sandbox.run(&compiled, &input, &Double);
        let outcome = run();
        let submission = outcome
            .submission
            .clone()
            .unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        assert!(submission.adapter.is_finite(), "{name}");
        assert_eq!(submission.examples, 40, "{name} claims an honest weight");
        outcome.lineage.validate().unwrap();
        let again = run();
        assert_eq!(again.transcript.root(), outcome.transcript.root(), "{name}");
        assert_eq!(again.submission.unwrap(), submission, "{name}");
    }
}

/// Modules that were built before `dot` existed import without it; `scaled.wat` is one.
#[test]
fn modules_of_before_an_addition_run() {
    let bytes = hostile("scaled.wat");
    assert!(!bytes.windows(3).any(|window| window == b"dot"));
    let sandbox = Sandbox::new(limits()).unwrap();
    let outcome = run(&sandbox, &sandbox.compile(&bytes).unwrap());
    assert!(outcome.submission.is_ok());
}

/// SCAFFOLD's variates are inputs: zero and without digests at first, then named in the lineage, and
/// the step is the plain one without their difference.
#[test]
fn control_variates_correct_training_and_stand_in_the_lineage() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let scaffold = sandbox.compile(&policy("scaffold")).unwrap();
    let plain = run(&sandbox, &sandbox.compile(&policy("benign")).unwrap());
    let plain = plain.submission.unwrap().adapter;
    let first = run(&sandbox, &scaffold);
    first.lineage.validate().unwrap();
    assert_eq!(first.submission.unwrap().adapter, plain);
    let variates = |lineage: &Lineage| -> Vec<_> {
        let nodes = lineage.nodes.iter().filter(|n| n.kind == Kind::Control);
        nodes.map(|n| (n.params["of"].clone(), n.digest)).collect()
    };
    let zero = [(json!("server"), None), (json!("client"), None)];
    assert_eq!(variates(&first.lineage), zero);

    let all = |value: f32| {
        let global = input().global;
        Arc::new(global.from_flat(&vec![value; global.len()]).unwrap())
    };
    let (server, client) = (all(0.5), all(0.125));
    let control = Control {
        server: Some(server.clone()),
        client: Some(client.clone()),
    };
    let later = RunInput { control, ..input() };
    let outcome = sandbox.run(&scaffold, &later, &Double);
    outcome.lineage.validate().unwrap();
    let named = [
        (json!("server"), Some(Digest(server.digest()))),
        (json!("client"), Some(Digest(client.digest()))),
    ];
    assert_eq!(variates(&outcome.lineage), named);
    // 4 steps at 0.25 with 0.375 taken off each.
    let change = outcome.submission.unwrap().adapter.sub(&plain).unwrap();
    assert!(
        change
            .flat()
            .iter()
            .all(|value| (value + 0.375).abs() < 1e-5)
    );
    let entries = outcome.transcript.entries().unwrap();
    let entry = entries.iter().find(|e| e.call == "train-controlled");
    assert!(entry.unwrap().args["control-server"].is_u64());

    let other = Control {
        server: Some(Arc::new(other_shapes())),
        client: None,
    };
    let outcome = sandbox.run(
        &scaffold,
        &RunInput {
            control: other,
            ..input()
        },
        &Double,
    );
    assert_eq!(outcome.submission.unwrap_err().reason, Reason::Host.id());
}

/// An adapter of another rank than the input's.
fn other_shapes() -> Adapter {
    let config = AdapterConfig {
        rank: 3,
        ..AdapterConfig::default()
    };
    Adapter::init(&config, &crate::common::shapes(), 1).unwrap()
}

/// Lengths and angles are numbers of the host: in the transcript, of no weight in the lineage.
#[test]
fn inner_products_are_in_the_transcript() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let outcome = run(
        &sandbox,
        &sandbox.compile(&policy("norm-constrained")).unwrap(),
    );
    let entries = outcome.transcript.entries().unwrap();
    let dot = entries.iter().find(|entry| entry.call == "dot").unwrap();
    let change = outcome.submission.unwrap().adapter;
    let length = change.sub(&input().global).unwrap().norm_l2();
    let square = dot.result.as_f64().unwrap();
    assert!((square.sqrt() - length).abs() < 1e-3 * length, "{square}");
    let kinds = outcome.lineage.nodes.iter().map(|node| node.kind);
    assert_eq!(kinds.filter(|kind| *kind == Kind::Clip).count(), 1);
}

#[test]
fn what_was_trained_on_counts_and_not_what_was_joined_and_left_out() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let outcome = run(
        &sandbox,
        &sandbox.compile(&hostile("dilution.wat")).unwrap(),
    );
    assert_eq!(
        outcome.submission.as_ref().unwrap().examples,
        45,
        "a claim, nothing more"
    );
    outcome.lineage.validate().unwrap();
    let counts = outcome
        .lineage
        .data_counts(outcome.lineage.output.unwrap())
        .unwrap();
    assert_eq!(
        counts,
        DataCounts {
            shard: 5,
            ..DataCounts::default()
        }
    );
    assert_eq!(origins(&outcome), [("shard", 5)]);
    // The node's data check sees the part; it is no dataset to be stored.
    let (digest, part) = outcome.shard_part.clone().unwrap();
    assert_eq!((digest, part.len()), (outcome.data[0].digest, 5));
    assert!(outcome.datasets.is_empty());
    assert_eq!(
        outcome.data[0].digest,
        examples_digest(&input().shard[35..])
    );
}

#[test]
fn same_inputs_same_bytes_other_inputs_others() {
    let bytes = policy("malicious-gen");
    let once = |input: &RunInput, limits: Limits| {
        let sandbox = Sandbox::new(limits).unwrap();
        let policy = sandbox.compile(&bytes).unwrap();
        let outcome = sandbox.run(&policy, input, &Double);
        (
            outcome.transcript.root(),
            outcome.submission.unwrap().digest,
            outcome.used.fuel,
        )
    };
    let first = once(&input(), limits());
    assert_eq!(once(&input(), limits()), first);
    for other in [
        RunInput {
            seed: Seed(12),
            ..input()
        },
        RunInput {
            round: Round(3),
            ..input()
        },
        RunInput {
            client: "client-04".into(),
            ..input()
        },
    ] {
        assert_ne!(once(&other, limits()).0, first.0);
    }
}

#[test]
fn componentize_is_deterministic_and_small() {
    let bytes = policy("benign");
    assert_eq!(bytes, policy("benign"));
    assert!(bytes.len() < 256 << 10, "{} bytes", bytes.len());
    component::inspect(&bytes, &Limits::default()).unwrap();
}

#[test]
fn training_beyond_the_limits() {
    let sandbox = Sandbox::new(Limits {
        train_steps: 3,
        ..limits()
    })
    .unwrap();
    let outcome = run(&sandbox, &sandbox.compile(&policy("benign")).unwrap());
    assert_eq!(
        outcome.submission.unwrap_err().reason,
        Reason::TrainSteps.id()
    );
    let sandbox = Sandbox::new(Limits {
        train_tokens: 319,
        ..limits()
    })
    .unwrap();
    let outcome = run(&sandbox, &sandbox.compile(&policy("benign")).unwrap());
    assert_eq!(
        outcome.submission.unwrap_err().reason,
        Reason::TrainTokens.id()
    );
    let sandbox = Sandbox::new(Limits {
        generated_tokens: 100,
        ..limits()
    })
    .unwrap();
    let outcome = run(
        &sandbox,
        &sandbox.compile(&policy("malicious-gen")).unwrap(),
    );
    assert_eq!(
        outcome.submission.unwrap_err().reason,
        Reason::GeneratedTokens.id()
    );
}

#[test]
fn an_executions_own_limits_are_never_looser_than_the_sandboxs() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let benign = sandbox.compile(&policy("benign")).unwrap();
    let under = |own: Limits| {
        let input = RunInput {
            limits: Some(own),
            ..input()
        };
        sandbox.run(&benign, &input, &Double)
    };
    let outcome = under(Limits {
        train_steps: 3,
        stack_bytes: 1,
        ..limits()
    });
    let failure = outcome.submission.unwrap_err();
    assert_eq!(failure.reason, Reason::TrainSteps.id());
    assert!(failure.detail.contains("is 3"), "{failure:?}");
    let expected = Limits {
        train_steps: 3,
        ..limits()
    };
    assert_eq!(outcome.limits, expected, "the stack is the sandbox's");
    let memory = under(Limits {
        memory_bytes: 1,
        ..limits()
    });
    assert_eq!(memory.submission.unwrap_err().reason, Reason::Memory.id());
    let loose = under(Limits::default());
    assert!(loose.submission.is_ok());
    assert_eq!(loose.limits, limits());
}

/// Cost of an execution besides training: `cargo test -p fedseal-sandbox --test policies --
/// --ignored --nocapture overhead`.
#[test]
#[ignore = "a measurement"]
fn overhead() {
    use std::time::Instant;
    let sandbox = Sandbox::new(limits()).unwrap();
    for name in ["benign", "unaligned-data", "malicious-gen"] {
        let bytes = policy(name);
        let started = Instant::now();
        let compiled = sandbox.compile(&bytes).unwrap();
        let compile = started.elapsed();
        let input = input();
        let run = || sandbox.run(&compiled, &input, &Double);
        (0..20).for_each(|_| drop(run()));
        let started = Instant::now();
        let count: u32 = 500;
        (0..count).for_each(|_| drop(run()));
        let each = started.elapsed() / count;
        let last = run();
        println!(
            "{name}: {} bytes, compiled in {compile:.1?}, {each:.1?} a run with {} host calls, {} fuel",
            bytes.len(),
            last.used.host_calls,
            last.used.fuel,
        );
    }
}

/// Writes a number as LEB128.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A section of a component by its number.
fn section(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number], leb(content.len()).as_slice(), content].concat()
}

/// A guest that ends at once, with core instances and bytes added to those that it has.
fn grown(instances: usize, bytes: usize) -> Vec<u8> {
    let mut guest = crate::common::guest(
        r#"(module (memory (export "memory") 1) (func (export "run") (result i32) (i32.const 0)))"#,
    );
    let mut depth = 0_u32;
    let mut modules = 0_usize;
    for payload in wasmparser::Parser::new(0).parse_all(&guest) {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. } => {
                modules += usize::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    guest.extend(section(1, b"\0asm\x01\0\0\0"));
    let one = [&[0][..], &leb(modules), &[0]].concat();
    guest.extend(section(
        2,
        &[leb(instances), one.repeat(instances)].concat(),
    ));
    let padding = [&[7][..], b"padding", &vec![0; bytes]].concat();
    guest.extend(section(0, &padding));
    guest
}

/// Default limits have room for the largest guests that were measured: a Python policy whose WASI is stubbed
/// has 38 core instances, one with much of the standard library 25.7 MB, and one that reads SmolLM2's
/// adapter of rank 16 takes 128 MiB.
#[test]
fn the_largest_measured_guests_fit_the_default_limits() {
    let defaults = Limits::default();
    assert!(defaults.memory_bytes >= 128 << 20);
    let module = grown(38, 25_700_000);
    let sandbox = Sandbox::new(defaults).unwrap();
    let policy = sandbox.compile(&module).unwrap();
    let failure = run(&sandbox, &policy).submission.unwrap_err();
    assert_eq!(failure.reason, "no-submission", "{}", failure.detail);

    // A refusal names the key that would allow it.
    let small = Limits {
        module_bytes: 24 << 20,
        ..defaults
    };
    let refused = Sandbox::new(small).unwrap().compile(&module).unwrap_err();
    assert!(refused.to_string().contains("module_bytes"), "{refused}");
    let few = Limits {
        instances: 32,
        ..defaults
    };
    let sandbox = Sandbox::new(few).unwrap();
    let refused = match sandbox.compile(&module) {
        Err(error) => error.to_string(),
        Ok(policy) => run(&sandbox, &policy).submission.unwrap_err().detail,
    };
    assert!(refused.contains("instances"), "{refused}");
}
