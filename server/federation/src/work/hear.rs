//! Takes in results while they come, and hears a stop meanwhile.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::{Error, Result};

/// How often `tick` is asked while jobs run.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Most results that are handed over together.
pub(crate) const BATCH: usize = 1024;

/// Hands `left` results to `done` as they come, or as many as there are senders for. Results that came while
/// `done` was busy are handed over together, so that they share slow disk operations.
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
                let more = receive.try_iter().take(BATCH - 1);
                let batch: Vec<R> = std::iter::once(result).chain(more).collect();
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
