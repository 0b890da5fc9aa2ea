//! The table of models beside transformers.

use serde_json::{Map, Value};

/// One row a checkpoint, from figures named `families.CHECKPOINT.MEASURE`.
pub(super) fn table(figures: &[Map<String, Value>]) -> String {
    let value = |wanted: &str| {
        let name = |figure: &&Map<String, Value>| {
            figure.get("name").and_then(Value::as_str) == Some(wanted)
        };
        figures.iter().find(name)?.get("value")?.as_f64()
    };
    let names = figures.iter().filter_map(|figure| {
        let name = figure.get("name").and_then(Value::as_str)?;
        name.strip_prefix("families.")?.strip_suffix(".logits")
    });
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let mut out = String::from(
        "| checkpoint | logits | LoRA step | loss | greedy text |\n| --- | --- | --- | --- | --- |\n",
    );
    for name in names {
        let share = |measure: &str| {
            let value = value(&format!("families.{name}.{measure}"));
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1e}"))
        };
        let greedy = match value(&format!("families.{name}.greedy")) {
            Some(1.0) => "equal",
            Some(_) => "differs",
            None => "–",
        };
        out.push_str(&format!(
            "| {name} | {} | {} | {} | {greedy} |\n",
            share("logits"),
            share("step"),
            share("loss"),
        ));
    }
    let whole =
        |name: &str| value(name).map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"));
    out.push_str(&format!(
        "\n{} of {} families agree; of the adapters {} kinds are loaded, {} refused by key, {} wrong.\n",
        whole("families.agreed"),
        whole("families.total"),
        whole("adapters.loaded"),
        whole("adapters.refused"),
        whole("adapters.wrong"),
    ));
    out
}
