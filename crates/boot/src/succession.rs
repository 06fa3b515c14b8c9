//! Both sides of a hand-over: the successor, a process that continues the calls of another one, and the predecessor,
//! which hands them over.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use trunkgate_call::gateway::GatewaySnapshot;
use trunkgate_call::{Gateway, GatewayInput, KeptStream};
use trunkgate_config::Config;
use trunkgate_delivery::sinks::recordings::{RecordingsHandle, SuspendedRecording};
use trunkgate_delivery::sinks::records::{self, ReportOrder};
use trunkgate_runtime::call_state::feed::StateFeed;
use trunkgate_runtime::call_state::left::{LeftState, StateReading, StateRefusal};
use trunkgate_runtime::call_state::report::{LostCall, StateFigures, TakeoverCause, TakeoverReport};
use trunkgate_runtime::call_state::writer::{self, StateWriter};
use trunkgate_runtime::conferences::{CrossingMix, MixerHandle};
use trunkgate_runtime::handle::{FrozenCalls, SignallingCommand};
use trunkgate_runtime::handover::{
    self, HandedCalls, HandedSession, HandoverLink, PlanVerdict, PredecessorMessage, SuccessorMessage, SuccessorPlan,
};
use trunkgate_runtime::signalling::restore_calls;
use trunkgate_runtime::transport::FrozenConnections;
use trunkgate_runtime::worker::{CrossingSession, ExportRequest, Workers};

/// Connection to the predecessor process, with its calls, which this process continues, and its sockets.
#[derive(Debug)]
pub struct Predecessor {
    pub(crate) link: HandoverLink,
    pub(crate) handed: HandedCalls,
    /// Listening sockets.
    pub(crate) sockets: Vec<OwnedFd>,
    /// Sockets of the SIP connections.
    pub(crate) connections: Vec<OwnedFd>,
}

impl Predecessor {
    /// Reports to the predecessor process that this one is ready, and receives its calls.
    ///
    /// # Errors
    /// Returns an error if the predecessor continues alone or does not send its calls in time, or the error of the
    /// connection.
    pub fn ready(mut link: HandoverLink, config: &Config) -> io::Result<Predecessor> {
        link.send(&SuccessorMessage::Ready(Box::new(SuccessorPlan::of(config))), &[])?;
        if let (PlanVerdict::Refused(why), _) = link.receive(handover::CALLS_WITHIN)? {
            return Err(io::Error::other(why));
        }
        let (handed, mut sockets): (HandedCalls, _) = link.receive(handover::CALLS_WITHIN)?;
        let connections = sockets.split_off(sockets.len().saturating_sub(handed.connections.descriptors()));
        Ok(Predecessor { link, handed, sockets, connections })
    }
}

/// Starts the thread that receives the media sessions of the predecessor process.
///
/// # Errors
/// Returns the system's error if the thread cannot be created.
pub(crate) fn start_receiving(
    link: HandoverLink,
    orders: mpsc::Sender<SignallingCommand>,
    recordings: RecordingsHandle,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("handover".to_owned()).spawn(move || {
        if let Err(error) = receive_sessions(link, &orders, &recordings) {
            tracing::error!(
                "not all media sessions were handed over: {error}; remaining sessions open new media sockets; their audio \
                 may be interrupted"
            );
        }
        recordings.resume_no_more();
        // The loop has ended if it does not take the command.
        let _ = orders.blocking_send(SignallingCommand::AdoptNoMore);
    })
}

/// Receives the media sessions and passes them to the signalling loop, until all have arrived or the predecessor
/// process has ended.
fn receive_sessions(
    mut link: HandoverLink,
    orders: &mpsc::Sender<SignallingCommand>,
    files: &RecordingsHandle,
) -> io::Result<()> {
    link.send(&SuccessorMessage::Running, &[])?;
    while let (PredecessorMessage::Sessions { sessions, recordings, mixes }, descriptors) =
        link.receive(handover::PATIENCE)?
    {
        // The writer has each file before a worker has audio for it.
        recordings.into_iter().for_each(|recording| files.resume(recording));
        let sessions = HandedSession::with_sockets(sessions, descriptors);
        let (adopted, is_adopted) = oneshot::channel();
        let is_sent = orders.blocking_send(SignallingCommand::Adopt(sessions, mixes, adopted)).is_ok();
        if !is_sent || is_adopted.blocking_recv().is_err() {
            break;
        }
        link.send(&SuccessorMessage::Adopted, &[])?;
    }
    Ok(())
}

/// Calls of another process, with the WebSocket streams of their agents and the SIP connections.
pub(crate) struct RestoredCalls {
    pub(crate) calls: GatewaySnapshot,
    pub(crate) streams: Vec<KeptStream>,
    pub(crate) connections: FrozenConnections,
    /// State file of a crashed process; `None` after a hand-over.
    pub(crate) left: Option<Box<LeftState>>,
}

impl RestoredCalls {
    /// Returns the calls in the state file of a crashed process, without connections, because those ended with it.
    pub(crate) fn of_crashed(mut left: Box<LeftState>) -> RestoredCalls {
        let calls = std::mem::take(&mut left.calls);
        RestoredCalls { calls, streams: Vec::new(), connections: FrozenConnections::default(), left: Some(left) }
    }
}

/// Directory in which the state of calls is saved.
#[derive(Debug)]
pub(crate) struct StatePlace {
    directory: PathBuf,
    /// Number of consecutive starts that were soon followed by a crash.
    crashes: u32,
    /// Reason for which the state of a crashed process is not used.
    refused: Option<StateRefusal>,
    /// Locked state file of a crashed process.
    lock: Option<File>,
}

/// Prepares the directory for the state of calls, if one is configured. Also reads the calls of a crashed process from
/// it, unless another process hands its calls over.
///
/// # Errors
/// Returns the system's error if the directory or the file cannot be used.
pub(crate) fn read_state(
    config: &Config,
    is_handed_over: bool,
) -> io::Result<(Option<StatePlace>, Option<Box<LeftState>>)> {
    let Some(directory) = config.data.state.clone() else { return Ok((None, None)) };
    writer::prepare(&directory)?;
    let (left, refused) = if is_handed_over { (None, None) } else { read_left(&directory)? };
    let crashes = left.as_ref().map_or(0, |left| left.crashes);
    let lock = left.as_ref().map(|left| left.lock()).transpose()?;
    Ok((Some(StatePlace { directory, crashes, refused, lock }), left))
}

/// Starts saving the state of the gateway's calls; `None` without a directory.
///
/// # Errors
/// Returns the system's error if the thread cannot be created.
pub(crate) fn start_state(
    place: Option<StatePlace>,
    gateway: &mut Gateway,
    figures: &Arc<StateFigures>,
) -> io::Result<Option<StateFeed>> {
    let Some(StatePlace { directory, crashes, refused, lock }) = place else { return Ok(None) };
    if let Some(why) = refused {
        figures.taken_over.get_or_init(|| TakeoverReport::refused(why.as_str()));
    }
    let writer = StateWriter::start(&directory, crashes, lock, Arc::clone(figures))?;
    Ok(Some(StateFeed::new(Instant::now(), gateway, writer)))
}

/// Reads the state file of a crashed process, and logs which calls continue and which are lost. Returns the calls to
/// continue, or the reason for which there are none although there is a file.
///
/// # Errors
/// Returns the system's error if the file cannot be read, or an error if another process uses it.
fn read_left(directory: &Path) -> io::Result<(Option<Box<LeftState>>, Option<StateRefusal>)> {
    match LeftState::read(directory)? {
        StateReading::Nothing => Ok((None, None)),
        StateReading::Left(left) => {
            let (oldest, newest) = left.ages.unwrap_or_default();
            tracing::warn!(
                "the previous process has crashed: {} of its calls continue, from states {:.1} to {:.1} s old",
                left.calls.calls.len(),
                newest.as_secs_f64(),
                oldest.as_secs_f64()
            );
            if left.is_damaged {
                tracing::error!("the state of calls is damaged: the last changes are lost, and calls may be missing");
            }
            for (sid, why) in &left.set_aside {
                tracing::error!("call {sid} is lost: {why}");
            }
            Ok((Some(left), None))
        }
        StateReading::Refused(refusal, kept) => {
            let kept = kept.map(|kept| format!(" The file is kept as {}.", kept.display())).unwrap_or_default();
            tracing::error!(
                "the calls of the previous process are lost: its saved state is not used, because {}.{kept}",
                refusal.as_str()
            );
            Ok((None, Some(refusal)))
        }
    }
}

/// Continues the calls of another process, and writes them into the journal of live calls. Returns the SIP connections.
pub(crate) fn restore(
    gateway: &mut Gateway,
    RestoredCalls { calls, streams, connections, mut left }: RestoredCalls,
    reports: &mpsc::Sender<ReportOrder>,
    figures: &StateFigures,
) -> FrozenConnections {
    let sids: Vec<String> = calls.calls.iter().map(|call| call.sid.clone()).collect();
    gateway.keep_streams(streams);
    gateway.keep_connections(connections.numbers());
    for (connection, remote, identity) in connections.identified() {
        gateway.handle_input(Instant::now(), GatewayInput::Identified { connection, remote, identity });
    }
    let lost = restore_calls(gateway, Instant::now(), calls, |sid| {
        left.iter_mut().for_each(|left| left.continues(sid));
    });
    left.iter_mut().for_each(|left| left.is_restored());
    lost.iter().for_each(|sid| tracing::error!("call {sid} is lost: it could not be restored"));
    let (cause, set_aside, ages) = match left {
        Some(left) => (TakeoverCause::Crash, left.set_aside, left.ages),
        None => (TakeoverCause::Upgrade, Vec::new(), None),
    };
    let unrestored = lost.iter().map(|sid| LostCall { sid: sid.clone(), reason: "it could not be restored" });
    let set_aside = set_aside.into_iter().map(|(sid, reason)| LostCall { sid, reason });
    let (continued, oldest) = (sids.len() - lost.len(), ages.map(|(oldest, _)| oldest));
    let lost_calls = unrestored.chain(set_aside).collect();
    figures.taken_over.get_or_init(|| TakeoverReport::new(cause, continued, lost_calls, oldest));
    // Before those that go on, for which the queue may lack room.
    records::hand_over_restored(reports, lost);
    for (call, failovers) in sids.iter().filter_map(|sid| gateway.standing(sid)) {
        records::hand_over_standing(reports, Box::new(call), failovers);
    }
    connections
}

/// Sends calls, listening sockets and SIP connections to the successor, and waits until it continues the calls.
///
/// # Errors
/// Returns the error of the connection; the calls can be handed over to another process then.
pub(crate) fn give_calls(link: &mut HandoverLink, frozen: &FrozenCalls, listening: &[OwnedFd]) -> io::Result<()> {
    let sockets: Vec<BorrowedFd<'_>> = listening.iter().chain(&frozen.connections).map(OwnedFd::as_fd).collect();
    link.send(&frozen.handed, &sockets)?;
    match link.receive_short(handover::PATIENCE)? {
        SuccessorMessage::Running => Ok(()),
        SuccessorMessage::Ready(_) | SuccessorMessage::Adopted => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the successor does not run"))
        }
    }
}

/// Sends the media sessions to the successor in slices; each is confirmed before the next one is taken from its worker.
/// The files of a slice's recordings are sent with it, once their audio is written.
///
/// # Errors
/// Returns the error of the connection; the successor then opens new sockets for the remaining sessions.
pub(crate) fn give_sessions(
    link: &mut HandoverLink,
    (workers, mixers): (&Workers, &MixerHandle),
    recordings: &RecordingsHandle,
) -> io::Result<()> {
    // The first confirmation means that the successor's signalling has time for sessions; no packet waits for it.
    send_slice(link, Vec::new(), (Vec::new(), Vec::new()))?;
    // Set once only sessions with an agent in the middle of a message are left.
    let mut forced_at = None;
    loop {
        let is_forced = forced_at.is_some_and(|at| Instant::now() >= at);
        let slice = workers.export(ExportRequest { most: handover::SLICE, is_forced });
        let is_last = slice.sessions.is_empty();
        if is_last && slice.remaining > 0 {
            forced_at.get_or_insert_with(|| Instant::now() + handover::AGENTS_WITHIN);
            std::thread::sleep(handover::AGENTS_INTERVAL);
            continue;
        }
        let mixes = mixers.suspend(is_last);
        if is_last && mixes.is_empty() {
            return link.send(&PredecessorMessage::Done, &[]);
        }
        let recorded = slice.sessions.iter().flat_map(|session| session.recorders.recordings());
        let recorded = recorded.chain(mixes.iter().map(CrossingMix::recording));
        let recordings = recordings.suspend(recorded.collect());
        send_slice(link, slice.sessions, (recordings, mixes))?;
        std::thread::sleep(handover::SLICE_PAUSE);
    }
}

/// Sends media sessions with the files of their recordings, and waits until the successor's signalling has passed them
/// to its workers.
///
/// # Errors
/// Returns the error of the connection.
fn send_slice(
    link: &mut HandoverLink,
    sessions: Vec<CrossingSession>,
    (recordings, mixes): (Vec<SuspendedRecording>, Vec<CrossingMix>),
) -> io::Result<()> {
    let (sessions, descriptors): (Vec<_>, Vec<_>) = sessions.into_iter().map(HandedSession::of).unzip();
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().flatten().map(OwnedFd::as_fd).collect();
    link.send(&PredecessorMessage::Sessions { sessions, recordings, mixes }, &descriptors)?;
    match link.receive_short(handover::PATIENCE)? {
        SuccessorMessage::Adopted => Ok(()),
        SuccessorMessage::Ready(_) | SuccessorMessage::Running => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a slice was not adopted"))
        }
    }
}
