//! Sources of SIP that belong to no trunk: unknown addresses, bans, password guessing and registrations of unknown
//! users. Imports only `limits` from this crate.

pub mod logins;
pub(crate) mod slow_guesses;
pub mod strays;
pub mod unknown_sources;
pub mod unknown_traffic;

use crate::sources::logins::FailedLogins;
use crate::sources::strays::UnknownRegistrations;
use crate::sources::unknown_sources::UnknownSources;
use crate::sources::unknown_traffic::UnknownTraffic;

/// Sources of SIP that belong to no trunk.
#[derive(Debug, Default)]
pub struct Sources {
    /// Unknown sources and bans.
    pub strangers: UnknownSources,
    /// Requests that match no trunk.
    pub unknown: UnknownTraffic,
    /// REGISTER requests for unknown users.
    pub strays: UnknownRegistrations,
    /// Requests with wrong credentials.
    pub logins: FailedLogins,
}
