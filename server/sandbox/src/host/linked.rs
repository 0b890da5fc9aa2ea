//! WASI of a run: linked to its state, and what is written to its streams moved into the log.

use fedseal_client_sdk::digest::Digest;
use serde_json::json;
use wasmtime::component::Linker;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::state::HostState;
use super::wasi::{Time, TimeView};
use crate::reason::{Stop, printable};

/// Links them all.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // The library's own would sleep on the machine's clock, whatever clock it is given.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<HostState, Time>(linker, |state| {
        let wasi = state.wasi.get(&state.numbers, state.budget.limits());
        TimeView {
            time: &wasi.time,
            table: &mut state.table,
        }
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi.get(&self.numbers, self.budget.limits()).context,
            table: &mut self.table,
        }
    }
}

impl HostState {
    /// Moves what was written to the streams into the log, where it has the log's limits: whole
    /// lines, and at the end of the run the rest.
    #[inline(always)]
    pub(super) fn collect_output(&mut self, ended: bool) -> Result<(), Stop> {
        match self.wasi.0.is_some() {
            true => self.collect(ended),
            false => Ok(()),
        }
    }

    #[cold]
    fn collect(&mut self, ended: bool) -> Result<(), Stop> {
        let Some(behind) = self.wasi.0.as_ref() else {
            return Ok(());
        };
        let taken = behind.streams.each_ref().map(|lines| lines.take(ended));
        for (name, bytes) in ["stdout", "stderr"].into_iter().zip(taken) {
            if bytes.is_empty() {
                continue;
            }
            let recorded = self.input.recording.log_lines;
            let args = match recorded {
                true => json!({"bytes": bytes.len(), "digest": Digest::of(&bytes).to_string()}),
                false => json!({}),
            };
            let kept = self.keep_lines(&bytes);
            let written = match &kept {
                Ok(kept) if recorded => json!({"kept": kept}),
                Ok(_) => json!({}),
                Err(stop) => json!({"stop": {"reason": stop.reason.id(), "detail": stop.detail}}),
            };
            self.transcript.push(name, &args, &written);
            kept?;
        }
        Ok(())
    }

    fn keep_lines(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        self.budget.work(bytes.len() as u64)?;
        let record = usize::try_from(self.budget.limits().log_record_bytes).unwrap_or(usize::MAX);
        let mut kept = 0;
        for line in String::from_utf8_lossy(bytes).lines() {
            let line = printable(line, record);
            self.budget.log(line.len() as u64 + 1)?;
            kept += line.len();
            self.log.push(line);
        }
        Ok(kept)
    }
}
