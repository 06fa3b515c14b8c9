//! REFER that goes on to the other side (`refer = "relay"`): that calls the target itself, and its news come back. Neither
//! side is shown where the other one is: Refer-To leads to the edge or is a `tel:` URI, and of the news only the status goes on.

use trunkgate_resources::limits::{REFER_NEWS, REFER_SUBSCRIPTIONS};
use trunkgate_resources::lookups::index::Purpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::rewrite;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::ReferTo;
use trunkgate_sip::{Answer, ClientId, ServerId};
use trunkgate_story::few::Few;

use crate::call::legs::headers::{Side, own_addresses};
use crate::call::negotiation::requests::terminate_open;
use crate::call::shared::Cx;
use crate::call::transfer::in_call::Transfers;
use crate::call::transfer::notify::{TERMINATED, refer_news};
use crate::call::words::answer::{refuse_request, seen_code};
use crate::call::words::refer::Refer;
use crate::call::words::refer_report::ReferReport;
use crate::call::words::state::State;

/// REFERs that went on, and their news.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Subscriptions whose end has not been told, the oldest first.
    subscriptions: Vec<Subscription>,
    /// Requests that went on and have no answer yet, with those that they were.
    open: Few<ClientId, ServerId>,
}

/// What a REFER that went on has made (RFC 3515 §2.4.6).
#[derive(Debug, Clone, Copy)]
struct Subscription {
    /// Whose it is.
    from: LegId,
    /// Who got it.
    to: LegId,
    /// Its CSeq where it came from, which names it there.
    id: u32,
    /// The CSeq that it went on with; one that was challenged goes out again with a later one.
    sent: u32,
    /// Its transaction.
    client: ClientId,
}

impl Passed {
    /// Whose news a leg tells: those of the last REFER sent no later than the one it names. Where it names none, or one that
    /// was never sent, those of the first that is not over.
    fn subscription(&self, to: LegId, named: Option<u32>) -> Option<Subscription> {
        let mut of_leg = self.subscriptions.iter().filter(|one| one.to == to);
        let named = named.and_then(|id| of_leg.clone().rev().find(|one| one.sent <= id));
        named.or_else(|| of_leg.next()).copied()
    }

    fn end(&mut self, client: ClientId) {
        self.subscriptions.retain(|one| one.client != client);
    }
}

impl Transfers {
    /// Sends a REFER on to the other side.
    pub(crate) fn pass_refer(
        &mut self,
        cx: &mut Cx<'_>,
        (leg, other): (LegId, LegId),
        server: ServerId,
        refer: &Refer,
    ) {
        let is_open = self.passed.as_ref().is_some_and(|passed| !passed.open.is_empty());
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
        let side = Side { trunk: trunk.as_deref(), governs: governs.as_deref(), ours: local.ip };
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
        let Some(client) = cx.edge.request(cx.now, cx.call.legs.place(other), dialog, Purpose::Refer, headers, None)
        else {
            return refuse_request(cx.now, cx.edge, server, 500);
        };
        let sent = cx.edge.endpoint().last_cseq(dialog).unwrap_or_default();
        let name = cx.call.legs.name_of(leg);
        cx.edge.decide(cx.now, cx.call.key, format!("a transfer by {name} goes on to the other side"));
        let passed = self.passed.get_or_insert_default();
        passed.open.insert(client, server);
        if passed.subscriptions.len() >= REFER_SUBSCRIPTIONS {
            passed.subscriptions.remove(0);
        }
        passed.subscriptions.push(Subscription { from: leg, to: other, id: refer.cseq, sent, client });
    }

    /// A far end tells what comes of a REFER.
    pub(super) fn told(&mut self, cx: &mut Cx<'_>, leg: LegId, server: ServerId, told: &ReferReport) {
        let passed = self.passed.as_mut().filter(|_| cx.call.state == State::Answered);
        let found = passed.and_then(|passed| Some((passed.subscription(leg, told.id)?, passed)));
        let Some((of, passed)) = found else { return refuse_request(cx.now, cx.edge, server, 481) };
        if passed.open.len() >= REFER_NEWS {
            return refuse_request(cx.now, cx.edge, server, 500);
        }
        let is_last = told.state == "terminated";
        if is_last {
            passed.end(of.client);
        }
        let Subscription { from, id, .. } = of;
        let state = match (told.state, told.expires) {
            _ if is_last => TERMINATED.to_owned(),
            (state, Some(expires)) => format!("{state};expires={expires}"),
            (state, None) => state.to_owned(),
        };
        let (headers, body) = refer_news(id, state, told.code);
        let at = cx.call.legs.place(from);
        let dialog = cx.call.legs[from].sip.dialog;
        let client = dialog.and_then(|dialog| cx.edge.request(cx.now, at, dialog, Purpose::News, headers, body));
        match (client, &mut self.passed) {
            (Some(client), Some(passed)) => {
                passed.open.insert(client, server);
            }
            (Some(_) | None, _) => refuse_request(cx.now, cx.edge, server, 481),
        }
    }

    /// What went on has its answer; 408 where none came.
    pub(super) fn passed_answered(&mut self, cx: &mut Cx<'_>, client: ClientId, code: u16) {
        let Some(passed) = &mut self.passed else { return };
        let Some(server) = passed.open.remove(client) else { return };
        if code >= 300 {
            passed.end(client);
        }
        let code = if matches!(code, 200 | 202) { code } else { seen_code(code) };
        cx.edge.respond(cx.now, server, Answer { code, ..Answer::default() });
    }

    /// Refuses the requests that wait for an answer when the call is over.
    pub(crate) fn refuse_passed(&mut self, cx: &mut Cx<'_>) {
        if let Some(mut passed) = self.passed.take() {
            terminate_open(cx.now, cx.edge, &mut passed.open);
        }
    }
}
