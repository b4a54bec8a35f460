//! What holds for every session, whoever's it is.

use std::sync::Arc;
use std::time::Duration;

use restante_pop3::{Discovery, Language, MockCredentials};

use crate::clock::Clock;
use crate::penalty::Backoff;
use crate::policy;
use restante_config as config;
use restante_config::{UserNames, Utf8};

/// Octets of a SCRAM salt, as nearly everybody makes them.
const SCRAM_SALT_OCTETS: usize = 16;

/// What SCRAM shows of users whom nobody knows; `secret` is [`MockCredentials::new`]'s.
pub fn mock_credentials(server: &config::Server, secret: [u8; 32]) -> MockCredentials {
    MockCredentials::new(secret, server.scram_iterations, SCRAM_SALT_OCTETS)
}

/// What holds for every session, whoever's it is.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The protocol's own: greeting, capabilities, limits.
    pub protocol: Arc<restante_pop3::Settings>,
    /// From accept to login as a whole.
    pub login_timeout: Duration,
    /// From the last command to the end (RFC 1939 section 3, autologout timer).
    pub autologout: Duration,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// For the client to take one more octet.
    pub write_timeout: Duration,
    /// What a client gets that has not said UTF8.
    pub utf8: Utf8,
    /// From PASS to the answer that the login failed.
    pub failure_delay: Backoff,
    /// The server's name, as APOP and CRAM-MD5 put it in their challenges.
    pub hostname: Arc<str>,
    /// Which names of failed logins stand in the log.
    pub user_names: UserNames,
    /// What the time was when the server started.
    pub clock: Clock,
}

impl SessionSettings {
    /// As the configuration has them; `mock_credentials` as [`mock_credentials`] makes it.
    pub fn new(
        server: &config::Server,
        tenants: &[config::Tenant],
        mock_credentials: MockCredentials,
    ) -> Self {
        let (expire, login_delay_seconds) = policy::announced(tenants);
        let limits = &server.limits;
        let mut protocol = restante_pop3::Settings {
            greeting: format!("{} POP3 server ready", server.hostname),
            implementation: server
                .implementation
                .then(|| concat!("restante-", env!("CARGO_PKG_VERSION")).to_owned()),
            // Whose user the client is, is not known when it is offered.
            utf8: tenants
                .iter()
                .filter_map(|tenant| tenant.utf8)
                .chain([server.utf8])
                .any(|utf8| utf8 != Utf8::Off),
            language: Some(Language::English),
            expire,
            login_delay_seconds,
            mock_credentials: Some(mock_credentials),
            discovery: Discovery {
                scope: server.oauth.scope.clone(),
                openid_configuration: server.oauth.configuration.clone(),
            },
            ..restante_pop3::Settings::default()
        };
        protocol.limits.line_octets = limits.line;
        protocol.limits.bad_commands_before_login = limits.bad_commands_before_login;
        protocol.limits.bad_commands_after_login = limits.bad_commands_after_login;
        protocol.limits.login_failures = limits.login_failures;
        SessionSettings {
            protocol: Arc::new(protocol),
            login_timeout: limits.login_timeout,
            autologout: limits.autologout,
            handshake_timeout: limits.handshake_timeout,
            write_timeout: limits.write_timeout,
            utf8: server.utf8,
            failure_delay: Backoff {
                first: limits.failure_delay,
                longest: limits.max_failure_delay,
                decay: limits.failure_decay,
            },
            hostname: server.hostname.as_str().into(),
            user_names: server.log.user_names,
            clock: Clock::at_start(),
        }
    }
}
