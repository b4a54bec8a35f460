//! `plugin new`: a project for a plugin, in one of several languages, that builds
//! with the language's own tools, passes `plugin test`, and is shown to work by
//! the commands of its README.
//!
//! A project is layers of files of host/restante/templates, later ones in place of earlier
//! ones of the same path:
//!
//! ```text
//! LANG/shared/     what a language's projects have in common: build files, README.md
//! LANG/ROLE/       the example and its test
//! ```
//!
//! and of what is taken from elsewhere in the workspace: [`Language::vendored`] (the
//! contract, an SDK) and [`Role::samples`] (mail to try it on). All is embedded by build.rs, from the workspace's own files.
//! A file called `gitignore` becomes `.gitignore`. In every file of a template
//! these are put in:
//!
//! ```text
//! {{name}}         the project's name                          {{module}}  with _ for -
//! {{role}}         the role                                    {{version}} restante's
//! {{component}}    the component's file, below the project
//! {{about}} {{try}} {{configuration}}    the role's words for a README.md, from
//!                  readme/ROLE/{about,try,configuration}.md
//! ```
//!
//! To add a language: its folders in host/restante/templates, an entry in [`LANGUAGES`], a
//! variant of [`Lang`], and its name in tests/plugins/new.rs. What `plugin new` says to
//! type next are the lines of the README's `sh` blocks, and the test runs those; its
//! `toml` block is the project's restante.toml.

mod crates;
mod files;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;

use crate::cli::print::print;
use files::{Files, PROJECT_FILES, embedded};

/// Characters of the longest name of a project.
const NAME_CHARACTERS: usize = 64;

/// Names that Rust keeps for itself, or that the project's other crate has.
const TAKEN: [&str; 13] = [
    "alloc",
    "async",
    "const",
    "core",
    "crate",
    "enum",
    "extern",
    "impl",
    "proc-macro",
    "restante-guest",
    "self",
    "std",
    "test",
];

#[derive(clap::Args)]
pub(in crate::cli) struct Options {
    /// The name of the project: lower-case letters, digits and dashes
    name: String,
    /// The role of the plugin
    #[arg(long)]
    role: Role,
    /// The language of the plugin
    #[arg(long)]
    lang: Lang,
    /// The folder of the project [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Decides who may log in
    Authenticator,
    /// Keeps the mail
    Store,
    /// Decides which messages a client sees, and adds header fields
    Filter,
    /// Decides which clients may connect
    Admission,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    Rust,
    Python,
    Javascript,
    Typescript,
    C,
}

/// How a project in a language is put together.
struct Language {
    lang: Lang,
    /// As people write it.
    title: &'static str,
    /// The folder in host/restante/templates.
    folder: &'static str,
    /// What is taken from the workspace besides: its path there, and its path in the
    /// project. Of several that fit a file, the first counts.
    vendored: &'static [(&'static str, &'static str)],
    /// The component, below the project.
    component: &'static str,
}

/// The contract as bindings generators want it: the project's own world in wit/,
/// packages that it names in wit/deps.
const CONTRACT_DEPS: [(&str, &str); 2] = [
    ("guest-sdk/wit/deps", "wit/deps"),
    ("guest-sdk/wit", "wit/deps/restante"),
];

const LANGUAGES: [Language; 5] = [
    Language {
        lang: Lang::Rust,
        title: "Rust",
        folder: "rust",
        vendored: &[
            ("guest-sdk/wit", "restante-guest/wit"),
            ("guest-sdk/src", "restante-guest/src"),
            ("guest-sdk/examples", "restante-guest/examples"),
            ("guest-sdk/README.md", "restante-guest/README.md"),
            ("guest-sdk/LICENSE-APACHE", "restante-guest/LICENSE-APACHE"),
            ("guest-sdk/LICENSE-MIT", "restante-guest/LICENSE-MIT"),
        ],
        component: "target/wasm32-wasip2/release/{{module}}.wasm",
    },
    Language {
        lang: Lang::Python,
        title: "Python",
        folder: "python",
        vendored: &[
            CONTRACT_DEPS[0],
            CONTRACT_DEPS[1],
            ("guest-sdk/python/restante_guest.py", "restante_guest.py"),
        ],
        component: "{{name}}.wasm",
    },
    Language {
        lang: Lang::Javascript,
        title: "JavaScript",
        folder: "javascript",
        vendored: &[
            CONTRACT_DEPS[0],
            CONTRACT_DEPS[1],
            (
                "guest-sdk/javascript/restante-guest.js",
                "src/restante-guest.js",
            ),
        ],
        component: "{{name}}.wasm",
    },
    Language {
        lang: Lang::Typescript,
        title: "TypeScript",
        folder: "typescript",
        vendored: &[
            CONTRACT_DEPS[0],
            CONTRACT_DEPS[1],
            (
                "guest-sdk/javascript/restante-guest.js",
                "src/restante-guest.js",
            ),
            ("guest-sdk/javascript/contract.d.ts", "src/contract.d.ts"),
            ("guest-sdk/javascript/host.d.ts", "src/host.d.ts"),
            (
                "guest-sdk/javascript/restante-guest.d.ts",
                "src/restante-guest.d.ts",
            ),
        ],
        component: "{{name}}.wasm",
    },
    Language {
        lang: Lang::C,
        title: "C",
        folder: "c",
        vendored: &[
            ("guest-sdk/wit", "wit"),
            ("guest-sdk/c/plugin.c", "restante-c/plugin.c"),
            ("guest-sdk/c/plugin.h", "restante-c/plugin.h"),
            ("guest-sdk/c/restante.h", "restante-c/restante.h"),
            ("guest-sdk/LICENSE-APACHE", "restante-c/LICENSE-APACHE"),
            ("guest-sdk/LICENSE-MIT", "restante-c/LICENSE-MIT"),
        ],
        component: "{{name}}.wasm",
    },
];

/// `restante plugin new`.
pub(super) fn new(options: &Options) -> anyhow::Result<()> {
    let Options {
        name,
        role,
        lang,
        dir,
    } = options;
    expect_name(name)?;
    let language = language(*lang)?;
    let files = project(name, *role, language)?;
    let folder = dir.clone().unwrap_or_else(|| PathBuf::from(name));
    write(&folder, &files)?;
    let mut text = format!(
        "{}: {} in {}. To build it, test it and log in with it (README.md):\n\n    cd {}\n",
        folder.display(),
        role.article(),
        language.title,
        folder.display()
    );
    let readme = files.get("README.md").map_or("", String::as_str);
    for line in block(readme, "```sh") {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    print(&text)?;
    Ok(())
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Authenticator => "authenticator",
            Role::Store => "store",
            Role::Filter => "filter",
            Role::Admission => "admission",
        }
    }

    /// What the README's configuration serves: where it is in the workspace, and
    /// where in the project.
    fn samples(self) -> &'static [(&'static str, &'static str)] {
        const USERS: (&str, &str) = (
            "host/restante/templates/sample/passwd",
            "sample/users/passwd",
        );
        const WELCOME: &str = "host/restante/src/cli/demo-mail/1-welcome.eml";
        const IN_MAILDIR: (&str, &str) = (WELCOME, "sample/mail/alice/new/1700000001.1.sample");
        // A Maildir without `cur` is half a one, and git keeps no empty directory.
        const CUR: (&str, &str) = (
            "host/restante/templates/sample/keep",
            "sample/mail/alice/cur/.gitkeep",
        );
        match self {
            Role::Authenticator => &[IN_MAILDIR, CUR],
            Role::Store => &[
                USERS,
                (WELCOME, "sample/mail/alice/1-welcome.eml"),
                (
                    "host/restante/src/cli/demo-mail/4-dots.eml",
                    "sample/mail/alice/4-dots.eml",
                ),
                (
                    "host/restante/src/cli/demo-mail/5-attachment.eml",
                    "sample/mail/alice/5-attachment.eml",
                ),
            ],
            Role::Filter => &[
                USERS,
                IN_MAILDIR,
                CUR,
                (
                    "host/restante/src/cli/demo-mail/3-spam.eml",
                    "sample/mail/alice/new/1700000003.1.sample",
                ),
            ],
            Role::Admission => &[USERS, IN_MAILDIR, CUR],
        }
    }

    fn article(self) -> String {
        let name = self.name();
        match self {
            Role::Authenticator | Role::Admission => format!("an {name}"),
            Role::Store | Role::Filter => format!("a {name}"),
        }
    }
}

fn language(lang: Lang) -> anyhow::Result<&'static Language> {
    let mut all = LANGUAGES.iter();
    all.find(|language| language.lang == lang)
        .context("there are no templates for this language")
}

/// A name that cargo, npm and file systems all take.
fn expect_name(name: &str) -> anyhow::Result<()> {
    let legal =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    ensure!(
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(legal)
            && !name.ends_with('-')
            && name.len() <= NAME_CHARACTERS,
        "{name:?} cannot be a project's name: give lower-case letters, digits and dashes, a letter \
         first, at most {NAME_CHARACTERS}, as in \"my-plugin\""
    );
    ensure!(
        !TAKEN.contains(&name),
        "{name:?} means something else to the tools: give another name, as in \"my-{name}\""
    );
    Ok(())
}

/// All files of a project.
fn project(name: &str, role: Role, language: &Language) -> anyhow::Result<Files> {
    let module = name.replace('-', "_");
    let values = [
        ("{{name}}", name),
        ("{{module}}", &module),
        ("{{role}}", role.name()),
        ("{{version}}", env!("CARGO_PKG_VERSION")),
    ];
    let component = filled(language.component, &values);
    let words = |part: &str| -> anyhow::Result<String> {
        let path = format!("host/restante/templates/readme/{}/{part}.md", role.name());
        Ok(embedded(&path)?.trim_end().to_owned())
    };
    let (about, trial, configuration) = (words("about")?, words("try")?, words("configuration")?);
    // The words of a README have placeholders of their own: they are put in first.
    let mut all = vec![
        ("{{about}}", &*about),
        ("{{try}}", &*trial),
        ("{{configuration}}", &*configuration),
        ("{{component}}", &*component),
    ];
    all.extend(values);

    let mut files = Files::new();
    for (from, to) in language.vendored {
        for (path, text) in below(from) {
            let first = language
                .vendored
                .iter()
                .find(|(from, _)| inside(path, from).is_some());
            if first.is_some_and(|(first, _)| first == from) {
                files.insert(
                    joined(to, inside(path, from).unwrap_or("")),
                    text.to_owned(),
                );
            }
        }
    }
    for (from, to) in role.samples() {
        files.insert((*to).to_owned(), embedded(from)?.to_owned());
    }
    let layers = [
        format!("host/restante/templates/{}/shared", language.folder),
        format!(
            "host/restante/templates/{}/{}",
            language.folder,
            role.name()
        ),
    ];
    for layer in &layers {
        for (path, text) in below(layer) {
            let path = inside(path, layer).unwrap_or(path);
            files.insert(visible(path), filled(text, &all));
        }
    }
    if language.lang == Lang::Rust {
        crates::add(&mut files)?;
    }
    let readme = files
        .get("README.md")
        .context("the template has no README.md")?;
    let configuration: String = block(readme, "```toml")
        .flat_map(|line| [line, "\n"])
        .collect();
    files.insert("restante.toml".into(), configuration);
    Ok(files)
}

/// Puts values in the places of their names, in turn.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

/// The embedded files at or below a path.
fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    PROJECT_FILES
        .iter()
        .copied()
        .filter(move |(path, _)| inside(path, folder).is_some())
}

/// The path relative to a folder that it is in; empty for the folder itself.
fn inside<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder)?;
    match rest.is_empty() {
        true => Some(rest),
        false => rest.strip_prefix('/'),
    }
}

fn joined(folder: &str, path: &str) -> String {
    match path.is_empty() {
        true => folder.to_owned(),
        false => format!("{folder}/{path}"),
    }
}

/// A file that is hidden in a project must not be in the workspace, where it would
/// count too.
fn visible(path: &str) -> String {
    match path.strip_suffix("gitignore") {
        Some(folder) => format!("{folder}.gitignore"),
        None => path.to_owned(),
    }
}

/// Writes the files to a folder that does not exist or is empty.
fn write(folder: &Path, files: &Files) -> anyhow::Result<()> {
    let there = fs::read_dir(folder).map(|mut entries| entries.next().is_some());
    match there {
        Ok(false) => (),
        Ok(true) => bail!(
            "{} is not empty, and nothing was written: give another name, or another folder with --dir",
            folder.display()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
        Err(error) => {
            return Err(error).with_context(|| {
                format!(
                    "{} cannot be the project's folder, and nothing was written",
                    folder.display()
                )
            });
        }
    }
    for (path, text) in files {
        let path = folder.join(path);
        let written = || {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::File::create_new(&path)?.write_all(text.as_bytes())
        };
        written().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The lines of a page's blocks that begin with such a fence.
fn block<'a>(page: &'a str, fence: &str) -> impl Iterator<Item = &'a str> {
    let mut inside = false;
    page.lines().filter(move |line| {
        if line.starts_with("```") {
            inside = *line == fence;
            return false;
        }
        inside
    })
}

#[cfg(test)]
#[path = "new/tests.rs"]
mod tests;
