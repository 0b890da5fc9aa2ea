//! Names of tensors: Hugging Face's and llama.cpp's.

use fedseal_adapter::Norm;

use crate::Architecture;

/// Modules of a decoder block: path in a checkpoint, name in a GGUF file. The norms depend on the
/// architecture, see [`gguf_name`].
const MODULES: [(&str, &str); 11] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    // Gate and up in one matrix have the name of the second.
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Names of the norms before and after the two halves of a block.
const NORMS: [(Norm, &str); 4] = [
    (Norm::AttentionIn, "attn_norm"),
    (Norm::AttentionOut, "post_attention_norm"),
    (Norm::FfnIn, "ffn_norm"),
    (Norm::FfnOut, "post_ffw_norm"),
];

/// Returns the name that llama.cpp's converter gives a tensor of a checkpoint.
pub(super) fn gguf_name(architecture: Architecture, name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        "lm_head.weight" => return Some("output.weight".to_owned()),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (path, kind) = part.rsplit_once('.')?;
    let norm = NORMS
        .iter()
        .find(|(norm, _)| norm.path(architecture) == Some(path));
    let module = MODULES.iter().find(|(module, _)| *module == path);
    let part = norm
        .map(|(_, name)| *name)
        .or(module.map(|(_, name)| *name))?;
    Some(format!("blk.{layer}.{part}.{kind}"))
}

/// Returns the position of a row in the file. llama.cpp rotates neighbouring rows, Hugging Face
/// rows half a head apart: its converter moves row `half · h + i` of a head to row `2 · i + h`.
pub(super) fn moved_row(row: usize, head_dim: usize) -> usize {
    let (head, row) = (row / head_dim, row % head_dim);
    let (side, i) = (row / (head_dim / 2), row % (head_dim / 2));
    head * head_dim + 2 * i + side
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_return_to_their_places() {
        // One head of four rows and one column: the file holds rows 0, 2, 1, 3.
        let rows = [0.0, 2.0, 1.0, 3.0];
        let back: Vec<f32> = (0..4).map(|row| rows[moved_row(row, 4)]).collect();
        assert_eq!(back, [0.0, 1.0, 2.0, 3.0]);
        // The second head begins where the first one ends.
        assert_eq!(moved_row(5, 4), 6);
    }

    #[test]
    fn a_norm_of_one_name_has_a_place_in_each_architecture() {
        let name = "model.layers.3.post_attention_layernorm.weight";
        for (architecture, place) in [
            (Architecture::Llama, "blk.3.ffn_norm.weight"),
            (Architecture::Gemma2, "blk.3.post_attention_norm.weight"),
        ] {
            assert_eq!(gguf_name(architecture, name).as_deref(), Some(place));
        }
        assert_eq!(
            gguf_name(Architecture::Llama, "model.layers.3.x.weight"),
            None
        );
    }
}
