//! Every developer command of fedseal, run as `cargo xtask COMMAND`.
//!
//! - [`setup`]: finds what a fresh machine lacks and gets it, or says how to get it.
//! - [`build`]: the web bundle, the `fedseal` binary and the signed policy modules.
//! - [`demo`]: the main job from a fresh checkout to a results table and a page.
//! - [`table`]: defences over several seeds, beside the attacks that adapt to them; the measures themselves.
//! - [`mod@test`]: every test of the project, the browser's included. [`languages`]: the tools that build
//!   guests in Python, JavaScript and C for them.
//! - [`oracle`]: hostile guests, forgeries and outside checkers; the engine against others, and
//!   against itself.
//! - [`mod@bench`]: the engine beside what people would use instead; the sandbox and the log. [`python`]:
//!   their interpreter, and the one of the outside checkers.
//! - [`fuzz`]: hostile bytes into every reader.
//! - [`examples`]: the rooms' examples, run to their ends.
//! - [`dist`]: packages of the build that is there, and their use in an empty prefix.
//! - [`lint`]: the tools and the rules that every change is held to.
//! - [`readme`]: fills the tables of README and docs from `target/figures`. [`marks`]: what figures
//!   are held against. [`percent`]: how shares are rounded, [`plot`]: how they are drawn, the server's own files.
//!
//! It depends on nothing heavy, so that it is ready seconds after a clone.

mod bench;
mod build;
mod demo;
mod dist;
mod examples;
mod fuzz;
mod languages;
mod lint;
mod marks;
mod node;
mod oracle;
#[allow(unreachable_pub)] // Its own crate exports it.
#[path = "../../server/rules/src/evaluation/percent.rs"]
mod percent;
#[path = "../../server/audit/src/plot.rs"]
#[allow(unreachable_pub)] // Its own crate exports it.
mod plot;
mod process;
mod python;
mod readme;
mod screenshots;
mod setup;
mod sweep;
mod table;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  demo [--no-serve] [--seeds N] [--resume]
                    set up, build, run experiments/demo.toml, replay 20 updates,
                    print the results table, then serve the report until Ctrl-C
                    (--no-serve ends after the table)
  smollm2 [--resume]
                    fetch the real model and prompts, then run experiments/smollm2.toml
  sweep demo|smollm2 [SHARE...]
                    the same experiment under several shares of refusals in benign data
  table [PART...] [--seeds N] [--minutes N] [--plan|--kept]
                    the rows of the paper, its neighbours and later attacks, behaviour checks beside
                    attacks that adapt to them, repairs beside their controls, over seeds of the
                    embedded model; PART smollm2: the real one, hours. It begins with its plan, which
                    is all with --plan: which runs are there, where stopped ones go on, which arms
                    share work, how long the rest takes. What was run before is kept, the same command
                    goes on after --minutes or a stop, and --kept builds and runs nothing more
  table judge       precision and recall of the judge of four classes on sets that it never saw
  table attribution RUN
                    how many attackers of a labelled run `fedseal attribute` finds
  test [FILTER]     set up and pass every test
  oracle provenance hostile guests, forgeries and the checkers that we did not write
  oracle aggregation [--keep]
                    rules and server optimisers beside Flower, ByzFL and short references on 70
                    inputs; --keep uses the references of the run before
  oracle files      data files of pyarrow, polars, DuckDB, fastparquet and datasets, row by row
  oracle templates [--keep]
                    render the chat templates of published packages as transformers does
  oracle tuning [--keep]
                    compare the engine with transformers, peft and torch; --keep uses the
                    references of the run before
  oracle replay [DEVICE...]
                    measure how far apart engines make one update: the CPU's numeric modes,
                    and those of wgpu, vulkan or cuda; writes the table of replay's bounds
  policies [--runs N]
                    run every policy alone against every check
  policies --languages
                    build, run and break a policy of every toolchain; build all policies twice;
                    start one in Python twice
  build             set up and build everything, run nothing
  dist [check]      a tarball, a Debian package and a wheel of the build that is there, in
                    target/dist; check installs each into an empty prefix and uses it
  bench tuning [--rounds N] [train|generate|parquet]
                    the engine beside torch + peft, transformers and llama.cpp, in turn, and its
                    reader of Parquet beside that of an earlier revision; FEDSEAL_ORACLE_PYTHON
                    names a Python that has them, else pip installs them below target
  bench sandbox [--rounds N] [--entries N] [sandbox|sha256|clients|round|log]
                    guests a second, host calls, whole client runs, the log; fewer than 5 rounds
                    or 10,000,000 entries change no figure
  bench sandbox --against REV|FILE [PAIRS]
                    guests and client runs of a revision, or of its bench_sandbox, in turn
  bench aggregation [--rounds N] [ten|hundred|stream]
                    aggregation rules beside Flower, ByzFL, numpy, torch and memory's bandwidth;
                    fewer than 5 rounds change no figure
  bench gpu [--device wgpu|vulkan|cuda] [--rounds N] [train|generate|rules]
                    LoRA steps, generation and aggregation rules on a card, beside the CPU; without a
                    card its small form on software Vulkan, whose figures are called software
  bench build [--against REV] [audit|incremental|places|cold|pair|demo]
                    what a newcomer, an auditor and a contributor wait for, and how many places an
                    extension touches; cold and pair build a revision beside this one
  bench web [sentences|page|interactive|read|watchers|journey|axe|api|big]
                    the report pages: what they conclude, how fast they are, what they cost a server
  bench federation [kills|clients|idle|workers] [--kills N] [--rounds N]
                    three nodes and a coordinator, then a run with the workers and server of its queue, killed in
                    turn (100 kills): equal bits, nothing lost, no row on the wire; 1,000 clients beside pfl; 2,000
                    nodes that wait; workers of a queue beside the local pool
  screenshots [DIR] a picture of every page in both themes at three widths, to be looked at
  fuzz TARGET|all [--seconds N]
                    hostile bytes into the readers of files from outside (600 s each); needs
                    no more than cargo-fuzz, which it installs
  lint [NAME...]    rustfmt, circles, words, dependencies, deny, advisories, pages, clippy, docs:
                    all of them, or those named
  readme [--check]  fill the tables of README and docs from target/figures
";

/// A failure with what happened and what to do, ready to print.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

/// The result of every command here.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Stops with a message.
pub fn fail<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Failure(message.into()))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        "demo" => demo::demo(rest),
        "smollm2" => demo::smollm2(rest),
        "sweep" => sweep::sweep(rest),
        "table" => table::table(rest),
        "test" => test::test(rest),
        "oracle" => oracle::oracle(rest),
        "policies" if rest == ["--languages"] => languages::measure(),
        "policies" => build::compare(rest),
        "build" => build::everything(),
        "bench" => bench::bench(rest),
        "dist" => dist::dist(rest),
        "screenshots" => screenshots::make(rest),
        "fuzz" => fuzz::fuzz(rest),
        "lint" => lint::lint(rest),
        "readme" => readme::readme(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => {
            eprintln!("xtask: unknown command {other:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message)) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
