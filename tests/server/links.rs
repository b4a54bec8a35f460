//! The pages that people read: what they link to is there, and the code that they
//! show is code that is built.

use std::fs;
use std::path::{Path, PathBuf};

use restante_tests::repository;

/// Every page that people read: *.md of the repository, but for what builds leave.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !matches!(&*name, "target" | "node_modules") {
                pages(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The targets of `[words](target)`, outside of code.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        // Each second part stands between backticks.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("x");
        for rest in prose.split("](").skip(1) {
            found.extend(rest.split_once(')').map(|(target, _)| target.to_owned()));
        }
    }
    found
}

/// The names by which the parts of a page are linked: of headings as code forges
/// make them, and those that stand there.
fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .split("<a id=\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    let mut is_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        }
        if let Some((_, title)) = line.split_once("# ")
            && line.starts_with('#')
            && !is_code
        {
            let kept = title.to_lowercase().replace(' ', "-");
            let kept = kept
                .chars()
                .filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'));
            found.push(kept.collect());
        }
    }
    found
}

#[test]
fn each_link_leads_somewhere() {
    let root = repository();
    let mut all = Vec::new();
    pages(&root, &mut all);
    let mut problems = Vec::new();
    let mut count = 0;
    for page in &all {
        let text = fs::read_to_string(page).unwrap();
        for target in targets(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let is_there = match anchor {
                "" => file.exists(),
                anchor => {
                    let text = fs::read_to_string(&file).unwrap_or_default();
                    anchors(&text).iter().any(|there| there == anchor)
                }
            };
            if !is_there {
                let page = page.strip_prefix(&root).unwrap().display();
                problems.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(count > 50, "{count} links in {} pages", all.len());
}

/// The plugin that the pages begin with is the SDK's example, which tests/plugins/guests.rs
/// logs in with.
#[test]
fn the_first_plugin_is_the_example() {
    let root = repository();
    let example = fs::read_to_string(root.join("guest-sdk/examples/one-user.rs")).unwrap();
    let (_, code) = example.split_once("\n\n").unwrap();
    assert!(code.contains("export!"), "{code}");
    for page in ["README.md", "guest-sdk/README.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let shown = format!("```rust\n{code}```\n");
        assert!(text.contains(&shown), "{page} shows another plugin");
    }
}

/// Likewise of the protocol, whose example is a test of its documentation.
#[test]
fn the_first_session_is_the_crates_own() {
    let folder = repository().join("host/pop3");
    let source = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
    let documentation: String = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"])
        .collect();
    let code = documentation.split("```\n").nth(1).unwrap();
    let shown: String = code
        .lines()
        .filter(|line| !line.starts_with("# "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let page = fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(page.contains(&format!("```rust\n{shown}```\n")), "{shown}");
}

#[test]
fn the_readme_is_short_and_begins_with_what_to_type() {
    let text = fs::read_to_string(repository().join("README.md")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() <= 120, "{} lines", lines.len());
    for command in ["cargo xtask demo", "cargo xtask test"] {
        let at = lines.iter().position(|line| line.starts_with(command));
        assert!(at.is_some_and(|at| at < 10), "{command}: {at:?}");
    }
}

#[test]
fn links_are_told_from_code() {
    let text = "See [one](a.md#b-c), `[no](x)` and [two](b).\n```\n[no](y)\n```\n[three](c)";
    assert_eq!(targets(text), ["a.md#b-c", "b", "c"]);
    let text = "# A title, `with` code\n<a id=\"x.y\"></a>\n```\n# none\n```\n## TLS: on_off";
    assert_eq!(anchors(text), ["x.y", "a-title-with-code", "tls-on_off"]);
}
