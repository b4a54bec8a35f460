//! The directory of an account's maildrop: found or made at login, and found again
//! after a rest.
//!
//! What stands above it is the operator's word: the fixed part of the grant's template,
//! whose links lead to where the operator has laid them. What is below is made of values
//! that an authenticator or a client chose, in folders where users of this machine may
//! have put anything. So the way below is gone without links, and the directory that it
//! ends at is judged by its descriptor: whose it is, and whether it is the one that the
//! session's lock is for.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::process::geteuid;
use thiserror::Error;
use tokio::time::Instant;

use crate::disk::grants::Root;
use crate::disk::opening::{self, Links};
use restante_config::template::AccountPath;
use restante_config::{Grants, MaildropOwner, MissingMaildrop};
use restante_roles::nowait;
use restante_roles::work::{MAX_WORK_TIME, WorkError, WorkRoom};

/// What a grant says of maildrops' directories, for all accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whether one that is missing is made.
    create: bool,
    /// What one that is missing is otherwise.
    missing: MissingMaildrop,
    /// A file that has to be in the fixed part.
    marker: Option<Arc<str>>,
    links: Links,
    owner: Owner,
}

/// Whose a directory may be beside the server's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Server,
    User(u32),
    Any,
}

/// The name of no user of this machine.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("this machine has no user {0:?}; write a name that it has, a user's number, or \"any\"")]
pub struct NoSuchUser(String);

impl Rules {
    /// Looks the owner's name up, which may take waiting.
    pub(crate) fn of(grants: &Grants) -> Result<Rules, NoSuchUser> {
        let owner = match &grants.maildrop_owner {
            MaildropOwner::Server => Owner::Server,
            MaildropOwner::Any => Owner::Any,
            MaildropOwner::Id(id) => Owner::User(*id),
            MaildropOwner::User(name) => {
                let user = uzers::get_user_by_name(name);
                Owner::User(user.ok_or_else(|| NoSuchUser(name.clone()))?.uid())
            }
        };
        Ok(Rules {
            create: grants.create_maildrop,
            missing: grants.missing_maildrop,
            marker: grants.maildrop_marker.as_deref().map(Arc::from),
            links: match grants.follow_links {
                true => Links::Followed,
                false => Links::Refused,
            },
            owner,
        })
    }
}

impl Owner {
    /// Whether a directory of the user with the number `found` will do, where the server
    /// runs as `server`.
    fn admits(self, found: u32, server: u32) -> bool {
        match self {
            Owner::Any => true,
            Owner::User(user) => found == user || found == server,
            Owner::Server => found == server,
        }
    }
}

/// Tells a directory from all others that there are at the same time, however it was
/// reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// What is at the place of a maildrop at login.
pub(crate) enum Found {
    /// Its directory.
    Directory(Arc<Root>, Identity),
    /// Nothing, below this directory of the operator's.
    Nothing(Identity),
}

/// Why there is no maildrop. The operator is at fault, or whoever may write where it
/// should be.
#[derive(Debug, Error)]
pub(crate) enum MaildropError {
    #[error(
        "the fixed part of `maildrop`, {0:?}, is not there: mount it, or create it, since the server never does"
    )]
    NoPrefix(PathBuf),
    #[error(
        "the file that `maildrop-marker` names, {0:?}, is not there: mount the file system that it is on, or create it there"
    )]
    NoMarker(PathBuf),
    #[error(
        "there is no such directory: create it, or have it created at login with `create-maildrop = true` in the plugin's grants, or take it for an empty maildrop with `missing-maildrop = \"empty\"`"
    )]
    Missing,
    #[error(
        "the directory is empty, as the place of a file system that is not mounted is: mount it; or, where new users begin with an empty directory, set `missing-maildrop = \"empty\"` or `create-maildrop = true` in the plugin's grants"
    )]
    Empty,
    #[error("{path:?}, the fixed part of `maildrop`, cannot be opened: {error}")]
    Prefix { path: PathBuf, error: io::Error },
    #[error(
        "the way to it below {0:?} leads through a symbolic link: put the directory itself there, or, if you alone can make links there, set `follow-links = true` in the plugin's grants; nothing is created through a link"
    )]
    Link(PathBuf),
    #[error(
        "a symbolic link on the way to it below {0:?} leads to what is not there: mount it, or create it"
    )]
    Dangling(PathBuf),
    #[error(
        "the directory belongs to the user with the number {found}, and the server runs as {server}: give it to the server's user, or name its owner with `maildrop-owner` in the plugin's grants"
    )]
    Owner { found: u32, server: u32 },
    #[error(
        "the directory is not the one that the session has locked: another took its place, or it is gone; the client has to log in again"
    )]
    Replaced,
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<WorkError> for MaildropError {
    fn from(error: WorkError) -> Self {
        MaildropError::System(error.into())
    }
}

/// Where one account's maildrop is, and what its directory has to be like.
#[derive(Debug, Clone)]
pub(crate) struct MaildropDirectory {
    pub(crate) path: AccountPath,
    pub(crate) rules: Rules,
}

impl MaildropDirectory {
    /// What is there, made first where it is missing and the grant says so.
    pub(crate) async fn find(&self, work: &WorkRoom) -> Result<Found, MaildropError> {
        if let Some(found) = self.find_cached() {
            return found;
        }
        let directory = self.clone();
        let deadline = Instant::now() + MAX_WORK_TIME;
        work.run(deadline, move |_| directory.find_or_make())
            .await?
    }

    /// The directory that was found before.
    ///
    /// # Errors
    /// Also where it is another one, or gone: never another under the lock of the first.
    pub(crate) async fn find_again(
        &self,
        before: Identity,
        work: &WorkRoom,
    ) -> Result<Arc<Root>, MaildropError> {
        let mut again = self.clone();
        again.rules.create = false;
        again.rules.missing = MissingMaildrop::Empty;
        match again.find(work).await? {
            Found::Directory(root, now) if now == before => Ok(root),
            Found::Directory(..) | Found::Nothing(_) => Err(MaildropError::Replaced),
        }
    }

    /// What the maildrop's lock is taken under. A directory that is there has one key,
    /// however many paths lead to it; sessions without one lock its place.
    pub(crate) fn lock_key(&self, found: &Found) -> String {
        match found {
            Found::Directory(_, Identity { device, inode }) => format!("{device}:{inode}"),
            Found::Nothing(Identity { device, inode }) => {
                format!("{device}:{inode}/{}", self.path.rest.display())
            }
        }
    }

    /// What servers that share it call it: its path, since devices have other numbers on
    /// other machines. Below the template's fixed part no link is followed without the
    /// grant's word; with it, the path is where the links have led to.
    ///
    /// # Errors
    /// Where it cannot be known.
    pub(crate) fn shared_key(&self, found: Option<&Root>) -> Result<String, MaildropError> {
        let path = match (found, self.rules.links) {
            (Some(root), Links::Followed) => root.real_path()?,
            _ => self.path.whole(),
        };
        Ok(path.to_string_lossy().into_owned())
    }

    /// Whether one that is there and empty is taken for one that is missing.
    fn refuses_empty(&self) -> bool {
        !self.rules.create && self.rules.missing == MissingMaildrop::Refuse
    }

    /// If it takes no waiting to know, and there is a directory.
    fn find_cached(&self) -> Option<Result<Found, MaildropError>> {
        let rest = opening::itself_if_empty(&self.path.rest);
        let follow_links = self.rules.links == Links::Followed;
        let found = nowait::open_directory_below(
            &self.path.prefix,
            self.rules.marker.as_deref(),
            rest,
            follow_links,
        )?;
        let identity = Identity {
            device: found.device,
            inode: found.inode,
        };
        if self.refuses_empty() && !found.has_directories {
            return None;
        }
        let judged = self.judge(found.owner);
        Some(judged.map(|()| Found::Directory(Arc::new(Root::local(found.directory)), identity)))
    }

    /// May wait for the disk.
    fn find_or_make(&self) -> Result<Found, MaildropError> {
        let AccountPath { prefix, rest } = &self.path;
        let base = opening::open_base(prefix).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MaildropError::NoPrefix(prefix.clone()),
            _ => MaildropError::Prefix {
                path: prefix.clone(),
                error,
            },
        })?;
        if let Some(marker) = &self.rules.marker {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            match rustix::fs::statat(&base, &**marker, flags) {
                Ok(_) => {}
                Err(Errno::NOENT) => {
                    return Err(MaildropError::NoMarker(prefix.join(&**marker)));
                }
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        let opened = match opening::open_directory(&base, rest, self.rules.links) {
            // What a link names may be a mount that is away.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && self.rules.links == Links::Followed
                    && opening::is_dangling(&base, rest) =>
            {
                return Err(MaildropError::Dangling(prefix.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.rules.create {
                true => opening::make_directory(&base, rest),
                false if self.rules.missing == MissingMaildrop::Refuse => {
                    return Err(MaildropError::Missing);
                }
                false => return Ok(Found::Nothing(identity(&base)?.0)),
            },
            opened => opened,
        };
        let directory = opened.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP) => MaildropError::Link(prefix.clone()),
            _ => MaildropError::System(error),
        })?;
        let (identity, owner) = identity(&directory)?;
        self.judge(owner)?;
        if self.refuses_empty() && opening::is_empty(&directory)? {
            return Err(MaildropError::Empty);
        }
        Ok(Found::Directory(Arc::new(Root::of(directory)), identity))
    }

    fn judge(&self, found: u32) -> Result<(), MaildropError> {
        let server = geteuid().as_raw();
        match self.rules.owner.admits(found, server) {
            true => Ok(()),
            false => Err(MaildropError::Owner { found, server }),
        }
    }
}

/// Which directory it is, and whose.
fn identity(directory: &File) -> io::Result<(Identity, u32)> {
    let about = directory.metadata()?;
    let identity = Identity {
        device: about.dev(),
        inode: about.ino(),
    };
    Ok((identity, about.uid()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tempfile::TempDir;

    use super::*;

    const STRICT: Rules = Rules {
        create: false,
        missing: MissingMaildrop::Empty,
        marker: None,
        links: Links::Refused,
        owner: Owner::Server,
    };
    const CREATING: Rules = Rules {
        create: true,
        ..STRICT
    };
    const FOLLOWING: Rules = Rules {
        links: Links::Followed,
        ..STRICT
    };

    /// Two users' folders under "mail", bob's with a maildrop in it, and one of the
    /// operator's elsewhere.
    fn site() -> TempDir {
        let site = tempfile::tempdir().unwrap();
        for folder in ["mail/alice", "mail/bob/Maildir", "elsewhere/Maildir"] {
            fs::create_dir_all(site.path().join(folder)).unwrap();
        }
        site
    }

    fn at(site: &TempDir, rest: &str, rules: Rules) -> MaildropDirectory {
        let path = AccountPath {
            prefix: site.path().join("mail"),
            rest: rest.into(),
        };
        MaildropDirectory { path, rules }
    }

    fn work() -> WorkRoom {
        WorkRoom::new(restante_roles::metrics::Ledger::new("t"))
    }

    /// Asks every way in there is, which have to agree.
    async fn find(directory: &MaildropDirectory) -> Result<Found, MaildropError> {
        let waiting = directory.find_or_make();
        let at_once = directory.find_cached();
        let found = directory.find(&work()).await;
        let key = |found: &Result<Found, MaildropError>| {
            let found = found.as_ref().map(|found| directory.lock_key(found));
            found.map_err(ToString::to_string)
        };
        assert_eq!(key(&waiting), key(&found));
        if let Some(at_once) = &at_once {
            assert_eq!(key(&waiting), key(at_once));
        }
        found
    }

    async fn refused(directory: &MaildropDirectory) -> MaildropError {
        match find(directory).await {
            Err(error) => error,
            Ok(_) => panic!("{:?} was found", directory.path.whole()),
        }
    }

    async fn found(directory: &MaildropDirectory) -> (Arc<Root>, Identity) {
        match find(directory).await.unwrap() {
            Found::Directory(root, identity) => (root, identity),
            Found::Nothing(_) => panic!("nothing at {:?}", directory.path.whole()),
        }
    }

    async fn is_missing(directory: &MaildropDirectory) -> bool {
        matches!(find(directory).await, Ok(Found::Nothing(_)))
    }

    fn identity_of(path: &Path) -> Identity {
        identity(&File::open(path).unwrap()).unwrap().0
    }

    #[tokio::test]
    async fn links_below_the_fixed_part_lead_nowhere() {
        let site = site();
        let mail = site.path().join("mail");
        symlink("../bob/Maildir", mail.join("alice/Maildir")).unwrap();
        symlink(mail.join("bob/Maildir"), mail.join("alice/absolute")).unwrap();
        symlink("bob", mail.join("carol")).unwrap();
        symlink("/proc/self/cwd", mail.join("alice/magic")).unwrap();
        symlink("nowhere", mail.join("alice/dangling")).unwrap();
        symlink(".", mail.join("bob/here")).unwrap();
        for rest in [
            "alice/Maildir",
            "alice/absolute",
            "carol/Maildir",
            "carol",
            "alice/magic",
            "alice/dangling",
            "bob/here/Maildir",
        ] {
            for rules in [STRICT, CREATING] {
                let error = refused(&at(&site, rest, rules)).await;
                assert!(matches!(error, MaildropError::Link(_)), "{rest}: {error}");
            }
        }
        assert!(!mail.join("alice/nowhere").exists());
        found(&at(&site, "bob/Maildir", STRICT)).await;
    }

    #[tokio::test]
    async fn a_missing_directory_is_empty_where_the_operator_says_so() {
        let site = site();
        let refusing = Rules {
            missing: MissingMaildrop::Refuse,
            ..STRICT
        };
        for rest in ["alice/Maildir", "carol/Maildir"] {
            let error = refused(&at(&site, rest, refusing.clone())).await;
            assert!(matches!(error, MaildropError::Missing), "{error}");
            for key in ["create-maildrop", "missing-maildrop"] {
                assert!(error.to_string().contains(key), "{error}");
            }
            assert!(is_missing(&at(&site, rest, STRICT)).await);
        }
        found(&at(&site, "alice/Maildir", CREATING)).await;
        // An empty one may be the place of a mount that is away.
        for folder in ["alice", "bob"] {
            let rest = format!("{folder}/Maildir");
            let error = refused(&at(&site, &rest, refusing.clone())).await;
            assert!(matches!(error, MaildropError::Empty), "{error}");
            for key in ["create-maildrop", "missing-maildrop"] {
                assert!(error.to_string().contains(key), "{error}");
            }
            found(&at(&site, &rest, STRICT)).await;
            found(&at(&site, &rest, CREATING)).await;
        }
        // Whatever is in it, it is somebody's.
        fs::write(site.path().join("mail/alice/Maildir/mbox"), "").unwrap();
        fs::create_dir(site.path().join("mail/bob/Maildir/new")).unwrap();
        for rest in ["alice/Maildir", "bob/Maildir"] {
            let directory = at(&site, rest, refusing.clone());
            let (_, locked) = found(&directory).await;
            // A session that has it open goes on when it is emptied.
            let path = site.path().join("mail").join(rest);
            for entry in fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap().path();
                let _ = fs::remove_file(&entry).or_else(|_| fs::remove_dir(&entry));
            }
            assert!(directory.find_again(locked, &work()).await.is_ok());
        }
    }

    #[tokio::test]
    async fn without_its_marker_the_fixed_part_is_not_the_one() {
        let site = site();
        let mail = site.path().join("mail");
        for rules in [STRICT, CREATING] {
            let marked = Rules {
                marker: Some(".mounted".into()),
                ..rules
            };
            for rest in ["bob/Maildir", "carol/Maildir"] {
                let error = refused(&at(&site, rest, marked.clone())).await;
                assert!(matches!(error, MaildropError::NoMarker(_)), "{error}");
            }
            assert!(!mail.join("carol").exists());
            fs::write(mail.join(".mounted"), "").unwrap();
            let bob = at(&site, "bob/Maildir", marked);
            let (_, locked) = found(&bob).await;
            fs::remove_file(mail.join(".mounted")).unwrap();
            assert!(bob.find_again(locked, &work()).await.is_err());
        }
    }

    /// The same where the kernel has no openat2.
    #[test]
    fn links_lead_nowhere_step_by_step_either() {
        let site = site();
        let mail = site.path().join("mail");
        symlink("../bob/Maildir", mail.join("alice/Maildir")).unwrap();
        symlink("bob", mail.join("carol")).unwrap();
        fs::write(mail.join("alice/file"), "").unwrap();
        let base = opening::open_base(&mail).unwrap();
        for (rest, expected) in [
            ("alice/Maildir", Errno::LOOP),
            ("carol/Maildir", Errno::LOOP),
            ("alice/file", Errno::NOTDIR),
            ("../elsewhere", Errno::XDEV),
        ] {
            let error = opening::make_directory(&base, Path::new(rest)).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(expected), "{rest}");
        }
        let bob = opening::make_directory(&base, Path::new("bob/Maildir")).unwrap();
        let opened = identity(&bob).unwrap().0;
        assert_eq!(opened, identity_of(&mail.join("bob/Maildir")));
    }

    #[tokio::test]
    async fn nothing_above_the_fixed_part_is_reached() {
        let site = site();
        for rest in ["../elsewhere/Maildir", "alice/../../elsewhere", ".."] {
            refused(&at(&site, rest, STRICT)).await;
        }
    }

    #[tokio::test]
    async fn links_of_the_operators_are_followed() {
        let site = site();
        let mail = site.path().join("mail");
        symlink("mail", site.path().join("linked")).unwrap();
        let mut through = at(&site, "bob/Maildir", STRICT);
        through.path.prefix = site.path().join("linked");
        let (_, identity) = found(&through).await;
        assert_eq!(identity, identity_of(&mail.join("bob/Maildir")));
        // A template without placeholders is the operator's, whole.
        symlink("bob/Maildir", mail.join("all")).unwrap();
        let mut whole = at(&site, "", STRICT);
        whole.path.prefix = mail.join("all");
        assert_eq!(found(&whole).await.1, identity);
        // With the key all are, and wherever they lead.
        symlink("../../elsewhere/Maildir", mail.join("alice/Maildir")).unwrap();
        let (_, identity) = found(&at(&site, "alice/Maildir", FOLLOWING)).await;
        let elsewhere = site.path().join("elsewhere/Maildir");
        assert_eq!(identity, identity_of(&elsewhere));
        // One that names what is not there is no empty maildrop.
        symlink("../../mount", mail.join("alice/away")).unwrap();
        for rest in ["alice/away", "alice/away/Maildir"] {
            for create in [false, true] {
                let rules = Rules {
                    create,
                    ..FOLLOWING
                };
                let error = refused(&at(&site, rest, rules)).await;
                assert!(matches!(error, MaildropError::Dangling(_)), "{error}");
            }
        }
        assert!(!site.path().join("mount").exists());
        symlink("../../elsewhere", mail.join("alice/there")).unwrap();
        assert!(is_missing(&at(&site, "alice/there/none", FOLLOWING)).await);
        // Nothing is made through one.
        symlink("../../elsewhere", mail.join("alice/moved")).unwrap();
        let creating = Rules {
            create: true,
            ..FOLLOWING
        };
        let error = refused(&at(&site, "alice/moved/new", creating)).await;
        assert!(matches!(error, MaildropError::Link(_)), "{error}");
        assert!(!site.path().join("elsewhere/new").exists());
    }

    #[tokio::test]
    async fn a_fixed_part_that_is_away_is_no_empty_maildrop() {
        let site = site();
        for rules in [STRICT, CREATING, FOLLOWING] {
            let mut away = at(&site, "alice/Maildir", rules);
            away.path.prefix = site.path().join("mount/mail");
            let error = refused(&away).await;
            assert!(matches!(error, MaildropError::NoPrefix(_)), "{error}");
            assert!(error.to_string().contains("mount/mail"), "{error}");
        }
        assert!(!site.path().join("mount").exists());
        // One that is there is not.
        assert!(is_missing(&at(&site, "alice/Maildir", STRICT)).await);
        assert!(is_missing(&at(&site, "nobody/Maildir", STRICT)).await);
        fs::write(site.path().join("mail/file"), "").unwrap();
        let error = refused(&at(&site, "file/Maildir", STRICT)).await;
        assert!(matches!(error, MaildropError::System(_)), "{error}");
    }

    #[tokio::test]
    async fn what_is_made_is_for_the_servers_user_alone() {
        let site = site();
        let (_, identity) = found(&at(&site, "new.example/carol/Maildir", CREATING)).await;
        let made = site.path().join("mail/new.example");
        for folder in ["", "carol", "carol/Maildir"] {
            let mode = made.join(folder).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{folder}");
        }
        assert_eq!(identity, identity_of(&made.join("carol/Maildir")));
    }

    #[test]
    fn the_owner_is_the_server_or_who_is_named() {
        for (owner, found, server, admitted) in [
            (Owner::Server, 1000, 1000, true),
            (Owner::Server, 1001, 1000, false),
            // Root is nobody's stand-in, and may read all.
            (Owner::Server, 0, 1000, false),
            (Owner::Server, 1000, 0, false),
            (Owner::User(1001), 1001, 1000, true),
            (Owner::User(1001), 1000, 1000, true),
            (Owner::User(1001), 1002, 1000, false),
            (Owner::Any, 1002, 1000, true),
        ] {
            assert_eq!(owner.admits(found, server), admitted, "{owner:?} {found}");
        }
    }

    #[tokio::test]
    async fn a_directory_of_another_user_is_refused() {
        let site = site();
        let server = geteuid().as_raw();
        let bob = at(&site, "bob/Maildir", STRICT);
        found(&bob).await;
        // Only root can give it away; whoever is not looks at one of root's.
        let (rest, other) = match geteuid().is_root() {
            true => {
                let maildir = site.path().join("mail/bob/Maildir");
                std::os::unix::fs::chown(maildir, Some(65534), None).unwrap();
                ("bob/Maildir", 65534)
            }
            false => ("usr", 0),
        };
        let with = |owner| {
            let mut directory = at(&site, rest, Rules { owner, ..STRICT });
            if other == 0 {
                directory.path.prefix = "/".into();
            }
            directory
        };
        let error = refused(&with(Owner::Server)).await;
        let said = error.to_string();
        assert!(said.contains(&format!("number {other},")), "{said}");
        assert!(said.contains("maildrop-owner"), "{said}");
        let error = refused(&with(Owner::User(other + 1))).await;
        assert!(matches!(error, MaildropError::Owner { server: it, .. } if it == server));
        found(&with(Owner::User(other))).await;
        found(&with(Owner::Any)).await;
    }

    #[test]
    fn an_owner_is_looked_up_by_name() {
        let of = |maildrop_owner| {
            let rules = Rules::of(&Grants {
                maildrop_owner,
                ..Grants::default()
            });
            rules.map(|rules| rules.owner)
        };
        assert_eq!(of(MaildropOwner::Server), Ok(Owner::Server));
        assert_eq!(of(MaildropOwner::User("root".into())), Ok(Owner::User(0)));
        assert_eq!(of(MaildropOwner::Id(7)), Ok(Owner::User(7)));
        assert_eq!(of(MaildropOwner::Any), Ok(Owner::Any));
        let name = "nobody-is-called-this";
        let error = of(MaildropOwner::User(name.into())).unwrap_err();
        assert!(error.to_string().contains(name));
    }

    #[tokio::test]
    async fn after_a_rest_it_is_the_one_that_was_locked_or_none() {
        let site = site();
        let mail = site.path().join("mail");
        fs::create_dir(mail.join("alice/Maildir")).unwrap();
        for rules in [STRICT, CREATING, FOLLOWING] {
            let alice = at(&site, "alice/Maildir", rules);
            let (_, locked) = found(&alice).await;
            assert!(alice.find_again(locked, &work()).await.is_ok());
            let own = mail.join("alice/own");
            fs::rename(mail.join("alice/Maildir"), &own).unwrap();
            let again = async || alice.find_again(locked, &work()).await.err().unwrap();
            // Gone: it is not made once more.
            let error = again().await;
            assert!(matches!(error, MaildropError::Replaced), "{error}");
            assert!(!mail.join("alice/Maildir").exists());
            // A link to another's.
            symlink("../bob/Maildir", mail.join("alice/Maildir")).unwrap();
            let error = again().await;
            assert!(
                matches!(error, MaildropError::Link(_) | MaildropError::Replaced),
                "{error}"
            );
            fs::remove_file(mail.join("alice/Maildir")).unwrap();
            // Another's itself.
            fs::rename(mail.join("bob/Maildir"), mail.join("alice/Maildir")).unwrap();
            let error = again().await;
            assert!(matches!(error, MaildropError::Replaced), "{error}");
            fs::rename(mail.join("alice/Maildir"), mail.join("bob/Maildir")).unwrap();
            fs::rename(own, mail.join("alice/Maildir")).unwrap();
            assert!(alice.find_again(locked, &work()).await.is_ok());
        }
    }

    /// Whatever takes turns at the name, what is opened is not what a link names.
    #[tokio::test]
    async fn a_link_that_comes_and_goes_is_never_followed() {
        const OPENS: usize = 5_000;
        let site = site();
        let mail = site.path().join("mail");
        fs::create_dir(mail.join("alice/Maildir")).unwrap();
        symlink("../bob/Maildir", mail.join("alice/link")).unwrap();
        let alice = at(&site, "alice/Maildir", STRICT);
        found(&alice).await;
        let bobs = identity_of(&mail.join("bob/Maildir"));
        let over = Arc::new(AtomicBool::new(false));
        let swapping = std::thread::spawn({
            let (over, folder) = (over.clone(), mail.join("alice"));
            move || {
                let swap = |from: &str, to: &str| {
                    let _ = fs::rename(folder.join(from), folder.join(to));
                };
                while !over.load(Ordering::Relaxed) {
                    swap("Maildir", "own");
                    swap("link", "Maildir");
                    swap("Maildir", "link");
                    swap("own", "Maildir");
                }
            }
        });
        let base = opening::open_base(&mail).unwrap();
        let mut opened = 0;
        for _ in 0..OPENS {
            let ways = [
                alice.find_cached().and_then(Result::ok),
                alice.find_or_make().ok(),
            ];
            for found in ways.into_iter().flatten() {
                if let Found::Directory(_, identity) = found {
                    assert_ne!(identity, bobs);
                    opened += 1;
                }
            }
            if let Ok(directory) = opening::make_directory(&base, &alice.path.rest) {
                assert_ne!(identity(&directory).unwrap().0, bobs);
            }
        }
        over.store(true, Ordering::Relaxed);
        swapping.join().unwrap();
        assert!(opened > 0);
    }

    #[tokio::test]
    async fn a_maildrop_has_one_lock_however_it_is_reached() {
        let site = site();
        symlink("mail", site.path().join("linked")).unwrap();
        symlink("bob", site.path().join("mail/robert")).unwrap();
        let key = async |prefix: &str, rest: &str, rules| {
            let mut directory = at(&site, rest, rules);
            directory.path.prefix = site.path().join(prefix);
            let found = find(&directory).await.unwrap();
            directory.lock_key(&found)
        };
        let bob = key("mail", "bob/Maildir", STRICT).await;
        assert_eq!(key("linked", "bob/Maildir", STRICT).await, bob);
        assert_eq!(key("mail/bob", "Maildir", STRICT).await, bob);
        assert_eq!(key("mail/bob/Maildir", "", STRICT).await, bob);
        assert_eq!(key("mail", "robert/Maildir", FOLLOWING).await, bob);
        let alice = key("mail", "alice/Maildir", STRICT).await;
        assert_eq!(key("linked", "alice/Maildir", STRICT).await, alice);
        assert_ne!(key("mail", "carol/Maildir", STRICT).await, alice);
        assert_ne!(alice, bob);
    }

    /// Among servers it has the path that each has it by: no number of a machine's.
    #[tokio::test]
    async fn servers_share_a_maildrop_by_its_path() {
        let site = site();
        symlink("bob", site.path().join("mail/robert")).unwrap();
        let key = async |rest: &str, rules| {
            let directory = at(&site, rest, rules);
            let found = find(&directory).await.unwrap();
            let root = match &found {
                Found::Directory(root, _) => Some(&**root),
                Found::Nothing(_) => None,
            };
            directory.shared_key(root).unwrap()
        };
        let bob = key("bob/Maildir", STRICT).await;
        let path = site.path().join("mail/bob/Maildir");
        assert_eq!(bob, path.to_str().unwrap());
        assert_eq!(key("robert/Maildir", FOLLOWING).await, bob);
        assert_ne!(key("alice/Maildir", STRICT).await, bob);
        let carol = site.path().join("mail/carol/Maildir");
        assert_eq!(key("carol/Maildir", STRICT).await, carol.to_str().unwrap());
    }
}
