//! Rules that a well-typed experiment file must still obey.

use super::locate::Located;
use super::{AdmissionConfig, Experiment, bounds};
use crate::error::{Error, Result};
use crate::schedule::Schedule;
use crate::site::SiteRules;
use crate::{admission, aggregation, arms, attack, optimiser};

/// Checks every value against its range and every name against the known ones.
pub(super) fn experiment(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let need = |ok: bool, key: &str, expected: &str, found: &dyn std::fmt::Display| {
        if ok {
            Ok(())
        } else {
            Err(at.error(key, format!("expected {expected}, found {found}")))
        }
    };
    let named = |key: &str, result: std::result::Result<(), Error>| {
        result.map_err(|error| at.error(key, error.to_string()))
    };

    need(!e.seeds.is_empty(), "seeds", "at least one seed", &"none")?;
    need(
        e.seeds.iter().all(|seed| *seed <= i64::MAX as u64),
        "seeds",
        "seeds below 2^63",
        &"a larger one",
    )?;
    need(!e.arms.is_empty(), "arms", "at least one arm", &"none")?;
    for (index, arm) in e.arms.iter().enumerate() {
        named("arms", arms::arm(arm, &e.arm).map(drop))?;
        need(!e.arms[..index].contains(arm), "arms", "each arm once", arm)?;
    }
    for (name, own) in &e.arm {
        let key = format!("arm.{name}");
        let taken = arms::known().contains(&name.as_str());
        need(!taken, &key, "a name that no built-in arm has", name)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        need(
            !name.is_empty() && name.len() <= 64 && name.chars().all(plain),
            &key,
            "letters, digits, `.`, `_` and `-`, 64 at most",
            name,
        )?;
        let used = e.arms.contains(name);
        need(used, &key, "a name that `arms` has", name)?;
        if let Some(malicious) = own.malicious {
            let most = e.federation.clients;
            let expected = format!("at most federation.clients = {most}");
            need(malicious <= most, &key, &expected, &malicious)?;
        }
        let some = own.malicious.is_none_or(|malicious| malicious == 0);
        let kinds = own.kinds.is_some() || !e.attack.kinds.is_empty();
        need(
            some || kinds,
            &key,
            "at least one kind of its attackers",
            &"none",
        )?;
        if let Some(source) = &own.repairs {
            need(source != name, &key, "another arm to repair", source)?;
        }
    }
    named("arms", e.all_arms().map(drop))?;

    one_of(
        at,
        "model.template",
        "template",
        &e.model.template,
        &["model", "alpaca", "chatml"],
    )?;
    one_of(
        at,
        "data.source",
        "data source",
        &e.data.source,
        &["world", "real"],
    )?;

    let f = &e.federation;
    need(
        f.clients > 0,
        "federation.clients",
        "at least 1",
        &f.clients,
    )?;
    need(
        f.clients <= 10_000,
        "federation.clients",
        "at most 10000",
        &f.clients,
    )?;
    need(
        f.malicious <= f.clients,
        "federation.malicious",
        &format!("at most federation.clients = {}", f.clients),
        &f.malicious,
    )?;
    need(
        (1..=f.clients).contains(&f.sampled),
        "federation.sampled",
        &format!("1 to federation.clients = {}", f.clients),
        &f.sampled,
    )?;
    need(f.rounds > 0, "federation.rounds", "at least 1", &f.rounds)?;
    need(
        f.examples_per_client > 0,
        "federation.examples_per_client",
        "at least 1",
        &f.examples_per_client,
    )?;
    need(
        share(f.refusal_share),
        "federation.refusal_share",
        "a share from 0 to 1",
        &f.refusal_share,
    )?;

    let t = &e.training;
    need(
        t.local_steps > 0,
        "training.local_steps",
        "at least 1",
        &t.local_steps,
    )?;
    need(
        t.batch_size > 0,
        "training.batch_size",
        "at least 1",
        &t.batch_size,
    )?;
    need(
        t.sequence_length > 1,
        "training.sequence_length",
        "at least 2 tokens",
        &t.sequence_length,
    )?;
    need(
        t.max_response_tokens > 0,
        "training.max_response_tokens",
        "at least 1 token",
        &t.max_response_tokens,
    )?;
    need(
        positive(t.learning_rate),
        "training.learning_rate",
        "a number above 0",
        &t.learning_rate,
    )?;
    need(
        not_negative(t.learning_rate_final),
        "training.learning_rate_final",
        "0 or a number above",
        &t.learning_rate_final,
    )?;
    named("training.schedule", Schedule::named(&t.schedule).map(drop))?;
    need(
        not_negative(t.weight_decay),
        "training.weight_decay",
        "0 or a number above",
        &t.weight_decay,
    )?;
    need(
        (0.0..1.0).contains(&t.beta1),
        "training.beta1",
        "a number from 0 to below 1",
        &t.beta1,
    )?;
    need(
        (0.0..1.0).contains(&t.beta2),
        "training.beta2",
        "a number from 0 to below 1",
        &t.beta2,
    )?;
    need(
        positive(t.epsilon),
        "training.epsilon",
        "a number above 0",
        &t.epsilon,
    )?;
    need(
        not_negative(t.clip_norm),
        "training.clip_norm",
        "0 (no clipping) or a number above",
        &t.clip_norm,
    )?;
    need(
        not_negative(t.proximal_mu),
        "training.proximal_mu",
        "0 or a number above",
        &t.proximal_mu,
    )?;

    need(e.lora.rank > 0, "lora.rank", "at least 1", &e.lora.rank)?;
    need(
        positive(e.lora.alpha),
        "lora.alpha",
        "a number above 0",
        &e.lora.alpha,
    )?;
    need(
        (0.0..1.0).contains(&e.lora.dropout),
        "lora.dropout",
        "a number from 0 to below 1",
        &e.lora.dropout,
    )?;
    need(
        !e.lora.targets.is_empty(),
        "lora.targets",
        "at least one layer name",
        &"none",
    )?;

    need(
        f.malicious == 0 || !e.attack.kinds.is_empty(),
        "attack.kinds",
        "at least one kind",
        &"none",
    )?;
    for kind in &e.attack.kinds {
        one_of(at, "attack.kinds", "attack kind", kind, &attack::names())?;
    }
    need(
        e.attack.attachment_examples > 0,
        "attack.attachment_examples",
        "at least 1",
        &e.attack.attachment_examples,
    )?;

    let a = &e.aggregation;
    need(
        a.dnc_coordinates > 0,
        "aggregation.dnc_coordinates",
        "at least 1",
        &a.dnc_coordinates,
    )?;
    need(
        a.dnc_iterations > 0,
        "aggregation.dnc_iterations",
        "at least 1",
        &a.dnc_iterations,
    )?;
    need(
        not_negative(a.dnc_filter),
        "aggregation.dnc_filter",
        "0 or a number above",
        &a.dnc_filter,
    )?;
    need(
        positive(a.residual_lambda),
        "aggregation.residual_lambda",
        "a number above 0",
        &a.residual_lambda,
    )?;
    need(
        share(a.residual_threshold),
        "aggregation.residual_threshold",
        "a number from 0 to 1",
        &a.residual_threshold,
    )?;

    let s = &e.server;
    one_of(
        at,
        "server.optimiser",
        "server optimiser",
        &s.optimiser,
        &optimiser::KNOWN,
    )?;
    need(
        positive(s.learning_rate),
        "server.learning_rate",
        "a number above 0",
        &s.learning_rate,
    )?;
    need(
        (0.0..1.0).contains(&s.momentum),
        "server.momentum",
        "a number from 0 to below 1",
        &s.momentum,
    )?;
    need(
        (0.0..1.0).contains(&s.beta1),
        "server.beta1",
        "a number from 0 to below 1",
        &s.beta1,
    )?;
    need(
        (0.0..1.0).contains(&s.beta2),
        "server.beta2",
        "a number from 0 to below 1",
        &s.beta2,
    )?;
    need(positive(s.tau), "server.tau", "a number above 0", &s.tau)?;

    let d = &e.defence;
    need(
        (1..=3).contains(&d.level),
        "defence.level",
        "1, 2 or 3",
        &d.level,
    )?;
    need(d.steps > 0, "defence.steps", "at least 1", &d.steps)?;
    need(
        d.batch_size > 0,
        "defence.batch_size",
        "at least 1",
        &d.batch_size,
    )?;
    need(
        positive(d.learning_rate),
        "defence.learning_rate",
        "a number above 0",
        &d.learning_rate,
    )?;
    need(
        d.safety_examples > 0,
        "defence.safety_examples",
        "at least 1",
        &d.safety_examples,
    )?;
    need(
        d.attempts > 0,
        "defence.attempts",
        "at least 1",
        &d.attempts,
    )?;
    need(
        d.max_new_tokens > 0,
        "defence.max_new_tokens",
        "at least 1",
        &d.max_new_tokens,
    )?;
    need(
        (0.0..=2.0).contains(&d.temperature),
        "defence.temperature",
        "a number from 0 to 2",
        &d.temperature,
    )?;

    let v = &e.evaluation;
    need(
        v.prompts > 0,
        "evaluation.prompts",
        "at least 1",
        &v.prompts,
    )?;
    need(
        v.max_new_tokens > 0,
        "evaluation.max_new_tokens",
        "at least 1",
        &v.max_new_tokens,
    )?;
    need(
        v.batch_size > 0,
        "evaluation.batch_size",
        "at least 1",
        &v.batch_size,
    )?;
    need(
        v.every == 0 || v.round_prompts > 0,
        "evaluation.round_prompts",
        "at least 1 (or evaluation.every = 0)",
        &v.round_prompts,
    )?;
    need(
        v.round_prompts <= v.prompts,
        "evaluation.round_prompts",
        &format!("at most evaluation.prompts = {}", v.prompts),
        &v.round_prompts,
    )?;
    need(
        v.round_tasks <= v.tasks,
        "evaluation.round_tasks",
        &format!("at most evaluation.tasks = {}", v.tasks),
        &v.round_tasks,
    )?;

    need(
        e.canaries.per_round > 0,
        "canaries.per_round",
        "at least 1",
        &e.canaries.per_round,
    )?;
    need(
        e.canaries.per_round <= e.canaries.sealed,
        "canaries.per_round",
        &format!("at most canaries.sealed = {}", e.canaries.sealed),
        &e.canaries.per_round,
    )?;

    one_of(
        at,
        "run.device",
        "device",
        &e.run.device,
        &fedseal_adapter::DEVICES,
    )?;
    one_of(
        at,
        "run.numerics",
        "numeric mode",
        &e.run.numerics,
        &["exact", "fast"],
    )?;
    need(
        e.run.threads <= 1024,
        "run.threads",
        "at most 1024",
        &e.run.threads,
    )?;
    need(
        e.run.workers <= 1024,
        "run.workers",
        "at most 1024",
        &e.run.workers,
    )?;

    bounds::check(e, at)?;
    admission(&e.admission, at, "admission.")?;
    if let Some(rules) = &e.site {
        site(rules, at, "site.")?;
    }
    aggregation::rule("fedavg").map(drop)
}

/// Checks the rules that hold for new runs only: a run that was begun before such a rule can still be
/// read.
pub(super) fn new_run(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let twice = (1..).zip(&e.seeds).find(|(next, seed)| {
        let later = e.seeds.iter().skip(*next);
        later.into_iter().any(|other| other == *seed)
    });
    match twice {
        Some((_, seed)) => Err(at.error(
            "seeds",
            format!("expected each seed once, found {seed} twice: each has a run of its own"),
        )),
        None => Ok(()),
    }
}

/// Checks the site rules; `prefix` is what their keys begin with in this file.
pub(super) fn site(rules: &SiteRules, at: &Located<'_>, prefix: &str) -> Result<()> {
    rules
        .validate()
        .map_err(|(key, problem)| at.error(&format!("{prefix}{key}"), problem))
}

/// Checks the admission entries; `prefix` is what their keys begin with in this file.
pub(super) fn admission(config: &AdmissionConfig, at: &Located<'_>, prefix: &str) -> Result<()> {
    for (set, checks) in [
        ("provenance", &config.provenance),
        ("behaviour", &config.behaviour),
    ] {
        for (index, check) in checks.iter().flatten().enumerate() {
            admission::build(check).map_err(|problem| {
                let key = match &problem.key {
                    Some(key) => format!("{prefix}{set}.{index}.{key}"),
                    None => format!("{prefix}{set}.{index}"),
                };
                at.error(&key, problem.problem)
            })?;
        }
    }
    Ok(())
}

fn one_of(
    at: &Located<'_>,
    key: &str,
    what: &'static str,
    name: &str,
    known: &[&str],
) -> Result<()> {
    if known.contains(&name) {
        Ok(())
    } else {
        Err(at.error(key, Error::unknown(what, name, known).to_string()))
    }
}

fn share(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn not_negative(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}
