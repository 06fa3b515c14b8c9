//! Hold, hold audio and DTMF of an answered call.

pub(crate) mod dtmf;
pub(crate) mod held;
pub(crate) mod hold;
pub(crate) mod info;
pub(crate) mod meanwhile;
