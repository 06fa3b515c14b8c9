//! Edge with all parties, agents and servers around it, and the calls through it.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::configuration::{self, Addresses, REQUESTS, TLS_PORT, called, calling, target};
use super::exchange::{CallId, Description, Dialog, Exchange, ExpectedCall, Progress, Role};
use super::judge::JudgedStream;
use super::kinds::{ALAW, CallKind, Hears, Party, SECURE, Step, Transport};
use super::lines::LineId;
use super::media::{Stream, StreamId};
use crate::bench::dialer::{FAR, NEAR};
use crate::bench::process::on_device_core;
use crate::bench::restart::{self, EDGE};
use crate::bench::speech::Codec;
use crate::interop::bots::{Bot, Manner};
use crate::interop::edge::Edge;
use crate::interop::front;

/// IP address of the recording server.
const RECORDER: &str = "127.0.0.8";
/// Largest number of connections of phones over each of TCP and TLS, which calls share.
const CONNECTIONS: usize = 4;
/// Numbers between the calls that replace each other.
const GENERATION: usize = 1_000;

/// Call of a kind.
pub(super) struct RigCall {
    /// Index of the kind.
    pub(super) kind: usize,
    /// Number of the call among those of its kind; another one with each renewal.
    n: usize,
    /// Dialog of the caller; `None` for a requested call.
    pub(super) key: Option<String>,
    line: LineId,
    near: SocketAddr,
    far: Option<SocketAddr>,
    /// SID of a requested call.
    sid: Option<String>,
    /// Time at which the call was placed, again with each renewal.
    placed: Instant,
}

/// Edge with its surroundings and calls.
pub(super) struct Rig {
    pub(super) edge: Edge,
    pub(super) kinds: Vec<CallKind>,
    pub(super) exchange: Exchange,
    pub(super) calls: Vec<RigCall>,
    /// Numbers of all calls placed so far, with their kinds.
    pub(super) placed: Vec<(usize, String)>,
    /// Agents of kinds: those that a kind streams to, by its index.
    pub(super) bots: Vec<(usize, Bot)>,
    /// Connections of the phones by the index of their kind.
    pub(super) connections: Vec<(usize, LineId)>,
    near: LineId,
    to: SocketAddr,
    folder: tempfile::TempDir,
    _state: tempfile::TempDir,
}

/// Streams of all calls, and how each is judged.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) streams: Vec<Stream>,
    pub(super) judged: Vec<JudgedStream>,
}

fn tls_client(folder: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem"))?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

impl Rig {
    /// Starts the edge of this binary, and all that is around it.
    pub(super) fn start(kinds: &[CallKind], shares: &[usize], binary: &Path) -> anyhow::Result<Rig> {
        let folder = tempfile::tempdir()?;
        let state = tempfile::Builder::new().prefix("trunkgate-state-").tempdir_in(restart::state_parent().0)?;
        let identity = front::identity(folder.path(), &[super::lines::HOST])?;
        let exchange = Exchange::new();
        let (near, _) = exchange.add_udp(NEAR)?;
        let [far, secure, alaw, recorder] = [FAR, SECURE, ALAW, RECORDER].map(|ip| exchange.add_udp(ip));
        let echo = Manner::Echo { leave_out: 0 };
        let (open, over_tls) = (Bot::start(echo.clone())?, Bot::start_with(echo, Some(identity))?);
        let scribe = Bot::start(Manner::Mute)?;
        let recogniser = Bot::start(Manner::Mute)?;
        let addresses = Addresses {
            far: far?.1,
            secure: secure?.1,
            alaw: alaw?.1,
            recorder: recorder?.1,
            open: open.address,
            over_tls: over_tls.address,
            scribe: scribe.address,
            recogniser: recogniser.address,
        };
        let text = configuration::configuration(kinds, shares, &addresses, folder.path());
        let files = configuration::files(shares.iter().copied().max().unwrap_or_default());
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let command = edge_command(binary, folder.path());
        let edge = Edge::start_in(command, &restart::with_state(&text, state.path()), &files)?;
        let bots = [("agent:open", open), ("agent:secure", over_tls), ("agent:scribe", scribe)].into_iter();
        let of_kind = |target| kinds.iter().position(|kind| kind.route.contains(target));
        let bots = bots.filter_map(|(target, bot)| Some((of_kind(target)?, bot))).collect();
        let to = edge.udp;
        let mut rig = Rig {
            edge,
            kinds: kinds.to_vec(),
            exchange,
            calls: Vec::new(),
            placed: Vec::new(),
            bots,
            connections: Vec::new(),
            near,
            to,
            folder,
            _state: state,
        };
        rig.connect(shares)?;
        Ok(rig)
    }

    /// Starts the edge again after a crash.
    pub(super) fn start_again(&mut self, binary: &Path) -> anyhow::Result<()> {
        self.edge.start_again(edge_command(binary, self.folder.path()))
    }

    /// Opens the connections of phones over TCP and TLS.
    fn connect(&mut self, shares: &[usize]) -> anyhow::Result<()> {
        let tcp = self.edge.tcp.context("no TCP listener")?;
        for (at, (kind, share)) in self.kinds.iter().zip(shares).enumerate() {
            let (to, tls) = match kind.transport {
                Transport::Udp => continue,
                Transport::Tcp => (tcp, None),
                Transport::Tls => (SocketAddr::new(EDGE.parse()?, TLS_PORT), Some(tls_client(self.folder.path())?)),
            };
            for _ in 0..(*share).min(CONNECTIONS) {
                self.connections.push((at, self.exchange.add_connection(NEAR, to, tls.clone())?));
            }
        }
        Ok(())
    }

    /// Returns the transport and the edge's address for the `n`th call of a kind.
    fn line(&self, kind: usize, n: usize) -> LineId {
        let own: Vec<LineId> = self.connections.iter().filter(|(of, _)| *of == kind).map(|(_, line)| *line).collect();
        own.get(n % own.len().max(1)).copied().unwrap_or(self.near)
    }

    /// Sets up the `n`th call of a kind, with streams of its parties if it has media.
    pub(super) fn add_call(&mut self, kind: usize, n: usize, has_media: bool, all: &mut Streams) -> anyhow::Result<()> {
        let shape = *self.kinds.get(kind).context("no such kind")?;
        let near = UdpSocket::bind((NEAR, 0))?;
        let far = shape.party.map(|party| UdpSocket::bind((party.ip, 0))).transpose()?;
        let id = self.calls.len();
        let (near_at, far_at) = (near.local_addr()?, far.as_ref().map(UdpSocket::local_addr).transpose()?);
        let line = self.line(kind, n);
        self.calls.push(RigCall {
            kind,
            n,
            key: None,
            line,
            near: near_at,
            far: far_at,
            sid: None,
            placed: Instant::now(),
        });
        let recorders = if shape.has_recorder { self.add_recorder(id)? } else { Vec::new() };
        self.place(id)?;
        if !has_media || !shape.is_answered() {
            return Ok(());
        }
        self.add_streams(id, near, far, recorders, all)
    }

    /// Opens the sockets of a call's recording session, which the recording server expects.
    fn add_recorder(&self, id: CallId) -> anyhow::Result<Vec<UdpSocket>> {
        let sockets = [UdpSocket::bind((RECORDER, 0))?, UdpSocket::bind((RECORDER, 0))?];
        let streams = sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
        let description = Description { streams, codec: Codec::Pcmu, suite: None };
        let expected = ExpectedCall { call: id, role: Role::Recorder, is_answered: true, description };
        let call = self.calls.get(id).context("no such call")?;
        self.exchange.expect(&format!("recorded:{}", called(call.kind, call.n)), expected);
        Ok(sockets.into())
    }

    /// Places a call, and takes its step after the answer.
    fn place(&mut self, id: CallId) -> anyhow::Result<()> {
        let call = self.calls.get(id).context("no such call")?;
        let (kind, n, line, near) = (call.kind, call.n, call.line, call.near);
        let shape = *self.kinds.get(kind).context("no such kind")?;
        let (number, from) = (called(kind, n), calling(kind, n));
        if let (Some(party), Some(far)) = (shape.party, call.far) {
            self.expect(id, &party, far, &[&number, &from]);
        }
        self.placed.push((kind, number.clone()));
        if shape.is_requested {
            let form = [
                ("To", number.as_str()),
                ("From", REQUESTS),
                ("Twiml", "<Response><Pause length=\"3600\"/></Response>"),
                ("Timeout", "600"),
            ];
            let made = self.edge.api("POST Calls.json", &form)?;
            let sid = made["sid"].as_str().context("a call without SID")?.to_owned();
            self.set(id, None, Some(sid))?;
            return self.until_ringing(id);
        }
        let description = Description { streams: vec![near], codec: Codec::Pcmu, suite: None };
        let key = self.exchange.place((line, self.to), (&from, &number), (id, description))?;
        self.set(id, Some(key.clone()), None)?;
        if !shape.is_answered() {
            return self.until_ringing(id);
        }
        let answered = self.exchange.wait(&key, |dialog| dialog.code > 0)?;
        ensure!(answered.code == 200, "{} instead of an answer to {number}: {}", answered.code, self.edge.log_tail());
        self.step(id, shape.step)
    }

    fn set(&mut self, id: CallId, key: Option<String>, sid: Option<String>) -> anyhow::Result<()> {
        let call = self.calls.get_mut(id).context("no such call")?;
        (call.key, call.sid) = (key, sid);
        Ok(())
    }

    fn expect(&self, call: CallId, party: &Party, far: SocketAddr, numbers: &[&str]) {
        let description = Description { streams: vec![far], codec: party.codec, suite: party.suite };
        for number in numbers {
            let (role, is_answered, description) = (Role::Called, party.is_answered, description.clone());
            self.exchange.expect(number, ExpectedCall { call, role, is_answered, description });
        }
    }

    /// Returns the newest dialog of a party of a call, after it has begun.
    fn party(&self, id: CallId, role: Role) -> anyhow::Result<(String, Dialog)> {
        let began = Instant::now();
        loop {
            let newest = self.newest(id, role);
            match newest {
                Some(found) => return Ok(found),
                None if began.elapsed() > super::PATIENCE => break,
                None => std::thread::sleep(super::LOOK),
            }
        }
        anyhow::bail!("no INVITE to a party ({role:?}): {}", self.edge.log_tail())
    }

    /// Returns the newest dialog of a party of a call since the call was placed.
    pub(super) fn newest(&self, id: CallId, role: Role) -> Option<(String, Dialog)> {
        let placed = self.calls.get(id)?.placed;
        self.exchange.dialogs(id).into_iter().rfind(|(_, dialog)| dialog.role == role && dialog.began >= placed)
    }

    fn until_ringing(&self, id: CallId) -> anyhow::Result<()> {
        let (key, _) = self.party(id, Role::Called)?;
        self.exchange.wait(&key, |dialog| dialog.progress == Progress::Ringing)?;
        Ok(())
    }

    fn step(&self, id: CallId, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Nothing => Ok(()),
            Step::Hold => {
                let code = self.exchange.reinvite(&self.party(id, Role::Called)?.0, "sendonly")?;
                ensure!(code == 200, "{code} to a hold");
                Ok(())
            }
            Step::Transfer => {
                let call = self.calls.get(id).context("no such call")?;
                let (number, far) = (target(call.n), call.far.context("no party")?);
                let description = Description { streams: vec![far], codec: Codec::Pcmu, suite: None };
                let expected = ExpectedCall { call: id, role: Role::Target, is_answered: false, description };
                self.exchange.expect(&number, expected);
                let line = format!("Refer-To: <sip:{number}@{}>\r\n", self.to);
                let code = self.exchange.request(&self.party(id, Role::Called)?.0, "REFER", &line, "")?;
                ensure!(code == 202, "{code} to a REFER");
                let (key, _) = self.party(id, Role::Target)?;
                self.exchange.wait(&key, |dialog| dialog.progress == Progress::Ringing).map(drop)
            }
        }
    }

    /// Adds the streams of an answered call.
    fn add_streams(
        &self,
        id: CallId,
        near: UdpSocket,
        far: Option<UdpSocket>,
        recorders: Vec<UdpSocket>,
        all: &mut Streams,
    ) -> anyhow::Result<()> {
        let call = self.calls.get(id).context("no such call")?;
        let shape = self.kinds.get(call.kind).context("no such kind")?;
        let first: StreamId = all.streams.len();
        let caller = call.key.as_ref().and_then(|key| self.exchange.dialog(key)).context("no caller")?;
        let called = far.is_some().then(|| self.party(id, Role::Called)).transpose()?.map(|(_, dialog)| dialog);
        let is_silent = shape.step == Step::Hold;
        let mut add = |socket: UdpSocket, dialog: Option<&Dialog>, codec: Codec, hears: Hears, other: StreamId| {
            let keys = dialog.and_then(|dialog| dialog.keys.clone());
            all.judged.push(JudgedStream {
                kind: call.kind,
                call: id,
                hears,
                other: Some(other),
                is_srtp: keys.is_some(),
                on_upgrade: shape.on_upgrade,
                on_crash: shape.on_crash,
            });
            let to = dialog.map(Dialog::media).transpose()?;
            let payload_type = dialog.map_or(Ok(0), Dialog::payload_type)?;
            all.streams.push(Stream { socket, to, codec, payload_type, keys });
            anyhow::Ok(())
        };
        add(near, Some(&caller), Codec::Pcmu, shape.hears.0, first + 1)?;
        if let (Some(far), Some(called), Some(party)) = (far, &called, shape.party) {
            add(far, Some(called), party.codec, shape.hears.1, first)?;
        }
        for recorder in recorders {
            add(recorder, None, Codec::Pcmu, Hears::Edge, first)?;
        }
        // A caller on hold sends nothing.
        if let (true, Some(stream)) = (is_silent, all.streams.get_mut(first)) {
            stream.to = None;
        }
        Ok(())
    }

    /// Ends what is left of a call and places it again, under other numbers.
    pub(super) fn renew(&mut self, id: CallId) -> anyhow::Result<()> {
        self.end(id)?;
        let call = self.calls.get_mut(id).context("no such call")?;
        (call.n, call.placed) = (call.n + GENERATION, Instant::now());
        self.place(id)
    }

    /// Ends a call by its caller, or by a request; returns whether that succeeded.
    pub(super) fn end(&self, id: CallId) -> anyhow::Result<bool> {
        let call = self.calls.get(id).context("no such call")?;
        self.exchange.end_expected(id);
        if let Some(sid) = &call.sid {
            // The call may have ended by itself.
            let ended = self.edge.api(&format!("POST Calls/{sid}.json"), &[("Status", "completed")]);
            return Ok(ended.is_ok());
        }
        let Some((key, dialog)) = call.key.as_ref().and_then(|key| Some((key, self.exchange.dialog(key)?))) else {
            return Ok(false);
        };
        match dialog.progress {
            Progress::Answered => Ok(self.exchange.request(key, "BYE", "", "")? == 200),
            Progress::Calling | Progress::Ringing => {
                self.exchange.cancel(key)?;
                Ok(self.exchange.wait(key, |dialog| dialog.progress == Progress::Ended).is_ok())
            }
            Progress::Ended => Ok(false),
        }
    }
}

/// Returns the command of the edge, which trusts the agent's certificate.
fn edge_command(binary: &Path, folder: &Path) -> std::process::Command {
    let mut command = on_device_core(binary);
    command.env("SSL_CERT_FILE", folder.join("ca.pem"));
    command
}
