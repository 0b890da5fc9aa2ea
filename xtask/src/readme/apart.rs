//! The table of rules beside those of the same name elsewhere.

use serde_json::{Map, Value};

/// One row a figure named `apart.RULE.WHERE`, whose `peer` says what differs.
pub(super) fn table(figures: &[Map<String, Value>]) -> String {
    let mut out = String::from("| here | there | apart |\n| --- | --- | --- |\n");
    for figure in figures {
        let text = |key: &str| figure.get(key).and_then(Value::as_str).unwrap_or_default();
        let Some((rule, _)) = text("name")
            .strip_prefix("apart.")
            .and_then(|rest| rest.split_once('.'))
        else {
            continue;
        };
        let apart = match figure.get("value").and_then(Value::as_f64) {
            Some(0.0) => "equal".to_owned(),
            Some(share) => format!("{:.1} %", 100.0 * share),
            None => "–".to_owned(),
        };
        out.push_str(&format!("| `{rule}` | {} | {apart} |\n", text("peer")));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_that_are_one_are_equal() {
        let figures = [
            json!({"name": "apart.median.flwr", "value": 0.255, "peer": "the mean of two"}),
            json!({"name": "apart.krum-original.flwr", "value": 0.0, "peer": "the same"}),
            json!({"name": "rules.total", "value": 33.0}),
        ];
        let figures: Vec<_> = figures
            .iter()
            .filter_map(|one| one.as_object().cloned())
            .collect();
        let rows = table(&figures);
        assert!(
            rows.contains("| `median` | the mean of two | 25.5 % |"),
            "{rows}"
        );
        assert!(
            rows.ends_with("| `krum-original` | the same | equal |\n"),
            "{rows}"
        );
    }
}
