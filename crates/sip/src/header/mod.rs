//! Header names, and typed views of header values that are parsed on demand from the bytes of a message.

mod cseq;
mod name;
mod name_addr;
pub(crate) mod params;
pub(crate) mod rack;
mod replaces;
mod session;
mod via;

pub use cseq::CSeq;
pub use name::HeaderName;
pub use name_addr::NameAddr;
pub use rack::RAck;
pub use replaces::Replaces;
pub(crate) use session::min_se;
pub use session::{Refresher, SessionExpires};
pub use via::Via;
