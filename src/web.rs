//! Requests that the edge sends to web services: over TLS where the address says so, to that address and nowhere else, without
//! a proxy and without following redirections.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::request::Builder;
use hyper::{Method, Request, Response};
use reqwest::Url;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::{Trust, provider};
use crate::transport::verifier::Servers;

/// A connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An address for messages: some have a key in their query.
pub(crate) fn place(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// What a service's certificate must come from.
///
/// # Errors
/// What the cryptography cannot do.
pub(crate) fn trusting(trust: Trust) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.map_err(|error| format!("TLS: {error}"))?.dangerous();
    let verifier = Arc::new(Servers::new(Some(trust), Vec::new()));
    Ok(Arc::new(config.with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// Connects to where a URL leads; `tls` is asked for where it is `https`.
///
/// # Errors
/// Why not, in words.
pub(crate) async fn connect(
    url: &Url,
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, String>,
) -> Result<Box<dyn Stream>, String> {
    let host = url.host_str().ok_or("no host")?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().ok_or("no port")?;
    let stream =
        TcpStream::connect((host.as_str(), port)).await.map_err(|error| format!("cannot be reached: {error}"))?;
    if url.scheme() != "https" {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(tls()?).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    Ok(Box::new(stream))
}

/// The beginning of a POST to a URL.
pub(crate) fn post(url: &Url) -> Builder {
    let target = url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    Request::builder().method(Method::POST).uri(target).header(HOST, url.authority())
}

/// So much of an answer, and whether that is all.
///
/// # Errors
/// What is wrong with it.
pub(crate) async fn gather(mut response: Response<Incoming>, most: u64) -> Result<(Vec<u8>, bool), hyper::Error> {
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
