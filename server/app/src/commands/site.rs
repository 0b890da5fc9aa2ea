//! `fedseal site check FILE`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fedseal_client_sdk::attestation::Limits;
use fedseal_record::opened::OpenRun;
use fedseal_record::rundir::Plan;
use fedseal_record::site::facts;
use fedseal_rules::experiment::read_site;
use fedseal_rules::site::Allow;

use crate::failure::{Failure, Outcome};
use crate::output;

/// Site rules: what the holder of the data allows on a node.
#[derive(Args)]
pub(crate) struct Site {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Check a site.toml and say in words what it allows; with a run, what it would have.
    Check {
        /// The file.
        file: PathBuf,
        /// A run whose modules and clients are held against the rules.
        #[arg(long, value_name = "RUN_DIR")]
        run: Option<PathBuf>,
    },
}

impl Site {
    /// Checks it; fails when it allows nothing at all.
    pub(crate) fn execute(self) -> Outcome {
        let Action::Check { file, run } = self.action;
        let rules = read_site(&file)?;
        if rules.allow.is_empty() {
            return Err(Failure::new(format!(
                "{}: it has no [[allow]] rule, so every module is denied",
                file.display()
            ))
            .hint("That is a site that takes part in nothing; docs/SITE.md shows a rule."));
        }
        for rule in &rules.allow {
            output::line(words(rule));
        }
        output::line("Everything else is denied.");
        let Some(run) = run else { return Ok(()) };
        let OpenRun {
            plan, experiment, ..
        } = OpenRun::read(run)?;
        for client in &plan.clients {
            let mut told = Vec::new();
            for assignment in client.assignments() {
                if told.contains(&assignment) {
                    continue;
                }
                told.push(assignment);
                let name = plan.module_name(&assignment.module).unwrap_or("?");
                let answer = decide(&rules, &plan, &experiment.limits, client, assignment);
                output::line(format!("{} with module {name}: {answer}", client.client));
            }
        }
        Ok(())
    }
}

fn decide(
    rules: &fedseal_rules::site::SiteRules,
    plan: &Plan,
    limits: &Limits,
    client: &fedseal_record::rundir::PlannedClient,
    assignment: &fedseal_record::rundir::Assignment,
) -> String {
    let Some(facts) = facts(
        plan,
        limits,
        assignment.module,
        &client.client,
        assignment.shard,
    ) else {
        return "its module is not in the plan".into();
    };
    match rules.before(&facts) {
        Ok(rule) => {
            let tight: Vec<String> = rule
                .tighter(limits)
                .iter()
                .map(|(name, most)| format!("{name} {most}"))
                .collect();
            match tight.as_slice() {
                [] => format!("allowed by `{}` under the node's limits", rule.name),
                tight => format!(
                    "allowed by `{}` under the node's limits, but {}",
                    rule.name,
                    tight.join(", ")
                ),
            }
        }
        Err(reason) => format!("denied: {reason}"),
    }
}

/// A rule as sentences.
fn words(rule: &Allow) -> String {
    let modules = match &rule.modules {
        None => "all modules".to_owned(),
        Some(list) => format!("modules {}", list.join(", ")),
    };
    let shards = if rule.shards.iter().any(|s| s == "*") {
        "every shard".to_owned()
    } else {
        format!("the shards of {}", rule.shards.join(", "))
    };
    let mut text = format!(
        "`{}`: {modules} signed by {} may run on {shards}; ",
        rule.name,
        rule.signers.join(", ")
    );
    text.push_str(&match rule.max_generated_tokens {
        0 => "no model writes for them; ".to_owned(),
        n => format!("a model may write {n} tokens for them; "),
    });
    text.push_str(match (rule.raw_read, rule.raw_write) {
        (false, false) => "raw tensors are closed to them",
        (true, false) => "they may read raw tensors",
        (false, true) => "they may write raw tensors",
        (true, true) => "they may read and write raw tensors",
    });
    text.push_str(match rule.literal_data == Some(true) {
        true => "; they may bring examples of their own, whose text leaves",
        false => "; they may bring no examples of their own",
    });
    for (name, most) in &rule.limits {
        text.push_str(&format!("; {name} at most {most}"));
    }
    text.push_str(". An update leaves");
    let leave = &rule.leave;
    let mut how = Vec::new();
    if let Some(norm) = leave.clip_norm {
        how.push(format!("clipped to norm {norm}"));
    }
    if let Some(norm) = leave.max_norm {
        how.push(format!("with a norm of at most {norm}"));
    }
    if let Some(std) = leave.noise_std {
        how.push(format!("with Gaussian noise of {std} on each value"));
    }
    if let Some(most) = leave.max_record_bytes {
        how.push(format!(
            "with {most} bytes of transcript and lineage at most"
        ));
    }
    if how.is_empty() {
        text.push_str(" as it is.");
    } else {
        text.push_str(&format!(" {}.", how.join(", ")));
    }
    if let Some(digits) = leave.significant_digits {
        text.push_str(&format!(
            " Numbers that a module chooses have {digits} significant digits."
        ));
    }
    text.push_str(match rule.log_lines == Some(true) {
        true => " Log lines leave.",
        false => " Of log lines their number leaves.",
    });
    text.push_str(match rule.error_text == Some(true) {
        true => " The words and the transcript of a failure leave.",
        false => " Of a failure its class and the number of calls leave.",
    });
    text
}
