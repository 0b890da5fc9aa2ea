//! Ctrl-C and a polite kill: the first asks the work to stop at its next step, the second ends the
//! process. A run that is ended either way goes on with `--resume`.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether the work was asked to stop.
pub fn asked() -> bool {
    flag().load(Ordering::Relaxed)
}

/// Flag that is raised when the work is asked to stop.
pub fn flag() -> &'static AtomicBool {
    &ASKED
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => (),
                _ = terminate.recv() => (),
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Watches for signals on a thread of its own. Where that cannot be had, a signal ends the
/// process at once, which a run survives too.
pub fn watch(note: &'static str) {
    let watching = std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                signal().await;
                ASKED.store(true, Ordering::Relaxed);
                crate::output::note(format_args!("\nfedseal: {note}"));
                signal().await;
                std::process::exit(130);
            });
        });
    drop(watching);
}
