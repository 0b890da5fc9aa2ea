//! Answers to a registry's challenge: a name and a password (RFC 7617), or a token that another service
//! gives for them (the Bearer scheme of RFC 6750 as distribution's "Token Authentication" has it).

use http_auth::ChallengeRef;
use serde::Deserialize;
use ureq::http::Uri;
use ureq::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use super::super::Repository;
use super::super::descriptor::short;
use super::super::reference::{host_and_port, is_loopback};
use super::docker;
use super::wire::{Aim, Answer, SMALL, Wire};
use crate::{Result, bounded};

const TOKEN: &str = "asking for a token";

/// A place that gives tokens.
struct Bearer {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// The value of the header `Authorization` that answers a challenge. Whoever needs no login at a token's
/// service is asked for none.
pub(super) fn answer(wire: &Wire<'_>, step: &'static str, refused: Answer) -> Result<String> {
    let texts: Vec<String> = refused
        .headers()
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| Some(value.to_str().ok()?.to_owned()))
        .collect();
    let (mut bearer, mut basic) = (None, false);
    for text in &texts {
        let Ok(challenges) = http_auth::parse_challenges(text) else {
            continue;
        };
        for challenge in challenges {
            basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            if challenge.scheme.eq_ignore_ascii_case("bearer") && bearer.is_none() {
                bearer = read(&challenge);
            }
        }
    }
    if let Some(bearer) = bearer {
        return token(wire, &bearer).map(|token| format!("Bearer {token}"));
    }
    if !basic {
        let said = short(texts.first().map_or("nothing", String::as_str));
        let why = format!("it wants a login, but by neither Bearer nor Basic: {said:?}");
        return Err(wire.stopped(step, 401, why, "Is this a registry?".into()));
    }
    match docker::login(&wire.at.registry, wire.access.logins.as_deref())? {
        Some(login) => Ok(format!("Basic {login}")),
        None => Err(wire.refusal(step, refused)),
    }
}

/// Whether a login may go there.
fn is_safe(at: &Repository, realm: &str) -> bool {
    let Ok(realm) = realm.parse::<Uri>() else {
        return false;
    };
    let (Some(host), Some(scheme)) = (realm.host(), realm.scheme_str()) else {
        return false;
    };
    let near = || is_loopback(host) || host.eq_ignore_ascii_case(host_and_port(&at.registry).0);
    scheme == "https" || (scheme == "http" && at.plain && near())
}

fn read(challenge: &ChallengeRef<'_>) -> Option<Bearer> {
    let of = |wanted: &str| {
        let mut params = challenge.params.iter();
        let (_, value) = params.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(value.to_unescaped())
    };
    Some(Bearer {
        realm: of("realm")?,
        service: of("service"),
        scope: of("scope"),
    })
}

/// Asks the service of a challenge for a token.
fn token(wire: &Wire<'_>, bearer: &Bearer) -> Result<String> {
    let realm = &bearer.realm;
    if !is_safe(wire.at, realm) {
        let why = format!("it gives tokens at {:?}", short(realm));
        let hint =
            "A login goes over HTTPS, or to the host of a registry that is asked over http://.";
        return Err(wire.stopped(TOKEN, 401, why, hint.into()));
    }
    let mut request = wire.agent.get(realm);
    if let Some(service) = &bearer.service {
        request = request.query("service", service);
    }
    let rights = match wire.aim {
        Aim::Pull => "pull",
        Aim::Push => "pull,push",
    };
    let own = format!("repository:{}:{rights}", wire.at.name);
    for scope in bearer.scope.as_deref().unwrap_or(&own).split_whitespace() {
        request = request.query("scope", scope);
    }
    if let Some(login) = docker::login(&wire.at.registry, wire.access.logins.as_deref())? {
        request = request.header(AUTHORIZATION, format!("Basic {login}"));
    }
    let answer = request.call().map_err(|error| wire.broken(TOKEN, error))?;
    if answer.status() != 200 {
        return Err(wire.refusal(TOKEN, answer));
    }
    let body = wire.body(TOKEN, answer, SMALL.bytes as u64)?;
    let token: Token = bounded::from_slice("token", &body, &SMALL)
        .map_err(|error| wire.wrong(TOKEN, error.to_string()))?;
    [token.token, token.access_token]
        .into_iter()
        .flatten()
        .find(|token| !token.is_empty())
        .ok_or_else(|| wire.wrong(TOKEN, "the answer has none".into()))
}
