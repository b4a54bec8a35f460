//! The machine and the day, as far as figures depend on them.

use std::fmt;
use std::fs;

/// What the report says about where it was made.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    /// Processes that wanted to run when the run began, over the last minute.
    load: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, key: &str| {
            text.lines()
                .find_map(|line| {
                    Some(
                        line.strip_prefix(key)?
                            .trim_start()
                            .strip_prefix(':')?
                            .trim()
                            .to_owned(),
                    )
                })
                .unwrap_or_else(|| "unknown".to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kibibytes: u64 = memory
            .split(' ')
            .next()
            .and_then(|figure| figure.parse().ok())
            .unwrap_or_default();
        Machine {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kibibytes >> 20,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}, {} cores, {} GiB, Linux {}; load before the run: {}",
            self.processor, self.cores, self.memory_gib, self.kernel, self.load
        )
    }
}
