//! Plots of the whole table as SVG files in `docs`: safety against helpfulness with intervals, and safety by the share
//! of attackers, the data of the defence and the rank of the adapter.

use serde_json::{Map, Value};

use super::rows::{Cell, arms, cell};

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

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 610.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 412.0;
/// Height of a label.
const LINE: f64 = 15.0;
/// Classes of colours, in turn.
const COLOURS: usize = 6;
const STYLE: &str = "\
.g{stroke:#d0d7de;stroke-width:1}.t{fill:#57606a;font-size:12px}.n{fill:#1f2328;font-size:12px}.k{stroke:#afb8c1;stroke-width:.8;fill:none}\
.c0{fill:#0969da;stroke:#0969da}.c1{fill:#cf222e;stroke:#cf222e}.c2{fill:#1a7f37;stroke:#1a7f37}\
.c3{fill:#9a6700;stroke:#9a6700}.c4{fill:#8250df;stroke:#8250df}.c5{fill:#57606a;stroke:#57606a}\
.b{stroke-width:1.4;opacity:.6}.p{fill:none;stroke-width:2}\
@media (prefers-color-scheme:dark){.g{stroke:#30363d}.t{fill:#8b949e}.n{fill:#e6edf3}.k{stroke:#6e7681}\
.c0{fill:#58a6ff;stroke:#58a6ff}.c1{fill:#f85149;stroke:#f85149}.c2{fill:#3fb950;stroke:#3fb950}\
.c3{fill:#d29922;stroke:#d29922}.c4{fill:#a371f7;stroke:#a371f7}.c5{fill:#8b949e;stroke:#8b949e}.p{fill:none}}";

/// A label beside the plot, with the point that it is of.
struct Label {
    x: f64,
    y: f64,
    /// Its own height.
    at: f64,
    text: String,
    colour: usize,
}

fn svg(plot: &Plot, figures: &[Map<String, Value>]) -> Option<String> {
    let body = match &plot.shows {
        Shows::Against(part) => scatter(figures, part),
        Shows::By(title, ticks, series) => lines(figures, title, ticks, series),
    }?;
    let alt = escaped(plot.alt);
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" role=\"img\" aria-label=\"{alt}\">\n<title>{alt}</title>\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    ))
}

/// Height of a percentage.
fn height(percent: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * percent / 100.0
}

fn axis(title: &str) -> String {
    let mut out = String::new();
    for tick in [0.0, 20.0, 40.0, 60.0, 80.0, 100.0] {
        let y = height(tick);
        out.push_str(&format!(
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"t\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>\n",
            LEFT - 8.0,
            y + 4.0
        ));
    }
    let (x, y) = ((LEFT + RIGHT) / 2.0, f64::midpoint(TOP, BOTTOM));
    out + &format!(
        "<text class=\"t\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
         <text class=\"t\" transform=\"translate(14 {y:.1}) rotate(-90)\" text-anchor=\"middle\">%</text>\n",
        HEIGHT - 10.0,
        escaped(title)
    )
}

/// Safety against helpfulness, with a label for each arm at the right.
fn scatter(figures: &[Map<String, Value>], part: &str) -> Option<String> {
    let both = |(arm, _): (String, String)| {
        let of = |measure| cell(figures, &format!("{part}.{arm}"), measure);
        Some((of("helpfulness")?, of("safety")?, arm))
    };
    let points: Vec<(Cell, Cell, String)> =
        arms(figures, part).into_iter().filter_map(both).collect();
    let ends = points.iter().flat_map(|(x, _, _)| [low(x), high(x)]);
    let least = ends.fold(f64::INFINITY, f64::min);
    if points.len() < 2 || !least.is_finite() {
        return None;
    }
    // Helpfulness hardly varies: its axis begins at the ten below the least.
    let from = (least / 10.0).floor().clamp(0.0, 9.0) * 10.0;
    let across = |percent: f64| LEFT + (RIGHT - LEFT) * (percent - from) / (100.0 - from);
    let mut out = axis("helpfulness, % (across); safety, % (up)");
    let mut tick = from;
    while tick <= 100.0 {
        let x = across(tick);
        out.push_str(&format!(
            "<line class=\"g\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text class=\"t\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>\n",
            BOTTOM + 18.0
        ));
        tick += 10.0;
    }
    let mut labels = Vec::new();
    for (at, (helpfulness, safety, arm)) in points.iter().enumerate() {
        let (x, y) = (across(helpfulness.value), height(safety.value));
        let colour = at % COLOURS;
        out.push_str(&format!(
            "<g class=\"c{colour}\"><line class=\"b\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            across(low(helpfulness)),
            across(high(helpfulness))
        ));
        out.push_str(&format!(
            "<line class=\"b\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/></g>\n",
            height(low(safety)),
            height(high(safety))
        ));
        labels.push(Label {
            x,
            y,
            at: y,
            text: format!(
                "{arm}: {:.0} safe, {:.0} helpful",
                safety.value, helpfulness.value
            ),
            colour,
        });
    }
    Some(out + &named(labels))
}

/// Lines of measures over places, each named at its end.
fn lines(
    figures: &[Map<String, Value>],
    title: &str,
    ticks: &[&str],
    series: &[Series],
) -> Option<String> {
    let across = |at: usize| {
        let step = (RIGHT - LEFT - 40.0) / ticks.len().saturating_sub(1).max(1) as f64;
        LEFT + 20.0 + step * at as f64
    };
    let mut out = axis(title);
    for (at, tick) in ticks.iter().enumerate() {
        out.push_str(&format!(
            "<text class=\"t\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>\n",
            across(at),
            BOTTOM + 18.0
        ));
    }
    let mut labels = Vec::new();
    for (colour, one) in series.iter().enumerate() {
        let points: Vec<(f64, Cell)> = one
            .rows
            .iter()
            .enumerate()
            .filter_map(|(at, row)| Some((across(at), cell(figures, row, one.measure)?)))
            .collect();
        let Some((x, last)) = points.last() else {
            continue;
        };
        let places = points
            .iter()
            .map(|(x, cell)| format!("{x:.1},{:.1}", height(cell.value)));
        out.push_str(&format!(
            "<g class=\"c{colour}\"><polyline class=\"p\" points=\"{}\"/>",
            places.collect::<Vec<_>>().join(" ")
        ));
        for (x, cell) in &points {
            out.push_str(&format!(
                "<line class=\"b\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
                 <circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\"/>",
                height(low(cell)),
                height(high(cell)),
                height(cell.value)
            ));
        }
        out.push_str("</g>\n");
        let y = height(last.value);
        labels.push(Label {
            x: *x,
            y,
            at: y,
            text: format!("{}: {:.0} %", one.label, last.value),
            colour,
        });
    }
    (!labels.is_empty()).then(|| out + &named(labels))
}

fn low(cell: &Cell) -> f64 {
    cell.low.unwrap_or(cell.value)
}

fn high(cell: &Cell) -> f64 {
    cell.high.unwrap_or(cell.value)
}

/// Labels in a column, pushed apart, with lines to their points.
fn named(mut labels: Vec<Label>) -> String {
    labels.sort_by(|one, other| one.y.total_cmp(&other.y));
    let mut floor = TOP;
    for label in &mut labels {
        label.at = label.at.max(floor);
        floor = label.at + LINE;
    }
    let mut ceiling = HEIGHT - LINE;
    for label in labels.iter_mut().rev() {
        label.at = label.at.min(ceiling);
        ceiling = label.at - LINE;
    }
    let column = RIGHT + 24.0;
    let mut out = String::new();
    for Label {
        x,
        y,
        at,
        text,
        colour,
    } in labels
    {
        out.push_str(&format!(
            "<path class=\"k\" d=\"M{:.1} {y:.1}L{:.1} {at:.1}\"/>\
             <circle class=\"c{colour}\" cx=\"{column:.1}\" cy=\"{at:.1}\" r=\"3\"/>\
             <text class=\"n\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            x + 5.0,
            column - 4.0,
            column + 8.0,
            at + 4.0,
            escaped(&text)
        ));
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::figures;
    use super::*;

    #[test]
    fn points_stand_where_their_figures_are_and_labels_apart() {
        let figures = figures(&[
            ("paper.clean", [100.0, 0.0, 90.0]),
            ("paper.fedavg", [0.0, 0.0, 90.0]),
            ("paper.krum", [0.0, 0.0, 90.0]),
        ]);
        let all = all(&figures);
        assert_eq!(all.len(), 1);
        let (file, svg) = &all[0];
        assert_eq!(*file, "table-paper.svg");
        // The axis goes from 80 to 100: 90 is the middle. 100 % is at the top, 0 % at the bottom.
        let middle = (LEFT + RIGHT) / 2.0;
        for y in [TOP, BOTTOM] {
            let point = format!("<circle cx=\"{middle:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
            assert!(svg.contains(&point), "{point}\n{svg}");
        }
        assert!(svg.contains("clean: 100 safe, 90 helpful"));
        let heights: Vec<&str> = svg
            .split("r=\"3\"/><text class=\"n\" x=\"642.0\" y=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(heights, ["20.0", "416.0", "431.0"]);
        assert_eq!(
            image(&figures, "table-paper.svg")
                .unwrap()
                .matches("](")
                .count(),
            1
        );
        assert!(
            image(&figures, "table-rank.svg")
                .unwrap()
                .contains("Not measured")
        );
        assert!(image(&figures, "other.svg").is_none());
    }

    #[test]
    fn lines_go_through_the_places_that_were_measured() {
        let figures = figures(&[
            ("shares.fedavg-1", [50.0, 0.0, 90.0]),
            ("shares.fedavg-5", [25.0, 0.0, 90.0]),
        ]);
        let all = all(&figures);
        let (_, svg) = all
            .iter()
            .find(|(file, _)| *file == "table-attackers.svg")
            .unwrap();
        let step = (RIGHT - LEFT - 40.0) / 5.0;
        let (first, last) = (LEFT + 20.0 + step, RIGHT - 20.0);
        let line = format!(
            "points=\"{first:.1},{:.1} {last:.1},{:.1}\"",
            height(50.0),
            height(25.0)
        );
        assert!(svg.contains(&line), "{line}\n{svg}");
        assert!(svg.contains("FedAvg: 25 %") && !svg.contains("Krum"));
    }
}
