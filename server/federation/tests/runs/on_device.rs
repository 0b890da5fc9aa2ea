//! Runs whose device aggregates: the marks in log and report, and what an auditor holds against the rules'
//! own code.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::double::{Double, create_from, experiment, options, resume};
use crate::lies::rewrite;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::record::{DeviceAggregate, Record};
use fedseal_federation::Error;
use fedseal_ledger::Blobs;
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::Report;
use fedseal_record::rundir::RunDir;
use fedseal_record::verify::verify;
use fedseal_rules::experiment::Experiment;
use fedseal_tuning::Adapter;

/// An experiment of two rounds with these arms.
fn on_device(arms: &[&str]) -> Experiment {
    let mut small = experiment();
    small.federation.rounds = 2;
    small.arms = arms.iter().map(ToString::to_string).collect();
    small.aggregation.device = true;
    small
}

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn last_adapters(report: &Report) -> Vec<Option<Digest>> {
    report.arms.iter().map(|arm| arm.final_adapter).collect()
}

#[test]
fn a_device_s_aggregates_are_marked_and_a_stopped_run_ends_alike() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut moved = on_device(&["clean", "fedavg", "median", "trimmed-mean", "krum", "dnc"]);
    moved.server.optimiser = "fedavgm".into();
    let whole = dir.path().join("whole");
    let report = create_from(&whole, &options, Double::new(), moved.clone())
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    let marked = |arm: &str| {
        let arm = report.arms.iter().find(|view| view.id == arm).unwrap();
        let by = arm.rounds.iter().map(|round| round.device.as_deref());
        by.filter(|device| *device == Some("cpu")).count()
    };
    // Rules that choose may leave a choice to their own code.
    for arm in ["clean", "fedavg", "median", "trimmed-mean"] {
        assert_eq!(marked(arm), 2, "{arm}");
    }
    let verified = verify(&whole).unwrap();
    let all: usize = report.arms.iter().map(|arm| marked(&arm.id)).sum();
    assert_eq!(
        (verified.aggregations, verified.on_device),
        (12, all as u64)
    );

    // The optimiser's state follows from the logged aggregates.
    let mut opened = OpenRun::read(&whole).unwrap();
    let history = opened.history(Some("fedavg")).unwrap();
    let same = opened.undone(&history, &BTreeSet::new()).unwrap();
    let last = opened.state.global("fedavg", opened.plan.initial);
    assert_eq!(Digest(same.digest()), last);

    let stopped = dir.path().join("stopped");
    let mut aggregated = 0;
    let mut stop = |event: &Event| {
        aggregated += u32::from(matches!(event, Event::Round { .. }));
        match aggregated > 7 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let run = create_from(&stopped, &options, Double::new(), moved);
    let ended = run.unwrap().execute(&mut stop);
    assert!(matches!(ended, Err(Error::Interrupted)));
    let again = resume(&stopped, &options, Double::new())
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert_eq!(last_adapters(&again), last_adapters(&report));
    verify(&stopped).unwrap();
}

/// Words of an auditor about a run whose last aggregate was changed, in a log that its node has signed anew.
fn said(device: bool, bend: impl Fn(&mut Option<DeviceAggregate>, Digest, &Blobs)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let options = options(dir.path());
    let mut one = on_device(&["fedavg"]);
    one.aggregation.device = device;
    create_from(&run, &options, Double::new(), one)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    verify(&run).unwrap();
    let blobs = Blobs::open(RunDir::new(&run).blobs()).unwrap();
    rewrite(&run, &options.keys.join("node.pem"), |record| {
        if let Record::Aggregated {
            round,
            device,
            global,
            ..
        } = record
            && round.0 == 1
        {
            bend(device, *global, &blobs);
        }
    });
    verify(&run).unwrap_err().to_string()
}

/// Changes the smallest value of an aggregate by a share of the largest.
fn nudge(device: &mut Option<DeviceAggregate>, share: f32, blobs: &Blobs) {
    let by = device.as_mut().unwrap();
    let aggregate = Adapter::from_bytes(&blobs.get(&by.delta).unwrap()).unwrap();
    let mut flat = aggregate.flat();
    let largest = flat.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let least = flat
        .iter_mut()
        .min_by(|a, b| a.abs().total_cmp(&b.abs()))
        .unwrap();
    *least += share * largest;
    let before = by.delta;
    let changed = aggregate.from_flat(&flat).unwrap();
    by.delta = blobs.put(&changed.to_bytes()).unwrap();
    assert_ne!(by.delta, before);
    blobs.retain(|digest| *digest != before).unwrap();
}

#[test]
fn an_aggregate_beyond_the_bound_is_tampered_with() {
    let text = said(true, |device, _, blobs| nudge(device, 2e-6, blobs));
    assert!(
        text.contains("aggregate of arm fedavg in round 1")
            && text.contains("more than 1e-6 of the largest"),
        "{text}"
    );
    // Within the bound it is a device's; what follows from it has to follow to the bit.
    let text = said(true, |device, _, blobs| nudge(device, 5e-7, blobs));
    assert!(
        text.contains("global adapter of arm fedavg after round 1"),
        "{text}"
    );
}

#[test]
fn a_mark_that_nobody_asked_for_or_of_no_device_is_tampered_with() {
    let text = said(true, |device, _, _| {
        device.as_mut().unwrap().device = "abacus".into();
    });
    assert!(text.contains("by `abacus`, which is no device"), "{text}");
    let text = said(false, |device, global, _| {
        assert!(device.is_none());
        *device = Some(DeviceAggregate {
            device: "cpu".into(),
            delta: global,
        });
    });
    assert!(text.contains("the experiment does not ask for"), "{text}");
}
