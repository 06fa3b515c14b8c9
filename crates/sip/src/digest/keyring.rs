//! Client side of digest authentication: credentials per party, and the nonces in use with each (RFC 3261 §22.2,
//! §22.3).
//!
//! A response is sent only to the address that issued the challenge, and only for the party that owns the
//! credentials. Any other recipient could use it for an offline guess of the password.

use std::collections::HashMap;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::fields::{DigestChallenge, challenges, quoted, unquoted};
use super::{Credentials, DigestNonces, DigestSubject, response, secret};
use crate::event::{ExtraHeader, SipPartyId};
use crate::header::HeaderName;
use crate::limits::{DIGEST_REALMS, DIGEST_ROUNDS, DIGEST_SESSIONS};
use crate::message::SipMessage;

/// Origin of a challenge: the remote party itself, or a proxy on the path (RFC 3261 §22.2, §22.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChallengeOrigin {
    Server,
    Proxy,
}

impl ChallengeOrigin {
    const ALL: [ChallengeOrigin; 2] = [ChallengeOrigin::Server, ChallengeOrigin::Proxy];

    const fn challenge(self) -> HeaderName {
        match self {
            ChallengeOrigin::Server => HeaderName::WwwAuthenticate,
            ChallengeOrigin::Proxy => HeaderName::ProxyAuthenticate,
        }
    }

    const fn answer(self) -> HeaderName {
        match self {
            ChallengeOrigin::Server => HeaderName::Authorization,
            ChallengeOrigin::Proxy => HeaderName::ProxyAuthorization,
        }
    }
}

/// Challenge received from a remote address, which further requests to that address answer too.
#[derive(Debug)]
struct DigestSession {
    asker: ChallengeOrigin,
    challenge: DigestChallenge,
    /// Number of requests that have used the nonce.
    count: u32,
}

/// Challenges already answered for one request, which limits how often it is repeated.
#[derive(Debug, Default)]
pub(crate) struct AnsweredChallenges {
    rounds: u8,
    realms: Vec<(ChallengeOrigin, String)>,
}

/// Our credentials, and the digest sessions that use them.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    credentials: FxHashMap<SipPartyId, Credentials>,
    sessions: HashMap<(SipPartyId, SocketAddr), Vec<DigestSession>>,
}

impl Keyring {
    /// Sets or clears the credentials of a party; a change discards its nonces.
    pub(crate) fn set(&mut self, party: SipPartyId, credentials: Option<Credentials>) {
        if self.credentials.get(&party) == credentials.as_ref() {
            return;
        }
        self.sessions.retain(|(of, _), _| *of != party);
        match credentials {
            Some(credentials) => self.credentials.insert(party, credentials),
            None => self.credentials.remove(&party),
        };
    }

    /// Returns the authorization headers for a request to `remote`, one for each challenge received from there, and
    /// counts the use of its nonce. Calls `cnonce` for each of them.
    pub(crate) fn write(
        &mut self,
        party: SipPartyId,
        remote: SocketAddr,
        subject: DigestSubject<'_>,
        cnonce: &mut dyn FnMut() -> String,
    ) -> Vec<ExtraHeader> {
        let Some(credentials) = self.credentials.get(&party) else { return Vec::new() };
        let Some(sessions) = self.sessions.get_mut(&(party, remote)) else { return Vec::new() };
        sessions.iter_mut().map(|session| session.write(credentials, subject, &cnonce())).collect()
    }

    /// Stores the challenges of a 401 or 407 from `remote`. Returns whether to repeat the request: there are
    /// credentials for a challenge, and they have not just been rejected.
    pub(crate) fn store_challenges(
        &mut self,
        party: SipPartyId,
        remote: SocketAddr,
        answered: &mut AnsweredChallenges,
        refusal: &SipMessage,
    ) -> bool {
        let Some(credentials) = self.credentials.get(&party) else { return false };
        if self.sessions.len() >= DIGEST_SESSIONS && !self.sessions.contains_key(&(party, remote)) {
            // Each discarded session costs one round trip to establish again.
            self.sessions.clear();
        }
        let sessions = self.sessions.entry((party, remote)).or_default();
        let mut learned = false;
        let mut refused = answered.rounds >= DIGEST_ROUNDS;
        for asker in ChallengeOrigin::ALL {
            let mut seen: Vec<String> = Vec::new();
            for challenge in challenges(refusal.headers(asker.challenge())) {
                let fits = credentials
                    .realm
                    .as_ref()
                    .is_none_or(|own| own.as_bytes() == &*unquoted(challenge.realm.as_bytes()));
                if !fits || seen.contains(&challenge.realm) {
                    continue;
                }
                seen.push(challenge.realm.clone());
                let realm = (asker, challenge.realm.clone());
                refused |= answered.realms.contains(&realm) && !challenge.stale;
                answered.realms.push(realm);
                sessions.retain(|known| known.asker != asker || known.challenge.realm != challenge.realm);
                if sessions.len() < DIGEST_REALMS {
                    sessions.push(DigestSession { asker, challenge, count: 0 });
                    learned = true;
                }
            }
        }
        answered.rounds = answered.rounds.saturating_add(1);
        if refused || sessions.is_empty() {
            self.sessions.remove(&(party, remote));
        }
        learned && !refused
    }
}

impl DigestSession {
    fn write(&mut self, credentials: &Credentials, subject: DigestSubject<'_>, cnonce: &str) -> ExtraHeader {
        self.count = self.count.saturating_add(1);
        let DigestChallenge { realm, nonce, opaque, algorithm, names_algorithm, qop, stale: _ } = &self.challenge;
        let Credentials { username, password, .. } = credentials;
        let count = format!("{:08x}", self.count);
        let nonces = DigestNonces { nonce: nonce.as_bytes(), cnonce: cnonce.as_bytes(), count: count.as_bytes() };
        let secret = secret(algorithm.hash, username.as_bytes(), realm.as_bytes(), password.as_bytes());
        let response = response(*algorithm, &secret, *qop, nonces, subject);
        let (user, uri) = (quoted(username), String::from_utf8_lossy(subject.uri));
        let mut value = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
        );
        let mut add = |text: &str| value.push_str(text);
        if *names_algorithm {
            add(", algorithm=");
            add(algorithm.as_str());
        }
        if qop.is_some() || algorithm.session {
            add(&format!(", cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = opaque {
            add(&format!(", opaque=\"{opaque}\""));
        }
        if let Some(qop) = qop {
            add(&format!(", qop={}, nc={count}", qop.as_str()));
        }
        ExtraHeader { name: self.asker.answer().as_str().to_owned(), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const OURS: SipPartyId = SipPartyId(1);

    fn remote(n: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, n], 5060))
    }

    fn keyring(realm: Option<&str>) -> Keyring {
        let mut keyring = Keyring::default();
        let realm = realm.map(str::to_owned);
        keyring.set(OURS, Some(Credentials { username: "acme".into(), password: "secret".into(), realm }));
        keyring
    }

    fn refusal(lines: &str) -> SipMessage {
        let text = format!(
            "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        SipMessage::parse(Bytes::from(text)).unwrap()
    }

    fn subject() -> DigestSubject<'static> {
        DigestSubject { method: b"INVITE", uri: b"sip:b@h", body: b"" }
    }

    fn write(keyring: &mut Keyring, party: SipPartyId, n: u8) -> Vec<String> {
        let headers = keyring.write(party, remote(n), subject(), &mut || "cn".into());
        headers.into_iter().map(|header| format!("{}: {}", header.name, header.value)).collect()
    }

    #[test]
    fn the_topmost_challenge_that_we_can_answer_is_answered() {
        let mut keyring = keyring(None);
        let all = refusal(
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"0\", algorithm=SHA-3\r\n\
             WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", algorithm=SHA-256, qop=\"auth\", opaque=\"o\"\r\n\
             WWW-Authenticate: Digest realm=\"r\", nonce=\"2\", algorithm=MD5, qop=\"auth\"\r\n",
        );
        assert!(keyring.store_challenges(OURS, remote(1), &mut AnsweredChallenges::default(), &all));
        let [first] = write(&mut keyring, OURS, 1).try_into().unwrap();
        assert!(
            first.starts_with("Authorization: Digest username=\"acme\", realm=\"r\", nonce=\"1\", uri=\"sip:b@h\", ")
        );
        assert!(first.ends_with("algorithm=SHA-256, cnonce=\"cn\", opaque=\"o\", qop=auth, nc=00000001"), "{first}");
        let [second] = write(&mut keyring, OURS, 1).try_into().unwrap();
        assert!(second.ends_with("nc=00000002"));
    }

    #[test]
    fn a_proxy_and_the_server_behind_it_are_both_answered() {
        let mut keyring = keyring(None);
        let mut answered = AnsweredChallenges::default();
        assert!(keyring.store_challenges(
            OURS,
            remote(1),
            &mut answered,
            &refusal("Proxy-Authenticate: Digest realm=\"p\", nonce=\"1\"\r\n")
        ));
        assert!(keyring.store_challenges(
            OURS,
            remote(1),
            &mut answered,
            &refusal("WWW-Authenticate: Digest realm=\"s\", nonce=\"2\"\r\n")
        ));
        let names: Vec<String> =
            write(&mut keyring, OURS, 1).iter().filter_map(|h| h.split(':').next().map(str::to_owned)).collect();
        assert_eq!(names, ["Proxy-Authorization", "Authorization"]);
    }

    #[test]
    fn refused_credentials_are_not_shown_again_but_a_stale_nonce_is_replaced() {
        let mut keyring = keyring(None);
        let mut answered = AnsweredChallenges::default();
        let fresh = refusal("WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n");
        let stale = refusal("WWW-Authenticate: Digest realm=\"r\", nonce=\"2\", stale=true\r\n");
        assert!(keyring.store_challenges(OURS, remote(1), &mut answered, &fresh));
        assert!(keyring.store_challenges(OURS, remote(1), &mut answered, &stale));
        assert!(!keyring.store_challenges(OURS, remote(1), &mut answered, &fresh), "refused");
        assert_eq!(write(&mut keyring, OURS, 1), [""; 0]);
        // A nonce sent without a challenge in the same transaction may always be replaced once.
        assert!(keyring.store_challenges(OURS, remote(1), &mut AnsweredChallenges::default(), &fresh));
        let mut always_stale = AnsweredChallenges::default();
        let rounds = (0..50).filter(|_| keyring.store_challenges(OURS, remote(1), &mut always_stale, &stale)).count();
        assert_eq!(rounds, usize::from(DIGEST_ROUNDS));
    }

    #[test]
    fn nobody_else_gets_an_answer() {
        let challenge = refusal("WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n");
        let mut keyring = keyring(Some("r"));
        assert!(
            !keyring.store_challenges(SipPartyId(2), remote(1), &mut AnsweredChallenges::default(), &challenge),
            "another party"
        );
        let foreign = refusal("WWW-Authenticate: Digest realm=\"other\", nonce=\"1\"\r\n");
        assert!(
            !keyring.store_challenges(OURS, remote(1), &mut AnsweredChallenges::default(), &foreign),
            "another realm"
        );
        assert!(keyring.store_challenges(OURS, remote(1), &mut AnsweredChallenges::default(), &challenge));
        assert_eq!(write(&mut keyring, OURS, 1).len(), 1);
        assert_eq!(write(&mut keyring, OURS, 2), [""; 0], "another address has not asked");
        assert_eq!(write(&mut keyring, SipPartyId(2), 1), [""; 0]);
        keyring.set(OURS, Some(Credentials { username: "acme".into(), password: "new".into(), realm: None }));
        assert_eq!(write(&mut keyring, OURS, 1), [""; 0], "other credentials restart the count");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut keyring = keyring(None);
        let lines: String =
            (0..8).map(|n| format!("WWW-Authenticate: Digest realm=\"r{n}\", nonce=\"1\"\r\n")).collect();
        let crowd = refusal(&lines);
        for n in 0..=DIGEST_SESSIONS {
            let far = SocketAddr::from(([10, 0, 0, 1], u16::try_from(n).unwrap()));
            assert!(keyring.store_challenges(OURS, far, &mut AnsweredChallenges::default(), &crowd));
            assert!(keyring.sessions.len() <= DIGEST_SESSIONS);
            assert_eq!(keyring.write(OURS, far, subject(), &mut String::new).len(), DIGEST_REALMS);
        }
    }
}
