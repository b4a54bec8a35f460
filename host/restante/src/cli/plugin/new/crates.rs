//! What a project in Rust has of cargo's files: the manifest of the vendored
//! `restante-guest`, without the workspace that it inherits from, and a Cargo.lock
//! with the very versions that this restante was tested with.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context;
use toml::{Table, Value};

use super::files::{Files, embedded};

/// Adds both to the files of a project.
pub(super) fn add(files: &mut Files) -> anyhow::Result<()> {
    let manifest = standalone(embedded("guest-sdk/Cargo.toml")?, embedded("Cargo.toml")?)?;
    let own = files
        .get("Cargo.toml")
        .context("the template has no Cargo.toml")?;
    let mut roots = dependencies(&manifest)?;
    roots.extend(dependencies(own)?);
    files.insert("Cargo.lock".into(), lock(embedded("Cargo.lock")?, roots));
    files.insert("restante-guest/Cargo.toml".into(), manifest);
    Ok(())
}

/// A member's manifest with the values that it inherits, and without the lints of
/// the workspace.
fn standalone(member: &str, workspace: &str) -> anyhow::Result<String> {
    let workspace: Table = workspace.parse().context("the workspace's Cargo.toml")?;
    let inherited = workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("package"))
        .context("the workspace's Cargo.toml has no [workspace.package]")?;
    let mut text = String::new();
    for line in member.replace("[lints]\nworkspace = true\n\n", "").lines() {
        match line.strip_suffix(".workspace = true") {
            Some(key) => {
                let value = inherited.get(key);
                let value = value.with_context(|| format!("the workspace has no {key}"))?;
                text.push_str(&format!("{key} = {value}"));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

/// The names of all packages that a manifest asks for.
fn dependencies(manifest: &str) -> anyhow::Result<BTreeSet<String>> {
    let manifest: Table = manifest.parse().context("a Cargo.toml")?;
    let mut tables = vec![&manifest];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let mut names = BTreeSet::new();
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let asked = table.get(kind).and_then(Value::as_table);
            names.extend(asked.into_iter().flat_map(Table::keys).cloned());
        }
    }
    Ok(names)
}

/// The part of a Cargo.lock that these packages need. Packages of the workspace
/// itself, which have no source, stay out: cargo adds the project's own.
fn lock(whole: &str, roots: BTreeSet<String>) -> String {
    let blocks: Vec<&str> = whole.split("\n\n").collect();
    let field = |block: &str, key: &str| -> String {
        let start = format!("{key} = \"");
        let line = block.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or("").trim_end_matches('"').to_owned()
    };
    let mut named: HashMap<String, Vec<&str>> = HashMap::new();
    for block in &blocks {
        if block.contains("\nsource = ") {
            named.entry(field(block, "name")).or_default().push(block);
        }
    }
    let mut wanted: Vec<String> = roots.into_iter().collect();
    let mut kept = BTreeSet::new();
    while let Some(package) = wanted.pop() {
        // "name", or "name version" where there are several.
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap_or(""), words.next());
        for block in named.get(name).into_iter().flatten() {
            let fits = version.is_none_or(|version| field(block, "version") == version);
            if fits && kept.insert(*block) {
                let listed = block.lines().filter_map(|line| line.strip_prefix(" \""));
                wanted.extend(listed.map(|line| line.trim_end_matches("\",").to_owned()));
            }
        }
    }
    let head = blocks.first().copied().unwrap_or("");
    let mut text = head.trim_end().to_owned();
    for block in blocks.iter().filter(|block| kept.contains(*block)) {
        text.push_str("\n\n");
        text.push_str(block.trim_end());
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_stands_alone() {
        let workspace = "[workspace.package]\nversion = \"1.2.3\"\npublish = false\n";
        let member = "[package]\nname = \"a\"\nversion.workspace = true\npublish.workspace = true\n\n\
            [lints]\nworkspace = true\n\n[lib]\n";
        let alone = standalone(member, workspace).expect("all it inherits is there");
        let expected = "[package]\nname = \"a\"\nversion = \"1.2.3\"\npublish = false\n\n[lib]\n";
        assert_eq!(alone, expected);
        assert!(standalone("edition.workspace = true\n", workspace).is_err());
    }

    #[test]
    fn a_lock_holds_what_is_needed_and_no_more() {
        let whole = "# head\nversion = 4\n\n\
            [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"s\"\ndependencies = [\n \"b 2.0.0\",\n]\n\n\
            [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"s\"\n\n\
            [[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"s\"\n\n\
            [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let roots = ["a".to_owned(), "own".to_owned()].into();
        let part = lock(whole, roots);
        let names: Vec<_> = part
            .lines()
            .filter(|line| line.starts_with("name"))
            .collect();
        assert_eq!(names, ["name = \"a\"", "name = \"b\""], "{part}");
        assert!(part.contains("2.0.0") && !part.contains("own"), "{part}");
        assert!(part.starts_with("# head\nversion = 4\n"), "{part}");
    }
}
