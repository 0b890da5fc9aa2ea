//! Resources that an execution uses, counted against its limits.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fedseal_client_sdk::attestation::{Limits, Usage};
use wasmtime::ResourceLimiter;

use crate::reason::{Reason, Stop};

/// Memories of one component, all core instances together.
pub(crate) const MAX_MEMORIES: u32 = 4;
/// Tables of one component, all core instances together.
pub(crate) const MAX_TABLES: u32 = 16;
/// Bytes of prompts for each token that may be generated: reading costs the engine too.
const PROMPT_BYTES_PER_TOKEN: u64 = 16;

/// Counters with one method for each limit. A method that returns a [`Stop`] ends the execution.
pub(crate) struct Budget {
    limits: Limits,
    used: Usage,
    held: u64,
    work: u64,
    prompt_bytes: u64,
    /// The log bytes of the last second.
    recent: Recent,
}

/// Log bytes of the last second: every line with its moment. A line that is empty counts as a byte,
/// so there are no more of them than `log_second_bytes`.
#[derive(Default)]
struct Recent {
    lines: VecDeque<(Instant, u64)>,
    bytes: u64,
}

impl Recent {
    /// The bytes of the second that ends now, `more` included.
    fn add(&mut self, now: Instant, more: u64) -> u64 {
        while let Some((at, bytes)) = self.lines.front()
            && now.saturating_duration_since(*at) >= SECOND
        {
            self.bytes = self.bytes.saturating_sub(*bytes);
            self.lines.pop_front();
        }
        self.lines.push_back((now, more));
        self.bytes = self.bytes.saturating_add(more);
        self.bytes
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// `used + more`, if that is within `limit`.
fn add(used: u64, more: u64, limit: u64) -> Option<u64> {
    used.checked_add(more).filter(|sum| *sum <= limit)
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            used: Usage::default(),
            held: 0,
            work: 0,
            prompt_bytes: 0,
            recent: Recent::default(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Resources that were used. Whoever measures fuel and memory fills them in.
    pub(crate) fn used(&self) -> Usage {
        self.used
    }

    /// Counts one host call.
    pub(super) fn call(&mut self) -> Result<(), Stop> {
        let limit = self.limits.host_calls;
        self.used.host_calls = add(self.used.host_calls, 1, limit)
            .ok_or_else(|| Stop::limit(Reason::HostCalls, "host_calls", limit))?;
        Ok(())
    }

    /// Checks `bytes` of a call's result, before they are copied: as many may go to the guest in
    /// one call as may come from it.
    pub(super) fn result(&self, bytes: u64) -> Result<(), Stop> {
        let limit = self.limits.call_bytes;
        match bytes > limit {
            true => Err(Stop::limit(Reason::CallBytes, "call_bytes", limit)),
            false => Ok(()),
        }
    }

    /// Counts `bytes` that the host copies, hashes or compares.
    pub(super) fn work(&mut self, bytes: u64) -> Result<(), Stop> {
        let limit = self.limits.host_work_bytes;
        self.work = add(self.work, bytes, limit)
            .ok_or_else(|| Stop::limit(Reason::HostWork, "host_work_bytes", limit))?;
        Ok(())
    }

    /// Counts `bytes` that the host keeps.
    pub(super) fn hold(&mut self, bytes: u64) -> Result<(), Stop> {
        let limit = self.limits.host_bytes;
        self.held = add(self.held, bytes, limit)
            .ok_or_else(|| Stop::limit(Reason::HostMemory, "host_bytes", limit))?;
        Ok(())
    }

    /// Gives back `bytes` that the host keeps no longer.
    pub(super) fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Counts optimiser steps, before they are made.
    pub(super) fn train_steps(&mut self, steps: u32) -> Result<(), Stop> {
        let limit = self.limits.train_steps;
        self.used.train_steps = add(self.used.train_steps, steps.into(), limit)
            .ok_or_else(|| Stop::limit(Reason::TrainSteps, "train_steps", limit))?;
        Ok(())
    }

    /// Counts training tokens, after the call: it is bounded by its steps.
    pub(super) fn train_tokens(&mut self, tokens: u64) -> Result<(), Stop> {
        let limit = self.limits.train_tokens;
        self.used.train_tokens = self.used.train_tokens.saturating_add(tokens);
        if self.used.train_tokens > limit {
            return Err(Stop::limit(Reason::TrainTokens, "train_tokens", limit));
        }
        Ok(())
    }

    /// Checks the most that a `generate` call may cost, before it is made.
    pub(super) fn may_generate(&mut self, most: u64, prompt_bytes: u64) -> Result<(), Stop> {
        let limit = self.limits.generated_tokens;
        let over = || Stop::limit(Reason::GeneratedTokens, "generated_tokens", limit);
        add(self.used.generated_tokens, most, limit).ok_or_else(over)?;
        let most_bytes = limit.saturating_mul(PROMPT_BYTES_PER_TOKEN);
        self.prompt_bytes = add(self.prompt_bytes, prompt_bytes, most_bytes).ok_or_else(over)?;
        Ok(())
    }

    /// Counts tokens that were written, at most what [`Budget::may_generate`] allowed.
    pub(super) fn generated(&mut self, tokens: u64) {
        self.used.generated_tokens = self.used.generated_tokens.saturating_add(tokens);
    }

    /// Counts log bytes, before the line is kept.
    pub(super) fn log(&mut self, bytes: u64) -> Result<(), Stop> {
        self.log_at(Instant::now(), bytes)
    }

    fn log_at(&mut self, now: Instant, bytes: u64) -> Result<(), Stop> {
        let limit = self.limits.log_total_bytes;
        // The total comes first: it is used up at the same point on every machine.
        self.used.log_bytes = add(self.used.log_bytes, bytes, limit)
            .ok_or_else(|| Stop::limit(Reason::LogLimit, "log_total_bytes", limit))?;
        let limit = self.limits.log_second_bytes;
        if self.recent.add(now, bytes) > limit {
            return Err(Stop::limit(Reason::LogRate, "log_second_bytes", limit));
        }
        Ok(())
    }
}

/// Wall-clock time, separate for the guest's own code and for the host. It decides nothing but when
/// to give up, so it does not reach what is recorded of an execution that ends well.
pub(crate) struct Clock {
    started: Instant,
    entered: Option<Instant>,
    in_host: Duration,
    guest: Duration,
    wall: Duration,
}

impl Clock {
    pub(crate) fn new(started: Instant, limits: &Limits) -> Self {
        Self {
            started,
            entered: None,
            in_host: Duration::ZERO,
            guest: Duration::from_secs(limits.guest_seconds),
            wall: Duration::from_secs(limits.wall_seconds),
        }
    }

    pub(super) fn enter(&mut self) {
        self.entered = Some(Instant::now());
    }

    pub(super) fn leave(&mut self) {
        if let Some(entered) = self.entered.take() {
            self.in_host += entered.elapsed();
        }
    }

    /// Asked at every tick of the engine's epoch, from inside the guest's code.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        let total = self.started.elapsed();
        if total > self.wall {
            return Err(Stop::limit(
                Reason::WallTime,
                "wall_seconds",
                self.wall.as_secs(),
            ));
        }
        if total.saturating_sub(self.in_host) > self.guest {
            return Err(Stop::limit(
                Reason::GuestTime,
                "guest_seconds",
                self.guest.as_secs(),
            ));
        }
        Ok(())
    }
}

/// Resources that the guest's instances take. Growing past a limit ends the execution instead of
/// failing the instruction: the recorded reason is then the limit, and not what a guest does about
/// it.
pub(crate) struct Memory {
    limit: u64,
    tables: u64,
    instances: u64,
    bytes: u64,
    elements: u64,
    peak: u64,
}

impl Memory {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.memory_bytes,
            tables: limits.tables,
            instances: limits.instances,
            bytes: 0,
            elements: 0,
            peak: 0,
        }
    }

    /// Most bytes of linear memory at any time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }
}

/// The sum after one of the parts has grown.
fn grown(sum: u64, current: usize, desired: usize) -> u64 {
    sum.saturating_add(desired.saturating_sub(current) as u64)
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = grown(self.bytes, current, desired);
        if sum > self.limit {
            return Err(Stop::limit(Reason::Memory, "memory_bytes", self.limit).into());
        }
        self.bytes = sum;
        self.peak = self.peak.max(sum);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = grown(self.elements, current, desired);
        if sum > self.tables {
            return Err(Stop::limit(Reason::Tables, "tables", self.tables).into());
        }
        self.elements = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        usize::try_from(self.instances).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_bytes_of_any_second_are_limited_and_older_ones_forgotten() {
        let mut budget = Budget::new(Limits {
            log_second_bytes: 100,
            log_total_bytes: 250,
            ..Limits::default()
        });
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        budget.log_at(at(0), 60).unwrap();
        budget.log_at(at(900), 40).unwrap();
        // The first 60 have passed, the 40 have not.
        budget.log_at(at(1_000), 60).unwrap();
        let stop = budget.log_at(at(1_899), 1).unwrap_err();
        assert_eq!(stop.reason, Reason::LogRate);
        assert_eq!(stop.detail, "log_second_bytes is 100");
        // Slow enough, but too much in all.
        budget.log_at(at(5_000), 80).unwrap();
        let stop = budget.log_at(at(9_000), 80).unwrap_err();
        assert_eq!(stop.reason, Reason::LogLimit);
    }
}
