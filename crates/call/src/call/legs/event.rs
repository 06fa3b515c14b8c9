//! Events of a call.

use bytes::Bytes;
use trunkgate_media::agent::{Loss, Transcript};
use trunkgate_media::detection::Verdict;
use trunkgate_media::{AgentRequest, EndId};
use trunkgate_resources::applications::question::AppAnswer;
use trunkgate_resources::conferences::ConferenceNews;
use trunkgate_resources::conferences::queues::QueueNews;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::Server;
use trunkgate_route::locate::NameFault;
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{ClientId, DialogId, ServerId};
use trunkgate_story::Said;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::headers::Brought;
use crate::call::legs::info::Info;
use crate::call::legs::session_timer::Asked;
use crate::call::words::refer::Refer;
use crate::call::words::refer_report::ReferReport;

/// What can happen to a call. `leg` is always one of its legs.
#[derive(Debug)]
pub(crate) enum CallEvent {
    /// The far end withdrew an INVITE; it has been answered.
    Canceled { server: ServerId, elsewhere: bool },
    /// Our 2xx was acknowledged.
    Acked { leg: LegId, sdp: Option<Bytes> },
    /// A reliable provisional answer of ours was acknowledged; `server`: what it brings is an offer, to be answered.
    Pracked { leg: LegId, server: Option<ServerId>, sdp: Option<Bytes> },
    /// One was not in time: the INVITE has been answered 504.
    PrackMissing,
    /// Our 2xx was not acknowledged in time.
    AckMissing { leg: LegId },
    /// The far end ended its dialog; it has been answered.
    Bye { leg: LegId, headers: Brought },
    /// The only far end of a target has hung up while it rings.
    EarlyBye { leg: LegId },
    /// The far end wants to change its session.
    Reinvite { leg: LegId, server: ServerId, sdp: Option<Bytes>, session: Asked },
    /// The same by UPDATE; without a description it only says that it is there, and where.
    Update { leg: LegId, server: ServerId, sdp: Option<Bytes>, session: Asked },
    /// The far end says something to the other one.
    Info { leg: LegId, server: ServerId, info: Box<Info> },
    /// A final answer to an INFO that went on; 408 where none came.
    InfoAnswered { client: ClientId, code: u16 },
    /// The remote party wants the other one to be connected with a third.
    Refer { leg: LegId, server: ServerId, refer: Box<Refer> },
    /// The far end tells what comes of a REFER that went on to it.
    Told { leg: LegId, server: ServerId, told: ReferReport },
    /// The call whose leg this one waits for is over.
    Unjoined { client: ClientId, reason: ReasonSlug },
    /// A REFER or a NOTIFY that went on has its final answer; 408 where none came.
    PassedAnswered { client: ClientId, code: u16 },
    /// Our NOTIFY is answered, by a 2xx or not, or never will be.
    Notified { client: ClientId, taken: bool },
    /// 100 to our INVITE.
    Trying { leg: LegId },
    /// It asks for credentials, and the INVITE has gone out again with them.
    Challenged { leg: LegId },
    /// It wants sessions no shorter than so many seconds, and our request has gone out again with that.
    SessionTooShort { leg: LegId, least: u32 },
    /// 101 to 199 to our INVITE.
    Provisional {
        leg: LegId,
        code: u16,
        dialog: Option<DialogId>,
        sdp: Option<Bytes>,
        is_reliable: bool,
        headers: Brought,
    },
    /// 2xx to our INVITE.
    Accepted { leg: LegId, dialog: DialogId, sdp: Option<Bytes>, headers: Brought, session: Option<SessionExpires> },
    /// 3xx to 6xx to our INVITE.
    Rejected {
        leg: LegId,
        said: Said,
        q850: Option<u8>,
        detail: Option<String>,
        headers: Brought,
        contacts: Vec<String>,
    },
    /// Our INVITE got no final answer, or could not be sent.
    Unanswered { leg: LegId, sent: bool },
    /// A final answer to our re-INVITE, or to our UPDATE; of a re-INVITE's 2xx with its dialog.
    ReinviteAnswered {
        client: ClientId,
        code: u16,
        dialog: Option<DialogId>,
        sdp: Option<Bytes>,
        session: Option<SessionExpires>,
    },
    /// Our re-INVITE or UPDATE got no final answer, or could not be sent.
    ReinviteUnanswered { client: ClientId },
    /// What came of a refresh of ours; no code: no final answer, or it could not be sent.
    Refreshed {
        leg: LegId,
        client: ClientId,
        code: Option<u16>,
        dialog: Option<DialogId>,
        sdp: Option<Bytes>,
        session: Option<SessionExpires>,
    },
    /// What came of asking a far end on hold.
    HoldChecked { client: ClientId, alive: bool },
    /// Our BYE is answered, or never will be.
    ByeDone { leg: LegId },
    /// The name service's answer.
    Resolved { query: QueryId, found: Result<Vec<Server>, NameFault> },
    /// A deadline of ours.
    Due(Timer),
    /// An end's ports could not be bound.
    BindFailed { end: EndId, error: String },
    /// An end's ports are bound.
    Bound { end: EndId },
    /// An end has learned where its packets come from.
    Latched { end: EndId, source: std::net::SocketAddr },
    /// An end that should send is silent.
    Idle { end: EndId },
    /// An end that should send has not been heard; who sent to it instead.
    Unheard { end: EndId, stranger: Option<std::net::SocketAddr> },
    /// An end that should send has stopped its stream, so long ago, while the other side sends.
    Stopped { end: EndId, silent: std::time::Duration },
    /// The worker gave the session up.
    MediaLost,
    /// An agent's socket is open.
    AgentOpen { end: EndId },
    /// An agent has said its first words.
    AgentSpoke { end: EndId },
    /// An agent could not be reached, or is lost.
    AgentLost { end: EndId, loss: Loss },
    /// An agent closed in good order.
    AgentEnded { end: EndId },
    /// A recogniser has understood something.
    Recognised { end: EndId, transcript: Transcript },
    /// A recorder has ended.
    RecorderEnded { end: EndId, frames: u64, sound: Option<(u64, u64)> },
    /// The caller has been silent for as long as a recorder reports.
    RecorderSilent { end: EndId },
    /// It is known who has answered at a party, or the time for it is over.
    Judged { end: EndId, verdict: Verdict },
    /// An agent has a request.
    AgentRequest { end: EndId, request: AgentRequest },
    /// What the worker wants to be noted of an agent.
    AgentNote { end: EndId, text: String, logged: bool },
    /// A remote party has pressed a key that goes to the other party in its dialog, by INFO.
    Key { end: EndId, key: char, ms: u32 },
    /// A sound has been heard to its end.
    Played { end: EndId },
    /// The shell has answered a question of the call's application.
    AppAnswered { query: QueryId, answer: Box<AppAnswer> },
    /// News of the conference that the caller is in.
    Conference(ConferenceNews),
    /// News of the queue that the caller is in or has dialled.
    Queue(QueueNews),
    /// An operator's wish.
    Hangup(ReasonSlug),
}
