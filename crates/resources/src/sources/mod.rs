//! Sources of SIP that belong to no trunk: unknown addresses, bans, password guessing and registrations of unknown
//! users. Imports only `limits` from this crate.

pub mod logins;
pub(crate) mod slow_guesses;
pub mod strangers;
pub mod strays;
pub mod unknown;

use crate::sources::logins::Logins;
use crate::sources::strangers::Strangers;
use crate::sources::strays::Strays;
use crate::sources::unknown::Unknown;

/// Sources of SIP that belong to no trunk.
#[derive(Debug, Default)]
pub struct Sources {
    /// Unknown sources and bans.
    pub strangers: Strangers,
    /// Requests that match no trunk.
    pub unknown: Unknown,
    /// REGISTER requests for unknown users.
    pub strays: Strays,
    /// Requests with wrong credentials.
    pub logins: Logins,
}
