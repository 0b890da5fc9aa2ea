//! Submissions that their sender signed (RFC 9421): taken once, as they were sent, by a trusted author.

use std::fmt::Write as _;

use fedseal_client_sdk::http_signature::{Request, Role, Validity, sign};

use super::*;

/// The body of a submission that is no component: behind the signatures it is refused with 422.
fn body() -> Vec<u8> {
    let envelope = signed(b"wasm", &author());
    json!({"module": "d2FzbQ==", "envelope": envelope})
        .to_string()
        .into_bytes()
}

/// Fields that sign a submission to a server of this name.
fn fields(host: &str, body: &[u8], key: &SigningKey, role: Role) -> Vec<(&'static str, String)> {
    let request = Request {
        method: "POST",
        secure: false,
        host,
        target: "/api/modules",
        fields: &[("content-type", b"application/json")],
    };
    let validity = Validity::now(120).unwrap();
    sign(&request, Some(body), key, role, &validity).unwrap()
}

async fn post(
    server: &TestServer,
    fields: &[(&'static str, String)],
    body: &[u8],
) -> (u16, String) {
    let mut head = format!(
        "POST /api/modules HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n",
        server.address,
        body.len()
    );
    for (name, value) in fields {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    server.raw(&[head.as_bytes(), body].concat()).await
}

#[tokio::test]
async fn a_signed_submission_counts_once_and_unchanged() {
    let server = TestServer::demanding().await;
    let host = server.address.to_string();
    let body = body();
    let fields = fields(&host, &body, &author(), Role::Author);
    assert_eq!(post(&server, &fields, &body).await.0, 422);
    let (status, said) = post(&server, &fields, &body).await;
    assert_eq!(status, 403);
    assert!(said.contains("the nonce was used already"), "{said}");
}

#[tokio::test]
async fn anything_else_is_refused_before_the_module_is_looked_at() {
    let server = TestServer::demanding().await;
    let host = server.address.to_string();
    let body = body();
    let stranger = SigningKey::from_seed([77; 32]);
    let mut other = body.clone();
    other.push(b' ');
    for (fields, body, words) in [
        (vec![], &body, "is not signed"),
        (
            fields("evil.example", &body, &author(), Role::Author),
            &body,
            "does not verify",
        ),
        (
            fields(&host, &body, &author(), Role::Author),
            &other,
            "does not have the sha-256",
        ),
        (
            fields(&host, &body, &stranger, Role::Author),
            &body,
            "is not known here",
        ),
        (
            fields(&host, &body, &author(), Role::Node),
            &body,
            "may not act as node",
        ),
    ] {
        let (status, said) = post(&server, &fields, body).await;
        assert_eq!(status, 403, "{words}: {said}");
        assert!(said.contains(words), "{words}: {said}");
        assert!(said.contains("application/problem+json"), "{said}");
    }
}

#[tokio::test]
async fn without_the_demand_an_unsigned_submission_is_taken_and_a_wrong_signature_is_not() {
    let server = TestServer::start().await;
    let host = server.address.to_string();
    let body = body();
    assert_eq!(post(&server, &[], &body).await.0, 422);
    let stranger = SigningKey::from_seed([77; 32]);
    let wrong = fields(&host, &body, &stranger, Role::Author);
    assert_eq!(post(&server, &wrong, &body).await.0, 403);
}
