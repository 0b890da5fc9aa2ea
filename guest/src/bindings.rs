//! Bindings made from `wit/policy.wit`.
#![allow(missing_docs, clippy::undocumented_unsafe_blocks)]

wit_bindgen::generate!({
    world: "policy",
    path: "wit",
    pub_export_macro: true,
    export_macro_name: "export",
    default_bindings_module: "fedseal_guest::export::bindings",
    additional_derives: [PartialEq],
    generate_unused_types: true,
});
