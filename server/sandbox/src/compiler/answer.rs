//! Answers of a compiler: one byte for the kind, the body's length (u64, little endian), the body.

use std::io::{Error, ErrorKind, Read, Result, Write};

/// Bytes of an answer that is text.
pub(super) const TEXT: usize = 4_096;

/// Kind of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The body is compiled code.
    Code = b'C',
    /// The module is not a valid one; the body says why.
    Refused = b'R',
    /// There was not enough memory.
    Memory = b'M',
    /// It could not be tried; the body says why.
    Failed = b'F',
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let all = [Self::Code, Self::Refused, Self::Memory, Self::Failed];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// An answer in words, cut to [`TEXT`] bytes.
    pub(super) fn text(kind: Kind, words: &str) -> Self {
        let mut body = words.as_bytes().to_vec();
        body.truncate(TEXT);
        Self { kind, body }
    }

    pub(super) fn write(&self, to: &mut impl Write) -> Result<()> {
        to.write_all(&[self.kind as u8])?;
        to.write_all(&(self.body.len() as u64).to_le_bytes())?;
        to.write_all(&self.body)?;
        to.flush()
    }

    /// Reads an answer whose code has at most `most` bytes. Of a longer one it gives the length and
    /// reads nothing.
    ///
    /// # Errors
    /// Any error of reading; [`ErrorKind::UnexpectedEof`] where the answer ends early.
    pub(super) fn read(from: &mut impl Read, most: u64) -> Result<std::result::Result<Self, u64>> {
        let (mut kind, mut length) = ([0], [0; 8]);
        from.read_exact(&mut kind)?;
        from.read_exact(&mut length)?;
        let kind = Kind::of(kind[0]).ok_or(ErrorKind::InvalidData)?;
        let length = u64::from_le_bytes(length);
        let most = match kind {
            Kind::Code => most,
            _ => TEXT as u64,
        };
        if length > most {
            return Ok(Err(length));
        }
        let mut body = Vec::new();
        // One allocation of the right size: a vector that grows would hold the code twice.
        body.try_reserve_exact(length as usize)
            .map_err(|_| Error::from(ErrorKind::OutOfMemory))?;
        from.take(length).read_to_end(&mut body)?;
        if (body.len() as u64) < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(Ok(Self { kind, body }))
    }
}
