//! The plugin that is examined, and maildrops to try things on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use restante_roles::address::Client;
use restante_roles::backend::{
    Account, Admission, Attributes, Authenticator, ClientCertificate, Connection, Filter, Selector,
    Store, Tls,
};
use restante_roles::metrics::Ledger;
use restante_roles::work::WorkHold;

use crate::messages;

/// A plugin's roles, and what they are asked about.
pub struct Candidate {
    /// Each role that it has.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// See above.
    pub store: Option<Arc<dyn Store>>,
    /// See above.
    pub filter: Option<Arc<dyn Filter>>,
    /// See above.
    pub selector: Option<Arc<dyn Selector>>,
    /// See above.
    pub admission: Option<Arc<dyn Admission>>,
    /// A user whom the authenticator knows, and the password.
    pub user: Option<(String, String)>,
    /// Where stores find mail.
    pub maildrops: Maildrops,
}

impl Candidate {
    /// A client from this address. Each is of a tenant of its own: a plugin that
    /// fails does not get a rest for it, and no listing is remembered.
    pub(crate) fn connection(&self, client: Client, tls: Option<Tls>) -> Arc<Connection> {
        static TENANTS: AtomicU32 = AtomicU32::new(0);
        let tenant = format!("kit{}", TENANTS.fetch_add(1, Ordering::Relaxed));
        Arc::new(Connection {
            session: "kit".into(),
            ledger: Ledger::new(&tenant),
            tenant,
            listener: "kit".into(),
            client,
            penalised: false,
            tls,
            recording: None,
            hold: WorkHold::default(),
        })
    }

    pub(crate) fn usual_connection(&self) -> Arc<Connection> {
        let tls = Tls {
            version: "TLSv1.3".into(),
            cipher: "TLS13_AES_256_GCM_SHA384".into(),
            server_name: Some("pop.example.org".into()),
            client_certificate: None,
        };
        // RFC 5737: an address for documentation.
        self.connection(Client::at(([192, 0, 2, 7], 54321).into()), Some(tls))
    }

    /// The same for a client that has shown this certificate, in DER.
    pub(crate) fn connection_with_certificate(&self, der: Vec<u8>) -> Arc<Connection> {
        let mut connection = (*self.usual_connection()).clone();
        let tenant = connection.tenant.clone();
        let tls = connection.tls.as_mut().expect("the usual one has TLS");
        tls.client_certificate = Some(ClientCertificate { der, tenant });
        Arc::new(connection)
    }

    pub(crate) fn account(&self, maildrop: &str) -> Account {
        let user = match &self.user {
            Some((user, _)) => user.clone(),
            None => "kit@example.org".into(),
        };
        Account {
            user,
            maildrop: maildrop.into(),
            attributes: Attributes::default(),
        }
    }
}

/// Maildrops to try things on: each a copy of its own, so that nothing that is
/// removed is missed.
#[derive(Clone)]
pub struct Maildrops {
    source: PathBuf,
    root: PathBuf,
    made: Arc<AtomicU32>,
}

/// Octets and files of a maildrop that is copied for each check.
const COPIED_OCTETS: u64 = 1 << 30;
const COPIED_FILES: usize = 100_000;

impl Maildrops {
    /// Copies of `source` appear below `root`, which stands in the grant as
    /// `root/{maildrop}`.
    pub fn of(source: PathBuf, root: PathBuf) -> Self {
        let made = Arc::default();
        Maildrops { source, root, made }
    }

    /// Copies of another maildrop, in the same place.
    #[must_use]
    pub fn beside(&self, source: PathBuf) -> Self {
        Maildrops {
            source,
            ..self.clone()
        }
    }

    /// Copies of a Maildir of the kit's own messages, which is made in `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sample(folder: &Path, root: PathBuf) -> io::Result<Self> {
        let source = folder.join("sample");
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(source.join(part))?;
        }
        for (position, (_, octets)) in messages::all().into_iter().enumerate() {
            let (directory, flags) = match position % 2 {
                0 => ("new", ""),
                _ => ("cur", ":2,S"),
            };
            let name = format!("{}.M{position}P1.kit{flags}", 1_700_000_000 + position);
            fs::write(source.join(directory).join(name), octets)?;
        }
        Ok(Maildrops::of(source, root))
    }

    /// The name of a new copy, as an account has it.
    ///
    /// # Errors
    /// When the maildrop cannot be copied, or is too large for that.
    pub fn fresh(&self) -> io::Result<String> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("copy{number}");
        let mut left = (COPIED_FILES, COPIED_OCTETS);
        copy(&self.source, &self.root.join(&name), &mut left)?;
        Ok(name)
    }

    /// What is not needed any more takes no room.
    pub(crate) fn discard(&self, name: &str) {
        let _ = fs::remove_dir_all(self.root.join(name));
    }
}

/// Regular files and directories; with their times, which stores may go by.
fn copy(from: &Path, to: &Path, left: &mut (usize, u64)) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let about = entry.metadata()?;
        let target = to.join(entry.file_name());
        if about.is_dir() {
            copy(&entry.path(), &target, left)?;
        } else if about.is_file() {
            let files = left.0.checked_sub(1);
            let octets = left.1.checked_sub(about.len());
            let (Some(files), Some(octets)) = (files, octets) else {
                return Err(io::Error::other(format!(
                    "it has more than {COPIED_FILES} files or {COPIED_OCTETS} octets: give a smaller one"
                )));
            };
            *left = (files, octets);
            fs::copy(entry.path(), &target)?;
            let modified = about.modified()?;
            fs::File::options()
                .append(true)
                .open(&target)?
                .set_modified(modified)?;
        }
    }
    let modified = fs::metadata(from)?.modified()?;
    fs::File::open(to)?.set_modified(modified)
}
