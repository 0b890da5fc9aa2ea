//! Executes the federations of a server: one thread for each that is running. The books say which those are;
//! whoever changes them, a command on this machine or over HTTP, is heard within half a second.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fedseal_client_sdk::keys::{Passphrase, TrustStore};
use fedseal_federation::runner::{Options, Run};
use fedseal_federation::{Error, Result};
use fedseal_record::events::Event as Told;
use fedseal_rules::lifecycle::{Event, Phase};

use crate::http::federations::Federations;
use crate::registry::RegistryPlace;
use crate::{counted, output, submitted};

/// How often the books are looked at.
const LOOK: Duration = Duration::from_millis(300);
/// Looks after which the metrics of a federation that runs are brought up to date: its books are read for it.
const MEASURE: u32 = 100;

/// Places that the runs of all federations have in common.
#[derive(Clone)]
pub(crate) struct Machine {
    pub keys: PathBuf,
    pub passphrase: Option<Passphrase>,
    pub modules: PathBuf,
    pub installed: TrustStore,
    pub models: PathBuf,
    pub registry: RegistryPlace,
    pub compiled: PathBuf,
    pub threads: Option<usize>,
}

/// A federation that is being executed.
struct Worked {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Executes what the books say until `stop` is raised; then each run stops where it can go on.
pub(crate) fn supervise(federations: &Arc<Federations>, machine: &Machine, stop: &AtomicBool) {
    let mut worked: HashMap<String, Worked> = HashMap::new();
    for name in federations.books().names().unwrap_or_default() {
        // Whoever was stopped between the two has it to do still.
        let phase = federations.books().phase(&name);
        if phase.is_ok_and(|phase| phase == Phase::Finished) {
            federations.attach(&name, None);
        }
    }
    let mut look = 0_u32;
    while !stop.load(Ordering::SeqCst) {
        let names = federations.books().names().unwrap_or_default();
        for name in names {
            let Ok(phase) = federations.books().phase(&name) else {
                continue;
            };
            let running = phase == Phase::Running;
            if running {
                federations.pass_revoked(&name);
            }
            if look == 0 || (running && look.is_multiple_of(MEASURE)) {
                federations.measure(&name);
            }
            match worked.get(&name) {
                Some(one) if one.thread.is_finished() => {
                    worked.remove(&name);
                }
                Some(one) if !running => one.stop.store(true, Ordering::SeqCst),
                None if running => {
                    worked.insert(name.clone(), begin(federations, machine, name));
                }
                _ => {}
            }
        }
        look = look.wrapping_add(1);
        std::thread::sleep(LOOK);
    }
    for one in worked.values() {
        one.stop.store(true, Ordering::SeqCst);
    }
    for one in worked.into_values() {
        let _ = one.thread.join();
    }
}

fn begin(federations: &Arc<Federations>, machine: &Machine, name: String) -> Worked {
    let stop = Arc::new(AtomicBool::new(false));
    let (federations, machine, stopping) = (federations.clone(), machine.clone(), stop.clone());
    let thread = std::thread::spawn(move || {
        output::note(format_args!("fedseal: federation {name} runs"));
        let done = conduct(&federations, &machine, &name, &stopping);
        federations.set(&name, None);
        let (event, why) = match &done {
            Ok(()) => (Some(Event::Finish), None),
            Err(Error::Interrupted) => (None, None),
            Err(error) => (Some(Event::Fail), Some(error.to_string())),
        };
        if let Some(why) = &why {
            output::note(format_args!("fedseal: federation {name}: {why}"));
        }
        if let Some(event) = event {
            let noted = federations.books().event(&name, event, why.as_deref());
            match noted {
                // From here on each node's line is attached as it comes; these came before.
                Ok(Phase::Finished) => federations.attach(&name, None),
                Ok(_) => {}
                Err(error) => output::note(format_args!("fedseal: federation {name}: {error}")),
            }
        }
        federations.measure(&name);
        federations.changed.notify_waiters();
    });
    Worked { stop, thread }
}

/// Executes one federation until it is finished, or told to stop.
fn conduct(
    federations: &Arc<Federations>,
    machine: &Machine,
    name: &str,
    stop: &AtomicBool,
) -> Result<()> {
    let books = federations.books();
    let federation = books.read(name)?;
    let experiment = books.experiment(&federation)?;
    let members = federation.members.iter();
    let options = Options {
        keys: machine.keys.clone(),
        passphrase: machine.passphrase.clone(),
        modules: machine.modules.clone(),
        installed: machine.installed.clone(),
        compiled: Some(machine.compiled.clone()),
        prompts: machine.models.join("prompts"),
        models: machine.models.clone(),
        files: federation.files.clone().unwrap_or_default().into(),
        submitted: submitted::of(&experiment, &machine.registry)
            .map_err(|failure| Error::Data(failure.to_string().into()))?,
        enrolled: members
            .map(|(client, joined)| (client.clone(), joined.member.clone()))
            .collect(),
        threads: machine.threads,
        ..Options::default()
    };
    let dir = federations.run(name);
    let mut run = match dir.plan().exists() {
        true => Run::resume(&dir.root, None, options)?,
        false => Run::create(&dir.root, experiment, options)?,
    };
    let changed = federations.changed.clone();
    let gathering = run.gather(move || changed.notify_waiters())?;
    federations.set(name, Some(Arc::new(gathering)));
    let report = run.execute(&mut |event| {
        counted::event(name, event);
        if let Told::Note { text } = event {
            output::note(format_args!("fedseal: {name}: {text}"));
        }
        match stop.load(Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    report.map(drop)
}
