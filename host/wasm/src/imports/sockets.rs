//! `wasi:sockets`: connections to granted places, and the names of these.

mod lookup;
mod network;
mod tcp;
