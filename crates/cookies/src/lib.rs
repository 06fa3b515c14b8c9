//! HTTP cookies as a browser keeps them (RFC 6265): one [`CookieJar`] for a call, or for a conversation of text messages.
//!
//! Parsing, matching and bounds stand here; requests and their jars belong to the users of this crate. Values are secrets:
//! [`Debug`](std::fmt::Debug) shows names only.

mod cookie;
mod jar;
#[cfg(test)]
mod tests;

pub use crate::cookie::{Cookie, RejectedCookie, RequestSite};
pub use crate::jar::{CookieJar, MAX_COOKIES, MAX_JAR_BYTES};
