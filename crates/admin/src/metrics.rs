//! `/metrics`: counters of the gateway, the workers, the sockets and the process, with their documented names.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use trunkgate_call::metrics::Metrics;
use trunkgate_call::view::AgentView;
use trunkgate_media::counters::{CLEAR_BOUNDS_US, Counter, DurationHistogram, RELAY_BOUNDS_US, TURN_BOUNDS_US};
use trunkgate_media::{DropReason, WorkerCounters};
use trunkgate_route::SiprecSettings;

use super::ApiError;
use super::exposition::{Exposition, MetricKind};
use super::process;
use trunkgate_delivery::sinks::outbox::DestinationFigures;
use trunkgate_delivery::sinks::records::Figures;
use trunkgate_runtime::call_state::report::StateFigures;
use trunkgate_runtime::handle::{EdgeHandle, EdgePhase};
use trunkgate_runtime::history::GatewayCounts;
use trunkgate_runtime::transport;
use trunkgate_system::log;

pub(super) async fn metrics(State(handle): State<EdgeHandle>) -> Result<Response, ApiError> {
    let counted = handle.counted().await?;
    let text = render(&counted, &handle);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn render(counted: &GatewayCounts, handle: &EdgeHandle) -> String {
    let gateway = &counted.metrics;
    let mut out = Exposition::default();
    signalling(&mut out, gateway);
    sockets(&mut out, gateway, &handle.shared.sockets);
    calls(&mut out, gateway);
    decisions(&mut out, counted);
    trunks(&mut out, gateway);
    agents(&mut out, gateway, &counted.agents);
    recognitions(&mut out, gateway);
    recording_sessions(&mut out, gateway);
    keepalive(&mut out, gateway);
    media(&mut out, gateway, handle.workers());
    of_trunks(&mut out, gateway);
    besides_media(&mut out, handle.workers());
    capacity(&mut out, counted, handle);
    certificates(&mut out, handle);
    edge(&mut out, gateway, handle);
    texts(&mut out, handle);
    webhooks(&mut out, handle, counted);
    api(&mut out, handle);
    callbacks(&mut out, handle);
    recordings(&mut out, handle);
    problems(&mut out, handle);
    captured(&mut out, handle);
    traced(&mut out, handle);
    process::render(&mut out, handle.shared.started_at);
    out.finish()
}

fn signalling(out: &mut Exposition, gateway: &Metrics) {
    let name = "trunkgate_sip_requests_total";
    out.family(name, MetricKind::Counter, "SIP requests, first transmissions only.");
    for ((trunk, method, direction), count) in &gateway.sip.requests {
        out.sample(name, &[("trunk", trunk), ("method", method), ("direction", direction)], *count as f64);
    }
    let name = "trunkgate_sip_responses_total";
    out.family(name, MetricKind::Counter, "SIP responses, first transmissions only.");
    for ((trunk, method, code, direction), count) in &gateway.sip.responses {
        let code = code.to_string();
        let labels = [("trunk", &**trunk), ("method", method), ("code", &code), ("direction", direction)];
        out.sample(name, &labels, *count as f64);
    }
    let name = "trunkgate_sip_retransmissions_total";
    out.single(name, MetricKind::Counter, "SIP messages retransmitted.", gateway.sip.retransmissions as f64);
    let help = "Time from a sent request to its final response.";
    out.histogram("trunkgate_sip_transaction_seconds", help, &gateway.sip.transaction_seconds);
    let name = "trunkgate_sip_transactions_active";
    out.single(name, MetricKind::Gauge, "SIP transactions alive.", gateway.sip.transactions_active as f64);
    let name = "trunkgate_sip_dialogs_active";
    out.single(
        name,
        MetricKind::Gauge,
        "SIP dialogs alive, including early dialogs.",
        gateway.sip.dialogs_active as f64,
    );
    let (name, subscriptions) = ("trunkgate_sip_subscriptions_active", gateway.sip.subscriptions_active as f64);
    out.single(name, MetricKind::Gauge, "Subscriptions to the messages of mailboxes.", subscriptions);
    let name = "trunkgate_trace_message_bytes";
    out.single(
        name,
        MetricKind::Gauge,
        "Memory used by SIP messages kept in traces.",
        gateway.message_texts.bytes as f64,
    );
    let name = "trunkgate_trace_messages_dropped_total";
    let help = "SIP messages removed from traces to make room for later calls.";
    out.single(name, MetricKind::Counter, help, gateway.message_texts.dropped as f64);
}

/// Writes the counters of SIP messages that the gateway and the sockets have dropped.
fn sockets(out: &mut Exposition, gateway: &Metrics, sockets: &transport::SocketCounters) {
    let name = "trunkgate_sip_dropped_total";
    out.family(name, MetricKind::Counter, "SIP messages and connections that were dropped or refused, by reason.");
    for (reason, count) in &gateway.sip.dropped {
        out.sample(name, &[("reason", reason)], *count as f64);
    }
    let of_sockets: [(&str, &Counter); 15] = [
        ("overloaded", &sockets.overloaded),
        ("queue_full", &sockets.queue_full),
        ("repeated", &sockets.repeated),
        ("udp_unread", &sockets.udp_unread),
        ("udp_queue_full", &sockets.udp_queue_full),
        ("stream_queue_full", &sockets.stream_queue_full),
        ("send_failed", &sockets.send_failed),
        ("connection_unknown_source", &sockets.unknown_source),
        ("connection_slow", &sockets.slow),
        ("connection_limit", &sockets.connections_refused),
        ("connection_evicted", &sockets.evicted),
        ("connection_unregistered", &sockets.unregistered),
        ("connection_not_accepted", &sockets.accept_failed),
        ("tls_handshake_failed", &sockets.handshakes_failed),
        ("tls_handshake_limit", &sockets.handshakes_refused),
    ];
    for (reason, counter) in of_sockets {
        out.sample(name, &[("reason", reason)], counter.get() as f64);
    }
    let name = "trunkgate_sip_tolerated_total";
    out.family(name, MetricKind::Counter, "Malformed SIP messages that were accepted.");
    out.sample(name, &[("what", "no_empty_line")], sockets.no_empty_line.get() as f64);
    let name = "trunkgate_sip_connections_active";
    out.single(name, MetricKind::Gauge, "SIP stream connections open.", sockets.connections.get() as f64);
}

fn captured(out: &mut Exposition, handle: &EdgeHandle) {
    let name = "trunkgate_hep_packets_total";
    out.family(name, MetricKind::Counter, "Packets for the HEP capture server by result.");
    for (result, count) in handle.shared.hep_counters.results() {
        out.sample(name, &[("result", result)], count as f64);
    }
}

fn traced(out: &mut Exposition, handle: &EdgeHandle) {
    let name = "trunkgate_otel_spans_total";
    out.family(name, MetricKind::Counter, "Spans for the trace collector by result.");
    for (result, count) in handle.shared.otel_counters.results() {
        out.sample(name, &[("result", result)], count as f64);
    }
}

fn texts(out: &mut Exposition, handle: &EdgeHandle) {
    let name = "trunkgate_sms_total";
    out.family(name, MetricKind::Counter, "Text messages by result; retried: repeated requests.");
    for (result, count) in handle.shared.sms.results() {
        out.sample(name, &[("result", result)], count as f64);
    }
    let name = "trunkgate_sms_queued";
    out.single(name, MetricKind::Gauge, "Text messages queued.", handle.shared.sms.queued() as f64);
}

fn webhooks(out: &mut Exposition, handle: &EdgeHandle, counted: &GatewayCounts) {
    let mut counts = handle.shared.webhooks.counts();
    for (app, code, count) in &counted.app_errors {
        *counts.errors.entry((app.clone(), *code)).or_default() += count;
    }
    let name = "trunkgate_webhook_seconds";
    out.family(name, MetricKind::Histogram, "Time for a webhook with its redirects and further tries, by application.");
    for (app, took) in &counts.seconds {
        out.labelled_buckets(name, &[("app", app)], (took.bounds, &took.counts), took.sum);
    }
    let name = "trunkgate_webhook_errors_total";
    out.family(name, MetricKind::Counter, "Application errors by application and Twilio error code: failed webhooks, TwiML that cannot be run, prompts not played.");
    for ((app, code), count) in &counts.errors {
        out.sample(name, &[("app", app), ("code", &code.to_string())], *count as f64);
    }
}

fn api(out: &mut Exposition, handle: &EdgeHandle) {
    let name = "trunkgate_api_requests_total";
    out.family(
        name,
        MetricKind::Counter,
        "Requests to the Twilio-compatible API, by resource and HTTP status; resource authentication: failed authentication.",
    );
    for ((resource, status), count) in handle.shared.api.requests().counts {
        out.sample(name, &[("resource", resource), ("status", &status.to_string())], count as f64);
    }
}

fn callbacks(out: &mut Exposition, handle: &EdgeHandle) {
    let counts = handle.shared.callbacks.counts();
    let name = "trunkgate_callbacks_waiting";
    out.family(name, MetricKind::Gauge, "Callbacks not delivered yet, by application.");
    for (app, of_app) in &counts {
        out.sample(name, &[("app", app)], of_app.waiting as f64);
    }
    let name = "trunkgate_callbacks_total";
    out.family(name, MetricKind::Counter, "Callbacks by application and result; retried: attempts beyond the first.");
    for (app, of_app) in &counts {
        let results = [
            ("delivered", of_app.delivered),
            ("retried", of_app.retried),
            ("given_up", of_app.given_up),
            ("dropped", of_app.dropped),
        ];
        for (result, count) in results {
            out.sample(name, &[("app", app), ("result", result)], count as f64);
        }
    }
    let name = "trunkgate_calls_unstored_total";
    let help = "Ended calls that the store did not take: the API does not list them after a restart.";
    out.single(name, MetricKind::Counter, help, handle.shared.calls.lost() as f64);
}

fn transcriptions(out: &mut Exposition, handle: &EdgeHandle) {
    let figures = &handle.shared.recordings.transcriptions;
    let waiting = figures.waiting.get() as f64;
    out.single(
        "trunkgate_transcriptions_waiting",
        MetricKind::Gauge,
        "Transcriptions that wait for the service.",
        waiting,
    );
    let name = "trunkgate_transcriptions_total";
    out.family(name, MetricKind::Counter, "Ended transcriptions by result.");
    for (result, counter) in [("completed", &figures.completed), ("failed", &figures.failed)] {
        out.sample(name, &[("result", result)], counter.get() as f64);
    }
    let name = "trunkgate_transcription_retries_total";
    out.single(
        name,
        MetricKind::Counter,
        "Failed requests for transcriptions that are repeated.",
        figures.retried.get() as f64,
    );
}

fn mails(out: &mut Exposition, handle: &EdgeHandle) {
    let figures = &handle.shared.recordings.mails;
    let waiting = figures.waiting.get() as f64;
    out.single(
        "trunkgate_mails_waiting",
        MetricKind::Gauge,
        "E-mails about voicemail that wait for the mail server.",
        waiting,
    );
    let name = "trunkgate_mails_total";
    out.family(name, MetricKind::Counter, "Ended e-mails about voicemail by result.");
    for (result, counter) in [("sent", &figures.completed), ("failed", &figures.failed)] {
        out.sample(name, &[("result", result)], counter.get() as f64);
    }
    let help = "Failed attempts to send e-mail about voicemail that are repeated.";
    out.single("trunkgate_mail_retries_total", MetricKind::Counter, help, figures.retried.get() as f64);
}

fn recordings(out: &mut Exposition, handle: &EdgeHandle) {
    let figures = &handle.shared.recordings;
    let gauges = [
        ("trunkgate_recordings_active", "Recordings whose files are not closed.", figures.active.get()),
        (
            "trunkgate_recording_queue_bytes",
            "Bytes of audio that wait for the recording writer.",
            figures.queued_bytes() as u64,
        ),
        (
            "trunkgate_recordings_unrecovered",
            "Recordings of an earlier run that could not be completed yet.",
            figures.unrecovered.get(),
        ),
        (
            "trunkgate_recordings_unindexed",
            "Recordings not listed yet, because the store has not accepted their entries.",
            figures.unindexed.get(),
        ),
        (
            "trunkgate_recordings_unlisted_files",
            "Files in the directory of recordings that belong to no recording.",
            figures.unlisted().files,
        ),
        ("trunkgate_recording_failing", "Whether the disk refuses recordings.", u64::from(figures.is_failing())),
    ];
    for (name, help, value) in gauges {
        out.single(name, MetricKind::Gauge, help, value as f64);
    }
    let name = "trunkgate_recordings_total";
    let help = "Ended recordings by result; recovered and expired ones count a second time.";
    out.family(name, MetricKind::Counter, help);
    let results = [
        ("completed", &figures.completed),
        ("absent", &figures.absent),
        ("recovered", &figures.recovered),
        ("expired", &figures.expired),
    ];
    for (result, counter) in results {
        out.sample(name, &[("result", result)], counter.get() as f64);
    }
    transcriptions(out, handle);
    mails(out, handle);
    let seconds = |counter: &Counter| counter.get() as f64 / 1000.0;
    let counters = [
        ("trunkgate_recording_seconds_total", "Audio written to recordings.", seconds(&figures.milliseconds)),
        ("trunkgate_recording_bytes_total", "Bytes written to recordings.", figures.bytes.get() as f64),
        ("trunkgate_recording_gaps_total", "Gaps of recordings, which contain silence.", figures.gaps.get() as f64),
        (
            "trunkgate_recording_lost_seconds_total",
            "Audio missing from recordings, because the writer was too slow or the disk refused it.",
            seconds(&figures.lost_milliseconds),
        ),
        (
            "trunkgate_recording_blocks_refused_total",
            "Blocks of audio (200 ms) lost, because the queue of the recording writer was full.",
            figures.refused_blocks.get() as f64,
        ),
        (
            "trunkgate_recording_disk_errors_total",
            "Writes of recordings that the disk refused.",
            figures.disk_errors.get() as f64,
        ),
    ];
    for (name, help, value) in counters {
        out.single(name, MetricKind::Counter, help, value);
    }
}

fn problems(out: &mut Exposition, handle: &EdgeHandle) {
    let name = "trunkgate_problems";
    out.family(name, MetricKind::Gauge, "Problems that `trunkgate status` lists, by effect.");
    for (harm, count) in handle.shared.problem_counts() {
        out.sample(name, &[("harm", harm.as_str())], count as f64);
    }
}

fn certificates(out: &mut Exposition, handle: &EdgeHandle) {
    let name = "trunkgate_tls_certificate_expiry_timestamp_seconds";
    out.family(name, MetricKind::Gauge, "Expiry time of a certificate chain of a listener or trunk.");
    for (kind, owner, expires) in handle.shared.tls.borrow().first_expiries() {
        out.sample(name, &[(kind, &owner)], expires.as_second() as f64);
    }
}

fn decisions(out: &mut Exposition, counted: &GatewayCounts) {
    let name = "trunkgate_trunk_calls_total";
    out.family(name, MetricKind::Counter, "Calls that a trunk answered or gave a final response to: `rejected` by the trunk, or `other` (answered, busy, absent party).");
    for (trunk, [decided, rejected]) in &counted.decisions {
        out.sample(name, &[("trunk", trunk), ("result", "rejected")], *rejected as f64);
        out.sample(name, &[("trunk", trunk), ("result", "other")], decided.saturating_sub(*rejected) as f64);
    }
}

fn calls(out: &mut Exposition, gateway: &Metrics) {
    let name = "trunkgate_calls_active";
    out.family(name, MetricKind::Gauge, "Live calls of a trunk.");
    for (trunk, count) in &gateway.calls_active {
        out.sample(name, &[("trunk", trunk)], *count as f64);
    }
    let name = "trunkgate_calls_total";
    out.family(name, MetricKind::Counter, "Ended calls.");
    for ((trunk, route, outcome), count) in &gateway.calls {
        out.sample(name, &[("trunk", trunk), ("route", route), ("outcome", outcome)], *count as f64);
    }
    let name = "trunkgate_limits_reached_total";
    out.family(
        name,
        MetricKind::Counter,
        "Calls rejected by a limit or rule, by trunk; without a trunk: calls requested over HTTP.",
    );
    for ((trunk, reason), count) in &gateway.limits_reached {
        out.sample(name, &[("trunk", trunk), ("reason", reason)], *count as f64);
    }
    let name = "trunkgate_wrong_credentials_total";
    out.family(name, MetricKind::Counter, "Requests with wrong credentials for a trunk's require_auth.");
    for ((trunk, fault), count) in &gateway.wrong_credentials {
        out.sample(name, &[("trunk", trunk), ("fault", fault)], *count as f64);
    }
    let name = "trunkgate_failovers_total";
    out.family(name, MetricKind::Counter, "Failovers to the next target.");
    for ((route, reason), count) in &gateway.failovers {
        out.sample(name, &[("route", route), ("reason", reason)], *count as f64);
    }
    out.histogram("trunkgate_call_setup_seconds", "Time from the INVITE to the 2xx sent.", &gateway.call_setup_seconds);
    out.histogram(
        "trunkgate_call_duration_seconds",
        "Time from the answer to the end of the call.",
        &gateway.call_duration_seconds,
    );
    let help = "Time from the INVITE to the first 18x sent.";
    out.histogram("trunkgate_post_dial_delay_seconds", help, &gateway.post_dial_delay_seconds);
}

fn agents(out: &mut Exposition, gateway: &Metrics, agents: &[AgentView]) {
    let name = "trunkgate_agent_up";
    out.family(
        name,
        MetricKind::Gauge,
        "Whether the last connection or probe of the agent succeeded, or one is open; absent before the first.",
    );
    for agent in agents.iter().filter(|agent| agent.state != "unknown") {
        out.sample(name, &[("agent", &agent.name)], f64::from(u8::from(agent.state == "up")));
    }
    let name = "trunkgate_agent_probe_seconds";
    out.family(
        name,
        MetricKind::Gauge,
        "Duration of the last probe's handshake; absent without `probe` and after a failure.",
    );
    for agent in agents {
        if let Some(took) = agent.probe_ms {
            out.sample(name, &[("agent", &agent.name)], took / 1e3);
        }
    }
    let name = "trunkgate_agent_sockets_total";
    out.family(
        name,
        MetricKind::Counter,
        "Agent connections by result: `opened`, or `lost` (could not be opened, or broke).",
    );
    for agent in agents {
        out.sample(name, &[("agent", &agent.name), ("result", "opened")], agent.opened as f64);
        out.sample(name, &[("agent", &agent.name), ("result", "lost")], agent.lost as f64);
    }
    let name = "trunkgate_agent_response_seconds";
    let help = "Time from the end of caller speech (voice activity) to the agent's first audio, by agent.";
    out.family(name, MetricKind::Histogram, help);
    for agent in agents {
        let (bounds, counts) = agent.turns.buckets();
        out.labelled_buckets(name, &[("agent", &agent.name)], (&bounds, &counts), agent.turns.seconds());
    }
    let name = "trunkgate_agent_silent_calls_total";
    let help = "Answered calls in which the agent sent no audio: for 10 s while its caller was heard, for 2 s in the third such call in a row, or because its messages were invalid or for another stream.";
    out.family(name, MetricKind::Counter, help);
    for agent in agents {
        let calls = gateway.agent.silent.get(agent.name.as_str()).copied().unwrap_or_default();
        out.sample(name, &[("agent", &agent.name)], calls as f64);
    }
    let help = "Time to open a connection to an agent.";
    out.histogram("trunkgate_agent_connect_seconds", help, &gateway.agent.connect_seconds);
    let sessions = gateway.agent.sessions as f64;
    out.single("trunkgate_agent_sessions", MetricKind::Gauge, "Open agent connections.", sessions);
    let name = "trunkgate_agent_waiting";
    out.family(name, MetricKind::Gauge, "Callers in the queue of the agent.");
    for (agent, waiting) in &gateway.agent.waiting {
        out.sample(name, &[("agent", agent)], *waiting as f64);
    }
    let help = "Time of a caller in the queue of an agent, connected or not.";
    out.histogram("trunkgate_agent_wait_seconds", help, &gateway.agent.wait_seconds);
    let name = "trunkgate_agent_skipped";
    out.family(
        name,
        MetricKind::Gauge,
        "Whether the agent is skipped because it keeps failing, except for one test call at a time.",
    );
    for (agent, skipped) in &gateway.agent.skipped {
        out.sample(name, &[("agent", agent)], f64::from(u8::from(*skipped)));
    }
}

fn recognitions(out: &mut Exposition, gateway: &Metrics) {
    let recognition = &gateway.recognition;
    let sessions = recognition.sessions as f64;
    out.single("trunkgate_recognition_sessions", MetricKind::Gauge, "Recognisers that listen to callers.", sessions);
    let name = "trunkgate_recognition_total";
    let help = "Ended recognitions of callers' speech by result: `speech`, `silence`, or why the recogniser failed.";
    out.family(name, MetricKind::Counter, help);
    for (result, count) in &recognition.results {
        out.sample(name, &[("result", result)], *count as f64);
    }
    let help = "Time to open a connection to the recogniser.";
    out.histogram("trunkgate_recognition_connect_seconds", help, &recognition.connect_seconds);
}

fn recording_sessions(out: &mut Exposition, gateway: &Metrics) {
    let group = |trunk: &str| trunk.trim_start_matches(SiprecSettings::PREFIX).to_owned();
    let name = "trunkgate_siprec_sessions";
    out.family(name, MetricKind::Gauge, "Recording sessions (SIPREC) in which a server records a call.");
    for (trunk, count) in &gateway.siprec.sessions {
        out.sample(name, &[("siprec", &group(trunk))], *count as f64);
    }
    let name = "trunkgate_siprec_total";
    let help = "Recording sessions by result: `recorded` (a server has taken the call), `failed` (none has), `lost` (the server \
                vanished in mid-call), `ended_by_server`.";
    out.family(name, MetricKind::Counter, help);
    for ((trunk, result), count) in &gateway.siprec.results {
        out.sample(name, &[("siprec", &group(trunk)), ("result", result)], *count as f64);
    }
    let name = "trunkgate_siprec_failing";
    out.family(
        name,
        MetricKind::Gauge,
        "Whether no server of the group recorded the latest call that it was asked for.",
    );
    for (trunk, failing) in &gateway.siprec.failing {
        out.sample(name, &[("siprec", &group(trunk))], f64::from(u8::from(*failing)));
    }
}

fn trunks(out: &mut Exposition, gateway: &Metrics) {
    let name = "trunkgate_trunk_up";
    out.family(name, MetricKind::Gauge, "Whether an address of the trunk is up, or a phone is registered.");
    for (trunk, up) in &gateway.trunk_up {
        out.sample(name, &[("trunk", trunk)], f64::from(u8::from(*up)));
    }
    let banned = gateway.sources_banned as f64;
    out.single("trunkgate_sources_banned", MetricKind::Gauge, "Banned source addresses.", banned);
    let name = "trunkgate_trunk_registration_expiry_timestamp_seconds";
    out.family(
        name,
        MetricKind::Gauge,
        "Expiry time of the registration of the edge at the trunk, 0 if there was none; it is refreshed at half its lifetime.",
    );
    for (trunk, ends) in &gateway.registration_ends {
        let since = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        out.sample(name, &[("trunk", trunk)], since.as_secs_f64());
    }
    let name = "trunkgate_peer_up";
    out.family(name, MetricKind::Gauge, "Whether any address of the peer is up.");
    for ((trunk, peer), up) in &gateway.peer_up {
        out.sample(name, &[("trunk", trunk), ("peer", peer)], f64::from(u8::from(*up)));
    }
}

fn keepalive(out: &mut Exposition, gateway: &Metrics) {
    let help = "Time from OPTIONS to an address of a trunk to its response.";
    out.histogram("trunkgate_trunk_keepalive_rtt_seconds", help, &gateway.trunk_keepalive_rtt_seconds);
}

/// Writes the counters of packets outside of media streams, such as keep-alives and RTCP.
fn besides_media(out: &mut Exposition, workers: &[Arc<WorkerCounters>]) {
    let sum = |of: &dyn Fn(&WorkerCounters) -> u64| workers.iter().map(|worker| of(worker)).sum::<u64>() as f64;
    let keep_alives = sum(&|worker| worker.keep_alives.get());
    let help = "Keep-alive packets sent to silent remote parties.";
    out.single("trunkgate_rtp_keepalives_total", MetricKind::Counter, help, keep_alives);
    let came = sum(&|worker| worker.keep_alives_received.get());
    let help = "Keep-alive packets (RFC 6263) received; not part of packet counts.";
    out.single("trunkgate_rtp_keepalives_received_total", MetricKind::Counter, help, came);
    let reports = sum(&|worker| worker.reports.get());
    let help = "RTCP compound packets generated by the edge.";
    out.single("trunkgate_rtcp_reports_total", MetricKind::Counter, help, reports);
}

/// Writes the counters of dropped RTP, RTCP, SRTP and SRTCP packets by reason.
fn dropped_packets(out: &mut Exposition, workers: &[Arc<WorkerCounters>]) {
    let dropped = |position: usize| {
        workers.iter().map(|worker| worker.dropped.get(position).map_or(0, Counter::get)).sum::<u64>() as f64
    };
    let name = "trunkgate_rtp_dropped_total";
    out.family(name, MetricKind::Counter, "RTP and RTCP packets dropped.");
    for (position, reason) in DropReason::ALL.iter().enumerate() {
        out.sample(name, &[("reason", reason.as_str())], dropped(position));
    }
    let name = "trunkgate_srtp_errors_total";
    out.family(name, MetricKind::Counter, "SRTP and SRTCP packets dropped, received or to be sent.");
    for (reason, label) in DropReason::SRTP {
        out.sample(name, &[("reason", label)], dropped(reason as usize));
    }
}

fn media(out: &mut Exposition, gateway: &Metrics, workers: &[Arc<WorkerCounters>]) {
    let sum = |of: &dyn Fn(&WorkerCounters) -> u64| workers.iter().map(|worker| of(worker)).sum::<u64>() as f64;
    for (name, help, received, sent) in [
        (
            "trunkgate_rtp_packets_total",
            "RTP packets relayed.",
            sum(&|worker| worker.rx_packets.get()),
            sum(&|worker| worker.tx_packets.get()),
        ),
        (
            "trunkgate_rtp_bytes_total",
            "RTP bytes relayed, RTP headers included.",
            sum(&|worker| worker.rx_bytes.get()),
            sum(&|worker| worker.tx_bytes.get()),
        ),
    ] {
        out.family(name, MetricKind::Counter, help);
        out.sample(name, &[("direction", "in")], received);
        out.sample(name, &[("direction", "out")], sent);
    }
    let lost = sum(&|worker| worker.lost.get());
    out.single("trunkgate_rtp_lost_total", MetricKind::Counter, "RTP packets lost in received streams.", lost);
    let help = "Interarrival jitter of each party of an answered call, at its end.";
    out.histogram("trunkgate_rtp_jitter_seconds", help, &gateway.rtp_jitter_seconds);
    let help = "Round-trip time (RTCP) to each party of an answered call, at its end.";
    out.histogram("trunkgate_rtp_round_trip_seconds", help, &gateway.rtp_round_trip_seconds);
    let help = "MOS (E-model) of the audio received from each party of an answered call, at its end.";
    out.histogram("trunkgate_call_mos", help, &gateway.call_mos);
    let name = "trunkgate_media_one_way_total";
    out.family(name, MetricKind::Counter, "Parties that sent no media for 5 s after it was expected, or until the end of a shorter call, or whose media stopped.");
    for ((trunk, silent), count) in &gateway.media_one_way {
        out.sample(name, &[("trunk", trunk), ("silent", silent)], *count as f64);
    }
    dropped_packets(out, workers);
    let frames = sum(&|worker| worker.agent_frames_dropped.get());
    let help = "Frames dropped because an agent read too slowly.";
    out.single("trunkgate_agent_frames_dropped_total", MetricKind::Counter, help, frames);
    let late = sum(&|worker| worker.agent_late_frames.get());
    let help = "Frames of silence that callers heard because an agent's audio came late.";
    out.single("trunkgate_agent_late_frames_total", MetricKind::Counter, help, late);
    let removed = sum(&|worker| worker.agent_frames_removed.get());
    let help = "Quiet frames of agents removed to shorten the delay that late audio left.";
    out.single("trunkgate_agent_frames_removed_total", MetricKind::Counter, help, removed);
    let (sessions, transcoding) = (sum(&|worker| worker.sessions.get()), sum(&|worker| worker.transcoding.get()));
    out.single("trunkgate_media_sessions", MetricKind::Gauge, "Media sessions alive.", sessions);
    let help = "Media sessions that transcode audio.";
    out.single("trunkgate_transcoding_sessions", MetricKind::Gauge, help, transcoding);
    let ports = gateway.media_ports_in_use as f64;
    out.single("trunkgate_media_ports_in_use", MetricKind::Gauge, "Media ports in use.", ports);
    let buffers = sum(&|worker| worker.buffers_in_use.get());
    out.single("trunkgate_packet_buffers_in_use", MetricKind::Gauge, "Packet buffers in use.", buffers);
    let help = "Time of an RTP packet inside the edge, one in 64 sampled.";
    times(out, "trunkgate_relay_seconds", help, &RELAY_BOUNDS_US, workers.iter().map(|worker| &worker.relay));
    let help = "Time from the end of caller speech (voice activity) to the agent's first audio.";
    let turns = workers.iter().map(|worker| &worker.agent_turns);
    times(out, "trunkgate_agent_turn_seconds", help, &TURN_BOUNDS_US, turns);
    let help = "Time from an agent's clear to the first packet without the cleared audio.";
    let clears = workers.iter().map(|worker| &worker.agent_clears);
    times(out, "trunkgate_agent_clear_seconds", help, &CLEAR_BOUNDS_US, clears);
}

/// Writes the counters of media packets from and to each trunk.
fn of_trunks(out: &mut Exposition, gateway: &Metrics) {
    let all = &gateway.rtp_of_trunks;
    let name = "trunkgate_trunk_rtp_packets_total";
    out.family(name, MetricKind::Counter, "RTP packets of a trunk in answered calls.");
    for (trunk, packets) in all {
        out.sample(name, &[("trunk", trunk), ("direction", "in")], packets.received as f64);
        out.sample(name, &[("trunk", trunk), ("direction", "out")], packets.sent as f64);
    }
    let name = "trunkgate_trunk_rtp_lost_total";
    out.family(
        name,
        MetricKind::Counter,
        "RTP packets of a trunk lost in answered calls; `out` as its parties report by RTCP.",
    );
    for (trunk, packets) in all {
        out.sample(name, &[("trunk", trunk), ("direction", "in")], packets.lost as f64);
        out.sample(name, &[("trunk", trunk), ("direction", "out")], packets.far_lost as f64);
    }
}

/// Writes a histogram of durations, summed over the workers.
fn times<'a, const BOUNDS: usize>(
    out: &mut Exposition,
    name: &str,
    help: &str,
    bounds_us: &[u64; BOUNDS],
    workers: impl Iterator<Item = &'a DurationHistogram<BOUNDS>>,
) {
    let (mut counts, mut seconds) = (vec![0; BOUNDS + 1], 0.0);
    for worker in workers {
        counts.iter_mut().zip(worker.counts()).for_each(|(sum, count)| *sum += count);
        seconds += worker.seconds();
    }
    out.buckets(name, help, &bounds_us.map(|us| us as f64 / 1e6), &counts, seconds);
}

/// Writes the limits of resources, beside the parts that are in use.
fn capacity(out: &mut Exposition, counted: &GatewayCounts, handle: &EdgeHandle) {
    let help = "Live calls.";
    out.single("trunkgate_calls_live", MetricKind::Gauge, help, handle.live_calls() as f64);
    let calls = handle.shared.running(|running| running.config.limits.calls);
    let help = "Maximum number of concurrent calls; 0: no limit.";
    out.single("trunkgate_calls_limit", MetricKind::Gauge, help, f64::from(calls));
    let [conferences, parties] = counted.conferences;
    out.single("trunkgate_conferences", MetricKind::Gauge, "Active conferences.", conferences as f64);
    out.single("trunkgate_conference_parties", MetricKind::Gauge, "Parties of all conferences.", parties as f64);
    queues(out, counted);
    out.single("trunkgate_media_ports", MetricKind::Gauge, "Media ports of the pool.", counted.media_ports as f64);
}

/// Writes the call queues. Applications choose their names, so at most
/// [`QUEUE_SERIES`](trunkgate_system::limits::QUEUE_SERIES) have a series of their own.
fn queues(out: &mut Exposition, counted: &GatewayCounts) {
    let queues = &counted.queues;
    out.single("trunkgate_queues", MetricKind::Gauge, "Queues of calls.", queues.totals.queues as f64);
    out.family(
        "trunkgate_queue_size",
        MetricKind::Gauge,
        "Callers waiting in the queue; for the queues with the most callers.",
    );
    for (name, size) in &queues.largest {
        out.sample("trunkgate_queue_size", &[("queue", name)], *size as f64);
    }
    let help = "Callers that wait in queues without a series of their own.";
    out.single("trunkgate_queue_size_others", MetricKind::Gauge, help, queues.others as f64);
    let help = "Waiting time of the caller who has waited longest in any queue at present; 0 if none waits.";
    let longest = queues.totals.longest_seconds as f64;
    out.single("trunkgate_queue_longest_wait_seconds", MetricKind::Gauge, help, longest);
}

/// Writes the figures of the state of calls in a file.
fn call_state(out: &mut Exposition, figures: &StateFigures) {
    let gauge = |value: &Counter| value.get() as f64;
    let help = "Calls in the state file, which continue after a crash.";
    out.single("trunkgate_call_state_calls", MetricKind::Gauge, help, gauge(&figures.calls));
    let help = "Length of the state file in bytes.";
    out.single("trunkgate_call_state_bytes", MetricKind::Gauge, help, gauge(&figures.bytes));
    let help = "Time that the last write took from the snapshot of a call to the state file.";
    let lag_seconds = gauge(&figures.lag_us) / 1_000_000.0;
    out.single("trunkgate_call_state_lag_seconds", MetricKind::Gauge, help, lag_seconds);
    let failing = figures.is_failing.load(Ordering::Relaxed);
    let help = "Whether the state file cannot be written.";
    out.single("trunkgate_call_state_failing", MetricKind::Gauge, help, f64::from(u8::from(failing)));
    let (continued, lost) = figures.after_crash();
    let help = "Calls of a crashed process that continued in this one.";
    out.single("trunkgate_calls_continued", MetricKind::Gauge, help, continued as f64);
    let help = "Calls of a crashed process that were lost.";
    out.single("trunkgate_calls_lost", MetricKind::Gauge, help, lost as f64);
}

fn call_records(out: &mut Exposition, figures: &Figures) {
    let mut each = |name, kind, help, read: fn(&DestinationFigures) -> u64| {
        out.family(name, kind, help);
        for (sink, figures) in figures.all() {
            out.sample(name, &[("sink", sink)], read(figures) as f64);
        }
    };
    let help = "Failed attempts to write or deliver a call record.";
    each("trunkgate_cdr_failures_total", MetricKind::Counter, help, |sink| sink.failures.get());
    let help = "Call records lost.";
    each("trunkgate_cdr_lost_total", MetricKind::Counter, help, |sink| sink.lost.get());
    let help = "Call records queued.";
    each("trunkgate_cdr_waiting", MetricKind::Gauge, help, |sink| sink.waiting.get());
    let help = "Lines of the journal of live calls that could not be read.";
    let damaged = figures.damaged.get() as f64;
    out.single("trunkgate_cdr_journal_damaged_total", MetricKind::Counter, help, damaged);
}

fn alerts(out: &mut Exposition, figures: &DestinationFigures) {
    let help = "Failed attempts to deliver an alert.";
    out.single("trunkgate_alerts_failures_total", MetricKind::Counter, help, figures.failures.get() as f64);
    let help = "Alerts lost.";
    out.single("trunkgate_alerts_lost_total", MetricKind::Counter, help, figures.lost.get() as f64);
    let help = "Alerts queued.";
    out.single("trunkgate_alerts_waiting", MetricKind::Gauge, help, figures.waiting.get() as f64);
}

fn edge(out: &mut Exposition, gateway: &Metrics, handle: &EdgeHandle) {
    let (taken, refused, last) = handle.reloads();
    let name = "trunkgate_config_reloads_total";
    out.family(name, MetricKind::Counter, "Reloads of the configuration.");
    out.sample(name, &[("result", "success")], taken as f64);
    out.sample(name, &[("result", "failure")], refused as f64);
    let name = "trunkgate_config_last_reload_success";
    out.single(name, MetricKind::Gauge, "Whether the last reload succeeded.", f64::from(u8::from(last)));
    let draining = gateway.draining || handle.phase() == EdgePhase::Draining;
    let help = "Whether the edge is draining.";
    out.single("trunkgate_draining", MetricKind::Gauge, help, f64::from(u8::from(draining)));
    let overloaded = handle.load.borrow().overloaded;
    let help = "Whether the edge is overloaded and rejects calls that would wait too long.";
    out.single("trunkgate_overloaded", MetricKind::Gauge, help, f64::from(u8::from(overloaded)));
    let name = "trunkgate_http_connections_dropped_total";
    out.family(name, MetricKind::Counter, "HTTP connections closed at the limit, the new one or an older one.");
    out.sample(name, &[("reason", "evicted")], handle.shared.http.evicted.get() as f64);
    out.sample(name, &[("reason", "limit")], handle.shared.http.refused.get() as f64);
    call_records(out, &handle.shared.cdr);
    alerts(out, handle.shared.alerts.figures());
    let store = handle.store.health();
    let help = "Whether the store refuses changes.";
    out.single("trunkgate_store_failing", MetricKind::Gauge, help, f64::from(u8::from(store.is_failing())));
    let help = "Changes that the store refused.";
    out.single("trunkgate_store_refused_total", MetricKind::Counter, help, store.refused_changes() as f64);
    call_state(out, &handle.shared.call_state);
    let help = "Panics, each caught; please report them.";
    out.single("trunkgate_panics_total", MetricKind::Counter, help, log::panics() as f64);
    let help = "Log lines lost because the log reader was too slow.";
    out.single("trunkgate_log_lines_lost_total", MetricKind::Counter, help, log::lost() as f64);
    let name = "trunkgate_build_info";
    out.family(name, MetricKind::Gauge, "The program's version.");
    out.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
}
