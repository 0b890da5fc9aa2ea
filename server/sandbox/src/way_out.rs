//! Hints for authors whose toolchain makes what no sandbox runs: the option that makes the other thing.

/// Beginning of an import's name, and the hint.
const IMPORTS: [(&str, &str); 2] = [
    (
        "wasi:http/",
        "a policy has no network; componentize-js builds without it by \
         `-d http -d fetch-event` (`disableFeatures`), other tools by leaving HTTP clients out",
    ),
    (
        "fedseal:policy/",
        "it was built for another version of the world: build it with this version's policy.wit",
    ),
];

/// Hint for an import that no policy may have; empty where there is none.
pub(crate) fn of_import(name: &str) -> String {
    let known = IMPORTS.iter().find(|(start, _)| name.starts_with(start));
    let hint = known.map(|(_, hint)| *hint);
    // WASI 0.3 is the one with asynchronous functions.
    let newer = name.starts_with("wasi:") && name.contains("@0.3");
    let hint = hint.or(newer.then_some(SYNC));
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

/// Hint for a component that the parser refuses, by the parser's words; empty where there is none.
pub(crate) fn of_parser(words: &str) -> String {
    match words.contains("component model async") {
        true => format!("; {SYNC}"),
        false => String::new(),
    }
}

const SYNC: &str = "policies are synchronous: build it with `--sync` (componentize-qjs) or for WASI 0.2, \
                    `run` without `async`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_says_the_way_out() {
        for (name, word) in [
            ("wasi:http/types@0.2.3", "-d http -d fetch-event"),
            ("wasi:clocks/monotonic-clock@0.3.0", "--sync"),
            ("fedseal:policy/host@0.2.0", "policy.wit"),
        ] {
            assert!(of_import(name).contains(word), "{name}");
        }
        assert_eq!(of_import("evil:io/streams@0.2.0"), "");
        let words = "`task.cancel` requires the component model async feature";
        assert!(of_parser(words).contains("--sync"));
        assert_eq!(of_parser("unexpected end"), "");
    }
}
