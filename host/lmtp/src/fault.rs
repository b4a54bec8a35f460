//! What can be wrong with a command, and how it is answered.

use crate::address::BadAddress;
use crate::reply::Reply;

/// A command that is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reply: Reply,
    /// It counts as a bad command.
    pub(crate) is_bad: bool,
}

impl Fault {
    pub(crate) const TOO_LONG: Fault = Fault::bad(500, "5.5.2", "Line too long");
    pub(crate) const BARE_LINE_FEED: Fault =
        Fault::bad(500, "5.5.2", "Bare LF in a command: end lines with CRLF");
    pub(crate) const CONTROL_CHARACTER: Fault =
        Fault::bad(500, "5.5.2", "Control character in a command");
    pub(crate) const NOT_UTF8: Fault = Fault::bad(500, "5.5.2", "Command is not UTF-8");
    pub(crate) const UNKNOWN: Fault = Fault::bad(500, "5.5.1", "Unknown command");
    pub(crate) const NOT_SMTP: Fault = Fault::bad(500, "5.5.1", "This is LMTP: say LHLO");
    pub(crate) const NOT_IMPLEMENTED: Fault = Fault::bad(502, "5.5.1", "Not implemented");
    pub(crate) const NOT_OFFERED: Fault = Fault::bad(502, "5.5.1", "Not offered here");
    pub(crate) const TLS_REQUIRED: Fault = Fault::bad(530, "5.7.0", "Say STARTTLS first");
    pub(crate) const UNAUTHORIZED: Fault =
        Fault::bad(550, "5.7.0", "Not allowed from your address");
    pub(crate) const MESSAGE_TOO_LARGE: Fault = Fault::refused(
        552,
        "5.3.4",
        "Message too large: see SIZE in the answer to LHLO",
    );
    pub(crate) const TOO_MANY_RECIPIENTS: Fault = Fault::refused(
        452,
        "4.5.3",
        "Too many recipients, send the rest as another message",
    );
    /// RFC 2033 section 4.2. The client may have sent it before it knew.
    pub(crate) const NO_RECIPIENTS: Fault = Fault::refused(503, "5.5.1", "No valid recipients");

    const fn bad(code: u16, status: &'static str, text: &'static str) -> Self {
        Fault {
            reply: Reply::new(code, status, text),
            is_bad: true,
        }
    }

    const fn refused(code: u16, status: &'static str, text: &'static str) -> Self {
        Fault {
            reply: Reply::new(code, status, text),
            is_bad: false,
        }
    }

    /// Arguments that are none of this command.
    pub(crate) const fn syntax(text: &'static str) -> Self {
        Fault::bad(501, "5.5.4", text)
    }

    /// A command out of order.
    pub(crate) const fn order(text: &'static str) -> Self {
        Fault::bad(503, "5.5.1", text)
    }

    /// A parameter of MAIL or RCPT that is not known (RFC 5321 section 4.1.1.11).
    pub(crate) fn unknown_parameter(keyword: &str) -> Self {
        Fault {
            reply: Reply::told(555, "5.5.4", &format!("Parameter not known: {keyword}")),
            is_bad: true,
        }
    }

    /// A parameter whose value is wrong, or that is there twice.
    pub(crate) fn bad_parameter(keyword: &str) -> Self {
        Fault {
            reply: Reply::told(501, "5.5.4", &format!("Bad value of parameter {keyword}")),
            is_bad: true,
        }
    }

    /// The address of MAIL.
    pub(crate) const fn sender(why: BadAddress) -> Self {
        match why {
            BadAddress::Syntax => Fault::refused(501, "5.1.7", "Bad sender address"),
            BadAddress::TooLong => Fault::refused(501, "5.1.7", "Sender address too long"),
            BadAddress::NoDomain => Fault::refused(501, "5.1.7", "Sender address needs a domain"),
            BadAddress::NotAscii => {
                Fault::refused(553, "5.6.7", "Sender address in UTF-8 needs SMTPUTF8")
            }
        }
    }

    /// The address of RCPT.
    pub(crate) const fn recipient(why: BadAddress) -> Self {
        match why {
            BadAddress::Syntax => Fault::refused(501, "5.1.3", "Bad recipient address"),
            BadAddress::TooLong => Fault::refused(501, "5.1.3", "Recipient address too long"),
            BadAddress::NoDomain => {
                Fault::refused(501, "5.1.3", "Recipient address needs a domain")
            }
            BadAddress::NotAscii => {
                Fault::refused(553, "5.6.7", "Recipient address in UTF-8 needs SMTPUTF8")
            }
        }
    }
}
