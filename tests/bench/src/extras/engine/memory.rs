//! How much memory a server takes while it sends a large message: as much as its buffers hold,
//! however large the message is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::site::{Site, enter_in_time};
use crate::Bench;
use crate::client::Tls;
use crate::load::{AFTERMATH, block_on};
use crate::mail::Large;
use crate::process::Process;
use crate::table::{Table, figure};

/// What is sent: the same buffers for both.
pub(super) const LARGE: [Large; 2] = [
    Large {
        name: "large64m",
        octets: 64 << 20,
    },
    Large {
        name: "large1g",
        // A little less: a Maildir's message is measured up to 1 GiB, its header included.
        octets: (1 << 30) - (1 << 20),
    },
];

/// Between two looks at the server's memory.
const GLANCE: Duration = Duration::from_millis(2);

/// Until a server has given back what idle sessions do not need.
const REST: Duration = Duration::from_millis(1500);

pub(super) fn measure(bench: &Bench, sites: &mut [Site<'_>]) -> Result<Table> {
    let mut table = Table::new(
        "Memory of a session that takes a large message",
        &[
            "mail in",
            "64 MiB: KiB more",
            "1 GiB: KiB more",
            "1 GiB: server CPU ms",
            "1 GiB: database CPU ms",
            "1 GiB: MiB/s",
        ],
        "The most memory (PSS) of the server during RETR, less that before the session. It stays within the session's \
         buffers if it is the same for both messages.",
    );
    for site in sites {
        bench.say(&format!("  large messages: {}", site.name()));
        site.restart()?;
        // From here on the sizes of the messages are known.
        for large in LARGE {
            look(site, large)?;
        }
        std::thread::sleep(REST);
        let before = site.server()?.process.memory()?;
        let more = |taken: &Taken| figure(taken.most.saturating_sub(before) as f64 / 1024.0);
        let [small, large] = LARGE;
        let (small, taken) = (take(site, small)?, take(site, large)?);
        let (server, database) = taken.cpu;
        let mebibytes = large.sent_octets() as f64 / 1024.0 / 1024.0;
        table.rows.push(vec![
            site.name().to_owned(),
            more(&small),
            more(&taken),
            figure(server),
            figure(database),
            figure(mebibytes / taken.time.as_secs_f64()),
        ]);
    }
    Ok(table)
}

/// A session that takes nothing.
fn look(site: &Site<'_>, large: Large) -> Result<()> {
    let target = site.server()?.target(Tls::Off)?;
    block_on(async {
        let client = enter_in_time(&target, &large.class().user(0)).await?;
        client.quit().await
    })
}

/// What a session cost.
struct Taken {
    /// Octets of memory.
    most: u64,
    /// Milliseconds of the server's CPU and of the database's.
    cpu: (f64, f64),
    /// For RETR alone.
    time: Duration,
}

fn take(site: &Site<'_>, large: Large) -> Result<Taken> {
    let octets = large.sent_octets();
    let server = site.server()?;
    let target = server.target(Tls::Off)?;
    let user = large.class().user(0);
    let before = site.cpu()?;
    let is_over = AtomicBool::new(false);
    let (most, time) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| most_memory(&server.process, &is_over));
        let taken = block_on(async {
            let mut client = enter_in_time(&target, &user).await?;
            let begun = Instant::now();
            client.retrieve_first(octets).await?;
            let time = begun.elapsed();
            client.quit().await?;
            Ok(time)
        });
        is_over.store(true, Ordering::Release);
        (looking.join(), taken)
    });
    let most = most.map_err(|_| anyhow!("the thread that looks at the memory panicked"))??;
    let time = time?;
    std::thread::sleep(AFTERMATH);
    Ok(Taken {
        most,
        cpu: site.cpu()?.since(before),
        time,
    })
}

fn most_memory(process: &Process, is_over: &AtomicBool) -> Result<u64> {
    let mut most = 0;
    while !is_over.load(Ordering::Acquire) {
        most = most.max(process.memory()?);
        std::thread::sleep(GLANCE);
    }
    Ok(most)
}
