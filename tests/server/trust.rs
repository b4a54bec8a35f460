//! Whose components are let in, what is seen of them before, and what it may
//! cost to compile one.
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use minisign::KeyPair;
use restante_tests::{
    Finished, Plugin, Pop3, Server, Site, binary, run_to_end, test_guest, wait_for,
};
use wasm_encoder::{
    BlockType, CodeSection, Component, Function, FunctionSection, InstructionSink, Module,
    ModuleSection, TypeSection, ValType,
};

const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nbody\r\n";

fn restante(arguments: &[&str]) -> Finished {
    run_to_end(
        Command::new(binary())
            .args(arguments)
            .env_remove("RUST_LOG"),
    )
}

fn refused(site: &Site, words: &[&str]) {
    told(&site.check(), 1, words);
}

/// It ended with that code, and standard error has all these words.
fn told(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:#?}");
    for word in words {
        assert!(
            finished.stderr.contains(word),
            "no {word:?} in {finished:#?}"
        );
    }
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
}

/// A built-in component, as the file it was made from.
fn built_in(name: &str) -> Vec<u8> {
    let guests = test_guest("trapping");
    let components = guests.parent().unwrap().parent().unwrap();
    fs::read(components.join(name).with_extension("wasm")).unwrap()
}

/// A site whose store is a file of its own, and that file.
fn store_in_a_file() -> (Site, PathBuf) {
    let mut site = Site::new();
    site.user("ada", "x");
    site.maildir("ada").deliver(b"Subject: hello\n\nbody\n");
    let component = site.path().join("mail.wasm");
    fs::write(&component, built_in("maildir")).unwrap();
    site.plugins[1].component = component.display().to_string();
    (site, component)
}

fn key() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

fn public(key: &KeyPair) -> String {
    key.pk.to_base64()
}

fn beside(component: &Path) -> PathBuf {
    PathBuf::from(format!("{}.minisig", component.display()))
}

fn sign(key: &KeyPair, component: &Path, comment: &str) {
    let octets = Cursor::new(fs::read(component).unwrap());
    let signature = minisign::sign(Some(&key.pk), &key.sk, octets, Some(comment), None).unwrap();
    fs::write(beside(component), signature.to_string()).unwrap();
}

fn login(server: &Server) -> Pop3 {
    let mut client = Pop3::connect(server.pop3());
    assert!(client.authenticate("ada", "x").ok);
    client
}

// ---- signatures

#[test]
fn what_is_signed_is_let_in_and_nothing_else() {
    let (mut site, component) = store_in_a_file();
    let (vendor, other) = (key(), key());
    site.server = format!("signature-keys = [{:?}]\n", public(&vendor));
    refused(
        &site,
        &[
            "restante.toml:",
            "[plugin.mail]",
            "must be signed",
            "mail.wasm.minisig",
        ],
    );

    sign(&vendor, &component, "maildir 1.0");
    told(&site.check(), 0, &[]);

    sign(&other, &component, "maildir 1.0");
    refused(
        &site,
        &["[plugin.mail]", "does not count here", "signature-keys"],
    );

    sign(&vendor, &component, "maildir 1.0");
    let mut changed = fs::read(&component).unwrap();
    // A custom section more: still a component, and not the one that was signed.
    changed.extend([0, 5, 4, b'm', b'o', b'r', b'e']);
    fs::write(&component, &changed).unwrap();
    refused(&site, &["[plugin.mail]", "does not fit", "anew"]);

    fs::write(beside(&component), "a signature, surely\n").unwrap();
    refused(&site, &["[plugin.mail]", "of no use"]);
    fs::remove_file(beside(&component)).unwrap();
    fs::create_dir(beside(&component)).unwrap();
    refused(&site, &["[plugin.mail]", "of no use"]);
    fs::remove_dir(beside(&component)).unwrap();

    // On trial: unsigned is let in, broken is not.
    site.server.push_str("signed = \"optional\"\n");
    told(&site.check(), 0, &[]);
    sign(&other, &component, "maildir 1.1");
    told(&site.check(), 0, &[]);
    sign(&vendor, &component, "maildir 1.1");
    told(&site.check(), 0, &[]);
    fs::write(&component, built_in("maildir")).unwrap();
    refused(&site, &["[plugin.mail]", "does not fit"]);
}

#[test]
fn each_tenant_trusts_its_own() {
    let (mut site, component) = store_in_a_file();
    let (acme, zeta) = (key(), key());
    let tenant = |domain: &str, key: &KeyPair| {
        format!(
            "domains = [{domain:?}]\nauthenticators = [\"users\"]\nstore = \"mail\"\nsignature-keys = [{:?}]\n",
            public(key)
        )
    };
    site.tenants[0].lines = tenant("acme.example", &acme);
    sign(&acme, &component, "acme's own");
    told(&site.check(), 0, &[]);
    site.tenants.push(restante_tests::Tenant {
        name: "zeta".to_owned(),
        lines: tenant("zeta.example", &zeta),
    });
    let finished = site.check();
    told(
        &finished,
        1,
        &["[tenant.zeta]", "`mail`", "does not count here"],
    );
    assert!(!finished.stderr.contains("[tenant.test]"), "{finished:#?}");
    // A key of the plugin's own stands instead of theirs.
    let own = format!("[plugin.mail]\nsignature-keys = [{:?}]\n", public(&acme));
    let config = site.config().replacen("[plugin.mail]\n", &own, 1);
    let config = site.write_config(&config);
    told(
        &restante(&["check", "--config", config.to_str().unwrap()]),
        0,
        &[],
    );
}

#[test]
fn keys_that_are_none() {
    let (mut site, _) = store_in_a_file();
    site.server = "signature-keys = [\"/etc/minisign.pub\"]\n".to_owned();
    refused(
        &site,
        &["restante.toml:", "signature-keys", "56 characters"],
    );
    site.server = "signed = \"required\"\n".to_owned();
    refused(
        &site,
        &[
            "restante.toml:",
            "[plugin.mail]",
            "nobody's signature counts",
        ],
    );
    site.server = "signed = \"yes\"\n".to_owned();
    refused(&site, &["restante.toml:", "required", "optional"]);
}

#[test]
fn reload_to_a_changed_component_changes_nothing() {
    let (mut site, component) = store_in_a_file();
    let vendor = key();
    site.server = format!("signature-keys = [{:?}]\n", public(&vendor));
    sign(&vendor, &component, "maildir 1.0");
    let server = site.start();
    let mut client = login(&server);
    fs::write(&component, built_in("rules")).unwrap();
    assert!(server.reload().contains("nothing reloaded"));
    server.logged(&["ERROR", "[plugin.mail]", "does not fit"]);
    assert_eq!(client.retr(1), MESSAGE);
    client.quit();
    login(&server).quit();
    fs::write(&component, built_in("maildir")).unwrap();
    assert!(!server.reload().contains("nothing reloaded"));
    server.stop();
}

// ---- imports

#[test]
fn files_without_a_grant_are_warned_of() {
    let (mut site, _) = store_in_a_file();
    told(&site.check(), 0, &[]);
    assert!(!site.check().stderr.contains("no directory is granted"));
    site.plugins[1].grants.clear();
    told(
        &site.check(),
        0,
        &["restante.toml:", "[plugin.mail]", "no directory is granted"],
    );
}

// ---- looking at a component

#[test]
fn inspect_shows_what_a_component_is() {
    let (_site, component) = store_in_a_file();
    let vendor = key();
    sign(&vendor, &component, "maildir 1.0");
    let path = component.to_str().unwrap();
    let shown = restante(&["plugin", "inspect", path, "--key", &public(&vendor)]);
    told(&shown, 0, &[]);
    let octets = built_in("maildir").len();
    for words in [
        &format!("{octets} octets") as &str,
        "store",
        "restante:plugin 0.1.1",
        "it fits: \"maildir 1.0\"",
        "restante:plugin/files@0.1.1",
        "`maildrop`",
        "Rust",
        "settings\n  create ",
    ] {
        assert!(shown.stdout.contains(words), "no {words:?} in {shown:#?}");
    }
    let digest = run_to_end(Command::new("sha256sum").arg(&component)).stdout;
    let digest = digest.split_whitespace().next().unwrap();
    let json = restante(&["plugin", "inspect", path, "--json"]).stdout;
    for words in [
        format!("\"sha256\": \"{digest}\""),
        format!("\"octets\": {octets}"),
        "\"roles\": [".to_owned(),
        "\"verified\": null".to_owned(),
        "\"problems\": []".to_owned(),
    ] {
        assert!(json.contains(&words), "no {words:?} in {json}");
    }
    let built_in = restante(&["plugin", "inspect", "builtin:rules"]);
    told(&built_in, 0, &[]);
    assert!(built_in.stdout.contains("filter"), "{built_in:#?}");
    // Not the vendor's: said, and exit code 1.
    let strange = restante(&["plugin", "inspect", path, "--key", &public(&key())]);
    told(&strange, 1, &["no signature by any of the given keys"]);
}

#[test]
fn inspect_says_why_something_is_no_component() {
    let folder = tempfile::tempdir().unwrap();
    let (site, _) = store_in_a_file();
    // Something that was compiled natively.
    told(&site.check(), 0, &[]);
    let native = fs::read_dir(site.state.join("components"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "cwasm"))
        .unwrap();
    let text = |text: &str| wat::parse_str(text).unwrap();
    let exporting = |name: &str| {
        text(&format!(
            "(component (instance $i) (export {name:?} (instance $i)))"
        ))
    };
    let importing = text(
        "(component
           (import \"restante:plugin/files@0.3.0\" (instance (export \"scan\" (func))))
           (instance $i) (export \"restante:plugin/store@0.1.0\" (instance $i)))",
    );
    for (octets, words) in [
        (
            text("(module)"),
            &["core WebAssembly module", "wasm-tools component new"][..],
        ),
        (fs::read(native).unwrap(), &["precompiled"]),
        (b"#!/bin/sh\n".to_vec(), &["not a WebAssembly component"]),
        (text("(component)"), &["exports no role"]),
        (
            exporting("restante:plugin/store@0.2.0"),
            &["store@0.2.0", "0.1.1", "too new"],
        ),
        (
            exporting("restante:plugin/store@0.0.3"),
            &["store@0.0.3", "0.1.1", "too old"],
        ),
        (importing, &["files@0.3.0", "0.1.1", "too new"]),
    ] {
        let file = folder.path().join("it");
        fs::write(&file, octets).unwrap();
        told(
            &restante(&["plugin", "inspect", file.to_str().unwrap()]),
            1,
            words,
        );
    }
    let nowhere = folder.path().join("nowhere.wasm");
    told(
        &restante(&["plugin", "inspect", nowhere.to_str().unwrap()]),
        1,
        &["nowhere.wasm"],
    );
}

#[test]
fn diff_shows_what_a_new_version_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, imports: &str, exports: &str| {
        let path = folder.path().join(name);
        let text = format!("(component {imports} (instance $i) {exports})");
        fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        path.display().to_string()
    };
    let files = |functions: &str| {
        format!("(import \"restante:plugin/files@0.1.0\" (instance {functions}))")
    };
    let scan = "(export \"scan\" (func))";
    let store = "(export \"restante:plugin/store@0.1.0\" (instance $i))";
    let filter = "(export \"restante:plugin/filter@0.1.0\" (instance $i))";
    let sockets = "(import \"wasi:sockets/tcp-create-socket@0.2.0\" (instance (export \"create-tcp-socket\" (func))))";
    let old = write("old.wasm", &files(scan), &format!("{store} {filter}"));
    let new = write(
        "new.wasm",
        &format!(
            "{} {sockets}",
            files(&format!("{scan} (export \"read\" (func))"))
        ),
        store,
    );
    let shown = restante(&["plugin", "diff", &old, &new]);
    told(&shown, 0, &[]);
    for words in [
        "+ restante:plugin/files@0.1.0 read\n",
        "+ wasi:sockets/tcp-create-socket@0.2.0 create-tcp-socket\n",
        "+ TCP connections, to the places of the grant `connect`",
        "- restante:plugin/filter@0.1.0\n",
    ] {
        assert!(shown.stdout.contains(words), "no {words:?} in {shown:#?}");
    }
    assert!(!shown.stdout.contains("files@0.1.0 scan"), "{shown:#?}");
    let json = restante(&["plugin", "diff", "--json", &new, &old]).stdout;
    assert!(json.contains("\"restante:plugin/filter@0.1.0\""), "{json}");
    let same = restante(&["plugin", "diff", &new, &new]);
    assert!(same.stdout.contains("the same component"), "{same:#?}");
}

// ---- compile bombs

/// A component of core functions alone; `body` writes what is in each.
fn functions(count: u32, locals: u32, body: impl Fn(&mut InstructionSink<'_>)) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    let mut function = Function::new([(locals, ValType::I64)]);
    body(&mut function.instructions());
    function.instructions().end();
    for _ in 0..count {
        declared.function(0);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    component.finish()
}

/// As many functions as a module may have, each with something to compile.
fn many_functions() -> Vec<u8> {
    functions(900_000, 4, |body| {
        for local in 0..4 {
            body.local_get(local)
                .i64_const(3)
                .i64_mul()
                .local_set(3 - local);
        }
    })
}

/// One function as large as one may be: branches in a loop, each of which
/// brings together many locals.
fn one_huge_function() -> Vec<u8> {
    const LOCALS: u32 = 1000;
    functions(1, LOCALS, |body| {
        for round in 0..400_000 {
            let local = round % LOCALS;
            body.loop_(BlockType::Empty)
                .local_get(local)
                .i64_const(1)
                .i64_add()
                .local_tee((local * 7 + 1) % LOCALS)
                .i64_eqz()
                .br_if(0)
                .end();
        }
    })
}

#[test]
fn compile_bombs_are_refused_and_nobody_notices() {
    let mut site = Site::new();
    site.user("ada", "x");
    site.maildir("ada").deliver(b"Subject: hello\n\nbody\n");
    site.limits = "compile-time = \"2s\"\n".to_owned();
    let server = site.start();
    let mut client = login(&server);
    for (name, bomb) in [("many", many_functions()), ("huge", one_huge_function())] {
        let file = site.path().join(format!("{name}.wasm"));
        fs::write(&file, bomb).unwrap();
        let mut bombed = site.config();
        bombed.push_str(&format!("\n[plugin.{name}]\ncomponent = {file:?}\n"));
        site.write_config(&bombed);
        let resident = server.resident();
        let before = Instant::now();
        let longest = std::thread::scope(|scope| {
            let reload = scope.spawn(|| server.reload());
            let mut longest = Duration::ZERO;
            while !reload.is_finished() {
                let asked = Instant::now();
                assert_eq!(client.retr(1), MESSAGE);
                longest = longest.max(asked.elapsed());
            }
            assert!(reload.join().unwrap().contains("nothing reloaded"));
            longest
        });
        let took = before.elapsed();
        server.logged(&[
            "ERROR",
            &format!("[plugin.{name}]"),
            "CPU time",
            "compile-time",
        ]);
        assert!(took < Duration::from_secs(60), "{name}: {took:?}");
        assert!(
            longest < Duration::from_secs(2),
            "{name}: RETR took {longest:?}"
        );
        // The component itself is all that was in this process.
        let grown = server.resident().saturating_sub(resident);
        assert!(grown < 128 * 1024, "{name}: {grown} KiB more");
        eprintln!("{name}: {took:?}, longest RETR {longest:?}, {grown} KiB more");
    }
    client.quit();
    login(&server).quit();
    server.stop();
}

#[test]
fn compilation_that_eats_memory_is_refused() {
    let mut site = Site::new();
    let file = site.path().join("huge.wasm");
    fs::write(&file, one_huge_function()).unwrap();
    site.plugins
        .push(Plugin::new("huge", file.display().to_string()));
    site.limits = "compile-memory = \"256MiB\"\n".to_owned();
    refused(
        &site,
        &["[plugin.huge]", "256 MiB of memory", "compile-memory"],
    );
}

/// What is in the way of a component that takes over its compiler: root's rights, other
/// users' memory, files, the network, system calls. That each of them is really denied is
/// shown beside `host/wasm/src/component/confinement.rs`; this is about the program that is shipped.
#[test]
fn compiler_has_given_up_what_it_does_not_need() {
    let mut compiler = Command::new(binary())
        .args(["compile-component", "10", "1073741824"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", compiler.id());
    // It waits for a component; the second thread is the one that watches the clock.
    let found = wait_for("the compiler", || {
        let status = fs::read_to_string(&status).unwrap();
        status.contains("\nThreads:\t2\n").then_some(status)
    });
    let owner = fs::metadata(&status).unwrap().uid();
    drop(compiler.stdin.take());
    let output = compiler.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let value = |name: &str| {
        let lines = found.lines().filter_map(|line| line.split_once(":\t"));
        let mut values = lines.filter_map(|(key, value)| (key == name).then_some(value.trim()));
        values.next().unwrap_or_default().to_owned()
    };
    assert_eq!(value("NoNewPrivs"), "1", "{found}");
    assert_eq!(value("CapPrm"), "0".repeat(16), "{found}");
    // Nobody but root may look into its memory.
    assert_eq!(owner, 0);
    let missing = said.lines().find(|line| line.starts_with("not confined: "));
    if let Some(missing) = missing {
        eprintln!("on this machine {missing}");
    }
    let is_missing = |what| missing.is_some_and(|missing| missing.contains(what));
    if !is_missing("system calls") {
        assert_eq!(value("Seccomp"), "2", "{found}");
    }
    if fs::metadata("/proc/self").unwrap().uid() == 0 && !is_missing("stays root") {
        assert_eq!(value("Uid"), ["65534"; 4].join("\t"), "{found}");
        assert_eq!(value("Gid"), ["65534"; 4].join("\t"), "{found}");
        assert_eq!(value("Groups"), "", "{found}");
    }
}

#[test]
fn compiler_is_a_process_that_is_held_to_its_limits() {
    let (mut site, _) = store_in_a_file();
    // Nothing kept from other tests.
    site.state = site.path().join("state");
    site.start().stop();
    let kept = fs::read_dir(site.state.join("components")).unwrap().count();
    assert!(kept > 0, "nothing was kept");
    // By hand: no component, no code.
    let finished = run_to_end(
        Command::new(binary())
            .args(["compile-component", "10", "1073741824"])
            .stdin(fs::File::open(site.path().join("restante.toml")).unwrap()),
    );
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""));
    let help = restante(&["--help"]);
    assert!(!help.stdout.contains("compile-component"), "{help:#?}");
}
