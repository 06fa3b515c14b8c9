//! Statistics of a run, which show that the simulation covered its scenarios.

use std::ops::AddAssign;

/// Statistics of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunSummary {
    /// Steps simulated.
    pub steps: u64,
    /// Hash of the event log.
    pub hash: u64,
    /// Calls placed by phones.
    pub placed: u64,
    /// Answered calls, as seen by the calling phones.
    pub answered: u64,
    /// Call records.
    pub records: u64,
    /// RTP packets received by phones.
    pub heard: u64,
    /// SRTP packets received by phones.
    pub secure: u64,
    /// Restarts of the edge.
    pub restarts: u64,
    /// RTP packets of the edge in calls with an agent.
    pub spoken: u64,
    /// Listeners added in mid-call.
    pub forks: u64,
    /// Recording sessions that the server accepted or explicitly rejected.
    pub vaulted: u64,
    /// Recordings begun by the API.
    pub recordings: u64,
    /// Calls redirected to another document.
    pub redirects: u64,
    /// Parties moved to their own call with a document.
    pub detached: u64,
    /// Calls requested by the API.
    pub requested: u64,
    /// Failovers to the next agent or target.
    pub failovers: u64,
    /// Requests challenged for credentials, in either direction.
    pub challenged: u64,
    /// Accepted REGISTERs, in either direction.
    pub registered: u64,
    /// Responses to OPTIONS of the edge.
    pub healthy: u64,
    /// INVITEs sent over TCP because of their length.
    pub oversize: u64,
    /// Callers queued for an agent.
    pub waited: u64,
    /// Calls of phones with an acknowledged provisional response (PRACK).
    pub pracked: u64,
    /// Session refreshes, as seen by phones.
    pub refreshed: u64,
    /// Calls of deaf phones with a session timer.
    pub deserted: u64,
    /// Calls that ended because their session expired.
    pub expired: u64,
    /// Accepted REFERs.
    pub transfers: u64,
    /// REFERs reported to the phone as successful.
    pub transferred: u64,
    /// Calls redirected by a phone.
    pub redirected: u64,
    /// INVITEs forked to two phones.
    pub forked: u64,
    /// Forked INVITEs answered by both phones.
    pub answered_twice: u64,
    /// UPDATEs with an offer before the answer.
    pub changed_early: u64,
    /// Requests of phones in answered calls.
    pub said: u64,
    /// Calls that both sides ended at once.
    pub both_hung_up: u64,
    /// Messages to an address without a host.
    pub to_nobody: u64,
    /// Documents requested from an application.
    pub documents: u64,
    /// Callbacks received by the application.
    pub reports: u64,
    /// Callbacks about conferences.
    pub conferred: u64,
    /// Recogniser sessions requested.
    pub recognitions: u64,
    /// Warm transfers begun by the API.
    pub warm: u64,
}

impl AddAssign for RunSummary {
    /// Adds the statistics of another run; the combined hash has no meaning.
    fn add_assign(&mut self, other: RunSummary) {
        self.hash ^= other.hash;
        self.steps += other.steps;
        self.placed += other.placed;
        self.answered += other.answered;
        self.records += other.records;
        self.heard += other.heard;
        self.secure += other.secure;
        self.restarts += other.restarts;
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
