//! From the state after an execution to what the caller gets.

use std::collections::HashSet;

use fedseal_client_sdk::attestation::DataUse;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_tuning::Example;

use super::state::HostState;
use crate::objects::Item;
use crate::reason::{Reason, Stop, printable};
use crate::run::{RunOutcome, examples_digest};

/// How the guest's `run` came back.
pub(crate) type Ended = Result<Result<(), String>, Stop>;

/// Takes the state apart. `seconds` is the wall-clock time of the execution.
pub(crate) fn finish(mut state: HostState, ended: Ended, fuel: u64, seconds: f64) -> RunOutcome {
    let submitted = state.submitted.take();
    let refused = state.refused.take();
    // The rest of what was written to the streams; only a run that went well can still break the
    // log's limit here.
    let written = state.collect_output(true);
    let ended = ended.and_then(|ended| written.map(|()| ended));
    let result =
        match (ended, submitted) {
            (Err(stop), _) => Err(state.explained(stop, true)),
            (Ok(Ok(())), Some(submitted)) => Ok(submitted),
            // A refused `submit` is the better reason, whatever the guest made of it.
            (Ok(Ok(())), None) => Err(refused.unwrap_or_else(|| {
                let stop = Stop::new(Reason::NoSubmission, "run ended without submit");
                state.explained(stop, false)
            })),
            (Ok(Err(text)), _) => Err(refused
                .unwrap_or_else(|| state.explained(Stop::new(Reason::GuestError, text), false))),
        };
    let mut used = state.budget.used();
    used.fuel = fuel;
    used.peak_memory_bytes = state.memory.peak();
    let mut used_data = UsedData::default();
    let submission = match result {
        Ok((submission, node)) => {
            state.lineage.output = Some(node);
            used_data = state.data_of(node);
            Ok(submission)
        }
        Err(stop) => Err(stop.failure()),
    };
    RunOutcome {
        limits: *state.budget.limits(),
        submission,
        transcript: state.transcript,
        lineage: state.lineage,
        data: used_data.data,
        datasets: used_data.datasets,
        shard_part: used_data.shard_part,
        used,
        log: state.log,
        seconds,
    }
}

/// The data of an adapter, as [`RunOutcome`] has them.
#[derive(Default)]
struct UsedData {
    data: Vec<DataUse>,
    datasets: Vec<(Digest, Vec<Example>)>,
    shard_part: Option<(Digest, Vec<Example>)>,
}

/// Bytes of one part of an explanation, at most.
const PART: usize = 160;

/// Lines at the log's end that an explanation quotes, and their bytes together.
const LAST_LINES: usize = 6;
const LAST_BYTES: usize = 200;

/// A text of at most [`LAST_BYTES`]: the middle goes first, since some runtimes write the reason before the
/// calls that led to it and others after them.
fn both_ends(text: &str) -> String {
    if text.len() <= LAST_BYTES {
        return text.to_owned();
    }
    let half = (LAST_BYTES - 5) / 2;
    let start = printable(text, half);
    let from = (text.len() - half..text.len()).find(|at| text.is_char_boundary(*at));
    format!("{start} ... {}", &text[from.unwrap_or(text.len())..])
}

impl HostState {
    /// A stop that is the guest's own doing, with what the host knows about its cause: the last call that was
    /// refused and, for one that `broke` off, the end of the log, where runtimes write why. Stops at a limit
    /// stay as they are: their words name the limit and nothing else.
    fn explained(&self, stop: Stop, broke: bool) -> Stop {
        if !matches!(
            stop.reason,
            Reason::Trap | Reason::GuestError | Reason::NoSubmission
        ) {
            return stop;
        }
        let mut more = String::new();
        // Log lines are told only where they may be recorded.
        if broke && self.input.recording.log_lines {
            let lines = self.log.iter().map(|line| line.trim());
            let lines =
                lines.filter(|line| !line.is_empty() && !line.starts_with("note: run with"));
            let mut last: Vec<&str> = lines.rev().take(LAST_LINES).collect();
            last.reverse();
            if !last.is_empty() {
                more = format!("; its log ends: {}", both_ends(&last.join(" | ")));
            }
        }
        if let Some((name, words)) = &self.last_refusal {
            let words = printable(words, PART / 2);
            if !stop.detail.contains(&words) && !more.contains(&words) {
                more.push_str(&format!("; the last refused call: {name}: {words}"));
            }
        }
        match more.is_empty() {
            true => stop,
            false => Stop::new(stop.reason, printable(&stop.detail, PART) + &more),
        }
    }

    /// Data that the adapter of this node was trained on, by origin.
    fn data_of(&self, output: u32) -> UsedData {
        let ancestors = self.lineage.ancestors(output);
        let items: Vec<&Item> = self
            .trained
            .iter()
            .filter(|(node, _)| ancestors.contains(node))
            .flat_map(|(_, items)| items.iter())
            .collect();
        let mut used = UsedData::default();
        for (kind, origin) in [
            (Kind::Shard, "shard"),
            (Kind::Literal, "literal"),
            (Kind::Generated, "generated"),
        ] {
            let mut seen = HashSet::new();
            let examples: Vec<&Example> = items
                .iter()
                .filter(|item| item.origin == kind && seen.insert(item.identity()))
                .map(|item| item.example())
                .collect();
            if examples.is_empty() {
                continue;
            }
            let count = u32::try_from(examples.len()).unwrap_or(u32::MAX);
            // The whole shard is named by its registered digest, in whatever order it was used.
            let whole = kind == Kind::Shard && examples.len() == self.input.shard.len();
            let digest = if whole {
                self.input.shard_digest
            } else {
                let examples: Vec<Example> = examples.into_iter().cloned().collect();
                let digest = examples_digest(&examples);
                if kind == Kind::Shard {
                    used.shard_part = Some((digest, examples));
                } else {
                    used.datasets.push((digest, examples));
                }
                digest
            };
            used.data.push(DataUse {
                origin: origin.to_owned(),
                digest,
                examples: count,
            });
        }
        used
    }
}
