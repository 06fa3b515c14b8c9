//! Tests of applications' certificates, and of Twilio's codes for certificate errors.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::server::{Act, Server, redirect, xml};
use super::*;
use trunkgate_system::certificates::provider;

/// Serves one response over TLS on each connection; returns the port and the certificate.
async fn serve(name: &str, until: i32, answer: Vec<u8>) -> (u16, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut request = [0; 4096];
            if tls.read(&mut request).await.is_ok_and(|read| read > 0) {
                drop(tls.write_all(&answer).await);
                drop(tls.flush().await);
            }
        }
    });
    (port, certificate.pem())
}

async fn code(url: &str, pem: &str) -> Result<u16, u32> {
    let reply = trusting(pem, NOTHING_KEPT).fetch(&document(url)).await;
    reply.map(|reply| reply.answer.status).map_err(|failure| failure.code)
}

#[tokio::test]
async fn a_certificate_is_judged_by_name_end_and_issuer() {
    let (port, pem) = serve("localhost", 2090, xml("<Response/>")).await;
    assert_eq!(code(&format!("https://localhost:{port}/"), &pem).await, Ok(200));
    assert_eq!(code(&format!("https://127.0.0.1:{port}/"), &pem).await, Err(11_235));
    let (_, other) = serve("localhost", 2090, Vec::new()).await;
    assert_eq!(code(&format!("https://localhost:{port}/"), &other).await, Err(11_237));
    let url = format!("https://localhost:{port}/");
    let failure = trusting(&other, NOTHING_KEPT).fetch(&document(&url)).await.unwrap_err();
    assert!(failure.what.contains("the system") && !failure.what.contains("`ca`"), "{}", failure.what);
    let (port, pem) = serve("localhost", 2021, xml("<Response/>")).await;
    assert_eq!(code(&format!("https://localhost:{port}/"), &pem).await, Err(11_236));
    let plain = Server::always(Act::Last(xml(""))).await;
    assert_eq!(code(&format!("https://localhost:{}/", plain.address.port()), &pem).await, Err(11_220));
}

#[tokio::test]
async fn a_redirect_never_leaves_tls() {
    let plain = Server::always(Act::Send(xml(""))).await;
    let (port, pem) = serve("localhost", 2090, redirect(307, &plain.url("/"))).await;
    assert_eq!(code(&format!("https://localhost:{port}/"), &pem).await, Err(11_216));
    assert_eq!(plain.connections(), 0);
    let (port, pem) = serve("localhost", 2090, xml("")).await;
    let up = Server::always(Act::Send(redirect(307, &format!("https://localhost:{port}/")))).await;
    assert_eq!(code(&up.url("/"), &pem).await, Ok(200));
}
