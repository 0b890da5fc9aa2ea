//! One JSON list of objects, read element by element: a file of any size takes the memory of its
//! longest row.

use std::io::BufRead;

use super::row::{BadRow, BrokenJson, Numbered, object, too_long, unreadable};
use crate::data::Fault;

/// Position of the reader.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// After the opening bracket.
    First,
    /// After an element.
    Next,
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

    /// Reads to the comma or bracket that ends an element. This function only distinguishes strings
    /// and brackets; the parser checks whether the element is JSON.
    fn element(&mut self) -> std::io::Result<Element> {
        let mut element = Element {
            bytes: Vec::new(),
            cut: false,
            end: None,
        };
        let (mut depth, mut in_text, mut escaped) = (0u64, false, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(element);
            }
            let mut taken = buffer.len();
            for (index, &byte) in buffer.iter().enumerate() {
                if in_text {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => in_text = false,
                        _ => {}
                    }
                    continue;
                }
                match byte {
                    b'"' => in_text = true,
                    b'[' | b'{' => depth += 1,
                    b',' | b']' if depth == 0 => {
                        element.end = Some(byte);
                        taken = index;
                        break;
                    }
                    b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            let room = self.max_row_bytes.saturating_sub(element.bytes.len());
            element.cut |= taken > room;
            element
                .bytes
                .extend_from_slice(buffer.get(..taken.min(room)).unwrap_or_default());
            self.reader
                .consume(taken + usize::from(element.end.is_some()));
            if element.end.is_some() {
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

    fn read(&mut self) -> Option<Result<Numbered, BadRow>> {
        let row = self.row + 1;
        let bad = |fault, fatal| Some(Err(BadRow { row, fault, fatal }));
        let element = match self.element() {
            Ok(element) => element,
            Err(error) => return bad(unreadable(error), true),
        };
        let empty = element.bytes.trim_ascii().is_empty() && !element.cut;
        match element.end {
            Some(b']') if empty && self.state == State::First => {
                self.state = State::Ended;
                return None;
            }
            _ if empty && element.end.is_some() => {
                return bad(Fault::new("row", "nothing between two commas"), true);
            }
            None => {
                return bad(
                    Fault::new("file", "it ends inside the list; is it cut off?"),
                    true,
                );
            }
            Some(b']') => {
                self.state = State::Ended;
                match self.has_more() {
                    Ok(false) => {}
                    Ok(true) => {
                        return bad(Fault::new("file", "more follows behind the list"), true);
                    }
                    Err(error) => return bad(unreadable(error), true),
                }
            }
            Some(_) => self.state = State::Next,
        }
        self.row = row;
        if element.cut {
            return bad(too_long(self.max_row_bytes), false);
        }
        match object(&element.bytes) {
            Ok(fields) => Some(Ok((row, fields))),
            // Brackets do not match, so the start of the next element is unknown.
            Err(fault) if fault.problem.is::<BrokenJson>() => bad(fault, true),
            Err(fault) => bad(fault, false),
        }
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Numbered, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let result = self.read();
        if matches!(&result, Some(Err(bad)) if bad.fatal) {
            self.state = State::Ended;
        }
        result
    }
}
