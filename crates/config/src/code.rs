//! Codes of configuration errors, with the text of `trunkgate help CODE`. The meaning of a code never changes.

/// Error code of `check`, with its explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiagnosticCode {
    /// Identifier, for example `TG0104`.
    pub id: &'static str,
    /// Title of the error, one line.
    pub title: &'static str,
    /// Explanation of the error, and the remedy.
    pub text: &'static str,
}

macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = $title] pub const $name: DiagnosticCode = DiagnosticCode { id: $id, title: $title, text: $text };)*
        /// All error codes, in ascending order.
        pub const ALL: &[DiagnosticCode] = &[$($name),*];
    };
}

codes! {
    UNREADABLE = "TG0101", "configuration file not readable",
        "The configuration file does not exist, cannot be opened, is not UTF-8, is larger than 16 MiB, or contains no setting.\n\
         A file without settings is refused because a file looks like that while it is being written. Search order:\n\
         --config, $TRUNKGATE_CONFIG, ./trunkgate.toml, /etc/trunkgate/trunkgate.toml. `trunkgate init` writes a first file.";
    SYNTAX = "TG0102", "invalid TOML",
        "The file is not valid TOML 1.0 at this place: a quote, bracket, comma or value is missing. Strings, addresses and\n\
         durations need quotes: address = \"127.0.0.1:5060\".";
    WRONG_TYPE = "TG0103", "wrong value type",
        "The key expects another type, for example an integer instead of a string. Durations and addresses are strings;\n\
         [[listen]] and [[route]] need double brackets because there can be several.";
    UNKNOWN_KEY = "TG0104", "unknown key",
        "There is no key or table of this name here. Unknown keys are errors so that a typing mistake cannot silently\n\
         disable a setting. The message suggests the nearest known key.";
    BAD_VALUE = "TG0105", "invalid value",
        "The value has the right type but is not allowed, or out of range. The message lists the allowed values.";
    MISSING = "TG0106", "missing key",
        "The table requires this key: a route needs `connect`, a listener `address`, a peer `uri`.";
    DUPLICATE = "TG0107", "duplicate name",
        "A key, table, listener or route occurs twice. Names of listeners and routes appear in metrics, logs and other parts\n\
         of the file and must be unique. A number may occur in several [[number]] tables if each has other trunks in `from`.";
    BAD_ADDRESS = "TG0108", "invalid address, network or URI",
        "Listeners need an IP address and port (\"0.0.0.0:5060\", \"[::]:5060\"), networks a prefix length (\"10.0.0.0/8\"), peers\n\
         a SIP URI without a user part (\"sip:198.51.100.7:5060;transport=tcp\").";
    BAD_DURATION = "TG0109", "invalid duration",
        "Durations are strings of numbers with units: \"500ms\", \"30s\", \"10m\", \"1h30m\", \"2d\". \"0s\" and 0 mean off or no limit,\n\
         where the key allows 0.";
    BAD_SECRET = "TG0110", "secret not readable",
        "A secret is a string, { env = \"NAME\" } or { file = \"PATH\" } (relative to the configuration file). The environment\n\
         variable is not set, or the file cannot be read or is empty.";
    BAD_PATTERN = "TG0111", "invalid number pattern",
        "`to` and `caller` contain exact numbers (\"+14155551234\"), prefixes that end in `*` (\"+1415*\") and regular\n\
         expressions between slashes ('/^\\+44(\\d+)$/'), all compared after normalization to E.164. Spreadsheets convert\n\
         numbers to 1.41556E+10 and lose the last digits: format the column as text before entering numbers.";
    BAD_TARGET = "TG0112", "invalid target",
        "`connect` contains trunk:NAME, trunk:NAME/NUMBER, trunk:NAME/NUMBER@WEIGHT, agent:NAME, app:NAME, play:FILE,\n\
         voicemail:NAME, conference:NAME (no SID), group:NAME, sip:URI and reject:CODE (300 to 699), with {called},\n\
         {caller} or named groups of patterns, and tables { ring_all = [...] } of trunks and URIs that ring\n\
         simultaneously, each listed once. FILE is relative to the directory of the configuration and below it. `fork`\n\
         contains agent:NAME; `connect` of [api] contains trunk:NAME.";
    BAD_URL = "TG0113", "invalid agent URL",
        "`url` of an agent is a WebSocket URL: wss://HOST[:PORT]/PATH. ws:// is allowed for loopback and [edge]\n\
         local_networks only, because audio would otherwise cross the network unencrypted. A host name with ws:// passes\n\
         `check`; the connection is refused if the name resolves to another network. The query part after `?` is not sent\n\
         (Twilio does not send it either): use `parameters` to pass data to the agent.";
    BAD_FILE = "TG0114", "invalid file",
        "A file named by a key does not exist, cannot be read, or has the wrong format. `routes_file`: CSV in UTF-8 with a\n\
         header line that contains the column `to`, maximum 1 GiB. `ca`, `client_ca`, `certificate`: PEM certificates;\n\
         `private_key`: the PEM key of `certificate`. `goodbye`, `audio`, `music`: WAV (PCM, μ-law, A-law), MP3, Ogg Vorbis\n\
         or Ogg Opus, 8000 to 192000 Hz, maximum 64 MiB and 60 s, 5 minutes or 30 minutes. To convert other formats:\n\
         ffmpeg -i any.flac -ac 1 -ar 8000 -c:a pcm_s16le goodbye.wav. `play:FILE` of `connect`: the same formats, 5\n\
         minutes. `file` of an app: TwiML of at most 64 KiB. These two are below the directory of the configuration, also\n\
         after symbolic links.";
    EXPIRY = "TG0115", "certificate expired or expires soon",
        "A certificate in the file has expired or expires within 14 days. It is used nevertheless; peers that verify it will\n\
         reject it. Replace the files: the new certificate is loaded within seconds, without a reload.";
    UNVERIFIED = "TG0116", "peer certificate not verified",
        "With verify = false every certificate is accepted: the connection is encrypted, but the peer can be an impostor.\n\
         For a peer whose certificate is not signed by a public CA, put that certificate or its CA into `ca`.";
    NO_SUCH_TRUNK = "TG0120", "unknown trunk",
        "`from` or `connect` of a route, `from` of a [[number]] or `mwi` of a mailbox names a trunk without a [trunk.NAME] in\n\
         the file, or `siprec` of a route names a group of recording servers without a [siprec.NAME].";
    NO_SUCH_LISTENER = "TG0121", "unknown listener",
        "`listen` of a trunk names no [[listen]], or no listener has the transport of a peer.";
    UNREACHABLE = "TG0122", "unreachable route or target",
        "The first matching route handles the call. Every call of this route (or target) is matched by an earlier one: move\n\
         it up, narrow the earlier one, or remove it.";
    EPHEMERAL = "TG0123", "media ports overlap with ephemeral ports",
        "The kernel assigns ports of net.ipv4.ip_local_port_range to any program, so a media port can be in use when a call\n\
         needs it. Choose [media] ports outside that range, or change the range with sysctl.";
    TOKEN_REQUIRED = "TG0124", "HTTP API without a token",
        "Clients of the HTTP API can place and end calls. `token` in [http] is required on every address except loopback, and\n\
         with `public_url` on loopback too: a reverse proxy on this machine makes every client look like a local one. Set it\n\
         as { env = \"TRUNKGATE_TOKEN\" } or { file = \"PATH\" }.";
    TOO_FEW_PORTS = "TG0125", "too few media ports",
        "A call uses four ports: RTP and RTCP on each of its two legs. Widen [media] ports or lower [limits] calls.";
    SAME_SOCKET = "TG0126", "address used twice",
        "Two listeners, a listener and the HTTP API, or a UDP listener and the media ports use the same address and port.";
    NOBODY = "TG0127", "trunk without addresses",
        "Nothing identifies requests of this trunk: it needs `peers`, `accept_from`, certificate names that a CA verifies, or\n\
         `accept_register` with `require_auth`. Without `peers` or registered phones no call can be sent to it.";
    NO_PEERS = "TG0128", "target without peers",
        "The trunk has `accept_from` but no `peers`: calls can come from it, but none can be sent to it.";
    NEVER_MATCHES = "TG0129", "pattern never matches",
        "Numbers are compared after normalization: valid numbers of [edge] country are converted to E.164 first (4155551234\n\
         to +14155551234). Write the pattern in E.164. A pattern with `+` that is too short for a complete number is a\n\
         prefix without its `*`.";
    NO_CALLS = "TG0130", "no calls are accepted",
        "Without a [trunk.NAME] every request is from an unknown source and dropped; without a [[route]] every call gets\n\
         404. A `routes_file` without a line below the header matches no call. A [[number]] without `from` receives no calls if\n\
         every trunk is for phones (`accept_register`).";
    SHADOWED = "TG0131", "two trunks at one address",
        "A source address belongs to one trunk: an exact peer address and port first, then the longest network prefix, then\n\
         the first in the file. Requests from there never count as the later trunk's. Calls to either trunk, their OPTIONS and\n\
         registrations work: a response belongs to the trunk that was asked. A peer is reported only of a trunk that expects\n\
         calls: a route has it in `from`, or it has `require_auth` or `accept_from`.";
    OPEN_TO_ALL = "TG0132", "open to every address",
        "A network of length 0 in accept_from accepts calls from every address; scanners find such a port within hours. In\n\
         media_from it lets every address that finds a media port inject audio and receive the caller's audio before the\n\
         remote party has sent any. List the networks of the carrier. In `trusted_proxies` of [http] it lets every client\n\
         write any address into X-Forwarded-For; list the proxies.";
    NO_SUCH_AGENT = "TG0133", "unknown agent",
        "`connect` or `fork` of a route names an agent without an [agent.NAME] in the file.";
    KEYS_IN_CLEAR = "TG0134", "SRTP keys sent in the clear",
        "With SDES (`srtp`) the media keys are part of the SIP messages: an observer of the messages can decrypt the call.\n\
         This trunk can be reached over UDP or TCP, without TLS. Write its peers as sip:HOST;transport=tls, or use a trusted\n\
         network.";
    NO_CERTIFICATE = "TG0135", "no TLS certificate",
        "A trunk uses TLS and no [[listen]] is configured: the default TLS listener on port 5061 has a self-signed\n\
         certificate. Calls to that trunk work. Peers that verify the edge's certificate do not connect to it, so their calls,\n\
         and requests on their own connections, do not arrive. Configure the listeners, one of them with transport = \"tls\",\n\
         certificate and private_key.";
    OWN_HEADER = "TG0136", "header not allowed in rules",
        "The edge generates Via, From, To, Contact, Route, Content-Length and similar headers itself for each leg: `headers`\n\
         can neither add nor pass them. P-Asserted-Identity, Privacy and Identity are controlled by `identity` of both\n\
         trunks.";
    ONLY_FOR_SOME = "TG0138", "targets reachable for some callers only",
        "An agent with `allow_callers` rejects all other callers with 486, and their call ends there: later targets in\n\
         `connect` serve the callers on that list only, if the agent fails. For a separate route for these callers set\n\
         caller = [\"+14155551234\"] on it.";
    UNHEARD = "TG0139", "audio for waiting callers is missing or not used",
        "`hold` is played before the answer with answer = \"early\", after it with \"at_once\", and during the call while the\n\
         next target rings. With \"on_connect\" and no target after the agent, it is played only if the agent transfers the\n\
         call. With \"early\" and no `hold`, there is nothing to play. Callers in a `queue` hear ringing with \"on_connect\",\n\
         and with \"at_once\" a ringback tone unless `hold` is set. `hold_music` of a trunk is played if it or the other trunk\n\
         has hold = \"local\"; [speech] is used by a `hold` with `text` and by <Say> of an app.";
    IDLE_PART = "TG0145", "setting without effect",
        "A listener named twice in `fork` receives every packet twice; one that `connect` names too would listen to itself:\n\
         the connected agent receives the caller's audio anyway. on_close = \"next\" passes the caller to the target after the\n\
         agent; after the last target there is none, and the call ends as with \"hangup\". Also: a weight or `order` without an\n\
         adjacent target to which it applies, and an app, group, mailbox or table that nothing uses.";
    EMERGENCY = "TG0146", "emergency numbers not routed",
        "Phones place calls through this trunk, and no route matches the emergency numbers of [edge] country (or\n\
         `emergency`): such calls get 404. Put a route for them first, with `to` as the numbers are dialled, and a trunk\n\
         that accepts emergency calls and knows the caller's location; Twilio requires an emergency address for the caller\n\
         ID. Remove numbers that are not emergency numbers there from `emergency` of [edge].";
    SHOWN_TO_NOBODY = "TG0147", "public address not used",
        "Peers in `local_networks` get this machine's local address, all others `public_address`. Every trunk here is in\n\
         `local_networks`, one of them with a public address: an external carrier would get a private address, and its audio\n\
         would not arrive. List only networks that reach this machine without NAT.";
    TEXTS = "TG0150", "text messages not sent, or not as intended",
        "`sms_on_failure` of a [[route]] sends a text message after an unanswered call through the account in [twilio];\n\
         neither works without the other. To honour STOP replies, Twilio must reach POST /sms/inbound of this edge at\n\
         `public_url` of [http]. Without it, Twilio's own opt-out list still blocks such messages, and the edge learns of it\n\
         when it sends one.";
    NO_MEDIA_NETWORK = "TG0151", "media networks not configured",
        "The source address of an INVITE over UDP can be forged, and so can the media address in it. Media to any address\n\
         outside the trunk's own networks is withheld until the ACK proves the address, and before the answer at most\n\
         `unproven_early_media` callers at a time hear an announcement, for 15 s. List the carrier's media gateways in\n\
         `media_from`, or write `media_from = []` if its media comes from its signalling addresses. Nothing is withheld from\n\
         a trunk that calls over TLS or TCP, or has `require_auth`.";
    TOKEN_IN_CLEAR = "TG0152", "token sent without TLS",
        "The HTTP API listens on an address that may be reached from the internet, without TLS: who can read the traffic\n\
         gets the token, and with it the API and the console. Add `tls` to [http], or listen on loopback or a private\n\
         address. Behind a reverse proxy with TLS, set `public_url` to its https:// URL.";
    NO_SUCH_APP = "TG0153", "unknown app",
        "`connect` of a route, or `app` of a [[number]], names an app without an [app.NAME] in the file.";
    BAD_WEBHOOK = "TG0154", "invalid webhook URL",
        "URLs of an [app.NAME] are http:// or https:// URLs. A user name and password are sent as HTTP Basic credentials. The\n\
         fragment (after `#`) is not sent; it may set Twilio's connection overrides: ct, rt, tt (milliseconds), rc (further\n\
         tries), rp (ct, rt, 4xx, 5xx, all). Private, loopback and link-local addresses are reached only with\n\
         allow_private = true of the app; cloud metadata addresses and the listeners of the edge itself never. Host names are\n\
         looked up, and their addresses judged in the same way, when the URL is used.";
    BAD_DOCUMENT = "TG0155", "invalid TwiML document",
        "A file of an [app.NAME] is not a TwiML document in UTF-8 (error). As warnings: verbs or attributes that are skipped\n\
         when it runs; a document or sound that it names and that is missing or broken; a <Say> that nothing can\n\
         speak; a <Gather> of speech without [recognition]. The message shows line and column in that file and Twilio's\n\
         code. docs/reference/twilio-compat.md lists what is supported.";
    WEAK_TOKEN = "TG0156", "short token or password",
        "Attackers find short secrets by guessing. Tokens of [http], [api] and [messages] have at least 16 characters: an\n\
         error where [http] address, or [api] tls, is not loopback. Passwords of `auth` and `require_auth` have at least 8\n\
         characters and are not the user name. `auth_token` of [api] also signs webhooks with HMAC-SHA1: an attacker who\n\
         sees one signed request can try tokens until the signature fits, and then forge requests to your application.\n\
         Use 32 random characters or more: openssl rand -hex 32.";
    LOOPBACK_ONLY = "TG0157", "listeners on loopback only",
        "A socket on 127.0.0.1 or ::1 sends to this machine alone: the kernel refuses packets to other addresses. Give a\n\
         [[listen]] of the peer's transport an address that the peer reaches, or 0.0.0.0 for all.";
    OWN_LISTENER = "TG0158", "peer is the edge itself",
        "The peer's address and port are those of a [[listen]] of this file: calls to the trunk come back to the edge, as\n\
         calls from that trunk, until a loop is refused. Enter the address of the PBX or carrier; where it runs on this\n\
         machine, let it or the edge listen on another port.";
    BAD_RECORDINGS = "TG0159", "directory of recordings not usable",
        "`directory` of [recording] is a directory that the edge may write, or a new name in one. Symbolic links are not\n\
         followed there, so that no other user of the machine redirects recordings: name the directory itself. As a warning:\n\
         it does not exist or is not writable here, which may differ on the machine of the edge, or every user of the machine\n\
         may write it (`chmod 700`).";
    NO_SUCH_MAILBOX = "TG0160", "unknown mailbox",
        "`connect` of a route names a mailbox (`voicemail:NAME`) without a [voicemail.NAME] in the file.";
    NO_VOICE = "TG0161", "no text-to-speech",
        "An application may use <Say>, or `hold` has a `text`, without text-to-speech: callers would hear silence, or the\n\
         ringback tone. This concerns applications with a `url`, and those that a request can name ([api] with `auth_token`,\n\
         and a [[number]]). Install espeak-ng (`apt install espeak-ng`), which needs no key, or set `command` or `url` in\n\
         [speech]. `installed = false` in [speech] turns text-to-speech off, and this warning for apps.";
    ACME = "TG0162", "ACME without a listener",
        "`acme` of [tls] needs two listeners: a [[listen]] with transport = \"tls\" and without `certificate`, which shows the\n\
         certificate, and `challenge_address`, on which the certificate authority asks for the proof (http-01). The authority\n\
         connects to port 80 of each of `domains`: use port 80 of an address that is reached from there, or another port to\n\
         which a firewall or reverse proxy forwards /.well-known/acme-challenge/ of port 80.";
    NOT_IN_THIS_VERSION = "TG0190", "not in this version",
        "The key, value or flag belongs to a feature that this version does not have. It is rejected instead of accepted\n\
         without effect. Remove it, or wait for a version that has the feature.";
    PORT_TAKEN = "TG0201", "address cannot be bound",
        "The edge binds every [[listen]] and the [http] address at its start; the system refused this one. Another program\n\
         uses the port (`ss -lntup` shows it), the machine does not have the address, or the port is below 1024 and the\n\
         process lacks CAP_NET_BIND_SERVICE. Port 0 selects a free port; the ready line shows it.";
    NO_CALL_RECORDS = "TG0202", "call records, store or state not usable",
        "[cdr] file is opened for appending at the start, and before a reload that changes it takes effect, so that no\n\
         record is lost later. Its directory must exist and be writable for the user of the edge; `check` warns about a\n\
         missing one, and rejects a directory, a device or a FIFO as `file`. A file with other content than\n\
         call records is not touched. With a `url` or `[sms]` the same applies to the store, trunkgate.db in [edge]\n\
         data_directory, which must not be in use by another edge. A disk that is full, read-only or not mounted does not\n\
         stop the start unless [edge] data_required is true: `status` reports it, and records are kept in memory until then.\n\
         `state_directory` (with state = \"file\") must be writable for the user of the edge only.";
    NO_START = "TG0203", "edge cannot start",
        "The system refused a thread, an epoll descriptor, or random numbers: a limit of the process (open files, tasks) is\n\
         reached, or a sandbox forbids it. The message contains the system's error.";
}

/// Returns the code of this name, ignoring case.
pub fn find(id: &str) -> Option<DiagnosticCode> {
    ALL.iter().copied().find(|code| code.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_explained() {
        assert!(ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
        for code in ALL {
            assert!(code.id.len() == 6 && code.id.starts_with("TG"), "{}", code.id);
            assert!(code.title.len() > 8 && code.text.len() > 60, "{}", code.id);
            assert!(code.text.lines().all(|line| line.len() <= 118), "{}", code.id);
        }
        assert_eq!(find("tg0104"), Some(UNKNOWN_KEY));
        assert_eq!(find("TG9999"), None);
    }
}
