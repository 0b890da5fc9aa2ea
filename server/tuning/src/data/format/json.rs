//! One JSON list of objects, read element by element: a file of any size takes the memory of its
//! longest row.

use std::io::BufRead;

use super::row::{BadRow, Numbered, object, too_long, unreadable};
use crate::data::{Fault, limits};

/// Position of the reader.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// After the opening bracket.
    First,
    /// After an element.
    Next,
    /// After the closing bracket.
    Closed,
    Ended,
}

/// Reads element by element; holds one at a time.
pub(in super::super) struct Rows<R> {
    reader: R,
    row: u64,
    max_row_bytes: usize,
    state: State,
}

/// Bytes between two commas.
struct Element {
    bytes: Vec<u8>,
    cut: bool,
    /// Byte that ended the element: `,` or `]`; `None` at the end of the file.
    end: Option<u8>,
}

/// Strings and brackets of an element. It finds the end of a broken element, too, where that can be
/// told: a closing bracket closes what was opened inside it, and a text ends with its line.
#[derive(Default)]
struct Nesting {
    /// Opening brackets that are not closed; those deeper than the limit are not told apart.
    open: Vec<u8>,
    in_text: bool,
    escaped: bool,
    /// Whether nothing came since a text that its line ended.
    lost: bool,
}

/// The end of an element.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// At the comma or bracket behind it.
    At,
    /// Before the next element, where the comma is part of a broken text.
    Before,
}

impl Nesting {
    /// Takes a byte, and says whether it ends the element.
    fn take(&mut self, byte: u8) -> Option<End> {
        if self.in_text {
            match byte {
                // JSON has no line breaks in texts, so the closing quote is missing.
                b'\n' => (self.in_text, self.lost) = (false, true),
                _ if self.escaped => {}
                b'"' => self.in_text = false,
                _ => {}
            }
            self.escaped = byte == b'\\' && !self.escaped;
            return None;
        }
        if self.lost && byte == b'{' {
            return Some(End::Before);
        }
        self.lost &= byte.is_ascii_whitespace();
        match byte {
            b'"' => self.in_text = true,
            b'[' | b'{' if self.open.len() < limits::JSON_DEPTH => self.open.push(byte),
            b',' | b']' if self.open.is_empty() => return Some(End::At),
            b']' => self.close(b'['),
            b'}' => self.close(b'{'),
            _ => {}
        }
        None
    }

    fn close(&mut self, bracket: u8) {
        if let Some(at) = self.open.iter().rposition(|open| *open == bracket) {
            self.open.truncate(at);
        }
    }
}

impl<R: BufRead> Rows<R> {
    /// Reads rows from a reader that is positioned after the opening bracket.
    pub(super) fn new(reader: R, max_row_bytes: usize) -> Self {
        Self {
            reader,
            row: 0,
            max_row_bytes,
            state: State::First,
        }
    }

    /// Reads to the comma or bracket that ends an element. The parser checks whether the element is
    /// JSON.
    fn element(&mut self) -> std::io::Result<Element> {
        let mut element = Element {
            bytes: Vec::new(),
            cut: false,
            end: None,
        };
        let mut nesting = Nesting::default();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(element);
            }
            let end = buffer
                .iter()
                .enumerate()
                .find_map(|(at, byte)| nesting.take(*byte).map(|end| (at, end)));
            let taken = end.map_or(buffer.len(), |(at, _)| at);
            let passed = match end {
                Some((at, End::At)) => {
                    element.end = buffer.get(at).copied();
                    1
                }
                Some((_, End::Before)) => {
                    element.end = Some(b',');
                    0
                }
                None => 0,
            };
            let room = self.max_row_bytes.saturating_sub(element.bytes.len());
            element.cut |= taken > room;
            element
                .bytes
                .extend_from_slice(buffer.get(..taken.min(room)).unwrap_or_default());
            self.reader.consume(taken + passed);
            if end.is_some() {
                return Ok(element);
            }
        }
    }

    /// Whether anything but white space follows.
    fn has_more(&mut self) -> std::io::Result<bool> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            if !buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
            let length = buffer.len();
            self.reader.consume(length);
        }
    }

    /// Checks that nothing follows the list.
    fn close(&mut self) -> Option<Result<Numbered, BadRow>> {
        let fault = match self.has_more() {
            Ok(false) => return None,
            Ok(true) => Fault::new("file", "more follows behind the list"),
            Err(error) => unreadable(error),
        };
        Some(Err(BadRow {
            rows: 0,
            ..BadRow::last(self.row, fault)
        }))
    }

    fn read(&mut self) -> Option<Result<Numbered, BadRow>> {
        if self.state == State::Closed {
            return self.close();
        }
        let first = self.state == State::First;
        let row = self.row + 1;
        let element = match self.element() {
            Ok(element) => element,
            Err(error) => return Some(Err(BadRow::last(row, unreadable(error)))),
        };
        let empty = element.bytes.trim_ascii().is_empty() && !element.cut;
        match element.end {
            Some(b']') => self.state = State::Closed,
            Some(_) => self.state = State::Next,
            None => {
                let fault = Fault::new("file", "it ends inside the list; is it cut off?");
                return Some(Err(BadRow::last(row, fault)));
            }
        }
        if empty && first && self.state == State::Closed {
            return self.close();
        }
        self.row = row;
        let read = match () {
            () if empty => Err(Fault::new("row", "nothing between two commas")),
            () if element.cut => Err(too_long(self.max_row_bytes)),
            () => object(&element.bytes),
        };
        Some(match read {
            Ok(fields) => Ok((row, fields)),
            Err(fault) => Err(BadRow::of(row, fault)),
        })
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Numbered, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let result = self.read();
        if result
            .as_ref()
            .is_none_or(|result| matches!(result, Err(bad) if bad.fatal))
        {
            self.state = State::Ended;
        }
        result
    }
}
