//! Calls of a server with the administrator's token (feature `http`).

use std::time::Duration;

use crate::{Result, http};

/// Longest time of a call.
const LONGEST: Duration = Duration::from_secs(120);
/// A larger answer (bytes) is an error.
const MAX_ANSWER: u64 = 16 << 20;

/// A client that shows a token with every request.
pub struct TokenClient {
    agent: ureq::Agent,
    server: String,
    token: String,
}

impl TokenClient {
    /// A client of the server at this address.
    pub fn new(server: &str, token: &str) -> Self {
        TokenClient {
            agent: http::agent(server, LONGEST),
            server: server.trim_end_matches('/').to_owned(),
            token: token.trim().to_owned(),
        }
    }

    /// Calls `METHOD path` with JSON or without a body; gives the answer's body.
    ///
    /// # Errors
    /// [`Error::Http`](crate::Error::Http) when the server does not answer;
    /// [`Error::Refused`](crate::Error::Refused) for any status from 400 on.
    pub fn call(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Vec<u8>> {
        let url = format!("{}{path}", self.server);
        let fields = [("authorization", format!("Bearer {}", self.token))];
        let body = body.map(|bytes| ("application/json", bytes));
        let (_, answer) = http::call(&self.agent, method, &url, &fields, body, MAX_ANSWER)?;
        Ok(answer)
    }
}
