//! Public address of a web application: a reverse proxy with TLS in front of the application, which records all
//! requests and responses.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Maximum length of a forwarded request or response.
const BYTES: usize = 256 * 1024;
/// Maximum wait for a request.
const PATIENCE: Duration = Duration::from_secs(15);

/// Request to the application, with its response.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// Method and path of the request with the query, such as `POST /voice`.
    pub(crate) request: String,
    /// Parameters of the form in the request.
    pub(crate) form: Vec<(String, String)>,
    /// Status of the response.
    pub(crate) status: u16,
    /// `Location` of the response; empty if it is absent.
    pub(crate) location: String,
}

impl Exchange {
    /// Returns the value of a parameter; empty if the parameter is absent.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Running reverse proxy; its thread ends with the process.
#[derive(Debug)]
pub(crate) struct Front {
    /// URL `https://NAME:PORT` of the proxy, with the first of its names.
    pub(crate) url: String,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    folder: tempfile::TempDir,
}

impl Front {
    /// Starts a proxy; `upstream` may start later.
    pub(crate) fn start(upstream: SocketAddr) -> anyhow::Result<Front> {
        Front::listen(upstream, &["localhost"], SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts a proxy at this address, with a certificate for these names.
    pub(crate) fn listen(upstream: SocketAddr, names: &[&str], address: SocketAddr) -> anyhow::Result<Front> {
        let folder = tempfile::tempdir()?;
        let config = identity(folder.path(), names)?;
        let listener = TcpListener::bind(address).with_context(|| address.to_string())?;
        let url = format!("https://{}:{}", names.first().context("no name")?, listener.local_addr()?.port());
        let exchanges = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&exchanges);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, kept) = (Arc::clone(&config), Arc::clone(&kept));
                std::thread::spawn(move || drop(pass_on(stream, config, upstream, &kept)));
            }
        });
        Ok(Front { url, exchanges, folder })
    }

    /// Returns the path of the certificate that a client must trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Returns all exchanges so far, in the order of their responses.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for an exchange with this request, not among the first `since`.
    pub(crate) fn exchange(&self, request: &str, since: usize) -> anyhow::Result<Exchange> {
        let began = Instant::now();
        loop {
            let exchanges = self.exchanges();
            if let Some(found) = exchanges.iter().skip(since).find(|exchange| exchange.request == request) {
                return Ok(found.clone());
            }
            if began.elapsed() > PATIENCE {
                let came: Vec<String> = exchanges.into_iter().skip(since).map(|exchange| exchange.request).collect();
                bail!("no {request}, but: {}", came.join(", "));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Makes a certificate of its own for these names, writes it as `ca.pem` and its key as `ca.key` to a folder, and returns
/// the TLS configuration of a server with it.
pub(crate) fn identity(folder: &Path, names: &[&str]) -> anyhow::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    std::fs::write(folder.join("ca.pem"), made.cert.pem())?;
    std::fs::write(folder.join("ca.key"), made.signing_key.serialize_pem())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(Arc::new(config))
}

/// Forwards one request and its response, then closes the connection.
fn pass_on(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    upstream: SocketAddr,
    kept: &Mutex<Vec<Exchange>>,
) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut client = StreamOwned::new(ServerConnection::new(config)?, stream);
    let (head, body) = read_request(&mut client)?;
    let mut server = TcpStream::connect(upstream)?;
    let others = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: String = others.map(|line| format!("{line}\r\n")).collect();
    server.write_all(format!("{head}X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    let mut response = Vec::new();
    server.take(u64::try_from(BYTES)?).read_to_end(&mut response)?;
    let exchange = exchange(&head, &body, &response);
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(exchange?);
    client.write_all(&response)?;
    client.conn.send_close_notify();
    client.flush()?;
    Ok(())
}

/// Reads a request; returns the head without the empty line, and the body.
pub(crate) fn read_request(client: &mut impl Read) -> anyhow::Result<(String, Vec<u8>)> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
            });
            let all = end + 4 + length.unwrap_or(0);
            if bytes.len() >= all {
                return Ok((head, bytes.get(end + 4..all).unwrap_or_default().to_vec()));
            }
        }
        let came = client.read(&mut buffer)?;
        if came == 0 || bytes.len() > BYTES {
            bail!("no whole request");
        }
        bytes.extend(buffer.get(..came).unwrap_or_default());
    }
}

fn exchange(head: &str, body: &[u8], response: &[u8]) -> anyhow::Result<Exchange> {
    let line = head.lines().next().context("no request line")?;
    let request = line.rsplit_once(' ').map_or(line, |(request, _)| request).to_owned();
    let response = String::from_utf8_lossy(response);
    let status = response.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut fields = response.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let location = fields.find(|(name, _)| name.eq_ignore_ascii_case("location"));
    let location = location.map_or("", |(_, value)| value.trim()).to_owned();
    Ok(Exchange { request, form: form(body)?, status, location })
}

/// Parses the parameters of a posted form.
pub(crate) fn form(body: &[u8]) -> anyhow::Result<Vec<(String, String)>> {
    let form = reqwest::Url::parse(&format!("http://form/?{}", String::from_utf8_lossy(body)))?;
    Ok(form.query_pairs().into_owned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_whole_and_kept_with_its_form() {
        let text = b"POST /voice?a=1 HTTP/1.1\r\nContent-Length: 20\r\n\r\nDigits=5&From=%2B14x";
        let (head, body) = read_request(&mut &text[..]).unwrap();
        let kept = exchange(&head, &body, b"HTTP/1.1 403 Forbidden\r\n\r\nno").unwrap();
        assert_eq!((kept.request.as_str(), kept.status, kept.location.as_str()), ("POST /voice?a=1", 403, ""));
        assert_eq!((kept.parameter("Digits"), kept.parameter("From"), kept.parameter("To")), ("5", "+14x", ""));
        assert!(read_request(&mut &text[..50]).is_err());
        let moved = b"HTTP/1.0 302 FOUND\r\nX: Location: no\r\nLOCATION: http://a.example/b\r\n\r\nLocation: no";
        let kept = exchange(&head, &body, moved).unwrap();
        assert_eq!((kept.status, kept.location.as_str()), (302, "http://a.example/b"));
    }
}
