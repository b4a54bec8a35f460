//! Servers on one database, which has a standby.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use restante_tests::{Plugin, Postgres, Server, Site};
use tokio::runtime::Runtime;

use crate::client::{Addresses, password};
use crate::delivery::{TENANT, user};
use crate::link::Link;

/// What the servers are called.
pub(crate) const NODES: [&str; 3] = ["mx-a", "mx-b", "mx-c"];

/// The site of a server that has the maildrops of so many users in the engine at this URL.
pub(crate) fn site(node: &str, url: &str, database_password: &str, users: usize) -> Site {
    let mut site = Site::new();
    for number in 0..users {
        site.user(&user(number), &password(number));
    }
    let file = site.path().join("database-password");
    fs::write(&file, database_password).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    site.first =
        format!("[engine.mail]\nkind = \"postgres\"\nurl = {url:?}\npassword-file = {file:?}\n");
    site.server = format!("node = {node:?}\n");
    site.limits = "connections-per-address = 5000\nconnections-per-network = 5000\n\
                   failure-delay = \"0ms\"\nmax-failure-delay = \"0ms\"\n"
        .to_owned();
    site.listeners.truncate(1);
    let mut mail = Plugin::new("mail", "builtin:spool");
    mail.grants = "maildrop = \"engine:mail/{tenant}/{user}\"\n".to_owned();
    site.plugins[1] = mail;
    assert_eq!(site.tenants[0].name, TENANT);
    site
}

/// A server, which may be down, and its way to the database.
pub(crate) struct Node {
    site: Site,
    server: Option<Server>,
    pub(crate) link: Link,
}

/// The database with its standby, and the servers.
pub(crate) struct Cluster {
    primary: Postgres,
    standby: Postgres,
    /// The end of each link that leads to the primary; the other one leads to the standby.
    primary_end: usize,
    database: String,
    pub(crate) nodes: Vec<Node>,
    /// The deliverer's.
    pub(crate) link: Link,
    addresses: Arc<Addresses>,
}

impl Cluster {
    /// Without servers yet, and without tables; none when the test has to be skipped.
    pub(crate) fn start(
        test: &str,
        runtime: &Runtime,
        users: usize,
        addresses: &Arc<Addresses>,
    ) -> Option<Cluster> {
        let primary = Postgres::start(test)?;
        let database = primary.database();
        let standby = primary.standby();
        let ports = [primary.port(), standby.port()];
        let nodes = NODES.map(|name| {
            let link = Link::start(runtime, ports);
            let url = link.url(&database);
            Node {
                site: site(name, &url, primary.password(), users),
                server: None,
                link,
            }
        });
        Some(Cluster {
            link: Link::start(runtime, ports),
            nodes: nodes.into(),
            addresses: addresses.clone(),
            primary_end: 0,
            primary,
            standby,
            database,
        })
    }

    /// How the deliverer reaches the database.
    pub(crate) fn url(&self) -> String {
        self.link.url(&self.database)
    }

    pub(crate) fn database_password(&self) -> &'static str {
        self.primary.password()
    }

    pub(crate) fn start_node(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let server = node.site.start();
        self.addresses.set(number, Some(server.pop3()));
        node.server = Some(server);
    }

    /// `kill -9`.
    pub(crate) fn kill_node(&mut self, number: usize) {
        self.addresses.set(number, None);
        if let Some(mut server) = self.nodes[number].server.take() {
            server.kill();
        }
    }

    /// SIGSTOP; clients do not know.
    pub(crate) fn stop_node(&self, number: usize) {
        if let Some(server) = &self.nodes[number].server {
            server.stand_still();
        }
    }

    /// SIGCONT.
    pub(crate) fn continue_node(&self, number: usize) {
        if let Some(server) = &self.nodes[number].server {
            server.go_on();
        }
    }

    /// Ends some of the back ends that work for servers and the deliverer; how many.
    pub(crate) fn terminate_back_ends(&self, limit: u32) -> u32 {
        let sql = format!(
            "select count(pg_terminate_backend(pid)) from (
                select pid from pg_stat_activity
                where datname = current_database() and application_name = 'restante'
                order by random() limit {limit}) as picked"
        );
        self.primary.run(&self.database, &sql).parse().unwrap()
    }

    /// Kills the primary, promotes the standby after so long, and gives it a new standby.
    pub(crate) fn fail_over(&mut self, gap: Duration) {
        self.primary.crash();
        thread::sleep(gap);
        self.standby.promote();
        let next = self.standby.standby();
        let dead = self.primary_end;
        for link in self.nodes.iter().map(|node| &node.link).chain([&self.link]) {
            link.lead(dead, next.port());
        }
        self.primary_end = 1 - dead;
        self.primary = std::mem::replace(&mut self.standby, next);
    }

    /// How many answers to changes were lost on all ways.
    pub(crate) fn lost_answers(&self) -> u32 {
        let links = self.nodes.iter().map(|node| &node.link);
        links.chain([&self.link]).map(Link::lost).sum()
    }
}
