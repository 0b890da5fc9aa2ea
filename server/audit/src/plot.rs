//! Plots as SVG: shares against each other with their intervals, and shares by a number. Colours follow the reader's
//! light or dark; a label stands beside each point. The developer commands draw the tables of the docs with it.

/// A share with the ends of its interval, %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// The share.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// One point of a plot of two shares.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Name.
    pub name: String,
    /// Share across.
    pub helpfulness: Value,
    /// Share up.
    pub safety: Value,
}

/// One line of a plot by a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Name.
    pub name: String,
    /// Its share at each place; none where it was not measured.
    pub values: Vec<Option<Value>>,
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

/// The document around what was drawn; `alt` is for those who do not see it.
fn document(alt: &str, body: &str) -> String {
    let alt = escaped(alt);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" role=\"img\" aria-label=\"{alt}\">\n<title>{alt}</title>\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
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
    let (x, y) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    out + &format!(
        "<text class=\"t\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
         <text class=\"t\" transform=\"translate(14 {y:.1}) rotate(-90)\" text-anchor=\"middle\">%</text>\n",
        HEIGHT - 10.0,
        escaped(title)
    )
}

/// Safety against helpfulness, with a label for each point at the right; none of fewer than two points.
pub fn scatter(alt: &str, points: &[Point]) -> Option<String> {
    let lows = points.iter().map(|point| point.helpfulness.low);
    let least = lows.fold(f64::INFINITY, f64::min);
    if points.len() < 2 || !least.is_finite() {
        return None;
    }
    // Helpfulness hardly varies: its axis begins at the ten below the least.
    let from = (least / 10.0).floor().clamp(0.0, 9.0) * 10.0;
    let across = |percent: f64| LEFT + (RIGHT - LEFT) * (percent - from) / (100.0 - from);
    let mut out = axis("helpfulness, % (across); safety, % (up)");
    for tick in (0..=10).map(|ten| f64::from(ten) * 10.0) {
        if tick < from {
            continue;
        }
        let x = across(tick);
        out.push_str(&format!(
            "<line class=\"g\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text class=\"t\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>\n",
            BOTTOM + 18.0
        ));
    }
    let mut labels = Vec::new();
    for (at, point) in points.iter().enumerate() {
        let Point {
            name,
            helpfulness,
            safety,
        } = point;
        let (x, y) = (across(helpfulness.value), height(safety.value));
        let colour = at % COLOURS;
        out.push_str(&format!(
            "<g class=\"c{colour}\"><line class=\"b\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            across(helpfulness.low),
            across(helpfulness.high)
        ));
        out.push_str(&format!(
            "<line class=\"b\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/></g>\n",
            height(safety.low),
            height(safety.high)
        ));
        labels.push(Label {
            x,
            y,
            at: y,
            text: format!(
                "{name}: {:.0} safe, {:.0} helpful",
                safety.value, helpfulness.value
            ),
            colour,
        });
    }
    Some(document(alt, &(out + &named(labels))))
}

/// Lines of shares over places, each named at its end; none where nothing was measured.
pub fn lines(alt: &str, title: &str, ticks: &[&str], lines: &[Line]) -> Option<String> {
    let across = |at: usize| {
        let step = (RIGHT - LEFT - 40.0) / ticks.len().saturating_sub(1).max(1) as f64;
        LEFT + 20.0 + step * at as f64
    };
    let mut out = axis(title);
    for (at, tick) in ticks.iter().enumerate() {
        out.push_str(&format!(
            "<text class=\"t\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            across(at),
            BOTTOM + 18.0,
            escaped(tick)
        ));
    }
    let mut labels = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let colour = at % COLOURS;
        let places = line.values.iter().enumerate();
        let points: Vec<(f64, Value)> = places
            .filter_map(|(at, value)| Some((across(at), (*value)?)))
            .collect();
        let Some((x, last)) = points.last() else {
            continue;
        };
        let places = points
            .iter()
            .map(|(x, share)| format!("{x:.1},{:.1}", height(share.value)));
        out.push_str(&format!(
            "<g class=\"c{colour}\"><polyline class=\"p\" points=\"{}\"/>",
            places.collect::<Vec<_>>().join(" ")
        ));
        for (x, share) in &points {
            out.push_str(&format!(
                "<line class=\"b\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
                 <circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\"/>",
                height(share.low),
                height(share.high),
                height(share.value)
            ));
        }
        out.push_str("</g>\n");
        let y = height(last.value);
        labels.push(Label {
            x: *x,
            y,
            at: y,
            text: format!("{}: {:.0} %", line.name, last.value),
            colour,
        });
    }
    (!labels.is_empty()).then(|| document(alt, &(out + &named(labels))))
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
    use super::*;

    fn share(value: f64) -> Value {
        Value {
            value,
            low: value - 1.0,
            high: value + 1.0,
        }
    }

    #[test]
    fn points_stand_where_their_shares_are_and_labels_apart() {
        let point = |name: &str, safety: f64| Point {
            name: name.to_owned(),
            helpfulness: share(90.0),
            safety: share(safety),
        };
        let points = [point("a<b", 100.0), point("two", 0.0), point("three", 0.0)];
        let svg = scatter("Alt", &points).unwrap();
        // The axis goes from 80 to 100: 90 is the middle. 100 % is at the top, 0 % at the bottom.
        let middle = (LEFT + RIGHT) / 2.0;
        for y in [TOP, BOTTOM] {
            let place = format!("<circle cx=\"{middle:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
            assert!(svg.contains(&place), "{place}\n{svg}");
        }
        assert!(svg.contains("a&lt;b: 100 safe, 90 helpful") && !svg.contains("a<b"));
        let heights: Vec<&str> = svg
            .split("r=\"3\"/><text class=\"n\" x=\"642.0\" y=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(heights, ["20.0", "416.0", "431.0"]);
        assert!(scatter("Alt", &points[..1]).is_none());
    }

    #[test]
    fn lines_go_through_the_places_that_were_measured() {
        let line = |name: &str, values: [Option<f64>; 3]| Line {
            name: name.to_owned(),
            values: values.map(|value| value.map(share)).to_vec(),
        };
        let lines_of = [
            line("one", [Some(50.0), None, Some(25.0)]),
            line("none", [None; 3]),
        ];
        let svg = lines("Alt", "number", &["1", "2", "3"], &lines_of).unwrap();
        let (first, last) = (LEFT + 20.0, RIGHT - 20.0);
        let drawn = format!(
            "points=\"{first:.1},{:.1} {last:.1},{:.1}\"",
            height(50.0),
            height(25.0)
        );
        assert!(svg.contains(&drawn), "{drawn}\n{svg}");
        assert!(svg.contains("one: 25 %") && !svg.contains("none:"));
        assert!(lines("Alt", "number", &["1"], &lines_of[1..]).is_none());
    }
}
