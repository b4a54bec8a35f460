//! `plugin dev`: what is built is served, what does not build changes nothing, and
//! Ctrl-C ends all of it. The project's Makefile copies components that are built
//! already: which tools build is not the matter here.
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use restante_tests::{Pop3, Process, binary, run_to_end, test_guest, wait_for};

const MAKEFILE: &str = "plugin.wasm: source\n\tcp source plugin.wasm\n";

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Project {
        let project = Project {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(project.path()).unwrap();
        project.write("Makefile", MAKEFILE);
        project.guest("one-user");
        project
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn guest(&self, name: &str) {
        fs::copy(test_guest(name), self.path().join("source")).unwrap();
    }

    fn develop(&self, arguments: &[&str]) -> Process {
        Process::start(
            Command::new(binary())
                .args(["plugin", "dev"])
                .arg(self.path())
                .args(arguments)
                .env_remove("RUST_LOG"),
            &self.folder.path().join("dev"),
        )
    }
}

const DEMO: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--settings",
    "user=ada",
    "--settings",
    "hash={PLAIN}x",
];

fn said(process: &Process, words: &str) {
    wait_for(words, || process.stderr().contains(words).then_some(()));
}

/// Where it speaks POP3, once it says so.
fn address(process: &Process) -> SocketAddr {
    wait_for("the address", || {
        let text = process.stdout();
        let line = text.lines().find(|line| line.trim().starts_with("POP3 "))?;
        line.split_whitespace().nth(1)?.parse().ok()
    })
}

fn logs_in(at: SocketAddr, user: &str, password: &str) -> bool {
    let mut client = Pop3::connect(at);
    client.authenticate(user, password).ok
}

fn is_there(pid: &str) -> bool {
    Path::new("/proc").join(pid).join("exe").read_link().is_ok()
}

#[test]
fn what_is_built_is_served_and_what_does_not_build_changes_nothing() {
    let project = Project::new();
    let mut dev = project.develop(&DEMO);
    let at = address(&dev);
    assert!(dev.stdout().contains("curl -u"), "{}", dev.stdout());
    said(&dev, "In place of the demo's own: authenticator");
    assert!(logs_in(at, "ada", "x"));
    assert!(!logs_in(at, "bob", "x"));
    // The build fails.
    project.write("Makefile", "all:\n\t@echo this is wrong >&2; exit 3\n");
    said(&dev, "this is wrong");
    said(&dev, "make failed");
    said(&dev, "The previous build stays in service.");
    assert!(logs_in(at, "ada", "x"));
    // What is built is no component.
    project.write("source", "no component");
    project.write("Makefile", MAKEFILE);
    said(&dev, "the build left no component");
    assert!(logs_in(at, "ada", "x"));
    // Another one: it lets anybody in.
    project.guest("hostile");
    said(&dev, "built and loaded");
    assert!(logs_in(at, "bob", "x"));
    dev.interrupt();
    assert_eq!(dev.ended().code(), Some(0));
}

#[test]
fn a_trap_is_told_line_by_line() {
    let project = Project::new();
    project.guest("hostile");
    let mut arguments = DEMO[..2].to_vec();
    arguments.extend([
        "--settings",
        "misdeed=trap",
        "--settings",
        "at=authenticate",
    ]);
    let dev = project.develop(&arguments);
    let at = address(&dev);
    assert!(!logs_in(at, "ada", "x"));
    said(&dev, "own FAILED in authenticator.authenticate: ");
    said(&dev, "\n    said  ");
    said(&dev, "\n    in    ");
}

#[test]
fn the_projects_own_configuration_is_served() {
    let project = Project::new();
    project.write(
        "restante.toml",
        "[listener.pop3]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\
         [server]\nhostname = \"localhost\"\nstate-dir = \"state\"\n\
         [plugin.users]\ncomponent = \"plugin.wasm\"\n\
         [plugin.users.settings]\nuser = \"ada\"\nhash = \"{PLAIN}x\"\n\
         [plugin.mail]\ncomponent = \"builtin:maildir\"\n\
         [plugin.mail.settings]\ncreate = \"true\"\n\
         [plugin.mail.grants]\nmaildrop = \"mail/{user}\"\nmissing-maildrop = \"empty\"\n\
         [tenant.everybody]\nauthenticators = [\"users\"]\nstore = \"mail\"\n",
    );
    project.write(
        "README.md",
        "```sh\ncurl --user ada:x pop3://127.0.0.1:1110/1\n```\n",
    );
    fs::create_dir(project.path().join("mail")).unwrap();
    let mut dev = project.develop(&[]);
    let at = wait_for("the address", || {
        let text = dev.stdout();
        let rest = text.split("POP3 at ").nth(1)?;
        rest.split(". ").next()?.parse().ok()
    });
    assert!(
        dev.stdout().contains("curl --user ada:x"),
        "{}",
        dev.stdout()
    );
    assert!(logs_in(at, "ada", "x"));
    dev.interrupt();
    assert_eq!(dev.ended().code(), Some(0));
}

#[test]
fn ctrl_c_ends_a_build_and_all_that_it_started() {
    let project = Project::new();
    project.write(
        "Makefile",
        "plugin.wasm:\n\techo $$$$ > pid.d; sleep 600 & echo $$! > child.d; wait\n",
    );
    let mut dev = project.develop(&DEMO);
    let pid = |name: &str| {
        wait_for(name, || {
            let text = fs::read_to_string(project.path().join(name)).ok()?;
            (!text.trim().is_empty()).then(|| text.trim().to_owned())
        })
    };
    let (shell, sleeper) = (pid("pid.d"), pid("child.d"));
    assert!(is_there(&shell) && is_there(&sleeper));
    dev.interrupt();
    assert_eq!(dev.ended().code(), Some(0));
    wait_for("the build to end", || {
        (!is_there(&shell) && !is_there(&sleeper)).then_some(())
    });
}

#[test]
fn what_is_no_project_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (path, words) in [
        (folder.path().to_owned(), "no Cargo.toml, package.json"),
        (folder.path().join("missing"), "missing"),
    ] {
        let finished = run_to_end(Command::new(binary()).args(["plugin", "dev"]).arg(path));
        assert_eq!(finished.code, Some(1), "{finished:#?}");
        assert!(finished.stderr.contains(words), "{finished:#?}");
    }
}
