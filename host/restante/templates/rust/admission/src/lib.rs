//! Turns away clients from the networks of the setting `deny`, and greets those
//! from `delay` after `delay-milliseconds`.

use std::net::IpAddr;

use ipnet::IpNet;
use restante_guest::admission::{Admission, Verdict};
use restante_guest::prelude::*;

struct Gate;

impl Admission for Gate {
    fn admit(connection: Connection) -> Verdict {
        let Ok(client) = connection.client_address.parse::<IpAddr>() else {
            return Verdict::Deny("your address cannot be read".to_owned());
        };
        // `validate` has refused settings that do not parse.
        let inside = |key| networks(key).is_ok_and(|all| all.iter().any(|net| net.contains(&client)));
        if inside("deny") {
            log::info!("turned away");
            return Verdict::Deny("no mail for your network".to_owned());
        }
        match (inside("delay"), delay()) {
            (true, Ok(milliseconds)) => Verdict::Delay(milliseconds),
            _ => Verdict::Admit,
        }
    }
}

impl Validate for Gate {
    fn validate() -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        problems.extend(networks("deny").err());
        problems.extend(networks("delay").err());
        problems.extend(delay().err());
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }
}

/// The networks of a setting. An array arrives as its elements, one a line.
fn networks(key: &str) -> Result<Vec<IpNet>, String> {
    let lines = settings::get(key).unwrap_or_default();
    let network = |line: &str| {
        line.parse()
            .map_err(|_| format!("{key}: {line:?} is no network, as 192.0.2.0/24 is"))
    };
    lines.lines().map(network).collect()
}

fn delay() -> Result<u32, String> {
    let text = settings::get("delay-milliseconds").unwrap_or_else(|| "1000".to_owned());
    text.parse()
        .map_err(|_| format!("delay-milliseconds: {text:?} is no whole number"))
}

export! { admission: Gate, settings: Gate }

restante_guest::describe_settings! {
    "deny": "networks whose clients are turned away",
    "delay": "networks whose clients are greeted later",
    "delay-milliseconds": "how much later; 1000 if it is not set",
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_guest::testing::set_settings;

    fn admit(client: &str) -> Verdict {
        Gate::admit(Connection {
            session: "s1".into(),
            tenant: "acme".into(),
            listener: "pop3s".into(),
            client_address: client.into(),
            client_port: 40000,
            tls: None,
        })
    }

    #[test]
    fn networks_are_told_apart() {
        set_settings([
            ("deny", "198.51.100.0/24\n2001:db8:bad::/48"),
            ("delay", "203.0.113.0/25"),
            ("delay-milliseconds", "250"),
        ]);
        assert_eq!(Gate::validate(), Ok(()));
        assert_eq!(admit("192.0.2.1"), Verdict::Admit);
        assert!(matches!(admit("198.51.100.9"), Verdict::Deny(_)));
        assert!(matches!(admit("2001:db8:bad:1::9"), Verdict::Deny(_)));
        assert_eq!(admit("203.0.113.1"), Verdict::Delay(250));
        assert_eq!(admit("203.0.113.200"), Verdict::Admit);
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        set_settings([("deny", "192.0.2.0/33"), ("delay-milliseconds", "soon")]);
        let problems = Gate::validate().expect_err("both are broken");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
