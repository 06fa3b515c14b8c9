//! What a run came to, in figures: that it simulated what was meant.

use std::ops::AddAssign;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Steps made.
    pub steps: u64,
    /// Hash of the event log.
    pub hash: u64,
    /// Calls that phones placed.
    pub placed: u64,
    /// Calls answered, as the phones that placed them saw it.
    pub answered: u64,
    /// Call records.
    pub records: u64,
    /// RTP packets heard by phones.
    pub heard: u64,
    /// Of them, those that were encrypted.
    pub secure: u64,
    /// Restarts of the edge.
    pub restarts: u64,
    /// RTP packets of calls that an agent talks in.
    pub spoken: u64,
    /// Listeners that came in mid-call.
    pub forks: u64,
    /// Sessions with the recording server that it agreed to, or refused in so many words.
    pub vaulted: u64,
    /// Recordings that were begun by requests.
    pub recordings: u64,
    /// Calls that were given another document.
    pub redirects: u64,
    /// Parties that were given a document and a call of their own.
    pub detached: u64,
    /// Calls that were requested over HTTP.
    pub requested: u64,
    /// Times that a call went on without the agent or target that it had.
    pub failovers: u64,
    /// Requests that were asked for credentials, either way.
    pub challenged: u64,
    /// REGISTERs that were bound, either way.
    pub registered: u64,
    /// Answers to OPTIONS of the edge.
    pub healthy: u64,
    /// INVITEs that went by TCP for their length.
    pub oversize: u64,
    /// Callers that got in line for an agent.
    pub waited: u64,
    /// Calls in which a provisional answer was acknowledged, of each phone in them.
    pub pracked: u64,
    /// Times that a session was begun anew, as phones saw it.
    pub refreshed: u64,
    /// Calls of phones that went deaf, with an interval agreed on.
    pub deserted: u64,
    /// Calls that ended because nobody refreshed their session.
    pub expired: u64,
    /// REFERs that were taken.
    pub transfers: u64,
    /// REFERs whose phone heard that they led to somebody.
    pub transferred: u64,
    /// Calls that a phone sent elsewhere.
    pub redirected: u64,
    /// INVITEs that went to two phones.
    pub forked: u64,
    /// Of them, those that both answered.
    pub answered_twice: u64,
    /// UPDATEs with an offer, before an answer.
    pub changed_early: u64,
    /// Requests of phones in answered calls.
    pub said: u64,
    /// Calls that both sides ended at once.
    pub both_hung_up: u64,
    /// Messages to an address at which nobody is.
    pub to_nobody: u64,
    /// Documents that an application was asked for.
    pub documents: u64,
    /// Reports that it got.
    pub reports: u64,
    /// Events of conferences that were reported.
    pub conferred: u64,
    /// Recognisers that were asked for.
    pub recognitions: u64,
    /// Warm transfers that began by requests.
    pub warm: u64,
}

impl AddAssign for Summary {
    /// The sum of two runs; hashes of different runs say nothing together.
    fn add_assign(&mut self, other: Summary) {
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
