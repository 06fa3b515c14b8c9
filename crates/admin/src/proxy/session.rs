//! TLS session of a proxy client with one of Twilio's host names, and its requests to the API.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::ApiProxy;
use crate::host_certificates::ClientPath;
use crate::places::HttpSlotOccupant;
use trunkgate_system::connector::within;
use trunkgate_system::limits;

/// Serves API requests on a connection until it ends. The connection keeps the slot and the timeouts of its CONNECT.
pub(super) async fn serve(
    proxy: ApiProxy,
    host: String,
    tls: Arc<ServerConfig>,
    occupant: HttpSlotOccupant,
    request: Request,
) {
    // The upgrade fails if the client has disconnected.
    let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
    let limit = Duration::from_secs(limits::HANDSHAKE_SECONDS);
    let stream = match within(Some(limit), TlsAcceptor::from(tls).accept(TokioIo::new(upgraded))).await {
        Ok(stream) => stream,
        Err(fault) => {
            let source = occupant.address();
            return proxy.certificates().complain(source, &host, &fault, ClientPath::Proxy);
        }
    };
    let api = TowerToHyperService::new(proxy.api());
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(occupant.clone()));
        api.call(request.map(Body::new))
    });
    // Errors at the end of a connection do not matter to the operator.
    let mut http = http1::Builder::new();
    let _ = http.max_buf_size(limits::HTTP_CONNECTION_BYTES).serve_connection(TokioIo::new(stream), service).await;
}
