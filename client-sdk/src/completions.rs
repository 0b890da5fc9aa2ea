//! Asking a model behind an OpenAI-compatible address (feature `http`): one question, one answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounded::short;
use crate::error::Source;
use crate::{Error, Result, http};

/// A larger answer (bytes) is an error.
const MAX_ANSWER: u64 = 1 << 20;
/// Longest time of a call.
const PATIENCE: Duration = Duration::from_secs(120);

/// A model that is asked.
#[derive(Clone, Debug)]
pub struct Completions {
    /// Address that `/chat/completions` is below: `https://example.org/v1`.
    pub url: String,
    /// Name of the model there.
    pub model: String,
    /// Key that is sent as a bearer token; none: nothing is sent.
    pub key: Option<String>,
    /// Most tokens of an answer.
    pub max_tokens: u32,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    temperature: f32,
    max_tokens: u32,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
}

impl Completions {
    /// Asks with temperature 0. `system` says what the model is to do.
    ///
    /// # Errors
    /// [`Error::Http`] when the server does not answer, answers with another status than 200, or without a
    /// message.
    pub fn ask(&self, system: &str, question: &str) -> Result<String> {
        let url = format!("{}/chat/completions", self.url.trim_end_matches('/'));
        let transport = |detail: Source| Error::Http {
            url: url.clone(),
            detail,
        };
        let body = serde_json::to_vec(&Request {
            model: &self.model,
            messages: [("system", system), ("user", question)]
                .map(|(role, content)| Message { role, content }),
            temperature: 0.0,
            max_tokens: self.max_tokens,
        })
        .map_err(|error| Error::Encode(error.into()))?;
        let agent = http::agent(&url, PATIENCE);
        let mut request = agent.post(&url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut answer = request
            .send(&body[..])
            .map_err(|error| transport(error.into()))?;
        let status = answer.status().as_u16();
        let text = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_string()
            .map_err(|error| transport(error.into()))?;
        if status != 200 {
            let problem = format!("status {status}: {}", short(&text, 200));
            return Err(transport(problem.into()));
        }
        let answer: Answer =
            serde_json::from_str(&text).map_err(|error| transport(error.into()))?;
        let first = answer.choices.into_iter().next();
        first
            .and_then(|choice| choice.message.content)
            .ok_or_else(|| transport("the answer has no message".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request; hands back what was asked.
    fn serve_once(status: &str, body: &str) -> (Completions, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut buffer = [0; 4096];
            while !String::from_utf8_lossy(&asked).ends_with("\"max_tokens\":8}") {
                let n = stream.read(&mut buffer).unwrap();
                assert_ne!(n, 0);
                asked.extend_from_slice(&buffer[..n]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        let asked = Completions {
            url,
            model: "judge".into(),
            key: Some("secret".into()),
            max_tokens: 8,
        };
        (asked, thread)
    }

    #[test]
    fn a_question_is_answered() {
        let body =
            r#"{"choices":[{"message":{"role":"assistant","content":"refusal"}}],"usage":{}}"#;
        let (model, thread) = serve_once("200 OK", body);
        assert_eq!(model.ask("Judge.", "an \"answer\"").unwrap(), "refusal");
        let asked = thread.join().unwrap().to_lowercase();
        assert!(
            asked.starts_with("post /v1/chat/completions http/1.1\r\n"),
            "{asked}"
        );
        assert!(
            asked.contains("authorization: bearer secret\r\n"),
            "{asked}"
        );
        assert!(
            asked.contains(r#"{"role":"user","content":"an \"answer\""}"#),
            "{asked}"
        );
    }

    #[test]
    fn anything_else_is_an_error_with_the_address() {
        for (status, body) in [
            ("429 Too Many Requests", r#"{"error":"slow down"}"#),
            ("200 OK", r#"{"choices":[]}"#),
            ("200 OK", r#"{"choices":[{"message":{"content":null}}]}"#),
            ("200 OK", "<html>"),
        ] {
            let (model, _thread) = serve_once(status, body);
            let text = model.ask("Judge.", "x").unwrap_err().to_string();
            assert!(text.contains("/v1/chat/completions"), "{text}");
        }
    }
}
