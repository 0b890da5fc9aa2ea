//! Whole files: files written by pandas and pyarrow (`tests/data`), and broken ones.

use std::{io::Write as _, path::PathBuf};

use serde_json::Value;

use super::*;
use crate::TuningError;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn read(path: &std::path::Path) -> (DataFile, Vec<Conversation>) {
    let mut file = DataFile::open(path, &DataOptions::default()).unwrap();
    let conversations = file.by_ref().collect::<Result<_, _>>().unwrap();
    (file, conversations)
}

fn as_json(conversations: &[Conversation]) -> Value {
    let turns = |conversation: &Conversation| {
        let turn = |message: &Message| serde_json::json!([message.role.name(), message.content]);
        Value::Array(conversation.messages.iter().map(turn).collect())
    };
    Value::Array(conversations.iter().map(turns).collect())
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn files_of_pandas_and_pyarrow_give_what_was_written() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    let files = [
        ("alpaca.json", DataFormat::Json, Layout::Alpaca),
        ("alpaca.jsonl", DataFormat::Jsonl, Layout::Alpaca),
        ("alpaca.parquet", DataFormat::Parquet, Layout::Alpaca),
        ("alpaca-delta.parquet", DataFormat::Parquet, Layout::Alpaca),
        ("sharegpt.json", DataFormat::Json, Layout::ShareGpt),
        ("sharegpt.parquet", DataFormat::Parquet, Layout::ShareGpt),
        ("messages.jsonl", DataFormat::Jsonl, Layout::Messages),
        ("messages.parquet", DataFormat::Parquet, Layout::Messages),
        ("lmsys.parquet", DataFormat::Parquet, Layout::Lmsys),
        ("wildchat.parquet", DataFormat::Parquet, Layout::WildChat),
        ("alpaca-json.parquet", DataFormat::Parquet, Layout::Alpaca),
        (
            "messages-map.parquet",
            DataFormat::Parquet,
            Layout::Messages,
        ),
        (
            "sharegpt-lz4.parquet",
            DataFormat::Parquet,
            Layout::ShareGpt,
        ),
        ("messages.arrow", DataFormat::Arrow, Layout::Messages),
        ("alpaca.arrow", DataFormat::Arrow, Layout::Alpaca),
    ];
    for (name, format, layout) in files {
        let (file, conversations) = read(&fixture(name));
        assert_eq!(
            (file.format(), file.layout()),
            (format, Some(layout)),
            "{name}"
        );
        let (key, skipped) = match layout {
            Layout::Alpaca => ("alpaca", 4),
            _ => ("chats", 0),
        };
        assert_eq!(as_json(&conversations), expected[key], "{name}");
        assert_eq!(file.skipped(), skipped, "{name}");
    }
}

#[test]
fn errors_name_file_row_and_field_and_reading_goes_on() {
    let good = "{\"prompt\": \"a\", \"response\": \"b\"}";
    let lines = file(format!("{good}\n\n{{\"prompt\": 3}}\n{good}\nnonsense\n{good}").as_bytes());
    let results: Vec<_> = DataFile::open(lines.path(), &DataOptions::default())
        .unwrap()
        .collect();
    let name = lines.path().display();
    let messages: Vec<String> = results
        .iter()
        .filter_map(|result| result.as_ref().err().map(ToString::to_string))
        .collect();
    assert_eq!(results.len(), 5);
    assert_eq!(
        messages[0],
        format!("{name}, row 3, field prompt: a number, where a text is expected")
    );
    assert!(messages[1].starts_with(&format!("{name}, row 5, field row: broken JSON")));
    let list = file(format!("[{good},\n {good}, {{\"prompt\": \"x\"}}, {good}]").as_bytes());
    let results: Vec<_> = DataFile::open(list.path(), &DataOptions::default())
        .unwrap()
        .collect();
    assert_eq!(results.len(), 4);
    let error = results[2].as_ref().unwrap_err().to_string();
    assert!(
        error.ends_with("row 3, field completion: missing"),
        "{error}"
    );
}

#[test]
fn rows_beyond_the_limit_are_refused_and_not_held() {
    let long = "x".repeat(200_000);
    let row = |text: &str| format!("{{\"prompt\": \"{text}\", \"response\": \"b\"}}");
    let options = DataOptions {
        layout: Some(Layout::Pairs),
        max_row_bytes: 1000,
    };
    let bad = |result: &Result<Conversation, TuningError>| {
        let error = result.as_ref().unwrap_err().to_string();
        assert!(
            error.contains("row 2") && error.contains("1000 bytes"),
            "{error}"
        );
    };
    for text in [
        format!("{}\n{}\n{}", row("a"), row(&long), row("c")),
        format!("[{},{},{}]", row("a"), row(&long), row("c")),
    ] {
        let results: Vec<_> = DataFile::open(file(text.as_bytes()).path(), &options)
            .unwrap()
            .collect();
        assert_eq!(results.len(), 3);
        bad(&results[1]);
        assert!(results[2].is_ok());
    }
    let tight = DataOptions {
        max_row_bytes: 40,
        ..DataOptions::default()
    };
    let rows: Vec<_> = DataFile::open(&fixture("sharegpt.parquet"), &tight)
        .unwrap()
        .collect();
    assert_eq!(rows.len(), 40);
    assert!(rows.iter().all(|row| {
        let error = row.as_ref().err().map(ToString::to_string);
        error.is_some_and(|error| error.contains("40 bytes"))
    }));
}

/// The first error of a file, on opening or on reading it.
fn problem(bytes: &[u8]) -> String {
    let file = file(bytes);
    let error = match DataFile::open(file.path(), &DataOptions::default()) {
        Ok(mut rows) => rows.find_map(Result::err),
        Err(error) => Some(error),
    };
    error.map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn files_that_are_none_say_so() {
    assert!(problem(b"hello").contains("neither"));
    assert!(problem(b"[{\"a\": 1}]").contains("layout"));
    assert!(problem(b"[{\"a\": 1}").contains("cut off"));
    assert!(problem(b"PAR1PAR1").contains("too short"));
    assert!(problem(b"PAR1\xff\xff\xff\x7fPAR1").contains("footer"));
    let mark = file(b"\xef\xbb\xbf{\"prompt\": \"a\", \"response\": \"b\"}");
    assert_eq!(read(mark.path()).1.len(), 1);
    for (bytes, name) in [
        (b"\xff\xfe{\0\"\0".as_slice(), "UTF-16"),
        (b"{\0\"\0a\0", "UTF-16"),
        (b"\xfd7zXZ\0\0", "xz"),
        (b"PK\x03\x04", "zip"),
        (b"PAR1....PARE", "encrypted"),
        (b"PARE....PARE", "encrypted"),
        (b"prompt,response\na,b\n", "CSV"),
        (b"ORC\x11", "ORC"),
    ] {
        let problem = problem(bytes);
        assert!(problem.contains(name), "{name}: {problem}");
    }
    for bytes in [b"".as_slice(), b"  \n ", b"[]", b" [ ] \n"] {
        let file = file(bytes);
        assert_eq!(read(file.path()).1, [], "{bytes:?}");
    }
}

#[test]
fn compressed_texts_are_read() {
    let text =
        b"{\"prompt\": \"a\", \"response\": \"b\"}\n{\"prompt\": \"c\", \"response\": \"d\"}\n";
    let gzip = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let (one, two) = text.split_at(20);
    let members = [gzip(one), gzip(two)].concat();
    let frame = |bytes: &[u8]| {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    };
    let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    let frames = [frame(one), skipped, frame(two)].concat();
    let plain = read(file(text).path()).1;
    assert_eq!(plain.len(), 2);
    for packed in [&members, &frames] {
        let packed = file(packed);
        assert_eq!(read(packed.path()).1, plain);
    }
    let cut = &members[..members.len() - 12];
    assert!(problem(cut).contains("field file"), "{}", problem(cut));
    let list = gzip(b"[{\"prompt\": \"a\", \"response\": \"b\"}]");
    assert_eq!(read(file(&list).path()).0.format(), DataFormat::Json);
    assert!(problem(&gzip(b"PAR1 and so on")).contains("unpack"));
    assert!(problem(&gzip(b"a,b\n1,2\n")).contains("CSV"));
}

/// A bad row costs itself alone, the first of a file too.
#[test]
fn reading_goes_on_behind_a_bad_row() {
    let good = "{\"prompt\": \"a\", \"response\": \"b\"}";
    for bad in [
        "{\"prompt\": \"a\", \"response\": tru}",
        "{\"prompt\": [\"a\", \"response\": \"b\"}",
        "{\"prompt\": \"a, \"response\": \"b\"}",
        "{\"prompt\": \"a\", \"response\": \"b}",
        "{\"prompt\": 1}",
        "{}",
        "7",
        "",
    ] {
        let list = file(format!("[{bad},\n{good},\n{bad},\n{good},{good}\n]").as_bytes());
        let mut rows = DataFile::open(list.path(), &DataOptions::default()).unwrap();
        let read: Vec<_> = rows.by_ref().collect();
        let good_rows = read.iter().filter(|row| row.is_ok()).count();
        assert_eq!((good_rows, rows.bad()), (3, 2), "{bad}");
    }
    let more = file(format!("[{good}] x").as_bytes());
    let rows: Vec<_> = DataFile::open(more.path(), &DataOptions::default())
        .unwrap()
        .collect();
    assert!(rows[0].is_ok());
    assert!(
        rows[1]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("more follows")
    );
}

/// Whichever byte of a file is changed and wherever it is cut, the file is read or refused: there
/// is no panic, and the reader terminates.
#[test]
fn broken_files_are_errors() {
    for name in [
        "alpaca.parquet",
        "alpaca-delta.parquet",
        "messages.parquet",
        "lmsys.parquet",
        "sharegpt.parquet",
        "messages-map.parquet",
        "alpaca-json.parquet",
        "messages.arrow",
        "alpaca.arrow",
        "alpaca.json",
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let mut state = 7u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        for round in 0..400 {
            let mut bytes = whole.clone();
            if round % 4 == 0 {
                bytes.truncate(random(bytes.len()));
            } else {
                for _ in 0..=round % 3 {
                    let at = random(bytes.len());
                    bytes[at] ^= 1 << random(8);
                }
            }
            let file = file(&bytes);
            if let Ok(rows) = DataFile::open(file.path(), &DataOptions::default()) {
                assert!(rows.take(10_000).count() < 10_000, "{name}, round {round}");
            }
        }
    }
}
