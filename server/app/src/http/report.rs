//! report.json as the server reads it: the part that the list shows, taken out under bounds, and the
//! file itself, sent on in pieces.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::marker::PhantomData;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use fedseal_client_sdk::digest::Digest;
use fedseal_record::report::{Conclusion, Rate, State};
use fedseal_record::rundir::RunDir;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::fault::Fault;
use super::files::{self, Stamp};
use super::represent::tag;

/// The largest report that is read, bytes.
pub(super) const MAX_REPORT: u64 = 64 << 20;
/// The most columns of a report.
const MOST_ARMS: usize = 256;
/// Characters of a title, a name or a label that the list shows.
const MOST_TEXT: usize = 200;
/// Bytes that are read of a report at a time while it is sent.
const PIECE: usize = 64 << 10;

/// A report that was read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The file that they were in.
    pub stamp: Stamp,
    /// The place of its opening brace.
    start: u64,
    /// Part of it that the list shows; else the reason why it is no report.
    pub outline: Result<Outline, String>,
    /// Its figures in sentences; none of what is no report.
    pub conclusion: Option<Conclusion>,
}

/// Part of a report that the list shows. Everything else in it is skipped without being kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Outline {
    /// The experiment's title.
    pub title: Text,
    /// How far the run is.
    pub state: State,
    /// Steps done.
    pub progress: Progress,
    /// When it was created.
    pub started: Text,
    /// Seconds of work so far.
    pub seconds: f64,
    /// The base.
    pub base: Base,
    /// The columns.
    #[serde(deserialize_with = "arms")]
    pub arms: Arms,
    /// Whether it has a field of the name under which the server adds its own words.
    #[serde(default, deserialize_with = "present")]
    served: bool,
}

/// Steps done of steps in all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    done: u64,
    total: u64,
    label: Text,
}

/// The base model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Base {
    /// Its name.
    pub name: Text,
}

/// The columns of a report, summed up.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Arms {
    /// Final safety by arm, for the arms that have one.
    pub safety: BTreeMap<String, Rate>,
    /// Different updates in all of them.
    pub updates: usize,
}

/// A text, cut where it is longer than a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Text(String);

/// Reads report.json.
///
/// # Errors
/// [`Fault`] for a file that is missing, irregular or too large.
pub(super) fn read(dir: &RunDir) -> Result<Reading, Fault> {
    let (bytes, stamp) = files::read(&dir.root, "report.json", MAX_REPORT)
        .map_err(|error| Fault::io("report.json", &error))?;
    let outline = match serde_json::from_slice::<Outline>(&bytes) {
        Ok(outline) if outline.served => {
            Err("it has a field `served`, which is the server's".into())
        }
        Ok(outline) => Ok(outline),
        Err(error) => Err(error.to_string()),
    };
    let figures = outline.as_ref().ok().map(|_| Conclusion::read(&bytes));
    Ok(Reading {
        digest: Digest::of(&bytes),
        stamp,
        start: bytes.iter().position(|byte| *byte == b'{').unwrap_or(0) as u64,
        outline,
        conclusion: figures.and_then(Result::ok),
    })
}

/// The report's bytes, with the server's words in front of its fields: `{"served":…,` and the rest.
/// `None` where the file is not the one that was read.
///
/// # Errors
/// Any error of the system.
pub(super) fn send(
    dir: &RunDir,
    reading: &Reading,
    served: &impl Serialize,
) -> io::Result<Option<Response>> {
    let (mut file, stamp) = files::open(&dir.root, "report.json")?;
    if stamp != reading.stamp {
        return Ok(None);
    }
    let mut head = br#"{"served":"#.to_vec();
    serde_json::to_writer(&mut head, served)?;
    head.push(b',');
    // Of the file's digest and the words before it.
    let tag = tag(&[head.as_slice(), reading.digest.to_string().as_bytes()].concat());
    let rest = reading.start + 1;
    let length = head.len() as u64 + stamp.length().saturating_sub(rest);
    file.seek(SeekFrom::Start(rest))?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if sender.send(Ok(Bytes::from(head))).await.is_ok() {
            pieces(file, stamp, &sender).await;
        }
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (header::ETAG, tag),
    ];
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(Some((headers, body).into_response()))
}

/// Sends a file on, a piece at a time, for as long as somebody takes them. A piece is kept back until
/// the next is read, so that the last one is sent only if the file is still the one that was checked.
async fn pieces(file: File, stamp: Stamp, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut file = tokio::fs::File::from_std(file);
    let mut kept = Bytes::new();
    loop {
        let next = piece(&mut file, &stamp).await;
        let over = next.as_ref().map_or(true, Bytes::is_empty);
        let sent = next.map(|next| std::mem::replace(&mut kept, next));
        // Nothing is kept back before the first.
        let nothing = sent.as_ref().is_ok_and(Bytes::is_empty);
        if !nothing && sender.send(sent).await.is_err() {
            return;
        }
        if over {
            return;
        }
    }
}

/// The next bytes of a file that has not changed; none at its end.
async fn piece(file: &mut tokio::fs::File, stamp: &Stamp) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE];
    let length = file.read(&mut piece).await?;
    piece.truncate(length);
    if !Stamp::of(&file.metadata().await?).is_of_the_bytes_of(stamp) {
        return Err(io::Error::other("report.json changed while it was sent"));
    }
    Ok(piece.into())
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Text(text.chars().take(MOST_TEXT).collect()))
    }
}

#[derive(Deserialize)]
struct Arm {
    id: Text,
    #[serde(default)]
    safety: Option<Rate>,
    #[serde(deserialize_with = "rounds")]
    rounds: HashSet<Digest>,
}

#[derive(Deserialize)]
struct Round {
    #[serde(deserialize_with = "clients")]
    clients: HashSet<Digest>,
}

#[derive(Deserialize)]
struct Client {
    update: Option<Digest>,
}

fn arms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arms, D::Error> {
    let mut arms = Arms::default();
    let mut updates = HashSet::new();
    let mut count = 0;
    each(deserializer, |arm: Arm| {
        count += 1;
        if count > MOST_ARMS {
            return Err(format!("more than {MOST_ARMS} arms"));
        }
        updates.extend(arm.rounds);
        arms.safety
            .extend(arm.safety.map(|safety| (arm.id.0, safety)));
        Ok(())
    })?;
    arms.updates = updates.len();
    Ok(arms)
}

fn rounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashSet<Digest>, D::Error> {
    let mut updates = HashSet::new();
    each(deserializer, |round: Round| {
        updates.extend(round.clients);
        Ok(())
    })?;
    Ok(updates)
}

fn clients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashSet<Digest>, D::Error> {
    let mut updates = HashSet::new();
    each(deserializer, |client: Client| {
        updates.extend(client.update);
        Ok(())
    })?;
    Ok(updates)
}

/// Gives away a list's elements one by one, so that no list of them is ever in memory.
fn each<'de, D, T>(
    deserializer: D,
    take: impl FnMut(T) -> Result<(), String>,
) -> Result<(), D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Elements<F, T>(F, PhantomData<T>);
    impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), String>> Visitor<'de> for Elements<F, T> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(element) = seq.next_element()? {
                (self.0)(element).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    deserializer.deserialize_seq(Elements(take, PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outline(value: serde_json::Value) -> Result<Outline, String> {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        std::fs::write(run.report(), value.to_string()).unwrap();
        read(&run).unwrap().outline
    }

    fn report(arms: serde_json::Value) -> serde_json::Value {
        json!({
            "title": "x".repeat(5000), "state": "running", "started": "now", "seconds": 1.5,
            "progress": {"done": 1, "total": 2, "label": "step"}, "base": {"name": "b"},
            "arms": arms, "experiment": {"deep": [[[[1]]]]},
        })
    }

    #[test]
    fn only_what_a_list_shows_is_kept() {
        let update = Digest::of(b"one");
        let round = json!({"clients": [{"update": update}, {"update": null}]});
        let arm = |id: &str| json!({"id": id, "safety": null, "rounds": [round, round]});
        let read = outline(report(json!([arm("a"), arm("b")]))).unwrap();
        assert_eq!(read.arms.updates, 1);
        assert_eq!(read.title.0.len(), MOST_TEXT);
        let rate = Rate::new(1, 2);
        let read = outline(report(json!([{"id": "a", "safety": rate, "rounds": []}]))).unwrap();
        assert_eq!(read.arms.safety["a"], rate);
    }

    #[test]
    fn a_report_is_bounded_in_count_and_may_be_deep() {
        let arm = json!({"id": "a", "safety": null, "rounds": []});
        let most = outline(report(json!(vec![arm.clone(); MOST_ARMS]))).map(|read| read.state);
        assert_eq!(most, Ok(State::Running));
        let more = outline(report(json!(vec![arm; MOST_ARMS + 1])));
        assert!(more.unwrap_err().contains("arms"));
        // What is skipped is skipped without a stack.
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        let (open, shut) = ("[".repeat(1 << 20), "]".repeat(1 << 20));
        let deep = report(json!([]))
            .to_string()
            .replace("[[[[1]]]]", &(open + &shut));
        std::fs::write(run.report(), deep).unwrap();
        assert!(read(&run).unwrap().outline.is_ok());
        let mut own = report(json!([]));
        own["served"] = serde_json::Value::Null;
        assert!(outline(own).unwrap_err().contains("served"));
    }

    #[test]
    fn a_report_is_bounded_in_size() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        let file = File::create(run.report()).unwrap();
        file.set_len(MAX_REPORT + 1).unwrap();
        let fault = read(&run).unwrap_err();
        assert!(matches!(fault, Fault::Unread { .. }), "{fault:?}");
    }
}
