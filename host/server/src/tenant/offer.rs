//! What clients are offered before it is known whose they are.

use restante_pop3::{Mechanism, Mechanisms};

use super::one::Tenant;
use restante_config::{PlaintextLogin, Scram};
use restante_roles::address::Client;
use restante_roles::backend::Accepts;

/// What clients are offered to log in with, as far as the tenants go; what the
/// channel allows of it, the session decides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offer {
    /// Every mechanism that somebody can answer for.
    answered: Mechanisms,
    /// SCRAM's, where somebody judges passwords and has no keys: clients like SCRAM
    /// better, and would lock such users out.
    withheld: Mechanisms,
    /// APOP.
    pub apop: bool,
    /// USER and PASS over TLS, from this machine in the clear, from anywhere in
    /// the clear.
    password: [bool; 3],
}

impl Offer {
    pub(super) fn of(tenant: &Tenant) -> Self {
        let accepts = tenant.accepts();
        let withheld = Mechanism::ALL
            .into_iter()
            .filter(|mechanism| {
                let has_keys = |one: Accepts| match mechanism {
                    Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => {
                        one.scram_sha1 && tenant.scram != Scram::Off
                    }
                    // On: those without keys cannot log in with it, and the tenant knows.
                    Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => match tenant.scram {
                        Scram::Auto => one.scram_sha256,
                        Scram::On => true,
                        Scram::Off => false,
                    },
                    _ => true,
                };
                let mut all = tenant.authenticators.iter().map(|one| one.accepts());
                all.any(|one| one.password && !has_keys(one))
            })
            .collect();
        let answered = Mechanism::ALL
            .into_iter()
            .filter(|mechanism| match mechanism {
                Mechanism::Plain | Mechanism::Login => accepts.password,
                Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => {
                    accepts.scram_sha1 && tenant.scram != Scram::Off
                }
                Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                    accepts.scram_sha256 && tenant.scram != Scram::Off
                }
                Mechanism::External => accepts.certificate,
                Mechanism::OAuthBearer | Mechanism::XOAuth2 => accepts.bearer,
                Mechanism::CramMd5 => accepts.digest && tenant.cram_md5,
            })
            .collect();
        let loopback = tenant.plaintext_login != PlaintextLogin::Never;
        let always = tenant.plaintext_login == PlaintextLogin::Always;
        Offer {
            answered,
            withheld,
            apop: accepts.digest && tenant.apop,
            password: [true, loopback, always].map(|allowed| allowed && accepts.password),
        }
    }

    /// The mechanisms.
    pub fn mechanisms(&self) -> Mechanisms {
        self.answered
            .iter()
            .filter(|mechanism| !self.withheld.contains(*mechanism))
            .collect()
    }

    /// Whether a password may come over a connection like this.
    pub fn password(&self, tls: bool, client: Client) -> bool {
        let [over_tls, from_here, from_anywhere] = self.password;
        (tls && over_tls) || from_anywhere || (from_here && client.is_loopback())
    }

    pub(super) fn with(self, other: Offer) -> Offer {
        let both = |one: Mechanisms, other: Mechanisms| one.iter().chain(other.iter()).collect();
        Offer {
            answered: both(self.answered, other.answered),
            withheld: both(self.withheld, other.withheld),
            apop: self.apop | other.apop,
            password: std::array::from_fn(|at| self.password[at] | other.password[at]),
        }
    }
}
