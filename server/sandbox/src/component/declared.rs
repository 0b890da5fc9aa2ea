//! How much a component may declare: bounds on what is cheap to write down and dear to compile.
//!
//! Each is about eight times what the largest real guest has: Python's interpreter by
//! componentize-py 0.25.1, JavaScript's by componentize-qjs 0.4.5 (in brackets). What compiling takes
//! beyond that is bounded while it goes on ([`crate::compiler`]).

use std::collections::BTreeMap;

use wasmparser::{CompositeInnerType, ElementItems, FunctionBody, Payload, RecGroup};

use crate::error::{SandboxError, bad_component as bad};

/// A bound by its name.
pub(super) struct Bound(&'static str, u64);

// Of everything that is nested in a component together.
/// (15)
const NESTED: Bound = Bound("modules and components inside", 128);
/// Types of components nest; their bytes bound all that is in them. (20,000)
const TYPE_BYTES: Bound = Bound("bytes of types", 256 << 10);
/// (1,236)
const TYPES: Bound = Bound("types", 10_000);
/// (2,336)
const IMPORTS: Bound = Bound("imports", 20_000);
/// (4,224)
const EXPORTS: Bound = Bound("exports", 40_000);
/// (1,377)
const ALIASES: Bound = Bound("aliases", 12_000);
/// Instances that only gather exports count, too. (66)
const INSTANCES: Bound = Bound("instances", 1_000);
/// Lifted, lowered and built in; each is compiled to a function of its own. (146)
const CANONICALS: Bound = Bound("canonical functions", 1_500);
/// (13,391)
const FUNCTIONS: Bound = Bound("functions", 120_000);
/// (6.6 million, and no more than the module has)
const CODE_BYTES: Bound = Bound("bytes of code", 20 << 20);
/// (47,842)
const LOCALS: Bound = Bound("locals", 500_000);
/// (874)
const GLOBALS: Bound = Bound("globals", 8_000);
/// (2)
const TABLES: Bound = Bound("tables", 100);
/// (2)
const MEMORIES: Bound = Bound("memories", 100);
/// (8)
const ELEMENTS: Bound = Bound("element segments", 1_000);
/// (about 5,500)
const ELEMENT_ITEMS: Bound = Bound("items of element segments", 50_000);
/// (5,551)
const DATA: Bound = Bound("data segments", 50_000);
/// (24)
const CUSTOM: Bound = Bound("custom sections", 1_000);

// Of one type or one function.
/// Blocks have types, too, and each block makes so many values. (18)
const TYPE_VALUES: Bound = Bound("parameters or results of one type", 150);
/// (427 thousand)
const FUNCTION_BYTES: Bound = Bound("bytes of code in one function", 3 << 20);
/// (271)
const FUNCTION_LOCALS: Bound = Bound("locals of one function", 2_500);

/// Counts of what was seen so far, by the names of their bounds.
#[derive(Default)]
pub(super) struct Declared(BTreeMap<&'static str, u64>);

impl Declared {
    /// Counts what a payload declares.
    ///
    /// # Errors
    /// [`SandboxError::Declarations`] at the first bound that is passed;
    /// [`SandboxError::BadComponent`] for what cannot be read.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> Result<(), SandboxError> {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.more(&NESTED, 1)
            }
            Payload::TypeSection(types) => {
                self.more(&TYPE_BYTES, types.range().len())?;
                for group in types.clone() {
                    self.group(&group.map_err(bad)?)?;
                }
                Ok(())
            }
            Payload::CoreTypeSection(types) => {
                self.more(&TYPE_BYTES, types.range().len())?;
                self.more(&TYPES, types.count())
            }
            Payload::ComponentTypeSection(types) => {
                self.more(&TYPE_BYTES, types.range().len())?;
                self.more(&TYPES, types.count())
            }
            Payload::ImportSection(all) => self.more(&IMPORTS, all.count()),
            Payload::ComponentImportSection(all) => self.more(&IMPORTS, all.count()),
            Payload::ExportSection(all) => self.more(&EXPORTS, all.count()),
            Payload::ComponentExportSection(all) => self.more(&EXPORTS, all.count()),
            Payload::ComponentAliasSection(all) => self.more(&ALIASES, all.count()),
            Payload::InstanceSection(all) => self.more(&INSTANCES, all.count()),
            Payload::ComponentInstanceSection(all) => self.more(&INSTANCES, all.count()),
            Payload::ComponentCanonicalSection(all) => self.more(&CANONICALS, all.count()),
            Payload::FunctionSection(all) => self.more(&FUNCTIONS, all.count()),
            Payload::CodeSectionEntry(body) => self.body(body),
            Payload::GlobalSection(all) => self.more(&GLOBALS, all.count()),
            Payload::TableSection(all) => self.more(&TABLES, all.count()),
            Payload::MemorySection(all) => self.more(&MEMORIES, all.count()),
            Payload::ElementSection(all) => {
                self.more(&ELEMENTS, all.count())?;
                for segment in all.clone() {
                    let items = match segment.map_err(bad)?.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    self.more(&ELEMENT_ITEMS, items)?;
                }
                Ok(())
            }
            Payload::DataSection(all) => self.more(&DATA, all.count()),
            Payload::CustomSection(_) => self.more(&CUSTOM, 1),
            _ => Ok(()),
        }
    }

    fn group(&mut self, group: &RecGroup) -> Result<(), SandboxError> {
        let types = group.types();
        self.more(&TYPES, types.len())?;
        for ty in types {
            if let CompositeInnerType::Func(ty) = &ty.composite_type.inner {
                within(&TYPE_VALUES, ty.params().len().max(ty.results().len()))?;
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), SandboxError> {
        let bytes = body.range().len();
        within(&FUNCTION_BYTES, bytes)?;
        self.more(&CODE_BYTES, bytes)?;
        let mut locals = 0_u64;
        for group in body.get_locals_reader().map_err(bad)? {
            let (count, _) = group.map_err(bad)?;
            locals = locals.saturating_add(count.into());
        }
        within(&FUNCTION_LOCALS, locals)?;
        self.more(&LOCALS, locals)
    }

    /// Counts so many more of something.
    fn more(&mut self, bound: &Bound, count: impl TryInto<u64>) -> Result<(), SandboxError> {
        let sum = self.0.entry(bound.0).or_default();
        *sum = sum.saturating_add(count.try_into().unwrap_or(u64::MAX));
        within(bound, *sum)
    }
}

/// Checks a count against its bound.
fn within(bound: &Bound, count: impl TryInto<u64>) -> Result<(), SandboxError> {
    let count = count.try_into().unwrap_or(u64::MAX);
    let Bound(what, most) = *bound;
    if count > most {
        return Err(SandboxError::Declarations { what, count, most });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
