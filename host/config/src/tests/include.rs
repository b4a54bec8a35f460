//! A configuration in several files.

use super::*;

const MAIN: &str = "include = 'tenants.d/*.toml'\n[listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n\
                    [plugin.p]\ncomponent = 'builtin:p'\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tenants.d")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn tenant(name: &str) -> String {
    format!("[tenant.{name}]\ndomains = ['{name}.example']\nauthenticators = ['p']\nstore = 'p'\n")
}

/// What is said of the main file, with the folder's path as "DIR".
fn said(folder: &tempfile::TempDir) -> Vec<String> {
    let shown = folder.path().display().to_string();
    match Config::load(&folder.path().join("main.toml")) {
        Ok(config) => {
            let absent = config.absent.iter().map(|absent| &absent.problem);
            let told = absent.chain(&config.warnings);
            told.map(|one| one.to_string().replace(&shown, "DIR"))
                .collect()
        }
        Err(Problems(problems)) => {
            let problems = problems.iter();
            problems
                .map(|one| one.to_string().replace(&shown, "DIR"))
                .collect()
        }
    }
}

#[test]
fn each_tenant_is_a_file() {
    let own = format!(
        "[plugin.own]\ncomponent = './own.wasm'\ngrants.maildrop = 'mail/{{user}}'\n{}filters = ['own']\n",
        tenant("b")
    );
    let folder = folder(&[
        ("main.toml", MAIN),
        ("tenants.d/b.toml", &own),
        ("tenants.d/a.toml", &format!("\u{feff}{}", tenant("a"))),
        ("tenants.d/.hidden.toml", "rubbish"),
        ("tenants.d/c.toml~", "rubbish"),
        ("tenants.d/own.wasm", ""),
    ]);
    let path = folder.path();
    fs::create_dir(path.join("tenants.d/mail")).unwrap();
    let config = Config::load(&path.join("main.toml")).unwrap();
    let names: Vec<&str> = config.tenants.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let files = ["main.toml", "tenants.d/a.toml", "tenants.d/b.toml"];
    assert_eq!(config.files, files.map(|name| path.join(name)));
    assert_eq!(
        config.tenants[1].place,
        Place {
            file: 2,
            line: 4,
            column: 9
        }
    );
    // What a file names is beside it.
    let own = &config.plugins[1];
    let component = ComponentSource::Path(path.join("tenants.d/./own.wasm"));
    assert_eq!(own.component, component);
    let maildrop = own.grants.maildrop.as_ref().unwrap();
    assert_eq!(
        maildrop.template().as_str(),
        format!("{}/mail/{{user}}", path.join("tenants.d").display())
    );
    assert_eq!(config.absent, []);
    assert_eq!(config.warnings, []);
}

#[test]
fn every_problem_says_which_file() {
    let a = format!("{}stoer = 1\n", tenant("a"));
    let again = format!("# again\n{}{}", tenant("a"), tenant("c"));
    let c = "[plugin.p]\ncomponent = './none.wasm'\n[tenant.d]\ndomains = ['c.example', 'd.example']\nauthenticators = ['q']\nstore = 'p'\n";
    let folder = folder(&[
        ("main.toml", MAIN),
        ("tenants.d/a.toml", &a),
        ("tenants.d/b.toml", &again),
        ("tenants.d/c.toml", c),
        ("tenants.d/d.toml", "Dear sir\n"),
        (
            "tenants.d/e.toml",
            "include = 'x'\n[server]\nhostname = 'a'\n[listener.m]\ntls = 'off'\n[engine.e]\nkind = 'embedded'\n[database.d]\nkind = 'sqlite'\n",
        ),
    ]);
    fs::create_dir(folder.path().join("tenants.d/f.toml")).unwrap();
    fs::write(folder.path().join("tenants.d/g.toml"), b"# \xff\n").unwrap();
    let said = said(&folder);
    let heads: Vec<&str> = said.iter().map(|one| one.lines().next().unwrap()).collect();
    assert_eq!(
        heads,
        [
            "DIR/tenants.d/f.toml: this is included and is no regular file",
            "DIR/tenants.d/g.toml:1:3: the configuration file is not UTF-8",
            "DIR/tenants.d/a.toml:5:1: unknown key `stoer` in [tenant.a]",
            "DIR/tenants.d/b.toml:2:9: [tenant.a] is there already (DIR/tenants.d/a.toml, line 1)",
            "DIR/tenants.d/b.toml:3:12: the domain `a.example` stands twice in [tenant.a]",
            "DIR/tenants.d/c.toml:1:9: [plugin.p] is there already (DIR/main.toml, line 5)",
            "DIR/tenants.d/c.toml:2:13: component `DIR/tenants.d/./none.wasm` does not exist",
            "DIR/tenants.d/c.toml:4:12: the domain `c.example` of [tenant.d] belongs to [tenant.c] already (DIR/tenants.d/b.toml, line 7)",
            "DIR/tenants.d/c.toml:5:19: there is no plugin `q`",
            "DIR/tenants.d/d.toml:1:6: not TOML: key with no value, expected `=`",
            "DIR/tenants.d/e.toml:1:11: `include` stands in a file that is included",
            "DIR/tenants.d/e.toml:2:2: `server` stands in a file that is included",
            "DIR/tenants.d/e.toml:4:2: `listener` stands in a file that is included",
            "DIR/tenants.d/e.toml:6:2: `engine` stands in a file that is included",
            "DIR/tenants.d/e.toml:8:2: `database` stands in a file that is included",
        ]
    );
}

#[test]
fn what_is_named_has_to_be_there() {
    let rest = &MAIN["include = 'tenants.d/*.toml'\n".len()..];
    let good = tenant("a");
    for (include, expected) in [
        ("'tenants.d/*.toml'", None),
        ("['tenants.d/*.toml', 'tenants.d/a*']", None),
        ("'*.toml'", None),
        ("[]", None),
        (
            "'none.d/*.toml'",
            Some("main.toml:1:11: the folder `DIR/none.d` cannot be looked into"),
        ),
        (
            "'none.toml'",
            Some("main.toml:1:11: `none.toml` is included and does not exist"),
        ),
        (
            "['tenants.d/*.toml', '*/a.toml']",
            Some("main.toml:1:32: `*/a.toml` in `include` in the file has a pattern for a folder"),
        ),
        ("'tenants.d/'", Some("names no files")),
        ("'[a'", Some("is no pattern")),
        ("'**'", Some("is no pattern")),
        ("1", Some("is an integer")),
        ("[1]", Some("is an integer")),
    ] {
        let main = format!("include = {include}\n{rest}{}", tenant("main"));
        let folder = folder(&[("main.toml", &main)]);
        let nothing = said(&folder);
        match expected {
            None => assert_eq!(nothing, [] as [String; 0], "{include}"),
            Some(words) => {
                assert_eq!(nothing.len(), 1, "{include}: {nothing:?}");
                assert!(nothing[0].contains(words), "{include}: {nothing:?}");
            }
        }
    }
    // Each file once, whatever names it.
    let main = format!("include = ['tenants.d/a.toml', 'tenants.d/*']\n{rest}");
    let folder = folder(&[("main.toml", &main), ("tenants.d/a.toml", &good)]);
    assert_eq!(said(&folder), [] as [String; 0]);
}

#[test]
fn octets_and_files_have_an_end() {
    let folder = folder(&[("main.toml", MAIN)]);
    let large = "#".repeat(13 << 20);
    for name in ["a", "b", "c", "d", "e"] {
        let text = format!("{large}\n{}", tenant(name));
        fs::write(folder.path().join(format!("tenants.d/{name}.toml")), text).unwrap();
    }
    let told = said(&folder);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("DIR/tenants.d/e.toml: with this file"),
        "{told:?}"
    );

    let path = folder.path().join("tenants.d");
    let pattern = glob::Pattern::new("*").unwrap();
    for number in 0..disk::INCLUDED_FILES {
        fs::write(path.join(number.to_string()), "").unwrap();
    }
    let found = disk::matching(&path, &pattern).unwrap();
    assert_eq!(found.len(), disk::INCLUDED_FILES + 1);
}
