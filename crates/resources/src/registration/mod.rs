//! Registrations in both directions: of this edge with its trunks' registrars, and of phones with this edge.

pub(crate) mod register;
pub mod registrar;
