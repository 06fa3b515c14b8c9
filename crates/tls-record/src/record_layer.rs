//! Record layer of an established connection: records, alerts, and messages after the handshake.

use std::collections::VecDeque;

use rustls::{AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved};

use crate::protection::{FRAGMENT_BYTES, HEADER_BYTES, RecordKey};
use crate::snapshot::{AeadSuite, ConnectionKeys, DirectionKeys, TlsSide, TlsVersion, TrafficKeys};

/// Maximum length of a message after the handshake, in bytes; session tickets are the longest ones.
const MESSAGE_BYTES: usize = 1 << 16;
/// Length of a handshake message's header in bytes: type and length.
const MESSAGE_HEADER_BYTES: usize = 4;
/// Maximum number of warning alerts and renegotiation requests accepted from the peer.
const WARNINGS: u8 = 4;
/// Value of `AlertLevel` (RFC 5246 §7.2).
const WARNING: u8 = 1;
const FATAL: u8 = 2;
/// Value of `KeyUpdateRequest` (RFC 8446 §4.6.3).
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

/// Returns the length of the first record in `received`, with its header, in bytes; `None` while the record is
/// incomplete.
///
/// # Errors
/// Returns an error if the header has an unknown type or version, or announces too long a record.
pub(crate) fn record_length(received: &[u8]) -> Result<Option<usize>, Error> {
    if let Some(kind) = received.first()
        && !(u8::from(ContentType::ChangeCipherSpec)..=u8::from(ContentType::ApplicationData)).contains(kind)
    {
        return Err(InvalidMessage::InvalidContentType.into());
    }
    if received.get(1).is_some_and(|major| *major != 3) {
        return Err(InvalidMessage::UnknownProtocolVersion.into());
    }
    let Some([_, _, _, high, low]) = received.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    // The limit of TLS 1.2 (RFC 5246 §6.2.3); that of TLS 1.3 is lower, and the data is measured in any case.
    if length > FRAGMENT_BYTES + 2048 {
        return Err(Error::PeerSentOversizedRecord);
    }
    let whole = HEADER_BYTES + length;
    Ok((received.len() >= whole).then_some(whole))
}

/// Result of a received record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReceivedRecord<'a> {
    /// Application data.
    Data(&'a [u8]),
    /// Alert or handshake message without data for the application.
    Control,
    /// close_notify: the peer sends nothing more.
    Closed,
}

/// Keys of one direction of a connection.
#[derive(Debug)]
struct RecordDirection {
    key: RecordKey,
    /// Keys for the next KeyUpdates, in order.
    next: VecDeque<TrafficKeys>,
}

impl RecordDirection {
    fn resume(keys: DirectionKeys, (version, suite): (TlsVersion, AeadSuite)) -> Result<RecordDirection, Error> {
        let DirectionKeys { current, sequence, next } = keys;
        Ok(RecordDirection { key: RecordKey::new(version, suite, current, sequence)?, next: next.into() })
    }

    fn into_keys(self) -> DirectionKeys {
        let (current, sequence) = self.key.into_parts();
        DirectionKeys { current, sequence, next: self.next.into() }
    }

    /// Changes to the next generation of keys; fails if none is left.
    fn advance(&mut self) -> Result<(), Error> {
        let next = self.next.pop_front().ok_or_else(used_up)?;
        self.key.replace(next)
    }
}

/// Returns the error for a connection that needs a further generation of keys and has none.
fn used_up() -> Error {
    Error::General("the keys of the connection are used up".to_owned())
}

/// Record layer of an established connection.
#[derive(Debug)]
pub(crate) struct RecordLayer {
    version: TlsVersion,
    suite: AeadSuite,
    side: TlsSide,
    sending: RecordDirection,
    receiving: RecordDirection,
    /// Beginning of an incomplete handshake message.
    message: Vec<u8>,
    /// Number of warning alerts and renegotiation requests received from the peer.
    warnings: u8,
}

impl RecordLayer {
    /// Continues the connection that these keys protect.
    ///
    /// # Errors
    /// Returns an error if aws-lc-rs rejects a key.
    pub(crate) fn resume(keys: ConnectionKeys) -> Result<RecordLayer, Error> {
        let ConnectionKeys { version, suite, side, sending, receiving } = keys;
        Ok(RecordLayer {
            version,
            suite,
            side,
            sending: RecordDirection::resume(sending, (version, suite))?,
            receiving: RecordDirection::resume(receiving, (version, suite))?,
            message: Vec::new(),
            warnings: 0,
        })
    }

    /// Returns whether no handshake message is incomplete.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.message.is_empty()
    }

    /// Returns the keys with the sequence numbers of the next records.
    pub(crate) fn into_keys(self) -> ConnectionKeys {
        ConnectionKeys {
            version: self.version,
            suite: self.suite,
            side: self.side,
            sending: self.sending.into_keys(),
            receiving: self.receiving.into_keys(),
        }
    }

    /// Processes one complete record; responses such as a KeyUpdate are appended to `out`.
    ///
    /// # Errors
    /// Returns the fault, which ends the connection. An alert about it has been appended, unless the peer has sent one
    /// itself.
    pub(crate) fn receive<'a>(&mut self, record: &'a mut [u8], out: &mut Vec<u8>) -> Result<ReceivedRecord<'a>, Error> {
        let opened = self.receiving.key.open(record);
        let received = opened.and_then(|(kind, data)| self.handle_record(kind, data, out));
        received.inspect_err(|error| self.send_alert_of(error, out))
    }

    /// Appends records with the data, and replaces the key whenever its limit is reached.
    ///
    /// # Errors
    /// Returns an error if no further key is left; then a part of the data and close_notify have been appended, and the
    /// connection has ended.
    pub(crate) fn send(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        for fragment in data.chunks(FRAGMENT_BYTES) {
            if self.sending.key.is_worn()
                && let Err(error) = self.update_sending_key(out)
            {
                self.send_alert_of(&error, out);
                return Err(error);
            }
            self.sending.key.seal(ContentType::ApplicationData, fragment, out)?;
        }
        Ok(())
    }

    /// Appends close_notify.
    pub(crate) fn send_close(&mut self, out: &mut Vec<u8>) {
        self.send_alert(WARNING, AlertDescription::CloseNotify, out);
    }

    fn handle_record<'a>(
        &mut self,
        kind: ContentType,
        data: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<ReceivedRecord<'a>, Error> {
        if kind == ContentType::Handshake {
            self.message.extend_from_slice(data);
            return self.handle_messages(out).map(|()| ReceivedRecord::Control);
        }
        if !self.message.is_empty() {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        if kind == ContentType::ApplicationData {
            return Ok(ReceivedRecord::Data(data));
        }
        if kind == ContentType::Alert { self.handle_alert(data) } else { Err(inappropriate(kind)) }
    }

    fn handle_alert(&mut self, alert: &[u8]) -> Result<ReceivedRecord<'static>, Error> {
        let [level, description] = *alert else { return Err(InvalidMessage::MissingData("alert").into()) };
        let is_warning = match (AlertDescription::from(description), self.version) {
            (AlertDescription::CloseNotify, _) => return Ok(ReceivedRecord::Closed),
            // All other alerts end a connection of TLS 1.3 (RFC 8446 §6).
            (description, TlsVersion::Tls13) => description == AlertDescription::UserCanceled,
            (_, TlsVersion::Tls12) => level == WARNING,
        };
        if !is_warning {
            return Err(Error::AlertReceived(description.into()));
        }
        self.count_warning().map(|()| ReceivedRecord::Control)
    }

    fn count_warning(&mut self) -> Result<(), Error> {
        self.warnings += 1;
        if self.warnings > WARNINGS {
            return Err(PeerMisbehaved::TooManyWarningAlertsReceived.into());
        }
        Ok(())
    }

    /// Processes the complete handshake messages in `message`; an incomplete one remains there.
    fn handle_messages(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        while let Some([kind, high, middle, low]) = self.message.first_chunk::<MESSAGE_HEADER_BYTES>() {
            let kind = HandshakeType::from(*kind);
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if length > MESSAGE_BYTES {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            let end = MESSAGE_HEADER_BYTES + length;
            let Some(body) = self.message.get(MESSAGE_HEADER_BYTES..end) else { return Ok(()) };
            let is_last = self.message.len() == end;
            match (kind, self.version, self.side) {
                // Tickets are for later connections, which other keys protect.
                (HandshakeType::NewSessionTicket, TlsVersion::Tls13, TlsSide::Client) => {}
                (HandshakeType::KeyUpdate, TlsVersion::Tls13, _) => {
                    let is_requested = match *body {
                        [UPDATE_NOT_REQUESTED] => false,
                        [UPDATE_REQUESTED] => true,
                        _ => return Err(InvalidMessage::InvalidKeyUpdate.into()),
                    };
                    // Bytes behind it would be protected by the key before (RFC 8446 §5.1).
                    if !is_last {
                        return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
                    }
                    self.receiving.advance()?;
                    if is_requested {
                        self.update_sending_key(out)?;
                    }
                }
                (HandshakeType::HelloRequest, TlsVersion::Tls12, TlsSide::Client)
                | (HandshakeType::ClientHello, TlsVersion::Tls12, TlsSide::Server) => {
                    self.count_warning()?;
                    self.send_alert(WARNING, AlertDescription::NoRenegotiation, out);
                }
                _ => return Err(Error::InappropriateHandshakeMessage { expect_types: Vec::new(), got_type: kind }),
            }
            self.message.drain(..end);
        }
        Ok(())
    }

    /// Appends a KeyUpdate and changes to the next generation of sending keys. TLS 1.2 has none, so it fails there.
    fn update_sending_key(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.version == TlsVersion::Tls12 || self.sending.next.is_empty() {
            return Err(used_up());
        }
        let message = [u8::from(HandshakeType::KeyUpdate), 0, 0, 1, UPDATE_NOT_REQUESTED];
        self.sending.key.seal(ContentType::Handshake, &message, out)?;
        self.sending.advance()
    }

    /// Appends the alert for a fault: close_notify if the keys are used up, nothing if the peer has sent an alert
    /// itself.
    pub(crate) fn send_alert_of(&mut self, error: &Error, out: &mut Vec<u8>) {
        if *error == used_up() {
            return self.send_close(out);
        }
        if let Some(description) = alert_of(error) {
            self.send_alert(FATAL, description, out);
        }
    }

    fn send_alert(&mut self, level: u8, description: AlertDescription, out: &mut Vec<u8>) {
        // The connection ends in any case.
        let _ = self.sending.key.seal(ContentType::Alert, &[level, description.into()], out);
    }
}

/// Returns the alert for a fault of a record or a message; `None` if the fault is an alert of the peer.
fn alert_of(error: &Error) -> Option<AlertDescription> {
    let alerts = [
        (Error::DecryptError, AlertDescription::BadRecordMac),
        (Error::PeerSentOversizedRecord, AlertDescription::RecordOverflow),
        (InvalidMessage::InvalidContentType.into(), AlertDescription::UnexpectedMessage),
        (InvalidMessage::UnknownProtocolVersion.into(), AlertDescription::ProtocolVersion),
    ];
    if matches!(error, Error::AlertReceived(_)) {
        return None;
    }
    let known = alerts.into_iter().find(|(fault, _)| fault == error).map(|(_, description)| description);
    let is_malformed = matches!(error, Error::InvalidMessage(_));
    let other = if is_malformed { AlertDescription::DecodeError } else { AlertDescription::UnexpectedMessage };
    Some(known.unwrap_or(other))
}

fn inappropriate(kind: ContentType) -> Error {
    let expect_types = vec![ContentType::ApplicationData, ContentType::Alert, ContentType::Handshake];
    Error::InappropriateMessage { expect_types, got_type: kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{IV_BYTES, KEY_BYTES};

    const SUITES: [AeadSuite; 3] = [AeadSuite::Aes128Gcm, AeadSuite::Aes256Gcm, AeadSuite::Chacha20Poly1305];

    fn direction(first: u8, sequence: u64, generations: u8) -> DirectionKeys {
        let keys = |n: u8| TrafficKeys { key: [first + n; KEY_BYTES], iv: [first + n; IV_BYTES] };
        DirectionKeys { current: keys(0), sequence, next: (1..=generations).map(keys).collect() }
    }

    /// Returns a client and its server; the next record of the client has this sequence number.
    fn pair(version: TlsVersion, suite: AeadSuite, sequence: u64, generations: u8) -> (RecordLayer, RecordLayer) {
        let (one, other) = (|| direction(1, sequence, generations), || direction(101, 0, generations));
        let layer = |side, sending, receiving| {
            RecordLayer::resume(ConnectionKeys { version, suite, side, sending, receiving }).unwrap()
        };
        (layer(TlsSide::Client, one(), other()), layer(TlsSide::Server, other(), one()))
    }

    /// Processes all records; returns the data.
    fn receive(layer: &mut RecordLayer, mut records: Vec<u8>, out: &mut Vec<u8>) -> Result<Vec<u8>, Error> {
        let (mut data, mut rest) = (Vec::new(), records.as_mut_slice());
        while let Some(length) = record_length(rest)? {
            let (record, behind) = rest.split_at_mut(length);
            if let ReceivedRecord::Data(more) = layer.receive(record, out)? {
                data.extend_from_slice(more);
            }
            rest = behind;
        }
        assert!(rest.is_empty());
        Ok(data)
    }

    #[test]
    fn a_worn_key_is_replaced_or_the_connection_closed() {
        for suite in [AeadSuite::Aes128Gcm, AeadSuite::Aes256Gcm] {
            let (mut client, mut server) = pair(TlsVersion::Tls13, suite, (1 << 23) - 1, 1);
            let mut out = Vec::new();
            for text in [b"a", b"b", b"c"] {
                client.send(text, &mut out).unwrap();
            }
            assert_eq!(client.sending.key.into_parts().1, 2, "records under the new key");
            assert_eq!(receive(&mut server, out, &mut Vec::new()).unwrap(), b"abc");
        }
        for (version, suite) in [
            (TlsVersion::Tls12, AeadSuite::Aes128Gcm),
            (TlsVersion::Tls13, AeadSuite::Aes256Gcm),
            (TlsVersion::Tls12, AeadSuite::Chacha20Poly1305),
        ] {
            let sequence = if suite == AeadSuite::Chacha20Poly1305 { u64::MAX - 65_535 } else { 1 << 23 };
            let (mut client, mut server) = pair(version, suite, sequence, 0);
            let mut out = Vec::new();
            assert!(client.send(b"a", &mut out).is_err());
            assert_eq!(server.receive(&mut out, &mut Vec::new()), Ok(ReceivedRecord::Closed));
        }
    }

    #[test]
    fn no_sequence_number_is_used_twice() {
        let (mut client, _) = pair(TlsVersion::Tls12, AeadSuite::Chacha20Poly1305, u64::MAX, 0);
        let mut out = Vec::new();
        client.send_close(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn renegotiation_is_refused() {
        for suite in SUITES {
            let (mut client, mut server) = pair(TlsVersion::Tls12, suite, 7, 0);
            for n in 0..=WARNINGS {
                let (mut request, mut answer) = (Vec::new(), Vec::new());
                server.sending.key.seal(ContentType::Handshake, &[0, 0, 0, 0], &mut request).unwrap();
                let received = client.receive(&mut request, &mut answer);
                if n == WARNINGS {
                    assert_eq!(received, Err(PeerMisbehaved::TooManyWarningAlertsReceived.into()));
                    continue;
                }
                assert_eq!(received, Ok(ReceivedRecord::Control));
                let (kind, alert) = server.receiving.key.open(&mut answer).unwrap();
                assert_eq!((kind, alert), (ContentType::Alert, &[WARNING, 100][..]));
            }
        }
    }

    /// Returns the error of a client of TLS 1.3 for records with these contents.
    fn fault(contents: &[(ContentType, &[u8])]) -> Error {
        let (mut client, mut server) = pair(TlsVersion::Tls13, AeadSuite::Aes128Gcm, 0, 2);
        let mut records = Vec::new();
        for (kind, content) in contents {
            server.sending.key.seal(*kind, content, &mut records).unwrap();
        }
        let mut out = Vec::new();
        let fault = receive(&mut client, records, &mut out).unwrap_err();
        let alert = receive(&mut server, out, &mut Vec::new());
        assert!(matches!(alert, Err(Error::AlertReceived(_))), "{alert:?}");
        fault
    }

    #[test]
    fn messages_that_have_no_place_after_the_handshake_are_refused() {
        let handshake = ContentType::Handshake;
        let refused = |got_type| Error::InappropriateHandshakeMessage { expect_types: Vec::new(), got_type };
        assert_eq!(fault(&[(handshake, &[1, 0, 0, 0])]), refused(HandshakeType::ClientHello));
        assert_eq!(fault(&[(handshake, &[0, 0, 0, 0])]), refused(HandshakeType::HelloRequest));
        assert_eq!(fault(&[(handshake, &[24, 0, 0, 1, 2])]), InvalidMessage::InvalidKeyUpdate.into());
        assert_eq!(fault(&[(handshake, &[24, 0, 0, 0])]), InvalidMessage::InvalidKeyUpdate.into());
        let behind = PeerMisbehaved::KeyEpochWithPendingFragment.into();
        assert_eq!(fault(&[(handshake, &[24, 0, 0, 1, 0, 24])]), behind);
        assert_eq!(fault(&[(handshake, &[4, 1, 0, 1])]), InvalidMessage::HandshakePayloadTooLarge.into());
        let between = PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into();
        assert_eq!(fault(&[(handshake, &[4, 0]), (ContentType::ApplicationData, b"x")]), between);
        assert_eq!(fault(&[(ContentType::ChangeCipherSpec, &[1])]), inappropriate(ContentType::ChangeCipherSpec));
        assert_eq!(fault(&[(ContentType::Alert, &[1])]), InvalidMessage::MissingData("alert").into());
        assert_eq!(fault(&[(ContentType::Unknown(0), &[0, 0])]), PeerMisbehaved::IllegalTlsInnerPlaintext.into());
    }

    #[test]
    fn a_message_in_pieces_is_put_together() {
        let (mut client, mut server) = pair(TlsVersion::Tls13, AeadSuite::Aes128Gcm, 0, 2);
        let message = [4, 0, 0, 3, 1, 2, 3, 24, 0, 0, 1, 0];
        for (n, byte) in message.iter().enumerate() {
            let mut record = Vec::new();
            server.sending.key.seal(ContentType::Handshake, &[*byte], &mut record).unwrap();
            assert_eq!(client.receive(&mut record, &mut Vec::new()), Ok(ReceivedRecord::Control));
            assert_eq!(client.is_between_messages(), n == 6 || n == 11);
        }
        server.sending.advance().unwrap();
        let mut record = Vec::new();
        server.send(b"new", &mut record).unwrap();
        assert_eq!(client.receive(&mut record, &mut Vec::new()), Ok(ReceivedRecord::Data(b"new")));
    }

    #[test]
    fn warnings_are_counted_and_other_alerts_are_an_end() {
        for (version, alert, is_warning) in [
            (TlsVersion::Tls13, [WARNING, 90], true),
            (TlsVersion::Tls13, [WARNING, 100], false),
            (TlsVersion::Tls12, [WARNING, 100], true),
            (TlsVersion::Tls12, [FATAL, 100], false),
        ] {
            let (mut client, mut server) = pair(version, AeadSuite::Aes256Gcm, 0, 0);
            for n in 0..=WARNINGS {
                let mut record = Vec::new();
                server.sending.key.seal(ContentType::Alert, &alert, &mut record).unwrap();
                let received = client.receive(&mut record, &mut Vec::new());
                assert_eq!(received.is_ok(), is_warning && n < WARNINGS, "{version:?} {alert:?} {n}");
            }
        }
    }

    #[test]
    fn data_of_any_length_is_cut_into_records() {
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            for suite in SUITES {
                for length in [1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1, 3 * FRAGMENT_BYTES] {
                    let (mut client, mut server) = pair(version, suite, 3, 0);
                    let (data, mut out) = (vec![7; length], Vec::new());
                    client.send(&data, &mut out).unwrap();
                    assert_eq!(receive(&mut server, out, &mut Vec::new()).unwrap(), data);
                }
            }
        }
    }
}
