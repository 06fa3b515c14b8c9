//! Request to the transcription service: upload of the audio as a form, as to OpenAI's `/audio/transcriptions`. The key
//! never appears in messages.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;
use trunkgate_route::url_place;
use url::Url;

use super::audio::Audio;
use crate::sinks::outbox::Refusal;
use trunkgate_config::TranscriptionSettings;
use trunkgate_system::cover::{covered, without_call_data};
use trunkgate_system::limits::{COMPLAINT_BYTES, TRANSCRIPTION_ANSWER_BYTES, TRANSCRIPTION_RETRY_AFTER_SECONDS};
use trunkgate_system::web;

/// Status codes that concern the audio and not the service; the request is then not repeated.
const OF_AUDIO: [StatusCode; 4] = [
    StatusCode::BAD_REQUEST,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::UNPROCESSABLE_ENTITY,
];

/// Uploads a recording's audio and returns the text.
///
/// # Errors
/// Returns the refusal if there is no response in time, or one without a text.
pub(super) async fn ask(settings: &TranscriptionSettings, audio: Audio, within: Duration) -> Result<String, Refusal> {
    let named = |what: &str| {
        format!(
            "{}: {}",
            url_place(&settings.url),
            without_call_data(&covered(what, &settings.url, settings.token.as_ref().map(|token| token.reveal())))
        )
    };
    let asked = tokio::time::timeout(within, upload(settings, audio)).await;
    let late = || Refusal::here(format!("no answer within {} s", within.as_secs_f32()));
    asked.unwrap_or_else(|_| Err(late())).map_err(|refusal| Refusal { what: named(&refusal.what), ..refusal })
}

async fn upload(settings: &TranscriptionSettings, audio: Audio) -> Result<String, Refusal> {
    let url = Url::parse(&settings.url).map_err(|error| Refusal::here(error.to_string()))?;
    let request = request(settings, &url, audio).map_err(Refusal::here)?;
    let most = |status: StatusCode| if status.is_success() { TRANSCRIPTION_ANSWER_BYTES } else { COMPLAINT_BYTES };
    let answer = web::ask(&url, request, most).await.map_err(|fault| Refusal::here(fault.what().to_owned()))?;
    if !answer.status.is_success() {
        let reason = match answer.status.is_redirection() {
            true => "redirections are not followed".to_owned(),
            false => web::complaint(&answer.body),
        };
        let what = format!("answered {}{}{reason}", answer.status, if reason.is_empty() { "" } else { ": " });
        let later = web::retry_after(&answer.headers, TRANSCRIPTION_RETRY_AFTER_SECONDS).unwrap_or_default();
        return Err(Refusal { is_final: OF_AUDIO.contains(&answer.status), later, ..Refusal::here(what) });
    }
    if !answer.is_whole {
        return Err(Refusal::here(format!("answered more than {} KiB", TRANSCRIPTION_ANSWER_BYTES >> 10)));
    }
    let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let text = json.as_ref().and_then(|json| json.get("text")?.as_str());
    let none = || Refusal::here("answered without JSON that has a `text`".to_owned());
    text.map(|text| text.trim().to_owned()).ok_or_else(none)
}

fn request(settings: &TranscriptionSettings, url: &Url, audio: Audio) -> Result<Request<Full<Bytes>>, String> {
    let boundary = trunkgate_system::sids::random("tg").map_err(|error| error.to_string())?;
    let mut request = web::post(url)
        .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
        .header(ACCEPT, "application/json");
    if let Some(token) = &settings.token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    let body = form(settings, audio, &boundary);
    // The library's error text may contain the value of a header.
    request.body(Full::new(Bytes::from(body))).map_err(|_| "invalid `url` or `token`".to_owned())
}

/// Returns the upload as a form (RFC 7578).
fn form(settings: &TranscriptionSettings, audio: Audio, boundary: &str) -> Vec<u8> {
    let fields = [
        Some(("model", settings.model.as_str())),
        settings.language.as_deref().map(|language| ("language", language)),
        Some(("response_format", "json")),
    ];
    let mut body = Vec::with_capacity(audio.bytes.len() + 1024);
    for (name, value) in fields.into_iter().flatten() {
        let field = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(field.as_bytes());
    }
    let Audio { bytes, name, media_type } = audio;
    let file = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {media_type}\r\n\r\n"
    );
    body.extend_from_slice(file.as_bytes());
    body.extend_from_slice(&bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body
}
