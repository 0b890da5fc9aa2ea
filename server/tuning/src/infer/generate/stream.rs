//! A text that grows token by token: it is decoded in windows, checked for stop texts, and passed
//! on as soon as later tokens cannot change it.

use crate::{Tokenizer, TuningError};

/// Character that a decoder writes for the bytes of an incomplete character.
const UNFINISHED: char = '\u{fffd}';

/// Text of the tokens so far.
///
/// A token's text can depend on its neighbours (a character of several tokens, a space at the
/// front), so a window is decoded with and without the new tokens, and the difference is the new
/// text.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    text: String,
    /// First token of the window, and the first one whose text is not in `text` yet.
    window: usize,
    known: usize,
    /// Number of bytes that were passed on.
    given: usize,
    /// Whether `text` was cut before a stop text.
    stopped: bool,
}

impl Spelling {
    /// Takes all tokens so far, and returns whether a stop text appeared. `last` means that no more
    /// tokens follow, so an incomplete character is kept.
    pub(super) fn grow(
        &mut self,
        tokenizer: &Tokenizer,
        ids: &[u32],
        stop: &[String],
        last: bool,
    ) -> Result<bool, TuningError> {
        let window = ids.get(self.window..).unwrap_or_default();
        let known = ids.get(self.window..self.known).unwrap_or_default();
        let old = tokenizer.decode(known)?;
        let new = tokenizer.decode(window)?;
        if new.len() > old.len() && (last || !new.ends_with(UNFINISHED)) {
            let from = self.text.len();
            self.text.push_str(new.get(old.len()..).unwrap_or_default());
            self.window = self.known;
            self.known = ids.len();
            let longest = stop.iter().map(String::len).max().unwrap_or(0);
            let mut start = from.saturating_sub(longest);
            while !self.text.is_char_boundary(start) {
                start -= 1;
            }
            let tail = self.text.get(start..).unwrap_or_default();
            let first = stop
                .iter()
                .filter_map(|stop| tail.find(stop.as_str()))
                .min();
            if let Some(first) = first {
                self.text.truncate(start + first);
                self.stopped = true;
            }
        }
        Ok(self.stopped)
    }

    /// Returns the text that can be passed on and was not yet.
    pub(super) fn ready(&mut self, stop: &[String], last: bool) -> &str {
        let mut end = self.text.len();
        if !last {
            // The end may be the beginning of a stop text.
            let held = stop.iter().map(|stop| overlap(&self.text, stop)).max();
            end -= held.unwrap_or(0);
        }
        let start = self.given.min(end);
        self.given = self.given.max(end);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Returns the whole text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Number of bytes at the end of `text` that are the beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices()
        .map(|(at, _)| at)
        .filter(|&at| at > 0 && text.ends_with(stop.get(..at).unwrap_or("\0")))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::train_bpe(["the cat sat on the mat"].into_iter(), 280, &["<e>"]).unwrap()
    }

    /// Feeds tokens one by one, and returns the pieces that were passed on.
    fn pieces(text: &str, stop: &[String]) -> (Vec<String>, String, bool) {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode(text, false).unwrap();
        let mut spelling = Spelling::default();
        let mut pieces = Vec::new();
        let mut stopped = false;
        for count in 1..=ids.len() {
            let last = count == ids.len();
            stopped = spelling
                .grow(&tokenizer, &ids[..count], stop, last)
                .unwrap();
            pieces.push(spelling.ready(stop, last || stopped).to_owned());
            if stopped {
                break;
            }
        }
        (pieces, spelling.into_text(), stopped)
    }

    #[test]
    fn pieces_are_the_text_and_whole_characters() {
        let text = "the cat \u{1f33f} sat \u{6c34}";
        let (given, whole, stopped) = pieces(text, &[]);
        assert_eq!((given.concat().as_str(), whole.as_str()), (text, text));
        assert!(!stopped);
        assert!(given.iter().all(|piece| !piece.contains(UNFINISHED)));
        assert!(given.iter().any(|piece| piece.contains('\u{1f33f}')));
    }

    #[test]
    fn a_stop_text_is_never_given_away() {
        let stop = ["sat on".to_owned()];
        let (given, whole, stopped) = pieces("the cat sat on the mat", &stop);
        assert!(stopped);
        assert_eq!(
            (given.concat().as_str(), whole.as_str()),
            ("the cat ", "the cat ")
        );
        let (given, whole, stopped) = pieces("the cat sat", &stop);
        assert!(!stopped);
        assert_eq!(
            (given.concat().as_str(), whole.as_str()),
            ("the cat sat", "the cat sat")
        );
    }

    #[test]
    fn overlaps_are_of_whole_characters() {
        assert_eq!(overlap("ab\n", "\n\nUser"), 1);
        assert_eq!(overlap("ab", "\u{fc}b"), 0);
        assert_eq!(overlap("a\u{fc}", "\u{fc}b"), 2);
        assert_eq!(overlap("", "x"), 0);
    }
}
