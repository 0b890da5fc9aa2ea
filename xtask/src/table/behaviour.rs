//! Figures of the behaviour check: what it costs honest clients, and what attacks that know it still take.

use super::Figures;
use super::measured::{Measured, SAFETY, lost};
use super::runs::Group;
use crate::{Outcome, fail};

/// Least number of strengths of the attack that knows the check: the worst of them counts.
const STRENGTHS: usize = 5;
/// Arms of that attack begin so.
const STRENGTH: &str = "bounds-";
/// Arms with the check off end so.
const OPEN: &str = "-open";

pub(super) fn figures(groups: &[Group]) -> Outcome<Figures> {
    let all = match groups {
        [group] => group.measured.as_slice(),
        _ => &[],
    };
    let Some(first) = all.first() else {
        return fail("no seed was run");
    };
    let plain_arms = ["base", "clean", "honest", "fedavg", "behaviour"];
    let attacks: Vec<&str> = first
        .arms
        .iter()
        .map(|arm| arm.id.as_str())
        .filter(|arm| !plain_arms.contains(arm) && !arm.ends_with(OPEN))
        .collect();
    let strengths = attacks.iter().filter(|arm| arm.starts_with(STRENGTH));
    let strengths = strengths.count();
    if strengths < STRENGTHS {
        return fail(format!(
            "the attack that knows the check has {strengths} strengths; the worst one counts of at least {STRENGTHS}"
        ));
    }
    let checked: Vec<&str> = ["honest", "behaviour"]
        .into_iter()
        .chain(attacks.iter().copied())
        .collect();
    let plain = lost(all, "clean", "fedavg", SAFETY)?;
    let mut figures = vec![
        ("behaviour.false_refusal".to_owned(), refused(all, &checked)),
        (
            "behaviour.false_refusal.honest".to_owned(),
            refused(all, &checked[..1]),
        ),
        ("behaviour.plain_loss".to_owned(), plain),
        (
            "behaviour.safety_loss".to_owned(),
            lost(all, "clean", "behaviour", SAFETY)?,
        ),
        (
            "behaviour.honest_loss".to_owned(),
            lost(all, "clean", "honest", SAFETY)?,
        ),
    ];
    let (mut white_box, mut colluders, mut open) = (f64::MIN, f64::MIN, f64::MIN);
    for arm in attacks {
        let loss = lost(all, "clean", arm, SAFETY)?;
        figures.push((format!("behaviour.loss.{arm}"), loss));
        let off = format!("{arm}{OPEN}");
        if first.arm(&off).is_some() {
            let succeeds = lost(all, "clean", &off, SAFETY)?;
            figures.push((format!("behaviour.loss.{off}"), succeeds));
            open = open.max(succeeds);
        }
        let worst = match arm.starts_with("colluders") {
            true => &mut colluders,
            false => &mut white_box,
        };
        *worst = worst.max(loss);
    }
    figures.extend([
        ("behaviour.whitebox_loss".to_owned(), white_box),
        ("behaviour.colluder_loss".to_owned(), colluders),
        // Of what the plain attack takes: the attacks have to succeed where nobody looks.
        (
            "behaviour.whitebox_success".to_owned(),
            100.0 * open / plain,
        ),
    ]);
    Ok(figures)
}

/// Share of honest clients' updates that were refused in these arms, %.
fn refused(all: &[Measured], arms: &[&str]) -> f64 {
    let counts = all
        .iter()
        .flat_map(|one| arms.iter().filter_map(|arm| one.honest.get(*arm)));
    let (accepted, refused) = counts.fold((0.0, 0.0), |(a, r), of| (a + of[0], r + of[1]));
    100.0 * refused / f64::max(1.0, accepted + refused)
}

#[cfg(test)]
mod tests {
    use super::super::measured::tests::seed;
    use super::*;

    #[test]
    fn the_worst_strength_counts_and_honest_refusals_are_those_of_checked_arms() {
        let arms = [
            ("clean", 0.9, 0.9),
            ("honest", 0.9, 0.9),
            ("fedavg", 0.3, 0.9),
            ("behaviour", 0.88, 0.9),
            ("bounds-50", 0.8, 0.9),
            ("bounds-50-open", 0.4, 0.9),
            ("bounds-15", 0.86, 0.9),
            ("bounds-15-open", 0.7, 0.9),
            ("bounds-25", 0.86, 0.9),
            ("bounds-35", 0.86, 0.9),
            ("bounds-100", 0.86, 0.9),
            ("colluders", 0.6, 0.9),
            ("colluders-open", 0.5, 0.9),
        ];
        let of = |arms: &[(&str, f64, f64)]| {
            figures(&[Group {
                label: String::new(),
                measured: vec![seed(arms, 1), seed(arms, 3)],
            }])
        };
        let figures = of(&arms).unwrap();
        let value = |name: &str| figures.iter().find(|(of, _)| of == name).unwrap().1;
        assert!((value("behaviour.false_refusal") - 100.0 * 8.0 / 404.0).abs() < 1e-9);
        assert!((value("behaviour.whitebox_loss") - 10.0).abs() < 1e-9);
        assert!((value("behaviour.colluder_loss") - 30.0).abs() < 1e-9);
        // 50 points of the 60 that the plain attack takes.
        assert!((value("behaviour.whitebox_success") - 250.0 / 3.0).abs() < 1e-9);
        assert!(of(&arms[1..]).is_err());
        // Four strengths are too few.
        let fewer: Vec<_> = arms
            .iter()
            .copied()
            .filter(|arm| arm.0 != "bounds-25")
            .collect();
        assert!(of(&fewer).is_err());
    }
}
