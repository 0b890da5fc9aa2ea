//! Site rules: the permissions that the holder of the data gives on a node. Everything that no rule
//! allows is denied.
//!
//! A `site.toml` holds `[[allow]]` entries; an experiment names it (`[site] file = …`) or has them
//! inline. Rules are asked twice, as functions over facts: before a module runs ([`SiteRules::before`]),
//! and before an update leaves ([`Allow::leaves`]). Both answers are in the transcript, which the
//! attestation binds; the room `federation` does that around the node's executor. `record.rs` decides
//! which parts of the record itself leave, and checks them for an auditor.

use std::collections::BTreeMap;

use fedseal_client_sdk::attestation::{Limits, Usage};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::lineage::{Kind, Lineage, Node};
use serde::{Deserialize, Serialize};

use fedseal_client_sdk::attestation::FIXED_LIMITS;
use fedseal_client_sdk::recording::Recording;

use crate::error::nearest;

mod record;

pub use record::{audit_record, small_enough, withhold};

/// Reason of a failure that a site rule causes.
pub const REASON: &str = "site";

/// Rules of a site.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteRules {
    /// In an experiment: a site.toml, relative to the experiment file. Its rules are copied into
    /// the run's experiment.toml.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The rules; the first that fits decides. None: everything is denied.
    pub allow: Vec<Allow>,
}

/// One thing that is allowed. A field that is left out denies, or sets no bound where its text says so.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Name of the rule in answers.
    pub name: String,
    /// Whose modules: names in the node's trust file or hex keys.
    pub signers: Vec<String>,
    /// Which of their modules: names or digests; left out: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<Vec<String>>,
    /// On which shards: names of clients or digests of shards; `*` is every shard of this node.
    pub shards: Vec<String>,
    /// Tokens that a module may have written by a model; left out: 0.
    pub max_generated_tokens: u64,
    /// Whether a module may read raw tensors.
    pub raw_read: bool,
    /// Whether a module may write raw tensors.
    pub raw_write: bool,
    /// Whether a module may bring examples of its own, whose text leaves as data of the run; left
    /// out: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub literal_data: Option<bool>,
    /// Whether a module's log lines leave; left out: no, their number does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_lines: Option<bool>,
    /// Whether the words and the transcript of a failure leave; left out: no, its class and the number
    /// of calls do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_text: Option<bool>,
    /// Limits for these modules by name; each holds where it is tighter than the node's own. For
    /// [`FIXED_LIMITS`] the node's own must be as tight.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
    /// Bounds, clipping and noise of an update before it leaves.
    pub leave: Leave,
}

/// Bounds on what leaves: the change from the global adapter (Euclidean norm over all values), the
/// digits of a module's numbers, and the size of the record.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Leave {
    /// A change larger than this does not leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f64>,
    /// A change larger than this is shortened to it by the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Standard deviation of the Gaussian noise that the node adds to each value, after clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_std: Option<f64>,
    /// Significant decimal digits of the numbers that a module chooses, before they are used and
    /// recorded (see [`Recording::digits`]); left out: as the module gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub significant_digits: Option<u32>,
    /// Most bytes of transcript and lineage together that leave with an update; left out: as many as
    /// the node's limits allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_record_bytes: Option<u64>,
}

/// Most significant digits that a rule can ask for: a double has no more.
const MAX_DIGITS: u32 = 17;

/// Why an update does not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// A stable id: the same whatever the module chose.
    pub class: &'static str,
    /// For people, with the numbers.
    pub words: String,
}

impl Denial {
    /// A denial of which only the class is known.
    fn of(class: &'static str) -> Self {
        Self {
            class,
            words: String::new(),
        }
    }
}

/// Facts that are known before a module runs.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// The module.
    pub module: Digest,
    /// Its name.
    pub module_name: &'a str,
    /// Its author.
    pub signer: PublicKey,
    /// The author's name in the node's trust store.
    pub signer_name: Option<&'a str>,
    /// The client.
    pub client: &'a ClientId,
    /// Its shard.
    pub shard: Digest,
    /// Limits of modules on this node, before any rule.
    pub limits: &'a Limits,
}

impl SiteRules {
    /// Checks that the rules make sense.
    ///
    /// # Errors
    /// The key and the problem.
    pub fn validate(&self) -> Result<(), (String, String)> {
        let known = Limits::default().by_name();
        for (index, rule) in self.allow.iter().enumerate() {
            let bad = |key: &str, problem: String| Err((format!("allow.{index}.{key}"), problem));
            if rule.name.is_empty() || rule.name.chars().any(char::is_control) {
                return bad("name", "expected a name for the rule".into());
            }
            if self.allow.iter().take(index).any(|r| r.name == rule.name) {
                return bad("name", format!("`{}` is an earlier rule's name", rule.name));
            }
            for (key, list) in [("signers", &rule.signers), ("shards", &rule.shards)] {
                if list.is_empty() {
                    return bad(
                        key,
                        "expected at least one; a rule without any allows nothing".into(),
                    );
                }
            }
            if rule.signers.iter().any(|s| s == "*") {
                return bad(
                    "signers",
                    "`*` is not taken: say whose modules may run here".into(),
                );
            }
            if rule.modules.as_ref().is_some_and(Vec::is_empty) {
                return bad(
                    "modules",
                    "an empty list allows nothing; leave it out for all".into(),
                );
            }
            if let Some(name) = rule.limits.keys().find(|name| !known.contains_key(*name)) {
                let names: Vec<String> = known.keys().cloned().collect();
                let near = nearest(name, &names)
                    .into_iter()
                    .next()
                    .map(|n| format!(" (did you mean `{n}`?)"))
                    .unwrap_or_default();
                return bad(
                    &format!("limits.{name}"),
                    format!("no such limit{near}; known: {}", names.join(", ")),
                );
            }
            for (key, value) in [
                ("leave.max_norm", rule.leave.max_norm),
                ("leave.clip_norm", rule.leave.clip_norm),
                ("leave.noise_std", rule.leave.noise_std),
            ] {
                if value.is_some_and(|v| !v.is_finite() || v <= 0.0 || v > 1e9) {
                    return bad(key, "expected a number above 0 and at most 1e9".into());
                }
            }
            let digits = rule.leave.significant_digits;
            if digits.is_some_and(|digits| !(1..=MAX_DIGITS).contains(&digits)) {
                return bad(
                    "leave.significant_digits",
                    format!("expected a number from 1 to {MAX_DIGITS}"),
                );
            }
        }
        Ok(())
    }

    /// Returns the rules as a run keeps them: with every key written out whose absence denies.
    #[must_use]
    pub fn written_out(mut self) -> Self {
        self.allow.iter_mut().for_each(|rule| rule.answer(false));
        self
    }

    /// Returns the rules as a run kept them: a key that is absent there was not known when the run was
    /// made, so nothing was withheld by it.
    #[must_use]
    pub fn as_kept(mut self) -> Self {
        self.allow.iter_mut().for_each(|rule| rule.answer(true));
        self
    }

    /// The rule that allows an execution.
    ///
    /// # Errors
    /// The reason of each rule that denies, for people.
    pub fn before(&self, facts: &Before<'_>) -> Result<&Allow, String> {
        let mut reasons = Vec::new();
        for rule in &self.allow {
            match rule.fits(facts) {
                Ok(()) => return Ok(rule),
                Err(reason) => reasons.push(format!("`{}`: {reason}", rule.name)),
            }
        }
        if reasons.is_empty() {
            return Err("the site has no rule, so nothing is allowed".into());
        }
        Err(format!(
            "no rule of the site allows it ({})",
            reasons.join("; ")
        ))
    }
}

impl Allow {
    /// Answers what the rule leaves open.
    fn answer(&mut self, allowed: bool) {
        for key in [
            &mut self.literal_data,
            &mut self.log_lines,
            &mut self.error_text,
        ] {
            key.get_or_insert(allowed);
        }
    }

    /// Whether the words and the transcript of a failure leave.
    #[must_use]
    pub fn tells_errors(&self) -> bool {
        self.error_text == Some(true)
    }

    /// The parts of a module's own choices that are recorded.
    #[must_use]
    pub fn recording(&self) -> Recording {
        Recording {
            log_lines: self.log_lines == Some(true),
            prompts: self.literal_data == Some(true),
            digits: self.leave.significant_digits,
        }
    }

    fn fits(&self, facts: &Before<'_>) -> Result<(), String> {
        let hex = facts.signer.to_string();
        let by = |entry: &String| *entry == hex || facts.signer_name == Some(entry.as_str());
        if !self.signers.iter().any(by) {
            return Err(format!(
                "it is not for modules by {} ({})",
                facts.signer_name.unwrap_or("an unknown author"),
                facts.signer.key_id()
            ));
        }
        let digest = facts.module.to_string();
        let named = |entry: &String| *entry == digest || entry == facts.module_name;
        if self
            .modules
            .as_ref()
            .is_some_and(|all| !all.iter().any(named))
        {
            return Err(format!("it is not for module {}", facts.module_name));
        }
        let shard = facts.shard.to_string();
        let on = |entry: &String| entry == "*" || *entry == shard || entry == facts.client.as_str();
        if !self.shards.iter().any(on) {
            return Err(format!("it is not for the shard of {}", facts.client));
        }
        let own = facts.limits.by_name();
        for name in FIXED_LIMITS {
            if let (Some(own), Some(most)) = (own.get(name), self.limits.get(name))
                && own > most
            {
                return Err(format!(
                    "the node's limit {name} is {own} for all modules, the rule has {most}"
                ));
            }
        }
        Ok(())
    }

    /// The limits under which a module runs on a node with the limits `own`: never looser than those.
    #[must_use]
    pub fn limits(&self, own: &Limits) -> Limits {
        own.within(&self.limits)
    }

    /// Returns the rule's limits that are tighter than the node's own.
    #[must_use]
    pub fn tighter(&self, own: &Limits) -> BTreeMap<String, u64> {
        let own = own.by_name();
        let tight = |(name, most): &(&String, &u64)| own.get(*name).is_some_and(|own| own > *most);
        let all = self.limits.iter().filter(tight);
        all.map(|(name, most)| (name.clone(), *most)).collect()
    }

    /// Whether a module's actions let its update leave. The norm is checked apart, since it may be
    /// clipped.
    ///
    /// # Errors
    /// Why not.
    pub fn leaves(&self, lineage: &Lineage, used: &Usage) -> Result<(), Denial> {
        // Also where the read did not go into the update: its data may be in the log lines.
        for (kind, allowed, what) in [
            (Kind::RawRead, self.raw_read, "reads"),
            (Kind::RawWrite, self.raw_write, "writes"),
        ] {
            if let Some(node) = lineage.nodes.iter().find(|n| n.kind == kind)
                && !allowed
            {
                return Err(Denial {
                    class: match kind {
                        Kind::RawRead => "raw-read",
                        _ => "raw-write",
                    },
                    words: format!(
                        "node {} {what} raw tensors, which `{}` does not allow",
                        node.id, self.name
                    ),
                });
            }
        }
        if used.generated_tokens > self.max_generated_tokens {
            return Err(Denial {
                class: "generated-tokens",
                words: format!(
                    "{} tokens were written by a model, `{}` allows {}",
                    used.generated_tokens, self.name, self.max_generated_tokens
                ),
            });
        }
        let brought = |node: &Node| node.kind == Kind::Literal && node.count != Some(0);
        if self.literal_data != Some(true) && lineage.nodes.iter().any(brought) {
            return Err(Denial {
                class: "literal-data",
                words: format!(
                    "it brought examples of its own, which `{}` does not allow",
                    self.name
                ),
            });
        }
        Ok(())
    }

    /// Whether a record of so many bytes, transcript and lineage together, may leave.
    ///
    /// # Errors
    /// Why not.
    pub fn record_leaves(&self, bytes: u64) -> Result<(), Denial> {
        match self.leave.max_record_bytes {
            Some(most) if bytes > most => Err(Denial {
                class: "record-bytes",
                words: format!(
                    "transcript and lineage have {bytes} bytes, `{}` lets {most} leave",
                    self.name
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Text of a denial that leaves: its words, or its class.
    #[must_use]
    pub fn told(&self, denial: &Denial) -> String {
        match self.tells_errors() {
            true => denial.words.clone(),
            false => format!("`{}` does not let it leave: {}", self.name, denial.class),
        }
    }

    /// Whether a change of this norm may leave.
    ///
    /// # Errors
    /// Why not.
    pub fn norm_leaves(&self, norm: f64) -> Result<(), Denial> {
        match self.leave.max_norm {
            Some(most) if norm.is_nan() || norm > most => Err(Denial {
                class: "norm",
                words: format!(
                    "the change has norm {norm:.6}, `{}` lets at most {most} leave",
                    self.name
                ),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
