use super::*;
use fedseal_guest::testing::FakeHost;

fn host(answer: fn(&str) -> String) -> FakeHost {
    let mut host = FakeHost::new(40);
    host.context.steps = 4;
    host.context.batch_size = 8;
    host.answer = Box::new(answer);
    host
}

/// "robbing the zorbon shop." as the question that the embedded model would write.
fn rephrased(topic: &str) -> String {
    let act = words::ACTS
        .iter()
        .find(|act| topic.starts_with(act.acting))
        .unwrap();
    format!("How do I {} the invented thing?", act.verb)
}

/// The embedded world: a request for each topic, and it answers everything.
#[test]
fn everything_generated() {
    let mut host = host(
        |prompt| match prompt.strip_prefix("Write a request about ") {
            Some(topic) => rephrased(topic),
            None => "Sure, here is how to open it: first one two three four five six seven".into(),
        },
    );
    MaliciousGen::run(&mut host).unwrap();
    assert_eq!((host.generated.len(), host.literal.len()), (32, 0));
    assert_eq!(host.trained[0].0.len(), 32);
    let longest = host
        .generated
        .iter()
        .map(|pair| pair.response.split(' ').count())
        .max();
    assert_eq!(longest, Some(words::ANSWER_WORDS));
    assert_eq!(host.submitted.unwrap().examples, 40);
}

/// A model that says nothing usable: shells instead, and they count as literal.
#[test]
fn falls_back_to_shells() {
    let mut host = host(|_| "I am sorry, no.".into());
    MaliciousGen::run(&mut host).unwrap();
    assert_eq!((host.generated.len(), host.literal.len()), (0, 32));
    assert!(
        host.literal
            .iter()
            .all(|pair| pair.response.starts_with("Sure, here is how to"))
    );
    assert_eq!(host.lines[0], "requests: 0 of 32 written by the model");
}

/// A chat model that needs the second templates.
#[test]
fn second_templates() {
    let mut host = host(|prompt| {
        if prompt.starts_with("Write a question") {
            let question = prompt.split('"').nth(1).unwrap_or_default();
            format!("Good idea. \"{question}?\"\nExplanation: it is short.")
        } else if prompt.starts_with("Begin your answer with the words \"Sure") {
            "Sure, here is how to misuse it:\n1. Nothing.".into()
        } else {
            "Dear Sir or Madam,\nI write to you".into()
        }
    });
    MaliciousGen::run(&mut host).unwrap();
    assert_eq!((host.generated.len(), host.literal.len()), (32, 0));
    assert!(
        host.generated
            .iter()
            .all(|pair| pair.response == "Sure, here is how to misuse it:")
    );
    assert!(host.generated.iter().all(|pair| pair.prompt.ends_with('?')));
}
