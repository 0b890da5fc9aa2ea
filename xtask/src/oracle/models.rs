//! Figures of families beside transformers: `families.FAMILY.FORM.MEASURE`, where FORM is `folder` or `gguf`.

use serde_json::Value;

use crate::{Outcome, readme};

/// Unit of a measure; none of another figure.
fn unit(name: &str) -> Option<&'static str> {
    let mut parts = name.strip_prefix("families.")?.split('.');
    let (_, _, measure) = (parts.next()?, parts.next()?, parts.next()?);
    match (measure, parts.next()) {
        ("greedy", None) => Some("boolean"),
        (_, None) => Some("relative"),
        _ => None,
    }
}

/// Keeps what an oracle says of families.
pub(super) fn keep(file: &str, command: &str, figures: &Value) -> Outcome {
    let all = figures.as_object().into_iter().flatten();
    for (name, value) in all {
        if let (Some(unit), Some(value)) = (unit(name), value.as_f64()) {
            readme::keep(file, command, &[(name.clone(), value)], unit)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn measures_have_units() {
        let unit = super::unit;
        assert_eq!(unit("families.phi3.gguf.greedy"), Some("boolean"));
        assert_eq!(unit("families.phi3.folder.step"), Some("relative"));
        for other in ["families.total", "gguf.models.total", "families.a.b.c.d"] {
            assert_eq!(unit(other), None, "{other}");
        }
    }
}
