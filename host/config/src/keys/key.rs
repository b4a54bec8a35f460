//! What a key is, and the units and bounds that keys share.

use std::time::Duration;

use crate::units;

/// Counts have an end, in any key.
pub(crate) const MAX_COUNT: u32 = 10_000_000;

/// Live instances of plugins, in any key: address space has an end.
pub const MAX_INSTANCES: u32 = 10_000;

// Durations, in milliseconds.
pub(super) const MILLISECOND: u64 = 1;
pub(super) const SECOND: u64 = 1000 * MILLISECOND;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

// Sizes, in octets.
pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// The keys of one section.
#[derive(Debug)]
pub struct Table {
    /// Which section, `NAME` for those that have names.
    pub section: &'static str,
    /// Its keys, in the order in which they are documented.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// What it is called.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What holds where the file does not say it.
    pub default: Default,
    /// Whether a change takes a restart: a reload goes on with the old value, and says so.
    pub restart: bool,
    /// What it means, in Markdown.
    pub help: &'static str,
}

/// What a key's value may be.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, from the first to the second.
    Count(u32, u32),
    /// A duration, from the first to the second, in milliseconds; and where the first is
    /// written, if it is not ours.
    Duration(u64, u64, &'static str),
    /// A size, from the first to the second, in octets; and where the first is written.
    Size(u64, u64, &'static str),
    /// `true` or `false`.
    Boolean,
    /// What its reader says.
    Other,
}

/// What holds where the file does not say a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Default {
    /// The file has to say it.
    Required,
    /// Nothing.
    None,
    /// This, as the file would have it.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// Keys that had another name before: section, old name, new name. The old one is an
/// error that names the new one.
pub(crate) const RENAMED: [(&str, &str, &str); 6] = [
    ("[server.limits]", "line", "max-line"),
    ("[server.limits]", "unauthenticated", "max-unauthenticated"),
    (
        "[server.limits]",
        "longest-failure-delay",
        "max-failure-delay",
    ),
    (
        "[tenant.NAME.limits]",
        "logins-a-minute",
        "logins-per-minute",
    ),
    (
        "[tenant.NAME.limits]",
        "guest-cpu-a-minute",
        "guest-cpu-per-minute",
    ),
    (
        "[tenant.NAME.limits]",
        "host-call-octets-a-minute",
        "host-call-octets-per-minute",
    ),
];

impl Table {
    /// What a key of this name is called now.
    pub(crate) fn renamed(&self, old: &str) -> Option<&'static str> {
        let entries = RENAMED.iter();
        let mut fitting =
            entries.filter(|(section, name, _)| *section == self.section && *name == old);
        fitting.next().map(|(_, _, new)| *new)
    }

    /// A key by its name.
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The same for a reader, which asks for what is in its table.
    ///
    /// # Panics
    /// If there is no such key.
    pub(crate) fn key(&self, name: &str) -> &'static Key {
        let key = self.find(name);
        key.unwrap_or_else(|| panic!("{name} is no key of {}", self.section))
    }

    /// The default of a key whose value is a text. None: it has none.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = self.key(name).default_text()?;
        Some(text.trim_matches('"').to_owned())
    }
}

impl Key {
    /// Its default, where the file could say it.
    pub(crate) fn default_text(&self) -> Option<&'static str> {
        match self.default {
            Default::Value(text) => Some(text),
            _ => None,
        }
    }

    /// Its default as a duration.
    pub(crate) fn default_duration(&self) -> Option<Duration> {
        units::duration(self.default_text()?.trim_matches('"')).ok()
    }

    /// Its default as a size, in octets.
    pub(crate) fn default_size(&self) -> Option<u64> {
        units::size(self.default_text()?.trim_matches('"')).ok()
    }

    /// Its default as a number.
    pub(crate) fn default_count(&self) -> Option<u32> {
        self.default_text()?.parse().ok()
    }

    /// The least and the most that it may be, as the file would have them.
    pub fn range(&self) -> Option<String> {
        let written = |least: String, most: String, source: &str| match source {
            "" => format!("`\"{least}\"` to `\"{most}\"`"),
            source => format!("`\"{least}\"` ({source}) to `\"{most}\"`"),
        };
        match self.kind {
            Kind::Duration(least, most, source) => {
                let show = |length| units::show_duration(Duration::from_millis(length));
                Some(written(show(least), show(most), source))
            }
            Kind::Size(least, most, source) => Some(written(
                units::show_size(least),
                units::show_size(most),
                source,
            )),
            Kind::Count(..) | Kind::Boolean | Kind::Other => None,
        }
    }

    /// Its row of a table in docs/configuration.md.
    pub fn row(&self) -> String {
        let default = match self.default {
            Default::Required => "—".to_owned(),
            Default::None => "none".to_owned(),
            Default::Value(text) => format!("`{text}`"),
            Default::Words(words) => words.to_owned(),
        };
        let mut meaning = self.help.to_owned();
        if let Some(range) = self.range() {
            meaning.push_str(&format!(" From {range}."));
        }
        if self.restart {
            meaning.push_str(" Takes a restart.");
        }
        format!("| `{}` | {default} | {meaning} |", self.name)
    }
}
