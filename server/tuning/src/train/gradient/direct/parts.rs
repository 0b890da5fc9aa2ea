//! A decoder as a direct step has it, and what its passes keep and share.

use std::ops::Range;

use super::product::Linear;
use crate::{
    kernels::attention,
    model::decoder::{Angles, Decoder},
    ops::Panels,
};

pub(super) struct Layer<'a> {
    pub(super) index: usize,
    pub(super) attention_norm: Vec<f32>,
    pub(super) ffn_norm: Vec<f32>,
    /// Matrices, indexed by [`Target`](fedseal_adapter::Target).
    pub(super) linear: [Linear<'a>; 7],
}

/// A decoder with an adapter, ready for a step.
pub(in crate::train::gradient) struct Direct<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) embedding: &'a Panels,
    pub(super) vocab: &'a Panels,
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) norm: Vec<f32>,
    /// First layer with a pair.
    pub(super) lowest: usize,
}

/// Values of a block that are kept for the backward pass.
#[allow(clippy::large_enum_variant)]
pub(super) enum Kept {
    All(Saved),
    Input(Vec<f32>),
}

/// Values that all blocks share.
pub(super) struct Context<'a> {
    pub(super) eps: f32,
    pub(super) usual: Angles,
    pub(super) local: Option<Angles>,
    pub(super) shared: usize,
    pub(super) examples: &'a [Range<usize>],
    pub(super) rows: &'a [usize],
}

/// Values of a block that the forward pass saves.
pub(super) struct Saved {
    /// `[tokens, d_model]`
    pub(super) x: Vec<f32>,
    /// Words, `[tokens, d_model]`, kept where a pair's backward pass reads them.
    pub(super) normed: Option<Vec<f32>>,
    /// Queries, keys and values one after the other, rotated.
    pub(super) qkv: Vec<f32>,
    pub(super) attention: attention::Output,
    /// Words of the attention's output, kept where a pair's backward pass reads them.
    pub(super) mixed: Option<Vec<f32>>,
    /// `[rows, d_model]`; all later fields have `rows` rows too.
    pub(super) middle: Vec<f32>,
    pub(super) middle_normed: Option<Vec<f32>>,
    /// Words of gate and up.
    pub(super) gate: Vec<f32>,
    pub(super) up: Vec<f32>,
    pub(super) active: Option<Vec<f32>>,
    /// Results of [`PackedPair::add`](crate::kernels::lora::PackedPair::add), indexed by
    /// [`Target`](fedseal_adapter::Target).
    pub(super) low: [Vec<f32>; 7],
}
