//! Demands of every arm, before any configured check: there is an update, it is about this client,
//! round, seed, base, global adapter, control variates and module, no limit was passed, the claimed
//! examples are within the registered shard, and site steps are those of the site's rules.

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;

use super::{Expected, Facts, Revoked, Verdict};

/// Name of these demands in verdicts.
pub const NAME: &str = "binding";

/// Version of their formula, see [`crate::formulas`].
pub const VERSION: u32 = 1;

/// The check of updates that do not exist: the execution failed or was denied, or the module
/// submitted nothing. No arm refused such an update, and none could let it count.
pub const EXECUTION: &str = "execution";

/// The refusal, or nothing where all agrees.
pub fn refusal(facts: &Facts<'_>) -> Option<Verdict> {
    let attested = facts.attested;
    let expected = facts.expected;
    if let Some(failure) = &attested.failure {
        return Some(Verdict::reject(
            EXECUTION,
            format!("{}: {}", failure.reason, failure.detail),
        ));
    }
    if attested.update.is_none() {
        return Some(Verdict::reject(EXECUTION, "the module submitted no update"));
    }
    let differs =
        |what: &str, attested: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
            Some(Verdict::reject(
                NAME,
                format!("{what} is {attested}, this round's is {expected}"),
            ))
        };
    if attested.client != expected.client {
        return differs("client", &attested.client, &expected.client);
    }
    if attested.round != expected.round {
        return differs("round", &attested.round, &expected.round);
    }
    if attested.seed != expected.seed {
        return differs("seed", &attested.seed, &expected.seed);
    }
    if attested.base != expected.base {
        return differs("base", &attested.base, &expected.base);
    }
    if attested.global != expected.global {
        return differs("global adapter", &attested.global, &expected.global);
    }
    if attested.module != expected.module {
        return differs("module", &attested.module, &expected.module);
    }
    if attested.node != expected.node {
        return differs("node key", &attested.node, &expected.node);
    }
    let [server, client] = expected.control;
    for node in &attested.lineage.nodes {
        let of = node.params.get("of").and_then(|of| of.as_str());
        let own = match (node.kind, of) {
            (Kind::Control, Some("server")) => server,
            (Kind::Control, Some("client")) => client,
            (Kind::Control, _) => {
                let fact = format!("node {} is nobody's control variate", node.id);
                return Some(Verdict::reject(NAME, fact));
            }
            _ => continue,
        };
        if node.digest != own {
            let show = |digest: Option<Digest>| digest.map_or("zero".into(), |d| d.to_string());
            let what = format!("the {}'s control variate", of.unwrap_or_default());
            return differs(&what, &show(node.digest), &show(own));
        }
    }
    if let Some(fact) = foreign_site(facts) {
        return Some(Verdict::reject(NAME, fact));
    }
    if let Some(Revoked { key, entry }) = facts.revoked {
        let whose = match key == attested.module_signer {
            true => "the module's author",
            false => "the node",
        };
        return Some(Verdict::reject(
            "revoked",
            format!("{whose} {} was revoked at log entry {entry}", key.key_id()),
        ));
    }
    if attested.examples == 0 {
        return Some(Verdict::reject(NAME, "the update claims 0 examples"));
    }
    // The claim is the update's weight in averages. Only the registered shard's size is not the
    // guest's choice: it may bring along or generate as many examples as it likes.
    if attested.examples > expected.shard_examples {
        return Some(Verdict::reject(
            NAME,
            format!(
                "the update claims {} examples, the registered shard has {}",
                attested.examples, expected.shard_examples
            ),
        ));
    }
    if !facts.norm.is_finite() {
        return Some(Verdict::reject(
            NAME,
            "the update has a value that is not finite",
        ));
    }
    None
}

/// Describes the first step that the lineage ascribes to the site and the site's rules do not have.
/// Other checks let the site's own steps pass, so these must be exact.
fn foreign_site(facts: &Facts<'_>) -> Option<String> {
    let Expected { leave, .. } = facts.expected;
    facts
        .attested
        .lineage
        .nodes
        .iter()
        .filter(|node| node.by_site())
        .find_map(|node| {
            let (what, key, allowed) = match node.kind {
                Kind::Clip => ("clips to norm", "norm", leave.clip_norm),
                Kind::Noise => ("adds noise of", "std", leave.noise_std),
                _ => return Some(format!("node {} is no step of a site", node.id)),
            };
            let named = node.params.get(key).and_then(|value| value.as_f64());
            match (named, allowed) {
                (Some(named), Some(allowed)) if named == allowed => None,
                (named, allowed) => {
                    let show = |value: Option<f64>| value.map_or("none".into(), |v| v.to_string());
                    Some(format!(
                        "node {} {what} {} by the site, its rules say {}",
                        node.id,
                        show(named),
                        show(allowed)
                    ))
                }
            }
        })
}
