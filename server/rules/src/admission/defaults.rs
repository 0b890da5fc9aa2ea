//! The checks of an arm whose set the experiment does not name.

use super::CheckConfig;

/// The checks of arm `provenance` where the experiment names none.
pub fn default_provenance() -> Vec<CheckConfig> {
    let check = CheckConfig::new;
    vec![
        check("signers"),
        check("literal-share").with("max_share", 0.0),
        check("lineage"),
        check("raw-write"),
        check("scale")
            .with("min_factor", 0.5)
            .with("max_factor", 1.5),
        check("data-score").with("min_score", 0.8),
    ]
}

/// The checks of arm `behaviour` where the experiment names none.
pub fn default_behaviour() -> Vec<CheckConfig> {
    let canaries = CheckConfig::new("canaries");
    vec![
        canaries
            .with("max_refusal_drop", 1.0)
            .with("max_loss_rise", 0.5),
    ]
}
