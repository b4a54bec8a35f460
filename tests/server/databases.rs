//! Plugins that ask a database of the operator's: `builtin:sql-users` over SQLite and over
//! PostgreSQL.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use restante_tests::{
    Plugin, Pop3, Postgres, Server, Site, Tenant, binary, python, run_to_end, sqlite, wait_for,
};

/// How long the server lets a statement take.
const DEADLINE: Duration = Duration::from_secs(5);

const TABLE: &str = "
    create table account (
        name text primary key, password text, drop_name text, networks text,
        disabled integer not null default 0, reason text, quota integer);
    insert into account (name, password, drop_name, networks, disabled, reason) values
        ('ada', '{PLAIN}secret of ada', null, null, 0, null),
        ('bob', '{PLAIN}secret of bob', 'ada', '127.0.0.0/8', 0, null),
        ('carl', '{PLAIN}secret of carl', null, null, 1, 'the bill is open'),
        ('dora', '{PLAIN}secret of dora', null, '192.0.2.0/24', 0, null),
        ('erik', null, null, null, 0, null),
        ('twin', '{PLAIN}x', null, null, 0, null), ('twin2', '{PLAIN}x', null, null, 0, null);";

const QUERY: &str = "user-query = \"select password, drop_name as maildrop, networks, disabled, \
                     reason, quota from account where name = {user} or (name = 'twin2' and {user} = 'twin')\"\n";

/// A site whose users are in a database with this section.
fn site(section: &str) -> Site {
    let mut site = Site::new();
    site.first = format!("[database.accounts]\n{section}");
    let mut users = Plugin::new("users", "builtin:sql-users");
    users.settings = format!("database = \"accounts\"\nscheme = \"plain\"\n{QUERY}");
    users.grants = "databases = [\"accounts\"]\n".to_owned();
    site.plugins[0] = users;
    site.plugins[1].grants = format!("maildrop = {:?}\n", site.path().join("mail/{maildrop}"));
    site.limits = "failure-delay = \"0ms\"\nmax-failure-delay = \"0ms\"\n".into();
    let mut maildir = site.maildir("ada");
    maildir.deliver(b"Subject: one\n\n");
    site
}

fn of_sqlite(file: &Path) -> String {
    format!("kind = \"sqlite\"\nfile = {file:?}\n")
}

fn of_postgres(postgres: &Postgres) -> (String, String) {
    let database = postgres.database();
    let section = format!(
        "kind = \"postgres\"\nurl = {:?}\npassword-file = {:?}\n",
        postgres.url(&database, None),
        postgres.password_file()
    );
    (database, section)
}

fn refused(server: &Server, user: &str, password: &str) -> String {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate(user, password);
    assert!(!status.ok, "{user}: {status:?}");
    status.text
}

/// Who may log in, and what the others hear.
fn judges(server: &Server) {
    for user in ["ada", "bob"] {
        let mut client = Pop3::login(server.pop3(), user, &format!("secret of {user}"));
        assert_eq!(client.stat().0, 1, "{user}");
        client.quit();
    }
    for (user, password) in [
        ("ada", "secret of bob"),
        ("carl", "wrong"),
        ("dora", "secret of dora"),
        ("erik", "x"),
        ("nobody", "secret of ada"),
        ("x' or '1'='1", "secret of ada"),
        ("ada' --", "secret of ada"),
    ] {
        let said = refused(server, user, password);
        assert!(said.starts_with("[AUTH]"), "{user}: {said}");
        assert!(!said.contains("bill"), "{user}: {said}");
    }
    let said = refused(server, "carl", "secret of carl");
    assert!(
        said.starts_with("[SYS/PERM]") && said.contains("the bill is open"),
        "{said}"
    );
    let said = refused(server, "twin", "x");
    assert!(said.starts_with("[SYS/TEMP]"), "{said}");
}

#[test]
fn users_of_a_sqlite_file_log_in() {
    if python("users_of_a_sqlite_file_log_in").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.sqlite");
    sqlite(&file, TABLE);
    let site = site(&of_sqlite(&file));
    let server = site.start();
    judges(&server);
    // What changes counts at the next login.
    sqlite(
        &file,
        "update account set password = '{PLAIN}new' where name = 'ada'",
    );
    assert!(refused(&server, "ada", "secret of ada").starts_with("[AUTH]"));
    Pop3::login(server.pop3(), "ada", "new").quit();
    // Nothing was made beside it.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// A user who polls costs the database nothing, and a new password works at once.
#[test]
fn answers_are_remembered_as_long_as_the_operator_says() {
    if python("answers_are_remembered_as_long_as_the_operator_says").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.sqlite");
    sqlite(&file, TABLE);
    let mut site = site(&format!(
        "{}cache-lifetime = \"1h\"\ncache-negative-lifetime = \"1h\"\n",
        of_sqlite(&file)
    ));
    site.server = "admin = \"unix:admin.sock\"\n".into();
    let server = site.start();
    let set = |what: &str| {
        sqlite(
            &file,
            &format!("update account set {what} where name = 'ada'"),
        )
    };
    let login = |password: &str| Pop3::login(server.pop3(), "ada", password).quit();
    login("secret of ada");
    assert!(refused(&server, "ada", "wrong").starts_with("[AUTH]"));
    // What is remembered lets in, and refuses nobody.
    set("password = '{PLAIN}new'");
    login("secret of ada");
    login("new");
    assert!(refused(&server, "ada", "secret of ada").starts_with("[AUTH]"));
    assert!(refused(&server, "eve", "x").starts_with("[AUTH]"));
    sqlite(
        &file,
        "insert into account (name, password) values ('eve', '{PLAIN}x')",
    );
    site.maildir("eve");
    Pop3::login(server.pop3(), "eve", "x").quit();
    // A user who is locked is told so when what was remembered is forgotten.
    set("disabled = 1, reason = 'the bill is open'");
    login("new");
    let config = site.write_config(&site.config());
    let mut flush = Command::new(binary());
    let flush = run_to_end(flush.args(["cache", "flush", "--config"]).arg(&config));
    assert_eq!(flush.code, Some(0), "{flush:?}");
    assert!(flush.stdout.contains("2 remembered answers"), "{flush:?}");
    assert!(refused(&server, "ada", "new").contains("the bill is open"));
    set("disabled = 0");
    login("new");
    // While the database is away nobody learns from what is remembered which password is right.
    std::fs::rename(&file, directory.path().join("away")).unwrap();
    for password in ["wrong", "new", "wrong"] {
        let said = refused(&server, "ada", password);
        assert!(said.starts_with("[SYS/TEMP]"), "{password}: {said}");
    }
    std::fs::rename(directory.path().join("away"), &file).unwrap();
    wait_for("the database to be back", || {
        let mut client = Pop3::connect(server.pop3());
        client.authenticate("ada", "new").ok.then_some(())
    });
}

#[test]
fn users_of_a_postgres_database_log_in() {
    let Some(postgres) = Postgres::shared("users_of_a_postgres_database_log_in") else {
        return;
    };
    let (database, section) = of_postgres(postgres);
    postgres.run(&database, TABLE);
    let site = site(&section);
    let server = site.start();
    judges(&server);
    postgres.run(&database, "revoke all on account from public; update account set password = '{PLAIN}new' where name = 'ada'");
    Pop3::login(server.pop3(), "ada", "new").quit();
}

/// It is nobody's password that is wrong, and no start depends on it.
#[test]
fn a_database_that_is_away_is_a_temporary_failure() {
    let Some(postgres) = Postgres::start("a_database_that_is_away_is_a_temporary_failure") else {
        return;
    };
    let (database, section) = of_postgres(&postgres);
    postgres.run(&database, TABLE);
    let site = site(&section);
    let server = site.start();
    Pop3::login(server.pop3(), "ada", "secret of ada").quit();
    postgres.stop();
    for (user, password) in [("ada", "secret of ada"), ("ada", "wrong"), ("nobody", "x")] {
        let said = refused(&server, user, password);
        assert!(said.starts_with("[SYS/TEMP]"), "{user}: {said}");
    }
    server.logged(&["ERROR", "accounts"]);
    let second = site.start();
    second.logged(&["WARN", "accounts"]);
    assert!(refused(&second, "ada", "secret of ada").starts_with("[SYS/TEMP]"));
    let config = site.write_config(&site.config());
    let mut deep = Command::new(binary());
    let deep = run_to_end(deep.args(["check", "--deep", "--config"]).arg(config));
    assert_eq!(deep.code, Some(1), "{deep:?}");
    assert!(deep.stderr.contains("[database.accounts]"), "{deep:?}");
    postgres.restart();
    for server in [server, second] {
        wait_for("the database to be back", || {
            let mut client = Pop3::connect(server.pop3());
            client.authenticate("ada", "secret of ada").ok.then_some(())
        });
    }
}

/// A query that the database refuses, and a plugin that was granted nothing.
#[test]
fn what_cannot_work_is_told_before_anybody_logs_in() {
    if python("what_cannot_work_is_told_before_anybody_logs_in").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.sqlite");
    sqlite(&file, TABLE);
    let mut bad = site(&of_sqlite(&file));
    bad.plugins[0].settings = "database = \"accounts\"\nscheme = \"plain\"\n\
                               user-query = \"select pass from account where name = {user}\"\n"
        .into();
    let told = bad.check();
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("no such column"), "{told:?}");
    let mut ungranted = site(&of_sqlite(&file));
    ungranted.plugins[0].grants = String::new();
    let told = ungranted.check();
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("databases"), "{told:?}");
    let mut unknown = site(&of_sqlite(&file));
    unknown.plugins[0].grants = "databases = [\"acounts\"]\n".into();
    let told = unknown.check();
    assert!(told.stderr.contains("did you mean `accounts`"), "{told:?}");
    // Of one tenant alone.
    let missing = site(&of_sqlite(&directory.path().join("none")));
    let told = missing.check();
    assert!(told.stderr.contains("does not exist"), "{told:?}");
}

/// Of the places that a database has a tenant takes a few, however long its statements
/// are, and keeps them until the database is done with them.
#[test]
fn a_tenant_with_slow_statements_keeps_no_other_waiting() {
    if python("a_tenant_with_slow_statements_keeps_no_other_waiting").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.sqlite");
    sqlite(&file, TABLE);
    let mut site = site(&of_sqlite(&file));
    let mut slow = site.plugins[0].clone();
    slow.name = "slow".into();
    slow.settings = "database = \"accounts\"\nscheme = \"plain\"\n\
        user-query = \"with recursive n(i) as (select 1 union all select i + 1 from n where i < iif({local} = 'slow', 1e12, 10)) \
        select password from account where name = 'ada' and (select count(*) from n) > 0\"\n".into();
    site.plugins.push(slow);
    site.plugins[1].grants = format!("maildrop = {:?}\n", site.path().join("mail/{user}"));
    site.tenants[0].lines.push_str("default = true\n");
    site.tenants.push(Tenant {
        name: "slow".into(),
        lines: "domains = [\"slow.example\"]\nauthenticators = [\"slow\"]\nstore = \"mail\"\n"
            .into(),
    });
    site.limits.push_str("connections-per-network = 100\n");
    let server = site.start();
    let slow = || {
        let mut client = Pop3::connect(server.pop3());
        client.accepted("USER slow@slow.example");
        client.send("PASS x");
        client
    };
    let mut crowd: Vec<Pop3> = (0..24).map(|_| slow()).collect();
    std::thread::sleep(Duration::from_millis(500));
    let since = Instant::now();
    Pop3::login(server.pop3(), "ada", "secret of ada").quit();
    assert!(
        since.elapsed() < DEADLINE - Duration::from_secs(1),
        "{:?}",
        since.elapsed()
    );
    for client in &mut crowd {
        let said = client.status();
        assert!(said.text.starts_with("[SYS/TEMP]"), "{said:?}");
    }
    // The others go on, and the tenant too.
    assert!(refused(&server, "nobody@slow.example", "x").starts_with("[AUTH]"));
    Pop3::login(server.pop3(), "ada", "secret of ada").quit();
}
