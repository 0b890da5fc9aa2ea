//! Rules that a well-typed experiment file must still obey. Each table checks its own values.

use std::fmt::Display;

use super::locate::Located;
use super::{Experiment, own};
use crate::aggregation;
use crate::arms::{self, ArmConfig, Kind};
use crate::error::Result;
use crate::site::SiteRules;

/// Checks every value against its range and every name against the known ones.
pub(super) fn experiment(e: &Experiment, at: &Located<'_>) -> Result<()> {
    seeds(e, at)?;
    arms(e, at)?;
    e.model.check(at)?;
    e.data.check(at)?;
    e.federation.check(at)?;
    let shard = e.federation.examples_per_client;
    need(
        e.data.lookalikes <= shard,
        at,
        "data.lookalikes",
        &format!("at most federation.examples_per_client = {shard}"),
        e.data.lookalikes,
    )?;
    e.training.check(at)?;
    e.lora.check(at)?;
    e.attack.check(e.federation.malicious, at)?;
    e.aggregation.check(at)?;
    device(e, at)?;
    e.server.check(at)?;
    e.defence.check(at)?;
    e.evaluation
        .check(e.data.is_files(), &e.model.template, at)?;
    e.canaries.check(e.data.is_files(), at)?;
    e.run.check(at)?;
    e.admission.check(at, "admission.")?;
    own::clients(e, at)?;
    own::files(e, at)?;
    e.site
        .as_ref()
        .map_or(Ok(()), |rules| site(rules, at, "site."))
}

fn need(ok: bool, at: &Located<'_>, key: &str, expected: &str, found: impl Display) -> Result<()> {
    match ok {
        true => Ok(()),
        false => Err(at.error(key, format!("expected {expected}, found {found}"))),
    }
}

fn seeds(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let fit = e.seeds.iter().all(|seed| *seed <= i64::MAX as u64);
    need(
        !e.seeds.is_empty(),
        at,
        "seeds",
        "at least one seed",
        "none",
    )?;
    need(fit, at, "seeds", "seeds below 2^63", "a larger one")
}

fn arms(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let named = |error: crate::Error| at.error("arms", error);
    let own = |id: &String| match e.arm.contains_key(id) {
        true => format!("arm.{id}"),
        false => "arms".to_owned(),
    };
    need(!e.arms.is_empty(), at, "arms", "at least one arm", "none")?;
    for (index, arm) in e.arms.iter().enumerate() {
        arms::arm(arm, &e.arm).map_err(|error| at.error(&own(arm), error))?;
        let first = !e.arms[..index].contains(arm);
        need(first, at, "arms", "each arm once", arm)?;
    }
    for (name, own) in &e.arm {
        own_arm(e, name, own, at)?;
    }
    e.all_arms().map(drop).map_err(named)
}

/// Checks that the device can aggregate in every arm, where it is to.
fn device(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let arms = e.all_arms()?;
    for arm in arms.iter().filter(|arm| arm.kind == Kind::Federated) {
        if let Some(problem) = e.aggregation.off_device(arm.rule)? {
            let problem = format!("arm `{}`: {problem}", arm.id);
            return Err(at.error("aggregation.device", problem));
        }
    }
    Ok(())
}

fn own_arm(e: &Experiment, name: &str, own: &ArmConfig, at: &Located<'_>) -> Result<()> {
    let key = format!("arm.{name}");
    let need = |ok, expected: &str, found: &str| need(ok, at, &key, expected, found);
    // A run keeps an arm whose name a later program has a rule of; a new one may not have it.
    let taken = arms::known().contains(&name) && aggregation::rule(name).is_err();
    need(!taken, "a name that no built-in arm has", name)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    need(
        !name.is_empty() && name.len() <= 64 && name.chars().all(plain),
        "letters, digits, `.`, `_` and `-`, 64 at most",
        name,
    )?;
    let used = e.arms.iter().any(|arm| arm == name);
    need(used, "a name that `arms` has", name)?;
    if let Some(malicious) = own.malicious {
        let most = format!("at most federation.clients = {}", e.federation.clients);
        let fits = malicious <= e.federation.clients;
        self::need(fits, at, &key, &most, malicious)?;
    }
    let some = own.malicious.is_none_or(|malicious| malicious == 0);
    let kinds = own.kinds.is_some() || !e.attack.kinds.is_empty();
    need(some || kinds, "at least one kind of its attackers", "none")?;
    match &own.repairs {
        Some(source) => need(source != name, "another arm to repair", source),
        None => Ok(()),
    }
}

/// Checks the rules that hold for new runs only: a run that was begun before such a rule can still be
/// read.
pub(super) fn new_run(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let twice = (1..).zip(&e.seeds).find(|(next, seed)| {
        let later = e.seeds.iter().skip(*next);
        later.into_iter().any(|other| other == *seed)
    });
    if let Some((_, seed)) = twice {
        let problem =
            format!("expected each seed once, found {seed} twice: each has a run of its own");
        return Err(at.error("seeds", problem));
    }
    for name in e.arm.keys() {
        let free = !arms::known().contains(&name.as_str());
        need(
            free,
            at,
            &format!("arm.{name}"),
            "a name that no built-in arm has",
            name,
        )?;
    }
    e.server.check_used(&e.optimisers(), at)?;
    own::new_run(e, at)
}

/// Checks the site rules; `prefix` is what their keys begin with in this file.
pub(super) fn site(rules: &SiteRules, at: &Located<'_>, prefix: &str) -> Result<()> {
    rules
        .validate()
        .map_err(|(key, problem)| at.error(&format!("{prefix}{key}"), problem))
}
