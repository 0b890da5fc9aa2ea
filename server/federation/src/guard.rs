//! The site rules around the node's executor: asked before a module runs and before an update
//! leaves, answered in the transcript. The runner and replay wrap their executors in the same way, so
//! a replay gives the same bits.

use std::collections::BTreeMap;
use std::sync::Arc;

use fedseal_client_sdk::attestation::{Failure, Usage};
use fedseal_client_sdk::digest::{Digest, Hashed};
use fedseal_client_sdk::lineage::{Kind, Lineage, Node};
use fedseal_client_sdk::transcript::Transcript;
use fedseal_sandbox::{Engine, RunInput, RunOutcome, noisy};
use fedseal_tuning::Adapter;
use serde_json::{Value, json};

use crate::execute::{Executor, Session};
use crate::{Error, Result};
use fedseal_record::rundir::Plan;
use fedseal_record::site::facts;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::sampling::derive_seed;
use fedseal_rules::site::{Allow, Before, Denial, REASON, small_enough, withhold};

struct Guarded {
    inner: Box<dyn Executor>,
    plan: Plan,
    experiment: Experiment,
}

/// Puts the site rules of an experiment, or of its nodes, around an executor; without rules it is handed back
/// as it is.
pub fn guard(inner: Box<dyn Executor>, experiment: &Experiment, plan: &Plan) -> Box<dyn Executor> {
    let ruled = plan.clients.iter().any(|client| client.site.is_some());
    match ruled || experiment.site.is_some() {
        false => inner,
        true => Box::new(Guarded {
            inner,
            plan: plan.clone(),
            experiment: experiment.clone(),
        }),
    }
}

impl Executor for Guarded {
    fn run(&self, module: &Digest, input: &RunInput, engine: &dyn Engine) -> Result<RunOutcome> {
        self.ruled(module, input, &|input| {
            self.inner.run(module, input, engine)
        })
    }

    fn session(
        &self,
        engine: &dyn Engine,
        work: &mut (dyn FnMut(&dyn Session) + Send),
    ) -> Result<()> {
        let guarded = self;
        self.inner
            .session(engine, &mut |inner| work(&Ruled { guarded, inner }))
    }
}

/// Session under the rules.
struct Ruled<'a> {
    guarded: &'a Guarded,
    inner: &'a dyn Session,
}

impl Session for Ruled<'_> {
    fn run(&self, module: &Digest, input: &RunInput) -> Result<RunOutcome> {
        let run = |input: &RunInput| self.inner.run(module, input);
        self.guarded.ruled(module, input, &run)
    }
}

impl Guarded {
    /// Executes a module by `run`, as far as the rules allow it.
    fn ruled(
        &self,
        module: &Digest,
        input: &RunInput,
        run: &dyn Fn(&RunInput) -> Result<RunOutcome>,
    ) -> Result<RunOutcome> {
        let limits = self.experiment.limits;
        let Some(rules) = self.plan.site(&self.experiment, &input.client) else {
            return run(input);
        };
        let facts = facts(
            &self.plan,
            &limits,
            *module,
            &input.client,
            input.shard_digest,
        )
        .ok_or_else(|| {
            Error::tampered(format!("module {module}"), "is not registered in this run")
        })?;
        let rule = match rules.before(&facts) {
            Ok(rule) => rule,
            Err(reason) => return Ok(denied(&facts, &reason)),
        };
        let tighter = rule.limits(&limits);
        let input = RunInput {
            limits: (tighter != limits).then_some(tighter),
            recording: rule.recording(),
            ..input.clone()
        };
        let outcome = run(&input)?;
        leave(rule, &facts, &input, outcome)
    }
}

fn asked(facts: &Before<'_>) -> Value {
    json!({
        "module": facts.module,
        "signer": facts.signer,
        "client": facts.client,
        "shard": facts.shard,
    })
}

fn failure(detail: &str) -> Failure {
    Failure {
        reason: REASON.into(),
        detail: detail.to_owned(),
    }
}

/// Nothing was executed.
fn denied(facts: &Before<'_>, reason: &str) -> RunOutcome {
    let mut transcript = Transcript::new();
    transcript.push("site-before", &asked(facts), &json!({ "denied": reason }));
    RunOutcome {
        submission: Err(failure(reason)),
        transcript,
        lineage: Lineage::default(),
        data: Vec::new(),
        datasets: Vec::new(),
        shard_part: None,
        limits: *facts.limits,
        used: Usage::default(),
        log: Vec::new(),
        seconds: 0.0,
    }
}

/// Lets an execution's outcome leave, changes it first, or withholds it, as the rule demands.
fn leave(
    rule: &Allow,
    facts: &Before<'_>,
    input: &RunInput,
    mut outcome: RunOutcome,
) -> Result<RunOutcome> {
    let mut transcript = Transcript::new();
    let mut allowed = json!({ "allowed-by": rule.name });
    if input.limits.is_some() {
        allowed["limits"] = json!(rule.tighter(facts.limits));
    }
    transcript.push("site-before", &asked(facts), &allowed);
    let lines = outcome.log.len();
    let answer = match &outcome.submission {
        // It submitted nothing: only its log could leave.
        Err(_) => rule
            .leaves(&outcome.lineage, &outcome.used)
            .map(|()| (None, json!({ "update": null }))),
        Ok(submission) => change(rule, input, &outcome, &submission.adapter)?,
    };
    let mut whole = transcript.clone();
    whole.append(&outcome.transcript);
    let answer = answer.and_then(|(changed, written)| {
        let lineage = changed
            .as_ref()
            .map_or(&outcome.lineage, |(_, lineage)| lineage);
        if outcome.submission.is_ok() {
            small_enough(rule, &whole, lineage)?;
        }
        Ok((changed, written))
    });
    let mut written = match answer {
        Ok((changed, written)) => {
            if let (Some((adapter, lineage)), Ok(submission)) = (changed, &mut outcome.submission) {
                let bytes = Hashed::of(adapter.to_bytes());
                submission.digest = bytes.digest();
                submission.bytes = Some(bytes);
                submission.adapter = Arc::new(adapter);
                outcome.lineage = lineage;
            }
            written
        }
        Err(denial) => {
            let reason = rule.told(&denial);
            outcome.submission = Err(failure(&reason));
            outcome.lineage.output = None;
            outcome.data.clear();
            outcome.datasets.clear();
            outcome.log.clear();
            json!({ "denied": reason })
        }
    };
    if outcome.submission.is_err() && !rule.tells_errors() {
        withhold(
            &mut outcome.transcript,
            &mut outcome.lineage,
            outcome.submission.as_mut().err(),
            &outcome.limits,
        );
        transcript.append(&outcome.transcript);
    } else {
        transcript = whole;
    }
    if !rule.recording().log_lines {
        outcome.log.clear();
        written["log-lines"] = lines.into();
    }
    transcript.push("site-leave", &json!({ "rule": rule.name }), &written);
    outcome.transcript = transcript;
    Ok(outcome)
}

type Changed = Option<(Adapter, Lineage)>;

/// Clips the update and adds noise as the rule says. The inner error is a denial.
#[allow(clippy::type_complexity)]
fn change(
    rule: &Allow,
    input: &RunInput,
    outcome: &RunOutcome,
    adapter: &Adapter,
) -> Result<std::result::Result<(Changed, Value), Denial>> {
    let model = Error::model::<fedseal_tuning::AdapterError>;
    if let Err(reason) = rule.leaves(&outcome.lineage, &outcome.used) {
        return Ok(Err(reason));
    }
    let norm = adapter.sub(&input.global).map_err(model)?.norm_l2();
    let mut written = json!({ "norm": finite(norm) });
    let mut lineage = outcome.lineage.clone();
    let mut current: Option<Adapter> = None;
    let mut push = |kind: Kind, adapter: &Adapter, params: &[(&str, Value)]| {
        let inputs = lineage.output.into_iter().collect();
        let mut all = BTreeMap::from([(Node::BY.to_owned(), Value::from("site"))]);
        all.extend(params.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        let node = lineage.push(kind, inputs, Some(Digest(adapter.digest())), None, all);
        lineage.output = Some(node);
    };
    let mut after = norm;
    if let Some(most) = rule.leave.clip_norm
        && norm > most
    {
        // flat = global + factor * (local - global), in f32 as every adapter.
        let factor = most / norm;
        let global = input.global.flat();
        let flat: Vec<f32> = adapter
            .flat()
            .iter()
            .zip(&global)
            .map(|(local, global)| global + factor as f32 * (local - global))
            .collect();
        let clipped = adapter.from_flat(&flat).map_err(model)?;
        after = clipped.sub(&input.global).map_err(model)?.norm_l2();
        push(
            Kind::Clip,
            &clipped,
            &[("norm", most.into()), ("factor", factor.into())],
        );
        written["clipped-to"] = most.into();
        current = Some(clipped);
    }
    // The bound is on what the module made; noise comes on top of it.
    if let Err(reason) = rule.norm_leaves(after) {
        return Ok(Err(reason));
    }
    if let Some(std) = rule.leave.noise_std {
        let seed = derive_seed(
            "site-noise",
            input.seed.0,
            &[input.client.as_str(), &input.round.to_string()],
        );
        let noised = noisy(current.as_ref().unwrap_or(adapter), std as f32, seed);
        push(
            Kind::Noise,
            &noised,
            &[("std", std.into()), ("seed", seed.into())],
        );
        written["noise-std"] = std.into();
        current = Some(noised);
    }
    Ok(Ok((current.map(|adapter| (adapter, lineage)), written)))
}

/// A number that has a canonical form.
fn finite(value: f64) -> Value {
    if value.is_finite() {
        value.into()
    } else {
        Value::Null
    }
}
