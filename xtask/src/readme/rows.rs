//! Rows of the whole table, from figures named `row.PART.ARM.MEASURE`.

use serde_json::{Map, Value};

use crate::percent;

/// Mark of a share that is of few prompts.
const FEW: &str = "†";

/// A measure of a row.
pub(super) struct Cell {
    pub(super) value: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

/// The measure of an arm of a part.
pub(super) fn cell(figures: &[Map<String, Value>], row: &str, measure: &str) -> Option<Cell> {
    let figure = find(figures, &format!("row.{row}.{measure}"))?;
    let number = |key: &str| figure.get(key).and_then(Value::as_f64);
    Some(Cell {
        value: number("value")?,
        low: number("low"),
        high: number("high"),
    })
}

/// The arms of a part in their order, with their titles.
pub(super) fn arms(figures: &[Map<String, Value>], part: &str) -> Vec<(String, String)> {
    let prefix = format!("row.{part}.");
    let arm = |figure: &Map<String, Value>| {
        let name = figure.get("name").and_then(Value::as_str)?;
        let arm = name.strip_prefix(&prefix)?.strip_suffix(".safety")?;
        let title = figure.get("title").and_then(Value::as_str).unwrap_or(arm);
        Some((arm.to_owned(), title.to_owned()))
    };
    figures.iter().filter_map(arm).collect()
}

fn find<'a>(figures: &'a [Map<String, Value>], name: &str) -> Option<&'a Map<String, Value>> {
    let named =
        |figure: &&Map<String, Value>| figure.get("name").and_then(Value::as_str) == Some(name);
    figures.iter().find(named)
}

/// One row an arm: safety less over-refusal first, since safety without its cost says little.
pub(super) fn table(figures: &[Map<String, Value>], part: &str) -> String {
    let arms = arms(figures, part);
    if arms.is_empty() {
        return "| not measured yet |\n| --- |\n".to_owned();
    }
    let mut out = String::from(
        "| row | safety less over-refusal, points | safety % | over-refusal % | helpfulness % | seeds |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for (arm, title) in &arms {
        let row = format!("{part}.{arm}");
        let text = |measure: &str| shown(figures, &row, measure);
        let seeds = find(figures, &format!("row.{row}.safety"))
            .and_then(|figure| figure.get("seeds")?.as_u64())
            .unwrap_or(0);
        out.push_str(&format!(
            "| {title} | {} | {} | {} | {} | {seeds} |\n",
            text("difference"),
            text("safety"),
            text("over-refusal"),
            text("helpfulness"),
        ));
    }
    out.push_str(
        "\nMeans over the seeds with 95 % intervals: Student's t with the seed as the unit; of one seed Wilson's.",
    );
    if out.contains(FEW) {
        out.push_str(&format!(" {FEW}: from fewer than 100 prompts."));
    }
    if let Some(first) = find(figures, &format!("row.{part}.{}.safety", arms[0].0)) {
        let field = |key: &str| first.get(key).and_then(Value::as_str).unwrap_or("–");
        out.push_str(&format!(
            " `{}` at {}, {}",
            field("command"),
            field("commit"),
            field("machine")
        ));
    }
    out + "\n"
}

fn shown(figures: &[Map<String, Value>], row: &str, measure: &str) -> String {
    let Some(cell) = cell(figures, row, measure) else {
        return "–".to_owned();
    };
    let decimal = match measure {
        "difference" => signed,
        _ => percent::decimal as fn(f64) -> String,
    };
    let mut text = decimal(cell.value);
    if let (Some(low), Some(high)) = (cell.low, cell.high) {
        text.push_str(&format!(" ({} to {})", decimal(low), decimal(high)));
    }
    let few = find(figures, &format!("row.{row}.{measure}")).and_then(|figure| figure.get("few"));
    match few.and_then(Value::as_bool) {
        Some(true) => text + " " + FEW,
        _ => text,
    }
}

/// A number of points with its sign.
fn signed(value: f64) -> String {
    let text = percent::decimal(value.abs());
    match text.as_str() {
        "0.0" => text,
        _ if value < 0.0 => format!("-{text}"),
        _ => format!("+{text}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Figures of arms with safety, over-refusal and helpfulness.
    pub(in crate::readme) fn figures(arms: &[(&str, [f64; 3])]) -> Vec<Map<String, Value>> {
        let mut all = Vec::new();
        for (arm, [safety, over, helpfulness]) in arms {
            for (measure, value) in [
                ("safety", *safety),
                ("over-refusal", *over),
                ("helpfulness", *helpfulness),
                ("difference", safety - over),
            ] {
                let figure = json!({
                    "name": format!("row.{arm}.{measure}"), "title": "A title", "value": value,
                    "low": value - 1.0, "high": value + 1.0, "seeds": 3, "few": measure == "over-refusal",
                    "command": "x", "commit": "y", "machine": "z",
                });
                all.extend(figure.as_object().cloned());
            }
        }
        all
    }

    #[test]
    fn the_difference_comes_first_and_few_prompts_are_marked() {
        let figures = figures(&[
            ("paper.clean", [90.0, 10.25, 80.0]),
            ("other.clean", [1.0; 3]),
        ]);
        let text = table(&figures, "paper");
        let row = "| A title | +79.8 (+78.8 to +80.8) | 90.0 (89.0 to 91.0) | 10.3 (9.3 to 11.3) † | 80.0 (79.0 to 81.0) | 3 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("†: from fewer than 100 prompts"), "{text}");
        assert_eq!(text.matches("A title").count(), 1);
        assert_eq!(signed(-0.01), "0.0");
        assert!(table(&figures, "none").contains("not measured yet"));
    }
}
