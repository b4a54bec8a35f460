//! Memory of sessions that are logged in and silent, and what the next login
//! costs beside them.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::{Client, Tls};
use crate::load::block_on;
use crate::mail::Class;
use crate::rows::{LOGIN, login_load};
use crate::servers::{Kind, Server, Setup};
use crate::table::{Table, figure};

/// Logins under way while the crowd comes in.
const AT_A_TIME: usize = 32;

/// Until servers have given back what idle sessions do not need.
const REST: Duration = Duration::from_millis(3500);

/// Sessions that come and go before anything is counted, so that pools and
/// allocators have what they keep.
const WARM_UP: usize = 64;

/// The most sessions that Dovecot is asked to hold: each is a process.
const DOVECOT_SESSIONS: usize = 1000;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Table>> {
    let sizes: &[usize] = if bench.quick {
        &[500]
    } else {
        &[100, 1000, 10_000]
    };
    let mut table = Table::new(
        "Memory of idle sessions",
        &[
            "sessions",
            "floor KiB each",
            "Restante KiB each",
            "Dovecot KiB each",
            "Restante : floor",
            "whole Restante MiB",
            "next login, CPU ms",
            "next login, p99 ms",
        ],
        "Memory (PSS) of all processes with the sessions, less that before them, for each session. Next login: \
         Restante's, of one client beside the idle ones, with as many users in the passwd file as there are sessions.",
    );
    for (tls, word) in [(Tls::Off, ""), (Tls::Full, ", TLS")] {
        for &sessions in sizes {
            let class = Class {
                name: "idle",
                users: sessions,
                messages: 1,
                octets: 600,
            };
            let floor = with_sessions(bench, Kind::Floor, class, tls)?;
            let restante = with_sessions(bench, Kind::Restante, class, tls)?;
            let dovecot = match bench.programs.dovecot {
                Some(_) if sessions <= DOVECOT_SESSIONS => {
                    figure(with_sessions(bench, Kind::Dovecot, class, tls)?.each_kib)
                }
                _ => String::new(),
            };
            table.rows.push(vec![
                format!("{sessions}{word}"),
                figure(floor.each_kib),
                figure(restante.each_kib),
                dovecot,
                figure(restante.each_kib / floor.each_kib),
                figure(restante.whole_mib),
                figure(restante.login_cpu),
                figure(restante.login_p99),
            ]);
        }
    }
    Ok(vec![table])
}

struct Idle {
    each_kib: f64,
    whole_mib: f64,
    login_cpu: f64,
    login_p99: f64,
}

fn with_sessions(bench: &Bench, kind: Kind, class: Class, tls: Tls) -> Result<Idle> {
    bench.say(&format!("  {} idle sessions: {}", class.users, kind.name()));
    bench.make(kind, &class)?;
    bench.make(kind, &LOGIN)?;
    let classes = [LOGIN, class];
    let server = bench
        .programs
        .start(&Setup::new(kind, bench.tree(kind), &classes))?;
    let login = login_load();
    login.prove(&server)?;
    block_on(async {
        let few = class.users.min(WARM_UP);
        for client in crowd(&server, class, few, tls).await? {
            client.quit().await?;
        }
        Ok(())
    })?;
    std::thread::sleep(REST);
    let before = server.process.memory()?;
    let (idle, whole) = block_on(async {
        let mut clients = crowd(&server, class, class.users, tls).await?;
        tokio::time::sleep(REST).await;
        let whole = server.process.memory()?;
        let beside = login.sample(&server, bench.time).await?;
        for client in &mut clients {
            client.noop().await.context("a session that idled")?;
        }
        drop(clients);
        Ok((beside, whole))
    })?;
    server.process.stop()?;
    Ok(Idle {
        each_kib: whole.saturating_sub(before) as f64 / 1024.0 / class.users as f64,
        whole_mib: whole as f64 / 1024.0 / 1024.0,
        login_cpu: idle.cpu,
        login_p99: idle.p99,
    })
}

/// So many sessions, each of another user.
async fn crowd(server: &Server, class: Class, sessions: usize, tls: Tls) -> Result<Vec<Client>> {
    let target = server.target(tls)?;
    let gate = Rc::new(Semaphore::new(AT_A_TIME));
    let mut coming = JoinSet::new();
    for at in 0..sessions {
        let (target, gate) = (target.clone(), Rc::clone(&gate));
        coming.spawn_local(async move {
            let _turn = gate.acquire().await?;
            let user = class.user(at);
            Client::idle(&target, &user)
                .await
                .with_context(|| format!("user {user}"))
        });
    }
    let mut clients = Vec::with_capacity(sessions);
    while let Some(client) = coming.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}
