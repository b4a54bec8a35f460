//! What a process gives up that needs nothing but its memory, its processors and the
//! three descriptors that it was started with: privileges, its user, files, the network,
//! and every system call that computing has no use for.
//!
//! Each layer stands where another is not there: an old kernel, or one in a container,
//! has not all of them. What is missing is told, and the process goes on with the rest.

use std::collections::BTreeMap;
use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Signal, Uid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

/// The last descriptor that stays open: stderr.
const LAST_DESCRIPTOR: u32 = 2;

/// Whom root becomes if nobody is named: `nobody`, and its group.
const NOBODY: ProcessUser = ProcessUser {
    user: 65534,
    group: 65534,
};

/// The newest rights of Landlock that are known here. All of them are given up, so a
/// kernel that has more than this program was tested with takes away nothing that it needs.
const LANDLOCK: ABI = ABI::V10;

/// The first Landlock that denies all that is to be denied: TCP since the fourth, signals
/// to other processes and abstract sockets since the sixth.
const WHOLE_LANDLOCK: ABI = ABI::V6;

/// A user and a group of this machine, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessUser {
    /// Of the user; never root's.
    pub user: u32,
    /// Of the group; never root's.
    pub group: u32,
}

/// Gives up all that can be given up, for the calling thread and all that it starts: it
/// must be the only one, and nothing may use a descriptor but stdin, stdout and stderr.
/// Root becomes `user`, or `nobody`. Gives back what could not be given up, in words.
///
/// # Errors
/// Root cannot become the user that was named, or the system refuses what every Linux has.
pub(crate) fn enter(user: Option<ProcessUser>) -> io::Result<Vec<String>> {
    let mut missing = Vec::new();
    let mut note = |what: &str, error: &dyn std::fmt::Display| {
        missing.push(format!("{what} ({error})"));
    };
    if let Err(error) = close_the_rest() {
        note("descriptors that were left open are not closed", &error);
    }
    if geteuid().is_root() {
        match (become_user(user.unwrap_or(NOBODY)), user) {
            (Err(error), Some(_)) => return Err(error),
            (Err(error), None) => note("it stays root", &error),
            (Ok(()), _) => {}
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    if let Err(error) = rustix::thread::set_capabilities(None, none) {
        note("it keeps its capabilities", &error);
    }
    // Another process of its user could else put its own machine code in the place of
    // what was compiled. To become another user sets both of these back.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    if let Err(error) = give_up_files() {
        note("files, the network and signals are not denied", &error);
    }
    // Nothing can be opened any more, whatever would open it.
    let descriptors = Some(u64::from(LAST_DESCRIPTOR) + 1);
    let limit = Rlimit {
        current: descriptors,
        maximum: descriptors,
    };
    rustix::process::setrlimit(Resource::Nofile, limit)?;
    if let Err(error) = give_up_system_calls() {
        note("system calls are not filtered", &error);
    }
    Ok(missing)
}

/// Closes what the process inherited by somebody's mistake: what is open may be written to.
fn close_the_rest() -> io::Result<()> {
    // SAFETY: close_range(2) takes three numbers. The caller sees to it that nothing in
    // this process uses the descriptors that it closes.
    #[allow(unsafe_code, reason = "no crate has a safe way to what nothing owns")]
    let closed = unsafe { libc::syscall(libc::SYS_close_range, LAST_DESCRIPTOR + 1, u32::MAX, 0) };
    match closed {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn become_user(to: ProcessUser) -> io::Result<()> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (user, group) = (Uid::from_raw(to.user), Gid::from_raw(to.group));
    let become_it = || {
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)
    };
    become_it().map_err(|error| {
        let words = format!(
            "the compiler cannot become the user {}: {error}; it is `compiler-user` of [server]",
            to.user
        );
        io::Error::new(io::Error::from(error).kind(), words)
    })?;
    let back = set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT);
    match geteuid() == user && back.is_err() {
        true => Ok(()),
        false => Err(io::Error::other("the compiler could become root again")),
    }
}

/// Landlock: no file is opened, made, removed or run, no TCP, no abstract socket, no
/// signal to others.
fn give_up_files() -> Result<(), String> {
    let restricted = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .restrict_self()
    };
    let status = restricted().map_err(|error: RulesetError| error.to_string())?;
    match status.landlock {
        _ if status.ruleset == RulesetStatus::NotEnforced => {
            Err("this kernel has no Landlock, or it is turned off: see `lsm=`".into())
        }
        LandlockStatus::Available { effective_abi, .. } if effective_abi < WHOLE_LANDLOCK => {
            let (has, needs) = (effective_abi as i32, WHOLE_LANDLOCK as i32);
            Err(format!(
                "but for what version {has} of Landlock has; all is in {needs}, of Linux 6.12"
            ))
        }
        _ => Ok(()),
    }
}

/// seccomp: whatever is not named in [`allowed`] is answered with an error. Nothing is
/// killed: a library that asks for something new, and can do without, goes on.
fn give_up_system_calls() -> Result<(), seccompiler::Error> {
    for filter in [no_clone3()?, nothing_else()?] {
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)?;
    }
    Ok(())
}

/// The flags of clone3(2) are in memory, where no filter sees them. C libraries that hear
/// that there is no such call take clone(2), which has them in a register.
fn no_clone3() -> Result<SeccompFilter, seccompiler::Error> {
    Ok(SeccompFilter::new(
        BTreeMap::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?)
}

fn nothing_else() -> Result<SeccompFilter, seccompiler::Error> {
    Ok(SeccompFilter::new(
        allowed()?,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?)
}

/// Calls that are allowed whatever their arguments are: of the C libraries (glibc and
/// musl), of Rust's and of the compiler. None of them names a file, another process, or
/// anything that is not open yet.
const CALLS: &[libc::c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads. clone3 is for the other filter to answer.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    // What is open.
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // Time.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    // Signals to itself.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // About itself and the machine.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// Those that newer architectures have no more.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[libc::c_long] = &[libc::SYS_getrlimit, libc::SYS_poll, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[libc::c_long] = &[];

/// `PR_SET_VMA` of linux/prctl.h.
const PR_SET_VMA: libc::c_int = 0x5356_4d41;

/// What `prctl` may be asked to do: threads and mappings get names.
const PRCTL: [libc::c_int; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, PR_SET_VMA];

fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::Error> {
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = CALLS
        .iter()
        .chain(OLD_CALLS)
        .map(|call| (*call, vec![]))
        .collect();
    let condition = SeccompCondition::new;
    let rule = |conditions| SeccompRule::new(conditions);
    // Threads and no processes, and none in a namespace of their own.
    let thread = bits(libc::CLONE_THREAD | libc::CLONE_VM);
    let namespaces = bits(
        libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWUTS,
    );
    calls.insert(
        libc::SYS_clone,
        vec![rule(vec![condition(
            0,
            Dword,
            MaskedEq(thread | namespaces),
            thread,
        )?])?],
    );
    // Memory that is run was there before.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let writable = condition(2, Dword, MaskedEq(bits(libc::PROT_EXEC)), 0)?;
        calls.insert(call, vec![rule(vec![writable])?]);
    }
    // abort(3).
    let own = u64::from(std::process::id());
    calls.insert(
        libc::SYS_tgkill,
        vec![rule(vec![condition(0, Dword, Eq, own)?])?],
    );
    // Its limits are read, and not set.
    calls.insert(
        libc::SYS_prlimit64,
        vec![rule(vec![
            condition(0, Dword, Eq, 0)?,
            condition(2, Qword, Eq, 0)?,
        ])?],
    );
    let prctl = PRCTL.map(|what| rule(vec![condition(0, Dword, Eq, bits(what))?]));
    calls.insert(
        libc::SYS_prctl,
        prctl.into_iter().collect::<Result<_, _>>()?,
    );
    // Whether a descriptor is open, and how: F_GETFD and F_GETFL.
    let fcntl =
        [libc::F_GETFD, libc::F_GETFL].map(|what| rule(vec![condition(1, Dword, Eq, bits(what))?]));
    calls.insert(
        libc::SYS_fcntl,
        fcntl.into_iter().collect::<Result<_, _>>()?,
    );
    Ok(calls)
}

/// An argument as the filter sees it: the register's lower half.
fn bits(argument: libc::c_int) -> u64 {
    argument.cast_unsigned().into()
}

#[cfg(test)]
mod tests;
