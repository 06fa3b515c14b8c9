//! Hold, hold audio and DTMF of an answered call.

pub(crate) mod dtmf;
pub(crate) mod local;
pub(crate) mod wiring;
