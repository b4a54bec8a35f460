//! `[plugin.NAME]`: from its section to [`Plugin`].

use std::path::PathBuf;

use toml::de::DeValue;

use super::claims::Claims;
use super::disk::Wanted;
use super::endpoint::Endpoint;
use super::keys;
use super::model::{ComponentSource, DirectoryGrant, Grants, Plugin, PluginLimits};
use super::name::is_name;
use super::origin::HttpOrigin;
use super::problem::quoted;
use super::read_maildrop::maildrop_grants;
use super::read_signing::signing;
use super::section::{Located, Section, Value};

/// Origins that one plugin can be granted, and likewise places to connect to.
const ORIGINS: usize = 100;

/// The session's own directory in the guest.
const MAILDROP: &str = "/maildrop";

pub(super) fn plugin(
    name: &Located<String>,
    mut section: Section<'_, '_>,
    claims: &mut Claims,
) -> Option<Plugin> {
    let place = section.report.place(name.at);
    section = section.with(&keys::PLUGIN);
    let example = "component = \"builtin:maildir\", or the path of a component";
    let component = section
        .require("component", example)
        .and_then(|value| component(&value));
    let sha256 = section.take("sha256").and_then(|value| sha256(&value));
    let signing = signing(&mut section);
    let settings = settings(section.section("settings"));
    let grants = grants(section.section("grants").with(&keys::PLUGIN_GRANTS), claims);
    let limits = limits(section.section("limits").with(&keys::PLUGIN_LIMITS));
    section.finish();
    Some(Plugin {
        place,
        name: name.value.clone(),
        component: component?,
        sha256,
        signing,
        // `check` knows the tenants.
        demands: Vec::new(),
        settings,
        grants,
        limits,
    })
}

fn component(value: &Value<'_, '_>) -> Option<ComponentSource> {
    let text = value.string("\"builtin:NAME\" or a path, in quotes")?.value;
    if let Some(name) = text.strip_prefix("builtin:") {
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
        if name.is_empty() || !name.bytes().all(fits) {
            return value.bad(
                format_args!("is {}", quoted(&text)),
                "write the name of a built-in component: \"builtin:maildir\"",
            );
        }
        return Some(ComponentSource::Builtin(name.to_owned()));
    }
    // A bare word is most likely a built-in component without its prefix.
    if !text.is_empty() && !text.contains(['/', '.']) {
        return value.bad(
            format_args!("is {}", quoted(&text)),
            format!(
                "write {} for a built-in component, or a path with a `/` or a `.` in it",
                quoted(format!("builtin:{text}"))
            ),
        );
    }
    let path = value.path()?;
    let report = value.report();
    report
        .check_path("component", &path, Wanted::File)
        .then_some(ComponentSource::Path(path.value))
}

fn sha256(value: &Value<'_, '_>) -> Option<[u8; 32]> {
    let text = value.string("64 hex digits, in quotes")?.value;
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digest = digits.and_then(|digits| {
        let octets: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit))
            .collect();
        // An odd number of digits is not 64 of them.
        (digits.len() == 64).then(|| <[u8; 32]>::try_from(octets).ok())?
    });
    match digest {
        Some(digest) => Some(digest),
        None => value.bad(
            "is no SHA-256 digest",
            "write 64 hex digits, as `sha256sum FILE` prints them",
        ),
    }
}

/// Values are never repeated in a message: they may be secrets.
fn settings(section: Section<'_, '_>) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for (key, value) in section.rest() {
        if key.value.is_empty() || key.value.chars().any(char::is_control) {
            value.bad::<()>("is no name for a setting", "write a word");
        }
        let text = match &value.toml {
            DeValue::Array(_) => setting_list(&value),
            _ => setting_text(&value),
        };
        if let Some(text) = text {
            settings.push((key.value, text));
        }
    }
    settings
}

fn setting_list(value: &Value<'_, '_>) -> Option<String> {
    let mut lines = Vec::new();
    let mut whole = true;
    for element in value.array("an array")? {
        match setting_text(&element) {
            Some(text) if text.contains('\n') => {
                element.bad::<()>(
                    "holds a line feed",
                    "write each line as an entry of its own: the plugin gets one entry a line",
                );
                whole = false;
            }
            Some(text) => lines.push(text),
            None => whole = false,
        }
    }
    whole.then(|| lines.join("\n"))
}

fn setting_text(value: &Value<'_, '_>) -> Option<String> {
    match &value.toml {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(boolean) => Some(boolean.to_string()),
        DeValue::Float(float) => Some(float.as_str().to_owned()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Some(number.to_string()),
            Err(_) => value.bad("is too large a number", "write it in quotes"),
        },
        DeValue::Datetime(_) => value.bad("is a date", "write it in quotes"),
        DeValue::Array(_) => value.bad("is an array in an array", "write one array of strings"),
        DeValue::Table(_) => value.bad(
            "is a table",
            "write plain values; a dot in a setting's name wants quotes: \"a.b\" = 1",
        ),
    }
}

fn grants(mut section: Section<'_, '_>, claims: &mut Claims) -> Grants {
    let mut directories: Vec<DirectoryGrant> = Vec::new();
    let example = "[{ host = \"/srv/x\", guest = \"/x\", access = \"read\" }]";
    let entries = section
        .take("directories")
        .and_then(|value| value.array(&format!("an array of tables: {example}")));
    for entry in entries.into_iter().flatten() {
        let (report, at) = (entry.report(), entry.at);
        let title = entry.name.clone();
        let Some(grant) = entry
            .table(
                title.clone(),
                "{ host = \"/srv/x\", guest = \"/x\", access = \"read\" }",
            )
            .and_then(directory)
        else {
            continue;
        };
        if directories.iter().any(|before| before.guest == grant.guest) {
            let what = format!("{title} grants {} a second time", quoted(&grant.guest));
            report.problem(at, what, "give each directory a guest path of its own");
        }
        directories.push(grant);
    }
    let maildrop = maildrop_grants(&mut section, claims);
    let (http, http_authorities) = http(&mut section);
    let (connect, connect_authorities) = connect(&mut section);
    let databases = databases(&mut section, claims);
    section.finish();
    Grants {
        directories,
        http,
        http_authorities,
        connect,
        connect_authorities,
        databases,
        ..maildrop
    }
}

/// `http` and `http-authorities`.
fn http(section: &mut Section<'_, '_>) -> (Vec<HttpOrigin>, Option<PathBuf>) {
    let mut origins: Vec<HttpOrigin> = Vec::new();
    let http = section.take("http");
    let entries = http
        .as_ref()
        .and_then(|value| value.array("an array of origins: [\"https://idp.example.org\"]"));
    for entry in entries.into_iter().flatten() {
        let Some(text) = entry.string("an origin, in quotes") else {
            continue;
        };
        let Some(origin) = HttpOrigin::parse(&text.value) else {
            entry.bad::<()>(
                format_args!("is {}", quoted(&text.value)),
                "write scheme, host and port, without a path: \"https://idp.example.org\" or \"http://127.0.0.1:8080\"",
            );
            continue;
        };
        if !origin.is_tls() && !origin.is_loopback() {
            entry.report().warning(
                entry.at,
                format!("{} is {}, in the clear", entry.name, quoted(&text.value)),
                "what is sent there can be read on the way, and the answers forged: write https",
            );
        }
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    if let (Some(http), true) = (&http, origins.len() > ORIGINS) {
        http.bad::<()>(
            format_args!("has {} origins", origins.len()),
            format!("write at most {ORIGINS}"),
        );
    }
    let example = "[\"https://idp.example.org\"]";
    let authorities = authorities(section, "http-authorities", "http", http.is_some(), example);
    (origins, authorities)
}

/// `connect` and `connect-authorities`.
fn connect(section: &mut Section<'_, '_>) -> (Vec<Endpoint>, Option<PathBuf>) {
    const EXAMPLE: &str = "[\"tls://pop.example.org:995\"]";
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let connect = section.take("connect");
    let entries = connect
        .as_ref()
        .and_then(|value| value.array(&format!("an array of places: {EXAMPLE}")));
    for entry in entries.into_iter().flatten() {
        let Some(text) = entry.string("a place, in quotes") else {
            continue;
        };
        let shown = quoted(&text.value);
        let Some(endpoint) = Endpoint::parse(&text.value) else {
            entry.bad::<()>(
                format_args!("is {shown}"),
                "write tls or tcp, host and port: \"tls://pop.example.org:995\" or \"tcp://127.0.0.1:110\"",
            );
            continue;
        };
        if endpoints
            .iter()
            .any(|before| before.is_same_place(&endpoint))
        {
            entry.bad::<()>(
                format_args!("is {shown}, which is granted already"),
                "grant each host and port once, under tls or under tcp",
            );
            continue;
        }
        if !endpoint.is_tls() && !endpoint.is_loopback() {
            entry.report().warning(
                entry.at,
                format!("{} is {shown}, in the clear", entry.name),
                "what is sent there can be read on the way, and the answers forged: write tls, and the port for it",
            );
        }
        endpoints.push(endpoint);
    }
    if let (Some(connect), true) = (&connect, endpoints.len() > ORIGINS) {
        connect.bad::<()>(
            format_args!("has {} places", endpoints.len()),
            format!("write at most {ORIGINS}"),
        );
    }
    let authorities = authorities(
        section,
        "connect-authorities",
        "connect",
        connect.is_some(),
        EXAMPLE,
    );
    (endpoints, authorities)
}

/// `databases`. Whether they are there is for `check` to say.
fn databases(section: &mut Section<'_, '_>, claims: &mut Claims) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let entries = section
        .take("databases")
        .and_then(|value| value.array("an array of names: [\"users\"], for [database.users]"));
    for entry in entries.into_iter().flatten() {
        let Some(name) = entry.string("the name of a database, in quotes") else {
            continue;
        };
        if !is_name(&name.value) {
            entry.bad::<()>(
                format_args!("is {}", quoted(&name.value)),
                "write the NAME of a section [database.NAME]",
            );
            continue;
        }
        if names.contains(&name.value) {
            entry.bad::<()>(
                format_args!("is {}, which is granted already", quoted(&name.value)),
                "name each database once",
            );
            continue;
        }
        names.push(name.value.clone());
        claims.database_grants.push((name, section.name.clone()));
    }
    names
}

/// `KEY` of authorities, which stands beside its grant alone.
fn authorities(
    section: &mut Section<'_, '_>,
    key: &'static str,
    grant: &str,
    granted: bool,
    example: &str,
) -> Option<PathBuf> {
    let value = section.take(key)?;
    if !granted {
        return value.bad(
            format_args!("stands without `{grant}`"),
            format!("grant it: {grant} = {example}"),
        );
    }
    let path = value.path()?;
    value
        .report()
        .check_path("file of authorities", &path, Wanted::File)
        .then_some(path.value)
}

fn directory(mut section: Section<'_, '_>) -> Option<DirectoryGrant> {
    let host = section
        .require("host", "host = \"/srv/x\", a directory of this machine")
        .and_then(|value| {
            let path = value.path()?;
            value
                .report()
                .check_path("directory", &path, Wanted::Directory)
                .then_some(path.value)
        });
    let guest = section
        .require("guest", "guest = \"/x\", its path in the plugin")
        .and_then(|value| guest_path(&value));
    let write = section
        .take("access")
        .and_then(|value| value.choice(&[("read", false), ("read-write", true)]));
    section.finish();
    Some(DirectoryGrant {
        host: host?,
        guest: guest?,
        write: write.unwrap_or(false),
    })
}

fn guest_path(value: &Value<'_, '_>) -> Option<String> {
    let text = value.string("an absolute path, in quotes")?.value;
    let shown = quoted(&text);
    let below_maildrop = text
        .strip_prefix(MAILDROP)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if below_maildrop {
        return value.bad(
            format_args!("is {shown}"),
            "choose another path: that one belongs to the `maildrop` grant",
        );
    }
    let normal = text.strip_prefix('/').is_some_and(|rest| {
        rest.is_empty() || !rest.split('/').any(|part| matches!(part, "" | "." | ".."))
    });
    if !normal || text.chars().any(char::is_control) {
        return value.bad(
            format_args!("is {shown}"),
            "write an absolute path without `.`, `..` and `//`, such as \"/users\"",
        );
    }
    Some(text)
}

pub(super) fn limits(mut section: Section<'_, '_>) -> PluginLimits {
    let limits = PluginLimits {
        memory: section.size("memory"),
        cpu_time: section.duration("cpu-time"),
        wall_time: section.duration("wall-time"),
        log_lines: section.count("log-lines"),
        http_octets: section.size("http-octets"),
    };
    section.finish();
    limits
}
