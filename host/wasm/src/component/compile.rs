//! Compilation in a process of its own.
//!
//! A compiler cannot be stopped half way, and what it is fed may be made to keep
//! it busy, to eat memory or to crash it. So the server runs itself once more,
//! as a compiler that the system holds to CPU time and memory, which has given up
//! all that compiling does not need (confinement.rs), and whose end harms nobody:
//! the component goes in at its stdin, machine code comes out at its stdout.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tracing::info;
use wasmtime::Engine;

use crate::component::confinement::{self, ProcessUser};
use crate::component::engine;
use crate::component::{MAX_COMPONENT_BYTES, chain};

/// The command of `restante` that is the compiler; not for people.
pub const COMMAND: &str = "compile-component";

/// Octets of machine code: four times those of the largest component.
pub(crate) const MACHINE_CODE: u64 = 256 << 20;
/// Octets of what the compiler says when it fails.
const WORDS: u64 = 4096;
/// How many times its CPU time a compilation may take by the clock, before it
/// is given up: on a busy machine it waits for its turn.
const PATIENCE: u32 = 10;
/// The compiler's exit code when the clock ran out.
const OUT_OF_PATIENCE: u8 = 3;
/// In front of what the compiler could not give up: the first line that it says.
const NOT_CONFINED: &str = "not confined: ";
/// How much others go before it (nice(2)): sessions are served meanwhile.
const NICE: i32 = 10;

/// What one compilation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// CPU time, all threads together; at least a second.
    pub time: Duration,
    /// Octets of memory.
    pub memory: u64,
}

/// Who compiles.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// A program that has the command [`COMMAND`], within limits.
    Process {
        /// `restante` itself.
        program: PathBuf,
        /// For each component.
        limits: CompileLimits,
        /// Whom it becomes where the server is root; None: `nobody`.
        user: Option<ProcessUser>,
    },
    /// This process, without limits on time and memory.
    Here,
}

impl Compiler {
    /// The running program as the compiler; it must hand [`COMMAND`] over to
    /// [`serve`].
    ///
    /// # Errors
    /// The system does not say what program this is.
    pub fn this_program(limits: CompileLimits, user: Option<ProcessUser>) -> io::Result<Compiler> {
        // The link leads to the file that was started, also when an upgrade has
        // put another one in its place.
        let own = Path::new("/proc/self/exe");
        let program = match own.exists() {
            true => own.to_owned(),
            false => std::env::current_exe()?,
        };
        Ok(Compiler::Process {
            program,
            limits,
            user,
        })
    }
}

/// Why a component was not compiled.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The compiler refuses it.
    #[error("it is not a valid component: {0}")]
    Invalid(String),
    /// It used up its CPU time.
    #[error(
        "its compilation took more than {} s of CPU time (`compile-time`); if it is to be trusted with more, raise that", .0.as_secs()
    )]
    Time(Duration),
    /// It used up its memory.
    #[error(
        "its compilation took more than {} MiB of memory (`compile-memory`); if it is to be trusted with more, raise that", .0 >> 20
    )]
    Memory(u64),
    /// The code is larger than any component has use for.
    #[error("it compiles to more than {MACHINE_CODE} octets of machine code")]
    Code,
    /// It asked the system for what a compiler has no use for.
    #[error(
        "the system stopped the compiler for a system call that compiling has no use for (SIGSYS): do not use the component, or, if it is to be trusted, report this"
    )]
    Forbidden,
    /// The compiler died of it.
    #[error("the compiler failed ({end}){words}")]
    Crash {
        /// How it ended.
        end: ExitStatus,
        /// What it said, after a colon.
        words: String,
    },
    /// There is no compiler.
    #[error(
        "the compiler, which is restante run once more, cannot be started: {0}; let the system start it"
    )]
    Start(io::Error),
}

impl Compiler {
    /// Machine code for a component.
    pub(crate) fn compile(&self, engine: &Engine, octets: &[u8]) -> Result<Vec<u8>, CompileError> {
        match self {
            Compiler::Here => engine
                .precompile_component(octets)
                .map_err(|error| CompileError::Invalid(chain(&error))),
            Compiler::Process {
                program,
                limits,
                user,
            } => {
                let child = start(program, *limits, *user).map_err(CompileError::Start)?;
                let (end, code, words) = feed(child, octets).map_err(CompileError::Start)?;
                let words = String::from_utf8_lossy(&words);
                judge(end, code, after_confinement(&words).trim(), *limits)
            }
        }
    }
}

fn start(program: &Path, limits: CompileLimits, user: Option<ProcessUser>) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .arg(COMMAND)
        .arg(limits.time.as_secs().max(1).to_string())
        .arg(limits.memory.to_string());
    if let Some(ProcessUser { user, group }) = user {
        command.arg(format!("--user={user}"));
        command.arg(format!("--group={group}"));
    }
    // Nothing of the server's is the compiler's business.
    command.env_clear();
    // How many processors it may use is in files, and it opens none.
    if let Ok(processors) = thread::available_parallelism() {
        command.env("RAYON_NUM_THREADS", processors.to_string());
    }
    command
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Feeds the compiler and takes what it gives: how it ended, machine code, and
/// words. Neither is taken without end.
fn feed(mut child: Child, octets: &[u8]) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut code, mut words) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            if let Some(mut stdin) = stdin {
                // It may end before it has read all; its end says why.
                let _ = stdin.write_all(octets);
            }
        });
        scope.spawn(|| {
            if let Some(stderr) = stderr {
                let _ = stderr.take(WORDS).read_to_end(&mut words);
            }
        });
        if let Some(stdout) = stdout {
            // What is cut here is found out by its length or its end.
            let _ = stdout.take(MACHINE_CODE + 1).read_to_end(&mut code);
        }
        // Whoever has said all has nothing left to do; whoever has more to say
        // is not listened to. Its pipes are closed, so it ends.
        if code.len() as u64 > MACHINE_CODE {
            let _ = child.kill();
        }
    });
    Ok((child.wait()?, code, words))
}

/// What the compiler said after the line about its confinement. That line is for the log,
/// once: it is the same for each component.
fn after_confinement(words: &str) -> &str {
    static TOLD: Once = Once::new();
    let Some(rest) = words.strip_prefix(NOT_CONFINED) else {
        return words;
    };
    let (missing, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    TOLD.call_once(|| {
        info!(
            missing,
            "this system does not confine the compiler in every way"
        );
    });
    rest
}

fn judge(
    end: ExitStatus,
    code: Vec<u8>,
    words: &str,
    limits: CompileLimits,
) -> Result<Vec<u8>, CompileError> {
    /// SIGXCPU; SIGKILL is what the system sends a second later.
    const TIME_IS_UP: [i32; 2] = [
        rustix::process::Signal::XCPU.as_raw(),
        rustix::process::Signal::KILL.as_raw(),
    ];
    if code.len() as u64 > MACHINE_CODE {
        return Err(CompileError::Code);
    }
    match (end.code(), end.signal()) {
        (Some(0), _) => Ok(code),
        (Some(1), _) => Err(CompileError::Invalid(words.to_owned())),
        (Some(code), _) if code == i32::from(OUT_OF_PATIENCE) => {
            Err(CompileError::Time(limits.time))
        }
        (_, Some(signal)) if TIME_IS_UP.contains(&signal) => Err(CompileError::Time(limits.time)),
        (_, Some(signal)) if signal == rustix::process::Signal::SYS.as_raw() => {
            Err(CompileError::Forbidden)
        }
        // What the Rust runtime says before it aborts.
        _ if words.contains("memory allocation of") => Err(CompileError::Memory(limits.memory)),
        _ => Err(CompileError::Crash {
            end,
            words: match words {
                "" => String::new(),
                words => format!(": {}", words.lines().collect::<Vec<_>>().join(" ")),
            },
        }),
    }
}

/// The compiler's side: [`COMMAND`] with its arguments. Nothing else may run in this
/// process. Gives back the exit code.
pub fn serve(seconds: u64, memory: u64, user: Option<ProcessUser>) -> u8 {
    match confine(seconds, memory, user).and_then(|()| {
        let mut octets = Vec::new();
        io::stdin()
            .lock()
            .take(MAX_COMPONENT_BYTES)
            .read_to_end(&mut octets)?;
        Ok(octets)
    }) {
        Err(error) => {
            eprintln!("{error}");
            2
        }
        Ok(octets) => match compile(&octets) {
            Ok(code) if io::stdout().lock().write_all(&code).is_ok() => 0,
            Ok(_) => 2,
            Err(error) => {
                eprintln!("{}", chain(&error));
                1
            }
        },
    }
}

/// Holds this process to its limits and to what it needs; from here on the system does.
fn confine(seconds: u64, memory: u64, user: Option<ProcessUser>) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |current: u64, maximum: u64| Rlimit {
        current: Some(current),
        maximum: Some(maximum),
    };
    setrlimit(Resource::Cpu, limit(seconds, seconds.saturating_add(1)))?;
    // Memory that can be written to. Address space is reserved more freely, by
    // threads above all, and would depend on the number of processors.
    setrlimit(Resource::Data, limit(memory, memory))?;
    setrlimit(Resource::Core, limit(0, 0))?;
    // Not worth failing for.
    let _ = rustix::process::nice(NICE);
    // Before there is another thread, which would not be held to it.
    let missing = confinement::enter(user)?;
    if !missing.is_empty() {
        eprintln!("{NOT_CONFINED}{}", missing.join("; "));
    }
    let patience = Duration::from_secs(seconds.saturating_mul(PATIENCE.into()));
    thread::Builder::new()
        .name("patience".into())
        .spawn(move || {
            thread::sleep(patience);
            std::process::exit(OUT_OF_PATIENCE.into());
        })?;
    Ok(())
}

fn compile(octets: &[u8]) -> wasmtime::Result<Vec<u8>> {
    engine::compiler()?.precompile_component(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CompileLimits = CompileLimits {
        time: Duration::from_secs(2),
        memory: 256 << 20,
    };

    fn said(raw: i32, words: &str) -> String {
        let end = ExitStatus::from_raw(raw);
        judge(end, vec![], words.trim(), LIMITS)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn each_end_has_its_words() {
        use rustix::process::Signal;
        let code = judge(ExitStatus::from_raw(0), vec![7], "", LIMITS).unwrap();
        assert_eq!(code, [7]);
        assert_eq!(
            said(1 << 8, "unknown type\n"),
            "it is not a valid component: unknown type"
        );
        for raw in [
            Signal::XCPU.as_raw(),
            Signal::KILL.as_raw(),
            i32::from(OUT_OF_PATIENCE) << 8,
        ] {
            assert!(said(raw, "").contains("2 s of CPU time"));
        }
        let abort = Signal::ABORT.as_raw();
        let memory = said(abort, "memory allocation of 134217728 bytes failed\n");
        assert!(memory.contains("256 MiB of memory"), "{memory}");
        let overflow = said(abort, "\nthread 'main' has overflowed its stack\nfatal");
        assert!(
            overflow.contains("overflowed its stack fatal"),
            "{overflow}"
        );
        let forbidden = said(Signal::SYS.as_raw(), "");
        assert!(forbidden.contains("system call"), "{forbidden}");
        let crash = said(Signal::SEGV.as_raw(), "");
        assert!(crash.contains("the compiler failed (signal: 11"), "{crash}");
    }

    #[test]
    fn what_is_not_confined_is_no_part_of_the_reason() {
        let words = format!("{NOT_CONFINED}it stays root (EPERM)\nunknown type\n");
        assert_eq!(after_confinement(&words), "unknown type\n");
        assert_eq!(after_confinement("unknown type\n"), "unknown type\n");
    }

    #[test]
    fn a_compiler_that_is_not_there() {
        let compiler = Compiler::Process {
            program: "/nonexistent/restante".into(),
            limits: LIMITS,
            user: None,
        };
        let error = compiler
            .compile(&engine::compiler().unwrap(), b"")
            .unwrap_err();
        assert!(matches!(error, CompileError::Start(_)), "{error}");
    }

    #[test]
    fn a_compiler_that_does_not_listen() {
        // It reads nothing and says nothing; more goes in than a pipe holds.
        let compiler = Compiler::Process {
            program: "/bin/true".into(),
            limits: LIMITS,
            user: None,
        };
        let octets = vec![0; 1 << 20];
        let code = compiler.compile(&engine::compiler().unwrap(), &octets);
        assert_eq!(code.unwrap(), [0; 0]);
    }
}
