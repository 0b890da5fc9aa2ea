use serde_json::json;

use super::*;

fn none() -> BTreeMap<String, Value> {
    BTreeMap::new()
}

fn take(l: &mut Lineage, input: u32, offset: u32, count: u32) -> u32 {
    let params = BTreeMap::from([
        ("offset".to_owned(), json!(offset)),
        ("count".to_owned(), json!(count)),
    ]);
    l.push(Kind::Take, vec![input], None, Some(count), params)
}

/// 100 of the shard, 5 literal, 7 generated, joined.
fn mixed() -> (Lineage, u32, u32) {
    let mut l = Lineage::default();
    let global = l.push(Kind::Global, vec![], Some(Digest::of(b"g")), None, none());
    let shard = l.push(
        Kind::Shard,
        vec![],
        Some(Digest::of(b"s")),
        Some(100),
        none(),
    );
    let literal = l.push(
        Kind::Literal,
        vec![],
        Some(Digest::of(b"l")),
        Some(5),
        none(),
    );
    let generated = l.push(Kind::Generated, vec![global], None, Some(7), none());
    let all = l.push(
        Kind::Concat,
        vec![shard, literal, generated],
        None,
        Some(112),
        none(),
    );
    (l, global, all)
}

#[test]
fn counts_follow_concat_and_take() {
    let (mut l, global, all) = mixed();
    let part = take(&mut l, all, 98, 10);
    let a = l.push(Kind::Train, vec![global, part], None, None, none());
    let b = l.push(Kind::Train, vec![a, all], None, None, none());
    let out = l.push(Kind::Scale, vec![b], None, None, none());
    l.output = Some(out);
    l.validate().unwrap();
    let first = DataCounts {
        shard: 2,
        literal: 5,
        generated: 3,
    };
    let second = DataCounts {
        shard: 100,
        literal: 5,
        generated: 7,
    };
    assert_eq!(l.trainings(out).unwrap(), vec![(a, first), (b, second)]);
    assert_eq!(
        l.data_counts(out).unwrap(),
        DataCounts {
            shard: 102,
            literal: 10,
            generated: 10
        }
    );
    assert_eq!(l.data_counts(a).unwrap(), first);
    assert_eq!(l.data_counts(global).unwrap(), DataCounts::default());
    assert!((first.foreign_share() - 0.8).abs() < 1e-12);
    assert_eq!(DataCounts::default().foreign_share(), 0.0);
}

#[test]
fn ancestors_leave_out_what_was_not_used() {
    let (mut l, global, all) = mixed();
    let unused = l.push(Kind::RawWrite, vec![global], None, None, none());
    let trained = l.push(Kind::Train, vec![global, all], None, None, none());
    let ancestors = l.ancestors(trained);
    assert!(ancestors.contains(&trained) && ancestors.contains(&global));
    assert!(!ancestors.contains(&unused));
    assert!(l.find_ancestor(trained, &[Kind::RawWrite]).is_none());
    assert_eq!(l.find_ancestor(trained, &[Kind::Literal]).unwrap().id, 2);
    assert!(l.ancestors(99).is_empty());
}

#[test]
fn broken_graphs_are_refused() {
    let (good, global, all) = mixed();
    good.validate().unwrap();
    let broken: [&dyn Fn(&mut Lineage); 8] = [
        &|l| l.nodes[1].id = 9,
        &|l| l.nodes[0].inputs = vec![3],
        &|l| l.nodes[2].inputs = vec![2],
        &|l| l.output = Some(99),
        &|l| l.output = Some(1),
        &|l| l.nodes[1].count = None,
        &|l| l.nodes[0].count = Some(1),
        &|l| l.nodes[4].inputs.push(0),
    ];
    for (i, break_it) in broken.iter().enumerate() {
        let mut l = good.clone();
        break_it(&mut l);
        assert!(l.validate().is_err(), "case {i}");
    }
    let mut l = good.clone();
    let past = take(&mut l, all, 110, 3);
    let out = l.push(Kind::Train, vec![global, past], None, None, none());
    assert!(l.data_counts(out).is_err());
    let mut l = good;
    l.nodes[4].count = Some(4);
    let out = l.push(Kind::Train, vec![global, all], None, None, none());
    assert!(
        l.data_counts(out).is_err(),
        "a concat that lies about its count"
    );
}

#[test]
fn doubling_concats_stay_small() {
    let mut l = Lineage::default();
    let a = l.push(Kind::Shard, vec![], None, Some(1), none());
    let b = l.push(Kind::Literal, vec![], None, Some(1), none());
    let mut last = l.push(Kind::Concat, vec![a, b], None, Some(2), none());
    for i in 2..31u32 {
        last = l.push(Kind::Concat, vec![last, last], None, Some(1 << i), none());
    }
    let g = l.push(Kind::Global, vec![], None, None, none());
    let out = l.push(Kind::Train, vec![g, last], None, None, none());
    assert!(
        l.data_counts(out).is_err(),
        "2^30 runs are refused, not built"
    );
}

#[test]
fn json_is_stable() {
    let mut l = Lineage::default();
    take(&mut l, 0, 1, 2);
    l.nodes[0].inputs.clear();
    assert_eq!(
        String::from_utf8(crate::canonical::to_vec(&l).unwrap()).unwrap(),
        r#"{"nodes":[{"count":2,"digest":null,"id":0,"inputs":[],"kind":"take","params":{"count":2,"offset":1}}],"output":null}"#
    );
}
