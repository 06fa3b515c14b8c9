//! The codes of configuration errors, each with what `trunkgate help CODE` says of it. A code never changes its meaning.

/// A stable code and its explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// e.g. `TG0104`
    pub id: &'static str,
    /// A line.
    pub title: &'static str,
    /// What it means and what to do.
    pub text: &'static str,
}

macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code { id: $id, title: $title, text: $text };)*
        /// Every code, in order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    UNREADABLE = "TG0101", "the file cannot be read",
        "The configuration file does not exist, may not be read, or is not UTF-8. It is looked for at --config, at\n\
         $TRUNKGATE_CONFIG, at ./trunkgate.toml and at /etc/trunkgate/trunkgate.toml, in this order.\n\
         `trunkgate init` writes a first one.";
    SYNTAX = "TG0102", "not valid TOML",
        "The file breaks the grammar of TOML 1.0 at this place: a quote, bracket, comma or value is missing. Strings,\n\
         addresses and durations stand in quotes: address = \"127.0.0.1:5060\".";
    WRONG_TYPE = "TG0103", "a value of the wrong type",
        "The key wants another kind of value, for example a string where an integer stands. Durations and addresses\n\
         are strings; [[listen]] and [[route]] have double brackets since there may be several.";
    UNKNOWN_KEY = "TG0104", "unknown key",
        "No key or table of this name exists here. Unknown keys are refused so that a mistyped one is not silently\n\
         without effect. The message names the nearest known key.";
    BAD_VALUE = "TG0105", "a value that cannot be used",
        "The value has the right type, but is none of those allowed, or out of range. The message says which are.";
    MISSING = "TG0106", "a key is missing",
        "The table needs this key: a route its connect, a listener its address, a peer its uri.";
    DUPLICATE = "TG0107", "the same name twice",
        "A key, table, listener or route is there twice. Names of listeners and routes are used in metrics, logs and\n\
         other parts of the file and must be unique.";
    BAD_ADDRESS = "TG0108", "not an address, network or URI",
        "Listeners want an IP address and port (\"0.0.0.0:5060\", \"[::]:5060\"), networks a prefix (\"10.0.0.0/8\"),\n\
         peers a SIP URI without user (\"sip:198.51.100.7:5060;transport=tcp\").";
    BAD_DURATION = "TG0109", "not a duration",
        "Durations are strings of numbers with units: \"500ms\", \"30s\", \"10m\", \"1h30m\", \"2d\". \"0s\" and 0 mean off or\n\
         no limit.";
    BAD_SECRET = "TG0110", "a secret cannot be read",
        "A secret is a string, { env = \"NAME\" } or { file = \"PATH\" } (relative to the configuration file). The variable\n\
         is not set, the file cannot be read, or it is empty.";
    BAD_PATTERN = "TG0111", "a pattern that cannot be used",
        "`to` and `caller` hold exact numbers (\"+14155551234\"), prefixes with `*` at the end (\"+1415*\") and regular\n\
         expressions between slashes ('/^\\+44(\\d+)$/'), all compared after normalisation to E.164. A spreadsheet makes\n\
         1.41556E+10 of a number, and its last digits are lost: let it know the column as text before the numbers come in.";
    BAD_TARGET = "TG0112", "a target that cannot be used",
        "`connect` holds trunk:NAME, trunk:NAME/NUMBER, trunk:NAME/NUMBER@WEIGHT, agent:NAME, group:NAME, sip:URI and\n\
         reject:CODE (300 to 699), with {called}, {caller} or pieces of numbers that patterns name, and tables\n\
         { ring_all = [...] } of trunks and URIs that ring at once, each once; `fork` holds agent:NAME.";
    BAD_URL = "TG0113", "not a URL that an agent can have",
        "An agent's `url` is that of a WebSocket: wss://HOST[:PORT]/PATH. ws:// is for loopback and [edge] local_networks\n\
         only: what callers say would else go over the network in the clear. A host name under ws:// is let pass, and\n\
         refused when it leads elsewhere. What follows a `?` is not sent, as Twilio does not send it either: what a call\n\
         needs to tell its agent goes into `parameters`.";
    BAD_FILE = "TG0114", "a file cannot be used",
        "A file that a key names does not exist, may not be read, or holds something else. `routes_file` is CSV in UTF-8,\n\
         its first line the names of the columns, one of them `to`, in one GiB at most. `ca`, `client_ca`\n\
         and `certificate` are PEM files of certificates, `private_key` is one of the key that belongs to `certificate`;\n\
         `goodbye`, `audio` and `music` are WAV (PCM of any width, μ-law, A-law), MP3, Ogg Vorbis or Ogg Opus of 8000 to\n\
         192000 Hz, 64 MiB and 60 s, 5 and 30 minutes at most. Of anything else ffmpeg makes one:\n\
         ffmpeg -i any.flac -ac 1 -ar 8000 -c:a pcm_s16le goodbye.wav";
    EXPIRY = "TG0115", "a certificate that ends",
        "One of the certificates in the file has expired or does so within 14 days. It is used all the same; far ends\n\
         that look will refuse it. A new one is taken up within seconds of its files being replaced, without a reload.";
    UNVERIFIED = "TG0116", "a far end that is not verified",
        "With verify = false any certificate is accepted: the connection is encrypted, but to whoever answers. For a far\n\
         end whose certificate no public authority has signed, put that certificate, or its authority's, into `ca`.";
    NO_SUCH_TRUNK = "TG0120", "no such trunk",
        "A route's `from` or `connect` names a trunk that has no [trunk.NAME] in the file.";
    NO_SUCH_LISTENER = "TG0121", "no such listener",
        "A trunk's `listen` names no [[listen]], or none of the listeners speaks the transport that a peer wants.";
    UNREACHABLE = "TG0122", "can never be used",
        "The first route that matches takes the call. All that this route (or target) would take is taken by an\n\
         earlier one: move it up, narrow the earlier one, or remove it.";
    EPHEMERAL = "TG0123", "media ports overlap with the kernel's ephemeral ports",
        "The kernel hands out ports of net.ipv4.ip_local_port_range to any program, so that a media port may be taken\n\
         when a call needs it. Choose [media] ports below that range, or move the range with sysctl.";
    TOKEN_REQUIRED = "TG0124", "the HTTP API needs a token",
        "Who reaches the API can end calls. On any address but loopback it needs `token` in [http]; best as\n\
         { env = \"TRUNKGATE_TOKEN\" } or { file = \"PATH\" }.";
    TOO_FEW_PORTS = "TG0125", "too few media ports",
        "A call takes four ports: RTP and RTCP on each of its two sides. Widen [media] ports or lower [limits] calls.";
    SAME_SOCKET = "TG0126", "two sockets on one address",
        "Two listeners, a listener and the HTTP API, or a UDP listener and the media ports want the same address and\n\
         port.";
    NOBODY = "TG0127", "a trunk that nobody can be",
        "Without `peers` and `accept_from` no request can come from this trunk and none can be sent to it.";
    NO_PEERS = "TG0128", "a target without peers",
        "The trunk has `accept_from` but no `peers`, so calls can come from it, but none can be sent to it.";
    NEVER_MATCHES = "TG0129", "a number that never comes",
        "Numbers are compared after normalisation: what is a possible number of [edge] country is E.164 by then\n\
         (4155551234 is +14155551234). Write the pattern in that form. One with `+` that is too short for a whole number\n\
         is a beginning that lacks its `*`.";
    NO_CALLS = "TG0130", "takes no calls",
        "Without a [trunk.NAME] every request is from a stranger and dropped; without a [[route]] every call gets 404.\n\
         A `routes_file` without a line below the names of its columns takes no call.";
    SHADOWED = "TG0131", "two trunks at one address",
        "A source address belongs to one trunk: an exact peer address and port first, then the longest network, among\n\
         equals the first in the file. The later trunk's entry has no effect.";
    OPEN_TO_ALL = "TG0132", "open to everyone",
        "A network of length 0 in accept_from makes everyone who finds the port a trusted caller; scanners find it\n\
         within hours. In media_from it lets everyone who finds a media port speak in a call and draw its audio to himself\n\
         before the far end has spoken. List the carrier's networks.";
    NO_SUCH_AGENT = "TG0133", "no such agent",
        "A route's `connect` or `fork` names an agent that has no [agent.NAME] in the file.";
    KEYS_IN_CLEAR = "TG0134", "SRTP keys in the clear",
        "With SDES (`srtp`) the keys of a call stand in its SIP messages: who can read those can hear the call. Towards this\n\
         trunk they may go by UDP or TCP, without TLS. Write its peers as sip:HOST;transport=tls, or be sure of the network\n\
         between.";
    NO_CERTIFICATE = "TG0135", "no certificate to show",
        "A trunk is reached by TLS and no [[listen]] is written: one for TLS on port 5061 is there, with a certificate that\n\
         the edge makes for itself. Calls to that trunk go out; whoever looks at our certificate will not connect to us, so\n\
         that its calls, and what it sends in calls by connections of its own, do not come in. Write the listeners down,\n\
         one of them with transport = \"tls\", certificate and private_key.";
    OWN_HEADER = "TG0136", "a header that is not for rules",
        "Via, From, To, Contact, Route, Content-Length and the like the edge writes itself for each leg, from what it knows:\n\
         `headers` can neither add them nor let them pass. P-Asserted-Identity, Privacy and Identity are passed, or not, by\n\
         `identity` of the trunks on both sides.";
    ONLY_FOR_SOME = "TG0138", "targets that not every caller reaches",
        "An agent with `allow_callers` answers 486 to everybody else, and their call ends there: what stands behind it in\n\
         `connect` is for those on its list alone, where the agent fails. For a route of its own for them write\n\
         caller = [\"+14155551234\"] there.";
    UNHEARD = "TG0139", "hold audio that nobody hears",
        "`hold` is heard before the answer with answer = \"early\", after it with \"at_once\", and in mid-call while the next\n\
         target rings. With \"on_connect\" and no target behind the agent it is heard only where the agent itself transfers\n\
         the call. With \"early\" and no `hold` there is nothing to hear. A trunk's `hold_music` is heard where it or the other\n\
         trunk has hold = \"local\"; a [speech] is asked where a `hold` has a `text`.";
    IDLE_PART = "TG0145", "an agent's part in a route comes to nothing",
        "A listener that `fork` names twice gets every packet twice, and one that `connect` names too would listen to\n\
         itself: who talks with the caller hears it anyway. on_close = \"next\" sends the caller on to the target behind\n\
         the agent; behind the last one there is none, and the call ends as with \"hangup\".";
    EMERGENCY = "TG0146", "emergency calls that nobody takes",
        "Phones call from this trunk, and no route takes the emergency numbers of [edge] country (or `emergency`): who dials\n\
         one is told 404. Put a route for them first, with `to` as the numbers are dialled, and a trunk that takes such\n\
         calls and knows where the caller is; at Twilio the number that is shown needs an emergency address. Numbers that\n\
         are never dialled there may be left out of `emergency` of [edge].";
    SHOWN_TO_NOBODY = "TG0147", "a public address that no trunk is shown",
        "Far ends in `local_networks` are shown this machine's own address, all others `public_address`. Here every trunk is in\n\
         `local_networks`, one of them with an address that is public: a carrier outside would be told a private address,\n\
         and its audio would not come. List the networks that reach this machine without NAT, and no others.";
    TEXTS = "TG0150", "texts that are not sent, or not as they should be",
        "`sms_on_failure` of a [[route]] sends a text message after a call that nobody answered, by the account of [twilio];\n\
         neither is of use without the other. Who answers STOP is left alone: for that Twilio has to reach POST /sms/inbound\n\
         of this edge, at the `public_url` of [http]. Without it Twilio's own list still keeps such texts from being sent,\n\
         and the edge finds out by asking.";
    NO_MEDIA_NETWORK = "TG0151", "a trunk whose media networks are not known",
        "The source address of an INVITE by UDP can be forged, and so can the media address in it. Media to any address but the\n\
         trunk's own is withheld until the ACK proves it, and before the answer no more than `unproven_early_media` callers\n\
         at once hear an announcement, for 15 s. Write the networks of the carrier's media gateways as `media_from`, or\n\
         `media_from = []` where its media comes from the addresses of its signalling. Nothing is withheld from a trunk that\n\
         calls by TLS or TCP, or has `require_auth`.";
    NOT_IN_THIS_VERSION = "TG0190", "not in this version",
        "The key, value or flag belongs to a feature that this version does not have. It is refused rather than\n\
         accepted without effect. Remove it, or wait for the version that has it.";
    PORT_TAKEN = "TG0201", "an address cannot be bound",
        "At its start the edge binds every [[listen]] and the [http] address; this one the system refuses. Another\n\
         program has the port (`ss -lntup` names it), the machine has no such address, or the port is below 1024 and\n\
         the process lacks CAP_NET_BIND_SERVICE. Port 0 takes any free port; the ready line shows it.";
    NO_CALL_RECORDS = "TG0202", "the file of call records cannot be opened",
        "[cdr] file is opened for appending at the start, and before a reload that changes it is taken, so that no\n\
         call is lost for it later. Its directory must exist and be writable for the edge's user; `check` warns where\n\
         there is none. A file with anything but call records in it is not touched. With a `url`\n\
         the same holds for `spool`, which no other edge may have open.";
    NO_START = "TG0203", "a part of the edge cannot be started",
        "The system refuses a thread, a socket to wait on, or its random generator: a limit of the process (open\n\
         files, tasks) is reached or a sandbox forbids it. The message holds the system's own words.";
}

/// The code of this name, in either case.
pub fn find(id: &str) -> Option<Code> {
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
