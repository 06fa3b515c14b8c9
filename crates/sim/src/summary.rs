//! Statistics of a run, by which one can see that the simulation covered its scenarios.

use std::ops::AddAssign;

/// Statistics of one run, or the sum of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunSummary {
    /// Simulated steps, each of which handles one event.
    pub steps: u64,
    /// Hash of the event log, equal for identical runs.
    pub hash: u64,
    /// Calls that phones placed.
    pub placed: u64,
    /// Calls that were answered, as seen by the calling phones.
    pub answered: u64,
    /// Call records that the gateway wrote.
    pub records: u64,
    /// RTP packets that phones received.
    pub heard: u64,
    /// SRTP packets that phones received.
    pub secure: u64,
    /// Restarts of the edge, including those after a crash.
    pub restarts: u64,
    /// Crashes of the edge.
    pub crashes: u64,
    /// Calls that were compared with their restored copies.
    pub compared: u64,
    /// Freezes of the process of the edge.
    pub freezes: u64,
    /// Calls that continued after a crash.
    pub continued: u64,
    /// Calls that a crash ended, because they were not answered or not written yet.
    pub cut_short: u64,
    /// RTP packets that the edge sent in calls with an agent or a tone.
    pub spoken: u64,
    /// Listeners added during a call.
    pub forks: u64,
    /// SIPREC sessions that the recording server accepted or explicitly rejected.
    pub vaulted: u64,
    /// Recordings begun by API requests.
    pub recordings: u64,
    /// Calls that API requests redirected to another document.
    pub redirects: u64,
    /// Parties that API requests moved to a call of their own with a document.
    pub detached: u64,
    /// Calls requested by the API.
    pub requested: u64,
    /// Failovers to the next target or agent of a route.
    pub failovers: u64,
    /// Requests that were challenged for credentials, in either direction.
    pub challenged: u64,
    /// REGISTER requests that were accepted, in either direction.
    pub registered: u64,
    /// Successful responses to OPTIONS of the edge.
    pub healthy: u64,
    /// INVITEs sent over TCP because they were too long for UDP.
    pub oversize: u64,
    /// Callers that were queued for an agent.
    pub waited: u64,
    /// Calls of phones with a provisional response that was acknowledged by PRACK.
    pub pracked: u64,
    /// Session refreshes (RFC 4028), as seen by phones.
    pub refreshed: u64,
    /// Calls with a session timer at phones that became deaf to SIP.
    pub deserted: u64,
    /// Calls that ended because their session expired.
    pub expired: u64,
    /// REFER requests that were accepted.
    pub transfers: u64,
    /// REFER requests with a final NOTIFY of success to the phone.
    pub transferred: u64,
    /// Calls that a phone redirected by a 3xx.
    pub redirected: u64,
    /// INVITEs that the proxy forked to two phones.
    pub forked: u64,
    /// Forked INVITEs that both phones answered.
    pub answered_twice: u64,
    /// UPDATEs with an offer before the call was answered.
    pub changed_early: u64,
    /// Requests that phones sent in answered calls outside their scripts.
    pub said: u64,
    /// Calls that both sides ended at the same time.
    pub both_hung_up: u64,
    /// Messages that the edge sent to an address without a host.
    pub to_nobody: u64,
    /// Documents requested from an application.
    pub documents: u64,
    /// Status callbacks that the application received.
    pub reports: u64,
    /// Conference callbacks that the application received.
    pub conferred: u64,
    /// Speech recognisers requested by the edge.
    pub recognitions: u64,
    /// Warm transfers that API requests began.
    pub warm: u64,
}

impl AddAssign for RunSummary {
    /// Adds the counts of another run. The combined hash has no meaning.
    fn add_assign(&mut self, other: RunSummary) {
        self.hash ^= other.hash;
        self.steps += other.steps;
        self.placed += other.placed;
        self.answered += other.answered;
        self.records += other.records;
        self.heard += other.heard;
        self.secure += other.secure;
        self.restarts += other.restarts;
        self.crashes += other.crashes;
        self.compared += other.compared;
        self.freezes += other.freezes;
        self.continued += other.continued;
        self.cut_short += other.cut_short;
        self.spoken += other.spoken;
        self.forks += other.forks;
        self.vaulted += other.vaulted;
        self.recordings += other.recordings;
        self.redirects += other.redirects;
        self.detached += other.detached;
        self.requested += other.requested;
        self.failovers += other.failovers;
        self.challenged += other.challenged;
        self.registered += other.registered;
        self.healthy += other.healthy;
        self.oversize += other.oversize;
        self.waited += other.waited;
        self.pracked += other.pracked;
        self.refreshed += other.refreshed;
        self.deserted += other.deserted;
        self.expired += other.expired;
        self.transfers += other.transfers;
        self.transferred += other.transferred;
        self.redirected += other.redirected;
        self.forked += other.forked;
        self.answered_twice += other.answered_twice;
        self.changed_early += other.changed_early;
        self.said += other.said;
        self.both_hung_up += other.both_hung_up;
        self.to_nobody += other.to_nobody;
        self.documents += other.documents;
        self.recognitions += other.recognitions;
        self.reports += other.reports;
        self.conferred += other.conferred;
        self.warm += other.warm;
    }
}
