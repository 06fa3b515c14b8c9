//! Hard limits of calls; units are in the names.

use std::ops::RangeInclusive;
use std::time::Duration;

use trunkgate_media::agent::limits::STOP_TIMEOUT;

pub use trunkgate_story::limits::*;

/// Maximum attempts (outbound legs) of one call; then the search ends as if no target were left.
pub const ATTEMPTS_PER_CALL: usize = 32;
/// Maximum targets that ring at once.
pub const RING_ALL_TARGETS: usize = 8;
/// Maximum parties that an application may ring at once, as on Twilio.
pub const PARTIES_AT_ONCE: usize = 10;
/// Maximum edges that a call may have passed before this one (RFC 3261 §16.3 step 3 counts all hops, up to 70).
pub const EDGES_PER_CALL: usize = 10;
/// Maximum redirections (3xx) followed for one target.
pub const REDIRECTS: usize = 5;
/// Maximum early dialogs of one INVITE with media state; the oldest is forgotten first.
pub const EARLY_DIALOGS: usize = 8;
/// Maximum addresses of one host name that are tried.
pub const ADDRESSES_PER_PEER: usize = 8;
/// Time without a response after which a long request sent over TCP is sent over UDP.
pub const OVERSIZE_SILENCE: Duration = Duration::from_secs(1);
/// Minimum interval between log lines about INVITEs of one trunk that are too long for UDP; each is also in its call's
/// trace.
pub(crate) const OVERSIZE_TOLD_EVERY: Duration = Duration::from_secs(60);
/// Maximum trunk addresses with health state.
pub(crate) const HEALTH_SPOTS: usize = 4096;
/// Consecutive OPTIONS or calls without a response after which an address is down.
pub const HEALTH_FAILURES: u32 = 3;
/// Maximum time for a response to OPTIONS, in seconds; less if `no_response_timeout` is shorter.
pub(crate) const HEALTH_WAIT_SECONDS: u64 = 4;
/// Interval of connection attempts to an agent without `probe` that refuses connections after a call lost its
/// connection.
pub const AGENT_CONNECTS_AGAIN: Duration = Duration::from_secs(5);
/// Time within which a new address gets its first OPTIONS, in seconds, unless `options_interval` is shorter.
pub(crate) const HEALTH_FIRST_SECONDS: u64 = 5;
/// Interval of OPTIONS to an address that has missed one, until it is down.
pub(crate) const HEALTH_DOUBT: Duration = Duration::from_secs(15);
/// Time for which calls skip a trunk after its first rejection because of congestion.
pub(crate) const CONGESTED_FIRST: Duration = Duration::from_secs(1);
/// Maximum time for which calls skip a congested trunk.
pub(crate) const CONGESTED_MOST: Duration = Duration::from_secs(30);
/// Time without congestion after which the back-off starts again at [`CONGESTED_FIRST`].
pub(crate) const CONGESTED_FORGOTTEN: Duration = Duration::from_secs(60);
/// Minimum interval of extra OPTIONS to a failing address after a call from its host.
pub(crate) const HEALTH_HASTE: Duration = Duration::from_secs(2);
/// Maximum interval of OPTIONS to an address that is down, in seconds, unless `options_interval` is longer.
pub(crate) const HEALTH_BACKOFF_SECONDS: u64 = 120;
/// Maximum back-off of an address after 503 with Retry-After, in seconds.
pub(crate) const RETRY_AFTER_MOST_SECONDS: u64 = 300;
/// Maximum wait for the worker to confirm the caller's media ports, before the edge sends an answer that names them and
/// has no connected agent yet.
pub const PORTS_NEWS: Duration = Duration::from_millis(100);
/// Maximum legs of a call that are reserved for its later targets, counting each peer of a trunk.
pub const LEGS_KEPT: usize = 16;
/// Maximum port pairs tried for one end before its attempt fails.
pub const BIND_TRIES: u8 = 3;
/// Maximum transmissions of a re-INVITE that keeps colliding with re-INVITEs of the remote party (glare).
pub const GLARE_TRIES: u8 = 4;
/// Unit of the wait after glare, in milliseconds (RFC 3261 §14.1).
pub const GLARE_UNIT_MS: u64 = 10;
/// Wait after glare, in units, if the edge owns the Call-ID.
pub const GLARE_OWNER_UNITS: RangeInclusive<u64> = 210..=400;
/// Wait after glare, in units, if the remote party owns the Call-ID.
pub const GLARE_OTHER_UNITS: RangeInclusive<u64> = 0..=200;
/// Maximum time until an UPDATE relayed as re-INVITE is answered: its sender waits for 64·T1 (RFC 3261 §17.1.2.2).
pub const UPDATE_WAIT: Duration = Duration::from_secs(16);
/// Maximum pending INFO requests of one call.
pub const INFOS_PER_CALL: usize = 8;
/// Maximum DTMF digits of one call queued for INFO, which are sent one at a time; further digits are dropped.
pub const KEYS_TO_TELL: usize = 128;
/// Pause between two DTMF digits sent in media.
pub const KEY_PAUSE: Duration = Duration::from_millis(100);
/// Maximum playing time of queued DTMF digits before further digits from INFO are rejected: well below the worker's
/// queue ([`KEYS_WAITING`](trunkgate_media::limits::KEYS_WAITING)).
pub const KEYS_AHEAD: Duration = Duration::from_secs(10);
/// Maximum lifetime of a REFER subscription, in seconds.
pub const REFER_SECONDS: u64 = 300;
/// Maximum pending NOTIFYs of a relayed REFER.
pub const REFER_NEWS: usize = 8;
/// Maximum relayed REFERs of a call without a final NOTIFY; beyond it, NOTIFYs of the oldest are rejected.
pub const REFER_SUBSCRIPTIONS: usize = 4;
/// Time after the final NOTIFY within which a transferor hangs up, in seconds; then the edge ends the leg.
pub const REFERRER_SECONDS: u64 = 5;
/// Minimum session interval that a remote party may request, in seconds; sent as Min-SE (RFC 4028 §5).
pub const SESSION_LEAST_SECONDS: u32 = 90;
/// Minimum session interval that the edge uses if a response sets a shorter one, in seconds: bounds the rate of
/// refreshes.
pub const SESSION_TAKEN_SECONDS: u32 = 30;
/// Session interval requested from a bare URI, in seconds.
pub const URI_SESSION_SECONDS: u32 = 1_800;
/// Minimum wait before a failed or rejected refresh is repeated, in seconds.
pub const REFRESH_RETRY_SECONDS: u64 = 2;
/// Maximum memory for messages of all calls. Beyond it, messages of ended calls (the oldest first), then of the
/// oldest live calls, are dropped.
pub const MESSAGE_TEXTS_BYTES: usize = 32 << 20;
/// Time from the answer of a call until its messages are compressed.
pub(crate) const TRACE_SETTLES: Duration = Duration::from_secs(1);
/// Maximum number of calls whose messages are compressed in one turn of the signalling loop; more than it answers in
/// one turn.
pub(crate) const TRACES_SETTLED: usize = 4;
/// Maximum characters of a header name in messages.
pub const HEADER_NAME_CHARS: usize = 40;
/// Maximum characters of a remote party's Call-ID in views and records; RFC 3261 sets no limit of its own.
pub const CALL_ID_CHARS: usize = 256;
/// Maximum silent parties of live calls that `status` names.
pub const SILENT_TOLD: usize = 8;
/// Maximum ended calls shown.
pub(crate) const RECENT_CALLS: usize = 10_000;
/// Maximum ended conferences shown.
pub const ENDED_CONFERENCES: usize = 1_000;
/// Maximum call queues.
pub const QUEUES: usize = 1_000;
/// Maximum characters of a queue name.
pub(crate) const QUEUE_NAME_CHARS: usize = 64;
/// Default maximum of callers in a queue.
pub const QUEUE_SIZE: u32 = 1_000;
/// Highest configurable maximum of callers in a queue.
pub(crate) const QUEUE_SIZE_MOST: u32 = 5_000;
/// Time after a restart for which two formerly connected calls wait for each other.
pub(crate) const QUEUE_REJOIN: Duration = Duration::from_secs(10);
/// Maximum calls shown that a limit refused or that arrived while draining; counted apart from [`RECENT_CALLS`].
pub(crate) const RECENT_TURNED_DOWN: usize = 1_000;
/// Maximum traces of refused calls.
pub(crate) const TURNED_DOWN_TRACES: usize = 100;
/// Maximum refused calls per second with a record, a trace and an entry in `calls`; further ones are only counted.
pub(crate) const TURNED_DOWN_PER_SECOND: u32 = 10;
/// Maximum traces of ended calls.
pub(crate) const RECENT_TRACES: usize = 1_000;
/// Traces of ended calls without failures that are always kept, if there are as many.
pub(crate) const USUAL_TRACES: usize = 500;
/// Maximum ended calls with quality over time.
pub const RECENT_SERIES: usize = 1_000;
/// Maximum targets without a leg that a verdict names.
pub const PASSED_OVER: usize = 8;
/// Retry-After of a 503 while draining, in seconds.
pub const RETRY_AFTER_SECONDS: u32 = 10;
/// Retry-After of a 503 while overloaded, in seconds; random for each response, to spread the retries.
pub const OVERLOAD_RETRY_AFTER_SECONDS: RangeInclusive<u32> = 1..=4;
/// Maximum queued messages of ongoing calls: requests in dialogs, ACK, CANCEL, responses, connection events.
pub const WAITING_ONGOING_MESSAGES: usize = 8_192;
/// Maximum queued INVITEs for new calls.
pub const WAITING_INVITES: usize = 4_096;
/// Maximum queued other requests outside dialogs; a further one displaces the oldest.
pub const WAITING_OTHERS: usize = 1_024;
/// Maximum memory for all queued messages; half of it for messages of no ongoing call.
pub const WAITING_BYTES: usize = 16 << 20;
/// Approximate memory overhead of a queued message.
pub const WAITING_MESSAGE_OVERHEAD_BYTES: usize = 512;
/// Time after its last INVITE for which a trunk without live calls counts as active, in seconds. Active trunks share
/// `[limits]`.
pub const FAIR_ACTIVE_SECONDS: u64 = 10;
/// Divisor of `[limits] calls` for the reserve beyond it, which only trunks below their share may use.
pub const FAIR_RESERVE_ONE_IN: u32 = 8;
/// Queueing time after which an INVITE is late; in overload it is then rejected.
pub const INVITE_WAIT: Duration = Duration::from_millis(25);
/// Number of queued INVITEs up to which all are served, however late: serving is then cheaper than rejecting.
pub const INVITES_ALWAYS_SERVED: usize = 8;
/// Time of continuously late INVITEs after which the edge is overloaded; a shorter time may be a hiccup.
pub const OVERLOAD_AFTER: Duration = Duration::from_millis(100);
/// Number of INVITEs queued behind a late one above which the edge is overloaded at once.
pub const OVERLOAD_INVITES: usize = 64;
/// Time without a late INVITE after which an overload is over.
pub const OVERLOAD_OVER: Duration = Duration::from_secs(1);
/// Maximum messages of ongoing calls handled in a row before a due rejection of an INVITE.
pub const ONGOING_BEFORE_REFUSAL: u32 = 4;
/// Maximum rejected INVITEs remembered, so that retransmissions get the same response.
pub const TURNED_AWAY: usize = 32_768;
/// Time for which rejected INVITEs are remembered: a caller retransmits for 64·T1 (RFC 3261 §17.1.1.2).
pub const TURNED_AWAY_REMEMBERED: Duration = Duration::from_secs(32);
/// Upper bound of the configured ring time of an attempt, in seconds (compare timer C, RFC 3261 §16.6).
pub const RING_SECONDS: u64 = 600;
/// Ring timeout towards a bare URI, in seconds.
pub const URI_RING_SECONDS: u64 = 60;
/// Maximum time for a provisional response from a bare URI, in seconds.
pub const URI_NO_RESPONSE_SECONDS: u64 = 4;
/// Extra time for an INVITE without an open TLS connection, so that the connection's own timeout fires first and
/// names the cause.
pub const TLS_GRACE: Duration = Duration::from_millis(400);
/// Time after which a cancelled INVITE is forgotten, in seconds: more than 64·T1.
pub const CANCEL_SECONDS: u64 = 40;
/// Minimum interval between log lines about calls refused by a limit, in seconds.
pub(crate) const REFUSAL_LOG_SECONDS: u64 = 1;
/// Maximum agents that listen to one call at once.
pub const LISTENERS_PER_CALL: usize = 4;
/// Maximum agents that listen to one call in total: each is in its record.
pub const FORKS_PER_CALL: usize = 32;
/// Maximum concurrent recordings of one call.
pub const RECORDINGS_AT_ONCE: usize = 4;
/// Maximum recordings of one call in total: each is in its record.
pub const RECORDINGS_PER_CALL: usize = 64;
/// Maximum groups of recording servers (`siprec`) that record one call at once.
pub const SIPREC_PER_CALL: usize = 2;
/// Maximum recording sessions of one call in total.
pub const SIPREC_SESSIONS_PER_CALL: usize = 16;
/// Maximum departed parties that the metadata for recording servers still names.
pub const SIPREC_LEFT_PARTIES: usize = 4;
/// Maximum size of an INVITE sent to a recording server over UDP if TCP is possible (RFC 3261 §18.1.1), in bytes.
pub const SIPREC_UDP_BYTES: usize = 1_300;
/// Maximum INVITEs to recording servers for one call and group.
pub const SIPREC_ATTEMPTS: usize = 16;
/// Maximum time for a recording server to answer before the next one is tried, in seconds; it need not ring.
pub const SIPREC_ANSWER_SECONDS: u64 = 10;
/// Maximum NOTIFYs of waiting messages sent at once in subscriptions.
pub(crate) const MWI_BURST: usize = 50;
/// Pause between bursts of [`MWI_BURST`] NOTIFYs, in milliseconds.
pub(crate) const MWI_BURST_MILLISECONDS: u64 = 100;
/// Consecutive failures of a recording group after which calls that must be recorded are refused.
pub const SIPREC_FAILED_IN_ROW: u32 = 3;
/// Interval in which one call that must be recorded is admitted to test a failing recording group, in seconds.
pub const SIPREC_TRIAL_SECONDS: u64 = 30;
/// Maximum DTMF digits of one API request or agent message.
pub const KEYS_PER_REQUEST: usize = 64;
/// Maximum time for a worker to report that an agent's WebSocket is not open, after `connect_timeout`, in seconds;
/// then the call continues without the report.
pub const AGENT_NEWS_SECONDS: u64 = 2;
/// Failed calls of an agent, not cleared by a successful stream, after which it is skipped.
pub(crate) const BREAKER_FAILURES: usize = 5;
/// Failed calls after which an agent is skipped again, if no stream has succeeded since; one may be the caller's
/// fault.
pub(crate) const BREAKER_PROBATION_FAILURES: usize = 2;
/// Period in which failed calls of an agent count, in seconds.
pub(crate) const BREAKER_WINDOW_SECONDS: u64 = 30;
/// First pause of a skipped agent, in seconds; doubled with each failed trial.
pub(crate) const BREAKER_FIRST_PAUSE_SECONDS: u64 = 1;
/// Maximum pause of a skipped agent, in seconds.
pub(crate) const BREAKER_LONGEST_PAUSE_SECONDS: u64 = 10;
/// Time with a caller but without audio after which an agent is reported as silent; an agent may listen first.
pub const AGENT_UNHEARD_AFTER: Duration = Duration::from_secs(10);
/// Minimum time with a caller for a shorter call without audio to count as silent.
pub const AGENT_SHORT_AFTER: Duration = Duration::from_secs(2);
/// Consecutive short silent calls of an agent that are reported: callers hang up on silence.
pub(crate) const AGENT_SHORT_IN_ROW: u64 = 3;
/// Length below which a call with a silent side counts only together with two further ones in a row.
pub const SHORT_CALL: Duration = Duration::from_secs(2);
/// Consecutive short calls with a silent side until they count.
pub const SHORT_IN_ROW: u64 = 3;
/// Consecutive calls without the fault after which a trunk's audio fault is considered solved.
pub(crate) const HEARD_AGAIN: u64 = 3;
/// Mean opinion score below which a call counts as poor for its trunk: R = 60, "nearly all users dissatisfied" (ITU-T
/// G.109).
pub(crate) const POOR_TRUNK_MOS: f64 = 3.1;
/// Consecutive failed probes of an agent after which calls with another target skip it.
pub(crate) const PROBE_FAILURES: u32 = 2;
/// Time after which an open stream has succeeded, in seconds; the agent's `retry` then starts again.
pub const PROVEN_SECONDS: u64 = 10;
/// Highest `max_sessions` of an agent.
pub const AGENT_SESSIONS_MOST: u32 = 100_000;
/// Time for which a session still counts after the edge has ended its stream: stop timeout of the agent, and a margin
/// for the close.
pub const SESSION_ENDS: Duration = STOP_TIMEOUT.saturating_add(Duration::from_millis(250));
/// Highest `size` of an agent's `queue`.
pub const QUEUE_CALLERS_MOST: u32 = 1_000;
/// Highest `wait` of an agent's `queue`, in seconds.
pub const QUEUE_WAIT_MOST_SECONDS: u64 = 3_600;
/// Highest `retry` of an agent.
pub const RETRY_MOST: u32 = 10;
/// Upper bound of new streams to failed agents in one call (`retry`): legs are reserved for other targets.
pub const RETRIES_PER_CALL: u32 = 16;
/// Wait before the second retry of one agent, in milliseconds; doubled for each further one. The first is immediate.
pub const RETRY_FIRST_WAIT_MS: u64 = 250;
/// Maximum wait before a retry of one agent, in milliseconds.
pub const RETRY_LONGEST_WAIT_MS: u64 = 2_000;
/// Maximum time for a worker to report the end of a goodbye, after its length, in seconds.
pub const GOODBYE_NEWS_SECONDS: u64 = 2;
/// Maximum addresses of one trunk with a call rate; calls to further ones are not limited.
pub(crate) const PACED_ADDRESSES: usize = 256;
/// Time for which a call of the API may wait for capacity of its trunk, in seconds: no caller is waiting.
pub const REQUESTED_PACE_SECONDS: u64 = 3600;
/// Maximum size of a relayed INFO body with its type and disposition, in bytes.
pub const INFO_BYTES: usize = 8_192;
/// Maximum relayed header fields of one message; routes and agents may add as many again.
pub const PASSED_HEADERS: usize = 32;
/// Maximum size of relayed header names and values, in bytes.
pub const PASSED_HEADER_BYTES: usize = 8192;
/// Maximum size of a relayed header value, in bytes.
pub const PASSED_VALUE_BYTES: usize = 4096;
/// Maximum location documents of the caller in one INVITE.
pub const LOCATIONS: usize = 4;
/// Maximum total size of the caller's location documents in one INVITE, in bytes.
pub const LOCATION_BYTES: usize = 16_384;
/// Maximum size of the name, type or disposition of a location document, in bytes.
pub const LOCATION_NAME_BYTES: usize = 256;
/// Maximum asserted identities in an INVITE (RFC 3325 §9.1: one SIP, one tel), and of values in Identity.
pub const ASSERTED_IDENTITIES: usize = 2;
/// Maximum headers of a caller's INVITE sent to an agent by default.
pub const PARAMETER_HEADERS: usize = 16;
/// Maximum characters of a header value in an agent's parameters.
pub const PARAMETER_HEADER_CHARS: usize = 256;
/// Maximum characters of the cause of a failed connection in traces and states, certificate names included.
pub const CAUSE_CHARS: usize = 400;
/// Maximum characters of an agent's text in a trace.
pub const AGENT_TEXT_CHARS: usize = 320;
/// Maximum requests of one agent in a trace; further ones would displace all other entries.
pub const AGENT_REQUESTS_NOTED: u32 = 32;
/// Maximum size of a target named by an agent, in bytes.
pub const AGENT_TARGET_BYTES: usize = 256;
/// Maximum length of a warm transfer's whisper, in seconds: a text of two minutes.
pub const WHISPER_SECONDS: u64 = 120;
/// Time from the start of the digit that accepts a warm transfer to the connection: the digit is for the edge only.
pub const ACCEPTED_WAIT: Duration = Duration::from_millis(300);
/// Maximum addresses of a registrar that are tried in turn.
pub(crate) const REGISTER_WAYS: usize = 16;
/// Maximum time for a registrar's response if the trunk's `no_response_timeout` is off, in seconds.
pub(crate) const REGISTER_WAIT_SECONDS: u64 = 32;
/// Maximum pause after the first failure at all addresses of a registrar, in seconds; doubled with each further one.
pub(crate) const REGISTER_FIRST_PAUSE_SECONDS: u64 = 30;
/// Maximum pause between registration attempts, in seconds (RFC 5626 §4.5).
pub(crate) const REGISTER_LONGEST_PAUSE_SECONDS: u64 = 1_800;
/// Upper bound of the requested and granted lifetime of an outbound registration, in seconds.
pub(crate) const REGISTER_LONGEST_SECONDS: u32 = 86_400;
/// Maximum unknown sources with a message rate, and maximum sources with failures; beyond it, the rates of older
/// sources are forgotten.
pub(crate) const STRANGERS: usize = 8_192;
/// Maximum bytes sent to an unknown source beyond those received in its datagrams, and maximum credit: enough for a
/// few lost challenges, useless for amplification towards a third party.
pub const STRANGER_CREDIT_BYTES: i64 = 2_048;
/// Maximum failures kept of one unknown source; upper bound of `ban.after`.
pub(crate) const BAN_FAILURES_NOTED: usize = 1_000;
/// Multiple of the failures that close one account (`SlowBan::after`): a source with that many failures at all accounts
/// together is banned.
pub(crate) const SLOW_ACCOUNTS: u32 = 4;
/// Maximum accounts that are closed to sources at once, counting each pair of source and account.
pub(crate) const CLOSED_ACCOUNTS: usize = 8_192;
/// Maximum phones registered with one trunk.
pub const BINDINGS_PER_TRUNK: usize = 64;
/// Maximum contacts in one REGISTER.
pub(crate) const CONTACTS_PER_REGISTER: usize = 8;
/// Maximum size of a registered Contact, in bytes.
pub(crate) const BINDING_CONTACT_BYTES: usize = 512;
/// Default and maximum lifetime of a phone's registration, in seconds.
pub(crate) const BINDING_SECONDS: u32 = 3_600;
/// Minimum lifetime of a phone's registration, in seconds; a shorter one gets 423.
pub(crate) const BINDING_LEAST_SECONDS: u32 = 60;
/// Maximum concurrent subscriptions to mailboxes.
pub(crate) const MWI_SUBSCRIPTIONS: usize = 10_000;
/// Maximum concurrent subscriptions to mailboxes of one trunk.
pub(crate) const MWI_SUBSCRIPTIONS_PER_TRUNK: usize = 1_000;
/// Default (RFC 3842 §3.4) and maximum lifetime of a subscription, in seconds.
pub(crate) const MWI_SECONDS: u32 = 3_600;
/// Minimum lifetime of a subscription, in seconds; a shorter one gets 423.
pub(crate) const MWI_LEAST_SECONDS: u32 = 60;
/// Maximum size of the `id` of an Event header, in bytes.
pub(crate) const MWI_EVENT_ID_BYTES: usize = 64;
/// Maximum characters of an unknown mailbox user in messages.
pub(crate) const MWI_USER_CHARS: usize = 64;
/// Retry-After of a SUBSCRIBE rejected for lack of room, in seconds.
pub(crate) const MWI_RETRY_AFTER_SECONDS: u32 = 300;
/// Interval of unsolicited NOTIFYs with unchanged counts, in seconds: a restarted PBX has forgotten them.
pub(crate) const MWI_REPEAT_SECONDS: u64 = 3_600;
/// Pause after an unsolicited NOTIFY without a response, in seconds.
pub(crate) const MWI_PAUSE_SECONDS: u64 = 60;
/// Permitted packet lengths of converted audio, in milliseconds; bounds the remote party's request.
pub const PACKET_MS: RangeInclusive<u32> = 10..=60;
/// Consecutive requests with wrong credentials that are more than a typing error.
pub(crate) const LOGIN_FAILURES: u64 = 3;
/// Maximum sources with wrong credentials that are kept.
pub(crate) const LOGINS_KEPT: usize = 256;
/// Maximum unknown sources listed with their number of messages.
pub const UNKNOWN_SOURCES: usize = 20;
/// Minimum interval between log lines about unknown sources, in seconds.
pub(crate) const UNKNOWN_TOLD_SECONDS: u64 = 60;
/// Maximum unknown users per second that are compared with configured users.
pub(crate) const STRAYS_COMPARED_PER_SECOND: u32 = 2;
/// Maximum characters of an unknown user in messages.
pub const STRAY_USER_CHARS: usize = 64;
/// Maximum emergency calls per second that take precedence over other calls; precedence also applies in overload.
pub const URGENT_CALLS_PER_SECOND: u32 = 10;
/// Minimum interval between log lines of one alarm, in seconds.
pub(crate) const ALARM_SECONDS: u64 = 60;
/// Share of calls in which a trunk with a lower answer-seizure ratio is tried first: one in this many.
pub(crate) const PROBED_ONE_IN: u32 = 20;
/// Maximum failures between the same two numbers that count within `LET_DOWN_SECONDS`: repeated calls to a faulty
/// number are not evidence against the trunk.
pub const LET_DOWN_TIMES: usize = 2;
/// Period for [`LET_DOWN_TIMES`], in seconds.
pub(crate) const LET_DOWN_SECONDS: u64 = 60;
/// Maximum failures of a trunk remembered, and counted, within `LET_DOWN_SECONDS`.
pub(crate) const LET_DOWN_KEPT: usize = 64;
/// Maximum texts kept of a response that rejects a call.
pub(crate) const REJECTION_TEXTS: usize = 3;
/// Maximum characters of each text kept of a response that rejects a call.
pub(crate) const REJECTION_TEXT_CHARS: usize = 160;
/// Maximum distinct rejections kept per trunk.
pub(crate) const REJECTIONS_KEPT: usize = 16;
/// Minimum interval between calls that test the same trunk, in seconds, so that a busy edge risks few calls.
pub(crate) const PROBE_SECONDS: u64 = 10;
/// Time without ringing after which an abandoned call counts as undelivered by the trunk, in seconds: the delay
/// within which 95 % of international calls ring by ITU-T E.721.
pub const SILENT_SECONDS: u64 = 11;
/// Maximum length of early media to an unproven address: longer than most announcements, too short for a flood.
pub const UNPROVEN_EARLY_MEDIA: Duration = Duration::from_secs(15);
/// Time from the grant for which the slot of a call that ended without proof stays used: each slot of a trunk allows
/// [`UNPROVEN_EARLY_MEDIA`] per this time.
pub const UNPROVEN_EARLY_REST: Duration = Duration::from_secs(60);
/// Maximum proven media addresses of one leg remembered while a re-INVITE of its remote party waits for its ACK.
pub const PROVEN_ADDRESSES: usize = 16;
/// Default maximum of concurrent emergency calls within calls of the API.
pub(crate) const EMERGENCY_CALLS: usize = 3;
/// Maximum attempts per minute at emergency calls within calls of the API, for each permitted concurrent call.
pub(crate) const EMERGENCY_ATTEMPTS_EACH: usize = 4;
