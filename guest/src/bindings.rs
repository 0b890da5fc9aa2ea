//! Bindings made from `wit/policy.wit` by `guest/tools/bindings`, so that no build has to parse it.
#![allow(missing_docs, unreachable_pub, clippy::undocumented_unsafe_blocks)]

include!("bindings/generated.rs");

#[cfg(test)]
mod tests {
    #[test]
    fn the_bindings_are_made_from_this_world() {
        let world = include_bytes!("../wit/policy.wit");
        let hash = world.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let head = format!(
            "// policy.wit has {} bytes, FNV-1a {hash:016x}.",
            world.len()
        );
        let made = include_str!("bindings/generated.rs");
        assert!(
            made.lines().any(|line| line == head),
            "policy.wit was changed: `cargo run` in guest/tools/bindings makes the bindings anew"
        );
    }
}
