//! The figures that a conclusion is made of, read from report.json. Everything else in it is skipped, and
//! the clients of one round at a time are in memory.

use std::collections::BTreeMap;
use std::fmt;

use fedseal_client_sdk::digest::Digest;
use fedseal_rules::admission::Effect;
use fedseal_rules::admission::binding::EXECUTION;
use fedseal_rules::arms::{Kind, arm};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::{Rate, State};

/// Clients that a sentence names one by one.
const NAMED: usize = 3;
/// Characters of an arm's or a client's name in a sentence.
const LONGEST: usize = 80;
/// The most clients of a round: run.json has room for fewer.
const MOST_CLIENTS: usize = 1 << 16;

/// The figures.
#[derive(Debug, Deserialize)]
pub(in crate::report) struct Figures {
    /// How far the run is.
    pub state: State,
    /// The columns.
    pub arms: Vec<Column>,
    /// Part of the experiment that says who attacks where.
    #[serde(default)]
    experiment: Design,
}

/// One column.
#[derive(Debug, Deserialize)]
pub(in crate::report) struct Column {
    /// Its id.
    pub id: String,
    /// Its heading.
    #[serde(default)]
    title: String,
    /// Its kind.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Its aggregation rule.
    #[serde(default)]
    pub rule: String,
    /// Rule at the end; none before.
    #[serde(default, deserialize_with = "asked")]
    pub safety: Option<Rate>,
    /// Helpfulness at the end; none before.
    #[serde(default, deserialize_with = "asked")]
    pub helpfulness: Option<Rate>,
    /// Further measures at the end, by name.
    #[serde(default)]
    pub measures: BTreeMap<String, Rate>,
    /// Its rounds, summed up.
    #[serde(default, deserialize_with = "rounds")]
    pub rounds: Rounds,
}

/// The rounds of an arm, summed up.
#[derive(Debug, Default)]
pub(in crate::report) struct Rounds {
    /// Updates of attackers.
    pub attackers: Outcomes,
    /// Updates of all others.
    pub honest: Outcomes,
    /// Refused updates by the check that decided.
    pub checks: BTreeMap<String, u64>,
    /// Rounds after which safety was measured, in their order.
    pub measured: Vec<Measured>,
    /// Whether a client has no label.
    pub unlabelled: bool,
    /// Whether all rounds were aggregated, as far as there are any, and no update had weight.
    pub nothing_counted: bool,
}

/// Updates that exist, and those of them that did not count.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) struct Outcomes {
    /// Updates that were judged; failed executions are none.
    pub judged: u64,
    /// Updates that admission refused.
    pub refused: u64,
    /// Updates that admission refused or the aggregation rule gave no weight.
    pub kept_out: u64,
}

/// Safety after a round.
#[derive(Debug, Clone)]
pub(in crate::report) struct Measured {
    /// The round.
    pub round: u32,
    /// Rule on the global adapter after it.
    pub safety: Rate,
    /// Updates that counted since the last measure.
    pub since: Counted,
}

/// Updates that counted.
#[derive(Debug, Default, Clone)]
pub(in crate::report) struct Counted {
    /// How many.
    pub updates: u64,
    /// Some of their clients, each once, [`NAMED`] at most.
    pub clients: Vec<String>,
    /// Whether there are more.
    pub others: bool,
}

impl Counted {
    fn add(&mut self, client: &str) {
        self.updates += 1;
        self.name(client);
    }

    fn name(&mut self, client: &str) {
        if self.clients.iter().any(|known| known == client) {
            return;
        }
        match self.clients.len() < NAMED {
            true => self.clients.push(client.to_owned()),
            false => self.others = true,
        }
    }

    /// Adds those that counted later.
    pub(super) fn join(&mut self, later: &Counted) {
        self.updates += later.updates;
        self.others |= later.others;
        later.clients.iter().for_each(|client| self.name(client));
    }
}

/// Part of an experiment that says who attacks where. Unknown keys are those of a newer version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Design {
    federation: Federation,
    arm: BTreeMap<String, Own>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Federation {
    clients: Option<u64>,
    malicious: Option<u64>,
}

/// An arm of the experiment's own.
#[derive(Debug, Deserialize)]
struct Own {
    #[serde(default = "yes")]
    attacked: bool,
    #[serde(default)]
    malicious: Option<u64>,
    #[serde(default)]
    kinds: Option<Vec<String>>,
    #[serde(default)]
    admission: Option<String>,
    #[serde(default)]
    repairs: Option<String>,
}

fn yes() -> bool {
    true
}

/// An arm's part in the experiment, by design.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Whether its malicious clients attack, and there are some.
    pub attacked: bool,
    /// Whether it applies a set of checks.
    pub guarded: bool,
    /// The arm whose adapter it repairs.
    pub repairs: Option<String>,
    /// Its malicious clients, where the report says how many there are.
    pub malicious: Option<u64>,
    /// Kinds of its own.
    pub kinds: Option<Vec<String>>,
}

impl Figures {
    /// All clients of the federation, where the report says how many there are.
    pub(super) fn clients(&self) -> Option<u64> {
        self.experiment.federation.clients
    }

    /// An arm's part in the experiment.
    pub(super) fn part(&self, column: &Column) -> Part {
        let whole = self.experiment.federation.malicious;
        let none = BTreeMap::new();
        // An experiment's own arm comes before one that this program has under its name.
        let own = self.experiment.arm.get(&column.id);
        let part = match (own, arm(&column.id, &none)) {
            (Some(own), _) => Part {
                attacked: own.attacked,
                guarded: own.admission.is_some(),
                repairs: own.repairs.clone(),
                malicious: own.malicious.or(whole),
                kinds: own.kinds.clone(),
            },
            (None, Ok(known)) => Part {
                attacked: known.attacked,
                guarded: known.admission.is_some(),
                repairs: known.repairs.map(|repair| repair.source),
                malicious: whole,
                kinds: None,
            },
            (None, Err(_)) => Part {
                attacked: column.rounds.attackers.judged > 0,
                malicious: whole,
                ..Part::default()
            },
        };
        let attacks = match (&part.repairs, part.malicious) {
            // The repaired arm's attackers are what it is about.
            (Some(_), _) => part.attacked,
            // Without labels nobody planted anything, whatever an experiment's defaults say.
            (None, Some(malicious)) => part.attacked && malicious > 0 && !column.rounds.unlabelled,
            (None, None) => part.attacked && column.rounds.attackers.judged > 0,
        };
        Part {
            attacked: attacks,
            ..part
        }
    }

    /// The arm with rounds at the beginning of a chain of repairs; the arm itself where it repairs none.
    pub(super) fn root<'a>(&'a self, column: &'a Column) -> Option<&'a Column> {
        let mut at = column;
        // A circle of repairs ends with the number of arms.
        for _ in 0..=self.arms.len() {
            let Some(source) = self.part(at).repairs else {
                return Some(at);
            };
            at = self.arms.iter().find(|other| other.id == source)?;
        }
        None
    }
}

impl Column {
    /// The arm as a sentence names it: its heading without the word that it was attacked.
    pub(super) fn name(&self) -> String {
        let title = self.title.strip_prefix("Attacked, ");
        let title = title.unwrap_or(&self.title);
        plain(if title.is_empty() { &self.id } else { title })
    }

    /// Whether it has rounds of its own.
    pub(super) fn is_federated(&self) -> bool {
        self.kind == Some(Kind::Federated)
    }
}

/// A name from a file, cut, and without characters that a terminal acts on.
pub(super) fn plain(text: &str) -> String {
    let shown = text.chars().filter(|letter| !letter.is_control());
    shown.take(LONGEST).collect()
}

/// A share; none of nothing that was asked.
fn asked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
    let share = Option::<Rate>::deserialize(deserializer)?;
    Ok(share.filter(|share| share.n > 0))
}

/// A round, as far as figures are made of it.
#[derive(Deserialize)]
pub(in crate::report) struct Round {
    /// Its number.
    #[serde(default)]
    pub round: u32,
    /// Rule after it.
    #[serde(default)]
    pub safety: Option<Rate>,
    /// Helpfulness after it.
    #[serde(default)]
    pub helpfulness: Option<Rate>,
    /// Further measures after it.
    #[serde(default)]
    pub measures: BTreeMap<String, Rate>,
    /// Its clients, [`MOST_CLIENTS`] at most.
    #[serde(deserialize_with = "clients")]
    pub clients: Vec<Client>,
}

/// Clients of a round, summed up.
#[derive(Default)]
struct Clients {
    attackers: Outcomes,
    honest: Outcomes,
    checks: BTreeMap<String, u64>,
    counted: Counted,
    unlabelled: bool,
    /// Clients whose update has no weight yet.
    waiting: u64,
}

/// A client of a round.
#[derive(Deserialize)]
pub(in crate::report) struct Client {
    /// Its name.
    #[serde(default)]
    pub client: String,
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// Its weight in the aggregate; none before.
    #[serde(default)]
    pub weight: Option<f64>,
    /// Verdict of admission; none before.
    #[serde(default)]
    pub verdict: Option<Said>,
    /// Its update; none before.
    #[serde(default)]
    pub update: Option<Digest>,
}

/// A verdict, without the fact that decided it.
#[derive(Deserialize)]
pub(in crate::report) struct Said {
    /// Its effect.
    pub effect: Effect,
    /// The deciding check.
    pub check: String,
}

impl Said {
    /// Whether there was no update that could be refused.
    pub(in crate::report) fn is_failure(&self) -> bool {
        !self.effect.counts() && self.check == EXECUTION
    }
}

impl Clients {
    fn add(&mut self, client: &Client) {
        let labelled = !matches!(client.kind.as_str(), "" | "unknown");
        self.unlabelled |= !labelled;
        let counted = client.weight.is_some_and(|weight| weight > 0.0);
        self.waiting += u64::from(client.weight.is_none());
        if counted {
            self.counted.add(&plain(&client.client));
        }
        let Some(said) = &client.verdict else { return };
        if said.is_failure() {
            return;
        }
        let refused = !said.effect.counts();
        let outcomes = match labelled && !fedseal_rules::attack::is_honest(&client.kind) {
            true => &mut self.attackers,
            false => &mut self.honest,
        };
        outcomes.judged += 1;
        outcomes.refused += u64::from(refused);
        outcomes.kept_out +=
            u64::from(refused || client.weight.is_some_and(|weight| weight <= 0.0));
        if refused {
            *self.checks.entry(plain(&said.check)).or_default() += 1;
        }
    }
}

impl Outcomes {
    fn join(&mut self, more: Outcomes) {
        self.judged += more.judged;
        self.refused += more.refused;
        self.kept_out += more.kept_out;
    }
}

fn clients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Client>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<Client>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST_CLIENTS} clients")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Client>, A::Error> {
            let mut clients = Vec::new();
            while let Some(client) = seq.next_element()? {
                if clients.len() == MOST_CLIENTS {
                    return Err(A::Error::invalid_length(clients.len() + 1, &self));
                }
                clients.push(client);
            }
            Ok(clients)
        }
    }
    deserializer.deserialize_seq(Few)
}

/// Rounds that are summed up one by one.
#[derive(Default)]
pub(in crate::report) struct Adding {
    sum: Rounds,
    /// Updates that counted since the last measure.
    since: Counted,
    /// Updates that counted in all.
    counted: u64,
    /// Whether the last round was aggregated.
    aggregated: bool,
}

impl Adding {
    /// Adds the next round.
    pub(in crate::report) fn add(&mut self, round: &Round) {
        let mut clients = Clients::default();
        round.clients.iter().for_each(|client| clients.add(client));
        let sum = &mut self.sum;
        sum.attackers.join(clients.attackers);
        sum.honest.join(clients.honest);
        for (check, refused) in clients.checks {
            *sum.checks.entry(check).or_default() += refused;
        }
        sum.unlabelled |= clients.unlabelled;
        self.counted += clients.counted.updates;
        self.aggregated = clients.waiting == 0;
        self.since.join(&clients.counted);
        // Of nothing that was asked there is no share.
        if let Some(safety) = round.safety.filter(|safety| safety.n > 0) {
            sum.measured.push(Measured {
                round: round.round,
                safety,
                since: std::mem::take(&mut self.since),
            });
        }
    }

    /// The sum.
    pub(in crate::report) fn rounds(mut self) -> Rounds {
        self.sum.nothing_counted = self.counted == 0 && self.aggregated;
        self.sum
    }
}

fn rounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rounds, D::Error> {
    struct Sum;
    impl<'de> Visitor<'de> for Sum {
        type Value = Rounds;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of rounds")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rounds, A::Error> {
            let mut adding = Adding::default();
            while let Some(round) = seq.next_element()? {
                adding.add(&round);
            }
            Ok(adding.rounds())
        }
    }
    deserializer.deserialize_seq(Sum)
}
