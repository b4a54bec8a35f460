//! What a component may import, and which grant stands behind each import: the
//! list that a component is held against, and that `restante plugin inspect`
//! shows.
//!
//! Standard libraries import files, sockets and the environment whether or not
//! a plugin uses them; so those are linked for everybody, and without a grant
//! they answer "not permitted". An import that nothing answers is refused.

use serde::Serialize;

use restante_config::{Grants, MaildropGrant};

/// The contract that this host speaks.
pub(crate) const CONTRACT: &str = "restante:plugin";
/// Its version; a component of any 0.1.x fits.
pub(crate) const CONTRACT_VERSION: &str = "0.1.1";

/// An interface that a component imports or exports, as far as it uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// "restante:plugin/files@0.1.0"
    pub name: String,
    /// Its functions, sorted; methods as `[method]tcp-socket.start-connect`.
    pub functions: Vec<String>,
    /// Its resources, sorted. With functions and resources empty there are only
    /// types in it, which nobody has to provide.
    pub resources: Vec<String>,
}

/// What stands behind an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Every plugin has it.
    Nothing,
    /// Nothing answers until a directory is granted.
    Directory,
    /// The grant `http`: without it the component is refused.
    Http,
    /// The grant `connect`: without it every use is answered "not permitted".
    Connect,
    /// The grant `databases`: without it every use is refused.
    Database,
    /// A `maildrop` in an engine: without it every use is refused.
    Engine,
    /// The host does not have it: the component is refused.
    Absent,
}

impl Need {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Need::Nothing => "nothing to grant",
            Need::Directory => "files below the grants `directories` and `maildrop`",
            Need::Http => "HTTP requests, to the origins of the grant `http`",
            Need::Connect => {
                "TCP connections, to the places of the grant `connect`; all else is answered \"not permitted\""
            }
            Need::Database => "SQL, in the databases of the grant `databases`",
            Need::Engine => "a maildrop in an engine: the grant `maildrop` = \"engine:NAME/…\"",
            Need::Absent => "not here: the component is refused",
        }
    }
}

/// What the host gives: package, version, and what stands behind it. A version
/// without a hyphen stands for those that semver calls compatible.
const GIVEN: [(&str, &str, Need); 10] = [
    ("wasi:cli", "0.2.0", Need::Nothing),
    ("wasi:clocks", "0.2.0", Need::Nothing),
    ("wasi:io", "0.2.0", Need::Nothing),
    ("wasi:random", "0.2.0", Need::Nothing),
    ("wasi:filesystem", "0.2.0", Need::Directory),
    ("wasi:http", "0.2.0", Need::Http),
    ("wasi:sockets", "0.2.0", Need::Connect),
    ("wasi:config", "0.2.0-rc.1", Need::Nothing),
    ("wasi:logging", "0.1.0-draft", Need::Nothing),
    (CONTRACT, CONTRACT_VERSION, Need::Nothing),
];

/// Interfaces of the contract that the host has.
const HOST_SIDE: [(&str, Need); 8] = [
    ("types", Need::Nothing),
    ("passwords", Need::Nothing),
    ("maildrop", Need::Nothing),
    ("files", Need::Directory),
    ("database", Need::Database),
    ("mail-index", Need::Engine),
    ("blobs", Need::Engine),
    ("hold", Need::Nothing),
];

/// Functions that only somebody calls who wants the network. The rest of
/// wasi:sockets comes with the standard libraries' files.
const NETWORK: [&str; 3] = [
    "create-tcp-socket",
    "create-udp-socket",
    "resolve-addresses",
];

/// No role has use for all of these. Who imports them all was made by a
/// toolchain that imports everything it could, used or not.
const WHOLE_WORLD: [&str; 3] = ["passwords", "maildrop", "files"];

/// A name's parts: "restante:plugin", "files", "0.1.0".
pub(crate) fn parts(name: &str) -> (&str, &str, &str) {
    let (name, version) = name.split_once('@').unwrap_or((name, ""));
    let (package, interface) = name.split_once('/').unwrap_or((name, ""));
    (package, interface, version)
}

/// Whether a component of that version links to a host of the other.
pub(crate) fn compatible(component: &str, host: &str) -> bool {
    if component == host {
        return true;
    }
    // Drafts fit nothing but themselves.
    if component.contains('-') || host.contains('-') {
        return false;
    }
    let track = |version: &str| {
        let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
        match (parts.next()??, parts.next()??) {
            (0, minor) => Some((0, minor)),
            (major, _) => Some((major, 0)),
        }
    };
    matches!((track(component), track(host)), (Some(one), Some(other)) if one == other)
}

impl Interface {
    /// Whether somebody has to provide anything for it.
    pub(crate) fn is_types_only(&self) -> bool {
        self.functions.is_empty() && self.resources.is_empty()
    }

    /// What stands behind it as an import.
    pub fn need(&self) -> Need {
        let (package, interface, version) = parts(&self.name);
        if self.is_types_only() {
            return Need::Nothing;
        }
        let given = GIVEN
            .iter()
            .find(|(name, host, _)| *name == package && compatible(version, host));
        match given {
            None => Need::Absent,
            Some((CONTRACT, ..)) => HOST_SIDE
                .iter()
                .find(|(name, _)| *name == interface)
                .map_or(Need::Absent, |(_, need)| *need),
            Some((_, _, need)) => *need,
        }
    }

    /// Why there is nothing behind it, and what to do. Only for those that are
    /// absent.
    pub(crate) fn absent(&self) -> String {
        let (package, interface, version) = parts(&self.name);
        let given = GIVEN.iter().find(|(name, ..)| *name == package);
        match given {
            Some((_, host, _)) if !compatible(version, host) => format!(
                "it imports {}, this restante has {package} {host}: {}",
                self.name,
                age(version, host)
            ),
            Some(_) => format!(
                "it imports {}, and this restante has no {interface} in {package}: take a newer restante",
                self.name
            ),
            None => format!("it imports {}, which nobody can grant", self.name),
        }
    }
}

/// What to do about a version that does not fit.
pub(crate) fn age(component: &str, host: &str) -> &'static str {
    let order = |version: &str| -> Vec<u64> {
        version
            .split(['.', '-'])
            .map_while(|part| part.parse().ok())
            .collect()
    };
    if order(component) > order(host) {
        "the component is too new; take a newer restante, or build it against the wit folder of this one"
    } else {
        "the component is too old; build it anew against the wit folder of this restante"
    }
}

/// Everything that is imported and that nothing answers, in words; None: there
/// is nothing of the kind.
pub(crate) fn missing(imports: &[Interface]) -> Option<String> {
    let words: Vec<String> = imports
        .iter()
        .filter(|import| import.need() == Need::Absent)
        .map(Interface::absent)
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Whether it sends HTTP requests. No standard library imports that on its own.
pub(crate) fn http(imports: &[Interface]) -> bool {
    imports.iter().any(|import| import.need() == Need::Http)
}

/// What the component asks for and will not get, although it is let in. Nothing
/// of it can do harm; the plugin will probably not do what it is for.
pub(crate) fn ungranted(imports: &[Interface], grants: &Grants) -> Vec<String> {
    let mut words = Vec::new();
    if imports_all(imports) {
        return words;
    }
    let files = imports
        .iter()
        .any(|import| parts(&import.name).1 == "files" && import.need() == Need::Directory);
    let maildrop = grants.maildrop.as_ref();
    let has_directory = maildrop.is_some_and(|maildrop| maildrop.directory().is_some());
    if files && grants.directories.is_empty() && !has_directory {
        words.push(
            "its component imports restante:plugin/files, and no directory is granted: add `directories` or `maildrop`"
                .to_owned(),
        );
    }
    let asks = imports.iter().any(|import| import.need() == Need::Database);
    if asks && grants.databases.is_empty() {
        words.push(
            "its component imports restante:plugin/database, and no database is granted: add `databases`"
                .to_owned(),
        );
    }
    if lacks_engine(imports, grants) {
        let asks = imports
            .iter()
            .filter(|import| import.need() == Need::Engine);
        let named: Vec<&str> = asks.map(|import| parts(&import.name).1).collect();
        words.push(format!(
            "its component imports restante:plugin/{}, and its maildrop is in no engine: write maildrop = \"engine:NAME/{{domain}}/{{local}}\"",
            named.join(" and restante:plugin/")
        ));
    }
    let network: Vec<&str> = imports
        .iter()
        .filter(|import| parts(&import.name).0 == "wasi:sockets")
        .flat_map(|import| &import.functions)
        .map(String::as_str)
        .filter(|function| NETWORK.contains(function))
        .collect();
    if !network.is_empty() && grants.connect.is_empty() {
        words.push(format!(
            "its component imports wasi:sockets ({}), and no place to connect to is granted: each use is answered \"not permitted\" unless you add `connect`",
            network.join(", ")
        ));
    }
    words
}

/// Whether the component asks for a maildrop in an engine, and its maildrop is in none.
pub(crate) fn lacks_engine(imports: &[Interface], grants: &Grants) -> bool {
    let maildrop = grants.maildrop.as_ref();
    !imports_all(imports)
        && imports.iter().any(|import| import.need() == Need::Engine)
        && maildrop.and_then(MaildropGrant::engine).is_none()
}

/// Whether it imports everything there is, so that no import says a thing.
fn imports_all(imports: &[Interface]) -> bool {
    WHOLE_WORLD.iter().all(|wanted| {
        imports.iter().any(|import| {
            let (package, interface, _) = parts(&import.name);
            package == CONTRACT && interface == *wanted && !import.is_types_only()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(name: &str, functions: &[&str]) -> Interface {
        Interface {
            name: name.into(),
            functions: functions.iter().map(|name| (*name).into()).collect(),
            resources: vec![],
        }
    }

    #[test]
    fn what_stands_behind_an_import() {
        for (name, need) in [
            ("wasi:cli/environment@0.2.9", Need::Nothing),
            ("wasi:filesystem/types@0.2.3", Need::Directory),
            ("wasi:sockets/tcp@0.2.0", Need::Connect),
            ("wasi:config/store@0.2.0-rc.1", Need::Nothing),
            ("wasi:config/store@0.2.0-rc.2", Need::Absent),
            ("wasi:cli/environment@0.3.0", Need::Absent),
            ("wasi:http/outgoing-handler@0.2.0", Need::Http),
            ("wasi:http/outgoing-handler@0.3.0", Need::Absent),
            ("restante:plugin/files@0.1.0", Need::Directory),
            ("restante:plugin/passwords@0.1.7", Need::Nothing),
            ("restante:plugin/mail-index@0.1.1", Need::Engine),
            ("restante:plugin/blobs@0.1.1", Need::Engine),
            ("restante:plugin/hold@0.1.1", Need::Nothing),
            ("restante:plugin/passwords@0.2.0", Need::Absent),
            ("restante:plugin/wishes@0.1.0", Need::Absent),
            ("acme:billing/ledger", Need::Absent),
            ("ledger", Need::Absent),
        ] {
            assert_eq!(import(name, &["f"]).need(), need, "{name}");
        }
        // Types alone need nobody.
        assert_eq!(import("acme:billing/types", &[]).need(), Need::Nothing);
    }

    #[test]
    fn versions_stand_side_by_side() {
        let words = |name| import(name, &["f"]).absent();
        let new = words("restante:plugin/files@0.2.0");
        assert!(
            new.contains("files@0.2.0")
                && new.contains(CONTRACT_VERSION)
                && new.contains("too new")
        );
        let old = words("restante:plugin/files@0.0.9");
        assert!(old.contains("too old"), "{old}");
    }

    #[test]
    fn who_asks_in_vain_is_told() {
        let grants = Grants::default();
        let std_alone = [
            import("wasi:sockets/tcp@0.2.6", &["[resource-drop]tcp-socket"]),
            import("wasi:filesystem/types@0.2.6", &["[method]descriptor.stat"]),
        ];
        assert_eq!(ungranted(&std_alone, &grants), [""; 0]);
        let files = [import("restante:plugin/files@0.1.0", &["scan"])];
        assert!(ungranted(&files, &grants)[0].contains("`directories`"));
        let template = restante_config::template::Template::parse("/mail/{user}").unwrap();
        let granted = Grants {
            maildrop: Some(MaildropGrant::Directory(template.clone())),
            ..Grants::default()
        };
        assert_eq!(ungranted(&files, &granted), [""; 0]);
        let in_engine = Grants {
            maildrop: Some(MaildropGrant::Engine {
                engine: "mail".into(),
                name: template,
            }),
            ..Grants::default()
        };
        assert!(ungranted(&files, &in_engine)[0].contains("`directories`"));
        let index = [import("restante:plugin/mail-index@0.1.1", &["read"])];
        // The types of a problem come with it.
        let blobs = [
            import("restante:plugin/mail-index@0.1.1", &[]),
            import("restante:plugin/blobs@0.1.1", &["read"]),
        ];
        assert_eq!(ungranted(&index, &in_engine), [""; 0]);
        assert_eq!(ungranted(&blobs, &in_engine), [""; 0]);
        let told = ungranted(&blobs, &granted);
        assert!(
            told[0].contains("imports restante:plugin/blobs, and"),
            "{told:?}"
        );
        let hold = [import("restante:plugin/hold@0.1.1", &["fence"])];
        assert_eq!(ungranted(&hold, &grants), [""; 0]);
        assert!(!lacks_engine(&index, &in_engine) && !lacks_engine(&files, &grants));
        for without in [&grants, &granted] {
            assert!(lacks_engine(&index, without));
            assert!(ungranted(&index, without)[0].contains("engine:NAME/"));
        }
        let sockets = [import(
            "wasi:sockets/tcp-create-socket@0.2.6",
            &["create-tcp-socket"],
        )];
        assert!(ungranted(&sockets, &granted)[0].contains("create-tcp-socket"));
        let connected = Grants {
            connect: restante_config::Endpoint::parse("tcp://127.0.0.1:110")
                .into_iter()
                .collect(),
            ..Grants::default()
        };
        assert_eq!(ungranted(&sockets, &connected), [""; 0]);
        // As Python's components are.
        let world = ["files", "maildrop", "passwords"]
            .map(|name| import(&format!("restante:plugin/{name}@0.1.0"), &["f"]));
        let all: Vec<Interface> = world.into_iter().chain(sockets).collect();
        assert_eq!(ungranted(&all, &grants), [""; 0]);
    }
}
