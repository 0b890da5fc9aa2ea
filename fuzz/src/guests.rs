//! Guests out of bytes, and an engine for them.
//!
//! A guest is made in one of three ways: by wasm-smith as a core module that imports the host and
//! exports what the world asks for; by wasm-smith as any component; or as a straight line of host
//! calls whose handles are those of earlier calls, so that it gets further than random code does.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use fedseal_sandbox::{Engine, EngineError, GenerateOptions, TrainOptions, component};
use fedseal_tuning::{Adapter, Example, Halt};
use wasm_smith::{Component, Config, Module};

/// Most host calls of a straight line.
const MOST_CALLS: usize = 60;

/// The host's functions as a core module imports them.
const IMPORTS: &str = r#"
  (import "fedseal:policy/host@0.1.0" "context" (func $context (param i32)))
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "attachment" (func $attachment (param i32)))
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "count" (func $count (param i32) (result i32)))
  (import "fedseal:policy/host@0.1.0" "read-examples" (func $read-examples (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "concat" (func $concat (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "take" (func $take (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "generate" (func $generate (param i32 i32 i32 i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "log-likelihood" (func $log-likelihood (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "train" (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "scale" (func $scale (param i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "add" (func $add (param i32 f64 i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "noise" (func $noise (param i32 f64 i32 i64 i32)))
  (import "fedseal:policy/host@0.1.0" "clip" (func $clip (param i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "dot" (func $dot (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "read-raw" (func $read-raw (param i32 i32)))
  (import "fedseal:policy/host@0.1.0" "write-raw" (func $write-raw (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "random-u64" (func $random-u64 (result i64)))
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]dataset" (func $drop-dataset (param i32)))
  (import "fedseal:policy/host@0.1.0" "[resource-drop]adapter" (func $drop-adapter (param i32)))"#;

/// Exports of a policy; bodies are of no consequence.
const EXPORTS: &str = r#"
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "run") (result i32) unreachable)"#;

/// A component out of bytes. None when they do not give one.
pub fn guest(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut input = Unstructured::new(bytes);
    match u8::arbitrary(&mut input).ok()? % 4 {
        0 => component::componentize(&module(&mut input).ok()?).ok(),
        1 => Some(Component::new(config(), &mut input).ok()?.to_bytes()),
        _ => {
            let text = line(&mut input).ok()?;
            let core = wat::parse_str(&text).expect("the text is of this file's own making");
            component::componentize(&core).ok()
        }
    }
}

fn module(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    static SHAPES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let [imports, exports] = SHAPES.get_or_init(|| {
        [IMPORTS, EXPORTS]
            .map(|text| wat::parse_str(format!("(module {text})")).expect("the world's functions"))
    });
    let config = Config {
        available_imports: Some(imports.clone()),
        exports: Some(exports.clone()),
        min_imports: 4,
        ..config()
    };
    Ok(Module::new(config, input)?.to_bytes())
}

/// Modules that the sandbox's engine takes; without these settings nearly all would end at validation.
fn config() -> Config {
    Config {
        max_memories: 2,
        max_memory32_bytes: 2 << 20,
        max_tables: 4,
        max_table_elements: 2_000,
        memory64_enabled: false,
        threads_enabled: false,
        shared_everything_threads_enabled: false,
        relaxed_simd_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        canonicalize_nans: false,
        ..Config::default()
    }
}

/// A number that a guest may give: mostly one at an edge.
fn float(input: &mut Unstructured<'_>) -> Result<&'static str> {
    input
        .choose(&[
            "0", "-0", "1", "-1", "0.5", "2", "1e-3", "1e300", "-1e300", "4e-320", "nan", "inf",
            "-inf", "3.5e38",
        ])
        .copied()
}

fn number(input: &mut Unstructured<'_>) -> Result<u32> {
    if bool::arbitrary(input)? {
        return u32::arbitrary(input);
    }
    let edges = [
        0,
        1,
        2,
        4,
        8,
        39,
        40,
        41,
        64,
        1_024,
        4_096,
        65_535,
        65_536,
        u32::MAX,
    ];
    input.choose(&edges).copied()
}

/// Place and length of an argument in memory: mostly text or a list that is there.
fn place(input: &mut Unstructured<'_>) -> Result<(u32, u32)> {
    Ok(match input.int_in_range(0..=5_u8)? {
        0 => (u32::arbitrary(input)?, number(input)?),
        1 => (4_096, number(input)?),
        2 => (8_192, input.int_in_range(0..=8_u32)?),
        3 => (8_193, 1),
        _ => (8_192, input.int_in_range(1..=3_u32)?),
    })
}

/// Host calls one after the other. At 8,192 are eight pairs of pointer and length for a list of
/// texts, or four for one of examples; at 4,096 their text. Results arrive at 64.
fn line(input: &mut Unstructured<'_>) -> Result<String> {
    let mut body = String::from(
        "(local.set $a (call $global)) (local.set $b (local.get $a))
         (local.set $d (call $shard)) (local.set $e (local.get $d))\n",
    );
    for _ in 0..input.int_in_range(0..=MOST_CALLS)? {
        let adapter = *input.choose(&["$a", "$b"])?;
        let data = *input.choose(&["$d", "$e"])?;
        let other = *input.choose(&["$a", "$b", "$d", "$e"])?;
        let (at, length) = place(input)?;
        let (x, y) = (float(input)?, float(input)?);
        let (n, m) = (number(input)?, number(input)?);
        // `result<adapter, error>` and `result<dataset, error>`: a byte, then the handle.
        let made = |slot: &str| {
            format!(
                "(if (i32.eqz (i32.load8_u (i32.const 64))) (then (local.set {slot} (i32.load (i32.const 68)))))"
            )
        };
        let (adapter_made, data_made) = (made("$b"), made("$e"));
        // Borrowed handles in a list.
        let listed = format!(
            "(i32.store (i32.const 256) (local.get {data})) (i32.store (i32.const 260) (local.get $d))"
        );
        let text = match input.int_in_range(0..=24_u8)? {
            0 => "(call $context (i32.const 64))".into(),
            1 => "(local.set $e (call $shard))".into(),
            2 => "(call $attachment (i32.const 64))".into(),
            3 => format!(
                "(call $examples (i32.const {at}) (i32.const {length}) (i32.const 64)) {data_made}"
            ),
            4 => format!("(drop (call $count (local.get {data})))"),
            5 => format!(
                "(call $read-examples (local.get {data}) (i32.const {n}) (i32.const {m}) (i32.const 64))"
            ),
            6 => format!(
                "{listed} (call $concat (i32.const 256) (i32.const {}) (i32.const 64)) {data_made}",
                n % 4
            ),
            7 => format!(
                "(call $take (local.get {data}) (i32.const {n}) (i32.const {m}) (i32.const 64)) {data_made}"
            ),
            8 => format!(
                "(call $generate (i32.const {at}) (i32.const {length}) (i32.const {}) (i32.const {m}) (f64.const {x}) (i32.const 64))",
                n % 3
            ),
            9 => "(local.set $b (call $global))".into(),
            10 => format!(
                "(call $train (local.get {adapter}) (local.get {data}) (i32.const {n}) (i32.const {m}) (f64.const {x}) (f64.const {y}) (i32.const 64)) {adapter_made}"
            ),
            11 => format!(
                "(call $train (local.get {adapter}) (local.get {data}) (i32.const {}) (i32.const {}) (f64.const 0.01) (f64.const 0) (i32.const 64)) {adapter_made}",
                n % 5,
                m % 9
            ),
            12 => format!(
                "(call $scale (local.get {adapter}) (f64.const {x}) (i32.const 64)) {adapter_made}"
            ),
            13 => format!(
                "(call $add (local.get {adapter}) (f64.const {x}) (local.get $a) (f64.const {y}) (i32.const 64)) {adapter_made}"
            ),
            14 => format!(
                "(call $noise (local.get {adapter}) (f64.const {x}) (i32.const {}) (i64.const {m}) (i32.const 64)) {adapter_made}",
                n % 3
            ),
            15 => format!(
                "(call $clip (local.get {adapter}) (f64.const {x}) (i32.const 64)) {adapter_made}"
            ),
            16 => format!("(call $dot (local.get {adapter}) (local.get $b) (i32.const 64))"),
            17 => format!("(call $read-raw (local.get {adapter}) (i32.const 64))"),
            18 => format!(
                "(call $write-raw (local.get {adapter}) (i32.load (i32.const 64)) (i32.load (i32.const 68)) (i32.const 64)) {adapter_made}"
            ),
            19 => format!(
                "(call $write-raw (local.get {adapter}) (i32.const {at}) (i32.const {length}) (i32.const 64)) {adapter_made}"
            ),
            20 => "(drop (call $random-u64))".into(),
            21 => format!("(call $log (i32.const {at}) (i32.const {length}))"),
            22 => format!("(call $submit (local.get {adapter}) (i32.const {n}) (i32.const 256))"),
            23 => format!(
                "(call $log-likelihood (i32.const {at}) (i32.const {length}) (i32.const {}) (i32.const 64))",
                n % 3
            ),
            // Wrong types and handles that are gone are what handle tables are for.
            _ => format!(
                "(call $drop-{} (local.get {other}))",
                input.choose(&["dataset", "adapter"])?
            ),
        };
        let _ = writeln!(body, "    {text}");
    }
    if input.ratio(3, 4)? {
        body.push_str("    (call $submit (local.get $b) (i32.const 40) (i32.const 256))\n");
    }
    // The text that strings point to: valid or not.
    let text: String = input
        .bytes(input.len().min(64))?
        .iter()
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    let pairs = r"\00\10\00\00\05\00\00\00\05\10\00\00\03\00\00\00".repeat(4);
    Ok(format!(
        r#"(module {IMPORTS}
  (memory (export "memory") 2)
  (data (i32.const 4096) "a plain text that is long enough for all that points into it")
  (data (i32.const 4097) "{text}")
  (data (i32.const 8192) "{pairs}")
  (global $next (mut i32) (i32.const 16384))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "run") (result i32)
    (local $a i32) (local $b i32) (local $d i32) (local $e i32)
    {body}
    (i32.store8 (i32.const 512) (i32.const 0))
    (i32.const 512)))"#
    ))
}

/// "Trains" by adding the learning rate, "writes" the beginning of the prompt.
pub struct Quick;

impl Engine for Quick {
    fn train(
        &self,
        start: &Adapter,
        _: &[Example],
        options: &TrainOptions,
        _: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> std::result::Result<(Adapter, u64), EngineError> {
        let mut trained = start.clone();
        for tensor in trained.tensors.values_mut() {
            for value in &mut tensor.data {
                *value += options.learning_rate as f32;
            }
        }
        Ok((
            trained,
            u64::from(options.steps) * u64::from(options.batch_size),
        ))
    }

    fn generate(
        &self,
        _: Option<&Adapter>,
        prompts: &[String],
        options: &GenerateOptions,
        _: Halt<'_>,
    ) -> std::result::Result<(Vec<String>, u64), EngineError> {
        let most = options.max_new_tokens as usize;
        let texts: Vec<String> = prompts
            .iter()
            .map(|prompt| prompt.chars().take(most).collect())
            .collect();
        let tokens = texts.iter().map(|text| text.chars().count() as u64).sum();
        Ok((texts, tokens))
    }

    fn fingerprint(&self) -> String {
        "quick".into()
    }
}
