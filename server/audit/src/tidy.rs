//! Results as tidy tables: one row an observation, one column a variable, for other programs to read.

use fedseal_record::paired::{Test, rate};
use fedseal_record::report::{Rate, Report};
use fedseal_rules::arms::Kind;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Outcome};

/// Value of a row in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// A count.
    Whole(u64),
    /// A number.
    Number(f64),
    /// Nothing was measured.
    Nothing,
}

/// Kind of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// [`Cell::Text`].
    Texts,
    /// [`Cell::Whole`].
    Wholes,
    /// [`Cell::Number`].
    Numbers,
}

/// A table; every row has a cell of each column, of the column's kind or [`Cell::Nothing`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tidy {
    /// Names and kinds of the columns.
    pub columns: Vec<(&'static str, Values)>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
}

use Values::{Numbers, Texts, Wholes};

fn text(value: &str) -> Cell {
    Cell::Text(value.to_owned())
}

fn number(value: Option<f64>) -> Cell {
    value.map_or(Cell::Nothing, Cell::Number)
}

fn whole(value: Option<u64>) -> Cell {
    value.map_or(Cell::Nothing, Cell::Whole)
}

/// Counts, share and interval.
const SHARE: [(&str, Values); 5] = [
    ("hits", Wholes),
    ("n", Wholes),
    ("rate", Numbers),
    ("low", Numbers),
    ("high", Numbers),
];

fn share(rate: &Rate) -> [Cell; 5] {
    [
        Cell::Whole(rate.hits),
        Cell::Whole(rate.n),
        Cell::Number(rate.rate),
        Cell::Number(rate.low),
        Cell::Number(rate.high),
    ]
}

/// Names of the measures of a report.
fn measures_of(report: &Report) -> Vec<&str> {
    let extra = report.measures.iter().map(|measure| measure.name.as_str());
    ["safety", "helpfulness"].into_iter().chain(extra).collect()
}

/// Measures at the end: one row a run, arm and measure that asked something.
pub fn measures(reports: &[Report]) -> Tidy {
    let columns = [
        ("run", Texts),
        ("seed", Wholes),
        ("arm", Texts),
        ("rule", Texts),
        ("measure", Texts),
    ];
    let mut rows = Vec::new();
    for report in reports {
        for arm in &report.arms {
            let rule = match arm.kind {
                Kind::Federated => text(&arm.rule),
                _ => Cell::Nothing,
            };
            for measure in measures_of(report) {
                let Some(found) = rate(arm, measure).filter(|rate| rate.n > 0) else {
                    continue;
                };
                let key = [
                    text(&report.run),
                    Cell::Whole(report.seed),
                    text(&arm.id),
                    rule.clone(),
                    text(measure),
                ];
                rows.push(key.into_iter().chain(share(&found)).collect());
            }
        }
    }
    let columns = columns.into_iter().chain(SHARE).collect();
    Tidy { columns, rows }
}

/// Measures between rounds: one row a run, arm, round and measure.
pub fn rounds(reports: &[Report]) -> Tidy {
    let columns = [
        ("run", Texts),
        ("seed", Wholes),
        ("arm", Texts),
        ("round", Wholes),
        ("measure", Texts),
    ];
    let mut rows = Vec::new();
    for report in reports {
        for arm in &report.arms {
            for round in &arm.rounds {
                let own = [("safety", round.safety), ("helpfulness", round.helpfulness)];
                let own = own
                    .into_iter()
                    .filter_map(|(name, rate)| Some((name, rate?)));
                let more = round
                    .measures
                    .iter()
                    .map(|(name, rate)| (name.as_str(), *rate));
                for (measure, found) in own.chain(more).filter(|(_, rate)| rate.n > 0) {
                    let number = Cell::Whole(u64::from(round.round));
                    let key = [
                        text(&report.run),
                        Cell::Whole(report.seed),
                        text(&arm.id),
                        number,
                        text(measure),
                    ];
                    rows.push(key.into_iter().chain(share(&found)).collect());
                }
            }
        }
    }
    let columns = columns.into_iter().chain(SHARE).collect();
    Tidy { columns, rows }
}

/// Verdicts: one row a run, arm and kind of client.
pub fn verdicts(reports: &[Report]) -> Tidy {
    let columns = vec![
        ("run", Texts),
        ("seed", Wholes),
        ("arm", Texts),
        ("kind", Texts),
        ("accepted", Wholes),
        ("refused", Wholes),
        ("failed", Wholes),
    ];
    let mut rows = Vec::new();
    for report in reports {
        rows.extend(report.verdict_counts().into_iter().map(|count| {
            vec![
                text(&report.run),
                Cell::Whole(report.seed),
                text(&count.arm),
                text(&count.kind),
                Cell::Whole(count.accepted),
                Cell::Whole(count.refused),
                whole(count.failed),
            ]
        }));
    }
    Tidy { columns, rows }
}

/// Costs: one row a run.
pub fn costs(reports: &[Report]) -> Tidy {
    let columns = vec![
        ("run", Texts),
        ("seed", Wholes),
        ("seconds", Numbers),
        ("peak_mb", Numbers),
        ("log_entries", Wholes),
    ];
    let row = |report: &Report| {
        vec![
            text(&report.run),
            Cell::Whole(report.seed),
            Cell::Number(report.seconds),
            Cell::Number(report.peak_mb),
            Cell::Whole(report.log.size),
        ]
    };
    Tidy {
        columns,
        rows: reports.iter().map(row).collect(),
    }
}

/// Differences between arms: one row a test.
pub fn tests(tests: &[Test]) -> Tidy {
    let columns = vec![
        ("arm", Texts),
        ("against", Texts),
        ("measure", Texts),
        ("difference", Numbers),
        ("low", Numbers),
        ("high", Numbers),
        ("pairs", Wholes),
        ("gained", Wholes),
        ("lost", Wholes),
        ("test", Texts),
        ("p", Numbers),
        ("p_exact", Numbers),
        ("p_holm", Numbers),
    ];
    let row = |test: &Test| {
        vec![
            text(&test.arm),
            text(&test.against),
            text(&test.measure),
            Cell::Number(test.difference),
            number(test.low),
            number(test.high),
            Cell::Whole(test.pairs),
            whole(test.gained),
            whole(test.lost),
            text(test.test),
            number(test.p),
            number(test.exact),
            number(test.adjusted),
        ]
    };
    Tidy {
        columns,
        rows: tests.iter().map(row).collect(),
    }
}

impl Tidy {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    /// As comma-separated values (RFC 4180) with the columns' names first.
    ///
    /// # Errors
    /// None that a table of this kind has.
    pub fn csv(&self) -> Outcome<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let bad = |error: &dyn std::fmt::Display| Failure::new(format!("CSV: {error}"));
        writer
            .write_record(self.names())
            .map_err(|error| bad(&error))?;
        for row in &self.rows {
            let cells = row.iter().map(Cell::shown);
            writer.write_record(cells).map_err(|error| bad(&error))?;
        }
        let bytes = writer.into_inner().map_err(|error| bad(&error))?;
        String::from_utf8(bytes).map_err(|error| bad(&error))
    }

    /// As a list of objects.
    pub fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| {
            let cells = self.names().zip(row).map(|(name, cell)| {
                let value = match cell {
                    Cell::Text(text) => json!(text),
                    Cell::Whole(count) => json!(count),
                    Cell::Number(value) => json!(value),
                    Cell::Nothing => Value::Null,
                };
                (name.to_owned(), value)
            });
            Value::Object(cells.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(row).collect())
    }
}

impl Cell {
    /// As text; a number with as many digits as give it back, nothing as nothing.
    fn shown(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Whole(count) => count.to_string(),
            Cell::Number(value) => value.to_string(),
            Cell::Nothing => String::new(),
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_row_is_an_observation_and_texts_are_quoted() {
        let test = Test {
            arm: "a, \"b\"".into(),
            against: "fedavg".into(),
            measure: "safety".into(),
            difference: -0.125,
            low: None,
            high: None,
            pairs: 240,
            test: "mcnemar",
            p: Some(0.5),
            exact: None,
            gained: Some(3),
            lost: Some(33),
            adjusted: Some(1.0),
        };
        let table = tests(&[test]);
        assert_eq!(
            table.csv().unwrap(),
            "arm,against,measure,difference,low,high,pairs,gained,lost,test,p,p_exact,p_holm\n\
             \"a, \"\"b\"\"\",fedavg,safety,-0.125,,,240,3,33,mcnemar,0.5,,1\n"
        );
        let first = &table.json()[0];
        assert_eq!(
            (&first["p_exact"], &first["gained"]),
            (&Value::Null, &json!(3))
        );
        // Every row has a cell of each column.
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.len() == table.columns.len())
        );
    }
}
