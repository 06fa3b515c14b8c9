//! Server side of digest authentication: issues challenges and verifies credentials (RFC 3261 §22.1, RFC 7616 §3.3).
//!
//! A nonce is signed and contains its creation time; the signature covers the address it was issued to. Unused nonces
//! therefore need no state. For nonces in use the highest nonce count is kept, so that credentials cannot be replayed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustc_hash::FxHashMap;
use sha2::Sha256;

use super::fields::{Authorization, authorizations, quoted, unquoted};
use super::{Credentials, DigestAlgorithm, DigestHash, DigestNonces, DigestSubject, response, secret};
use crate::event::SipPartyId;
use crate::header::HeaderName;
use crate::limits::{NONCE_SECONDS, NONCES_IN_USE};
use crate::message::SipMessage;
use crate::method::Method;
use crate::uri::{Uri, unescape};

/// Realm used if none is configured.
const REALM: &str = "trunkgate";
/// Default algorithms in order of preference, the stronger first (RFC 8760 §2.4).
const OFFERED: [DigestHash; 2] = [DigestHash::Sha256, DigestHash::Md5];
/// Length of a nonce signature, in octets.
const SIGNATURE_BYTES: usize = 16;
/// Length of a nonce, in octets: its number, the second of its creation, and its signature.
const NONCE_BYTES: usize = 12 + SIGNATURE_BYTES;

/// Result of verifying the credentials of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialsCheck {
    /// The request is authenticated or needs no authentication.
    Passed,
    /// The credentials are valid but were computed for another Request-URI: a proxy rewrote the URI, or the
    /// credentials belong to another request.
    OtherUri,
    /// The request must be challenged.
    Challenge {
        /// Whether only the nonce is unusable (expired, used before, or foreign); if so, the client tries again with
        /// the same password.
        stale: bool,
        /// Whether the request carried wrong credentials.
        failed: bool,
        /// Whether the request returned a nonce that was issued to its source address.
        proven: bool,
    },
}

/// Credentials expected from a party.
#[derive(Debug)]
struct ExpectedCredentials {
    username: String,
    realm: String,
    /// Hashed secret for each supported algorithm.
    secrets: [(DigestHash, String); 3],
    /// Algorithms offered, in order of preference.
    offered: Vec<DigestHash>,
    /// Whether the `uri` of the credentials must match the Request-URI.
    is_uri_compared: bool,
}

/// Usage of one nonce by its client.
#[derive(Debug, Clone, Copy)]
struct NonceUsage {
    highest: u32,
    made: u32,
}

/// Decoded and verified nonce.
#[derive(Debug, Clone, Copy)]
struct DecodedNonce {
    number: u64,
    made: u32,
}

/// Expected credentials of each challenged party, and the nonces in use.
pub(crate) struct Challenger {
    /// HMAC key by which nonces are signed and verified.
    signer: Hmac<Sha256>,
    /// Maximum number of nonces in use.
    room: usize,
    /// Time origin; nonces contain the seconds since then.
    start: Option<Instant>,
    expected: FxHashMap<SipPartyId, ExpectedCredentials>,
    numbered: u64,
    /// Usage by nonce number; a lower number belongs to an older nonce.
    used: BTreeMap<u64, NonceUsage>,
    /// Highest nonce number evicted from `used`; nonces up to this number that are not in `used` are rejected.
    floor: u64,
}

impl std::fmt::Debug for Challenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenger").field("used", &self.used.len()).finish_non_exhaustive()
    }
}

impl Challenger {
    /// Creates a challenger that signs its nonces with `key`.
    pub(crate) fn new(key: [u8; 32]) -> Challenger {
        // RFC 2104 §2: the key is padded with zeros.
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(octet, of_key)| *octet = of_key);
        let (expected, used) = (FxHashMap::default(), BTreeMap::new());
        let signer = Hmac::<Sha256>::new(&block.into());
        Challenger { signer, room: NONCES_IN_USE, start: None, expected, numbered: 0, used, floor: 0 }
    }

    /// Sets the credentials required from a party; `None` stops challenging it.
    pub(crate) fn set(&mut self, party: SipPartyId, credentials: Option<Credentials>) {
        let Some(Credentials { username, password, realm }) = credentials else {
            self.expected.remove(&party);
            return;
        };
        let realm = realm.unwrap_or_else(|| REALM.to_owned());
        // The digest is computed over the text between the quotes.
        let written = quoted(&realm).into_owned();
        let known = |hash| (hash, secret(hash, username.as_bytes(), written.as_bytes(), password.as_bytes()));
        let (secrets, offered) = (DigestHash::ALL.map(known), OFFERED.to_vec());
        self.expected
            .insert(party, ExpectedCredentials { realm: written, secrets, offered, username, is_uri_compared: true });
    }

    /// Sets the algorithms offered to a challenged party, in order of preference. An empty list is ignored, because
    /// the party could never authenticate.
    pub(crate) fn offer(&mut self, party: SipPartyId, hashes: &[DigestHash]) {
        if let Some(expected) = self.expected.get_mut(&party).filter(|_| !hashes.is_empty()) {
            expected.offered = hashes.to_vec();
        }
    }

    /// Sets whether the `uri` of a party's credentials must match the Request-URI; the default is yes.
    pub(crate) fn compare_uri(&mut self, party: SipPartyId, is_compared: bool) {
        if let Some(expected) = self.expected.get_mut(&party) {
            expected.is_uri_compared = is_compared;
        }
    }

    /// Returns whether a party is challenged.
    pub(crate) fn is_challenged(&self, party: SipPartyId) -> bool {
        self.expected.contains_key(&party)
    }

    /// Verifies the Authorization headers of a request, and counts the use of a valid nonce. An unknown user takes as
    /// long to reject as a wrong password and gets the same response.
    pub(crate) fn verify_request(
        &mut self,
        now: Instant,
        party: SipPartyId,
        source: IpAddr,
        request: &SipMessage,
    ) -> CredentialsCheck {
        let seconds = self.seconds(now);
        let Some(expected) = self.expected.get(&party) else { return CredentialsCheck::Passed };
        let (mut is_foreign, mut failed) = (false, false);
        let mine = authorizations(request.headers(HeaderName::Authorization)).into_iter();
        let mine = mine.filter(|shown| shown.realm == expected.realm.as_bytes());
        // One attempt per offered algorithm: otherwise a single request could carry any number of password guesses.
        for shown in mine.take(expected.offered.len()) {
            // The nonce is checked before the response: `stale` only for correct responses would confirm a guessed
            // password, even to an attacker without a challenge of its own.
            let Some(nonce) = self.read(shown.nonce, source) else {
                is_foreign = true;
                continue;
            };
            let right = self.is_right(expected, &shown, request);
            let (true, Some(count)) = (right, shown.nonce_count()) else {
                failed = true;
                continue;
            };
            let spent = nonce.number <= self.floor && !self.used.contains_key(&nonce.number);
            let highest = self.used.get(&nonce.number).map_or(0, |used| used.highest);
            if spent || count <= highest || seconds.saturating_sub(nonce.made) > NONCE_SECONDS {
                return CredentialsCheck::Challenge { stale: true, failed, proven: true };
            }
            let is_other = expected.is_uri_compared && !is_for(&shown, request);
            self.record_use(nonce, count, seconds);
            return if is_other { CredentialsCheck::OtherUri } else { CredentialsCheck::Passed };
        }
        // A failed attempt used a nonce that we issued.
        CredentialsCheck::Challenge { stale: is_foreign && !failed, failed, proven: failed }
    }

    /// Returns the user name in the credentials of a request for a party's realm, and whether it is the expected one.
    /// Intended for the operator; never sent to the remote party.
    pub(crate) fn user_shown(&self, party: SipPartyId, request: &SipMessage) -> (String, bool) {
        let Some(expected) = self.expected.get(&party) else { return (String::new(), false) };
        let shown = authorizations(request.headers(HeaderName::Authorization));
        let user = shown.into_iter().rfind(|shown| shown.realm == expected.realm.as_bytes());
        let user = user.map(|shown| unquoted(shown.username).into_owned()).unwrap_or_default();
        let is_expected = self.are_same(expected.username.as_bytes(), &user);
        (String::from_utf8_lossy(&user).into_owned(), is_expected)
    }

    /// Returns the WWW-Authenticate values for a party, one per algorithm.
    pub(crate) fn challenge(&mut self, now: Instant, party: SipPartyId, source: IpAddr, stale: bool) -> Vec<String> {
        let made = self.seconds(now);
        let Some(expected) = self.expected.get(&party) else { return Vec::new() };
        self.numbered += 1;
        let nonce = self.write(DecodedNonce { number: self.numbered, made }, source);
        let stale = if stale { ", stale=true" } else { "" };
        let realm = &expected.realm;
        let value = |hash: &DigestHash| {
            let name = DigestAlgorithm { hash: *hash, session: false }.as_str();
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"{stale}")
        };
        expected.offered.iter().map(value).collect()
    }

    /// Returns whether user name and response are correct. Both are always compared, so that the time is constant.
    fn is_right(&self, expected: &ExpectedCredentials, shown: &Authorization<'_>, request: &SipMessage) -> bool {
        let known = expected.secrets.iter().find(|(hash, _)| *hash == shown.algorithm.hash);
        let offered = known.filter(|(hash, _)| expected.offered.contains(hash));
        let (hash, secret) = match offered {
            Some((hash, secret)) if !shown.algorithm.session => (*hash, secret.as_str()),
            // An algorithm that was not offered is rejected after the same amount of work.
            _ => (DigestHash::Sha256, ""),
        };
        let algorithm = DigestAlgorithm { hash, session: false };
        let nonces = DigestNonces { nonce: shown.nonce, cnonce: shown.cnonce, count: shown.count };
        let subject = DigestSubject { method: request.method_token(), uri: shown.uri, body: request.body() };
        let right = response(algorithm, secret, shown.qop, nonces, subject);
        let given = shown.response.to_ascii_lowercase();
        let same_response = self.are_same(right.as_bytes(), &given);
        let same_user = self.are_same(expected.username.as_bytes(), &unquoted(shown.username));
        same_response & same_user & !secret.is_empty()
    }

    /// Compares two values in constant time.
    fn are_same(&self, one: &[u8], other: &[u8]) -> bool {
        let tag = self.sign(&[other]).finalize().into_bytes();
        self.sign(&[one]).verify(&tag).is_ok()
    }

    fn record_use(&mut self, nonce: DecodedNonce, count: u32, seconds: u32) {
        while let Some(oldest) = self.used.first_entry() {
            let expired = seconds.saturating_sub(oldest.get().made) > NONCE_SECONDS;
            if !expired && self.used.len() < self.room {
                break;
            }
            if let Some((number, _)) = self.used.pop_first() {
                self.floor = self.floor.max(number);
            }
        }
        self.used.insert(nonce.number, NonceUsage { highest: count, made: nonce.made });
    }

    fn write(&self, nonce: DecodedNonce, source: IpAddr) -> String {
        let mut bytes = Vec::with_capacity(NONCE_BYTES);
        bytes.extend_from_slice(&nonce.number.to_be_bytes());
        bytes.extend_from_slice(&nonce.made.to_be_bytes());
        let signature = self.sign(&[&bytes, &octets(source)]).finalize().into_bytes();
        bytes.extend_from_slice(signature.get(..SIGNATURE_BYTES).unwrap_or_default());
        BASE64.encode(&bytes)
    }

    /// Decodes and verifies a nonce that was issued to `source`.
    fn read(&self, text: &[u8], source: IpAddr) -> Option<DecodedNonce> {
        let mut bytes = [0; NONCE_BYTES];
        if BASE64.decode_slice(text, &mut bytes) != Ok(NONCE_BYTES) {
            return None;
        }
        let number = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
        let made = u32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
        let nonce = DecodedNonce { number, made };
        self.are_same(self.write(nonce, source).as_bytes(), text).then_some(nonce)
    }

    fn sign(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.signer.clone();
        for part in parts {
            mac.update(part);
        }
        mac
    }

    fn seconds(&mut self, now: Instant) -> u32 {
        let start = *self.start.get_or_insert(now);
        let age: Duration = now.saturating_duration_since(start);
        u32::try_from(age.as_secs()).unwrap_or(u32::MAX)
    }
}

/// Returns whether credentials apply to the number or user that a request addresses (RFC 7616 §3.4.6). Hosts, ports
/// and parameters are not compared, because proxies rewrite them; REGISTER and OPTIONS address only a host.
/// Credentials with a `uri` without user apply to every user of the host: SIPp and some phones always sign such a URI.
fn is_for(shown: &Authorization<'_>, request: &SipMessage) -> bool {
    if matches!(request.method(), Method::Register | Method::Options) {
        return true;
    }
    let shown = unquoted(shown.uri);
    let (Some(shown), Some(asked)) = (Uri::parse(&shown), request.uri()) else { return false };
    let context = |uri: &Uri<'_>| uri.user_param("phone-context").map(unescape);
    shown.user.is_empty() || shown.user_unescaped() == asked.user_unescaped() && context(&shown) == context(&asked)
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keyring::{AnsweredChallenges, Keyring};
    use super::*;
    use bytes::Bytes;

    const THEM: SipPartyId = SipPartyId(3);

    #[allow(clippy::disallowed_methods)] // tests need an arbitrary start time
    fn start() -> Instant {
        Instant::now()
    }

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn credentials(username: &str, password: &str) -> Credentials {
        Credentials { username: username.into(), password: password.into(), realm: None }
    }

    fn challenger() -> Challenger {
        let mut challenger = Challenger::new([7; 32]);
        challenger.set(THEM, Some(credentials("them", "right")));
        challenger
    }

    fn request(authorization: &str) -> SipMessage {
        let text = format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@h>\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{authorization}Content-Length: 0\r\n\r\n"
        );
        SipMessage::parse(Bytes::from(text)).unwrap()
    }

    /// Returns the Authorization header of a client with these credentials after it received `challenges`.
    fn answer(keyring: &mut Keyring, challenges: &[String]) -> String {
        let lines: String = challenges.iter().map(|value| format!("WWW-Authenticate: {value}\r\n")).collect();
        let text = format!("SIP/2.0 401 No\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{lines}\r\n");
        let refusal = SipMessage::parse(Bytes::from(text)).unwrap();
        let remote = (ip(9), 5060).into();
        assert!(keyring.store_challenges(SipPartyId(1), remote, &mut AnsweredChallenges::default(), &refusal));
        again(keyring)
    }

    /// Returns the next Authorization header with the same nonce.
    fn again(keyring: &mut Keyring) -> String {
        signed(keyring, b"sip:b@h")
    }

    /// Returns the next Authorization header for this `uri`.
    fn signed(keyring: &mut Keyring, uri: &[u8]) -> String {
        let subject = DigestSubject { method: b"INVITE", uri, body: b"" };
        let header = keyring.write(SipPartyId(1), (ip(9), 5060).into(), subject, &mut || "cn".into()).remove(0);
        format!("{}: {}\r\n", header.name, header.value)
    }

    fn client(username: &str, password: &str) -> Keyring {
        let mut keyring = Keyring::default();
        keyring.set(SipPartyId(1), Some(credentials(username, password)));
        keyring
    }

    const STALE: CredentialsCheck = CredentialsCheck::Challenge { stale: true, failed: false, proven: true };
    const WRONG: CredentialsCheck = CredentialsCheck::Challenge { stale: false, failed: true, proven: true };

    #[test]
    fn both_algorithms_are_offered_and_taken() {
        let now = start();
        let mut challenger = challenger();
        let both = challenger.challenge(now, THEM, ip(1), false);
        assert!(both[0].contains("algorithm=SHA-256") && both[1].contains("algorithm=MD5"), "{both:?}");
        for one in &both {
            let line = answer(&mut client("them", "right"), std::slice::from_ref(one));
            let mut fresh = self::challenger();
            fresh.challenge(now, THEM, ip(1), false);
            assert_eq!(fresh.verify_request(now, THEM, ip(1), &request(&line)), CredentialsCheck::Passed);
            let twisted = line.replace("sip:b@h", "sip:other@h");
            assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&twisted)), WRONG);
        }
        assert_eq!(
            challenger.verify_request(now, SipPartyId(9), ip(1), &request("")),
            CredentialsCheck::Passed,
            "not challenged"
        );
    }

    #[test]
    fn rfc7616_3_4_6_credentials_name_the_user() {
        let now = start();
        let invite = |to: &str, line: &str| {
            let text = format!(
                "INVITE {to} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@h>\r\n\
                 Call-ID: c\r\nCSeq: 1 INVITE\r\n{line}Content-Length: 0\r\n\r\n"
            );
            SipMessage::parse(Bytes::from(text)).unwrap()
        };
        for (uri, expected) in [
            ("sip:b@h", CredentialsCheck::Passed),
            ("sip:b@other.example:5070;transport=tcp", CredentialsCheck::Passed),
            ("sips:%62@h", CredentialsCheck::Passed),
            ("sip:b;x=1@h", CredentialsCheck::Passed),
            ("tel:b", CredentialsCheck::Passed),
            ("sip:B@h", CredentialsCheck::OtherUri),
            ("sip:bb@h", CredentialsCheck::OtherUri),
            ("sip:h", CredentialsCheck::OtherUri),
            ("sip:+881123456@h", CredentialsCheck::OtherUri),
            ("sip:b;phone-context=+1@h", CredentialsCheck::OtherUri),
        ] {
            let mut challenger = challenger();
            let challenges = challenger.challenge(now, THEM, ip(1), false);
            let line = answer(&mut client("them", "right"), &challenges);
            assert_eq!(challenger.verify_request(now, THEM, ip(1), &invite(uri, &line)), expected, "{uri}");
            let again = challenger.verify_request(now, THEM, ip(1), &invite("sip:b@h", &line));
            assert_eq!(again, STALE, "{uri}: the nonce has been used");
            // A client without the password does not learn the reason.
            let challenges = challenger.challenge(now, THEM, ip(1), false);
            let wrong = answer(&mut client("them", "wrong"), &challenges);
            assert_eq!(challenger.verify_request(now, THEM, ip(1), &invite(uri, &wrong)), WRONG, "{uri}");
            let right = answer(&mut client("them", "right"), &challenges);
            challenger.compare_uri(THEM, false);
            assert_eq!(
                challenger.verify_request(now, THEM, ip(1), &invite(uri, &right)),
                CredentialsCheck::Passed,
                "{uri}"
            );
        }
        // SIPp signs the host alone.
        let mut challenger = challenger();
        let mut phone = client("them", "right");
        answer(&mut phone, &challenger.challenge(now, THEM, ip(1), false));
        let line = signed(&mut phone, b"sip:h:5060");
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &invite("sip:b@h", &line)), CredentialsCheck::Passed);
    }

    #[test]
    fn what_is_not_offered_is_not_taken() {
        let now = start();
        let mut challenger = challenger();
        let both = challenger.challenge(now, THEM, ip(1), false);
        challenger.offer(THEM, &[]);
        assert_eq!(challenger.challenge(now, THEM, ip(1), false).len(), 2, "nothing is not an offer");
        challenger.offer(THEM, &[DigestHash::Md5]);
        let one = challenger.challenge(now, THEM, ip(1), false);
        assert!(one.len() == 1 && one[0].contains("algorithm=MD5"), "{one:?}");
        let stronger = answer(&mut client("them", "right"), &both);
        assert!(stronger.contains("SHA-256"));
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&stronger)), WRONG);
        let line = answer(&mut client("them", "right"), &one);
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&line)), CredentialsCheck::Passed);
        challenger.offer(THEM, &[DigestHash::Sha512_256, DigestHash::Sha256]);
        let strongest = challenger.challenge(now, THEM, ip(1), false);
        let line = answer(&mut client("them", "right"), &strongest);
        assert!(line.contains("SHA-512-256"), "{line}");
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&line)), CredentialsCheck::Passed);
    }

    #[test]
    fn an_unknown_user_and_a_wrong_password_come_to_the_same() {
        let now = start();
        let mut challenger = challenger();
        let challenges = challenger.challenge(now, THEM, ip(1), false);
        for (user, password) in [("them", "wrong"), ("nobody", "right"), ("nobody", "wrong"), ("", "")] {
            let line = answer(&mut client(user, password), &challenges);
            assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&line)), WRONG, "{user}");
        }
        let none = CredentialsCheck::Challenge { stale: false, failed: false, proven: false };
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request("")), none);
        let other = "Authorization: Digest username=\"them\", realm=\"x\", nonce=\"n\", uri=\"u\", response=\"r\"\r\n";
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(other)), none, "for another party");
    }

    /// An algorithm that was not offered has no stored secret; anyone could compute a response to an empty secret.
    #[test]
    fn what_was_not_offered_is_wrong_however_it_is_computed() {
        let now = start();
        let mut challenger = challenger();
        let ours = secret(DigestHash::Sha256, b"them", REALM.as_bytes(), b"right");
        let strong = secret(DigestHash::Sha512_256, b"them", REALM.as_bytes(), b"right");
        let plain = |hash| DigestAlgorithm { hash, session: false };
        let session = DigestAlgorithm { hash: DigestHash::Sha256, session: true };
        for (user, named, used, secret, expected) in [
            ("them", "SHA-256", plain(DigestHash::Sha256), ours.as_str(), CredentialsCheck::Passed),
            ("nobody", "SHA-256", plain(DigestHash::Sha256), &ours, WRONG),
            ("them", "SHA-512-256", plain(DigestHash::Sha256), "", WRONG),
            ("them", "SHA-512-256", plain(DigestHash::Sha512_256), "", WRONG),
            ("them", "SHA-512-256", plain(DigestHash::Sha512_256), &strong, WRONG),
            ("them", "SHA-256-sess", plain(DigestHash::Sha256), &ours, WRONG),
            ("them", "SHA-256-sess", plain(DigestHash::Sha256), "", WRONG),
            ("them", "SHA-256-sess", session, &ours, WRONG),
        ] {
            let nonce = challenger.challenge(now, THEM, ip(1), false)[0].split('"').nth(3).unwrap().to_owned();
            let nonces = DigestNonces { nonce: nonce.as_bytes(), cnonce: b"c", count: b"00000001" };
            let subject = DigestSubject { method: b"INVITE", uri: b"sip:b@h", body: b"" };
            let response = response(used, secret, Some(super::super::Qop::Auth), nonces, subject);
            let line = format!(
                "Authorization: Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"sip:b@h\", \
                 response=\"{response}\", algorithm={named}, cnonce=\"c\", qop=auth, nc=00000001\r\n"
            );
            assert_eq!(
                challenger.verify_request(now, THEM, ip(1), &request(&line)),
                expected,
                "{user} {named} {used:?}"
            );
        }
    }

    #[test]
    fn a_nonce_counts_up_and_never_twice() {
        let now = start();
        let mut challenger = challenger();
        let challenges = challenger.challenge(now, THEM, ip(1), false);
        let mut keyring = client("them", "right");
        let first = answer(&mut keyring, &challenges);
        let second = again(&mut keyring);
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&second)), CredentialsCheck::Passed);
        for line in [&first, &second] {
            assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(line)), STALE, "replayed");
        }
        assert_eq!(
            challenger.verify_request(now, THEM, ip(1), &request(&again(&mut keyring))),
            CredentialsCheck::Passed
        );
    }

    #[test]
    fn a_nonce_is_one_addresss_and_has_its_time() {
        let now = start();
        let mut challenger = challenger();
        let challenges = challenger.challenge(now, THEM, ip(1), false);
        let line = answer(&mut client("them", "right"), &challenges);
        let elsewhere = CredentialsCheck::Challenge { stale: true, failed: false, proven: false };
        assert_eq!(challenger.verify_request(now, THEM, ip(2), &request(&line)), elsewhere);
        let late = now + Duration::from_secs(u64::from(NONCE_SECONDS) + 1);
        assert_eq!(challenger.verify_request(late, THEM, ip(1), &request(&line)), STALE);
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&line)), CredentialsCheck::Passed);
        let mut restarted = Challenger::new([8; 32]);
        restarted.set(THEM, Some(credentials("them", "right")));
        assert_eq!(restarted.verify_request(now, THEM, ip(1), &request(&line)), elsewhere);
    }

    #[test]
    fn a_foreign_nonce_tells_nothing_of_the_password() {
        let now = start();
        let (mut challenger, mut other) = (challenger(), Challenger::new([9; 32]));
        other.set(THEM, Some(credentials("them", "right")));
        let foreign = other.challenge(now, THEM, ip(1), false);
        let answers = ["right", "wrong"].map(|password| answer(&mut client("them", password), &foreign));
        let verdicts = answers.clone().map(|line| challenger.verify_request(now, THEM, ip(1), &request(&line)));
        assert_eq!(verdicts, [CredentialsCheck::Challenge { stale: true, failed: false, proven: false }; 2]);
        // A wrong response is rejected even next to valid-looking credentials for other challenges.
        let ours = challenger.challenge(now, THEM, ip(1), false);
        let guess = answer(&mut client("them", "wrong"), &ours);
        for lines in [format!("{guess}{}", answers[1]), format!("{}{guess}", answers[1])] {
            assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&lines)), WRONG);
        }
        // No more credentials are verified than algorithms are offered.
        let right = answer(&mut client("them", "right"), &ours);
        let many = guess.repeat(OFFERED.len()) + &right;
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&many)), WRONG);
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&right)), CredentialsCheck::Passed);
    }

    #[test]
    fn the_nonces_in_use_are_bounded_and_one_that_lost_its_place_is_spent() {
        let now = start();
        let mut challenger = challenger();
        assert_eq!(challenger.room, NONCES_IN_USE);
        challenger.room = 20;
        let mut lines = Vec::new();
        for _ in 0..=20 {
            let challenges = challenger.challenge(now, THEM, ip(1), false);
            let mut keyring = client("them", "right");
            let line = answer(&mut keyring, &challenges[1..]);
            assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&line)), CredentialsCheck::Passed);
            assert!(challenger.used.len() <= 20);
            if lines.len() < 2 {
                lines.push((line, keyring));
            }
        }
        let (line, _) = &lines[0];
        assert_eq!(
            challenger.verify_request(now, THEM, ip(1), &request(line)),
            STALE,
            "no replay once it is forgotten"
        );
        let next = again(&mut lines[1].1);
        assert_eq!(
            challenger.verify_request(now, THEM, ip(1), &request(&next)),
            CredentialsCheck::Passed,
            "the others are in use"
        );
    }

    #[test]
    fn rfc_2069_a_nonce_without_qop_is_good_once() {
        let now = start();
        let mut challenger = challenger();
        let old = challenger.challenge(now, THEM, ip(1), false)[1].replace(", qop=\"auth\"", "");
        let mut keyring = client("them", "right");
        let line = answer(&mut keyring, &[old]);
        assert!(!line.contains("qop"));
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&line)), CredentialsCheck::Passed);
        assert_eq!(challenger.verify_request(now, THEM, ip(1), &request(&line)), STALE);
    }
}
