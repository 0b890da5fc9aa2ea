//! report.json as the server reads it: its index, and the parts that are sent of the file. It is read once for
//! each of its versions, in pieces; a part is read from its place in the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use fedseal_client_sdk::digest::Digest;
use fedseal_record::report::{Content, Index, Place, Rate, State};
use fedseal_record::rundir::{MAX_REPORT, RunDir};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::fault::Fault;
use super::files::{self, Stamp};
use super::represent::tag;

/// Characters of a title, a name or a label that the list shows.
const MOST_TEXT: usize = 200;
/// Reports of at most so many bytes are read at once: a small one costs less than the way of its pieces.
const AT_ONCE: u64 = 256 << 10;
/// Bytes that are read of a larger one at a time while it is sent.
const PIECE: usize = 64 << 10;

/// A report that was read.
#[derive(Debug)]
pub(super) struct Reading {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The file that they were in.
    pub stamp: Stamp,
    /// Its content; else the reason why it is no report.
    pub shown: Result<Shown, String>,
}

/// Content of a report.
#[derive(Debug)]
pub(super) struct Shown {
    /// Part of it that the list shows.
    pub outline: Outline,
    /// Its index, and the places of its parts.
    pub content: Content,
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
    let unread = |error: io::Error| Fault::io("report.json", &error);
    let large = || {
        let problem = format!("is larger than {MAX_REPORT} bytes, the most that is read of it");
        Fault::unread("report.json", problem)
    };
    let (file, stamp) = files::open(&dir.root, "report.json").map_err(unread)?;
    if stamp.length() > MAX_REPORT {
        return Err(large());
    }
    // It may have grown since.
    let index = Index::read(file.take(MAX_REPORT + 1)).map_err(unread)?;
    if index.length > MAX_REPORT {
        return Err(large());
    }
    let shown = index.content.and_then(|content| {
        let outline = serde_json::from_str::<Outline>(&content.body);
        let mut outline = outline.map_err(|error| error.to_string())?;
        outline.arms.updates = content.updates;
        Ok(Shown { outline, content })
    });
    Ok(Reading {
        digest: index.digest,
        stamp,
        shown,
    })
}

/// Text of a part of the report's list of rounds, up to `most` bytes but one round at least, and how many rounds
/// it has. `None` where the file is not the one that was read.
///
/// # Errors
/// Any error of the system.
pub(super) fn part(
    dir: &RunDir,
    reading: &Reading,
    rounds: &[Place],
    most: u64,
) -> io::Result<Option<(String, usize)>> {
    let Some(first) = rounds.first() else {
        return Ok(Some(("[]".into(), 0)));
    };
    let fits = |place: &&Place| place.end - first.start <= most;
    let count = 1 + rounds.iter().skip(1).take_while(fits).count();
    let end = rounds.get(count - 1).unwrap_or(first).end;
    let (mut file, stamp) = files::open(&dir.root, "report.json")?;
    if stamp != reading.stamp {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(first.start))?;
    let mut text = vec![b'['];
    let length = (&file).take(end - first.start).read_to_end(&mut text)?;
    text.push(b']');
    let now = Stamp::of(&file.metadata()?);
    if !now.is_of_the_bytes_of(&stamp) || length as u64 != end - first.start {
        return Ok(None);
    }
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(Some((text, count)))
}

/// The report's bytes, with the server's words in front of its fields: `{"served":…,` and the rest.
/// `None` where the file is not the one that was read.
///
/// # Errors
/// Any error of the system.
pub(super) fn send(
    dir: &RunDir,
    reading: &Reading,
    content: &Content,
    served: &impl Serialize,
) -> io::Result<Option<Response>> {
    let (mut file, stamp) = files::open(&dir.root, "report.json")?;
    if stamp != reading.stamp {
        return Ok(None);
    }
    let head = head(served)?;
    // Of the file's digest and the words before it.
    let tag = tag(&[head.as_slice(), reading.digest.to_string().as_bytes()].concat());
    let rest = content.start + 1;
    let length = head.len() as u64 + stamp.length().saturating_sub(rest);
    file.seek(SeekFrom::Start(rest))?;
    let body = if length <= AT_ONCE {
        let mut bytes = head;
        (&file).take(length).read_to_end(&mut bytes)?;
        if !Stamp::of(&file.metadata()?).is_of_the_bytes_of(&stamp) || bytes.len() as u64 != length
        {
            return Ok(None);
        }
        Body::from(bytes)
    } else {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            if sender.send(Ok(Bytes::from(head))).await.is_ok() {
                pieces(file, stamp, &sender).await;
            }
        });
        Body::from_stream(ReceiverStream::new(receiver))
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (header::ETAG, tag),
    ];
    Ok(Some((headers, body).into_response()))
}

/// The report's index, with the server's words in front of its fields.
///
/// # Errors
/// Words that are no JSON.
pub(super) fn index(
    reading: &Reading,
    content: &Content,
    served: &impl Serialize,
) -> io::Result<Response> {
    let mut bytes = head(served)?;
    let tag = tag(&[bytes.as_slice(), b"index", reading.digest.as_bytes()].concat());
    bytes.extend_from_slice(content.body.get(1..).unwrap_or("}").as_bytes());
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::ETAG, tag),
    ];
    Ok((headers, bytes).into_response())
}

/// The server's words, in front of an object's other fields.
fn head(served: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut head = br#"{"served":"#.to_vec();
    serde_json::to_writer(&mut head, served)?;
    head.push(b',');
    Ok(head)
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
}

fn arms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arms, D::Error> {
    // An index has few.
    let arms = Vec::<Arm>::deserialize(deserializer)?.into_iter();
    Ok(Arms {
        safety: arms
            .filter_map(|arm| Some((arm.id.0, arm.safety?)))
            .collect(),
        updates: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outline(value: serde_json::Value) -> Result<Outline, String> {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        std::fs::write(run.report(), value.to_string()).unwrap();
        read(&run).unwrap().shown.map(|shown| shown.outline)
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
    fn a_report_may_be_deep_and_has_no_words_of_the_server() {
        // What is skipped is skipped without a stack.
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        let (open, shut) = ("[".repeat(1 << 20), "]".repeat(1 << 20));
        let deep = report(json!([]))
            .to_string()
            .replace("[[[[1]]]]", &(open + &shut));
        std::fs::write(run.report(), deep).unwrap();
        assert!(read(&run).unwrap().shown.is_ok());
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
