//! Sources of SIP that belong to no trunk: unknown addresses, bans, guesses of credentials, registrations for unknown users. Imports
//! nothing of this crate but limits.

pub mod logins;
pub(crate) mod slow_guesses;
pub mod strangers;
pub mod strays;
pub mod unknown;
