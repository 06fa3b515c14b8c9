//! Events of a call, grouped by the folder with their handlers; those of the search are dispatched in `parts/`.

use bytes::Bytes;
use trunkgate_media::MediaEvent;
use trunkgate_resources::applications::question::AppAnswer;
use trunkgate_resources::conferences::ConferenceEvent;
use trunkgate_resources::conferences::queues::QueueEvent;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::DestinationServer;
use trunkgate_route::locate::NameFault;
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{ClientId, DialogId, ServerId};
use trunkgate_story::FailureResponse;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::headers::RelayedHeaders;
use crate::call::legs::info::Info;
use crate::call::legs::session_timer::SessionTimerRequest;
use crate::call::words::refer::ReferRequest;
use crate::call::words::refer_report::ReferReport;

/// Event of a call. The `leg` of an event is always a leg of that call.
#[derive(Debug)]
pub(crate) enum CallEvent {
    /// Departure of a side, or end of the call.
    Side(SideEvent),
    /// Event of a target that is tried.
    Search(SearchEvent),
    /// Offer, answer, or another request within a dialog.
    Negotiation(NegotiationEvent),
    /// REFER, or a NOTIFY about one.
    Transfer(TransferEvent),
    /// Event of the call's application.
    Program(ProgramEvent),
    /// Event of the media session.
    Media(MediaEvent),
    /// Expired deadline.
    Due(CallTimer),
}

/// Event by which a side leaves or the call ends, handled in `parts/`.
#[derive(Debug)]
pub(crate) enum SideEvent {
    /// The remote party has canceled an INVITE that is already answered; `elsewhere` is set if another device
    /// answered.
    Canceled { server: ServerId, elsewhere: bool },
    /// A reliable provisional response of ours was not acknowledged in time; the INVITE got a 504.
    PrackMissing,
    /// Our 2xx was not acknowledged in time.
    AckMissing { leg: LegId },
    /// The remote party has ended its dialog; its BYE has been answered.
    Bye { leg: LegId, headers: RelayedHeaders },
    /// Our BYE was answered, or its transaction failed.
    ByeDone { leg: LegId },
    /// Another call is over; its leg will not move to this call.
    Unjoined { client: ClientId, reason: ReasonSlug },
    /// An operator or a failure of the edge ends the call.
    Hangup(ReasonSlug),
}

/// Event of a target that is tried. `parts/results.rs`: `handle_target()` handles success and failure of a target, and
/// passes other events to `search/`.
#[derive(Debug)]
pub(crate) enum SearchEvent {
    /// DNS resolution has finished.
    Resolved { query: QueryId, found: Result<Vec<DestinationServer>, NameFault> },
    /// 100 to our INVITE.
    Trying { leg: LegId },
    /// The target has challenged our INVITE, which was sent again with credentials.
    Challenged { leg: LegId },
    /// 101 to 199 to our INVITE.
    Provisional {
        leg: LegId,
        code: u16,
        dialog: Option<DialogId>,
        sdp: Option<Bytes>,
        is_reliable: bool,
        headers: RelayedHeaders,
    },
    /// 2xx to our INVITE.
    Accepted {
        leg: LegId,
        dialog: DialogId,
        sdp: Option<Bytes>,
        headers: RelayedHeaders,
        session: Option<SessionExpires>,
    },
    /// 3xx to 6xx to our INVITE.
    Rejected {
        leg: LegId,
        said: FailureResponse,
        q850: Option<u8>,
        detail: Option<String>,
        headers: RelayedHeaders,
        contacts: Vec<String>,
    },
    /// Our INVITE got no final response, or could not be sent.
    Unanswered { leg: LegId, sent: bool },
    /// The only remote party of a target has hung up while ringing.
    EarlyBye { leg: LegId },
}

/// Event of offers, answers and in-dialog requests, handled in `negotiation/`.
#[derive(Debug)]
pub(crate) enum NegotiationEvent {
    /// ACK to our 2xx.
    Acked { leg: LegId, sdp: Option<Bytes> },
    /// PRACK to our reliable provisional response; `server` is set if the PRACK carries an offer.
    Pracked { leg: LegId, server: Option<ServerId>, sdp: Option<Bytes> },
    /// re-INVITE from the remote party.
    Reinvite { leg: LegId, server: ServerId, sdp: Option<Bytes>, session: SessionTimerRequest },
    /// UPDATE from the remote party; without a description it only refreshes the session and the remote target.
    Update { leg: LegId, server: ServerId, sdp: Option<Bytes>, session: SessionTimerRequest },
    /// INFO or MESSAGE from one remote party for the other.
    Info { leg: LegId, server: ServerId, info: Box<Info> },
    /// Final response to a relayed INFO; 408 if none came.
    InfoAnswered { client: ClientId, code: u16 },
    /// Final response to our re-INVITE or UPDATE; `dialog` is set for a 2xx to a re-INVITE.
    ReinviteAnswered {
        client: ClientId,
        code: u16,
        dialog: Option<DialogId>,
        sdp: Option<Bytes>,
        session: Option<SessionExpires>,
    },
    /// Our re-INVITE or UPDATE got no final response, or could not be sent.
    ReinviteUnanswered { client: ClientId },
    /// Final response to our refresh; `code` is `None` if none came, or if the refresh could not be sent.
    Refreshed {
        leg: LegId,
        client: ClientId,
        code: Option<u16>,
        dialog: Option<DialogId>,
        sdp: Option<Bytes>,
        session: Option<SessionExpires>,
    },
    /// 422 to our request, which was sent again with the session interval `least`, in seconds.
    SessionTooShort { leg: LegId, least: u32 },
    /// Result of an OPTIONS probe to a side on hold.
    HoldChecked { client: ClientId, alive: bool },
}

/// Event of a transfer, handled in `transfer/`.
#[derive(Debug)]
pub(crate) enum TransferEvent {
    /// REFER from the remote party.
    Refer { leg: LegId, server: ServerId, refer: Box<ReferRequest> },
    /// NOTIFY from the remote party about a relayed REFER.
    Reported { leg: LegId, server: ServerId, report: ReferReport },
    /// Final response to a relayed REFER or NOTIFY; 408 if none came.
    PassedAnswered { client: ClientId, code: u16 },
    /// Final response to our NOTIFY; `taken` is set for a 2xx.
    Notified { client: ClientId, taken: bool },
}

/// Event of the call's application, handled in `program/`.
#[derive(Debug)]
pub(crate) enum ProgramEvent {
    /// Response of the application.
    Answered { query: QueryId, answer: Box<AppAnswer> },
    /// Event of the conference in which the caller participates.
    Conference(ConferenceEvent),
    /// Event of the queue that the caller is in or has dialled.
    Queue(QueueEvent),
}
