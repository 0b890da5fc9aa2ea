//! Sessions with the server, and its errors as those of an engine.

use std::time::Duration;

use fedseal_engines::Error;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

/// Longest wait for a session, and for the writer's lock while it is being taken again.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Connects a session of its own, outside of the pool.
pub(super) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    match tokio::time::timeout(PATIENCE, PgConnection::connect_with(options)).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// Hint for a failure of TLS.
const TRUST: &str = "?sslrootcert=FILE, or SSL_CERT_FILE in place of the system's, names certificates that are \
                     trusted; ?sslmode=disable does without TLS";

/// An error of the client as one of an engine, with what may be done about it.
pub(super) fn failed(engine: &str, error: &sqlx::Error) -> Error {
    let engine = engine.to_owned();
    let detail = error.to_string();
    match error {
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            let detail = format!("{} (SQLSTATE {code})", refusal.message());
            match &*code {
                "3D000" => Error::Unfit {
                    engine,
                    detail: format!("{detail}; make the database with `createdb`, or name another"),
                },
                "42501" => Error::Unfit {
                    engine,
                    detail: format!(
                        "{detail}; GRANT CREATE ON DATABASE to the user, who then owns the schema fedseal"
                    ),
                },
                code if code.starts_with("28") => Error::Unfit {
                    engine,
                    detail: format!(
                        "{detail}; see the user in the address, and PGPASSWORD or PGPASSFILE"
                    ),
                },
                // A standby, or a database that was set so.
                "25006" => Error::Unfit { engine, detail },
                code if is_passing(code) => Error::Unreachable { engine, detail },
                _ => Error::Refused { engine, detail },
            }
        }
        sqlx::Error::Configuration(_) => Error::Unfit { engine, detail },
        sqlx::Error::Tls(_) => Error::Unfit {
            engine,
            detail: format!("{detail}; {TRUST}"),
        },
        // A certificate that does not hold comes as this.
        sqlx::Error::Io(fault) if fault.kind() == std::io::ErrorKind::InvalidData => Error::Unfit {
            engine,
            detail: format!("{detail}; {TRUST}"),
        },
        sqlx::Error::PoolTimedOut => Error::Unreachable {
            engine,
            detail: format!("no connection within {} s", PATIENCE.as_secs()),
        },
        sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            Error::Unreachable { engine, detail }
        }
        _ => Error::Refused { engine, detail },
    }
}

/// Whether a refusal passes by itself: connections (08), resources (53), the server's end or start (57P), a
/// statement that was too slow (57014), locks (40, 55P03).
fn is_passing(code: &str) -> bool {
    ["08", "53", "57P", "57014", "40", "55P03"]
        .iter()
        .any(|beginning| code.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_may_be_asked_again() {
        for code in [
            "08006", "53100", "53300", "57P01", "57P03", "57014", "40001", "40P01", "55P03",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["23505", "28P01", "42P01", "25006", "22021"] {
            assert!(!is_passing(code), "{code}");
        }
        let late = failed("postgres://host/db", &sqlx::Error::PoolTimedOut);
        assert!(late.is_passing() && late.to_string().contains("within 10 s"));
    }
}
