//! The plugin that is examined, and maildrops to try things on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use restante_roles::address::Client;
use restante_roles::backend::{
    Account, Admission, Attributes, Authenticator, ClientCertificate, Connection, Filter, Selector,
    Store, Tls,
};
use restante_roles::metrics::Ledger;
use restante_roles::work::WorkHold;

use crate::maildrops::{MaildropCopy, MaildropSource};

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
    pub maildrops: Arc<dyn MaildropSource>,
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

    /// The same for a client whose session has this maildrop.
    pub(crate) fn connection_to(&self, copy: &MaildropCopy) -> Arc<Connection> {
        let mut connection = (*self.usual_connection()).clone();
        if let Some(tenant) = &copy.tenant {
            connection.ledger = Ledger::new(tenant);
            connection.tenant.clone_from(tenant);
        }
        Arc::new(connection)
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
