//! Requests to a registry, and words about those that failed.

use std::io::Read as _;

use serde::Deserialize;
use ureq::config::RedirectAuthHeaders;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use ureq::http::{Method, Request, Response, Uri};
use ureq::{Agent, Body, ResponseExt as _};

use super::super::descriptor::{Descriptor, INDEX, MANIFEST, MAX_JSON, short};
use super::super::{Access, Problem, Repository};
use super::login;
use crate::bounded::{self, Bounds};
use crate::error::Source;
use crate::{Error, Result, http};

/// An answer whose body is not read yet.
pub(super) type Answer = Response<Body>;

/// Addresses that one request is sent on to, most.
const MAX_REDIRECTS: u32 = 5;
/// Bounds on an error and on a token, which may carry any detail.
pub(super) const SMALL: Bounds = Bounds {
    bytes: 64 << 10,
    structure: 1 << 20,
};
/// Characters of a registry's words that are kept.
const SHOWN: usize = 500;

const READ: &str = "reading the manifest";
const WRITE: &str = "writing the manifest";

/// Rights that a token is asked for where a registry does not name them itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    Pull,
    Push,
}

/// Requests to one repository.
pub(super) struct Wire<'a> {
    pub(super) agent: Agent,
    pub(super) at: &'a Repository,
    pub(super) access: &'a Access,
    pub(super) aim: Aim,
    /// The tag or the digest that the whole work is about, for errors.
    reference: &'a str,
    /// Beginning of every address.
    base: String,
    /// The registry's own scheme, host and port.
    origin: Option<Uri>,
    /// Answer to the last challenge.
    authorization: Option<String>,
}

/// One request.
pub(super) struct Ask<'b> {
    pub(super) step: &'static str,
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Option<&'b [u8]>,
}

impl Ask<'_> {
    pub(super) fn get(step: &'static str, url: String) -> Self {
        Self {
            step,
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: None,
        }
    }
}

impl<'a> Wire<'a> {
    pub(super) fn new(
        at: &'a Repository,
        reference: &'a str,
        aim: Aim,
        access: &'a Access,
    ) -> Self {
        let base = address(at);
        let mut config = http::config(&base)
            // An address that a registry sends a request on to is as safe as its own.
            .https_only(!at.plain)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_redirects(MAX_REDIRECTS)
            .accept_encoding("identity")
            .timeout_connect(Some(access.patience))
            .timeout_per_read(Some(access.patience))
            .timeout_per_write(Some(access.patience))
            .timeout_global(Some(access.whole));
        if at.is_here() {
            config = config.proxy(None);
        }
        Self {
            agent: config.build().into(),
            at,
            access,
            aim,
            reference,
            origin: base.parse().ok(),
            base,
            authorization: None,
        }
    }

    /// The repository and the reference, for errors.
    pub(super) fn place(&self) -> String {
        let separator = if self.reference.contains(':') {
            '@'
        } else {
            ':'
        };
        format!("oci:{}{separator}{}", self.at, self.reference)
    }

    /// The address of something in the repository.
    pub(super) fn url(&self, rest: &str) -> String {
        format!("{}/{rest}", self.base)
    }

    /// Sends a request, and once more with an answer to the registry's challenge where it makes one.
    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer> {
        let answer = self.send(ask)?;
        // A challenge of another host, which a redirect led to, is not the registry's.
        if answer.status() != 401 || !self.is_own(answer.get_uri()) {
            return Ok(answer);
        }
        self.authorization = Some(login::answer(self, ask.step, answer)?);
        self.send(ask)
    }

    /// Sends a request; only the registry itself gets what answers its challenge.
    fn send(&self, ask: &Ask<'_>) -> Result<Answer> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(ask.url.as_str());
        for (name, value) in &ask.headers {
            request = request.header(name, value.as_str());
        }
        if let Some(authorization) = &self.authorization
            && request.uri_ref().is_some_and(|uri| self.is_own(uri))
        {
            request = request.header(AUTHORIZATION, authorization.as_str());
        }
        let sent = match ask.body {
            Some(bytes) => request.body(bytes).map(|request| self.agent.run(request)),
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        match sent {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.broken(ask.step, error)),
            Err(error) => Err(self.broken(ask.step, error)),
        }
    }

    /// Whether an address is one of the registry itself: scheme, host and port.
    fn is_own(&self, uri: &Uri) -> bool {
        let of = |uri: &Uri| {
            let host = uri.host().map(str::to_ascii_lowercase);
            let usual = if uri.scheme_str() == Some("https") {
                443
            } else {
                80
            };
            let scheme = uri.scheme_str().map(str::to_owned);
            (scheme, host, uri.port_u16().unwrap_or(usual))
        };
        self.origin.as_ref().is_some_and(|own| of(own) == of(uri))
    }

    /// The absolute form of an address that a registry answered with.
    pub(super) fn absolute(&self, step: &'static str, address: &str) -> Result<String> {
        let may = [
            "https://",
            if self.at.plain { "http://" } else { "https://" },
        ];
        if may.iter().any(|scheme| address.starts_with(scheme)) {
            return Ok(address.to_owned());
        }
        if let (Some(own), true) = (&self.origin, address.starts_with('/'))
            && !address.starts_with("//")
            && let (Some(scheme), Some(authority)) = (own.scheme_str(), own.authority())
        {
            return Ok(format!("{scheme}://{authority}{address}"));
        }
        Err(self.wrong(step, format!("it sends on to {:?}", short(address))))
    }

    /// The bytes of a manifest and what they are, by tag or by digest.
    pub(super) fn manifest(&mut self, name: &str) -> Result<(Descriptor, Vec<u8>)> {
        let answer = self.ask_manifest(name)?;
        match answer.status().as_u16() {
            200 => self.read_manifest(answer, name, MAX_JSON),
            _ => Err(self.refusal(READ, answer)),
        }
    }

    /// As [`Wire::manifest`]; none where there is none.
    pub(super) fn manifest_if_any(&mut self, name: &str) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let answer = self.ask_manifest(name)?;
        match answer.status().as_u16() {
            200 => self.read_manifest(answer, name, MAX_JSON).map(Some),
            404 => Ok(None),
            _ => Err(self.refusal(READ, answer)),
        }
    }

    /// The bytes of a manifest that a descriptor names.
    pub(super) fn manifest_of(&mut self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let answer = self.ask_manifest(&descriptor.digest)?;
        if answer.status() != 200 {
            return Err(self.refusal(READ, answer));
        }
        let (found, bytes) = self.read_manifest(answer, &descriptor.digest, descriptor.size)?;
        if found.size == descriptor.size {
            return Ok(bytes);
        }
        Err(self.wrong(
            READ,
            format!("{} bytes, {} expected", found.size, descriptor.size),
        ))
    }

    fn ask_manifest(&mut self, name: &str) -> Result<Answer> {
        let mut ask = Ask::get(READ, self.url(&format!("manifests/{name}")));
        let accept = format!("{MANIFEST}, {INDEX}");
        ask.headers.push((ureq::http::header::ACCEPT, accept));
        self.ask(&ask)
    }

    fn read_manifest(
        &self,
        answer: Answer,
        name: &str,
        most: u64,
    ) -> Result<(Descriptor, Vec<u8>)> {
        let media_type = header(&answer, CONTENT_TYPE).unwrap_or_default();
        let media_type = media_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        let said = header(&answer, HeaderName::from_static("docker-content-digest"));
        let bytes = self.body(READ, answer, most)?;
        let found = Descriptor::new(&media_type, &bytes);
        // By a tag, what the registry says about the content must hold as well.
        let asked = name.starts_with("sha256:").then_some(name);
        for expected in asked.into_iter().chain(said.as_deref()) {
            if let Some(hex) = expected.strip_prefix("sha256:")
                && expected != found.digest
            {
                return Err(Error::DigestMismatch {
                    what: format!("{}: the manifest", self.place()),
                    expected: hex.parse()?,
                    got: found.sha256()?,
                });
            }
        }
        Ok((found, bytes))
    }

    /// Stores a manifest. Returns whether the registry lists it as a referrer of its subject.
    pub(super) fn put_manifest(
        &mut self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<bool> {
        let answer = self.ask(&Ask {
            step: WRITE,
            method: Method::PUT,
            url: self.url(&format!("manifests/{name}")),
            headers: vec![(CONTENT_TYPE, media_type.to_owned())],
            body: Some(bytes),
        })?;
        match answer.status().as_u16() {
            200..=202 => Ok(answer.headers().contains_key("oci-subject")),
            _ => Err(self.refusal(WRITE, answer)),
        }
    }

    /// The body of an answer, read under a bound.
    pub(super) fn body(&self, step: &'static str, answer: Answer, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut body = answer
            .into_body()
            .into_reader()
            .take(most.saturating_add(1));
        body.read_to_end(&mut bytes)
            .map_err(|error| self.broken(step, error))?;
        if bytes.len() as u64 > most {
            return Err(self.wrong(step, format!("more than {most} bytes, which is too long")));
        }
        Ok(bytes)
    }

    /// An answer that says no: its status, and the registry's own code and words.
    pub(super) fn refusal(&self, step: &'static str, answer: Answer) -> Error {
        let status = answer.status().as_u16();
        let reason = answer.status().canonical_reason().unwrap_or_default();
        let body = self
            .body(step, answer, SMALL.bytes as u64)
            .unwrap_or_default();
        let (code, message) = words(&body).unwrap_or((None, reason.to_owned()));
        let hint = match status {
            401 => Some(self.login_hint()),
            403 => Some(format!(
                "This login may not do that there; another one: docker login {}",
                self.at.registry
            )),
            404 => {
                Some("Is the name right? Some registries say so of what they do not show.".into())
            }
            413 => Some("The registry takes nothing so large.".into()),
            429 => Some("The registry takes no more requests for now: try again later.".into()),
            _ => None,
        };
        self.problem(step, Some(status), code, message, hint, None)
    }

    /// Advice for a registry that wants to know who asks.
    pub(super) fn login_hint(&self) -> String {
        super::docker::hint(&self.at.registry, self.access.logins.as_deref())
    }

    /// A connection that failed.
    pub(super) fn broken(&self, step: &'static str, error: impl Into<Source>) -> Error {
        let error = error.into();
        let registry = &self.at.registry;
        let mut hint = format!(
            "{registry} is taken for a registry's name; a folder is written oci:./{registry}/…"
        );
        if !self.at.plain {
            hint += &format!(", a registry without TLS oci:http://{registry}/…");
        }
        let message = error.to_string();
        self.problem(step, None, None, message, Some(hint), Some(error))
    }

    /// A refusal of ours to go on, with the status of the answer that led to it.
    pub(super) fn stopped(
        &self,
        step: &'static str,
        status: u16,
        why: String,
        hint: String,
    ) -> Error {
        self.problem(step, Some(status), None, why, Some(hint), None)
    }

    fn problem(
        &self,
        step: &'static str,
        status: Option<u16>,
        code: Option<String>,
        message: String,
        hint: Option<String>,
        source: Option<Source>,
    ) -> Error {
        Error::Registry(Box::new(Problem {
            registry: self.at.registry.clone(),
            repository: self.at.name.clone(),
            reference: self.reference.to_owned(),
            step,
            status,
            code,
            message,
            hint,
            source,
        }))
    }

    /// An answer that is not what the specification says.
    pub(super) fn wrong(&self, step: &'static str, detail: String) -> Error {
        Error::Invalid {
            what: "OCI registry",
            detail: format!("{}: {step}: {detail}", self.place()),
        }
    }
}

/// The beginning of every address of a repository (distribution-spec, "Endpoints").
pub(super) fn address(at: &Repository) -> String {
    let scheme = if at.plain { "http" } else { "https" };
    // Docker Hub answers under another name, and keeps names without a slash in a folder of its own.
    if super::docker::is_hub(&at.registry) {
        let folder = if at.name.contains('/') {
            ""
        } else {
            "library/"
        };
        return format!("{scheme}://registry-1.docker.io/v2/{folder}{}", at.name);
    }
    format!("{scheme}://{}/v2/{}", at.registry, at.name)
}

/// A header's text.
pub(super) fn header(answer: &Answer, name: HeaderName) -> Option<String> {
    let value = answer.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// Code and words of an error (distribution-spec, "Error Codes"), or the first line of any other text.
fn words(body: &[u8]) -> Option<(Option<String>, String)> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        message: Option<String>,
    }
    if let Ok(errors) = bounded::from_slice::<Errors>("error of a registry", body, &SMALL) {
        let first = errors.errors.into_iter().next()?;
        let code = first.code.map(|code| printable(&code));
        return Some((code, printable(&first.message.unwrap_or_default())));
    }
    let text = std::str::from_utf8(body).ok()?.trim();
    let line = text.lines().next().filter(|line| !line.starts_with('<'))?;
    Some((None, printable(line)))
}

/// Words of a stranger for a terminal: short, without control characters.
fn printable(text: &str) -> String {
    let text = bounded::short(text, SHOWN);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
