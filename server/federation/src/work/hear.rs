//! Takes in results while they come, and hears a stop meanwhile.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How often `tick` is asked while jobs run.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Most results that are handed over together.
pub(crate) const BATCH: usize = 1024;
/// How long results are gathered, from the first one on, where more are to come: a write to the disk waits for it
/// several times, whatever number of results it is of.
const GATHER: Duration = Duration::from_millis(20);
/// Number of results that are still to come from which on nobody looks for each of them while they are gathered:
/// looking costs two changes of thread. Of fewer, the last one would be waited for.
const MANY: usize = 64;

/// Hands `left` results to `done` as they come, or as many as there are senders for. Results that came soon after
/// one another, or while `done` was busy, are handed over together, so that they share slow disk operations.
///
/// # Errors
/// Any error that `done` returns; [`Error::Interrupted`] when `tick` breaks. Results that come later are
/// dropped: they may be cut short.
pub(crate) fn hear<R>(
    receive: &Receiver<R>,
    mut left: usize,
    mut done: impl FnMut(Vec<R>) -> Result<()>,
    mut tick: impl FnMut() -> ControlFlow<()>,
) -> Result<()> {
    while left > 0 {
        match receive.recv_timeout(TICK) {
            Ok(result) => {
                let batch = gathered(receive, result, left);
                left = left.saturating_sub(batch.len());
                done(batch)?;
            }
            Err(RecvTimeoutError::Timeout) => {
                if tick().is_break() {
                    return Err(Error::Interrupted);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

/// A result with those that come soon after it, of `left` in all.
fn gathered<R>(receive: &Receiver<R>, first: R, left: usize) -> Vec<R> {
    let begun = Instant::now();
    if left > MANY {
        std::thread::sleep(GATHER);
    }
    let mut batch = vec![first];
    while batch.len() < left.min(BATCH) {
        // What is there already is taken even when no time is left.
        let rest = GATHER.saturating_sub(begun.elapsed());
        match receive.recv_timeout(rest) {
            Ok(result) => batch.push(result),
            Err(_) => break,
        }
    }
    batch
}
