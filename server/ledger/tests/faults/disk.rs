//! A disk with one fault, which also watches in which order names become durable.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fedseal_ledger::{Inject, Step};

/// Fault at the chosen step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// `EIO`, once.
    Fail,
    /// The process ends there, as by a signal.
    Abort,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Faulty {
    at: Option<usize>,
    action: Action,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    steps: Vec<String>,
    /// Names that a power failure could still remove.
    loose: BTreeSet<PathBuf>,
    /// Whether a checkpoint was prepared before.
    next: bool,
    problem: Option<String>,
}

impl Faulty {
    pub(crate) fn new(at: Option<usize>, action: Action) -> Self {
        Self {
            at,
            action,
            state: Mutex::default(),
        }
    }

    /// All steps so far, for people.
    pub(crate) fn steps(&self) -> Vec<String> {
        self.state.lock().unwrap().steps.clone()
    }

    /// Called when something is acknowledged: every name must be durable.
    pub(crate) fn acknowledge(&self) {
        let state = &mut *self.state.lock().unwrap();
        if let Some(name) = state.loose.first() {
            let text = format!("acknowledged while {} is not durable", name.display());
            state.problem.get_or_insert(text);
        }
    }

    /// Whether everything was in order: data before the checkpoint, all of it before the
    /// acknowledgement.
    pub(crate) fn order(&self) -> Result<(), String> {
        self.state
            .lock()
            .unwrap()
            .problem
            .clone()
            .map_or(Ok(()), Err)
    }
}

impl Inject for Faulty {
    fn at(&self, step: Step, path: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock().unwrap();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let n = state.steps.len();
        state.steps.push(format!("{step:?} {name}"));
        if self.at == Some(n) {
            match self.action {
                Action::Fail => return Err(io::Error::from_raw_os_error(5)),
                Action::Abort => std::process::abort(),
            }
        }
        match step {
            Step::MakeDir | Step::Rename => {
                // What a reader may see from here on, no power failure takes back. A log's first
                // checkpoint covers nothing.
                let shown = name == "checkpoint" && state.next;
                if shown && let Some(loose) = state.loose.iter().find(|p| *p != path) {
                    let text = format!("a checkpoint shown over {}, not durable", loose.display());
                    state.problem.get_or_insert(text);
                }
                state.next |= name == "checkpoint.next";
                state.loose.insert(path.to_owned());
                if shown {
                    state.loose.retain(|p| !p.ends_with("checkpoint.next"));
                }
            }
            Step::SyncDir => state.loose.retain(|p| p.parent() != Some(path)),
            _ => {}
        }
        Ok(())
    }
}
