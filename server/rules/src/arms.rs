//! The arms of an experiment: what each column does with the same clients, shards and seeds.

use serde::{Deserialize, Serialize};

use crate::aggregation;
use crate::error::{Error, Result};

/// Kind of an arm's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The frozen base, no training.
    Base,
    /// Rounds of federated tuning.
    Federated,
    /// Another arm's last global adapter, repaired.
    Defended,
}

/// One arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// Its name in experiment files, records and figures.
    pub id: &'static str,
    /// Its heading.
    pub title: String,
    /// Kind of its column.
    pub kind: Kind,
    /// The aggregation rule, for federated arms.
    pub rule: &'static str,
    /// Whether the malicious clients attack; otherwise they are honest.
    pub attacked: bool,
    /// The set of admission checks, where it applies one.
    pub admission: Option<Admission>,
    /// The arm whose last adapter a defended arm repairs.
    pub repairs: Option<&'static str>,
}

/// Which set of checks an arm applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// `admission.provenance`: signers, lineage, shares of foreign data, data check.
    Provenance,
    /// `admission.behaviour`: canaries.
    Behaviour,
}

/// Ids of all arms, in the order in which reports show them.
pub fn known() -> Vec<&'static str> {
    let mut ids = vec!["base", "clean"];
    ids.extend(aggregation::rules().iter().map(|rule| rule.name()));
    ids.extend(["provenance", "behaviour", "defended"]);
    ids
}

/// The arm of that id; the error lists the known ones.
pub fn arm(id: &str) -> Result<Arm> {
    let federated = |id, title: &str, rule, attacked, admission| Arm {
        id,
        title: title.to_owned(),
        kind: Kind::Federated,
        rule,
        attacked,
        admission,
        repairs: None,
    };
    Ok(match id {
        "base" => Arm {
            kind: Kind::Base,
            ..federated("base", "Base", "fedavg", false, None)
        },
        "clean" => federated("clean", "Clean", "fedavg", false, None),
        "fedavg" => federated("fedavg", "Attacked, FedAvg", "fedavg", true, None),
        "provenance" => federated(
            "provenance",
            "Attacked, provenance checks",
            "fedavg",
            true,
            Some(Admission::Provenance),
        ),
        "behaviour" => federated(
            "behaviour",
            "Attacked, behaviour checks",
            "fedavg",
            true,
            Some(Admission::Behaviour),
        ),
        "defended" => Arm {
            kind: Kind::Defended,
            repairs: Some("fedavg"),
            ..federated(
                "defended",
                "Attacked, post-hoc defence",
                "fedavg",
                true,
                None,
            )
        },
        other => match aggregation::rule(other) {
            Ok(rule) => federated(
                rule.name(),
                &format!("Attacked, {}", rule.title()),
                rule.name(),
                true,
                None,
            ),
            Err(_) => return Err(Error::unknown("arm", id, known())),
        },
    })
}

/// The arms of a run in the order of [`known`]: `base` is always evaluated, and an arm that another
/// one repairs must be there too.
pub fn expand(ids: &[String]) -> Result<Vec<Arm>> {
    let mut arms = Vec::new();
    for id in known() {
        if id == "base" || ids.iter().any(|wanted| wanted == id) {
            arms.push(arm(id)?);
        }
    }
    for id in ids {
        let one = arm(id)?;
        if let Some(source) = one.repairs
            && !arms.iter().any(|other| other.id == source)
        {
            return Err(Error::Missing {
                what: format!("arm `{source}`"),
                hint: format!("arm `{id}` repairs its adapter; add it to `arms`"),
            });
        }
    }
    Ok(arms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_arm_exists_and_unknown_ones_list_them() {
        for id in known() {
            assert_eq!(arm(id).unwrap().id, id);
        }
        let text = arm("defnded").unwrap_err().to_string();
        assert!(text.contains("did you mean `defended`"), "{text}");
        assert!(text.contains("krum-original"), "{text}");
    }

    #[test]
    fn base_comes_first_and_a_repaired_arm_must_be_there() {
        let arms = expand(&["fedavg".into(), "clean".into()]).unwrap();
        assert_eq!(
            arms.iter().map(|arm| arm.id).collect::<Vec<_>>(),
            ["base", "clean", "fedavg"]
        );
        assert!(expand(&["defended".into()]).is_err());
    }
}
