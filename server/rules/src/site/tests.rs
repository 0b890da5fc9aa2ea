use super::*;
use crate::admission::testing::Case;
use fedseal_client_sdk::keys::SigningKey;

fn author() -> PublicKey {
    SigningKey::from_seed([2; 32]).public()
}

fn rules(text: &str) -> SiteRules {
    let rules: SiteRules = toml::from_str(text).unwrap();
    rules.validate().unwrap();
    rules
}

const PLAIN: &str = r#"
    [[allow]]
    name = "plain"
    signers = ["alice"]
    modules = ["benign"]
    shards = ["client-01", "client-02"]
    max_generated_tokens = 10
    [allow.limits]
    train_steps = 64
    stack_bytes = 524288
    [allow.leave]
    max_norm = 2.0
"#;

fn before<'a>(client: &'a ClientId, limits: &'a Limits) -> Before<'a> {
    Before {
        module: Digest::of(b"benign"),
        module_name: "benign",
        signer: author(),
        signer_name: Some("alice"),
        client,
        shard: Digest::of(b"shard"),
        limits,
    }
}

#[test]
fn nothing_is_allowed_that_no_rule_names() {
    let client = ClientId::from("client-01");
    let limits = Limits {
        train_steps: 64,
        ..Limits::default()
    };
    let good = before(&client, &limits);
    assert!(
        SiteRules::default()
            .before(&good)
            .unwrap_err()
            .contains("no rule")
    );
    let rules = rules(PLAIN);
    assert_eq!(rules.before(&good).unwrap().name, "plain");
    let other = ClientId::from("client-03");
    let many = Limits {
        stack_bytes: 524_289,
        ..limits
    };
    for (bad, words) in [
        (
            Before {
                signer_name: None,
                ..good
            },
            "unknown author",
        ),
        (
            Before {
                signer_name: Some("bob"),
                ..good
            },
            "modules by bob",
        ),
        (
            Before {
                module_name: "other",
                ..good
            },
            "module other",
        ),
        (
            Before {
                client: &other,
                ..good
            },
            "shard of client-03",
        ),
        (
            Before {
                limits: &many,
                ..good
            },
            "stack_bytes is 524289 for all modules, the rule has 524288",
        ),
    ] {
        let reason = rules.before(&bad).unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }
    // A name that anyone may choose is not a key, and the key works without the name.
    let by_key = PLAIN.replace("alice", &author().to_string());
    assert!(
        self::rules(&by_key)
            .before(&Before {
                signer_name: None,
                ..good
            })
            .is_ok()
    );
}

#[test]
fn what_may_leave() {
    let rules = rules(PLAIN);
    let rule = &rules.allow[0];
    let mut case = Case::honest();
    rule.leaves(&case.attested.lineage, &Usage::default())
        .unwrap();
    let used = |generated_tokens| Usage {
        generated_tokens,
        ..Usage::default()
    };
    rule.leaves(&case.attested.lineage, &used(10)).unwrap();
    assert!(rule.leaves(&case.attested.lineage, &used(11)).is_err());
    rule.norm_leaves(2.0).unwrap();
    for bad in [2.1, f64::NAN, f64::INFINITY] {
        assert!(rule.norm_leaves(bad).is_err(), "{bad}");
    }
    // Also when it went into nothing.
    case.attested
        .lineage
        .push(Kind::RawRead, vec![2], None, None, BTreeMap::new());
    let denial = rule
        .leaves(&case.attested.lineage, &Usage::default())
        .unwrap_err();
    assert!(denial.words.contains("reads raw tensors"), "{denial:?}");
    // The number of the node is the module's choice.
    assert_eq!(
        rule.told(&denial),
        "`plain` does not let it leave: raw-read"
    );
    let open = self::rules(&PLAIN.replace("max_generated", "raw_read = true\nmax_generated"));
    open.allow[0]
        .leaves(&case.attested.lineage, &Usage::default())
        .unwrap();
}

#[test]
fn rules_that_cannot_be_meant() {
    for (bad, key) in [
        (
            "[[allow]]\nsigners = [\"a\"]\nshards = [\"*\"]",
            "allow.0.name",
        ),
        (
            "[[allow]]\nname = \"a\"\nshards = [\"*\"]",
            "allow.0.signers",
        ),
        (
            "[[allow]]\nname = \"a\"\nsigners = [\"*\"]\nshards = [\"*\"]",
            "allow.0.signers",
        ),
        (
            "[[allow]]\nname = \"a\"\nsigners = [\"a\"]",
            "allow.0.shards",
        ),
        (
            "[[allow]]\nname = \"a\"\nsigners = [\"a\"]\nshards = [\"*\"]\nmodules = []",
            "allow.0.modules",
        ),
        (
            "[[allow]]\nname = \"a\"\nsigners = [\"a\"]\nshards = [\"*\"]\nlimits = { train_step = 1 }",
            "allow.0.limits.train_step",
        ),
        (
            "[[allow]]\nname = \"a\"\nsigners = [\"a\"]\nshards = [\"*\"]\nleave = { noise_std = -1.0 }",
            "allow.0.leave.noise_std",
        ),
        (
            "[[allow]]\nname = \"a\"\nsigners = [\"a\"]\nshards = [\"*\"]\nleave = { significant_digits = 0 }",
            "allow.0.leave.significant_digits",
        ),
    ] {
        let rules: SiteRules = toml::from_str(bad).unwrap();
        assert_eq!(rules.validate().unwrap_err().0, key, "{bad}");
    }
    assert!(toml::from_str::<SiteRules>("[[allow]]\nnmae = \"a\"").is_err());
}

#[test]
fn a_rule_tightens_limits_and_never_loosens_them() {
    let rules = rules(PLAIN);
    let client = ClientId::from("client-01");
    let own = Limits {
        train_steps: 100,
        ..Limits::default()
    };
    let rule = rules.before(&before(&client, &own)).unwrap();
    let tight = Limits {
        train_steps: 64,
        ..own
    };
    assert_eq!(rule.limits(&own), tight);
    assert_eq!(
        rule.tighter(&own),
        BTreeMap::from([("train_steps".into(), 64)])
    );
    let less = Limits {
        train_steps: 8,
        ..own
    };
    assert_eq!(rule.limits(&less), less);
    assert!(rule.tighter(&less).is_empty());
}

#[test]
fn what_is_left_out_is_denied_but_in_a_run_from_before_it_could_be_said() {
    let open = |rules: &SiteRules| {
        let rule = &rules.allow[0];
        let recording = rule.recording();
        [rule.tells_errors(), recording.log_lines, recording.prompts]
    };
    let rules = rules(PLAIN);
    assert_eq!(open(&rules), [false; 3]);
    // A run keeps every answer, so that one without them is an old one.
    let kept = toml::to_string(&rules.clone().written_out()).unwrap();
    for key in ["literal_data", "log_lines", "error_text"] {
        assert!(kept.contains(&format!("{key} = false")), "{kept}");
    }
    let kept: SiteRules = toml::from_str(&kept).unwrap();
    assert_eq!(open(&kept.as_kept()), [false; 3]);
    assert_eq!(open(&rules.as_kept()), [true; 3]);
}

#[test]
fn examples_of_a_modules_own_stay_unless_they_may_leave() {
    let rules = rules(PLAIN);
    let mut nothing = Case::honest().attested.lineage;
    nothing.push(Kind::Literal, vec![], None, Some(0), BTreeMap::new());
    let mut lineage = nothing.clone();
    lineage.push(Kind::Literal, vec![], None, Some(1), BTreeMap::new());
    let used = Usage::default();
    rules.allow[0].leaves(&nothing, &used).unwrap();
    let denial = rules.allow[0].leaves(&lineage, &used).unwrap_err();
    assert_eq!(denial.class, "literal-data");
    let open = PLAIN.replace("max_generated", "literal_data = true\nmax_generated");
    self::rules(&open).allow[0].leaves(&lineage, &used).unwrap();
}
