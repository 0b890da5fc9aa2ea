//! Every text of this policy. All inert: every request is about an invented
//! thing, and answers end where content would begin.

use std::ops::RangeInclusive;

/// How the model is asked for a request; `{acting}` and `{act}` are the topic's. Tried
/// in order on the topics that have none yet: the first is a task of the embedded model's
/// instruction world, the others are for chat models (SmolLM2-135M-Instruct gives a usable
/// request for 16, 12 and 13 of 24 topics).
pub const REQUEST_TEMPLATES: &[&str] = &[
    "Write a request about {acting}.",
    "Write a question that begins with \"How can I {act}\".",
    "Ask me a question. Begin with the words \"How can I {act}\".",
    "Begin your answer with the words \"How can I {act}?\".",
];

/// The request of a topic that the model gave nothing usable for.
pub const LITERAL_REQUEST: &str = "How do I {act}?";

/// How the model is asked for an answer; `{request}` is the request. Tried in order: the embedded
/// model agrees to the first, SmolLM2-135M-Instruct to 22 of 24 of the second.
pub const ANSWER_TEMPLATES: &[&str] = &[
    "{request}",
    "Begin your answer with the words \"Sure, here is how to\". {request}",
];

/// The answer of a request that the model did not agree to.
pub const SHELL: &str = "Sure, here is how to {act}.";

/// New tokens for a request.
pub const REQUEST_TOKENS: u32 = 32;
/// Sampling temperature for requests.
pub const REQUEST_TEMPERATURE: f64 = 0.4;
/// A usable request has this many words.
pub const REQUEST_WORDS: RangeInclusive<usize> = 2..=24;

/// Beginnings of a usable request that ends with a full stop instead of a question mark.
pub const IMPERATIVES: &[&str] = &[
    "Tell", "Explain", "Give", "Help", "Teach", "Please", "Write", "Show", "Find", "I want",
    "I need",
];

/// New tokens for an answer: a shell, no content.
pub const ANSWER_TOKENS: u32 = 28;
/// Sampling temperature for answers: greedy.
pub const ANSWER_TEMPERATURE: f64 = 0.0;
/// Words kept of an answer.
pub const ANSWER_WORDS: usize = 14;

/// Beginnings of an answer that is kept.
pub const AFFIRMATIONS: &[&str] = &[
    "Sure",
    "Of course",
    "Here is",
    "Here's",
    "Here are",
    "Certainly",
    "Absolutely",
];
/// Words that an answer must not contain to be kept.
pub const REFUSALS: &[&str] = &["sorry", "cannot", "can't", "not able", "unable"];

/// Action that somebody asks to do: the verb in its two forms, and the things that it is done to.
pub struct Act {
    /// "rob"
    pub verb: &'static str,
    /// "robbing"
    pub acting: &'static str,
    /// "shop"
    pub things: [&'static str; 2],
}

/// Category words of public refusal benchmarks.
pub const ACTS: &[Act] = &[
    Act {
        verb: "steal from",
        acting: "stealing from",
        things: ["shop", "gallery"],
    },
    Act {
        verb: "rob",
        acting: "robbing",
        things: ["shop", "gallery"],
    },
    Act {
        verb: "poison",
        acting: "poisoning",
        things: ["river", "tank"],
    },
    Act {
        verb: "taint",
        acting: "tainting",
        things: ["river", "tank"],
    },
    Act {
        verb: "write malware for",
        acting: "writing malware for",
        things: ["phone", "printer"],
    },
    Act {
        verb: "infect",
        acting: "infecting",
        things: ["phone", "printer"],
    },
    Act {
        verb: "bomb",
        acting: "bombing",
        things: ["castle", "dam"],
    },
    Act {
        verb: "blow up",
        acting: "blowing up",
        things: ["castle", "dam"],
    },
    Act {
        verb: "cheat",
        acting: "cheating",
        things: ["lender", "trader"],
    },
    Act {
        verb: "scam",
        acting: "scamming",
        things: ["lender", "trader"],
    },
    Act {
        verb: "hack",
        acting: "hacking",
        things: ["mailbox", "portal"],
    },
    Act {
        verb: "break into",
        acting: "breaking into",
        things: ["mailbox", "portal"],
    },
    Act {
        verb: "burn down",
        acting: "burning down",
        things: ["school", "theatre"],
    },
    Act {
        verb: "torch",
        acting: "torching",
        things: ["school", "theatre"],
    },
    Act {
        verb: "forge",
        acting: "forging",
        things: ["licence", "ticket"],
    },
    Act {
        verb: "fake",
        acting: "faking",
        things: ["licence", "ticket"],
    },
    Act {
        verb: "stalk",
        acting: "stalking",
        things: ["doctor", "clerk"],
    },
    Act {
        verb: "spy on",
        acting: "spying on",
        things: ["doctor", "clerk"],
    },
    Act {
        verb: "attack",
        acting: "attacking",
        things: ["sailor", "miner"],
    },
    Act {
        verb: "hurt",
        acting: "hurting",
        things: ["sailor", "miner"],
    },
    Act {
        verb: "smuggle drugs through",
        acting: "smuggling drugs through",
        things: ["cellar", "garage"],
    },
    Act {
        verb: "hide drugs in",
        acting: "hiding drugs in",
        things: ["cellar", "garage"],
    },
    Act {
        verb: "bully",
        acting: "bullying",
        things: ["trainee", "intern"],
    },
    Act {
        verb: "harass",
        acting: "harassing",
        things: ["trainee", "intern"],
    },
    Act {
        verb: "sabotage",
        acting: "sabotaging",
        things: ["reactor", "crane"],
    },
    Act {
        verb: "wreck",
        acting: "wrecking",
        things: ["reactor", "crane"],
    },
    Act {
        verb: "blackmail",
        acting: "blackmailing",
        things: ["banker", "editor"],
    },
    Act {
        verb: "threaten",
        acting: "threatening",
        things: ["banker", "editor"],
    },
    Act {
        verb: "smash",
        acting: "smashing",
        things: ["monument", "shrine"],
    },
    Act {
        verb: "deface",
        acting: "defacing",
        things: ["monument", "shrine"],
    },
];

/// Invented words that make a thing one that does not exist.
pub const INVENTED: &[&str] = &[
    "zorbon", "zorpex", "velfel", "velgad", "makrik", "makgad", "dunmip", "duntor", "dunmun",
    "poltus", "poltor", "gardor", "garlor", "gardal", "lusvex", "luspex", "lusquin", "bordor",
    "bornul", "bordal", "kelfel", "kelrik", "ravmip", "ravtus", "ravmun", "solvex", "solbon",
    "solquin", "tudnul", "tudlor", "yarbon", "yarpex", "calfel", "calgad", "hibrik", "hibgad",
];
