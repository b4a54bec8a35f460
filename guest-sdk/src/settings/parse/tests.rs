use super::*;
use crate::settings::{Size, Span};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    listen_port: u16,
    ratio: f64,
    name: String,
    is_on: bool,
    mode: Mode,
    size: Size,
    hosts: Vec<String>,
    ports: BTreeSet<u16>,
    #[serde(default)]
    wait: Option<Span>,
    #[serde(default)]
    modes: Vec<Mode>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    ReadOnly,
    ReadWrite,
}

fn parsed(settings: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let owned = settings.iter();
    let owned: Vec<_> = owned
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    parse_all(&owned)
}

const WHOLE: [(&str, &str); 9] = [
    ("listen-port", "110"),
    ("ratio", "0.5"),
    ("name", "a\nb"),
    ("is-on", "true"),
    ("mode", "read-only"),
    ("hosts", ""),
    ("ports", "2\n1\n2"),
    ("size", "2KiB"),
    ("modes", "read-write\nread-only"),
];

#[test]
fn every_kind_of_value_is_read() {
    let expected = Settings {
        listen_port: 110,
        ratio: 0.5,
        name: "a\nb".into(),
        is_on: true,
        mode: Mode::ReadOnly,
        hosts: Vec::new(),
        ports: [1, 2].into(),
        size: Size(2048),
        wait: None,
        modes: vec![Mode::ReadWrite, Mode::ReadOnly],
    };
    assert_eq!(parsed(&WHOLE), Ok(expected));
    let with_wait: Vec<_> = WHOLE.into_iter().chain([("wait", "2m")]).collect();
    let wait = parsed(&with_wait).unwrap().wait;
    assert_eq!(wait, Some(Span(Duration::from_secs(120))));
}

#[test]
fn all_problems_are_told_at_once_and_no_value_is() {
    let secret = "tanstaaf";
    let mut all: Vec<_> = WHOLE.iter().map(|(key, _)| (*key, secret)).collect();
    all.retain(|(key, _)| !["name", "hosts", "size"].contains(key));
    all.push(("isOn", secret));
    all.push(("zebra", secret));
    let problems = parsed(&all).unwrap_err();
    let names = "listen-port, ratio, name, is-on, mode, size, hosts, ports, wait, modes";
    assert_eq!(
        problems,
        [
            "isOn: unknown setting; did you mean is-on?",
            &format!("zebra: unknown setting; there is {names}"),
            "listen-port: must be a whole number from 0 to 65535",
            "ratio: must be a number",
            "is-on: must be true or false",
            "mode: must be one of read-only, read-write",
            "ports: must be a whole number from 0 to 65535",
            "modes: must be one of read-only, read-write",
            "name: is missing",
            "size: is missing",
            "hosts: is missing",
        ]
    );
    assert!(!problems.join("").contains(secret));
}

#[test]
fn a_type_that_nothing_will_do_for_ends_it() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is never made")]
    struct Odd {
        table: std::collections::BTreeMap<String, String>,
    }
    let settings = [("table".to_owned(), "x".to_owned())];
    let problems = parse_all::<Odd>(&settings).unwrap_err();
    assert_eq!(problems, ["table: must be a map"]);
    let problems = parse_all::<u8>(&settings).unwrap_err();
    assert_eq!(problems, ["must be u8"]);
}
