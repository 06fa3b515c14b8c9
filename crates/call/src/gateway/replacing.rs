//! INVITE with Replaces (RFC 3891): a peer of a trunk takes the place of another leg of its own trunk. The far side of that leg
//! is asked by re-INVITE for what the new one offers; once it agrees, the new leg is answered, and the old one gets BYE. Until
//! then the call is as it was, and stays so where it does not. To everybody else there are no dialogs to replace.

use std::time::Instant;

use trunkgate_resources::index::Place;
use trunkgate_resources::key::LegId;
use trunkgate_route::ReferMode;
use trunkgate_sip::header::Replaces;
use trunkgate_sip::{HeaderName, Message, Replaced};
use trunkgate_story::reason::ReasonSlug;

use crate::call::search::answer::{FinalAnswer, refused};
use crate::call::setup::Incoming;
use crate::gateway::Gateway;

impl Gateway {
    /// An INVITE that is to take the place of a leg.
    pub(crate) fn replacing(&mut self, now: Instant, incoming: &Incoming) {
        let named = self.named_by(incoming);
        let answer = match named {
            Ok((at, by)) => {
                self.at_work = Some(at.key);
                let call = self.calls.get_mut(&at.key);
                let result = call.map(|call| {
                    let (parts, mut cx) = call.act(now, &mut self.edge);
                    let replaced = parts.bridge.replace(&mut cx, &parts.search, by, incoming);
                    replaced.map(|next| next.act(parts, &mut cx))
                });
                self.at_work = None;
                self.note_if_done(at.key);
                result.unwrap_or_else(|| refused(603, ReasonSlug::Denied)).err()
            }
            Err(answer) => Some(answer),
        };
        let Some(answer) = answer else { return };
        self.edge.respond(now, incoming.server, answer.to_sip());
        let trunk = &incoming.trunk.name;
        self.edge.trunks.problem(now, trunk, format!("its INVITE with Replaces was refused with {}", answer.code));
    }

    /// The leg that an INVITE names to be replaced (RFC 3891 §3: its to-tag is ours), with the place by which it was found. The one
    /// exception is a dialog that a REFER which went on (`refer = "relay"`) has named to the sender, as its far side knows it:
    /// with the tags the other way round.
    fn named_by(&mut self, incoming: &Incoming) -> Result<(Place, LegId), Box<FinalAnswer>> {
        let replaces = read(&incoming.request).ok_or_else(|| Box::new(FinalAnswer::bad_request("Replaces")))?;
        if incoming.trunk.refer == ReferMode::Refuse {
            return refused(403, ReasonSlug::Denied);
        }
        let own = self.edge.endpoint.replaced_dialog(incoming.party, &replaces);
        let far = if own.is_none() { self.named_afar(incoming, &replaces) } else { None };
        let dialog = match own.or(far) {
            Some(Replaced::Confirmed(_)) if replaces.early_only => return refused(486, ReasonSlug::TargetBusy),
            Some(Replaced::Confirmed(dialog)) => dialog,
            Some(Replaced::Ended) => return refused(603, ReasonSlug::Denied),
            Some(Replaced::Early(_)) | None => return refused(481, ReasonSlug::Denied),
        };
        let at = self.edge.index.dialogs.get(&dialog).copied();
        let by = at.and_then(|at| {
            let call = self.calls.get(&at.key)?;
            Some((at, if far.is_some() { call.shared.legs.other(at.leg)? } else { at.leg }))
        });
        by.map_or_else(|| refused(603, ReasonSlug::Denied), Ok)
    }

    /// The confirmed dialog that an INVITE names with the tags the other way round, where a REFER that went on has named it so.
    fn named_afar(&mut self, incoming: &Incoming, replaces: &Replaces) -> Option<Replaced> {
        let found = self.edge.endpoint.replaced_dialog(incoming.party, &replaces.seen_from_afar());
        let Some(Replaced::Confirmed(dialog)) = found else { return None };
        let at = self.edge.index.dialogs.get(&dialog)?;
        let leg = self.calls.get(&at.key)?.shared.legs.get(at.leg)?;
        leg.is_named_afar.then_some(Replaced::Confirmed(dialog))
    }
}

/// The one Replaces of a request that may have it; none beside a Join (RFC 3911 §4).
fn read(request: &Message) -> Option<Replaces> {
    let mut all = request.headers(HeaderName::Replaces);
    let (Some(value), None, None) = (all.next(), all.next(), request.header_named("Join")) else { return None };
    Replaces::parse(value)
}
