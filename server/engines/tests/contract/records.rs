//! The contract of records, as tests.

use std::sync::Barrier;

use fedseal_engines::Error;
use fedseal_engines::records::{MAX_ROW, Records, Row, Table, copy};

const RACERS: usize = 8;

fn row(columns: &[&str]) -> Row {
    columns.iter().map(|it| (*it).to_owned()).collect()
}

pub(crate) fn module(name: &str) -> Row {
    row(&[
        name,
        "a name",
        "a key",
        "an envelope",
        "2026-01-02T03:04:05Z",
    ])
}

fn client(name: &str, key: &str) -> Row {
    row(&[name, key, "2026-01-02T03:04:05Z"])
}

fn decision(module: &str, envelope: &str) -> Row {
    row(&[module, "approved", envelope])
}

/// Every part of the contract, on records without rows.
pub(crate) fn holds(records: &dyn Records) {
    records.ready().unwrap();
    a_row_is_added_once_and_never_changed(records);
    a_key_belongs_to_one_client(records);
    rows_come_in_their_order(records);
    decisions_follow_each_other(records);
    of_several_at_once_one_is_next(records);
    a_row_has_its_columns_and_a_bound(records);
}

fn a_row_is_added_once_and_never_changed(records: &dyn Records) {
    assert_eq!(records.newest(Table::Modules, None).unwrap(), None);
    assert!(records.add(Table::Modules, &module("b")).unwrap());
    assert!(!records.add(Table::Modules, &module("b")).unwrap());
    let mut other = module("b");
    other[1] = "another name".into();
    assert!(!records.add(Table::Modules, &other).unwrap());
    let found = records.newest(Table::Modules, Some("b")).unwrap();
    assert_eq!(found, Some(module("b")), "the first one stays");
    assert_eq!(records.newest(Table::Modules, Some("none")).unwrap(), None);
    // Text is a value wherever it goes.
    let odd = "'; DROP TABLE modules; -- $1 ? \\ \u{1f98a}";
    let odd = row(&[odd, odd, odd, odd, odd]);
    assert!(records.add(Table::Modules, &odd).unwrap());
    let found = records.newest(Table::Modules, Some(&odd[0])).unwrap();
    assert_eq!(found, Some(odd));
}

fn a_key_belongs_to_one_client(records: &dyn Records) {
    let add = |name, key| records.add(Table::Clients, &client(name, key)).unwrap();
    assert!(add("a", "1"));
    assert!(!add("a", "2"));
    assert!(!add("b", "1"));
    assert!(add("b", "2"));
}

fn rows_come_in_their_order(records: &dyn Records) {
    assert!(records.add(Table::Modules, &module("a")).unwrap());
    let all = records.all(Table::Modules).unwrap();
    let names: Vec<&str> = all.iter().map(|row| row[0].as_str()).collect();
    assert_eq!((names[0], names[2]), ("b", "a"), "as they came");
    assert_eq!(
        records.newest(Table::Modules, None).unwrap(),
        Some(module("a"))
    );
    // By bytes, whatever language a database sorts for.
    for (name, key) in [("B", "3"), ("ä", "4"), ("Z", "5")] {
        assert!(records.add(Table::Clients, &client(name, key)).unwrap());
    }
    let all = records.all(Table::Clients).unwrap();
    let names: Vec<&str> = all.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["B", "Z", "a", "b", "ä"]);
}

fn decisions_follow_each_other(records: &dyn Records) {
    let (first, second, third) = (decision("a", "1"), decision("b", "2"), decision("a", "3"));
    assert_eq!(records.newest(Table::Decisions, None).unwrap(), None);
    assert!(!records.append(Some("0"), &first).unwrap());
    assert!(records.append(None, &first).unwrap());
    assert!(!records.append(None, &second).unwrap(), "one came before");
    assert!(records.append(Some("1"), &second).unwrap());
    // Whoever lost the answer asks again.
    assert!(records.append(Some("1"), &second).unwrap());
    assert!(!records.append(Some("1"), &third).unwrap());
    assert!(records.append(Some("2"), &third).unwrap());
    let twice = records.append(Some("3"), &decision("c", "1"));
    assert!(twice.is_err(), "an envelope is of one decision");
    assert_eq!(
        records.newest(Table::Decisions, Some("a")).unwrap(),
        Some(third.clone())
    );
    assert_eq!(
        records.newest(Table::Decisions, Some("b")).unwrap(),
        Some(second.clone())
    );
    assert_eq!(
        records.all(Table::Decisions).unwrap(),
        [first, second, third]
    );
}

fn of_several_at_once_one_is_next(records: &dyn Records) {
    for race in 0..5 {
        let before = records.newest(Table::Decisions, None).unwrap().unwrap();
        let barrier = Barrier::new(RACERS);
        let won: Vec<bool> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS)
                .map(|racer| {
                    let (barrier, previous) = (&barrier, &before[2]);
                    scope.spawn(move || {
                        barrier.wait();
                        let row = decision("race", &format!("{race}-{racer}"));
                        records.append(Some(previous), &row).unwrap()
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        });
        assert_eq!(won.iter().filter(|it| **it).count(), 1, "{won:?}");
        let winner = won.iter().position(|it| *it).unwrap();
        let last = records.newest(Table::Decisions, None).unwrap().unwrap();
        assert_eq!(last[2], format!("{race}-{winner}"));
    }
    assert_eq!(records.all(Table::Decisions).unwrap().len(), 3 + 5);
}

fn a_row_has_its_columns_and_a_bound(records: &dyn Records) {
    let mut long = module("long");
    long[1] = "x".repeat(MAX_ROW);
    for (table, row) in [
        (Table::Modules, long),
        (Table::Modules, client("a", "b")),
        (Table::Modules, module("a\0b")),
        // It would follow none.
        (Table::Decisions, decision("a", "alone")),
    ] {
        let said = records.add(table, &row).unwrap_err();
        assert!(matches!(said, Error::Refused { .. }), "{said}");
    }
    let mut longest = module("longest");
    let rest: usize = longest.iter().map(String::len).sum::<usize>() - longest[1].len();
    longest[1] = "x".repeat(MAX_ROW - rest);
    assert!(records.add(Table::Modules, &longest).unwrap());
}

/// Everything that was written stays, for whoever opens the records later.
pub(crate) fn holds_again(records: &dyn Records) {
    assert_eq!(
        records.newest(Table::Modules, Some("b")).unwrap(),
        Some(module("b"))
    );
    assert_eq!(records.all(Table::Decisions).unwrap().len(), 3 + 5);
}

/// All rows go from one engine to another, also at the second try, and only into records without others.
pub(crate) fn are_copied(from: &dyn Records, to: &dyn Records) {
    for _ in 0..2 {
        copy(from, to).unwrap();
        for table in [Table::Modules, Table::Clients, Table::Decisions] {
            assert_eq!(from.all(table).unwrap(), to.all(table).unwrap());
        }
    }
    let last = to.newest(Table::Decisions, None).unwrap().unwrap();
    assert!(to.append(Some(&last[2]), &decision("own", "own")).unwrap());
    let said = copy(from, to).unwrap_err().to_string();
    assert!(said.contains("other decisions"), "{said}");
}
