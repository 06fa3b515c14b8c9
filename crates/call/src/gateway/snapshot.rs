//! All answered calls, registered phones, subscriptions and bans as plain data. Calls are written and restored one by
//! one, so that a panic concerns one call; those being set up, and announcements in conferences, are omitted.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::RecordingId;
use trunkgate_resources::conferences::queues::KeptQueue;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_resources::mailboxes::indications::KeptSubscription;
use trunkgate_resources::registration::registrar::KeptBinding;
use trunkgate_resources::sources::strangers::KeptBans;
use trunkgate_route::TargetSpec;

use crate::call::media::local::ForkRequest;
use crate::call::parts::Call;
use crate::call::parts::snapshot::CallSnapshot;
use crate::gateway::Gateway;

/// Answered calls, registered phones, subscriptions and bans in plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatewaySnapshot {
    /// Answered calls, one entry each.
    pub calls: Vec<CallSnapshot>,
    /// Media ports in use, including those of calls that are omitted: their remote parties may continue to send to them
    /// for a while.
    pub ports: Vec<u16>,
    /// Queues in which calls may wait.
    pub queues: Vec<KeptQueue>,
    /// Registered phones.
    pub phones: Vec<KeptBinding>,
    /// Subscriptions to mailboxes.
    pub subscriptions: Vec<KeptSubscription>,
    /// Banned sources.
    pub bans: KeptBans,
}

impl GatewaySnapshot {
    /// Lists the recordings that have not ended: id and SID. Those of conferences are omitted.
    pub fn recordings(&self) -> impl Iterator<Item = (RecordingId, &str)> {
        self.calls.iter().flat_map(CallSnapshot::recordings)
    }
}

/// Restore in progress: each call is first entered with its dialogs and ports, then continued.
#[derive(Debug)]
pub struct CallRestoration {
    /// Calls that are not entered yet.
    remaining: VecDeque<CallSnapshot>,
    /// Ports that rest once all calls are entered.
    ports: Vec<u16>,
    /// Entered calls that have not continued yet.
    entered: VecDeque<EnteredCall>,
}

/// Restored call before its agents are connected again.
#[derive(Debug)]
struct EnteredCall {
    key: CallKey,
    targets: Vec<TargetSpec>,
    listeners: Vec<ForkRequest>,
}

impl Gateway {
    /// Returns the answered calls as plain data; calls being set up are omitted. The socket of an agent cannot be
    /// handed over; its name is.
    pub fn snapshot(&self, now: Instant) -> GatewaySnapshot {
        let calls = self.calls.values().filter_map(|call| call.snapshot(now, &self.edge)).collect();
        GatewaySnapshot { calls, ..self.snapshot_without_calls(now) }
    }

    /// Returns the keys of all calls, for [`Self::snapshot_call`].
    pub fn call_keys(&self) -> Vec<CallKey> {
        self.calls.keys().copied().collect()
    }

    /// Returns one call as plain data; `None` if a snapshot omits it. After a panic [`Self::recover`] ends the call.
    pub fn snapshot_call(&mut self, now: Instant, key: CallKey) -> Option<CallSnapshot> {
        self.at_work = Some(key);
        let call = self.calls.get(&key).and_then(|call| call.snapshot(now, &self.edge));
        self.at_work = None;
        call
    }

    /// Returns the snapshot without its calls.
    pub fn snapshot_without_calls(&self, now: Instant) -> GatewaySnapshot {
        GatewaySnapshot {
            calls: Vec::new(),
            ports: self.edge.sessions().ports().collect(),
            queues: self.edge.sessions().queues.kept(),
            phones: self.edge.registrar().kept(now),
            subscriptions: self.edge.indications().kept(now, self.edge.endpoint()),
            bans: self.edge.sources().strangers.kept(now),
        }
    }

    /// Restores calls. The commands of their media sessions are output again as
    /// [`GatewayOutput::Media`](crate::GatewayOutput::Media), unless the caller of this method has restored the
    /// sessions. Talking and listening agents get new streams. If the talking agent fails, the next target is tried;
    /// meanwhile the caller hears a ringback tone.
    pub fn restore(&mut self, now: Instant, snapshot: GatewaySnapshot) {
        let mut restoration = self.begin_restore(now, snapshot);
        while self.restore_next(now, &mut restoration) {}
    }

    /// Begins a restore, which [`Self::restore_next`] carries out.
    pub fn begin_restore(&mut self, now: Instant, snapshot: GatewaySnapshot) -> CallRestoration {
        let GatewaySnapshot { calls, ports, queues, phones, subscriptions, bans } = snapshot;
        self.edge.sessions_mut().queues.restore(now, queues);
        self.edge.restore_phones(now, phones);
        self.edge.restore_subscriptions(now, subscriptions);
        self.edge.sources_mut().strangers.restore(now, bans);
        self.edge.metrics_mut().sources_banned = self.edge.sources().strangers.banned() as u64;
        CallRestoration { remaining: calls.into(), ports, entered: VecDeque::new() }
    }

    /// Carries out the next step of a restore; returns whether another one follows. After a panic [`Self::recover`]
    /// ends the call of this step, and the next step concerns another call.
    pub fn restore_next(&mut self, now: Instant, restoration: &mut CallRestoration) -> bool {
        if let Some(call) = restoration.remaining.pop_front() {
            restoration.entered.push_back(self.enter_restored(now, call));
            return true;
        }
        // All ports must be taken before the first new one is drawn.
        std::mem::take(&mut restoration.ports).into_iter().for_each(|port| self.edge.sessions_mut().ports.rest(port));
        if let Some(EnteredCall { key, targets, listeners }) = restoration.entered.pop_front() {
            self.act_on(now, key, |parts, cx| {
                let listeners = listeners.iter().map(|request| (&request.listener, request.role()));
                parts.resume(cx, listeners, &targets);
            });
            return true;
        }
        self.edge.keep_connections([]);
        self.settle(now);
        false
    }

    fn enter_restored(&mut self, now: Instant, mut call: CallSnapshot) -> EnteredCall {
        let key = CallKey(self.next_call);
        self.next_call += 1;
        let (targets, listeners) = (std::mem::take(&mut call.targets), std::mem::take(&mut call.listeners));
        self.at_work = Some(key);
        let call = Call::restore(now, &mut self.edge, key, call);
        self.at_work = None;
        self.calls.insert(key, Box::new(call));
        EnteredCall { key, targets, listeners }
    }
}
