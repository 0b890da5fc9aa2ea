//! Examples as one sequence of tokens, and the gradients that come of them.

use std::collections::BTreeMap;

use crate::{Tokens, ops::Segments};

/// Gradients by the names of their tensors.
pub(crate) type ByName = BTreeMap<String, Vec<f32>>;

/// Cuts a batch into runs of examples of at most `budget` tokens, at least one example each.
pub(crate) fn parts(batch: &[Tokens], budget: usize) -> impl Iterator<Item = &[Tokens]> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let mut count = 0;
        for example in rest {
            if count > 0 && tokens + example.ids.len() > budget {
                break;
            }
            tokens += example.ids.len();
            count += 1;
        }
        let (part, tail) = rest.split_at(count);
        rest = tail;
        (!part.is_empty()).then_some(part)
    })
}

/// Examples one after the other, without padding.
pub(crate) struct Packed {
    pub(crate) ids: Vec<u32>,
    pub(crate) segments: Segments,
    /// Rows whose next token the loss counts.
    pub(crate) rows: Vec<usize>,
    /// The next token of each of these rows.
    pub(crate) targets: Vec<u32>,
}

/// Fewest common first tokens that are worth sharing.
const WORTH_SHARING: usize = 8;

impl Packed {
    /// Packs every example separately.
    pub(crate) fn new(examples: &[Tokens]) -> Self {
        Self::behind(0, examples)
    }

    /// Packs examples so that the tokens that all begin with (a template's, a system prompt's) are
    /// held and computed once. Causal attention gives these tokens the same values in every
    /// example, so each row gets the same bits as from [`new`](Self::new). Gradients are the same
    /// sums in another order.
    pub(crate) fn sharing(examples: &[Tokens]) -> Self {
        Self::behind(common_beginning(examples), examples)
    }

    fn behind(shared: usize, examples: &[Tokens]) -> Self {
        let lengths = examples.iter().map(|tokens| tokens.ids.len() - shared);
        let beginning = examples.first().map(|tokens| &tokens.ids[..shared]);
        let mut packed = Self {
            ids: beginning.unwrap_or_default().to_vec(),
            segments: Segments::sharing(shared, lengths),
            rows: Vec::new(),
            targets: Vec::new(),
        };
        for tokens in examples {
            let base = packed.ids.len();
            packed.ids.extend_from_slice(&tokens.ids[shared..]);
            for index in tokens.counted().filter(|index| *index > 0) {
                packed.rows.push(base + index - 1 - shared);
                packed.targets.push(tokens.ids[index]);
            }
        }
        packed
    }
}

/// Returns how many tokens all examples begin with, or 0 where sharing them is not worth it. A row
/// that the loss counts is not among them: it has another target in every example.
fn common_beginning(examples: &[Tokens]) -> usize {
    let [first, rest @ ..] = examples else {
        return 0;
    };
    if rest.is_empty() {
        return 0;
    }
    let free = |tokens: &Tokens| tokens.response_start.max(1) - 1;
    let alike = |tokens: &Tokens| {
        let pairs = first.ids.iter().zip(&tokens.ids);
        pairs.take_while(|(a, b)| a == b).count().min(free(tokens))
    };
    let common = rest.iter().map(alike).fold(free(first), usize::min);
    match common >= WORTH_SHARING {
        true => common.min(first.ids.len()),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(length: usize, response_start: usize) -> Tokens {
        Tokens {
            ids: (0..length as u32).collect(),
            response_start,
            ..Tokens::default()
        }
    }

    #[test]
    fn a_row_predicts_the_next_token_of_its_own_example() {
        let packed = Packed::new(&[tokens(4, 2), tokens(3, 1)]);
        assert_eq!(packed.ids, [0, 1, 2, 3, 0, 1, 2]);
        assert_eq!(packed.rows, [1, 2, 4, 5]);
        assert_eq!(packed.targets, [2, 3, 1, 2]);
    }

    #[test]
    fn a_gap_in_an_answer_is_read_and_not_counted() {
        let mut gap = tokens(7, 2);
        gap.gaps.push(4..6);
        assert_eq!(gap.response_len(), 3);
        let packed = Packed::new(&[gap]);
        assert_eq!(packed.ids.len(), 7);
        assert_eq!(packed.rows, [1, 2, 5]);
        assert_eq!(packed.targets, [2, 3, 6]);
    }

    #[test]
    fn a_common_beginning_is_held_once_and_changes_no_row() {
        let mut other = tokens(14, 12);
        other.ids[10] = 99;
        let packed = Packed::sharing(&[tokens(12, 11), other.clone()]);
        let ids = [
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..],
            &[10, 11],
            &[99, 11, 12, 13],
        ]
        .concat();
        assert_eq!(packed.ids, ids);
        assert_eq!(packed.segments.shared(), 10);
        assert_eq!(packed.segments.positions()[10..], [10, 11, 10, 11, 12, 13]);
        assert_eq!(packed.rows, [10, 13, 14]);
        assert_eq!(packed.targets, [11, 12, 13]);
        // A counted row has another target in each example; few tokens are not worth it.
        assert_eq!(
            Packed::sharing(&[tokens(12, 6), other]).segments.shared(),
            0
        );
        assert_eq!(Packed::sharing(&[tokens(12, 11)]).segments.shared(), 0);
    }

    #[test]
    fn parts_keep_to_the_budget_and_lose_nothing() {
        let batch: Vec<Tokens> = [3, 5, 20, 1, 1].map(|n| tokens(n, 1)).into();
        let lengths: Vec<usize> = parts(&batch, 8).map(<[Tokens]>::len).collect();
        assert_eq!(lengths, [2, 1, 2]);
    }
}
