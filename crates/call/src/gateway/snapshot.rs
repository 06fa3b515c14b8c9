//! All answered calls, registered phones, subscriptions and bans as plain data. Calls are written and restored one by
//! one, so that a panic concerns one call; those being set up are omitted.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::RecordingId;
use trunkgate_resources::conferences::queues::KeptQueue;
use trunkgate_resources::edge::KeptInvite;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_resources::mailboxes::indications::KeptSubscription;
use trunkgate_resources::recordings::InterruptedRecording;
use trunkgate_resources::registration::registrar::KeptBinding;
use trunkgate_resources::sources::unknown_sources::KeptBans;
use trunkgate_route::TargetSpec;
use trunkgate_sip::EndedInvites;
use trunkgate_story::reason::ReasonSlug;

use crate::call::media::local::ForkRequest;
use crate::call::parts::Call;
use crate::call::parts::snapshot::CallSnapshot;
use crate::call::words::answer::FinalAnswer;
use crate::call::words::crash_gap::CrashGap;
use crate::gateway::Gateway;
use crate::gateway::conferences::ConferenceStates;

/// Answered calls, registered phones, subscriptions and bans in plain data.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    /// INVITEs without a final response. The calls that are being set up are lost, and these INVITEs end.
    #[serde(default)]
    pub invites: Vec<KeptInvite>,
    /// Active conferences.
    #[serde(default)]
    pub conferences: ConferenceStates,
}

impl GatewaySnapshot {
    /// Returns the snapshot of a gateway without its calls.
    pub fn without_calls(gateway: &Gateway, now: Instant) -> GatewaySnapshot {
        let conferences = ConferenceStates::of(gateway, now);
        GatewaySnapshot { conferences, ..GatewaySnapshot::of_shared_state(gateway, now) }
    }

    /// Returns the snapshot of a gateway without its calls and conferences.
    pub fn of_shared_state(gateway: &Gateway, now: Instant) -> GatewaySnapshot {
        GatewaySnapshot {
            calls: Vec::new(),
            ports: gateway.edge.sessions().ports().collect(),
            queues: gateway.edge.sessions().queues.kept(),
            phones: gateway.edge.registrar().kept(now),
            subscriptions: gateway.edge.indications().kept(now, gateway.edge.endpoint()),
            bans: gateway.edge.sources().strangers.kept(now),
            invites: gateway.edge.kept_invites(),
            conferences: ConferenceStates::default(),
        }
    }

    /// Makes the state that calls share that of a crashed process; each call has a gap of its own.
    pub fn outlive_crash(&mut self, gap: CrashGap) {
        self.subscriptions.iter_mut().for_each(|one| one.skip_cseqs(gap.margins()));
    }

    /// Lists the recordings that have not ended: id and SID.
    pub fn recordings(&self) -> impl Iterator<Item = (RecordingId, &str)> {
        self.calls.iter().flat_map(CallSnapshot::recordings).chain(self.conferences.recordings())
    }

    /// Lists the recordings that a crash has interrupted.
    pub fn interrupted_recordings(&self) -> impl Iterator<Item = InterruptedRecording> {
        let of_calls = self.calls.iter().flat_map(CallSnapshot::interrupted_recordings);
        of_calls.chain(self.conferences.interrupted_recordings())
    }
}

/// Restore in progress: each call is first entered with its dialogs and ports, then continued.
#[derive(Debug)]
pub struct CallRestoration {
    /// Calls that are not entered yet.
    remaining: VecDeque<CallSnapshot>,
    /// Ports of calls that are not restored. Once all calls are entered, these ports move to the end of the rotation.
    ports: Vec<u16>,
    /// Entered calls that have not continued yet.
    entered: VecDeque<EnteredCall>,
    /// INVITEs that end once all calls are entered.
    invites: Vec<KeptInvite>,
    /// SIDs of calls that could not be entered; the last one is that of the call being entered.
    lost: Vec<String>,
}

/// Restored call before its agents are connected again.
#[derive(Debug)]
struct EnteredCall {
    key: CallKey,
    targets: Vec<TargetSpec>,
    listeners: Vec<ForkRequest>,
}

impl CallRestoration {
    /// Begins a restore, which [`Self::restore_next`] carries out.
    pub fn begin(gateway: &mut Gateway, now: Instant, snapshot: GatewaySnapshot) -> CallRestoration {
        let GatewaySnapshot { calls, ports, queues, phones, subscriptions, bans, invites, conferences } = snapshot;
        let edge = &mut gateway.edge;
        edge.sessions_mut().queues.restore(now, queues);
        edge.restore_phones(now, phones);
        edge.restore_subscriptions(now, subscriptions);
        edge.sources_mut().strangers.restore(now, bans);
        edge.metrics_mut().sources_banned = edge.sources().strangers.banned() as u64;
        conferences.restore(gateway, now);
        CallRestoration { remaining: calls.into(), ports, entered: VecDeque::new(), invites, lost: Vec::new() }
    }

    /// Carries out the next step; returns whether another one follows. After a panic [`Gateway::recover`] ends the call
    /// of this step, and the next step concerns another call.
    pub fn restore_next(&mut self, gateway: &mut Gateway, now: Instant) -> bool {
        if let Some(call) = self.remaining.pop_front() {
            self.lost.push(call.sid.clone());
            self.entered.push_back(EnteredCall::enter(gateway, now, call));
            self.lost.pop();
            return true;
        }
        // All ports must be taken before the first new one is drawn.
        std::mem::take(&mut self.ports).into_iter().for_each(|port| gateway.edge.sessions_mut().ports.rest(port));
        // A phone that rings must be free before a restored call rings it again.
        end_invites(gateway, now, std::mem::take(&mut self.invites));
        if let Some(EnteredCall { key, targets, listeners }) = self.entered.pop_front() {
            gateway.act_on(now, key, |parts, cx| {
                let listeners = listeners.iter().map(|request| (&request.listener, request.role()));
                parts.resume(cx, listeners, &targets);
            });
            return true;
        }
        gateway.edge.sessions_mut().conferences.end_restoration(now);
        gateway.edge.keep_connections([]);
        gateway.settle(now);
        false
    }

    /// Returns the SID of the call that [`Self::restore_next`] enters next, if there is one.
    pub fn next_sid(&self) -> Option<&str> {
        self.remaining.front().map(|call| call.sid.as_str())
    }

    /// Returns the SIDs of calls that could not be entered, at the end of the restore. They have no record.
    pub fn into_lost(self) -> Vec<String> {
        self.lost
    }
}

/// Ends INVITEs of calls that were being set up: callers get 503, ringing phones a CANCEL. The response has no
/// Retry-After, because new calls are accepted at once.
fn end_invites(gateway: &mut Gateway, now: Instant, invites: Vec<KeptInvite>) {
    if invites.is_empty() {
        return;
    }
    let reason = ReasonSlug::EdgeRestarted;
    let answer = FinalAnswer::new(503, reason).to_sip();
    let EndedInvites { refused, withdrawn } = gateway.edge.end_kept_invites(now, invites, &answer);
    if refused + withdrawn > 0 {
        let text = format!(
            "calls that were being set up when the last process ended are lost: {refused} callers get 503, {withdrawn} \
             INVITEs to targets are cancelled"
        );
        gateway.edge.log("", text, Some(reason));
    }
}

impl EnteredCall {
    fn enter(gateway: &mut Gateway, now: Instant, mut call: CallSnapshot) -> EnteredCall {
        let key = CallKey(gateway.next_call);
        gateway.next_call += 1;
        let (targets, listeners) = (std::mem::take(&mut call.targets), std::mem::take(&mut call.listeners));
        gateway.begin_work(key);
        let call = Call::restore(now, &mut gateway.edge, key, call);
        gateway.at_work = None;
        gateway.calls.insert(key, Box::new(call));
        EnteredCall { key, targets, listeners }
    }
}
