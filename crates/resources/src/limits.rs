//! Hard limits of calls, each with its unit in its name.

use std::ops::RangeInclusive;
use std::time::Duration;

use trunkgate_media::agent::limits::STOP_TIMEOUT;

pub use trunkgate_story::limits::*;

/// Attempts (legs towards targets) of one call; past it the search ends as if no target were left.
pub const ATTEMPTS_PER_CALL: usize = 32;
/// Targets that ring at once.
pub const RING_ALL_TARGETS: usize = 8;
/// Parties that an application has ring at once; Twilio's limit is the same.
pub const PARTIES_AT_ONCE: usize = 10;
/// Edges that a call may have been through before it comes here (RFC 3261 §16.3 step 3 counts all hops, up to 70).
pub const EDGES_PER_CALL: usize = 10;
/// Places that a target's 3xx answers send us to, at most.
pub const REDIRECTS: usize = 5;
/// Early dialogs of one INVITE whose media is kept; the oldest is forgotten first.
pub const EARLY_DIALOGS: usize = 8;
/// Addresses of one host name that are tried.
pub const ADDRESSES_PER_PEER: usize = 8;
/// How long TCP may be silent that a long request went by instead of UDP (the contract's 1 s).
pub const OVERSIZE_SILENCE: Duration = Duration::from_secs(1);
/// Each trunk's INVITEs that are too long for UDP are logged so often at most; a call's trace tells each.
pub(crate) const OVERSIZE_TOLD_EVERY: Duration = Duration::from_secs(60);
/// Addresses of trunks whose health is kept.
pub(crate) const HEALTH_SPOTS: usize = 4096;
/// OPTIONS or calls without an answer, in a row, after which an address is down (the contract's 3).
pub const HEALTH_FAILURES: u32 = 3;
/// How long an answer to OPTIONS may take at most, in seconds; less where `no_response_timeout` is.
pub(crate) const HEALTH_WAIT_SECONDS: u64 = 4;
/// When an agent without `probe` that accepts no connection, after one of a call was lost, is connected to again.
pub const AGENT_CONNECTS_AGAIN: Duration = Duration::from_secs(5);
/// A new address is first asked within this time, in seconds, or within its `options_interval`.
pub(crate) const HEALTH_FIRST_SECONDS: u64 = 5;
/// How soon an address that has missed an OPTIONS is asked again, until it counts as down.
pub(crate) const HEALTH_DOUBT: Duration = Duration::from_secs(15);
/// How long calls skip a trunk after its first refusal for too many calls.
pub(crate) const CONGESTED_FIRST: Duration = Duration::from_secs(1);
/// The same after many.
pub(crate) const CONGESTED_MOST: Duration = Duration::from_secs(30);
/// After so long without one, the next refusal is the first.
pub(crate) const CONGESTED_FORGOTTEN: Duration = Duration::from_secs(60);
/// An address that fails, and whose host has just sent a call, is asked at once, but not again within this time.
pub(crate) const HEALTH_HASTE: Duration = Duration::from_secs(2);
/// An address that is down is asked again after this time at the latest, in seconds, or after its `options_interval`.
pub(crate) const HEALTH_BACKOFF_SECONDS: u64 = 120;
/// An address that says 503 with Retry-After is left alone no longer than this, in seconds.
pub(crate) const RETRY_AFTER_MOST_SECONDS: u64 = 300;
/// A caller that is told ports before its agent is there waits so long for the worker's word that they are ours.
pub const PORTS_NEWS: Duration = Duration::from_millis(100);
/// Legs of a call that are left to the targets which come later, at most, each of a trunk's peers counted.
pub const LEGS_KEPT: usize = 16;
/// Port pairs drawn for one end before its attempt fails.
pub const BIND_TRIES: u8 = 3;
/// Times that a re-INVITE of ours is sent while the far end's own keep meeting it.
pub const GLARE_TRIES: u8 = 4;
/// Unit of the wait before it is sent again, in milliseconds (RFC 3261 §14.1).
pub const GLARE_UNIT_MS: u64 = 10;
/// That wait, in units, where the Call-ID is ours …
pub const GLARE_OWNER_UNITS: RangeInclusive<u64> = 210..=400;
/// … and where it is the far end's.
pub const GLARE_OTHER_UNITS: RangeInclusive<u64> = 0..=200;
/// An UPDATE that went on as re-INVITE is answered by then at the latest: its sender waits for 64·T1 (RFC 3261 §17.1.2.2).
pub const UPDATE_WAIT: Duration = Duration::from_secs(16);
/// INFO requests of one call that wait for their answer.
pub const INFOS_PER_CALL: usize = 8;
/// Keys of one call that wait to be told by INFO, each for the answer to the one before; further ones are left out.
pub const KEYS_TO_TELL: usize = 128;
/// Between the end of one key and the beginning of the next, as they are pressed in media.
pub const KEY_PAUSE: Duration = Duration::from_millis(100);
/// Keys that INFOs ask for are refused while those before them take longer than this: well below what a worker keeps
/// waiting ([`KEYS_WAITING`](trunkgate_media::limits::KEYS_WAITING)).
pub const KEYS_AHEAD: Duration = Duration::from_secs(10);
/// How long a far end may hear of what its REFER came to, in seconds.
pub const REFER_SECONDS: u64 = 300;
/// News of a REFER that went on which wait for their answer.
pub const REFER_NEWS: usize = 8;
/// REFERs of a call that went on whose end has not been told; of more, the oldest one's news are refused.
pub const REFER_SUBSCRIPTIONS: usize = 4;
/// Whoever has transferred its call, and has been told so, hangs up within this time, in seconds, or is hung up on.
pub const REFERRER_SECONDS: u64 = 5;
/// The shortest session that a far end may ask for, in seconds; our Min-SE (RFC 4028 §5).
pub const SESSION_LEAST_SECONDS: u32 = 90;
/// A session that an answer makes shorter than this all the same is as long as this, in seconds: nobody has us refresh
/// without a pause.
pub const SESSION_TAKEN_SECONDS: u32 = 30;
/// The session that a bare URI is asked for, in seconds.
pub const URI_SESSION_SECONDS: u32 = 1_800;
/// The shortest wait before a refresh that could not be sent, or was refused, is tried again, in seconds.
pub const REFRESH_RETRY_SECONDS: u64 = 2;
/// Bytes of all calls' messages that are kept. Past it those of the calls go that have ended first, then of the oldest.
pub const MESSAGE_TEXTS_BYTES: usize = 32 << 20;
/// Time from the answer of a call until its messages are packed.
pub(crate) const TRACE_SETTLES: Duration = Duration::from_secs(1);
/// Calls whose messages are packed in one turn, at most: more than are answered in one.
pub(crate) const TRACES_SETTLED: usize = 4;
/// Characters of a header's name where it is told.
pub const HEADER_NAME_CHARS: usize = 40;
/// Characters of a far end's Call-ID in views and records: RFC 3261 sets no limit, a message does.
pub const CALL_ID_CHARS: usize = 256;
/// Parties that `status` names as silent in live calls.
pub const SILENT_TOLD: usize = 8;
/// Ended calls that are still shown.
pub(crate) const RECENT_CALLS: usize = 10_000;
/// Conferences that are over and still known.
pub const ENDED_CONFERENCES: usize = 1_000;
/// Queues of calls.
pub const QUEUES: usize = 1_000;
/// Longest name of a queue.
pub(crate) const QUEUE_NAME_CHARS: usize = 64;
/// Most callers of a queue, where neither its document nor a request says so.
pub const QUEUE_SIZE: u32 = 1_000;
/// Most callers that a queue may have room for.
pub(crate) const QUEUE_SIZE_MOST: u32 = 5_000;
/// After a restart: time for which the two calls of a connection wait for each other, before each is one like others.
pub(crate) const QUEUE_REJOIN: Duration = Duration::from_secs(10);
/// Calls that a limit refused, or that came while the edge was draining, that are still shown: besides the others.
pub(crate) const RECENT_TURNED_DOWN: usize = 1_000;
/// Of these, those whose trace is.
pub(crate) const TURNED_DOWN_TRACES: usize = 100;
/// So many of them a second have a record, a trace and a line in `calls`; more are only counted.
pub(crate) const TURNED_DOWN_PER_SECOND: u32 = 10;
/// Ended calls whose trace is still shown.
pub(crate) const RECENT_TRACES: usize = 1_000;
/// Of these, those in which nothing failed, where there are so many of both kinds.
pub(crate) const USUAL_TRACES: usize = 500;
/// Ended calls whose quality over time is still shown.
pub const RECENT_SERIES: usize = 1_000;
/// Targets of a call without a leg that its verdict names.
pub const PASSED_OVER: usize = 8;
/// Retry-After of a 503 while draining, in seconds.
pub const RETRY_AFTER_SECONDS: u32 = 10;
/// Retry-After of a 503 while overloaded, in seconds, drawn anew for each: else all would come back at once.
pub const OVERLOAD_RETRY_AFTER_SECONDS: RangeInclusive<u32> = 1..=4;
/// Messages that wait and keep calls going: requests in dialogs, ACK, CANCEL, answers, news of connections.
pub const WAITING_ONGOING_MESSAGES: usize = 8_192;
/// INVITEs that wait and begin calls.
pub const WAITING_INVITES: usize = 4_096;
/// Other requests outside of dialogs that wait; a further one pushes the oldest out.
pub const WAITING_OTHERS: usize = 1_024;
/// What all of them may hold, in bytes; those that keep no call going the half.
pub const WAITING_BYTES: usize = 16 << 20;
/// What a message that waits holds besides its octets, in bytes, about.
pub const WAITING_MESSAGE_OVERHEAD_BYTES: usize = 512;
/// A trunk without live calls counts as active for so long after its last INVITE, in seconds: among the active ones
/// `[limits]` is shared.
pub const FAIR_ACTIVE_SECONDS: u64 = 10;
/// Beyond `[limits] calls`, one place in so many is for trunks below their share.
pub const FAIR_RESERVE_ONE_IN: u32 = 8;
/// An INVITE that waits for longer is late; while the edge is overloaded, it is turned away (the contract's 50 ms are
/// twice as long).
pub const INVITE_WAIT: Duration = Duration::from_millis(25);
/// Where no more INVITEs than this wait, all of them are served, however late: that costs less than to refuse them.
pub const INVITES_ALWAYS_SERVED: usize = 8;
/// INVITEs that are late for as long as this, without a pause, are an overload: less is a hiccup.
pub const OVERLOAD_AFTER: Duration = Duration::from_millis(100);
/// More INVITEs than this behind one that is late are an overload at once: no hiccup leaves so many.
pub const OVERLOAD_INVITES: usize = 64;
/// An overload is over when no INVITE has been late for so long.
pub const OVERLOAD_OVER: Duration = Duration::from_secs(1);
/// Messages of calls that go on, one after the other, before an INVITE is turned away that is due for that.
pub const ONGOING_BEFORE_REFUSAL: u32 = 4;
/// INVITEs turned away that are remembered, so that a repetition gets no other answer.
pub const TURNED_AWAY: usize = 32_768;
/// How long they are: a caller's repetitions end after 64·T1 (RFC 3261 §17.1.1.2).
pub const TURNED_AWAY_REMEMBERED: Duration = Duration::from_secs(32);
/// An attempt rings no longer than this, whatever is configured, in seconds (RFC 3261 §16.6 timer C is of this kind).
pub const RING_SECONDS: u64 = 600;
/// Ring time-out towards a bare URI, in seconds.
pub const URI_RING_SECONDS: u64 = 60;
/// Wait for a provisional answer from a bare URI, in seconds.
pub const URI_NO_RESPONSE_SECONDS: u64 = 4;
/// How much longer an INVITE waits whose TLS connection is not up: the connection's own limits end by then, and name the cause.
pub const TLS_GRACE: Duration = Duration::from_millis(400);
/// A withdrawn INVITE is forgotten after this time, whatever the far end does, in seconds: more than 64·T1.
pub const CANCEL_SECONDS: u64 = 40;
/// Refusals by a limit are logged at most once in this time, in seconds.
pub(crate) const REFUSAL_LOG_SECONDS: u64 = 1;
/// Agents that listen to one call at once.
pub const LISTENERS_PER_CALL: usize = 4;
/// Agents that have listened to one call, one after the other: each stands in its record.
pub const FORKS_PER_CALL: usize = 32;
/// Recordings of one call at once.
pub const RECORDINGS_AT_ONCE: usize = 4;
/// Recordings of one call, one after the other: each stands in its record.
pub const RECORDINGS_PER_CALL: usize = 64;
/// Groups of recording servers (`siprec`) that record one call at once.
pub const SIPREC_PER_CALL: usize = 2;
/// Recording sessions of one call, those that are over too.
pub const SIPREC_SESSIONS_PER_CALL: usize = 16;
/// Parties that have left a call which metadata for recording servers still names.
pub const SIPREC_LEFT_PARTIES: usize = 4;
/// Longest INVITE that goes to a recording server by UDP while TCP is possible (RFC 3261 §18.1.1), in bytes.
pub const SIPREC_UDP_BYTES: usize = 1_300;
/// INVITEs to recording servers for one call and group; after that the call is not recorded by them.
pub const SIPREC_ATTEMPTS: usize = 16;
/// A recording server answers within this time, or the next one is asked, in seconds. Ours: it need not ring.
pub const SIPREC_ANSWER_SECONDS: u64 = 10;
/// NOTIFYs of waiting messages that leave at once in subscriptions …
pub(crate) const MWI_BURST: usize = 50;
/// … and the time until the next so many.
pub(crate) const MWI_BURST_MILLISECONDS: u64 = 100;
/// Recordings in a row that no server of a group took after which calls that have to be recorded are refused.
pub const SIPREC_FAILED_IN_ROW: u32 = 3;
/// One of these calls is let through in so many seconds, to see whether a server takes recordings again.
pub const SIPREC_TRIAL_SECONDS: u64 = 30;
/// Keys that one request may press towards a caller, as many as an agent's message.
pub const KEYS_PER_REQUEST: usize = 64;
/// A worker tells that an agent's socket is not open within this time after its `connect_timeout`, in seconds; past it
/// the call goes on without the worker's word.
pub const AGENT_NEWS_SECONDS: u64 = 2;
/// Calls that an agent has failed, none of which a good stream has taken back, by which it is skipped (the contract's 5) …
pub(crate) const BREAKER_FAILURES: usize = 5;
/// … and so many where no stream has gone well since it was last skipped. One may be that caller's own trouble.
pub(crate) const BREAKER_PROBATION_FAILURES: usize = 2;
/// … when they are within this time, in seconds (the contract's 30).
pub(crate) const BREAKER_WINDOW_SECONDS: u64 = 30;
/// An agent that is skipped is tried again after this time, in seconds; doubled each time that it fails …
pub(crate) const BREAKER_FIRST_PAUSE_SECONDS: u64 = 1;
/// … up to this.
pub(crate) const BREAKER_LONGEST_PAUSE_SECONDS: u64 = 10;
/// An agent that has had a caller for so long without a word of audio is reported. It may listen first: until then it is not.
pub const AGENT_UNHEARD_AFTER: Duration = Duration::from_secs(10);
/// A call that ends earlier counts as one without a word of its agent once the agent had the caller for so long …
pub const AGENT_SHORT_AFTER: Duration = Duration::from_secs(2);
/// … and so many of them in a row, with none in between in which it was heard, are reported: callers hang up on silence.
pub(crate) const AGENT_SHORT_IN_ROW: u64 = 3;
/// A side that is not heard in a call that ends earlier counts for its trunk only with the same in two calls more, in a row.
pub const SHORT_CALL: Duration = Duration::from_secs(2);
/// Sides in a row that are not heard in such calls until they count.
pub const SHORT_IN_ROW: u64 = 3;
/// Calls in a row that are heard, after which a trunk that was not heard, or had a fault, has it no longer.
pub(crate) const HEARD_AGAIN: u64 = 3;
/// Mean opinion score below which a call counts as poor for its trunk: R = 60, below it "nearly all users dissatisfied"
/// (ITU-T G.109).
pub(crate) const POOR_TRUNK_MOS: f64 = 3.1;
/// Probes in a row that an agent does not answer until calls with another target skip it.
pub(crate) const PROBE_FAILURES: u32 = 2;
/// A stream that was open for so long, in seconds, has gone well, and its agent's `retry` counts from the start again.
pub const PROVEN_SECONDS: u64 = 10;
/// `max_sessions` of an agent, at most.
pub const AGENT_SESSIONS_MOST: u32 = 100_000;
/// How long a session counts once we have told its stream to end: the agent may close meanwhile, then we do, and its answer
/// takes a moment.
pub const SESSION_ENDS: Duration = STOP_TIMEOUT.saturating_add(Duration::from_millis(250));
/// `size` of an agent's `queue`, at most.
pub const QUEUE_CALLERS_MOST: u32 = 1_000;
/// `wait` of an agent's `queue`, at most, in seconds.
pub const QUEUE_WAIT_MOST_SECONDS: u64 = 3_600;
/// `retry` of an agent, at most.
pub const RETRY_MOST: u32 = 10;
/// New streams to agents that failed in one call, whatever `retry` says: legs must be left for other targets.
pub const RETRIES_PER_CALL: u32 = 16;
/// Wait before the second of them to one agent, in milliseconds; doubled for each further one …
pub const RETRY_FIRST_WAIT_MS: u64 = 250;
/// … up to this. The first is at once.
pub const RETRY_LONGEST_WAIT_MS: u64 = 2_000;
/// A worker tells that a goodbye has been heard within this time after its length, in seconds.
pub const GOODBYE_NEWS_SECONDS: u64 = 2;
/// Addresses of one trunk whose calls a second are counted; calls to further ones go uncounted.
pub(crate) const PACED_ADDRESSES: usize = 256;
/// How long a requested call waits for a place at its trunk at least, in seconds: it keeps no caller waiting.
pub const REQUESTED_PACE_SECONDS: u64 = 3600;
/// What an INFO may hold that goes on to the other side, in bytes: its body with its type and disposition.
pub const INFO_BYTES: usize = 8_192;
/// Header fields of one message that may go on to the other side; as many again that routes or agents ask for.
pub const PASSED_HEADERS: usize = 32;
/// What these may hold, names and values, in bytes.
pub const PASSED_HEADER_BYTES: usize = 8192;
/// A longer value does not go on, in bytes.
pub const PASSED_VALUE_BYTES: usize = 4096;
/// Documents in one INVITE that say where its caller is, at most.
pub const LOCATIONS: usize = 4;
/// What these may hold, in bytes.
pub const LOCATION_BYTES: usize = 16_384;
/// The name, type or disposition of one, in bytes.
pub const LOCATION_NAME_BYTES: usize = 256;
/// Parties that an INVITE may assert (RFC 3325 §9.1: one by SIP and one by tel), and statements in Identity.
pub const ASSERTED_IDENTITIES: usize = 2;
/// Headers of a caller's INVITE that an agent is told without asking.
pub const PARAMETER_HEADERS: usize = 16;
/// Characters of a header's value in an agent's parameters.
pub const PARAMETER_HEADER_CHARS: usize = 256;
/// Characters of why a connection failed, in traces and states: with the names of a certificate.
pub const CAUSE_CHARS: usize = 400;
/// Characters of an agent's text that a trace shows.
pub const AGENT_TEXT_CHARS: usize = 320;
/// Requests of one agent that stand in the trace; further ones would push all else out of it.
pub const AGENT_REQUESTS_NOTED: u32 = 32;
/// Bytes of a target that an agent names.
pub const AGENT_TARGET_BYTES: usize = 256;
/// Longest time that a party of a warm transfer hears its whisper, in seconds: a text of two minutes.
pub const WHISPER_SECONDS: u64 = 120;
/// Time from the beginning of the digit by which a party accepts a caller to their connection: the digit itself is for the edge alone.
pub const ACCEPTED_WAIT: Duration = Duration::from_millis(300);
/// Addresses of a registrar that are asked, one after the other.
pub(crate) const REGISTER_WAYS: usize = 16;
/// Wait for a registrar's answer where the trunk's `no_response_timeout` is off, in seconds.
pub(crate) const REGISTER_WAIT_SECONDS: u64 = 32;
/// Longest pause after the first time that no address of a registrar took us, in seconds; doubled with each further one.
pub(crate) const REGISTER_FIRST_PAUSE_SECONDS: u64 = 30;
/// Longest pause between attempts to register, in seconds (RFC 5626 §4.5).
pub(crate) const REGISTER_LONGEST_PAUSE_SECONDS: u64 = 1_800;
/// A registration lasts no longer than this, whatever is granted or asked for, in seconds.
pub(crate) const REGISTER_LONGEST_SECONDS: u32 = 86_400;
/// Addresses of no trunk whose rate is known, and as many whose failures are; past it the older rates are forgotten.
pub(crate) const STRANGERS: usize = 8_192;
/// How many bytes more than it has sent in datagrams one such address is answered with, and how many it can have to its
/// credit: enough for a few challenges that get lost, nothing for who wants them sent to somebody else.
pub const STRANGER_CREDIT_BYTES: i64 = 2_048;
/// Failures of one such address that are kept; `ban.after` counts no further.
pub(crate) const BAN_FAILURES_NOTED: usize = 1_000;
/// Accounts at which a source fails, each as often as closes it, before the source is banned.
pub(crate) const SLOW_ACCOUNTS: u32 = 4;
/// Accounts that are closed to sources that guess.
pub(crate) const CLOSED_ACCOUNTS: usize = 8_192;
/// Phones registered with one trunk.
pub const BINDINGS_PER_TRUNK: usize = 64;
/// Contacts that one REGISTER may name.
pub(crate) const CONTACTS_PER_REGISTER: usize = 8;
/// Bytes of a registered Contact.
pub(crate) const BINDING_CONTACT_BYTES: usize = 512;
/// A registration here lasts this long where the phone does not say, and no longer, in seconds.
pub(crate) const BINDING_SECONDS: u32 = 3_600;
/// It lasts no shorter, in seconds: 423 says so.
pub(crate) const BINDING_LEAST_SECONDS: u32 = 60;
/// Subscriptions to mailboxes at once.
pub(crate) const MWI_SUBSCRIPTIONS: usize = 10_000;
/// The same, of one trunk.
pub(crate) const MWI_SUBSCRIPTIONS_PER_TRUNK: usize = 1_000;
/// A subscription lasts this long where the subscriber does not say (RFC 3842 §3.4), and no longer, in seconds.
pub(crate) const MWI_SECONDS: u32 = 3_600;
/// The least time that a subscription is asked for, in seconds: 423 says so.
pub(crate) const MWI_LEAST_SECONDS: u32 = 60;
/// Bytes of the `id` of an Event header.
pub(crate) const MWI_EVENT_ID_BYTES: usize = 64;
/// Characters of a user that no mailbox is for that are shown.
pub(crate) const MWI_USER_CHARS: usize = 64;
/// The Retry-After of a SUBSCRIBE that finds no room, in seconds.
pub(crate) const MWI_RETRY_AFTER_SECONDS: u32 = 300;
/// Between two unsolicited NOTIFYs of the same counts, in seconds: a PBX that was restarted has forgotten them.
pub(crate) const MWI_REPEAT_SECONDS: u64 = 3_600;
/// The pause after an unsolicited NOTIFY without an answer, in seconds.
pub(crate) const MWI_PAUSE_SECONDS: u64 = 60;
/// The length of packets that the edge makes of converted audio, in milliseconds, whatever a far side asks for.
pub const PACKET_MS: RangeInclusive<u32> = 10..=60;
/// Requests in a row with wrong credentials that are no slip.
pub(crate) const LOGIN_FAILURES: u64 = 3;
/// Sources with wrong credentials that are kept.
pub(crate) const LOGINS_KEPT: usize = 256;
/// Addresses of no trunk that are listed with the number of their messages.
pub const UNKNOWN_SOURCES: usize = 20;
/// Between two lines of the log about SIP from addresses of no trunk, in seconds.
pub(crate) const UNKNOWN_TOLD_SECONDS: u64 = 60;
/// Users of REGISTERs that are compared a second with those that there are, where no trunk has them.
pub(crate) const STRAYS_COMPARED_PER_SECOND: u32 = 2;
/// Longest user of such a one that is shown, in characters.
pub const STRAY_USER_CHARS: usize = 64;
/// Emergency calls a second that are served before other new calls, and while those are turned away.
pub const URGENT_CALLS_PER_SECOND: u32 = 10;
/// An alarm that repeats itself is logged once in this time, in seconds.
pub(crate) const ALARM_SECONDS: u64 = 60;
/// Of trunks that go by their answer ratio, one that stands behind others for what it has done comes first in one of so many calls.
pub(crate) const PROBED_ONE_IN: u32 = 20;
/// Between the same two numbers so many failures count within this time, in seconds: one who redials a number that does not work says
/// nothing new of the trunk.
pub const LET_DOWN_TIMES: usize = 2;
/// See [`LET_DOWN_TIMES`].
pub(crate) const LET_DOWN_SECONDS: u64 = 60;
/// Failures of a trunk that are remembered for that; as many count within the time.
pub(crate) const LET_DOWN_KEPT: usize = 64;
/// Texts of a response that rejects a call that are kept, and characters of each.
pub(crate) const REJECTION_TEXTS: usize = 3;
/// The same, of each.
pub(crate) const REJECTION_TEXT_CHARS: usize = 160;
/// Different rejections of a trunk that are told apart.
pub(crate) const REJECTIONS_KEPT: usize = 16;
/// The same trunk no sooner again, in seconds: what a busy edge would risk in the meantime it learns from one call as well.
pub(crate) const PROBE_SECONDS: u64 = 10;
/// A trunk that has not made a call ring for so long when it is given up has not delivered it, in seconds: the delay within which
/// ITU-T E.721 has 95 of a hundred international calls ring.
pub const SILENT_SECONDS: u64 = 11;
/// How long early media is sent to an address that is not proven: longer than most announcements, and nothing that floods.
pub const UNPROVEN_EARLY_MEDIA: Duration = Duration::from_secs(15);
/// How long the place of a call that heard such early media and ended without proof stays used, from when it was given: a trunk's
/// places are worth [`UNPROVEN_EARLY_MEDIA`] each in this time.
pub const UNPROVEN_EARLY_REST: Duration = Duration::from_secs(60);
/// Proven media addresses of one leg that are remembered while a further INVITE of its far side waits for its ACK.
pub const PROVEN_ADDRESSES: usize = 16;
/// Emergency calls at once of calls that requests have begun, unless the configuration says otherwise.
pub(crate) const EMERGENCY_CALLS: usize = 3;
/// Attempts at emergency calls of such calls in a minute, for each that may be under way.
pub(crate) const EMERGENCY_ATTEMPTS_EACH: usize = 4;
