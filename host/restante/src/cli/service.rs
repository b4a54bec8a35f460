//! What the service manager hands over to the server (sd_listen_fds(3)) and hears of it
//! ([`notify`]), whom the server becomes, and that its memory, which has mail in it, is
//! left to nobody.

mod notify;

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use restante_config::{Identity, Listener};
use restante_roles::state_dir;
use restante_wasm::ProcessUser;
use rustix::process::{
    DumpableBehavior, Gid, Resource, Rlimit, Uid, geteuid, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tracing::{info, warn};

pub(super) use notify::{Manager, ready, stopping, watchdog};

/// A process that crashes leaves no image of its memory, neither in a file nor to a
/// program that collects them, and no other process of its user may look into it.
pub(super) fn no_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let files = setrlimit(Resource::Core, none);
    // The limit does not hold for what is piped to a program (core(5)).
    let pipes = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = files.and(pipes) {
        warn!(error = %io::Error::from(error), "a crash may leave mail in a core dump");
    }
}

/// A user of this machine, with what comes with it.
pub(super) struct ProcessIdentity {
    name: String,
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
}

impl ProcessIdentity {
    /// Looks the names up.
    pub(super) fn look_up(identity: &Identity) -> anyhow::Result<ProcessIdentity> {
        let name = &identity.user;
        let user = uzers::get_user_by_name(name)
            .with_context(|| format!("[server] user: this machine has no user {name:?}"))?;
        let group = match &identity.group {
            None => user.primary_group_id(),
            Some(group) => uzers::get_group_by_name(group)
                .with_context(|| format!("[server] group: this machine has no group {group:?}"))?
                .gid(),
        };
        let groups = uzers::get_user_groups(name, group).unwrap_or_default();
        let groups = groups.iter().map(|group| Gid::from_raw(group.gid()));
        Ok(ProcessIdentity {
            name: name.clone(),
            user: Uid::from_raw(user.uid()),
            group: Gid::from_raw(group),
            groups: groups.collect(),
        })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this process is this user, or could become it.
    pub(super) fn is_possible(&self) -> bool {
        geteuid() == self.user || geteuid().is_root()
    }

    /// Makes the state directory for this user where there is none, and becomes the user.
    pub(super) fn become_it(&self, state_dir: &Path) -> anyhow::Result<()> {
        let ProcessIdentity { name, user, .. } = self;
        let from_root = geteuid().is_root() && geteuid() != *user;
        if from_root {
            state_dir::make_for(state_dir, *user, self.group)
                .with_context(|| format!("{} cannot be given to {name:?}", state_dir.display()))?;
        }
        self.become_it_alone()?;
        if from_root {
            info!(user = name, "no longer root");
        }
        Ok(())
    }

    /// Becomes this user for good, which only root can. Threads that there are already
    /// would stay root's: this is for the time before them.
    pub(super) fn become_it_alone(&self) -> anyhow::Result<()> {
        let ProcessIdentity { name, user, .. } = self;
        if geteuid() == *user {
            return Ok(());
        }
        ensure!(
            geteuid().is_root(),
            "[server] user: only root can become {name:?}: start the server as root or as {name:?}"
        );
        set_thread_groups(&self.groups)
            .and_then(|()| set_thread_res_gid(self.group, self.group, self.group))
            .and_then(|()| set_thread_res_uid(*user, *user, *user))
            .with_context(|| format!("the server cannot become {name:?}"))?;
        ensure!(
            geteuid() == *user && set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_err(),
            "the server became {name:?} and could become root again"
        );
        Ok(())
    }
}

/// The user that components are compiled as. None, and a line in the log: this process is
/// not root, and cannot become another.
pub(super) fn compiler_user(name: &str) -> anyhow::Result<Option<ProcessUser>> {
    const KEY: &str = "[server] compiler-user";
    let user = uzers::get_user_by_name(name)
        .with_context(|| format!("{KEY}: this machine has no user {name:?}"))?;
    let (user, group) = (user.uid(), user.primary_group_id());
    ensure!(
        user != 0 && group != 0,
        "{KEY}: {name:?} is root, or in its group: name a user that has no rights and no files"
    );
    if !geteuid().is_root() {
        warn!("{KEY} is not used: only root can become another user");
        return Ok(None);
    }
    Ok(Some(ProcessUser { user, group }))
}

/// Sockets that the service manager has opened for listeners, by their names
/// (`FileDescriptorName=` of systemd.socket(5)).
pub(super) fn passed_sockets(
    listeners: &[Listener],
) -> anyhow::Result<HashMap<String, TcpListener>> {
    let passed = sd_notify::listen_fds_with_names().context("sockets of the service manager")?;
    let mut sockets = HashMap::new();
    for (descriptor, name) in passed {
        // SAFETY: sd_listen_fds(3): descriptors from 3 on, as many as `LISTEN_FDS`
        // says to the process with the number `LISTEN_PID`, are this process's to
        // use and to close. They are taken here, once, and nothing else has them.
        #[allow(unsafe_code, reason = "there is no other way to a passed descriptor")]
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let socket = socket2::Socket::from(socket);
        let listens = socket.is_listener().unwrap_or(false);
        let has_address = socket
            .local_addr()
            .is_ok_and(|address| address.as_socket().is_some());
        ensure!(
            listens && has_address,
            "the socket {name:?} of the service manager is not a listening TCP socket: use ListenStream= with a port, and Accept=no"
        );
        if !listeners.iter().any(|listener| listener.name == name) {
            let names: Vec<&str> = listeners.iter().map(|one| one.name.as_str()).collect();
            bail!(
                "the service manager has a socket {name:?}, and no listener has this name: set FileDescriptorName= of its unit to one of {}",
                names.join(", ")
            );
        }
        if sockets.insert(name.clone(), socket.into()).is_some() {
            return Err(anyhow!(
                "the service manager has two sockets {name:?}: one listener has one address"
            ));
        }
    }
    Ok(sockets)
}
