//! Every mistake in a configuration is refused by `check` and by `serve`: exit
//! code 1, and on standard error the words that lead to it.
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use restante_tests::{Finished, Site, binary, private_key, run_to_end};

/// Runs `restante COMMAND --config FILE` to its end.
fn run(command: &str, config: &Path) -> Finished {
    run_to_end(
        Command::new(binary())
            .args([command, "--config"])
            .arg(config)
            .env_remove("RUST_LOG"),
    )
}

/// Both commands must refuse the file, with all these words.
fn refused(config: &Path, words: &[&str]) {
    for command in ["check", "serve"] {
        refused_by(command, config, words);
    }
}

fn refused_by(command: &str, config: &Path, words: &[&str]) {
    let finished = run(command, config);
    let shown = format!("restante {command}: {finished:#?}");
    assert_eq!(finished.code, Some(1), "{shown}");
    for word in words {
        assert!(finished.stderr.contains(word), "no {word:?} from {shown}");
    }
    assert!(!finished.stderr.contains("panicked"), "{shown}");
    assert!(!finished.stderr.contains("RUST_BACKTRACE"), "{shown}");
}

/// A good configuration with one thing changed.
fn changed(site: &Site, from: &str, to: &str) -> PathBuf {
    let config = site.config();
    assert!(config.contains(from), "{from:?} is not in {config}");
    site.write_config(&config.replacen(from, to, 1))
}

/// A good configuration with another component for the plugin "mail".
fn with_component(site: &Site, octets: &[u8]) -> PathBuf {
    fs::write(site.path().join("mail.wasm"), octets).unwrap();
    changed(site, "builtin:maildir", "mail.wasm")
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn nothing_wrong() {
    let site = Site::new();
    let finished = run("check", &site.write_config(&site.config()));
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    site.start().stop();
}

// ---- the file

#[test]
fn no_such_file() {
    let site = Site::new();
    refused(
        &site.path().join("nowhere.toml"),
        &["nowhere.toml", "no such file"],
    );
}

#[test]
fn directory_instead_of_the_file() {
    let site = Site::new();
    let path = site.path().join("users");
    refused(&path, &[path.to_str().unwrap(), "directory"]);
}

#[test]
fn not_toml() {
    let site = Site::new();
    let config = changed(&site, "[server]\n", "[server]\nhostname \"here\"\n");
    refused(&config, &["restante.toml:2:"]);
}

#[test]
fn not_utf8() {
    let site = Site::new();
    let path = site.path().join("latin.toml");
    fs::write(&path, b"[server]\nhostname = \"gr\xfc\xdfe\"\n").unwrap();
    refused(&path, &["latin.toml:2:", "UTF-8"]);
}

#[test]
fn unknown_key() {
    let site = Site::new();
    let config = changed(&site, "hostname =", "hostnam =");
    refused(
        &config,
        &["restante.toml:2:1:", "hostnam", "did you mean", "hostname"],
    );
}

#[test]
fn unknown_section() {
    let site = Site::new();
    let config = changed(&site, "[tenant.test]", "[tenants.test]");
    refused(&config, &["restante.toml:", "tenants"]);
}

#[test]
fn number_without_its_unit() {
    let mut site = Site::new();
    site.limits = "autologout = 600\n".to_owned();
    refused(
        &site.write_config(&site.config()),
        &["restante.toml:", "autologout"],
    );
}

#[test]
fn autologout_below_ten_minutes() {
    let mut site = Site::new();
    site.limits = "autologout = \"9m\"\n".to_owned();
    refused(
        &site.write_config(&site.config()),
        &["restante.toml:", "autologout", "RFC 1939"],
    );
}

#[test]
fn every_problem_at_once() {
    let mut site = Site::new();
    site.limits = "autologout = \"9m\"\nmax-line = \"10B\"\n".to_owned();
    let config = site
        .config()
        .replace("tls = \"implicit\"", "tls = \"implizit\"")
        .replace("store = \"mail\"", "store = \"post\"");
    let config = site.write_config(&config);
    refused(&config, &["autologout", "line", "implizit", "post"]);
}

// ---- what it names

#[test]
fn granted_directory_is_missing() {
    let site = Site::new();
    let path = site.path().join("users");
    fs::remove_dir_all(&path).unwrap();
    let config = site.write_config(&site.config());
    refused(&config, &["restante.toml:", path.to_str().unwrap()]);
}

#[test]
fn granted_directory_is_a_file() {
    let site = Site::new();
    let path = site.path().join("users");
    fs::remove_dir_all(&path).unwrap();
    fs::write(&path, "").unwrap();
    let config = site.write_config(&site.config());
    refused(&config, &["restante.toml:", path.to_str().unwrap()]);
}

#[test]
fn two_tenants_with_one_domain() {
    let site = Site::new();
    let mut config = site.config();
    config.push_str("domains = [\"one.example\", \"two.example\"]\n");
    config.push_str("\n[tenant.second]\nauthenticators = [\"users\"]\nstore = \"mail\"\n");
    config.push_str("domains = [\"TWO.example\"]\n");
    let config = site.write_config(&config);
    refused(
        &config,
        &["restante.toml:", "two.example", "test", "second"],
    );
}

#[test]
fn port_in_use() {
    let mut site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    site.listeners[1].address = address.clone();
    let config = site.write_config(&site.config());
    // Whether a port is free is known to the one who takes it.
    refused_by("serve", &config, &["stls", &address, "in use"]);
}

#[test]
fn address_that_is_not_this_machines() {
    let mut site = Site::new();
    // RFC 5737: for documentation.
    site.listeners[0].address = "192.0.2.1:0".to_owned();
    let config = site.write_config(&site.config());
    refused_by("serve", &config, &["pop3", "192.0.2.1"]);
}

// ---- certificates

fn with_key(text: &str, words: &[&str]) {
    let site = Site::new();
    fs::write(&site.certificate.key, text).unwrap();
    let config = site.write_config(&site.config());
    let mut all = vec![site.certificate.key.to_str().unwrap()];
    all.extend(words);
    refused(&config, &all);
}

#[test]
fn key_is_garbage() {
    with_key("this is no key\n", &["key"]);
}

#[test]
fn key_is_damaged() {
    with_key(
        "-----BEGIN PRIVATE KEY-----\nMEECAQAwEwYHKoZIzj0CAQ==\n-----END PRIVATE KEY-----\n",
        &["key"],
    );
}

#[test]
fn key_of_another_certificate() {
    let site = Site::new();
    fs::write(&site.certificate.key, private_key()).unwrap();
    let config = site.write_config(&site.config());
    refused(&config, &["server.pem", "key"]);
}

#[test]
fn key_that_others_may_read_is_warned_of() {
    let site = Site::new();
    let key = &site.certificate.key;
    let words = "others may read or change a private key";
    assert!(!site.check().stderr.contains(words));
    fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap();
    let checked = site.check();
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    for words in [words, key.to_str().unwrap(), "0644", "chmod 0600"] {
        assert!(checked.stderr.contains(words), "{checked:#?}");
    }
}

#[test]
fn key_is_missing() {
    let site = Site::new();
    fs::remove_file(&site.certificate.key).unwrap();
    let config = site.write_config(&site.config());
    refused(&config, &["restante.toml:", "server.key"]);
}

#[test]
fn key_is_a_directory() {
    let site = Site::new();
    fs::remove_file(&site.certificate.key).unwrap();
    fs::create_dir(&site.certificate.key).unwrap();
    let config = site.write_config(&site.config());
    refused(&config, &["restante.toml:", "server.key", "directory"]);
}

#[test]
fn certificate_is_garbage() {
    let site = Site::new();
    fs::write(&site.certificate.certificate, "this is no certificate\n").unwrap();
    let config = site.write_config(&site.config());
    refused(&config, &["server.pem", "certificate"]);
}

#[test]
fn certificate_without_key() {
    let site = Site::new();
    let key = format!("key = {:?}\n", site.certificate.key);
    refused(&changed(&site, &key, ""), &["restante.toml:", "key"]);
}

// ---- components

#[test]
fn no_such_component() {
    let site = Site::new();
    let config = changed(&site, "builtin:maildir", "nowhere.wasm");
    refused(&config, &["restante.toml:", "nowhere.wasm"]);
}

#[test]
fn no_such_builtin() {
    let site = Site::new();
    let config = changed(&site, "builtin:maildir", "builtin:maildri");
    refused(&config, &["restante.toml:", "maildri", "maildir", "rules"]);
}

#[test]
fn directory_instead_of_a_component() {
    let site = Site::new();
    let config = changed(&site, "builtin:maildir", "./users");
    refused(&config, &["restante.toml:", "users", "is a directory"]);
}

#[test]
fn text_instead_of_a_component() {
    let site = Site::new();
    let config = with_component(&site, b"this is no component\n");
    refused(
        &config,
        &["restante.toml:", "mail", "not a WebAssembly component"],
    );
}

#[test]
fn empty_component() {
    let site = Site::new();
    let config = with_component(&site, b"");
    refused(
        &config,
        &["restante.toml:", "mail", "not a WebAssembly component"],
    );
}

#[test]
fn core_module_instead_of_a_component() {
    let site = Site::new();
    let config = with_component(&site, &component("(module)"));
    refused(&config, &["restante.toml:", "mail", "core"]);
}

#[test]
fn damaged_component() {
    let site = Site::new();
    let mut octets = component("(component (core module (func)))");
    octets.truncate(octets.len() - 3);
    let config = with_component(&site, &octets);
    refused(
        &config,
        &["restante.toml:", "mail", "not a valid component"],
    );
}

#[test]
fn component_without_a_role() {
    let site = Site::new();
    let config = with_component(&site, &component("(component)"));
    refused(&config, &["restante.toml:", "mail", "role"]);
}

#[test]
fn component_without_the_role_that_is_wanted() {
    let site = Site::new();
    let config = changed(&site, "builtin:maildir", "builtin:passwd-file");
    refused(&config, &["restante.toml:", "tenant.test", "mail", "store"]);
}

#[test]
fn role_of_another_version() {
    let site = Site::new();
    let config = with_component(
        &site,
        &component(
            "(component (instance $i) (export \"restante:plugin/store@0.2.0\" (instance $i)))",
        ),
    );
    refused(
        &config,
        &[
            "restante.toml:",
            "mail",
            "restante:plugin/store@0.2.0",
            "0.1",
        ],
    );
}

#[test]
fn role_that_is_not_the_contracts() {
    let site = Site::new();
    let config = with_component(
        &site,
        &component(
            "(component (instance $i) (export \"restante:plugin/store@0.1.0\" (instance $i)))",
        ),
    );
    refused(&config, &["restante.toml:", "mail", "store"]);
}

/// A component with the role of a store, as far as its name goes, that imports
/// an interface with one function.
fn importing(interface: &str) -> Vec<u8> {
    component(&format!(
        "(component
           (import \"{interface}\" (instance (export \"open\" (func))))
           (instance $i)
           (export \"restante:plugin/store@0.1.0\" (instance $i)))"
    ))
}

#[test]
fn component_that_imports_what_nobody_has() {
    let site = Site::new();
    let config = with_component(&site, &importing("acme:vault/secrets@1.0.0"));
    refused(
        &config,
        &["restante.toml:", "mail", "acme:vault/secrets@1.0.0"],
    );
}

#[test]
fn component_that_imports_what_is_not_granted() {
    let site = Site::new();
    let config = with_component(&site, &importing("wasi:http/outgoing-handler@0.2.0"));
    refused(
        &config,
        &["restante.toml:", "mail", "wasi:http/outgoing-handler@0.2.0"],
    );
}

#[test]
fn component_that_is_not_the_pinned_one() {
    let site = Site::new();
    let pinned = "0".repeat(64);
    let config = changed(
        &site,
        "component = \"builtin:maildir\"\n",
        &format!("component = \"builtin:maildir\"\nsha256 = \"{pinned}\"\n"),
    );
    refused(&config, &["restante.toml:", "mail", &pinned]);
}
