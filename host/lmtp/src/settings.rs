//! What a session is told before it begins: its name, what it offers, its bounds,
//! and the channel it is spoken over. Plain values; where they are configured,
//! nobody here knows.

/// What a session is told once: the same for all sessions of a listener.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's name, in the greeting and in the answer to LHLO. Printable ASCII
    /// without spaces; anything else goes out as `?`.
    pub host_name: String,
    /// SMTPUTF8 is offered (RFC 6531): addresses in UTF-8 are taken.
    pub smtputf8: bool,
    /// CHUNKING and BINARYMIME are offered (RFC 3030): BDAT is taken.
    pub chunking: bool,
    /// What becomes of messages with a CR or LF that is no part of a CRLF.
    pub bare_line_ends: BareLineEnds,
    /// Bounds of a session.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            host_name: "localhost".into(),
            smtputf8: true,
            chunking: true,
            bare_line_ends: BareLineEnds::Refuse,
            limits: Limits::default(),
        }
    }
}

/// What becomes of a message that is not BODY=BINARYMIME and has a CR or LF that is
/// no part of a CRLF. Neither ends a line or the message, whichever is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BareLineEnds {
    /// It is refused for good once all of it has come, by 550 5.6.0 for each
    /// recipient. RFC 5321 section 2.3.8 forbids clients to send such octets, and
    /// programs further on that take them for line ends can be made to see what is not
    /// there.
    #[default]
    Refuse,
    /// It is taken octet for octet: for clients that pass on what they were given,
    /// as Postfix before 3.9 does with a bare CR.
    Keep,
}

/// Bounds of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest command line in octets, its line end included. Never below 2,048: what
    /// RFC 5321 section 4.5.3.1.4 and the extensions of MAIL and RCPT add up to.
    pub line_octets: usize,
    /// Recipients of one message; one more is refused by 452 4.5.3. Never below 100
    /// (RFC 5321 section 4.5.3.1.8).
    pub recipients: u32,
    /// Octets of one message, as SIZE counts them (RFC 1870 section 5): line ends as
    /// CRLF, without byte-stuffing and the final dot.
    pub message_octets: u64,
    /// Bad commands that are forgiven; one more closes. A command is bad when its
    /// syntax is, or when it comes out of order. An address that is refused is no bad
    /// command, nor is what was sent behind a refused MAIL before its answer came.
    pub bad_commands: u32,
    /// Bytes in `out` from which on [`Step::Flush`](crate::Step::Flush) asks to write
    /// first. One reply (below 1 KiB) may go beyond it. Never below 512.
    pub output_bytes: usize,
}

impl Limits {
    /// The line limit that is in force.
    pub(crate) fn effective_line_octets(&self) -> usize {
        self.line_octets.max(2048)
    }

    /// The most recipients that are in force.
    pub(crate) fn effective_recipients(&self) -> u32 {
        self.recipients.max(100)
    }

    /// The high-water mark that is in force.
    pub(crate) fn effective_output_bytes(&self) -> usize {
        self.output_bytes.max(512)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line_octets: 4096,
            recipients: 1000,
            message_octets: 64 * 1024 * 1024,
            bad_commands: 20,
            output_bytes: 64 * 1024,
        }
    }
}

/// What the session is spoken over, and what its peer may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Channel {
    /// TLS is up.
    pub tls: bool,
    /// STARTTLS is offered while TLS is not up.
    pub starttls: bool,
    /// No mail is taken before TLS is up (530 5.7.0, RFC 3207 section 4).
    pub tls_required: bool,
    /// The peer may say by XCLIENT who the client is that it speaks for.
    pub xclient: bool,
    /// The peer may say by XFORWARD where a message came from.
    pub xforward: bool,
}
