//! What new sessions are served with.

use std::sync::Arc;

use super::settings::SessionSettings;
use super::tenants::Tenants;
use crate::shutdown::Ending;
use crate::tls::Contexts;
use restante_roles::metrics::GenerationMark;
use restante_roles::recording::Recorder;

/// What new sessions are served with. A session keeps the one it began with.
pub struct Serving {
    /// Everybody's policy.
    pub tenants: Tenants,
    /// For implicit TLS and STLS; None: there is no certificate.
    pub tls: Option<Arc<Contexts>>,
    /// What holds for every session.
    pub settings: SessionSettings,
    /// Its number, and that it lives.
    pub generation: GenerationMark,
    /// When its sessions have to go, once another has taken its place.
    pub ending: Ending,
    /// Who records sessions, if any are.
    pub recorder: Option<Arc<Recorder>>,
}
