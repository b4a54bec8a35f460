//! What the scanners that operators run say of the server: nmap's script reads
//! CAPA, sslscan and testssl.sh look for weaknesses of TLS.
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use restante_tests::{Finished, Site, Tool, require, run_to_end};
use serde_json::Value;

const NMAP: Tool = Tool {
    name: "nmap with its scripts",
    probe: &[
        "sh",
        "-c",
        "nmap --script-help pop3-capabilities | grep -q nmap.org",
    ],
    packages: &["nmap"],
};

const SSLSCAN: Tool = Tool {
    name: "sslscan",
    probe: &["sslscan", "--version"],
    packages: &["sslscan"],
};

const TESTSSL: Tool = Tool {
    name: "testssl.sh",
    probe: &["testssl", "--version"],
    packages: &["testssl.sh", "bsdextrautils", "dnsutils"],
};

/// The attribute of an XML element, which sslscan writes in double quotes.
fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let start = format!(" {name}=\"");
    let Some((_, rest)) = element.split_once(&start) else {
        panic!("{element} has no {name}");
    };
    rest.split_once('"').unwrap().0
}

fn ran(scanner: &str, command: &mut Command) -> Finished {
    let finished = run_to_end(command);
    assert_eq!(finished.code, Some(0), "{scanner}: {finished:#?}");
    finished
}

#[test]
fn nmap_reads_the_capabilities() {
    if !require("nmap", &[&NMAP]) {
        return;
    }
    let site = Site::new();
    let server = site.start();
    for (listener, expected) in [
        (
            "pop3",
            &["USER", "PLAIN LOGIN)", "TOP", "UIDL", "PIPELINING"][..],
        ),
        (
            "stls",
            &["STLS", "TOP", "UIDL", "RESP-CODES", "LANG", "UTF8(USER)"],
        ),
        ("pop3s", &["USER", "SASL(PLAIN LOGIN)", "AUTH-RESP-CODE"]),
    ] {
        let mut nmap = Command::new("nmap");
        let port = server.address(listener).port().to_string();
        nmap.args([
            "-Pn",
            "-n",
            "-p",
            &port,
            "--script",
            "+pop3-capabilities",
            "-oX",
            "-",
        ]);
        if listener == "pop3s" {
            // Only its look at the service tells it that this is TLS.
            nmap.arg("-sV");
        }
        let said = ran("nmap", nmap.arg("127.0.0.1")).stdout;
        let script = said.split("id=\"pop3-capabilities\"").nth(1);
        let script = script.unwrap_or_else(|| panic!("{listener}: {said}"));
        let capabilities = attribute(script, "output");
        for capability in expected {
            assert!(
                capabilities.contains(capability),
                "{listener}: {capabilities}"
            );
        }
        let has_stls = capabilities
            .split(' ')
            .any(|capability| capability == "STLS");
        assert_eq!(has_stls, listener == "stls", "{listener}: {capabilities}");
    }
    server.stop();
}

#[test]
fn sslscan_finds_strong_protocols_and_ciphers_only() {
    if !require("sslscan", &[&SSLSCAN]) {
        return;
    }
    let site = Site::new();
    let server = site.start();
    for (listener, starttls) in [("pop3s", None), ("stls", Some("--starttls-pop3"))] {
        let mut sslscan = Command::new("sslscan");
        sslscan.args(["--no-colour", "--xml=-"]).args(starttls);
        let target = server.address(listener).to_string();
        let said = ran("sslscan", sslscan.arg(target)).stdout;
        let elements = |name: &str| -> Vec<&str> {
            let start = format!("<{name} ");
            let lines = said.lines().map(str::trim);
            let found: Vec<_> = lines.filter(|line| line.starts_with(&start)).collect();
            found
        };
        let enabled: BTreeSet<_> = elements("protocol")
            .into_iter()
            .filter(|protocol| attribute(protocol, "enabled") == "1")
            .map(|protocol| (attribute(protocol, "type"), attribute(protocol, "version")))
            .collect();
        assert_eq!(enabled, BTreeSet::from([("tls", "1.2"), ("tls", "1.3")]));
        assert!(!elements("cipher").is_empty(), "{listener}: {said}");
        for cipher in elements("cipher") {
            let strength = attribute(cipher, "strength");
            assert!(matches!(strength, "strong" | "acceptable"), "{cipher}");
            assert!(
                attribute(cipher, "bits").parse::<u32>().unwrap() >= 128,
                "{cipher}"
            );
        }
        for (element, flaw) in [
            ("compression", "supported"),
            ("renegotiation", "supported"),
            ("heartbleed", "vulnerable"),
        ] {
            for found in elements(element) {
                assert_eq!(attribute(found, flaw), "0", "{listener}: {found}");
            }
        }
    }
    server.stop();
}

/// Findings that are about the test's own certificate and name rather than about
/// the server.
const OF_THE_STAGE: [&str; 7] = [
    // Of its own OpenSSL.
    "engine_problem",
    // Nobody has published it, and nobody revokes it.
    "cert_revocation",
    "cert_crlDistributionPoints",
    "cert_ocspURL",
    "certificate_transparency",
    "DNS_CAArecord",
    "OCSP_stapling",
];

/// Times that it is run again because one of its own checks did not come off, as on a
/// busy machine.
const RUNS: usize = 3;

/// What testssl.sh rates above "low".
fn findings(site: &Site, address: SocketAddr, starttls: bool, report: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..RUNS {
        found = findings_of_one_run(site, address, starttls, report);
        if !found.iter().any(|finding| finding.starts_with("WARN")) {
            break;
        }
        fs::remove_file(report).unwrap();
    }
    found
}

fn findings_of_one_run(
    site: &Site,
    address: SocketAddr,
    starttls: bool,
    report: &Path,
) -> Vec<String> {
    let mut testssl = Command::new("testssl");
    testssl
        .args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "batch",
            "--ip",
            "127.0.0.1",
            // It may wait for its own client without end; what it gave up shows as
            // a check that did not come off.
            "--openssl-timeout",
            "10",
        ])
        // What is asked of the server itself: protocols, ciphers, their order, what the
        // hello says, and the vulnerabilities that have names.
        .args(["-p", "-s", "-P", "-f", "-S", "-U"])
        .arg("--add-ca")
        .arg(&site.certificate.authority)
        .arg("--jsonfile")
        .arg(report)
        .env("TERM", "dumb");
    if starttls {
        testssl.args(["-t", "pop3"]);
    }
    let finished = run_to_end(testssl.arg(format!("localhost:{}", address.port())));
    // The code counts findings; what matters is that it came to its end.
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap())
        .unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
    let entries = report.as_array().unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    for looked_at in [
        "TLS1_3",
        "cipherlist_NULL",
        "heartbleed",
        "BEAST",
        "cert_chain_of_trust",
    ] {
        assert!(
            entries
                .iter()
                .any(|entry| text(entry, "id").starts_with(looked_at)),
            "testssl.sh did not look at {looked_at}: {finished:#?}"
        );
    }
    entries
        .iter()
        .filter(|entry| !matches!(&*text(entry, "severity"), "OK" | "INFO" | "LOW" | "DEBUG"))
        .filter(|entry| {
            let id = text(entry, "id");
            !OF_THE_STAGE.iter().any(|stage| id.starts_with(stage))
        })
        .map(|entry| {
            let [severity, id, finding] = ["severity", "id", "finding"].map(|key| text(entry, key));
            format!("{severity}: {id}: {finding}")
        })
        .collect()
}

#[test]
fn testssl_finds_nothing_above_low() {
    if !require("testssl.sh", &[&TESTSSL]) {
        return;
    }
    let site = Site::new();
    let server = site.start();
    for (listener, starttls) in [("pop3s", false), ("stls", true)] {
        let report = site.path().join(format!("{listener}.json"));
        let found = findings(&site, server.address(listener), starttls, &report);
        assert!(found.is_empty(), "{listener}: {found:#?}");
    }
    server.stop();
}
