//! Explains values of `reason` in metrics and logs that are not reasons of a call: dropped packets, messages and
//! connections, and undelivered records, traces and texts.

/// Metrics and logs that contain the words.
const PACKETS: &str = "reason of trunkgate_rtp_dropped_total";
const SRTP: &str = "reason of trunkgate_srtp_errors_total";
const MESSAGES: &str = "reason of trunkgate_sip_dropped_total";
const HTTP: &str = "reason of trunkgate_http_connections_dropped_total";
const LOG: &str = "reason in the log";

/// Words with the metric or log that contains them, and their explanations.
pub(super) const DROPS: &[(&str, &str, &str)] = &[
    ("no_wire", PACKETS, "The packet came before the call connected its two sides, or after it ended."),
    (
        "unknown_payload",
        PACKETS,
        "The payload type was not agreed on. If calls are silent: `trunkgate calls --flag codec_mismatch`; check `codecs` of the trunk.",
    ),
    ("no_destination", PACKETS, "The other side has no media address yet, or is on hold."),
    ("not_sending", PACKETS, "The session description of this side says that it sends nothing (hold)."),
    (
        "send_failed",
        "reason of trunkgate_rtp_dropped_total and trunkgate_sip_dropped_total",
        "The operating system refused to send: firewall, no route, or a full queue. `trunkgate help unsent`.",
    ),
    ("no_buffer", PACKETS, "All packet buffers were in use: the machine is overloaded, or a limit is too low."),
    ("srtp_auth", PACKETS, "An SRTP packet does not authenticate: `trunkgate help srtp`."),
    ("auth", SRTP, "An SRTP packet does not authenticate: `trunkgate help srtp`."),
    (
        "srtp_replay",
        PACKETS,
        "An SRTP packet arrived twice, or too late. Single packets are harmless; many are an attack or a loop.",
    ),
    (
        "replay",
        SRTP,
        "An SRTP packet arrived twice, or too late. Single packets are harmless; many are an attack or a loop.",
    ),
    ("srtp_plain", PACKETS, "A side that agreed to SRTP sends plain RTP or RTCP. Check `srtp` of both sides."),
    ("plain", SRTP, "A side that agreed to SRTP sends plain RTP or RTCP. Check `srtp` of both sides."),
    ("srtp_streams", PACKETS, "Too many streams (SSRC) under one SRTP key: a faulty sender."),
    ("streams", SRTP, "Too many streams (SSRC) under one SRTP key: a faulty sender."),
    (
        "srtp_repeated",
        PACKETS,
        "A packet to be encrypted has a sequence number that was sent before: its sender repeats packets.",
    ),
    ("srtp_spent", PACKETS, "The SRTP key has encrypted all the packets that it may (RFC 3711, 9.2)."),
    ("spent", SRTP, "The SRTP key has encrypted all the packets that it may (RFC 3711, 9.2)."),
    ("late", PACKETS, "A packet to be transcoded arrived after its turn, or twice: jitter or reordering on the path."),
    ("damaged", PACKETS, "A packet to be transcoded cannot be decoded."),
    ("key_pressed", PACKETS, "The audio was replaced by a DTMF digit."),
    ("too_fast", PACKETS, "More audio arrived than time passed: a faulty sender."),
    (
        "withheld",
        PACKETS,
        "The media address of the remote party is not proven yet: its packets have to come from there first.",
    ),
    ("stray_response", MESSAGES, "A response that belongs to no request of the edge: late, or forged."),
    ("stray_ack", MESSAGES, "An ACK that belongs to no call: late, or forged."),
    ("damaged_response", MESSAGES, "A response with a malformed part."),
    ("unanswerable", MESSAGES, "A request so malformed that no response can be made."),
    ("full", MESSAGES, "The table of transactions or dialogs is full: too many calls, or an attack. Check `[limits]`."),
    ("queue_full", MESSAGES, "No room for the message to wait: the edge is overloaded (`trunkgate help overloaded`)."),
    (
        "repeated",
        "reason of trunkgate_sip_dropped_total and trunkgate_srtp_errors_total",
        "Of SIP: an INVITE arrived again while the first one waited; the edge is slow. Of SRTP: a packet to be encrypted has a sequence \
         number that was sent before.",
    ),
    (
        "unknown_source",
        MESSAGES,
        "SIP from an address of no trunk. If it belongs to a trunk, add it to `peers` or `accept_from`; otherwise it is a scanner.",
    ),
    ("banned", MESSAGES, "SIP from an address that is banned (`[limits] ban`). `/v1/security` lists bans."),
    ("not_sip", MESSAGES, "Datagrams that are not SIP."),
    ("no_local_address", MESSAGES, "A packet arrived for an address that this machine does not have."),
    ("bindings_full", MESSAGES, "A REGISTER found no room: too many registrations of the trunk's users."),
    ("subscriptions_full", MESSAGES, "A SUBSCRIBE found no room: too many subscriptions of the trunk, or of all."),
    ("unknown_limit", MESSAGES, "Unknown sources sent more SIP than `[limits]` allows."),
    (
        "udp_unread",
        MESSAGES,
        "The receive buffer of a socket was full. Raise net.core.rmem_max (docs/operate/deploy.md), or find what uses the CPU.",
    ),
    ("udp_queue_full", MESSAGES, "The send queue of a UDP socket was full."),
    ("stream_queue_full", MESSAGES, "A TCP or TLS connection did not take messages fast enough."),
    ("connection_unknown_source", MESSAGES, "A TCP or TLS connection from an address of no trunk was closed."),
    ("connection_slow", MESSAGES, "A connection was closed because its message took too long."),
    (
        "connection_limit",
        MESSAGES,
        "A connection was refused: too many are open, or too many unknown sources connect. The log names the limit.",
    ),
    ("connection_evicted", MESSAGES, "An idle connection was closed in favour of a new one."),
    (
        "connection_unregistered",
        MESSAGES,
        "A connection of an unknown source was closed: no phone registered on it in time.",
    ),
    (
        "connection_not_accepted",
        MESSAGES,
        "The system did not accept a connection: too many open files (`trunkgate doctor`, line open files).",
    ),
    (
        "tls_handshake_failed",
        MESSAGES,
        "A TLS handshake failed or took too long. `trunkgate status` shows the last one; check TLS version, CA and certificate.",
    ),
    ("tls_handshake_limit", MESSAGES, "A TLS handshake was refused: too many were in progress."),
    ("evicted", HTTP, "An incomplete HTTP connection was closed in favour of a new one."),
    ("limit", HTTP, "An HTTP connection was refused at the connection limit."),
    (
        "cdr_failed",
        LOG,
        "A call record could not be written or delivered; it is kept and tried again. `trunkgate status` names the cause (disk, URL); \
         docs/reference/call-records.md.",
    ),
    (
        "cdr_refused",
        LOG,
        "The server of `[cdr] url` rejected a call record again and again while it accepted others. The record was moved to the file \
         that the log names; docs/reference/call-records.md.",
    ),
    (
        "alerts_failed",
        LOG,
        "Alerts are not delivered to the URL of `[alerts]`: the line has the reason. They are repeated for 24 hours, three times if the receiver rejects them; docs/operate/deploy.md.",
    ),
    (
        "otel_failed",
        LOG,
        "Some or all traces are not delivered to the collector of `[otel]`: the line has the reason; docs/operate/opentelemetry.md.",
    ),
    (
        "sms_not_kept",
        LOG,
        "A text message could not be stored: check space and permissions of `data_directory` in [edge]; docs/configure/fallback.md.",
    ),
    ("sms_refused", LOG, "The provider rejected a text message: the log has its answer; docs/configure/fallback.md."),
    ("sms_retried", LOG, "A text message was not delivered and is tried again; docs/configure/fallback.md."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_explains_each_word_of_what_was_dropped() {
        let page = include_str!("../../../admin/src/console/security.js");
        let packets = ["unexpected_source", "not_rtp"];
        let shown = DROPS.iter().filter(|(_, place, _)| place.contains(PACKETS) || place.contains(MESSAGES));
        for word in shown.map(|(word, _, _)| *word).chain(packets) {
            assert!(page.contains(&format!("\n  {word}: '")), "{word}");
        }
    }
}
