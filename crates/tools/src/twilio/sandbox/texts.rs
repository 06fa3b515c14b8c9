//! The service of a sandbox that sends text messages, as `[messages] url` asks it, and the caller's telephone that gets and writes them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

use super::application;
use super::listener::plain;
use trunkgate_system::{sids, web};

/// A text that the application has sent.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) at: Instant,
    pub(super) to: String,
    pub(super) from: String,
    pub(super) body: String,
    /// Of the edge; one that is sent again is the same text.
    sid: String,
}

/// The service, which serves on loopback until the runtime ends.
#[derive(Debug)]
pub(super) struct Texts {
    /// URL that takes messages.
    pub(super) url: String,
    /// Secret between it and the edge.
    pub(super) token: String,
    /// Where the edge takes messages; set once it runs.
    pub(super) edge: Option<SocketAddr>,
    sent: Sent,
}

#[derive(Debug, Clone, Default)]
struct Sent(Arc<Mutex<Vec<Text>>>);

impl Sent {
    fn lock(&self) -> MutexGuard<'_, Vec<Text>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Texts {
    /// Binds a port of its own and serves.
    pub(super) async fn start() -> std::io::Result<Texts> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}/messages", listener.local_addr()?);
        let sent = Sent::default();
        let routes = Router::new().route("/messages", post(take)).with_state(sent.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let token = sids::random("").map_err(std::io::Error::other)?;
        Ok(Texts { url, token, edge: None, sent })
    }

    /// Returns how many texts the application has sent.
    pub(super) fn count(&self) -> usize {
        self.sent.lock().len()
    }

    /// Returns those behind the first ones.
    pub(super) fn since(&self, first: usize) -> Vec<Text> {
        self.sent.lock().get(first..).unwrap_or_default().to_vec()
    }

    /// Finds a text to a number with these words behind the first ones.
    pub(super) fn find(&self, first: usize, to: &str, words: &str) -> Option<usize> {
        let wanted = plain(words);
        let is_it = |text: &Text| text.to == to && plain(&text.body).contains(&wanted);
        Some(first + self.sent.lock().get(first..)?.iter().position(is_it)?)
    }

    /// Returns in words which texts of these came behind the first ones.
    pub(super) fn instead(&self, first: usize, is_wanted: impl Fn(&Text) -> bool) -> String {
        let texts = self.since(first).into_iter().filter(is_wanted);
        let texts: Vec<String> = texts.map(|text| format!("{}: \"{}\"", text.to, text.body)).collect();
        if texts.is_empty() { "It sent none".to_owned() } else { format!("It sent {}", texts.join(", ")) }
    }

    /// Writes to a number, from another one.
    ///
    /// # Errors
    /// The edge did not take it, in words.
    pub(super) async fn send(&self, from: &str, to: &str, body: &str) -> Result<(), String> {
        let address = self.edge.ok_or("the edge does not run")?;
        let url = Url::parse(&format!("http://{address}/sms/inbound")).map_err(|error| error.to_string())?;
        let sid = sids::random("SM").map_err(|error| error.to_string())?;
        let fields = [("MessageSid", sid.as_str()), ("From", from), ("To", to), ("Body", body), ("NumMedia", "0")];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = web::post(&url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, format!("Bearer {}", self.token));
        application::send(&url, request.body(Full::new(Bytes::from(form)))).await.map(drop)
    }
}

async fn take(State(sent): State<Sent>, form: Bytes) -> Response {
    let fields: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
    let field =
        |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default();
    let (at, sid) = (Instant::now(), field("MessageSid"));
    let text = Text { at, to: field("To"), from: field("From"), body: field("Body"), sid };
    if text.to.is_empty() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let mut texts = sent.lock();
    if texts.iter().all(|known| known.sid != text.sid) {
        texts.push(text);
    }
    Json(json!({})).into_response()
}
