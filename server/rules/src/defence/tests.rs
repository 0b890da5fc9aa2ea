use std::collections::BTreeMap;
use std::ops::Bound;

use fedseal_adapter::{Adapter, AdapterConfig, Example, ModelConfig};

use super::*;
use crate::experiment::{DefenceConfig, Experiment};

fn attacked() -> Adapter {
    Adapter::init(&AdapterConfig::default(), &ModelConfig::tiny(), 7).unwrap()
}

fn numbers(given: &[(&str, f64)]) -> BTreeMap<String, f64> {
    let given = given.iter();
    given
        .map(|(key, value)| ((*key).to_owned(), *value))
        .collect()
}

fn noise<'a>(parameters: &'a Parameters, attacked: &'a Adapter) -> Case<'a> {
    Case {
        arm: "shaken",
        seed: 3,
        parameters,
        attacked,
    }
}

#[test]
fn names_differ_and_an_unknown_one_is_answered_with_a_near_one() {
    let mut names: Vec<&str> = ALL.iter().map(|definition| definition.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
    assert_eq!(named(DEFAULT).unwrap().name, "posthoc");
    let text = named("post-hoc").unwrap_err().to_string();
    assert!(text.contains("did you mean `posthoc`"), "{text}");
}

#[test]
fn noise_has_its_norm_and_is_the_same_again() {
    let attacked = attacked();
    let parameters = noise::DEFINITION
        .parameters(&numbers(&[("norm", 0.5)]))
        .unwrap();
    let case = noise(&parameters, &attacked);
    let compute = noise::DEFINITION.compute.unwrap();
    let (data, noisy) = compute(&case).unwrap();
    assert_eq!(
        data.shown(),
        BTreeMap::from([("values".into(), attacked.len() as u64)])
    );
    let norm = noisy.sub(&attacked).unwrap().norm_l2();
    assert!((norm - 0.5).abs() < 1e-4, "{norm}");
    assert_eq!(compute(&case).unwrap().1.digest(), noisy.digest());
    for other in [
        Case {
            arm: "other",
            ..noise(&parameters, &attacked)
        },
        Case {
            seed: 4,
            ..noise(&parameters, &attacked)
        },
    ] {
        assert_ne!(compute(&other).unwrap().1.digest(), noisy.digest());
    }
    // No norm, no step.
    let none = noise::DEFINITION
        .parameters(&numbers(&[("norm", 0.0)]))
        .unwrap();
    let (_, still) = compute(&noise(&none, &attacked)).unwrap();
    assert_eq!(still.digest(), attacked.digest());
}

#[test]
fn an_auditor_computes_noise_again() {
    let attacked = attacked();
    let parameters = noise::DEFINITION
        .parameters(&numbers(&[("norm", 0.5)]))
        .unwrap();
    let case = noise(&parameters, &attacked);
    let (data, noisy) = noise::DEFINITION.compute.unwrap()(&case).unwrap();
    let audit = noise::DEFINITION.audit;
    audit(&case, &data, &noisy).unwrap();
    let fewer = data.clone().count("values", 1);
    assert!(audit(&case, &fewer, &noisy).unwrap_err().contains("counts"));
    let listed = data.clone().list("safety", vec![]);
    assert!(audit(&case, &listed, &noisy).is_err());
    let text = audit(&case, &data, &attacked).unwrap_err();
    assert!(text.contains("another adapter"), "{text}");
    let half = noise::DEFINITION
        .parameters(&numbers(&[("norm", 0.25)]))
        .unwrap();
    assert!(audit(&noise(&half, &attacked), &data, &noisy).is_err());
}

#[test]
fn data_from_before_there_were_two_defences_are_read() {
    let bytes = br#"{"helpful":[{"prompt":"a","response":"b"}],"helpful_tried":5,"level":3,"safety":[],"safety_tried":7}"#;
    let data = DefenceData::from_bytes(bytes).unwrap();
    assert_eq!(data.defence, "posthoc");
    assert_eq!(data.listed("helpful"), [Example::new("a", "b")]);
    let shown = [
        "helpful",
        "helpful_tried",
        "level",
        "safety",
        "safety_tried",
    ];
    let shown = shown.map(String::from).into_iter().zip([1, 5, 3, 0, 7]);
    assert_eq!(data.shown(), shown.collect());
    // Written again they have the form of today, which says whose they are.
    let again = data.to_bytes().unwrap();
    assert_eq!(DefenceData::from_bytes(&again).unwrap(), data);
    assert!(DefenceData::from_bytes(br#"{"level":3}"#).is_err());
}

/// The table `[defence]` and the definition say the same of every number.
#[test]
fn the_table_has_the_definition_s_defaults_and_ranges() {
    let table = serde_json::to_value(DefenceConfig::default()).unwrap();
    assert_eq!(
        table.as_object().unwrap().len(),
        posthoc::DEFINITION.numbers.len()
    );
    for number in posthoc::DEFINITION.numbers {
        assert_eq!(table[number.key].as_f64(), number.default, "{}", number.key);
        let ends = [number.range.0, number.range.1];
        for end in ends {
            let (Bound::Included(end) | Bound::Excluded(end)) = end else {
                continue;
            };
            for value in [end, end - 1.0, end + 1.0] {
                let written = match number.whole {
                    true => format!("{value}"),
                    false => format!("{value:?}"),
                };
                let text = format!("[defence]\n{} = {written}\n", number.key);
                let fits = posthoc::DEFINITION.parameters(&numbers(&[(number.key, value)]));
                assert_eq!(
                    Experiment::parse(&text, "x.toml").is_ok(),
                    fits.is_ok(),
                    "{text}"
                );
            }
        }
    }
}
