//! Content by its digest: read to the size that its descriptor says, and written once. A connection that
//! breaks in the middle goes on where it was.

use std::io::Read as _;

use ureq::http::Method;
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};

use super::super::descriptor::Descriptor;
use super::wire::{Answer, Ask, Wire, header};
use crate::digest::Digest;
use crate::{Error, Result};

/// Times that one blob goes on after a connection that broke, most.
const MAX_RESUMED: usize = 3;

const READ: &str = "reading a blob";
const WRITE: &str = "writing a blob";

impl Wire<'_> {
    /// Reads a blob of at most `most` bytes.
    pub(super) fn blob(&mut self, descriptor: &Descriptor, most: u64) -> Result<Vec<u8>> {
        let expected = descriptor.sha256()?;
        let size = descriptor.size;
        if size > most {
            return Err(self.wrong(
                READ,
                format!("{size} bytes of sha256:{expected}, at most {most}"),
            ));
        }
        let mut bytes = Vec::new();
        let mut resumed = 0;
        loop {
            let have = bytes.len() as u64;
            let answer = self.ask_blob(&expected, have)?;
            match answer.status().as_u16() {
                // The whole of it, whatever was asked for.
                200 => bytes.clear(),
                206 if begins_at(&answer, have) => {}
                206 => return Err(self.wrong(READ, "another range than was asked for".into())),
                _ => return Err(self.refusal(READ, answer)),
            }
            let room = size - bytes.len() as u64;
            let mut body = answer.into_body().into_reader().take(room + 1);
            match body.read_to_end(&mut bytes) {
                Ok(_) => break,
                Err(_) if bytes.len() as u64 == size => break,
                // What has come so far is kept.
                Err(_) if resumed < MAX_RESUMED && bytes.len() as u64 <= size => resumed += 1,
                Err(error) => return Err(self.broken(READ, error)),
            }
        }
        let length = bytes.len() as u64;
        if length > size {
            return Err(self.wrong(
                READ,
                format!("sha256:{expected} has more than its {size} bytes"),
            ));
        }
        let got = Digest::of(&bytes);
        if got != expected || length != size {
            return Err(Error::DigestMismatch {
                what: format!("{}: a blob ({length} bytes of {size})", self.place()),
                expected,
                got,
            });
        }
        Ok(bytes)
    }

    fn ask_blob(&mut self, digest: &Digest, from: u64) -> Result<Answer> {
        let mut ask = Ask::get(READ, self.url(&format!("blobs/sha256:{digest}")));
        if from > 0 {
            ask.headers.push((RANGE, format!("bytes={from}-")));
        }
        self.ask(&ask)
    }

    /// Stores a blob that is not there yet.
    pub(super) fn upload(&mut self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::new(media_type, bytes);
        let mut look = Ask::get(WRITE, self.url(&format!("blobs/{}", descriptor.digest)));
        look.method = Method::HEAD;
        if self.ask(&look)?.status() == 200 {
            return Ok(descriptor);
        }
        let mut place = self.begin()?;
        let mut sent = 0;
        let mut resumed = 0;
        loop {
            let result = self.finish(&place, &descriptor.digest, bytes, sent);
            match result {
                Ok(()) => return Ok(descriptor),
                Err(Error::Registry(problem))
                    if problem.status.is_none() && resumed < MAX_RESUMED =>
                {
                    resumed += 1;
                }
                Err(error) => return Err(error),
            }
            (place, sent) = match self.sent(&place, bytes.len())? {
                Some(known) => known,
                None => (self.begin()?, 0),
            };
        }
    }

    /// Begins an upload and returns its address.
    fn begin(&mut self) -> Result<String> {
        let answer = self.ask(&Ask {
            step: WRITE,
            method: Method::POST,
            url: self.url("blobs/uploads/"),
            headers: Vec::new(),
            body: Some(&[]),
        })?;
        match answer.status().as_u16() {
            202 => self.location(&answer),
            _ => Err(self.refusal(WRITE, answer)),
        }
    }

    /// Sends what is missing behind the first `sent` bytes, and ends the upload.
    fn finish(&mut self, place: &str, digest: &str, bytes: &[u8], sent: usize) -> Result<()> {
        let octets = (CONTENT_TYPE, "application/octet-stream".to_owned());
        let mut place = place.to_owned();
        let mut rest = bytes;
        if sent > 0 {
            let missing = bytes.get(sent..).unwrap_or_default();
            if !missing.is_empty() {
                let range = format!("{sent}-{}", bytes.len() - 1);
                let answer = self.ask(&Ask {
                    step: WRITE,
                    method: Method::PATCH,
                    url: place,
                    headers: vec![octets.clone(), (CONTENT_RANGE, range)],
                    body: Some(missing),
                })?;
                place = match answer.status().as_u16() {
                    202 => self.location(&answer)?,
                    _ => return Err(self.refusal(WRITE, answer)),
                };
            }
            rest = &[];
        }
        let separator = if place.contains('?') { '&' } else { '?' };
        let answer = self.ask(&Ask {
            step: WRITE,
            method: Method::PUT,
            url: format!("{place}{separator}digest={digest}"),
            headers: vec![octets],
            body: Some(rest),
        })?;
        match answer.status().as_u16() {
            201 | 200 | 204 => Ok(()),
            _ => Err(self.refusal(WRITE, answer)),
        }
    }

    /// How far an upload came whose connection broke, and its address from there; none where it has to
    /// begin anew.
    fn sent(&mut self, place: &str, length: usize) -> Result<Option<(String, usize)>> {
        let answer = self.ask(&Ask::get(WRITE, place.to_owned()))?;
        if answer.status() != 204 {
            return Ok(None);
        }
        let range = header(&answer, RANGE);
        let last = range.and_then(|range| range.strip_prefix("0-")?.parse::<usize>().ok());
        // `0-0` stands for one byte and for none.
        match last.filter(|last| *last > 0 && *last < length) {
            Some(last) => Ok(Some((self.location(&answer)?, last + 1))),
            None => Ok(None),
        }
    }

    fn location(&self, answer: &Answer) -> Result<String> {
        match header(answer, LOCATION) {
            Some(address) => self.absolute(WRITE, &address),
            None => Err(self.wrong(WRITE, "an upload without a place (header Location)".into())),
        }
    }
}

/// Whether a part of a blob begins where it was asked to (`bytes FROM-TO/SIZE`, RFC 9110, section 14.4).
fn begins_at(answer: &Answer, from: u64) -> bool {
    let range = header(answer, CONTENT_RANGE);
    range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}
