//! Writes `plugin.h` and `plugin.c`, which authors of plugins in C compile beside
//! their own: what `wit-bindgen` makes of wit/, with each role behind a macro, so
//! that a component exports the roles that it is compiled for and no others.
//!
//! `cargo run --manifest-path guest-sdk/c/generate/Cargo.toml -- FOLDER` writes them
//! into a folder; tests/plugins/c.rs compares them with those that are kept.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use wit_bindgen_c::{Enabled, Opts};
use wit_bindgen_core::Files;
use wit_component::StringEncoding;
use wit_component::metadata;
use wit_parser::Resolve;

/// The roles, and the world that each has in wit/world.wit.
const ROLES: [&str; 8] = [
    "authenticator",
    "accepts",
    "scram",
    "store",
    "filter",
    "selector",
    "admission",
    "settings",
];

/// Where wit-bindgen asks for an object file with the types, which are in a section
/// of ours instead.
const OBJECT_FILE: &str = "// Ensure that the *_component_type.o object is linked in";

/// Octets of one line of assembler.
const LINE_OCTETS: usize = 32;

fn main() -> Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("which folder? give guest-sdk/c")?;
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&contract).context("wit/")?;

    let mut types = String::new();
    for role in ROLES {
        let world = resolve.select_world(&[package], Some(&format!("{role}-plugin")))?;
        let section = metadata::encode(&resolve, world, StringEncoding::UTF8, None, false)?;
        types.push_str(&component_type(role, &section));
    }

    let every_role = resolve.select_world(&[package], Some("every-role"))?;
    let mut files = Files::default();
    let options = Opts {
        rename_world: Some("plugin".into()),
        no_object_file: true,
        // A borrowed handle that is kept would be a trap.
        autodrop_borrows: Enabled::Yes,
        ..Opts::default()
    };
    options
        .build()
        .generate(&mut resolve, every_role, &mut files)?;
    for (name, text) in files.iter() {
        let text = str::from_utf8(text).context("wit-bindgen wrote something else than text")?;
        let text = match name.ends_with(".c") {
            true => by_roles(text)? + &types,
            false => text.to_owned(),
        };
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Puts each exported function behind the macro of its role.
fn by_roles(text: &str) -> Result<String> {
    let (text, _) = text
        .split_once(OBJECT_FILE)
        .context("wit-bindgen asks for no object file any more")?;
    let mut sorted = String::new();
    let mut inside = false;
    let mut exports = 0;
    for line in text.lines() {
        if let Some(role) = exported_role(line) {
            let _ = writeln!(sorted, "#ifdef {}", macro_of(role));
            (inside, exports) = (true, exports + 1);
        }
        sorted.push_str(line);
        sorted.push('\n');
        if inside && line == "}" {
            sorted.push_str("#endif\n");
            inside = false;
        }
    }
    ensure!(
        exports > ROLES.len(),
        "wit-bindgen writes exports otherwise now"
    );
    Ok(sorted)
}

/// The role of the function that begins with this line.
fn exported_role(line: &str) -> Option<&str> {
    let (_, name) = line.split_once("__export_name__(\"")?;
    let name = name.strip_prefix("cabi_post_").unwrap_or(name);
    let (role, _) = name.strip_prefix("restante:plugin/")?.split_once('@')?;
    Some(role)
}

fn macro_of(role: &str) -> String {
    format!("RESTANTE_{}", role.to_ascii_uppercase())
}

/// The types of a role's world, in the section that makes a component of a module.
fn component_type(role: &str, section: &[u8]) -> String {
    let mut text = format!(
        "\n#ifdef {}\n__asm__(\n  \".section \\\".custom_section.component-type:restante-{role}\\\",\\\"\\\",@\\n\"\n",
        macro_of(role)
    );
    for line in section.chunks(LINE_OCTETS) {
        let octets: Vec<String> = line.iter().map(u8::to_string).collect();
        let _ = writeln!(text, "  \".byte {}\\n\"", octets.join(","));
    }
    text.push_str("  \".text\\n\"\n);\n#endif\n");
    text
}
