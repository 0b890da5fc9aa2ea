//! Kinds of files that are recognised and not read: the message names the kind and says what to do.

/// A kind, by the bytes that it begins with.
struct Kind {
    /// Place of the bytes in the file.
    at: usize,
    bytes: &'static [u8],
    name: &'static str,
    advice: &'static str,
}

const fn kind(bytes: &'static [u8], name: &'static str, advice: &'static str) -> Kind {
    Kind {
        at: 0,
        bytes,
        name,
        advice,
    }
}

const UNPACK: &str = "unpack it, or compress it with gzip or zstd";
const CONVERT: &str = "write it as Parquet, JSON or JSON Lines";
const UTF_8: &str = "write it in UTF-8";

/// Bytes of a file's beginning that [`unread`] looks at.
pub(super) const HEAD: usize = 512;

/// The longest beginnings first where one begins another.
const KINDS: &[Kind] = &[
    kind(b"\xff\xfe\0\0", "text in UTF-32", UTF_8),
    kind(b"\0\0\xfe\xff", "text in UTF-32", UTF_8),
    kind(b"\xff\xfe", "text in UTF-16", UTF_8),
    kind(b"\xfe\xff", "text in UTF-16", UTF_8),
    kind(b"{\0", "text in UTF-16", UTF_8),
    kind(b"[\0", "text in UTF-16", UTF_8),
    kind(b"\0{", "text in UTF-16", UTF_8),
    kind(b"\0[", "text in UTF-16", UTF_8),
    kind(b"\xfd7zXZ\0", "compressed with xz", UNPACK),
    kind(b"BZh", "compressed with bzip2", UNPACK),
    kind(b"\x04\x22\x4d\x18", "compressed with lz4", UNPACK),
    kind(b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    kind(
        b"PK\x03\x04",
        "a zip archive (or a file of Excel or numpy)",
        UNPACK,
    ),
    kind(b"FEA1", "Feather of version 1", CONVERT),
    kind(b"ORC", "Apache ORC", CONVERT),
    kind(b"Obj\x01", "Apache Avro", CONVERT),
    kind(b"SQLite format 3\0", "an SQLite database", CONVERT),
    kind(b"\x89HDF", "HDF5", CONVERT),
    kind(b"GGUF", "a GGUF model", "name a data file"),
    kind(
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file",
        "fetch the file with git lfs pull",
    ),
    kind(b"<", "HTML or XML", CONVERT),
    Kind {
        at: 257,
        bytes: b"ustar",
        name: "a tar archive",
        advice: UNPACK,
    },
];

/// Says what a file is whose beginning is no format that is read; `None` when it is not known.
pub(super) fn unread(head: &[u8]) -> Option<String> {
    let found = KINDS.iter().find(|kind| {
        head.get(kind.at..)
            .is_some_and(|rest| rest.starts_with(kind.bytes))
    });
    if let Some(found) = found {
        return Some(format!(
            "{}, which is not read; {}",
            found.name, found.advice
        ));
    }
    // Two fields or more in the first line of a text.
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let text = !line
        .trim_end()
        .contains(|c: char| c.is_control() && c != '\t');
    let separated = text && line.contains([',', '\t', ';']);
    separated.then(|| format!("CSV or another table of text, which is not read; {CONVERT}"))
}
