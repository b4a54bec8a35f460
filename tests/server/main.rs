//! The server from outside: sessions, logins, reloads, tenants, what the operator sees.

#![allow(clippy::unwrap_used, reason = "tests")]

mod admin;
mod bad_input;
mod bad_users;
mod buckets;
mod checks;
mod commands;
mod configurations;
mod crash;
mod databases;
mod engine_guests;
mod engine_logins;
mod engine_maildrops;
mod links;
mod maildirs;
mod maildrop_copy;
mod nodes;
mod octets;
mod reload;
mod requirements;
mod sasl;
mod service;
mod sessions;
mod shared;
mod surrogates;
mod tenants;
mod trust;
