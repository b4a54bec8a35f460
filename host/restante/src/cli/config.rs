//! `config`: what a configuration file may say.

use std::io::{self, ErrorKind, Write};

use restante_config::keys::{Default, Key, Kind, TABLES};
use serde_json::{Value, json};

/// `restante config --keys`.
pub(super) fn keys(as_json: bool) -> anyhow::Result<()> {
    let text = match as_json {
        true => format!("{:#}\n", all_as_json()),
        false => all_as_text(),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Who reads a page of it has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn all_as_text() -> String {
    let mut text = String::new();
    for table in TABLES {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{}\n", table.section));
        let widest = table.keys.iter().map(|key| key.name.len()).max();
        for key in table.keys {
            let name = key.name;
            let width = widest.unwrap_or_default();
            text.push_str(&format!("  {name:width$}  {}\n", described(key)));
        }
    }
    text
}

/// A key in one line: default, range, restart.
fn described(key: &Key) -> String {
    let mut parts = vec![match key.default {
        Default::Required => "required".to_owned(),
        Default::None => "no default".to_owned(),
        Default::Value(text) => format!("default {text}"),
        Default::Words(words) => format!("default: {words}"),
    }];
    match key.kind {
        Kind::Count(least, most) => parts.push(format!("{least} to {most}")),
        Kind::Boolean => parts.push("true or false".to_owned()),
        Kind::Duration(..) | Kind::Size(..) => {
            parts.extend(key.range().map(|range| range.replace('`', "")));
        }
        Kind::Other => {}
    }
    if key.restart {
        parts.push("takes a restart".to_owned());
    }
    parts.join("; ")
}

fn all_as_json() -> Value {
    let keys = TABLES.iter().flat_map(|table| {
        table.keys.iter().map(|key| {
            let default = match key.default {
                Default::Value(text) => Some(text),
                _ => None,
            };
            let range = match key.kind {
                Kind::Count(least, most) => Some(format!("{least} to {most}")),
                _ => key.range().map(|range| range.replace('`', "")),
            };
            json!({
                "section": table.section,
                "key": key.name,
                "required": key.default == Default::Required,
                "default": default,
                "range": range,
                "restart": key.restart,
                "meaning": key.help,
            })
        })
    });
    keys.collect()
}
