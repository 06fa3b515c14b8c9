//! Requests sent to applications, with their fields.

use super::FeatureSupport::{self, Differs, NotSupported, Supported};

/// Name of a request's field, and its support; a name that ends with `…` is a prefix.
pub type CallbackField = (&'static str, FeatureSupport);

/// Call or message that a request describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackSubject {
    /// The caller's call.
    Caller,
    /// The call of a dialled party.
    Party,
    /// The caller's or the party's call, depending on the owner of the document.
    Either,
    /// No call or message: the request has only its own fields.
    Itself,
}

/// Kind of request sent to an application.
#[derive(Debug, Clone, Copy)]
pub struct CallbackKind {
    /// Name of the kind in docs/reference/twilio-compat.md.
    pub name: &'static str,
    /// Names of the request's purposes in traces.
    pub purposes: &'static [&'static str],
    /// Call or message that the request describes.
    pub subject: CallbackSubject,
    /// Fields in addition to those of the subject.
    pub own: &'static [CallbackField],
}

impl CallbackKind {
    /// Returns whether a request with this purpose is of this kind; `of_party` is true for a request about a dialled
    /// party's call.
    pub fn is(&self, purpose: &str, of_party: bool) -> bool {
        let fits = match self.subject {
            CallbackSubject::Caller => !of_party,
            CallbackSubject::Party => of_party,
            CallbackSubject::Either | CallbackSubject::Itself => true,
        };
        fits && self.purposes.contains(&purpose)
    }

    /// Returns all fields, including those of the subject.
    pub fn fields(&self) -> impl Iterator<Item = &'static CallbackField> {
        let common: [&'static [CallbackField]; 3] = match self.subject {
            CallbackSubject::Caller => [CALL, CALLER, &[]],
            CallbackSubject::Party => [CALL, &[], PARTY],
            CallbackSubject::Either => [CALL, CALLER, PARTY],
            CallbackSubject::Itself => [&[], &[], &[]],
        };
        common.into_iter().flatten().chain(self.own)
    }
}

/// Returns whether a field has this name, or is a prefix of this name.
pub fn is_named((known, _): &CallbackField, name: &str) -> bool {
    known.strip_suffix('…').map_or(*known == name, |start| name.starts_with(start))
}

const COUNTRY: FeatureSupport = Differs("from the number alone; absent if the number belongs to no country");
const STATE: FeatureSupport = Differs(
    "of US and Canadian numbers, by the area code; absent for toll-free numbers and codes that several provinces share",
);
const DETECTED: FeatureSupport = Differs("of every request of a call with `MachineDetection`, once it is known");
const ALSO_OF_NUMBERS: FeatureSupport = Differs("also of numbers: every party is called by SIP");

/// Fields of every request about a call.
pub static CALL: &[CallbackField] = &[
    ("CallSid", Supported),
    ("AccountSid", Supported),
    ("From", Differs("a number, not a SIP URI, also of callers by SIP")),
    ("To", Differs("a number, also of callers by SIP; of a dialled SIP party its URI")),
    ("Caller", Supported),
    ("Called", Supported),
    ("CallStatus", Supported),
    ("ApiVersion", Supported),
    ("Direction", Supported),
    ("FromCountry", COUNTRY),
    ("ToCountry", COUNTRY),
    ("CallerCountry", COUNTRY),
    ("CalledCountry", COUNTRY),
    ("FromState", STATE),
    ("ToState", STATE),
    ("CallerState", STATE),
    ("CalledState", STATE),
    (
        "FromCity",
        NotSupported(
            "the edge has no table of towns; the same applies to ToCity, CallerCity, FromZip, ToZip and the like",
        ),
    ),
];

/// Fields of a request about the caller's call.
pub static CALLER: &[CallbackField] = &[
    ("AnsweredBy", DETECTED),
    ("MachineDetectionDuration", DETECTED),
    ("CallerName", Differs("the display name of its INVITE, from trunks that may assert it; Twilio looks names up")),
    (
        "ForwardedFrom",
        Differs("from Diversion or History-Info, from trunks that may assert it; absent if it is the called number"),
    ),
    (
        "StirVerstat",
        Differs(
            "as the trunk reports it (`verstat`, `X-Twilio-VerStat`, with the level of `Attestation-Info` or `P-Attestation-Indicator`), from trunks that may assert it",
        ),
    ),
    ("StirPassportToken", NotSupported("signatures are not verified here")),
    ("CallToken", NotSupported("calls are not signed")),
    ("SipCallId", Differs("of every caller: each one calls by SIP")),
    ("SipHeader_…", Differs("`X-…` and `User-to-User`, unless the trunk's header rules remove them; 32 at most")),
    ("SipDomain", NotSupported("the edge has no SIP domains; the same applies to SipUsername and SipSourceIp")),
];

/// Fields of a request about the call of a dialled party.
pub static PARTY: &[CallbackField] =
    &[("ParentCallSid", Supported), ("AnsweredBy", DETECTED), ("MachineDetectionDuration", DETECTED)];

/// Fields of the callbacks of a call's progress.
macro_rules! progress {
    ($($further:expr),*) => {
        &[
            ("Timestamp", Supported),
            ("CallbackSource", Supported),
            ("SequenceNumber", Supported),
            ("CallDuration", Differs("only in the final callback")),
            ("SipResponseCode", Differs("only in the final callback; also of calls to numbers")),
            ("Duration", NotSupported("the minutes that are charged: an edge charges nothing")),
            $($further,)*
            ("RecordingDuration", NotSupported("the recording's own callback has it")),
        ]
    };
}

static CALL_PROGRESS: &[CallbackField] =
    progress!(("RecordingUrl", OF_RECORDED_CALL), ("RecordingSid", OF_RECORDED_CALL));
static PARTY_PROGRESS: &[CallbackField] = progress!();

static FAILURE: &[CallbackField] = &[("ErrorCode", Supported), ("ErrorUrl", Supported)];
const OF_RECORDED_CALL: FeatureSupport = Differs("of the end of a call that was made with `Record`");
const NO_MEDIA: FeatureSupport = NotSupported("messages with media are not in this version");

/// All kinds of requests, in the order of the page; those about messages are last.
pub static CALLBACKS: &[CallbackKind] = &[
    CallbackKind {
        name: "voice webhook: `url` of an application, VoiceUrl, Url of a call, Redirect",
        purposes: &["start", "redirect"],
        subject: CallbackSubject::Caller,
        own: &[],
    },
    CallbackKind {
        name: "`url` of Number and Sip: the document of a dialled party",
        purposes: &["start", "redirect"],
        subject: CallbackSubject::Party,
        own: &[],
    },
    CallbackKind { name: "`action` of Gather", purposes: &["gather"], subject: CallbackSubject::Either, own: GATHER },
    CallbackKind {
        name: "`partialResultCallback` of Gather",
        purposes: &["partial"],
        subject: CallbackSubject::Caller,
        own: &[
            ("StableSpeechResult", Differs("the final results so far")),
            ("UnstableSpeechResult", Supported),
            ("SequenceNumber", Supported),
            ("Language", Supported),
            ("Stability", NotSupported("recognisers do not state it")),
        ],
    },
    CallbackKind {
        name: "`action` of Record",
        purposes: &["record"],
        subject: CallbackSubject::Caller,
        own: &[
            ("RecordingUrl", Supported),
            ("RecordingSid", Supported),
            ("RecordingDuration", Supported),
            ("Digits", Supported),
        ],
    },
    CallbackKind { name: "`action` of Dial", purposes: &["dial"], subject: CallbackSubject::Caller, own: DIAL },
    CallbackKind { name: "`action` of Connect", purposes: &["connect"], subject: CallbackSubject::Caller, own: &[] },
    CallbackKind {
        name: "`waitUrl` of Conference, HoldUrl of a participant",
        purposes: &["wait"],
        subject: CallbackSubject::Caller,
        own: &[("ConferenceSid", Supported), ("FriendlyName", Supported)],
    },
    CallbackKind {
        name: "`action` of Enqueue",
        purposes: &["enqueue"],
        subject: CallbackSubject::Caller,
        own: ENQUEUE,
    },
    CallbackKind {
        name: "`waitUrl` of Enqueue",
        purposes: &["queue wait"],
        subject: CallbackSubject::Caller,
        own: &[
            ("QueueSid", Supported),
            ("QueueTime", Supported),
            ("QueuePosition", Supported),
            ("AvgQueueTime", Supported),
            ("CurrentQueueSize", Supported),
            ("MaxQueueSize", Supported),
        ],
    },
    CallbackKind {
        name: "`url` of Queue",
        purposes: &["dequeue"],
        subject: CallbackSubject::Caller,
        own: &[("QueueSid", Supported), ("QueueTime", Supported), ("DequeingCallSid", Supported)],
    },
    CallbackKind {
        name: "AnnounceUrl of a conference or a participant",
        purposes: &["announce"],
        subject: CallbackSubject::Itself,
        own: &[
            ("AccountSid", Supported),
            ("ConferenceSid", Supported),
            ("FriendlyName", Supported),
            ("CallSid", Differs("of a participant")),
        ],
    },
    CallbackKind {
        name: "`action` of Refer",
        purposes: &["refer"],
        subject: CallbackSubject::Caller,
        own: &[
            ("ReferCallStatus", Supported),
            ("ReferSipResponseCode", Supported),
            ("NotifySipResponseCode", Supported),
        ],
    },
    CallbackKind {
        name: "voice fallback: VoiceFallbackUrl, FallbackUrl",
        purposes: &["fallback"],
        subject: CallbackSubject::Caller,
        own: FAILURE,
    },
    CallbackKind {
        name: "StatusCallback of a call or a number",
        purposes: &["status"],
        subject: CallbackSubject::Caller,
        own: CALL_PROGRESS,
    },
    CallbackKind {
        name: "`statusCallback` of Number and Sip",
        purposes: &["status"],
        subject: CallbackSubject::Party,
        own: PARTY_PROGRESS,
    },
    CallbackKind {
        name: "`statusCallback` of Conference",
        purposes: &["conference"],
        subject: CallbackSubject::Itself,
        own: CONFERENCE,
    },
    CallbackKind {
        name: "AsyncAmdStatusCallback, AmdStatusCallback, `amdStatusCallback` of Number and Sip",
        purposes: &["amd"],
        subject: CallbackSubject::Itself,
        own: &[
            ("CallSid", Supported),
            ("AccountSid", Supported),
            ("AnsweredBy", Supported),
            ("MachineDetectionDuration", Supported),
        ],
    },
    CallbackKind {
        name: "`statusCallback` of Stream",
        purposes: &["stream"],
        subject: CallbackSubject::Itself,
        own: &[
            ("AccountSid", Supported),
            ("CallSid", Supported),
            ("StreamSid", Supported),
            ("StreamName", Supported),
            ("StreamEvent", Supported),
            ("StreamError", Differs("the edge's own words")),
            ("Timestamp", Supported),
        ],
    },
    CallbackKind {
        name: "`statusCallback` of Siprec",
        purposes: &["siprec"],
        subject: CallbackSubject::Itself,
        own: &[
            ("AccountSid", Supported),
            ("CallSid", Supported),
            ("SiprecSid", Supported),
            ("SiprecName", Supported),
            ("SiprecEvent", Supported),
            ("SiprecError", Differs("the edge's own words")),
            ("SiprecErrorCode", NotSupported("the edge has no codes of its own")),
            ("Timestamp", Supported),
        ],
    },
    CallbackKind {
        name: "`statusCallbackUrl` of Transcription",
        purposes: &["transcription"],
        subject: CallbackSubject::Itself,
        own: &[
            ("AccountSid", Supported),
            ("CallSid", Supported),
            ("TranscriptionSid", Supported),
            ("Timestamp", Supported),
            ("SequenceId", Supported),
            ("TranscriptionEvent", Supported),
            ("Name", Supported),
            ("Track", Supported),
            ("InboundTrackLabel", Supported),
            ("OutboundTrackLabel", Supported),
            ("PartialResults", Supported),
            ("LanguageCode", Supported),
            ("TranscriptionData", Differs("`confidence` is absent if the recogniser does not state it")),
            ("Final", Supported),
            ("Stability", NotSupported("the recogniser states none")),
            ("TranscriptionEngine", NotSupported("the engine is the recogniser of `[recognition]`")),
            ("ProviderConfiguration", NotSupported("the engine is the recogniser of `[recognition]`")),
            ("TranscriptionErrorCode", NotSupported("the edge has no codes of its own")),
            ("TranscriptionError", Differs("the edge's own words")),
        ],
    },
    CallbackKind {
        name: "`recordingStatusCallback`, RecordingStatusCallback, `url` of `[recording]`",
        purposes: &["recording"],
        subject: CallbackSubject::Itself,
        own: &[
            ("AccountSid", Supported),
            ("CallSid", Supported),
            ("RecordingSid", Supported),
            ("RecordingUrl", Supported),
            ("RecordingStatus", Supported),
            ("RecordingDuration", Differs("once the recording has ended")),
            ("RecordingChannels", Supported),
            ("RecordingSource", Supported),
            ("RecordingStartTime", Supported),
            ("RecordingTrack", Supported),
            ("ConferenceSid", Differs("of a recording of a conference")),
            ("ErrorCode", Supported),
        ],
    },
    CallbackKind {
        name: "message webhook: SmsUrl, Redirect",
        purposes: &["message"],
        subject: CallbackSubject::Itself,
        own: MESSAGE,
    },
    CallbackKind {
        name: "message fallback: SmsFallbackUrl, added to the fields of the message webhook",
        purposes: &["message fallback"],
        subject: CallbackSubject::Itself,
        own: FAILURE,
    },
    CallbackKind {
        name: "StatusCallback of a message, `statusCallback` and `action` of Message",
        purposes: &["message status"],
        subject: CallbackSubject::Itself,
        own: MESSAGE_STATUS,
    },
];

static GATHER: &[CallbackField] = &[
    ("msg", Supported),
    ("Digits", Supported),
    ("FinishedOnKey", Supported),
    ("SpeechResult", Supported),
    ("Confidence", Differs("absent if the recogniser does not state it")),
    ("Language", Supported),
];

static ENQUEUE: &[CallbackField] = &[
    ("QueueResult", Supported),
    ("QueueSid", Differs("absent if the caller did not enter the queue")),
    ("QueueTime", Differs("absent if the caller did not enter the queue")),
];

static DIAL: &[CallbackField] = &[
    ("DialCallStatus", Supported),
    ("DialCallSid", Differs("absent after a conference")),
    ("DialCallDuration", Differs("absent after a conference")),
    ("DialBridged", Supported),
    (
        "DialSipResponseCode",
        Differs(
            "also of numbers; of a party without a final response, the code of the failure: 480 after the ring time-out",
        ),
    ),
    ("DialSipCallId", ALSO_OF_NUMBERS),
    (
        "DialSipHeader_…",
        Differs(
            "`X-…` and `User-to-User` of the final response, unless the trunk's header rules remove them; 32 at most; also of numbers",
        ),
    ),
    ("RecordingUrl", Supported),
    ("RecordingSid", Supported),
];

static CONFERENCE: &[CallbackField] = &[
    ("AccountSid", Supported),
    ("Timestamp", Supported),
    ("ConferenceSid", Supported),
    ("FriendlyName", Supported),
    ("SequenceNumber", Differs("counts the callbacks that are sent, from 1")),
    ("StatusCallbackEvent", Supported),
    ("CallSid", Supported),
    ("Muted", Supported),
    ("Hold", Supported),
    ("Coaching", Supported),
    ("EndConferenceOnExit", Supported),
    ("StartConferenceOnEnter", Supported),
    ("ParticipantLabel", Supported),
    ("ParticipantCallStatus", Supported),
    ("ReasonParticipantLeft", Supported),
    ("CallSidEndingConference", Supported),
    ("ParticipantLabelEndingConference", Supported),
    ("ReasonConferenceEnded", Supported),
    ("Reason", Differs("the edge's own words")),
    ("AnnounceUrl", Supported),
    ("ReasonAnnouncementFailed", Differs("the edge's own words")),
];

static MESSAGE: &[CallbackField] = &[
    ("MessageSid", Supported),
    ("SmsSid", Supported),
    ("SmsMessageSid", Supported),
    ("AccountSid", Supported),
    ("ApiVersion", Supported),
    ("From", Supported),
    ("To", Supported),
    ("Body", Supported),
    ("NumMedia", Differs("always 0")),
    ("NumSegments", Supported),
    ("SmsStatus", Supported),
    ("OptOutType", Differs("of STOP, START and HELP")),
    ("MediaUrl0", NO_MEDIA),
    ("MessagingServiceSid", NotSupported("messages come for numbers")),
    ("FromCountry", NotSupported("not sent with messages; the same applies to cities, states and zip codes")),
];

static MESSAGE_STATUS: &[CallbackField] = &[
    ("MessageSid", Supported),
    ("SmsSid", Supported),
    ("MessageStatus", Supported),
    ("SmsStatus", Supported),
    ("AccountSid", Supported),
    ("ApiVersion", Supported),
    ("From", Differs("absent where the service chooses the sender")),
    ("To", Supported),
    ("ErrorCode", Differs("of a message that failed")),
    ("MessagingServiceSid", Differs("where the message was sent by one")),
    ("RawDlrDoneDate", NotSupported("receipts of carriers are not passed on")),
];
