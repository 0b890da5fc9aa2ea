//! The signature base (RFC 9421, section 2.5) of a request under the profile.

use sfv::{KeyRef, ListSerializer, StringRef};

use super::Request;

/// Derived components that are covered by every signature.
pub(super) const ALWAYS: [&str; 4] = ["@method", "@authority", "@path", "@query"];

/// A parameter of a signature (section 2.3), in the order received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// Unix time, seconds.
    Created(i64),
    /// Unix time, seconds.
    Expires(i64),
    Nonce(String),
    Algorithm(String),
    KeyId(String),
    Tag(String),
}

/// Signature parameters: what is covered, and the parameters as they were received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) covered: Vec<String>,
    pub(super) parameters: Vec<Parameter>,
}

impl Input {
    /// The inner list of the Signature-Input field, serialised strictly (RFC 9651, section 4.1). An error
    /// names the value that no structured field can hold.
    pub(super) fn serialised(&self) -> Result<String, String> {
        let text = |value: &'_ str| -> Result<(), String> {
            StringRef::from_str(value)
                .map(|_| ())
                .map_err(|error| format!("{value:?}: {error}"))
        };
        let mut list = ListSerializer::new();
        {
            let mut inner = list.inner_list();
            for name in &self.covered {
                text(name)?;
                if let Ok(name) = StringRef::from_str(name) {
                    inner.bare_item(name);
                }
            }
            let mut written = inner.finish();
            for parameter in &self.parameters {
                let number = |time: i64| {
                    sfv::Integer::try_from(time).map_err(|_| format!("{time}: more than 15 digits"))
                };
                let (name, string, integer) = match parameter {
                    Parameter::Created(time) => ("created", None, Some(number(*time)?)),
                    Parameter::Expires(time) => ("expires", None, Some(number(*time)?)),
                    Parameter::Nonce(value) => ("nonce", Some(value), None),
                    Parameter::Algorithm(value) => ("alg", Some(value), None),
                    Parameter::KeyId(value) => ("keyid", Some(value), None),
                    Parameter::Tag(value) => ("tag", Some(value), None),
                };
                let key = KeyRef::from_str(name).map_err(|error| error.to_string())?;
                written = match (string, integer) {
                    (Some(value), _) => {
                        let value = StringRef::from_str(value)
                            .map_err(|error| format!("{name} {value:?}: {error}"))?;
                        written.parameter(key, value)
                    }
                    (None, Some(value)) => written.parameter(key, value),
                    (None, None) => written,
                };
            }
        }
        list.finish().ok_or_else(|| "nothing is covered".to_owned())
    }

    /// The bytes that are signed. An error names the component that the request lacks.
    pub(super) fn base(&self, request: &Request<'_>) -> Result<Vec<u8>, Missing> {
        let mut base = Vec::new();
        for name in &self.covered {
            let value = match name.as_str() {
                "@method" => request.method.as_bytes().to_vec(),
                "@authority" => request.authority().into_bytes(),
                "@path" => request.path().as_bytes().to_vec(),
                "@query" => request.query().as_bytes().to_vec(),
                field => request
                    .field(field)
                    .ok_or_else(|| Missing::Field(field.to_owned()))?,
            };
            // A line break in a value would let one component speak for another.
            if value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) || !value.is_ascii() {
                return Err(Missing::NotText(name.clone()));
            }
            base.extend_from_slice(format!("\"{name}\": ").as_bytes());
            base.extend_from_slice(&value);
            base.push(b'\n');
        }
        let list = self.serialised().map_err(Missing::Unwritable)?;
        base.extend_from_slice(format!("\"@signature-params\": {list}").as_bytes());
        Ok(base)
    }
}

/// Reason why there is no signature base.
#[derive(Debug)]
pub(super) enum Missing {
    /// The request has no such field.
    Field(String),
    /// The component's value is not ASCII on one line.
    NotText(String),
    /// A parameter cannot be written.
    Unwritable(String),
}
