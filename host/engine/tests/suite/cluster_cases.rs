//! What nodes tell one another.

use std::time::Duration;

use restante_engine::{
    Exchanged, Holds, News, Node, NodeSession, Penalty, Problem, Report, Retention, SessionChoice,
};

use super::Engine;

fn session(id: &str, tenant: &str, user: &str) -> NodeSession {
    NodeSession {
        node: String::new(),
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        user: user.to_owned(),
        client: "192.0.2.1:4000".to_owned(),
        listener: "pop3".to_owned(),
        tls: (id != "clear").then(|| "TLSv1.3".to_owned()),
        since: 1_700_000_000 + id.len() as u64,
    }
}

async fn told(holds: &dyn Holds, node: &Node, report: &Report) -> News {
    match holds.exchange(node, report).await.unwrap() {
        Exchanged::News(news) => news,
        Exchanged::Failed(why) => panic!("{why}"),
    }
}

async fn seen(holds: &dyn Holds, node: &Node) -> Vec<(String, String)> {
    let sessions = holds.sessions_elsewhere(node).await.unwrap();
    let names = sessions.into_iter().map(|one| (one.node, one.id));
    names.collect()
}

fn whole(begun: Vec<NodeSession>) -> Report {
    Report {
        is_whole: true,
        begun,
        ..Report::default()
    }
}

fn of(node: &str, ids: &[&str]) -> Vec<(String, String)> {
    ids.iter()
        .map(|id| (node.to_owned(), (*id).to_owned()))
        .collect()
}

/// Two nodes of an engine that may have more than one.
async fn two(engine: &Engine) -> Option<(Node, Node)> {
    let holds = &engine.holds;
    let first = holds.join("first", "a test").await.unwrap();
    let second = holds.join("second", "a test").await.unwrap();
    if holds.has_terms() {
        return Some((first, second));
    }
    // One process has it, and nobody to tell.
    let report = whole(vec![session("a", "t", "ada")]);
    assert_eq!(told(&**holds, &first, &report).await, News::default());
    assert_eq!(seen(&**holds, &second).await, []);
    let which = SessionChoice::Tenant("t".to_owned());
    let asked = holds.end_elsewhere(&second, &which, None).await;
    assert_eq!(asked, Ok(Vec::new()));
    holds.leave(&first).await.unwrap();
    let late = holds.exchange(&first, &report).await;
    assert_eq!(late, Err(Problem::Lost));
    None
}

pub(crate) async fn sessions_are_told_to_other_nodes(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let Some((first, second)) = two(&engine).await else {
        return;
    };
    let holds = &*engine.holds;
    // Whoever has told nothing yet has to tell all.
    assert!(told(holds, &first, &Report::default()).await.is_report_lost);
    let odd = NodeSession {
        user: "o\0d\u{7}d".repeat(1000),
        ..session("oddest", "t", "")
    };
    let begun = vec![session("clear", "t", "ada"), odd];
    let news = told(holds, &first, &whole(begun.clone())).await;
    assert!(!news.is_report_lost);
    assert_eq!(seen(holds, &first).await, []);
    let sessions = holds.sessions_elsewhere(&second).await.unwrap();
    assert_eq!(sessions.len(), 2);
    let expected = NodeSession {
        node: "first".to_owned(),
        ..begun[0].clone()
    };
    assert_eq!(sessions[0], expected);
    // The same once more is the same, and changes are changes.
    let changes = Report {
        begun: vec![session("later and longer", "t", "eve")],
        ended: vec!["oddest".to_owned(), "never".to_owned()],
        ..Report::default()
    };
    for _ in 0..2 {
        assert!(!told(holds, &first, &changes).await.is_report_lost);
        let both = of("first", &["clear", "later and longer"]);
        assert_eq!(seen(holds, &second).await, both);
    }
    told(holds, &first, &whole(vec![session("new", "t", "ada")])).await;
    assert_eq!(seen(holds, &second).await, of("first", &["new"]));
}

pub(crate) async fn sessions_of_a_node_that_is_gone_are_nobodys(
    make: impl AsyncFn(Retention) -> Engine,
) {
    // Longer than a database that has much to do needs for a few calls.
    let term = Duration::from_secs(6);
    let engine = make(Retention {
        term,
        ..Retention::default()
    })
    .await;
    let Some((first, second)) = two(&engine).await else {
        return;
    };
    let holds = &*engine.holds;
    let report = whole(vec![session("a", "t", "ada")]);
    told(holds, &first, &report).await;
    assert_eq!(seen(holds, &second).await, of("first", &["a"]));
    // Started again, it is another process, with sessions of its own.
    let again = holds.join("first", "a test").await.unwrap();
    assert_eq!(seen(holds, &second).await, []);
    let late = holds.exchange(&first, &report).await;
    assert_eq!(late, Err(Problem::Lost));
    assert!(told(holds, &again, &Report::default()).await.is_report_lost);
    told(holds, &again, &whole(vec![session("b", "t", "ada")])).await;
    assert_eq!(seen(holds, &second).await, of("first", &["b"]));
    // Others see to it that nothing is left of who is silent.
    tokio::time::sleep(term + term / 2).await;
    assert_eq!(seen(holds, &second).await, []);
    told(holds, &second, &Report::default()).await;
    told(holds, &second, &Report::default()).await;
    // It was silent, and is back under its term.
    let news = told(holds, &again, &Report::default()).await;
    if news.is_report_lost {
        told(holds, &again, &whole(vec![session("b", "t", "ada")])).await;
    }
    assert_eq!(seen(holds, &second).await, of("first", &["b"]));
    holds.leave(&again).await.unwrap();
    assert_eq!(seen(holds, &second).await, []);
}

pub(crate) async fn who_is_asked_to_end_sessions_hears_of_it_until_it_has_heard(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let Some((first, second)) = two(&engine).await else {
        return;
    };
    let holds = &*engine.holds;
    let third = holds.join("third", "a test").await.unwrap();
    let begun = vec![session("a", "t", "ada"), session("bb", "u", "ada")];
    told(holds, &first, &whole(begun)).await;
    told(holds, &third, &whole(vec![session("ccc", "t", "eve")])).await;
    let user = |tenant: Option<&str>| SessionChoice::User {
        user: "ada".to_owned(),
        tenant: tenant.map(str::to_owned),
    };
    let holder = SessionChoice::Holder {
        key: "t:/mail/ada".to_owned(),
        fence: u64::from(u32::MAX) + 7,
        tenant: "t".to_owned(),
        user: "ada".to_owned(),
        by: "later".to_owned(),
    };
    let all = [
        (user(None), None, &["a", "bb"][..]),
        (user(Some("u")), None, &["bb"]),
        (user(None), Some("third"), &[]),
        (SessionChoice::Session("ccc".to_owned()), None, &["ccc"]),
        (SessionChoice::Tenant("t".to_owned()), None, &["a", "ccc"]),
        (SessionChoice::Tenant("t".to_owned()), Some("first"), &["a"]),
        (holder, Some("first"), &["a"]),
    ];
    for (which, only, ids) in &all {
        let known = holds.end_elsewhere(&second, which, *only).await.unwrap();
        let mut known: Vec<&str> = known.iter().map(|one| one.id.as_str()).collect();
        known.sort_unstable();
        assert_eq!(known, *ids, "{which:?}");
    }
    // Who asks is not asked.
    assert_eq!(told(holds, &second, &Report::default()).await.asked, []);
    let asked = told(holds, &first, &Report::default()).await.asked;
    let mut expected = all.iter().filter(|(_, only, _)| *only != Some("third"));
    for (_, which) in &asked {
        assert_eq!(Some(which), expected.next().map(|(which, _, _)| which));
    }
    assert_eq!(expected.next(), None);
    let numbers = asked.iter().map(|(number, _)| *number);
    let (last, before) = (asked.last().unwrap().0, numbers.clone());
    let heard = Report {
        heard: before.filter(|number| *number != last).collect(),
        ..Report::default()
    };
    let left = told(holds, &first, &heard).await.asked;
    assert_eq!(left, asked[asked.len() - 1..]);
    // What another one has heard is no matter of this one's.
    let foreign = Report {
        heard: vec![last],
        ..Report::default()
    };
    assert_eq!(told(holds, &third, &foreign).await.asked.len(), 5);
    assert_eq!(told(holds, &first, &heard).await.asked, left);
    assert_eq!(told(holds, &first, &foreign).await.asked, []);
    let again = holds.join("third", "a test").await.unwrap();
    assert_eq!(told(holds, &again, &Report::default()).await.asked, []);
}

fn penalty(network: &str, failures: u32, remaining: u64) -> Penalty {
    Penalty {
        network: network.to_owned(),
        failures,
        age: Duration::from_secs(5),
        remaining: Duration::from_secs(remaining),
    }
}

fn owed(news: &News) -> Vec<(&str, u32)> {
    let penalties = news.penalties.iter();
    penalties
        .map(|one| (one.network.as_str(), one.failures))
        .collect()
}

pub(crate) async fn penalties_are_told_once_to_each_other_node(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let Some((first, second)) = two(&engine).await else {
        return;
    };
    let holds = &*engine.holds;
    let report = Report {
        penalties: vec![
            penalty("192.0.2.1/32", 2, 60),
            penalty("2001:db8::/48", 1, 60),
            penalty("192.0.2.9/32", 1, 0),
        ],
        ..Report::default()
    };
    assert_eq!(told(holds, &first, &report).await.penalties, []);
    let news = told(holds, &second, &Report::default()).await;
    let mut names = owed(&news);
    names.sort_unstable();
    assert_eq!(names, [("192.0.2.1/32", 2), ("2001:db8::/48", 1)]);
    assert_eq!(news.left_out, 0);
    for penalty in &news.penalties {
        let (age, remaining) = (penalty.age.as_secs(), penalty.remaining.as_secs());
        assert!((5..60).contains(&age), "{penalty:?}");
        assert!((30..=60).contains(&remaining), "{penalty:?}");
    }
    let next = |news: &News| Report {
        last_penalty: news.last_penalty,
        ..Report::default()
    };
    let nothing = told(holds, &second, &next(&news)).await;
    assert_eq!(owed(&nothing), []);
    // Who does not hear is told nothing.
    let deaf = Report {
        is_deaf: true,
        ..Report::default()
    };
    assert_eq!(told(holds, &second, &deaf).await, News::default());
    // What has changed is told again, and an older number brings all.
    let more = Report {
        penalties: vec![penalty("192.0.2.1/32", 3, 60)],
        ..Report::default()
    };
    told(holds, &first, &more).await;
    let news = told(holds, &second, &next(&nothing)).await;
    assert_eq!(owed(&news), [("192.0.2.1/32", 3)]);
    let third = holds.join("third", "a test").await.unwrap();
    assert_eq!(
        told(holds, &third, &Report::default())
            .await
            .penalties
            .len(),
        2
    );
    // A number from before a crash that has lost some.
    let beyond = Report {
        last_penalty: 1_000_000_000,
        ..Report::default()
    };
    let anew = told(holds, &second, &beyond).await;
    assert_eq!(anew.penalties.len(), 2);
    assert_eq!(owed(&told(holds, &second, &next(&anew)).await), []);
}
