//! Servers of others that speak S3's API, in processes of their own. What the API leaves open
//! each does in its own way, and other than a stub they were not made with our client in mind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bucket::Bucket;
use crate::certificate::Certificate;
use crate::object_store::CREDENTIALS;
use crate::tools::skip;
use crate::wait_for;

/// Runs the server until its input ends, however the process ends that holds the other end of
/// it; then removes the folder.
const SUPERVISOR: &str = r#"
    folder=$1; shift
    exec 3<&0
    "$@" </dev/null 3<&- &
    cat <&3 >/dev/null
    # Nobody reads what it has again.
    kill -KILL $! 2>/dev/null
    wait $! 2>/dev/null
    rm -rf "$folder"
"#;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Kind {
    /// s3s-fs, which checks signatures (version 4). Its names of objects are short: it makes a
    /// file name of a whole key.
    S3sFs,
    /// s3rver, which takes any signature by a key that it knows.
    S3rver,
    /// s3rver under TLS.
    S3rverTls,
}

impl S3Kind {
    fn name(self) -> &'static str {
        match self {
            S3Kind::S3sFs => "s3s-fs",
            S3Kind::S3rver | S3Kind::S3rverTls => "s3rver",
        }
    }

    /// What names its program; `cargo xtask test` sets it.
    fn variable(self) -> &'static str {
        match self {
            S3Kind::S3sFs => "RESTANTE_S3S_FS",
            S3Kind::S3rver | S3Kind::S3rverTls => "RESTANTE_S3RVER",
        }
    }

    fn credentials(self) -> &'static str {
        match self {
            S3Kind::S3sFs => CREDENTIALS,
            // It has no other key.
            S3Kind::S3rver | S3Kind::S3rverTls => {
                "aws_access_key_id = S3RVER\naws_secret_access_key = S3RVER\n"
            }
        }
    }

    /// Its program, or none when the test has to be skipped.
    fn program(self, test: &str) -> Option<PathBuf> {
        let program = std::env::var_os(self.variable()).map(PathBuf::from);
        let program = program.filter(|program| program.is_file());
        if program.is_none() {
            skip(&format!(
                "{test} needs {}, which `cargo xtask test` installs and names in {}, or says why \
                 it cannot",
                self.name(),
                self.variable()
            ));
        }
        program
    }

    /// A command that serves a folder on a port that the system chooses.
    fn command(self, program: &Path, data: &Path, certificate: Option<&Certificate>) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SUPERVISOR, "supervisor"]);
        command.arg(data.parent().unwrap()).arg(program);
        match self {
            S3Kind::S3sFs => {
                command.args(["--host", "127.0.0.1", "--port", "0"]);
                command.args(["--access-key", "KEY", "--secret-key", "hidden"]);
                // Else it does not say where it listens.
                command.arg(data).env("RUST_LOG", "s3s_fs=info");
            }
            S3Kind::S3rver | S3Kind::S3rverTls => {
                command.args(["--address", "127.0.0.1", "--port", "0", "--silent"]);
                command
                    .args(["--no-vhost-buckets", "--directory"])
                    .arg(data);
            }
        }
        if let Some(certificate) = certificate {
            command.arg("--cert").arg(&certificate.certificate);
            command.arg("--key").arg(&certificate.key);
        }
        command
    }
}

/// A running server with a bucket; it ends when this is dropped, or the process ends.
#[derive(Debug)]
pub struct S3Server {
    kind: S3Kind,
    data: PathBuf,
    endpoint: String,
    authority: Option<PathBuf>,
    prefixes: AtomicU32,
    supervisor: Child,
}

impl S3Server {
    /// Whether its program is there; otherwise the test has to be skipped.
    pub fn is_there(kind: S3Kind, test: &str) -> bool {
        kind.program(test).is_some()
    }

    /// The server of this kind that the tests of this process share, or none when the test has
    /// to be skipped.
    pub fn shared(kind: S3Kind, test: &str) -> Option<&'static S3Server> {
        static S3S_FS: OnceLock<S3Server> = OnceLock::new();
        static S3RVER: OnceLock<S3Server> = OnceLock::new();
        static S3RVER_TLS: OnceLock<S3Server> = OnceLock::new();
        let shared = match kind {
            S3Kind::S3sFs => &S3S_FS,
            S3Kind::S3rver => &S3RVER,
            S3Kind::S3rverTls => &S3RVER_TLS,
        };
        let program = kind.program(test)?;
        Some(shared.get_or_init(|| S3Server::new(kind, &program)))
    }

    fn new(kind: S3Kind, program: &Path) -> S3Server {
        let folder = tempfile::tempdir().unwrap().keep();
        let data = folder.join("data");
        // A folder there is a bucket to all of them.
        fs::create_dir_all(data.join(Bucket::NAME)).unwrap();
        let has_tls = kind == S3Kind::S3rverTls;
        let certificate = has_tls.then(|| Certificate::create(&folder.join("tls")));
        let output = folder.join("output");
        let file = File::create(&output).unwrap();
        let supervisor = kind
            .command(program, &data, certificate.as_ref())
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let what = format!(
            "{} to listen: {} has its output",
            kind.name(),
            output.display()
        );
        let address = wait_for(&what, || address(&fs::read_to_string(&output).unwrap()));
        let scheme = if has_tls { "https" } else { "http" };
        S3Server {
            kind,
            data,
            endpoint: format!("{scheme}://{address}"),
            authority: certificate.map(|certificate| certificate.authority),
            prefixes: AtomicU32::new(0),
            supervisor,
        }
    }

    /// Its bucket, with a prefix that no other caller has.
    pub fn bucket(&self) -> Bucket {
        let number = self.prefixes.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("mail{number}/");
        if self.kind != S3Kind::S3sFs {
            // s3rver removes folders that are empty by now, and answers 500 to one of two
            // requests that do so at the same time. This one never is.
            let folder = self.data.join(Bucket::NAME).join(&prefix);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("keep"), "").unwrap();
        }
        Bucket {
            endpoint: self.endpoint.clone(),
            credentials: self.kind.credentials(),
            prefix,
            authority: self.authority.clone(),
        }
    }

    /// How many objects have the prefix, by what is on its disk.
    pub fn objects(&self, prefix: &str) -> usize {
        // s3rver has three files for each.
        let suffix = match self.kind {
            S3Kind::S3sFs => "",
            S3Kind::S3rver | S3Kind::S3rverTls => "._S3rver_object",
        };
        files(&self.data.join(Bucket::NAME).join(prefix), suffix)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// Where it says that it listens, once all of the line is there.
fn address(output: &str) -> Option<String> {
    let (_, rest) = output.split_once("127.0.0.1:")?;
    let (port, _) = rest.split_once('\n')?;
    let port: u16 = port.trim().parse().ok()?;
    Some(format!("127.0.0.1:{port}"))
}

/// Files below a folder whose names end so. What goes meanwhile does not count.
fn files(folder: &Path, suffix: &str) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let below = entries.flatten().map(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, suffix),
            false => usize::from(entry.file_name().to_string_lossy().ends_with(suffix)),
        }
    });
    below.sum()
}
