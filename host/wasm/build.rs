//! Embeds the built components: writes `builtin.rs`, a table of names and
//! octets, from the `*.wasm` files in the folder `RESTANTE_COMPONENTS`. The
//! folder is filled by `cargo xtask`; without it the table is empty, so that the
//! host alone can be checked and tested.

// A build script talks to cargo on its standard output.
#![allow(clippy::print_stdout)]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// How a component begins: the magic number, the version and the layer that
/// tells a component from a core module.
const COMPONENT_PREAMBLE: [u8; 8] = [0x00, b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A test asks cargo which packages this is built of, for this target.
    if let Ok(target) = env::var("TARGET") {
        println!("cargo::rustc-env=RESTANTE_TARGET={target}");
    }
    println!("cargo::rerun-if-env-changed=RESTANTE_COMPONENTS");
    if let Err(message) = embed() {
        println!("cargo::error={message}");
    }
}

fn write_table(name: &str, text: &str) -> Result<(), String> {
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: build scripts are run by cargo")?;
    let file = Path::new(&out).join(name);
    fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn embed() -> Result<(), String> {
    let folder = env::var_os("RESTANTE_COMPONENTS").filter(|folder| !folder.is_empty());
    let components = match folder {
        Some(folder) => components(Path::new(&folder))?,
        None => Vec::new(),
    };
    write_table("builtin.rs", &table(&components))
}

/// Name and absolute path of each component in `folder`, sorted by name. The
/// components of tests lie in a folder of their own below it and stay out.
fn components(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let folder = utf8(folder)?;
    // A folder that is absent is watched all the same: cargo then runs this
    // script each time, until there is one.
    println!("cargo::rerun-if-changed={folder}");
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot read the folder {folder}: {error}")),
    };
    let mut components = Vec::new();
    for entry in entries {
        let path: PathBuf = entry
            .map_err(|error| format!("cannot read the folder {folder}: {error}"))?
            .path();
        if path.extension().is_none_or(|end| end != "wasm") || !path.is_file() {
            continue;
        }
        let path = path
            .canonicalize()
            .map_err(|error| format!("cannot resolve {}: {error}", path.display()))?;
        let text = utf8(&path)?;
        println!("cargo::rerun-if-changed={text}");
        expect_component(&path)?;
        let name = path.file_stem().map(Path::new).unwrap_or(&path);
        components.push((utf8(name)?.to_owned(), text.to_owned()));
    }
    components.sort();
    Ok(components)
}

fn expect_component(path: &Path) -> Result<(), String> {
    let mut preamble = [0; COMPONENT_PREAMBLE.len()];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut preamble));
    match read {
        Ok(()) if preamble == COMPONENT_PREAMBLE => Ok(()),
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
            Err(format!("cannot read {}: {error}", path.display()))
        }
        _ => Err(format!(
            "{} is not a WebAssembly component: remove it, or run `cargo xtask plugins`",
            path.display()
        )),
    }
}

fn utf8(path: &Path) -> Result<&str, String> {
    path.to_str()
        .ok_or_else(|| format!("{} is not UTF-8: cannot name it in Rust", path.display()))
}

fn table(components: &[(String, String)]) -> String {
    let mut text = String::from("static BUILTIN: &[(&str, &[u8])] = &[\n");
    for (name, path) in components {
        // A string's Debug form is a Rust literal.
        let _ = writeln!(text, "    ({name:?}, include_bytes!({path:?})),");
    }
    text.push_str("];\n");
    text
}
