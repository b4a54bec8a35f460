//! Which connections a grant stands for.

use super::*;
use restante_config::Grants;
use restante_roles::metrics::Ledger;

fn sockets(places: &[&str]) -> Sockets {
    let grants = Grants {
        connect: places
            .iter()
            .map(|place| Endpoint::parse(place).unwrap())
            .collect(),
        ..Grants::default()
    };
    let meter = Ledger::new("t").instance(true).meter();
    Sockets::new(Dialer::new("p", &grants).unwrap(), meter)
}

fn granted(sockets: &Sockets, address: &str) -> Option<String> {
    let granted = sockets.granted(address.parse().unwrap());
    granted.map(ToString::to_string)
}

#[test]
fn an_address_is_granted_by_itself_or_by_what_the_host_found() {
    let places = [
        "tcp://pop.example.org:110",
        "tcp://192.0.2.9:110",
        "tcp://[::1]:110",
    ];
    let mut sockets = sockets(&places);
    assert_eq!(
        granted(&sockets, "192.0.2.9:110").as_deref(),
        Some(places[1])
    );
    assert_eq!(granted(&sockets, "[::1]:110").as_deref(), Some(places[2]));
    assert_eq!(
        granted(&sockets, "[::ffff:192.0.2.9]:110").as_deref(),
        Some(places[1])
    );
    // Nobody has looked the name up.
    assert_eq!(granted(&sockets, "192.0.2.1:110"), None);
    sockets.found("pop.example.org", vec!["192.0.2.1".parse().unwrap()]);
    assert_eq!(
        granted(&sockets, "192.0.2.1:110").as_deref(),
        Some(places[0])
    );
    for other in [
        "192.0.2.1:995",
        "192.0.2.9:25",
        "192.0.2.2:110",
        "127.0.0.1:110",
    ] {
        assert_eq!(granted(&sockets, other), None, "{other}");
    }
    // It leads elsewhere now.
    sockets.found("pop.example.org", vec!["192.0.2.2".parse().unwrap()]);
    assert_eq!(granted(&sockets, "192.0.2.1:110"), None);
    assert_eq!(
        granted(&sockets, "192.0.2.2:110").as_deref(),
        Some(places[0])
    );
}

#[test]
fn of_names_behind_one_address_the_last_one_counts() {
    let (a, b) = ("tcp://a.example.org:110", "tcp://b.example.org:110");
    let mut sockets = sockets(&[a, b]);
    let address = vec!["192.0.2.1".parse().unwrap()];
    sockets.found("a.example.org", address.clone());
    sockets.found("b.example.org", address.clone());
    assert_eq!(granted(&sockets, "192.0.2.1:110").as_deref(), Some(b));
    sockets.found("a.example.org", address);
    assert_eq!(granted(&sockets, "192.0.2.1:110").as_deref(), Some(a));
}

#[test]
fn a_call_has_so_many_attempts_and_an_instance_so_many_connections() {
    let mut sockets = sockets(&["tcp://192.0.2.9:110"]);
    assert!(sockets.attempt().is_err(), "no call is under way");
    sockets.begin_call(&PluginLimits::default());
    for _ in 0..ATTEMPTS {
        sockets.attempt().unwrap();
    }
    assert!(sockets.attempt().is_err());
    let places: Vec<_> = (0..CONNECTIONS).map(|_| sockets.place().unwrap()).collect();
    assert!(sockets.place().is_err());
    drop(places);
    assert!(sockets.place().is_ok());
}
