//! Tests of the client with real sockets on loopback and a scripted server.

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

use super::client::Client;
use super::outcome::{Failure, Reply};
use super::pool::Keeping;
use super::request::{Content, Method, Purpose, Request};
use trunkgate_config::Secret;
use trunkgate_system::certificates::Trust;
use trunkgate_system::reach::Reach;
use trunkgate_system::web;

/// Returns rules that allow private addresses, since the servers are on loopback.
fn lax() -> Reach {
    Reach { allow_private: true, ..Reach::default() }
}

fn form(params: &[(&str, &str)]) -> Content {
    Content::Form(params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn document(url: &str) -> Request {
    let content = form(&[("CallSid", "CA1"), ("From", "+14155550100")]);
    Request { auth_token: Some(Secret::new("12345".into())), ..Request::new(url, content, Purpose::Document, lax()) }
}

fn get(url: &str) -> Request {
    Request { method: Method::Get, ..document(url) }
}

/// Returns a client that trusts one certificate, which no server has.
fn client() -> Client {
    let unused = rcgen::generate_simple_self_signed(["unused.example".to_owned()]).unwrap().cert.pem();
    trusting(&unused, Keeping::default())
}

fn trusting(pem: &str, keeping: Keeping) -> Client {
    Client::with(Some(web::trusting(Trust::of_pem(pem.as_bytes()).unwrap()).unwrap()), keeping)
}

async fn fetch(request: Request) -> Result<Reply, Failure> {
    client().fetch(&request).await
}

/// Returns Twilio's code, the status of the response (502: none), and the number of attempts.
async fn failed(request: Request) -> (u32, u16, usize) {
    let failure = fetch(request).await.unwrap_err();
    (failure.code, failure.answer.as_ref().map_or(502, |answer| answer.status), failure.attempts.len())
}

/// Disables the reuse of connections.
const NOTHING_KEPT: Keeping = Keeping { idle: Duration::ZERO, age: Duration::ZERO };
