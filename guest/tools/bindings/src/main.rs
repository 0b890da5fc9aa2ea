//! Writes `guest/src/bindings/generated.rs` from `guest/wit/policy.wit`: `cargo run` in this folder,
//! after a change of the world. A test of `fedseal-guest` fails when that was forgotten.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::Opts;

fn main() -> Result<()> {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let wit = guest.join("wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(&wit)?;
    let world = resolve.select_world(&[package], Some("policy"))?;
    let options = Opts {
        pub_export_macro: true,
        export_macro_name: Some("export".into()),
        default_bindings_module: Some("fedseal_guest::export::bindings".into()),
        additional_derive_attributes: vec!["PartialEq".into()],
        generate_unused_types: true,
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let mut made = files.iter().filter(|(name, _)| name.ends_with(".rs"));
    let (_, text) = made.next().ok_or_else(|| anyhow::anyhow!("no file was made"))?;
    ensure!(made.next().is_none(), "several files were made");
    let source = std::fs::read(wit.join("policy.wit"))?;
    let head = format!(
        "// Made from wit/policy.wit by guest/tools/bindings; not edited by hand.\n\
         // policy.wit has {} bytes, FNV-1a {:016x}.\n",
        source.len(),
        fnv1a(&source)
    );
    let out = guest.join("src/bindings/generated.rs");
    std::fs::create_dir_all(out.with_file_name(""))?;
    std::fs::write(&out, head + &String::from_utf8_lossy(text))?;
    ensure!(
        Command::new("rustfmt").args(["--edition", "2024"]).arg(&out).status()?.success(),
        "rustfmt failed"
    );
    Ok(())
}

/// FNV-1a, 64 bits: tells whether the world was changed, no more.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
