//! Requests to the web applications that decide about calls: documents, callbacks and the audio that documents name. Signed and shaped
//! as Twilio's are; bounded in time, size and reach.
//!
//! Nothing here knows a call or TwiML: what is sent is the caller's, and what comes back is handed to it as it is. URLs come from
//! documents, so each is judged by a [`Reach`](crate::system::reach::Reach).

pub(crate) mod client;
pub(crate) mod codes;
mod connection;
mod cookies;
pub(crate) mod figures;
pub(crate) mod media;
mod names;
pub(crate) mod outcome;
mod overrides;
mod pool;
mod redirects;
pub(crate) mod request;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use target::{host_of, shown as shown_url, shown_origin};
