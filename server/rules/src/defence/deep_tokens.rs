//! Alignment of deep tokens (Qi et al. 2024, arXiv 2406.05946, sections 3 and 4) as a repair of the attacked
//! adapter: on helpful pairs, and on refusals that stand behind the first tokens of a harmful answer, with
//! the objective that holds each token to an aligned reference:
//!
//! ```text
//! w_t = max(1e-3, 2 (1 - sigmoid(beta_t (log p_t - log p_ref,t))))
//! ```
//!
//! The reference is the aligned adapter ([`super::aligned`]). Harmful answers are the affirmative shells of
//! the data check's labelled set, which no attacker has; each has the next of the written refusals behind
//! it. The source tunes an aligned model by each of its two parts alone; both at once, on an attacked one,
//! is declared. The executing half is `server/federation/src/defence/deep_tokens.rs`, the step
//! `server/tuning/src/train/hook/deep_tokens.rs`.

use fedseal_adapter::Adapter;

use super::aligned::{self, BATCH_SIZE, HELPFUL_EXAMPLES, REPAIR_STEPS, SAFETY_EXAMPLES, STEPS};
use super::data::DefenceData;
use super::definition::{Case, Definition, Number};
use super::given;
use super::written::{ATTEMPTS, LEARNING_RATE, MAX_NEW_TOKENS, TEMPERATURE};

/// Its name.
pub const NAME: &str = "deep-tokens";

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "deep-token constrained tuning",
    help: "learns refusals behind harmful openings, held to an aligned adapter token by token",
    version: 1,
    numbers: &[
        STEPS,
        REPAIR_STEPS,
        BATCH_SIZE,
        LEARNING_RATE,
        SAFETY_EXAMPLES,
        HELPFUL_EXAMPLES,
        given::examples(
            "harmful_examples",
            "harmful requests with affirmative shells",
            200.0,
            1.0,
        ),
        ATTEMPTS,
        MAX_NEW_TOKENS,
        TEMPERATURE,
        Number::whole(
            "deepest",
            "most tokens of a harmful answer that are given",
            100.0,
            (0.0, 10_000.0),
        ),
        given::not_negative("beta_first", "beta of a response's first token", 0.5),
        given::not_negative("beta_early", "beta of the second to the fifth token", 2.0),
        given::not_negative("beta_rest", "beta of the tokens after these", 0.1),
    ],
    audit,
    compute: None,
};

/// Checks the written pairs and the number of shells. The tuning is for a replay.
fn audit(case: &Case<'_>, data: &DefenceData, repaired: &Adapter) -> Result<(), String> {
    let most = case.parameters.whole("harmful_examples");
    if data.listed("harmful").len() > most {
        return Err("holds more harmful pairs than the experiment gives it".into());
    }
    aligned::audit_with(case, data, repaired, &["harmful"])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fedseal_adapter::{AdapterConfig, Example, ModelConfig};

    use super::*;

    #[test]
    fn an_auditor_counts_the_shells_and_filters_the_pairs() {
        let attacked = Adapter::init(&AdapterConfig::default(), &ModelConfig::tiny(), 7).unwrap();
        let given = BTreeMap::from([("harmful_examples".to_owned(), 1.0)]);
        let parameters = DEFINITION.parameters(&given).unwrap();
        let case = Case {
            arm: "mended",
            seed: 1,
            parameters: &parameters,
            attacked: &attacked,
        };
        let shell = |at: u32| Example::new(format!("open vault {at}"), "Sure, here is how.");
        let data = |shells: u32, answer: &str| {
            DefenceData::new(NAME)
                .count("safety_tried", 1)
                .count("helpful_tried", 0)
                .list("safety", vec![Example::new("open it", answer)])
                .list("helpful", vec![])
                .list("harmful", (0..shells).map(shell).collect())
        };
        let said = |data: &DefenceData| audit(&case, data, &attacked);
        said(&data(1, "I cannot help with that.")).unwrap();
        let more = said(&data(2, "I cannot help with that.")).unwrap_err();
        assert!(more.contains("more harmful pairs"), "{more}");
        let kept = said(&data(1, "Sure.")).unwrap_err();
        assert!(kept.contains("filters refuse"), "{kept}");
        let other = data(1, "I cannot help with that.").list("further", vec![]);
        assert!(said(&other).unwrap_err().contains("counts or lists"));
    }
}
