//! The schema of a Parquet file as a tree (parquet-format, LogicalTypes.md for lists and maps).

use parquet::{
    basic::{ConvertedType, LogicalType, Repetition},
    schema::types::Type,
};

use super::value::Leaf;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) repetition: Repetition,
    /// Lowest definition level at which this node is present.
    pub(super) definition: i16,
    /// Repetition level that belongs to this node's repetition.
    pub(super) repeats: i16,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A column, with its index among all columns.
    Leaf {
        column: usize,
        leaf: Leaf,
    },
    Group {
        children: Vec<Node>,
        shape: Shape,
    },
}

/// Meaning of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object.
    Struct,
    /// A list, whose only child is repeated. `wrapped`: the child is a group around the element, as
    /// it is but for old writers.
    List { wrapped: bool },
    /// A map, whose only child is repeated and has a key and a value.
    Map,
    /// A value in the binary form of Variant.
    Variant,
}

/// Whether a field is needed: its name, below the names of the fields that contain it.
pub(super) type Needed<'a> = &'a dyn Fn(&[&str]) -> bool;

/// Builds the tree of the needed columns. Names of the fields between a list and its elements do not
/// count as levels.
pub(super) fn tree(root: &Type, needed: Needed<'_>) -> Node {
    let mut builder = Builder { columns: 0, needed };
    let children = builder.children(root, (0, 0), &mut Vec::new(), true);
    Node {
        name: root.name().to_owned(),
        repetition: Repetition::REQUIRED,
        definition: 0,
        repeats: 0,
        kind: Kind::Group {
            children,
            shape: Shape::Struct,
        },
    }
}

struct Builder<'a> {
    columns: usize,
    needed: Needed<'a>,
}

impl Builder<'_> {
    /// Builds the children of a group that are needed. `named`: whether their names are those of
    /// fields.
    fn children<'t>(
        &mut self,
        group: &'t Type,
        levels: (i16, i16),
        path: &mut Vec<&'t str>,
        named: bool,
    ) -> Vec<Node> {
        let mut children = Vec::new();
        for child in group.get_fields() {
            if named {
                path.push(child.name());
            }
            let node = self.node(child, levels, path);
            if !named || (self.needed)(path) {
                children.extend(node);
            }
            if named {
                path.pop();
            }
        }
        children
    }

    /// Builds a node; `None` for a group of which nothing is needed.
    fn node<'t>(
        &mut self,
        node: &'t Type,
        (definition, repeats): (i16, i16),
        path: &mut Vec<&'t str>,
    ) -> Option<Node> {
        let info = node.get_basic_info();
        let repetition = if info.has_repetition() {
            info.repetition()
        } else {
            Repetition::REQUIRED
        };
        let definition = definition + i16::from(repetition != Repetition::REQUIRED);
        let repeats = repeats + i16::from(repetition == Repetition::REPEATED);
        let kind = if node.is_primitive() {
            let column = self.columns;
            self.columns += 1;
            Kind::Leaf {
                column,
                leaf: Leaf::of(node),
            }
        } else {
            let shape = shape(node);
            let levels = (definition, repeats);
            let children = match shape {
                Shape::Struct => self.children(node, levels, path, true),
                Shape::Variant => self.children(node, levels, path, false),
                Shape::Map => self.repeated(node, levels, path, false),
                Shape::List { wrapped } => self.repeated(node, levels, path, !wrapped),
            };
            if children.is_empty() {
                return None;
            }
            Kind::Group { children, shape }
        };
        Some(Node {
            name: node.name().to_owned(),
            repetition,
            definition,
            repeats,
            kind,
        })
    }

    /// Builds the repeated child of a list or map. `element`: whether it is the element itself, so
    /// that the names of its children are those of fields.
    fn repeated<'t>(
        &mut self,
        group: &'t Type,
        (definition, repeats): (i16, i16),
        path: &mut Vec<&'t str>,
        element: bool,
    ) -> Vec<Node> {
        let Some(child) = group.get_fields().first() else {
            return Vec::new();
        };
        if child.is_primitive() || element {
            return self
                .node(child, (definition, repeats), path)
                .into_iter()
                .collect();
        }
        let levels = (definition + 1, repeats + 1);
        let children = self.children(child, levels, path, false);
        if children.is_empty() {
            return children;
        }
        vec![Node {
            name: child.name().to_owned(),
            repetition: Repetition::REPEATED,
            definition: levels.0,
            repeats: levels.1,
            kind: Kind::Group {
                children,
                shape: Shape::Struct,
            },
        }]
    }
}

/// Reads the annotation of a group.
fn shape(group: &Type) -> Shape {
    let info = group.get_basic_info();
    let logical = info.logical_type_ref();
    let converted = info.converted_type();
    if matches!(logical, Some(LogicalType::Variant(_))) {
        return Shape::Variant;
    }
    let [only] = group.get_fields() else {
        return Shape::Struct;
    };
    let inner = only.get_basic_info();
    if !inner.has_repetition() || inner.repetition() != Repetition::REPEATED {
        return Shape::Struct;
    }
    if matches!(logical, Some(LogicalType::List)) || converted == ConvertedType::LIST {
        let wrapped = only.is_group()
            && only.get_fields().len() == 1
            && only.name() != "array"
            && !only.name().ends_with("_tuple");
        return Shape::List { wrapped };
    }
    let map = matches!(logical, Some(LogicalType::Map))
        || matches!(converted, ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE);
    if map && only.is_group() && only.get_fields().len() == 2 {
        return Shape::Map;
    }
    Shape::Struct
}

impl Node {
    /// Returns the leaves below, in order: column and how it is read.
    pub(super) fn leaves(&self, found: &mut Vec<(usize, Leaf)>) {
        match &self.kind {
            Kind::Leaf { column, leaf } => found.push((*column, *leaf)),
            Kind::Group { children, .. } => {
                for child in children {
                    child.leaves(found);
                }
            }
        }
    }
}
