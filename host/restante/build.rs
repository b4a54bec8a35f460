//! Embeds what `plugin new` makes projects of: writes `project_files.rs`, a table
//! of paths and texts, from the workspace's own files.

// A build script talks to cargo on its standard output.
#![allow(clippy::print_stdout)]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What `plugin new` takes from the workspace: folders, whole, and single files.
const PROJECT_FILES: [&str; 5] = [
    "Cargo.lock",
    "Cargo.toml",
    "guest-sdk",
    "host/restante/src/cli/demo-mail",
    "host/restante/templates",
];

/// Folders that the languages' tools make beside the sources.
const MADE_BY_TOOLS: [&str; 3] = ["__pycache__", "node_modules", "target"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(message) = embed_project_files() {
        println!("cargo::error={message}");
    }
}

fn embed_project_files() -> Result<(), String> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?;
    let workspace = Path::new(&manifest).join("../..");
    let workspace = workspace
        .canonicalize()
        .map_err(|error| format!("cannot resolve {}: {error}", workspace.display()))?;
    let mut files = Vec::new();
    for path in PROJECT_FILES {
        let path = workspace.join(path);
        println!("cargo::rerun-if-changed={}", utf8(&path)?);
        files_below(&path, &mut files)?;
    }
    files.sort();
    let mut text = String::from("pub(super) static PROJECT_FILES: &[(&str, &str)] = &[\n");
    for file in &files {
        let name = file.strip_prefix(&workspace).unwrap_or(file);
        // A string's Debug form is a Rust literal.
        let _ = writeln!(
            text,
            "    ({:?}, include_str!({:?})),",
            utf8(name)?,
            utf8(file)?
        );
    }
    text.push_str("];\n");
    write_table("project_files.rs", &text)
}

/// The files at or below a path, but for hidden ones and what tools make.
fn files_below(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let cannot_read = |error| format!("cannot read the folder {}: {error}", path.display());
    for entry in fs::read_dir(path).map_err(cannot_read)? {
        let entry = entry.map_err(cannot_read)?;
        let name = entry.file_name();
        let name = utf8(Path::new(&name))?;
        if !name.starts_with('.') && !MADE_BY_TOOLS.contains(&name) {
            files_below(&entry.path(), files)?;
        }
    }
    Ok(())
}

fn write_table(name: &str, text: &str) -> Result<(), String> {
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: build scripts are run by cargo")?;
    let file = Path::new(&out).join(name);
    fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn utf8(path: &Path) -> Result<&str, String> {
    path.to_str()
        .ok_or_else(|| format!("{} is not UTF-8: cannot name it in Rust", path.display()))
}
