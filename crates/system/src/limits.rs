//! Fixed limits outside the call core; each name contains the unit.

use std::time::Duration;

/// Maximum number of callers of a queue that `/v1/queues` lists; the size of the queue counts all of them.
pub const QUEUE_CALLS_SHOWN: usize = 100;
/// Maximum number of queues with series of their own in `/metrics`: those with the most callers. The others are counted
/// together.
pub const QUEUE_SERIES: usize = 50;
/// Maximum number of items processed from one socket or queue before the others have their turn.
pub const BATCH_ITEMS: usize = 64;
/// Maximum number of messages read from all sockets before queued messages are processed.
pub const INTAKE_ITEMS: usize = 512;
/// Maximum number of messages processed before the sockets are read again.
pub const TURN_ITEMS: usize = 64;
/// Time of message processing after which the sockets are read again, in microseconds; at least one message is
/// processed.
pub const TURN_MICROSECONDS: u64 = 2_000;
/// Maximum number of commands processed before the signalling loop reads the sockets again.
pub const TURN_ORDERS: usize = 16;
/// Maximum number of datagrams queued for a socket with a full send buffer; further ones are dropped and counted.
pub const UDP_QUEUE_DATAGRAMS: usize = 1024;
/// Requested size of a SIP socket's kernel buffers, in bytes; the system may grant less.
pub const UDP_BUFFER_BYTES: usize = 4 << 20;
/// Maximum number of attempts to send one datagram while the system reports ICMP errors of earlier ones.
pub const UDP_SEND_ATTEMPTS: usize = 8;
/// Maximum number of bytes read of a datagram quoted in an ICMP error; only its start is needed (RFC 1812 §4.3.2.3).
pub const ICMP_QUOTE_BYTES: usize = 1024;
/// Largest possible datagram, in bytes.
pub const UDP_DATAGRAM_BYTES: usize = 65_535;
/// Maximum number of stream connections.
pub const CONNECTIONS: usize = 4096;
/// Maximum number of stream connections with addresses of no trunk and without a registration; one more evicts another.
pub const UNKNOWN_CONNECTIONS: usize = 1024;
/// Time that a connection with an address of no trunk may exist without a registration, in seconds.
pub const UNREGISTERED_SECONDS: u64 = 30;
/// Maximum number of stream connections per remote address.
pub const CONNECTIONS_PER_SOURCE: usize = 64;
/// Number of stream connections that a trunk's address may have beyond [`CONNECTIONS_PER_SOURCE`]. Each of them evicts
/// the address's oldest connection without a call or a registration, but never one of the newest connections, as many
/// as this number, because their first message may not have arrived yet.
pub const SPARE_CONNECTIONS_PER_SOURCE: usize = 8;
/// Maximum number of messages queued for sending on one stream connection.
pub const CONNECTION_QUEUE_MESSAGES: usize = 256;
/// Time limit for a TLS handshake, in seconds.
pub const HANDSHAKE_SECONDS: u64 = 4;
/// Maximum number of pending TLS handshakes in total; a further one evicts the oldest.
pub const HANDSHAKES: usize = 512;
/// Maximum number of pending TLS handshakes per remote address; a further one evicts the oldest of that address.
pub const HANDSHAKES_PER_SOURCE: usize = 16;
/// Maximum number of pending TLS handshakes with addresses of no trunk; a further one evicts the oldest of the address
/// that has the most.
pub const UNKNOWN_HANDSHAKES: usize = 64;
/// Maximum number of connections accepted per second and listener from addresses of no trunk: this many that are the
/// first of their address in that second, and as many further ones. Others are closed without sending a byte.
pub const UNKNOWN_HANDSHAKES_PER_SECOND: u32 = 50;
/// Maximum number of connections accepted per second from one address of no trunk, or one /64 in IPv6.
pub const UNKNOWN_HANDSHAKES_PER_SOURCE_PER_SECOND: u32 = 10;
/// Maximum number of connections accepted per second from one IPv6 /48 of no trunk, the usual size of a subscriber's
/// site.
pub const UNKNOWN_HANDSHAKES_PER_SITE_PER_SECOND: u32 = 20;
/// Maximum number of addresses of no trunk with a counter of connections; those from further addresses are closed
/// without sending a byte.
pub const UNKNOWN_SOURCES: usize = 4096;
/// Maximum length of a remote party's certificate in bytes, because each of its names is compared with those of the
/// trunks.
pub const CERTIFICATE_BYTES: usize = 16 << 10;
/// Pause in accepting connections after the system refused one, in milliseconds.
pub const ACCEPT_PAUSE_MILLISECONDS: u64 = 100;
/// Interval between log lines of a repeated warning, in seconds.
pub const COMPLAINT_SECONDS: u64 = 10;
/// Largest certificate or private key file, in bytes.
pub const CERTIFICATE_FILE_BYTES: u64 = 4 << 20;
/// Interval between checks of the certificate files for changes, in seconds.
pub const CERTIFICATES_REFRESH_SECONDS: u64 = 5;
/// Remaining validity of a local certificate below which a warning is given, in days.
pub const CERTIFICATE_WARNING_DAYS: i64 = 14;
/// Interval between warnings about an expiring certificate, in seconds.
pub const CERTIFICATE_WARNING_SECONDS: u64 = 86_400;
/// Time limit for one request of an ACME order, in seconds.
pub const ACME_REQUEST_SECONDS: u64 = 30;
/// Time limit for the CA to validate an order's challenges, and to issue its certificate, in seconds.
pub const ACME_STEP_SECONDS: u64 = 120;
/// Time limit for a whole ACME order, in seconds.
pub const ACME_ORDER_SECONDS: u64 = 300;
/// Largest response of an ACME server, in bytes.
pub const ACME_ANSWER_BYTES: u64 = 256 << 10;
/// Largest file with an ACME account or a certificate obtained by ACME, in bytes.
pub const ACME_ACCOUNT_BYTES: u64 = 1 << 20;
/// Initial delay after a failed ACME order, in seconds.
pub const ACME_PAUSE_SECONDS: u64 = 300;
/// Longest delay between failed ACME orders, in seconds.
pub const ACME_PAUSE_MOST_SECONDS: u64 = 6 * 3_600;
/// Longest Retry-After accepted from an ACME server, in seconds: the longest rate limit of Let's Encrypt.
pub const ACME_RETRY_AFTER_SECONDS: u64 = 7 * 86_400;
/// Maximum jitter added to an ACME server's Retry-After, in seconds.
pub const ACME_RETRY_JITTER_SECONDS: u64 = 60;
/// Minimum time between a new certificate and the next order, in seconds.
pub const ACME_LEAST_PAUSE_SECONDS: u64 = 30;
/// Longest interval between checks of the clock while no ACME order is due, in seconds.
pub const ACME_LOOK_SECONDS: u64 = 600;
/// Maximum number of concurrent connections to the ACME challenge listener; a further one replaces the oldest.
pub const ACME_CHALLENGE_CONNECTIONS: usize = 64;
/// Maximum lifetime of a connection to the ACME challenge listener, in seconds.
pub const ACME_CHALLENGE_SECONDS: u64 = 10;
/// Largest header of an ACME challenge request, in bytes: the minimum that hyper supports.
pub const ACME_CHALLENGE_HEAD_BYTES: usize = 8 << 10;
/// Time limit for establishing a connection, in seconds.
pub const CONNECT_SECONDS: u64 = 4;
/// Time without received data after which a connection is closed, in seconds.
pub const CONNECTION_IDLE_SECONDS: u64 = 1800;
/// Time limit from the first to the last byte of a message on a stream connection, in seconds.
pub const MESSAGE_SECONDS: u64 = 10;
/// Maximum pause between two header lines of a message on a stream connection, in seconds. After it the message is
/// rejected, because the empty line after the headers is missing.
pub const NEXT_LINE_SECONDS: u64 = 4;
/// Time limit for the first message on an incoming stream connection, in seconds; keep-alives do not count.
pub const FIRST_MESSAGE_SECONDS: u64 = 30;
/// Time limit for one write to a stream connection, in seconds.
pub const WRITE_SECONDS: u64 = 10;
/// Time for which a closing stream connection may still be flushed and drained, in seconds.
pub const LINGER_SECONDS: u64 = 2;
/// Maximum number of events of connections queued for the signalling loop.
pub const TRANSPORT_EVENTS: usize = 1024;
/// Maximum number of queries and commands queued for the signalling loop.
pub const ORDERS: usize = 256;
/// Maximum number of name lookups of calls queued for the resolver; further ones fail.
pub const NAME_QUESTIONS: usize = 256;
/// Maximum number of concurrent name lookups for calls; further ones fail.
pub const LOOKUPS: usize = 128;
/// Maximum number of cached names, including those of peers; lookups of further names fail for calls.
pub const NAMES: usize = 1024;
/// Time limit for one DNS query, in seconds.
pub const LOOKUP_SECONDS: u64 = 2;
/// Time limit for one name server before a retry or the next server, in milliseconds.
pub(crate) const NAME_SERVER_MILLISECONDS: u64 = 1000;
/// Maximum number of DNS records used from one answer.
pub(crate) const DNS_RECORDS: usize = 64;
/// Minimum time before a name is looked up again, in seconds.
pub const NAME_LEAST_SECONDS: u64 = 5;
/// Maximum time before a name is looked up again, in seconds: a hosts file has no TTL.
pub const NAME_MOST_SECONDS: u64 = 600;
/// Time before a name with a record without a TTL is looked up again, in seconds.
pub const NAME_UNSAID_SECONDS: u64 = 60;
/// Maximum time before a name that was not found is looked up again, in seconds.
pub const NAME_PAUSE_SECONDS: u64 = 300;
/// Time before a peer's name without any address is looked up again, in seconds. Its trunk accepts no calls meanwhile,
/// and one query per 10 s does not burden a resolver.
pub const NAME_OUT_SECONDS: u64 = 10;
/// Time to gather further changed names before they are applied together, in milliseconds.
pub const NAMES_PATIENCE_MILLISECONDS: u64 = 100;
/// Time to gather further changes of routes and addresses before they are read again, in milliseconds.
pub const ROUTES_PATIENCE_MILLISECONDS: u64 = 200;
/// Interval at which the machine's addresses and routes are read even if no change is reported, in seconds.
pub const INTERFACES_REFRESH_SECONDS: u64 = 30;
/// Maximum number of messages and reports queued for the capture server; further ones are dropped and counted.
pub const HEP_QUEUE: usize = 8_192;
/// Time to send the queue to the capture server at shutdown, in seconds.
pub const HEP_LAST_SECONDS: u64 = 2;
/// Interval of name lookups for the capture server, in seconds, also after a failure.
pub const HEP_LOOK_AGAIN_SECONDS: u64 = 30;
/// Time for which `status` reports a failure to send to the capture server, in seconds: packets are sent only during
/// calls.
pub const HEP_TOLD_SECONDS: u64 = 600;
/// Maximum number of calls queued for conversion into spans; further ones are dropped and counted.
pub const OTEL_QUEUE: usize = 1024;
/// Size of the spans queued for the collector, in bytes; further ones are dropped and counted.
pub const OTEL_HELD_BYTES: usize = 16 << 20;
/// Maximum number of spans per request; a call with more has a request of its own.
pub const OTEL_BATCH_SPANS: usize = 512;
/// Size of the spans per request, in bytes.
pub const OTEL_BATCH_BYTES: usize = 4 << 20;
/// Time to gather further spans for a request, in seconds.
pub const OTEL_BATCH_SECONDS: u64 = 5;
/// Longest retry delay of the edge's own after a failed request to the collector, in seconds.
pub const OTEL_PAUSE_SECONDS: u64 = 30;
/// Longest Retry-After accepted from the OpenTelemetry collector, in seconds.
pub const OTEL_RETRY_AFTER_SECONDS: u64 = 300;
/// Time to send the remaining spans to the collector at shutdown, in seconds.
pub const OTEL_LAST_SECONDS: u64 = 5;
/// Maximum number of bytes read of the collector's response.
pub const OTEL_ANSWER_BYTES: u64 = 64 << 10;
/// Interval between log lines about a collector that rejects spans, in seconds.
pub const OTEL_COMPLAINT_SECONDS: u64 = 60;
/// Maximum number of events per span, OpenTelemetry's own default; of more events, the first and the last ones are
/// kept.
pub const OTEL_EVENTS: usize = 128;
/// Maximum number of characters per text attribute of a span.
pub const OTEL_TEXT_CHARS: usize = 1024;
/// Maximum number of started calls and call records queued for their writer; further ones are dropped and counted.
pub const REPORTS: usize = 32_768;
/// Number of lines in the journal of live calls, beyond three per live call, above which it is rewritten.
pub const JOURNAL_SPARE_LINES: usize = 4096;
/// Free disk space below which `doctor` fails, in bytes.
pub const DISK_LEAST_BYTES: u64 = 64 << 20;
/// Free disk space below which `doctor` warns, in bytes.
pub const DISK_LOW_BYTES: u64 = 1 << 30;
/// Maximum number of changes queued for the store; further ones fail.
pub const STORE_JOBS: usize = 4096;
/// Maximum number of changes written to disk together.
pub const STORE_BATCH: usize = 256;
/// Time that a change of the store waits for others if no caller waits for it, in milliseconds.
pub const STORE_GATHER_MILLISECONDS: u64 = 10;
/// Time limit for the store in a reload or an API request, in seconds; a reload writes no call to the journal
/// meanwhile.
pub const STORE_PATIENCE_SECONDS: u64 = 2;
/// Pause after the store's file could not be opened, in milliseconds.
pub const STORE_PAUSE_MILLISECONDS: u64 = 1000;
/// Interval of attempts to write to a store that refuses changes, in milliseconds.
pub const STORE_PROBE_MILLISECONDS: u64 = 2000;
/// Maximum number of ended calls stored for the API's lists; the oldest ones are removed first.
pub const CALLS_STORED: usize = 250_000;
/// Maximum number of calls searched by `/v1/calls` in memory and store together: as many ended calls as memory holds.
pub const CALLS_SHOWN: usize = 10_000;
/// Maximum number of ended calls that are being written to the store.
pub const CALLS_UNDER_WAY: usize = 1024;
/// Maximum number of ended calls held while the store rejects them; further ones are dropped and counted.
pub const CALLS_UNWRITTEN: usize = 10_000;
/// Maximum number of SIDs of removed calls that are remembered: more than the ended calls that memory holds.
pub const CALLS_REMOVED: usize = 20_000;
/// Interval of searches for expired calls, in seconds.
pub const CALLS_PRUNE_SECONDS: u64 = 60;
/// Maximum number of stored calls removed in one change of the store.
pub const CALLS_PRUNED_AT_ONCE: usize = 500;
/// Pause between two removals of stored calls, in milliseconds.
pub const CALLS_PRUNE_MILLISECONDS: u64 = 100;
/// Maximum number of stored calls read at once, so that other users of the store have a turn.
pub const CALLS_READ_AT_ONCE: usize = 200;
/// Maximum number of bytes at the end of a call record file searched for calls that are still in the journal.
pub const RECORDS_SEARCHED_BYTES: u64 = 1 << 20;
/// Maximum number of call record files searched for calls in the journal: the current one and the newest others.
pub const RECORDS_FILES_SEARCHED: usize = 16;
/// Maximum number of call records held while the disk rejects them; further ones are dropped and counted.
pub const RECORDS_KEPT: usize = 10_000;
/// Size of the call records held while the disk rejects them, in bytes.
pub const RECORDS_KEPT_BYTES: usize = 64 << 20;
/// Pause after the call record file or the table of daily counts could not be written, in milliseconds.
pub const RECORDS_PAUSE_MILLISECONDS: u64 = 1000;
/// Maximum number of concurrent deliveries of call records to `[cdr] url`.
pub const CDR_AT_ONCE: usize = 4;
/// Time limit for connecting to `[cdr] url` or `[alerts] url`, including name resolution and TLS, in seconds.
pub const POST_CONNECT_SECONDS: u64 = 5;
/// Maximum number of bytes of a response to a call record or alert that are read so that the connection can be reused.
pub const POST_ANSWER_BYTES: u64 = 64 << 10;
/// Time limit for reading the rest of a response to a call record or alert, in milliseconds.
pub const POST_DRAIN_MILLISECONDS: u64 = 1000;
/// Longest delay between two deliveries of a call record, in seconds.
pub const CDR_PAUSE_SECONDS: u64 = 300;
/// Longest Retry-After accepted from `[cdr] url` or `[alerts] url`, in seconds.
pub const POST_RETRY_AFTER_SECONDS: u64 = 3600;
/// Number of rejections after which a call record is set aside, if others were accepted meanwhile.
pub const CDR_REFUSALS: u32 = 8;
/// Time to deliver call records at shutdown, in seconds; the remaining ones are delivered after the next start.
pub const CDR_FAREWELL_SECONDS: u64 = 2;
/// Maximum number of log lines queued for writing; further ones are dropped and counted.
pub(crate) const LOG_LINES: usize = 8192;
/// Pause between two writes of log lines, in milliseconds; the lines logged meanwhile are written together.
pub(crate) const LOG_PAUSE_MILLISECONDS: u64 = 20;
/// Maximum number of concurrent HTTP connections.
pub const HTTP_CONNECTIONS: usize = 256;
/// Number of additional HTTP connections for loopback and for health probes while all others are serving requests.
pub const HTTP_CONNECTIONS_RESERVED: usize = 16;
/// Maximum number of HTTP connections per address (per /64 in IPv6); a further one replaces the oldest one of that
/// address without a complete request. Loopback, possibly a reverse proxy, is not limited.
pub const HTTP_CONNECTIONS_OF_ONE: usize = 64;
/// Time after which an HTTP connection without a request is closed, in seconds.
pub const HTTP_FIRST_BYTE_SECONDS: u64 = 5;
/// Time without data in either direction after which an HTTP connection is closed, in seconds.
pub const HTTP_IDLE_SECONDS: u64 = 30;
/// Time from the first byte of an HTTP request to the first byte of its response, in seconds, so that a slow sender
/// cannot keep a connection.
pub const HTTP_ARRIVAL_SECONDS: u64 = 15;
/// Time limit for one HTTP request, in seconds.
pub const HTTP_REQUEST_SECONDS: u64 = 10;
/// Maximum number of concurrent connections of proxy clients to other hosts.
pub const PROXY_TUNNELS: usize = 64;
/// Time without data after which a proxied connection is closed, in seconds.
pub const PROXY_TUNNEL_IDLE_SECONDS: u64 = 300;
/// Time limit for a proxy client's connection to another host, including name resolution, in seconds; less than
/// [`HTTP_REQUEST_SECONDS`].
pub const PROXY_CONNECT_SECONDS: u64 = 8;
/// Maximum number of rejected proxy requests buffered for a listener in this process; the oldest are dropped.
pub const PROXY_REFUSALS: usize = 256;
/// Maximum number of host certificates cached by the proxy.
pub(crate) const PROXY_HOSTS: usize = 64;
/// Maximum number of unread bytes of all HTTP responses larger than [`HTTP_PART_BYTES`]; further ones get 503.
pub const HTTP_UNREAD_BYTES: usize = 32 << 20;
/// Size of the parts in which an HTTP response is passed to a connection, in bytes; a connection buffers a few.
pub const HTTP_PART_BYTES: usize = 16 << 10;
/// Maximum number of bytes that an HTTP connection buffers for a slow client, or of an incomplete request.
pub const HTTP_CONNECTION_BYTES: usize = 64 << 10;
/// Maximum number of concurrent GET and HEAD requests.
pub const HTTP_READING: usize = 8;
/// Maximum number of parameters of an HTTP form or query.
pub const HTTP_PARAMETERS: usize = 256;
/// Largest body of an HTTP request, in bytes.
pub const HTTP_BODY_BYTES: usize = 64 << 10;
/// Maximum number of requests per source (per /64 in IPv6) with wrong credentials of one account in a minute; further
/// ones get a delayed 429.
pub const HTTP_GUESSES_PER_MINUTE: u32 = 10;
/// Delay of the response 429 to a source with too many wrong credentials, in seconds; less than
/// [`HTTP_REQUEST_SECONDS`].
pub const HTTP_GUESS_DELAY_SECONDS: u64 = 1;
/// Length in characters of a secret that cannot be guessed over HTTP.
pub const SECRET_CHARACTERS: usize = 16;
/// Number of HTTP requests of a source with wrong credentials in an hour from which they no longer count as a mistake.
pub const HTTP_LOGIN_FAILURES: u64 = 3;
/// Maximum number of sources of HTTP requests with wrong credentials that are remembered.
pub const HTTP_LOGIN_SOURCES: usize = 256;
/// Most recent requests to the Twilio-compatible API that are listed.
pub const API_REQUESTS_SHOWN: usize = 200;
/// Maximum number of failed requests to the Twilio-compatible API that are listed in addition to
/// [`API_REQUESTS_SHOWN`].
pub const API_FAILURES_SHOWN: usize = 100;
/// Time that a Play waits until one of the edge's own recordings is completed, in seconds.
pub const OWN_RECORDING_SECONDS: u64 = 5;
/// Maximum number of recordings of the edge that are read concurrently for Play, at most one for each application.
pub const OWN_RECORDINGS_READ_AT_ONCE: usize = 8;
/// Maximum length of a displayed cookie name, in characters.
pub const COOKIE_NAME_SHOWN: usize = 64;
/// Maximum number of ignored parameters of a Twilio-compatible API request that the call's trace names.
pub const API_IGNORED_SHOWN: usize = 5;
/// Maximum number of names of ignored parameters that are counted.
pub const API_IGNORED_NAMES: usize = 100;
/// Maximum number of requests to text message webhooks that are listed.
pub const MESSAGE_WEBHOOKS_SHOWN: usize = 100;
/// Longest ring time of a requested call, in seconds.
pub const CALL_RING_SECONDS: u64 = 600;
/// Longest time limit of a requested call, in seconds.
pub const CALL_LIMIT_SECONDS: u64 = 86_400;
/// Maximum number of targets of each type in one request for a call.
pub const CALL_TARGETS: usize = 16;
/// Maximum number of API keys.
pub const API_KEYS: usize = 1000;
/// Maximum number of sources and accounts with a counter of wrong credentials.
pub const HTTP_GUESSERS: usize = 4096;
/// Maximum number of concurrent followers of `/v1/events`; each uses one HTTP connection.
pub const EVENT_LISTENERS: usize = 32;
/// Maximum number of events buffered for a follower; the oldest are dropped.
pub const EVENTS_KEPT: usize = 1024;
/// Interval of comments sent to an idle follower of `/v1/events`, in seconds; shorter than a connection's idle
/// time-out.
pub const EVENT_COMMENT_SECONDS: u64 = 2;
/// Interval of fine samples of the history, in seconds.
pub const HISTORY_FINE_SECONDS: u64 = 10;
/// Number of fine samples kept: one hour.
pub const HISTORY_FINE_SAMPLES: usize = 360;
/// Number of fine samples per coarse one: five minutes.
pub const HISTORY_FINE_IN_COARSE: u32 = 30;
/// Number of coarse samples kept: one day.
pub const HISTORY_COARSE_SAMPLES: usize = 288;
/// Maximum number of trunks, and of agents, with call counts in a sample of the history.
pub const HISTORY_TRUNKS: usize = 64;
/// Maximum number of live calls that the signalling loop describes before it processes calls again; takes about 1 ms.
pub const CALLS_PER_QUESTION: usize = 200;
/// Time for which faults are kept in the history, in minutes.
pub const HISTORY_TROUBLE_MINUTES: usize = 60;
/// Maximum number of faults of the last hour that are counted by party and code.
pub const HISTORY_TROUBLES: usize = 200;
/// Most recent calls remembered per fault, so that none is counted twice.
pub const HISTORY_TROUBLE_CALLS: usize = 32;
/// Maximum number of banned addresses that are listed.
pub const BANS_SHOWN: usize = 256;
/// Maximum number of known names listed in an error about an unknown one.
pub const NAMES_SHOWN: usize = 16;
/// Maximum length of a hint that is appended to its error on one line, in characters.
pub const HELP_IN_LINE_CHARS: usize = 100;
/// Maximum length of an unknown name in an error, in characters.
pub const NAMES_SHOWN_CHARS: usize = 64;
/// Total size of the header fields of an HTTP request, in bytes.
pub const HTTP_HEADER_BYTES: usize = 16 << 10;
/// Time without a response after which `/healthz` reports the signalling loop as stuck, in milliseconds.
pub const HEALTH_MILLISECONDS: u64 = 1000;
/// Time without a turn after which `/healthz` reports a media worker as stuck, in milliseconds. An idle worker has a
/// turn every second.
pub const WORKER_MILLISECONDS: u64 = 3000;
/// Time for remote parties to respond to the last BYEs at shutdown, in seconds.
pub const FAREWELL_SECONDS: u64 = 2;
/// Largest audio file in an agent's configuration, in bytes.
pub const AUDIO_FILE_BYTES: u64 = 64 << 20;
/// Maximum number of streams in one Ogg file, multiplexed and chained.
pub const OGG_STREAMS: usize = 64;
/// Maximum number of values in the codebooks and code word tables of a Vorbis stream, which its decoder keeps in memory
/// (Vorbis I §3.2.1). libvorbis needs up to 1.3 million.
pub const VORBIS_CODEBOOK_VALUES: u64 = 4 << 20;
/// Number of undecodable packets of an audio file after which its decoding stops.
pub const AUDIO_DAMAGED_PIECES: usize = 1000;
/// Longest `audio` of `hold`, in seconds.
pub const ANNOUNCEMENT_SECONDS: usize = 300;
/// Longest `music` of `hold`, in seconds.
pub const MUSIC_SECONDS: usize = 1800;
/// Time limit for `[speech]` to synthesize all texts of a configuration file, in seconds; shorter than a client waits
/// for a reload.
pub const SPEECH_SECONDS: u64 = 8;
/// Largest configuration file, in bytes.
pub const CONFIG_FILE_BYTES: u64 = 16 << 20;
/// Largest secret file, in bytes.
pub const SECRET_FILE_BYTES: u64 = 64 << 10;
/// Largest `routes_file`, in bytes: some three million lines.
pub const ROUTES_FILE_BYTES: u64 = 128 << 20;
/// Maximum number of texts synthesized concurrently.
pub const SPEECH_AT_ONCE: usize = 4;
/// Time for which a reload may read files and synthesize texts before the next reload has its turn, in seconds.
pub const RELOAD_SECONDS: u64 = 120;
/// Maximum number of reloads that read files concurrently, including abandoned ones that still wait for a disk.
pub const RELOADS_READING: usize = 4;
/// Maximum number of reloads that run or are queued.
pub const RELOADS: usize = 8;
/// Maximum number of warnings about the configuration file that are kept with their text.
pub const WARNINGS_TOLD: usize = 100;
/// Maximum number of changes listed in the response to a reload.
pub const CHANGES_TOLD: usize = 200;
/// Maximum number of changes listed in a reload's log line and event.
pub const CHANGES_IN_A_LINE: usize = 12;
/// Size of `[speech] cache`, in bytes.
pub const SPEECH_CACHE_BYTES: u64 = 64 << 20;
/// Largest file written by `[speech]`, in bytes.
pub const SPEECH_BYTES: u64 = 16 << 20;
/// Maximum number of bytes read of the error output of a program or web service.
pub const COMPLAINT_BYTES: u64 = 4096;
/// Maximum number of characters shown of the error output of a program or web service.
pub const COMPLAINT_CHARACTERS: usize = 200;
/// Longest `text` of `hold`, in bytes.
pub const SPEECH_TEXT_BYTES: usize = 4096;
/// Largest certificate file in an agent's configuration, in bytes.
pub const AGENT_FILE_BYTES: u64 = 4 << 20;
/// Longest `goodbye`, in seconds.
pub const GOODBYE_SECONDS: usize = 60;
/// Maximum number of `parameters` of one agent.
pub const AGENT_PARAMETERS: usize = 64;
/// Length of name and value of one agent parameter, in bytes.
pub const AGENT_PARAMETER_BYTES: usize = 4096;
/// Longest URL of a fork requested over HTTP, in bytes.
pub const FORK_URL_BYTES: usize = 2048;
/// Most calls in one response of `/v1/calls`.
pub const CALLS_LISTED: usize = 10_000;
/// Longest message from an agent, in bytes; a longer one is a protocol error.
pub const AGENT_MESSAGE_BYTES: usize = 16 << 20;
/// Number of bytes buffered for an agent's socket before they are written.
pub const AGENT_WRITE_BUFFER_BYTES: usize = 1024;
/// Maximum number of bytes read from an agent's WebSocket at once.
pub const AGENT_READ_BUFFER_BYTES: usize = 8192;
/// Initial size of the buffer for an agent's frames, in bytes: a message of 20 ms fits.
pub const AGENT_FRAME_BUFFER_BYTES: usize = 512;
/// Size of the pieces in which a long frame from an agent is processed, in bytes.
pub const AGENT_PIECE_BYTES: u64 = 4096;
/// Maximum number of bytes read from one agent before the others of its thread have their turn.
pub const AGENT_SLICE_BYTES: usize = 16 << 10;
/// Number of bytes that an agent may send at full speed: the length of 20 minutes of audio.
pub const AGENT_BURST_BYTES: i64 = 16 << 20;
/// Number of bytes per second accepted from an agent beyond its burst: hundreds of times real time.
pub const AGENT_BYTES_PER_SECOND: i64 = 4 << 20;
/// Number of bytes charged for each frame from an agent in addition to its length.
pub const AGENT_FRAME_COST_BYTES: i64 = 256;
/// Longest time limit that a probe of an agent may have.
pub const AGENT_PROBE_WAIT: Duration = Duration::from_secs(10);
/// Time after a first failed probe of an agent until it is repeated, if the interval `probe` is longer.
pub const AGENT_PROBE_AGAIN: Duration = Duration::from_secs(5);
/// Pause in reading from an agent that exceeds its rate.
pub const AGENT_PAUSE: Duration = Duration::from_millis(20);
/// Maximum number of bytes of an incomplete message that an agent may send even if the edge's memory limit is reached:
/// a minute of audio.
pub const AGENT_GATHERED_BYTES: u64 = 1 << 20;
/// Number of pongs waiting to be sent to an agent above which its WebSocket is not read.
pub const AGENT_PONGS_UNFLUSHED: usize = 256;
/// Approximate number of bytes that the system buffers for an agent: a second of both tracks.
pub const AGENT_SEND_BUFFER_BYTES: u32 = 32 << 10;
/// Maximum number of addresses of an agent's host that are tried.
pub const AGENT_ADDRESSES: usize = 8;
/// Time that a call waits for the first lookup of an agent's host.
pub const AGENT_NAME_WAIT: Duration = Duration::from_secs(1);
/// Interval of lookups of an agent's host.
pub const AGENT_NAME_REFRESH: Duration = Duration::from_secs(30);
/// Time for which an agent's address remains in use if the name server does not respond.
pub const AGENT_NAME_KEPT: Duration = Duration::from_secs(86_400);
/// Maximum number of agent hosts with cached addresses.
pub const AGENT_NAMES: usize = 1024;
/// Maximum number of concurrent lookups of agents' hosts, each on a thread of its own; further ones wait.
pub const AGENT_LOOK_UPS: usize = 32;
/// Time limit for one lookup of an agent's host.
pub const AGENT_ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for which data sent to an agent may stay unacknowledged, as in docs/configure/agents.md.
pub const AGENT_UNACKNOWLEDGED: Duration = Duration::from_secs(3);
/// Maximum number of copies of packets to one destination in a system call: the kernel's limit (`UDP_MAX_SEGMENTS` of
/// older kernels).
pub const COPIES_PER_SEND: usize = 64;
/// Maximum number of bytes in one batch of copied packets, below the largest datagram.
pub const COPY_BATCH_BYTES: usize = 60_000;
/// Time to gather copied packets into a batch; shorter than the receiver's jitter buffer.
pub const COPY_PAUSE: Duration = Duration::from_millis(5);
/// Maximum number of destinations with a pending batch of copied packets, for each worker.
pub const COPY_DESTINATIONS: usize = 16;
/// Interval after which segmentation offload is tried again for a destination without it, because the route may have
/// changed.
pub const COPY_CUT_AGAIN: Duration = Duration::from_secs(60);
/// System's send buffer for copied packets in bytes, for each worker.
pub const COPY_SEND_BUFFER_BYTES: usize = 1 << 20;
/// Time limit of an agent trial (`doctor`), in seconds.
pub const AGENT_TRIAL_SECONDS: u64 = 10;
/// Largest file played by a test call, in bytes.
pub const PLAYED_BYTES: u64 = 32 << 20;
/// Longest audio played by a test call, in seconds.
pub const PLAYED_SECONDS: usize = 1800;
/// Longest recording of a test call in seconds; later audio is not recorded.
pub const RECORDED_SECONDS: usize = 1800;
/// Maximum number of text message commands of calls queued for the store thread; further ones are dropped and counted.
pub const SMS_ORDERS: usize = 8192;
/// Size of a web service's response in addition to its body, in bytes, including provisional responses and chunk sizes.
pub const WEB_HEAD_BYTES: u64 = 256 << 10;
/// Time for which a SIP message is held until the text message of its call is stored, in milliseconds; less than T1
/// (RFC 3261 §17.2.1), after which the request is retransmitted.
pub const SMS_HELD_MILLISECONDS: u64 = 400;
/// Maximum number of text message commands processed together.
pub const SMS_BATCH: usize = 256;
/// Maximum number of concurrent requests about text messages.
pub const SMS_REQUESTS: usize = 16;
/// Largest response to a text message request, in bytes.
pub const SMS_ANSWER_BYTES: u64 = 4 << 20;
/// Number of a recipient's latest messages at Twilio among which a message is looked up whose request got no clear
/// response.
pub const SMS_LISTED: u32 = 100;
/// Time after an abandoned request before a message that is not found counts as not accepted, in seconds.
pub const SMS_SETTLE_SECONDS: u64 = 5;
/// Initial delay after a failed request to a text message service, in milliseconds; it doubles with each failure.
pub const SMS_BACKOFF_FIRST_MILLISECONDS: u64 = 1_000;
/// Longest delay after failed requests to a text message service, in seconds.
pub const SMS_BACKOFF_MOST_SECONDS: u64 = 300;
/// Longest Retry-After accepted from a text message service, in seconds.
pub const SMS_RETRY_AFTER_SECONDS: u64 = 3_600;
/// Minimum interval between checks of the text message queue, in milliseconds.
pub const SMS_PAUSE_MILLISECONDS: u64 = 20;
/// Retry interval while the text message store cannot be read, in seconds.
pub const SMS_STORE_PAUSE_SECONDS: u64 = 10;
/// Waiting time of a text message that `status` reports as a problem, in seconds.
pub const SMS_STUCK_SECONDS: u64 = 120;
/// Period in which text messages are counted, in seconds.
pub const SMS_DAY_SECONDS: i64 = 86_400;
/// Time for which sent text messages are remembered, in seconds, so that no look-up takes one for another and the count
/// of a day stays complete.
pub const SMS_KEPT_SECONDS: i64 = 2 * 86_400;
/// Interval at which remembered text messages are removed, in seconds.
pub const SMS_FORGET_SECONDS: u64 = 3_600;
/// Time for which an API message waits for its service if `[sms] expires` is not set, in seconds.
pub const MESSAGE_EXPIRES_SECONDS: u64 = 4 * 3600;
/// Maximum number of messages of the API and replies queued for their services; further ones are rejected.
pub const MESSAGES_QUEUED: i64 = 50_000;
/// Maximum number of messages of the API that are stored.
pub const MESSAGES_KEPT: i64 = 100_000;
/// Time for which messages of the API are stored, in seconds.
pub const MESSAGES_KEPT_SECONDS: i64 = 30 * 86_400;
/// Maximum number of replies from one number to one recipient in [`MESSAGE_LOOP_SECONDS`]; more replies count as a loop
/// of automatic ones.
pub const MESSAGE_REPLIES: i64 = 15;
/// Period in which replies are counted to detect a loop, in seconds.
pub const MESSAGE_LOOP_SECONDS: i64 = 30;
/// Maximum number of concurrent webhook requests for incoming messages.
pub const MESSAGE_WEBHOOKS: usize = 64;
/// Lifetime of cookies set by webhooks for messages from one sender to one number, in seconds, as on Twilio.
pub const MESSAGE_COOKIE_SECONDS: u64 = 4 * 3600;
/// Maximum number of pairs of a sender and a number with stored cookies.
pub const MESSAGE_COOKIE_JARS: usize = 2000;
/// Maximum number of concurrent webhook requests for incoming messages per host and port.
pub const MESSAGE_WEBHOOKS_OF_HOST: usize = 8;
/// Maximum number of message states that become callbacks in one change of the store.
pub const MESSAGE_REPORTS_AT_ONCE: usize = 100;
/// Maximum length of a displayed error text of Twilio, in characters.
pub const SMS_COMPLAINT_CHARACTERS: usize = 200;
/// A trunk is a problem in `status` if at least one in this many of its calls in the last hour had no audio from it.
pub const UNHEARD_ONE_IN: u64 = 10;
/// Minimum number of calls without audio from a trunk in the last five minutes that are a problem, if their share
/// reaches [`UNHEARD_ONE_IN`] too.
pub const UNHEARD_LEAST: u64 = 3;
/// Minimum number of consecutive failed calls of an agent that `status` reports as a problem.
pub const AGENT_FAILED_LEAST: u64 = 3;
/// Interval at which current problems are determined, in seconds.
pub const PROBLEMS_EVERY_SECONDS: u64 = 5;
/// A trunk or agent is a problem in `status` if at least one in this many of its recent calls failed, and at least
/// [`REJECTED_OFTEN`] calls.
pub const REJECTED_ONE_IN: u64 = 5;
/// Minimum number of failed calls for [`REJECTED_ONE_IN`].
pub const REJECTED_OFTEN: u64 = 5;
/// Minimum number of rejections that are a problem if they make up half of a trunk's calls, or its latest calls in a
/// row.
pub const REJECTED_LEAST: u64 = 3;
/// Minimum number of rejections that are a problem if they make up all of a trunk's calls.
pub const REJECTED_ALL: u64 = 2;
/// Number of consecutive rejections after which a trunk is said to reject all calls.
pub const REJECTED_ROW: u64 = 8;
/// A trunk is a problem in `status` if it rejected at least one in this many of its recent calls, and at least
/// [`REJECTED_LEAST`] calls.
pub const REJECTED_FEW_ONE_IN: u64 = 3;
/// Minimum number of failed calls of an agent that are a problem if they make up half of its latest calls.
pub const AGENT_FAILED_HALF: u64 = 2;
/// Minimum number of calls in the last hour for a trunk's mean MOS to be a problem.
pub const POOR_LEAST: u64 = 3;
/// Maximum number of different rejections listed in a problem.
pub const REJECTIONS_TOLD: usize = 3;
/// Longest URL of a webhook, in bytes.
pub const WEBHOOK_URL_BYTES: usize = 4096;
/// Time limit of a webhook including redirects and retries, in milliseconds (15 s at Twilio).
pub const WEBHOOK_TOTAL_MILLISECONDS: u64 = 15_000;
/// Time limit for the TCP connection of a webhook, in milliseconds, unless its URL sets another.
pub const WEBHOOK_CONNECT_MILLISECONDS: u64 = 5_000;
/// Longest connection time limit that a URL may set, in milliseconds.
pub const WEBHOOK_CONNECT_MOST_MILLISECONDS: u64 = 10_000;
/// Shortest time limit that a URL may set, in milliseconds.
pub const WEBHOOK_LEAST_MILLISECONDS: u64 = 100;
/// Most retries that the URL of a webhook may set.
pub const WEBHOOK_RETRIES: u32 = 5;
/// Pause before a retry, in milliseconds.
pub const WEBHOOK_RETRY_PAUSE_MILLISECONDS: u64 = 100;
/// Maximum number of redirects followed per webhook.
pub const WEBHOOK_REDIRECTS: u32 = 10;
/// Maximum number of addresses tried of a webhook's host; they share the time limit of one connection.
pub const WEBHOOK_ADDRESSES: usize = 4;
/// Maximum number of concurrent name lookups for webhooks; a slow name server blocks one thread for each.
pub const WEBHOOK_LOOK_UPS: usize = 64;
/// Maximum number of concurrent name lookups for the webhooks of one application.
pub const WEBHOOK_LOOK_UPS_OF_ONE: usize = 8;
/// Time that a name lookup for a webhook waits for its application's limit, in milliseconds.
pub const WEBHOOK_LOOK_UP_WAIT_MILLISECONDS: u64 = 5_000;
/// Time before a webhook's host is looked up again after a failure, in seconds.
pub const WEBHOOK_UNKNOWN_HOST_SECONDS: u64 = 5;
/// Maximum number of hosts of webhooks that are remembered after a failed lookup.
pub const WEBHOOK_UNKNOWN_HOSTS: usize = 1024;
/// Maximum number of concurrent requests for documents; further ones wait up to their time limit.
pub const WEBHOOKS_AT_ONCE: usize = 1024;
/// Maximum number of concurrent requests for documents per application.
pub const WEBHOOKS_AT_ONCE_OF_ONE: usize = 256;
/// Divisor that gives the concurrent requests reserved for each application, from its limit.
pub const WEBHOOKS_RESERVED_ONE_IN: usize = 16;
/// Maximum number of concurrent callbacks, in addition to documents.
pub const WEBHOOK_CALLBACKS_AT_ONCE: usize = 512;
/// Maximum number of concurrent callbacks of one application.
pub const WEBHOOK_CALLBACKS_AT_ONCE_OF_ONE: usize = 256;
/// Maximum number of requests of applications queued for their thread; further ones fail at once.
pub const APP_QUESTIONS: usize = 1024;
/// Maximum number of requests of applications processed concurrently. At the limit, applications below their share, and
/// one request of each application, are still served.
pub const APP_QUESTIONS_AT_ONCE: usize = 4096;
/// Time to send the callbacks of applications at shutdown, in seconds.
pub const APP_LAST_SECONDS: u64 = 3;
/// Maximum number of alerts queued between the check of problems and the sending thread; further ones are dropped and
/// counted.
pub const ALERT_QUEUE: usize = 4096;
/// Maximum number of alerts that wait for their receiver.
pub const ALERTS_WAITING: usize = 4096;
/// Longest pause between two attempts to send an alert, in seconds.
pub const ALERT_PAUSE_MOST_SECONDS: u64 = 60;
/// Time after which an alert is abandoned, in seconds.
pub const ALERT_GIVE_UP_SECONDS: u64 = 86_400;
/// Maximum number of callbacks queued between the signalling loop and the sending thread; further ones are dropped and
/// counted.
pub const CALLBACK_QUEUE: usize = 8192;
/// Maximum number of outbox rows written in one change of the store.
pub const OUTBOX_BATCH: usize = 64;
/// Maximum number of outbox rows of one kind waiting for delivery, in the store and in memory; beyond the limit, the
/// newest rows of the largest share are dropped and counted.
pub const OUTBOX_WAITING: usize = 100_000;
/// Longest interval of checks for outbox rows that others write in their own transactions, in seconds.
pub const OUTBOX_LOOK_SECONDS: u64 = 60;
/// Number of bytes charged to a share of the outbox for each row in addition to its size.
pub const OUTBOX_COST_BYTES: usize = 1024;
/// Factor for the weight of an outbox share with a host that did not respond to the last attempt.
pub const OUTBOX_FAILING_WEIGHT: usize = 64;
/// Size of all outbox rows of one kind, in bytes.
pub const OUTBOX_BYTES: usize = 128 << 20;
/// Number of bytes of the bodies of outbox rows in memory above which the bodies of stored rows are dropped from
/// memory, and read again for their delivery.
pub const OUTBOX_HELD_BYTES: usize = 16 << 20;
/// Maximum number of bytes of outbox rows in memory that the store has not accepted; further rows are dropped and
/// counted.
pub const OUTBOX_HELD_MOST_BYTES: usize = 32 << 20;
/// Maximum number of concurrent attempts to deliver callbacks.
pub const CALLBACKS_AT_ONCE: usize = 256;
/// Maximum number of concurrent callbacks to one host and port.
pub const CALLBACKS_AT_ONCE_OF_HOST: usize = 96;
/// Maximum number of concurrent callbacks to a host that has not responded yet.
pub const CALLBACKS_AT_ONCE_OF_UNKNOWN: usize = 8;
/// Maximum number of concurrent callbacks to a host that did not respond to the last one.
pub const CALLBACKS_AT_ONCE_OF_FAILING: usize = 2;
/// Initial delay after a failed callback, in milliseconds; it doubles with each failure.
pub const CALLBACK_PAUSE_MILLISECONDS: u64 = 1000;
/// Longest delay between two attempts of a callback, in seconds.
pub const CALLBACK_PAUSE_MOST_SECONDS: u64 = 300;
/// Time after which a callback is abandoned, in seconds.
pub const CALLBACK_GIVE_UP_SECONDS: u64 = 86_400;
/// Maximum number of attempts of one callback listed in the trace of its call.
pub const CALLBACK_ATTEMPTS_TRACED: u32 = 10;
/// Number of failed attempts of one callback from which `status` reports a problem.
pub const CALLBACK_ATTEMPTS_TOLD: u32 = 2;
/// Number of consecutive failed callbacks of an application from which `status` reports a problem.
pub const CALLBACK_FAILED_IN_ROW: u64 = 10;
/// Maximum number of characters shown in a trace of a webhook's response.
pub const APP_BODY_SHOWN_CHARS: usize = 512;
/// Longest sound that an application may play, in seconds.
pub const PLAY_SECONDS: usize = 1800;
/// Time limit for synthesizing one text of an application, in seconds.
pub const SAY_SECONDS: u64 = 10;
/// Maximum number of audio files of applications decoded concurrently, at most one per application.
pub const APP_DECODED_AT_ONCE: usize = 2;
/// Maximum number of texts of applications synthesized concurrently.
pub const APP_SPOKEN_AT_ONCE: usize = 8;
/// Maximum number of texts synthesized concurrently per application.
pub const APP_SPOKEN_AT_ONCE_OF_ONE: usize = 4;
/// Maximum size of the cache of decoded sounds and synthesized speech of applications, in bytes.
pub const APP_SOUNDS_BYTES: usize = 64 << 20;
/// Size of the headers of a webhook response, in bytes.
pub const WEBHOOK_HEAD_BYTES: usize = 64 << 10;
/// Maximum number of documents and sounds of one application that a check of the configuration examines.
pub const APP_FILES_CHECKED: usize = 500;
/// Largest document from a webhook or a file, in bytes (64 KB at Twilio).
pub const WEBHOOK_DOCUMENT_BYTES: u64 = 64 << 10;
/// Maximum number of idle webhook connections kept for reuse.
pub const WEBHOOK_IDLE_CONNECTIONS: usize = 128;
/// Maximum number of idle webhook connections kept per host.
pub const WEBHOOK_IDLE_CONNECTIONS_OF_ONE: usize = 16;
/// Time for which an idle webhook connection is kept, in milliseconds: less than the minute after which most servers
/// and gateways close it.
pub const WEBHOOK_IDLE_MILLISECONDS: u64 = 30_000;
/// Lifetime of a webhook connection, in milliseconds; after it the host's name is looked up again.
pub const WEBHOOK_CONNECTION_MILLISECONDS: u64 = 300_000;
/// Time to read the rest of a response after the end of its request, before its connection is closed, in milliseconds.
pub const WEBHOOK_SETTLE_MILLISECONDS: u64 = 250;
/// Size of the cache of fetched audio files, in bytes.
pub const MEDIA_CACHE_BYTES: usize = 256 << 20;
/// Number of files in the cache of fetched audio.
pub const MEDIA_CACHE_FILES: usize = 4096;
/// Maximum number of concurrent fetches of audio files.
pub const MEDIA_FETCHES: usize = 256;
/// Maximum number of concurrent fetches of audio files for one application, each of at most [`AUDIO_FILE_BYTES`].
pub const MEDIA_FETCHES_OF_ONE: usize = 64;
/// Maximum number of concurrent fetches of audio files from one server.
pub const MEDIA_FETCHES_OF_SERVER: usize = 16;
/// Maximum number of bytes of audio files in memory during all concurrent fetches.
pub const MEDIA_FETCHED_BYTES: usize = 512 << 20;
/// Maximum number of bytes of audio files in memory during the fetches of one application: three of the largest files.
pub const MEDIA_FETCHED_BYTES_OF_ONE: usize = 192 << 20;
/// Number of bytes of audio files that every application may fetch regardless of the others: a few dozen prompts.
pub const MEDIA_FETCHED_BYTES_ALWAYS: usize = 8 << 20;
/// Time for which fetched audio is used without revalidation, in seconds.
pub const MEDIA_FRESH_SECONDS: u64 = 86_400;
/// Maximum size of the frames of recordings queued for the writer, in bytes: 10 s of 200 recordings; further blocks are
/// lost.
pub const RECORDINGS_QUEUE_BYTES: usize = 64 << 20;
/// Maximum number of ended recordings that wait for their files to be closed; further ones are closed by a later check
/// of the index.
pub const RECORDINGS_CLOSING: usize = 4096;
/// Amount of audio gathered before it is written to a recording's file, in frames of 20 ms. A crash loses less than one
/// second, including the current block.
pub const RECORDINGS_FLUSH_FRAMES: u64 = 20;
/// Maximum silence written into a recording for a gap before others have their turn, in frames of 20 ms.
pub const RECORDINGS_SILENCE_FRAMES: u64 = 90_000;
/// Interval at which a recording retries after its disk has rejected data, in milliseconds.
pub const RECORDINGS_PAUSE_MILLISECONDS: u64 = 500;
/// Interval of write checks on the recordings' disk, in milliseconds.
pub const RECORDINGS_PROBE_MILLISECONDS: u64 = 5000;
/// Size of the file for write checks, in bytes.
pub const RECORDINGS_PROBE_BYTES: usize = 256 << 10;
/// Interval of checks for expired and incomplete recordings, in seconds.
pub const RECORDINGS_LOOK_SECONDS: u64 = 300;
/// Retry interval for recording entries that the store rejected, in seconds.
pub const RECORDINGS_RETRY_SECONDS: u64 = 5;
/// Time for which `status` reports lost audio of recordings, in seconds.
pub const RECORDINGS_LOSS_SHOWN_SECONDS: u64 = 3600;
/// Number of consecutive complete recordings after which earlier lost audio is no longer a problem.
pub const RECORDINGS_WHOLE_IN_ROW: u64 = 3;
/// Maximum number of recording entries queued for the store; further ones are read from their files later, or lost if
/// there is no file.
pub const RECORDINGS_UNINDEXED: usize = 10_000;
/// Largest file of a recording entry, in bytes.
pub const RECORDINGS_UNINDEXED_BYTES: u64 = 64 << 10;
/// Maximum number of recordings deleted or completed before others are closed.
pub const RECORDINGS_AT_ONCE: usize = 100;
/// Maximum number of files in the recordings directory compared with the index at once.
pub const RECORDINGS_SWEPT_AT_ONCE: usize = 1_000;
/// Time for which the entry of a deleted recording is kept, in days, as on Twilio.
pub const RECORDINGS_TOMBSTONE_DAYS: u32 = 40;
/// Maximum number of concurrent transcription requests, each with up to [`TRANSCRIPTION_AUDIO_BYTES`] in memory.
pub const TRANSCRIPTIONS_AT_ONCE: usize = 2;
/// Longest audio sent for transcription, in bytes: 27 min of WAV, 2.8 h of mono Opus.
pub const TRANSCRIPTION_AUDIO_BYTES: usize = 25 << 20;
/// Longest response of the transcription service, in bytes.
pub const TRANSCRIPTION_ANSWER_BYTES: u64 = 1 << 20;
/// Longest text in a transcription callback, in bytes.
pub const TRANSCRIPTION_REPORT_BYTES: usize = 64 << 10;
/// Time limit for one transcription request, in seconds.
pub const TRANSCRIPTION_SECONDS: u64 = 600;
/// Time, in addition to the length of the recording, after which `status` names a pending transcription request, in
/// seconds.
pub const TRANSCRIPTION_PATIENCE_SECONDS: u64 = 30;
/// Time for which `status` names an abandoned transcription, in seconds.
pub const TRANSCRIPTION_FAILED_SECONDS: u64 = 86_400;
/// Initial delay after a failed transcription request, in seconds.
pub const TRANSCRIPTION_PAUSE_SECONDS: u64 = 5;
/// Longest delay between two transcription requests, in seconds.
pub const TRANSCRIPTION_PAUSE_MOST_SECONDS: u64 = 600;
/// Longest Retry-After accepted from the transcription service, in seconds.
pub const TRANSCRIPTION_RETRY_AFTER_SECONDS: u64 = 3600;
/// Time after which a transcription is abandoned, in seconds.
pub const TRANSCRIPTION_TRIED_SECONDS: u64 = 86_400;
/// Longest line in a mail server's reply, in bytes: RFC 5321 §4.5.3.1.5 allows 512, some servers send more.
pub(crate) const SMTP_LINE_BYTES: usize = 2048;
/// Maximum number of lines per reply of a mail server.
pub(crate) const SMTP_REPLY_LINES: usize = 64;
/// Maximum number of e-mails sent concurrently, each with up to [`MAIL_AUDIO_BYTES`] in memory plus a third for the
/// encoding.
pub const MAILS_AT_ONCE: usize = 2;
/// Longest audio attached to an e-mail, in bytes: 11 min of mono WAV.
pub const MAIL_AUDIO_BYTES: u64 = 10 << 20;
/// Time limit for one attempt to send an e-mail, in seconds.
pub const MAIL_SECONDS: u64 = 300;
/// Time after which `status` names a pending attempt to send an e-mail, in seconds.
pub const MAIL_PATIENCE_SECONDS: u64 = 30;
/// Time limit for the reply to QUIT, in seconds.
pub const MAIL_QUIT_SECONDS: u64 = 5;
/// Initial delay after a failed attempt to send an e-mail, in seconds.
pub const MAIL_PAUSE_SECONDS: u64 = 30;
/// Longest delay between two attempts to send an e-mail, in seconds.
pub const MAIL_PAUSE_MOST_SECONDS: u64 = 1800;
/// Time after which an e-mail is abandoned, in seconds.
pub const MAIL_TRIED_SECONDS: u64 = 2 * 86_400;
/// Time for which an e-mail waits for the transcription of its message, in seconds.
pub const MAIL_TEXT_SECONDS: u64 = 300;
/// Longest transcription text in an e-mail, in bytes.
pub const MAIL_TEXT_BYTES: usize = 64 << 10;
/// Time for which `status` reports an abandoned e-mail, in seconds.
pub const MAIL_FAILED_SECONDS: u64 = 86_400;
/// Number of recordings listed by a request without `limit`.
pub const HTTP_RECORDINGS: usize = 50;
/// Most recordings listed by a request.
pub const HTTP_RECORDINGS_MOST: usize = 1000;
/// Maximum number of bytes of a recording read at once for a client.
pub const HTTP_RECORDING_PART_BYTES: usize = 64 << 10;
/// Longest range of a recording that does not count as listening, in bytes: players read it to detect the file format.
pub const HTTP_RECORDING_PROBE_BYTES: u64 = 1024;
/// Maximum number of bytes of a recording read for its waveform; a longer one is sampled evenly.
pub const WAVEFORM_READ_BYTES: u64 = 128 << 20;
/// Maximum number of bytes of a recording read at once for its waveform.
pub const WAVEFORM_PART_BYTES: usize = 64 << 10;
/// Maximum number of waveforms cached in memory.
pub const WAVEFORMS_KEPT: usize = 64;
/// Time for which a cookie grants access to a recording's audio, in seconds.
pub const LISTENING_SECONDS: u64 = 3600;
/// Minimum number of failed TLS handshakes with a trunk's peers, without a successful one, that are a problem of the
/// trunk.
pub const TLS_FAULTS_OF_TRUNK: u64 = 3;
