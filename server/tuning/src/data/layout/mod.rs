//! The layouts of rows, one module each: the fields that hold the conversation.

mod alpaca;
mod beside;
mod chat;
mod lmsys;
mod messages;
mod pairs;
mod row;
mod sharegpt;
mod wildchat;

use serde::{Deserialize, Serialize};

use super::{Conversation, Fault};

pub(super) use row::{Row, filled};

/// How a row holds a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `instruction`, `input` (may be absent), `output`.
    Alpaca,
    /// `conversations`: a list of `{from, value}`.
    ShareGpt,
    /// `messages`: a list of `{role, content}`.
    Messages,
    /// LMSYS-Chat-1M: `conversation_id` and `conversation`, a list of `{role, content}`.
    Lmsys,
    /// WildChat: `conversation_hash` and `conversation`, a list of `{role, content, ..}`.
    WildChat,
    /// `prompt` and `response` (or `completion`).
    Pairs,
}

/// Fields that hold lists of messages.
const LISTS: [&str; 3] = ["messages", "conversations", "conversation"];

/// Whether a field of a row is looked at, given its name below those of the fields around it. Fields
/// of rows are told apart by [`Layout::fields`].
pub(super) fn needs(path: &[&str]) -> bool {
    match path {
        [list, field] if LISTS.contains(list) => chat::FIELDS.contains(field),
        _ => true,
    }
}

/// Returns the fields of rows that a layout looks at; `None`: all layouts.
pub(super) fn fields(layout: Option<Layout>) -> Vec<&'static str> {
    let mut fields: Vec<&str> = beside::fields().collect();
    for other in Layout::ALL {
        if layout.is_none_or(|layout| layout == other) {
            fields.extend(other.fields());
        }
    }
    fields
}

impl Layout {
    /// Every layout, in the order in which a first row is tried.
    pub const ALL: [Self; 6] = [
        Self::Alpaca,
        Self::ShareGpt,
        Self::Messages,
        Self::WildChat,
        Self::Lmsys,
        Self::Pairs,
    ];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::ShareGpt => "sharegpt",
            Self::Messages => "messages",
            Self::Lmsys => "lmsys",
            Self::WildChat => "wildchat",
            Self::Pairs => "pairs",
        }
    }

    /// Returns the layout with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// Fields that hold the conversation.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Alpaca => alpaca::FIELDS,
            Self::ShareGpt => sharegpt::FIELDS,
            Self::Messages => messages::FIELDS,
            Self::Lmsys => lmsys::FIELDS,
            Self::WildChat => wildchat::FIELDS,
            Self::Pairs => pairs::FIELDS,
        }
    }

    /// Whether the names of a row's fields match the layout.
    fn fits(self, row: &Row) -> bool {
        match self {
            Self::Alpaca => alpaca::fits(row),
            Self::ShareGpt => sharegpt::fits(row),
            Self::Messages => messages::fits(row),
            Self::Lmsys => lmsys::fits(row),
            Self::WildChat => wildchat::fits(row),
            Self::Pairs => pairs::fits(row),
        }
    }

    /// Detects the layout from the first row.
    pub(super) fn detect(row: &Row) -> Result<Self, Fault> {
        Self::ALL
            .into_iter()
            .find(|layout| layout.fits(row))
            .ok_or_else(|| {
                let found: Vec<&str> = row.keys().map(String::as_str).take(12).collect();
                let known: Vec<String> = Self::ALL
                    .iter()
                    .map(|layout| format!("{} ({})", layout.name(), layout.fields().join(", ")))
                    .collect();
                Fault::new(
                    "layout",
                    format!(
                        "not recognised from the fields {found:?}; known: {}",
                        known.join("; ")
                    ),
                )
            })
    }

    /// Reads the conversation of a row; `None` for a row without an answer to learn.
    pub(super) fn read(self, row: &Row) -> Result<Option<Conversation>, Fault> {
        let mut conversation = self.read_own(row)?;
        if let Some(conversation) = &mut conversation {
            beside::apply(row, conversation)?;
        }
        Ok(conversation)
    }

    /// Reads the fields of the layout alone.
    fn read_own(self, row: &Row) -> Result<Option<Conversation>, Fault> {
        match self {
            Self::Alpaca => alpaca::read(row),
            Self::ShareGpt => sharegpt::read(row),
            Self::Messages => messages::read(row),
            Self::Lmsys => lmsys::read(row),
            Self::WildChat => wildchat::read(row),
            Self::Pairs => pairs::read(row),
        }
    }
}

#[cfg(test)]
mod tests;
