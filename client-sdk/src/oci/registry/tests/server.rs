//! A registry in this process (distribution-spec 1.1), whose answers a test can bend in any place.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::super::super::Reference;
use super::super::super::descriptor::{Descriptor, INDEX};

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path and query.
    pub(super) path: String,
    /// Fields by lowercase name.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Bytes of the body after which the connection ends.
    pub(super) cut: Option<usize>,
}

/// Demands of a registry.
#[derive(Clone, Debug, Default)]
pub(super) enum Guard {
    #[default]
    Open,
    /// The value of `Authorization`.
    Basic(&'static str),
    /// The value of `Authorization` that gets a token; none where anybody gets one.
    Token(Option<&'static str>),
}

type Bend = Box<dyn FnMut(&Asked) -> Option<Answer> + Send>;

#[derive(Default)]
pub(super) struct State {
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    /// Media type and bytes, by digest and by tag.
    pub(super) manifests: BTreeMap<String, (String, Vec<u8>)>,
    uploads: Vec<Vec<u8>>,
    /// Whether it lists referrers.
    pub(super) referrers: bool,
    pub(super) guard: Guard,
    /// Every request.
    pub(super) asked: Vec<Asked>,
    /// Answers in place of the usual ones.
    pub(super) bend: Option<Bend>,
    /// Bytes of the next upload after which the connection ends.
    pub(super) stop_after: Option<usize>,
}

pub(super) struct Server {
    pub(super) address: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(super) fn start(referrers: bool, guard: Guard) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            referrers,
            guard,
            ..State::default()
        }));
        let (shared, own) = (state.clone(), address.clone());
        // It ends with the tests' process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, own) = (shared.clone(), own.clone());
                std::thread::spawn(move || serve(stream, &shared, &own));
            }
        });
        Self { address, state }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn bend(&self, bend: impl FnMut(&Asked) -> Option<Answer> + Send + 'static) {
        self.state().bend = Some(Box::new(bend));
    }

    /// A reference to `modules` here.
    pub(super) fn reference(&self, name: &str) -> Reference {
        Reference::parse(&format!("oci:{}/modules{name}", self.address)).unwrap()
    }

    /// Requests of a method whose path has a part.
    pub(super) fn count(&self, method: &str, part: &str) -> usize {
        let state = self.state();
        let asked = state.asked.iter();
        asked
            .filter(|asked| asked.method == method && asked.path.contains(part))
            .count()
    }

    /// Stores a manifest as somebody else would.
    pub(super) fn keep(&self, names: &[&str], media_type: &str, value: &Value) -> Descriptor {
        let bytes = serde_json::to_vec(value).unwrap();
        let descriptor = Descriptor::new(media_type, &bytes);
        let mut state = self.state();
        for name in names.iter().chain([&descriptor.digest.as_str()]) {
            let kept = (media_type.to_owned(), bytes.clone());
            state.manifests.insert((*name).to_owned(), kept);
        }
        descriptor
    }
}

pub(super) fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        status,
        body: body.into(),
        ..Answer::default()
    }
}

/// An error as the specification has it.
pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message, "detail": {"more": [1]}}]});
    answer(status, body.to_string())
}

impl Answer {
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, own: &str) {
    let Some((asked, whole)) = read(&mut stream, state) else {
        return;
    };
    let mut state = state.lock().unwrap();
    state.asked.push(asked.clone());
    if !whole {
        let at = upload(&asked.path);
        state.uploads[at].extend_from_slice(&asked.body);
        return;
    }
    let bent = state.bend.as_mut().and_then(|bend| bend(&asked));
    let answer = bent.unwrap_or_else(|| state.answer(&asked, own));
    drop(state);
    let mut head = format!("HTTP/1.1 {} Answer\r\nconnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", answer.body.len());
    let end = answer.cut.unwrap_or(answer.body.len());
    // A client may have gone when it has read enough.
    let _ = stream.write_all(head.as_bytes());
    if asked.method != "HEAD" {
        let _ = stream.write_all(&answer.body[..end]);
    }
}

/// One request, and whether its body came whole.
fn read(stream: &mut TcpStream, state: &Mutex<State>) -> Option<(Asked, bool)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |n| n.parse().unwrap());
    let stop = match length {
        0 => None,
        _ => state.lock().unwrap().stop_after.take(),
    };
    let mut body = vec![0; stop.unwrap_or(length)];
    reader.read_exact(&mut body).ok()?;
    let asked = Asked {
        method,
        path,
        headers,
        body,
    };
    Some((asked, stop.is_none()))
}

/// The number of the upload that a path names.
fn upload(path: &str) -> usize {
    let (_, rest) = path.split_once("/blobs/uploads/").unwrap();
    rest.split('?').next().unwrap().parse().unwrap()
}

impl State {
    fn answer(&mut self, asked: &Asked, own: &str) -> Answer {
        let authorization = asked.headers.get("authorization").map(String::as_str);
        if let Some(query) = asked.path.strip_prefix("/token?") {
            let expected = match self.guard {
                Guard::Token(login) => login,
                _ => panic!("nobody asks for a token here"),
            };
            assert!(query.contains("service=the%20registry"), "{query}");
            assert!(
                query.contains("scope=repository%3Amodules%3Apull"),
                "{query}"
            );
            return match expected.is_none() || expected == authorization {
                true => answer(200, json!({"access_token": "good"}).to_string()),
                false => error(401, "UNAUTHORIZED", "who are you"),
            };
        }
        let (wanted, challenge) = match self.guard {
            Guard::Open => (None, String::new()),
            Guard::Basic(login) => (Some(login), "Basic realm=\"here\"".into()),
            Guard::Token(_) => (
                Some("Bearer good"),
                format!(
                    "Bearer realm=\"http://{own}/token\",service=\"the registry\",\
                     scope=\"repository:modules:pull\""
                ),
            ),
        };
        if wanted.is_some() && wanted != authorization {
            let refused = error(401, "UNAUTHORIZED", "authentication required");
            return refused.with("www-authenticate", challenge);
        }
        let Some(rest) = asked.path.strip_prefix("/v2/modules/") else {
            return error(404, "NAME_UNKNOWN", "no such repository");
        };
        let rest = rest.to_owned();
        if let Some(rest) = rest.strip_prefix("blobs/uploads/") {
            return self.upload(asked, rest);
        }
        if let Some(digest) = rest.strip_prefix("blobs/") {
            return self.blob(asked, digest);
        }
        if let Some(name) = rest.strip_prefix("manifests/") {
            return self.manifest(asked, name);
        }
        match rest.strip_prefix("referrers/") {
            Some(rest) if self.referrers => {
                let digest = rest.split('?').next().unwrap();
                answer(200, self.list(digest).to_string()).with("content-type", INDEX)
            }
            _ => answer(404, "404 page not found\n"),
        }
    }

    fn blob(&self, asked: &Asked, digest: &str) -> Answer {
        let Some(bytes) = self.blobs.get(digest) else {
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let Some(range) = asked.headers.get("range") else {
            return answer(200, bytes.clone());
        };
        let from: usize = range
            .strip_prefix("bytes=")
            .unwrap()
            .trim_end_matches('-')
            .parse()
            .unwrap();
        let said = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        answer(206, &bytes[from..]).with("content-range", said)
    }

    fn upload(&mut self, asked: &Asked, rest: &str) -> Answer {
        if asked.method == "POST" {
            self.uploads.push(Vec::new());
            return place(202, self.uploads.len() - 1);
        }
        let at = upload(&asked.path);
        let bytes = &mut self.uploads[at];
        if asked.method == "GET" {
            let end = bytes.len().saturating_sub(1);
            return place(204, at).with("range", format!("0-{end}"));
        }
        if let Some(range) = asked.headers.get("content-range") {
            let expected = format!("{}-", bytes.len());
            assert!(range.starts_with(&expected), "{range}, not {expected}");
        }
        bytes.extend_from_slice(&asked.body);
        if asked.method == "PATCH" {
            return place(202, at);
        }
        assert_eq!(asked.method, "PUT");
        let (_, digest) = rest.split_once("&digest=").unwrap();
        if Descriptor::new("", bytes).digest != digest {
            return error(400, "DIGEST_INVALID", "other content");
        }
        self.blobs.insert(digest.to_owned(), bytes.clone());
        answer(201, "")
    }

    fn manifest(&mut self, asked: &Asked, name: &str) -> Answer {
        if asked.method == "GET" {
            let Some((media_type, bytes)) = self.manifests.get(name) else {
                return error(404, "MANIFEST_UNKNOWN", "manifest unknown");
            };
            return answer(200, bytes.clone()).with("content-type", media_type.as_str());
        }
        assert_eq!(asked.method, "PUT");
        let media_type = &asked.headers["content-type"];
        let digest = Descriptor::new(media_type, &asked.body).digest;
        for name in [name, &digest] {
            let kept = (media_type.clone(), asked.body.clone());
            self.manifests.insert(name.to_owned(), kept);
        }
        let value: Value = serde_json::from_slice(&asked.body).unwrap();
        match value["subject"]["digest"].as_str() {
            Some(subject) if self.referrers => answer(201, "").with("OCI-Subject", subject),
            _ => answer(201, ""),
        }
    }

    /// Everything that refers to a manifest.
    fn list(&self, digest: &str) -> Value {
        let manifests: Vec<Value> = self
            .manifests
            .iter()
            .filter(|(name, _)| name.starts_with("sha256:"))
            .filter_map(|(name, (media_type, bytes))| {
                let value: Value = serde_json::from_slice(bytes).ok()?;
                (value["subject"]["digest"] == digest).then(|| {
                    json!({
                        "mediaType": media_type,
                        "digest": name,
                        "size": bytes.len(),
                        "artifactType": value["artifactType"],
                    })
                })
            })
            .collect();
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    }
}

fn place(status: u16, at: usize) -> Answer {
    let location = format!("/v2/modules/blobs/uploads/{at}?state=x");
    answer(status, "").with("location", location)
}
