//! What every kind of engine owes, asked of each of them.

#![allow(clippy::unwrap_used)]

#[macro_use]
mod suite;

mod crash;
mod database;
mod files;
mod memory;
mod postgres;
mod postgres_faults;
mod postgres_holds;
mod postgres_pooled;
mod proxy;
mod s3;
mod s3_servers;
mod split;
mod sqlite;
