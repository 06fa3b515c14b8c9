//! Requests to the web applications that decide about calls: documents, callbacks and the audio that documents name. Signed and shaped
//! as Twilio's are; bounded in time, size and reach.
//!
//! Nothing here knows a call or TwiML: what is sent is the caller's, and what comes back is handed to it as it is. URLs come from
//! documents, so each is judged by a [`Reach`](trunkgate_system::reach::Reach).

pub mod client;
pub mod codes;
mod connection;
mod cookies;
pub mod figures;
pub mod media;
mod names;
pub mod outcome;
mod overrides;
mod pool;
mod redirects;
pub mod request;
mod target;
#[cfg(test)]
mod tests;

pub use target::{host_of, shown as shown_url, shown_origin};
