//! Checking a request's signature when its head has arrived.

use super::base::{ALWAYS, Input, Missing, Parameter};
use super::field::{List, Member, Value, dictionary};
use super::{
    CONTENT_DIGEST, CONTENT_TYPE, Digests, ED25519, MOST_AGE, MOST_AHEAD, MOST_COMPONENTS,
    MOST_NONCE, MOST_SIGNATURES, Nonces, Request, Role, SIGNATURE, SIGNATURE_INPUT,
};
use crate::keys::PublicKey;

/// A key that the server knows by the signature's `keyid`.
#[derive(Clone, Debug)]
pub struct Known {
    /// The key.
    pub key: PublicKey,
    /// The roles in which it may act.
    pub roles: Vec<Role>,
}

/// Whoever signed a request.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The name of the key.
    pub keyid: String,
    /// The key.
    pub key: PublicKey,
    /// The role in which it acts.
    pub role: Role,
    /// When it was signed: Unix time, seconds.
    pub created: i64,
    /// Digests that the body must have, when there is one.
    pub digests: Option<Digests>,
}

/// Reason why a request's signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error(
        "the request is not signed: it has no Signature-Input and Signature with a tag of ours"
    )]
    Unsigned,
    /// A field cannot be read.
    #[error("the field {field} cannot be read: {detail}")]
    Field {
        /// The field.
        field: &'static str,
        /// Why.
        detail: String,
    },
    /// Two signatures have tags of ours.
    #[error("the request has several signatures with tags of this server: {0}")]
    Several(String),
    /// A part of the request must be covered, and is not.
    #[error("the signature does not cover {0}")]
    NotCovered(String),
    /// A covered component that cannot be.
    #[error("the signature covers {component}: {detail}")]
    Component {
        /// The component.
        component: String,
        /// Why it cannot be covered.
        detail: String,
    },
    /// A parameter is missing, unknown, or of another type.
    #[error("the signature's parameter {parameter} {detail}")]
    Parameter {
        /// The parameter.
        parameter: String,
        /// The fault.
        detail: String,
    },
    /// The request is for another server.
    #[error("the request is for {got:?}; this server is {}", .known.join(", "))]
    Authority {
        /// The authority of the request.
        got: String,
        /// The names of this server.
        known: Vec<String>,
    },
    /// The signature is too old, expired, or from the future.
    #[error(
        "the signature was created at {created} and now is {now} (Unix time, seconds): {detail}"
    )]
    Clock {
        /// When it was created.
        created: i64,
        /// The server's clock.
        now: i64,
        /// Which bound is broken.
        detail: &'static str,
    },
    /// Nobody registered the key.
    #[error("the key {0:?} is not known here")]
    UnknownKey(String),
    /// The key may not act so.
    #[error("the key {keyid:?} may not act as {role}")]
    Role {
        /// The key.
        keyid: String,
        /// The role.
        role: Role,
    },
    /// The signature is not the key's.
    #[error("the signature does not verify under the key {0:?}: sign the request as it is sent")]
    Signature(String),
    /// The nonce was used.
    #[error("the nonce was used already: sign every request anew")]
    Replayed,
    /// The signature is from before the server's start.
    #[error(
        "the signature was created at {created}, before the server's start at {start}: sign anew"
    )]
    BeforeStart {
        /// When it was created.
        created: i64,
        /// The start.
        start: i64,
    },
    /// No room for another nonce.
    #[error("more than {most} signed requests within minutes: try again later")]
    Busy {
        /// The bound.
        most: usize,
    },
    /// The body is not the signed one.
    #[error("the body does not have the {0} that was signed")]
    Body(super::Algorithm),
}

/// A server's view of signatures.
pub struct Verifier<'a> {
    /// Names of this server: host, with the port where it is not the scheme's own; lower case.
    pub authorities: &'a [String],
    /// The key of a `keyid`.
    pub known: &'a dyn Fn(&str) -> Option<Known>,
    /// The clock: Unix time, seconds.
    pub now: i64,
}

impl Verifier<'_> {
    /// Verifies the head of a request; `body` says whether a body follows, or the method has one by its
    /// meaning (POST, PUT, PATCH).
    ///
    /// # Errors
    /// A [`Refusal`]. The nonce of a refused request stays free, unless it is a replay.
    pub fn verify(
        &self,
        request: &Request<'_>,
        body: bool,
        nonces: &mut dyn Nonces,
    ) -> Result<Signed, Refusal> {
        let (list, signature) = ours(request)?;
        let given = Given::read(&list)?;
        let covered = covered(&list)?;
        let digests = self.covers(request, &covered, body)?;
        let authority = request.authority();
        if !self.authorities.contains(&authority) {
            return Err(Refusal::Authority {
                got: authority,
                known: self.authorities.to_vec(),
            });
        }
        self.clock(&given)?;
        let known = (self.known)(&given.keyid).ok_or(Refusal::UnknownKey(given.keyid.clone()))?;
        let input = Input {
            covered,
            parameters: given.parameters,
        };
        let base = input.base(request).map_err(refused)?;
        let wrong = || Refusal::Signature(given.keyid.clone());
        let signature: [u8; 64] = signature.try_into().map_err(|_| wrong())?;
        known.key.verify(&base, &signature).map_err(|_| wrong())?;
        if !known.roles.contains(&given.role) {
            return Err(Refusal::Role {
                keyid: given.keyid,
                role: given.role,
            });
        }
        nonces.take(&given.keyid, &given.nonce, given.created, self.now)?;
        Ok(Signed {
            keyid: given.keyid,
            key: known.key,
            role: given.role,
            created: given.created,
            digests,
        })
    }

    /// Checks that everything is covered that must be; the body's digests come back.
    fn covers(
        &self,
        request: &Request<'_>,
        covered: &[String],
        body: bool,
    ) -> Result<Option<Digests>, Refusal> {
        let has = |name: &str| covered.iter().any(|of| of == name);
        let need = |name: &str| match has(name) {
            true => Ok(()),
            false => Err(Refusal::NotCovered(name.to_owned())),
        };
        for name in ALWAYS {
            need(name)?;
        }
        let digest = request.field(CONTENT_DIGEST);
        if !body && digest.is_none() {
            return Ok(None);
        }
        need(CONTENT_DIGEST)?;
        if body || request.field(CONTENT_TYPE).is_some() {
            need(CONTENT_TYPE)?;
        }
        let value = digest.ok_or_else(|| missing(CONTENT_DIGEST))?;
        Digests::read(&value)
            .map(Some)
            .map_err(|detail| Refusal::Field {
                field: CONTENT_DIGEST,
                detail,
            })
    }

    fn clock(&self, given: &Given) -> Result<(), Refusal> {
        let detail = match (given.created, given.expires) {
            (created, _) if created > self.now.saturating_add(MOST_AHEAD) => {
                "it is from the future"
            }
            (created, _) if created < self.now.saturating_sub(MOST_AGE) => "it is too old",
            (created, Some(expires)) if expires < created => "it expires before it was created",
            (_, Some(expires)) if expires < self.now => "it has expired",
            _ => return Ok(()),
        };
        Err(Refusal::Clock {
            created: given.created,
            now: self.now,
            detail,
        })
    }
}

impl Signed {
    /// Holds a whole body against the signed digests.
    ///
    /// # Errors
    /// [`Refusal::Body`].
    pub fn check_body(&self, body: &[u8]) -> Result<(), Refusal> {
        match &self.digests {
            Some(digests) => digests.check(body).map_err(Refusal::Body),
            None if body.is_empty() => Ok(()),
            None => Err(Refusal::NotCovered(CONTENT_DIGEST.to_owned())),
        }
    }
}

fn missing(field: &str) -> Refusal {
    Refusal::Component {
        component: field.to_owned(),
        detail: "the request has no such field".into(),
    }
}

fn refused(reason: Missing) -> Refusal {
    match reason {
        Missing::Field(field) => missing(&field),
        Missing::NotText(component) => Refusal::Component {
            component,
            detail: "its value is not ASCII text on one line".into(),
        },
        Missing::Unwritable(detail) => Refusal::Field {
            field: SIGNATURE_INPUT,
            detail,
        },
    }
}

/// The one signature with a tag of ours: its input and its bytes. Others are a gateway's.
fn ours(request: &Request<'_>) -> Result<(List, Vec<u8>), Refusal> {
    let read = |field: &'static str| -> Result<Vec<(String, Member)>, Refusal> {
        let value = request.field(field).ok_or(Refusal::Unsigned)?;
        dictionary(&value).map_err(|detail| Refusal::Field { field, detail })
    };
    let inputs = read(SIGNATURE_INPUT)?;
    let signatures = read(SIGNATURE)?;
    if inputs.len() > MOST_SIGNATURES {
        return Err(Refusal::Field {
            field: SIGNATURE_INPUT,
            detail: format!("{} signatures, at most {MOST_SIGNATURES}", inputs.len()),
        });
    }
    let mut found: Option<(String, List)> = None;
    for (label, member) in inputs {
        let Some(list) = member.list else { continue };
        let tag = list.parameters.iter().find(|(name, _)| name == "tag");
        let role = match tag {
            Some((_, Value::Text(tag))) => Role::of_tag(tag),
            _ => None,
        };
        if role.is_none() {
            continue;
        }
        if let Some((first, _)) = &found {
            return Err(Refusal::Several(format!("{first}, {label}")));
        }
        found = Some((label, list));
    }
    let (label, list) = found.ok_or(Refusal::Unsigned)?;
    let signature = signatures
        .into_iter()
        .find(|(of, _)| *of == label)
        .and_then(|(_, member)| member.bytes)
        .ok_or_else(|| Refusal::Field {
            field: SIGNATURE,
            detail: format!("it has no byte sequence {label:?}"),
        })?;
    Ok((list, signature))
}

/// The covered components, each once and without parameters.
fn covered(list: &List) -> Result<Vec<String>, Refusal> {
    if list.items.len() > MOST_COMPONENTS {
        return Err(Refusal::Field {
            field: SIGNATURE_INPUT,
            detail: format!("{} components, at most {MOST_COMPONENTS}", list.items.len()),
        });
    }
    let mut covered: Vec<String> = Vec::new();
    for item in &list.items {
        let name = item.text.clone().ok_or_else(|| Refusal::Field {
            field: SIGNATURE_INPUT,
            detail: "a component is no string".into(),
        })?;
        let bad = |detail: String| Refusal::Component {
            component: name.clone(),
            detail,
        };
        if let Some((parameter, _)) = item.parameters.first() {
            return Err(bad(format!(
                "component parameters are not taken here, it has {parameter:?}"
            )));
        }
        if name.starts_with('@') && !ALWAYS.contains(&name.as_str()) {
            return Err(bad(format!(
                "the derived components taken here are {}",
                ALWAYS.join(", ")
            )));
        }
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(bad("names are in lower case".into()));
        }
        if covered.contains(&name) {
            return Err(bad("it is covered twice".into()));
        }
        covered.push(name);
    }
    Ok(covered)
}

/// Parameters of a signature, checked.
struct Given {
    parameters: Vec<Parameter>,
    created: i64,
    expires: Option<i64>,
    nonce: String,
    keyid: String,
    role: Role,
}

impl Given {
    fn read(list: &List) -> Result<Given, Refusal> {
        let mut parameters = Vec::new();
        let (mut created, mut expires) = (None, None);
        let (mut nonce, mut keyid, mut role) = (None, None, None);
        for (name, value) in &list.parameters {
            let bad = |detail: &str| Refusal::Parameter {
                parameter: name.clone(),
                detail: detail.to_owned(),
            };
            parameters.push(match (name.as_str(), value) {
                ("created", Value::Integer(time)) => {
                    created = Some(*time);
                    Parameter::Created(*time)
                }
                ("expires", Value::Integer(time)) => {
                    expires = Some(*time);
                    Parameter::Expires(*time)
                }
                ("created" | "expires", _) => return Err(bad("is no integer")),
                ("nonce", Value::Text(text)) if text.is_empty() || text.len() > MOST_NONCE => {
                    return Err(bad(&format!("must have 1 to {MOST_NONCE} characters")));
                }
                ("nonce", Value::Text(text)) => {
                    nonce = Some(text.clone());
                    Parameter::Nonce(text.clone())
                }
                ("keyid", Value::Text(text)) => {
                    keyid = Some(text.clone());
                    Parameter::KeyId(text.clone())
                }
                ("tag", Value::Text(text)) => {
                    role = Role::of_tag(text);
                    Parameter::Tag(text.clone())
                }
                ("alg", Value::Text(text)) if text == ED25519 => Parameter::Algorithm(text.clone()),
                ("alg", _) => return Err(bad("can only be \"ed25519\"")),
                ("nonce" | "keyid" | "tag", _) => return Err(bad("is no string")),
                _ => return Err(bad("is not known here")),
            });
        }
        let lacking = |parameter: &str| Refusal::Parameter {
            parameter: parameter.to_owned(),
            detail: "is missing".into(),
        };
        Ok(Given {
            parameters,
            created: created.ok_or_else(|| lacking("created"))?,
            expires,
            nonce: nonce.ok_or_else(|| lacking("nonce"))?,
            keyid: keyid.ok_or_else(|| lacking("keyid"))?,
            role: role.ok_or_else(|| lacking("tag"))?,
        })
    }
}
