//! A store in S3, or in what speaks like it. Every object is one PutObject: a conditional one (`If-None-Match: *`)
//! is a lock that the stores keep, while a conditional multipart upload is none.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::http;
use fedseal_engines::helper::shown;
use fedseal_engines::store::Name;
use fedseal_engines::{Error, Result};
use http_body_util::BodyExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::path::Path;
use object_store::{
    ClientOptions, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    RetryConfig,
};
use url::Url;

/// Longest time of one request: a large blob over a slow line.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Time in which a request that failed is sent again.
const AGAIN: Duration = Duration::from_secs(20);
/// Largest object that is read, bytes.
const MAX_OBJECT: u64 = 2 << 30;
/// How often a claim is tried that a store refuses though nobody has it.
const TRIES: usize = 3;

/// A store in S3.
#[derive(Debug)]
pub(crate) struct S3 {
    engine: String,
    store: AmazonS3,
    prefix: String,
}

impl S3 {
    /// Opens `s3://BUCKET/PREFIX`; region, endpoint and credentials come from the environment (`AWS_REGION`,
    /// `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ALLOW_HTTP`). Conditional writes
    /// are tried: a store that ignores the condition would let two results stand.
    ///
    /// # Errors
    /// No store, no such bucket, or one that does not keep conditions.
    pub(crate) async fn open(address: &str) -> Result<S3> {
        let engine = shown(address);
        let unfit = |detail: String| Error::Unfit {
            engine: engine.clone(),
            detail,
        };
        let url = Url::parse(address).map_err(|error| unfit(error.to_string()))?;
        let bucket = url
            .host_str()
            .filter(|_| url.scheme() == "s3")
            .ok_or_else(|| unfit("an address of a store is s3://BUCKET/PREFIX".into()))?;
        let retry = RetryConfig {
            max_retries: 8,
            retry_timeout: AGAIN,
            ..RetryConfig::default()
        };
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_http_connector(Ureq)
            .with_retry(retry)
            .build()
            .map_err(|error| unfit(error.to_string()))?;
        let prefix = url.path().trim_matches('/');
        let prefix = match prefix.is_empty() {
            true => String::new(),
            false => format!("{prefix}/"),
        };
        let opened = S3 {
            engine,
            store,
            prefix,
        };
        opened.keeps_conditions().await?;
        Ok(opened)
    }

    /// Writes a probe on the condition that it is not there: twice at once, and once more.
    async fn keeps_conditions(&self) -> Result<()> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = format!(
            "{}probes/{}-{}",
            self.prefix,
            std::process::id(),
            since.as_nanos()
        );
        let probe = Path::from(name);
        let kept = self.keeps_condition(&probe).await;
        let _ = self.store.delete(&probe).await;
        kept
    }

    async fn keeps_condition(&self, probe: &Path) -> Result<()> {
        const VALUES: [&[u8]; 3] = [b"1", b"2", b"3"];
        let [one, two, three] = VALUES;
        let first = tokio::join!(self.create(probe, one), self.create(probe, two));
        let won = [first.0?, first.1?, self.create(probe, three).await?];
        let Some(stands) = self.read(probe).await? else {
            return Err(Error::Refused {
                engine: self.engine.clone(),
                detail: format!("{probe} was written, and is not there"),
            });
        };
        // A write whose answer was lost is sent again, and refused because of itself: what stands counts.
        let winners = VALUES
            .iter()
            .zip(won)
            .filter(|(value, won)| *won || **value == stands);
        match winners.count() == 1 && stands != three {
            true => Ok(()),
            false => Err(Error::Unfit {
                engine: self.engine.clone(),
                detail: "it does not keep If-None-Match, so two results of one job could stand; take a store \
                         that does"
                    .into(),
            }),
        }
    }

    /// Writes an object that is not there; false where it is.
    async fn create(&self, path: &Path, value: &[u8]) -> Result<bool> {
        let options = PutOptions::from(PutMode::Create);
        let payload = PutPayload::from(value.to_vec());
        match self.store.put_opts(path, payload, options).await {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        use object_store::Error as E;
        let (engine, detail) = (self.engine.clone(), error.to_string());
        match error {
            E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::NotFound { .. } => {
                Error::Unfit { engine, detail }
            }
            E::Generic { .. } | E::JoinError { .. } => Error::Unreachable { engine, detail },
            _ => Error::Refused { engine, detail },
        }
    }

    fn blob(&self, digest: &Digest) -> Path {
        Path::from(format!("{}blobs/{digest}", self.prefix))
    }

    fn place(&self, name: &Name) -> Path {
        Path::from(format!("{}claims/{}", self.prefix, name.as_str()))
    }

    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let got = match self.store.get(path).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        let bytes = got.bytes().await.map_err(|error| self.failed(&error))?;
        Ok(Some(bytes.to_vec()))
    }

    /// As [`Store::put`](fedseal_engines::store::Store::put). Whoever writes a digest writes its bytes, so that
    /// the last writer wins does no harm, and mends what was damaged.
    pub(crate) async fn put(&self, bytes: Vec<u8>) -> Result<Digest> {
        let digest = Digest::of(&bytes);
        let done = self
            .store
            .put(&self.blob(&digest), PutPayload::from(bytes))
            .await;
        done.map_err(|error| self.failed(&error))?;
        Ok(digest)
    }

    /// As [`Store::get`](fedseal_engines::store::Store::get); whoever asked compares the digest.
    pub(crate) async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        self.read(&self.blob(digest)).await
    }

    /// As [`Store::claim`](fedseal_engines::store::Store::claim).
    pub(crate) async fn claim(&self, name: &Name, value: &[u8]) -> Result<Vec<u8>> {
        let place = self.place(name);
        for _ in 0..TRIES {
            if self.create(&place, value).await? {
                return Ok(value.to_vec());
            }
            // A store may refuse though there is no such key: what is there decides, not the refusal.
            if let Some(stands) = self.read(&place).await? {
                return Ok(stands);
            }
        }
        Err(Error::Refused {
            engine: self.engine.clone(),
            detail: format!("{place} cannot be written, and is not there"),
        })
    }

    /// As [`Store::claimed`](fedseal_engines::store::Store::claimed).
    pub(crate) async fn claimed(&self, name: &Name) -> Result<Option<Vec<u8>>> {
        self.read(&self.place(name)).await
    }
}

/// Requests through the HTTP client that everything here uses, with its certificates.
#[derive(Clone, Copy, Debug)]
struct Ureq;

#[derive(Clone)]
struct Service(Arc<ureq::Agent>);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ureq")
    }
}

impl HttpConnector for Ureq {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        // The endpoint may be of either scheme; the certificates are for one.
        let agent = http::agent("https://", LONGEST);
        Ok(HttpClient::new(Service(Arc::new(agent))))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        let agent = self.0.clone();
        let sent = tokio::task::spawn_blocking(move || {
            // A body of no bytes is one all the same, where the method has one.
            let bare = body.is_empty() && !matches!(head.method.as_str(), "PUT" | "POST");
            let answer = match bare {
                true => agent.run(ureq::http::Request::from_parts(head, ()))?,
                false => agent.run(ureq::http::Request::from_parts(head, body))?,
            };
            let (head, mut body) = answer.into_parts();
            let bytes = body.with_config().limit(MAX_OBJECT).read_to_vec()?;
            Ok::<_, ureq::Error>((head, bytes))
        });
        let answered = sent
            .await
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let (head, bytes) = answered.map_err(|error| {
            let kind = match &error {
                ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
                ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                    HttpErrorKind::Connect
                }
                _ => HttpErrorKind::Request,
            };
            HttpError::new(kind, error)
        })?;
        Ok(HttpResponse::from_parts(
            head,
            HttpResponseBody::from(bytes),
        ))
    }
}
