//! Configuration of the edge: a trunk for each kind of party, a route for each kind of calls, and the documents of the
//! applications.

use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::kinds::{ALAW, CallKind, SECURE};
use super::lines::HOST;
use crate::bench::dialer::{FAR, NEAR};
use crate::bench::restart::EDGE;
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::edge::LISTENERS;
use crate::interop::sound::{self, AMPLITUDE};

/// Port of the edge for SIP over TLS.
pub(super) const TLS_PORT: u16 = 5061;
/// Calling number of requested calls.
pub(super) const REQUESTS: &str = "+16505550000";
/// Number that the document of transcribed calls dials; the party knows the call by its caller.
const TRANSCRIBED: &str = "+14155550199";
/// Beginning of the numbers to which calls are transferred.
const TARGETS: &str = "+141560";
/// Length of the sound of a Gather, which is repeated, in seconds.
const SOUND_SECONDS: u32 = 5;
/// Index of the first kind in numbers: the exchange code of a number begins with 2 or more.
const FIRST_KIND: usize = 20;

/// Addresses of the parties that the configuration names.
pub(super) struct Addresses {
    pub(super) far: SocketAddr,
    pub(super) secure: SocketAddr,
    pub(super) alaw: SocketAddr,
    pub(super) recorder: SocketAddr,
    /// WebSocket agents: in clear, over TLS, listener, recogniser.
    pub(super) open: SocketAddr,
    pub(super) over_tls: SocketAddr,
    pub(super) scribe: SocketAddr,
    pub(super) recogniser: SocketAddr,
}

/// Returns the called number of a call by its kind and index there.
pub(super) fn called(kind: usize, n: usize) -> String {
    format!("+1415{}{n:05}", FIRST_KIND + kind)
}

/// Returns the calling number of a call.
pub(super) fn calling(kind: usize, n: usize) -> String {
    format!("+1650{}{n:05}", FIRST_KIND + kind)
}

/// Returns the number to which a call is transferred.
pub(super) fn target(n: usize) -> String {
    format!("{TARGETS}{n:05}")
}

/// Sections that are the same in each run.
const SECTIONS: &str = r#"
[limits]
calls_per_second = 0
[app.gather]
file = "gather.xml"
[app.queue]
file = "queue.xml"
[app.transcribed]
file = "transcribed.xml"
"#;

/// Returns the configuration; `folder` has the certificate and gets the recordings, and the calls of each kind are
/// numbered up to `shares`.
pub(super) fn configuration(kinds: &[CallKind], shares: &[usize], at: &Addresses, folder: &Path) -> String {
    let listeners = LISTENERS
        .replace("[media]\n", "[media]\nidle_timeout = \"1h\"\n")
        .replace("\"20000-29999\"", "\"10000-59999\"");
    let folder = folder.display();
    let tls = format!(
        "[[listen]]\ntransport = \"tls\"\naddress = \"{EDGE}:{TLS_PORT}\"\ncertificate = \"{folder}/ca.pem\"\n\
         private_key = \"{folder}/ca.key\"\n[recording]\ndirectory = \"{folder}/recordings\"\n"
    );
    let api = format!(
        "[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nallow_private = true\nrequests_per_second = 0\n\
         connect = [\"trunk:far\"]\n[[number]]\nnumber = \"{REQUESTS}\"\n"
    );
    [listeners, tls, api, servers(at), trunks(at), SECTIONS.to_owned(), routes(kinds, shares)].concat()
}

/// Returns the sections of agents, of the recogniser and of the recording server.
fn servers(at: &Addresses) -> String {
    let Addresses { recorder, open, over_tls, scribe, recogniser, .. } = at;
    let over_tls = over_tls.port();
    format!(
        "[recognition]\nurl = \"ws://{recogniser}/stream\"\n[agent.open]\nurl = \"ws://{open}/media\"\n\
         [agent.secure]\nurl = \"wss://{HOST}:{over_tls}/media\"\n[agent.scribe]\nurl = \"ws://{scribe}/media\"\n\
         [siprec.vault]\noptions_interval = \"0s\"\npeers = [\"sip:{recorder}\"]\n"
    )
}

/// Returns the sections of the trunks: callers, and one for each kind of called parties.
fn trunks(at: &Addresses) -> String {
    let Addresses { far, secure, alaw, .. } = at;
    let trunk = |name: &str, ip: &str, keys: &str| {
        format!(
            "[trunk.{name}]\noptions_interval = \"0s\"\nring_timeout = \"1h\"\naccept_from = [\"{ip}/32\"]\n{keys}\n"
        )
    };
    [
        trunk("near", NEAR, "codecs = [\"PCMU\"]"),
        trunk("far", FAR, &format!("codecs = [\"PCMU\"]\npeers = [\"sip:{far}\"]")),
        trunk("secure", SECURE, &format!("codecs = [\"PCMU\"]\nsrtp = \"required\"\npeers = [\"sip:{secure}\"]")),
        trunk("alaw", ALAW, &format!("codecs = [\"PCMA\"]\npeers = [\"sip:{alaw}\"]")),
    ]
    .concat()
}

/// Returns the routes of all kinds, with an application for each room, and that of transfers.
fn routes(kinds: &[CallKind], shares: &[usize]) -> String {
    let mut text = format!("[[route]]\nfrom = [\"far\"]\nto = [\"{TARGETS}*\"]\nconnect = [\"trunk:far\"]\n");
    for (at, (kind, share)) in kinds.iter().zip(shares).enumerate().filter(|(_, (kind, _))| !kind.is_requested) {
        if kind.group == 1 {
            text += &route(&format!("\"+1415{}*\"", FIRST_KIND + at), kind.route);
            continue;
        }
        for group in 0..share / kind.group {
            let number = |n: usize| format!("{:?}", called(at, group * kind.group + n));
            let numbers: Vec<String> = (0..kind.group).map(number).collect();
            text += &route(&numbers.join(", "), &kind.route.replace("{n}", &group.to_string()));
            let _ = writeln!(text, "[app.room-{group}]\nfile = \"room-{group}.xml\"");
        }
    }
    text
}

fn route(to: &str, keys: &str) -> String {
    format!("[[route]]\nfrom = [\"near\"]\nto = [{to}]\n{keys}\n")
}

/// Returns the files beside the configuration.
pub(super) fn files(rooms: usize) -> Vec<(String, Vec<u8>)> {
    let sound = sound::wav(8000, 1, SOUND_SECONDS, |t| AMPLITUDE * (TAU * 440.0 * t).sin());
    let document = |verbs: &str| format!("<Response>{verbs}</Response>").into_bytes();
    let mut files = vec![
        ("sound.wav".to_owned(), sound),
        ("gather.xml".to_owned(), document("<Gather timeout=\"3600\"><Play loop=\"0\">sound.wav</Play></Gather>")),
        ("queue.xml".to_owned(), document("<Enqueue>line</Enqueue>")),
        (
            "transcribed.xml".to_owned(),
            document(&format!("<Start><Transcription name=\"notes\"/></Start><Dial>{TRANSCRIBED}</Dial>")),
        ),
    ];
    let room = |n: usize| {
        let verbs =
            format!("<Dial><Conference record=\"record-from-start\" beep=\"false\">room-{n}</Conference></Dial>");
        (format!("room-{n}.xml"), document(&verbs))
    };
    files.extend((0..rooms).map(room));
    files
}
