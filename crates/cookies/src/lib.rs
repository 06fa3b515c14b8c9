//! HTTP cookies as in a browser (RFC 6265): one [`CookieJar`] for each call or text conversation.
//!
//! This crate contains parsing, matching and limits; its users make the requests and own the jars. Values are secrets,
//! so [`Debug`](std::fmt::Debug) shows only names.

mod cookie;
mod jar;
#[cfg(test)]
mod tests;

pub use crate::cookie::{Cookie, RejectedCookie, RequestSite};
pub use crate::jar::{CookieJar, MAX_COOKIES, MAX_JAR_BYTES};
