//! Settings of the built-in Maildir that do not suit its file system or the tenants that
//! use it: what the component cannot see. Knows the configuration and statfs(2), and
//! nothing of plugins.

use std::path::Path;

use restante_config::{ComponentSource, Plugin, Tenant};

/// The component.
const MAILDIR: &str = "maildir";
/// Its settings.
const TRUST_TIMES: &str = "trust-times";
const SEEN: &str = "seen";

/// File systems on other machines or in other processes, which hand out times that they
/// remember, and those with coarse times: magic numbers of statfs(2).
const DOUBTED: [(u32, &str); 13] = [
    (0x0000_6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0000_517B, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x5346_414F, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x0000_4D44, "FAT"),
    (0x2011_BAB0, "exFAT"),
];

/// What to tell the operator about a plugin's settings. May wait for the disk.
pub(crate) fn unsuited(plugin: &Plugin, tenants: &[Tenant]) -> Vec<String> {
    if !is_maildir(plugin) {
        return Vec::new();
    }
    let doubt = doubted_times(plugin, kind_of);
    doubt
        .into_iter()
        .chain(seen_by_all(plugin, tenants))
        .collect()
}

/// The same plugin for somebody who reads all of a maildrop and is no client: no message is
/// marked as seen for that.
pub(crate) fn marking_nothing(mut plugin: Plugin) -> Plugin {
    if is_maildir(&plugin) {
        plugin.settings.retain(|(key, _)| key != SEEN);
    }
    plugin
}

fn is_maildir(plugin: &Plugin) -> bool {
    matches!(&plugin.component, ComponentSource::Builtin(name) if name == MAILDIR)
}

fn setting<'p>(plugin: &'p Plugin, key: &str) -> Option<&'p str> {
    let mut settings = plugin.settings.iter();
    settings.find_map(|(of, value)| (of == key).then_some(value.as_str()))
}

/// Its maildrops are on a file system whose times are doubted, and its settings do not say
/// whether they can be trusted.
fn doubted_times(plugin: &Plugin, kind_of: impl Fn(&Path) -> Option<u32>) -> Option<String> {
    if setting(plugin, TRUST_TIMES).is_some() {
        return None;
    }
    let prefix = plugin.grants.maildrop.as_ref()?.directory()?.prefix();
    let name = name(kind_of(&prefix)?)?;
    Some(format!(
        "{} is on {name}, where a directory may change without a new time, and mail may be seen \
         late: set `{TRUST_TIMES} = false` in its settings, or `{TRUST_TIMES} = true` if you know \
         better",
        prefix.display()
    ))
}

/// What a filter or a selector reads is asked for just as what a client fetches.
fn seen_by_all(plugin: &Plugin, tenants: &[Tenant]) -> Option<String> {
    if setting(plugin, SEEN) != Some("true") {
        return None;
    }
    let mut using = tenants.iter().filter(|tenant| tenant.store == plugin.name);
    let tenant = using.find(|tenant| !tenant.filters.is_empty() || !tenant.selectors.is_empty())?;
    Some(format!(
        "[tenant.{}] has filters or selectors, and `{SEEN} = true` marks each message that one of \
         them reads as seen: set it only where they read none",
        tenant.name
    ))
}

fn name(kind: u32) -> Option<&'static str> {
    let mut doubted = DOUBTED.into_iter();
    doubted.find_map(|(of, name)| (of == kind).then_some(name))
}

/// The file system that a path is on. None: the path is not there, or it cannot be told.
#[cfg(target_os = "linux")]
fn kind_of(path: &Path) -> Option<u32> {
    let about = rustix::fs::statfs(path).ok()?;
    // The number has 32 bits; its type has the machine's, and a sign on some.
    u32::try_from(u64::try_from(about.f_type).ok()? & 0xFFFF_FFFF).ok()
}

#[cfg(not(target_os = "linux"))]
fn kind_of(_: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use restante_config::Config;

    use super::*;

    fn config(component: &str, settings: &str, tenant: &str) -> Config {
        let text = format!(
            "[plugin.p]\ncomponent = '{component}'\nsettings = {{ {settings} }}\n\
             grants.maildrop = '/tmp/{{user}}'\n[listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n\
             [tenant.t]\nauthenticators = ['p']\nstore = 'p'\n{tenant}\n"
        );
        Config::parse(&text, Path::new("r.toml"), Path::new("/")).unwrap()
    }

    fn plugin(settings: &str) -> Plugin {
        config("builtin:maildir", settings, "").plugins.remove(0)
    }

    #[test]
    fn a_file_system_on_another_machine_is_doubted_unless_the_settings_decide() {
        let maildir = plugin("");
        for (kind, name) in [
            (0x6969, "NFS"),
            (0xFF53_4D42, "CIFS"),
            (0x6573_5546, "FUSE"),
        ] {
            let words = doubted_times(&maildir, |_| Some(kind)).unwrap();
            assert!(words.starts_with(&format!("/tmp is on {name},")), "{words}");
        }
        // ext4, and a path that is not there.
        assert_eq!(doubted_times(&maildir, |_| Some(0xEF53)), None);
        assert_eq!(doubted_times(&maildir, |_| None), None);
        for settings in ["trust-times = true", "trust-times = false"] {
            let decided = plugin(settings);
            assert_eq!(
                doubted_times(&decided, |_| Some(0x6969)),
                None,
                "{settings}"
            );
        }
    }

    #[test]
    fn what_filters_read_is_not_seen_by_a_user() {
        for (component, settings, tenant, is_told) in [
            ("builtin:maildir", "seen = true", "filters = ['p']", true),
            ("builtin:maildir", "seen = true", "selectors = ['p']", true),
            ("builtin:maildir", "seen = true", "", false),
            ("builtin:maildir", "seen = false", "filters = ['p']", false),
            ("builtin:mbox", "seen = true", "filters = ['p']", false),
        ] {
            let config = config(component, settings, tenant);
            let words = unsuited(&config.plugins[0], &config.tenants);
            let words = words
                .iter()
                .any(|words| words.starts_with("[tenant.t] has filters"));
            assert_eq!(words, is_told, "{component} {settings} {tenant}");
        }
    }

    #[test]
    fn what_the_system_says_is_one_of_its_numbers() {
        let here = kind_of(Path::new("/proc"));
        assert_eq!(here, cfg!(target_os = "linux").then_some(0x9FA0));
        assert_eq!(kind_of(Path::new("/is not there")), None);
    }
}
