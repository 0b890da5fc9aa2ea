//! Errors and panics of the library.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;

/// Description of a fault in a column; the caller adds the column's name.
pub(super) type Problem = fedseal_adapter::Source;

/// Turns panics of the library into errors: it asserts what broken files do not keep. Nothing that
/// it was reading is used again.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Problem> {
    let problem = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(
            ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::NYI(text),
        )) => text,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the parquet library failed; the file is broken".to_owned(),
    };
    Err(problem.into())
}
