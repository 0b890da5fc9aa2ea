//! Requests that a browser sends for somebody else's page. The Host field has to name this server, so that a
//! name which an attacker points at this machine (DNS rebinding) reads nothing; and a page of another site
//! changes nothing here (cross-site request forgery).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::refusal::{Answer, Refusal};

/// Names of this server.
#[derive(Debug)]
pub(super) struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// From the names that signed requests may have too, each with a port or without.
    pub(super) fn new(names: &[String]) -> Arc<Hosts> {
        let names = names.iter().map(|name| host(name).to_ascii_lowercase());
        Arc::new(Hosts {
            names: names.collect(),
        })
    }

    /// Whether a host, with or without a port, is this server. Addresses always are: a name is what
    /// rebinding needs.
    fn own(&self, authority: &str) -> bool {
        let name = host(authority).to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        name == "localhost"
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self.names.iter().any(|own| own == name)
    }

    fn check(&self, request: &Request) -> Answer<()> {
        let named = request.headers().get(header::HOST);
        let named = named.map(|value| value.to_str().unwrap_or_default());
        // A target with a host in it (absolute form) is what counts then (RFC 9112, section 3.2.2).
        let target = request.uri().authority().map(|it| it.as_str());
        let hosts: Vec<&str> = target.into_iter().chain(named).collect();
        if hosts.is_empty() && request.version() >= Version::HTTP_11 {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "The request names no host.",
                "Host",
                "HTTP/1.1 demands the field Host.",
            ));
        }
        match hosts.iter().find(|host| !self.own(host)) {
            None => Ok(()),
            Some(other) => Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                "The request names another host than this server's.",
                other.chars().take(100).collect::<String>(),
                "Whoever runs the server names it with `fedseal serve --name HOST[:PORT]`; addresses and \
                 localhost need no name.",
            )),
        }
    }
}

/// Host of an authority, without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') =>
        {
            host
        }
        _ => authority,
    }
}

/// Refuses a change that a browser asks for on behalf of another site's page: `Sec-Fetch-Site` says so, or,
/// in browsers without it, `Origin`. Programs send neither.
fn same_site(method: &Method, headers: &HeaderMap) -> Answer<()> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name| {
        headers
            .get(name)
            .map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?"))
    };
    let foreign = match (text("sec-fetch-site"), text("origin")) {
        // Another port of the same machine is `same-site`, and somebody else's.
        (Some("same-origin" | "none"), _) => None,
        (Some(site), _) => Some(format!("Sec-Fetch-Site: {site}")),
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            let own = text("host")
                .is_some_and(|host| authority.is_some_and(|it| it.eq_ignore_ascii_case(host)));
            (!own).then(|| format!("Origin: {origin}"))
        }
        (None, None) => None,
    };
    match foreign {
        None => Ok(()),
        Some(what) => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "A page of another site may change nothing here.",
            what.chars().take(100).collect::<String>(),
            "Do it on this server's own pages, or with the fedseal program.",
        )),
    }
}

/// Lets through what names this server and, where it changes something, no other site's page asked for.
pub(super) async fn guarded(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    let checked = hosts
        .check(&request)
        .and_then(|()| same_site(request.method(), request.headers()));
    match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn only_own_names_and_addresses_are_hosts() {
        let hosts = Hosts::new(&["Fed.example:8443".into(), "127.0.0.1:8660".into()]);
        for own in [
            "fed.example",
            "FED.EXAMPLE:8443",
            "fed.example.:1",
            "localhost:99",
            "127.0.0.1:8660",
            "10.1.2.3",
            "[::1]:8660",
            "[2001:db8::1]",
        ] {
            assert!(hosts.own(own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:8660",
            "fed.example.evil",
            "",
            "1.2.3.4.nip.io:80",
        ] {
            assert!(!hosts.own(other), "{other}");
        }
        let asked = |target: &str, host: Option<&str>| {
            let mut request = Request::builder().uri(target);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            hosts.check(&request.body(Body::empty()).unwrap()).is_ok()
        };
        assert!(asked("/", Some("fed.example")));
        assert!(!asked("/", None), "HTTP/1.1 demands one");
        assert!(!asked("http://evil.example/", Some("fed.example")));
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let allowed = |method: Method, fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", "fed.example:8660".parse().unwrap());
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            same_site(&method, &headers).is_ok()
        };
        let cross = ("sec-fetch-site", "cross-site");
        assert!(allowed(Method::GET, &[cross]));
        assert!(allowed(Method::POST, &[]), "a program");
        assert!(allowed(Method::POST, &[("sec-fetch-site", "same-origin")]));
        assert!(allowed(
            Method::POST,
            &[("origin", "https://fed.example:8660")]
        ));
        for fields in [
            &[cross][..],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://fed.example:8661")],
            &[("origin", "null")],
            &[("origin", "http://evil.example")],
            &[cross, ("origin", "http://fed.example:8660")],
        ] {
            assert!(!allowed(Method::POST, fields), "{fields:?}");
            assert!(!allowed(Method::DELETE, fields), "{fields:?}");
        }
    }
}
