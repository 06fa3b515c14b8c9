//! Text message service of a sandbox for `[messages] url`, and the caller's phone for text messages.

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

/// Text message sent by the application.
#[derive(Debug, Clone)]
pub(super) struct SentText {
    pub(super) at: Instant,
    pub(super) to: String,
    pub(super) from: String,
    pub(super) body: String,
    /// Message SID assigned by the edge, by which a retry is recognised.
    sid: String,
}

/// Text message service on loopback; serves until the runtime ends.
#[derive(Debug)]
pub(super) struct SandboxTexts {
    /// URL to which the edge sends text messages.
    pub(super) url: String,
    /// Secret shared by the edge and the service.
    pub(super) token: String,
    /// Address of the edge's HTTP server, set once it runs.
    pub(super) edge: Option<SocketAddr>,
    sent: SentTexts,
}

#[derive(Debug, Clone, Default)]
struct SentTexts(Arc<Mutex<Vec<SentText>>>);

impl SentTexts {
    fn lock(&self) -> MutexGuard<'_, Vec<SentText>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SandboxTexts {
    /// Binds a free port and starts serving.
    pub(super) async fn start() -> std::io::Result<SandboxTexts> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}/messages", listener.local_addr()?);
        let sent = SentTexts::default();
        let routes = Router::new().route("/messages", post(take)).with_state(sent.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let token = sids::random("").map_err(std::io::Error::other)?;
        Ok(SandboxTexts { url, token, edge: None, sent })
    }

    /// Returns the number of text messages sent by the application.
    pub(super) fn count(&self) -> usize {
        self.sent.lock().len()
    }

    /// Returns the text messages from index `first` on.
    pub(super) fn since(&self, first: usize) -> Vec<SentText> {
        self.sent.lock().get(first..).unwrap_or_default().to_vec()
    }

    /// Returns the index of a text message to a number that contains these words, from index `first` on.
    pub(super) fn find(&self, first: usize, to: &str, words: &str) -> Option<usize> {
        let wanted = plain(words);
        let is_it = |text: &SentText| text.to == to && plain(&text.body).contains(&wanted);
        Some(first + self.sent.lock().get(first..)?.iter().position(is_it)?)
    }

    /// Describes the text messages selected by `is_wanted` from index `first` on, for the error of a step.
    pub(super) fn instead(&self, first: usize, is_wanted: impl Fn(&SentText) -> bool) -> String {
        let texts = self.since(first).into_iter().filter(is_wanted);
        let texts: Vec<String> = texts.map(|text| format!("{}: \"{}\"", text.to, text.body)).collect();
        if texts.is_empty() { "It sent none".to_owned() } else { format!("It sent {}", texts.join(", ")) }
    }

    /// Sends a text message to a number of the edge.
    ///
    /// # Errors
    /// Returns a message if the edge does not accept it.
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

async fn take(State(sent): State<SentTexts>, form: Bytes) -> Response {
    let fields: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
    let field =
        |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default();
    let (at, sid) = (Instant::now(), field("MessageSid"));
    let text = SentText { at, to: field("To"), from: field("From"), body: field("Body"), sid };
    if text.to.is_empty() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let mut texts = sent.lock();
    if texts.iter().all(|known| known.sid != text.sid) {
        texts.push(text);
    }
    Json(json!({})).into_response()
}
