//! Products of rounded rows with frozen matrices: one product, several of the same rows, or a sum.

use std::ops::Range;

use super::{
    super::{Start, over_threads},
    PackedPairs, Rows,
    tiles::Product,
};
use crate::memory::{self, Shared};

/// Computes `x · Wᵀ` into `c`, rows `c_row` apart; in parallel when the product is large enough.
///
/// # Panics
/// When an operand is too short for the shape.
///
/// # Safety
/// Nobody else may read or write the elements of C during the call; they have to be
/// initialised when `start` is [`Start::Output`].
pub(crate) unsafe fn multiply_pairs(
    x: Rows<'_>,
    weight: &PackedPairs,
    c: Shared,
    c_row: usize,
    start: Start,
) {
    if x.rows() == 0 {
        return;
    }
    let product = Product::new(x, weight, c, c_row, start);
    // SAFETY: the caller's promises.
    let block = |rows, columns| unsafe { product.run(rows, columns) };
    let (rows, columns) = (product.row_panels(), product.column_panels());
    over_threads(rows, columns, product.work(), true, &block);
}

/// As `multiply_pairs`, into a new `[rows, out]`.
pub fn product_pairs(x: Rows<'_>, weight: &PackedPairs) -> Vec<f32> {
    let fill = |c: Shared| {
        // SAFETY: nobody else knows the memory yet.
        unsafe { multiply_pairs(x, weight, c, weight.out, Start::Zero) }
    };
    // SAFETY: a product that starts at zero writes every element.
    unsafe { memory::filled(x.rows() * weight.out, fill) }
}

/// As `multiply_pairs`, added to the content of `c`, `[rows, out]`.
///
/// # Panics
/// When an operand is too short for the shape.
pub fn add_product(x: Rows<'_>, weight: &PackedPairs, c: &mut [f32]) {
    // SAFETY: `c` is borrowed uniquely and initialised.
    unsafe { multiply_pairs(x, weight, Shared::new(c), weight.out, Start::Output) };
}

/// Multiplies the same rows with several matrices into new outputs `[rows, out]`, one after the
/// other, in one round of work for all threads.
///
/// # Panics
/// When there are no rows, or inner dimensions differ.
pub fn products_together<const N: usize>(x: Rows<'_>, weights: [&PackedPairs; N]) -> Vec<f32> {
    let sizes = weights.map(|weight| x.rows() * weight.out);
    let fill = |out: Shared| {
        let mut products = Vec::with_capacity(N);
        let mut offset = 0;
        for (weight, size) in weights.into_iter().zip(sizes) {
            products.push((weight, out.part(offset, size), Start::Zero));
            offset += size;
        }
        // SAFETY: nobody else knows the memory; the parts do not overlap.
        unsafe { multiply_each(x, &products) };
    };
    // SAFETY: products that start at zero write every element of every part.
    unsafe { memory::filled(sizes.iter().sum(), fill) }
}

/// Computes the sum of several products of equal shape, `Σ x · Wᵀ`, as a new `[rows, out]`, in one
/// round of work for all threads.
///
/// # Panics
/// When there is no product or no row, or shapes differ.
pub fn sum_of_products(terms: &[(Rows<'_>, &PackedPairs)]) -> Vec<f32> {
    let (rows, out) = (terms[0].0.rows(), terms[0].1.out);
    // SAFETY: nobody else knows the memory.
    let fill = |c: Shared| unsafe { multiply_sum(terms, c, Start::Zero) };
    // SAFETY: products that start at zero write every element.
    unsafe { memory::filled(rows * out, fill) }
}

/// Multiplies the same rows with several matrices, each into a separate output with its own start,
/// in one round of work for all threads.
///
/// # Panics
/// When there are no rows, or an operand is too short for its shape.
///
/// # Safety
/// As `multiply_pairs`, for every output; they do not overlap.
unsafe fn multiply_each(x: Rows<'_>, products: &[(&PackedPairs, Shared, Start)]) {
    if products.is_empty() {
        return;
    }
    let each: Vec<Product<'_>> = products
        .iter()
        .map(|&(weight, c, start)| Product::new(x, weight, c, weight.out, start))
        .collect();
    let rows = each.first().map_or(0, Product::row_panels);
    let columns = each.iter().map(Product::column_panels).sum();
    let work = each.iter().map(Product::work);
    over_threads(
        rows,
        columns,
        work.sum(),
        true,
        &|rows, columns: Range<usize>| {
            let mut first = 0;
            for product in &each {
                let end = first + product.column_panels();
                let (from, to) = (columns.start.max(first), columns.end.min(end));
                if from < to {
                    // SAFETY: the caller's promises.
                    unsafe { product.run(rows.clone(), from - first..to - first) };
                }
                first = end;
            }
        },
    );
}

/// Computes the sum of several products of equal shape, `Σ x · Wᵀ`, into `c`, one after the other,
/// in one round of work for all threads.
///
/// # Panics
/// When there is no product or no row, shapes differ, or an operand is too short.
///
/// # Safety
/// As [`multiply_pairs`].
unsafe fn multiply_sum(terms: &[(Rows<'_>, &PackedPairs)], c: Shared, start: Start) {
    let (m, n) = (terms[0].0.rows(), terms[0].1.out);
    assert!(
        terms
            .iter()
            .all(|(x, weight)| (x.rows(), weight.out) == (m, n)),
        "terms of one shape"
    );
    let starts = std::iter::once(start).chain(std::iter::repeat(Start::Output));
    let terms: Vec<Product<'_>> = terms
        .iter()
        .zip(starts)
        .map(|(&(x, weight), start)| Product::new(x, weight, c, n, start))
        .collect();
    let work = terms.iter().map(Product::work).sum();
    let (rows, columns) = (terms[0].row_panels(), terms[0].column_panels());
    over_threads(
        rows,
        columns,
        work,
        true,
        &|rows: Range<usize>, columns: Range<usize>| {
            for term in &terms {
                // SAFETY: the caller's promises.
                unsafe { term.run(rows.clone(), columns.clone()) };
            }
        },
    );
}
