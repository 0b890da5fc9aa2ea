//! Part of an HTML file that checks itself: a question for client-sdk's checks, the module that answers it, and
//! the script that asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fedseal_client_sdk::digest::Digest;

/// The script. The file's policy lets in this one by its digest.
const SCRIPT: &str = include_str!("check.js");

/// A question with the module that answers it.
#[derive(Debug)]
pub struct Proved {
    /// JSON of `fedseal_client_sdk::checks::Question`.
    question: String,
    /// `verifier.wasm`.
    verifier: Vec<u8>,
}

impl Proved {
    /// A question with the module that answers it.
    pub fn new(question: String, verifier: Vec<u8>) -> Self {
        Proved { question, verifier }
    }

    /// Sources that the file's policy allows for it.
    pub(super) fn policy() -> String {
        let digest = STANDARD.encode(Digest::of(SCRIPT.as_bytes()).as_bytes());
        format!("script-src 'sha256-{digest}' 'wasm-unsafe-eval'")
    }

    /// The part. A block of data ends at `</script`; in JSON strings a `<` may be written otherwise.
    pub(super) fn html(&self) -> String {
        let question = self.question.replace('<', "\\u003c");
        let verifier = STANDARD.encode(&self.verifier);
        format!(
            "<ul id=\"checks\" role=\"status\"><li>? not checked: scripts are off.</li></ul>\n\
             <form id=\"known\" hidden><label>Node key that you know <input name=\"key\" size=\"66\" \
             autocomplete=\"off\"></label> <button>Compare</button> <output></output></form>\n\
             <script type=\"application/json\" id=\"question\">{question}</script>\n\
             <script type=\"application/wasm;base64\" id=\"verifier\">{verifier}</script>\n\
             <script>{SCRIPT}</script>\n"
        )
    }
}
