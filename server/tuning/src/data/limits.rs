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
pub(super) const PAGE_HEADER: u64 = 4 << 20;
/// Most values of a Parquet page.
pub(super) const PAGE_VALUES: usize = 16 << 20;
/// Most values of the dictionary of a Parquet column. Writers aim at one mebibyte.
pub(super) const DICTIONARY_VALUES: usize = 4 << 20;
/// Deepest nesting of a Parquet schema.
pub(super) const DEPTH: usize = 16;
/// Deepest nesting of a row of a JSON list that is looked at to find the row's end. The parser reads
/// 128 levels.
pub(super) const JSON_DEPTH: usize = 1024;
/// Most rows of a batch of an Arrow file. `datasets` writes a thousand, pyarrow 65,536.
pub(super) const BATCH_ROWS: usize = 16 << 20;
/// Longest buffer of an Arrow file, bytes before and after decompression: a column of a batch.
pub(super) const ARROW_BUFFER: usize = 1 << 30;
