//! The arms of an experiment: what each column does with the same clients, shards and seeds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attack::{self, Attackers};
use crate::error::{Error, Result};
use crate::{aggregation, defence, optimiser};

mod tunes;

pub use tunes::{Tunes, When};

/// Kind of an arm's column.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "ArmKind"))]
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
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name in experiment files, records and figures.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Kind of its column.
    pub kind: Kind,
    /// The aggregation rule, for federated arms.
    pub rule: &'static str,
    /// Whether the malicious clients attack; otherwise they are honest.
    pub attacked: bool,
    /// Number of malicious clients, where it is not the experiment's.
    pub malicious: Option<usize>,
    /// Kinds of malicious clients, where they are not the experiment's.
    pub kinds: Option<Vec<String>>,
    /// Kind of its honest clients, where it is not the usual one.
    pub honest: Option<String>,
    /// Server optimiser, where it is not the experiment's.
    pub optimiser: Option<String>,
    /// The set of admission checks, where it applies one.
    pub admission: Option<Admission>,
    /// Repair of another arm's last adapter, for a defended arm.
    pub repairs: Option<Repair>,
    /// Tuning of its own global adapter on the server, for a federated arm.
    pub tunes: Option<Tunes>,
}

impl Arm {
    /// Malicious clients of its own, beside those of the experiment, and the kind of the others; none where it
    /// has the same.
    pub fn own_attackers<'a>(&'a self, whole: Attackers<'a>) -> Option<Attackers<'a>> {
        let own = self.malicious.is_some() || self.kinds.is_some() || self.honest.is_some();
        own.then(|| Attackers {
            malicious: self.malicious.unwrap_or(whole.malicious),
            kinds: self.kinds.as_deref().unwrap_or(whole.kinds),
            honest: self.honest.as_deref().unwrap_or(whole.honest),
        })
    }
}

/// Repair of an arm's last adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// The arm whose adapter is repaired.
    pub source: String,
    /// Name of the defence, one of [`defence::ALL`].
    pub defence: &'static str,
    /// Numbers of the defence that the arm gives.
    pub parameters: BTreeMap<String, f64>,
}

/// Which set of checks an arm applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// `admission.provenance`: signers, lineage, shares of foreign data, data check.
    Provenance,
    /// `admission.behaviour`: canaries.
    Behaviour,
}

/// An arm of the experiment's own, `[arm.NAME]`: a composition of what there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArmConfig {
    /// Heading; left out: the name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Whether the malicious clients attack.
    pub attacked: bool,
    /// Number of malicious clients; left out: that of `[federation]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malicious: Option<usize>,
    /// Kinds of the malicious clients, in turn; left out: those of `[attack]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// Kind of the honest clients, one whose module means no harm, such as `lisa`; left out: `benign`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honest: Option<String>,
    /// The aggregation rule.
    pub rule: String,
    /// Server optimiser, with the settings of `[server]`; left out: that of `[server]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimiser: Option<String>,
    /// Set of checks: `provenance` or `behaviour`; left out: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<String>,
    /// The arm whose last adapter is repaired, instead of rounds of its own; it may be a repaired one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<String>,
    /// Defence that repairs it or tunes its own adapter, one of [`defence::ALL`]; left out: `posthoc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defence: Option<String>,
    /// Moment at which the defence tunes the arm's own global adapter: `first`, before its first round, or
    /// `rounds`, after the aggregation of rounds; left out: it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Number of rounds from one such tuning to the next; left out: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
    /// Numbers of the defence; those of `posthoc` that are left out are those of the table `[defence]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, f64>,
}

impl Default for ArmConfig {
    fn default() -> Self {
        ArmConfig {
            title: String::new(),
            attacked: true,
            malicious: None,
            kinds: None,
            honest: None,
            rule: "fedavg".into(),
            optimiser: None,
            admission: None,
            repairs: None,
            defence: None,
            when: None,
            every: None,
            parameters: BTreeMap::new(),
        }
    }
}

/// Names of the sets of checks.
const SETS: [(&str, Admission); 2] = [
    ("provenance", Admission::Provenance),
    ("behaviour", Admission::Behaviour),
];

impl ArmConfig {
    /// The arm of this name.
    ///
    /// # Errors
    /// A rule, an optimiser, a kind of attack, a set of checks or a defence that is not known; a repaired
    /// arm with rounds of its own; an arm with a defence that repairs nothing.
    fn arm(&self, name: &str) -> Result<Arm> {
        let set = |word: &String| {
            SETS.iter()
                .find(|(name, _)| name == word)
                .map(|(_, set)| *set)
                .ok_or_else(|| Error::unknown("set of checks", word, SETS.map(|(name, _)| name)))
        };
        let arm = Arm {
            id: name.to_owned(),
            title: match self.title.is_empty() {
                true => name.to_owned(),
                false => self.title.clone(),
            },
            kind: match self.repairs {
                Some(_) => Kind::Defended,
                None => Kind::Federated,
            },
            rule: aggregation::rule(&self.rule)?.name,
            attacked: self.attacked,
            malicious: self.malicious,
            kinds: self.kinds.clone(),
            honest: self.honest.clone(),
            optimiser: self.optimiser.clone(),
            admission: self.admission.as_ref().map(set).transpose()?,
            repairs: self.repair(name)?,
            tunes: self.tuning().tunes(name)?,
        };
        self.check_rounds(name)?;
        Ok(arm)
    }

    /// Its words about a tuning of its own adapter.
    fn tuning(&self) -> tunes::Said<'_> {
        tunes::Said {
            when: self.when.as_deref(),
            every: self.every,
            repairs: self.repairs.is_some(),
            defence: self.defence.as_deref(),
            parameters: &self.parameters,
        }
    }

    /// Checks what its rounds are made of: their attackers and their optimiser, or that there are none.
    fn check_rounds(&self, name: &str) -> Result<()> {
        let refused = |problem: &str| {
            Err(Error::Arm {
                arm: name.to_owned(),
                problem: problem.to_owned(),
            })
        };
        let attackers = self.malicious.is_some() || self.kinds.is_some() || self.honest.is_some();
        let own = attackers
            || self.optimiser.is_some()
            || self.admission.is_some()
            || self.rule != ArmConfig::default().rule;
        if own && self.repairs.is_some() {
            return refused(
                "has no rounds, since it repairs another arm's adapter, so it takes no rule, no \
                 optimiser, no checks and no attackers",
            );
        }
        if attackers && !self.attacked {
            return refused(
                "is not attacked, so it takes neither `malicious` nor `kinds` nor `honest`; \
                 `malicious = 0` has no attackers either",
            );
        }
        if let Some(kind) = &self.honest {
            attack::known_honest(kind)?;
        }
        for kind in self.kinds.iter().flatten() {
            attack::known(kind)?;
        }
        if self.kinds.as_ref().is_some_and(Vec::is_empty) {
            return refused("has an empty list of `kinds`; for no attackers say `malicious = 0`");
        }
        match &self.optimiser {
            Some(name) => optimiser::definition(name).map(drop),
            None => Ok(()),
        }
    }

    /// The repair of the arm of this name.
    fn repair(&self, name: &str) -> Result<Option<Repair>> {
        let refused = |problem: String| Error::Arm {
            arm: name.to_owned(),
            problem,
        };
        let Some(source) = &self.repairs else {
            let defence = self.defence.is_some() || !self.parameters.is_empty();
            return match defence && self.when.is_none() {
                true => Err(refused(
                    "has a defence and nothing to repair; add `repairs = …`, the arm whose adapter it \
                     repairs, or `when = …`, for its own"
                        .into(),
                )),
                false => Ok(None),
            };
        };
        let definition = defence::named(self.defence.as_deref().unwrap_or(defence::DEFAULT))?;
        definition.parameters(&self.parameters).map_err(refused)?;
        Ok(Some(Repair {
            source: source.clone(),
            defence: definition.name,
            parameters: self.parameters.clone(),
        }))
    }
}

/// Ids of all built-in arms, in the order in which reports show them.
pub fn known() -> Vec<&'static str> {
    let mut ids = vec!["base", "clean"];
    ids.extend(aggregation::ALL.iter().map(|rule| rule.name));
    ids.extend(["provenance", "behaviour", "defended"]);
    ids
}

/// The built-in arm of that id.
fn built_in(id: &str) -> Option<Arm> {
    let federated = |title: &str, attacked, admission| Arm {
        id: id.to_owned(),
        title: title.to_owned(),
        kind: Kind::Federated,
        rule: "fedavg",
        attacked,
        malicious: None,
        kinds: None,
        honest: None,
        optimiser: None,
        admission,
        repairs: None,
        tunes: None,
    };
    Some(match id {
        "base" => Arm {
            kind: Kind::Base,
            ..federated("Base", false, None)
        },
        "clean" => federated("Clean", false, None),
        "fedavg" => federated("Attacked, FedAvg", true, None),
        "provenance" => federated(
            "Attacked, provenance checks",
            true,
            Some(Admission::Provenance),
        ),
        "behaviour" => federated(
            "Attacked, behaviour checks",
            true,
            Some(Admission::Behaviour),
        ),
        "defended" => Arm {
            kind: Kind::Defended,
            repairs: Some(Repair {
                source: "fedavg".into(),
                defence: defence::DEFAULT,
                parameters: BTreeMap::new(),
            }),
            ..federated("Attacked, post-hoc defence", true, None)
        },
        other => {
            let rule = aggregation::rule(other).ok()?;
            Arm {
                rule: rule.name,
                ..federated(&format!("Attacked, {}", rule.title), true, None)
            }
        }
    })
}

/// The arm of that id; the error lists the known ones.
///
/// # Errors
/// An id that is neither built in nor among the experiment's own, and whatever is wrong with an own one.
pub fn arm(id: &str, own: &BTreeMap<String, ArmConfig>) -> Result<Arm> {
    // An experiment's own comes first: a run keeps its arm when a later program has a rule of that name.
    match (own.get(id), built_in(id)) {
        (Some(config), _) => config.arm(id),
        (None, Some(arm)) => Ok(arm),
        (None, None) => {
            let names = known().into_iter().map(str::to_owned);
            Err(Error::unknown("arm", id, names.chain(own.keys().cloned())))
        }
    }
}

/// The arms of a run in the order of [`known`], then the experiment's own in the order in which it names
/// them: `base` is always evaluated, and an arm that another one repairs must be there too.
///
/// # Errors
/// As [`arm`]; an arm whose source is not there, has no adapter, or is repaired from the arm itself.
pub fn expand(ids: &[String], own: &BTreeMap<String, ArmConfig>) -> Result<Vec<Arm>> {
    let mut arms = Vec::new();
    for id in known() {
        let wanted = !own.contains_key(id) && ids.iter().any(|wanted| wanted == id);
        if id == "base" || wanted {
            arms.push(arm(id, own)?);
        }
    }
    for id in ids {
        if !arms.iter().any(|known: &Arm| known.id == *id) {
            arms.push(arm(id, own)?);
        }
    }
    for one in &arms {
        rounds_below(one, &arms)?;
    }
    Ok(arms)
}

/// Checks that a chain of repairs begins with an arm that has rounds.
fn rounds_below(arm: &Arm, arms: &[Arm]) -> Result<()> {
    let mut chain = vec![arm.id.as_str()];
    let mut at = arm;
    while let Some(Repair { source, .. }) = &at.repairs {
        let id = &at.id;
        let Some(next) = arms.iter().find(|other| other.id == *source) else {
            return Err(Error::Missing {
                what: format!("arm `{source}`"),
                hint: format!("arm `{id}` repairs its adapter; add it to `arms`"),
            });
        };
        if next.kind == Kind::Base {
            return Err(Error::Missing {
                what: format!("rounds of arm `{source}`"),
                hint: format!("arm `{id}` repairs its adapter, which no round makes"),
            });
        }
        let again = chain.contains(&next.id.as_str());
        chain.push(&next.id);
        if again {
            let problem = format!("repairs in a circle: {}", chain.join(" repairs "));
            return Err(Error::Arm {
                arm: arm.id.clone(),
                problem,
            });
        }
        at = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> BTreeMap<String, ArmConfig> {
        BTreeMap::new()
    }

    #[test]
    fn every_known_arm_exists_and_unknown_ones_list_them() {
        for id in known() {
            assert_eq!(arm(id, &none()).unwrap().id, id);
        }
        let own = BTreeMap::from([("mine".to_owned(), ArmConfig::default())]);
        let text = arm("defnded", &own).unwrap_err().to_string();
        assert!(text.contains("did you mean `defended`"), "{text}");
        assert!(
            text.contains("krum-original") && text.contains("mine"),
            "{text}"
        );
    }

    #[test]
    fn base_is_always_there_and_the_order_is_fixed() {
        let ids = |names: &[&str]| -> Vec<String> {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            let arms = expand(&names, &none()).unwrap();
            arms.into_iter().map(|arm| arm.id).collect()
        };
        assert_eq!(ids(&["defended", "fedavg"]), ["base", "fedavg", "defended"]);
    }

    #[test]
    fn a_repair_needs_rounds_to_repair() {
        let expand = |ids: &[&str], own: &BTreeMap<String, ArmConfig>| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            expand(&ids, own).map_err(|error| error.to_string())
        };
        let text = expand(&["defended"], &none()).unwrap_err();
        assert!(text.contains("arm `fedavg`"), "{text}");
        let repairs = |source: &str| ArmConfig {
            repairs: Some(source.into()),
            ..ArmConfig::default()
        };
        let frozen = BTreeMap::from([("thawed".to_owned(), repairs("base"))]);
        let text = expand(&["thawed"], &frozen).unwrap_err();
        assert!(text.contains("which no round makes"), "{text}");
        let ruled = ArmConfig {
            rule: "krum".into(),
            ..repairs("fedavg")
        };
        let ruled = BTreeMap::from([("ruled".to_owned(), ruled)]);
        assert!(expand(&["fedavg", "ruled"], &ruled).is_err());
        let good = BTreeMap::from([("mended".to_owned(), repairs("krum"))]);
        let arms = expand(&["mended", "krum"], &good).unwrap();
        let ids: Vec<&str> = arms.iter().map(|arm| arm.id.as_str()).collect();
        assert_eq!(ids, ["base", "krum", "mended"]);
        assert_eq!(arms[2].kind, Kind::Defended);
    }
    #[test]
    fn a_repair_may_be_repaired_but_not_in_a_circle() {
        let repairs = |source: &str| ArmConfig {
            repairs: Some(source.into()),
            ..ArmConfig::default()
        };
        let own = |arms: &[(&str, &str)]| -> BTreeMap<String, ArmConfig> {
            let arms = arms.iter();
            arms.map(|(name, source)| ((*name).to_owned(), repairs(source)))
                .collect()
        };
        let ids = |ids: &[&str]| -> Vec<String> { ids.iter().map(|id| (*id).into()).collect() };
        let chain = own(&[("again", "defended"), ("thrice", "again")]);
        let arms = expand(&ids(&["thrice", "again", "fedavg", "defended"]), &chain).unwrap();
        let sources: Vec<&str> = arms
            .iter()
            .filter_map(|arm| arm.repairs.as_ref())
            .map(|repair| repair.source.as_str())
            .collect();
        assert_eq!(sources, ["fedavg", "again", "defended"]);
        let circle = own(&[("a", "b"), ("b", "c"), ("c", "a")]);
        let error = expand(&ids(&["a", "b", "c"]), &circle).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("a repairs b repairs c repairs a"), "{text}");
        // An arm above a circle is not in it, and is refused too.
        let above = own(&[("top", "a"), ("a", "b"), ("b", "a")]);
        assert!(expand(&ids(&["top", "a", "b"]), &above).is_err());
    }

    #[test]
    fn a_defence_is_one_of_the_known_and_takes_its_numbers() {
        let arm = |defence: &str, parameters: &[(&str, f64)], repairs: Option<&str>| {
            let config = ArmConfig {
                repairs: repairs.map(String::from),
                defence: Some(defence.into()),
                parameters: parameters
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), *value))
                    .collect(),
                ..ArmConfig::default()
            };
            let own = BTreeMap::from([("mine".to_owned(), config)]);
            super::arm("mine", &own).map_err(|error| error.to_string())
        };
        let good = arm("noise", &[("norm", 2.0)], Some("fedavg")).unwrap();
        assert_eq!(good.repairs.unwrap().defence, "noise");
        let cases = [
            (arm("nois", &[], Some("fedavg")), "did you mean `noise`"),
            (arm("noise", &[], Some("fedavg")), "needs `norm`"),
            (
                arm("noise", &[("norm", -1.0)], Some("fedavg")),
                "0 or above",
            ),
            (
                arm("noise", &[("norm", 1.0), ("level", 1.0)], Some("fedavg")),
                "does not take `level`",
            ),
            (arm("posthoc", &[("level", 1.5)], Some("fedavg")), "whole"),
            (arm("noise", &[("norm", 1.0)], None), "nothing to repair"),
        ];
        for (result, part) in cases {
            let text = result.unwrap_err();
            assert!(text.contains(part), "{text}\nlacks {part}");
        }
    }
    #[test]
    fn an_arm_s_attackers_and_optimiser_are_known_ones() {
        let arm = |config: ArmConfig| {
            let own = BTreeMap::from([("mine".to_owned(), config)]);
            super::arm("mine", &own).map_err(|error| error.to_string())
        };
        let kinds = |kinds: &[&str]| ArmConfig {
            kinds: Some(kinds.iter().map(|kind| (*kind).to_owned()).collect()),
            ..ArmConfig::default()
        };
        let whole = ["sybil".to_owned()];
        let whole = Attackers {
            malicious: 3,
            kinds: &whole,
            honest: attack::BENIGN,
        };
        assert_eq!(
            arm(ArmConfig::default()).unwrap().own_attackers(whole),
            None
        );
        let sleeper = arm(kinds(&["sleeper"])).unwrap();
        let own = sleeper.own_attackers(whole).unwrap();
        assert_eq!((own.malicious, own.kinds[0].as_str()), (3, "sleeper"));
        let fewer = arm(ArmConfig {
            malicious: Some(1),
            ..ArmConfig::default()
        });
        let fewer = fewer.unwrap();
        let own = fewer.own_attackers(whole).unwrap();
        assert_eq!((own.malicious, own.kinds[0].as_str()), (1, "sybil"));
        let optimiser = |name: &str| ArmConfig {
            optimiser: Some(name.into()),
            ..ArmConfig::default()
        };
        assert_eq!(
            arm(optimiser("fedadam")).unwrap().optimiser.unwrap(),
            "fedadam"
        );
        let repairs = |config: ArmConfig| ArmConfig {
            repairs: Some("fedavg".into()),
            ..config
        };
        let honest = ArmConfig {
            attacked: false,
            ..kinds(&["sybil"])
        };
        let others = |kind: &str| ArmConfig {
            honest: Some(kind.into()),
            ..ArmConfig::default()
        };
        let lisa = arm(others("lisa")).unwrap();
        assert_eq!(lisa.own_attackers(whole).unwrap().honest, "lisa");
        for (config, part) in [
            (others("sybil"), "unknown honest kind"),
            (repairs(others("lisa")), "has no rounds"),
            (kinds(&["sleepr"]), "did you mean `sleeper`"),
            (kinds(&[]), "malicious = 0"),
            (honest, "is not attacked"),
            (optimiser("adam"), "fedadam"),
            (repairs(optimiser("fedadam")), "has no rounds"),
            (repairs(kinds(&["sybil"])), "has no rounds"),
        ] {
            let text = arm(config).unwrap_err();
            assert!(text.contains(part), "{text}\nlacks {part}");
        }
    }
}
