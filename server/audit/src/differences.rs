//! Differences between arms, as text: each arm against one, tested.

use std::path::Path;

use fedseal_record::opened::OpenRun;
use fedseal_record::paired::{self, Test};
use fedseal_record::report::Report;

use crate::failure::{Failure, Outcome};
use crate::table::{aligned, signed, within};

/// Level at which a difference is marked, after the correction.
const LEVEL: f64 = 0.05;

/// The tests of a run, or of the runs of several seeds. `against` names the arm that the others are held
/// against; left out, it is [`paired::usual`].
///
/// # Errors
/// An arm that the runs do not have; answers that are missing or damaged.
pub fn of(runs: &[(impl AsRef<Path>, &Report)], against: Option<&str>) -> Outcome<Vec<Test>> {
    let Some((folder, report)) = runs.first() else {
        return Ok(Vec::new());
    };
    let against = match against {
        Some(named) if report.arms.iter().any(|arm| arm.id == named) => named,
        Some(named) => {
            let known: Vec<&str> = report.arms.iter().map(|arm| arm.id.as_str()).collect();
            return Err(Failure::usage(format!("no arm `{named}`"))
                .hint(format!("Arms of this run: {}.", known.join(", "))));
        }
        None => match paired::usual(report) {
            Some(usual) => usual,
            None => return Ok(Vec::new()),
        },
    };
    if runs.len() == 1 {
        let answered = OpenRun::read(folder)?.answered()?;
        return Ok(paired::within(report, &answered, against));
    }
    let reports: Vec<Report> = runs.iter().map(|(_, report)| (*report).clone()).collect();
    Ok(paired::over_seeds(&reports, against))
}

/// The tests as rows, the heading first; none where nothing was tested.
pub fn rows(tests: &[Test]) -> Vec<Vec<String>> {
    let Some(first) = tests.first() else {
        return Vec::new();
    };
    let seeds = first.test == "t";
    let third = if seeds { "seeds" } else { "gained, lost" };
    let mut rows = vec![
        [
            "arm",
            "measure",
            &format!("less {}", first.against),
            third,
            "p",
            "p (Holm)",
        ]
        .map(String::from)
        .to_vec(),
    ];
    for test in tests {
        let difference = match test.low.zip(test.high) {
            Some((low, high)) => within(test.difference, low, high),
            None => signed(test.difference),
        };
        let pairs = match (test.gained, test.lost) {
            (Some(gained), Some(lost)) => format!("{gained}, {lost}"),
            _ => test.pairs.to_string(),
        };
        let mark = match test.adjusted {
            Some(adjusted) if adjusted < LEVEL => " *",
            _ => "",
        };
        rows.push(vec![
            test.arm.clone(),
            test.measure.clone(),
            difference,
            pairs,
            chance(test.p),
            chance(test.adjusted) + mark,
        ]);
    }
    rows
}

/// Sentence about what the rows are.
pub fn said(tests: &[Test]) -> String {
    let n = tests.len();
    match tests.first().map(|test| test.test) {
        Some("t") => {
            let least = tests.iter().map(|test| test.pairs).min().unwrap_or(0);
            let few = match least {
                ..3 => " With fewer than 3 seeds a test says next to nothing.",
                _ => "",
            };
            format!(
                "Points with 95 % intervals; paired t test, a seed is the unit; Holm's correction over {n} tests, * \
                 below 5 %.{few}"
            )
        }
        Some(_) => format!(
            "Points; McNemar's exact test on the prompts that both arms answered, of this seed alone; Holm's \
             correction over {n} tests, * below 5 %."
        ),
        None => String::new(),
    }
}

/// The tests as text; empty where nothing was tested.
pub fn text(tests: &[Test]) -> String {
    match tests.is_empty() {
        true => String::new(),
        false => format!("\n{}{}", aligned(&rows(tests)), said(tests)),
    }
}

/// A p-value: three digits, "< 0.001" below.
pub fn chance(p: Option<f64>) -> String {
    match p {
        None => "–".to_owned(),
        Some(p) if p < 0.001 => "< 0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(adjusted: f64, seeds: bool) -> Test {
        Test {
            arm: "krum".into(),
            against: "fedavg".into(),
            measure: "safety".into(),
            difference: 0.2,
            low: seeds.then_some(0.175),
            high: seeds.then_some(0.225),
            pairs: if seeds { 2 } else { 240 },
            test: if seeds { "t" } else { "mcnemar" },
            p: Some(0.0004),
            exact: None,
            gained: (!seeds).then_some(50),
            lost: (!seeds).then_some(2),
            adjusted: Some(adjusted),
        }
    }

    #[test]
    fn differences_are_marked_after_the_correction() {
        let shown = text(&[test(0.049, false), test(0.05, false)]);
        let lines: Vec<&str> = shown.trim_start().lines().collect();
        assert!(
            lines[0].contains("less fedavg") && lines[0].contains("gained, lost"),
            "{shown}"
        );
        assert!(
            lines[2].contains("+20.0") && lines[2].contains("50, 2"),
            "{shown}"
        );
        assert!(
            lines[2].contains("< 0.001") && lines[2].ends_with("0.049 *"),
            "{shown}"
        );
        assert!(lines[3].ends_with("0.050"), "{shown}");
        assert!(shown.contains("over 2 tests"), "{shown}");
        let seeds = text(&[test(0.01, true)]);
        assert!(
            seeds.contains("+20.0 (+17.5 to +22.5)") && seeds.contains("fewer than 3"),
            "{seeds}"
        );
        assert_eq!(text(&[]), "");
        assert_eq!(chance(None), "–");
    }
}
