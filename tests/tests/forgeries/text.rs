//! Texts that mean something else to another reader: canonical JSON, base64, hex.

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::PublicKey;
use serde_json::Value;

use crate::Corpus;
use crate::envelopes::author;

pub(crate) fn forge(corpus: &mut Corpus) {
    json(corpus);
    base64(corpus);
    hex(corpus);
}

fn json(corpus: &mut Corpus) {
    let check = |bytes: &[u8]| canonical::from_slice::<Value>(bytes);
    for genuine in [
        "{\"a\":1,\"b\":[true,null,\"é\"]}",
        "1e-7",
        "18446744073709551615",
        "\"\\u001f\"",
    ] {
        check(genuine.as_bytes()).expect("canonical");
    }
    const OTHER: &str = "not canonical JSON";
    let texts = [
        ("{\"a\": 1}", OTHER),
        ("{ \"a\":1}", OTHER),
        (" 1", OTHER),
        ("1 ", OTHER),
        ("1\n", OTHER),
        ("[1, 2]", OTHER),
        ("{\"b\":1,\"a\":2}", OTHER),
        ("{\"a\":1,\"a\":1}", OTHER),
        ("{\"a\":1,\"a\":2}", OTHER),
        ("{\"a\":{\"c\":1,\"b\":1}}", OTHER),
        // Sorted by UTF-16, a surrogate pair comes before U+FFFF; by UTF-8 it comes after.
        ("{\"\u{ffff}\":1,\"\u{1f600}\":2}", OTHER),
        ("\"\\u0061\"", OTHER),
        ("\"\\u00e9\"", OTHER),
        ("\"\\/\"", OTHER),
        ("\"\\u001F\"", OTHER),
        ("\"\\u000a\"", OTHER),
        ("\"\\u0022\"", OTHER),
        ("\"\\ud83d\\ude00\"", OTHER),
        ("1.0", OTHER),
        ("1e2", OTHER),
        ("1E2", OTHER),
        ("100e0", OTHER),
        ("0.10", OTHER),
        ("-0.0", OTHER),
        ("1e+2", OTHER),
        ("0.0000001", OTHER),
        ("1e-07", OTHER),
        ("18446744073709551616", OTHER),
        ("0.1000000000000000055", OTHER),
        ("", "EOF"),
        ("{", "EOF"),
        ("{\"a\":1", "EOF"),
        ("\"a", "EOF"),
        ("nul", ""),
        ("NaN", "expected value"),
        ("Infinity", "expected value"),
        ("'a'", "expected value"),
        ("[1,]", ""),
        ("{\"a\":1,}", ""),
        ("{a:1}", "key must be a string"),
        ("{1:1}", "key must be a string"),
        ("01", "invalid number"),
        ("+1", "expected value"),
        (".5", "expected value"),
        ("1.", ""),
        ("0x10", "trailing characters"),
        ("1e400", "number out of range"),
        ("1 2", "trailing characters"),
        ("{}{}", "trailing characters"),
        ("// a\n1", "expected value"),
        ("1/* a */", "trailing characters"),
        ("\"\t\"", "control character"),
        ("\"\n\"", "control character"),
        ("\"\\x41\"", "invalid escape"),
        ("\"\\ud800\"", ""),
        ("\"\\udc00x\"", ""),
        ("\u{feff}1", "expected value"),
    ];
    for (text, reason) in texts {
        corpus.refuse(format!("JSON {text:?}"), reason, check(text.as_bytes()));
    }
    for (name, bytes) in [
        ("a byte that is no UTF-8", b"\"\xff\"".as_slice()),
        ("an overlong zero", b"\"\xc0\x80\""),
        ("half a surrogate pair", b"\"\xed\xa0\x80\""),
        ("UTF-16", b"\xff\xfe1\0"),
        ("a zero byte after it", b"1\0"),
    ] {
        corpus.refuse(format!("JSON with {name}"), "", check(bytes));
    }
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    corpus.refuse(
        "JSON 200 lists deep",
        "recursion limit",
        check(deep.as_bytes()),
    );
}

fn base64(corpus: &mut Corpus) {
    let check = |text: &str| {
        let mut envelope = Envelope::sign("t", b"hello", &author());
        envelope.payload = text.to_owned();
        envelope.verify(&[author().public()])
    };
    check("aGVsbG8=").expect("the one text of these bytes");
    for text in [
        "aGVsbG8==",
        "aGVsbG8=\n",
        "aGVsbG8= ",
        " aGVsbG8=",
        "aGVs bG8=",
        "aGVs\r\nbG8=",
        "aGVsbG9=",
        "aGVsbG+=",
        "aGVsb=8=",
        "=aGVsbG8",
        "aGVsbG8=aGVsbG8=",
        "aGVsbG8%3D",
        "aGVsbG8＝",
        "a",
        "=",
        "====",
    ] {
        corpus.refuse(format!("base64 {text:?}"), "not strict base64", check(text));
    }
}

fn hex(corpus: &mut Corpus) {
    let digest = Digest::of(b"hex").to_string();
    let key = author().public().to_string();
    for (what, good) in [("digest", digest), ("key", key)] {
        let mut case = |name: &str, text: String| {
            let reason = "lowercase hex";
            let name = format!("{what} {name}");
            if what == "digest" {
                corpus.refuse(name, reason, text.parse::<Digest>());
            } else {
                corpus.refuse(name, reason, text.parse::<PublicKey>());
            }
        };
        case("in capitals", good.to_uppercase());
        case("of nothing", String::new());
        case("cut by one digit", good[..63].into());
        case("cut by one byte", good[..62].into());
        case("longer by one byte", format!("{good}00"));
        case("with 0x", format!("0x{good}"));
        case("with a prefix", format!("sha256:{good}"));
        case("with a line end", format!("{good}\n"));
        case("with a space", format!("{} ", &good[..63]));
        case("with another letter", format!("g{}", &good[1..]));
        case("in other digits", format!("１{}", &good[3..]));
    }
}
