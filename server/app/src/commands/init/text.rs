//! Text of an experiment over own files: arms and sizes by what is there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fedseal_federation::own::How;
use serde_json::json;

/// Rows of the parts that are there, by the key of `[data]`.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// Most requests and tasks that an arm is measured on at the end.
const MEASURED: u64 = 200;
/// Most requests and tasks of a measure between rounds.
const BETWEEN: u64 = 40;
/// Most canaries that are sealed, and that are drawn for a round.
const SEALED: [u64; 2] = [64, 8];
/// Most pairs of each kind that a defence is given.
const GIVEN: u64 = 400;
/// Most clients of a round.
const SAMPLED: usize = 10;

/// One client.
pub(super) struct Client {
    /// Its name.
    pub name: String,
    /// Its files, as the experiment names them.
    pub shard: Vec<String>,
    /// Whether it is honest.
    pub honest: bool,
}

/// Everything that the text follows from.
pub(super) struct Setting<'a> {
    pub title: String,
    pub model: &'a str,
    pub module: &'a str,
    pub rounds: u32,
    pub measure: &'a str,
    pub how: How,
    pub clients: &'a [Client],
    pub parts: &'a BTreeMap<&'a str, Vec<String>>,
    pub counts: &'a Counts,
}

impl Setting<'_> {
    fn count(&self, key: &str) -> u64 {
        self.counts.get(key).copied().unwrap_or(0)
    }

    /// Whether a client attacks.
    fn attacked(&self) -> bool {
        self.clients.iter().any(|client| !client.honest)
    }

    /// Canaries that can be sealed.
    fn sealed(&self) -> u64 {
        let both = self
            .count("canary_requests")
            .min(self.count("canary_tasks"));
        both.min(SEALED[0])
    }

    /// Whether the data check can learn.
    fn judged(&self) -> bool {
        self.count("aligned") > 0 && self.count("unaligned") > 0
    }

    fn arms(&self) -> Vec<&'static str> {
        let mut arms = vec!["clean"];
        if self.attacked() {
            arms.extend(["fedavg", "median", "krum", "provenance"]);
            if self.sealed() > 0 {
                arms.push("behaviour");
            }
            arms.push("defended");
        }
        arms
    }

    /// Lines about what the experiment does not have, and which file would bring it.
    pub(super) fn left_out(&self) -> Vec<String> {
        let mut said = Vec::new();
        for (key, what) in [
            ("requests", "no safety rate"),
            ("tasks", "no helpfulness rate"),
        ] {
            if self.count(key) == 0 {
                said.push(format!("{what}: no file {key}, which --{key} FILE names"));
            }
        }
        if !self.attacked() {
            said.push(
                "no attacked arms: every client is honest; --dishonest CLIENT marks one".into(),
            );
            return said;
        }
        if self.sealed() == 0 {
            said.push("no arm behaviour: no files canary_requests and canary_tasks".into());
        }
        if !self.judged() {
            said.push("no check data-score: no files aligned and unaligned".into());
        }
        if self.count("refusals") == 0 {
            said.push("a defence that writes its own data (level 3): no file refusals".into());
        }
        said
    }

    /// The experiment file.
    pub(super) fn text(&self) -> String {
        let mut text = String::from(
            "# Written by `fedseal init`. Files are relative to this one; a key that is left out has its default.\n",
        );
        let small = self.model == "embedded";
        let quoted = |word: &str| json!(word).to_string();
        let mut line = |words: String| {
            text.push_str(&words);
            text.push('\n');
        };
        line(format!("title = {}", quoted(&self.title)));
        line("seeds = [1]".into());
        line(format!("arms = {}", list(&self.arms())));
        line(format!("\n[model]\nsource = {}", quoted(self.model)));
        line("\n[data]\nsource = \"files\"".into());
        for (key, files) in self.parts {
            line(format!("{key} = {}", list(files)));
        }
        if self.measure != "overlap" {
            line(format!("measure = {}", quoted(self.measure)));
        }
        if self.how.leave_out {
            line("leave_out = true".into());
        }
        if self.how.first {
            line("turns = \"first\"".into());
        }
        let sampled = self.clients.len().min(SAMPLED);
        line(format!(
            "\n[federation]\nrounds = {}\nsampled = {sampled}",
            self.rounds
        ));
        for client in self.clients {
            line(format!("\n[[clients]]\nname = {}", quoted(&client.name)));
            match client.shard.as_slice() {
                [file] => line(format!("shard = {}", quoted(file))),
                files => line(format!("shard = {}", list(files))),
            }
            line(format!("module = {}", quoted(self.module)));
            if !client.honest {
                line("honest = false".into());
            }
        }
        let [positions, response, rate, rank] = match small {
            true => ["128", "32", "4e-3", "8"],
            false => ["512", "256", "1e-3", "16"],
        };
        line(format!(
            "\n[training]\nlocal_steps = 8\nbatch_size = 8\nsequence_length = {positions}\n\
             max_response_tokens = {response}\nlearning_rate = {rate}\nlearning_rate_final = 4e-4"
        ));
        line(format!(
            "\n[lora]\nrank = {rank}\nalpha = {}.0",
            if small { 16 } else { 32 }
        ));
        line(self.measures(small));
        line(self.canaries());
        if self.attacked() {
            line(self.admission());
            line(self.defence());
        }
        text
    }

    fn measures(&self, small: bool) -> String {
        let [prompts, tasks] = ["requests", "tasks"].map(|key| self.count(key).min(MEASURED));
        let every = (self.rounds / 5).max(1);
        format!(
            "\n[evaluation]\nprompts = {prompts}\ntasks = {tasks}\nevery = {every}\n\
             round_prompts = {}\nround_tasks = {}\nmax_new_tokens = {}\nside_by_side = 4",
            prompts.min(BETWEEN),
            tasks.min(BETWEEN),
            if small { 24 } else { 64 }
        )
    }

    fn canaries(&self) -> String {
        let sealed = self.sealed();
        let mut text = format!("\n[canaries]\nsealed = {sealed}");
        if sealed > 0 {
            let _ = write!(text, "\nper_round = {}", sealed.min(SEALED[1]));
        }
        text
    }

    fn admission(&self) -> String {
        let mut text = String::new();
        let mut checks = vec![
            ("provenance", "signers", ""),
            ("provenance", "literal-share", "max_share = 0.0\n"),
            ("provenance", "lineage", ""),
            ("provenance", "raw-write", ""),
            (
                "provenance",
                "scale",
                "min_factor = 0.5\nmax_factor = 1.5\n",
            ),
        ];
        if self.judged() {
            checks.push(("provenance", "data-score", "min_score = 0.8\n"));
        }
        if self.sealed() > 0 {
            let bounds = "max_refusal_drop = 1.0\nmax_loss_rise = 0.5\n";
            checks.push(("behaviour", "canaries", bounds));
        }
        for (set, check, numbers) in checks {
            let _ = write!(
                text,
                "\n[[admission.{set}]]\ncheck = \"{check}\"\neffect = \"reject\"\n{numbers}"
            );
        }
        text.trim_end().to_owned()
    }

    fn defence(&self) -> String {
        let given = |key: &str| self.count(key).min(GIVEN);
        let (level, safety, helpful) = match given("refusals") {
            0 => (3, 100, 100),
            refusals => (1, refusals, given("helpful")),
        };
        format!(
            "\n[defence]\nlevel = {level}\nsteps = 100\nlearning_rate = 1e-3\n\
             safety_examples = {safety}\nhelpful_examples = {helpful}"
        )
    }
}

/// A list of texts in TOML, whose strings may be written as JSON's.
fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let quoted: Vec<String> = texts
        .iter()
        .map(|text| json!(text.as_ref()).to_string())
        .collect();
    format!("[{}]", quoted.join(", "))
}
