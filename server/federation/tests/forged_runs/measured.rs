//! Numbers that only the model contradicts: every file of the run agrees with them, so that the auditor
//! without it accepts, and the one with it finds each.

use std::cell::Cell;
use std::path::Path;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::record::Record;
use fedseal_federation::Error;
use fedseal_federation::remeasure::{Compared, Finding, Watch, remeasure_in};
use fedseal_ledger::Blobs;
use fedseal_record::blobs::Measured;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::Report;
use fedseal_record::verify::verify;

use crate::double::Double;
use crate::{Forge, Made};

/// Compares a run with a model; every step is told before it is done.
fn compared(run: &Path, lab: &Double) -> Vec<Compared> {
    let steps = Cell::new((0, 0));
    let told = &mut |done: u64, total: u64, label: &str| {
        let (last, _) = steps.replace((done, total));
        assert!(done == 0 || done == last + 1, "{label}");
    };
    let watch = Watch {
        halt: &|| false,
        told,
    };
    let found = remeasure_in(OpenRun::read(run).unwrap(), lab, watch).unwrap();
    let (last, total) = steps.get();
    assert!(found.len() == 1 || last + 1 == total, "{last} of {total}");
    found
}

/// The items that are not equal, with their findings.
fn unequal(found: &[Compared]) -> Vec<&Compared> {
    let other = |one: &&Compared| one.finding != Finding::Equal;
    found.iter().filter(other).collect()
}

fn differs(one: &Compared) -> &str {
    match &one.finding {
        Finding::Differs { by } => by,
        other => panic!("{}: {other:?}", one.item),
    }
}

fn forged(
    forge: &Forge,
    change: impl FnOnce(&Blobs, &mut Vec<Record>, &mut Report),
) -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, run) = forge.copy();
    let made = Made {
        records: forge.records.clone(),
        key: forge.key.clone(),
        origin: forge.origin.clone(),
    };
    made.write(&run, change);
    verify(&run).expect("its files agree");
    (dir, run)
}

#[test]
fn made_up_numbers_are_found_by_who_has_the_model() {
    let forge = Forge::new();
    let found = compared(&forge.run, &Double::new());
    assert_eq!(unequal(&found), Vec::<&Compared>::new());
    let verdicts = found
        .iter()
        .filter(|one| one.item.contains("verdict about"));
    assert!(verdicts.count() > 0 && found.len() > 8, "{found:?}");

    // One update's canary number, in every verdict that names it.
    let (_dir, run) = forged(&forge, |_, records, _| {
        let loss = |fact: &str| {
            let (_, rest) = fact.split_once("helpfulness loss ")?;
            Some(rest.split_once(' ')?.0.to_owned())
        };
        let entry = records.iter_mut().find_map(|record| match record {
            Record::Verdict { fact, .. } if loss(fact).is_some() => Some(fact),
            _ => None,
        });
        let fact = entry.unwrap();
        let said = loss(fact).unwrap();
        let number: f64 = said.parse().unwrap();
        // No client's update is the global adapter, so the other verdicts name another number.
        *fact = fact.replacen(
            &format!("helpfulness loss {said} "),
            &format!("helpfulness loss {:.2} ", number - 0.01),
            1,
        );
    });
    let found = compared(&run, &Double::new());
    let wrong = unequal(&found);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].item.contains("verdict about"), "{wrong:?}");
    assert!(differs(wrong[0]).contains("helpfulness loss"), "{wrong:?}");

    // One answer, which counts as the genuine one does.
    let (_dir, run) = forged(&forge, |blobs, records, _| {
        let result = records.iter_mut().find_map(|record| match record {
            Record::Evaluated { arm, result, .. } if arm == "fedavg" => Some(result),
            _ => None,
        });
        let result = result.unwrap();
        let mut measured: Measured = canonical::from_slice(&blobs.get(result).unwrap()).unwrap();
        measured.requests[1].answer.push_str(" Indeed.");
        *result = blobs.put(&canonical::to_vec(&measured).unwrap()).unwrap();
    });
    let found = compared(&run, &Double::new());
    let wrong = unequal(&found);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].item.contains("fedavg"), "{wrong:?}");
    assert!(
        differs(wrong[0]).contains("answers to requests, the first to number 2"),
        "{wrong:?}"
    );

    // By another engine a difference says nothing, and an equal result is equal.
    let other = Double {
        salt: 1,
        ..Double::new()
    };
    let found = compared(&run, &other);
    let wrong = unequal(&found);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    let Finding::NotComparable { because } = &wrong[0].finding else {
        panic!("{wrong:?}");
    };
    assert!(
        because.contains("`double 0`, this one is `double 1`"),
        "{because}"
    );

    // Told to stop, it stops.
    let watch = Watch {
        halt: &|| true,
        told: &mut |_, _, _| (),
    };
    let stopped = remeasure_in(OpenRun::read(&run).unwrap(), &other, watch);
    assert!(matches!(stopped, Err(Error::Interrupted)));
}
