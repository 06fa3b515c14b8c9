//! Requests of scripts to the application, for what begins without a call: a form that is sent, a callback that is wanted.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use url::Url;

use crate::system::web;

/// Longest answer that is read, and the longest wait for it.
const ANSWER: (u64, Duration) = (64 << 10, Duration::from_secs(15));
/// Media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// The application, by the URL of its webhook.
#[derive(Debug)]
pub(super) struct Application {
    pub(super) url: Url,
}

impl Application {
    /// Makes a request; returns its status. `place` is a URL, or one relative to that of the webhook.
    ///
    /// # Errors
    /// There is no answer, or its status is no success, in words.
    pub(super) async fn ask(&self, method: &str, place: &str, form: &str) -> Result<String, String> {
        let url = self.url.join(place).map_err(|error| format!("{place}: {error}"))?;
        let method = if method == "GET" { Method::GET } else { Method::POST };
        let request = web::request(method, &url).header(CONTENT_TYPE, FORM);
        send(&url, request.body(Full::new(Bytes::from(form.to_owned())))).await
    }
}

/// Sends a request; returns the status of its answer.
///
/// # Errors
/// There is no answer, or its status is no success, in words.
pub(super) async fn send(
    url: &Url,
    request: Result<hyper::Request<Full<Bytes>>, hyper::http::Error>,
) -> Result<String, String> {
    let request = request.map_err(|error| error.to_string())?;
    let asked = tokio::time::timeout(ANSWER.1, web::ask(url, request, |_| ANSWER.0)).await;
    let answer = asked.map_err(|_| format!("no answer within {} s", ANSWER.1.as_secs()))?;
    let answer = answer.map_err(|fault| fault.what().to_owned())?;
    let status = format!("HTTP {}", answer.status.as_u16());
    let body = String::from_utf8_lossy(&answer.body).lines().next().unwrap_or_default().to_owned();
    if answer.status.is_client_error() || answer.status.is_server_error() {
        return Err(if body.is_empty() { status } else { format!("{status}: {body}") });
    }
    Ok(status)
}
