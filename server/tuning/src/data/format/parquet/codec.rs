//! Decompression of a page. The length is known beforehand, and at most that many bytes are
//! written.

use std::io::Read as _;

/// Names of the codecs, numbered as in parquet.thrift.
const NAMES: [&str; 8] = [
    "none", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw",
];

/// Decompresses `length` bytes from a page, or returns the problem.
pub(super) fn decompress(codec: i64, page: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let broken = || "a page that does not decompress".to_owned();
    let plain = match codec {
        0 => page.to_vec(),
        1 => {
            // snappy stores the length in front; it must equal the page's.
            if snap::raw::decompress_len(page).map_err(|_| broken())? != length {
                return Err(broken());
            }
            snap::raw::Decoder::new()
                .decompress_vec(page)
                .map_err(|_| broken())?
        }
        6 => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(page).map_err(|_| broken())?;
            let mut plain = Vec::new();
            decoder
                .take(length as u64 + 1)
                .read_to_end(&mut plain)
                .map_err(|_| broken())?;
            plain
        }
        other => {
            let name = usize::try_from(other)
                .ok()
                .and_then(|index| NAMES.get(index).copied())
                .unwrap_or("unknown");
            return Err(format!(
                "compression {name} is not supported; write the file with snappy, zstd or none"
            ));
        }
    };
    if plain.len() != length {
        return Err(broken());
    }
    Ok(plain)
}
