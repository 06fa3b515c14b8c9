//! TLS connection from its handshake to its end, possibly in several processes.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{ClientConfig, CommonState, Error, ExtractedSecrets, ProtocolVersion, ServerConfig};

use crate::record_layer::{ReceivedRecord, RecordLayer, record_length};
use crate::snapshot::{ConnectionBytes, ConnectionKeys, DirectionKeys, TlsSide, TlsSnapshot, TlsVersion, TrafficKeys};

/// Number of encrypted bytes waiting to be sent at which [`TlsSession::write`] accepts no more data.
const UNSENT_BYTES: usize = 64 * 1024;
/// Number of key generations in a snapshot in addition to the current one, for each direction.
const GENERATIONS: usize = 4;

/// TLS connection, independent of any socket.
///
/// Received bytes go into [`receive`](TlsSession::receive), data into [`write`](TlsSession::write) and out of
/// [`read`](TlsSession::read). After each of these calls the bytes of [`unsent`](TlsSession::unsent) are to be sent.
pub struct TlsSession {
    protection: TlsProtection,
    bytes: ConnectionBytes,
    /// Whether the connection may become a snapshot, as the configuration permits by `enable_secret_extraction`.
    may_cross: bool,
    /// Whether the peer has sent close_notify.
    is_peer_closed: bool,
    /// Whether close_notify was sent.
    is_closed: bool,
    fault: Option<Error>,
}

/// Implementation that protects the records: rustls as a client or server, or the record layer of this crate.
enum TlsProtection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
    Resumed(Box<RecordLayer>),
}

/// Content for the next record to send.
#[derive(Clone, Copy)]
enum TlsOutput<'a> {
    Nothing,
    Data(&'a [u8]),
    CloseNotify,
    /// Response to a KeyUpdate, which rustls otherwise sends with the next data.
    KeyUpdate,
}

/// Result of one call of rustls.
#[derive(Debug, PartialEq, Eq)]
enum TlsProgress {
    Again,
    /// rustls needs more received bytes; true if it has encrypted the requested output.
    Waiting(bool),
}

impl TlsSession {
    /// Starts a handshake as a client. A snapshot of the connection is possible if the configuration has
    /// `enable_secret_extraction`.
    ///
    /// # Errors
    /// Returns the error of rustls.
    pub fn connect(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<TlsSession, Error> {
        let may_cross = config.enable_secret_extraction;
        let client = UnbufferedClientConnection::new(config, name)?;
        let mut session = TlsSession::new(TlsProtection::Client(Box::new(client)), may_cross);
        session.process()?;
        Ok(session)
    }

    /// Waits for a handshake as a server. A snapshot of the connection is possible if the configuration has
    /// `enable_secret_extraction`.
    ///
    /// # Errors
    /// Returns the error of rustls.
    pub fn accept(config: Arc<ServerConfig>) -> Result<TlsSession, Error> {
        let may_cross = config.enable_secret_extraction;
        let server = UnbufferedServerConnection::new(config)?;
        Ok(TlsSession::new(TlsProtection::Server(Box::new(server)), may_cross))
    }

    /// Continues the connection of a snapshot. A snapshot may be used only once, because nonces must not repeat.
    ///
    /// # Errors
    /// Returns an error if the keys of the snapshot cannot be used.
    pub fn resume(snapshot: TlsSnapshot) -> Result<TlsSession, Error> {
        let TlsSnapshot { keys, bytes } = snapshot;
        let layer = RecordLayer::resume(keys)?;
        Ok(TlsSession { bytes, ..TlsSession::new(TlsProtection::Resumed(Box::new(layer)), true) })
    }

    fn new(protection: TlsProtection, may_cross: bool) -> TlsSession {
        TlsSession {
            protection,
            bytes: ConnectionBytes::default(),
            may_cross,
            is_peer_closed: false,
            is_closed: false,
            fault: None,
        }
    }

    /// Returns whether the handshake is still in progress.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.state().is_some_and(CommonState::is_handshaking)
    }

    /// Returns the certificates of the peer; `None` if it has sent none yet, and for a resumed connection.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.state()?.peer_certificates()
    }

    /// Returns whether another process can continue the connection now: its configuration permits it, the handshake has
    /// ended, neither side has closed the connection, and no handshake message is incomplete.
    #[must_use]
    pub fn can_cross(&self) -> bool {
        let is_open = !self.is_handshaking() && !self.is_peer_closed && !self.is_closed && self.fault.is_none();
        // rustls leaves a decrypted part of a handshake message in its place.
        let is_record_incomplete = matches!(record_length(&self.bytes.received), Ok(None));
        let is_between_messages = match &self.protection {
            TlsProtection::Client(_) | TlsProtection::Server(_) => true,
            TlsProtection::Resumed(layer) => layer.is_between_messages(),
        };
        self.may_cross && is_open && is_record_incomplete && is_between_messages
    }

    /// Ends the connection in this process and returns its state, with which another process continues it.
    ///
    /// # Errors
    /// Returns an error if [`TlsSession::can_cross`] is false, or if rustls does not release the keys; the connection
    /// is lost then.
    pub fn into_snapshot(mut self) -> Result<TlsSnapshot, Error> {
        if self.can_cross() {
            self.protect(TlsOutput::KeyUpdate)?;
            self.process()?;
        }
        if !self.can_cross() {
            return Err(Error::General("the connection cannot be continued by another process".to_owned()));
        }
        let keys = match self.protection {
            TlsProtection::Client(client) => {
                let (secrets, kernel) = client.dangerous_into_kernel_connection()?;
                extract_keys(TlsSide::Client, &secrets, kernel)?
            }
            TlsProtection::Server(server) => {
                let (secrets, kernel) = server.dangerous_into_kernel_connection()?;
                extract_keys(TlsSide::Server, &secrets, kernel)?
            }
            TlsProtection::Resumed(layer) => layer.into_keys(),
        };
        Ok(TlsSnapshot { keys, bytes: self.bytes })
    }

    /// Processes received bytes; call [`TlsSession::read`] for the data in them.
    ///
    /// # Errors
    /// Returns the fault that has ended the connection; [`TlsSession::unsent`] may contain an alert to send.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        // Bytes behind close_notify are ignored (RFC 8446 §6.1).
        if self.is_peer_closed {
            return Ok(());
        }
        self.bytes.received.extend_from_slice(bytes);
        self.process()
    }

    /// Returns whether decrypted data is waiting for [`Self::read`].
    #[must_use]
    pub fn has_data(&self) -> bool {
        !self.bytes.plaintext.is_empty()
    }

    /// Moves decrypted data into `out`; returns its length in bytes, 0 if there is none.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let length = self.bytes.plaintext.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..length), self.bytes.plaintext.get(..length)) {
            to.copy_from_slice(from);
        }
        self.bytes.plaintext.drain(..length);
        length
    }

    /// Returns whether the peer has closed the connection and all data was read.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_peer_closed && !self.has_data()
    }

    /// Encrypts data to be sent; returns the number of bytes accepted, 0 while too many bytes wait to be sent.
    ///
    /// # Errors
    /// Returns the fault that has ended the connection, or an error during the handshake or after
    /// [`TlsSession::close`].
    pub fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let room = UNSENT_BYTES.saturating_sub(self.bytes.unsent.len());
        let accepted = data.get(..room).unwrap_or(data);
        if accepted.is_empty() {
            return Ok(0);
        }
        if self.is_closed || !self.protect(TlsOutput::Data(accepted))? {
            return Err(Error::General("the connection is not open".to_owned()));
        }
        Ok(accepted.len())
    }

    /// Queues close_notify, unless it was sent before, the handshake is in progress, or a fault has ended the
    /// connection.
    pub fn close(&mut self) {
        if self.is_closed || self.fault.is_some() || self.is_handshaking() {
            return;
        }
        // The connection ends in any case.
        let _ = self.protect(TlsOutput::CloseNotify);
        self.is_closed = true;
    }

    /// Returns the encrypted bytes to send, until [`Self::mark_sent`] removes them.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes.unsent
    }

    /// Removes the first `length` bytes of [`Self::unsent`], which have been sent.
    pub fn mark_sent(&mut self, length: usize) {
        self.bytes.unsent.drain(..length.min(self.bytes.unsent.len()));
    }

    /// Returns the connection state of rustls; `None` if the record layer of this crate protects the connection.
    fn state(&self) -> Option<&CommonState> {
        match &self.protection {
            TlsProtection::Client(client) => Some(client),
            TlsProtection::Server(server) => Some(server),
            TlsProtection::Resumed(_) => None,
        }
    }

    fn process(&mut self) -> Result<(), Error> {
        self.protect(TlsOutput::Nothing).map(|_| ())
    }

    /// Processes the received records, then encrypts the output. Returns false if nothing could be sent, because the
    /// handshake is in progress or the connection is closed.
    fn protect(&mut self, output: TlsOutput<'_>) -> Result<bool, Error> {
        let done = match &self.protection {
            TlsProtection::Resumed(_) => self.protect_resumed(output),
            TlsProtection::Client(_) | TlsProtection::Server(_) => self.run_rustls(output),
        };
        if let Err(fault) = &done {
            self.fault = Some(fault.clone());
            self.take_alerts();
        }
        done
    }

    /// After a fault, appends the alerts that rustls has queued to the bytes to send; received records are not
    /// processed further.
    fn take_alerts(&mut self) {
        while self.state().is_some_and(CommonState::wants_write) {
            if self.run_step(TlsOutput::Nothing).is_err() {
                return;
            }
        }
    }

    fn run_rustls(&mut self, output: TlsOutput<'_>) -> Result<bool, Error> {
        loop {
            if let TlsProgress::Waiting(is_protected) = self.run_step(output)? {
                return Ok(is_protected);
            }
        }
    }

    fn run_step(&mut self, output: TlsOutput<'_>) -> Result<TlsProgress, Error> {
        let TlsSession { protection, bytes, is_peer_closed, .. } = self;
        let ConnectionBytes { received, plaintext, unsent } = bytes;
        let mut step = TlsStep { output, plaintext, unsent, is_peer_closed };
        let (discard, progress) = match protection {
            TlsProtection::Client(client) => step.handle(client.process_tls_records(received)),
            TlsProtection::Server(server) => step.handle(server.process_tls_records(received)),
            TlsProtection::Resumed(_) => (0, Ok(TlsProgress::Waiting(false))),
        };
        received.drain(..discard.min(received.len()));
        progress
    }

    fn protect_resumed(&mut self, output: TlsOutput<'_>) -> Result<bool, Error> {
        let TlsSession { protection: TlsProtection::Resumed(layer), bytes, is_peer_closed, .. } = self else {
            return Ok(false);
        };
        let ConnectionBytes { received, plaintext, unsent } = bytes;
        let mut at = 0;
        while let Some(rest) = received.get_mut(at..)
            && !*is_peer_closed
        {
            let length = record_length(rest).inspect_err(|fault| layer.send_alert_of(fault, unsent))?;
            let Some(record) = length.and_then(|length| rest.get_mut(..length)) else { break };
            at += record.len();
            match layer.receive(record, unsent)? {
                ReceivedRecord::Data(data) => plaintext.extend_from_slice(data),
                ReceivedRecord::Control => {}
                ReceivedRecord::Closed => *is_peer_closed = true,
            }
        }
        received.drain(..at);
        match output {
            TlsOutput::Nothing => {}
            TlsOutput::Data(data) => layer.send(data, unsent)?,
            TlsOutput::CloseNotify => layer.send_close(unsent),
            // It was sent at once.
            TlsOutput::KeyUpdate => {}
        }
        Ok(true)
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").field("may_cross", &self.may_cross).finish_non_exhaustive()
    }
}

/// One call of rustls with the buffers for its results.
struct TlsStep<'a> {
    output: TlsOutput<'a>,
    plaintext: &'a mut Vec<u8>,
    unsent: &'a mut Vec<u8>,
    is_peer_closed: &'a mut bool,
}

impl TlsStep<'_> {
    /// Acts on the connection state that rustls reports; returns the number of received bytes that may be discarded,
    /// and the result.
    fn handle<T>(&mut self, status: UnbufferedStatus<'_, '_, T>) -> (usize, Result<TlsProgress, Error>) {
        let mut discard = status.discard;
        let progress = match status.state {
            Err(fault) => Err(fault),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut read = Ok(TlsProgress::Again);
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            self.plaintext.extend_from_slice(record.payload);
                            discard += record.discard;
                        }
                        Err(fault) => read = Err(fault),
                    }
                }
                read
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let encoded = append(self.unsent, |out| {
                    data.encode(out).map_err(|error| match error {
                        EncodeError::InsufficientSize(short) => Some(short.required_size),
                        EncodeError::AlreadyEncoded => None,
                    })
                });
                encoded.map(|()| TlsProgress::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(TlsProgress::Again)
            }
            Ok(ConnectionState::PeerClosed) => {
                *self.is_peer_closed = true;
                Ok(TlsProgress::Again)
            }
            Ok(ConnectionState::WriteTraffic(traffic)) => self.write(traffic).map(TlsProgress::Waiting),
            Ok(ConnectionState::Closed | ConnectionState::BlockedHandshake) => Ok(TlsProgress::Waiting(false)),
            Ok(ConnectionState::ReadEarlyData(_)) => Err(Error::General("early data was not offered".to_owned())),
            Ok(_) => Err(Error::General("unknown state of a TLS connection".to_owned())),
        };
        (discard, progress)
    }

    /// Encrypts the output; returns true once it is among the bytes to send.
    fn write<T>(&mut self, mut traffic: WriteTraffic<'_, T>) -> Result<bool, Error> {
        let output = self.output;
        if matches!(output, TlsOutput::KeyUpdate) {
            // Without room for it nothing is encrypted, but the answer is made ready.
            return match traffic.encrypt(&[0], &mut []) {
                Err(EncryptError::EncryptExhausted) => Err(Error::EncryptError),
                Err(EncryptError::InsufficientSize(_)) | Ok(_) => Ok(true),
            };
        }
        let protected = append(self.unsent, |out| {
            let protected = match output {
                TlsOutput::Nothing | TlsOutput::KeyUpdate => Ok(0),
                TlsOutput::Data(data) => traffic.encrypt(data, out),
                TlsOutput::CloseNotify => traffic.queue_close_notify(out),
            };
            protected.map_err(|error| match error {
                EncryptError::InsufficientSize(short) => Some(short.required_size),
                EncryptError::EncryptExhausted => None,
            })
        });
        protected.map(|()| true)
    }
}

/// Appends the bytes that `fill` writes into its argument. `fill` returns their number; `Err(Some(length))` if it needs
/// a buffer of that length, with which it is called again; or `Err(None)` if it fails.
fn append(out: &mut Vec<u8>, mut fill: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) -> Result<(), Error> {
    let start = out.len();
    let mut filled = fill(&mut []);
    if let Err(Some(needed)) = filled {
        out.resize(start + needed, 0);
        filled = fill(out.get_mut(start..).unwrap_or_default());
    }
    out.truncate(start + filled.unwrap_or_default());
    filled.map(|_| ()).map_err(|_| Error::EncryptError)
}

/// Returns the current keys and those of the next [`GENERATIONS`]; TLS 1.2 has only the current ones.
fn extract_keys<T>(
    side: TlsSide,
    secrets: &ExtractedSecrets,
    mut kernel: KernelConnection<T>,
) -> Result<ConnectionKeys, Error> {
    let is_newer = kernel.protocol_version() == ProtocolVersion::TLSv1_3;
    let version = if is_newer { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
    let ((suite, sent), (_, received)) = (TrafficKeys::extract(&secrets.tx.1)?, TrafficKeys::extract(&secrets.rx.1)?);
    let mut sending = DirectionKeys { current: sent, sequence: secrets.tx.0, next: Vec::new() };
    let mut receiving = DirectionKeys { current: received, sequence: secrets.rx.0, next: Vec::new() };
    // TLS 1.2 has no KeyUpdate.
    let generations = if is_newer { GENERATIONS } else { 0 };
    for _ in 0..generations {
        sending.next.push(TrafficKeys::extract(&kernel.update_tx_secret()?.1)?.1);
        receiving.next.push(TrafficKeys::extract(&kernel.update_rx_secret()?.1)?.1);
    }
    Ok(ConnectionKeys { version, suite, side, sending, receiving })
}
