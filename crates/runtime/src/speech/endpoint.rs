//! `[speech] url`: text-to-speech service compatible with OpenAI's `/audio/speech`. Each text takes one request; the
//! token never appears in messages.

use std::time::Instant;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use serde_json::json;
use trunkgate_route::url_place;
use url::Url;

use super::{LOOK, in_time};
use trunkgate_config::SpeechEndpoint;
use trunkgate_system::cover::covered;
use trunkgate_system::limits::{COMPLAINT_BYTES, SPEECH_BYTES};
use trunkgate_system::web;

/// Sampling rate of the response format `pcm`, which has no header, in Hz.
const PCM_HZ: u32 = 24_000;

/// Requests the audio file of a text; blocks until the response or the deadline `until`.
///
/// # Errors
/// Returns a description of the failure with the service's URL.
pub(super) fn ask(endpoint: &SpeechEndpoint, voice: &str, text: &str, until: Instant) -> Result<Vec<u8>, String> {
    let named = |what: String| {
        format!(
            "{}: {}",
            url_place(&endpoint.url),
            covered(&what, &endpoint.url, endpoint.token.as_ref().map(|token| token.reveal()))
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| named(error.to_string()))?;
    let began = Instant::now();
    let file = runtime.block_on(async {
        tokio::select! {
            file = fetch(endpoint, voice, text) => file,
            () = late(until) => Err(format!("did not finish within {:.1} s", began.elapsed().as_secs_f32())),
        }
    });
    // A DNS lookup may still be in progress.
    runtime.shutdown_background();
    let file = file.map_err(named)?;
    Ok(if endpoint.format == "pcm" { with_head(&file) } else { file })
}

async fn late(until: Instant) {
    while in_time(until) {
        tokio::time::sleep(LOOK * 4).await;
    }
}

async fn fetch(endpoint: &SpeechEndpoint, voice: &str, text: &str) -> Result<Vec<u8>, String> {
    let url = Url::parse(&endpoint.url).map_err(|error| error.to_string())?;
    let request = request(endpoint, &url, voice, text)?;
    let most = |status: StatusCode| if status.is_success() { SPEECH_BYTES } else { COMPLAINT_BYTES };
    let answer = web::ask(&url, request, most).await.map_err(|fault| fault.what().to_owned())?;
    if !answer.status.is_success() {
        let reason = web::complaint(&answer.body);
        return Err(format!("answered {}{}{reason}", answer.status, if reason.is_empty() { "" } else { ": " }));
    }
    if answer.is_whole { Ok(answer.body) } else { Err(format!("sent more than {} MiB", SPEECH_BYTES >> 20)) }
}

fn request(endpoint: &SpeechEndpoint, url: &Url, voice: &str, text: &str) -> Result<Request<Full<Bytes>>, String> {
    let body = json!({ "model": endpoint.model, "input": text, "voice": voice, "response_format": endpoint.format });
    let mut request = web::post(url).header(CONTENT_TYPE, "application/json").header(ACCEPT, "audio/*");
    if let Some(token) = &endpoint.token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    // The library's error text may contain the value of a header.
    request.body(Full::new(Bytes::from(body.to_string()))).map_err(|_| "invalid `url` or `token`".to_owned())
}

/// Adds a WAV header to 16-bit samples at [`PCM_HZ`].
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
