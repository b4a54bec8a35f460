//! What a session is told before it begins: texts, bounds, and the channel it
//! is spoken over. Plain values; where they are configured, nobody here knows.

/// What a session is told once: the same for all sessions of a listener and
/// tenant.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Text of the greeting, behind "+OK ". Cleaned like a [`Refusal`](crate::Refusal)'s; a `<`
    /// never goes out, since it would announce APOP.
    pub greeting: String,
    /// What CAPA says of the implementation (RFC 2449 section 6.9); None: nothing.
    pub implementation: Option<String>,
    /// Bounds of a session.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            greeting: "POP3 server ready".into(),
            implementation: None,
            limits: Limits::default(),
        }
    }
}

/// Bounds of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest command line in octets, its line end included. Never below 255
    /// (RFC 2449 section 4).
    pub line_octets: usize,
    /// Bad commands before login that are forgiven; one more closes. A command
    /// is bad when its syntax is, or when the state or the channel forbids it.
    pub bad_commands_before_login: u32,
    /// The same after login, for the whole session: those from before count.
    pub bad_commands_after_login: u32,
    /// Failed logins until the session is closed. At least 1.
    pub login_failures: u32,
    /// Octets in `out` from which on [`Step::Flush`](crate::Step::Flush) asks to write first. One
    /// reply (below 1 KiB) may go beyond it. Never below 512.
    pub output_octets: usize,
}

impl Limits {
    /// The line limit that is in force.
    pub(crate) fn effective_line_octets(&self) -> usize {
        self.line_octets.max(255)
    }

    /// The high-water mark that is in force.
    pub(crate) fn effective_output_octets(&self) -> usize {
        self.output_octets.max(512)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line_octets: 8192,
            bad_commands_before_login: 5,
            bad_commands_after_login: 20,
            login_failures: 3,
            output_octets: 16 * 1024,
        }
    }
}

/// What the session is spoken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// TLS is up.
    pub tls: bool,
    /// STLS is offered while TLS is not up.
    pub starttls: bool,
    /// USER and PASS are allowed on this channel as it is.
    pub plaintext_login: bool,
}
