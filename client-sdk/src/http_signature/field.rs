//! Dictionaries of structured fields (RFC 9651) in their order, with a repeated name as an error: the
//! standard keeps the last in silence, and so would each party another one's.

use std::fmt;

use sfv::visitor::{
    DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor,
};
use sfv::{BareItemFromInput, KeyRef, Parser};

use super::MOST_FIELD;

/// A member of a dictionary: bytes, or an inner list; anything else leaves both empty.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) list: Option<List>,
}

/// An inner list with its parameters.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) items: Vec<Item>,
    pub(super) parameters: Vec<(String, Value)>,
}

/// An item of an inner list.
#[derive(Debug, Default)]
pub(super) struct Item {
    /// Its text; none where it is no string.
    pub(super) text: Option<String>,
    pub(super) parameters: Vec<(String, Value)>,
}

/// Value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
    Other,
}

/// Reads a dictionary: its members in their order.
pub(super) fn dictionary(text: &[u8]) -> Result<Vec<(String, Member)>, String> {
    if text.len() > MOST_FIELD {
        return Err(format!("{} bytes, at most {MOST_FIELD}", text.len()));
    }
    let members = Parser::new(text).parse_dictionary_with_visitor(Members::default());
    members.map_err(|error| error.to_string())
}

#[derive(Default)]
struct Members(Vec<(String, Member)>);

/// A name that stands twice.
#[derive(Debug)]
struct Repeated(String);

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} stands twice", self.0)
    }
}

impl std::error::Error for Repeated {}

fn once<T>(all: &[(String, T)], key: &KeyRef) -> Result<String, Repeated> {
    let name = key.as_str().to_owned();
    match all.iter().any(|(other, _)| *other == name) {
        true => Err(Repeated(name)),
        false => Ok(name),
    }
}

impl<'de> DictionaryVisitor<'de> for Members {
    type Out = Vec<(String, Member)>;
    type Error = Repeated;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Repeated> {
        let name = once(&self.0, key)?;
        let (_, member) = self.0.push_mut((name, Member::default()));
        Ok(OfMember(member))
    }

    fn finish(self) -> Result<Self::Out, Repeated> {
        Ok(self.0)
    }
}

struct OfMember<'a>(&'a mut Member);

impl<'de> ItemVisitor<'de> for OfMember<'_> {
    type Out = ();
    type Error = Repeated;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Repeated> {
        if let BareItemFromInput::ByteSequence(bytes) = item {
            self.0.bytes = Some(bytes);
        }
        Ok(Ignored)
    }
}

impl<'de> EntryVisitor<'de> for OfMember<'_> {
    type Error = Repeated;

    fn item(self) -> Result<impl ItemVisitor<'de>, Repeated> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Repeated> {
        Ok(OfList(self.0.list.insert(List::default())))
    }
}

struct OfList<'a>(&'a mut List);

impl<'de> InnerListVisitor<'de> for OfList<'_> {
    type Error = Repeated;

    fn item(&mut self) -> Result<impl ItemVisitor<'de>, Repeated> {
        Ok(OfItem(self.0.items.push_mut(Item::default())))
    }

    fn finish(self) -> Result<impl ParameterVisitor<'de>, Repeated> {
        Ok(OfParameters(&mut self.0.parameters))
    }
}

struct OfItem<'a>(&'a mut Item);

impl<'de> ItemVisitor<'de> for OfItem<'_> {
    type Out = ();
    type Error = Repeated;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Repeated> {
        self.0.text = item.as_string().map(|text| text.as_str().to_owned());
        Ok(OfParameters(&mut self.0.parameters))
    }
}

struct OfParameters<'a>(&'a mut Vec<(String, Value)>);

impl<'de> ParameterVisitor<'de> for OfParameters<'_> {
    type Out = ();
    type Error = Repeated;

    fn parameter(
        &mut self,
        key: &'de KeyRef,
        value: BareItemFromInput<'de>,
    ) -> Result<(), Repeated> {
        let name = once(self.0, key)?;
        let value = match (value.as_integer(), value.as_string()) {
            (Some(integer), _) => Value::Integer(integer.into()),
            (_, Some(text)) => Value::Text(text.as_str().to_owned()),
            _ => Value::Other,
        };
        self.0.push((name, value));
        Ok(())
    }

    fn finish(self) -> Result<(), Repeated> {
        Ok(())
    }
}
