//! `include`: other files whose `[plugin.NAME]` and `[tenant.NAME]` count as if they
//! stood in the main one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use glob::Pattern;
use toml::de::DeTable;

use super::disk::{ALL_OCTETS, INCLUDED_FILES, read_included};
use super::model::Include;
use super::problem::{quoted, quoted_path};
use super::section::{At, Located, Report, Section, Value};
use super::values::syntax_problems;

/// An included file as it was read.
pub(super) struct Included {
    path: PathBuf,
    text: String,
}

/// The keys that are for the main file alone.
const MAIN: [&str; 5] = ["include", "server", "listener", "engine", "database"];

/// Takes `include` off the main file and reads what it names. `file` is the main
/// one as messages call it.
pub(super) fn read(root: &mut Section<'_, '_>, file: &Path) -> (Vec<Include>, Vec<Included>) {
    let Some(value) = root.take("include") else {
        return Default::default();
    };
    let (mut includes, mut files) = (Vec::new(), Vec::new());
    let report = root.report;
    let folder = file.parent().unwrap_or(Path::new(""));
    let base = report.base(0);
    // What names the main file too does not mean it.
    let mut seen: HashSet<PathBuf> = file
        .file_name()
        .map(|name| base.join(name))
        .into_iter()
        .collect();
    let mut octets = ALL_OCTETS;
    for pattern in patterns(&value) {
        let Some(Located { value: include, at }) = include(&value, &pattern, &base) else {
            continue;
        };
        for path in matching(report, &include, &pattern, at) {
            if !seen.insert(path.clone()) {
                continue;
            }
            if files.len() == INCLUDED_FILES {
                let what = format!("more than {INCLUDED_FILES} files are included");
                report.problem(at, what, "put several tenants into a file");
                break;
            }
            // As the main file is called, so are those beside it.
            let shown = match path.strip_prefix(&base) {
                Ok(below) => folder.join(below),
                Err(_) => path.clone(),
            };
            match read_included(&shown, octets) {
                Ok(text) => {
                    octets -= text.len() as u64;
                    let text = match text.strip_prefix('\u{feff}') {
                        Some(rest) => rest.to_owned(),
                        None => text,
                    };
                    files.push(Included { path: shown, text });
                }
                Err(problem) => report.problem_of(at, problem),
            }
        }
        includes.push(include);
    }
    (includes, files)
}

/// One pattern, or an array of them.
fn patterns(value: &Value<'_, '_>) -> Vec<Located<String>> {
    const WANTED: &str = "a pattern such as \"tenants.d/*.toml\", or an array of them";
    match &value.toml {
        toml::de::DeValue::Array(_) => value.strings("[\"tenants.d/*.toml\"]").unwrap_or_default(),
        _ => value.string(WANTED).into_iter().collect(),
    }
}

fn include(value: &Value<'_, '_>, text: &Located<String>, base: &Path) -> Option<Located<Include>> {
    let report = value.report();
    let is_pattern = |part: &str| part.contains(['*', '?', '[']);
    let (folder, name) = match text.value.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => ("", text.value.as_str()),
    };
    let shown = quoted(&text.value);
    let what = if name.is_empty() || text.value.contains('\0') {
        format!("{shown} in {} names no files", value.name)
    } else if is_pattern(folder) {
        format!("{shown} in {} has a pattern for a folder", value.name)
    } else {
        match Pattern::new(name) {
            Ok(pattern) if !name.contains("**") => {
                let folder = base.join(folder);
                return Some(Located {
                    value: Include { folder, pattern },
                    at: text.at,
                });
            }
            _ => format!("{shown} in {} is no pattern", value.name),
        }
    };
    report.problem(
        text.at,
        what,
        "write a folder and a pattern for the names of its files: \"tenants.d/*.toml\" (`*` is any text, `?` any letter)",
    );
    None
}

/// The files that it names. None is fine, where the folder is there and the name
/// is not written out.
fn matching(
    report: &Report<'_>,
    include: &Include,
    text: &Located<String>,
    at: At,
) -> Vec<PathBuf> {
    match (report.disk.matching)(&include.folder, &include.pattern) {
        Ok(found) => {
            let name = include.pattern.as_str();
            if found.is_empty() && !name.contains(['*', '?', '[']) && report.disk.is_real {
                report.problem(
                    at,
                    format!("{} is included and does not exist", quoted(&text.value)),
                    "create it, or correct the path (a relative one starts at this file's folder)",
                );
            }
            found
        }
        Err(error) => {
            report.problem(
                at,
                format!(
                    "the folder {} cannot be looked into: {error}",
                    quoted_path(&include.folder)
                ),
                "create it, let the user that runs restante read it, or correct `include`",
            );
            Vec::new()
        }
    }
}

/// The root of each included file. Those that are no TOML are told and left out.
pub(super) fn roots<'r, 't>(report: &'r Report<'t>, files: &'t [Included]) -> Vec<Section<'r, 't>> {
    let base = report.base(0);
    let mut roots = Vec::new();
    for Included { path, text } in files {
        let folder = path.parent().unwrap_or(Path::new(""));
        // Theirs is the folder that they are in. An absolute path stays what it is.
        let absolute = match folder.is_absolute() {
            true => folder.to_owned(),
            false => std::path::absolute(folder).unwrap_or_else(|_| base.clone()),
        };
        let begins = report.add_source(text, path, absolute);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for (at, problem) in syntax_problems(text, path, &errors) {
                report.problem_of(begins + at, problem);
            }
            continue;
        }
        let mut root = Section::new(
            report,
            "the file".into(),
            begins,
            table.into_inner(),
            begins,
        );
        for key in MAIN {
            if let Some(value) = root.take(key) {
                let what = format!("`{key}` stands in a file that is included");
                report.problem(value.at, what, "move it to the main file");
            }
        }
        roots.push(root);
    }
    roots
}
