//! Whose components are let in.
