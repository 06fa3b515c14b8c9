//! HTTP requests to the web applications that control calls: documents, callbacks, and audio files named by documents.
//! They are signed and formatted like Twilio's, and limited in time, size and permitted addresses.
//!
//! This module knows neither calls nor TwiML: its caller supplies the contents and interprets the responses. URLs come
//! from documents, so each is checked against [`ReachRules`](trunkgate_system::reach::ReachRules).

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
