//! A configuration just read, with the places of what `checks` may find wrong.

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

/// A place in the file, in bytes.
pub(super) type Span = Range<usize>;

/// Keys of `[http]` that the file sets.
#[derive(Debug, Default)]
pub(super) struct HttpPlaces {
    /// Position of `address`.
    pub(super) address: Option<Span>,
    /// Position of `public_url`.
    pub(super) public_url: Option<Span>,
    /// Position of `token`, usable or not.
    pub(super) token: Option<Span>,
}

/// All that was read.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) edge: Edge,
    /// `[edge] local_networks`, where written.
    pub(super) local_networks_span: Option<Span>,
    pub(super) listen: Vec<PlacedListen>,
    /// A listener could not be read: what is missing is already known.
    pub(super) listen_is_partial: bool,
    pub(super) media: Media,
    /// `[media] ports`, where written.
    pub(super) ports_span: Option<Span>,
    pub(super) limits: Limits,
    /// `[limits] calls`, where written.
    pub(super) calls_span: Option<Span>,
    pub(super) http: Http,
    pub(super) http_places: HttpPlaces,
    pub(super) acme: Option<PlacedAcme>,
    pub(super) trunks: Vec<PlacedTrunk>,
    pub(super) agents: Vec<PlacedAgent>,
    pub(super) apps: Vec<PlacedApp>,
    pub(super) mailboxes: Vec<PlacedMailbox>,
    pub(super) numbers: Vec<PlacedNumber>,
    /// Those of numbers come first.
    pub(super) routes: Vec<PlacedRoute>,
    pub(super) groups: Groups,
    pub(super) clients: Vec<PlacedClient>,
    pub(super) sounds: Sounds,
    pub(super) api: PlacedApi,
    pub(super) log: Log,
    pub(super) speech: Option<Speech>,
    /// `[recognition]`.
    pub(super) recognition: Option<PlacedRecognition>,
    /// `[speech]`, be it usable or not.
    pub(super) speech_span: Option<Span>,
    /// Whether `[speech]` says that nothing speaks.
    pub(super) speech_is_off: bool,
    /// `voices` in it, where written.
    pub(super) voices_span: Option<Span>,
    pub(super) cdr: Cdr,
    pub(super) recording: Option<Recording>,
    pub(super) sections: Sections,
    /// `[transcription]`, with its place.
    pub(super) transcription: Option<(Transcription, Span)>,
    pub(super) data: DataDirectory,
    pub(super) hep: Option<Hep>,
    pub(super) otel: Option<Otel>,
    pub(super) texts: Texts,
}

/// `[twilio]`, `[sms]`, `[messages]` and `[mail]` with their places, be they usable or not.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) sms: Option<Sms>,
    /// `[twilio]`
    pub(super) twilio_span: Option<Span>,
    /// `[sms]`
    pub(super) sms_span: Option<Span>,
    pub(super) messages: Messages,
    /// `token` in it, where written.
    pub(super) token_span: Option<Span>,
    /// `[messages]`
    pub(super) messages_span: Option<Span>,
    /// `inbound` in it, where written.
    pub(super) inbound_span: Option<Span>,
    pub(super) mail: Option<Mail>,
    /// `[mail]`
    pub(super) mail_span: Option<Span>,
}

/// Sections that the file has, with mistakes or without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sections {
    pub(super) recording: bool,
    pub(super) transcription: bool,
}

impl Draft {
    /// Returns the trunk of this name.
    pub(super) fn trunk(&self, name: &str) -> Option<&PlacedTrunk> {
        self.trunks.iter().find(|placed| *placed.trunk.name == *name && placed.trunk.siprec.is_none())
    }
    /// Returns the names of the trunks that calls come from and go to.
    pub(super) fn trunk_names(&self) -> impl Iterator<Item = &str> + Clone {
        let trunks = self.trunks.iter().map(|placed| &placed.trunk);
        trunks.filter(|trunk| trunk.siprec.is_none()).map(|trunk| trunk.name.as_ref())
    }
    /// Returns the names of recording servers, as the file has them.
    pub(super) fn recorder_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.trunks.iter().filter_map(|placed| placed.trunk.name.strip_prefix(Siprec::PREFIX))
    }

    /// Returns whether no text can be spoken; a `[speech]` with an error has its own message.
    pub(super) fn cannot_speak(&self) -> bool {
        self.speech.is_none() && (self.speech_span.is_none() || self.speech_is_off)
    }

    /// Returns whether a route, a line of its file, or a group that routes use, has such a target; also where a file was not read.
    pub(super) fn is_target(&self, is_it: impl Fn(&TargetSpec) -> bool) -> bool {
        let by_route = self.routes.iter().any(|placed| {
            let file = placed.route.file.as_ref();
            placed.route.connect.iter().any(&is_it)
                || placed.file.is_some() && file.is_none()
                || file.is_some_and(|file| file.targets().any(|connect| connect.iter().any(&is_it)))
        });
        by_route || self.groups.has(is_it)
    }
    /// Returns what a name that is none of its kind may have been meant as: a thing of that name of another kind.
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

/// A listener with the places of its address and of its name; none for those that stand where none is written.
#[derive(Debug)]
pub(super) struct PlacedListen {
    pub(super) listen: Listen,
    pub(super) address: Option<Span>,
    pub(super) name: Option<Span>,
}

/// A trunk with its places.
#[derive(Debug)]
pub(super) struct PlacedTrunk {
    pub(super) trunk: Trunk,
    /// Its name in the header.
    pub(super) name: Span,
    /// `media_from`, also where it is empty or the preset's.
    pub(super) media_from: Option<Span>,
    pub(super) listen: Option<Span>,
    /// `srtp`, where written.
    pub(super) srtp: Option<Span>,
    pub(super) tls: Option<TrunkTls>,
    /// `tls`, where written.
    pub(super) tls_span: Option<Span>,
    /// `oversize`, where written.
    pub(super) oversize: Option<Span>,
    /// `require_auth`, where written.
    pub(super) require_auth: Option<Span>,
    /// Of each pattern.
    pub(super) deny: Vec<Span>,
    /// Of each peer.
    pub(super) peers: Vec<Span>,
    /// Of each network.
    pub(super) accept_from: Vec<Span>,
    /// `peers` or `accept_from` was written with something unusable: what is missing is already known.
    pub(super) is_partial: bool,
    /// Its preset, and where the trunk says what was made into values by it.
    pub(super) preset: Option<(&'static str, Vec<Span>)>,
}

/// An agent with its places.
#[derive(Debug)]
pub(super) struct PlacedAgent {
    pub(super) agent: Agent,
    /// `url`, where it can be used.
    pub(super) url: Option<Span>,
    /// `hold`, where it says something.
    pub(super) hold: Option<Span>,
    /// `voice` in it.
    pub(super) voice: Option<Span>,
    /// Its `text`.
    pub(super) said: Option<Announcement>,
    /// Each entry of `transfer_to`.
    pub(super) transfer_to: Vec<Span>,
}

/// An application with its places.
#[derive(Debug)]
pub(super) struct PlacedApp {
    pub(super) app: App,
    pub(super) settings: AppSettings,
    /// Its name in the header.
    pub(super) name: Span,
    /// Each of its URLs: the key, the URL, its place.
    pub(super) webhooks: Vec<(&'static str, String, Span)>,
    /// The first text that its documents have spoken.
    pub(super) speech: Option<Excerpt>,
    /// The first Gather of its documents that takes speech.
    pub(super) speech_input: Option<Excerpt>,
}

/// A mailbox with its places.
#[derive(Debug)]
pub(super) struct PlacedMailbox {
    pub(super) mailbox: Mailbox,
    /// Its name in the header.
    pub(super) name: Span,
    /// `notify`, where written.
    pub(super) notify: Option<Span>,
    /// `transcribe`, where written.
    pub(super) transcribe: Option<Span>,
    /// The entries of `mwi`.
    pub(super) mwi: Vec<Span>,
}

/// `[api]` with its places.
#[derive(Debug)]
pub(super) struct PlacedApi {
    pub(super) api: Api,
    /// Each target of `connect`.
    pub(super) connect: Vec<TargetPlace>,
    /// Position of `auth_token`, usable or not.
    pub(super) auth_token: Option<Span>,
    /// `proxy`, where it is on.
    pub(super) proxy: Option<Span>,
    /// `tls`, where written.
    pub(super) tls: Option<Span>,
}

/// A `[[number]]` with its places.
#[derive(Debug)]
pub(super) struct PlacedNumber {
    pub(super) number: PhoneNumber,
    /// `number`
    pub(super) span: Span,
    /// `app`, where written.
    pub(super) app: Option<Span>,
    /// Each name of `from`, where written.
    pub(super) from: Vec<Span>,
    /// `from` is not written.
    pub(super) is_default: bool,
    /// `app` or `from` could not be read.
    pub(super) is_partial: bool,
}

/// Where a target stands.
#[derive(Debug, Clone)]
pub(super) struct TargetPlace {
    /// All of it.
    pub(super) span: Span,
    /// Each of those that ring at once.
    pub(super) members: Vec<Span>,
    /// Of a group that goes by the answer ratio: which of those that are named there.
    pub(super) by_ratio: Option<usize>,
}

impl TargetPlace {
    /// Where targets of such groups stand, as a route has it.
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
    /// All of it at one place.
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
    /// Its targets and their places, those that ring at once each for itself.
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

/// A route with its places.
#[derive(Debug)]
pub(super) struct PlacedRoute {
    pub(super) route: Route,
    /// Its name where written, else its header.
    pub(super) name: Span,
    pub(super) from: Vec<Span>,
    pub(super) to: Vec<Span>,
    pub(super) caller: Vec<Span>,
    pub(super) connect: Vec<TargetPlace>,
    pub(super) fork: Vec<Span>,
    pub(super) siprec: Vec<Span>,
    /// `routes_file` as written.
    pub(super) file: Option<(String, Span)>,
    /// `sms_on_failure`, where written.
    pub(super) sms: Option<Span>,
    /// A condition could not be read: nothing can be said of what it takes.
    pub(super) is_partial: bool,
}
