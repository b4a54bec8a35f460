//! `maildrop` in `[plugin.NAME.grants]`, and the keys that say more of it.

use toml::de::DeValue;

use super::claims::Claims;
use super::disk::Wanted;
use super::model::{Grants, MaildropGrant, MaildropOwner, MissingMaildrop};
use super::name::is_name;
use super::problem::{quoted, quoted_path, suggest};
use super::section::{Located, Section, Value};
use crate::template::{Placeholder, Template, TemplateError};

/// What a maildrop in an engine begins with.
const ENGINE: &str = "engine:";

/// The last number that a user can have: the one after it stands for nobody in
/// chown(2).
const LAST_USER_ID: u32 = u32::MAX - 1;

/// What maildrops are granted, as far as the keys that are for directories alone matter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Granted {
    Nothing,
    Directories,
    /// In an engine.
    Names,
}

/// The keys of a maildrop; all other grants are none.
pub(super) fn maildrop_grants(section: &mut Section<'_, '_>, claims: &mut Claims) -> Grants {
    let value = section.take("maildrop");
    let (granted, maildrop) = match &value {
        None => (Granted::Nothing, None),
        Some(value) => maildrop(value, section, claims),
    };
    let mut switch = |key| {
        let value = section.take(key)?;
        match value.boolean()? {
            true if granted != Granted::Directories => misplaced(&value, granted),
            given => Some(given),
        }
    };
    let create_maildrop = switch("create-maildrop").unwrap_or(false);
    let follow_links = switch("follow-links").unwrap_or(false);
    let choices = [
        ("refuse", MissingMaildrop::Refuse),
        ("empty", MissingMaildrop::Empty),
    ];
    let missing_maildrop = section.take("missing-maildrop").and_then(|value| {
        match (granted, value.choice(&choices)?) {
            (Granted::Nothing | Granted::Names, MissingMaildrop::Empty) => {
                misplaced(&value, granted)
            }
            (_, choice) => Some(choice),
        }
    });
    let maildrop_marker = section
        .take("maildrop-marker")
        .and_then(|value| match granted {
            Granted::Directories => maildrop_marker(&value, maildrop.as_ref()),
            _ => misplaced(&value, granted),
        });
    let maildrop_owner = section
        .take("maildrop-owner")
        .and_then(|value| match granted {
            Granted::Directories => maildrop_owner(&value),
            _ => misplaced(&value, granted),
        });
    Grants {
        maildrop,
        create_maildrop,
        missing_maildrop: missing_maildrop.unwrap_or_default(),
        maildrop_marker,
        follow_links,
        maildrop_owner: maildrop_owner.unwrap_or_default(),
        ..Grants::default()
    }
}

/// A key of directories where there are none.
fn misplaced<T>(value: &Value<'_, '_>, granted: Granted) -> Option<T> {
    match granted {
        Granted::Names => value.bad(
            "is for maildrops in directories, and `maildrop` names an engine",
            "remove it",
        ),
        _ => value.bad(
            "stands without `maildrop`",
            "grant the maildrop: maildrop = \"/var/mail/{domain}/{local}/Maildir\"",
        ),
    }
}

fn maildrop(
    value: &Value<'_, '_>,
    section: &Section<'_, '_>,
    claims: &mut Claims,
) -> (Granted, Option<MaildropGrant>) {
    let Some(Located { value: text, .. }) = value.string("a path, in quotes") else {
        return (Granted::Directories, None);
    };
    match text.strip_prefix(ENGINE) {
        Some(rest) => {
            let granted = in_engine(value, rest, section, claims);
            (Granted::Names, granted)
        }
        None => {
            let template = directory(value, text);
            (Granted::Directories, template.map(MaildropGrant::Directory))
        }
    }
}

/// `engine:NAME/…`. Whether there is such an engine is for `check` to say.
fn in_engine(
    value: &Value<'_, '_>,
    text: &str,
    section: &Section<'_, '_>,
    claims: &mut Claims,
) -> Option<MaildropGrant> {
    const EXAMPLE: &str = "write \"engine:NAME/{domain}/{local}\", for a section [engine.NAME]";
    let at = text.find('/').unwrap_or(text.len());
    let (engine, name) = text.split_at(at);
    if !is_name(engine) {
        let what = format_args!("names the engine {}", quoted(engine));
        return value.bad(what, EXAMPLE);
    }
    let located = Located {
        value: engine.to_owned(),
        at: value.at,
    };
    claims.engine_grants.push((located, section.name.clone()));
    // Without a placeholder it is one maildrop for all, as a directory would be.
    if name.trim_matches('/').is_empty() {
        return value.bad("names an engine and no maildrop in it", EXAMPLE);
    }
    let name = parsed(value, name)?;
    Some(MaildropGrant::Engine {
        engine: engine.to_owned(),
        name,
    })
}

fn directory(value: &Value<'_, '_>, text: String) -> Option<Template> {
    if text.is_empty() {
        return value.bad(
            "is empty",
            "write a path such as \"/var/mail/{domain}/{local}\"",
        );
    }
    let absolute = if text.starts_with('/') {
        text
    } else {
        let base = value.report().base(value.at);
        let Some(base) = base.to_str() else {
            return value.bad(
                "starts at this file's folder, whose own path is not UTF-8",
                "write an absolute path",
            );
        };
        format!("{}/{text}", Template::escape(base))
    };
    let template = parsed(value, &absolute)?;
    let (report, prefix) = (value.report(), template.prefix());
    if (report.disk.look)(&prefix, Wanted::Directory).is_err() {
        report.warning(
            value.at,
            format!(
                "{} begins with {}, which is not there or no directory",
                value.name,
                quoted_path(&prefix)
            ),
            "mount or create it, since the server never does: until then each login fails with [SYS/TEMP]",
        );
    }
    Some(template)
}

fn parsed(value: &Value<'_, '_>, text: &str) -> Option<Template> {
    let mend = match Template::parse(text) {
        Ok(template) => return Some(template),
        Err(TemplateError::Unknown(name)) => {
            let names = Placeholder::NAMES;
            let mend = suggest(&name, &names);
            return value.bad(
                format_args!("has an unknown placeholder {}", quoted(name)),
                mend,
            );
        }
        Err(TemplateError::Unbalanced(brace)) => {
            let mend = format!("close each `{{name}}`; for a brace itself write `{brace}{brace}`");
            return value.bad(format_args!("has an unbalanced `{brace}`"), mend);
        }
        Err(error @ (TemplateError::Dots(_) | TemplateError::Relative)) => {
            (error, "write the path out, without `.` and `..`")
        }
        Err(error @ TemplateError::Control) => (error, "write a path without it"),
    };
    value.bad(format_args!("is no path: {}", mend.0), mend.1)
}

/// `maildrop-marker`: one name, which is looked for at each login.
fn maildrop_marker(value: &Value<'_, '_>, maildrop: Option<&MaildropGrant>) -> Option<String> {
    let name = value.string("the name of a file, in quotes")?.value;
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return value.bad(
            format_args!("is {}", quoted(&name)),
            "write the name of a file in the fixed part of `maildrop`: \".mounted\"",
        );
    }
    let report = value.report();
    let directory = maildrop.and_then(MaildropGrant::directory);
    if let Some(marker) = directory.map(|template| template.prefix().join(&name))
        && (report.disk.look)(&marker, Wanted::File).is_err()
    {
        report.warning(
            value.at,
            format!("{} is not there", quoted_path(&marker)),
            "mount the file system, or create the file on it: until then each login fails with [SYS/TEMP]",
        );
    }
    Some(name)
}

fn maildrop_owner(value: &Value<'_, '_>) -> Option<MaildropOwner> {
    if let DeValue::Integer(_) = &value.toml {
        return value.count(0..=LAST_USER_ID).map(MaildropOwner::Id);
    }
    let name = value
        .string("the name of a user, in quotes, a user's number, or \"any\"")?
        .value;
    if name == "any" {
        return Some(MaildropOwner::Any);
    }
    let is_number = name.bytes().all(|octet| octet.is_ascii_digit());
    if is_number || name.chars().any(char::is_control) {
        return value.bad(
            format_args!("is {}", quoted(&name)),
            "write the name of a user, a number without quotes, or \"any\"",
        );
    }
    Some(MaildropOwner::User(name))
}
