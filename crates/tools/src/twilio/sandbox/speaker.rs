//! Text-to-speech service of a sandbox for `[speech] url`: encodes texts with the codebook.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::voice::Codebook;

/// Used fields of a text-to-speech request.
#[derive(Debug, Deserialize)]
struct SpeechRequest {
    input: String,
}

/// Starts the service on loopback and returns its URL; it serves until the runtime ends.
pub(super) async fn start(book: Codebook) -> std::io::Result<String> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let url = format!("http://{}/v1/audio/speech", listener.local_addr()?);
    let routes = Router::new().route("/v1/audio/speech", post(speak)).with_state(book);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}

async fn speak(State(book): State<Codebook>, Json(wanted): Json<SpeechRequest>) -> Response {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut file = std::io::Cursor::new(Vec::new());
    let written = hound::WavWriter::new(&mut file, spec).and_then(|mut writer| {
        book.speak(&wanted.input).into_iter().try_for_each(|sample| writer.write_sample(sample))?;
        writer.finalize()
    });
    match written {
        Ok(()) => ([(header::CONTENT_TYPE, "audio/wav")], file.into_inner()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
