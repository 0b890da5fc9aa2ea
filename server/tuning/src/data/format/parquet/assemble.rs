//! Rows from columns: the definition level of a value is the number of its optional ancestors that
//! are present, its repetition level names the list that the value continues.

use std::io::{Read, Seek};

use serde_json::{Map, Value};

use super::{
    column::Column,
    schema::{Kind, Node, Repetition},
};
use crate::data::{Fault, layout::Row};

/// Bytes charged for a value without text.
const VALUE: usize = 16;

pub(super) struct Assembler<'a, R> {
    pub(super) file: &'a mut R,
    pub(super) columns: &'a mut [Option<Column>],
    /// Bytes that the row may still take.
    pub(super) room: usize,
    pub(super) limit: usize,
}

impl<R: Read + Seek> Assembler<'_, R> {
    /// Reads the next row.
    pub(super) fn row(&mut self, root: &Node) -> Result<Row, Fault> {
        match self.content(root)? {
            Value::Object(row) => Ok(row),
            _ => Err(Fault::new("schema", "no columns")),
        }
    }

    /// Reads a node with its repetition.
    fn node(&mut self, node: &Node) -> Result<Value, Fault> {
        match node.repetition {
            Repetition::Required => self.content(node),
            Repetition::Optional if self.is_there(node)? => self.content(node),
            Repetition::Optional => self.pass(node).map(|()| Value::Null),
            Repetition::Repeated => {
                let mut list = Vec::new();
                if !self.is_there(node)? {
                    self.pass(node)?;
                    return Ok(Value::Array(list));
                }
                loop {
                    self.spend(node, VALUE)?;
                    list.push(self.content(node)?);
                    // Any level but that of this list's next element ends the list.
                    match self.levels(node)? {
                        Some((repetition, _)) if repetition == node.repeats => {}
                        _ => return Ok(Value::Array(list)),
                    }
                }
            }
        }
    }

    /// Reads the content of a node that is present.
    fn content(&mut self, node: &Node) -> Result<Value, Fault> {
        match &node.kind {
            Kind::Leaf { column, .. } => {
                let value = match self.columns.get_mut(*column) {
                    Some(Some(column)) => column.take(self.file),
                    _ => Err("a column that is not there".into()),
                };
                let value = value
                    .map_err(|problem| Fault::new(&node.name, problem))?
                    .ok_or_else(|| Fault::new(&node.name, "levels that contradict each other"))?;
                self.spend(node, value.as_str().map_or(VALUE, str::len))?;
                Ok(value)
            }
            Kind::Group { children, list } => {
                if let (true, [repeated]) = (list, children.as_slice()) {
                    return self.list(repeated);
                }
                let mut fields = Map::new();
                for child in children {
                    let value = self.node(child)?;
                    fields.insert(child.name.clone(), value);
                }
                Ok(Value::Object(fields))
            }
        }
    }

    /// Reads a list's elements. Its repeated child is a group around the element, or, with old
    /// writers, the element itself (LogicalTypes.md, backward compatibility).
    fn list(&mut self, repeated: &Node) -> Result<Value, Fault> {
        let list = self.node(repeated)?;
        let wraps = match &repeated.kind {
            Kind::Group { children, .. } => {
                children.len() == 1
                    && repeated.name != "array"
                    && !repeated.name.ends_with("_tuple")
            }
            Kind::Leaf { .. } => false,
        };
        if !wraps {
            return Ok(list);
        }
        let Value::Array(items) = list else {
            return Ok(list);
        };
        let unwrapped = items.into_iter().map(|item| match item {
            Value::Object(fields) => fields.into_iter().next().map_or(Value::Null, |(_, v)| v),
            other => other,
        });
        Ok(Value::Array(unwrapped.collect()))
    }

    /// Whether the node is present in the next value.
    fn is_there(&mut self, node: &Node) -> Result<bool, Fault> {
        match self.levels(node)? {
            Some((_, definition)) => Ok(definition >= node.definition),
            None => Err(Fault::new(&node.name, "fewer values than rows")),
        }
    }

    /// Returns the levels of the next value in the first column below a node.
    fn levels(&mut self, node: &Node) -> Result<Option<(u16, u16)>, Fault> {
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
                .peek(self.file)
                .map_err(|problem| Fault::new(&leaf.name, problem)),
            _ => Ok(None),
        }
    }

    /// Takes the one value that every column below stores for an absent node.
    fn pass(&mut self, node: &Node) -> Result<(), Fault> {
        let mut leaves = Vec::new();
        node.leaves(&mut leaves);
        for leaf in leaves {
            if let Some(Some(column)) = self.columns.get_mut(leaf) {
                let value = column
                    .take(self.file)
                    .map_err(|problem| Fault::new(&node.name, problem))?;
                if value.is_some() {
                    return Err(Fault::new(&node.name, "levels that contradict each other"));
                }
            }
        }
        Ok(())
    }

    fn spend(&mut self, node: &Node, bytes: usize) -> Result<(), Fault> {
        self.room = self.room.checked_sub(bytes).ok_or_else(|| {
            Fault::new(
                &node.name,
                format!("a row longer than {} bytes", self.limit),
            )
        })?;
        Ok(())
    }
}
