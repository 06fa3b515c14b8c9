//! Redirects of one request: the permitted ones, their maximum number, and detection of loops.

use hyper::header::LOCATION;

use super::cookies::RequestCookies;
use super::outcome::{AttemptFault, AttemptFaultKind, WebhookResponse};
use super::request::{RequestHop, RequestMethod};
use super::target::{BadUrl, PlainRule};
use trunkgate_system::limits::WEBHOOK_REDIRECTS;

/// Request of one hop, reduced to the parts that determine its response.
#[derive(PartialEq, Eq)]
struct HopRequest {
    url: String,
    method: RequestMethod,
    /// Value of the Cookie header; secret.
    cookies: Option<String>,
}

impl HopRequest {
    fn of(hop: &RequestHop, cookies: &RequestCookies) -> HopRequest {
        let cookies = cookies.header_for(&hop.target);
        HopRequest { url: hop.target.url().to_string(), method: hop.method(), cookies }
    }
}

/// Redirects that a request has followed.
pub(super) struct RedirectChain {
    /// Requests so far: the first one, and one for each redirect.
    requests: Vec<HopRequest>,
    count: u32,
}

impl RedirectChain {
    /// Starts the chain with the first hop.
    pub(super) fn of(hop: &RequestHop, cookies: &RequestCookies) -> RedirectChain {
        RedirectChain { requests: vec![HopRequest::of(hop, cookies)], count: 0 }
    }

    /// Returns the number of redirects that were followed.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the next hop for a redirect. At most [`WEBHOOK_REDIRECTS`] are followed, and none to a URL that was
    /// already requested by the same method with the same cookies.
    ///
    /// # Errors
    /// Returns a fault if the redirect must not be followed.
    pub(super) fn follow(
        &mut self,
        hop: &RequestHop,
        answer: &WebhookResponse,
        rule: PlainRule,
        cookies: &RequestCookies,
    ) -> Result<RequestHop, AttemptFault> {
        if self.count == WEBHOOK_REDIRECTS {
            return Err(AttemptFault::new(
                AttemptFaultKind::TooManyRedirects,
                format!("more than {WEBHOOK_REDIRECTS} redirects"),
            ));
        }
        self.count += 1;
        let next = redirected(hop, answer, rule)?;
        let request = HopRequest::of(&next, cookies);
        if self.requests.contains(&request) {
            let (from, to) = (hop.target.shown(), next.target.shown());
            let what = match hop.target.url() == next.target.url() {
                true => format!("redirect loop: {to} leads to itself"),
                false => format!("redirect loop: {from} leads back to {to}"),
            };
            return Err(AttemptFault::new(AttemptFaultKind::TooManyRedirects, what));
        }
        self.requests.push(request);
        Ok(next)
    }
}

/// Returns the hop that a redirect leads to. Twilio follows 301, 302, 303 and 307; 308 of a POST is treated like 307.
fn redirected(hop: &RequestHop, answer: &WebhookResponse, rule: PlainRule) -> Result<RequestHop, AttemptFault> {
    let status = answer.status;
    let bad = |what: String| Err(AttemptFault::new(AttemptFaultKind::BadRedirect, what));
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return bad(format!("the application answered {status}, which is not a redirect that can be followed"));
    }
    let location = answer.headers.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    match location.map(|location| hop.target.redirected(location, rule)) {
        Some(Ok(target)) => Ok(hop.next(target, status)),
        Some(Err(BadUrl::Format(what) | BadUrl::Policy(what))) => bad(format!("invalid redirect: {what}")),
        None => bad(format!("the application answered {status} without a valid Location")),
    }
}
