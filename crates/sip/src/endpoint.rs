//! The dispatcher: a message in, its transaction and dialog found, an [`Event`] out; our requests and answers the other way.
//! The tables stand here; what is done with them: `endpoint/client` (our requests), `endpoint/response` (their
//! answers), `endpoint/challenged` (401 and 407, both ways), `endpoint/request` (requests to us), `endpoint/within` (those inside dialogs),
//! `endpoint/reliable` (provisional answers with PRACK), `endpoint/replaced` (which dialog a Replaces header names), `endpoint/change` (which change of a session may go ahead), `endpoint/server` (our answers), `endpoint/room` (who gives
//! way to whom).

mod challenged;
mod change;
mod client;
mod register;
mod reliable;
mod replaced;
mod request;
mod response;
mod room;
mod server;
mod tables;
mod within;

pub use challenged::DIGEST_URI_DIFFERS;
pub use client::COMPLETED_ELSEWHERE;
pub use replaced::Replaced;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use ipnet::IpNet;

use crate::dialog::{Dialog, DialogSnapshot};
use crate::digest::challenger::Challenger;
use crate::digest::keyring::Keyring;
use crate::event::{
    ClientId, ConnectionId, Deadline, DialogId, DropReason, Event, Flow, Input, Output, Party, Reason, Sent, ServerId,
    Transmit, Transport,
};
use crate::identity::{Identity, TokenSource};
use crate::limits;
use crate::message::{Defect, Message};
use crate::method::Method;
use crate::sanity::Rules;
use crate::timer::TimerQueue;
use crate::transaction::key::{self, Key};

/// What an endpoint is told at the start.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Whose names we make.
    pub identity: Identity,
    /// Server and User-Agent.
    pub product: String,
    /// Methods we serve: others known get 405 with Allow, unknown ones 501.
    pub methods: Vec<Method>,
    /// Option tags we know: others in Require get 420 with Unsupported. `100rel` makes provisional answers reliable.
    pub extensions: Vec<String>,
    /// Longest message, in bytes.
    pub message_bytes: usize,
    /// How much may be alive at once.
    pub limits: Limits,
}

/// How much of each kind may be alive at once; the default is [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Server transactions.
    pub servers: usize,
    /// What the server transactions may hold, in bytes.
    pub server_bytes: usize,
    /// Client transactions. A CANCEL and a BYE of ours go out all the same: each ends something else.
    pub clients: usize,
    /// Dialogs, those that an open INVITE may still make included.
    pub dialogs: usize,
    /// Dialogs that one INVITE of ours may make by forked answers.
    pub forks: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            servers: limits::SERVER_TRANSACTIONS,
            server_bytes: limits::SERVER_TRANSACTION_BYTES,
            clients: limits::CLIENT_TRANSACTIONS,
            dialogs: limits::DIALOGS,
            forks: limits::FORKED_DIALOGS,
        }
    }
}

/// Counts, for metrics and for tests that nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Server transactions alive.
    pub servers: usize,
    /// Client transactions alive.
    pub clients: usize,
    /// Dialogs alive, early ones too.
    pub dialogs: usize,
}

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    Client(ClientId),
    Server(ServerId),
    Dialog(DialogId),
}

/// How a message came, and whose it is.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    flow: Flow,
    local: crate::event::Local,
    party: Party,
}

/// All transactions and dialogs of one signalling loop. `Debug` counts them: messages that wait to be repeated hold keys.
pub struct Endpoint {
    rules: Rules,
    product: String,
    message_bytes: usize,
    limits: Limits,
    tokens: TokenSource,
    /// Mixed into the tags of answers that nothing is kept of.
    secret: u64,
    last_id: u64,
    servers: HashMap<ServerId, Box<tables::Server>>,
    server_keys: HashMap<Key, ServerId>,
    /// What they hold, in bytes.
    server_bytes: usize,
    /// Whose they are.
    shares: HashMap<Party, tables::Share>,
    /// Those that have their final answer, in the order of that; some may be gone.
    answered: VecDeque<(Instant, ServerId)>,
    /// INVITEs of ours that have theirs, the same way.
    settled: VecDeque<(Instant, ClientId)>,
    /// Open requests without To tag, by RFC 3261 §8.2.2.2.
    merged: HashMap<Key, ServerId>,
    clients: HashMap<ClientId, Box<tables::Client>>,
    client_keys: HashMap<Key, ClientId>,
    /// Requests of ours that a failing transport ends, by where they went.
    waiting: BTreeSet<(SocketAddr, Transport, ClientId)>,
    dialogs: HashMap<DialogId, Box<Dialog>>,
    dialog_keys: HashMap<Key, DialogId>,
    /// Confirmed dialogs that have ended, the last ones, by a number each; with our BYE, where it was that.
    ended: VecDeque<(u64, Option<ClientId>)>,
    /// Dialogs that live on a stream.
    streams: BTreeSet<(ConnectionId, DialogId)>,
    /// INVITEs that have not made a dialog yet but may.
    reserved: usize,
    timers: TimerQueue<Timer>,
    out: VecDeque<Output>,
    scratch: Vec<u8>,
    /// Our credentials, for challenges of others.
    keyring: Keyring,
    /// Whom we challenge.
    challenger: Challenger,
    /// Networks of each party, besides the address that it speaks from.
    reach: HashMap<Party, Vec<IpNet>>,
    /// Who may use our connections for requests of its own.
    reusing: HashSet<Party>,
    /// Who may replace dialogs of its own (RFC 3891).
    replacing: HashSet<Party>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint whose names come from `seed`.
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> Endpoint {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        let mut tokens = TokenSource::new(config.identity, seed);
        Endpoint {
            keyring: Keyring::default(),
            challenger: Challenger::new(tokens.key()),
            rules: Rules::new(config.methods, config.extensions),
            product: config.product,
            message_bytes: config.message_bytes,
            limits: config.limits,
            tokens,
            secret: hasher.finish(),
            last_id: 0,
            servers: HashMap::new(),
            server_keys: HashMap::new(),
            server_bytes: 0,
            shares: HashMap::new(),
            answered: VecDeque::new(),
            settled: VecDeque::new(),
            merged: HashMap::new(),
            clients: HashMap::new(),
            client_keys: HashMap::new(),
            waiting: BTreeSet::new(),
            dialogs: HashMap::new(),
            dialog_keys: HashMap::new(),
            ended: VecDeque::new(),
            streams: BTreeSet::new(),
            reserved: 0,
            timers: TimerQueue::new(),
            out: VecDeque::new(),
            scratch: Vec::new(),
            reach: HashMap::new(),
            reusing: HashSet::new(),
            replacing: HashSet::new(),
        }
    }

    /// Takes a change from outside; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { flow, local, party, message } => {
                let arrival = Arrival { flow, local, party };
                if message.is_request() {
                    self.on_request(now, arrival, message);
                } else {
                    self.on_response(now, arrival, message);
                }
            }
            Input::TransportFailed { flow, party, was_up } => self.on_transport_failed(now, flow, party, was_up),
            Input::Unreachable { flow, quoted } => self.on_unreachable(now, flow, &quoted),
        }
    }

    /// Fires what is due; drain afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.shrink();
        while let Some((owner, reason)) = self.timers.pop_due(now) {
            match owner {
                Timer::Client(id) => self.on_client_timer(now, id, reason),
                Timer::Server(id) => self.on_server_timer(now, id, reason),
                Timer::Dialog(id) if reason == Reason::AckWait => self.on_ack_missing(now, id),
                Timer::Dialog(id) => self.repeat_success(now, id),
            }
        }
    }

    /// The next output, or `None` when idle.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to be woken, and why.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.timers.next()
    }

    /// Answers a request with a wrong part that never came to [`Input::Received`] (a stream that lost its framing), where
    /// its Via can be read; nothing is kept of it.
    pub fn refuse(&mut self, flow: Flow, party: Party, request: &Message, defect: Defect) {
        if request.method() == Method::Ack || !request.is_request() {
            self.drop_message(DropReason::Unanswerable);
        } else {
            self.refuse_request(flow, party, request, defect.into(), Some(defect));
        }
    }

    /// Says which addresses are a party's own. Its Contacts and Record-Routes lead there, or to where it was heard;
    /// elsewhere nothing is sent for them.
    pub fn set_reach(&mut self, party: Party, networks: Vec<IpNet>) {
        self.reach.insert(party, networks);
    }

    /// Whether a party may send requests of its own on the TLS connections that we open to it: our certificate has told
    /// it whose they are (RFC 5923 §4).
    pub fn offer_reuse(&mut self, party: Party, offered: bool) {
        if offered {
            self.reusing.insert(party);
        } else {
            self.reusing.remove(&party);
        }
    }

    fn offers_reuse(&self, party: Party) -> bool {
        self.reusing.contains(&party)
    }

    /// The way to a dialog's far end.
    pub fn dialog_flow(&self, dialog: DialogId) -> Option<Flow> {
        self.dialogs.get(&dialog).map(|dialog| dialog.plain.flow)
    }

    /// The INVITE of ours that a dialog is open by: an early one, or one with a re-INVITE.
    pub fn invite_of(&self, dialog: DialogId) -> Option<ClientId> {
        self.dialogs.get(&dialog)?.invite_out
    }

    /// The CSeq of the last request sent in a dialog (RFC 3261 §12.2.1.1).
    pub fn last_cseq(&self, dialog: DialogId) -> Option<u32> {
        self.dialogs.get(&dialog).map(|dialog| dialog.plain.local_cseq)
    }

    /// A confirmed and acknowledged dialog in plain data. A change that is under way in it is not: its requests and answers
    /// are nobody's afterwards, and a repetition is refused for its number. Nor is its connection: no other process has that.
    pub fn snapshot_dialog(&self, dialog: DialogId) -> Option<DialogSnapshot> {
        let dialog = self.dialogs.get(&dialog)?;
        let begun = dialog.confirmed && dialog.acknowledged;
        let settled = begun && dialog.ack_due.is_none() && dialog.deferred.is_none();
        settled.then(|| {
            let mut plain = dialog.plain.clone();
            plain.flow.connection = None;
            plain
        })
    }

    /// Takes a dialog back from a snapshot.
    pub fn restore_dialog(&mut self, snapshot: DialogSnapshot) -> DialogId {
        let mut dialog = Dialog::new(snapshot, true);
        dialog.acknowledged = true;
        dialog.flow_lost = dialog.plain.flow.connection.is_none();
        self.insert_dialog(dialog)
    }

    /// What is alive.
    pub fn counts(&self) -> Counts {
        Counts { servers: self.servers.len(), clients: self.clients.len(), dialogs: self.dialogs.len() }
    }

    /// Whether the stream of each flow is needed: by a dialog, or by a request, of either side, that has no final answer yet.
    pub fn are_in_use(&self, flows: &[Flow]) -> Vec<bool> {
        let open = self.servers.values().filter(|server| server.machine.is_open());
        let open: HashSet<ConnectionId> = open.filter_map(|server| server.source.connection).collect();
        let is_in_use = |flow: &Flow| {
            let asked = |id| (flow.remote, flow.transport, ClientId(id));
            let mut asked = self.waiting.range(asked(0)..=asked(u64::MAX));
            flow.connection.is_some_and(|connection| {
                let dialogs = (connection, DialogId(0))..=(connection, DialogId(u64::MAX));
                open.contains(&connection) || self.streams.range(dialogs).next().is_some()
            }) || asked.next().is_some()
        };
        flows.iter().map(is_in_use).collect()
    }

    /// In debug builds and tests: that no index points nowhere and no deadline is left of what has ended.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        let same = |what: &str, index: usize, table: usize| {
            if index == table { Ok(()) } else { Err(format!("{what}: {index} keys for {table} entries")) }
        };
        same("servers", self.server_keys.len(), self.servers.len())?;
        same("clients", self.client_keys.len(), self.clients.len())?;
        same("dialogs", self.dialog_keys.len(), self.dialogs.len())?;
        let open = self.servers.values().filter(|s| s.reserved).count();
        same("reserved", self.reserved, open + self.clients.values().filter(|c| c.reserved).count())?;
        let merged = self.servers.values().filter(|s| s.merged.is_some()).count();
        same("merged", self.merged.len(), merged)?;
        let finals = self.servers.values().filter(|s| !s.machine.is_open()).count();
        if self.answered.len() < finals {
            return Err(format!("{finals} requests are answered, {} are known", self.answered.len()));
        }
        same("server bytes", self.server_bytes, self.servers.values().map(|s| s.weight).sum())?;
        same("shares", self.shares.values().map(|share| share.servers).sum(), self.servers.len())?;
        same("bytes of shares", self.shares.values().map(|share| share.bytes).sum(), self.server_bytes)?;
        if self.counts() == Counts::default() {
            same("timers", self.timers.len(), 0)?;
            same("waiting", self.waiting.len(), 0)?;
            same("streams", self.streams.len(), 0)?;
        }
        Ok(())
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn tell(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn drop_message(&mut self, reason: DropReason) {
        self.tell(Event::Dropped(reason));
    }

    fn transmit(&mut self, flow: Flow, bytes: Bytes, what: Sent) {
        self.out.push_back(Output::Transmit(Transmit { flow, bytes, what }));
    }

    /// To tag of an answer that nothing is kept of: the same for the same request (RFC 3261 §8.2.7).
    fn stateless_tag(&self, request: &Message) -> String {
        let mut hasher = DefaultHasher::new();
        self.secret.hash(&mut hasher);
        request.call_id().hash(&mut hasher);
        key::from_tag(request).hash(&mut hasher);
        request.cseq().map(|cseq| cseq.number).hash(&mut hasher);
        request.via().and_then(|via| via.branch).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// The request that an ICMP error quotes ends, where it still waits (RFC 3261 §18.4).
    fn on_unreachable(&mut self, now: Instant, failed: Flow, quoted: &[u8]) {
        let is_it = |client: &tables::Client| {
            client.flow.listener == failed.listener
                && client.request.starts_with(quoted)
                && key::branch_end(&client.request).is_some_and(|end| end <= quoted.len())
        };
        let at = |id| (failed.remote, failed.transport, ClientId(id));
        let mut waiting = self.waiting.range(at(0)..=at(u64::MAX)).map(|&(_, _, id)| id);
        if let Some(id) = waiting.find(|id| self.clients.get(id).is_some_and(|client| is_it(client))) {
            self.on_client_failed(now, id);
        }
    }

    /// Requests that wait on a way that failed end (RFC 3261 §17.1.4), or are sent once more where it was a connection that
    /// had been up; dialogs on a lost connection look for another.
    fn on_transport_failed(&mut self, now: Instant, failed: Flow, party: Option<Party>, was_up: bool) {
        if let Some(connection) = failed.connection {
            let lost = (connection, DialogId(0))..=(connection, DialogId(u64::MAX));
            let dialogs: Vec<DialogId> = self.streams.range(lost).map(|&(_, id)| id).collect();
            for id in dialogs {
                self.streams.remove(&(connection, id));
                if let Some(dialog) = self.dialogs.get_mut(&id) {
                    dialog.plain.flow.connection = None;
                    dialog.flow_lost = true;
                }
            }
        }
        let at = |id| (failed.remote, failed.transport, ClientId(id));
        let waiting: Vec<ClientId> = self.waiting.range(at(0)..=at(u64::MAX)).map(|&(_, _, id)| id).collect();
        for id in waiting {
            let Some(client) = self.clients.get(&id) else { continue };
            let other = |ours: Option<ConnectionId>| ours.is_some() && ours != failed.connection;
            let its = party.is_none_or(|party| client.party == party);
            let waits_there = its && client.flow.listener == failed.listener && !other(client.flow.connection);
            if waits_there && !(was_up && self.send_once_more(id)) {
                self.on_client_failed(now, id);
            }
        }
    }
}
