//! 401 and 407, both ways: our request repeated with credentials for who asked (RFC 3261 §22.2, §22.3), and a far end's
//! request asked for its own (§22.1). And 422: our request repeated with a longer session (RFC 4028 §7.3).

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::client::write_extras;
use super::tables::{Cancel, Client, Inviting};
use super::{Arrival, Endpoint, Timer};
use crate::compose;
use crate::dialog::LAST_CSEQ;
use crate::digest::challenger::Verdict;
use crate::digest::{Credentials, Hash, Subject};
use crate::event::{Body, ClientId, Event, Extra, Party, Reason};
use crate::header::{HeaderName, SessionExpires};
use crate::limits;
use crate::message::{Defect, Message, StartLine};
use crate::method::Method;
use crate::sanity::Refusal;
use crate::timer::{T4, TIMER_D};
use crate::transaction::{Slot, Step, key};
use crate::write::Writer;

/// What is told of credentials that are right, but for another Request-URI.
pub const DIGEST_URI_DIFFERS: &str = "the digest uri is not the Request-URI";

/// Not taken over from the request before: the credentials are new ones, and the body brings its own two.
const WRITTEN_ANEW: [HeaderName; 4] =
    [HeaderName::Authorization, HeaderName::ProxyAuthorization, HeaderName::ContentType, HeaderName::ContentLength];

impl Endpoint {
    /// Our credentials towards a party: its challenges are answered with them, and nobody else's.
    pub fn set_credentials(&mut self, party: Party, credentials: Option<Credentials>) {
        self.keyring.set(party, credentials);
    }

    /// What a party has to show before its requests are served; `None`: nothing.
    pub fn require_credentials(&mut self, party: Party, credentials: Option<Credentials>) {
        self.challenger.set(party, credentials);
    }

    /// Which algorithms a party is challenged with, in order, once [`Endpoint::require_credentials`] has said that it is.
    /// SHA-256 and MD5 where nothing is said.
    pub fn challenge_with(&mut self, party: Party, hashes: &[Hash]) {
        self.challenger.offer(party, hashes);
    }

    /// Whether the `uri` of a party's credentials must be the Request-URI (RFC 7616 §3.4.6), once
    /// [`Endpoint::require_credentials`] has said that it is challenged. It must where nothing is said.
    pub fn compare_digest_uri(&mut self, party: Party, is_compared: bool) {
        self.challenger.compare_uri(party, is_compared);
    }

    /// Asks for credentials where they are required. Whether the request may pass. What speaks in a dialog of its own
    /// party is known by the dialog's tags, and not asked again.
    pub(super) fn may_pass(&mut self, now: Instant, arrival: &Arrival, request: &Message) -> bool {
        let party = arrival.party;
        if !self.challenger.asks(party) {
            return true;
        }
        if !key::to_tag(request).is_empty() && self.find_dialog(arrival, request).is_some() {
            return true;
        }
        let source = arrival.flow.remote.ip();
        match self.challenger.judge(now, party, source, request) {
            Verdict::Passed => true,
            Verdict::OtherUri => {
                let defect = Defect { code: 400, what: DIGEST_URI_DIFFERS };
                self.refuse_request(arrival.flow, party, request, defect.into(), Some(defect));
                false
            }
            Verdict::Challenge { stale, failed, proven } => {
                let values = self.challenger.challenge(now, party, source, stale);
                let values = self.fitting(arrival, request, values);
                let headers = values.into_iter().map(|value| ("WWW-Authenticate", value)).collect();
                self.refuse_as(arrival, request, Refusal { headers, ..Refusal::plain(401) });
                if failed {
                    let flow = arrival.flow;
                    self.tell(Event::WrongCredentials { party, flow, proven });
                }
                false
            }
        }
    }

    /// The challenges that a datagram of an address that is not the party's gets: no more than make the answer as long as
    /// the request, and one in any case. Its source may be forged, and whoever has that address gets what we send.
    fn fitting(&self, arrival: &Arrival, request: &Message, values: Vec<String>) -> Vec<String> {
        let source = arrival.flow.remote.ip();
        let reach = self.reach.get(&arrival.party).filter(|_| !arrival.flow.transport.is_reliable());
        if reach.is_none_or(|networks| networks.iter().any(|network| network.contains(&source))) {
            return values;
        }
        let tag = self.stateless_tag(request);
        let bare = compose::answer(request, arrival.flow, 401, "", &tag, false);
        let fields: usize = values.iter().map(|value| "WWW-Authenticate: \r\n".len() + value.len()).sum();
        if bare.finish(None).len() + fields <= request.as_bytes().len() {
            return values;
        }
        // The last is the weakest, and the one that everybody knows.
        values.into_iter().next_back().into_iter().collect()
    }

    /// A 401 or 407 to a request of ours: sends it again with credentials, where there are some for who asks. To the layer
    /// above it stays the same request.
    pub(super) fn answer_challenge(&mut self, now: Instant, id: ClientId, arrival: Arrival, refusal: &Message) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let withdrawn = client.invite.as_deref().is_some_and(|inviting| inviting.cancel != Cancel::No);
        if client.silent || withdrawn || client.method == Method::Cancel {
            return false;
        }
        let (party, remote) = (client.party, client.flow.remote);
        self.keyring.learn(party, remote, &mut client.answered, refusal) && self.repeat(now, id, arrival, refusal, &[])
    }

    /// A 422 to a request of ours: sends it again, once, with the least interval that is asked for. To the layer above it
    /// stays the same request.
    pub(super) fn lengthen(&mut self, now: Instant, id: ClientId, arrival: Arrival, refusal: &Message) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let withdrawn = client.invite.as_deref().is_some_and(|inviting| inviting.cancel != Cancel::No);
        let asked = Message::parse(client.request.clone()).ok().and_then(|request| request.session_expires());
        let (Some(asked), Some(least)) = (asked, refusal.min_se()) else { return false };
        let worth_it = least > asked.seconds && least <= limits::SESSION_SECONDS;
        if client.silent || withdrawn || !worth_it || std::mem::replace(&mut client.lengthened, true) {
            return false;
        }
        let header = |name: HeaderName, value: String| Extra { name: name.as_str().to_owned(), value };
        let longer = SessionExpires { seconds: least, ..asked };
        let changed =
            [header(HeaderName::SessionExpires, longer.to_string()), header(HeaderName::MinSe, least.to_string())];
        self.repeat(now, id, arrival, refusal, &changed)
    }

    /// Sends a request that was refused once more, with another branch and number and with these headers in the place of
    /// those of their names.
    fn repeat(&mut self, now: Instant, id: ClientId, arrival: Arrival, refusal: &Message, changed: &[Extra]) -> bool {
        let Some(client) = self.clients.get(&id) else { return false };
        let within = client.dialog;
        let is_lost =
            client.method == Method::Invite && within.is_some_and(|dialog| !self.dialogs.contains_key(&dialog));
        if is_lost || self.clients_full(now) {
            return false;
        }
        let Some(old) = self.set_aside(now, id) else { return false };
        let Ok(before) = Message::parse(old.request.clone()) else { return false };
        self.tell(Event::Challenged { id, code: refusal.code().unwrap_or_default(), response: refusal.clone() });
        let cseq = match within.and_then(|dialog| self.dialogs.get_mut(&dialog)) {
            Some(dialog) => dialog.plain.next_cseq(),
            None => before.cseq().map_or(1, |cseq| cseq.number).saturating_add(1).min(LAST_CSEQ),
        };
        let branch = self.tokens.branch();
        let (request, credentials) = self.with_credentials(&old, &before, (cseq, &branch), changed);
        key::client(&mut self.scratch, branch.as_bytes(), old.method);
        let mut flow = old.flow;
        flow.connection = arrival.flow.connection.or(flow.connection);
        let way = (flow, old.local, old.party);
        let (new, step) = Client::new(old.method, self.scratch.as_slice().into(), way, request, &old.call_id);
        let invite =
            old.invite.map(|inviting| Box::new(Inviting { branch, cseq, credentials, ack: None, ..*inviting }));
        let Client { dialog, reserved, answered, lengthened, .. } = old;
        self.start_client(now, id, Client { dialog, reserved, invite, answered, lengthened, ..new }, step);
        true
    }

    /// Takes the refused transaction out, and leaves of it what absorbs repetitions of the refusal.
    fn set_aside(&mut self, now: Instant, id: ClientId) -> Option<Client> {
        let mut old = *self.clients.remove(&id)?;
        old.slots.clear(&mut self.timers);
        self.waiting.remove(&(old.flow.remote, old.flow.transport, id));
        self.reserved -= usize::from(old.reserved);
        let early: Vec<_> = old.invite.as_deref_mut().map(|i| std::mem::take(&mut i.forks)).unwrap_or_default();
        for fork in early {
            self.remove_dialog(fork.dialog);
        }
        if old.machine.is_over() {
            self.client_keys.remove(&old.key);
            return Some(old);
        }
        let rest = ClientId(self.fresh_id());
        let way = (old.flow, old.local, old.party);
        let (mut kept, _) = Client::new(old.method, old.key.clone(), way, Bytes::new(), &old.call_id);
        kept.silent = true;
        std::mem::swap(&mut kept.machine, &mut old.machine);
        kept.invite = old.invite.clone();
        let (reason, wait) =
            if old.method == Method::Invite { (Reason::TimerD, TIMER_D) } else { (Reason::TimerK, T4) };
        let step = Step { timeout: Slot::Arm(reason, wait), ..Step::IDLE };
        kept.slots.apply(&mut self.timers, now, Timer::Client(rest), step);
        self.client_keys.insert(kept.key.clone(), rest);
        self.clients.insert(rest, Box::new(kept));
        Some(old)
    }

    /// A request once more, with another number and branch, what has changed, and what answers the challenges.
    fn with_credentials(
        &mut self,
        old: &Client,
        before: &Message,
        (cseq, branch): (u32, &str),
        changed: &[Extra],
    ) -> (Bytes, Vec<Extra>) {
        let uri = match before.start_line() {
            StartLine::Request { uri, .. } => String::from_utf8_lossy(uri).into_owned(),
            StartLine::Response { .. } => String::new(),
        };
        let mut writer = Writer::request(old.method, &uri);
        let via = before.via();
        let old_branch = via.as_ref().and_then(|via| via.branch).map(String::from_utf8_lossy).unwrap_or_default();
        for (name, value) in before.fields() {
            let known = HeaderName::from_bytes(name);
            let is_changed = || changed.iter().any(|extra| HeaderName::from_bytes(extra.name.as_bytes()) == known);
            if known == HeaderName::Via {
                writer.header("Via", &String::from_utf8_lossy(value).replace(&*old_branch, branch));
            } else if known == HeaderName::CSeq {
                writer.header("CSeq", &format!("{cseq} {}", old.method));
            } else if !WRITTEN_ANEW.contains(&known) && !is_changed() {
                writer.header_bytes(&String::from_utf8_lossy(name), value);
            }
        }
        write_extras(&mut writer, changed);
        // With its parameters: of a multipart body one is the boundary.
        let body = before
            .header_text(HeaderName::ContentType)
            .map(|content_type| Body { content_type, bytes: Bytes::copy_from_slice(before.body()) });
        let credentials = self.credentials(old.party, old.flow.remote, old.method, &uri, body.as_ref());
        write_extras(&mut writer, &credentials);
        (writer.finish(body.as_ref()), credentials)
    }

    /// What a request to a far end that has challenged before takes along.
    pub(super) fn credentials(
        &mut self,
        party: Party,
        remote: SocketAddr,
        method: Method,
        uri: &str,
        body: Option<&Body>,
    ) -> Vec<Extra> {
        let body = body.map_or(b"".as_slice(), |body| &body.bytes);
        let subject = Subject { method: method.as_str().as_bytes(), uri: uri.as_bytes(), body };
        self.keyring.write(party, remote, subject, &mut || self.tokens.nonce())
    }
}
