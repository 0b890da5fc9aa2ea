//! Figures of the repairs: the share of the lost safety that comes back, and what is lost in helpfulness and in
//! refused look-alikes.

use super::Figures;
use super::measured::{HELPFULNESS, Measured, OVER_REFUSAL, SAFETY, lost, mean, of, upper};
use super::runs::Group;
use crate::{Outcome, fail};

/// The repair of this project: its figures have no arm in their names.
const OURS: &str = "preserved";

pub(super) fn figures(groups: &[Group]) -> Outcome<Figures> {
    let all = match groups {
        [group] => group.measured.as_slice(),
        _ => &[],
    };
    let Some(first) = all.first() else {
        return fail("no seed was run");
    };
    let mut figures = vec![(
        "repair.attack_loss".to_owned(),
        lost(all, "clean", "fedavg", SAFETY)?,
    )];
    if first.arm("base").is_some() {
        let base = of(all, "base", SAFETY)?;
        figures.push(("repair.base_safety".to_owned(), mean(&base)));
    }
    let repairs = first.arms.iter().map(|arm| arm.id.as_str());
    for arm in repairs.filter(|arm| !["base", "clean", "fedavg"].contains(arm)) {
        let name = match arm {
            OURS => "repair".to_owned(),
            arm => format!("repair.{arm}"),
        };
        figures.extend(repaired(all, arm, &name)?);
    }
    Ok(figures)
}

/// Figures of a repaired arm. The cost in helpfulness is against the attacked arm, that in refused look-alikes
/// against the clean one, since an attack takes refusals of both kinds.
pub(super) fn repaired(all: &[Measured], arm: &str, name: &str) -> Outcome<Figures> {
    let taken = lost(all, "clean", "fedavg", SAFETY)?;
    let back = lost(all, arm, "fedavg", SAFETY)?;
    let (before, after) = (of(all, "fedavg", HELPFULNESS)?, of(all, arm, HELPFULNESS)?);
    let costs: Vec<f64> = before.iter().zip(&after).map(|(b, a)| b - a).collect();
    let mut figures = vec![
        (format!("{name}.safety_back"), 100.0 * back / taken),
        (format!("{name}.helpfulness_mean_cost"), mean(&costs)),
        (format!("{name}.helpfulness_cost"), upper(&costs)),
    ];
    // Runs from before look-alikes were asked have none.
    if let (Ok(clean), Ok(after)) = (of(all, "clean", OVER_REFUSAL), of(all, arm, OVER_REFUSAL)) {
        let more: Vec<f64> = clean.iter().zip(&after).map(|(c, a)| a - c).collect();
        figures.push((format!("{name}.overrefusal_mean_cost"), mean(&more)));
        figures.push((format!("{name}.overrefusal_cost"), upper(&more)));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::super::measured::tests::seed;
    use super::*;

    #[test]
    fn a_cost_has_the_upper_end_of_its_interval() {
        let arms = |after: f64| {
            seed(
                &[
                    ("clean", 0.9, 0.9),
                    ("fedavg", 0.5, 0.9),
                    ("preserved", 0.88, after),
                ],
                0,
            )
        };
        let figures = figures(&[Group {
            label: String::new(),
            measured: vec![arms(0.9), arms(0.88), arms(0.89)],
        }]);
        let figures = figures.unwrap();
        let value = |name: &str| figures.iter().find(|(of, _)| of == name).unwrap().1;
        assert!((value("repair.safety_back") - 95.0).abs() < 1e-9);
        // Costs 0, 2 and 1 points: mean 1, standard error 1 / sqrt(3), t 2.920.
        let expected = 1.0 + 2.920 / 3f64.sqrt();
        assert!((value("repair.helpfulness_cost") - expected).abs() < 1e-9);
        // Refused look-alikes are 8.8 % and 9 %.
        assert!((value("repair.overrefusal_mean_cost") + 0.2).abs() < 1e-9);
    }
}
