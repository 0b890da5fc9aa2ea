//! Life of a federation: its states, and the events that lead from one to another.

use serde::{Deserialize, Serialize};

/// State of a federation.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "FederationPhase"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nodes enrol; no round was begun.
    Enrolling,
    /// Rounds are executed.
    Running,
    /// The administrator paused it; nodes keep what they have.
    Paused,
    /// An error ended its work; it can go on once that is mended.
    Failed,
    /// The last round is over and its log is closed.
    Finished,
    /// The administrator ended it before its last round.
    Stopped,
}

/// Event in the life of a federation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The administrator begins the rounds.
    Start,
    /// The administrator pauses them.
    Pause,
    /// The administrator lets them go on.
    Resume,
    /// The administrator ends them for good.
    Stop,
    /// The last round is over.
    Finish,
    /// An error ended the work.
    Fail,
}

/// Every transition there is: from a state, by an event, to a state.
pub const TRANSITIONS: &[(Phase, Event, Phase)] = &[
    (Phase::Enrolling, Event::Start, Phase::Running),
    (Phase::Enrolling, Event::Stop, Phase::Stopped),
    (Phase::Running, Event::Pause, Phase::Paused),
    (Phase::Running, Event::Stop, Phase::Stopped),
    (Phase::Running, Event::Finish, Phase::Finished),
    (Phase::Running, Event::Fail, Phase::Failed),
    (Phase::Paused, Event::Resume, Phase::Running),
    (Phase::Paused, Event::Stop, Phase::Stopped),
    // The last step was under way when the pause was asked for.
    (Phase::Paused, Event::Finish, Phase::Finished),
    (Phase::Failed, Event::Resume, Phase::Running),
    (Phase::Failed, Event::Stop, Phase::Stopped),
];

impl Phase {
    /// The state after an event; none where the event has no place in this state.
    pub fn after(self, event: Event) -> Option<Phase> {
        let mut all = TRANSITIONS.iter();
        let (_, _, to) = all.find(|(from, by, _)| (*from, *by) == (self, event))?;
        Some(*to)
    }

    /// The events that have a place in this state.
    pub fn events(self) -> impl Iterator<Item = Event> {
        let all = TRANSITIONS.iter();
        all.filter(move |(from, _, _)| *from == self)
            .map(|(_, by, _)| *by)
    }

    /// Whether nothing leads out of it.
    pub fn is_last(self) -> bool {
        self.events().next().is_none()
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Enrolling => "enrolling",
            Phase::Running => "running",
            Phase::Paused => "paused",
            Phase::Failed => "failed",
            Phase::Finished => "finished",
            Phase::Stopped => "stopped",
        }
    }
}

impl Event {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Start => "start",
            Event::Pause => "pause",
            Event::Resume => "resume",
            Event::Stop => "stop",
            Event::Finish => "finish",
            Event::Fail => "fail",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_event_leads_to_one_state_and_two_states_are_last() {
        let pairs: BTreeSet<_> = TRANSITIONS
            .iter()
            .map(|(from, by, _)| (from.as_str(), by.as_str()))
            .collect();
        assert_eq!(pairs.len(), TRANSITIONS.len());
        assert_eq!(Phase::Running.after(Event::Pause), Some(Phase::Paused));
        assert_eq!(Phase::Enrolling.after(Event::Pause), None);
        assert_eq!(Phase::Finished.after(Event::Resume), None);
        let last = |phase: &Phase| phase.is_last();
        let all = TRANSITIONS.iter().flat_map(|(from, _, to)| [*from, *to]);
        let ends: BTreeSet<&str> = all.filter(last).map(Phase::as_str).collect();
        assert_eq!(ends, BTreeSet::from(["finished", "stopped"]));
    }

    /// The table in docs/FEDERATION.md has every transition, in this order, and no other.
    #[test]
    fn the_table_in_the_docs_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/FEDERATION.md");
        let text = std::fs::read_to_string(path).unwrap();
        let cells = |line: &str| -> Vec<String> {
            let inner = line.trim().trim_matches('|').split('|');
            inner.map(|cell| cell.trim().to_owned()).collect()
        };
        let rows = text
            .lines()
            .skip_while(|line| !line.starts_with("| from | event | to |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        let documented: Vec<Vec<String>> = rows.map(|row| cells(row)[..3].to_vec()).collect();
        let known: Vec<Vec<String>> = TRANSITIONS
            .iter()
            .map(|(from, by, to)| {
                [from.as_str(), by.as_str(), to.as_str()]
                    .map(String::from)
                    .into()
            })
            .collect();
        assert_eq!(documented, known);
    }
}
