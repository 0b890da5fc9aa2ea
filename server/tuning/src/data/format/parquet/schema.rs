//! The schema of a Parquet file as a tree (parquet.thrift, `SchemaElement`; LogicalTypes.md for
//! lists).

use fedseal_adapter::Source;

use super::thrift::Struct;
use crate::data::{Fault, limits};

/// Physical type of a column, numbered as in parquet.thrift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    Boolean,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    ByteArray,
    /// Fixed length of a value, bytes.
    Fixed(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repetition {
    Required,
    Optional,
    Repeated,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) repetition: Repetition,
    /// Lowest definition level at which this node is present.
    pub(super) definition: u16,
    /// Repetition level that belongs to this node's repetition.
    pub(super) repeats: u16,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A column, with its index among all columns.
    Leaf { column: usize, physical: Physical },
    Group {
        children: Vec<Node>,
        /// Whether the group is a list, whose only child is the repeated one.
        list: bool,
    },
}

impl Node {
    /// Returns the columns below, in order.
    pub(super) fn columns(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::Leaf { .. } => vec![self],
            Kind::Group { children, .. } => children.iter().flat_map(Node::columns).collect(),
        }
    }

    /// Appends every column below to `found`.
    pub(super) fn leaves(&self, found: &mut Vec<usize>) {
        match &self.kind {
            Kind::Leaf { column, .. } => found.push(*column),
            Kind::Group { children, .. } => {
                for child in children {
                    child.leaves(found);
                }
            }
        }
    }
}

fn bad(problem: impl Into<Source>) -> Fault {
    Fault::new("schema", problem)
}

/// Builds the tree from the flat list, which is in depth-first order, and returns its root.
pub(super) fn parse(elements: &[&Struct]) -> Result<Node, Fault> {
    let mut parser = Parser {
        rest: elements,
        columns: 0,
    };
    let root = parser.node(0, 0, 0)?;
    if !parser.rest.is_empty() {
        return Err(bad("more elements than the tree has"));
    }
    Ok(root)
}

struct Parser<'a> {
    rest: &'a [&'a Struct],
    columns: usize,
}

impl Parser<'_> {
    fn node(&mut self, definition: u16, repeats: u16, depth: usize) -> Result<Node, Fault> {
        if depth > limits::DEPTH {
            return Err(bad(format!("nested deeper than {}", limits::DEPTH)));
        }
        let (element, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| bad("fewer elements than the tree has"))?;
        self.rest = rest;
        let name = element
            .text(4)
            .ok_or_else(|| bad("an element without a name"))?
            .to_owned();
        // The root has no repetition.
        let repetition = match element.int(3) {
            Some(1) if depth > 0 => Repetition::Optional,
            Some(2) if depth > 0 => Repetition::Repeated,
            _ => Repetition::Required,
        };
        let definition = definition + u16::from(repetition != Repetition::Required);
        let repeats = repeats + u16::from(repetition == Repetition::Repeated);
        let kind = match element.size(5) {
            Some(count) if count > 0 => {
                let mut children = Vec::new();
                for _ in 0..count {
                    children.push(self.node(definition, repeats, depth + 1)?);
                }
                let annotated = element.int(6) == Some(3)
                    || element
                        .inner(10)
                        .is_some_and(|kind| kind.inner(3).is_some());
                let list = annotated
                    && matches!(children.as_slice(),
                        [only] if only.repetition == Repetition::Repeated);
                Kind::Group { children, list }
            }
            _ if depth == 0 => return Err(bad("no columns")),
            _ => {
                let column = self.columns;
                self.columns += 1;
                let physical = physical(element)
                    .ok_or_else(|| bad(format!("column {name} has an unknown type")))?;
                Kind::Leaf { column, physical }
            }
        };
        Ok(Node {
            name,
            repetition,
            definition,
            repeats,
            kind,
        })
    }
}

fn physical(element: &Struct) -> Option<Physical> {
    Some(match element.int(1)? {
        0 => Physical::Boolean,
        1 => Physical::Int32,
        2 => Physical::Int64,
        3 => Physical::Int96,
        4 => Physical::Float,
        5 => Physical::Double,
        6 => Physical::ByteArray,
        7 => Physical::Fixed(element.size(2).filter(|size| (1..=4096).contains(size))?),
        _ => return None,
    })
}
