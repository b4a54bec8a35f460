//! What an index owes.

use std::collections::HashSet;
use std::time::Duration;

use restante_engine::{Appended, Difference, Entries, Entry, Limits, Problem, Retention, Summary};

mod many;

pub(crate) use many::*;

use super::{Engine, FREE, entry, folder, listed, told, unpack};

pub(crate) async fn nothing_is_in_a_folder_that_was_never_written_to(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let index = &engine.index;
    let inbox = folder("a", "b", "");
    assert_eq!(index.state(&inbox).await, Ok(Summary::default()));
    assert_eq!(index.read(&inbox).await, Ok(Entries::default()));
    assert_eq!(
        index.changes(&inbox, 0).await,
        Ok(Some(Difference::default()))
    );
    assert_eq!(index.changes(&inbox, 1).await, Ok(None));
    assert_eq!(index.changes(&inbox, u64::MAX).await, Ok(None));
    let (_, hold) = engine.holder("n", "k").await;
    assert_eq!(index.remove(&inbox, &[], &hold).await, Ok(()));
    let removed = index.remove(&inbox, &["1.1".into()], &hold).await;
    assert!(matches!(removed, Err(Problem::Invalid(_))), "{removed:?}");
    assert_eq!(index.state(&inbox).await, Ok(Summary::default()));
}

pub(crate) async fn entries_are_read_in_the_order_in_which_they_came(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("example.com", "ünïx", "");
    let first = engine.kept(&inbox, &entry("z first ü")).await;
    let brought = Entry {
        unique_id: Some("!~".into()),
        octets: 7,
        surrogate: Some(9),
        received: 0,
        ..entry("second")
    };
    assert_eq!(engine.kept(&inbox, &brought).await, "!~");
    let third = Entry {
        octets: 1 << 40,
        surrogate: Some(0),
        received: u64::MAX / 2,
        weight: 0,
        ..entry("a third")
    };
    let third = engine.kept(&inbox, &third).await;
    let entries = engine.index.read(&inbox).await.unwrap();
    let of = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    assert_eq!(
        listed(&entries),
        [
            of(&first, "z first ü"),
            of("!~", "second"),
            of(&third, "a third")
        ]
    );
    assert_eq!(entries.octets, [100, 7, 1 << 40]);
    assert_eq!(entries.received, [1_700_000_000, 0, u64::MAX / 2]);
    assert_eq!(entries.surrogates, [(1, 9), (2, 0)]);
    let summary = Summary {
        version: 3,
        messages: 3,
        octets: 107 + (1 << 40),
    };
    assert_eq!(entries.version, 3);
    assert_eq!(engine.index.state(&inbox).await, Ok(summary));
    for id in [&first, &third] {
        let (epoch, number) = id.split_once('.').unwrap();
        u64::from_str_radix(epoch, 16).unwrap();
        u64::from_str_radix(number, 16).unwrap();
    }
}

pub(crate) async fn tenants_maildrops_and_folders_are_apart(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let folders = [
        folder("a", "b", ""),
        folder("a", "b", "c"),
        folder("a", "b", "C"),
        folder("a", "bc", ""),
        folder("ab", "b", ""),
        folder("a", "B", ""),
        folder("b", "a", ""),
        folder("a", "b ", ""),
    ];
    for (number, folder) in folders.iter().enumerate() {
        let brought = Entry {
            unique_id: Some("same".into()),
            digest: Some([1; 32]),
            ..entry(&format!("name {number}"))
        };
        assert_eq!(engine.kept(folder, &brought).await, "same");
    }
    let (_, hold) = engine.holder("n", "k").await;
    engine
        .index
        .remove(&folders[0], &["same".into()], &hold)
        .await
        .unwrap();
    assert_eq!(engine.names(&folders[0]).await, [""; 0]);
    for (number, folder) in folders.iter().enumerate().skip(1) {
        assert_eq!(engine.names(folder).await, [format!("name {number}")]);
        assert_eq!(engine.index.state(folder).await.unwrap().version, 1);
    }
}

pub(crate) async fn an_entry_that_is_not_as_it_has_to_be_changes_nothing(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let id = |id: &str| Entry {
        unique_id: Some(id.to_owned()),
        ..entry("name")
    };
    let large = (1 << 40) + 1;
    let entries = [
        id(""),
        id(&"x".repeat(71)),
        id("a b"),
        id("a\0"),
        id("ü"),
        id("\u{7f}"),
        entry(""),
        entry(&"x".repeat(1025)),
        entry("a\0b"),
        Entry {
            octets: large,
            ..entry("name")
        },
        Entry {
            surrogate: Some(large),
            ..entry("name")
        },
        Entry {
            weight: large,
            ..entry("name")
        },
        Entry {
            received: u64::MAX,
            ..entry("name")
        },
    ];
    for entry in &entries {
        let appended = engine.index.append(&inbox, entry, &FREE, None).await;
        assert!(
            matches!(appended, Err(Problem::Invalid(_))),
            "{entry:?}: {appended:?}"
        );
    }
    assert_eq!(engine.index.state(&inbox).await, Ok(Summary::default()));
    engine.kept(&inbox, &id(&"x".repeat(70))).await;
    engine.kept(&inbox, &entry(&"x".repeat(1024))).await;
}

pub(crate) async fn unique_ids_that_are_brought_are_kept_apart_from_those_that_are_made(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let made = engine.kept(&inbox, &entry("made")).await;
    let bring = async |id: &str| {
        let brought = Entry {
            unique_id: Some(id.to_owned()),
            ..entry("brought")
        };
        engine.index.append(&inbox, &brought, &FREE, None).await
    };
    let (epoch, _) = made.split_once('.').unwrap();
    for id in [
        made.clone(),
        format!("{epoch}.2"),
        format!("{epoch}.ffff"),
        format!("{epoch}."),
    ] {
        let appended = bring(&id).await;
        assert!(
            matches!(appended, Err(Problem::Invalid(_))),
            "{id}: {appended:?}"
        );
    }
    assert_eq!(engine.index.state(&inbox).await.unwrap().version, 1);
    // Of another folder's kind: that is where a migration brings it from.
    let others = format!("{epoch}0.1");
    for id in [others.as_str(), "A", "a", "."] {
        assert_eq!(bring(id).await, Ok(Appended::Kept(id.to_owned())));
        let again = bring(id).await;
        assert!(matches!(again, Err(Problem::Invalid(_))), "{id}: {again:?}");
    }
    let (_, hold) = engine.holder("n", "k").await;
    let ids = [others.clone(), "a".to_owned(), made.clone()];
    engine.index.remove(&inbox, &ids, &hold).await.unwrap();
    let entries = engine.index.read(&inbox).await.unwrap();
    assert_eq!(unpack(&entries.unique_ids), ["A", "."]);
    // A migration may bring what it brought before; what was made never comes back.
    assert_eq!(bring("a").await, Ok(Appended::Kept("a".to_owned())));
    assert!(matches!(bring(&made).await, Err(Problem::Invalid(_))));
}

pub(crate) async fn the_same_again_is_a_duplicate_even_after_its_removal(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let digested = |digest: u8| Entry {
        digest: Some([digest; 32]),
        ..entry("name")
    };
    // What found no room has not come.
    let none = Limits {
        messages: Some(0),
        ..FREE
    };
    let full = engine.index.append(&inbox, &digested(1), &none, None).await;
    assert_eq!(full, Ok(Appended::Full));
    let unique_id = engine.kept(&inbox, &digested(1)).await;
    for limits in [FREE, none] {
        let again = engine
            .index
            .append(&inbox, &digested(1), &limits, None)
            .await;
        assert_eq!(again, Ok(Appended::Duplicate));
    }
    let (_, hold) = engine.holder("n", "k").await;
    engine
        .index
        .remove(&inbox, &[unique_id], &hold)
        .await
        .unwrap();
    let again = engine.index.append(&inbox, &digested(1), &FREE, None).await;
    assert_eq!(again, Ok(Appended::Duplicate));
    assert_eq!(engine.index.expire(1000).await, Ok(0));
    let again = engine.index.append(&inbox, &digested(1), &FREE, None).await;
    assert_eq!(again, Ok(Appended::Duplicate));
    assert_eq!(engine.index.state(&inbox).await.unwrap().version, 2);
    engine.kept(&inbox, &digested(2)).await;
    engine.kept(&inbox, &entry("no digest")).await;
    engine.kept(&inbox, &entry("no digest")).await;

    let mut appends = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (index, inbox, same) = (engine.index.clone(), inbox.clone(), digested(3));
        appends.spawn(async move { index.append(&inbox, &same, &FREE, None).await.unwrap() });
    }
    let appended = appends.join_all().await;
    let kept = appended
        .iter()
        .filter(|one| matches!(one, Appended::Kept(_)));
    assert_eq!(kept.count(), 1, "{appended:?}");
}

pub(crate) async fn duplicates_are_forgotten_in_time(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention {
        duplicates: Duration::ZERO,
        ..Retention::default()
    })
    .await;
    let inbox = folder("a", "b", "");
    let same = Entry {
        digest: Some([1; 32]),
        ..entry("name")
    };
    engine.kept(&inbox, &same).await;
    engine.kept(&inbox, &same).await;
    assert_eq!(engine.index.expire(1000).await, Ok(1));
    assert_eq!(engine.index.expire(1000).await, Ok(0));
    engine.kept(&inbox, &same).await;
    assert_eq!(engine.names(&inbox).await.len(), 3);
}

pub(crate) async fn all_are_removed_or_none(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(engine.kept(&inbox, &entry(name)).await);
    }
    let other = engine
        .kept(&folder("a", "b", "other"), &entry("other"))
        .await;
    let (_, hold) = engine.holder("n", "k").await;
    let (epoch, _) = ids[0].split_once('.').unwrap();
    let upper = format!("{epoch}.0{}", 1);
    let wrong = [
        "no.such",
        &other,
        &upper,
        &format!("{epoch}.5"),
        &format!("{epoch}.ffffffffffffffff"),
        &format!("{epoch}."),
        &ids[0],
        "",
        "a b",
        &"x".repeat(71),
    ];
    for wrong in wrong {
        let named = [ids[0].clone(), wrong.to_owned(), ids[2].clone()];
        let removed = engine.index.remove(&inbox, &named, &hold).await;
        assert!(
            matches!(removed, Err(Problem::Invalid(_))),
            "{wrong}: {removed:?}"
        );
    }
    assert_eq!(engine.names(&inbox).await, ["a", "b", "c", "d"]);
    assert_eq!(engine.index.state(&inbox).await.unwrap().version, 4);
    assert_eq!(engine.index.remove(&inbox, &[], &hold).await, Ok(()));
    assert_eq!(engine.index.state(&inbox).await.unwrap().version, 4);

    // In any order.
    let named = [ids[2].clone(), ids[0].clone()];
    engine.index.remove(&inbox, &named, &hold).await.unwrap();
    assert_eq!(engine.names(&inbox).await, ["b", "d"]);
    let summary = Summary {
        version: 5,
        messages: 2,
        octets: 200,
    };
    assert_eq!(engine.index.state(&inbox).await, Ok(summary));
    let again = engine.index.remove(&inbox, &named, &hold).await;
    assert!(matches!(again, Err(Problem::Invalid(_))), "{again:?}");
    assert_eq!(engine.names(&folder("a", "b", "other")).await, ["other"]);
}

pub(crate) async fn nothing_is_removed_without_the_hold(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let id = engine.kept(&inbox, &entry("a")).await;
    let (node, hold) = engine.holder("n", "k").await;
    let other = engine.held("other key", &node).await;
    let mixed = restante_engine::Hold {
        key: hold.key.clone(),
        ..other.clone()
    };
    engine.holds.release(&other).await.unwrap();
    for wrong in [&mixed, &other] {
        for ids in [&[][..], std::slice::from_ref(&id)] {
            let removed = engine.index.remove(&inbox, ids, wrong).await;
            assert_eq!(removed, Err(Problem::Lost));
        }
    }
    // The hold comes before the unique-ids: whoever has lost it may see what is gone.
    let removed = engine
        .index
        .remove(&inbox, &["no.such".into()], &other)
        .await;
    assert_eq!(removed, Err(Problem::Lost));
    assert_eq!(engine.names(&inbox).await, ["a"]);
    engine
        .index
        .remove(&inbox, std::slice::from_ref(&id), &hold)
        .await
        .unwrap();
    // A session may remove more than once.
    let id = engine.kept(&inbox, &entry("b")).await;
    engine.index.remove(&inbox, &[id], &hold).await.unwrap();
    engine.holds.release(&hold).await.unwrap();
    assert_eq!(
        engine.index.remove(&inbox, &[], &hold).await,
        Err(Problem::Lost)
    );
}

pub(crate) async fn changes_are_what_came_and_went_since(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let a = engine.kept(&inbox, &entry("a")).await;
    let brought = Entry {
        unique_id: Some("B".into()),
        surrogate: Some(3),
        ..entry("b")
    };
    engine.kept(&inbox, &brought).await;
    let (_, hold) = engine.holder("n", "k").await;
    let read = engine.index.read(&inbox).await.unwrap();
    assert_eq!(read.version, 2);
    let since = async |version: u64| engine.index.changes(&inbox, version).await.unwrap();
    let nothing = since(2).await.unwrap();
    assert_eq!(told(&nothing), (vec![], vec![]));
    assert_eq!(nothing.came.version, 2);
    assert_eq!(since(3).await, None);

    let c = Entry {
        surrogate: Some(5),
        ..entry("c")
    };
    engine.kept(&inbox, &c).await;
    let d = engine.kept(&inbox, &entry("d")).await;
    engine
        .index
        .remove(&inbox, &[d, "B".into()], &hold)
        .await
        .unwrap();
    engine
        .index
        .remove(&inbox, std::slice::from_ref(&a), &hold)
        .await
        .unwrap();
    let texts = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let changes = since(2).await.unwrap();
    assert_eq!(told(&changes), (texts(&["B", &a]), texts(&["c"])));
    assert_eq!(changes.came.version, 6);
    assert_eq!(changes.came.surrogates, [(0, 5)]);
    assert_eq!(
        told(&since(1).await.unwrap()),
        (texts(&[&a]), texts(&["c"]))
    );
    assert_eq!(told(&since(0).await.unwrap()), (vec![], texts(&["c"])));
    assert_eq!(told(&since(5).await.unwrap()), (texts(&[&a]), vec![]));
    assert_eq!(told(&since(6).await.unwrap()), (vec![], vec![]));
    assert_eq!(since(7).await, None);
    // What went and comes back under its unique-id is in both.
    let back = Entry {
        unique_id: Some("B".into()),
        ..entry("b again")
    };
    engine.kept(&inbox, &back).await;
    assert_eq!(
        told(&since(2).await.unwrap()),
        (texts(&["B", &a]), texts(&["c", "b again"]))
    );
}

pub(crate) async fn changes_that_were_forgotten_are_not_told(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention {
        changes: Duration::ZERO,
        ..Retention::default()
    })
    .await;
    let inbox = folder("a", "b", "");
    let (_, hold) = engine.holder("n", "k").await;
    for name in ["a", "b", "c"] {
        let id = engine.kept(&inbox, &entry(name)).await;
        engine.index.remove(&inbox, &[id], &hold).await.unwrap();
    }
    engine.kept(&inbox, &entry("d")).await;
    // One in each turn, oldest first: versions 2, 4 and 6 removed something.
    assert_eq!(engine.index.expire(1).await, Ok(1));
    assert_eq!(engine.index.changes(&inbox, 1).await, Ok(None));
    assert!(engine.index.changes(&inbox, 2).await.unwrap().is_some());
    assert_eq!(engine.index.expire(1000).await, Ok(2));
    assert_eq!(engine.index.expire(1000).await, Ok(0));
    assert_eq!(engine.index.changes(&inbox, 5).await, Ok(None));
    let changes = engine.index.changes(&inbox, 6).await.unwrap().unwrap();
    assert_eq!(told(&changes), (vec![], vec!["d".to_owned()]));
}

pub(crate) async fn unique_ids_are_never_made_twice(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention {
        changes: Duration::ZERO,
        duplicates: Duration::ZERO,
        ..Retention::default()
    })
    .await;
    let inbox = folder("a", "b", "");
    let (_, hold) = engine.holder("n", "k").await;
    let mut made = HashSet::new();
    for _ in 0..10 {
        let id = engine.kept(&inbox, &entry("name")).await;
        engine
            .index
            .remove(&inbox, std::slice::from_ref(&id), &hold)
            .await
            .unwrap();
        assert!(made.insert(id), "{made:?}");
        engine.index.expire(1000).await.unwrap();
    }
    let other = engine.kept(&folder("a", "c", ""), &entry("name")).await;
    let epoch = |id: &str| id.split_once('.').unwrap().0.to_owned();
    assert!(made.iter().all(|id| epoch(id) != epoch(&other)));
}
