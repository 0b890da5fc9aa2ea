//! Rows from columns (Dremel: Melnik et al. 2010, section 4): the definition level of a value is the
//! number of its optional ancestors that are present, its repetition level names the list that the
//! value continues.

use parquet::basic::Repetition;
use serde_json::{Map, Value};

use super::{
    column::{self, Column},
    guard::Problem,
    schema::{Kind, Node, Shape},
};
use crate::data::{Fault, layout::Row};

/// Bytes charged for a value without text.
const VALUE: usize = 16;

/// Problem of a row.
pub(super) enum Broken {
    /// The row alone; the columns stand at the next one.
    Row(Fault),
    /// The columns, which no longer stand at the same row.
    Columns(Fault),
}

pub(super) struct Assembler<'a> {
    columns: &'a mut [Option<Column>],
    /// Bytes that the row may still take.
    room: usize,
    limit: usize,
    /// First fault of the row. The rest of the row is passed over.
    fault: Option<Fault>,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(columns: &'a mut [Option<Column>], limit: usize) -> Self {
        Self {
            columns,
            room: limit,
            limit,
            fault: None,
        }
    }

    /// Reads the next row.
    pub(super) fn row(mut self, root: &Node) -> Result<Row, Broken> {
        let value = self.content(root).map_err(Broken::Columns)?;
        match (self.fault, value) {
            (Some(fault), _) => Err(Broken::Row(fault)),
            (None, Value::Object(row)) => Ok(row),
            (None, _) => Err(Broken::Columns(Fault::new("schema", "no columns"))),
        }
    }

    /// Reads a node with its repetition.
    fn node(&mut self, node: &Node) -> Result<Value, Fault> {
        if node.repetition == Repetition::REQUIRED {
            return self.content(node);
        }
        let there = self.is_there(node)?;
        if node.repetition == Repetition::OPTIONAL {
            return match there {
                true => self.content(node),
                false => self.pass(node).map(|()| Value::Null),
            };
        }
        let mut list = Vec::new();
        if !there {
            self.pass(node)?;
            return Ok(Value::Array(list));
        }
        loop {
            self.spend(node, VALUE);
            let element = self.content(node)?;
            if self.fault.is_none() {
                list.push(element);
            }
            // Any level but that of this list's next element ends the list.
            match self.levels(node)? {
                Some((repetition, _)) if repetition == node.repeats => {}
                _ => return Ok(Value::Array(list)),
            }
        }
    }

    /// Reads the content of a node that is present.
    fn content(&mut self, node: &Node) -> Result<Value, Fault> {
        let (children, shape) = match &node.kind {
            Kind::Leaf { column, .. } => return self.leaf(node, *column),
            Kind::Group { children, shape } => (children, *shape),
        };
        match (shape, children.as_slice()) {
            (Shape::List { wrapped }, [repeated]) => {
                let list = self.node(repeated)?;
                Ok(if wrapped { unwrapped(list) } else { list })
            }
            (Shape::Map, [repeated]) => Ok(map(self.node(repeated)?, repeated)),
            (Shape::Variant, _) => {
                self.object(children)?;
                self.refuse(
                    node,
                    "a Variant; write the column as text, JSON, lists and structs",
                );
                Ok(Value::Null)
            }
            _ => self.object(children),
        }
    }

    fn object(&mut self, children: &[Node]) -> Result<Value, Fault> {
        let mut fields = Map::new();
        for child in children {
            let value = self.node(child)?;
            fields.insert(child.name.clone(), value);
        }
        Ok(Value::Object(fields))
    }

    fn leaf(&mut self, node: &Node, column: usize) -> Result<Value, Fault> {
        let value = match self.columns.get_mut(column) {
            Some(Some(column)) => column.take(),
            _ => Err(column::Broken::Column("a column that is not there".into())),
        };
        let value = match value {
            Ok(Some(value)) => value,
            Ok(None) => return Err(contradiction(node)),
            Err(column::Broken::Column(problem)) => return Err(Fault::new(&node.name, problem)),
            Err(column::Broken::Value(problem)) => {
                self.refuse(node, problem);
                return Ok(Value::Null);
            }
        };
        self.spend(node, value.as_str().map_or(VALUE, str::len));
        Ok(value)
    }

    /// Whether the node is present in the next value.
    fn is_there(&mut self, node: &Node) -> Result<bool, Fault> {
        match self.levels(node)? {
            Some((_, definition)) => Ok(definition >= node.definition),
            None => Err(Fault::new(&node.name, "fewer values than rows")),
        }
    }

    /// Returns the levels of the next value in the first column below a node.
    fn levels(&mut self, node: &Node) -> Result<Option<(i16, i16)>, Fault> {
        let mut leaf = node;
        while let Kind::Group { children, .. } = &leaf.kind {
            let Some(first) = children.first() else {
                return Ok(None);
            };
            leaf = first;
        }
        let Kind::Leaf { column, .. } = leaf.kind else {
            return Ok(None);
        };
        match self.columns.get_mut(column) {
            Some(Some(column)) => column
                .peek()
                .map_err(|problem| Fault::new(&leaf.name, problem)),
            _ => Ok(None),
        }
    }

    /// Takes the one value that every column below stores for an absent node.
    fn pass(&mut self, node: &Node) -> Result<(), Fault> {
        match &node.kind {
            Kind::Leaf { column, .. } => match self.columns.get_mut(*column) {
                Some(Some(column)) => match column.take() {
                    Ok(None) => Ok(()),
                    Err(column::Broken::Column(problem)) => Err(Fault::new(&node.name, problem)),
                    Ok(Some(_)) | Err(column::Broken::Value(_)) => Err(contradiction(node)),
                },
                _ => Ok(()),
            },
            Kind::Group { children, .. } => children.iter().try_for_each(|child| self.pass(child)),
        }
    }

    /// Charges the row for a value.
    fn spend(&mut self, node: &Node, bytes: usize) {
        match self.room.checked_sub(bytes) {
            Some(room) => self.room = room,
            None => self.refuse(node, format!("a row longer than {} bytes", self.limit)),
        }
    }

    /// Notes a fault of the row.
    fn refuse(&mut self, node: &Node, problem: impl Into<Problem>) {
        self.fault
            .get_or_insert_with(|| Fault::new(&node.name, problem));
    }
}

fn contradiction(node: &Node) -> Fault {
    Fault::new(&node.name, "levels that contradict each other")
}

/// Returns the elements of a list whose repeated child is a group around each.
fn unwrapped(list: Value) -> Value {
    match list {
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Object(fields) => fields.into_iter().next().map_or(Value::Null, |(_, v)| v),
                other => other,
            })
            .collect(),
        other => other,
    }
}

/// Returns a map's entries, each a key and a value, as an object.
fn map(entries: Value, repeated: &Node) -> Value {
    let (Value::Array(entries), Kind::Group { children, .. }) = (entries, &repeated.kind) else {
        return Value::Null;
    };
    let [key, value] = children.as_slice() else {
        return Value::Null;
    };
    let mut object = Map::new();
    for mut entry in entries {
        let mut part = |node: &Node| entry.get_mut(&node.name).map_or(Value::Null, Value::take);
        let name = match part(key) {
            Value::String(name) => name,
            other => other.to_string(),
        };
        object.insert(name, part(value));
    }
    Value::Object(object)
}
