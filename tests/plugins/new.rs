//! `restante plugin new`: for each language, what its page and the projects' README.md
//! say is done, line by line, from nothing to a login through curl.
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{Process, Tool, binary, repository, require, wait_for};

/// From nothing to a login, at most. A line of its own has as long.
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// Where the pages' configuration listens.
const PORT: &str = "127.0.0.1:1110";

const ROLES: [&str; 4] = ["authenticator", "store", "filter", "admission"];

const CURL: Tool = Tool {
    name: "curl with POP3",
    probe: &["sh", "-c", "curl --version | grep -q pop3"],
    packages: &["curl"],
};
const PYTHON: Tool = Tool {
    name: "python3 with venv",
    probe: &["python3", "-c", "import ensurepip, venv"],
    packages: &["python3", "python3-venv"],
};
const NODE: Tool = Tool {
    name: "Node.js with npm",
    probe: &["sh", "-c", "node --version && npm --version"],
    packages: &["nodejs", "npm"],
};

#[test]
fn rust() {
    if require("rust", &[&CURL]) {
        Workshop::new("rust").page().projects(&ROLES[1..], true);
    }
}

#[test]
fn python() {
    if !require("python", &[&CURL, &PYTHON]) {
        return;
    }
    let workshop = Workshop::new("python").page();
    workshop.projects(&ROLES[1..], false);
    let tests = repository().join("guest-sdk/python/tests/test_restante_guest.py");
    let line = format!("PYTHONPATH=bindings:. .venv/bin/python {}", tests.display());
    workshop.run(&workshop.folder.join("my-store"), &line);
}

#[test]
fn javascript() {
    if !require("javascript", &[&CURL, &NODE]) {
        return;
    }
    let workshop = Workshop::new("javascript").page();
    workshop.projects(&ROLES[1..], true);
    let tests = repository().join("guest-sdk/javascript/tests/restante-guest.test.mjs");
    workshop.run(
        &workshop.folder,
        &format!("node --test {}", tests.display()),
    );
}

#[test]
fn typescript() {
    if require("typescript", &[&CURL, &NODE]) {
        let workshop = Workshop::new("typescript");
        workshop.projects(&ROLES[..1], true);
        workshop.projects(&ROLES[1..], false);
    }
}

#[test]
fn what_is_there_stays() {
    let workshop = Workshop::new("nothing");
    let new = "restante plugin new mine --role filter --lang python";
    workshop.run(&workshop.folder, new);
    let before = fs::read(workshop.folder.join("mine/plugin.py")).unwrap();
    fs::write(workshop.folder.join("mine/plugin.py"), "mine").unwrap();
    let (done, said) = workshop.try_to(&workshop.folder, new);
    assert!(!done && said.contains("nothing was written"), "{said}");
    assert_eq!(
        fs::read(workshop.folder.join("mine/plugin.py")).unwrap(),
        b"mine"
    );
    workshop.run(&workshop.folder, &format!("{new} --dir elsewhere/deep"));
    let elsewhere = workshop.folder.join("elsewhere/deep/plugin.py");
    assert_eq!(fs::read(elsewhere).unwrap(), before);
}

/// Where the projects of one language are made, anew in each run. What its tools
/// download or compile is kept beside, and shared.
struct Workshop {
    lang: &'static str,
    folder: PathBuf,
    shared: PathBuf,
}

impl Workshop {
    fn new(lang: &'static str) -> Workshop {
        let all = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("plugin-new");
        let (folder, shared) = (all.join(lang), all.join("shared"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&shared).unwrap();
        Workshop {
            lang,
            folder,
            shared,
        }
    }

    /// Does what docs/plugins/LANG.md says. Its commands are those of the project's
    /// README.md, behind the one that makes it.
    fn page(self) -> Workshop {
        let path = format!("docs/plugins/{}.md", self.lang);
        let page = fs::read_to_string(repository().join(&path)).unwrap();
        let lines = commands(&page);
        let [new, cd, rest @ ..] = &lines[..] else {
            panic!("{path} begins otherwise: {lines:?}");
        };
        self.run(&self.folder, new);
        let project = self.folder.join(cd.strip_prefix("cd ").unwrap());
        let readme = fs::read_to_string(project.join("README.md")).unwrap();
        assert_eq!(
            commands(&readme),
            rest,
            "{path} and its project's README.md"
        );
        self.follow(&project, &readme, true);
        self
    }

    /// Makes a project for each of these roles, and does what its README.md says; up
    /// to its configuration where it is not to be served.
    fn projects(&self, roles: &[&str], serve: bool) {
        for role in roles {
            let name = format!("my-{role}");
            let new = format!(
                "restante plugin new {name} --role {role} --lang {}",
                self.lang
            );
            self.run(&self.folder, &new);
            let project = self.folder.join(name);
            let readme = fs::read_to_string(project.join("README.md")).unwrap();
            self.follow(&project, &readme, serve);
        }
    }

    fn follow(&self, project: &Path, readme: &str, serve: bool) {
        let begun = Instant::now();
        self.share(project);
        let configuration = fs::read_to_string(project.join("restante.toml")).unwrap();
        assert_eq!(
            block(readme, "```toml"),
            configuration.lines().collect::<Vec<_>>()
        );
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let address = address.to_string();
        let moved = configuration.replace(PORT, &address);
        fs::write(project.join("restante.toml"), moved).unwrap();

        let mut server = None;
        let mut mail = String::new();
        for line in commands(readme) {
            if line.starts_with("restante check") && !serve {
                break;
            } else if line.starts_with("restante serve") {
                server = Some(self.serve(project, line, &address));
            } else if line.starts_with("rustup ") {
                // Seen to by `cargo xtask test`, which has other ways where rustup
                // cannot download.
            } else {
                let said = self.run(project, &line.replace(PORT, &address));
                if line.starts_with("curl ") {
                    mail.push_str(&said);
                }
            }
        }
        if serve {
            assert!(mail.contains("Subject: "), "{mail:?}");
            let noted = mail.contains("X-Notice: this may be spam");
            assert_eq!(noted, project.ends_with("my-filter"), "{mail:?}");
        }
        drop(server);
        let what = project.strip_prefix(&self.folder).unwrap().display();
        let seconds = begun.elapsed().as_secs();
        // Written past the capture of the test runner: how long it takes is a promise.
        let _ = writeln!(
            std::io::stderr(),
            "plugin new, {}: {what} in {seconds} s",
            self.lang
        );
        assert!(begun.elapsed() < TEN_MINUTES, "{what} took {seconds} s");
    }

    /// Lets the projects in Rust build what they have in common once. Other tools take
    /// no folder but their own, and have their caches.
    fn share(&self, project: &Path) {
        if self.lang == "rust" {
            let target = self.shared.join("target");
            fs::create_dir_all(&target).unwrap();
            std::os::unix::fs::symlink(target, project.join("target")).unwrap();
        }
    }

    /// A line as a shell would run it, in a folder.
    fn command(&self, folder: &Path, line: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let here = binary().parent().unwrap().to_owned();
        let path = std::iter::once(here).chain(std::env::split_paths(&path));
        let mut command = Command::new("sh");
        command
            .current_dir(folder)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("XDG_CACHE_HOME", self.shared.join("cache"))
            .env("npm_config_cache", self.shared.join("npm"))
            .env("npm_config_prefer_offline", "true")
            .env("PIP_CACHE_DIR", self.shared.join("pip"))
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::null());
        let mut line = line.to_owned();
        if line.starts_with("cargo ") && line.contains("wasm32-wasip2") {
            let given = |name: &str| std::env::var(name).unwrap_or_default();
            for pair in given("RESTANTE_WASM_ENV").lines() {
                let (name, value) = pair.split_once('=').unwrap();
                command.env(name, value);
            }
            for argument in given("RESTANTE_WASM_ARGS").lines() {
                line.push(' ');
                line.push_str(argument);
            }
        }
        command.arg("-c").arg(line);
        command
    }

    /// Runs a line that has to succeed. What it wrote.
    fn run(&self, folder: &Path, line: &str) -> String {
        let (done, said) = self.try_to(folder, line);
        assert!(done, "{}: {line}\n{said}", folder.display());
        said
    }

    fn try_to(&self, folder: &Path, line: &str) -> (bool, String) {
        let output = self.folder.join("output");
        let file = File::create(&output).unwrap();
        let mut child = self
            .command(folder, line)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > TEN_MINUTES {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            thread::sleep(Duration::from_millis(20));
        };
        let said = String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
        (status.success(), said)
    }

    fn serve(&self, project: &Path, line: &str, address: &str) -> Process {
        // The shell makes way: the process that is ended is the server.
        let mut command = self.command(project, &format!("exec {line}"));
        let mut server = Process::start(&mut command, &self.folder.join("server"));
        wait_for("the server to listen", || {
            assert!(server.is_running(), "{line}: {}", server.stderr());
            TcpStream::connect(address).ok()
        });
        server
    }
}

/// The lines of a page's `sh` blocks.
fn commands(page: &str) -> Vec<&str> {
    block(page, "```sh")
}

fn block<'a>(page: &'a str, fence: &str) -> Vec<&'a str> {
    let mut inside = false;
    let wanted = page.lines().filter(|line| {
        if line.starts_with("```") {
            inside = *line == fence;
            return false;
        }
        inside
    });
    wanted.collect()
}
