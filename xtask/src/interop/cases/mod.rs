//! Interop cases in the order in which they run.

mod acme;
mod addresses;
mod agent_bad;
mod agent_crowd;
mod agent_echo;
mod agent_killed;
mod agent_openai;
mod agent_parrot;
mod agent_playout;
mod agent_stalled;
mod agent_stop;
mod asterisk;
mod baresip_hold;
mod baresip_register;
mod baresip_transfer;
mod captured;
mod cdr_webhook;
mod codecs_baresip;
mod codecs_rtpengine;
mod compose;
mod conference;
mod config_schema;
mod console;
mod deploy_files;
mod deploy_prometheus;
mod deploy_systemd;
mod failover;
mod failover_times;
mod faults;
mod floods;
mod helm;
mod instructions;
mod ivr;
pub(crate) mod kamailio;
mod kamailio_digest;
mod kamailio_register;
mod latch;
mod leaks;
mod mwi;
mod options_health;
mod opus_libopus;
mod otel;
mod queue;
mod record_play;
mod record_route;
mod recording_crash;
mod reflection;
mod reload_live;
mod restart_peers;
mod reverse_proxy;
mod shell;
mod simulator;
mod sipp_calls;
mod sipp_dialog;
mod sipp_reliable;
mod sipp_scenario;
mod sipp_targets;
mod sipp_timers;
mod siprec;
mod sipvicious;
mod srtp_baresip;
mod strangers;
mod takeover_namespace;
mod teams;
mod tls_kamailio;
mod toll_fraud;
mod tone;
mod torture;
mod twilio_api;
mod twilio_apps;
mod twilio_hold;
mod twilio_hosts;
mod twilio_parameters;
mod twilio_programs;
mod twilio_proxy;
mod twilio_requests;
mod twilio_snippets;
mod twilio_tunnel;
mod warm_transfer;
mod warm_twilio;
mod webhook_requests;
mod webhook_signature;
mod whatsapp;

use super::Case;

/// Returns all cases.
pub(crate) fn all() -> Vec<Case> {
    let mut all = calls();
    all.extend(attacks());
    all.extend(floods());
    all.extend(peers());
    all.extend(phones());
    all.extend(agents());
    all.extend(applications());
    all.extend(tables());
    all.extend(programs());
    all.extend(transfers());
    all.extend(records());
    all.extend(replacements());
    all.extend(deployed());
    all
}

/// Returns the cases of calls and their failures.
fn calls() -> Vec<Case> {
    vec![
        Case {
            name: "simulator",
            proves: "calls, agents, restarts and faults in virtual time: nothing is left of any call",
            run: simulator::run,
        },
        Case {
            name: "instructions",
            proves: "a call of SIPp takes as many instructions as the repository says, bare and as used, by callgrind",
            run: instructions::run,
        },
        Case {
            name: "sipp-rtp",
            proves: "SIPp uac → edge → SIPp uas with RTP: no call fails, no packet is lost",
            run: sipp_calls::rtp,
        },
        Case { name: "sipp-tcp", proves: "the same signalling by TCP on the caller's side", run: sipp_calls::tcp },
        Case {
            name: "sipp-scenario",
            proves: "`loadtest --scenario`: SIPp's calls counted, its tone judged at our callees, its failures by reason",
            run: sipp_scenario::run,
        },
        Case {
            name: "sipp-dialog",
            proves: "INFO and a hold by UPDATE go on, a re-INVITE without an offer is answered here; late offers, 488, BYE in a change",
            run: sipp_dialog::run,
        },
        Case {
            name: "sipp-reliable",
            proves: "reliable 18x and PRACK on either side of a call and on both, a late offer in one",
            run: sipp_reliable::run,
        },
        Case {
            name: "sipp-timers",
            proves: "sessions refreshed by both, by UPDATE and re-INVITE; 422 both ways; a caller that stops ends the call",
            run: sipp_timers::run,
        },
        Case {
            name: "sipp-redirect",
            proves: "a 302 to another trunk's peer is followed there",
            run: sipp_targets::redirect,
        },
        Case {
            name: "sipp-ring-all",
            proves: "two ring at once: one answers, the other hears that the call was completed elsewhere",
            run: sipp_targets::ring_all,
        },
        Case { name: "tone", proves: "440 Hz both ways, every payload bit-identical", run: tone::run },
        Case {
            name: "addresses",
            proves: "two interfaces, with and without a default route: callers are shown the carrier's side and hear the called side",
            run: addresses::run,
        },
        Case {
            name: "failover",
            proves: "a silent first target is given up in time, the call goes on",
            run: failover::run,
        },
    ]
}

/// Returns the cases of attacks on calls, numbers and media.
fn attacks() -> Vec<Case> {
    vec![
        Case {
            name: "rfc4475",
            proves: "every RFC 4475 message gets its answer class; nothing malformed goes on",
            run: torture::run,
        },
        Case {
            name: "strangers",
            proves: "garbage from strangers: 0 bytes back, the call in progress unharmed",
            run: strangers::run,
        },
        Case {
            name: "latch",
            proves: "RTP from another port of the caller's address comes first: the announced port is heard all the same",
            run: latch::run,
        },
        Case {
            name: "reflection",
            proves: "forged INVITEs with a victim's media address: 0 packets to the victim, an honest caller hears the agent",
            run: reflection::run,
        },
        Case {
            name: "toll-fraud",
            proves: "an agent reaches no denied number by name, spelling or separators, and no port of the edge's machine",
            run: toll_fraud::run,
        },
        Case {
            name: "failover-times",
            proves: "503, closed ports and TLS failures cost under 0.5 s, silence its configured time",
            run: failover_times::run,
        },
        Case {
            name: "sipvicious",
            proves: "its scanners find nothing, tell no user from another, and get no more bytes than they send",
            run: sipvicious::run,
        },
    ]
}

/// Returns the cases of floods by one source.
fn floods() -> Vec<Case> {
    vec![
        Case {
            name: "fairness",
            proves: "400 INVITEs a second of one trunk refuse no call of another below its share of `[limits]`",
            run: floods::fairness,
        },
        Case {
            name: "idle-strangers",
            proves: "a phone registers by TCP beside 1,100 connections that never do; those are closed after 30 s",
            run: floods::idle_strangers,
        },
        Case {
            name: "slow-http",
            proves: "half-sent requests on every place: `/healthz` answers 9 times of 9",
            run: floods::slow_http,
        },
        Case {
            name: "reverse-proxy",
            proves: "nginx before the HTTP API, bare and with its usual headers: strangers get nothing, the token opens it",
            run: reverse_proxy::run,
        },
        Case {
            name: "digest-uri",
            proves: "right credentials for another number than the called one: 400; wrong ones: 401 as ever",
            run: floods::digest_uri,
        },
    ]
}

/// Returns the cases with phones.
fn phones() -> Vec<Case> {
    vec![
        Case {
            name: "baresip-register",
            proves: "baresip behind a NAT registers by UDP and TLS and is called over its flow, also after a reload",
            run: baresip_register::run,
        },
        Case {
            name: "mwi",
            proves: "baresip subscribes and shows a new message until it is heard; a PBX is notified without a subscription",
            run: mwi::run,
        },
        Case {
            name: "baresip-hold",
            proves: "baresip holds its caller, which hears silence or the edge's music, then baresip again",
            run: baresip_hold::run,
        },
        Case {
            name: "baresip-transfer",
            proves: "baresip transfers its caller: one that fails, and it hears why; one that the target takes",
            run: baresip_transfer::run,
        },
    ]
}

/// Returns the cases with proxies, registrars, PBXes and media servers.
fn peers() -> Vec<Case> {
    vec![
        Case {
            name: "kamailio",
            proves: "calls through Kamailio as a record-routing upstream: PRACK, re-INVITE, UPDATE and REFER too",
            run: kamailio::run,
        },
        Case {
            name: "acme",
            proves: "the certificate of a TLS listener by ACME from acme2certifier: proof by http-01, chain and names verified by OpenSSL",
            run: acme::run,
        },
        Case { name: "tls-kamailio", proves: "TLS both ways, known by certificate alone", run: tls_kamailio::run },
        Case {
            name: "teams",
            proves: "Microsoft Teams by its preset: mutual TLS, the edge's name in every message, OPTIONS both ways, SRTP with MKI heard both ways, the order of hubs",
            run: teams::run,
        },
        Case {
            name: "whatsapp",
            proves: "WhatsApp by its preset: credentials asked for both ways, Opus with SDES, an agent that hears 16 kHz, no re-INVITE arrives",
            run: whatsapp::run,
        },
        Case {
            name: "record-route",
            proves: "Kamailio with double Record-Route before a private Contact: every request takes the route set",
            run: record_route::run,
        },
        Case {
            name: "kamailio-digest",
            proves: "Kamailio asks for MD5 and SHA-256, its nonces go stale; SIPp is asked; wrong passwords get nowhere",
            run: kamailio_digest::run,
        },
        Case {
            name: "kamailio-register",
            proves: "the edge registers at Kamailio, refreshes, is called there, takes it back at its end",
            run: kamailio_register::run,
        },
        Case {
            name: "options-health",
            proves: "a peer that dies is skipped at once and used again when it is back",
            run: options_health::run,
        },
        Case {
            name: "srtp-baresip",
            proves: "two baresip phones, one with SRTP over TLS, hear each other's tone; so does a listener",
            run: srtp_baresip::run,
        },
        Case {
            name: "siprec",
            proves: "a recording server gets each party's tone in a stream of its own, and metadata that is valid by the schema",
            run: siprec::run,
        },
        Case {
            name: "codecs-baresip",
            proves: "baresip phones of all four codecs hear a tone and speech of each other as loud and clean as they can",
            run: codecs_baresip::run,
        },
        Case {
            name: "codecs-rtpengine",
            proves: "what the edge makes of PCMU, rtpengine makes PCMU of again, and back: a tone and speech as they were",
            run: codecs_rtpengine::run,
        },
        Case {
            name: "opus-libopus",
            proves: "what ropus encodes is as clear and as long as what libopus does; each decodes the other, to the last bits",
            run: opus_libopus::run,
        },
    ]
}

/// Returns the cases of agents, and of leaks.
fn agents() -> Vec<Case> {
    vec![
        Case {
            name: "agent-echo",
            proves: "a tone through the Python echo agent comes back clean and in time; its marks come back once",
            run: agent_echo::run,
        },
        Case {
            name: "agent-pipecat",
            proves: "pipecat's Twilio parser and serializer, unmodified, are the agent; Twilio's validator accepts us",
            run: agent_echo::pipecat,
        },
        Case {
            name: "agent-signed",
            proves: "Twilio's RequestValidator accepts the handshake of an agent behind TLS",
            run: agent_echo::signed,
        },
        Case {
            name: "agent-stop",
            proves: "a bot of FastAPI's behind uvicorn is notified of the end of each call by `stop`",
            run: agent_stop::run,
        },
        Case {
            name: "agent-openai",
            proves: "OpenAI's agents SDK on Node, unmodified: its model remembers what the caller heard, by our marks",
            run: agent_openai::run,
        },
        Case {
            name: "agent-parrot",
            proves: "the talking examples in Python and Node pass `agent test` and say back in a call what was said",
            run: agent_parrot::run,
        },
        Case {
            name: "agent-killed",
            proves: "the agent's process is killed: agent, hold tone and trunk are one unbroken stream to the caller",
            run: agent_killed::run,
        },
        Case {
            name: "agent-faults",
            proves: "twelve failures of an agent at three moments, and one killed under many calls: no caller is lost",
            run: crate::faults::case,
        },
        Case {
            name: "agent-100",
            proves: "100 agent calls at once: nothing lost, nothing late",
            run: agent_crowd::run,
        },
        Case {
            name: "agent-playout",
            proves: "two minutes of audio in one burst, whole; marks against captured RTP; a clear silences at once",
            run: agent_playout::run,
        },
        Case {
            name: "agent-stalled",
            proves: "a listener that stops reading: the call unchanged, memory bounded, frames counted as dropped",
            run: agent_stalled::run,
        },
        Case {
            name: "agent-bad",
            proves: "all faults of an agent are in the trace, and the caller is served",
            run: agent_bad::run,
        },
        Case {
            name: "leaks",
            proves: "two rounds of calls leave nothing behind and memory does not grow",
            run: leaks::run,
        },
    ]
}

/// Returns the cases of warm transfers.
fn transfers() -> Vec<Case> {
    vec![
        Case {
            name: "twilio-hold",
            proves: "twilio-python moves the party of a Dial to a document of its own, then both legs into a conference: they hear each other again",
            run: twilio_hold::run,
        },
        Case {
            name: "warm-transfer",
            proves: "SIPp's callers are sent by pipecat to baresip phones, by a warm transfer: accepted, with the agent as coach, declined, machine, no answer, the caller hangs up; each party hears what it should",
            run: warm_transfer::run,
        },
        Case {
            name: "warm-twilio",
            proves: "twilio-python transfers a caller warmly: in a conference with humans whom the API calls and a document asks, and by a Number with `url`; accepted, declined, machine, no answer; a participant is judged",
            run: warm_twilio::run,
        },
    ]
}

/// Returns the cases of applications by webhooks and by the API.
fn applications() -> Vec<Case> {
    vec![
        Case {
            name: "webhook-signature",
            proves: "signed requests to applications, in every form of URL and parameter: accepted by twilio-python and twilio-node, no forged one is",
            run: webhook_signature::run,
        },
        Case {
            name: "webhook-requests",
            proves: "every request of calls with Gather, Dial, whisper, callbacks and fallback, judged in servers of both of Twilio's libraries",
            run: webhook_requests::run,
        },
        Case {
            name: "twilio-api",
            proves: "twilio-python 9.0.5 and 9.13.0, twilio-node 4.23.0 and 6.2.0 by base URL: calls, numbers, keys, errors; every field and type of every resource",
            run: twilio_api::run,
        },
        Case {
            name: "twilio-proxy",
            proves: "curl, twilio-cli 6.2.4, twilio-python 9.0.5 and 9.13.0, twilio-node 4.23.0 and 6.2.0 reach the edge as api.twilio.com by variables alone",
            run: twilio_proxy::run,
        },
        Case {
            name: "conference",
            proves: "twilio-python and twilio-node drive a conference of six baresip phones in four codecs and four SIPp calls, each with a tone of its own: each hears all others and not itself",
            run: conference::run,
        },
        Case {
            name: "queue",
            proves: "twilio-python and twilio-node drive a queue of baresip phones: the one that dials it and the first caller hear each other, the next one neither",
            run: queue::run,
        },
        Case {
            name: "twilio-snippets",
            proves: "the public snippets for calls, conferences, numbers and keys in Python and Node, unchanged; their sample outputs name the fields",
            run: twilio_snippets::run,
        },
        Case {
            name: "twilio-hosts",
            proves: "`[api] tls` with a hosts entry and `twilio trust`: clients that read no proxy variables, in a network of its own",
            run: twilio_hosts::run,
        },
        Case {
            name: "twilio-tunnel",
            proves: "`proxy = \"tunnel\"` over TLS to the proxy: a host at a public address in a network of its own, and none that is private",
            run: twilio_tunnel::run,
        },
        Case {
            name: "twilio-apps",
            proves: "three public demo applications, unmodified, by `trunkgate twilio --app` with scripts, as their CI would run it",
            run: twilio_apps::run,
        },
        Case {
            name: "pipecat-hang-up",
            proves: "pipecat's automatic hang-up, unmodified, ends the call by the API at its base_url",
            run: agent_echo::pipecat_hangs_up,
        },
        Case {
            name: "ivr",
            proves: "a menu with three tries, keys during prompts, a transfer with whisper and its way back: SIPp and baresip by what they hear",
            run: ivr::run,
        },
        Case {
            name: "seeds",
            proves: "web applications and programs of pages, unchanged but for the base URL: each step by what is heard, dialled, sent and requested",
            run: crate::seeds::case,
        },
    ]
}

/// Returns the cases that compare the edge's tables with published ones.
fn tables() -> Vec<Case> {
    vec![Case {
        name: "twilio-parameters",
        proves: "the parameters that twilio-python 9.13.0 and twilio-node 6.3.1 can send, read from the packages, are those of the committed list",
        run: twilio_parameters::run,
    }]
}

/// Returns the cases of public programs written for Twilio: their requests, and some of the programs unmodified with
/// calls.
fn programs() -> Vec<Case> {
    vec![
        Case {
            name: "twilio-requests",
            proves: "requests of GoAlert, Healthchecks, Uptime Kuma, Dograh and old programs, by their HTTP clients: calls, messages and callbacks",
            run: twilio_requests::run,
        },
        Case {
            name: "program-ivr",
            proves: "basic-ivr-python: a menu in a session of Flask goes on with each digit, and each caller has its own",
            run: twilio_programs::basic_ivr::run,
        },
        Case {
            name: "program-forwarding",
            proves: "call-forwarding-flask behind TLS: its redirects to http are asked by https; senators by zip code and by FromState",
            run: twilio_programs::call_forwarding::run,
        },
        Case {
            name: "program-click-to-call",
            proves: "clicktocall-node with its axios 0.19, by the proxy in absolute form: both parties hear each other",
            run: twilio_programs::click_to_call::run,
        },
        Case {
            name: "program-warm-transfer",
            proves: "warm-transfer-flask with `[client]` and twilio-python 6.51, by a hosts entry: customer and two agents in a conference",
            run: twilio_programs::warm_transfer::run,
        },
        Case {
            name: "program-realtime",
            proves: "speech-assistant-openai-realtime: a call and a double of OpenAI's API hear each other; an interruption cuts the answer",
            run: twilio_programs::openai_realtime::run,
        },
    ]
}

/// Returns the cases of reports and records about calls.
fn records() -> Vec<Case> {
    vec![
        Case {
            name: "record-play",
            proves: "Record, then Play of its RecordingUrl: plain, with `public_url`, with `proxy` and in the sandbox, heard as it was spoken",
            run: record_play::run,
        },
        Case {
            name: "recording-crash",
            proves: "kill -9 of an edge that records 50 calls: each file opens in ffprobe and by age, and lacks at most 1 s and a chunk",
            run: recording_crash::run,
        },
        Case {
            name: "cdr-webhook",
            proves: "call records by HTTPS: each signature verified by the Standard Webhooks library, each record taken once",
            run: cdr_webhook::run,
        },
        Case {
            name: "asterisk",
            proves: "Asterisk by the files of its guide: calls in, out and for help, both sides' tones in both directions",
            run: asterisk::run,
        },
        Case {
            name: "hep",
            proves: "a call's capture file by tshark, and its messages by HEP by sngrep: both legs whole, nothing malformed",
            run: captured::run,
        },
        Case {
            name: "otel",
            proves: "calls as traces by HTTPS: every request read by OpenTelemetry's own protobuf schema, each call one trace, once",
            run: otel::run,
        },
    ]
}

/// Returns the cases in which another process continues the calls of the edge.
fn replacements() -> Vec<Case> {
    vec![
        Case {
            name: "restart-peers",
            proves: "two upgrades and a kill -9 under calls of SIPp, baresip (SRTP over TLS), Asterisk, pipecat and OpenAI's SDK: each goes on both ways",
            run: restart_peers::run,
        },
        Case {
            name: "takeover-namespace",
            proves: "`run --take-over` from the first process of a PID namespace: while it drains, and before its namespace is killed",
            run: takeover_namespace::run,
        },
    ]
}

/// Returns the cases of an operator's actions on a running edge, and of installed files, each checked by its own tool.
fn deployed() -> Vec<Case> {
    vec![
        Case {
            name: "reload-live",
            proves: "200 calls with RTP, half over TLS and SRTP, under reloads, new certificates and bad files: none ends, no packet is lost",
            run: reload_live::run,
        },
        Case {
            name: "config-schema",
            proves: "the JSON Schema of the configuration by Python's jsonschema: takes what `check` takes, refuses what is wrong",
            run: config_schema::run,
        },
        Case {
            name: "completions",
            proves: "bash completes verbs, values and flags by the script that the binary prints",
            run: shell::completions,
        },
        Case { name: "manual", proves: "every manual page by mandoc, and shown by man", run: shell::manual },
        Case {
            name: "deploy-systemd",
            proves: "the unit by systemd-analyze, and under systemd in a container: reload, watchdog, stop, the demo's calls in its sandbox",
            run: deploy_systemd::run,
        },
        Case {
            name: "deploy-prometheus",
            proves: "alerts and metrics by promtool; a server that evaluates every alert and what every panel asks",
            run: deploy_prometheus::run,
        },
        Case {
            name: "deploy-compose",
            proves: "both compose files by Docker Compose, and what they mount is there",
            run: deploy_files::compose,
        },
        Case {
            name: "compose-demo",
            proves: "the demo of docker-compose.yml by its own commands: calls with audio, and `status` reports no problems",
            run: compose::run,
        },
        Case {
            name: "console",
            proves: "the console in headless Chromium: every page, light, dark and narrow, a token, a call hung up; no error, nothing fetched from elsewhere",
            run: console::run,
        },
        Case {
            name: "faults",
            proves: "no audio for an address, two firewalls and codecs: API, trace, doctor, status and console name the cause and what to change",
            run: faults::run,
        },
        Case {
            name: "helm",
            proves: "the Helm chart by Helm and the schemas of Kubernetes; wrong values are refused, `check` takes its configurations",
            run: helm::run,
        },
        Case {
            name: "deploy-ci",
            proves: "the script of CI jobs and the installer by shellcheck",
            run: deploy_files::scripts,
        },
        Case { name: "deploy-docker", proves: "the Dockerfiles by hadolint", run: deploy_files::dockerfile },
    ]
}
