//! Limits on data files. A file from outside cannot take more memory than these limits allow,
//! whatever its lengths and counts claim.

/// Default bound of one row, bytes: a long conversation is some hundred kilobytes.
pub(super) const ROW_BYTES: usize = 16 << 20;
/// Most messages of a conversation.
pub(super) const MESSAGES: usize = 4096;
/// Longest footer of a Parquet file, bytes.
pub(super) const FOOTER: usize = 16 << 20;
/// Longest page of a Parquet column, bytes before and after decompression. Writers aim at one
/// mebibyte; a page holds at least one row.
pub(super) const PAGE: usize = 128 << 20;
/// Longest header of a Parquet page, bytes: it may contain the smallest and largest value.
pub(super) const PAGE_HEADER: usize = 4 << 20;
/// Most values of a Parquet page.
pub(super) const PAGE_VALUES: usize = 16 << 20;
/// Deepest nesting of a Parquet schema.
pub(super) const DEPTH: usize = 16;
