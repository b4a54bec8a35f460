//! `cargo xtask fuzz`: the targets of tests/fuzz, one after the other.
//!
//! Fuzzers are mostly built with a nightly compiler. Here it is the one in use,
//! which has all that is needed and wants to be told that it may.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::Outcome;
use crate::cargo::{self, Workspace};
use crate::machine::{crates_io, cxx};
use crate::step::Steps;
use crate::wasm_target::Toolchain;

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";

/// How long each target runs, in seconds.
const SECONDS: u64 = 600;

/// How long in a short run: the seeds, and a little more.
const SMOKE_SECONDS: u64 = 12;

/// The least that can be asked for, in seconds.
const LEAST_SECONDS: u64 = 1;

/// Memory a target may take, in MiB: far above what it needs.
const MEMORY_MIB: u32 = 2048;

/// How long one input may take, in seconds. Most take a millisecond.
const INPUT_S: u32 = 20;

/// Lines of a target's output that are shown when it found something.
const LINES_SHOWN: usize = 60;

/// What `cargo xtask fuzz` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// One target, or all.
    target: Option<String>,
    seconds: u64,
    /// Begin with the seeds alone, and take the same way each time.
    smoke: bool,
}

impl Plan {
    /// Reads the arguments; the error says what is wrong with them.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, String> {
        let (mut target, mut seconds, mut smoke) = (None, None, false);
        let mut words = arguments.iter().map(|word| word.to_string_lossy());
        while let Some(word) = words.next() {
            match &*word {
                "--smoke" => smoke = true,
                "--seconds" => seconds = Some(read_seconds(words.next().as_deref())?),
                option if option.starts_with('-') => {
                    return Err(format!("`fuzz` has no option {option}"));
                }
                name if target.is_none() => target = Some(name.to_owned()),
                name => return Err(format!("`fuzz` takes one target, and there is \"{name}\"")),
            }
        }
        let default = if smoke { SMOKE_SECONDS } else { SECONDS };
        Ok(Plan {
            target,
            seconds: seconds.unwrap_or(default),
            smoke,
        })
    }

    /// The targets that it is about.
    fn choose(&self, targets: Vec<String>) -> Result<Vec<String>> {
        match &self.target {
            None => Ok(targets),
            Some(target) if targets.contains(target) => Ok(vec![target.clone()]),
            Some(target) => bail!(
                "there is no fuzz target \"{target}\"; there are {}",
                targets.join(", ")
            ),
        }
    }
}

fn read_seconds(word: Option<&str>) -> Result<u64, String> {
    let number = word.and_then(|word| word.parse().ok());
    number
        .filter(|seconds| *seconds >= LEAST_SECONDS)
        .ok_or_else(|| "`--seconds` wants a whole number, 1 or more".to_owned())
}

/// Builds the targets and runs them. A finding of one does not keep the others
/// from running.
pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> Result<Outcome> {
    let rooms = Rooms::of(workspace);
    let targets = plan.choose(rooms.targets()?)?;
    // A short run is for what the seeds find: it may share the processors.
    let at_once = match plan.smoke {
        true => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        false => 1,
    };
    let mut steps = Steps::new(2 + targets.len().div_ceil(at_once));
    let cargo_fuzz = steps.run(&format!("cargo-fuzz {CARGO_FUZZ}"), || {
        cxx::require_cxx()?;
        crates_io::installed(workspace, "cargo-fuzz", CARGO_FUZZ)
    })?;
    let programs = steps.run("fuzz targets", || rooms.build(workspace, &cargo_fuzz, plan))?;

    let mut broken = Vec::new();
    for group in targets.chunks(at_once) {
        let what = format!("{}, {} s", group.join(" and "), plan.seconds);
        let found = |target: &String| rooms.fuzz(&programs, target, plan).is_err();
        let _ = steps.run(&what, || {
            broken.extend(thread::scope(|scope| {
                let runs = group.iter().map(|target| {
                    let run = scope.spawn(move || found(target));
                    (target.as_str(), run)
                });
                let runs: Vec<_> = runs.collect();
                let ended = runs.into_iter();
                let ended = ended.map(|(target, run)| (target, run.join().unwrap_or(true)));
                let ended = ended.filter(|(_, found)| *found);
                ended.map(|(target, _)| target).collect::<Vec<_>>()
            }));
            ensure!(
                !group.iter().any(|target| broken.contains(&target.as_str())),
                "found something"
            );
            Ok(())
        });
    }
    if broken.is_empty() {
        return Ok(Outcome::Done);
    }
    eprintln!("found something: {}", broken.join(", "));
    Ok(Outcome::Failed)
}

/// The folders that this is about.
struct Rooms {
    /// tests/fuzz
    sources: PathBuf,
    /// Below cargo's target folder: tools, programs, corpora, findings.
    work: PathBuf,
}

impl Rooms {
    fn of(workspace: &Workspace) -> Self {
        Rooms {
            sources: workspace.root.join("tests/fuzz"),
            work: workspace.target.join("fuzz"),
        }
    }

    fn targets(&self) -> Result<Vec<String>> {
        let folder = self.sources.join("fuzz_targets");
        let mut targets = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("rs")) {
                targets.extend(path.file_stem().map(|it| it.to_string_lossy().into_owned()));
            }
        }
        targets.sort();
        Ok(targets)
    }

    /// Builds one target or all. Returns the folder of the programs.
    fn build(&self, workspace: &Workspace, cargo_fuzz: &Path, plan: &Plan) -> Result<PathBuf> {
        let toolchain = Toolchain::in_use()?;
        let sanitizer = if cxx::has_address_sanitizer(&toolchain) {
            "address"
        } else {
            eprintln!(
                "    rustc {} brings no address sanitizer: without it",
                toolchain.release
            );
            "none"
        };
        let build = self.work.join("build");
        let mut command = workspace.tool(cargo_fuzz);
        // Its flags for the compiler are kept for nightly, and go into RUSTFLAGS,
        // which the encoded ones would hide.
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .args(["fuzz", "build", "--sanitizer", sanitizer])
            .arg("--fuzz-dir")
            .arg(&self.sources)
            .arg("--target-dir")
            .arg(&build)
            .args(&plan.target);
        cargo::run(&mut command)?;
        Ok(build.join(&toolchain.host).join("release"))
    }

    /// Runs a target; an error when it found something.
    fn fuzz(&self, programs: &Path, target: &str, plan: &Plan) -> Result<()> {
        let corpus = match plan.smoke {
            true => self.work.join("smoke").join(target),
            false => self.work.join("corpus").join(target),
        };
        if plan.smoke && corpus.is_dir() {
            fs::remove_dir_all(&corpus)?;
        }
        let findings = self.work.join("findings").join(target);
        for folder in [&corpus, &findings] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let log = self.work.join(format!("{target}.log"));
        let mut command = Command::new(programs.join(target));
        command
            // What is new goes into the first of them.
            .args([&corpus, &self.sources.join("seeds").join(target)])
            .arg(format!("-max_total_time={}", plan.seconds))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-timeout={INPUT_S}"))
            .arg(with_slash("-artifact_prefix=", &findings))
            .env("ASAN_OPTIONS", "detect_odr_violation=0")
            .stdout(Stdio::null())
            .stderr(File::create(&log).with_context(|| log.display().to_string())?);
        if plan.smoke {
            command.arg("-seed=1");
        } else {
            command.arg("-use_value_profile=1");
        }
        let status = command
            .status()
            .with_context(|| format!("cannot run {target}"))?;
        let said = fs::read(&log).with_context(|| log.display().to_string())?;
        let said = String::from_utf8_lossy(&said);
        if status.success() {
            if let Some(done) = said.lines().rfind(|line| line.starts_with("Done ")) {
                eprintln!("    {done}");
            }
            return Ok(());
        }
        let lines: Vec<&str> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES_SHOWN)..] {
            eprintln!("    {line}");
        }
        eprintln!(
            "    all of it: {}\n    again: {} INPUT",
            log.display(),
            programs.join(target).display()
        );
        bail!("{target} found something")
    }
}

/// A flag whose value is a folder, as libFuzzer puts names behind it.
fn with_slash(flag: &str, folder: &Path) -> OsString {
    let mut flag = OsString::from(flag);
    flag.push(folder);
    flag.push("/");
    flag
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan, String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Plan::read(&words)
    }

    #[test]
    fn arguments_become_a_plan() {
        let of = |target: Option<&str>, seconds, smoke| {
            Ok(Plan {
                target: target.map(str::to_owned),
                seconds,
                smoke,
            })
        };
        assert_eq!(plan(&[]), of(None, 600, false));
        assert_eq!(plan(&["session"]), of(Some("session"), 600, false));
        assert_eq!(plan(&["--smoke"]), of(None, 12, true));
        assert_eq!(
            plan(&["--seconds", "5", "a", "--smoke"]),
            of(Some("a"), 5, true)
        );
        for (words, problem) in [
            (&["--seconds"][..], "whole number"),
            (&["--seconds", "0"], "1 or more"),
            (&["--seconds", "1.5"], "whole number"),
            (&["--slow"], "no option --slow"),
            (&["a", "b"], "\"b\""),
        ] {
            let said = plan(words).unwrap_err();
            assert!(said.contains(problem), "{said}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_an_error_that_names_those_that_are() {
        let targets = || vec!["config".to_owned(), "session".to_owned()];
        let chosen = |words: &[&str]| plan(words).unwrap().choose(targets());
        assert_eq!(chosen(&[]).unwrap(), targets());
        assert_eq!(chosen(&["session"]).unwrap(), ["session"]);
        let said = chosen(&["sesion"]).unwrap_err().to_string();
        assert!(
            said.contains("sesion") && said.contains("config, session"),
            "{said}"
        );
    }

    #[test]
    fn targets_are_the_files_of_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let sources = folder.path().to_owned();
        let targets = sources.join("fuzz_targets");
        fs::create_dir(&targets).unwrap();
        for name in ["b.rs", "a.rs", "notes.md"] {
            fs::write(targets.join(name), "").unwrap();
        }
        let rooms = Rooms {
            work: sources.clone(),
            sources,
        };
        assert_eq!(rooms.targets().unwrap(), ["a", "b"]);
    }

    #[test]
    fn the_sanitizer_is_told_by_its_runtime() {
        let folder = tempfile::tempdir().unwrap();
        let toolchain = Toolchain {
            sysroot: folder.path().into(),
            release: "1.95.0".into(),
            host: "x86_64-unknown-linux-gnu".into(),
        };
        assert!(!cxx::has_address_sanitizer(&toolchain));
        let libraries = folder
            .path()
            .join("lib/rustlib/x86_64-unknown-linux-gnu/lib");
        fs::create_dir_all(&libraries).unwrap();
        fs::write(libraries.join("librustc-stable_rt.tsan.a"), "").unwrap();
        assert!(!cxx::has_address_sanitizer(&toolchain));
        fs::write(libraries.join("librustc-stable_rt.asan.a"), "").unwrap();
        assert!(cxx::has_address_sanitizer(&toolchain));
    }

    /// A program that stands for a target: findings are told from clean runs by the
    /// exit status, and seeds are never where new inputs go.
    #[cfg(unix)]
    #[test]
    fn a_finding_fails_and_seeds_stay_as_they_are() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let rooms = Rooms {
            sources: folder.path().join("sources"),
            work: folder.path().join("work"),
        };
        let stand_in = folder.path().join("target");
        let run = |script: &str, words: &[&str]| {
            fs::write(&stand_in, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
            rooms.fuzz(folder.path(), "target", &plan(words).unwrap())
        };
        run(
            "echo x > $1/new; echo \"$@\" >&2",
            &["--smoke", "--seconds", "3"],
        )
        .unwrap();
        let said = fs::read_to_string(rooms.work.join("target.log")).unwrap();
        let corpus = rooms.work.join("smoke/target");
        let seeds = rooms.sources.join("seeds/target");
        let begins = format!(
            "{} {} -max_total_time=3 ",
            corpus.display(),
            seeds.display()
        );
        assert!(said.starts_with(&begins), "{said}");
        assert!(corpus.join("new").exists() && !seeds.exists());
        assert!(run("exit 77", &["--smoke"]).is_err());
        assert!(!corpus.join("new").exists(), "a short run begins anew");
        assert!(run("kill -ABRT $$", &[]).is_err());
    }
}
