//! The media of a call: connections, what the edge itself plays, and DTMF.

pub(crate) mod coaching;
pub(crate) mod dtmf;
pub(crate) mod local;
pub(crate) mod wiring;
