//! Options shared by the commands that serve: how much clients may use.

use std::time::Duration;

use clap::Args;

use crate::http::{Limits, Rate};

/// Bounds on clients.
#[derive(Args)]
pub(super) struct Clients {
    /// Seconds for which a client may send or take nothing before its connection is closed.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: u64,
    /// Connections at once, in all; each waiting node of a federation has one.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,
    /// Connections at once of one address; behind a proxy all clients have its address.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_address: u32,
    /// Requests a second of one address in the long run; ten times as many may come at once. 0: any number.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    requests_per_address: u32,
    /// Signed requests a second of one key in the long run; twenty times as many may come at once. 0: any
    /// number.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    requests_per_key: u32,
}

impl Clients {
    /// The limits of a server.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            patience: Duration::from_secs(self.patience),
            connections: self.connections as usize,
            connections_of_address: self.per_address as usize,
            requests_of_address: Rate {
                a_second: self.requests_per_address,
                at_once: self.requests_per_address * 10,
            },
            requests_of_key: Rate {
                a_second: self.requests_per_key,
                at_once: self.requests_per_key * 20,
            },
            ..Limits::default()
        }
    }
}
