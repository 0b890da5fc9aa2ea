use super::*;
use crate::component::inspect;
use crate::{Limits, Reason};

fn leb(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

/// A section of `count` times an item.
fn repeated(id: u8, count: usize, item: &[u8]) -> Vec<u8> {
    section(id, &[leb(count), item.repeat(count)].concat())
}

fn component(sections: &[u8]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".as_slice(), sections].concat()
}

/// A component that has a core module of these sections inside.
fn module(sections: &[u8]) -> Vec<u8> {
    component(&section(
        1,
        &[b"\0asm\x01\0\0\0".as_slice(), sections].concat(),
    ))
}

/// A function's body: its locals, and so many bytes in all.
fn body(locals: usize, bytes: usize) -> Vec<u8> {
    let mut body = match locals {
        0 => vec![0],
        locals => [&[1], leb(locals).as_slice(), &[0x7f]].concat(),
    };
    body.resize(bytes.max(body.len() + 1), 0x0b);
    [leb(body.len()), body].concat()
}

/// A core module's functions, each of a body.
fn functions(bodies: &[Vec<u8>]) -> Vec<u8> {
    let count = leb(bodies.len());
    let code = section(10, &[count, bodies.concat()].concat());
    [repeated(3, bodies.len(), &[0]), code].concat()
}

/// A component with so many of what a bound counts, and of nothing else more than need be. What
/// stands in the sections does not matter, as long as nobody looks at it.
fn with(bound: &Bound, count: usize) -> Vec<u8> {
    let empty = section(1, b"\0asm\x01\0\0\0");
    let function_bytes = FUNCTION_BYTES.1 as usize;
    match bound.0 {
        name if name == NESTED.0 => component(&empty.repeat(count)),
        name if name == TYPE_BYTES.0 => component(&section(7, &vec![0; count])),
        name if name == TYPES.0 => module(&repeated(1, count, &[0x60, 0, 0])),
        name if name == TYPE_VALUES.0 => {
            let ty = [&[0x60], leb(count).as_slice(), &[0x7f].repeat(count), &[0]].concat();
            module(&repeated(1, 1, &ty))
        }
        name if name == IMPORTS.0 => module(&repeated(2, count, &[0])),
        name if name == EXPORTS.0 => module(&repeated(7, count, &[0])),
        name if name == ALIASES.0 => component(&repeated(6, count, &[0])),
        name if name == INSTANCES.0 => component(&repeated(5, count, &[0])),
        name if name == CANONICALS.0 => component(&repeated(8, count, &[0])),
        name if name == FUNCTIONS.0 => module(&functions(&vec![body(0, 0); count])),
        name if name == GLOBALS.0 => module(&repeated(6, count, &[0])),
        name if name == TABLES.0 => module(&repeated(4, count, &[0x70, 0, 0])),
        name if name == MEMORIES.0 => module(&repeated(5, count, &[0, 0])),
        name if name == ELEMENTS.0 => module(&repeated(9, count, &[1, 0, 0])),
        name if name == ELEMENT_ITEMS.0 => {
            let items = [&[1, 0], leb(count).as_slice(), &vec![0; count]].concat();
            module(&repeated(9, 1, &items))
        }
        name if name == DATA.0 => module(&repeated(11, count, &[0])),
        name if name == CUSTOM.0 => component(&section(0, &[0]).repeat(count)),
        name if name == FUNCTION_BYTES.0 => module(&functions(&[body(0, count)])),
        name if name == FUNCTION_LOCALS.0 => module(&functions(&[body(count, 0)])),
        name if name == CODE_BYTES.0 || name == LOCALS.0 => {
            let (each, of): (usize, fn(usize) -> Vec<u8>) = match name {
                name if name == LOCALS.0 => (FUNCTION_LOCALS.1 as usize, |n| body(n, 0)),
                _ => (function_bytes, |n| body(0, n)),
            };
            let (whole, rest) = (count / each, count % each);
            let mut bodies = vec![of(each); whole];
            bodies.push(of(rest));
            module(&functions(&bodies))
        }
        other => panic!("no component for {other}"),
    }
}

#[test]
fn every_bound_holds_by_its_name() {
    let bounds = [
        NESTED,
        TYPE_BYTES,
        TYPES,
        IMPORTS,
        EXPORTS,
        ALIASES,
        INSTANCES,
        CANONICALS,
        FUNCTIONS,
        CODE_BYTES,
        LOCALS,
        GLOBALS,
        TABLES,
        MEMORIES,
        ELEMENTS,
        ELEMENT_ITEMS,
        DATA,
        CUSTOM,
        TYPE_VALUES,
        FUNCTION_BYTES,
        FUNCTION_LOCALS,
    ];
    let limits = Limits {
        module_bytes: 32 << 20,
        ..Limits::default()
    };
    for bound in bounds {
        let most = bound.1 as usize;
        inspect(&with(&bound, most), &limits)
            .unwrap_or_else(|error| panic!("{}: {error}", bound.0));
        let over = inspect(&with(&bound, most + 2), &limits).unwrap_err();
        assert_eq!(over.reason(), Reason::Declarations, "{over}");
        let text = over.to_string();
        assert!(text.contains(bound.0), "{}: {text}", bound.0);
    }
}

/// Items that are nested deep inside count as well.
#[test]
fn bounds_hold_for_all_together() {
    let limits = Limits::default();
    let half = |sections: &[u8]| {
        let core = [b"\0asm\x01\0\0\0".as_slice(), sections].concat();
        section(4, &component(&section(1, &core)))
    };
    let some = functions(&vec![body(0, 0); FUNCTIONS.1 as usize / 2 + 1]);
    let once = component(&half(&some));
    inspect(&once, &limits).unwrap();
    let twice = component(&half(&some).repeat(2));
    let error = inspect(&twice, &limits).unwrap_err();
    assert_eq!(error.reason(), Reason::Declarations, "{error}");
}
