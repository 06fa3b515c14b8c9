//! Hard limits of the SIP core, each with its unit in its name.

/// Maximum message size, in bytes; longer messages get 413 or are dropped. `[limits] sip_message_bytes` may lower it.
pub const MESSAGE_BYTES: usize = 65_535;
/// Maximum number of header fields in a message.
pub const HEADERS: usize = 256;
/// Maximum unread data of a stream, in bytes; more breaks the stream.
pub const STREAM_BUFFER_BYTES: usize = 1 << 20;
/// Maximum number of parts examined in a multipart body.
pub(crate) const BODY_PARTS: usize = 16;
/// Maximum nesting of multipart bodies.
pub(crate) const BODY_DEPTH: usize = 3;
/// Maximum number of server transactions.
pub(crate) const SERVER_TRANSACTIONS: usize = 65_536;
/// Maximum memory of all server transactions for requests and responses, in bytes. Without it, large requests repeated
/// under new branches could occupy gigabytes.
pub(crate) const SERVER_TRANSACTION_BYTES: usize = 64 << 20;
/// Maximum number of client transactions.
pub(crate) const CLIENT_TRANSACTIONS: usize = 65_536;
/// Maximum time without final response to a received INVITE, regardless of its Expires, in seconds. It is longer than
/// any call attempt of the layer above and prevents transactions that never end.
pub const INVITE_SECONDS: u32 = 3_600;
/// Longest session interval accepted from a 422 (RFC 4028 §7.3), in seconds; beyond it the request is not repeated.
pub const SESSION_SECONDS: u32 = 86_400;
/// Maximum number of dialogs.
pub(crate) const DIALOGS: usize = 65_536;
/// Maximum number of dialogs that forked responses to one INVITE may create.
pub const FORKED_DIALOGS: usize = 12;
/// Number of ended confirmed dialogs remembered for later Replaces headers (RFC 3891 §3).
pub const ENDED_DIALOGS: usize = 1_024;
/// Maximum number of concurrent requests caused by responses to one INVITE: PRACKs, and BYEs to forks beyond
/// [`FORKED_DIALOGS`]. A response that would cause another one is dropped; its retransmission may succeed.
pub const CAUSED_REQUESTS: usize = 16;
/// Maximum number of provisional responses that wait for the PRACK of the previous one; further ones are not sent.
pub const PROVISIONALS_WAITING: usize = 4;
/// Maximum length of a route set (RFC 3261 §12.1.1).
pub const ROUTE_SET: usize = 16;
/// Maximum length of a challenge header, in bytes; a longer one is ignored, because our credentials repeat much of it.
pub(crate) const CHALLENGE_BYTES: usize = 2_048;
/// Maximum length of an authorization header, in bytes; a longer one is ignored.
pub(crate) const AUTHORIZATION_BYTES: usize = 4_096;
/// Maximum number of challenges, or credentials, read from one message.
pub const CHALLENGES: usize = 8;
/// Maximum number of parameters in one challenge or authorization.
pub(crate) const AUTH_PARAMETERS: usize = 24;
/// Maximum number of remote addresses with stored challenges; one more discards all of them.
pub(crate) const DIGEST_SESSIONS: usize = 1_024;
/// Maximum number of realms answered per remote address.
pub(crate) const DIGEST_REALMS: usize = 4;
/// Maximum number of times a request is repeated after challenges: one by a proxy, one by the remote party, one stale
/// nonce.
pub(crate) const DIGEST_ROUNDS: u8 = 3;
/// Lifetime of a nonce we issue, in seconds.
pub(crate) const NONCE_SECONDS: u32 = 300;
/// Maximum number of issued nonces with a stored count; beyond it the oldest is invalidated.
pub(crate) const NONCES_IN_USE: usize = 16_384;
