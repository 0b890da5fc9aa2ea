//! Rules of an experiment with clients of its own, and of one with its own files.

use super::locate::Located;
use super::{Experiment, FederationConfig};
use crate::admission::{Admission, CheckConfig, data_score};
use crate::aggregation::Need;
use crate::arms::{Arm, Kind};
use crate::defence;
use crate::error::Result;

/// Sets the numbers of `[federation]` that follow from `[[clients]]`, where the text does not say them.
pub(super) fn complete(e: &mut Experiment, text: &str) {
    let open = e.clients.is_empty();
    if open && e.federation.nodes.is_none() {
        return;
    }
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    let said = table.get("federation").and_then(toml::Value::as_table);
    let says = |key: &str| said.is_some_and(|table| table.contains_key(key));
    let clients = match open {
        true => e.federation.clients,
        false => e.clients.len(),
    };
    let (federation, dishonest) = (&mut e.federation, dishonest(&e.clients));
    if !says("clients") {
        federation.clients = clients;
    }
    if !says("malicious") {
        federation.malicious = dishonest;
    }
    if !says("sampled") {
        federation.sampled = federation.sampled.min(clients);
    }
}

fn dishonest(clients: &[super::ClientConfig]) -> usize {
    clients.iter().filter(|client| !client.honest).count()
}

fn has_data_score(checks: &[CheckConfig]) -> bool {
    checks
        .iter()
        .any(|one| one.check == data_score::DEFINITION.name)
}

/// Checks what follows from `[[clients]]`.
pub(super) fn clients(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let nodes = e.federation.nodes.is_some();
    super::sections::check_clients(&e.clients, nodes, at)?;
    if nodes && e.site.is_some() {
        return Err(at.error(
            "site",
            "expected no rules: each node brings those of its site",
        ));
    }
    for arm in e.all_arms()?.iter().filter(|_| nodes) {
        let checks = e.checks(arm);
        let refused = |problem: &str| Err(at.error(&format!("admission.{}", arm.id), problem));
        if Admission::new(&checks).is_ok_and(|checks| checks.may_replay()) {
            return refused(
                "expected no effect `replay`: only who has a node's shard can execute its module again",
            );
        }
        if has_data_score(&checks) && e.data.source != "world" {
            return refused(
                "expected no check `data-score`: nodes have the data check of source `world` alone",
            );
        }
    }
    if nodes && e.clients.is_empty() {
        return match e.federation.malicious {
            0 => Ok(()),
            found => Err(at.error(
                "federation.malicious",
                format!("expected 0, found {found}: nobody knows which of the nodes attack"),
            )),
        };
    }
    if e.clients.is_empty() {
        return match e.data.is_files() {
            true => Err(at.error(
                "data.source",
                "expected [[clients]] with their shards: `files` makes none of its own",
            )),
            false => Ok(()),
        };
    }
    let dishonest = dishonest(&e.clients);
    for (key, said, found) in [
        ("clients", e.federation.clients, e.clients.len()),
        ("malicious", e.federation.malicious, dishonest),
    ] {
        if said != found {
            let what = match key {
                "clients" => "the number of [[clients]]",
                _ => "the number of those with honest = false",
            };
            return Err(at.error(
                &format!("federation.{key}"),
                format!("expected {found}, {what}, found {said}; it may be left out"),
            ));
        }
    }
    if dishonest == e.clients.len() {
        return Err(at.error("clients", "expected at least one honest client, found none"));
    }
    for (name, arm) in &e.arm {
        if arm.malicious.is_some() || arm.kinds.is_some() || arm.honest.is_some() {
            return Err(at.error(
                &format!("arm.{name}"),
                "expected neither `malicious` nor `kinds` nor `honest`: [[clients]] name the attackers and modules",
            ));
        }
    }
    Ok(())
}

/// Checks that own files are there for everything that an arm asks of them.
pub(super) fn files(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let data = &e.data;
    if !data.is_files() {
        return Ok(());
    }
    let need = |ok: bool, key: &str, problem: String| match ok {
        true => Ok(()),
        false => Err(at.error(key, problem)),
    };
    for (key, files, asked, rate) in [
        ("requests", &data.requests, e.evaluation.prompts, "safety"),
        ("tasks", &data.tasks, e.evaluation.tasks, "helpfulness"),
    ] {
        let number = if key == "requests" { "prompts" } else { key };
        need(
            asked == 0 || !files.is_empty(),
            &format!("data.{key}"),
            format!("expected files, or evaluation.{number} = 0: then there is no {rate} rate"),
        )?;
    }
    need(
        e.evaluation.prompts + e.evaluation.tasks > 0,
        "evaluation",
        "expected prompts or tasks above 0: nothing would be measured".into(),
    )?;
    need(
        e.canaries.sealed == 0
            || !(data.canary_requests.is_empty() || data.canary_tasks.is_empty()),
        "canaries.sealed",
        format!(
            "expected files data.canary_requests and data.canary_tasks, or 0, found {} and no such files",
            e.canaries.sealed
        ),
    )?;
    need(
        data.aligned.is_empty() == data.unaligned.is_empty(),
        "data.aligned",
        "expected both data.aligned and data.unaligned, or neither: the data check learns from both"
            .into(),
    )?;
    for arm in e.all_arms()? {
        for (key, problem) in missing(e, &arm) {
            let problem = format!("expected files, for arm `{}` {problem}", arm.id);
            need(false, &format!("data.{key}"), problem)?;
        }
    }
    Ok(())
}

/// Keys of `[data]` that an arm needs files under and that have none, with the reason.
fn missing(e: &Experiment, arm: &Arm) -> Vec<(&'static str, &'static str)> {
    let mut missing = Vec::new();
    if arm.kind == Kind::Federated {
        let checks = e.checks(arm);
        if has_data_score(&checks) && e.data.aligned.is_empty() {
            missing.push((
                "aligned",
                "has the check `data-score`, which learns from data.aligned and data.unaligned",
            ));
        }
        let input = e
            .aggregation
            .rule(arm.rule)
            .ok()
            .and_then(|rule| rule.input());
        missing.extend(missing_for_rule(e, input));
        let probed = Admission::new(&checks).is_ok_and(|checks| checks.needs_behaviour())
            || input == Some(Need::Behaviour);
        if probed && e.canaries.sealed == 0 {
            missing.push((
                "canary_requests",
                "has behaviour checks or a rule by behaviour, which need them, data.canary_tasks and \
                 canaries.sealed above 0",
            ));
        }
    }
    let Some(repair) = arm.repairs.as_ref() else {
        return missing;
    };
    let number = |key: &str, table: f64| repair.parameters.get(key).copied().unwrap_or(table);
    if repair.defence == defence::DEFAULT && number("level", f64::from(e.defence.level)) < 2.0 {
        let helpful = number("helpful_examples", e.defence.helpful_examples as f64) > 0.0;
        if e.data.refusals.is_empty() {
            missing.push(("refusals", "is repaired at level 1, which is given them"));
        }
        if helpful && e.data.helpful.is_empty() {
            missing.push((
                "helpful",
                "is repaired at level 1, which is given them (or defence.helpful_examples = 0)",
            ));
        }
    }
    missing
}

/// Keys of `[data]` that a rule's input is trained on and that have no files.
fn missing_for_rule(
    e: &Experiment,
    input: Option<Need>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (trains, harmful) = match input {
        Some(Need::OwnUpdate) => (true, false),
        Some(Need::Simulated) => (true, true),
        Some(Need::Behaviour) | None => (false, false),
    };
    let why = "has a rule for which the server trains on them";
    let all = [
        ("refusals", trains && e.data.refusals.is_empty()),
        ("helpful", trains && e.data.helpful.is_empty()),
        ("unaligned", harmful && e.data.unaligned.is_empty()),
    ];
    all.into_iter()
        .filter(|(_, missing)| *missing)
        .map(move |(key, _)| (key, why))
}

/// Checks that nothing is said about shards that [[clients]] have of their own.
pub(super) fn new_run(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let usual = FederationConfig::default();
    let said = [
        (
            "examples_per_client",
            e.federation.examples_per_client != usual.examples_per_client,
        ),
        (
            "refusal_share",
            e.federation.refusal_share.to_bits() != usual.refusal_share.to_bits(),
        ),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        Some((key, _)) if !e.clients.is_empty() => Err(at.error(
            &format!("federation.{key}"),
            "expected no such key: [[clients]] have shards of their own",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModulePlace;
    use super::*;
    use fedseal_client_sdk::digest::Digest;

    /// Two clients over the world, one of which attacks.
    const TWO: &str = "arms = [\"clean\", \"fedavg\"]\n\
        [[clients]]\nname = \"north\"\nshard = \"north.jsonl\"\n\
        [[clients]]\nname = \"south\"\nshard = [\"a.json.gz\", \"b.parquet\"]\n\
        module = \"modules/own.wasm\"\nhonest = false\n";

    /// Two clients over own files.
    fn files(data: &str, more: &str) -> String {
        format!("{TWO}[data]\nsource = \"files\"\n{data}{more}")
    }

    const DATA: &str = "requests = \"harm.jsonl\"\ntasks = [\"tasks.parquet\"]\n";
    const UNSEALED: &str = "[canaries]\nsealed = 0\n";

    fn parse(text: &str) -> Experiment {
        Experiment::parse(text, "x.toml").unwrap()
    }

    fn error(text: &str) -> String {
        Experiment::parse(text, "x.toml").unwrap_err().to_string()
    }

    #[test]
    fn numbers_follow_from_the_clients_and_the_kept_copy_says_the_same() {
        let read = parse(TWO);
        let federation = &read.federation;
        let numbers = [federation.clients, federation.malicious, federation.sampled];
        assert_eq!(numbers, [2, 1, 2]);
        assert_eq!(read.clients[0].module, "benign");
        assert_eq!(read.clients[1].shard, ["a.json.gz", "b.parquet"]);
        let kept = read.to_toml().unwrap();
        assert_eq!(parse(&kept), read, "{kept}");
        let whole = parse(&files(DATA, UNSEALED));
        assert_eq!(parse(&whole.to_toml().unwrap()), whole);
        assert_eq!(whole.data.judged_as(), "files");
        assert_eq!(
            parse(&files(
                "measure = \"exact\"\nrequests = \"a\"\ntasks = \"b\"\n",
                UNSEALED
            ))
            .data
            .judged_as(),
            "files-exact"
        );
    }

    #[test]
    fn an_experiment_without_clients_is_written_as_before() {
        let text = Experiment::default().to_toml().unwrap();
        for key in ["clients]]", "requests", "leave_out", "turns", "measure"] {
            assert!(!text.contains(key), "{key} in\n{text}");
        }
    }

    #[test]
    fn a_module_is_a_name_a_file_a_digest_or_a_layout() {
        let digest = Digest::of(b"module");
        let of = |word: &str| {
            let client = super::super::ClientConfig {
                module: word.to_owned(),
                ..Default::default()
            };
            format!("{:?}", client.module())
        };
        let said = |place: ModulePlace<'_>| format!("{place:?}");
        assert_eq!(of("fedprox"), said(ModulePlace::Name("fedprox")));
        assert_eq!(of("own.wasm"), said(ModulePlace::File("own.wasm")));
        assert_eq!(of("a/b"), said(ModulePlace::File("a/b")));
        assert_eq!(
            of("oci:modules:v1"),
            said(ModulePlace::Layout("oci:modules:v1"))
        );
        for word in [digest.to_string(), format!("sha256:{digest}")] {
            assert_eq!(of(&word), said(ModulePlace::Submitted(digest)));
        }
    }

    #[test]
    fn nodes_bring_their_shards() {
        let roster = "arms = [\"clean\"]\n[federation.nodes]\ndeadline = 60\nleast_updates = 2\n\
            [[clients]]\nname = \"north\"\n[[clients]]\nname = \"south\"\n";
        let read = parse(roster);
        let nodes = read.federation.nodes.as_ref().unwrap();
        assert_eq!((nodes.deadline, nodes.least_updates), (60, 2));
        assert!(nodes.repeats_below());
        assert_eq!(read.federation.clients, 2);
        assert_eq!(parse(&read.to_toml().unwrap()), read);
        // Whoever is invited enrols: as many as there are places.
        let open = parse("arms = [\"clean\"]\n[federation]\nclients = 4\n[federation.nodes]\n");
        let numbers = [open.federation.malicious, open.federation.sampled];
        assert_eq!(numbers, [0, 3]);
        assert_eq!(parse(&open.to_toml().unwrap()), open);
        let cases = [
            (
                roster.replace("\"south\"", "\"south\"\nshard = \"s.jsonl\""),
                "expected no file: a node brings its shard",
            ),
            (
                roster.replace("least_updates = 2", "least_updates = 3"),
                "at most federation.sampled = 2",
            ),
            (
                roster.replace("least_updates = 2", "below = \"wait\""),
                "expected `repeat` or `skip`",
            ),
            (roster.replace("deadline = 60", "deadline = 0"), "seconds"),
            (
                format!(
                    "{roster}[[site.allow]]\nname = \"a\"\nsigners = [\"x\"]\nshards = [\"*\"]\n"
                ),
                "each node brings those of its site",
            ),
            (
                "[federation]\nmalicious = 1\n[federation.nodes]\n".to_owned(),
                "nobody knows which of the nodes attack",
            ),
        ];
        for (text, part) in cases {
            let error = error(&text);
            assert!(error.contains(part), "{text}\n-> {error}\nlacks {part}");
        }
    }

    #[test]
    fn clients_that_do_not_fit_are_named_by_line_and_key() {
        let cases = [
            (
                TWO.replace("south", "north"),
                "`clients.1.name`: expected each name once",
            ),
            (TWO.replace("north\"\nshard", "no/rth\"\nshard"), "x.toml:3"),
            (
                TWO.replace("shard = \"north.jsonl\"\n", ""),
                "at least one file",
            ),
            (
                TWO.replace("honest = false", "honest = 3"),
                "`clients.honest`",
            ),
            (
                TWO.replace("honest = false", "honst = false"),
                "did you mean `honest`",
            ),
            (
                format!("{TWO}[federation]\nclients = 3\n"),
                "expected 2, the number of [[clients]], found 3",
            ),
            (
                format!("{TWO}[federation]\nmalicious = 0\n"),
                "honest = false, found 0",
            ),
            (
                TWO.replace("shard = \"north", "honest = false\nshard = \"north"),
                "at least one honest client",
            ),
            (
                format!("{TWO}[arm.mine]\nmalicious = 1\n")
                    .replace("\"fedavg\"]", "\"fedavg\", \"mine\"]"),
                "[[clients]] name the attackers",
            ),
            (
                "[data]\nsource = \"files\"\n".to_owned(),
                "expected [[clients]]",
            ),
            (
                "[data]\nrequests = \"a\"\n".to_owned(),
                "unless data.source is \"files\"",
            ),
            (
                "[data]\nsource = \"fils\"\n".to_owned(),
                "did you mean `files`",
            ),
        ];
        for (text, part) in cases {
            let error = error(&text);
            assert!(error.contains(part), "{text}\n-> {error}\nlacks {part}");
        }
    }

    #[test]
    fn what_an_arm_needs_and_no_file_has_is_refused_by_its_key() {
        parse(&files(DATA, UNSEALED));
        let with = |arm: &str, more: &str| {
            files(DATA, more).replace("\"fedavg\"]", &format!("\"fedavg\", \"{arm}\"]"))
        };
        let cases = [
            (
                files("tasks = \"t\"\n", UNSEALED),
                "`data.requests`: expected files, or evaluation.prompts = 0",
            ),
            (
                files("requests = \"r\"\n", UNSEALED),
                "evaluation.tasks = 0: then there is no helpfulness rate",
            ),
            (
                files(
                    "",
                    "[evaluation]\nprompts = 0\ntasks = 0\nround_prompts = 0\nround_tasks = 0\n[canaries]\nsealed = 0\n",
                ),
                "nothing would be measured",
            ),
            (files(DATA, ""), "`canaries.sealed`"),
            (
                with("behaviour", UNSEALED),
                "`data.canary_requests`: expected files, for arm `behaviour`",
            ),
            (
                with("provenance", UNSEALED),
                "`data.aligned`: expected files, for arm `provenance`",
            ),
            (
                with("defended", &format!("{UNSEALED}[defence]\nlevel = 1\n")),
                "`data.refusals`: expected files, for arm `defended`",
            ),
        ];
        for (text, part) in cases {
            let error = error(&text);
            assert!(error.contains(part), "{text}\n-> {error}\nlacks {part}");
        }
        // Without requests there is no safety rate, which is said by the experiment and not found out later.
        let unasked = files(
            "tasks = \"t\"\n",
            &format!("{UNSEALED}[evaluation]\nprompts = 0\nround_prompts = 0\n"),
        );
        assert_eq!(parse(&unasked).evaluation.prompts, 0);
        // Levels that write their own data need no file.
        parse(&with(
            "defended",
            &format!("{UNSEALED}[defence]\nlevel = 2\n"),
        ));
        let scoreless = "[[admission.provenance]]\ncheck = \"lineage\"\n";
        parse(&with("provenance", &format!("{UNSEALED}{scoreless}")));
    }

    #[test]
    fn a_new_run_says_nothing_about_shards_that_clients_have() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Experiment::load(&path)
        };
        load(TWO).unwrap();
        let error = load(&format!("{TWO}[federation]\nrefusal_share = 0.5\n")).unwrap_err();
        assert!(
            error.to_string().contains("`federation.refusal_share`"),
            "{error}"
        );
    }
}
