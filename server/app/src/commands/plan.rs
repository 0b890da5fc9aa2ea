//! `fedseal run FILE --plan`: what an experiment has to do.

use fedseal_federation::options::{Options, load_data, open_model};
use fedseal_federation::planning::{self, Pace};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::work::{Sharing, Work};
use serde_json::json;

use crate::failure::Outcome;
use crate::{output, stop};

/// Shows the work of each seed, and an estimate of all of it where model and data are here.
pub(super) fn show(
    experiment: &Experiment,
    seeds: &[u64],
    options: &Options,
    as_json: bool,
) -> Outcome {
    let mut works = Vec::new();
    for seed in seeds {
        works.push((*seed, experiment.work(*seed)?));
    }
    stop::watch("stopping; press Ctrl-C again to end at once");
    let pace = pace(experiment, options);
    let mut seconds = 0.0;
    if let Ok(pace) = &pace {
        for (_, work) in &works {
            seconds += planning::seconds(experiment, work, pace)?;
        }
    }
    let missing = pace.as_ref().err().map(ToString::to_string);
    if as_json {
        let works: Vec<_> = works
            .iter()
            .map(|(seed, work)| json!({"seed": seed, "work": work}))
            .collect();
        let pace = pace.ok();
        let seconds = pace.map(|_| seconds);
        output::json(
            &json!({"seeds": works, "pace": pace, "seconds": seconds, "missing": missing}),
        );
        return Ok(());
    }
    for (seed, work) in &works {
        output::line(text(*seed, work));
    }
    output::line(match (pace, missing) {
        (Ok(pace), _) => estimate(&pace, seconds, seeds.len()),
        (Err(_), missing) => format!(
            "no estimate of time: {}",
            missing.unwrap_or_default().replace('\n', " ")
        ),
    });
    Ok(())
}

fn pace(experiment: &Experiment, options: &Options) -> fedseal_federation::Result<Pace> {
    let data = load_data(experiment, options)?;
    let (lab, _) = open_model(experiment, options)?;
    planning::pace(experiment, &lab, data.as_ref(), &stop::asked)
}

fn text(seed: u64, work: &Work) -> String {
    let Work {
        arms,
        federated,
        rounds,
        sharing,
        first_round,
        first_round_alone,
        updates,
        server,
        steps,
        texts,
        probes,
        scored,
        answers_between,
        answers_end,
        repairs,
    } = work;
    let mut lines = vec![
        format!("seed {seed}: {arms} arms, {federated} of them with {rounds} rounds"),
        format!(
            "  updates   at most {updates} of {steps} steps in all; the first round makes {first_round} for \
             {first_round_alone} places, later rounds share what they find equal"
        ),
    ];
    lines.extend(shared(sharing));
    lines.push(format!(
        "  answers   at most {answers_between} between rounds, {answers_end} at the end"
    ));
    if *server > 0 {
        lines.push(format!(
            "  server    {server} trainings of its own, for rules that learn from them"
        ));
    }
    if *texts > 0 {
        lines.push(format!(
            "  texts     about {texts} that modules have a model write"
        ));
    }
    if *probes > 0 {
        lines.push(format!(
            "  canaries  at most {probes} probes of {scored} texts each"
        ));
    }
    if !repairs.is_empty() {
        lines.push(format!("  repairs   {}", repairs.join(", ")));
    }
    lines.join("\n")
}

/// Lines of the arms by what they share of their first round.
fn shared(sharing: &Sharing) -> Vec<String> {
    let Sharing {
        alike,
        partly,
        alone,
    } = sharing;
    let alike = alike.iter().map(|arms| ("all of it", arms));
    let others = [("some of it", partly), ("none of it", alone)];
    let rows = alike.chain(others.into_iter().filter(|(_, arms)| !arms.is_empty()));
    rows.map(|(share, arms)| {
        format!(
            "  shared    {share}, in the first round: {}",
            arms.join(", ")
        )
    })
    .collect()
}

fn estimate(pace: &Pace, seconds: f64, seeds: usize) -> String {
    let of = match seeds {
        1 => String::new(),
        seeds => format!(" for {seeds} seeds"),
    };
    format!(
        "about {}{of} at most, by {:.3} s a step, {:.3} s an answer and {:.3} s a scored text, timed here; jobs \
         side by side take less",
        output::duration(seconds),
        pace.step,
        pace.answer,
        pace.score
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_and_how_long_it_takes_is_told() {
        let text_of = "arms = [\"clean\", \"fedavg\", \"defended\"]\n[federation]\nrounds = 2\n";
        let experiment = Experiment::parse(text_of, "x.toml").unwrap();
        let shown = text(3, &experiment.work(3).unwrap());
        assert!(
            shown.starts_with("seed 3: 4 arms, 2 of them with 2 rounds"),
            "{shown}"
        );
        assert!(
            shown.contains("repairs   defended") && !shown.contains("canaries"),
            "{shown}"
        );
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let told = shared(&Sharing {
            alike: vec![names(&["fedavg", "krum"])],
            partly: names(&["clean"]),
            alone: vec![],
        });
        assert_eq!(
            told,
            [
                "  shared    all of it, in the first round: fedavg, krum",
                "  shared    some of it, in the first round: clean"
            ]
        );
        let pace = Pace {
            step: 0.5,
            answer: 0.25,
            score: 0.1,
        };
        let said = estimate(&pace, 3900.0, 2);
        assert!(
            said.starts_with("about 1 h 05 min for 2 seeds at most"),
            "{said}"
        );
    }
}
