//! Parsed configuration with the positions that `checks` needs for its diagnostics.

use std::ops::Range;

use trunkgate_route::{Agent, App, Mailbox, Route, Siprec, TargetSpec, Trunk};

use super::acme::PlacedAcme;
use super::apps::AppSettings;
use super::cdr::Cdr;
use super::clients::PlacedClient;
use super::data::DataDirectory;
use super::diagnostic::Excerpt;
use super::hep::Hep;
use super::mail::Mail;
use super::messages::Messages;
use super::numbers::PhoneNumber;
use super::otel::Otel;
use super::recognition::PlacedRecognition;
use super::recording::Recording;
use super::sms::Sms;
use super::sounds::Sounds;
use super::targets::Groups;
use super::transcription::Transcription;
use super::types::{Announcement, Api, Edge, Http, Limits, Listen, Media, Speech, TrunkTls};
use trunkgate_system::log::Log;

/// Byte range in the file.
pub(super) type Span = Range<usize>;

/// Positions of the keys of `[http]`.
#[derive(Debug, Default)]
pub(super) struct HttpPlaces {
    /// Position of `address`.
    pub(super) address: Option<Span>,
    /// Position of `public_url`.
    pub(super) public_url: Option<Span>,
    /// Position of `token`, usable or not.
    pub(super) token: Option<Span>,
}

/// Parsed configuration before the checks across tables.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) edge: Edge,
    /// Position of `[edge] local_networks`, if set.
    pub(super) local_networks_span: Option<Span>,
    pub(super) listen: Vec<PlacedListen>,
    /// True if a listener could not be read; a missing one has then been reported.
    pub(super) listen_is_partial: bool,
    pub(super) media: Media,
    /// Position of `[media] ports`, if set.
    pub(super) ports_span: Option<Span>,
    pub(super) limits: Limits,
    /// Position of `[limits] calls`, if set.
    pub(super) calls_span: Option<Span>,
    pub(super) http: Http,
    pub(super) http_places: HttpPlaces,
    pub(super) acme: Option<PlacedAcme>,
    pub(super) trunks: Vec<PlacedTrunk>,
    pub(super) agents: Vec<PlacedAgent>,
    pub(super) apps: Vec<PlacedApp>,
    pub(super) mailboxes: Vec<PlacedMailbox>,
    pub(super) numbers: Vec<PlacedNumber>,
    /// Routes; those derived from `[[number]]` come first.
    pub(super) routes: Vec<PlacedRoute>,
    pub(super) groups: Groups,
    pub(super) clients: Vec<PlacedClient>,
    pub(super) sounds: Sounds,
    pub(super) api: PlacedApi,
    pub(super) log: Log,
    pub(super) speech: Option<Speech>,
    /// `[recognition]`, if usable.
    pub(super) recognition: Option<PlacedRecognition>,
    /// Position of `[speech]`, usable or not.
    pub(super) speech_span: Option<Span>,
    /// True if `[speech]` is turned off.
    pub(super) speech_is_off: bool,
    /// Position of `voices` in `[speech]`, if set.
    pub(super) voices_span: Option<Span>,
    pub(super) cdr: Cdr,
    pub(super) recording: Option<Recording>,
    pub(super) sections: Sections,
    /// `[transcription]` with its position.
    pub(super) transcription: Option<(Transcription, Span)>,
    pub(super) data: DataDirectory,
    pub(super) hep: Option<Hep>,
    pub(super) otel: Option<Otel>,
    pub(super) texts: Texts,
}

/// `[twilio]`, `[sms]`, `[messages]` and `[mail]` with their positions, usable or not.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) sms: Option<Sms>,
    /// Position of `[twilio]`.
    pub(super) twilio_span: Option<Span>,
    /// Position of `[sms]`.
    pub(super) sms_span: Option<Span>,
    pub(super) messages: Messages,
    /// Position of `token` in `[sms]`, if set.
    pub(super) token_span: Option<Span>,
    /// Position of `[messages]`.
    pub(super) messages_span: Option<Span>,
    /// Position of `inbound` in `[messages]`, if set.
    pub(super) inbound_span: Option<Span>,
    pub(super) mail: Option<Mail>,
    /// Position of `[mail]`.
    pub(super) mail_span: Option<Span>,
}

/// Sections present in the file, usable or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sections {
    pub(super) recording: bool,
    pub(super) transcription: bool,
}

impl Draft {
    /// Returns the trunk of this name; recording servers are excluded.
    pub(super) fn trunk(&self, name: &str) -> Option<&PlacedTrunk> {
        self.trunks.iter().find(|placed| *placed.trunk.name == *name && placed.trunk.siprec.is_none())
    }
    /// Returns the names of the trunks that carry calls; recording servers are excluded.
    pub(super) fn trunk_names(&self) -> impl Iterator<Item = &str> + Clone {
        let trunks = self.trunks.iter().map(|placed| &placed.trunk);
        trunks.filter(|trunk| trunk.siprec.is_none()).map(|trunk| trunk.name.as_ref())
    }
    /// Returns the names of the recording servers as written in the file.
    pub(super) fn recorder_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.trunks.iter().filter_map(|placed| placed.trunk.name.strip_prefix(Siprec::PREFIX))
    }

    /// Returns whether text-to-speech is unavailable. A `[speech]` with an error has its own diagnostic.
    pub(super) fn cannot_speak(&self) -> bool {
        self.speech.is_none() && (self.speech_span.is_none() || self.speech_is_off)
    }

    /// Returns whether a route, a routes file or a group used by a route has such a target; also true if a routes file
    /// could not be read.
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
pub(super) struct PlacedListen {
    pub(super) listen: Listen,
    pub(super) address: Option<Span>,
    pub(super) name: Option<Span>,
}

/// Trunk with its positions.
#[derive(Debug)]
pub(super) struct PlacedTrunk {
    pub(super) trunk: Trunk,
    /// Position of the name in the table header.
    pub(super) name: Span,
    /// Position of `media_from`, also if it is empty or comes from the preset.
    pub(super) media_from: Option<Span>,
    pub(super) listen: Option<Span>,
    /// Position of `srtp`, if set.
    pub(super) srtp: Option<Span>,
    pub(super) tls: Option<TrunkTls>,
    /// Position of `tls`, if set.
    pub(super) tls_span: Option<Span>,
    /// Position of `oversize`, if set.
    pub(super) oversize: Option<Span>,
    /// Position of `require_auth`, if set.
    pub(super) require_auth: Option<Span>,
    /// Position of each `deny` pattern.
    pub(super) deny: Vec<Span>,
    /// Position of each peer.
    pub(super) peers: Vec<Span>,
    /// Position of each network in `accept_from`.
    pub(super) accept_from: Vec<Span>,
    /// True if `peers` or `accept_from` had an invalid entry; a missing address has then been reported.
    pub(super) is_partial: bool,
    /// Preset, and the positions of the values that it expanded.
    pub(super) preset: Option<(&'static str, Vec<Span>)>,
}

/// Agent with its positions.
#[derive(Debug)]
pub(super) struct PlacedAgent {
    pub(super) agent: Agent,
    /// Position of `url`, if usable.
    pub(super) url: Option<Span>,
    /// Position of `hold`, if it has an effect.
    pub(super) hold: Option<Span>,
    /// Position of `voice` in `hold`.
    pub(super) voice: Option<Span>,
    /// Text of `hold`, to be spoken.
    pub(super) said: Option<Announcement>,
    /// Position of each entry of `transfer_to`.
    pub(super) transfer_to: Vec<Span>,
}

/// Application with its positions.
#[derive(Debug)]
pub(super) struct PlacedApp {
    pub(super) app: App,
    pub(super) settings: AppSettings,
    /// Position of the name in the table header.
    pub(super) name: Span,
    /// URLs of the application: key, URL and position.
    pub(super) webhooks: Vec<(&'static str, String, Span)>,
    /// Position of the first `Say` in its documents.
    pub(super) speech: Option<Excerpt>,
    /// Position of the first `Gather` with speech input in its documents.
    pub(super) speech_input: Option<Excerpt>,
}

/// Mailbox with its positions.
#[derive(Debug)]
pub(super) struct PlacedMailbox {
    pub(super) mailbox: Mailbox,
    /// Position of the name in the table header.
    pub(super) name: Span,
    /// Position of `notify`, if set.
    pub(super) notify: Option<Span>,
    /// Position of `transcribe`, if set.
    pub(super) transcribe: Option<Span>,
    /// Position of each entry of `mwi`.
    pub(super) mwi: Vec<Span>,
}

/// `[api]` with its positions.
#[derive(Debug)]
pub(super) struct PlacedApi {
    pub(super) api: Api,
    /// Position of each target of `connect`.
    pub(super) connect: Vec<TargetPlace>,
    /// Position of `auth_token`, usable or not.
    pub(super) auth_token: Option<Span>,
    /// Position of `proxy`, if enabled.
    pub(super) proxy: Option<Span>,
    /// Position of `tls`, if set.
    pub(super) tls: Option<Span>,
}

/// `[[number]]` with its positions.
#[derive(Debug)]
pub(super) struct PlacedNumber {
    pub(super) number: PhoneNumber,
    /// Position of `number`.
    pub(super) span: Span,
    /// Position of `app`, if set.
    pub(super) app: Option<Span>,
    /// Position of each name in `from`, if set.
    pub(super) from: Vec<Span>,
    /// True if `from` is not set.
    pub(super) is_default: bool,
    /// True if `app` or `from` could not be read.
    pub(super) is_partial: bool,
}

/// Position of a target.
#[derive(Debug, Clone)]
pub(super) struct TargetPlace {
    /// Range of the whole target.
    pub(super) span: Span,
    /// Range of each target in a list that rings simultaneously.
    pub(super) members: Vec<Span>,
    /// Byte offset of the reference to its group, if that is ordered by answer ratio; identifies the reference.
    pub(super) by_ratio: Option<usize>,
}

impl TargetPlace {
    /// Returns the index ranges of a route's targets that belong to groups ordered by answer ratio.
    pub(super) fn by_ratio<'a>(places: impl Iterator<Item = &'a TargetPlace>) -> Vec<Range<u32>> {
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

impl PlacedRoute {
    /// Returns a route with all positions set to `span`.
    pub(super) fn at(route: Route, span: Span) -> PlacedRoute {
        let each = |count: usize| vec![span.clone(); count];
        let place = |target: &TargetSpec| {
            let members = match target {
                TargetSpec::RingAll(members) => each(members.len()),
                TargetSpec::Trunk { .. }
                | TargetSpec::Uri { .. }
                | TargetSpec::Agent(_)
                | TargetSpec::App(_)
                | TargetSpec::Play(_)
                | TargetSpec::Voicemail(_)
                | TargetSpec::Conference(_)
                | TargetSpec::Reject(_) => Vec::new(),
            };
            TargetPlace { span: span.clone(), members, by_ratio: None }
        };
        PlacedRoute {
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
    pub(super) fn targets(&self) -> impl Iterator<Item = (&TargetSpec, &Span)> {
        self.route.connect.iter().zip(&self.connect).flat_map(|(target, place)| match target {
            TargetSpec::RingAll(members) => members.iter().zip(&place.members).collect(),
            TargetSpec::Trunk { .. }
            | TargetSpec::Uri { .. }
            | TargetSpec::Agent(_)
            | TargetSpec::App(_)
            | TargetSpec::Play(_)
            | TargetSpec::Voicemail(_)
            | TargetSpec::Conference(_)
            | TargetSpec::Reject(_) => {
                vec![(target, &place.span)]
            }
        })
    }
}

/// Route with its positions.
#[derive(Debug)]
pub(super) struct PlacedRoute {
    pub(super) route: Route,
    /// Position of the name if set, else of the table header.
    pub(super) name: Span,
    pub(super) from: Vec<Span>,
    pub(super) to: Vec<Span>,
    pub(super) caller: Vec<Span>,
    pub(super) connect: Vec<TargetPlace>,
    pub(super) fork: Vec<Span>,
    pub(super) siprec: Vec<Span>,
    /// `routes_file` as written, with its position.
    pub(super) file: Option<(String, Span)>,
    /// Position of `sms_on_failure`, if set.
    pub(super) sms: Option<Span>,
    /// True if a condition could not be read; the calls matched by the route are then unknown.
    pub(super) is_partial: bool,
}
