//! `[speech] url`: an endpoint that takes what OpenAI's `/audio/speech` takes. It is asked once for each text; its token is in
//! no message of ours.

use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use trunkgate_call::numbers::plain;

use super::cover::covered;
use super::{LOOK, in_time};
use crate::certificates::{provider, system_roots};
use crate::config::Endpoint;
use crate::limits::{SPEECH_BYTES, SPEECH_COMPLAINT_BYTES, SPEECH_COMPLAINT_CHARACTERS};

/// Samples a second of `pcm`, which says nothing of itself.
const PCM_HZ: u32 = 24_000;

/// The file that the endpoint makes of a text.
pub(super) fn ask(endpoint: &Endpoint, voice: &str, text: &str, until: Instant) -> Result<Vec<u8>, String> {
    let named = |what: String| format!("{}: {}", place(endpoint), covered(&what, endpoint));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| named(error.to_string()))?;
    let began = Instant::now();
    let file = runtime.block_on(async {
        tokio::select! {
            file = fetch(endpoint, voice, text) => file,
            () = late(until) => Err(format!("was not done within {:.1} s", began.elapsed().as_secs_f32())),
        }
    });
    // A name may still be looked up.
    runtime.shutdown_background();
    let file = file.map_err(named)?;
    Ok(if endpoint.format == "pcm" { with_head(&file) } else { file })
}

/// Its address for messages: some have a key in their query.
pub(super) fn place(endpoint: &Endpoint) -> &str {
    endpoint.url.split(['?', '#']).next().unwrap_or_default()
}

async fn late(until: Instant) {
    while in_time(until) {
        tokio::time::sleep(LOOK * 4).await;
    }
}

async fn fetch(endpoint: &Endpoint, voice: &str, text: &str) -> Result<Vec<u8>, String> {
    let url = Url::parse(&endpoint.url).map_err(|error| error.to_string())?;
    let host = url.host_str().ok_or("no host")?.to_owned();
    let port = url.port_or_known_default().ok_or("no port")?;
    let request = request(endpoint, &url, voice, text)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream =
        TcpStream::connect((bare.as_str(), port)).await.map_err(|error| format!("cannot be reached: {error}"))?;
    if url.scheme() != "https" {
        return talk(stream, request).await;
    }
    let name = ServerName::try_from(bare).map_err(|error| error.to_string())?;
    let tls = |error: rustls::Error| format!("TLS: {error}");
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(tls)?;
    let config = Arc::new(config.with_root_certificates(system_roots()).with_no_client_auth());
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    talk(stream, request).await
}

fn request(endpoint: &Endpoint, url: &Url, voice: &str, text: &str) -> Result<Request<Full<Bytes>>, String> {
    let body = json!({ "model": endpoint.model, "input": text, "voice": voice, "response_format": endpoint.format });
    let authority = url.authority().to_owned();
    let target = url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "audio/*");
    if let Some(token) = &endpoint.token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    // The library's words could hold a header's value.
    request
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|_| "its `url` or `token` fits into no request".to_owned())
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Vec<u8>, String> {
    let broken = |error: hyper::Error| {
        use std::error::Error as _;
        let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
        format!("does not answer as HTTP does: {error}{cause}")
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            let (file, whole) = gather(response, SPEECH_BYTES).await.map_err(broken)?;
            return if whole { Ok(file) } else { Err(format!("sent more than {} MiB", SPEECH_BYTES >> 20)) };
        }
        let (reason, _) = gather(response, SPEECH_COMPLAINT_BYTES).await.unwrap_or_default();
        let reason = reason_of(&reason);
        Err(format!("answered {status}{}{reason}", if reason.is_empty() { "" } else { ": " }))
    };
    tokio::pin!(answered);
    let driven = async {
        // What went wrong the request is told as well.
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        file = &mut answered => file,
        () = driven => Err("has gone".to_owned()),
    }
}

/// So much of an answer, and whether that is all.
async fn gather(mut response: Response<Incoming>, most: u64) -> Result<(Vec<u8>, bool), hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = response.frame().await {
        if let Ok(data) = frame?.into_data() {
            if (bytes.len() + data.len()) as u64 > most {
                return Ok((bytes, false));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok((bytes, true))
}

/// Why it was refused, in one line.
fn reason_of(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        [json.pointer("/error/message"), json.get("error"), json.get("message"), json.get("detail")]
            .into_iter()
            .flatten()
            .find_map(Value::as_str)
    });
    let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    plain(text.trim().lines().next().unwrap_or_default(), SPEECH_COMPLAINT_CHARACTERS)
}

/// Samples of 16 bits with the head of a WAV file.
fn with_head(samples: &[u8]) -> Vec<u8> {
    let length = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let mut file = b"RIFF".to_vec();
    file.extend(length.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend([PCM_HZ, PCM_HZ * 2].map(u32::to_le_bytes).concat());
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(samples);
    file
}
