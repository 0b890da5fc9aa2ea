//! Library that the author of a local update policy links.
//!
//! A policy decides what one client does in one round: which data it uses, how it trains, what it
//! hands in. It runs as a signed Wasm component (world in `wit/policy.wit`) and asks the host for
//! everything; this crate never touches a file, a clock or a network, and knows no server crate.
//!
//! In reading order:
//! - [`Host`]: the calls, as a trait, so that one policy runs in Wasm and natively alike.
//! - [`Policy`]: what an author writes; [`export_policy!`] makes the component's export of it.
//! - [`component::ComponentHost`]: the calls of a guest inside the sandbox.
//! - [`testing::FakeHost`]: a host in memory, for tests of a policy without Wasm.
//! - [`study`]: shared parts of this repository's policies: inert pairs and adapter arithmetic.
//!
//! ```
//! use fedseal_guest::{Error, Host, Policy, testing::FakeHost};
//!
//! struct Plain;
//!
//! impl Policy for Plain {
//!     fn run<H: Host>(host: &mut H) -> Result<(), Error> {
//!         let (shard, global) = (host.shard(), host.global());
//!         let options = host.context().train_options();
//!         let trained = host.train(&global, &shard, &options)?;
//!         let examples = host.count(&shard);
//!         host.submit(&trained, examples)
//!     }
//! }
//!
//! fedseal_guest::export_policy!(Plain);
//!
//! let mut host = FakeHost::new(3);
//! Plain::run(&mut host).unwrap();
//! assert_eq!(host.submitted.unwrap().examples, 3);
//! ```
//!
//! Building a policy crate (`crate-type = ["cdylib", "rlib"]`) gives a core module with the world's
//! type in a custom section; `fedseal policy build` makes the component of it:
//!
//! ```text
//! cargo build --profile guest --target wasm32-unknown-unknown -p fedseal-policy-benign
//! target/wasm32-unknown-unknown/guest/fedseal_policy_benign.wasm   # core module
//! ```

#[doc(hidden)]
pub mod bindings;
pub mod component;
mod host;
mod random;
pub mod study;
pub mod testing;

pub use bindings::fedseal::policy::host::{
    Error, Example, GenerateOptions, Model, RoundContext as Context, TrainOptions,
};
pub use host::{Host, Policy};
pub use random::{below, shuffle};

/// Snippets of docs/MIGRATING.md that are Rust, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/MIGRATING.md")]
pub struct Migrating;

/// Items that [`export_policy!`] expands to; not for direct use.
#[doc(hidden)]
pub mod export {
    pub use crate::bindings::{self, Guest, export};
    #[cfg(target_arch = "wasm32")]
    pub use crate::component::log_panics;
}

/// Exports a [`Policy`] as the component's `run`. Natively it expands to nothing, so several
/// policies can be linked into one test program.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::export::Guest for Component {
                fn run() -> Result<(), String> {
                    $crate::export::log_panics();
                    let mut host = $crate::component::ComponentHost;
                    <$policy as $crate::Policy>::run(&mut host).map_err(|error| error.to_string())
                }
            }

    $crate::export::export!(Component with_types_in $crate::export::bindings);
        };
    };
}
