//! What a database owes.

use restante_engine::{Answer, Column, Database, Meter, Refusal, Statement, Value, Values};

use super::Accounts;

fn statement(text: &str, parameters: &[Value]) -> Statement {
    Statement {
        text: text.to_owned(),
        parameters: parameters.to_vec(),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn texts(name: &str, texts: &[&str]) -> Column {
    Column {
        name: name.to_owned(),
        values: Values::Texts(texts.iter().map(|text| format!("{text}\0")).collect()),
        nulls: Vec::new(),
    }
}

async fn names(database: &dyn Database) -> Answer {
    let all = "select name from account order by name";
    database
        .query(statement(all, &[]), &Meter::nobody())
        .await
        .unwrap()
}

fn state<T: std::fmt::Debug>(told: Result<T, Refusal>) -> String {
    match told {
        Err(Refusal::Refused { state, text }) if !text.is_empty() => state,
        told => panic!("{told:?}"),
    }
}

pub(crate) async fn columns_are_packed_with_their_nulls(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let database = &accounts.database;
    let all =
        "select name, quota, hash, note, nullif(name, name) as blank from account order by name";
    let answer = database
        .query(statement(all, &[]), &Meter::nobody())
        .await
        .unwrap();
    let integers = Column {
        name: "quota".to_owned(),
        values: Values::Integers(vec![1, 0, -3]),
        nulls: vec![1],
    };
    let octets = Column {
        name: "hash".to_owned(),
        values: Values::Octets(vec![0, 255], vec![2, 2, 2]),
        nulls: vec![1],
    };
    let nothing = Column {
        name: "blank".to_owned(),
        values: Values::Texts("\0\0\0".into()),
        nulls: vec![0, 1, 2],
    };
    let columns = vec![
        texts("name", &["alice", "bob", "carol"]),
        integers,
        octets,
        texts("note", &["n", "", "ü"]),
        nothing,
    ];
    assert_eq!(answer, Answer { rows: 3, columns });
    // Nulls first, and no rows at all.
    let bob_first = "select quota, hash from account where name <> 'alice' order by name";
    let answer = database
        .query(statement(bob_first, &[]), &Meter::nobody())
        .await
        .unwrap();
    assert_eq!(answer.columns[0].values, Values::Integers(vec![0, -3]));
    assert_eq!(answer.columns[1].values, Values::Octets(vec![], vec![0, 0]));
    let none = "select name, hash from account where name = 'x'";
    let answer = database
        .query(statement(none, &[]), &Meter::nobody())
        .await
        .unwrap();
    let names = answer.columns.iter().map(|column| column.name.as_str());
    assert_eq!(
        (answer.rows, names.collect::<Vec<_>>()),
        (0, vec!["name", "hash"])
    );
}

pub(crate) async fn parameters_are_by_number_wherever_they_stand(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let database = &accounts.database;
    let sql = "select name from account where note = $2 and name = $1 and $2 <> $1";
    let found = statement(sql, &[text("carol"), text("ü")]);
    for _ in 0..2 {
        let answer = database
            .query(found.clone(), &Meter::nobody())
            .await
            .unwrap();
        assert_eq!(answer.columns, [texts("name", &["carol"])]);
    }
    let sql = "select name from account where hash = $1 or quota = $2 order by name";
    let found = statement(sql, &[Value::Octets(vec![]), Value::Integer(1)]);
    let answer = database.query(found, &Meter::nobody()).await.unwrap();
    assert_eq!(answer.columns, [texts("name", &["alice", "carol"])]);
    // A value is a value, whatever is in it.
    let sql = "select name from account where name = $1";
    let answer = database
        .query(statement(sql, &[text("' or 1=1 --")]), &Meter::nobody())
        .await
        .unwrap();
    assert_eq!(answer.rows, 0);
    let answer = database
        .query(statement(sql, &[Value::Null]), &Meter::nobody())
        .await
        .unwrap();
    assert_eq!(answer.rows, 0);
}

pub(crate) async fn parameters_that_do_not_suit_are_refused(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let database = &accounts.database;
    let one = "select name from account where name = $1";
    for (sql, parameters) in [
        (one, &[][..]),
        (one, &[text("a"), text("b")]),
        ("select name from account where name = $2", &[text("a")]),
        ("select name from account where name = $0", &[text("a")]),
    ] {
        let told = database
            .query(statement(sql, parameters), &Meter::nobody())
            .await;
        assert_eq!(state(told).len(), 5, "{sql}");
    }
}

pub(crate) async fn a_query_changes_nothing(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let database = &accounts.database;
    for sql in [
        "delete from account",
        "insert into account (name, note) values ('dave', '') returning name",
        "update account set quota = 7",
    ] {
        assert_eq!(
            state(database.query(statement(sql, &[]), &Meter::nobody()).await),
            "25006",
            "{sql}"
        );
    }
    assert_eq!(
        names(&**database).await.columns,
        [texts("name", &["alice", "bob", "carol"])]
    );
}

pub(crate) async fn changes_are_made_all_or_none(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let database = &accounts.database;
    let insert = "insert into account (name, note) values ($1, $2)";
    for (wrong, expected) in [
        (statement(insert, &[text("alice"), text("")]), "23505"),
        (statement(insert, &[text("erin"), Value::Null]), "23502"),
    ] {
        let right = statement(insert, &[text("dave"), text("")]);
        let told = database.change(vec![right, wrong], &Meter::nobody()).await;
        assert_eq!(state(told), expected);
    }
    let nobody = Meter::nobody();
    let told = database.change(
        vec![
            statement(insert, &[text("dave"), text("")]),
            statement("no SQL", &[]),
        ],
        &nobody,
    );
    state(told.await);
    assert_eq!(names(&**database).await.rows, 3);
    let both = vec![
        statement(insert, &[text("dave"), text("")]),
        statement("delete from account where name < $1", &[text("carol")]),
    ];
    let told = database.change(both, &Meter::nobody()).await.unwrap();
    assert_eq!(
        told.iter().map(|answer| answer.rows).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(
        names(&**database).await.columns,
        [texts("name", &["carol", "dave"])]
    );
    assert_eq!(database.change(vec![], &Meter::nobody()).await, Ok(vec![]));
}

pub(crate) async fn what_a_change_tells_is_rows_changed_or_told(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let nobody = Meter::nobody();
    let told = accounts.database.change(
        vec![
            statement(
                "update account set quota = 5 where name <> 'bob' returning quota",
                &[],
            ),
            statement("update account set quota = 6 where name = 'nobody'", &[]),
            statement("select count(*) from account where quota = 5", &[]),
            statement("delete from account", &[]),
        ],
        &nobody,
    );
    let told = told.await.unwrap();
    assert_eq!(
        told.iter().map(|answer| answer.rows).collect::<Vec<_>>(),
        [2, 0, 1, 3]
    );
    assert_eq!(told[0].columns[0].values, Values::Integers(vec![5, 5]));
    assert_eq!(told[2].columns[0].values, Values::Integers(vec![2]));
    assert!(told[1].columns.is_empty() && told[3].columns.is_empty());
}

pub(crate) async fn statements_that_are_not_of_rows_are_refused(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let database = &accounts.database;
    for sql in [
        "",
        " -- nothing",
        "commit",
        "rollback",
        "select 1; delete from account",
        "select no_such_column from account",
        "select 1\0",
    ] {
        state(database.query(statement(sql, &[]), &Meter::nobody()).await);
        let insert = statement("insert into account (name, note) values ('dave', '')", &[]);
        state(
            database
                .change(vec![insert, statement(sql, &[])], &Meter::nobody())
                .await,
        );
    }
    assert_eq!(names(&**database).await.rows, 3);
}

pub(crate) async fn answers_are_bounded(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let database = &accounts.database;
    let note = "x".repeat(200 << 10);
    let set = statement("update account set note = $1", &[text(&note)]);
    database.change(vec![set], &Meter::nobody()).await.unwrap();
    // 40 MiB are told; 80 MiB are not.
    let many = |rows: u32| {
        let numbers = format!(
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < {rows}) \
             select note from n, account where name = 'bob'"
        );
        statement(&numbers, &[])
    };
    let answer = database.query(many(200), &Meter::nobody()).await;
    assert_eq!(answer.unwrap().rows, 200);
    let twice = many(400);
    assert_eq!(
        database.query(twice.clone(), &Meter::nobody()).await,
        Err(Refusal::TooLarge)
    );
    let once = many(200);
    let both = database
        .change(vec![once.clone(), once], &Meter::nobody())
        .await;
    assert_eq!(both, Err(Refusal::TooLarge));
    // The connection is good for the next one.
    assert_eq!(names(&**database).await.rows, 3);
}

pub(crate) async fn calls_are_bounded(make: impl AsyncFn() -> Accounts) {
    let accounts = make().await;
    let database = &accounts.database;
    let insert = statement("insert into account (name, note) values ('dave', '')", &[]);
    let many = vec![insert; restante_engine::MAX_STATEMENTS + 1];
    assert_eq!(
        state(database.change(many, &Meter::nobody()).await),
        "54000"
    );
    let large = text(&"x".repeat(restante_engine::MAX_CALL_BYTES));
    let large = statement("select name from account where name = $1", &[large]);
    assert_eq!(
        state(database.query(large, &Meter::nobody()).await),
        "54000"
    );
    assert_eq!(names(&**database).await.rows, 3);
}
