//! Streams to a voice agent or listener: Connect, Start, Stop.

use serde::{Deserialize, Serialize};

use super::fields::{ElementFields, HttpMethod};
use super::record::recording;
use super::transcription::live_transcript;
use super::unknown;
use super::verb::{UnsupportedVerb, VerbKind};
use crate::compat::{self, FeatureSupport, VOICE};
use crate::limits::PARAMETER_CHARS;
use crate::problem::code;

/// Verb that connects the caller with a stream; the document continues when the stream ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectVerb {
    /// URL requested at the end of the Connect, as written. If `None`, the document continues with the next verb.
    pub action: Option<String>,
    /// Method of the request to `action`.
    pub method: HttpMethod,
    /// Stream that the caller is connected with.
    pub stream: Stream,
}

/// Media stream to a voice agent or listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// WebSocket URL of the server, as written.
    pub url: String,
    /// Name by which a Stop verb refers to the stream; `None` for no name.
    pub name: Option<String>,
    /// Directions of the call's audio that are sent.
    pub tracks: TrackSelection,
    /// URL that receives stream events, as written; `None` if no events are reported.
    pub status: Option<String>,
    /// Method of the requests to the URL in `status`.
    pub status_method: HttpMethod,
    /// Custom parameters of the start message, in order.
    pub parameters: Vec<(String, String)>,
}

/// Recording of the call by a group of recording servers (SIPREC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiprecNoun {
    /// Name of the recording servers' group.
    pub connector: String,
    /// True if only one direction is to be recorded, which recording servers do not support.
    #[serde(default)]
    pub is_one_track: bool,
    /// Name by which a Stop verb refers to the recording; `None` for no name.
    pub name: Option<String>,
    /// URL that receives recording events, as written; `None` if no events are reported.
    pub status: Option<String>,
    /// Method of the requests to the URL in `status`.
    pub status_method: HttpMethod,
}

/// Selection of a call's audio directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackSelection {
    /// Audio from the caller.
    #[default]
    Inbound,
    /// Audio to the caller.
    Outbound,
    /// Both directions.
    Both,
}

impl TrackSelection {
    /// Returns the name used by Twilio.
    pub const fn name(self) -> &'static str {
        match self {
            TrackSelection::Inbound => "inbound_track",
            TrackSelection::Outbound => "outbound_track",
            TrackSelection::Both => "both_tracks",
        }
    }
}

/// Values of `track`, with the directions that they select.
pub(super) const TRACKS: [(&str, TrackSelection); 3] = [
    (TrackSelection::Inbound.name(), TrackSelection::Inbound),
    (TrackSelection::Outbound.name(), TrackSelection::Outbound),
    (TrackSelection::Both.name(), TrackSelection::Both),
];

/// Reads a Connect; returns `None`, with a warning, if it has no noun or its Stream has no URL.
pub(super) fn connect(mut fields: ElementFields<'_>) -> Option<VerbKind> {
    let action = fields.text("action");
    let method = fields.method("method", code::SCHEMA);
    let position = fields.element.position;
    let mut noun = None;
    for child in fields.element.elements() {
        let Some(entry) = compat::entry(VOICE, fields.path(), &child.name) else {
            unknown(child, fields.path(), fields.warnings);
            continue;
        };
        if noun.is_some() {
            fields.warnings.add(code::SCHEMA, child.position, "<Connect> takes one noun; this one is skipped");
            continue;
        }
        noun = match entry.state {
            FeatureSupport::NotSupported(text) => {
                Some(VerbKind::Refused(UnsupportedVerb::new(entry.path, code::SCHEMA, text)))
            }
            FeatureSupport::Supported | FeatureSupport::Differs(_) => {
                let mut stream = stream(ElementFields::open(entry, child, fields.warnings))?;
                if stream.tracks != TrackSelection::Inbound {
                    let message = "a <Stream> in <Connect> carries inbound_track only";
                    fields.warnings.add(code::SCHEMA, child.position, message);
                    stream.tracks = TrackSelection::Inbound;
                }
                Some(VerbKind::Connect(Box::new(ConnectVerb { action: action.clone(), method, stream })))
            }
        };
    }
    if noun.is_none() {
        fields.warnings.add(code::SCHEMA, position, "<Connect> without a noun is skipped");
    }
    noun
}

/// Reads a Start; returns one verb for each noun.
pub(super) fn start(fields: ElementFields<'_>) -> Vec<VerbKind> {
    let mut steps = Vec::new();
    for child in fields.element.elements() {
        match compat::entry(VOICE, fields.path(), &child.name) {
            None => unknown(child, fields.path(), fields.warnings),
            Some(entry) => match entry.state {
                FeatureSupport::NotSupported(text) => {
                    steps.push(VerbKind::Refused(UnsupportedVerb::new(entry.path, code::SCHEMA, text)));
                }
                FeatureSupport::Supported | FeatureSupport::Differs(_) if entry.path == "Start/Recording" => {
                    let noun = recording(ElementFields::open(entry, child, fields.warnings));
                    steps.push(VerbKind::StartRecording(Box::new(noun)));
                }
                FeatureSupport::Supported | FeatureSupport::Differs(_) if entry.path == "Start/Siprec" => {
                    let noun = siprec(ElementFields::open(entry, child, fields.warnings));
                    steps.extend(noun.map(|noun| VerbKind::StartSiprec(Box::new(noun))));
                }
                FeatureSupport::Supported | FeatureSupport::Differs(_) if entry.path == "Start/Transcription" => {
                    let noun = live_transcript(ElementFields::open(entry, child, fields.warnings));
                    steps.push(VerbKind::StartTranscript(Box::new(noun)));
                }
                FeatureSupport::Supported | FeatureSupport::Differs(_) => {
                    let stream = stream(ElementFields::open(entry, child, fields.warnings));
                    steps.extend(stream.map(|stream| VerbKind::StartStream(Box::new(stream))));
                }
            },
        }
    }
    steps
}

/// Reads a Stop; returns one verb for each noun.
pub(super) fn stop(fields: ElementFields<'_>) -> Vec<VerbKind> {
    let mut steps = Vec::new();
    for child in fields.element.elements() {
        match compat::entry(VOICE, fields.path(), &child.name) {
            None => unknown(child, fields.path(), fields.warnings),
            Some(entry) => match entry.state {
                FeatureSupport::NotSupported(text) => {
                    steps.push(VerbKind::Refused(UnsupportedVerb::new(entry.path, code::SCHEMA, text)));
                }
                FeatureSupport::Supported | FeatureSupport::Differs(_) => {
                    let inner = ElementFields::open(entry, child, fields.warnings);
                    match (inner.text("name"), entry.path) {
                        (Some(name), "Stop/Siprec") => steps.push(VerbKind::StopSiprec { name }),
                        (Some(name), "Stop/Transcription") => steps.push(VerbKind::StopTranscript { name }),
                        (Some(name), _) => steps.push(VerbKind::StopStream { name }),
                        (None, _) => {
                            let message = format!("<Stop><{}> needs a name", child.name);
                            inner.warnings.add(code::SCHEMA, child.position, message);
                        }
                    }
                }
            },
        }
    }
    steps
}

/// Reads a Siprec; returns `None` if it names no server group.
fn siprec(mut fields: ElementFields<'_>) -> Option<SiprecNoun> {
    let position = fields.element.position;
    for child in fields.element.elements() {
        match compat::entry(VOICE, fields.path(), &child.name) {
            None => unknown(child, fields.path(), fields.warnings),
            Some(_) => {
                let message = format!("<{}> in <{}> has no effect", child.name, fields.path());
                fields.warnings.add(code::SCHEMA, child.position, message);
            }
        }
    }
    let Some(connector) = fields.text("connectorName") else {
        fields.warnings.add(code::SCHEMA, position, "<Siprec> without a connectorName is skipped");
        return None;
    };
    let is_one_track = fields.choice("track", code::SCHEMA, &TRACKS, TrackSelection::Both) != TrackSelection::Both;
    let (name, status) = (fields.text("name"), fields.text("statusCallback"));
    let status_method = fields.method("statusCallbackMethod", code::SCHEMA);
    Some(SiprecNoun { connector, is_one_track, name, status, status_method })
}

/// Reads a Stream; returns `None`, with a warning, if it has no URL.
fn stream(mut fields: ElementFields<'_>) -> Option<Stream> {
    let Some(url) = fields.text("url") else {
        fields.warnings.add(31923, fields.element.position, "<Stream> without a url is skipped");
        return None;
    };
    let tracks = fields.choice("track", code::SCHEMA, &TRACKS, TrackSelection::Inbound);
    let name = fields.text("name");
    let status = fields.text("statusCallback");
    let status_method = fields.method("statusCallbackMethod", code::SCHEMA);
    let mut parameters = Vec::new();
    for child in fields.element.elements() {
        let Some(entry) = compat::entry(VOICE, fields.path(), &child.name) else {
            unknown(child, fields.path(), fields.warnings);
            continue;
        };
        let parameter = ElementFields::open(entry, child, fields.warnings);
        let name = parameter.text("name");
        let value = parameter.raw("value").unwrap_or_default().to_owned();
        match name {
            Some(name) if name.chars().count() + value.chars().count() <= PARAMETER_CHARS => {
                parameters.push((name, value));
            }
            Some(name) => {
                let message = format!(
                    "<Parameter> {name:.40}: name and value exceed {PARAMETER_CHARS} characters together; skipped"
                );
                parameter.warnings.add(code::SCHEMA, child.position, message);
            }
            None => parameter.warnings.add(code::SCHEMA, child.position, "<Parameter> without a name is skipped"),
        }
    }
    Some(Stream { url, name, tracks, status, status_method, parameters })
}
