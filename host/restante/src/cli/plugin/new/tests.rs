#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn all_projects() -> impl Iterator<Item = (String, Files)> {
    LANGUAGES.iter().flat_map(|language| {
        Role::value_variants().iter().map(move |role| {
            let what = format!("{} in {}", role.name(), language.title);
            (what, project("my-plugin", *role, language).unwrap())
        })
    })
}

#[test]
fn every_language_has_every_role() {
    assert_eq!(Lang::value_variants().len(), LANGUAGES.len());
    for lang in Lang::value_variants() {
        assert!(language(*lang).is_ok(), "{lang:?}");
    }
    for (what, files) in all_projects() {
        for wanted in ["README.md", ".gitignore", "sample/mail/alice"] {
            let there = files.keys().any(|path| path.starts_with(wanted));
            assert!(there, "{what}: no {wanted}");
        }
        let contract = files.keys().filter(|path| path.ends_with(".wit")).count();
        let here = PROJECT_FILES
            .iter()
            .filter(|(path, _)| path.starts_with("guest-sdk/wit/"))
            .count();
        assert!(
            here > 0 && contract >= here,
            "{what}: {contract} files of the contract, of {here}"
        );
        let released = files.keys().find(|path| path.contains("released"));
        assert_eq!(released, None, "{what}: versions that it does not need");
    }
}

#[test]
fn a_sample_maildir_is_whole() {
    let mut maildirs = 0;
    for (what, files) in all_projects() {
        let has = |folder: &str| files.keys().any(|path| path.starts_with(folder));
        if has("sample/mail/alice/new/") {
            assert!(has("sample/mail/alice/cur/"), "{what}");
            maildirs += 1;
        }
    }
    assert!(maildirs > 0);
}

#[test]
fn no_placeholder_is_left() {
    for (what, files) in all_projects() {
        for (path, text) in files {
            for rest in text.split("{{").skip(1) {
                let word = rest.split("}}").next().unwrap_or("");
                let letters = word.chars().all(|letter| letter.is_ascii_lowercase());
                let known = letters && !word.is_empty() && rest.contains("}}");
                assert!(!known, "{what}: {path} has {{{{{word}}}}}");
            }
        }
    }
}

#[test]
fn a_readme_is_one_page_that_serves_mail() {
    for (what, files) in all_projects() {
        let page = &files["README.md"];
        assert!(
            page.lines().count() <= 120,
            "{what}: {} lines",
            page.lines().count()
        );
        let commands: Vec<&str> = block(page, "```sh").collect();
        for wanted in ["restante plugin test ", "restante serve ", "curl "] {
            let there = commands.iter().any(|line| line.starts_with(wanted));
            assert!(there, "{what}: {commands:?} has no {wanted}");
        }
        let configuration = files["restante.toml"].parse::<toml::Table>().unwrap();
        assert!(
            configuration.contains_key("tenant"),
            "{what}: {configuration}"
        );
    }
}

#[test]
fn nothing_in_a_project_is_the_workspaces_own_business() {
    for (what, files) in all_projects() {
        for (path, text) in files {
            if path.ends_with("Cargo.toml") {
                assert!(!text.contains("workspace ="), "{what}: {path}\n{text}");
            }
        }
    }
}

#[test]
fn a_name_is_one_that_all_tools_take() {
    for name in ["a", "my-plugin", "users2", &"x".repeat(64)] {
        assert!(expect_name(name).is_ok(), "{name}");
    }
    let long = "x".repeat(65);
    for name in [
        "", "-a", "a-", "2a", "A", "a_b", "a/b", "..", "ä", "a b", "test", &long,
    ] {
        let error = expect_name(name).unwrap_err().to_string();
        assert!(error.contains("give "), "{name}: {error}");
    }
}

#[test]
fn what_is_there_is_not_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let files = Files::from([("a/b".to_owned(), "text".to_owned())]);
    let folder = home.path().join("new");
    write(&folder, &files).unwrap();
    assert_eq!(fs::read_to_string(folder.join("a/b")).unwrap(), "text");

    let others = Files::from([("c".to_owned(), "text".to_owned())]);
    let error = write(&folder, &others).unwrap_err().to_string();
    assert!(
        error.contains("not empty") && error.contains("--dir"),
        "{error}"
    );
    assert!(!folder.join("c").exists());

    let file = home.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(write(&file, &others).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    write(&empty, &others).unwrap();
}
