//! A server as a process with children: started, measured, stopped.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at something that is waited for.
const GLANCE: Duration = Duration::from_millis(2);

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it; what it says goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file =
            fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        Ok(Process { child })
    }

    /// Waits until `ready` gives something; an error if it ends before.
    pub(crate) fn wait_until<T>(
        &mut self,
        log: &Path,
        mut ready: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            let said = fs::read(log).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            if let Some(found) = ready(&said) {
                return Ok(found);
            }
            let gone = self.child.try_wait()?.is_some();
            if gone || begun.elapsed() > PATIENCE {
                bail!("the server does not start; it said:\n{said}");
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let raw = self.id().try_into().context("a process id out of range")?;
        let pid = Pid::from_raw(raw).context("a process without an id")?;
        kill_process(pid, signal).context("cannot signal the server")
    }

    /// CPU time of it and everything it started, in the past and now, those
    /// that ended included where their parent waited for them.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of_tree(self.id())
    }

    /// Memory of it and everything it started, shared pages counted in part
    /// (PSS), in octets.
    pub(crate) fn memory(&self) -> Result<u64> {
        let mut total = 0;
        for process in tree(self.id())? {
            let Ok(text) = fs::read_to_string(format!("/proc/{process}/smaps_rollup")) else {
                continue;
            };
            total += pss(&text).context("smaps_rollup without Pss")?;
        }
        ensure!(total > 0, "the server's memory cannot be read");
        Ok(total)
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begun.elapsed() < PATIENCE, "the server does not stop");
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // A master takes its children along on SIGTERM, not on SIGKILL.
            let _ = self.signal(Signal::TERM);
            for _ in 0..500 {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                std::thread::sleep(GLANCE);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// CPU time of a process and everything it started, in the past and now, those that
/// ended included where their parent waited for them.
pub(crate) fn cpu_of_tree(root: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for process in tree(root)? {
        // One that ended between two looks is in its parent's account later.
        let Some(own) = own_cpu(process) else {
            continue;
        };
        total += own + waited_cpu(process).unwrap_or_default();
    }
    Ok(total)
}

/// A process and everything that descends from it and is still there.
fn tree(root: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").context("there is no /proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else {
            continue;
        };
        if let Some(stat) = Stat::parse(&stat) {
            children.entry(stat.parent).or_default().push(process);
        }
    }
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(process) = tree.get(at) {
        tree.extend(children.remove(process).unwrap_or_default());
        at += 1;
    }
    Ok(tree)
}

/// What proc(5)'s `stat` says that is of use here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of children that were waited for, in clock ticks.
    waited_ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Stat> {
        // The name stands in parentheses and may hold anything.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The first of these is the third of all.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            parent: field(4)?.try_into().ok()?,
            waited_ticks: field(16)? + field(17)?,
        })
    }
}

fn waited_cpu(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let ticks = Stat::parse(&stat)?.waited_ticks;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_micros(ticks * 1_000_000 / per_second))
}

/// CPU time of all threads of a process, those that ended included. Its clock
/// counts nanoseconds, where `stat` counts ticks of ten milliseconds.
fn own_cpu(process: u32) -> Option<Duration> {
    let process = libc::pid_t::try_from(process).ok()?;
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both write one value of the type that they are pointed at.
    let read = unsafe {
        libc::clock_getcpuclockid(process, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    let (seconds, nanoseconds) = (time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
    read.then(|| Duration::new(seconds, nanoseconds))
}

/// `Pss:` of proc(5)'s `smaps_rollup`, in octets.
fn pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_any_name() {
        let text = "7 (a) b (c) S 5 7 7 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 9 8 7";
        let expected = Stat {
            parent: 5,
            waited_ticks: 150,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 5"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn pss_is_the_line_of_that_name() {
        let text = "00-ff [rollup]\nRss:  10 kB\nPss:     12 kB\nPss_Dirty:  3 kB\n";
        assert_eq!(pss(text), Some(12 * 1024));
        assert_eq!(pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn work_of_children_that_ended_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("sh -c '{busy}'; echo done; sleep 60")]);
        let mut process = Process::start(&mut shell, &log).unwrap();
        process
            .wait_until(&log, |said| said.contains("done").then_some(()))
            .unwrap();
        let used = process.cpu().unwrap();
        assert!(used > Duration::from_millis(30), "{used:?}");
        assert!(process.memory().unwrap() > 0);
        process.stop().unwrap();
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo no such thing >&2; exit 1"]);
        let mut process = Process::start(&mut shell, &log).unwrap();
        let error = process.wait_until(&log, |_| None::<()>).unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
    }
}
