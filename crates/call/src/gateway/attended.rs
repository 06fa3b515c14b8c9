//! Legs that move to another call: attended transfers and INVITE with Replaces, which join two dialogs of the edge in
//! one call.
//!
//! - Attended transfer (RFC 5589 §7): a REFER whose Refer-To names another dialog of its sender by Replaces. If that
//!   dialog belongs to this edge, the remote party of the other call is asked by re-INVITE to send its media to this
//!   call; once it accepts, its leg moves here and the other call ends. Until then, and if it refuses, both calls
//!   continue unchanged. If its trunk has `reinvite = "local"`, the remote party of this call is asked to move to the
//!   other call instead. One of the two must be asked, since the media sessions of two calls have different ports, and
//!   perhaps different workers.
//! - INVITE with Replaces (RFC 3891): a peer of a trunk replaces another leg of its own trunk. The other side of that
//!   leg gets a re-INVITE with the new leg's offer; once it accepts, the new leg is answered and the old one gets BYE.
//!   Any other source is treated as if the dialog did not exist.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::index::LegRef;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_route::ReferMode;
use trunkgate_sdp::SdpRejection;
use trunkgate_sip::header::{Replaces, SessionExpires};
use trunkgate_sip::{ClientId, DialogId, HeaderName, ReplacedDialog, ResponseSpec, ServerId, SipMessage};
use trunkgate_story::reason::ReasonSlug;

use crate::call::negotiation::join::{LeavingLeg, OtherCall};
use crate::call::negotiation::requests::takes_changes;
use crate::call::parts::{Call, CallParts};
use crate::call::shared::CallCx;
use crate::call::words::answer::{FinalAnswer, refused, seen_code};
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::refer::ReferRequest;
use crate::call::words::state::CallState;
use crate::gateway::Gateway;

/// Returns two different calls by their keys, if both exist.
fn both(calls: &mut BTreeMap<CallKey, Box<Call>>, one: CallKey, other: CallKey) -> Option<(&mut Call, &mut Call)> {
    let (low, high) = (one.min(other), one.max(other));
    let mut between = calls.range_mut(low..=high);
    let (first, last) = (between.next()?, between.next_back()?);
    let (is_first, is_last) = (*first.0 == low, *last.0 == high);
    let (first, last) = (&mut **first.1, &mut **last.1);
    let in_order = if one == low { (first, last) } else { (last, first) };
    (is_first && is_last).then_some(in_order)
}

impl Gateway {
    /// Handles a REFER that may name the dialog of another call. Returns the REFER for its own call if it names no
    /// dialog of the edge, or is relayed.
    pub(crate) fn attended(
        &mut self,
        now: Instant,
        at: LegRef,
        server: ServerId,
        refer: ReferRequest,
    ) -> Option<ReferRequest> {
        let Some(replaces) = &refer.replaces else { return Some(refer) };
        let is_callable = refer.number.is_some() || refer.returned.is_some();
        let call = self.calls.get(&at.key).filter(|call| call.shared.state != CallState::Ended);
        let leg = call.and_then(|call| call.shared.legs.get(at.leg));
        let asks = leg.and_then(|leg| Some((leg.party, leg.trunk.as_ref()?.refer)));
        let found =
            asks.and_then(|(party, mode)| Some((mode, self.edge.endpoint_mut().replaced_dialog(party, replaces)?)));
        let Some((mode, found)) = found else {
            let named = self.edge.index().named(replaces.call_id.as_bytes());
            let is_anothers = named.is_some_and(|named| Some(named.party) != leg.map(|leg| leg.party));
            let code = match (is_anothers, is_callable) {
                // A trunk must not replace another trunk's dialog, because that trunk would see a request of the edge.
                (true, _) => 403,
                (false, true) => return Some(refer),
                // The REFER names no dialog of the edge, and has no number that could be called.
                (false, false) => 484,
            };
            self.edge.respond(now, server, ResponseSpec { code, ..ResponseSpec::default() });
            return None;
        };
        let result = match mode {
            ReferMode::Refuse => return Some(refer),
            ReferMode::Relay => self.named_for_the_other_side(at, refer, found).map(Some),
            ReferMode::Local | ReferMode::Return => self.join_named(now, at, server, &refer, found).map(|()| None),
        };
        result.unwrap_or_else(|answer| {
            self.edge.respond(now, server, answer.to_sip());
            let name = self.calls.get(&at.key).map(|call| call.shared.legs.name_of(at.leg)).unwrap_or_default();
            let why = format!("an attended transfer by {name} is refused with {}", answer.code);
            self.edge.decide(now, at.key, why);
            None
        })
    }

    /// Rewrites the Replaces of a relayed REFER to the dialog with the remote party of the other call, as that party
    /// knows the dialog. Without a remote party on that side, for example with an agent, the REFER is refused.
    ///
    /// # Errors
    /// 403 if the other call has no remote party on that side, 603 if the dialog has ended or is unknown.
    fn named_for_the_other_side(
        &mut self,
        by: LegRef,
        refer: ReferRequest,
        found: ReplacedDialog,
    ) -> Result<ReferRequest, Box<FinalAnswer>> {
        let asked = self.calls.get(&by.key).and_then(|call| {
            let other = call.shared.legs.other(by.leg)?;
            Some(call.shared.legs[other].party)
        });
        let dialog = match found {
            ReplacedDialog::Confirmed(dialog) | ReplacedDialog::Early(dialog) => Some(dialog),
            ReplacedDialog::Ended => None,
        };
        let at = dialog.and_then(|dialog| self.edge.index().dialogs.get(&dialog));
        let mapped = at.and_then(|at| {
            let call = self.calls.get_mut(&at.key)?;
            let other = call.shared.legs.other(at.leg)?;
            let leg = call.shared.legs.get_mut(other)?;
            let names = self.edge.endpoint().dialog_names(leg.sip.dialog?)?;
            leg.named_to = asked;
            Some(names)
        });
        let mapped = mapped.ok_or_else(|| {
            let code = if at.is_some() { 403 } else { 603 };
            Box::new(FinalAnswer::new(code, ReasonSlug::Denied))
        })?;
        let early_only = refer.replaces.as_ref().is_some_and(|replaces| replaces.early_only);
        Ok(ReferRequest { replaces: Some(Replaces { early_only, ..mapped }), ..refer })
    }

    fn join_named(
        &mut self,
        now: Instant,
        at: LegRef,
        server: ServerId,
        refer: &ReferRequest,
        found: ReplacedDialog,
    ) -> Result<(), Box<FinalAnswer>> {
        let early_only = refer.replaces.as_ref().is_some_and(|replaces| replaces.early_only);
        let named = match found {
            // RFC 3891 §3: early-only does not match an answered dialog.
            ReplacedDialog::Confirmed(_) if early_only => {
                return Err(Box::new(FinalAnswer::new(486, ReasonSlug::TargetBusy)));
            }
            ReplacedDialog::Confirmed(dialog) => self.edge.index().dialogs.get(&dialog).copied(),
            ReplacedDialog::Early(_) => return Err(Box::new(FinalAnswer::new(491, ReasonSlug::Transferred))),
            ReplacedDialog::Ended => None,
        };
        named.iter().map(|named| named.key).chain([at.key]).for_each(|key| self.begin_work(key));
        let Gateway { calls, edge, .. } = self;
        let result = match named.and_then(|named| Some((named.leg, both(calls, at.key, named.key)?))) {
            Some((theirs, calls)) => join(now, edge, calls, (at.leg, theirs), server, refer),
            // The REFER names a dialog of its own call, or one that is over.
            None => Err(Box::new(FinalAnswer::new(603, ReasonSlug::Denied))),
        };
        self.at_work = None;
        result
    }

    /// Handles the response to the re-INVITE for a leg that moves to another call; 408 if there was none.
    pub(crate) fn join_answered(
        &mut self,
        now: Instant,
        at: LegRef,
        client: ClientId,
        (code, dialog): (u16, Option<DialogId>),
        (sdp, session): (Option<Bytes>, Option<SessionExpires>),
    ) {
        let is_taken = (200..300).contains(&code);
        if let Some(dialog) = dialog.filter(|_| is_taken) {
            self.edge.ack(now, dialog);
        }
        let Some(call) = self.calls.get_mut(&at.key) else { return };
        let Some(leaving) = call.parts.bridge.negotiation.take_leaving(client) else { return };
        if call.shared.state != CallState::Answered {
            return;
        }
        let to = leaving.to;
        self.begin_work(at.key);
        self.begin_work(to);
        let Gateway { calls, edge, .. } = self;
        let waits = both(calls, to, at.key).filter(|(to, _)| to.parts.bridge.negotiation.joins_by(&to.shared, client));
        let moved = match (waits, is_taken) {
            (Some((to, from)), true) => {
                let (parts, mut cx) = to.act(now, edge);
                match parts.joined_by(&mut cx, (from, leaving.leg), sdp, session) {
                    Ok(()) => {
                        parts.bridge.negotiation.send_pending_offer(&mut cx, &parts.search.ringing());
                        Ok(())
                    }
                    Err(failure) => {
                        let answer = failure.answer();
                        parts.join_failed(&mut cx, &answer);
                        Err((None, answer.code))
                    }
                }
            }
            (Some((to, _)), false) => {
                let (parts, mut cx) = to.act(now, edge);
                parts.join_failed(&mut cx, &FinalAnswer::new(seen_code(code), ReasonSlug::TargetRejected));
                Err((Some(code), seen_code(code)))
            }
            (None, true) => Err((None, 487)),
            (None, false) => Err((Some(code), seen_code(code))),
        };
        self.act_on(now, at.key, |parts, cx| left(parts, cx, &leaving, moved));
        self.note_if_done(to);
    }

    /// Handles an INVITE with Replaces: its leg replaces another one, or the INVITE is refused.
    pub(crate) fn replacing(&mut self, now: Instant, incoming: &IncomingInvite) {
        let named = self.named_by(incoming);
        let answer = match named {
            Ok((at, by)) => {
                let result = self.act_on(now, at.key, |parts, cx| {
                    let replaced = parts.search.replace(cx, &mut parts.bridge, by, incoming);
                    replaced.map(|next| next.act(parts, cx))
                });
                result.unwrap_or_else(|| refused(603, ReasonSlug::Denied)).err()
            }
            Err(answer) => Some(answer),
        };
        let Some(answer) = answer else { return };
        self.edge.respond(now, incoming.server, answer.to_sip());
        let trunk = &incoming.trunk.name;
        self.edge.trunks_mut().problem(
            now,
            trunk,
            format!("its INVITE with Replaces was refused with {}", answer.code),
        );
    }

    /// Returns the leg of the dialog that the Replaces of an INVITE names (RFC 3891 §3: its to-tag is ours), and the
    /// leg that is replaced. One exception: a dialog that a relayed REFER (`refer = "relay"`) has named to the sender
    /// is identified from the remote party's point of view, with the tags swapped.
    ///
    /// # Errors
    /// 400 for an invalid Replaces, 403 if the trunk refuses transfers, 481 for an unknown or early dialog, 486 if only
    /// an early dialog may be replaced, 603 for an ended dialog.
    fn named_by(&mut self, incoming: &IncomingInvite) -> Result<(LegRef, LegId), Box<FinalAnswer>> {
        let replaces = read(&incoming.request).ok_or_else(|| Box::new(FinalAnswer::bad_request("Replaces")))?;
        if incoming.trunk.refer == ReferMode::Refuse {
            return refused(403, ReasonSlug::Denied);
        }
        let own = self.edge.endpoint_mut().replaced_dialog(incoming.party, &replaces);
        let far = if own.is_none() { self.named_afar(incoming, &replaces) } else { None };
        let dialog = match own.or(far) {
            Some(ReplacedDialog::Confirmed(_)) if replaces.early_only => return refused(486, ReasonSlug::TargetBusy),
            Some(ReplacedDialog::Confirmed(dialog)) => dialog,
            Some(ReplacedDialog::Ended) => return refused(603, ReasonSlug::Denied),
            Some(ReplacedDialog::Early(_)) | None => return refused(481, ReasonSlug::Denied),
        };
        let at = self.edge.index().dialogs.get(&dialog).copied();
        let by = at.and_then(|at| {
            let call = self.calls.get(&at.key)?;
            Some((at, if far.is_some() { call.shared.legs.other(at.leg)? } else { at.leg }))
        });
        by.map_or_else(|| refused(603, ReasonSlug::Denied), Ok)
    }

    /// Returns the confirmed dialog that an INVITE names with swapped tags, if a relayed REFER has named it to the
    /// sender.
    fn named_afar(&mut self, incoming: &IncomingInvite, replaces: &Replaces) -> Option<ReplacedDialog> {
        // The dialog may belong to another trunk: the two calls of a transfer seldom use the same one.
        let of = self.edge.index().named(replaces.call_id.as_bytes())?.party;
        let found = self.edge.endpoint_mut().replaced_dialog(of, &replaces.seen_from_afar());
        let Some(ReplacedDialog::Confirmed(dialog)) = found else { return None };
        let at = self.edge.index().dialogs.get(&dialog)?;
        let leg = self.calls.get(&at.key)?.shared.legs.get(at.leg)?;
        (leg.named_to == Some(incoming.party)).then_some(ReplacedDialog::Confirmed(dialog))
    }
}

/// Begins the join of two calls. `by` are the legs of the REFER's sender in `call`, on which the REFER arrived, and in
/// `other`.
///
/// # Errors
/// The join is not possible now: the final response to the REFER. Both calls continue unchanged.
fn join(
    now: Instant,
    edge: &mut Edge,
    (call, other): (&mut Call, &mut Call),
    by: (LegId, LegId),
    server: ServerId,
    refer: &ReferRequest,
) -> Result<(), Box<FinalAnswer>> {
    let (here, there) = ((&mut *call, by.0), (other, by.1));
    let is_here = joining_call((&*here.0, here.1), (&*there.0, there.1))?;
    let (host, guest) = if is_here { (here, there) } else { (there, here) };
    let (parts, mut cx) = host.0.act(now, edge);
    let has_room = parts.search.has_room_for_another(cx.call);
    let (guest, by_guest) = guest;
    let negotiation = &mut guest.parts.bridge.negotiation;
    let guest = OtherCall { call: &mut guest.shared, negotiation, by: by_guest };
    parts.bridge.negotiation.join(&mut cx, has_room, host.1, guest)?;
    let (parts, mut cx) = call.act(now, edge);
    parts.transfers.accept_refer(&mut cx, by.0, server, refer);
    Ok(())
}

/// Concludes the move of a leg to another call, in the call from which it moves: that call ends if the leg has moved,
/// else it continues. `moved` is the result; an error has the code with which the re-INVITE was refused (`None`: it was
/// accepted) and the code for the sender of the REFER, which may have come in this call.
fn left(parts: &mut CallParts, cx: &mut CallCx<'_>, leaving: &LeavingLeg, moved: Result<(), (Option<u16>, u16)>) {
    let transfers = &mut parts.transfers;
    match moved {
        Ok(()) => {
            transfers.notify_transferor(cx, 200);
            parts.end(cx, ReasonSlug::Transferred);
        }
        Err((refused, code)) => {
            transfers.notify_transferor(cx, code);
            parts.did_not_leave(cx, leaving, refused);
        }
    }
}

/// Returns whether the remote party of the other call moves to the call of the REFER; `false`: the reverse.
///
/// # Errors
/// 491 while the NOTIFY of the last transfer is pending; 488 if neither remote party may get a re-INVITE (`reinvite =
/// "local"`).
fn joining_call(here: (&Call, LegId), there: (&Call, LegId)) -> Result<bool, Box<FinalAnswer>> {
    if here.0.parts.transfers.is_notify_pending() {
        return refused(491, ReasonSlug::Transferred);
    }
    let is_askable = |(call, leg): (&Call, LegId)| {
        call.shared.legs.other(leg).is_none_or(|other| takes_changes(&call.shared.legs[other]))
    };
    match (is_askable(here), is_askable(there)) {
        (_, true) => Ok(true),
        (true, false) => Ok(false),
        (false, false) => {
            let text = "both sides are sent no re-INVITE (reinvite = \"local\")".to_owned();
            let warning = Some(SdpRejection { warn_code: 399, text });
            Err(Box::new(FinalAnswer { warning, ..FinalAnswer::new(488, ReasonSlug::Transferred) }))
        }
    }
}

/// Returns the only Replaces of a request; `None` if there are several, or a Join (RFC 3911 §4).
fn read(request: &SipMessage) -> Option<Replaces> {
    let mut all = request.headers(HeaderName::Replaces);
    let (Some(value), None, None) = (all.next(), all.next(), request.header_named("Join")) else { return None };
    Replaces::parse(value)
}
