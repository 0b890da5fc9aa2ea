use super::*;
use crate::runtime;
use crate::{Reason, component};

fn said(kind: u8, length: u64, body: &[u8]) -> Vec<u8> {
    [&[kind], length.to_le_bytes().as_slice(), body].concat()
}

/// Whatever the other side writes: it is read whole, or not at all, and never beyond the bound.
#[test]
fn answers_are_read_within_bounds() {
    let answer = Answer {
        kind: Kind::Code,
        body: b"code".to_vec(),
    };
    let mut bytes = Vec::new();
    answer.write(&mut bytes).unwrap();
    assert_eq!(bytes, said(b'C', 4, b"code"));
    let heard = |bytes: &[u8]| hear(bytes, 4);
    assert!(matches!(heard(&bytes), End::Said(read) if read == answer));
    for cut in 0..bytes.len() {
        assert!(matches!(heard(&bytes[..cut]), End::Cut), "{cut}");
    }
    assert!(matches!(heard(&said(b'C', 5, b"codes")), End::TooMuch(5)));
    assert!(matches!(heard(&said(b'C', u64::MAX, b"")), End::TooMuch(_)));
    assert!(matches!(heard(&said(b'R', 4_097, b"")), End::TooMuch(_)));
    assert!(matches!(heard(&said(b'?', 4, b"code")), End::Cut));
    let long = Answer::text(Kind::Refused, &"x".repeat(10_000));
    assert_eq!(long.body.len(), answer::TEXT);
}

#[test]
fn the_last_words_are_kept() {
    let long = [vec![b'x'; 1 << 20], b"last words".to_vec()].concat();
    let kept = tail(long.as_slice());
    assert_eq!(kept.len() as u64, SAID);
    assert!(kept.ends_with("last words"));
}

/// A module for whose compilation a second is more than enough.
fn small() -> Vec<u8> {
    let text = r#"(module (memory (export "memory") 1) (func (export "run") (result i32)
        (i32.const 0)))"#;
    component::componentize(&wat::parse_str(text).unwrap()).unwrap()
}

/// The other process makes the same code that this one would have made, also for the pool's engine,
/// which the other process does not have.
#[test]
fn the_other_process_makes_the_same_code() {
    let engine = runtime::engine(&Limits::default()).unwrap();
    let bytes = small();
    let there = compile(&bytes, &engine, &Limits::default()).unwrap();
    let here = Code::here(&engine, &bytes).unwrap();
    assert_eq!(there.bytes(), here.bytes());
    there.load(&engine).unwrap();
}

/// A helper that was left over from another build compiles nothing.
#[test]
fn another_build_is_no_compiler() {
    let bytes = small();
    let mut config = wasmtime::Config::new();
    config.consume_fuel(false);
    let another = Engine::new(&config).unwrap();
    let error = compile(&bytes, &another, &Limits::default()).err().unwrap();
    assert_eq!(error.reason(), Reason::Host);
    assert!(error.to_string().contains("another build"), "{error}");
}

#[test]
fn code_beyond_its_bound_is_refused() {
    let engine = runtime::engine(&Limits::default()).unwrap();
    let bytes = small();
    let bounds = Bounds {
        code: 1_000,
        ..Bounds::of(&Limits::default())
    };
    let error = within(&bytes, &engine, &bounds).err().unwrap();
    assert_eq!(error.reason(), Reason::CompileMemory, "{error}");
}
