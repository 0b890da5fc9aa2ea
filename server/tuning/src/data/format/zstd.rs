//! Zstandard (RFC 8878): one frame after the other, as a stream.

use std::io::{BufRead, Error, ErrorKind, Read, Result, copy, sink};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// First bytes of a frame (3.1.1).
pub(super) const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// The content of all frames. ruzstd bounds the window, and with it the memory.
pub(super) struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    /// Whether a frame is open.
    open: bool,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(packed: R) -> Self {
        Self {
            packed,
            decoder: FrameDecoder::new(),
            open: false,
        }
    }

    /// Opens the next frame; false at the end. Skippable frames (3.1.2) are passed over.
    fn open(&mut self) -> Result<bool> {
        loop {
            if self.packed.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    copy(&mut (&mut self.packed).take(u64::from(length)), &mut sink())?;
                }
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

fn broken(error: &FrameDecoderError) -> Error {
    Error::new(ErrorKind::InvalidData, format!("broken Zstandard: {error}"))
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            if !self.open {
                self.open = self.open()?;
                if !self.open {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() < buffer.len() && !self.decoder.is_finished() {
                let missing = buffer.len() - self.decoder.can_collect();
                self.decoder
                    .decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBytes(missing))
                    .map_err(|error| broken(&error))?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.open = false;
        }
    }
}

/// Unpacks bytes that are known to be at most so many.
pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    Frames::new(packed)
        .take(most as u64 + 1)
        .read_to_end(&mut plain)?;
    if plain.len() > most {
        let problem = format!("more than {most} bytes, which are not read");
        return Err(Error::new(ErrorKind::InvalidData, problem));
    }
    Ok(plain)
}
