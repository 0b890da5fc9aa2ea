//! Paths, imports and names of a Rust source, as far as [`crate::circles`] has to know them.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Field, File, ImplItem, Item, ItemMod, ItemUse, Local, Macro, Meta, Path, Token,
    TraitItem, UseTree, Variant, VisRestricted, Visibility,
};

use crate::{Failure, Outcome};

/// A path in the code.
#[derive(Debug)]
pub(crate) struct Used {
    /// The names of the path, its beginning included.
    pub(crate) words: Vec<String>,
    /// Number of modules with a body in this file that enclose it.
    pub(crate) depth: usize,
    /// Its line, from 1 on.
    pub(crate) line: usize,
    /// Whether it hands on what it leads to: a `pub use`.
    pub(crate) handed_on: bool,
}

/// A name that a `use` at the top of a file brings; `*` for all names of a module.
#[derive(Debug)]
pub(crate) struct Import {
    /// The path, without its `*`.
    pub(crate) words: Vec<String>,
    /// Its last word, or the one behind `as`.
    pub(crate) name: String,
    /// Whether others get it, too.
    pub(crate) handed_on: bool,
}

/// Contents of a source outside of tests.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Every path, those of `use` groups one by one; in macros those of more than one word.
    pub(crate) paths: Vec<Used>,
    /// Imports at the top of the file.
    pub(crate) imports: Vec<Import>,
    /// Modules in files of their own: `mod NAME;`.
    pub(crate) modules: BTreeSet<String>,
    /// Names of the items at the top of the file.
    pub(crate) items: BTreeSet<String>,
    /// Modules in files of their own that are for tests: `#[cfg(test)] mod NAME;`.
    pub(crate) tests: Vec<String>,
    /// Number of modules with a body around what is read.
    depth: usize,
}

/// Reads a source.
pub(crate) fn read(text: &str) -> Outcome<Found> {
    let file = syn::parse_file(text).map_err(|error| {
        let at = error.span().start();
        Failure(format!("line {}: {error}", at.line))
    })?;
    let mut found = Found::default();
    found.visit_file(&file);
    Ok(found)
}

impl Found {
    fn keep(&mut self, words: Vec<String>, line: usize, handed_on: bool) {
        self.paths.push(Used {
            words,
            depth: self.depth,
            line,
            handed_on,
        });
    }

    /// Takes in the paths of a `use`, of which `before` were its first words.
    fn import(&mut self, tree: &UseTree, before: &[String], handed_on: bool) {
        let (word, name) = match tree {
            UseTree::Path(path) => {
                let words = joined(before, &path.ident);
                return self.import(&path.tree, &words, handed_on);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, handed_on);
                }
                return;
            }
            UseTree::Glob(star) => {
                let line = star.star_token.spans[0].start().line;
                return self.bring(before.to_vec(), "*".to_owned(), line, handed_on);
            }
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(name) => (&name.ident, &name.rename),
        };
        let line = word.span().start().line;
        // `{self}` is the module itself.
        let itself = word == "self" && !before.is_empty();
        let words = match itself {
            true => before.to_vec(),
            false => joined(before, word),
        };
        let name = match before.last() {
            Some(last) if itself && name == "self" => last.clone(),
            _ => name.to_string(),
        };
        self.bring(words, name, line, handed_on);
    }

    fn bring(&mut self, words: Vec<String>, name: String, line: usize, handed_on: bool) {
        if self.depth == 0 {
            let words = words.clone();
            self.imports.push(Import {
                words,
                name,
                handed_on,
            });
        }
        if words.len() > 1 {
            self.keep(words, line, handed_on);
        }
    }
}

fn joined(before: &[String], word: &proc_macro2::Ident) -> Vec<String> {
    let mut words = before.to_vec();
    words.push(word.to_string());
    words
}

impl<'ast> Visit<'ast> for Found {
    fn visit_file(&mut self, file: &'ast File) {
        for item in &file.items {
            self.items.extend(name(item).map(ToString::to_string));
        }
        visit::visit_file(self, file);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(module) if for_tests(&module.attrs) => {
                if module.content.is_none() {
                    self.tests.push(module.ident.to_string());
                }
            }
            _ if for_tests(attributes(item)) => {}
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_none() {
            self.modules.insert(module.ident.to_string());
            return;
        }
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        let handed_on = !matches!(import.vis, Visibility::Inherited);
        self.import(&import.tree, &[], handed_on);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(it) => &it.attrs,
            ImplItem::Fn(it) => &it.attrs,
            ImplItem::Type(it) => &it.attrs,
            ImplItem::Macro(it) => &it.attrs,
            _ => &[],
        };
        if !for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes: &[Attribute] = match item {
            TraitItem::Const(it) => &it.attrs,
            TraitItem::Fn(it) => &it.attrs,
            TraitItem::Type(it) => &it.attrs,
            TraitItem::Macro(it) => &it.attrs,
            _ => &[],
        };
        if !for_tests(attributes) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast Field) {
        if !for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast Variant) {
        if !for_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if !for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first() {
            let words = path.segments.iter().map(|it| it.ident.to_string());
            self.keep(words.collect(), first.ident.span().start().line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        in_tokens(call.tokens.clone(), self);
    }

    /// Skips attributes and the places in `pub(in …)`: they use nothing.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}

/// Keeps the paths in a macro's words: names with `::` between them.
fn in_tokens(tokens: TokenStream, found: &mut Found) {
    let (mut words, mut line, mut colons) = (Vec::new(), 0, 0);
    let keep = |words: &mut Vec<String>, line, found: &mut Found| {
        let words = std::mem::take(words);
        if words.len() > 1 {
            found.keep(words, line, false);
        }
    };
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                if colons != 2 {
                    keep(&mut words, line, found);
                    line = word.span().start().line;
                }
                words.push(word.to_string());
                colons = 0;
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
            other => {
                keep(&mut words, line, found);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    in_tokens(group.stream(), found);
                }
            }
        }
    }
    keep(&mut words, line, found);
}

/// Whether attributes leave what they are at to tests: `cfg(test)`, or `cfg(all(test, …))`.
fn for_tests(attributes: &[Attribute]) -> bool {
    let test = |meta: &Meta| match meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(|it| it.path().is_ident("test"))),
        _ => false,
    };
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .any(|attribute| attribute.parse_args::<Meta>().is_ok_and(|it| test(&it)))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::ForeignMod(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::TraitAlias(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

fn name(item: &Item) -> Option<&proc_macro2::Ident> {
    match item {
        Item::Const(it) => Some(&it.ident),
        Item::Enum(it) => Some(&it.ident),
        Item::Fn(it) => Some(&it.sig.ident),
        Item::Macro(it) => it.ident.as_ref(),
        Item::Static(it) => Some(&it.ident),
        Item::Struct(it) => Some(&it.ident),
        Item::Trait(it) => Some(&it.ident),
        Item::TraitAlias(it) => Some(&it.ident),
        Item::Type(it) => Some(&it.ident),
        Item::Union(it) => Some(&it.ident),
        _ => None,
    }
}
