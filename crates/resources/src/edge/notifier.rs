//! Message-waiting notifications: checks and answers SUBSCRIBEs, and sends all NOTIFYs of mailboxes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::{MwiParty, Trunk};
use trunkgate_sip::dialog::DialogSnapshot;
use trunkgate_sip::{
    ClientId, DialogId, EndpointEvent, Flow, LocalAddress, Method, NotifyRequest, ResponseSpec, ServerId, SipMessage,
    SipPartyId,
};
use trunkgate_story::numbers::plain;

use crate::edge::base::EdgeBase;
use crate::edge::trunk_states::TrunkStates;
use crate::io::MailboxMessages;
use crate::limits::{
    MWI_PAUSE_SECONDS, MWI_REPEAT_SECONDS, MWI_RETRY_AFTER_SECONDS, MWI_SUBSCRIPTIONS, MWI_SUBSCRIPTIONS_PER_TRUNK,
    MWI_USER_CHARS,
};
use crate::lookups::rewrite::{escape_user, own_host, request_uri};
use crate::lookups::sip::extra;
use crate::mailboxes::indications::{
    Indications, KeptSubscription, Lamp, LampKey, MessageCount, NotifyOwner, NotifyRoute, PACKAGE, PendingNotify,
    SubscribeRequest, Subscription, mailboxes_for, refused,
};
use crate::random::pick;
use crate::trunks::health::TrunkAddress;

/// Parts of the edge that a notifier uses.
#[derive(Debug)]
pub(super) struct NotifierCx<'e> {
    pub(super) base: &'e mut EdgeBase,
    pub(super) states: &'e mut TrunkStates,
}

/// Notifier of an edge (RFC 6665 §4.2) for the messages of its mailboxes.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    pub(super) indications: Indications,
}

impl Notifier {
    /// Handles endpoint events about subscriptions and their NOTIFYs. Returns any other event.
    pub(super) fn take(
        &mut self,
        cx: &mut NotifierCx<'_>,
        now: Instant,
        event: EndpointEvent,
    ) -> Option<EndpointEvent> {
        match event {
            EndpointEvent::Request { id: Some(id), dialog: None, method: Method::Subscribe, flow, party, request } => {
                self.subscribing(cx, now, id, (party, flow), &request);
            }
            EndpointEvent::Request {
                id: Some(id), dialog: Some(dialog), method: Method::Subscribe, request, ..
            } if self.indications.has_dialog(dialog) => {
                self.refreshing(cx, now, id, dialog, &request);
            }
            EndpointEvent::Request { id: None, dialog: Some(dialog), method: Method::Bye, .. }
                if self.indications.has_dialog(dialog) =>
            {
                self.left(cx, dialog);
            }
            EndpointEvent::Response { id, code, .. } if self.indications.owns(id) => {
                self.answered(cx, now, id, Some(code))
            }
            EndpointEvent::TimedOut { id } | EndpointEvent::TransportFailed { id } if self.indications.owns(id) => {
                self.answered(cx, now, id, None);
            }
            other @ (EndpointEvent::Invite { .. }
            | EndpointEvent::Request { .. }
            | EndpointEvent::Ack { .. }
            | EndpointEvent::Prack { .. }
            | EndpointEvent::PrackMissing { .. }
            | EndpointEvent::Canceled { .. }
            | EndpointEvent::Expired { .. }
            | EndpointEvent::EarlyBye { .. }
            | EndpointEvent::Response { .. }
            | EndpointEvent::Challenged { .. }
            | EndpointEvent::WrongCredentials { .. }
            | EndpointEvent::Trying { .. }
            | EndpointEvent::TimedOut { .. }
            | EndpointEvent::TransportFailed { .. }
            | EndpointEvent::AckMissing { .. }
            | EndpointEvent::Refused { .. }
            | EndpointEvent::Dropped(_)) => return Some(other),
        }
        None
    }

    /// Applies the table's mailboxes and their `mwi` users.
    pub(super) fn configure(&mut self, cx: &mut NotifierCx<'_>, now: Instant) {
        let table = Arc::clone(&cx.base.table);
        let mut wanted: BTreeMap<LampKey, Vec<Arc<str>>> = BTreeMap::new();
        for mailbox in table.mailboxes() {
            for MwiParty { trunk, user } in &mailbox.mwi {
                let Some(user) = user else { continue };
                let key = LampKey { trunk: Arc::clone(trunk), user: user.as_str().into() };
                wanted.entry(key).or_default().push(Arc::clone(&mailbox.name));
            }
        }
        let known: Vec<LampKey> = self.indications.lamps.keys().cloned().collect();
        for key in known.iter().filter(|key| !wanted.contains_key(key)) {
            self.indications.set_due(key, None);
            let asking = self.indications.lamps.remove(key).map(|lamp| lamp.asking).unwrap_or_default();
            asking.iter().for_each(|one| drop(self.indications.pending.remove(&one.client)));
        }
        for (key, mailboxes) in wanted {
            let lamp = self.indications.lamps.entry(key.clone()).or_insert_with(|| Lamp {
                mailboxes: Vec::new(),
                last_notified: Default::default(),
                asking: Vec::new(),
                ways: VecDeque::new(),
                due: None,
                repeat: now + Duration::from_secs(MWI_REPEAT_SECONDS),
                is_failing: false,
            });
            lamp.mailboxes = mailboxes;
            self.notify_lamp(cx, now, &key);
        }
        let dialogs: Vec<DialogId> = self.indications.subscriptions.keys().copied().collect();
        for dialog in dialogs {
            let Some(one) = self.indications.subscriptions.get_mut(&dialog) else { continue };
            one.mailboxes = mailboxes_for(&table, &one.trunk, &one.user);
            if one.mailboxes.is_empty() {
                self.end(cx, now, dialog, "noresource");
            } else {
                self.indications.queue([dialog]);
            }
        }
        self.notify_queued(cx, now);
    }

    /// Restores subscriptions of the previous process, except those to a mailbox that is not shown any more.
    pub(super) fn restore(&mut self, cx: &mut NotifierCx<'_>, now: Instant, kept: Vec<KeptSubscription>) {
        for KeptSubscription { trunk, user, id, left, dialog } in kept {
            let mailboxes = mailboxes_for(&cx.base.table, &trunk, &user);
            if mailboxes.is_empty() {
                continue;
            }
            let (party, flow) = (cx.base.party(&trunk), cx.base.kept_flow(dialog.flow));
            let dialog = cx.base.endpoint.restore_dialog(DialogSnapshot { party, flow, ..dialog });
            let subscription = Subscription {
                party,
                trunk: trunk.into(),
                user,
                mailboxes,
                id,
                until: now + left,
                last_notified: None,
                asking: None,
                is_owed: false,
                ends: None,
            };
            self.indications.insert(dialog, subscription);
        }
        self.note_count(cx);
    }

    /// Records message counts, and notifies the subscribers of mailboxes that have changed.
    pub(super) fn messages(&mut self, cx: &mut NotifierCx<'_>, now: Instant, messages: Vec<MailboxMessages>) {
        let were_known = self.indications.is_known();
        self.indications.note_known();
        let changed: BTreeSet<String> = messages.iter().map(|one| one.name.clone()).collect();
        for MailboxMessages { name, count, .. } in messages {
            self.indications.note(name, count);
        }
        let is_concerned = |names: &[Arc<str>]| !were_known || names.iter().any(|name| changed.contains(&**name));
        let Indications { subscriptions, lamps, .. } = &self.indications;
        let dialogs = subscriptions.iter().filter(|(_, one)| is_concerned(&one.mailboxes)).map(|(dialog, _)| *dialog);
        let lamps = lamps.iter().filter(|(_, lamp)| is_concerned(&lamp.mailboxes)).map(|(key, _)| key.clone());
        let (dialogs, lamps): (Vec<DialogId>, Vec<LampKey>) = (dialogs.collect(), lamps.collect());
        self.indications.queue(dialogs);
        self.notify_queued(cx, now);
        lamps.iter().for_each(|key| self.notify_lamp(cx, now, key));
    }

    /// Notifies the next queued subscribers.
    fn notify_queued(&mut self, cx: &mut NotifierCx<'_>, now: Instant) {
        for dialog in self.indications.next_burst(now) {
            self.notify_of_change(cx, now, dialog);
        }
    }

    /// Responds to an authenticated SUBSCRIBE outside a dialog.
    fn subscribing(
        &mut self,
        cx: &mut NotifierCx<'_>,
        now: Instant,
        server: ServerId,
        (party, flow): (SipPartyId, Flow),
        request: &SipMessage,
    ) {
        let trunk = cx.base.party_name(party);
        let uri = request.uri().map(|uri| uri.user_unescaped()).unwrap_or_default();
        let mailboxes = mailboxes_for(&cx.base.table, &trunk, &uri);
        let wanted = match self.judge(cx, now, party, &trunk, (&uri, &mailboxes), request) {
            Ok(wanted) => wanted,
            Err(answer) => {
                cx.base.respond(now, server, *answer);
                return;
            }
        };
        let headers = vec![extra("Expires", wanted.seconds.to_string())];
        let contact_user = escape_user(&uri);
        let dialog =
            cx.base.respond(now, server, ResponseSpec { code: 200, headers, contact_user, ..ResponseSpec::default() });
        let Some(dialog) = dialog else { return };
        let until = now + Duration::from_secs(wanted.seconds.into());
        let ends = (wanted.seconds == 0).then_some("timeout");
        if ends.is_none() && self.indications.may_log(now) {
            let names = mailboxes.join(", ");
            cx.base.log("", format!("trunk {trunk}: {} subscribed to voicemail {names}", flow.remote), None);
        }
        let (id, user) = (wanted.id, uri);
        let subscription = Subscription {
            party,
            trunk,
            user,
            mailboxes,
            id,
            until,
            last_notified: None,
            asking: None,
            is_owed: false,
            ends,
        };
        self.indications.insert(dialog, subscription);
        self.note_count(cx);
        self.notify(cx, now, dialog);
    }

    /// Checks a SUBSCRIBE outside a dialog: its syntax, the user's mailboxes, and room for another subscription.
    ///
    /// # Errors
    /// The response that rejects it: 405, 404, 503, or one of [`SubscribeRequest::read`].
    fn judge(
        &mut self,
        cx: &mut NotifierCx<'_>,
        now: Instant,
        party: SipPartyId,
        trunk: &str,
        (user, mailboxes): (&str, &[Arc<str>]),
        request: &SipMessage,
    ) -> Result<SubscribeRequest, Box<ResponseSpec>> {
        let is_of_trunk = |party: &MwiParty| *party.trunk == *trunk;
        if !cx.base.table.mailboxes().any(|mailbox| mailbox.mwi.iter().any(is_of_trunk)) {
            return Err(Box::new(cx.states.refuse_method(now, trunk, Method::Subscribe)));
        }
        let problem = |states: &mut TrunkStates, code: u16, why: &str| {
            states.trunks.problem(now, trunk, format!("its SUBSCRIBE was rejected with {code}{why}"));
        };
        let wanted = SubscribeRequest::read(request).inspect_err(|answer| problem(cx.states, answer.code, ""))?;
        if mailboxes.is_empty() {
            let shown = plain(&cx.base.shown(user), MWI_USER_CHARS);
            problem(cx.states, 404, &format!(": no mailbox with `mwi` for \"trunk:{trunk}/{shown}\""));
            return Err(refused(404, Vec::new()));
        }
        let indications = &self.indications;
        let is_full = indications.subscriptions() >= MWI_SUBSCRIPTIONS
            || indications.of_party(party) >= MWI_SUBSCRIPTIONS_PER_TRUNK;
        if is_full {
            cx.base.metrics.dropped("subscriptions_full");
            problem(cx.states, 503, ": too many subscriptions");
            let headers = vec![extra("Retry-After", MWI_RETRY_AFTER_SECONDS.to_string())];
            return Err(refused(503, headers));
        }
        Ok(wanted)
    }

    /// Handles a SUBSCRIBE in the dialog of a subscription: refresh or end.
    fn refreshing(
        &mut self,
        cx: &mut NotifierCx<'_>,
        now: Instant,
        server: ServerId,
        dialog: DialogId,
        request: &SipMessage,
    ) {
        let known = self.indications.subscriptions.get(&dialog);
        let is_over = known.is_none_or(|one| one.ends.is_some());
        let wanted = if is_over { Err(refused(481, Vec::new())) } else { SubscribeRequest::read(request) };
        let wanted = wanted.and_then(|wanted| match known {
            // Another `id` would be a second subscription, and a dialog has only one.
            Some(one) if one.id != wanted.id => Err(refused(481, Vec::new())),
            _ => Ok(wanted),
        });
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(answer) => {
                cx.base.respond(now, server, *answer);
                return;
            }
        };
        let headers = vec![extra("Expires", wanted.seconds.to_string())];
        cx.base.respond(now, server, ResponseSpec { code: 200, headers, ..ResponseSpec::default() });
        if wanted.seconds == 0 {
            return self.end(cx, now, dialog, "timeout");
        }
        self.indications.last_until(dialog, now + Duration::from_secs(wanted.seconds.into()));
        self.notify(cx, now, dialog);
    }

    /// Forgets a subscription after a BYE in its dialog.
    fn left(&mut self, cx: &mut NotifierCx<'_>, dialog: DialogId) {
        self.indications.remove(dialog);
        self.note_count(cx);
    }

    /// Sends a NOTIFY of waiting messages to a phone that has just registered, if it has an entry in `mwi`.
    pub(super) fn registered(&mut self, cx: &mut NotifierCx<'_>, now: Instant, party: SipPartyId) {
        let trunk = cx.base.party_name(party);
        let lamps = self.indications.lamps.keys().filter(|key| key.trunk == trunk);
        let lamps: Vec<LampKey> = lamps.cloned().collect();
        lamps.iter().for_each(|key| self.notify_lamp(cx, now, key));
    }

    /// Sends the notifications that are due, and ends expired subscriptions.
    pub(super) fn due(&mut self, cx: &mut NotifierCx<'_>, now: Instant) {
        self.notify_queued(cx, now);
        while let Some((at, owner)) = self.indications.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.indications.due.remove(&(at, owner.clone()));
            match owner {
                NotifyOwner::Subscription(dialog) => self.end(cx, now, dialog, "timeout"),
                NotifyOwner::Lamp(key) => {
                    let Some(lamp) = self.indications.lamps.get_mut(&key) else { continue };
                    lamp.due = None;
                    if lamp.repeat <= now {
                        lamp.last_notified.clear();
                        lamp.repeat = now + Duration::from_secs(MWI_REPEAT_SECONDS);
                    }
                    self.notify_lamp(cx, now, &key);
                }
            }
        }
    }

    /// Handles the response to a NOTIFY; `None` if there is none.
    fn answered(&mut self, cx: &mut NotifierCx<'_>, now: Instant, id: ClientId, code: Option<u16>) {
        if code.is_some_and(|code| code < 200) {
            return;
        }
        match self.indications.pending.remove(&id) {
            Some(NotifyOwner::Subscription(dialog)) => self.subscriber_answered(cx, now, dialog, code),
            Some(NotifyOwner::Lamp(key)) => self.lamp_answered(cx, now, &key, id, code),
            None => {}
        }
    }

    fn subscriber_answered(&mut self, cx: &mut NotifierCx<'_>, now: Instant, dialog: DialogId, code: Option<u16>) {
        let Some(one) = self.indications.subscriptions.get_mut(&dialog) else { return };
        one.asking = None;
        let is_taken = code.is_some_and(|code| (200..300).contains(&code));
        match (is_taken, one.is_owed, one.ends) {
            (true, true, _) => self.notify(cx, now, dialog),
            (true, false, None) => self.notify_of_change(cx, now, dialog),
            (true, false, Some(_)) => self.forget(cx, dialog),
            // RFC 6665 §4.2.2: a subscriber that rejects a NOTIFY loses its subscription.
            (false, _, ends) => {
                let (trunk, names) = (Arc::clone(&one.trunk), one.mailboxes.join(", "));
                let why = code.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
                if ends.is_none() {
                    let text = format!("its subscription to voicemail {names} ended: {why} to NOTIFY");
                    cx.states.trunks.problem(now, &trunk, text.clone());
                    if self.indications.may_warn(now) {
                        cx.base.warn("", format!("trunk {trunk}: {text}"), None);
                    }
                }
                self.forget(cx, dialog);
            }
        }
    }

    fn forget(&mut self, cx: &mut NotifierCx<'_>, dialog: DialogId) {
        self.indications.remove(dialog);
        cx.base.endpoint.forget_dialog(dialog);
        self.note_count(cx);
    }

    fn note_count(&mut self, cx: &mut NotifierCx<'_>) {
        cx.base.metrics.sip.subscriptions_active = self.indications.subscriptions() as u64;
    }

    /// Ends a subscription with a final NOTIFY.
    fn end(&mut self, cx: &mut NotifierCx<'_>, now: Instant, dialog: DialogId, why: &'static str) {
        let Some(one) = self.indications.subscriptions.get_mut(&dialog) else { return };
        if one.ends.replace(why).is_none() {
            self.notify(cx, now, dialog);
        }
    }

    /// Notifies a subscriber if the counts have changed since the last NOTIFY.
    fn notify_of_change(&mut self, cx: &mut NotifierCx<'_>, now: Instant, dialog: DialogId) {
        let Some(one) = self.indications.subscriptions.get(&dialog) else { return };
        if one.is_owed || one.last_notified != Some(self.indications.count(&one.mailboxes)) {
            self.notify(cx, now, dialog);
        }
    }

    /// Sends a NOTIFY in the dialog of a subscription, or notes that one must follow while another is unanswered or the
    /// counts are unknown.
    fn notify(&mut self, cx: &mut NotifierCx<'_>, now: Instant, dialog: DialogId) {
        let indications = &mut self.indications;
        let is_known = indications.is_known();
        let Some(one) = indications.subscriptions.get_mut(&dialog) else { return };
        one.is_owed = one.asking.is_some() || !is_known;
        if one.is_owed {
            return;
        }
        let event = one.id.as_ref().map_or_else(|| PACKAGE.to_owned(), |id| format!("{PACKAGE};id={id}"));
        let state = match one.ends {
            Some(why) => format!("terminated;reason={why}"),
            None => format!("active;expires={}", one.until.saturating_duration_since(now).as_secs()),
        };
        let mailboxes = one.mailboxes.clone();
        let count = indications.count(&mailboxes);
        let headers = vec![extra("Event", event), extra("Subscription-State", state)];
        let id = cx.base.endpoint.request(now, dialog, Method::Notify, headers, Some(count.body(None)));
        cx.base.pump();
        match (id, self.indications.subscriptions.get_mut(&dialog)) {
            (Some(id), Some(one)) => {
                (one.asking, one.last_notified) = (Some(id), Some(count));
                self.indications.pending.insert(id, NotifyOwner::Subscription(dialog));
            }
            // No room for the request: the subscriber notices the end with its next SUBSCRIBE.
            _ => self.forget(cx, dialog),
        }
    }

    /// Notifies each phone or peer of a lamp to which outdated counts were sent.
    fn notify_lamp(&mut self, cx: &mut NotifierCx<'_>, now: Instant, key: &LampKey) {
        let indications = &self.indications;
        let Some(lamp) = indications.lamps.get(key) else { return };
        let Some(trunk) = cx.base.table.trunk(&key.trunk).cloned() else { return };
        if !indications.is_known() || indications.is_subscribed(&key.trunk, &lamp.mailboxes) {
            return;
        }
        let (count, repeat) = (indications.count(&lamp.mailboxes), lamp.repeat);
        let bindings = cx.states.registrar.bindings(&key.trunk).to_vec();
        if lamp.due.is_none() {
            self.indications.set_due(key, Some(repeat));
        }
        if bindings.is_empty() {
            // A phone is notified once it registers.
            if !trunk.peers.is_empty() {
                self.notify_lamp_peer(cx, now, key, &trunk, count);
            }
            return;
        }
        let place = |call_id: &[u8], contact: &str| [call_id, b"\n", contact.as_bytes()].concat();
        let places: Vec<Vec<u8>> = bindings.iter().map(|one| place(&one.call_id, &one.contact)).collect();
        if let Some(lamp) = self.indications.lamps.get_mut(key) {
            lamp.last_notified.retain(|known, _| places.contains(known));
        }
        for (binding, place) in bindings.into_iter().zip(places) {
            let local = cx.base.addressing.local(binding.flow.remote.ip(), binding.flow.listener);
            if let Some(local) = local.filter(|_| self.is_lamp_outdated(key, &place, count)) {
                self.send(cx, now, key, (binding.flow, local, binding.contact), place, count);
            }
        }
    }

    fn is_lamp_outdated(&self, key: &LampKey, place: &[u8], count: MessageCount) -> bool {
        self.indications.lamps.get(key).is_some_and(|lamp| {
            let is_asked = lamp.asking.iter().any(|one| one.place == place);
            !is_asked && lamp.last_notified.get(place) != Some(&count)
        })
    }

    fn notify_lamp_peer(
        &mut self,
        cx: &mut NotifierCx<'_>,
        now: Instant,
        key: &LampKey,
        trunk: &Trunk,
        count: MessageCount,
    ) {
        if !self.is_lamp_outdated(key, &[], count) {
            return;
        }
        let peers = trunk.ordered_peers(&mut pick(&mut cx.base.random.rng));
        let user = escape_user(&key.user);
        let mut ways: Vec<NotifyRoute> = Vec::new();
        for peer in &peers {
            let uri = request_uri(&user, &peer.uri, &peer.destination.host, peer.destination.port);
            let of_server = peer.servers.iter().flat_map(|server| {
                server.sockets().map(|socket| (server.transport, socket, uri.clone())).collect::<Vec<_>>()
            });
            ways.extend(of_server);
        }
        let is_unfit = |(transport, socket, _): &NotifyRoute| {
            cx.states.health.unfit(now, &TrunkAddress::new(&trunk.name, *transport, *socket)).is_some()
        };
        ways.sort_by_key(is_unfit);
        if let Some(lamp) = self.indications.lamps.get_mut(key) {
            lamp.ways = ways.into();
        }
        self.try_next(cx, now, key, count);
    }

    /// Notifies a lamp at the next address that a listener can reach; when none is left, schedules the next attempt.
    fn try_next(&mut self, cx: &mut NotifierCx<'_>, now: Instant, key: &LampKey, count: MessageCount) {
        let listen = cx.base.table.trunk(&key.trunk).and_then(|trunk| trunk.listen.clone());
        while let Some((transport, remote, uri)) =
            self.indications.lamps.get_mut(key).and_then(|lamp| lamp.ways.pop_front())
        {
            let way = cx.base.addressing.way(listen.as_deref(), transport, remote);
            if let Some((flow, local)) = way {
                return self.send(cx, now, key, (flow, local, uri), Vec::new(), count);
            }
        }
        self.indications.set_due(key, Some(now + Duration::from_secs(MWI_PAUSE_SECONDS)));
    }

    fn send(
        &mut self,
        cx: &mut NotifierCx<'_>,
        now: Instant,
        key: &LampKey,
        (flow, local, uri): (Flow, LocalAddress, String),
        place: Vec<u8>,
        count: MessageCount,
    ) {
        let party = cx.base.party(&key.trunk);
        let Some(lamp) = self.indications.lamps.get(key) else { return };
        let account = if let [one] = lamp.mailboxes.as_slice() { Arc::clone(one) } else { Arc::clone(&key.user) };
        let host = own_host(cx.base.table.trunk(&key.trunk).map(|trunk| &**trunk), local.ip);
        let at_us = |user: &str| format!("sip:{}@{host}", escape_user(user));
        let (from, to) = (at_us(&account), if place.is_empty() { uri.clone() } else { at_us(&key.user) });
        let headers = vec![extra("Event", PACKAGE), extra("Subscription-State", "active")];
        let body = count.body(Some(&from));
        let id = cx.base.endpoint.notify(now, NotifyRequest { flow, local, party, uri, from, to, headers, body });
        cx.base.pump();
        self.indications.pending.insert(id, NotifyOwner::Lamp(key.clone()));
        if let Some(lamp) = self.indications.lamps.get_mut(key) {
            lamp.asking.push(PendingNotify { client: id, place, count });
        }
    }

    fn lamp_answered(&mut self, cx: &mut NotifierCx<'_>, now: Instant, key: &LampKey, id: ClientId, code: Option<u16>) {
        let Some(lamp) = self.indications.lamps.get_mut(key) else { return };
        let Some(at) = lamp.asking.iter().position(|one| one.client == id) else { return };
        let PendingNotify { place, count, .. } = lamp.asking.swap_remove(at);
        let is_taken = code.is_some_and(|code| (200..300).contains(&code));
        // True if a later attempt, or another address, may succeed.
        let is_lost = code.is_none_or(|code| code == 408 || (500..600).contains(&code));
        let was_failing = std::mem::replace(&mut lamp.is_failing, !is_taken);
        if !is_taken {
            let why = code.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
            let text = format!("NOTIFY of waiting messages to user {}: {why}", cx.base.shown(&key.user));
            cx.states.trunks.problem(now, &key.trunk, text.clone());
            if !was_failing {
                cx.base.warn("", format!("trunk {}: {text}", key.trunk), None);
            }
        }
        if !is_lost {
            if let Some(lamp) = self.indications.lamps.get_mut(key) {
                lamp.last_notified.insert(place, count);
            }
            return self.notify_lamp(cx, now, key);
        }
        if place.is_empty() {
            return self.try_next(cx, now, key, count);
        }
        self.indications.set_due(key, Some(now + Duration::from_secs(MWI_PAUSE_SECONDS)));
    }
}
