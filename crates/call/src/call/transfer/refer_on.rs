//! REFER relayed to the other side (`refer = "relay"`): that side calls the target itself, and its notifications are
//! relayed back. Neither side learns the address of the other: Refer-To points to the edge or is a `tel:` URI, and only
//! the status of a notification is relayed.

use trunkgate_resources::limits::{REFER_NEWS, REFER_SUBSCRIPTIONS};
use trunkgate_resources::lookups::index::RequestPurpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::rewrite;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::ReferTo;
use trunkgate_sip::{ClientId, ResponseSpec, ServerId};
use trunkgate_story::few::SmallMap;

use crate::call::legs::headers::{HeaderRecipient, own_addresses};
use crate::call::negotiation::requests::terminate_open;
use crate::call::shared::CallCx;
use crate::call::transfer::in_call::CallTransfers;
use crate::call::transfer::notify::{TERMINATED, refer_news};
use crate::call::words::answer::{refuse_request, seen_code};
use crate::call::words::refer::ReferRequest;
use crate::call::words::refer_report::ReferReport;
use crate::call::words::state::CallState;

/// Relayed REFERs and their notifications.
#[derive(Debug, Default)]
pub(crate) struct RelayedRefers {
    /// Subscriptions without a final notification, oldest first.
    subscriptions: Vec<RelayedSubscription>,
    /// Relayed requests without a response yet, with the server transactions of the originals.
    open: SmallMap<ClientId, ServerId>,
}

/// Subscription created by a relayed REFER (RFC 3515 §2.4.6).
#[derive(Debug, Clone, Copy)]
struct RelayedSubscription {
    /// Leg of the subscriber.
    from: LegId,
    /// Leg of the notifier.
    to: LegId,
    /// CSeq of the received REFER; it identifies the subscription for the subscriber.
    id: u32,
    /// CSeq of the relayed REFER; a challenged REFER is repeated with a higher one.
    sent: u32,
    /// Client transaction of the relayed REFER.
    client: ClientId,
}

impl RelayedRefers {
    /// Returns the subscription to which a leg's NOTIFY belongs: that of the leg's last REFER with a CSeq of at most
    /// `named`, because a challenged REFER is repeated with a higher one. If `named` is missing or lower than all of
    /// them, it is the oldest live subscription.
    fn subscription(&self, to: LegId, named: Option<u32>) -> Option<RelayedSubscription> {
        let mut of_leg = self.subscriptions.iter().filter(|one| one.to == to);
        let named = named.and_then(|id| of_leg.clone().rev().find(|one| one.sent <= id));
        named.or_else(|| of_leg.next()).copied()
    }

    fn end(&mut self, client: ClientId) {
        self.subscriptions.retain(|one| one.client != client);
    }
}

impl CallTransfers {
    /// Relays a REFER to the other side. Refuses it if another relayed request has no response yet (491), or the other
    /// side may not call the number itself.
    pub(crate) fn pass_refer(
        &mut self,
        cx: &mut CallCx<'_>,
        (leg, other): (LegId, LegId),
        server: ServerId,
        refer: &ReferRequest,
    ) {
        let is_open = self.relayed.as_ref().is_some_and(|passed| !passed.open.is_empty());
        let to = &cx.call.legs[other];
        let way = to.flow.and_then(|flow| {
            let local = cx.edge.addressing().local(flow.remote.ip(), flow.listener)?;
            Some((local, flow.transport))
        });
        let (Some((local, transport)), Some(dialog), false) = (way, to.sip.dialog, is_open) else {
            return refuse_request(cx.now, cx.edge, server, 491);
        };
        let (trunk, governs) = (to.trunk.clone(), to.limited_by().cloned());
        let called = refer.number.as_ref().filter(|number| number.is_e164 && refer.replaces.is_none());
        let outbound = trunk.as_deref().filter(|trunk| trunk.refer_to == ReferTo::Tel).zip(called);
        if let Some((trunk, number)) = outbound
            && let Err(code) = cx.may_call_itself(leg, trunk, number)
        {
            return refuse_request(cx.now, cx.edge, server, code);
        }
        let side = HeaderRecipient { trunk: trunk.as_deref(), governs: governs.as_deref(), ours: local.ip };
        let numbers = cx.edge.numbers();
        let mut target = match outbound {
            Some((_, number)) => format!("<tel:{}>", number.text),
            None => {
                let number = refer.number.as_ref().map(|number| numbers.format(number, side.form()));
                let user = rewrite::escape_user(number.as_deref().unwrap_or(&refer.name));
                cx.edge.endpoint().own_address(cx.call.legs[other].party, &user, local, transport)
            }
        };
        if let Some(replaces) = &refer.replaces {
            target = format!("{}?{}>", target.trim_end_matches('>'), replaces.to_uri_headers());
        }
        let mut headers = vec![extra("Refer-To", target)];
        let by_trunk = cx.call.legs[leg].trunk.as_deref();
        let rules = [
            by_trunk.and_then(|trunk| trunk.caller_id_in.as_ref()),
            side.trunk.and_then(|trunk| trunk.caller_id.as_ref()),
        ];
        let by = refer.referred_by.as_ref().and_then(|by| own_addresses(by, &side, numbers, rules));
        headers.extend(by.map(|by| extra("Referred-By", by)));
        if refer.is_silent {
            headers.push(extra("Refer-Sub", "false"));
        }
        let Some(client) =
            cx.edge.request(cx.now, cx.call.legs.place(other), dialog, RequestPurpose::Refer, headers, None)
        else {
            return refuse_request(cx.now, cx.edge, server, 500);
        };
        let sent = cx.edge.endpoint().last_cseq(dialog).unwrap_or_default();
        let name = cx.call.legs.name_of(leg);
        cx.edge.decide(cx.now, cx.call.key, format!("a transfer by {name} is forwarded to the other side"));
        let passed = self.relayed.get_or_insert_default();
        passed.open.insert(client, server);
        if passed.subscriptions.len() >= REFER_SUBSCRIPTIONS {
            passed.subscriptions.remove(0);
        }
        passed.subscriptions.push(RelayedSubscription { from: leg, to: other, id: refer.cseq, sent, client });
    }

    /// Relays the NOTIFY of a relayed REFER to the subscriber. Refuses it if there is no such subscription (481), or
    /// too many relayed requests have no response (500).
    pub(super) fn told(&mut self, cx: &mut CallCx<'_>, leg: LegId, server: ServerId, told: &ReferReport) {
        let passed = self.relayed.as_mut().filter(|_| cx.call.state == CallState::Answered);
        let found = passed.and_then(|passed| Some((passed.subscription(leg, told.id)?, passed)));
        let Some((of, passed)) = found else { return refuse_request(cx.now, cx.edge, server, 481) };
        if passed.open.len() >= REFER_NEWS {
            return refuse_request(cx.now, cx.edge, server, 500);
        }
        let is_last = told.state == "terminated";
        if is_last {
            passed.end(of.client);
        }
        let RelayedSubscription { from, id, .. } = of;
        let state = match (told.state, told.expires) {
            _ if is_last => TERMINATED.to_owned(),
            (state, Some(expires)) => format!("{state};expires={expires}"),
            (state, None) => state.to_owned(),
        };
        let (headers, body) = refer_news(id, state, told.code);
        let at = cx.call.legs.place(from);
        let dialog = cx.call.legs[from].sip.dialog;
        let client = dialog.and_then(|dialog| cx.edge.request(cx.now, at, dialog, RequestPurpose::News, headers, body));
        match (client, &mut self.relayed) {
            (Some(client), Some(passed)) => {
                passed.open.insert(client, server);
            }
            (Some(_) | None, _) => refuse_request(cx.now, cx.edge, server, 481),
        }
    }

    /// Relays the final response to a relayed request; `code` is 408 if there was none. An error also ends the
    /// subscription.
    pub(super) fn passed_answered(&mut self, cx: &mut CallCx<'_>, client: ClientId, code: u16) {
        let Some(passed) = &mut self.relayed else { return };
        let Some(server) = passed.open.remove(client) else { return };
        if code >= 300 {
            passed.end(client);
        }
        let code = if matches!(code, 200 | 202) { code } else { seen_code(code) };
        cx.edge.respond(cx.now, server, ResponseSpec { code, ..ResponseSpec::default() });
    }

    /// Refuses the relayed requests that are still open when the call ends.
    pub(crate) fn refuse_passed(&mut self, cx: &mut CallCx<'_>) {
        if let Some(mut passed) = self.relayed.take() {
            terminate_open(cx.now, cx.edge, &mut passed.open);
        }
    }
}
