//! The way to the training engine.
//!
//! Guests run on a thread of their own, the engine is borrowed from whoever called
//! [`crate::Sandbox::session`]: so the guests' thread asks, and the caller's thread serves. This keeps
//! the store `'static` without copying the engine, and a panic inside the engine is caught there.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use fedseal_tuning::{Adapter, ControlVariates, Example};

use crate::engine::{Engine, EngineError, GenerateOptions, TrainOptions};
use crate::reason::{Reason, Stop};
use crate::refusal::{CallError, invalid};

/// Channel on which a guest's thread sends its questions.
pub(crate) type Ask = SyncSender<Question>;

/// One engine call, with the channel for its reply.
pub(crate) enum Question {
    /// See [`Engine::train`].
    Train {
        start: Arc<Adapter>,
        data: Arc<Vec<Example>>,
        options: TrainOptions,
        /// See [`Engine::train_controlled`].
        control: Option<Arc<ControlVariates>>,
        /// When to give up.
        deadline: Option<Instant>,
        reply: SyncSender<Result<(Adapter, u64), CallError>>,
    },
    /// See [`Engine::generate`].
    Generate {
        adapter: Option<Arc<Adapter>>,
        prompts: Vec<String>,
        options: GenerateOptions,
        /// When to give up.
        deadline: Option<Instant>,
        reply: SyncSender<Result<(Vec<String>, u64), CallError>>,
    },
    /// See [`Engine::log_likelihood`].
    Score {
        adapter: Option<Arc<Adapter>>,
        examples: Vec<Example>,
        /// When to give up.
        deadline: Option<Instant>,
        reply: SyncSender<Result<Vec<f64>, CallError>>,
    },
}

/// The guest's side.
pub(super) struct Service {
    ask: Ask,
    /// When the engine gives up.
    deadline: Option<Instant>,
}

impl Service {
    pub(super) fn new(ask: Ask, deadline: Option<Instant>) -> Self {
        Self { ask, deadline }
    }

    pub(super) fn train(
        &self,
        start: Arc<Adapter>,
        data: Arc<Vec<Example>>,
        options: TrainOptions,
        control: Option<Arc<ControlVariates>>,
    ) -> Result<(Adapter, u64), CallError> {
        let (reply, answer) = sync_channel(1);
        self.ask(
            Question::Train {
                start,
                data,
                options,
                control,
                deadline: self.deadline,
                reply,
            },
            &answer,
        )
    }

    pub(super) fn generate(
        &self,
        adapter: Option<Arc<Adapter>>,
        prompts: Vec<String>,
        options: GenerateOptions,
    ) -> Result<(Vec<String>, u64), CallError> {
        let (reply, answer) = sync_channel(1);
        self.ask(
            Question::Generate {
                adapter,
                prompts,
                options,
                deadline: self.deadline,
                reply,
            },
            &answer,
        )
    }

    pub(super) fn log_likelihood(
        &self,
        adapter: Option<Arc<Adapter>>,
        examples: Vec<Example>,
    ) -> Result<Vec<f64>, CallError> {
        let (reply, answer) = sync_channel(1);
        self.ask(
            Question::Score {
                adapter,
                examples,
                deadline: self.deadline,
                reply,
            },
            &answer,
        )
    }

    fn ask<T>(
        &self,
        question: Question,
        answer: &Receiver<Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let gone = || Stop::new(Reason::Host, "the engine's thread is gone");
        self.ask.send(question).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

/// The engine's side: serves until the guests' thread has dropped its end.
pub(crate) fn serve(questions: &Receiver<Question>, engine: &dyn Engine) {
    // The asker may have stopped waiting for the reply, so a failed send is of no consequence.
    for question in questions {
        match question {
            Question::Train {
                start,
                data,
                options,
                control,
                deadline,
                reply,
            } => {
                let mut go_on = || match passed(deadline) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                };
                let result = guarded("training", || match &control {
                    None => engine.train(&start, &data, &options, &mut go_on),
                    Some(control) => {
                        engine.train_controlled(&start, &data, &options, control, &mut go_on)
                    }
                });
                let _ = reply.send(result);
            }
            Question::Generate {
                adapter,
                prompts,
                options,
                deadline,
                reply,
            } => {
                let halt = || passed(deadline);
                let result = guarded("generating", || {
                    engine.generate(adapter.as_deref(), &prompts, &options, &halt)
                });
                let _ = reply.send(result);
            }
            Question::Score {
                adapter,
                examples,
                deadline,
                reply,
            } => {
                let halt = || passed(deadline);
                let result = guarded("scoring", || {
                    engine.log_likelihood(adapter.as_deref(), &examples, &halt)
                });
                let _ = reply.send(result);
            }
        }
    }
}

/// Whether it is later than this.
fn passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() > deadline)
}

fn guarded<T>(doing: &str, work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, CallError> {
    // The engine takes everything by shared reference and the result of a panic is thrown away.
    let stop = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(EngineError::Refused(text))) => return Err(invalid(text)),
        Ok(Err(EngineError::Stopped)) => Stop::new(
            Reason::WallTime,
            format_args!("wall_seconds ran out while {doing}"),
        ),
        Ok(Err(EngineError::Failed(text))) => Stop::new(Reason::Engine, text),
        Err(_) => Stop::new(Reason::Engine, "the engine panicked"),
    };
    Err(stop.into())
}
