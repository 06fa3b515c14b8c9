//! Presentation of calls: reasons, traces and their messages, views, diagnoses and records, with secrets and numbers
//! masked. This crate defines the data, not the calls themselves.

pub mod agent_fix;
pub mod captured;
pub mod change;
pub mod diagnosis;
pub mod dns;
pub mod few;
pub mod impairment;
mod kept_bytes;
pub mod last_hour;
pub mod limits;
pub mod masked;
pub mod messages;
pub mod numbers;
pub mod party_view;
pub mod q850;
pub mod quality;
pub mod reason;
pub mod redact;
pub mod report;
pub mod said;
pub mod sampled;
mod samples;
pub mod sentence;
pub mod series;
pub mod sms;
pub mod sounded;
pub mod status;
pub mod tls;
pub mod trace;
pub mod turns;
pub mod unsent;
pub mod view;
pub mod wall;
pub mod word;

pub use diagnosis::{NO_AGENT_AUDIO, OUR_ADDRESS, UNSENT};
pub use reason::ReasonSlug;
pub use report::CallRecord;
pub use said::FailureResponse;
pub use view::{AnnouncedAddresses, CallView, LegView};
