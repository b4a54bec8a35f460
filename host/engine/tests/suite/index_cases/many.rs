//! What an index owes to many at once, and of many entries.

use restante_engine::{Appended, Entry, Limits, Retention, Summary};

use crate::suite::{Engine, FREE, entry, folder, listed, told, unpack};

pub(crate) async fn limits_hold_at_their_edge_and_in_a_race(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let append = async |weight: u64, limits: Limits| {
        let heavy = Entry {
            weight,
            ..entry("name")
        };
        engine
            .index
            .append(&inbox, &heavy, &limits, None)
            .await
            .unwrap()
    };
    let weight = |weight| Limits {
        weight: Some(weight),
        ..FREE
    };
    let messages = |messages| Limits {
        messages: Some(messages),
        ..FREE
    };
    assert_eq!(append(11, weight(10)).await, Appended::Full);
    assert_eq!(append(0, messages(0)).await, Appended::Full);
    assert_eq!(engine.index.state(&inbox).await, Ok(Summary::default()));
    assert!(matches!(append(10, weight(10)).await, Appended::Kept(_)));
    assert_eq!(append(1, weight(10)).await, Appended::Full);
    assert!(matches!(append(0, weight(10)).await, Appended::Kept(_)));
    assert_eq!(append(0, messages(2)).await, Appended::Full);
    assert!(matches!(append(0, messages(3)).await, Appended::Kept(_)));
    let unlimited = Limits {
        weight: Some(u64::MAX),
        messages: Some(u64::MAX),
    };
    assert!(matches!(append(5, unlimited).await, Appended::Kept(_)));

    // Room for one is room for one more after a removal, no sooner.
    let (_, hold) = engine.holder("n", "k").await;
    assert_eq!(append(1, weight(15)).await, Appended::Full);
    let ids = unpack(&engine.index.read(&inbox).await.unwrap().unique_ids);
    engine.index.remove(&inbox, &ids[..1], &hold).await.unwrap();
    assert!(matches!(append(10, weight(15)).await, Appended::Kept(_)));
    assert_eq!(append(1, weight(15)).await, Appended::Full);

    let racing = folder("a", "racing", "");
    let mut appends = tokio::task::JoinSet::new();
    for number in 0..32 {
        let (index, racing) = (engine.index.clone(), racing.clone());
        appends.spawn(async move {
            let limits = Limits {
                weight: Some(100),
                messages: Some(100),
            };
            let name = format!("name {number}");
            index
                .append(&racing, &entry(&name), &limits, None)
                .await
                .unwrap()
        });
    }
    let appended = appends.join_all().await;
    let kept = appended
        .iter()
        .filter(|one| matches!(one, Appended::Kept(_)));
    assert_eq!(kept.count(), 10);
    let summary = Summary {
        version: 10,
        messages: 10,
        octets: 1000,
    };
    assert_eq!(engine.index.state(&racing).await, Ok(summary));
}

pub(crate) async fn a_reader_of_changes_misses_nothing_in_a_race(
    make: impl AsyncFn(Retention) -> Engine,
) {
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (index, inbox) = (engine.index.clone(), inbox.clone());
        writers.spawn(async move {
            for number in 0..EACH {
                let name = format!("{writer} {number}");
                index
                    .append(&inbox, &entry(&name), &FREE, None)
                    .await
                    .unwrap();
            }
        });
    }
    let (mut seen, mut version) = (Vec::new(), 0);
    while seen.len() < WRITERS * EACH {
        let changes = engine
            .index
            .changes(&inbox, version)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(changes.gone, "");
        assert!(changes.came.version >= version);
        version = changes.came.version;
        seen.extend(listed(&changes.came));
        let summary = engine.index.state(&inbox).await.unwrap();
        assert!(summary.version >= version && summary.messages >= seen.len() as u64);
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    assert_eq!(version, (WRITERS * EACH) as u64);
    let entries = engine.index.read(&inbox).await.unwrap();
    assert_eq!(listed(&entries), seen);
    for writer in 0..WRITERS {
        let own = seen.iter().filter_map(|(_, name)| {
            let number = name.strip_prefix(&format!("{writer} "))?;
            number.parse::<usize>().ok()
        });
        assert_eq!(own.collect::<Vec<_>>(), (0..EACH).collect::<Vec<_>>());
    }
}

pub(crate) async fn a_folder_of_many_entries_is_read_whole_and_emptied_at_once(
    make: impl AsyncFn(Retention) -> Engine,
) {
    const ENTRIES: u64 = 1500;
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let mut ids = Vec::new();
    for number in 0..ENTRIES {
        let unique_id = (number % 3 == 0).then(|| format!("brought{number}"));
        let one = Entry {
            unique_id,
            ..entry(&format!("name {number}"))
        };
        ids.push(engine.kept(&inbox, &one).await);
    }
    let entries = engine.index.read(&inbox).await.unwrap();
    assert_eq!(unpack(&entries.unique_ids), ids);
    let (_, hold) = engine.holder("n", "k").await;
    engine.index.remove(&inbox, &ids, &hold).await.unwrap();
    let empty = Summary {
        version: ENTRIES + 1,
        messages: 0,
        octets: 0,
    };
    assert_eq!(engine.index.state(&inbox).await, Ok(empty));
    let changes = engine
        .index
        .changes(&inbox, ENTRIES)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told(&changes), (ids, vec![]));
    // All that counted was given back.
    let limits = Limits {
        weight: Some(10),
        messages: Some(1),
    };
    let appended = engine
        .index
        .append(&inbox, &entry("one"), &limits, None)
        .await;
    assert!(matches!(appended, Ok(Appended::Kept(_))), "{appended:?}");
}
