//! Tests of the HTTP client with a scripted server and real sockets on loopback.

mod bounds;
mod cookies;
mod keep_alive;
mod media;
mod redirects;
mod requests;
mod retries;
mod server;
mod tls;

use std::time::Duration;

use super::client::WebhookClient;
use super::outcome::{WebhookFailure, WebhookReply};
use super::pool::PoolLifetimes;
use super::request::{RequestContent, RequestMethod, WebhookPurpose, WebhookRequest};
use trunkgate_config::Secret;
use trunkgate_system::certificates::TrustAnchors;
use trunkgate_system::reach::ReachRules;
use trunkgate_system::web;

/// Returns rules that permit private addresses, since the servers are on loopback.
fn lax() -> ReachRules {
    ReachRules { allow_private: true, ..ReachRules::default() }
}

fn form(params: &[(&str, &str)]) -> RequestContent {
    RequestContent::Form(params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn document(url: &str) -> WebhookRequest {
    let content = form(&[("CallSid", "CA1"), ("From", "+14155550100")]);
    WebhookRequest {
        auth_token: Some(Secret::new("12345".into())),
        ..WebhookRequest::new(url, content, WebhookPurpose::Document, lax())
    }
}

fn get(url: &str) -> WebhookRequest {
    WebhookRequest { method: RequestMethod::Get, ..document(url) }
}

/// Returns a client that trusts one certificate, which no server of the tests has.
fn client() -> WebhookClient {
    let unused = rcgen::generate_simple_self_signed(["unused.example".to_owned()]).unwrap().cert.pem();
    trusting(&unused, PoolLifetimes::default())
}

fn trusting(pem: &str, keeping: PoolLifetimes) -> WebhookClient {
    WebhookClient::with(Some(web::trusting(TrustAnchors::of_pem(pem.as_bytes()).unwrap()).unwrap()), keeping)
}

async fn fetch(request: WebhookRequest) -> Result<WebhookReply, WebhookFailure> {
    client().fetch(&request).await
}

/// Returns Twilio's error code, the status of the response (502 if there was none), and the number of attempts.
async fn failed(request: WebhookRequest) -> (u32, u16, usize) {
    let failure = fetch(request).await.unwrap_err();
    (failure.code, failure.answer.as_ref().map_or(502, |answer| answer.status), failure.attempts.len())
}

/// Lifetimes that prevent the reuse of connections.
const NOTHING_KEPT: PoolLifetimes = PoolLifetimes { idle: Duration::ZERO, age: Duration::ZERO };
