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
    let state = std::fs::read_to_string(books.stamp("tiny").unwrap()).unwrap();
    assert!(!state.contains(&north.secret));

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
    let status = books.status("tiny", &BTreeMap::new()).unwrap();
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
    let status = books.status("open", &BTreeMap::new()).unwrap();
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
    books.heard("tiny", &key(1));
    let asked = |n: usize| books.status("tiny", &BTreeMap::new()).unwrap().nodes[n].asked;
    assert!(asked(0).is_some_and(|ago| ago < 60) && asked(1).is_none());
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
