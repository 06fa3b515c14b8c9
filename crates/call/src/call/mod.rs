//! One call: the caller's leg, the attempts to reach the other side, and what happens to them.
//!
//! *Rerouting*: the caller has its answer, and the agent that had it is lost or sends it on, or it was answered before anybody
//! was there (`answer = "at_once"`): the search goes on while the caller hears hold audio; or the agent has it still, and stays
//! until somebody answers (`consult`). *Leaving*: nobody is left, and the caller hears a goodbye.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | caller's CANCEL | attempts withdrawn, call ends | of a re-INVITE: withdrawn on the other leg | it crossed our 2xx: BYE | as before | – |
//! | ACK to our 2xx | – | a late offer's answer taken | the same; the search that waited for it begins | a late offer's answer taken | – |
//! | PRACK | an offer's answer taken; with a further offer as an UPDATE | an offer's answer taken; with a further offer 488 | the same | the same | – |
//! | PRACK missing | attempts withdrawn, call ends | call ends | the same | the same | – |
//! | ACK missing | – | BYE on every leg | the same | the same | – |
//! | BYE | of the caller: as CANCEL | BYE on the other legs, call ends | of the caller: call ends | of the caller: call ends | leg gone |
//! | re-INVITE | 491 | relayed to the other leg, or answered; by the edge itself where an agent is the other side, or a hold ends here | answered by the edge itself; 491 while a far end rings, save to a refresh | 491, save to a refresh | 481 |
//! | UPDATE | answered; with an offer 500 or 491, or where the first one is answered reliably it goes on by UPDATE, or the edge answers | answered; with an offer as a re-INVITE, and UPDATE where the other leg takes it | the same as a re-INVITE | answered; with an offer 491 | 481 |
//! | INFO | 480 | goes on to the other leg; 415 where that is an agent | 480 | 480 | 481 |
//! | the next key may be told by INFO | – | INFO | the same | – | – |
//! | INFO answered | – | the same answer on the other leg; BYE where it is gone | the same answer | the same answer | – |
//! | REFER | 491 | the other side waits, the search begins (transfer); after a change that is under way; refused where it may not | 491 | 491 | 481 |
//! | the call whose leg this one waits for is over | – | as it was, whoever asked for it is told | – | – | – |
//! | NOTIFY of a REFER that went on | 481 | goes on to whoever transfers | 481 | 481 | 481 |
//! | a REFER or NOTIFY that went on is answered | – | the same answer on the other leg | the same answer | – | – |
//! | our NOTIFY is answered | the next one | the next one | the next one | the next one | the next one |
//! | whoever transferred the call has not hung up | – | BYE | BYE | BYE | BYE |
//! | 100 | the target lives | – | the target lives | – | – |
//! | 18x | passed to the caller, early media wired, of one target where several ring | – | early media wired | – | – |
//! | 199 | its early dialog is over: another one's media is wired | – | the same | – | – |
//! | 2xx to an INVITE | ACK, caller answered, media wired, others that ring withdrawn | ACK and BYE (a fork, or it crossed our CANCEL) | ACK, media wired | ACK and BYE | ACK and BYE |
//! | final non-2xx | next peer, where a 3xx sends us; with no other that rings, next target, or caller refused | a withdrawn leg is gone | next peer, next target, or goodbye | a withdrawn leg is gone | a withdrawn leg is gone |
//! | INVITE without answer | next peer | a withdrawn leg is gone | next peer | a withdrawn leg is gone | a withdrawn leg is gone |
//! | re-INVITE or UPDATE answered | answered on the other leg, media changed | the same | ACK only | ACK only | ACK only |
//! | re-INVITE or UPDATE without answer | 500 on the other leg | BYE on every leg | – | – | – |
//! | a re-INVITE for an UPDATE takes too long | – | withdrawn, 504 to the UPDATE | – | – | – |
//! | our refresh answered | – | its session goes on, or BYE on every leg | the same | the same | ACK only |
//! | a session is due | – | refreshed; BYE on every leg where nobody did | the same | the same | – |
//! | the wait after a glare is over | – | our re-INVITE again | – | – | – |
//! | caller on hold asked, or answers | – | asked again later; BYE where it is gone | – | – | – |
//! | a withdrawn leg's last answer never comes | leg gone | leg gone | leg gone | leg gone | leg gone |
//! | our BYE is through | withdrawn leg gone | leg gone | leg gone | leg gone | leg gone |
//! | name looked up | first address tried | – | first address tried | – | – |
//! | silence, ring time-out | next peer, next target | – | next peer, next target | – | – |
//! | its turn at a limit of the target's trunk, or waited long enough | first peer, next target | – | first peer, next target | – | – |
//! | its turn at an agent, or waited long enough | its socket asked for, next target | – | its socket asked for, next target | – | – |
//! | the targets have had their time together | what is tried is withdrawn, the last target is next | – | – | – | – |
//! | a wait before an agent's next stream is over | its socket asked for | – | its socket asked for | – | – |
//! | the agent has had the caller for its `max_call` | – | goodbye | goodbye | – | – |
//! | agent's socket open | caller answered, media wired | a listener hears | media wired; a listener hears | – | – |
//! | agent lost | a new stream, next target; a listener is left out | rerouting; a listener is left out | a new stream, next target, or what rings beside it rings on; a listener is left out | a listener is left out | – |
//! | agent closed with 1000 | a listener is left out | call ends, or rerouting (`on_close`) | what rings beside it rings on; a listener is left out | a listener is left out | – |
//! | agent's wish | noted | call ends, or rerouting (transfer) | of one that has the caller still as when answered; else noted | noted | – |
//! | agent's note | noted | noted | noted | noted | – |
//! | goodbye heard, or overdue | – | – | – | BYE | – |
//! | ports not bound | other ports drawn | call ends | other ports drawn; of the caller: call ends | call ends | – |
//! | ports bound | a caller that waits for them is told of them | – | – | – | – |
//! | latched | noted | the same | the same | the same | – |
//! | early media has gone to an address that is not proven for long enough | withheld | – | – | – | – |
//! | a side is not heard after the answer | – | noted | – | – | – |
//! | no media | – | BYE on every leg | BYE | – | – |
//! | media session lost | caller refused | BYE on every leg | BYE | BYE | – |
//! | operator, drain | caller refused, attempts withdrawn | BYE on every leg | BYE, attempts withdrawn | BYE | – |

pub(crate) mod agent;
pub(crate) mod controller;
pub(crate) mod ending;
pub(crate) mod legs;
pub(crate) mod media;
pub(crate) mod negotiation;
pub(crate) mod proof;
pub(crate) mod refused;
pub(crate) mod search;
pub(crate) mod setup;
pub(crate) mod story;
pub(crate) mod transfer;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use trunkgate_media::agent::Loss;
use trunkgate_media::{AgentWish, EndId, MediaId, WireSpec};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::key::{Branch, CallKey, LegId};
use trunkgate_route::{Agent, Number, Server};
use trunkgate_sdp::Description;
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{Answer, ClientId, DialogId, ServerId};
use trunkgate_story::change::Change;
use trunkgate_story::few::Few;
use trunkgate_story::numbers::Caller;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::CallView;
use trunkgate_story::wall::Step;

use crate::call::agent::engage::Retries;
use crate::call::agent::max_call::Holder;
use crate::call::controller::Controller;
use crate::call::legs::headers::{Brought, CallerIdentity};
use crate::call::legs::hops::Hops;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::list::Legs;
use crate::call::legs::location::Location;
use crate::call::media::dtmf::KeysOut;
use crate::call::media::hold::HoldCheck;
use crate::call::media::info::Info;
use crate::call::negotiation::local::Spoken;
use crate::call::negotiation::owed::Owed;
use crate::call::negotiation::refresh::Asked;
use crate::call::negotiation::reinvite::Renegotiation;
use crate::call::negotiation::reliable::EarlySession;
use crate::call::search::answer::FinalAnswer;
use crate::call::search::attempt::Attempt;
use crate::call::search::branches::Tried;
use crate::call::search::reroute::Player;
use crate::call::story::verdict::Story;
use crate::call::transfer::consult::Consults;
use crate::call::transfer::in_call::Transfers;
use crate::call::transfer::refer::Refer;
use crate::call::transfer::refer_on::Told;

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The caller's INVITE has no final answer yet.
    Searching,
    /// The caller has its 2xx, and somebody to talk to.
    Answered,
    /// The caller has its 2xx, and the agent that it talked to no longer, or only until then: somebody else is searched for.
    Rerouting,
    /// Nobody is left: the caller hears a goodbye.
    Leaving,
    /// Recorded; legs may still wait for the last answers to what ended them.
    Ended,
}

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
    /// The far end wants to change its session.
    Reinvite { leg: LegId, server: ServerId, sdp: Option<Bytes>, session: Asked },
    /// The same by UPDATE; without a description it only says that it is there, and where.
    Update { leg: LegId, server: ServerId, sdp: Option<Bytes>, session: Asked },
    /// The far end says something to the other one.
    Info { leg: LegId, server: ServerId, info: Box<Info> },
    /// A final answer to an INFO that went on; 408 where none came.
    InfoAnswered { client: ClientId, code: u16 },
    /// The far end wants the other one to be connected with somebody else.
    Refer { leg: LegId, server: ServerId, refer: Box<Refer> },
    /// The far end tells what comes of a REFER that went on to it.
    Told { leg: LegId, server: ServerId, told: Told },
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
        code: u16,
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
    Resolved { query: QueryId, servers: Vec<Server> },
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
    /// The worker gave the session up.
    MediaLost,
    /// An agent's socket is open.
    AgentOpen { end: EndId },
    /// An agent could not be reached, or is lost.
    AgentLost { end: EndId, loss: Loss },
    /// An agent closed in good order.
    AgentEnded { end: EndId },
    /// An agent wants something of the call.
    AgentWish { end: EndId, wish: AgentWish },
    /// What the worker wants to be noted of an agent.
    AgentNote { end: EndId, text: String, logged: bool },
    /// A far side has pressed a key that the other side is told of in its dialog.
    Key { end: EndId, key: char, ms: u32 },
    /// A sound has been heard to its end.
    Played { end: EndId },
    /// An operator's wish.
    Hangup(ReasonSlug),
}

/// When things happened.
#[derive(Debug)]
pub(crate) struct Times {
    /// Monotonic, for delays.
    pub(crate) began: Instant,
    /// INVITE in.
    pub(crate) started: SystemTime,
    /// First 18x out, after the INVITE came in.
    pub(crate) first_ring: Option<Duration>,
    /// 2xx out.
    pub(crate) answered: Option<SystemTime>,
    /// The end.
    pub(crate) ended: Option<SystemTime>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// As in the contract.
    pub(crate) outcome: &'static str,
    /// Why.
    pub(crate) reason: ReasonSlug,
    /// Final code towards the caller.
    pub(crate) code: u16,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its name among the calls of the edge.
    pub(crate) key: CallKey,
    /// Where it stands.
    pub(crate) state: State,
    /// What its INVITE and its route say.
    pub(crate) facts: Facts,
    /// When things happened.
    pub(crate) times: Times,
    /// Its timers.
    pub(crate) deadlines: Few<Timer, Instant>,
    /// How it ended, once it has.
    pub(crate) ending: Option<Ending>,
    /// Its sides.
    pub(crate) legs: Legs,
    /// Its media session: who is connected to whom, and what plays.
    pub(crate) media: Media,
    /// Offers and answers, and requests that go on from one leg to the other.
    pub(crate) negotiation: Negotiation,
    /// The search for a target, also that of a transfer or consultation.
    pub(crate) search: Search,
    /// What is told of it.
    pub(crate) story: Story,
}

/// What the INVITE of a call and its route say.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The calling party.
    pub(crate) caller: Caller,
    /// The called number.
    pub(crate) called: Number,
    /// Headers of its INVITE that may go on, or that agents are told.
    pub(crate) headers: Brought,
    /// Where the caller is, as its INVITE says.
    pub(crate) locations: Box<[Location]>,
    /// What its INVITE says of who calls.
    pub(crate) identity: CallerIdentity,
    /// Max-Forwards of what we send on.
    pub(crate) max_forwards: u8,
    /// Edges that it has been through.
    pub(crate) hops: Hops,
    /// The name of its route; empty before it is known.
    pub(crate) route: Arc<str>,
    /// `ring_timeout` of the route.
    pub(crate) ring_timeout: Option<Duration>,
    /// The route's number in the place of the caller's.
    pub(crate) shown_as: Option<Arc<Number>>,
}

/// The media session of a call: who is connected to whom, what plays, and the agent that has the caller.
#[derive(Debug, Default)]
pub(crate) struct Media {
    /// Its session at a worker.
    pub(crate) session: Option<MediaId>,
    /// What each end was last connected to.
    pub(crate) wires: Few<EndId, (EndId, WireSpec)>,
    /// Port pairs of the caller, or of the answered call, that could not be bound.
    pub(crate) bind_failures: u8,
    /// Legs that hold the other one here, with what plays to that.
    pub(crate) holds: Few<LegId, Option<EndId>>,
    /// What the caller and the edge itself have agreed on, once they have.
    pub(crate) spoken: Option<Spoken>,
    /// What plays to the caller.
    pub(crate) player: Option<Player>,
    /// The agent whose goodbye the caller hears when nobody is left.
    pub(crate) goodbye: Option<Arc<Agent>>,
    /// The agent whose hold audio the caller hears while nobody has it.
    pub(crate) hold: Option<Arc<Agent>>,
    /// The agent that has the caller, or had it last where nobody has it.
    pub(crate) holder: Option<Box<Holder>>,
}

/// Offers and answers of a call, and requests that go on from one leg to the other.
#[derive(Debug, Default)]
pub(crate) struct Negotiation {
    /// What is offered to the targets: the caller's offer, `None` where its INVITE had none; in mid-call what it has
    /// agreed on.
    pub(crate) offer: Option<Description>,
    /// The leg whose ACK must bring the answer to an offer of ours (RFC 3261 §13.2.1).
    pub(crate) late: Option<LegId>,
    /// What the caller has been told reliably before its 2xx.
    pub(crate) early: EarlySession,
    /// Legs that are still to be asked by a re-INVITE of ours.
    pub(crate) owed: Vec<Owed>,
    /// A re-INVITE or UPDATE that is under way between the legs.
    pub(crate) renegotiation: Option<Box<Renegotiation>>,
    /// INFO requests that went on, and whose they are.
    pub(crate) infos: Few<ClientId, ServerId>,
    /// Keys that are told by INFO.
    pub(crate) keys: Option<Box<KeysOut>>,
    /// Our questions to whom silence does not tell of.
    pub(crate) hold_check: HoldCheck,
}

/// The search of a call for a target that answers.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// What comes next.
    pub(crate) controller: Controller,
    /// The targets that are tried now: one, or those that ring at once.
    pub(crate) attempts: Few<Branch, Box<Attempt>>,
    /// What they have come to so far.
    pub(crate) tried: Option<Box<Tried>>,
    /// Targets and peers given up so far.
    pub(crate) failovers: u32,
    /// Why the last way failed, and what is told of it once another is tried.
    pub(crate) failed_over: Option<Box<(ReasonSlug, Change)>>,
    /// Whoever called has been answered elsewhere, as its CANCEL says: what is withdrawn for it is told so.
    pub(crate) answered_elsewhere: bool,
    /// New streams to agents that failed.
    pub(crate) retries: Retries,
    /// Transfers that one side has asked for.
    pub(crate) transfers: Transfers,
    /// Targets that are tried while an agent has the caller.
    pub(crate) consults: Consults,
}

impl Call {
    /// Takes an event. One flat match over (state, event): see the table above.
    pub(crate) fn handle(&mut self, now: Instant, event: CallEvent, edge: &mut Edge) {
        use CallEvent as E;
        use State::{Answered, Ended, Leaving, Rerouting, Searching};
        match (self.state, event) {
            (Searching, E::Canceled { elsewhere, .. }) => {
                self.search.answered_elsewhere = elsewhere;
                self.caller_left(now, edge, ReasonSlug::CallerCanceled);
            }
            (Answered, E::Canceled { server, .. }) => self.canceled_later(now, edge, server),
            (Rerouting | Leaving, E::Canceled { .. }) => self.caller_withdrew_answered(now, edge),
            (Ended, E::Canceled { .. }) => {}

            (Answered | Rerouting | Leaving, E::Acked { leg, sdp }) => self.acked(now, edge, leg, sdp),
            (Searching | Ended, E::Acked { .. }) => {}
            (_, E::Pracked { leg, server: Some(server), sdp }) => self.offered_in_prack(now, edge, leg, server, sdp),
            (Searching | Answered | Rerouting | Leaving, E::Pracked { leg, server: None, sdp }) => {
                self.acknowledged_early(now, edge, leg, sdp);
            }
            (Ended, E::Pracked { server: None, .. } | E::PrackMissing) => {}
            (Searching | Answered | Rerouting | Leaving, E::PrackMissing) => self.not_acknowledged_early(now, edge),
            (Answered | Rerouting | Leaving, E::AckMissing { leg }) => self.ack_missing(now, edge, leg),
            (Searching | Ended, E::AckMissing { .. }) => {}

            (Searching, E::Bye { leg: LegId::CALLER, .. }) => self.caller_left_by_bye(now, edge),
            (Answered | Rerouting | Leaving, E::Bye { leg, headers }) => self.hung_up(now, edge, leg, headers),
            (Searching | Ended, E::Bye { leg, .. }) => self.legs.leg_gone(edge, leg),

            (Searching, E::Reinvite { server, .. }) => refuse_request(now, edge, server, 491),
            (Answered | Rerouting | Leaving, E::Reinvite { leg, server, sdp, session }) => {
                self.reinvited(now, edge, leg, server, (sdp, session), Purpose::Reinvite);
            }
            (Searching | Answered | Rerouting | Leaving, E::Update { leg, server, sdp, session }) => {
                self.updated(now, edge, leg, server, (sdp, session));
            }
            (Ended, E::Reinvite { server, .. } | E::Update { server, .. }) => refuse_request(now, edge, server, 481),

            (_, E::Info { leg, server, info }) => self.informed(now, edge, leg, server, *info),
            (_, E::InfoAnswered { client, code }) => self.info_answered(now, edge, client, code),
            (Ended, E::Refer { server, .. }) => refuse_request(now, edge, server, 481),
            (_, E::Refer { leg, server, refer }) => self.referred(now, edge, leg, server, *refer),
            (_, E::Told { leg, server, told }) => self.told(now, edge, leg, server, &told),
            (_, E::Unjoined { client, reason }) => self.unjoined(now, edge, client, reason),
            (_, E::PassedAnswered { client, code }) => self.passed_answered(now, edge, client, code),
            (_, E::Notified { client, taken }) => self.notified(now, edge, client, taken),

            (Searching | Rerouting, E::Trying { leg }) => self.heard(edge, leg),
            (Searching | Rerouting, E::Challenged { leg }) => self.challenged(now, edge, leg),
            (Searching | Rerouting, E::Provisional { leg, code, dialog, sdp, is_reliable, headers }) => {
                self.provisional(now, edge, leg, (code, dialog, sdp, is_reliable), &headers);
            }
            (Answered | Leaving | Ended, E::Trying { .. } | E::Challenged { .. } | E::Provisional { .. }) => {}
            (Searching | Rerouting, E::Accepted { leg, dialog, sdp, headers, session }) => {
                self.accepted(now, edge, leg, (dialog, sdp), &headers);
                self.session_taken(now, edge, leg, session);
            }
            (Answered | Leaving | Ended, E::Accepted { leg, dialog, .. }) => {
                self.accepted_too_late(now, edge, leg, dialog);
            }
            (Searching | Rerouting, E::Rejected { leg, code, q850, detail, headers, contacts }) => {
                self.rejected(now, edge, leg, (code, q850, detail), &headers, &contacts);
            }
            (Searching | Rerouting, E::Unanswered { leg, sent }) => self.unanswered(now, edge, leg, sent),
            (Answered | Leaving | Ended, E::Rejected { leg, .. } | E::Unanswered { leg, .. }) => {
                self.legs.withdrawn(edge, leg);
            }

            (Searching | Answered, E::ReinviteAnswered { client, code, dialog, sdp, session }) => {
                self.reinvite_answered(now, edge, client, code, (dialog, sdp), session);
            }
            (Rerouting | Leaving | Ended, E::ReinviteAnswered { code, dialog, .. }) => {
                if let Some(dialog) = dialog.filter(|_| (200..300).contains(&code)) {
                    edge.ack(now, dialog);
                }
            }
            (Searching | Answered, E::ReinviteUnanswered { client }) => self.reinvite_unanswered(now, edge, client),
            (Rerouting | Leaving | Ended, E::ReinviteUnanswered { .. }) => {}

            (_, E::Refreshed { leg, client, code, dialog, sdp, session }) => {
                self.refresh_answered(now, edge, (leg, client), code, (dialog, sdp), session);
            }
            (_, E::SessionTooShort { leg, least }) => self.legs[leg].timer.lengthen(least),

            (_, E::HoldChecked { client, alive }) => self.hold_checked(now, edge, client, alive),

            (_, E::ByeDone { leg }) => self.legs.leg_gone(edge, leg),

            (Searching | Rerouting, E::Resolved { query, servers }) => self.resolved(now, edge, query, &servers),
            (Answered | Leaving | Ended, E::Resolved { .. }) => {}
            (Searching | Rerouting, E::Due(Timer::NoResponse(branch))) => self.no_response(now, edge, branch),
            (Searching | Rerouting, E::Due(Timer::Ring(branch))) => self.ring_timeout(now, edge, branch),
            (Searching | Rerouting, E::Due(Timer::Pace(branch))) => self.try_again(now, edge, branch),
            (Searching | Rerouting, E::Due(Timer::Queue)) => self.next_in_line(now, edge),
            (Searching | Rerouting, E::Due(Timer::Retry)) => self.retry_due(now, edge),
            (_, E::Due(Timer::Search)) => self.search_over(now, edge),
            (Searching, E::Due(Timer::Ports)) => self.bound(now, edge, None),
            (Answered | Rerouting | Leaving | Ended, E::Due(Timer::Ports)) => {}
            (Answered | Leaving | Ended, E::Due(Timer::NoResponse(_) | Timer::Ring(_) | Timer::Pace(_))) => {}
            (Answered | Leaving | Ended, E::Due(Timer::Queue | Timer::Retry)) => {}
            (Answered | Rerouting, E::Due(Timer::MaxCall)) => self.max_call_over(now, edge),
            (Searching | Leaving | Ended, E::Due(Timer::MaxCall)) => {}
            (_, E::Due(Timer::Withdrawn)) => self.withdrawn_for_good(edge),
            (_, E::Due(Timer::Goodbye)) => self.goodbye_overdue(now, edge),
            (_, E::Due(Timer::Glare)) => drop(self.deadlines.remove(Timer::Glare)),
            (_, E::Due(Timer::Update)) => self.update_overdue(now, edge),
            (_, E::Due(Timer::Refer)) => self.refer_overdue(now, edge),
            (_, E::Due(Timer::Referrer)) => self.referrer_overdue(now, edge),
            (_, E::Due(Timer::Session)) => self.session_due(now, edge),
            (_, E::Due(Timer::HoldCheck)) => self.check_hold(now, edge),
            (_, E::Due(Timer::Quality)) => self.sample_quality(now, edge),
            (_, E::Due(Timer::Key)) => self.key_due(now, edge),
            (_, E::Due(Timer::Unproven)) => self.early_grant_over(now, edge),

            (Searching | Rerouting, E::BindFailed { end, error }) => self.bind_failed(now, edge, end, &error),
            (Answered | Leaving, E::BindFailed { end, error }) => self.bind_failed_later(now, edge, end, &error),
            (Searching, E::Bound { end }) => self.bound(now, edge, Some(end)),
            (Answered | Rerouting | Leaving | Ended, E::Bound { .. }) => {}
            (Searching | Answered | Rerouting | Leaving, E::Latched { end, source }) => {
                self.latched(now, edge, end, source);
            }
            (Answered | Rerouting, E::Idle { end }) => self.idle(now, edge, end),
            (Searching | Leaving, E::Idle { .. }) => {}
            (Answered, E::Unheard { end, stranger }) => self.unheard(now, edge, end, stranger),
            (Searching | Rerouting | Leaving | Ended, E::Unheard { .. }) => {}
            (Searching, E::MediaLost) => self.refuse(now, edge, &FinalAnswer::new(500, ReasonSlug::Internal)),
            (Answered | Rerouting | Leaving, E::MediaLost) => self.end(now, edge, ReasonSlug::Internal),
            (Ended, E::BindFailed { .. } | E::Latched { .. } | E::Idle { .. } | E::MediaLost) => {}

            (Searching | Answered | Rerouting | Leaving, E::AgentOpen { end }) => self.agent_open(now, edge, end),
            (Searching | Answered | Rerouting | Leaving, E::AgentLost { end, loss }) => {
                self.agent_lost(now, edge, end, loss);
            }
            (Searching | Answered | Rerouting | Leaving, E::AgentEnded { end }) => self.agent_ended(now, edge, end),
            (Searching | Answered | Rerouting | Leaving, E::AgentWish { end, wish }) => {
                self.agent_wishes(now, edge, end, wish);
            }
            (_, E::AgentNote { end, text, logged }) => self.legs.agent_note(now, edge, end, &text, logged),
            (_, E::Key { end, key, ms }) => self.key_pressed(now, edge, end, (key, ms)),
            (_, E::Played { end }) => self.played(now, edge, end),
            (Ended, E::AgentOpen { .. } | E::AgentLost { .. } | E::AgentEnded { .. } | E::AgentWish { .. }) => {}

            (Searching, E::Hangup(reason)) => self.refuse(now, edge, &FinalAnswer::new(503, reason)),
            (Answered | Rerouting | Leaving, E::Hangup(reason)) => self.end(now, edge, reason),
            (Ended, E::Hangup(_)) => {}
        }
    }

    /// Whether nothing is left to wait for.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Ended && self.legs.iter().all(|leg| leg.state == LegState::Ended)
    }

    /// Sets a deadline; zero: none.
    pub(crate) fn arm(&mut self, now: Instant, edge: &mut Edge, timer: Timer, after: Duration) {
        self.disarm(edge, timer);
        if let Some(at) = now.checked_add(after).filter(|_| !after.is_zero()) {
            edge.deadlines.set(at, self.key, timer);
            self.deadlines.insert(timer, at);
        }
    }

    /// Takes a deadline away.
    pub(crate) fn disarm(&mut self, edge: &mut Edge, timer: Timer) {
        if let Some(at) = self.deadlines.remove(timer) {
            edge.deadlines.clear(at, self.key, timer);
        }
    }

    /// Dates a call that has not ended by another wall clock.
    pub(crate) fn set_clock(&mut self, step: Step) {
        if self.state != State::Ended {
            self.times.started = step.of(self.times.started);
            self.times.answered = self.times.answered.map(|at| step.of(at));
            self.story.series.set_clock(step);
        }
    }

    /// Time since the INVITE came in.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.times.began)
    }

    /// As shown.
    pub(crate) fn view(&self) -> CallView {
        let time = |at: Option<SystemTime>| at.map(trunkgate_story::wall::rfc3339);
        CallView {
            sid: self.legs.sid().to_owned(),
            state: self.shown_state(),
            outcome: self.ending.map(|e| e.outcome).or(self.times.answered.map(|_| "answered")),
            reason: self.ending.map(|e| e.reason.as_str()),
            sip_code: self.ending.map(|e| e.code).or(self.times.answered.map(|_| 200)),
            route: self.facts.route.to_string(),
            flags: self.flags(),
            from: self.facts.caller.shown(),
            to: self.shown_called(),
            started_at: trunkgate_story::wall::rfc3339(self.times.started),
            answered_at: time(self.times.answered),
            ended_at: time(self.times.ended),
            legs: self.legs.iter().map(Leg::view).collect(),
        }
    }

    pub(crate) fn shown_state(&self) -> &'static str {
        match self.state {
            State::Searching => match self.legs[LegId::CALLER].state {
                LegState::Ringing => "ringing",
                LegState::Early => "early",
                LegState::Trying | LegState::Answered | LegState::Canceling | LegState::Closing | LegState::Ended => {
                    "trying"
                }
            },
            State::Answered if self.is_held() => "held",
            State::Answered | State::Leaving => "answered",
            State::Rerouting if self.legs.answered_by.is_none() => "answered",
            State::Rerouting => "transferring",
            State::Ended => "ended",
        }
    }

    /// Whether no stream flows both ways.
    fn is_held(&self) -> bool {
        if self.is_held_here() {
            return true;
        }
        let mut remotes = self.legs.near_leg().ends.iter().filter_map(|end| end.remote.as_ref()).peekable();
        remotes.peek().is_some() && remotes.all(|r| r.rtp.is_none() || !(r.may_send && r.may_receive))
    }
}

/// Refuses a request inside a dialog.
pub(crate) fn refuse_request(now: Instant, edge: &mut Edge, server: ServerId, code: u16) {
    edge.respond(now, server, Answer { code, ..Answer::default() });
}
