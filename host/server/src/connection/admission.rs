//! Whether the client may talk to us at all: the admissions of its tenant.
//!
//! They are asked once the tenant is known: before the greeting and again when
//! TLS is up, where the server name says whose client it is, or nobody but the
//! default tenant has users; else at login, lest one tenant's admission turns away
//! another one's clients.

use std::sync::Arc;
use std::time::Duration;

use restante_pop3::{Refusal, ResponseCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tracing::info;

use super::Driver;
use super::end::End;
use super::login::{LoginError, Refused};
use super::refusal::refusal_for;
use crate::tenant::Tenant;
use restante_roles::backend::{Admitted, Connection};
use restante_roles::recording;
use restante_roles::shadow::Leave;
use restante_roles::work::WorkHold;

/// The longest that an admission may let a client wait.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Asks on the channel as it is now. False: the session is over, and what the
    /// client hears of it is written.
    pub(super) async fn is_admitted(&mut self) -> Result<bool, End> {
        self.admitted = None;
        let serving = Arc::clone(&self.serving);
        let Some(tenant) = serving.tenants.certain(self.server_name()) else {
            return Ok(true);
        };
        match self.admit(tenant).await {
            Ok(()) => Ok(true),
            Err(LoginError::End(end)) => Err(end),
            Err(LoginError::Refused(refused)) => {
                self.session.turn_away(&refused.refusal, self.wire.out());
                Ok(false)
            }
        }
    }

    /// Asks the tenant's admissions, unless they let this client in already.
    pub(super) async fn admit(&mut self, tenant: &Tenant) -> Result<(), LoginError> {
        let nobody = tenant.admissions.is_empty() && tenant.shadows.admissions.is_empty();
        if nobody || self.admitted.as_ref() == Some(&tenant.name) {
            return Ok(());
        }
        let connection = self.connection(tenant);
        let asked = self.wire.flush_while(ask(tenant, &connection)).await?;
        let delay = match asked {
            Ok(delay) => delay,
            Err(refusal) => {
                info!(tenant = tenant.name, why = refusal.text(), "not admitted");
                return Err(Refused::not_admitted(refusal).into());
            }
        };
        if !delay.is_zero() {
            self.wire.flush().await?;
            sleep(delay.min(LONGEST_DELAY)).await;
        }
        self.admitted = Some(tenant.name.clone());
        Ok(())
    }

    /// The connection as this tenant may know it.
    pub(super) fn connection(&self, tenant: &Tenant) -> Arc<Connection> {
        Arc::new(Connection {
            session: self.id.clone(),
            tenant: tenant.name.clone(),
            ledger: Arc::clone(&tenant.ledger),
            listener: self.peer.listener.to_string(),
            client: self.peer.client,
            penalised: !self.penalty().is_zero(),
            tls: self.tls.as_ref().map(|tls| tls.seen_by(&tenant.name)),
            recording: self.recording(tenant),
            hold: WorkHold::default(),
        })
    }

    /// Where this session is recorded as one of this tenant's, if it is.
    fn recording(&self, tenant: &Tenant) -> Option<Arc<recording::Session>> {
        let recorder = self.serving.recorder.as_ref()?;
        if !recorder.records(&tenant.name) {
            return None;
        }
        let begin = || {
            let (listener, client) = (self.peer.listener.to_string(), self.peer.client.to_string());
            recorder.session(&self.id, &listener, &client)
        };
        self.recording.get_or_init(begin).clone()
    }
}

/// How long the client has to wait, or what it hears instead of being let in.
async fn ask(tenant: &Tenant, connection: &Arc<Connection>) -> Result<Duration, Refusal> {
    let mut longest = 0;
    for admission in &tenant.admissions {
        match admission.admit(connection).await {
            Ok(Admitted::Yes) => {}
            Ok(Admitted::Delayed(milliseconds)) => longest = longest.max(milliseconds),
            Ok(Admitted::No(words)) => {
                tenant.shadows.admitted(connection, &Leave::Denied);
                return Err(Refusal::new(Some(ResponseCode::SysPerm), &words));
            }
            Err(failure) => {
                tenant.shadows.admitted(connection, &Leave::Failed);
                return Err(refusal_for(&failure));
            }
        }
    }
    tenant
        .shadows
        .admitted(connection, &Leave::Admitted(longest));
    Ok(Duration::from_millis(longest.into()))
}
