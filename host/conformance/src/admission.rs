//! What an admission owes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::candidate::Candidate;
use crate::exam::{Checked, Exam, Printable, expect, served};
use restante_roles::address::Client;
use restante_roles::backend::{Admission, Admitted};

/// Octets of what a client is told: a response line has 512 (RFC 2449 section
/// 4).
const TEXT_OCTETS: usize = 400;

pub(super) async fn examine(exam: &mut Exam<'_>, admission: &dyn Admission) {
    let candidate = exam.candidate;
    exam.check(
        "any client",
        "admission: an answer for each address and for an unknown one (::), in the clear and under TLS",
        any_client(candidate, admission),
    )
    .await;
}

async fn any_client(candidate: &Candidate, admission: &dyn Admission) -> Checked {
    let under_tls = candidate.usual_connection().tls.clone();
    let clients = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        IpAddr::V4(Ipv4Addr::BROADCAST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7)),
        IpAddr::V6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped()),
    ];
    let clients = clients.map(|address| Client::at((address, 54321).into()));
    for client in clients.into_iter().chain([Client::Unknown]) {
        for tls in [None, under_tls.clone()] {
            let how = if tls.is_some() {
                "under TLS"
            } else {
                "in the clear"
            };
            let sent = format!("admit() of {client}, {how}");
            let connection = candidate.connection(client, tls);
            let answer = served(admission.admit(&connection).await, &sent)?;
            if let Admitted::No(text) = answer {
                let plain = text.chars().all(|letter| !letter.is_control());
                expect(
                    plain && text.len() <= TEXT_OCTETS,
                    sent,
                    format_args!(
                        "\"no\" with a text of more than a line: {}",
                        Printable(text.as_bytes())
                    ),
                )?;
            }
        }
    }
    Ok(())
}
