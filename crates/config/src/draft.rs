//! Parsed configuration with the positions that `checks` needs for its diagnostics.

use std::ops::Range;
use std::sync::Arc;

use trunkgate_call::RecogniserSpec;
use trunkgate_route::{Agent, App, Mailbox, Route, SiprecSettings, TargetSpec, Trunk};

use super::acme::SpannedAcme;
use super::apps::AppSettings;
use super::cdr::CdrSettings;
use super::clients::SpannedClient;
use super::data::DataDirectory;
use super::diagnostic::Excerpt;
use super::hep::HepSettings;
use super::mail::MailSettings;
use super::messages::MessageSettings;
use super::numbers::PhoneNumber;
use super::otel::OtelSettings;
use super::receiver::WebhookReceiver;
use super::recording::RecordingSettings;
use super::section::{KeySpans, TableSpans};
use super::sms::SmsSettings;
use super::sounds::SoundCache;
use super::targets::TargetGroups;
use super::transcription::TranscriptionSettings;
use super::types::{
    AgentAnnouncement, ApiSettings, EdgeConfig, HttpSettings, LimitSettings, ListenSettings, MediaSettings,
    SpeechSettings, TrunkTls,
};
use trunkgate_system::log::LogSettings;

/// Byte range in the configuration file, for diagnostics.
pub(super) type SourceSpan = Range<usize>;

/// Parsed configuration before the checks across tables.
#[derive(Debug)]
pub(super) struct ConfigDraft {
    /// Positions of tables and their keys.
    pub(super) spans: TableSpans,
    pub(super) edge: EdgeConfig,
    pub(super) listen: Vec<SpannedListen>,
    /// True if a listener could not be read; a missing one has then been reported.
    pub(super) listen_is_partial: bool,
    pub(super) media: MediaSettings,
    pub(super) limits: LimitSettings,
    pub(super) http: HttpSettings,
    pub(super) acme: Option<SpannedAcme>,
    pub(super) trunks: Vec<SpannedTrunk>,
    pub(super) agents: Vec<SpannedAgent>,
    pub(super) apps: Vec<SpannedApp>,
    pub(super) mailboxes: Vec<SpannedMailbox>,
    pub(super) numbers: Vec<SpannedNumber>,
    /// Routes; those derived from `[[number]]` come first.
    pub(super) routes: Vec<SpannedRoute>,
    pub(super) groups: TargetGroups,
    pub(super) clients: Vec<SpannedClient>,
    pub(super) sounds: SoundCache,
    pub(super) api: SpannedApi,
    pub(super) log: LogSettings,
    pub(super) speech: Option<SpeechSettings>,
    /// `[recognition]`, if usable.
    pub(super) recognition: Option<Arc<RecogniserSpec>>,
    /// True if `[speech]` is turned off.
    pub(super) speech_is_off: bool,
    pub(super) cdr: CdrSettings,
    pub(super) alerts: Option<WebhookReceiver>,
    pub(super) recording: Option<RecordingSettings>,
    pub(super) transcription: Option<TranscriptionSettings>,
    pub(super) data: DataDirectory,
    pub(super) hep: Option<HepSettings>,
    pub(super) otel: Option<OtelSettings>,
    pub(super) sms: Option<SmsSettings>,
    pub(super) messages: MessageSettings,
    pub(super) mail: Option<MailSettings>,
}

impl ConfigDraft {
    /// Returns the trunk of this name; recording servers are excluded.
    pub(super) fn trunk(&self, name: &str) -> Option<&SpannedTrunk> {
        self.trunks.iter().find(|placed| *placed.trunk.name == *name && placed.trunk.siprec.is_none())
    }

    /// Returns the names of the trunks that carry calls; recording servers are excluded.
    pub(super) fn trunk_names(&self) -> impl Iterator<Item = &str> + Clone {
        let trunks = self.trunks.iter().map(|placed| &placed.trunk);
        trunks.filter(|trunk| trunk.siprec.is_none()).map(|trunk| trunk.name.as_ref())
    }

    /// Returns the names of the recording servers as written in the file.
    pub(super) fn recorder_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.trunks.iter().filter_map(|placed| placed.trunk.name.strip_prefix(SiprecSettings::PREFIX))
    }

    /// Returns whether text-to-speech is unavailable. A `[speech]` with an error has its own diagnostic.
    pub(super) fn cannot_speak(&self) -> bool {
        self.speech.is_none() && (self.spans.table("speech").is_none() || self.speech_is_off)
    }

    /// Returns whether API requests can place calls; such an edge is useful without any route.
    pub(super) fn places_calls(&self) -> bool {
        self.spans.key("api", "auth_token").is_some() && !self.api.api.connect.is_empty()
    }

    /// Returns whether a route, a routes file or a group used by a route has a target for which `is_it` is true; also
    /// true if a routes file could not be read.
    pub(super) fn is_target(&self, is_it: impl Fn(&TargetSpec) -> bool) -> bool {
        let by_route = self.routes.iter().any(|placed| {
            let file = placed.route.file.as_ref();
            placed.route.connect.iter().any(&is_it)
                || placed.file.is_some() && file.is_none()
                || file.is_some_and(|file| file.targets().any(|connect| connect.iter().any(&is_it)))
        });
        by_route || self.groups.has(is_it)
    }

    /// Suggests a target of another kind with this name.
    pub(super) fn meant(&self, name: &str) -> Option<String> {
        let kind = match name {
            _ if self.trunk(name).is_some() => "trunk",
            _ if self.agents.iter().any(|placed| *placed.agent.name == *name) => "agent",
            _ if self.apps.iter().any(|placed| *placed.app.name == *name) => "app",
            _ if self.mailboxes.iter().any(|placed| *placed.mailbox.name == *name) => "voicemail",
            _ => return None,
        };
        Some(format!("did you mean \"{kind}:{name}\"?"))
    }
}

/// Listener with the positions of its address and name; `None` for default listeners.
#[derive(Debug)]
pub(super) struct SpannedListen {
    pub(super) listen: ListenSettings,
    pub(super) address: Option<SourceSpan>,
    pub(super) name: Option<SourceSpan>,
}

/// Trunk, with the positions of its keys in the file, for diagnostics.
#[derive(Debug)]
pub(super) struct SpannedTrunk {
    pub(super) trunk: Trunk,
    /// Position of the name in the table header.
    pub(super) name: SourceSpan,
    /// Positions of the keys, also of those that come from the preset.
    pub(super) keys: KeySpans,
    pub(super) tls: Option<TrunkTls>,
    /// Position of each `deny` pattern.
    pub(super) deny: Vec<SourceSpan>,
    /// Position of each peer.
    pub(super) peers: Vec<SourceSpan>,
    /// Position of each network in `accept_from`.
    pub(super) accept_from: Vec<SourceSpan>,
    /// True if `peers` or `accept_from` had an invalid entry; a missing address has then been reported.
    pub(super) is_partial: bool,
    /// Preset, and the positions of the values that it expanded.
    pub(super) preset: Option<(&'static str, Vec<SourceSpan>)>,
}

/// Agent, with the positions of its keys in the file, for diagnostics.
#[derive(Debug)]
pub(super) struct SpannedAgent {
    pub(super) agent: Agent,
    /// Position of `url`, if usable.
    pub(super) url: Option<SourceSpan>,
    /// Position of `hold`, if it has an effect.
    pub(super) hold: Option<SourceSpan>,
    /// Position of `voice` in `hold`.
    pub(super) voice: Option<SourceSpan>,
    /// Text of `hold`, to be spoken.
    pub(super) said: Option<AgentAnnouncement>,
    /// Position of each entry of `transfer_to`.
    pub(super) transfer_to: Vec<SourceSpan>,
}

/// Application, with the positions of its keys in the file, for diagnostics.
#[derive(Debug)]
pub(super) struct SpannedApp {
    pub(super) app: App,
    pub(super) settings: AppSettings,
    /// Position of the name in the table header.
    pub(super) name: SourceSpan,
    /// URLs of the application: key, URL and position.
    pub(super) webhooks: Vec<(&'static str, String, SourceSpan)>,
    /// Position of the first `Say` in its documents.
    pub(super) speech: Option<Excerpt>,
    /// Position of the first `Gather` with speech input in its documents.
    pub(super) speech_input: Option<Excerpt>,
}

/// Mailbox, with the positions of its keys in the file, for diagnostics.
#[derive(Debug)]
pub(super) struct SpannedMailbox {
    pub(super) mailbox: Mailbox,
    /// Position of the name in the table header.
    pub(super) name: SourceSpan,
    /// Positions of the keys.
    pub(super) keys: KeySpans,
    /// Position of each entry of `mwi`.
    pub(super) mwi: Vec<SourceSpan>,
}

/// Settings of `[api]`, with the positions of its targets in the file, for diagnostics.
#[derive(Debug)]
pub(super) struct SpannedApi {
    pub(super) api: ApiSettings,
    /// Position of each target of `connect`.
    pub(super) connect: Vec<TargetSpan>,
}

/// Phone number of `[[number]]`, with the positions of its keys in the file, for diagnostics.
#[derive(Debug)]
pub(super) struct SpannedNumber {
    pub(super) number: PhoneNumber,
    /// Position of `number`.
    pub(super) span: SourceSpan,
    /// Position of `app`, if set.
    pub(super) app: Option<SourceSpan>,
    /// Position of each name in `from`, if set.
    pub(super) from: Vec<SourceSpan>,
    /// True if `from` is not set.
    pub(super) is_default: bool,
    /// True if `app` or `from` could not be read.
    pub(super) is_partial: bool,
}

/// Position of a target.
#[derive(Debug, Clone)]
pub(super) struct TargetSpan {
    /// Range of the whole target.
    pub(super) span: SourceSpan,
    /// Range of each target in a list that rings simultaneously.
    pub(super) members: Vec<SourceSpan>,
    /// Byte offset of the reference to its group, if that is ordered by answer ratio; identifies the reference.
    pub(super) by_ratio: Option<usize>,
}

impl TargetSpan {
    /// Returns the index ranges of a route's targets that belong to groups ordered by answer ratio.
    pub(super) fn by_ratio<'a>(places: impl Iterator<Item = &'a TargetSpan>) -> Vec<Range<u32>> {
        let groups: Vec<Option<usize>> = places.map(|place| place.by_ratio).collect();
        let (mut found, mut at) = (Vec::new(), 0);
        for run in groups.chunk_by(|one, next| one == next) {
            let end = at + u32::try_from(run.len()).unwrap_or(0);
            if run.first().is_some_and(Option::is_some) {
                found.push(at..end);
            }
            at = end;
        }
        found
    }
}

impl SpannedRoute {
    /// Returns a route with all positions set to `span`.
    pub(super) fn at(route: Route, span: SourceSpan) -> SpannedRoute {
        let each = |count: usize| vec![span.clone(); count];
        let place = |target: &TargetSpec| {
            let members = if let TargetSpec::RingAll(members) = target { each(members.len()) } else { Vec::new() };
            TargetSpan { span: span.clone(), members, by_ratio: None }
        };
        SpannedRoute {
            from: each(route.from.len()),
            to: each(route.to.len()),
            caller: each(route.caller.len()),
            connect: route.connect.iter().map(place).collect(),
            fork: each(route.fork.len()),
            siprec: each(route.siprec.len()),
            file: None,
            sms: None,
            is_partial: false,
            name: span,
            route,
        }
    }

    /// Returns the targets with their positions; simultaneous targets are returned individually.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&TargetSpec, &SourceSpan)> {
        self.route.connect.iter().zip(&self.connect).flat_map(|(target, place)| {
            if let TargetSpec::RingAll(members) = target {
                members.iter().zip(&place.members).collect()
            } else {
                vec![(target, &place.span)]
            }
        })
    }
}

/// Route, with the positions of its keys in the file, for diagnostics.
#[derive(Debug)]
pub(super) struct SpannedRoute {
    pub(super) route: Route,
    /// Position of the name if set, else of the table header.
    pub(super) name: SourceSpan,
    pub(super) from: Vec<SourceSpan>,
    pub(super) to: Vec<SourceSpan>,
    pub(super) caller: Vec<SourceSpan>,
    pub(super) connect: Vec<TargetSpan>,
    pub(super) fork: Vec<SourceSpan>,
    pub(super) siprec: Vec<SourceSpan>,
    /// `routes_file` as written, with its position.
    pub(super) file: Option<(String, SourceSpan)>,
    /// Position of `sms_on_failure`, if set.
    pub(super) sms: Option<SourceSpan>,
    /// True if a condition could not be read; the calls matched by the route are then unknown.
    pub(super) is_partial: bool,
}
