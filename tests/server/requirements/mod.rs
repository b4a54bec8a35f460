//! Requirements of the RFCs that only the whole server can show: what is offered
//! on which connection, logins under TLS, and clients that mean no good. Which
//! test shows what stands in tests/conformance.
mod attacks;
mod capabilities;
mod logins;
mod tls;

use restante_tests::{Pop3, Server, Site};

const PASSWORD: &str = "secret of ada";

/// A site with the user ada and one message.
fn site() -> Site {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    site.maildir("ada").deliver(MESSAGE);
    site
}

const MESSAGE: &[u8] = b"Subject: hello\n\nbody\n";

/// How a client comes to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In the clear, on a listener that knows no TLS.
    Clear,
    /// In the clear, on a listener that offers STLS.
    BeforeStls,
    /// The same, once STLS went through.
    Stls,
    /// TLS from the first octet.
    Implicit,
}

impl Way {
    const ALL: [Way; 4] = [Way::Clear, Way::BeforeStls, Way::Stls, Way::Implicit];

    fn connect(self, site: &Site, server: &Server) -> Pop3 {
        let certificate = &site.certificate;
        match self {
            Way::Clear => Pop3::connect(server.pop3()),
            Way::BeforeStls => Pop3::connect(server.address("stls")),
            Way::Stls => Pop3::connect(server.address("stls")).stls(certificate),
            Way::Implicit => Pop3::connect_tls(server.address("pop3s"), certificate),
        }
    }
}
