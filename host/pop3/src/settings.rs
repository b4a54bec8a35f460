//! What a session is told before it begins: texts, bounds, policy, and the
//! channel it is spoken over. Plain values; where they are configured, nobody
//! here knows.

use crate::policy::{ByUser, Retention};
use crate::sasl::{ChannelBinding, Discovery, Mechanism, Mechanisms, MockCredentials};
use crate::wording::Language;

/// What a session is told once: the same for all sessions of a listener and
/// tenant.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Text of the greeting, behind "+OK ". Cleaned like a [`Refusal`](crate::Refusal)'s; a `<`
    /// in it never goes out, since it would announce APOP.
    pub greeting: String,
    /// What CAPA says of the implementation (RFC 2449 section 6.9); None: nothing.
    pub implementation: Option<String>,
    /// Days that messages stay, as EXPIRE says (RFC 2449 section 6.7); None:
    /// nothing is said. The general value is the smallest one.
    pub expire: Option<ByUser<Retention>>,
    /// Seconds between logins, as LOGIN-DELAY says (RFC 2449 section 6.5); None:
    /// nothing is said. The general value is the largest one.
    pub login_delay_seconds: Option<ByUser<u32>>,
    /// UTF8 is offered (RFC 6856 section 2). Only for a driver that heeds
    /// [`Retrieval::utf8`](crate::Retrieval::utf8).
    pub utf8: bool,
    /// LANG is offered (RFC 6856 section 3), and `LANG *` chooses this language.
    /// Until LANG is said, and without it, replies are in English.
    pub language: Option<Language>,
    /// What SCRAM shows of users whom nobody knows. Without it, SCRAM would tell
    /// who exists, and is not offered.
    pub mock_credentials: Option<MockCredentials>,
    /// What a client hears whose token is refused.
    pub discovery: Discovery,
    /// Bounds of a session.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            greeting: "POP3 server ready".into(),
            implementation: None,
            expire: None,
            login_delay_seconds: None,
            utf8: false,
            language: None,
            mock_credentials: None,
            discovery: Discovery::default(),
            limits: Limits::default(),
        }
    }
}

/// Bounds of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest command line in octets, its line end included; the same for a
    /// client's response in a SASL exchange. Never below 255 (RFC 2449 section 4).
    pub line_octets: usize,
    /// Bad commands before login that are forgiven; one more closes. A command
    /// is bad when its syntax is, or when the state or the channel forbids it.
    pub bad_commands_before_login: u32,
    /// The same after login, for the whole session: those from before count.
    pub bad_commands_after_login: u32,
    /// Failed logins until the session is closed. At least 1.
    pub login_failures: u32,
    /// Bytes in `out` from which on [`Step::Flush`](crate::Step::Flush) asks to write first. One
    /// reply (below 1 KiB) may go beyond it. Never below 512.
    pub output_bytes: usize,
}

impl Limits {
    /// The line limit that is in force.
    pub(crate) fn effective_line_octets(&self) -> usize {
        self.line_octets.max(255)
    }

    /// The high-water mark that is in force.
    pub(crate) fn effective_output_bytes(&self) -> usize {
        self.output_bytes.max(512)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line_octets: 8192,
            bad_commands_before_login: 5,
            bad_commands_after_login: 20,
            login_failures: 3,
            output_bytes: 64 * 1024,
        }
    }
}

/// What the session is spoken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Channel {
    /// TLS is up.
    pub tls: bool,
    /// STLS is offered while TLS is not up.
    pub starttls: bool,
    /// USER and PASS are allowed on this channel as it is.
    pub plaintext_login: bool,
    /// What somebody could answer for. Offered is as much of it as the channel
    /// allows: see [`Channel::offered`].
    pub mechanisms: Mechanisms,
    /// APOP is offered. It takes a timestamp:
    /// [`Session::with_timestamp`](crate::Session::with_timestamp).
    pub apop: bool,
    /// What a `-PLUS` mechanism can be bound to.
    pub binding: Option<ChannelBinding>,
}

impl Channel {
    /// The mechanisms that are legal on this channel: PLAIN and LOGIN where
    /// `plaintext_login` or TLS is; OAUTHBEARER, XOAUTH2 and EXTERNAL with TLS
    /// only (RFC 7628 section 5); `-PLUS` with a binding. What a session lacks
    /// besides (mock credentials for SCRAM, a timestamp for CRAM-MD5) it does not offer
    /// either.
    pub fn offered(&self) -> Mechanisms {
        self.mechanisms
            .iter()
            .filter(|mechanism| match mechanism {
                Mechanism::Plain | Mechanism::Login => self.tls || self.plaintext_login,
                Mechanism::OAuthBearer | Mechanism::XOAuth2 | Mechanism::External => self.tls,
                Mechanism::ScramSha1Plus | Mechanism::ScramSha256Plus => {
                    let binding = self.binding.as_ref();
                    self.tls && binding.is_some_and(|binding| !binding.is_empty())
                }
                Mechanism::ScramSha1 | Mechanism::ScramSha256 | Mechanism::CramMd5 => true,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_offers_what_it_can_carry() {
        let mechanisms = Mechanism::ALL.into_iter().collect();
        let channel = |tls, plaintext_login, binding| {
            let channel = Channel {
                tls,
                plaintext_login,
                mechanisms,
                binding,
                ..Channel::default()
            };
            channel.offered().to_string()
        };
        let bound = || {
            Some(ChannelBinding {
                unique: Some(vec![1; 12]),
                ..ChannelBinding::default()
            })
        };
        let in_the_clear = "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5";
        let plus = "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS ";
        let tls = "SCRAM-SHA-256 SCRAM-SHA-1 EXTERNAL OAUTHBEARER XOAUTH2 CRAM-MD5 PLAIN LOGIN";
        assert_eq!(channel(false, false, None), in_the_clear);
        assert_eq!(channel(false, false, bound()), in_the_clear);
        assert_eq!(
            channel(false, true, None),
            format!("{in_the_clear} PLAIN LOGIN")
        );
        assert_eq!(channel(true, false, None), tls);
        assert_eq!(channel(true, true, Some(ChannelBinding::default())), tls);
        assert_eq!(channel(true, false, bound()), format!("{plus}{tls}"));
        assert!(Channel::default().offered().is_empty());
    }
}
