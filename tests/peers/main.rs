//! The server beside other programs: mail clients, other servers, scanners, providers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod clients;
mod dialogue;
mod dovecot;
mod external;
mod http_auth;
mod mbox;
mod oauth2;
mod pair;
mod pop3_proxy;
mod scanners;
