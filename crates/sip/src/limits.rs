//! Hard limits of the SIP core, each with its unit in its name.

/// A message longer than this is answered 413 or dropped, in bytes; `[limits] sip_message_bytes` may lower it.
pub const MESSAGE_BYTES: usize = 65_535;
/// Header fields in one message.
pub const HEADERS: usize = 256;
/// What a stream may hold unread, in bytes; more without a pop and it is broken.
pub const STREAM_BUFFER_BYTES: usize = 1 << 20;
/// Parts looked at in a multipart body.
pub(crate) const BODY_PARTS: usize = 16;
/// Multipart bodies inside one another.
pub(crate) const BODY_DEPTH: usize = 3;
/// Server transactions at once.
pub(crate) const SERVER_TRANSACTIONS: usize = 65_536;
/// What the server transactions at once may hold of requests and answers, in bytes: else few large ones, repeated
/// under new branches, would hold gigabytes.
pub(crate) const SERVER_TRANSACTION_BYTES: usize = 64 << 20;
/// Client transactions at once.
pub(crate) const CLIENT_TRANSACTIONS: usize = 65_536;
/// An INVITE to us without final answer lasts no longer than this, whatever its Expires, in seconds: past any search
/// that the layer above makes, so that no transaction is kept for ever.
pub const INVITE_SECONDS: u32 = 3_600;
/// A far end that asks for sessions longer than this is not asked again (RFC 4028 §7.3), in seconds.
pub const SESSION_SECONDS: u32 = 86_400;
/// Dialogs at once.
pub(crate) const DIALOGS: usize = 65_536;
/// Dialogs that one INVITE of ours may make by forked answers.
pub const FORKED_DIALOGS: usize = 12;
/// Confirmed dialogs that are remembered after their end, for who wants to take the place of one (RFC 3891 §3).
pub const ENDED_DIALOGS: usize = 1_024;
/// Requests of ours at once that answers to one INVITE may cause: PRACKs, and BYEs to forks past [`FORKED_DIALOGS`]. What
/// would cause a further one is dropped; its repetition may be served.
pub const CAUSED_REQUESTS: usize = 16;
/// Provisional answers of ours that wait for the PRACK to the one before them; further ones are not sent.
pub const PROVISIONALS_WAITING: usize = 4;
/// Entries of a route set (RFC 3261 §12.1.1).
pub const ROUTE_SET: usize = 16;
/// A challenge's header longer than this is passed over, in bytes: our answer repeats much of it.
pub(crate) const CHALLENGE_BYTES: usize = 2_048;
/// An answer's header longer than this is passed over, in bytes.
pub(crate) const AUTHORIZATION_BYTES: usize = 4_096;
/// Challenges, or answers to them, that are read of one message.
pub const CHALLENGES: usize = 8;
/// Parameters of one challenge or answer.
pub(crate) const AUTH_PARAMETERS: usize = 24;
/// Far ends whose challenges are kept for further requests; with one more all are forgotten.
pub(crate) const DIGEST_SESSIONS: usize = 1_024;
/// Realms that are answered at one far end.
pub(crate) const DIGEST_REALMS: usize = 4;
/// How often one request is repeated for a challenge: a proxy's, the far end's, and a stale nonce of one of them.
pub(crate) const DIGEST_ROUNDS: u8 = 3;
/// How long a nonce of ours is good, in seconds.
pub(crate) const NONCE_SECONDS: u32 = 300;
/// Nonces of ours whose count is kept; past this, the oldest is spent.
pub(crate) const NONCES_IN_USE: usize = 16_384;
