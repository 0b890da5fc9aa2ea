//! A queue in NATS JetStream: a work-queue stream with one subject for each job, and one pull consumer for all
//! workers, which acknowledge explicitly.
//!
//! One message a subject, and new ones discarded, is what keeps a job from being queued twice, also over kills of
//! the server; a window of duplicates would forget finished jobs at a restart, and swallow some that were offered
//! again. Settings of a stream or consumer that is there already are compared and refused where they differ:
//! the server would take ours for everybody, or ignore them.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{self, Context, Error as ServerError, ErrorCode};
use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use fedseal_client_sdk::digest::Digest;
use fedseal_engines::helper::shown;
use fedseal_engines::queue::{Lease, MAX_BODY, Taken};
use fedseal_engines::{Error, Result};
use futures_util::{StreamExt as _, TryStreamExt as _};
use url::Url;

/// Least version of the server: 2.9 forgets confirmed acknowledgements when it is killed.
const LEAST: (i64, i64, i64) = (2, 10, 0);
/// The queue where the address names none (`?queue=NAME`).
const QUEUE: &str = "fedseal";
/// The one consumer. Its filter never changes: jobs stored before a change would never be delivered.
const CONSUMER: &str = "workers";
/// Pulls that wait at once, of all workers.
const MAX_WAITING: i64 = 8192;
/// Beginning of the subjects on which a consumer is answered.
const ACKS: &str = "$JS.ACK.";

/// A queue in JetStream.
#[derive(Debug)]
pub(crate) struct Nats {
    engine: String,
    client: Client,
    context: Context,
    stream: Stream,
    consumer: PullConsumer,
    /// Subject of a job, but for its digest.
    prefix: String,
    lease: Duration,
}

impl Nats {
    /// Connects, and makes stream and consumer where they are not there.
    ///
    /// # Errors
    /// No server; one that is too old; a stream or consumer with other settings.
    pub(crate) async fn open(
        address: &str,
        lease: Duration,
        credentials: Option<&str>,
    ) -> Result<Nats> {
        let engine = shown(address.split('?').next().unwrap_or_default());
        let unfit = |detail: String| Error::Unfit {
            engine: engine.clone(),
            detail,
        };
        let mut url = Url::parse(address).map_err(|error| unfit(error.to_string()))?;
        let name = url
            .query_pairs()
            .find(|(name, _)| name == "queue")
            .map_or_else(|| QUEUE.to_owned(), |(_, name)| name.into_owned());
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(unfit(format!(
                "the queue's name {name:?} is not 1 to 64 of letters, digits, '-' and '_'"
            )));
        }
        url.set_query(None);
        let mut options = ConnectOptions::new().name("fedseal");
        if !url.username().is_empty() {
            let password = url.password().unwrap_or_default().to_owned();
            options = options.user_and_password(url.username().to_owned(), password);
            let _ = (url.set_username(""), url.set_password(None));
        }
        if let Some(text) = credentials {
            options = options
                .credentials(text)
                .map_err(|error| unfit(format!("the credentials: {error}")))?;
        }
        let client = options
            .connect(url.as_str())
            .await
            .map_err(|error| match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    unfit(words(&error))
                }
                _ => unreachable(&engine, &error),
            })?;
        let (major, minor, patch) = LEAST;
        if !client.is_server_compatible(major, minor, patch) {
            return Err(unfit(format!(
                "nats-server {}, at least {major}.{minor}.{patch} is needed: earlier ones forget confirmed \
                 acknowledgements when they are killed",
                client.server_info().version
            )));
        }
        let context = jetstream::new(client.clone());
        let prefix = format!("{name}.jobs.");
        let stream = stream(&context, &engine, &name, &prefix).await?;
        let consumer = consumer(&stream, &engine, &prefix, lease).await?;
        Ok(Nats {
            engine,
            client,
            context,
            stream,
            consumer,
            prefix,
            lease,
        })
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        unreachable(&self.engine, error)
    }

    fn subject(&self, job: &Digest) -> String {
        format!("{}{job}", self.prefix)
    }

    /// As [`Queue::offer`](fedseal_engines::queue::Queue::offer).
    pub(crate) async fn offer(&self, job: &Digest, body: Vec<u8>) -> Result<()> {
        let subject = self.subject(job);
        let sent = self.context.publish(subject.clone(), body.into()).await;
        let stored = match sent {
            Ok(stored) => stored.await,
            Err(error) => Err(error),
        };
        let Err(error) = stored else { return Ok(()) };
        // The subject's one message is there: the job is queued or leased. The code is that of a full disk too.
        let refused = error
            .source()
            .and_then(|it| it.downcast_ref::<ServerError>());
        if refused.is_some_and(|it| it.error_code() == ErrorCode::STREAM_STORE_FAILED)
            && self.is_stored(&subject).await?
        {
            return Ok(());
        }
        match (error.kind(), refused) {
            (PublishErrorKind::Other, Some(refused)) => Err(Error::Refused {
                engine: self.engine.clone(),
                detail: refused.to_string(),
            }),
            _ => Err(self.unreachable(&error)),
        }
    }

    async fn is_stored(&self, subject: &str) -> Result<bool> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    /// As [`Queue::take`](fedseal_engines::queue::Queue::take).
    pub(crate) async fn take(&self, within: Duration) -> Result<Option<Taken>> {
        // One at a time: the leases of a larger batch would all run while one job is done.
        let pull = self.consumer.batch().max_messages(1);
        let pull = pull.expires(within.max(Duration::from_millis(100)));
        let mut messages = pull
            .messages()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let message = match messages.next().await {
            None => return Ok(None),
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(self.unreachable(error.as_ref())),
        };
        let odd = |detail: String| Error::Refused {
            engine: self.engine.clone(),
            detail,
        };
        let subject = message.subject.as_str();
        let job: Digest = subject
            .strip_prefix(&self.prefix)
            .and_then(|digest| digest.parse().ok())
            .ok_or_else(|| odd(format!("the subject {subject} names no job")))?;
        let reply = message
            .reply
            .as_ref()
            .ok_or_else(|| odd(format!("the message of {subject} cannot be answered")))?;
        let deliveries = message.info().map_or(1, |info| info.delivered);
        Ok(Some(Taken {
            job,
            lease: format!("{job} {reply}"),
            seconds: self.lease.as_secs_f64(),
            deliveries: u64::try_from(deliveries).unwrap_or(1),
            body: message.payload.to_vec(),
        }))
    }

    /// As [`Queue::settle`](fedseal_engines::queue::Queue::settle).
    pub(crate) async fn settle(&self, lease: &str, act: Lease) -> Result<()> {
        let parts = lease
            .split_once(' ')
            .filter(|(_, reply)| reply.starts_with(ACKS));
        let Some((job, reply)) = parts else {
            return Err(Error::Refused {
                engine: self.engine.clone(),
                detail: format!("{lease:?} is no lease of its"),
            });
        };
        let word = match act {
            Lease::Renew => "+WPI",
            Lease::Finish => "+ACK",
            Lease::Back => "-NAK",
        };
        // Each is answered, and "no responders" is an error of the client: the consumer is gone.
        let answered = self.client.request(reply.to_owned(), word.into()).await;
        match (answered, act) {
            (Ok(_), _) => Ok(()),
            // A consumer that was made anew does not answer. Whether the job is gone is what counts.
            (Err(error), Lease::Finish) => {
                match self.is_stored(&format!("{}{job}", self.prefix)).await? {
                    false => Ok(()),
                    true => Err(self.unreachable(&error)),
                }
            }
            (Err(error), _) => Err(self.unreachable(&error)),
        }
    }

    /// As [`Queue::outstanding`](fedseal_engines::queue::Queue::outstanding).
    pub(crate) async fn outstanding(&self) -> Result<BTreeSet<Digest>> {
        let filter = format!("{}>", self.prefix);
        let mut info = self
            .stream
            .info_with_subjects(filter)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let mut jobs = BTreeSet::new();
        while let Some((subject, _)) = info
            .try_next()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            let job = subject.strip_prefix(&self.prefix);
            jobs.extend(job.and_then(|digest| digest.parse::<Digest>().ok()));
        }
        Ok(jobs)
    }
}

/// The stream of a queue, as it has to be.
fn wanted_stream(name: &str, prefix: &str) -> Config {
    Config {
        name: format!("{name}-jobs"),
        subjects: vec![format!("{prefix}>")],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages_per_subject: 1,
        // The subject and room to spare; results never go through here.
        max_message_size: (MAX_BODY + 4096) as i32,
        description: Some("Jobs of fedseal runs, one subject each.".into()),
        ..Config::default()
    }
}

async fn stream(context: &Context, engine: &str, name: &str, prefix: &str) -> Result<Stream> {
    let wanted = wanted_stream(name, prefix);
    let found = match context.get_stream(&wanted.name).await {
        Ok(found) => found,
        Err(error) => {
            let missing = matches!(
                error.kind(),
                GetStreamErrorKind::JetStream(it) if it.error_code() == ErrorCode::STREAM_NOT_FOUND
            );
            if !missing {
                return Err(unreachable(engine, &error));
            }
            // Of two that make it at once with equal settings both succeed.
            let made = context.create_stream(wanted.clone()).await;
            made.map_err(|error| unreachable(engine, &error))?
        }
    };
    let has = &found.cached_info().config;
    refuse(
        engine,
        &format!("stream {}", wanted.name),
        &[
            different("subjects", &wanted.subjects, &has.subjects),
            different("retention", &wanted.retention, &has.retention),
            different("storage", &wanted.storage, &has.storage),
            different("discard", &wanted.discard, &has.discard),
            different(
                "discard_new_per_subject",
                &wanted.discard_new_per_subject,
                &has.discard_new_per_subject,
            ),
            different(
                "max_msgs_per_subject",
                &wanted.max_messages_per_subject,
                &has.max_messages_per_subject,
            ),
            // A job that is too old would vanish while it is done.
            different("max_age", &wanted.max_age, &has.max_age),
        ],
    )?;
    Ok(found)
}

async fn consumer(
    stream: &Stream,
    engine: &str,
    prefix: &str,
    lease: Duration,
) -> Result<PullConsumer> {
    let wanted = pull::Config {
        durable_name: Some(CONSUMER.into()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: lease,
        // Unlimited: a job out of deliveries would stay stored for ever. Attempts are counted elsewhere.
        max_deliver: -1,
        max_ack_pending: -1,
        max_waiting: MAX_WAITING,
        filter_subject: format!("{prefix}>"),
        ..pull::Config::default()
    };
    // Never "create or update": that would change a lease under everybody who has one.
    let made = stream.create_consumer_strict(wanted.clone()).await;
    let found: PullConsumer = match made {
        Ok(made) => made,
        Err(first) => match stream.get_consumer(CONSUMER).await {
            Ok(found) => found,
            Err(_) => return Err(unreachable(engine, &first)),
        },
    };
    let has = &found.cached_info().config;
    refuse(
        engine,
        &format!("consumer {CONSUMER}"),
        &[
            different("ack_wait (the lease)", &wanted.ack_wait, &has.ack_wait),
            different("ack_policy", &wanted.ack_policy, &has.ack_policy),
            different(
                "deliver_policy",
                &wanted.deliver_policy,
                &has.deliver_policy,
            ),
            different(
                "filter_subject",
                &wanted.filter_subject,
                &has.filter_subject,
            ),
            different("max_deliver", &wanted.max_deliver, &has.max_deliver),
            different(
                "max_ack_pending",
                &wanted.max_ack_pending,
                &has.max_ack_pending,
            ),
            different("backoff", &wanted.backoff, &has.backoff),
            different(
                "inactive_threshold",
                &wanted.inactive_threshold,
                &has.inactive_threshold,
            ),
        ],
    )?;
    Ok(found)
}

fn different<T: PartialEq + std::fmt::Debug>(name: &str, wanted: &T, found: &T) -> Option<String> {
    (wanted != found).then(|| format!("{name} is {found:?} and has to be {wanted:?}"))
}

fn refuse(engine: &str, what: &str, all: &[Option<String>]) -> Result<()> {
    let all: Vec<&str> = all.iter().flatten().map(String::as_str).collect();
    match all.is_empty() {
        true => Ok(()),
        false => Err(Error::Unfit {
            engine: engine.to_owned(),
            detail: format!(
                "its {what} is there with other settings: {}. Take another queue (?queue=NAME), or remove it",
                all.join("; ")
            ),
        }),
    }
}

fn unreachable(engine: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Unreachable {
        engine: engine.to_owned(),
        detail: words(error),
    }
}

/// An error with what is below it.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        below = cause.source();
    }
    text
}
