//! `fedseal judge RUN --url URL --model NAME`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use fedseal_audit::commands::judged::text;
use fedseal_client_sdk::completions::Completions;
use fedseal_federation::runner::{Options, key_of_run};
use fedseal_record::judged::{self, Judged, Replies, SYSTEM, question};
use fedseal_record::opened::OpenRun;
use fedseal_record::rundir;

use crate::failure::{Failure, Outcome};
use crate::{keys, output, places, stop};

/// Most tokens of a reply: it is one word.
const REPLY_TOKENS: u32 = 16;

/// Has the final answers of a run judged by a model behind an OpenAI-compatible address, and keeps its words
/// in the run's folder `judged`, with a statement about them that the run's node signs. The answers are sent
/// there.
#[derive(Args)]
pub(crate) struct Judge {
    /// The run's folder; the run must be over.
    run: PathBuf,
    /// Address that /chat/completions is below: `https://example.org/v1`.
    #[arg(long, value_name = "URL")]
    url: String,
    /// Name of the model there.
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Environment variable with the key that is sent as a bearer token.
    #[arg(long, value_name = "VAR")]
    key_env: Option<String>,
    /// Only this arm; may be given several times.
    #[arg(long = "arm", value_name = "ARM")]
    arms: Vec<String>,
}

impl Judge {
    /// Asks about every answer, each once, and stores what is said.
    pub(crate) fn execute(self) -> Outcome {
        let key = match &self.key_env {
            None => None,
            Some(name) => Some(std::env::var(name).map_err(|_| {
                Failure::usage(format!("the environment has no {name}"))
                    .hint("--key-env names the variable that holds the key.")
            })?),
        };
        let mut run = OpenRun::read(&self.run)?;
        let options = Options {
            keys: places::home()?,
            passphrase: keys::passphrase()?,
            ..Options::default()
        };
        // Before the first question: nobody pays for replies that cannot be signed.
        let node = key_of_run(&options, &run.dir, &run.plan.node)?;
        let mut answers = judged::answers(&mut run)?;
        if let Some(unknown) = self.arms.iter().find(|arm| !answers.contains_key(*arm)) {
            let known: Vec<&str> = answers.keys().map(String::as_str).collect();
            return Err(Failure::usage(format!("no measured arm `{unknown}`"))
                .hint(format!("Arms of this run: {}.", known.join(", "))));
        }
        answers.retain(|arm, _| self.arms.is_empty() || self.arms.contains(arm));
        let judge = Completions {
            url: self.url.clone(),
            model: self.model.clone(),
            key,
            max_tokens: REPLY_TOKENS,
        };
        stop::watch(
            "stopping; what was said so far is not kept; press Ctrl-C again to end at once",
        );
        let mut said: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut replies = Replies::new();
        for (arm, pairs) in answers {
            output::note(format_args!("fedseal: {arm}: {} answers", pairs.len()));
            let list = replies.entry(arm).or_default();
            for (request, answer) in pairs {
                if stop::asked() {
                    return Err(Failure::new("stopped as asked; nothing was kept"));
                }
                let asked = (request.clone(), answer.clone());
                let reply = match said.get(&asked) {
                    Some(reply) => reply.clone(),
                    None => {
                        let reply = judge.ask(SYSTEM, &question(&request, &answer))?;
                        said.insert(asked, reply.clone());
                        reply
                    }
                };
                list.push(Judged {
                    request,
                    answer,
                    reply,
                });
            }
        }
        let judge = (self.url.as_str(), self.model.as_str());
        let file = judged::store(&run, judge, rundir::now(), &replies, &node)?;
        output::line(format!(
            "{} questions; the statement is {}\n",
            said.len(),
            file.display()
        ));
        let parts: Vec<String> = judged::read(&mut run)?.iter().map(text).collect();
        output::line(parts.join("\n\n"));
        Ok(())
    }
}
