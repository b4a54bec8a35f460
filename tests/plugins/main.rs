//! Plugins from outside: what their authors do, what components are held against.

#![allow(clippy::unwrap_used, reason = "tests")]

mod c;
mod dev;
mod examples;
mod fixtures;
mod guests;
mod kit;
mod kit_bench;
mod new;
mod record;
