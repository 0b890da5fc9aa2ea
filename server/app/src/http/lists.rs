//! Parts of lists: `from`, `count` and `search` in the address, and the address of the next part in the
//! header `link` (RFC 8288).

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::openapi::Parameter;

/// The most elements of a list that one response has.
pub(super) const MOST: usize = 500;

/// Words that the address of a list may have.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "from",
        kind: "integer",
        meaning: "The place of the first element, from 0; left out: 0.",
    },
    Parameter {
        name: "count",
        kind: "integer",
        meaning: "So many elements at most; left out, and at most: 500. The header `link` names the next part.",
    },
    Parameter {
        name: "search",
        kind: "string",
        meaning: "Only elements whose name has this text, in either case.",
    },
];

/// The part of a list that is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    from: u32,
    count: Option<u32>,
    #[serde(default)]
    search: String,
}

impl Wanted {
    /// The part of all elements, and the headers that lead to the next one. `path` is the list's address.
    pub(super) fn part<T>(
        &self,
        path: &str,
        all: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> (Vec<T>, HeaderMap) {
        let search = self.search.to_lowercase();
        let mut found = all;
        found.retain(|one| name(one).to_lowercase().contains(&search));
        let (range, headers) = self.range(path, found.len() as u64);
        let (from, count) = (range.start as usize, (range.end - range.start) as usize);
        (found.into_iter().skip(from).take(count).collect(), headers)
    }

    /// The words that are searched for, in small letters.
    pub(super) fn searched(&self) -> Option<String> {
        Some(self.search.to_lowercase()).filter(|words| !words.is_empty())
    }

    /// Places of the part of so many elements that were found, and the headers that lead to the next one.
    pub(super) fn range(&self, path: &str, found: u64) -> (Range<u64>, HeaderMap) {
        let range = self.places(found);
        let headers = self.link(path, range.end, found);
        (range, headers)
    }

    /// Places of the part of so many elements that were found.
    pub(super) fn places(&self, found: u64) -> Range<u64> {
        let from = u64::from(self.from).min(found);
        from..(from + self.most()).min(found)
    }

    /// The headers that lead to the part from `next` on, where so many elements were found.
    pub(super) fn link(&self, path: &str, next: u64, found: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if next < found {
            let search = match self.search.is_empty() {
                true => String::new(),
                false => format!("&search={}", encoded(&self.search)),
            };
            let count = self.most();
            let link = format!("<{path}?from={next}&count={count}{search}>; rel=\"next\"");
            let link = HeaderValue::from_str(&link).ok();
            headers.extend(link.map(|link| (header::LINK, link)));
        }
        headers
    }

    /// The most elements that the part has.
    fn most(&self) -> u64 {
        let most = MOST as u64;
        self.count.map_or(most, u64::from).clamp(1, most)
    }
}

/// A text as a part of an address (RFC 3986, section 2.1).
pub(super) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_lose_nothing() {
        let all: Vec<String> = (0..7).map(|n| format!("run {n}")).collect();
        let mut wanted = Wanted {
            count: Some(3),
            search: "RUN ".into(),
            ..Wanted::default()
        };
        let mut seen = Vec::new();
        for next in [Some(3), Some(6), None] {
            let (part, headers) = wanted.part("/api/runs", all.clone(), |one| one);
            seen.extend(part);
            let link = headers.get(header::LINK).map(|link| link.to_str().unwrap());
            let expected = next
                .map(|from| format!("</api/runs?from={from}&count=3&search=RUN%20>; rel=\"next\""));
            assert_eq!(link, expected.as_deref());
            wanted.from += 3;
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn no_number_is_too_large_and_none_too_small() {
        let all = vec![String::from("a"); MOST + 1];
        for (from, count, length) in [
            (0, None, MOST),
            (0, Some(u32::MAX), MOST),
            (0, Some(0), 1),
            (u32::MAX, Some(u32::MAX), 0),
            (MOST as u32, None, 1),
        ] {
            let wanted = Wanted {
                from,
                count,
                ..Wanted::default()
            };
            let (part, _) = wanted.part("/", all.clone(), |one| one);
            assert_eq!(part.len(), length, "{from} {count:?}");
        }
    }
}
