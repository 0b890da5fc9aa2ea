//! JSON Lines: one object a line.

use std::io::BufRead;

use super::row::{BadRow, Numbered, object, too_long, unreadable};

/// Reads line by line; holds one line at a time.
pub(in super::super) struct Rows<R> {
    reader: R,
    line: u64,
    max_row_bytes: usize,
    ended: bool,
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(reader: R, max_row_bytes: usize) -> Self {
        Self {
            reader,
            line: 0,
            max_row_bytes,
            ended: false,
        }
    }

    /// Reads the next line, without the bytes beyond the limit, and returns whether it was cut;
    /// `None` at the end.
    fn read_line(&mut self) -> std::io::Result<Option<(Vec<u8>, bool)>> {
        let mut line = Vec::new();
        let mut cut = false;
        let mut any = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(any.then_some((line, cut)));
            }
            any = true;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let taken = end.unwrap_or(buffer.len());
            let room = self.max_row_bytes.saturating_sub(line.len());
            cut |= taken > room;
            line.extend_from_slice(buffer.get(..taken.min(room)).unwrap_or_default());
            self.reader.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some((line, cut)));
            }
        }
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Numbered, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.line += 1;
            let row = self.line;
            return Some(match self.read_line() {
                Err(error) => {
                    self.ended = true;
                    Err(BadRow::last(row, unreadable(error)))
                }
                Ok(None) => break,
                Ok(Some((_, true))) => Err(BadRow::of(row, too_long(self.max_row_bytes))),
                Ok(Some((line, false))) if line.trim_ascii().is_empty() => continue,
                Ok(Some((line, false))) => match object(&line) {
                    Ok(fields) => Ok((row, fields)),
                    Err(fault) => Err(BadRow::of(row, fault)),
                },
            });
        }
        self.ended = true;
        None
    }
}
