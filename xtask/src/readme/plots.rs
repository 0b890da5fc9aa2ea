//! Plots of the whole table as SVG files in `docs`: safety against helpfulness with intervals, and safety by the share
//! of attackers, the data of the defence and the rank of the adapter.

use serde_json::{Map, Value};

use super::rows::{Cell, arms, cell};
use crate::plot::Value as Share;
use crate::plot::{self, Line, Point};

/// A plot and its file.
struct Plot {
    file: &'static str,
    /// Description, for those who do not see it.
    alt: &'static str,
    shows: Shows,
}

/// Content of a plot.
enum Shows {
    /// Safety against helpfulness of the arms of a part.
    Against(&'static str),
    /// Measures of rows by a number.
    By(&'static str, &'static [&'static str], &'static [Series]),
}

/// One line of a plot.
struct Series {
    label: &'static str,
    measure: &'static str,
    /// `PART.ARM` at each place.
    rows: &'static [&'static str],
}

const ATTACKERS: &[Series] = &[
    Series {
        label: "FedAvg",
        measure: "safety",
        rows: &[
            "shares.clean",
            "shares.fedavg-1",
            "shares.fedavg-2",
            "shares.fedavg",
            "shares.fedavg-4",
            "shares.fedavg-5",
        ],
    },
    Series {
        label: "Krum",
        measure: "safety",
        rows: &[
            "",
            "shares.krum-1",
            "shares.krum-2",
            "shares.krum-3",
            "shares.krum-4",
            "shares.krum-5",
        ],
    },
    Series {
        label: "behaviour checks",
        measure: "safety",
        rows: &[
            "",
            "shares.checked-1",
            "shares.checked-2",
            "shares.checked-3",
            "shares.checked-4",
            "shares.checked-5",
        ],
    },
];

const DATA: [&str; 6] = [
    "shares.fedavg",
    "shares.data-25",
    "shares.data-50",
    "shares.data-100",
    "shares.data-200",
    "shares.data-400",
];
const DEFENCE: &[Series] = &[
    Series {
        label: "safety",
        measure: "safety",
        rows: &DATA,
    },
    Series {
        label: "helpfulness",
        measure: "helpfulness",
        rows: &DATA,
    },
    Series {
        label: "over-refusal",
        measure: "over-refusal",
        rows: &DATA,
    },
];

const RANK: &[Series] = &[
    Series {
        label: "clean",
        measure: "safety",
        rows: &[
            "lifespan-rank-2.clean",
            "lifespan-rank-4.clean",
            "lifespan-rank-8.clean",
            "lifespan-rank-16.clean",
        ],
    },
    Series {
        label: "attack until half-time",
        measure: "safety",
        rows: &[
            "lifespan-rank-2.stopped",
            "lifespan-rank-4.stopped",
            "lifespan-rank-8.stopped",
            "lifespan-rank-16.stopped",
        ],
    },
    Series {
        label: "attack to the end",
        measure: "safety",
        rows: &[
            "lifespan-rank-2.fedavg",
            "lifespan-rank-4.fedavg",
            "lifespan-rank-8.fedavg",
            "lifespan-rank-16.fedavg",
        ],
    },
];

const fn against(file: &'static str, alt: &'static str, part: &'static str) -> Plot {
    Plot {
        file,
        alt,
        shows: Shows::Against(part),
    }
}

const PLOTS: &[Plot] = &[
    against(
        "table-paper.svg",
        "Safety against helpfulness: the paper's rows",
        "paper",
    ),
    against(
        "table-neighbours.svg",
        "Safety against helpfulness: neighbouring systems",
        "neighbours",
    ),
    against(
        "table-attacks.svg",
        "Safety against helpfulness: attacks since the paper",
        "attacks",
    ),
    against(
        "table-rules.svg",
        "Safety against helpfulness: further aggregation rules",
        "rules",
    ),
    against(
        "table-literature.svg",
        "Safety against helpfulness: attacks of the literature",
        "literature",
    ),
    against(
        "table-behaviour.svg",
        "Safety against helpfulness: attacks that know the behaviour check",
        "behaviour",
    ),
    against(
        "table-repair.svg",
        "Safety against helpfulness: repairs",
        "repair",
    ),
    against(
        "table-smollm2.svg",
        "Safety against helpfulness: SmolLM2-135M-Instruct",
        "smollm2",
    ),
    Plot {
        file: "table-attackers.svg",
        alt: "Safety by the number of attackers among ten clients",
        shows: Shows::By(
            "attackers among ten clients",
            &["0", "1", "2", "3", "4", "5"],
            ATTACKERS,
        ),
    },
    Plot {
        file: "table-data.svg",
        alt: "Safety, helpfulness and over-refusal by the number of safety pairs of the defence",
        shows: Shows::By(
            "safety pairs of the defence",
            &["0", "25", "50", "100", "200", "400"],
            DEFENCE,
        ),
    },
    Plot {
        file: "table-rank.svg",
        alt: "Safety at the end by the rank of the adapter, with an attack that stopped at half-time",
        shows: Shows::By("rank of the adapter", &["2", "4", "8", "16"], RANK),
    },
];

/// The plots that there are figures for: file, description, SVG.
pub(super) fn all(figures: &[Map<String, Value>]) -> Vec<(&'static str, String)> {
    let drawn = |plot: &Plot| Some((plot.file, svg(plot, figures)?));
    PLOTS.iter().filter_map(drawn).collect()
}

/// The Markdown of a plot; a sentence where there are no figures for it.
pub(super) fn image(figures: &[Map<String, Value>], file: &str) -> Option<String> {
    let plot = PLOTS.iter().find(|plot| plot.file == file)?;
    Some(match svg(plot, figures) {
        Some(_) => format!("![{}]({file})\n", plot.alt),
        None => "Not measured yet.\n".to_owned(),
    })
}

fn svg(plot: &Plot, figures: &[Map<String, Value>]) -> Option<String> {
    match plot.shows {
        Shows::Against(part) => {
            let point = |(arm, _): (String, String)| {
                let of = |measure| share(cell(figures, &format!("{part}.{arm}"), measure)?);
                Some(Point {
                    helpfulness: of("helpfulness")?,
                    safety: of("safety")?,
                    name: arm,
                })
            };
            let points: Vec<Point> = arms(figures, part).into_iter().filter_map(point).collect();
            plot::scatter(plot.alt, &points)
        }
        Shows::By(title, ticks, series) => {
            let line = |one: &Series| {
                let rows = one.rows.iter();
                let values = rows.map(|row| share(cell(figures, row, one.measure)?));
                Line {
                    name: one.label.to_owned(),
                    values: values.collect(),
                }
            };
            let lines: Vec<Line> = series.iter().map(line).collect();
            plot::lines(plot.alt, title, ticks, &lines)
        }
    }
}

fn share(cell: Cell) -> Option<Share> {
    Some(Share {
        value: cell.value,
        low: cell.low.unwrap_or(cell.value),
        high: cell.high.unwrap_or(cell.value),
    })
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::figures;
    use super::*;

    #[test]
    fn plots_are_those_that_there_are_figures_for() {
        let figures = figures(&[
            ("paper.clean", [100.0, 0.0, 90.0]),
            ("paper.fedavg", [0.0, 0.0, 90.0]),
            ("shares.fedavg-5", [25.0, 0.0, 90.0]),
        ]);
        let all = all(&figures);
        let files: Vec<&str> = all.iter().map(|(file, _)| *file).collect();
        assert_eq!(files, ["table-paper.svg", "table-attackers.svg"]);
        assert!(all[0].1.contains("clean: 100 safe, 90 helpful"));
        assert!(all[1].1.contains("FedAvg: 25 %") && !all[1].1.contains("Krum"));
        let image = |file: &str| image(&figures, file);
        assert_eq!(image("table-paper.svg").unwrap().matches("](").count(), 1);
        assert!(image("table-rank.svg").unwrap().contains("Not measured"));
        assert!(image("other.svg").is_none());
    }
}
