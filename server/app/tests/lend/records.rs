//! `fedseal serve --registry postgres://`: rows move into PostgreSQL, one server writes them, and a copy has them.

use std::fs;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_registry::{RegisteredModule, Registry};

use crate::Started;
use crate::engines::{Postgres, helper, port};
use crate::program::{ok, refused};

#[test]
fn records_move_into_postgresql_and_come_back_in_a_copy() {
    if !helper() {
        return;
    }
    let port = port();
    let Some(_server) = Postgres::start(port, "fedseal", "s3cret", "fedseal") else {
        return;
    };
    let url = format!("postgres://fedseal:s3cret@127.0.0.1:{port}/fedseal");
    let shown = format!("postgres://127.0.0.1:{port}/fedseal");
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let folder = home.join("keys/registry");
    fs::create_dir_all(&folder).unwrap();
    let module = RegisteredModule {
        digest: Digest::of(b"module"),
        name: "mine".into(),
        signer: SigningKey::from_seed([1; 32]).public(),
        envelope: Digest::of(b"envelope"),
        created: "2026-01-02T03:04:05Z".into(),
    };
    let database = Registry::open(folder.join("registry.sqlite")).unwrap();
    database.add_module(&module).unwrap();
    drop(database);
    let digest = module.digest.to_string();
    ok(home, &["module", "approve", &digest, "--reason", "before"]);

    let words = ["serve", "--addr", "127.0.0.1:0", "--registry", &url];
    let mut server = Started::new(home, &words);
    let said = server.says("registry.sqlite are in");
    assert!(said.contains(&shown) && !said.contains("s3cret"), "{said}");
    let token = server.says("the administrator's token");
    let token = token.rsplit(' ').next().unwrap();
    fs::write(home.join("token"), token).unwrap();
    let at = server.tells("serving");
    let at = at.rsplit(' ').next().unwrap();
    assert!(folder.join("registry.sqlite.moved").is_file());
    assert!(!folder.join("registry.sqlite").exists());

    let list = ["module", "list", "--registry", &url];
    assert!(ok(home, &list).contains("by the administrator: before"));
    // Without the address it is not an empty registry.
    let said = refused(home, &["module", "list"]);
    assert!(said.contains(&format!("registered in {shown}")), "{said}");
    // Beside the server nobody writes; the server does.
    let reject = ["module", "reject", &digest, "--reason"];
    let said = refused(
        home,
        &[&reject[..], &["beside", "--registry", &url]].concat(),
    );
    assert!(said.contains("another server writes it (process"), "{said}");
    let over = ["by the server", "--server", at, "--token-file", "token"];
    ok(home, &[&reject[..], &over].concat());
    assert!(ok(home, &list).contains("by the administrator: by the server"));

    ok(home, &["backup", "copy", "--registry", &url]);
    assert!(ok(home, &["backup", "--check", "copy"]).contains("the registry"));
    let copied = Registry::open(home.join("copy/registry/registry.sqlite")).unwrap();
    assert_eq!(copied.modules().unwrap(), [module]);
    assert_eq!(copied.decisions().unwrap().len(), 2);

    drop(server);
    ok(
        home,
        &[&reject[..], &["after it", "--registry", &url]].concat(),
    );
    assert!(ok(home, &list).contains("by the administrator: after it"));
}
