//! Challenges of registries, and who gets a login.

use std::path::PathBuf;

use super::server::{Guard, Server, answer, error};
use super::*;

/// Base64 of `me:secret`.
const LOGIN: &str = "bWU6c2VjcmV0";
const BASIC: &str = "Basic bWU6c2VjcmV0";

/// A file of logins with an entry for a registry.
fn logins(registry: &str, login: &str) -> (tempfile::TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let file = json!({"auths": {"other.example": {"auth": "eDp5"}, registry: {"auth": login}}});
    std::fs::write(&path, file.to_string()).unwrap();
    let access = Access {
        logins: Some(path),
        ..access()
    };
    (folder, access)
}

#[test]
fn logins_are_sent_where_they_are_asked_for() {
    for guard in [Guard::Basic(BASIC), Guard::Token(Some(BASIC))] {
        let server = Server::start(true, guard.clone());
        let (_folder, known) = logins(&server.address, LOGIN);
        let to = server.reference(":v1");
        push(&to, MODULE, &About::default(), &[&signed(7)], &known).unwrap();
        assert_eq!(
            pull(&to, &known).unwrap().envelopes,
            [signed(7)],
            "{guard:?}"
        );

        let nobody = problem(pull(&to, &access()).unwrap_err());
        assert_eq!(nobody.status, Some(401), "{guard:?}");
        assert_eq!(nobody.code.as_deref(), Some("UNAUTHORIZED"));
        let (folder, wrong) = logins(&server.address, "bWU6d3Jvbmc=");
        let refused = problem(pull(&to, &wrong).unwrap_err());
        assert_eq!(refused.status, Some(401));
        let hint = refused.hint.unwrap();
        assert!(
            hint.contains(&folder.path().display().to_string()),
            "{hint}"
        );
        let (_folder, another) = logins("elsewhere.example", LOGIN);
        let hint = problem(pull(&to, &another).unwrap_err()).hint.unwrap();
        let expected = format!("has no login for {}", server.address);
        assert!(hint.contains(&expected), "{hint}");
    }
    // A service may give tokens to anybody.
    let server = Server::start(true, Guard::Token(None));
    pushed(&server);
    assert_eq!(pulled(&server, ":v1").unwrap().envelopes, [signed(7)]);
    assert!(server.count("GET", "/token?") >= 2);
}

#[test]
fn files_of_logins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let read = |text: &str, registry: &str| {
        std::fs::write(&path, text).unwrap();
        docker::login(registry, Some(&path))
    };
    let hub = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6c2VjcmV0"}}}"#;
    assert_eq!(read(hub, "docker.io").unwrap().as_deref(), Some(LOGIN));
    assert_eq!(read(hub, "ghcr.io").unwrap(), None);
    let words = r#"{"auths": {"http://GHCR.io": {"username": "me", "password": "secret"}}}"#;
    assert_eq!(read(words, "ghcr.io").unwrap().as_deref(), Some(LOGIN));
    // Zeros that Docker's own writer has left behind.
    let filled = r#"{"auths": {"ghcr.io": {"auth": "bWU6c2VjcmV0AAA="}}}"#;
    assert_eq!(read(filled, "ghcr.io").unwrap().as_deref(), Some(LOGIN));
    for (text, said) in [
        ("{", "EOF"),
        (r#"{"auths": {"ghcr.io": {"auth": "b*U"}}}"#, "base64"),
        (
            r#"{"auths": {"ghcr.io": {"auth": "bWU="}}}"#,
            "no NAME:PASSWORD",
        ),
    ] {
        let error = read(text, "ghcr.io").unwrap_err().to_string();
        assert!(
            error.contains("config.json") && error.contains(said),
            "{error}"
        );
        assert!(!error.contains("bWU"), "a password is not shown: {error}");
    }
    let helper = r#"{"auths": {"ghcr.io": {}}, "credsStore": "desktop"}"#;
    assert_eq!(read(helper, "ghcr.io").unwrap(), None);
    let hint = docker::hint("ghcr.io", Some(&path));
    assert!(
        hint.contains("docker-credential-desktop, which is not asked"),
        "{hint}"
    );
    let nowhere = PathBuf::from("/nowhere/config.json");
    assert_eq!(docker::login("ghcr.io", Some(&nowhere)).unwrap(), None);
    assert_eq!(docker::login("ghcr.io", None).unwrap(), None);
}

/// A registry that sends a request on to another host gives it no login, and its challenge is not answered.
#[test]
fn no_other_host_gets_the_login() {
    let server = Server::start(true, Guard::Basic(BASIC));
    let (_folder, known) = logins(&server.address, LOGIN);
    let to = server.reference(":v1");
    push(&to, MODULE, &About::default(), &[&signed(7)], &known).unwrap();

    let other = Server::start(true, Guard::Open);
    let blobs = server.state().blobs.clone();
    other.bend(move |asked| {
        assert!(!asked.headers.contains_key("authorization"), "{asked:?}");
        let (_, digest) = asked.path.rsplit_once('/')?;
        Some(answer(200, blobs.get(digest)?.clone()))
    });
    // `localhost` and `127.0.0.1` are two hosts to a client.
    let elsewhere = other.address.replace("127.0.0.1", "localhost");
    let place = elsewhere;
    server.bend(move |asked| {
        let (_, digest) = asked.path.split_once("/blobs/")?;
        Some(answer(307, "").with("location", format!("http://{place}/{digest}")))
    });
    assert_eq!(pull(&to, &known).unwrap().module, MODULE);

    other.bend(|_| Some(error(401, "DENIED", "no").with("www-authenticate", "Basic realm=\"x\"")));
    let refused = problem(pull(&to, &known).unwrap_err());
    assert_eq!(refused.status, Some(401));
    assert!(
        other
            .state()
            .asked
            .iter()
            .all(|asked| !asked.headers.contains_key("authorization"))
    );

    // A service of tokens on another host gets no login over plain HTTP.
    let realm = "Bearer realm=\"http://tokens.example/token\",service=\"x\"";
    server.bend(move |_| Some(error(401, "DENIED", "no").with("www-authenticate", realm)));
    let refused = problem(pull(&to, &known).unwrap_err());
    assert!(
        refused.message.contains("http://tokens.example/token"),
        "{refused}"
    );
    let strange = "Digest realm=\"x\", nonce=\"y\"";
    server.bend(move |_| Some(error(401, "DENIED", "no").with("www-authenticate", strange)));
    let refused = problem(pull(&to, &known).unwrap_err()).to_string();
    assert!(refused.contains("neither Bearer nor Basic"), "{refused}");
}
