//! An address of PostgreSQL, and the settings of a session.

use std::net::IpAddr;

use fedseal_engines::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// Parameters of an address that are known; the client would pass over others without a word.
const KNOWN: [&str; 9] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "user",
    "password",
    "dbname",
];

/// Settings of each session.
const SETTINGS: [(&str, &str); 9] = [
    // Tables are named without their schema; no other schema is looked into.
    ("search_path", "fedseal"),
    // A user's or a database's own setting could make it confirm what is not on a disk.
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read committed"),
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
    // The server finds out that a client is gone, and frees its lock.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Reads an address. To another machine a session goes through TLS with a certificate that holds, unless the
/// address (or `PGSSLMODE`) says otherwise: the client's own default does without TLS where the server has none.
///
/// # Errors
/// [`Error::Unfit`] for what is no such address, or says something that is not known.
pub(super) fn options(address: &str, engine: &str) -> Result<PgConnectOptions> {
    let unfit = |detail: String| Error::Unfit {
        engine: engine.to_owned(),
        detail,
    };
    let form = "the address is postgres://USER@HOST:PORT/DATABASE";
    let url = Url::parse(address).map_err(|error| {
        unfit(format!(
            "{error}; {form}; a password with other characters than letters and digits is escaped (%2F for /), or \
             in PGPASSWORD or PGPASSFILE"
        ))
    })?;
    let has = |name: &str| url.query_pairs().any(|(key, _)| key == name);
    let unknown = url
        .query_pairs()
        .find(|(key, _)| !KNOWN.contains(&key.as_ref()));
    if let Some((key, _)) = unknown {
        return Err(unfit(format!(
            "its parameter {key} is not known; those that are: {}",
            KNOWN.join(", ")
        )));
    }
    if url.username().is_empty() && !has("user") && std::env::var_os("PGUSER").is_none() {
        return Err(unfit(format!("it names no user; {form}")));
    }
    let mut options: PgConnectOptions = address
        .parse()
        .map_err(|error: sqlx::Error| unfit(error.to_string()))?;
    // The client would look a name in brackets up.
    if let Some(inner) = url
        .host_str()
        .and_then(|host| host.strip_prefix('[')?.strip_suffix(']'))
    {
        options = options.host(inner);
    }
    let said = has("sslmode") || std::env::var_os("PGSSLMODE").is_some();
    if !said && !is_local(&options) {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    Ok(options.application_name("fedseal").options(SETTINGS))
}

/// Whether the server is on this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let loopback = || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    options.get_socket().is_some() || host.starts_with('/') || host == "localhost" || loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(address: &str) -> PgSslMode {
        options(address, "it").unwrap().get_ssl_mode()
    }

    #[test]
    fn another_machine_is_reached_through_tls_unless_the_address_says_otherwise() {
        for address in [
            "postgres://u@db.example/x",
            "postgres://u@192.0.2.1/x",
            "postgresql://u@[2001:db8::1]:5433/x",
        ] {
            assert!(matches!(mode(address), PgSslMode::VerifyFull), "{address}");
        }
        for address in [
            "postgres://u@localhost/x",
            "postgres://u@127.0.0.1:5433/x",
            "postgres://u@[::1]/x",
            "postgres:///x?host=/run/postgresql&user=u",
        ] {
            assert!(matches!(mode(address), PgSslMode::Prefer), "{address}");
        }
        let open = mode("postgres://u@db.example/x?sslmode=disable");
        assert!(matches!(open, PgSslMode::Disable));
        let six = options("postgres://u@[::1]/x", "it").unwrap();
        assert_eq!(six.get_host(), "::1");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for (address, words) in [
            ("postgres://u:se/cret@host/x", "%2F for /"),
            ("postgres://:secret@host/x", "names no user"),
            (
                "postgres://u:secret@host/x?sslmod=disable",
                "sslmod is not known",
            ),
            ("postgres://u:secret@host/x?sslmode=perhaps", "ssl"),
        ] {
            let said = options(address, "postgres://host/x")
                .unwrap_err()
                .to_string();
            assert!(said.contains(words), "{address}: {said}");
            assert!(!said.contains("secret"), "{address}: {said}");
        }
    }
}
