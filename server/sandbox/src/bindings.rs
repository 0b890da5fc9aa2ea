//! Bindings made from the guest's `wit/policy.wit`.
#![allow(missing_docs)]

wasmtime::component::bindgen!({
    path: "../../guest/wit",
    world: "policy",
    imports: { default: trappable },
    with: {
        "fedseal:policy/host.dataset": crate::objects::Dataset,
        "fedseal:policy/host.adapter": crate::objects::AdapterHandle,
    },
    trappable_error_type: {
        "fedseal:policy/host.error" => crate::refusal::CallError,
    },
});
