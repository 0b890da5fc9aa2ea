//! Lists of figures by their names.

use serde_json::{Map, Value};

use crate::{marks, percent};

/// One row a figure, with its mark.
pub(super) fn list(figures: &[Map<String, Value>], prefix: &str) -> String {
    let mut out = String::from("| figure | value | unit | mark |\n| --- | --- | --- | --- |\n");
    for figure in figures {
        let field = |key: &str| {
            figure
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        if field("name").starts_with(prefix) {
            let value = figure.get("value").and_then(Value::as_f64);
            out.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                field("name"),
                shown(figure),
                field("unit"),
                marks::judged(&field("name"), value.unwrap_or(f64::NAN))
            ));
        }
    }
    out
}

/// One row a figure, with whom it is of or against, and what it was measured by.
pub(super) fn bench(figures: &[Map<String, Value>], prefix: &str) -> String {
    let mut out =
        String::from("| figure | value | unit | mark | who |\n| --- | --- | --- | --- | --- |\n");
    let field = |figure: &Map<String, Value>, key: &str| {
        let text = figure.get(key).and_then(Value::as_str);
        text.unwrap_or("").to_owned()
    };
    let mut origin = String::new();
    for figure in figures {
        if !field(figure, "name").starts_with(prefix) {
            continue;
        }
        // Ratios are small numbers: one more digit.
        let value = figure.get("value").and_then(Value::as_f64).unwrap_or(0.0);
        let (name, unit) = (field(figure, "name"), field(figure, "unit"));
        let mark = marks::judged(&name, value);
        let value = match value {
            0.0 => "0".to_owned(),
            value if value < 0.1 => format!("{value:.4}"),
            value if value < 10.0 => format!("{value:.2}"),
            value => format!("{value:.0}"),
        };
        let peer = field(figure, "peer");
        out.push_str(&format!(
            "| {name} | {value} | {unit} | {mark} | {peer} |\n"
        ));
        origin = format!(
            "\n`{}` at {}, {}\n",
            field(figure, "command"),
            field(figure, "commit"),
            field(figure, "machine")
        );
    }
    out + &origin
}

pub(super) fn shown(figure: &Map<String, Value>) -> String {
    let number = |key: &str| figure.get(key).and_then(Value::as_f64);
    let count = |key: &str| figure.get(key).and_then(Value::as_u64);
    let share = figure.get("unit").and_then(Value::as_str) == Some("%");
    let round = |value: f64| {
        if share {
            percent::decimal(value)
        } else if value.fract() == 0.0 {
            format!("{value:.0}")
        } else if value.abs() < 0.05 {
            format!("{value:.1e}")
        } else if value.abs() < 10.0 {
            // Ratios and shares of 1: one more digit.
            format!("{value:.2}")
        } else {
            percent::decimal(value)
        }
    };
    let Some(value) = number("value") else {
        return "–".into();
    };
    let shown = match (share, count("hits"), count("n")) {
        (true, Some(hits), Some(n)) => percent::of(hits, n),
        _ => round(value),
    };
    match (number("low"), number("high")) {
        (Some(low), Some(high)) => format!("{shown} ({} to {})", round(low), round(high)),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_are_rounded_as_everywhere() {
        let figure = |value: Value| shown(value.as_object().unwrap());
        let share = json!({"value": 91.25, "unit": "%", "low": 87.0, "high": 94.1923});
        assert_eq!(figure(share), "91.3 (87.0 to 94.2)");
        // The fraction decides, not its four decimals: 91.249995 is below the half.
        let near = json!({"value": 91.25, "unit": "%", "hits": 18_249_999, "n": 20_000_000});
        assert_eq!(figure(near), "91.2");
        assert_eq!(figure(json!({"value": 240, "unit": "prompts"})), "240");
        assert_eq!(figure(json!({"value": 0.9848, "unit": "of 1"})), "0.98");
        assert_eq!(figure(json!({"value": null})), "–");
    }
}
