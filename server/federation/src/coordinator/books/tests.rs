//! Books over a folder: who gets in, and what a command may do when.

use super::*;
use crate::protocol::{Brought, OLDEST, VERSION};
use fedseal_client_sdk::keys::SigningKey;

const ROSTER: &str = "arms = [\"clean\"]\n[federation]\nrounds = 2\n[federation.nodes]\n\
    [[clients]]\nname = \"north\"\n[[clients]]\nname = \"south\"\n";
const OPEN: &str =
    "arms = [\"clean\"]\n[federation]\nclients = 2\nsampled = 2\nrounds = 2\n[federation.nodes]\n";
const SITE: &str = "allow = []\n";

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed([seed; 32]).public()
}

fn books() -> (tempfile::TempDir, Books) {
    let dir = tempfile::tempdir().unwrap();
    let books = Books::open(dir.path().join("federations")).unwrap();
    (dir, books)
}

fn request(invitation: &Invitation, names: &[&str]) -> Enrol {
    Enrol {
        protocol: VERSION,
        secret: invitation.secret.clone(),
        shards: names
            .iter()
            .map(|name| Brought {
                name: (*name).to_owned(),
                shard: Digest::of(name.as_bytes()),
                examples: 8,
            })
            .collect(),
        site: SITE.into(),
    }
}

/// Text of the files about a federation's nodes.
fn written(books: &Books, name: &str) -> String {
    let files = std::fs::read_dir(books.root.join(name)).unwrap().flatten();
    let kept = files.filter(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        name == "state.json" || name.starts_with("changes-")
    });
    kept.map(|file| std::fs::read_to_string(file.path()).unwrap())
        .collect()
}

fn said<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn an_invitation_lets_one_node_in_once() {
    let (_dir, books) = books();
    books.create("tiny", ROSTER, None, key(9)).unwrap();
    let north = books.invite("tiny", Some("north".into())).unwrap();
    assert_eq!(north.coordinator, key(9));
    let any = books.invite("tiny", None).unwrap();
    // Nothing of a secret is in the folder.
    let written = written(&books, "tiny");
    assert!(!written.contains(&north.secret) && written.contains("\"hash\""));

    let enrol = |by: u8, request: &Enrol| books.enrol("tiny", key(by), request);
    let wrong = Enrol {
        secret: "x".into(),
        ..request(&north, &["north"])
    };
    assert!(said(enrol(1, &wrong)).contains("nobody made this invitation"));
    assert!(said(enrol(1, &request(&north, &["south"]))).contains("for north alone"));
    assert!(said(enrol(9, &request(&north, &["north"]))).contains("coordinator's key"));
    let older = Enrol {
        protocol: 0,
        ..request(&north, &["north"])
    };
    assert!(said(enrol(1, &older)).contains("version 0"));
    let named = Enrol {
        site: "[[allow]]\nname = \"a\"\nsigners = [\"author\"]\nshards = [\"*\"]\n".into(),
        ..request(&north, &["north"])
    };
    assert!(said(enrol(1, &named)).contains("signer \"author\""));

    // A node of the release before is answered in its version.
    let before = Enrol {
        protocol: OLDEST,
        ..request(&north, &["north"])
    };
    assert_eq!(enrol(1, &before).unwrap().protocol, OLDEST);
    // An answer that was lost is asked for again; another node, or another shard, has no use of it.
    enrol(1, &request(&north, &["north"])).unwrap();
    assert!(said(enrol(2, &request(&north, &["north"]))).contains("used already"));
    let mut other = request(&north, &["north"]);
    other.shards[0].examples = 9;
    assert!(said(enrol(1, &other)).contains("used already"));
    assert!(said(enrol(2, &request(&any, &["north"]))).contains("is taken"));
    assert!(said(enrol(2, &request(&any, &["west"]))).contains("no place for west"));
    assert!(said(enrol(2, &request(&any, &["south", "south"]))).contains("two shards of one name"));
    assert!(said(books.invite("tiny", Some("north".into()))).contains("is taken"));

    assert!(said(books.event("tiny", Event::Start, None)).contains("1 of 2 clients"));
    enrol(2, &request(&any, &["south"])).unwrap();
    let status = books.status("tiny", None).unwrap();
    assert_eq!((status.nodes.len(), status.places), (2, 2));
    assert!(status.missing.is_empty());
    assert_eq!(
        books.event("tiny", Event::Start, None).unwrap(),
        Phase::Running
    );
    let late = books.invite("tiny", None);
    assert!(said(late).contains("nobody enrols now"));
    let error = said(books.event("tiny", Event::Resume, None));
    assert!(
        error.contains("no `resume`") && error.contains("pause, stop"),
        "{error}"
    );
    // Who is in already hears so in any state.
    enrol(2, &request(&any, &["south"])).unwrap();
}

#[test]
fn open_places_go_to_whoever_is_invited_and_the_clients_follow_by_name() {
    let (_dir, books) = books();
    books.create("open", OPEN, None, key(9)).unwrap();
    let invitations: Vec<Invitation> = (0..3)
        .map(|_| books.invite("open", None).unwrap())
        .collect();
    let names = ["zoe", "adam", "late"];
    for (by, (invitation, name)) in (1..).zip(invitations.iter().zip(names)).take(2) {
        let request = request(invitation, &[name]);
        books.enrol("open", key(by), &request).unwrap();
    }
    let third = request(&invitations[2], &["late"]);
    assert!(said(books.enrol("open", key(3), &third)).contains("no place for late"));
    let experiment = books.experiment(&books.read("open").unwrap()).unwrap();
    let clients: Vec<&str> = experiment
        .clients
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(clients, ["adam", "zoe"]);
    books.event("open", Event::Start, None).unwrap();
    books
        .event("open", Event::Fail, Some("the disk is full"))
        .unwrap();
    let status = books.status("open", None).unwrap();
    assert_eq!(status.failure.as_deref(), Some("the disk is full"));
    books.event("open", Event::Resume, None).unwrap();
    assert_eq!(books.read("open").unwrap().failure, None);
}

#[test]
fn a_key_is_given_up_once_and_before_the_start_its_place_is_free_again() {
    let (_dir, books) = books();
    books.create("tiny", ROSTER, None, key(9)).unwrap();
    let enrol = |by: u8, name: &str| {
        let invitation = books.invite("tiny", None).unwrap();
        books.enrol("tiny", key(by), &request(&invitation, &[name]))
    };
    enrol(1, "north").unwrap();
    enrol(2, "south").unwrap();
    let contact = Contact {
        protocol: VERSION,
        program: "fedseal/0.0.0".into(),
        ahead: -2,
    };
    books.heard("tiny", &key(1), contact.clone());
    let done = Jobs {
        done: 3,
        ..Jobs::default()
    };
    books
        .keep_jobs("tiny", &BTreeMap::from([(key(1), done)]))
        .unwrap();
    // The server itself, and a command without it.
    for books in [&books, &Books::open(&books.root).unwrap()] {
        let nodes = books.status("tiny", None).unwrap().nodes;
        let [north, south] = &nodes[..] else {
            panic!("{nodes:?}");
        };
        assert!(north.asked.is_some_and(|ago| ago < 60) && south.asked.is_none());
        assert_eq!(
            [north.health, south.health],
            [Health::Fresh, Health::Silent]
        );
        assert_eq!(
            (north.contact.as_ref(), &south.contact),
            (Some(&contact), &None)
        );
        assert_eq!([north.jobs, south.jobs], [Some(done), None]);
    }
    assert!(said(books.revoke("tiny", "west", "lost")).contains("nobody enrolled as west"));
    books.revoke("tiny", "north", "lost").unwrap();
    enrol(3, "north").unwrap();
    books.event("tiny", Event::Start, None).unwrap();
    books.revoke("tiny", "north", "stolen").unwrap();
    let north = books.read("tiny").unwrap().members["north"].clone();
    assert_eq!(
        (north.member.key, north.revoked.as_deref()),
        (key(3), Some("stolen"))
    );
    let again = said(books.revoke("tiny", "north", "again"));
    assert!(again.contains("revoked already: stolen"), "{again}");
    books.event("tiny", Event::Stop, None).unwrap();
    assert!(said(books.revoke("tiny", "south", "late")).contains("is stopped"));
}

#[test]
fn what_is_no_federation_is_refused() {
    let (_dir, books) = books();
    let no_nodes = books.create("x", "arms = [\"clean\"]\n", None, key(9));
    assert!(said(no_nodes).contains("[federation.nodes]"));
    let named = books.create("a/b", ROSTER, None, key(9));
    assert!(said(named).contains("cannot be the name"));
    let own = ROSTER.replace("\"south\"\n", "\"south\"\nmodule = \"own.wasm\"\n");
    assert!(said(books.create("x", &own, None, key(9))).contains("of this machine"));
    books
        .create("x", &own, Some("/data".into()), key(9))
        .unwrap();
    assert!(said(books.create("x", ROSTER, None, key(9))).contains("already"));
    assert!(said(books.read("none")).contains("there is no federation none"));
    assert_eq!(books.names().unwrap(), ["x"]);
}

/// Books in memory, as far as the system has such a folder: thousands of changes are each synced to the disk.
fn fast_books() -> (tempfile::TempDir, Books) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap();
    let books = Books::open(dir.path().join("federations")).unwrap();
    (dir, books)
}

#[test]
fn ten_thousand_enrolments_write_as_much_as_they_say() {
    const NODES: usize = 10_000;
    let (_dir, books) = fast_books();
    let open = OPEN.replace(
        "clients = 2\nsampled",
        &format!("clients = {NODES}\nsampled"),
    );
    books.create("open", &open, None, key(9)).unwrap();
    let folder = books.root.join("open");
    let length = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    // Bytes of states, and of changes, that were written so far.
    let (mut states, mut changes) = (0, 0);
    let mut before = (String::new(), 0);
    let mut look = || {
        let files = std::fs::read_dir(&folder).unwrap().flatten();
        let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        let Some(name) = names.find(|name| name.starts_with("changes-")) else {
            return (states, changes);
        };
        let now = length(&folder.join(&name));
        match before.0 == name {
            true => changes += now - before.1,
            false => {
                states += length(&folder.join("state.json"));
                changes += now;
            }
        }
        before = (name, now);
        (states, changes)
    };
    let mut halfway = 0;
    for number in 0..NODES {
        let invitation = books.invite("open", None).unwrap();
        let node = SigningKey::from_seed(Digest::of(&number.to_le_bytes()).0).public();
        let name = format!("node-{number:05}");
        let request = request(&invitation, &[name.as_str()]);
        books.enrol("open", node, &request).unwrap();
        let (states, changes) = look();
        if number + 1 == NODES / 2 {
            halfway = states + changes;
        }
    }
    let (states, changes) = look();
    // Twice the nodes write twice as much, as far as whole states come at other moments.
    let all = states + changes;
    assert!(all < 3 * halfway, "{all} bytes, {halfway} of half of them");
    let each = all / NODES as u64;
    assert!(
        each < 4096,
        "{each} bytes for each of them: {states} of states, {changes} of changes"
    );

    // Whoever comes new reads the same.
    let federation = books.read("open").unwrap();
    assert_eq!(federation.members.len(), NODES);
    assert!(
        federation.changes > 0,
        "changes are taken into the state now and then"
    );
    let other = Books::open(&books.root).unwrap();
    assert_eq!(other.read("open").unwrap(), federation);
}

#[test]
fn what_a_crash_left_is_no_change_and_others_read_on() {
    let (_dir, books) = books();
    books.create("tiny", ROSTER, None, key(9)).unwrap();
    let other = Books::open(&books.root).unwrap();
    assert_eq!(other.phase("tiny").unwrap(), Phase::Enrolling);
    let enrol = |books: &Books, by: u8, name: &str| {
        let invitation = books.invite("tiny", None).unwrap();
        books
            .enrol("tiny", key(by), &request(&invitation, &[name]))
            .unwrap();
    };
    enrol(&books, 1, "north");
    assert_eq!(other.standing("tiny", &key(1)).unwrap(), Standing::Node);
    assert_eq!(other.standing("tiny", &key(2)).unwrap(), Standing::Stranger);

    let file = books.root.join("tiny/changes-0.jsonl");
    let whole = std::fs::read(&file).unwrap();
    for torn in ["{\"enrolled\":{\"invi", "{\"enrolled\":\u{0}\u{0}\u{0}}\n"] {
        std::fs::write(&file, [&whole[..], torn.as_bytes()].concat()).unwrap();
        for books in [&books, &other, &Books::open(&books.root).unwrap()] {
            assert_eq!(books.read("tiny").unwrap().members.len(), 1, "{torn:?}");
        }
    }
    // The next change takes its place.
    enrol(&other, 2, "south");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(std::str::from_utf8(&whole).unwrap()) && !text.contains('\u{0}'));
    assert_eq!(books.read("tiny").unwrap().members.len(), 2);
    books.event("tiny", Event::Start, None).unwrap();
    books.revoke("tiny", "south", "stolen").unwrap();
    let stolen = Standing::Revoked("stolen".into());
    assert_eq!(other.standing("tiny", &key(2)).unwrap(), stolen);
    assert_eq!(
        other.revoked("tiny").unwrap(),
        [(key(2), "stolen".to_owned())]
    );

    // What is bad in the middle is no crash's doing.
    let bad = String::from_utf8(whole)
        .unwrap()
        .replacen("hash", "hush", 1);
    std::fs::write(&file, bad).unwrap();
    let fresh = Books::open(&books.root).unwrap();
    assert!(said(fresh.read("tiny")).contains("changes-0.jsonl"));
}

#[test]
fn a_state_of_the_release_before_is_read_and_goes_on() {
    let (_dir, books) = books();
    books.create("tiny", ROSTER, None, key(9)).unwrap();
    let invitation = books.invite("tiny", None).unwrap();
    books
        .enrol("tiny", key(1), &request(&invitation, &["north"]))
        .unwrap();
    let mut before = books.read("tiny").unwrap();
    let folder = books.root.join("tiny");
    // Format 1 had everything in one file.
    before.format = 1;
    std::fs::remove_file(folder.join("changes-0.jsonl")).unwrap();
    book::write_state(&folder, &before).unwrap();
    let text = std::fs::read_to_string(folder.join("state.json")).unwrap();
    assert!(!text.contains("changes"), "{text}");
    let after = Books::open(&books.root).unwrap();
    assert_eq!(after.read("tiny").unwrap(), before);
    let invitation = after.invite("tiny", None).unwrap();
    after
        .enrol("tiny", key(2), &request(&invitation, &["south"]))
        .unwrap();
    // A program of before refuses it by its format, and does not pass over what is beside it.
    let text = std::fs::read_to_string(folder.join("state.json")).unwrap();
    assert!(
        text.contains("\"format\":2") && text.contains("\"changes\":1"),
        "{text}"
    );
    let members = Books::open(&books.root)
        .unwrap()
        .read("tiny")
        .unwrap()
        .members;
    assert_eq!(members.len(), 2);
}
