//! Events of a call, grouped by the room that handles them.

use bytes::Bytes;
use trunkgate_media::Event;
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

/// An event of a call. The `leg` of an event is always one of its legs.
#[derive(Debug)]
pub(crate) enum CallEvent {
    /// A side leaves, or the call is to end.
    Side(SideEvent),
    /// A target that is tried has an event.
    Search(SearchEvent),
    /// An offer, an answer, or another request within a dialog.
    Negotiation(NegotiationEvent),
    /// A REFER, or a NOTIFY of one.
    Transfer(TransferEvent),
    /// The application that has the call has an event.
    Program(ProgramEvent),
    /// The media session has an event.
    Media(Event),
    /// A deadline has passed.
    Due(Timer),
}

/// An event by which a side leaves, or the call ends: `parts/`.
#[derive(Debug)]
pub(crate) enum SideEvent {
    /// The remote party has withdrawn an INVITE, which has been answered.
    Canceled { server: ServerId, elsewhere: bool },
    /// A reliable provisional answer of ours was not acknowledged in time: the INVITE has been answered 504.
    PrackMissing,
    /// Our 2xx was not acknowledged in time.
    AckMissing { leg: LegId },
    /// The remote party has ended its dialog; its BYE has been answered.
    Bye { leg: LegId, headers: Brought },
    /// Our BYE is answered, or never will be.
    ByeDone { leg: LegId },
    /// The call whose leg this one waits for is over.
    Unjoined { client: ClientId, reason: ReasonSlug },
    /// An operator or a failure of the edge ends the call.
    Hangup(ReasonSlug),
}

/// An event of a target that is tried: `search/`; where one is reached or fails, `parts/`.
#[derive(Debug)]
pub(crate) enum SearchEvent {
    /// The name service has answered.
    Resolved { query: QueryId, found: Result<Vec<Server>, NameFault> },
    /// 100 to our INVITE.
    Trying { leg: LegId },
    /// The target asks for credentials, and the INVITE has gone out again with them.
    Challenged { leg: LegId },
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
    /// The only remote party of a target has hung up while it rings.
    EarlyBye { leg: LegId },
}

/// An event of offers and answers between the legs: `negotiation/`.
#[derive(Debug)]
pub(crate) enum NegotiationEvent {
    /// Our 2xx was acknowledged.
    Acked { leg: LegId, sdp: Option<Bytes> },
    /// A reliable provisional answer of ours was acknowledged; `server`: the PRACK brings an offer, to be answered.
    Pracked { leg: LegId, server: Option<ServerId>, sdp: Option<Bytes> },
    /// The remote party wants to change its session.
    Reinvite { leg: LegId, server: ServerId, sdp: Option<Bytes>, session: Asked },
    /// The remote party wants to change its session by UPDATE; without a description it only says that it is there, and where.
    Update { leg: LegId, server: ServerId, sdp: Option<Bytes>, session: Asked },
    /// The remote party has sent an INFO or a MESSAGE for the other one.
    Info { leg: LegId, server: ServerId, info: Box<Info> },
    /// An INFO that went on has a final answer; 408 where none came.
    InfoAnswered { client: ClientId, code: u16 },
    /// Our re-INVITE or UPDATE has a final answer; a 2xx to a re-INVITE with its dialog.
    ReinviteAnswered {
        client: ClientId,
        code: u16,
        dialog: Option<DialogId>,
        sdp: Option<Bytes>,
        session: Option<SessionExpires>,
    },
    /// Our re-INVITE or UPDATE got no final answer, or could not be sent.
    ReinviteUnanswered { client: ClientId },
    /// Our refresh has a final answer; no code: none came, or it could not be sent.
    Refreshed {
        leg: LegId,
        client: ClientId,
        code: Option<u16>,
        dialog: Option<DialogId>,
        sdp: Option<Bytes>,
        session: Option<SessionExpires>,
    },
    /// The remote party wants sessions no shorter than so many seconds, and our request has gone out again with that.
    SessionTooShort { leg: LegId, least: u32 },
    /// A side on hold has answered whether it is there, or has not.
    HoldChecked { client: ClientId, alive: bool },
}

/// An event of a transfer: `transfer/`.
#[derive(Debug)]
pub(crate) enum TransferEvent {
    /// The remote party wants the other one to be connected with a third.
    Refer { leg: LegId, server: ServerId, refer: Box<Refer> },
    /// The remote party reports the progress of a REFER that went on to it.
    Reported { leg: LegId, server: ServerId, report: ReferReport },
    /// A REFER or a NOTIFY that went on has its final answer; 408 where none came.
    PassedAnswered { client: ClientId, code: u16 },
    /// Our NOTIFY is answered, by a 2xx or not, or never will be.
    Notified { client: ClientId, taken: bool },
}

/// An event of the call's application: `program/`.
#[derive(Debug)]
pub(crate) enum ProgramEvent {
    /// The shell has answered a question of the application.
    Answered { query: QueryId, answer: Box<AppAnswer> },
    /// News of the conference that the caller is in.
    Conference(ConferenceNews),
    /// News of the queue that the caller is in or has dialled.
    Queue(QueueNews),
}
