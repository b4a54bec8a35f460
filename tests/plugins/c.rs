//! Plugins in C: the bindings are those of the contract, static-users lets its users
//! in, and what `plugin new` and docs/plugins/c.md say to type leads to a login.
use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{Finished, Plugin, Site, Tool, binary, repository, require, run_to_end};

const COMPILER: Tool = Tool {
    name: "clang for wasm",
    // It is installed, or `cargo xtask test` has unpacked it.
    probe: &[
        "sh",
        "-c",
        "test -e /usr/lib/wasm32-wasi/libc.a -a -e /usr/bin/wasm-ld || test -e \"${RESTANTE_BIN%/*/*}\"/languages/c/usr/bin/wasm-ld",
    ],
    packages: &["clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"],
};
const MAKE: Tool = Tool {
    name: "make",
    probe: &["make", "--version"],
    packages: &["make"],
};
const CURL: Tool = Tool {
    name: "curl",
    probe: &["curl", "--version"],
    packages: &["curl"],
};

/// Where the READMEs' servers listen.
const ADDRESS: &str = "127.0.0.1:1110";
/// Until a server has compiled its plugins and answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell with `restante` and the compiler on its PATH.
fn shell(folder: &Path) -> Command {
    let server = binary();
    let target = server.ancestors().nth(2).unwrap();
    let mut path = vec![server.parent().unwrap().to_owned()];
    let mut command = Command::new("sh");
    let unpacked = target.join("languages/c");
    if unpacked.join("usr/bin/clang").exists() {
        path.push(unpacked.join("usr/bin"));
        let root = unpacked.join("usr");
        command.env("CLANG", format!("clang --sysroot={}", root.display()));
        command.env("LD_LIBRARY_PATH", root.join("lib/x86_64-linux-gnu"));
    }
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    command
        .current_dir(folder)
        .env("PATH", env::join_paths(path).unwrap())
        .env("XDG_CACHE_HOME", env::temp_dir().join("restante-test-c"));
    command
}

fn line(folder: &Path, line: &str) -> Finished {
    run_to_end(shell(folder).args(["-c", line]))
}

fn passes(folder: &Path, text: &str) -> Finished {
    let finished = line(folder, text);
    assert_eq!(finished.code, Some(0), "{text}: {finished:#?}");
    finished
}

/// A server that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Types the commands of a page, in order: `restante serve` stays, and what comes
/// behind it is tried until it answers. Returns what was said by the last.
fn follow(page: &str, folder: &Path) -> Finished {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut folder = folder.to_owned();
    let mut server: Option<Running> = None;
    let mut last = None;
    for text in commands(page) {
        if let Some(into) = text.strip_prefix("cd ") {
            folder.push(into);
            continue;
        }
        let text = text.replace(ADDRESS, &port.to_string());
        if text.starts_with("restante serve") {
            let config = folder.join("restante.toml");
            let lines = fs::read_to_string(&config).unwrap();
            fs::write(&config, lines.replace(ADDRESS, &port.to_string())).unwrap();
            let mut command = shell(&folder);
            command.args(["-c", &format!("exec {text}")]);
            let log = fs::File::create(folder.join("log")).unwrap();
            server = Some(Running(
                command.stdout(Stdio::null()).stderr(log).spawn().unwrap(),
            ));
            continue;
        }
        let began = Instant::now();
        let mut finished = line(&folder, &text);
        while server.is_some() && finished.code != Some(0) && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(100));
            finished = line(&folder, &text);
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert_eq!(finished.code, Some(0), "{text}: {finished:#?}\n{log}");
        last = Some(finished);
    }
    assert!(server.is_some(), "the page starts no server");
    last.unwrap()
}

/// The lines of the `sh` blocks.
fn commands(page: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside && !line.is_empty() => found.push(line.to_owned()),
            _ => {}
        }
    }
    found
}

fn log_in_to_a_new_one(role: &str) {
    if !require(role, &[&COMPILER, &MAKE, &CURL]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let new = format!("restante plugin new mine --role {role} --lang c");
    passes(folder.path(), &new);
    // What somebody has written there is not overwritten.
    assert_ne!(line(folder.path(), &new).code, Some(0));
    let project = folder.path().join("mine");
    let page = fs::read_to_string(project.join("README.md")).unwrap();
    let last = follow(&page, &project);
    assert!(last.stdout.contains("Subject: "), "{last:#?}");
    if role == "filter" {
        assert!(
            last.stdout.starts_with("X-Notice: this may be spam"),
            "{last:#?}"
        );
    }
}

#[test]
fn a_new_authenticator_leads_to_a_login() {
    log_in_to_a_new_one("authenticator");
}

#[test]
fn a_new_store_leads_to_a_login() {
    log_in_to_a_new_one("store");
}

#[test]
fn a_new_filter_leads_to_a_login() {
    log_in_to_a_new_one("filter");
}

#[test]
fn a_new_admission_leads_to_a_login() {
    log_in_to_a_new_one("admission");
}

#[test]
fn the_page_leads_to_a_login() {
    if !require("docs/plugins/c.md", &[&COMPILER, &MAKE, &CURL]) {
        return;
    }
    let page = fs::read_to_string(repository().join("docs/plugins/c.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let last = follow(&page, folder.path());
    assert!(last.stdout.contains("Subject: "), "{last:#?}");
}

/// The bindings are written by us, so that nobody else needs wit-bindgen.
#[test]
fn the_bindings_are_those_of_the_contract() {
    let kept = repository().join("guest-sdk/c");
    let folder = tempfile::tempdir().unwrap();
    let target = binary()
        .ancestors()
        .nth(2)
        .unwrap()
        .join("tools/c-bindings");
    let finished = run_to_end(
        Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["run", "--quiet", "--locked", "--manifest-path"])
            .arg(kept.join("generate/Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .arg("--")
            .arg(folder.path()),
    );
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    for name in ["plugin.h", "plugin.c"] {
        let same =
            fs::read(folder.path().join(name)).unwrap() == fs::read(kept.join(name)).unwrap();
        assert!(
            same,
            "{name} is not what wit/ makes of it: cargo run --manifest-path guest-sdk/c/generate/Cargo.toml -- guest-sdk/c"
        );
    }
}

/// The helpers, natively: what they do with memory is looked at by the sanitizers.
#[test]
fn the_helpers_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("helpers");
    let test = repository().join("tests/c");
    let compile = format!(
        "cc -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -Wno-unused-function -fsanitize=address,undefined -I{} -o {} {}",
        repository().join("guest-sdk/c").display(),
        program.display(),
        test.join("helpers.c").display(),
    );
    passes(folder.path(), &compile);
    let finished = run_to_end(&mut Command::new(program));
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert_eq!(finished.stdout, "done\n", "{finished:#?}");
}

// ---- static-users

/// Built as its README says, in a copy of its folder.
fn static_users(folder: &Path) -> PathBuf {
    let plugin = folder.join("plugins/static-users");
    let sdk = folder.join("guest-sdk/c");
    for (from, to) in [("plugins/static-users", &plugin), ("guest-sdk/c", &sdk)] {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(repository().join(from)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            let made = Path::new(&name)
                .extension()
                .is_some_and(|end| end == "wasm");
            if entry.file_type().unwrap().is_file() && !made {
                fs::copy(entry.path(), to.join(name)).unwrap();
            }
        }
    }
    passes(&plugin, "make && make test");
    plugin.join("static-users.wasm")
}

fn hashed(password: &str, scheme: &str) -> String {
    let text = format!("printf '%s\\n' '{password}' | restante hash-password --scheme {scheme}");
    passes(Path::new("/"), &text).stdout.trim_end().to_owned()
}

#[test]
fn static_users_lets_in_whom_the_configuration_names() {
    if !require("static-users", &[&COMPILER, &MAKE, &CURL]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let component = static_users(folder.path());
    let octets = fs::metadata(&component).unwrap().len();
    assert!(octets < 30_000, "it has {octets} octets");
    let inspected = passes(
        folder.path(),
        &format!("restante plugin inspect {}", component.display()),
    );
    assert!(!inspected.stdout.contains("wasi:cli"), "{inspected:#?}");
    assert!(
        inspected.stdout.contains("settings\n  users "),
        "{inspected:#?}"
    );

    let (ada, bob) = (hashed("first", "argon2id"), hashed("second", "argon2id"));
    let mut site = Site::new();
    let mut users = Plugin::new("static", component.to_str().unwrap());
    users.settings = format!("users = [\"ada:{ada}\", \"bob:{bob}:shared\", \"eve:!{ada}\"]\n");
    site.plugins.push(users);
    site.tenants[0].lines = "store = \"mail\"\nauthenticators = [\"static\"]\n".to_owned();
    site.plugins[1].grants = format!(
        "maildrop = {:?}\nmissing-maildrop = \"empty\"\n",
        site.path().join("mail/{maildrop}")
    );
    site.maildir("ada").deliver(b"Subject: for ada\n\nbody\n");
    site.maildir("shared").deliver(b"Subject: shared\n\nbody\n");
    let server = site.start();
    for (user, password, subject) in [("ada", "first", "for ada"), ("bob", "second", "shared")] {
        let finished = server.curl("1", user, password);
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        let expected = format!("Subject: {subject}\r\n\r\nbody\r\n");
        assert_eq!(finished.stdout, expected);
    }
    for (user, password) in [
        ("ada", "second"),
        ("bob", "first"),
        ("eve", "first"),
        ("nobody", "first"),
        ("ad", "first"),
        ("shared", "second"),
    ] {
        let finished = server.curl("1", user, password);
        assert_ne!(finished.code, Some(0), "{user}: {finished:#?}");
        assert!(
            finished.stderr.contains("-ERR [AUTH]"),
            "{user}: {finished:#?}"
        );
    }
}

#[test]
fn static_users_names_each_broken_entry() {
    if !require("static-users", &[&COMPILER, &MAKE]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let component = static_users(folder.path());
    let hash = hashed("first", "argon2id");
    let mut site = Site::new();
    let mut users = Plugin::new("static", component.to_str().unwrap());
    users.settings = format!(
        "users = [\"ada:{hash}\", \"bob\", \"cy:{{MD9}}ninth\", \"ada:{hash}\", \"dee:secret\", \"eve:{hash}:\"]\n"
    );
    site.plugins.push(users);
    site.tenants[0].lines = "store = \"mail\"\nauthenticators = [\"static\"]\n".to_owned();
    let finished = site.check();
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    for words in [
        "users: entry 2: is not \"NAME:HASH\"",
        "users: entry 3: ",
        "users: entry 4: names a user who stands in an earlier one",
        "users: entry 5: the hash has no known form",
        "users: entry 6: is not \"NAME:HASH\"",
    ] {
        assert!(finished.stderr.contains(words), "{words}: {finished:#?}");
    }
    for secret in ["ninth", "dee:secret", "argon2id"] {
        assert!(!finished.stderr.contains(secret), "{secret}: {finished:#?}");
    }
    assert!(!finished.stderr.contains("entry 1"), "{finished:#?}");
}
