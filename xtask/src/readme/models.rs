//! The table of models beside transformers.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Forms of a checkpoint, as figures and the table have them.
const FORMS: [(&str, &str); 2] = [("folder", "folder"), ("gguf", "GGUF")];

/// One row a family and form, from figures named `families.FAMILY.FORM.MEASURE`.
pub(super) fn table(figures: &[Map<String, Value>]) -> String {
    let value = |wanted: &str| {
        let name = |figure: &&Map<String, Value>| {
            figure.get("name").and_then(Value::as_str) == Some(wanted)
        };
        figures.iter().find(name)?.get("value")?.as_f64()
    };
    let families = figures.iter().filter_map(|figure| {
        let name = figure.get("name").and_then(Value::as_str)?;
        let (family, rest) = name.strip_prefix("families.")?.split_once('.')?;
        FORMS
            .iter()
            .any(|(form, _)| {
                rest.strip_prefix(form)
                    .is_some_and(|it| it.starts_with('.'))
            })
            .then_some(family)
    });
    let mut out = String::from(
        "| `model_type` | files | logits | LoRA step | greedy text | conversation loss |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for family in families.collect::<BTreeSet<_>>() {
        for (form, shown) in FORMS {
            let measure = |measure: &str| value(&format!("families.{family}.{form}.{measure}"));
            let share = |name: &str| {
                measure(name).map_or_else(|| "–".to_owned(), |value| format!("{value:.1e}"))
            };
            let greedy = match measure("greedy") {
                Some(1.0) => "equal",
                Some(_) => "differs",
                None => "–",
            };
            out.push_str(&format!(
                "| `{family}` | {shown} | {} | {} | {greedy} | {} |\n",
                share("logits"),
                share("step"),
                share("conversation"),
            ));
        }
    }
    let whole =
        |name: &str| value(name).map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"));
    out.push_str(&format!(
        "\n{} of {} families agree as folders, {} of {} as GGUF files; of the adapters {} kinds are loaded, {} \
         refused by key, {} wrong; of {} texts that {} chat templates write {} differ.\n",
        whole("families.agreed"),
        whole("families.total"),
        whole("gguf.families.agreed"),
        whole("gguf.families.total"),
        whole("adapters.loaded"),
        whole("adapters.refused"),
        whole("adapters.wrong"),
        whole("templates.renderings"),
        whole("templates.total"),
        whole("templates.differ"),
    ));
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_family_has_a_row_for_each_form() {
        let figures = [
            ("families.phi3.folder.logits", 2.5e-7),
            ("families.phi3.folder.greedy", 1.0),
            ("families.phi3.folder.conversation", 1e-6),
            ("families.gemma3_text.gguf.step", 3e-6),
            ("families.gemma3_text.gguf.greedy", 0.0),
            // Of before, and of all together.
            ("families.yarn.logits", 1.0),
            ("families.total", 2.0),
        ];
        let figures = figures.map(|(name, value)| {
            let figure = json!({ "name": name, "value": value });
            figure.as_object().cloned().unwrap_or_default()
        });
        let table = super::table(&figures);
        let rows: Vec<&str> = table.lines().skip(2).take(4).collect();
        assert_eq!(
            rows,
            [
                "| `gemma3_text` | folder | – | – | – | – |",
                "| `gemma3_text` | GGUF | – | 3.0e-6 | differs | – |",
                "| `phi3` | folder | 2.5e-7 | – | equal | 1.0e-6 |",
                "| `phi3` | GGUF | – | – | – | – |",
            ]
        );
        assert!(
            table.contains("– of 2 families agree as folders"),
            "{table}"
        );
    }
}
