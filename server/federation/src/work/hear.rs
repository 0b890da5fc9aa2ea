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
/// Number of results that are gathered without looking for each of them, which would cost two changes of thread, and
/// of those that are worth a write by themselves. Of fewer that are still to come the last one would be waited for.
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
    let most = left.min(BATCH);
    let mut batch = vec![first];
    batch.extend(receive.try_iter().take(most - 1));
    // They came while `done` was busy: waiting for more would let them pile up.
    if batch.len() >= MANY {
        return batch;
    }
    if left - batch.len() > MANY {
        std::thread::sleep(GATHER);
    }
    while batch.len() < most {
        // What is there already is taken even when no time is left.
        let rest = GATHER.saturating_sub(begun.elapsed());
        match receive.recv_timeout(rest) {
            Ok(result) => batch.push(result),
            Err(_) => break,
        }
    }
    batch
}
