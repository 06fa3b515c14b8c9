//! Hard limits of the shell, each with its unit in its name.

use std::time::Duration;

/// Callers of a queue that `/v1/queues` lists; its size is that of all.
pub const QUEUE_CALLS_SHOWN: usize = 100;
/// Queues that `/metrics` has a series of: those with the most callers. The rest is counted together.
pub const QUEUE_SERIES: usize = 50;
/// Items taken from one source (a socket, a queue) before the others have their turn.
pub const BATCH_ITEMS: usize = 64;
/// Messages read from all sockets before those that wait have their turn.
pub const INTAKE_ITEMS: usize = 512;
/// Messages served before the sockets are read again.
pub const TURN_ITEMS: usize = 64;
/// How long they are served before that, once one is done, in microseconds.
pub const TURN_MICROSECONDS: u64 = 2_000;
/// Orders taken in one turn.
pub const TURN_ORDERS: usize = 16;
/// Datagrams that wait for a socket whose send buffer is full; more are dropped and counted.
pub const UDP_QUEUE_DATAGRAMS: usize = 1024;
/// Wanted size of a SIP socket's kernel buffers, in bytes; the system may grant less.
pub const UDP_BUFFER_BYTES: usize = 4 << 20;
/// How often one datagram is given to the system while that reports ICMP errors of others.
pub const UDP_SEND_ATTEMPTS: usize = 8;
/// What is read of the datagram that an ICMP error quotes, in bytes: its beginning (RFC 1812 §4.3.2.3).
pub const ICMP_QUOTE_BYTES: usize = 1024;
/// Largest datagram there is, in bytes.
pub const UDP_DATAGRAM_BYTES: usize = 65_535;
/// Stream connections in all.
pub const CONNECTIONS: usize = 4096;
/// Of these, with addresses of no trunk and without a registration; a further one evicts one of them.
pub const UNKNOWN_CONNECTIONS: usize = 1024;
/// How long a connection with an address of no trunk may be without a registration, in seconds.
pub const UNREGISTERED_SECONDS: u64 = 30;
/// Stream connections with one address.
pub const CONNECTIONS_PER_SOURCE: usize = 64;
/// Stream connections of a trunk's address beyond these: each evicts the oldest one without a call or a registration, but none
/// of as many newest ones, of which no message may have come yet.
pub const SPARE_CONNECTIONS_PER_SOURCE: usize = 8;
/// Messages that wait for one stream connection to take them.
pub const CONNECTION_QUEUE_MESSAGES: usize = 256;
/// How long a TLS handshake may take, in seconds.
pub const HANDSHAKE_SECONDS: u64 = 4;
/// TLS handshakes under way in all; a further one pushes the oldest out.
pub const HANDSHAKES: usize = 512;
/// TLS handshakes under way with one address; a further one pushes the oldest of that address out.
pub const HANDSHAKES_PER_SOURCE: usize = 16;
/// TLS handshakes under way with addresses of no trunk; a further one pushes out the oldest of the address that has the most.
pub const UNKNOWN_HANDSHAKES: usize = 64;
/// Connections begun with addresses of no trunk, a second, on each listener: so many as the first of their address in that
/// second, and as many further ones; more are closed without a byte.
pub const UNKNOWN_HANDSHAKES_PER_SECOND: u32 = 50;
/// Of these, begun with one address, or one network of 64 bits of IPv6.
pub const UNKNOWN_HANDSHAKES_PER_SOURCE_PER_SECOND: u32 = 10;
/// Of these, begun with one /48 of IPv6: what one subscriber may have.
pub const UNKNOWN_HANDSHAKES_PER_SITE_PER_SECOND: u32 = 20;
/// Addresses of no trunk that this is remembered of; further ones are closed without a byte.
pub const UNKNOWN_SOURCES: usize = 4096;
/// Longest certificate of a far end, in bytes: each of its names is compared with those of the trunks.
pub const CERTIFICATE_BYTES: usize = 16 << 10;
/// How long nothing is accepted after the system has refused, in milliseconds.
pub const ACCEPT_PAUSE_MILLISECONDS: u64 = 100;
/// A complaint that repeats itself is logged once in so many seconds.
pub const COMPLAINT_SECONDS: u64 = 10;
/// Largest file of certificates or of a private key, in bytes.
pub const CERTIFICATE_FILE_BYTES: u64 = 4 << 20;
/// How often the files of certificates are looked at for a change, in seconds.
pub const CERTIFICATES_REFRESH_SECONDS: u64 = 5;
/// An end of one of our certificates within so many days is warned of.
pub const CERTIFICATE_WARNING_DAYS: i64 = 14;
/// How often that is said again, in seconds.
pub const CERTIFICATE_WARNING_SECONDS: u64 = 86_400;
/// How long a request of an ACME order may take, in seconds.
pub const ACME_REQUEST_SECONDS: u64 = 30;
/// How long the authority may take for the proofs of an order, and for its certificate, in seconds.
pub const ACME_STEP_SECONDS: u64 = 120;
/// How long a whole ACME order may take, in seconds.
pub const ACME_ORDER_SECONDS: u64 = 300;
/// Largest answer of an ACME authority, in bytes.
pub const ACME_ANSWER_BYTES: u64 = 256 << 10;
/// Largest file with an ACME account, or with a certificate obtained by it, in bytes.
pub const ACME_ACCOUNT_BYTES: u64 = 1 << 20;
/// First pause after a failed ACME order, in seconds.
pub const ACME_PAUSE_SECONDS: u64 = 300;
/// Longest pause after failed ACME orders, in seconds.
pub const ACME_PAUSE_MOST_SECONDS: u64 = 6 * 3_600;
/// Longest Retry-After of an ACME authority that is followed, in seconds: the longest rate limit of Let's Encrypt.
pub const ACME_RETRY_AFTER_SECONDS: u64 = 7 * 86_400;
/// Most that is added to the Retry-After of an ACME authority, in seconds.
pub const ACME_RETRY_JITTER_SECONDS: u64 = 60;
/// Shortest time between a new certificate and the next order, in seconds.
pub const ACME_LEAST_PAUSE_SECONDS: u64 = 30;
/// Longest time without a look at the clock while no ACME order is due, in seconds.
pub const ACME_LOOK_SECONDS: u64 = 600;
/// Connections to the listener for ACME challenges at once; a further one replaces the oldest.
pub const ACME_CHALLENGE_CONNECTIONS: usize = 64;
/// How long such a connection may last, in seconds.
pub const ACME_CHALLENGE_SECONDS: u64 = 10;
/// Largest head of a request for an ACME challenge, in bytes: the least that hyper takes.
pub const ACME_CHALLENGE_HEAD_BYTES: usize = 8 << 10;
/// How long a connection may take to come up, in seconds.
pub const CONNECT_SECONDS: u64 = 4;
/// A connection on which nothing is received for this long is closed, in seconds.
pub const CONNECTION_IDLE_SECONDS: u64 = 1800;
/// From the first byte of a message on a connection to its last, in seconds.
pub const MESSAGE_SECONDS: u64 = 10;
/// How long the headers of a message on a connection may stop between two lines before they are refused, in seconds: the
/// empty line behind them is missing.
pub const NEXT_LINE_SECONDS: u64 = 4;
/// Until the first message on a connection that was opened to us, in seconds; keep-alives are none.
pub const FIRST_MESSAGE_SECONDS: u64 = 30;
/// How long one write to a connection may take, in seconds.
pub const WRITE_SECONDS: u64 = 10;
/// How long a connection that is being closed may still be written and read empty, in seconds.
pub const LINGER_SECONDS: u64 = 2;
/// News from connections that wait for the signalling loop.
pub const TRANSPORT_EVENTS: usize = 1024;
/// Questions and orders that wait for the signalling loop.
pub const ORDERS: usize = 256;
/// Questions of calls about names that wait for whoever keeps the names; more find nothing.
pub const NAME_QUESTIONS: usize = 256;
/// Names looked up at once for calls; more find nothing.
pub const LOOKUPS: usize = 128;
/// Names that are kept, those of peers included; calls find nothing about further ones.
pub const NAMES: usize = 1024;
/// How long the answer to one question to DNS may take, in seconds.
pub const LOOKUP_SECONDS: u64 = 2;
/// How long one name server may take before it is asked again or another is, in milliseconds.
pub(crate) const NAME_SERVER_MILLISECONDS: u64 = 1000;
/// Records of one answer of DNS that are looked at.
pub(crate) const DNS_RECORDS: usize = 64;
/// What was found of a name is asked for again after this time at the earliest, in seconds.
pub const NAME_LEAST_SECONDS: u64 = 5;
/// The same at the latest: a file of hosts says nothing of when it changes.
pub const NAME_MOST_SECONDS: u64 = 600;
/// The same where DNS does not say, in seconds.
pub const NAME_UNSAID_SECONDS: u64 = 60;
/// A name that is not found is asked for again after this time at the latest, in seconds.
pub const NAME_PAUSE_SECONDS: u64 = 300;
/// The same for a peer's name that has no address at all, in seconds. Ours: its trunk takes no call, and one question in ten
/// seconds is no burden for a resolver.
pub const NAME_OUT_SECONDS: u64 = 10;
/// Changed names wait this long for others before they are put in force, in milliseconds.
pub const NAMES_PATIENCE_MILLISECONDS: u64 = 100;
/// Changed routes and addresses wait this long for others before they are read, in milliseconds.
pub const ROUTES_PATIENCE_MILLISECONDS: u64 = 200;
/// How often the machine's addresses and routes are read again even if no change is noticed, in seconds.
pub const INTERFACES_REFRESH_SECONDS: u64 = 30;
/// Messages and reports that wait to be sent to the capture server; more are lost and counted.
pub const HEP_QUEUE: usize = 8_192;
/// At the end of the edge, what waits for it is sent within this time, in seconds.
pub const HEP_LAST_SECONDS: u64 = 2;
/// The capture server's name is looked up anew after this time, in seconds, and as often where it is not found.
pub const HEP_LOOK_AGAIN_SECONDS: u64 = 30;
/// How long `status` tells that a packet could not be sent to it, in seconds: they go only while there are calls.
pub const HEP_TOLD_SECONDS: u64 = 600;
/// Calls that wait to be made into spans; more are lost and counted.
pub const OTEL_QUEUE: usize = 1024;
/// What spans take that wait for the collector, in bytes; more are lost and counted.
pub const OTEL_HELD_BYTES: usize = 16 << 20;
/// Spans in one request; a call of more is one of its own.
pub const OTEL_BATCH_SPANS: usize = 512;
/// The same in bytes.
pub const OTEL_BATCH_BYTES: usize = 4 << 20;
/// Spans wait this long for others, in seconds.
pub const OTEL_BATCH_SECONDS: u64 = 5;
/// The longest pause of ours before the collector is asked again, in seconds.
pub const OTEL_PAUSE_SECONDS: u64 = 30;
/// The longest that it may ask for itself (Retry-After), in seconds.
pub const OTEL_RETRY_AFTER_SECONDS: u64 = 300;
/// At the end of the edge, what waits for the collector is sent within this time, in seconds.
pub const OTEL_LAST_SECONDS: u64 = 5;
/// How much of a collector's answer is read, in bytes.
pub const OTEL_ANSWER_BYTES: u64 = 64 << 10;
/// Between two lines in the log about a collector that does not take spans, in seconds.
pub const OTEL_COMPLAINT_SECONDS: u64 = 60;
/// Events of one span: as many as OpenTelemetry's own limit has; of more, the beginning and the end stay.
pub const OTEL_EVENTS: usize = 128;
/// Characters of one text in a span.
pub const OTEL_TEXT_CHARS: usize = 1024;
/// Calls that have begun, and call records, that wait for their writer; more are lost and counted.
pub const REPORTS: usize = 32_768;
/// Lines in the journal of live calls beyond two for each, before it is written anew.
pub const JOURNAL_SPARE_LINES: usize = 4096;
/// Free space of a disk that the edge writes to, in bytes, below which `doctor` fails …
pub const DISK_LEAST_BYTES: u64 = 64 << 20;
/// … and below which it warns.
pub const DISK_LOW_BYTES: u64 = 1 << 30;
/// Changes that wait for the store; one too many fails.
pub const STORE_JOBS: usize = 4096;
/// Changes that one write to the disk serves.
pub const STORE_BATCH: usize = 256;
/// How long a change that nobody waits for lets others come to it, in milliseconds.
pub const STORE_GATHER_MILLISECONDS: u64 = 10;
/// How long a reload waits for the store, in seconds: meanwhile no call is written into the journal.
pub const STORE_PATIENCE_SECONDS: u64 = 2;
/// How long the store's file is left alone after it could not be opened, in milliseconds.
pub const STORE_PAUSE_MILLISECONDS: u64 = 1000;
/// How often a store that refuses changes is tried, in milliseconds.
pub const STORE_PROBE_MILLISECONDS: u64 = 2000;
/// Ended calls that are stored for the API's lists; beyond them the oldest go.
pub const CALLS_STORED: usize = 250_000;
/// Calls that `/v1/calls` looks through, those of memory and of the store together: as many as memory has of ended ones.
pub const CALLS_SHOWN: usize = 10_000;
/// Ended calls that are on their way into the store at once.
pub const CALLS_UNDER_WAY: usize = 1024;
/// Ended calls that are kept while the store takes none; more are lost and counted.
pub const CALLS_UNWRITTEN: usize = 10_000;
/// Removed calls that are remembered: more than memory has of ended ones.
pub const CALLS_REMOVED: usize = 20_000;
/// How often calls that are over their time are looked for, in seconds.
pub const CALLS_PRUNE_SECONDS: u64 = 60;
/// Stored calls removed at once …
pub const CALLS_PRUNED_AT_ONCE: usize = 500;
/// … and the pause before the next ones, in milliseconds.
pub const CALLS_PRUNE_MILLISECONDS: u64 = 100;
/// Stored calls read at once, so that others have their turn with the store.
pub const CALLS_READ_AT_ONCE: usize = 200;
/// How much of the end of a file of call records is searched for calls that the journal still holds, in bytes.
pub const RECORDS_SEARCHED_BYTES: u64 = 1 << 20;
/// Files of call records that are searched so: the one that is written, and the newest beside it.
pub const RECORDS_FILES_SEARCHED: usize = 16;
/// Call records that are kept while the disk takes none; more are lost and counted.
pub const RECORDS_KEPT: usize = 10_000;
/// The same in bytes.
pub const RECORDS_KEPT_BYTES: usize = 64 << 20;
/// How long the file of call records, and the table of counts by the day, are left alone after they took none, in milliseconds.
pub const RECORDS_PAUSE_MILLISECONDS: u64 = 1000;
/// Call records that are under way to the URL at once.
pub const CDR_AT_ONCE: usize = 4;
/// How long a connection to it may take, name and TLS included, in seconds.
pub const CDR_CONNECT_SECONDS: u64 = 5;
/// What is read of its answer, in bytes, so that the connection can be used again.
pub const CDR_ANSWER_BYTES: u64 = 64 << 10;
/// For how long, in milliseconds.
pub const CDR_DRAIN_MILLISECONDS: u64 = 1000;
/// Longest pause between two attempts, in seconds.
pub const CDR_PAUSE_SECONDS: u64 = 300;
/// Longest pause that a `Retry-After` is granted, in seconds.
pub const CDR_RETRY_AFTER_SECONDS: u64 = 3600;
/// After so many refusals, with others taken meanwhile, a record is put aside.
pub const CDR_REFUSALS: u32 = 8;
/// How long records may still be sent when the edge ends, in seconds; the rest is sent after the next start.
pub const CDR_FAREWELL_SECONDS: u64 = 2;
/// Log lines that wait to be written; more are lost and counted.
pub(crate) const LOG_LINES: usize = 8192;
/// Between two writes of log lines, in milliseconds: what was logged meanwhile is written at once.
pub(crate) const LOG_PAUSE_MILLISECONDS: u64 = 20;
/// HTTP connections at once.
pub const HTTP_CONNECTIONS: usize = 256;
/// HTTP connections beyond these where all of them are serving a request: for loopback, and for probes of others.
pub const HTTP_CONNECTIONS_RESERVED: usize = 16;
/// Those of one address (of one /64 in IPv6): a further one takes the place of its oldest incomplete one. Loopback, where a
/// proxy may be, has them all.
pub const HTTP_CONNECTIONS_OF_ONE: usize = 64;
/// Who connects and asks for nothing is let go, in seconds.
pub const HTTP_FIRST_BYTE_SECONDS: u64 = 5;
/// An HTTP connection that neither gives nor takes a byte for this long is closed, in seconds.
pub const HTTP_IDLE_SECONDS: u64 = 30;
/// From the first byte of an HTTP request to the first of its answer, in seconds: dripping byte by byte keeps no
/// connection.
pub const HTTP_ARRIVAL_SECONDS: u64 = 15;
/// How long one HTTP request may take, in seconds.
pub const HTTP_REQUEST_SECONDS: u64 = 10;
/// Connections of proxy clients to other hosts at once.
pub const PROXY_TUNNELS: usize = 64;
/// A connection of a proxy client to another host on which no byte passes for this long is closed, in seconds.
pub const PROXY_TUNNEL_IDLE_SECONDS: u64 = 300;
/// How long looking up another host and connecting to it may take, in seconds; less than `HTTP_REQUEST_SECONDS`.
pub const PROXY_CONNECT_SECONDS: u64 = 8;
/// Refused requests of the proxy that wait for a listener in this process; of more it misses the oldest.
pub const PROXY_REFUSALS: usize = 256;
/// Host names whose certificates the proxy keeps.
pub(crate) const PROXY_HOSTS: usize = 64;
/// Bytes of HTTP answers that clients have not read, of all answers larger than [`HTTP_PART_BYTES`]; further ones get 503.
pub const HTTP_UNREAD_BYTES: usize = 32 << 20;
/// Part of an HTTP answer that is handed to a connection at once, in bytes; a connection holds a few.
pub const HTTP_PART_BYTES: usize = 16 << 10;
/// Bytes that an HTTP connection holds for a client that does not read, and of a request that is not whole.
pub const HTTP_CONNECTION_BYTES: usize = 64 << 10;
/// HTTP requests that read, of those that are worked off at once.
pub const HTTP_READING: usize = 8;
/// Parameters of an HTTP form, or of a query.
pub const HTTP_PARAMETERS: usize = 256;
/// Largest body of an HTTP request, in bytes.
pub const HTTP_BODY_BYTES: usize = 64 << 10;
/// Requests of one source (in IPv6 of one /64) with wrong credentials of one account in a minute; further ones get 429, late.
pub const HTTP_GUESSES_PER_MINUTE: u32 = 10;
/// How late, in seconds; less than `HTTP_REQUEST_SECONDS`.
pub const HTTP_GUESS_DELAY_SECONDS: u64 = 1;
/// Characters of a secret that cannot be found by trying over HTTP.
pub const SECRET_CHARACTERS: usize = 16;
/// HTTP requests of a source with wrong credentials in an hour that are no slip.
pub const HTTP_LOGIN_FAILURES: u64 = 3;
/// Sources of such requests that are kept.
pub const HTTP_LOGIN_SOURCES: usize = 256;
/// Requests to the Twilio-compatible API that are shown, the latest.
pub const API_REQUESTS_SHOWN: usize = 200;
/// Failed requests to it that are shown beside them.
pub const API_FAILURES_SHOWN: usize = 100;
/// How long a Play waits for a recording of the edge's own that is being completed, in seconds.
pub const OWN_RECORDING_SECONDS: u64 = 5;
/// Such recordings that are read at once, of which one application has one place.
pub const OWN_RECORDINGS_READ_AT_ONCE: usize = 8;
/// Characters of a cookie's name that are shown.
pub const COOKIE_NAME_SHOWN: usize = 64;
/// Ignored parameters of one of its requests that the call's trace names.
pub const API_IGNORED_SHOWN: usize = 5;
/// Names of ignored parameters of its requests that are counted.
pub const API_IGNORED_NAMES: usize = 100;
/// Requests to webhooks of text messages that are shown.
pub const MESSAGE_WEBHOOKS_SHOWN: usize = 100;
/// Longest time that the party of a requested call may ring, in seconds.
pub const CALL_RING_SECONDS: u64 = 600;
/// Longest time limit of a requested call, in seconds.
pub const CALL_LIMIT_SECONDS: u64 = 86_400;
/// Targets of each kind that the request for a call may name.
pub const CALL_TARGETS: usize = 16;
/// API keys at once.
pub const API_KEYS: usize = 1000;
/// Sources and accounts whose wrong credentials are counted at once.
pub const HTTP_GUESSERS: usize = 4096;
/// Whoever follows `/v1/events` at once; each has a connection of those.
pub const EVENT_LISTENERS: usize = 32;
/// Events that a listener may be behind before it misses some.
pub const EVENTS_KEPT: usize = 1024;
/// How often a listener to whom nothing happens is sent a comment, in seconds: less than an idle connection has.
pub const EVENT_COMMENT_SECONDS: u64 = 2;
/// How far two of the fine samples of the history are apart, in seconds.
pub const HISTORY_FINE_SECONDS: u64 = 10;
/// How many of those are kept: an hour.
pub const HISTORY_FINE_SAMPLES: usize = 360;
/// How many of those make a coarse one: five minutes.
pub const HISTORY_FINE_IN_COARSE: u32 = 30;
/// How many of those are kept: a day.
pub const HISTORY_COARSE_SAMPLES: usize = 288;
/// Trunks, and agents, of which a sample has the calls.
pub const HISTORY_TRUNKS: usize = 64;
/// Live calls that the signalling loop describes before it goes on with calls: about 1 ms.
pub const CALLS_PER_QUESTION: usize = 200;
/// Minutes for which it is told what went wrong.
pub const HISTORY_TROUBLE_MINUTES: usize = 60;
/// Faults of the last hour that are counted by party and code.
pub const HISTORY_TROUBLES: usize = 200;
/// The latest calls of each of them that are known, so that none is counted twice.
pub const HISTORY_TROUBLE_CALLS: usize = 32;
/// Addresses that are banned, as far as they are listed.
pub const BANS_SHOWN: usize = 256;
/// Names that an answer lists where another one was asked for.
pub const NAMES_SHOWN: usize = 16;
/// Characters of a hint that is shown in the line of its error, where all is one line.
pub const HELP_IN_LINE_CHARS: usize = 100;
/// Characters that are shown of a name which is not known.
pub const NAMES_SHOWN_CHARS: usize = 64;
/// All header fields of an HTTP request together, in bytes.
pub const HTTP_HEADER_BYTES: usize = 16 << 10;
/// How long a loop may take to answer before `/healthz` says that it is stuck, in milliseconds.
pub const HEALTH_MILLISECONDS: u64 = 1000;
/// How long a media worker may be without a turn before `/healthz` says that it is stuck, in milliseconds. An idle one
/// turns once a second.
pub const WORKER_MILLISECONDS: u64 = 3000;
/// How long the far ends have to answer the last BYEs before the process ends, in seconds.
pub const FAREWELL_SECONDS: u64 = 2;
/// Largest audio file that an agent's keys name, in bytes.
pub const AUDIO_FILE_BYTES: u64 = 64 << 20;
/// Streams in one Ogg file, side by side and one behind the other.
pub const OGG_STREAMS: usize = 64;
/// Values in the codebooks of a Vorbis stream, and in the tables of their code words, which its decoder keeps in memory (Vorbis I
/// §3.2.1); libvorbis needs up to 1.3 million.
pub const VORBIS_CODEBOOK_VALUES: u64 = 4 << 20;
/// Pieces of an audio file that cannot be decoded before the file is given up.
pub const AUDIO_DAMAGED_PIECES: usize = 1000;
/// Longest `audio` of `hold`, in seconds.
pub const ANNOUNCEMENT_SECONDS: usize = 300;
/// Longest `music` of `hold`, in seconds.
pub const MUSIC_SECONDS: usize = 1800;
/// How long `[speech]` may take for all texts of a file together, in seconds: less than whoever asks for a reload waits.
pub const SPEECH_SECONDS: u64 = 8;
/// Largest configuration file, in bytes.
pub const CONFIG_FILE_BYTES: u64 = 16 << 20;
/// Largest file of a secret, in bytes.
pub const SECRET_FILE_BYTES: u64 = 64 << 10;
/// Largest `routes_file`, in bytes: some three million lines.
pub const ROUTES_FILE_BYTES: u64 = 128 << 20;
/// Texts that are said side by side.
pub const SPEECH_AT_ONCE: usize = 4;
/// How long a reload may read files and have texts said, in seconds, before the next has its turn.
pub const RELOAD_SECONDS: u64 = 120;
/// Reloads whose files are read, those included that were given up and still wait for a disk.
pub const RELOADS_READING: usize = 4;
/// Reloads that wait for their turn or are under way.
pub const RELOADS: usize = 8;
/// Warnings of the configuration file that are kept with their text.
pub const WARNINGS_TOLD: usize = 100;
/// Changes that a reload names in its answer, and how many of them in a line of the log and in its event.
pub const CHANGES_TOLD: usize = 200;
/// See [`CHANGES_TOLD`].
pub const CHANGES_IN_A_LINE: usize = 12;
/// What `[speech] cache` may hold, in bytes.
pub const SPEECH_CACHE_BYTES: u64 = 64 << 20;
/// Largest file that it may write, in bytes.
pub const SPEECH_BYTES: u64 = 16 << 20;
/// What is read of the complaints of a program or a web service, in bytes.
pub const COMPLAINT_BYTES: u64 = 4096;
/// What is told of them, in characters.
pub const COMPLAINT_CHARACTERS: usize = 200;
/// Longest `text` of `hold`, in bytes.
pub const SPEECH_TEXT_BYTES: usize = 4096;
/// Largest file of certificates that an agent's keys name, in bytes.
pub const AGENT_FILE_BYTES: u64 = 4 << 20;
/// Longest `goodbye`, in seconds.
pub const GOODBYE_SECONDS: usize = 60;
/// `parameters` of one agent.
pub const AGENT_PARAMETERS: usize = 64;
/// Name and value of one of an agent's `parameters` together, in bytes.
pub const AGENT_PARAMETER_BYTES: usize = 4096;
/// Longest URL of a fork that is asked for over HTTP, in bytes.
pub const FORK_URL_BYTES: usize = 2048;
/// Most calls in one answer of `/v1/calls`.
pub const CALLS_LISTED: usize = 10_000;
/// Bytes of one message from an agent; a longer one is a protocol error.
pub const AGENT_MESSAGE_BYTES: usize = 16 << 20;
/// Bytes that an agent's socket gathers before they are written at the latest.
pub const AGENT_WRITE_BUFFER_BYTES: usize = 1024;
/// Bytes read from an agent's socket at once.
pub const AGENT_READ_BUFFER_BYTES: usize = 8192;
/// Bytes of the buffer that an agent's frames are put together in, until one is longer: a message of 20 ms fits.
pub const AGENT_FRAME_BUFFER_BYTES: usize = 512;
/// Bytes of the pieces in which a long frame from an agent is handed on.
pub const AGENT_PIECE_BYTES: u64 = 4096;
/// Bytes read from one agent before the others on its thread have their turn.
pub const AGENT_SLICE_BYTES: usize = 16 << 10;
/// Bytes that an agent may send at full speed: 20 minutes of audio.
pub const AGENT_BURST_BYTES: i64 = 16 << 20;
/// Bytes a second that are read of an agent beyond that: hundreds of times real time.
pub const AGENT_BYTES_PER_SECOND: i64 = 4 << 20;
/// What a frame from an agent costs of these besides its bytes.
pub const AGENT_FRAME_COST_BYTES: i64 = 256;
/// How long a probe of an agent may take at most.
pub const AGENT_PROBE_WAIT: Duration = Duration::from_secs(10);
/// When an agent that has not answered a probe is asked again, if `probe` is longer.
pub const AGENT_PROBE_AGAIN: Duration = Duration::from_secs(5);
/// How long an agent that sent too much is not read.
pub const AGENT_PAUSE: Duration = Duration::from_millis(20);
/// Bytes of a message that is not complete which an agent may have come whatever the edge holds: a minute of audio.
pub const AGENT_GATHERED_BYTES: u64 = 1 << 20;
/// Pings of an agent whose answers wait for its socket; past that it is read no further.
pub const AGENT_PONGS_UNFLUSHED: usize = 256;
/// Bytes that wait for an agent in the system, about: a second of both tracks.
pub const AGENT_SEND_BUFFER_BYTES: u32 = 32 << 10;
/// Addresses of an agent's host that are tried.
pub const AGENT_ADDRESSES: usize = 8;
/// How long a call waits for the address of an agent's host, of which nothing is known yet.
pub const AGENT_NAME_WAIT: Duration = Duration::from_secs(1);
/// How often the hosts of agents are looked up.
pub const AGENT_NAME_REFRESH: Duration = Duration::from_secs(30);
/// How long an answer is used where the name service does not respond any more.
pub const AGENT_NAME_KEPT: Duration = Duration::from_secs(86_400);
/// Hosts of agents whose addresses are kept.
pub const AGENT_NAMES: usize = 1024;
/// Names of agents that are looked up at once, each by a thread; further ones wait.
pub const AGENT_LOOK_UPS: usize = 32;
/// How long one of them may take to answer.
pub const AGENT_ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an agent's end of the connection may leave what was sent to it unacknowledged (the contract's 3 s).
pub const AGENT_UNACKNOWLEDGED: Duration = Duration::from_secs(3);
/// Copies for one place that leave in one system call: the kernel's own limit (`UDP_MAX_SEGMENTS` of older ones).
pub const COPIES_PER_SEND: usize = 64;
/// Bytes of these: below the largest datagram.
pub const COPY_BATCH_BYTES: usize = 60_000;
/// How long a copy waits for others: a listener's own jitter buffer is longer.
pub const COPY_PAUSE: Duration = Duration::from_millis(5);
/// Places that copies are gathered for at once, for each worker.
pub const COPY_DESTINATIONS: usize = 16;
/// Where the system does not cut batches into packets, it is asked again after this time: the way there may have changed.
pub const COPY_CUT_AGAIN: Duration = Duration::from_secs(60);
/// What the system may hold of copies on their way, for each worker.
pub const COPY_SEND_BUFFER_BYTES: usize = 1 << 20;
/// Until a trial of an agent's socket (`doctor`) is given up, in seconds.
pub const AGENT_TRIAL_SECONDS: u64 = 10;
/// Longest file that a test call plays, in bytes.
pub const PLAYED_BYTES: u64 = 32 << 20;
/// The same in seconds.
pub const PLAYED_SECONDS: usize = 1800;
/// What is recorded of a test call, in seconds; what follows is not.
pub const RECORDED_SECONDS: usize = 1800;
/// What calls say of texts that waits for the thread that keeps them; more is lost and counted.
pub const SMS_ORDERS: usize = 8192;
/// What an answer of a web service may have besides its body, provisional answers and chunk sizes included, in bytes.
pub const WEB_HEAD_BYTES: u64 = 256 << 10;
/// Call and answer wait so long at most for the text to be kept, in milliseconds: less than T1 (RFC 3261 §17.2.1), after
/// which it is sent again.
pub const SMS_HELD_MILLISECONDS: u64 = 400;
/// Of this, taken in at once.
pub const SMS_BATCH: usize = 256;
/// Requests about texts at once.
pub const SMS_REQUESTS: usize = 16;
/// Largest answer to one, in bytes.
pub const SMS_ANSWER_BYTES: u64 = 4 << 20;
/// Messages to a recipient that are looked through for one that may have been taken.
pub const SMS_LISTED: u32 = 100;
/// After a request was given up, what it sent is not looked for in vain before so many seconds.
pub const SMS_SETTLE_SECONDS: u64 = 5;
/// The pause after a first failure, in milliseconds; it doubles with each.
pub const SMS_BACKOFF_FIRST_MILLISECONDS: u64 = 1_000;
/// The longest pause, in seconds.
pub const SMS_BACKOFF_MOST_SECONDS: u64 = 300;
/// The longest Retry-After that is kept to, in seconds.
pub const SMS_RETRY_AFTER_SECONDS: u64 = 3_600;
/// Least time between two looks at the queue, in milliseconds.
pub const SMS_PAUSE_MILLISECONDS: u64 = 20;
/// Where the file of texts cannot be read, it is tried again after so many seconds.
pub const SMS_STORE_PAUSE_SECONDS: u64 = 10;
/// A text that has waited for so many seconds is a problem.
pub const SMS_STUCK_SECONDS: u64 = 120;
/// The time in which texts are counted, in seconds.
pub const SMS_DAY_SECONDS: i64 = 86_400;
/// How long what was sent is remembered, in seconds: no message of a call is taken for that of another, and a day is counted.
pub const SMS_KEPT_SECONDS: i64 = 2 * 86_400;
/// How often older ones are forgotten, in seconds.
pub const SMS_FORGET_SECONDS: u64 = 3_600;
/// How long a message of the API waits for its service where `[sms] expires` says nothing, in seconds.
pub const MESSAGE_EXPIRES_SECONDS: u64 = 4 * 3600;
/// Messages of the API and replies that wait for their services; more are refused.
pub const MESSAGES_QUEUED: i64 = 50_000;
/// Messages of the API that are kept.
pub const MESSAGES_KEPT: i64 = 100_000;
/// How long they are kept, in seconds.
pub const MESSAGES_KEPT_SECONDS: i64 = 30 * 86_400;
/// Replies from one number to one recipient in [`MESSAGE_LOOP_SECONDS`]; more are taken for a loop of automatic replies.
pub const MESSAGE_REPLIES: i64 = 15;
/// Time in which such replies are counted, in seconds.
pub const MESSAGE_LOOP_SECONDS: i64 = 30;
/// Webhooks of messages to the edge that are requested at once.
pub const MESSAGE_WEBHOOKS: usize = 64;
/// Time for which webhooks of messages from one sender to one number have the cookies that they set, as at Twilio.
pub const MESSAGE_COOKIE_SECONDS: u64 = 4 * 3600;
/// Pairs of sender and number whose cookies are kept.
pub const MESSAGE_COOKIE_JARS: usize = 2000;
/// Of these, to one host and port.
pub const MESSAGE_WEBHOOKS_OF_HOST: usize = 8;
/// Messages to the edge that are read at once for their turns.
pub const MESSAGE_TURNS_READ: usize = 1000;
/// States of messages that are made callbacks in one change of the store.
pub const MESSAGE_REPORTS_AT_ONCE: usize = 100;
/// Characters of a complaint of Twilio's that are shown.
pub const SMS_COMPLAINT_CHARACTERS: usize = 200;
/// One in so many calls of the last hour of a trunk that was not heard in them, and `status` says so.
pub const UNHEARD_ONE_IN: u64 = 10;
/// … of the last five minutes, where there were as many.
pub const UNHEARD_LEAST: u64 = 3;
/// Calls in a row in which an agent failed, and `status` says so.
pub const AGENT_FAILED_LEAST: u64 = 3;
/// Between two looks at the problems of now, in seconds.
pub const PROBLEMS_EVERY_SECONDS: u64 = 5;
/// One in so many calls of the last hour to a trunk that it rejected, and `status` says so …
pub const REJECTED_ONE_IN: u64 = 5;
/// … where there were as many …
pub const REJECTED_OFTEN: u64 = 5;
/// … or as many, and half of its calls or all of the latest.
pub const REJECTED_LEAST: u64 = 3;
/// … or as many, and all of its calls.
pub const REJECTED_ALL: u64 = 2;
/// Calls in a row that a trunk rejected, from which on it is said to reject all.
pub const REJECTED_ROW: u64 = 8;
/// One in so many calls of at least [`REJECTED_LEAST`] that it rejected, and `status` says so.
pub const REJECTED_FEW_ONE_IN: u64 = 3;
/// Calls in which an agent failed, at least half of its latest, and `status` says so.
pub const AGENT_FAILED_HALF: u64 = 2;
/// Calls of the last hour from which on a trunk's mean score is a problem.
pub const POOR_LEAST: u64 = 3;
/// Different rejections that are told there.
pub const REJECTIONS_TOLD: usize = 3;
/// Longest URL of a webhook, in bytes.
pub const WEBHOOK_URL_BYTES: usize = 4096;
/// Time of a webhook in all, redirects and further tries included, in milliseconds (Twilio's 15 s).
pub const WEBHOOK_TOTAL_MILLISECONDS: u64 = 15_000;
/// Time for the TCP connection of a webhook, in milliseconds, unless its URL says otherwise.
pub const WEBHOOK_CONNECT_MILLISECONDS: u64 = 5_000;
/// Longest such time that a URL may ask for, in milliseconds.
pub const WEBHOOK_CONNECT_MOST_MILLISECONDS: u64 = 10_000;
/// Shortest time that a URL may ask for, in milliseconds.
pub const WEBHOOK_LEAST_MILLISECONDS: u64 = 100;
/// Most further tries that the URL of a webhook may ask for.
pub const WEBHOOK_RETRIES: u32 = 5;
/// Pause before a further try, in milliseconds.
pub const WEBHOOK_RETRY_PAUSE_MILLISECONDS: u64 = 100;
/// Redirects that one webhook follows.
pub const WEBHOOK_REDIRECTS: u32 = 10;
/// Addresses of a webhook's host that are tried; they share the time of one connection.
pub const WEBHOOK_ADDRESSES: usize = 4;
/// Look-ups for webhooks at once; a slow name server keeps a thread for each.
pub const WEBHOOK_LOOK_UPS: usize = 64;
/// Of these, of one application.
pub const WEBHOOK_LOOK_UPS_OF_ONE: usize = 8;
/// Time that a look-up of an application waits for its others, in milliseconds.
pub const WEBHOOK_LOOK_UP_WAIT_MILLISECONDS: u64 = 5_000;
/// Time that a name is not looked up again after a look-up failed, in seconds.
pub const WEBHOOK_UNKNOWN_HOST_SECONDS: u64 = 5;
/// Names that are remembered so.
pub const WEBHOOK_UNKNOWN_HOSTS: usize = 1024;
/// Documents asked for at once; further requests wait as long as they may take.
pub const WEBHOOKS_AT_ONCE: usize = 1024;
/// Of these, of one application.
pub const WEBHOOKS_AT_ONCE_OF_ONE: usize = 256;
/// Of the requests that one application may have under way at once, the part that no other application takes from it.
pub const WEBHOOKS_RESERVED_ONE_IN: usize = 16;
/// Callbacks under way at once, apart from documents.
pub const WEBHOOK_CALLBACKS_AT_ONCE: usize = 512;
/// Of these, of one application.
pub const WEBHOOK_CALLBACKS_AT_ONCE_OF_ONE: usize = 256;
/// Questions of applications that wait for the thread that answers them; beyond that they fail at once.
pub const APP_QUESTIONS: usize = 1024;
/// Questions of applications that are answered at once; where there are so many, those of an application below its share are still
/// answered, and one of each in any case.
pub const APP_QUESTIONS_AT_ONCE: usize = 4096;
/// Time that notifications of applications have at the end of the process, in seconds.
pub const APP_LAST_SECONDS: u64 = 3;
/// Callbacks on their way from the signalling loop to the thread that sends them; more are dropped and counted.
pub const CALLBACK_QUEUE: usize = 8192;
/// Rows of the outbox that one change of the store writes.
pub const OUTBOX_BATCH: usize = 64;
/// Rows of one kind that wait for their receivers, in the store and in memory; beyond that the newest of the greatest share are dropped
/// and counted.
pub const OUTBOX_WAITING: usize = 100_000;
/// Longest time between two looks at rows that others write, in seconds.
pub const OUTBOX_LOOK_SECONDS: u64 = 60;
/// Bytes that a row counts in its share beyond its own.
pub const OUTBOX_COST_BYTES: usize = 1024;
/// How many times a share counts whose host gave no answer to the last attempt.
pub const OUTBOX_FAILING_WEIGHT: usize = 64;
/// The same of all together in bytes.
pub const OUTBOX_BYTES: usize = 128 << 20;
/// Bytes of rows in memory from which on those that are stored are read again when their turn comes.
pub const OUTBOX_HELD_BYTES: usize = 16 << 20;
/// The same of those that the store does not take; more are dropped and counted.
pub const OUTBOX_HELD_MOST_BYTES: usize = 32 << 20;
/// Callbacks under way at once …
pub const CALLBACKS_AT_ONCE: usize = 256;
/// … to one host and port …
pub const CALLBACKS_AT_ONCE_OF_HOST: usize = 96;
/// … to one that has not answered yet …
pub const CALLBACKS_AT_ONCE_OF_UNKNOWN: usize = 8;
/// … and to one that gave no answer to the last.
pub const CALLBACKS_AT_ONCE_OF_FAILING: usize = 2;
/// Pause after the first attempt that failed, in milliseconds; each further pause is twice as long …
pub const CALLBACK_PAUSE_MILLISECONDS: u64 = 1000;
/// … up to so many seconds.
pub const CALLBACK_PAUSE_MOST_SECONDS: u64 = 300;
/// A callback is given up after this time, in seconds.
pub const CALLBACK_GIVE_UP_SECONDS: u64 = 86_400;
/// Attempts of one callback that the trace of its call shows.
pub const CALLBACK_ATTEMPTS_TRACED: u32 = 10;
/// Attempts of one callback that must fail before `status` has a problem.
pub const CALLBACK_ATTEMPTS_TOLD: u32 = 2;
/// The same of different callbacks of an application, with none delivered meanwhile.
pub const CALLBACK_FAILED_IN_ROW: u64 = 10;
/// Beginning of a webhook's answer that a trace shows, in characters.
pub const APP_BODY_SHOWN_CHARS: usize = 512;
/// Longest sound that an application may have played, in seconds.
pub const PLAY_SECONDS: usize = 1800;
/// Time for the speech of one text of an application, in seconds.
pub const SAY_SECONDS: u64 = 10;
/// Audio files of applications decoded at once, of which one application has one place.
pub const APP_DECODED_AT_ONCE: usize = 2;
/// Texts of applications spoken at once, …
pub const APP_SPOKEN_AT_ONCE: usize = 8;
/// … and of these, of one application.
pub const APP_SPOKEN_AT_ONCE_OF_ONE: usize = 4;
/// Decoded sounds and speech of applications that are kept for further calls, in bytes.
pub const APP_SOUNDS_BYTES: usize = 64 << 20;
/// Head of an answer to a webhook, in bytes.
pub const WEBHOOK_HEAD_BYTES: usize = 64 << 10;
/// Documents and sounds of one application that are looked at when the configuration is checked.
pub const APP_FILES_CHECKED: usize = 500;
/// Largest document that a webhook may answer with or a file may have, in bytes (Twilio's 64 KB).
pub const WEBHOOK_DOCUMENT_BYTES: u64 = 64 << 10;
/// Idle connections that are kept for further webhooks, in all.
pub const WEBHOOK_IDLE_CONNECTIONS: usize = 128;
/// Of these, with one host.
pub const WEBHOOK_IDLE_CONNECTIONS_OF_ONE: usize = 16;
/// Time that an idle one is kept, in milliseconds: less than the minute after which most servers and gateways close it.
pub const WEBHOOK_IDLE_MILLISECONDS: u64 = 30_000;
/// Time that a connection may be used in all, in milliseconds: after that the host's name is looked up again.
pub const WEBHOOK_CONNECTION_MILLISECONDS: u64 = 300_000;
/// Time for the end of an answered request before its connection is given up, in milliseconds.
pub const WEBHOOK_SETTLE_MILLISECONDS: u64 = 250;
/// Fetched audio that is kept for further calls, in bytes.
pub const MEDIA_CACHE_BYTES: usize = 256 << 20;
/// Files of fetched audio that are kept.
pub const MEDIA_CACHE_FILES: usize = 4096;
/// Audio files fetched at once.
pub const MEDIA_FETCHES: usize = 256;
/// Of these, for one application; each may have [`AUDIO_FILE_BYTES`].
pub const MEDIA_FETCHES_OF_ONE: usize = 64;
/// Of these, from one server.
pub const MEDIA_FETCHES_OF_SERVER: usize = 16;
/// Bytes that all of them together may have in memory.
pub const MEDIA_FETCHED_BYTES: usize = 512 << 20;
/// Of these, for one application: three of the largest files.
pub const MEDIA_FETCHED_BYTES_OF_ONE: usize = 192 << 20;
/// Bytes for one application that it gets however many the others have: of prompts, a few dozen.
pub const MEDIA_FETCHED_BYTES_ALWAYS: usize = 8 << 20;
/// Time that fetched audio may be used without asking its server again, in seconds.
pub const MEDIA_FRESH_SECONDS: u64 = 86_400;
/// Frames of recordings that wait for the writer, in bytes: 10 s of 200 recordings; a block beyond is lost.
pub const RECORDINGS_QUEUE_BYTES: usize = 64 << 20;
/// Recordings that have ended and whose files wait to be closed; one beyond is closed by a later look at the index.
pub const RECORDINGS_CLOSING: usize = 4096;
/// Audio that is gathered before it is written to a file, in frames of 20 ms: with the block under way, a crash costs less than 1 s.
pub const RECORDINGS_FLUSH_FRAMES: u64 = 20;
/// Silence that is written for a gap before other recordings have their turn, in frames of 20 ms.
pub const RECORDINGS_SILENCE_FRAMES: u64 = 90_000;
/// Time after which a recording is tried again on a disk that has refused it, in milliseconds.
pub const RECORDINGS_PAUSE_MILLISECONDS: u64 = 500;
/// Time between two looks whether the disk takes recordings, in milliseconds.
pub const RECORDINGS_PROBE_MILLISECONDS: u64 = 5000;
/// Length of the file that shows whether the disk takes recordings, in bytes.
pub const RECORDINGS_PROBE_BYTES: usize = 256 << 10;
/// Time between two looks for recordings that are over their time, or were not completed, in seconds.
pub const RECORDINGS_LOOK_SECONDS: u64 = 300;
/// Time after which entries of recordings that the store has refused are tried again, in seconds.
pub const RECORDINGS_RETRY_SECONDS: u64 = 5;
/// Time for which lost audio of recordings is a problem, in seconds.
pub const RECORDINGS_LOSS_SHOWN_SECONDS: u64 = 3600;
/// Whole recordings in a row after which earlier lost audio is no problem any more.
pub const RECORDINGS_WHOLE_IN_ROW: u64 = 3;
/// Entries of recordings that wait for the store; further ones are read from their files later, or lost where there is no file.
pub const RECORDINGS_UNINDEXED: usize = 10_000;
/// Bytes of an entry's file.
pub const RECORDINGS_UNINDEXED_BYTES: u64 = 64 << 10;
/// Recordings that are deleted or completed before others are closed.
pub const RECORDINGS_AT_ONCE: usize = 100;
/// Files in the directory of recordings that are compared with the index at once.
pub const RECORDINGS_SWEPT_AT_ONCE: usize = 1_000;
/// Time that the entry of a deleted recording stays, in days, as at Twilio.
pub const RECORDINGS_TOMBSTONE_DAYS: u32 = 40;
/// Requests for transcriptions under way; each may have [`TRANSCRIPTION_AUDIO_BYTES`] in memory.
pub const TRANSCRIPTIONS_AT_ONCE: usize = 2;
/// Longest audio that is sent to be transcribed, in bytes: 27 min of WAV, 2.8 h of mono Opus.
pub const TRANSCRIPTION_AUDIO_BYTES: usize = 25 << 20;
/// Longest answer of the service that transcribes, in bytes.
pub const TRANSCRIPTION_ANSWER_BYTES: u64 = 1 << 20;
/// Longest text in the callback of a transcription, in bytes.
pub const TRANSCRIPTION_REPORT_BYTES: usize = 64 << 10;
/// Time of one request for a transcription, in seconds.
pub const TRANSCRIPTION_SECONDS: u64 = 600;
/// A request for a transcription without an answer is named by `status` after this time, and after the length of its recording.
pub const TRANSCRIPTION_PATIENCE_SECONDS: u64 = 30;
/// A transcription that was given up is named by `status` for this time.
pub const TRANSCRIPTION_FAILED_SECONDS: u64 = 86_400;
/// Pause after the first failure of such a request, in seconds.
pub const TRANSCRIPTION_PAUSE_SECONDS: u64 = 5;
/// Longest pause between two such requests, in seconds.
pub const TRANSCRIPTION_PAUSE_MOST_SECONDS: u64 = 600;
/// Most that `Retry-After` of the service has effect for, in seconds.
pub const TRANSCRIPTION_RETRY_AFTER_SECONDS: u64 = 3600;
/// Time after which a transcription is given up, in seconds.
pub const TRANSCRIPTION_TRIED_SECONDS: u64 = 86_400;
/// Longest line of a reply of a mail server, in bytes: RFC 5321 §4.5.3.1.5 has 512, some send more.
pub(crate) const SMTP_LINE_BYTES: usize = 2048;
/// Lines of one such reply.
pub(crate) const SMTP_REPLY_LINES: usize = 64;
/// E-mails under way; each may have [`MAIL_AUDIO_BYTES`] in memory, and a third more as text.
pub const MAILS_AT_ONCE: usize = 2;
/// Longest audio that is attached to an e-mail, in bytes: 11 min of mono WAV.
pub const MAIL_AUDIO_BYTES: u64 = 10 << 20;
/// Time of one attempt to send an e-mail, in seconds.
pub const MAIL_SECONDS: u64 = 300;
/// An attempt to send an e-mail that has not ended is named by `status` after this time.
pub const MAIL_PATIENCE_SECONDS: u64 = 30;
/// Time that a mail server has to answer QUIT, in seconds.
pub const MAIL_QUIT_SECONDS: u64 = 5;
/// Pause after the first failure of such an attempt, in seconds.
pub const MAIL_PAUSE_SECONDS: u64 = 30;
/// Longest pause between two attempts, in seconds.
pub const MAIL_PAUSE_MOST_SECONDS: u64 = 1800;
/// Time after which an e-mail is given up, in seconds.
pub const MAIL_TRIED_SECONDS: u64 = 2 * 86_400;
/// Time that an e-mail waits for the transcription of its message, in seconds.
pub const MAIL_TEXT_SECONDS: u64 = 300;
/// Longest text of a transcription in an e-mail, in bytes.
pub const MAIL_TEXT_BYTES: usize = 64 << 10;
/// Time for which an e-mail that was given up is a problem of `status`, in seconds.
pub const MAIL_FAILED_SECONDS: u64 = 86_400;
/// Recordings that a request lists without `limit`.
pub const HTTP_RECORDINGS: usize = 50;
/// Most recordings that a request lists.
pub const HTTP_RECORDINGS_MOST: usize = 1000;
/// Audio of a recording that is read at once for a client, in bytes.
pub const HTTP_RECORDING_PART_BYTES: usize = 64 << 10;
/// A range of so few bytes is no audio that a listener hears: players read it to find out what a file is.
pub const HTTP_RECORDING_PROBE_BYTES: u64 = 1024;
/// Audio of a recording that is read for a waveform, in bytes: of a longer one evenly distributed parts.
pub const WAVEFORM_READ_BYTES: u64 = 128 << 20;
/// Audio that is read at once for it, in bytes.
pub const WAVEFORM_PART_BYTES: usize = 64 << 10;
/// Waveforms that are kept in memory.
pub const WAVEFORMS_KEPT: usize = 64;
/// Time for which a cookie opens the audio of a recording, in seconds.
pub const LISTENING_SECONDS: u64 = 3600;
/// Failed TLS handshakes of a trunk's machines, with none that succeeded, that are a problem of the trunk.
pub const TLS_FAULTS_OF_TRUNK: u64 = 3;
