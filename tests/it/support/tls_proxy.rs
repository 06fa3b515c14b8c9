//! TLS in front of a plain listener of the test.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use tempfile::TempDir;

use super::tls::{Authority, provider};

/// Listener for `localhost` that passes connections on without TLS.
pub(crate) struct TlsProxy {
    pub(crate) address: SocketAddr,
    authority: Authority,
    accepted: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl TlsProxy {
    /// Listens on a free port in front of `to`.
    pub(crate) fn new(to: SocketAddr, versions: &[&'static SupportedProtocolVersion]) -> TlsProxy {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
        let (chain, key) = authority.issue("proxy", &["localhost"]).read();
        let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let (address, accepted) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&accepted);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (config, count) = (Arc::clone(&config), Arc::clone(&count));
                thread::spawn(move || pass_on(stream, config, to, &count));
            }
        });
        TlsProxy { address, authority, accepted, _folder: folder }
    }

    /// Returns the file with the certificate of its authority.
    pub(crate) fn ca(&self) -> &Path {
        &self.authority.file
    }

    /// Returns the number of handshakes so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn pass_on(mut near: TcpStream, config: Arc<ServerConfig>, to: SocketAddr, count: &AtomicUsize) -> io::Result<()> {
    near.set_nodelay(true)?;
    let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut near)?;
    }
    count.fetch_add(1, Ordering::SeqCst);
    let far = TcpStream::connect(to)?;
    far.set_nodelay(true)?;
    let session = Arc::new(Mutex::new(session));
    let (back, from, into) = (Arc::clone(&session), far.try_clone()?, near.try_clone()?);
    thread::spawn(move || encrypt(&back, from, into));
    decrypt(&session, near, far)
}

fn send(session: &mut ServerConnection, to: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(to)?;
    }
    Ok(())
}

fn decrypt(session: &Mutex<ServerConnection>, mut near: TcpStream, mut far: TcpStream) -> io::Result<()> {
    let (mut bytes, mut len) = ([0; 4096], 0);
    loop {
        let mut data = Vec::new();
        {
            let mut session = session.lock().unwrap();
            let mut rest = &bytes[..len];
            while !rest.is_empty() {
                session.read_tls(&mut rest)?;
                session.process_new_packets().map_err(io::Error::other)?;
            }
            // The first data may have come with the handshake.
            let _ = session.reader().read_to_end(&mut data);
            send(&mut session, &mut near)?;
        }
        far.write_all(&data)?;
        len = near.read(&mut bytes)?;
        if len == 0 {
            return far.shutdown(Shutdown::Write);
        }
    }
}

fn encrypt(session: &Mutex<ServerConnection>, mut far: TcpStream, mut near: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        let len = far.read(&mut bytes).unwrap_or_default();
        let mut session = session.lock().unwrap();
        match len {
            0 => session.send_close_notify(),
            len => session.writer().write_all(&bytes[..len])?,
        }
        send(&mut session, &mut near)?;
        if len == 0 {
            return near.shutdown(Shutdown::Write);
        }
    }
}
