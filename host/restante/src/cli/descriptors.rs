//! The process's limit on file descriptors, against what the configuration can need.

use std::io;

use restante_config::Config;
use restante_roles::work;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Descriptors of a session beside its socket: its maildrop's directory, and the message
/// that is sent.
const OF_SESSION: u64 = 2;

/// Those of one plugin with `http`: requests under way, and idle connections to each origin.
const OF_HTTP: u64 = 64;
const OF_HTTP_ORIGIN: u64 = 8;

/// Those of one database: connections, of which each of a SQLite file has that file, its log
/// and the log's index.
const OF_DATABASE: u64 = 64;

/// Those of one engine, and of its bucket: connections, or files that are open for a moment.
const OF_ENGINE: u64 = 32;

/// Those of the server itself: log, event loop, admin address, state directory, spare ones.
const OF_SERVER: u64 = 128;

/// Raises the soft limit to the hard one: the soft one is as low as it is for programs that
/// use select(2), which this one is not. Warns where that is too little.
pub(super) fn raise_limit(config: &Config) {
    let limits = getrlimit(Resource::Nofile);
    if limits.current != limits.maximum {
        let raised = Rlimit {
            current: limits.maximum,
            maximum: limits.maximum,
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => info!(
                from = limits.current,
                to = limits.maximum,
                "the limit on file descriptors is raised"
            ),
            Err(error) => {
                let error = io::Error::from(error);
                warn!(%error, "the limit on file descriptors cannot be raised");
            }
        }
    }
    if let Some(shortage) = shortage(config) {
        warn!("{shortage}");
    }
}

/// What is to be said where the hard limit is less than the configuration can need.
pub(super) fn shortage(config: &Config) -> Option<String> {
    let limit = getrlimit(Resource::Nofile).maximum?;
    let needed = needed(config);
    (needed > limit).then(|| {
        let connections = config.server.limits.connections;
        format!(
            "the limit on file descriptors is {limit} here, and `connections` = {connections} can need {needed}: set LimitNOFILE={needed} for the service (without systemd `ulimit -n {needed}`), or lower `connections` in [server.limits] or `sessions` of tenants; clients that come when none is left are turned away"
        )
    })
}

/// The most descriptors that a server with this configuration uses at once, guests' own
/// files left out.
fn needed(config: &Config) -> u64 {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let limits = &config.server.limits;
    let sessions = (config.tenants.iter())
        .map(|tenant| tenant.limits.sessions)
        .fold(0, usize::saturating_add)
        .min(limits.connections);
    let of_plugins = config.plugins.iter().map(|plugin| {
        let grants = &plugin.grants;
        let http = match grants.http.len() {
            0 => 0,
            origins => OF_HTTP + OF_HTTP_ORIGIN * count(origins),
        };
        http + count(grants.directories.len())
    });
    let connects = (config.plugins.iter()).any(|plugin| !plugin.grants.connect.is_empty());
    let of_connections = match connects {
        true => u64::from(limits.instances),
        false => 0,
    };
    let buckets = (config.engines.iter()).filter(|engine| engine.s3.is_some());
    let sums = [
        count(limits.connections),
        count(sessions).saturating_mul(OF_SESSION),
        count(work::MAX_PLACES),
        count(config.listeners.len()),
        of_connections,
        count(config.databases.len()).saturating_mul(OF_DATABASE),
        count(config.engines.len() + buckets.count()).saturating_mul(OF_ENGINE),
        OF_SERVER,
    ];
    sums.into_iter()
        .chain(of_plugins)
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(limits: &str, grants: &str) -> Config {
        let text = format!(
            "[server.limits]\n{limits}\n\
             [listener.l]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\
             [plugin.p]\ncomponent = \"builtin:p\"\n[plugin.p.grants]\n{grants}\n\
             [tenant.t]\nauthenticators = [\"p\"]\nstore = \"p\"\n"
        );
        Config::parse(&text, Path::new("test.toml"), Path::new("/")).expect("a configuration")
    }

    #[test]
    fn what_is_needed_follows_from_connections_sessions_and_grants() {
        let base = needed(&config("connections = 500", ""));
        assert_eq!(base, 500 + 2 * 500 + work::MAX_PLACES as u64 + 1 + 128);
        // A tenant has 1000 sessions by default.
        let more = needed(&config("connections = 5000", ""));
        assert_eq!(more - base, 4500 + 2 * 500);
        let http = needed(&config(
            "connections = 500",
            "http = [\"https://a.example\", \"https://b.example\"]",
        ));
        assert_eq!(http - base, 64 + 2 * 8);
        let connect = "connect = [\"tls://a.example:995\"]";
        let connect = needed(&config("connections = 500\ninstances = 70", connect));
        assert_eq!(connect - base, 70);
    }

    #[test]
    fn a_limit_that_is_too_low_is_told_with_numbers_and_remedy() {
        assert_eq!(shortage(&config("connections = 1", "")), None);
        let most = config("connections = 10000000", "");
        // Where there is no limit nothing is missing.
        let Some(limit) = getrlimit(Resource::Nofile).maximum else {
            return;
        };
        if let Some(words) = shortage(&most) {
            let needed = needed(&most);
            assert!(words.contains(&limit.to_string()) && words.contains(&needed.to_string()));
            assert!(words.contains("LimitNOFILE="), "{words}");
        } else {
            assert!(limit >= needed(&most));
        }
    }
}
