//! Requests of the REST API below `/2010-04-01`, their parameters, and the fields of the resources that they answer with. The API
//! takes from this table what it refuses by name and what it accepts without effect.

use super::requests::Given::{Differs, Ignored, Only, Refused, Supported};
use super::tables::PASSED_ON;

/// Extent to which a parameter is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// As Twilio does it.
    Supported,
    /// With the difference that the text describes.
    Differs(&'static str),
    /// Accepted with these values, which ask for what is done anyway; with others refused by name.
    Only(&'static [&'static str]),
    /// Accepted without effect for this reason, since it changes neither the call nor the message; refused by name with `[api] strict`.
    Ignored(&'static str),
    /// Refused by name with code 20501, for this reason. Without a value it is accepted: it changes nothing.
    Refused(&'static str),
}

/// A method of a path.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Method of HTTP.
    pub method: &'static str,
    /// Path below `/2010-04-01/Accounts`, with `{AC}` and other SIDs in braces.
    pub path: &'static str,
    /// Parameters by name; `{n}` in a name stands for 1 to 99.
    pub parameters: &'static [(&'static str, Given)],
}

/// Extent to which a field of a resource has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// Always.
    Value,
    /// In the cases that the text names; else it is null.
    Sometimes(&'static str),
    /// Never: it is null, for this reason.
    Null(&'static str),
}

/// A resource of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// Name on the page.
    pub name: &'static str,
    /// Fields by name.
    pub fields: &'static [(&'static str, Has)],
}

const NEEDS_RECORDING: &str = "needs [`[recording]`](recording.md), else 21220";
const DETECTOR: &str = "a verdict of the edge's own detector ([limits](benchmarks.md#answering-machine-detection))";
const NO_REASON: Given = Ignored("the reason is not passed on");
const NO_TOKEN: Given = Ignored("calls are not signed; `From` is judged as without it");
const NO_CLIENTS_TOLD: Given = Ignored("Voice SDK clients are not supported");
const NO_SCORES: Given = Ignored("messages are not scored");
const NO_SIP_LOGIN: Given = Refused("a challenge is answered with the credentials of the trunk");
const NO_TWIML_APP: Given = Refused("TwiML applications are not in this version");
const NOT_SIGNED: Given = Refused("calls are not signed");
const NO_REGULATION: Given = Refused("numbers are the carrier's: the edge has no register of addresses");
const NO_MEDIA: Given = Refused("messages with media are not in this version");
const NO_SCHEDULE: Given = Refused("messages are not scheduled");
const NOT_OF_AN_EDGE: Given = Refused("a function of Twilio's cloud");
const FALSE: &[&str] = &["false", "False"];
const NUMBER_FORM: Given = Differs("a number in any form");
const NOT_OF_PARTY: Given = Differs("of a caller's call; of the call of a dialled party it is refused (501)");
const PAGE: Given = Differs("with the `PageToken` of `next_page_uri`");
const SPAN: Given = Differs("bounds belong to the range; a date is a day in UTC");

/// Starts a live transcription.
pub static START_TRANSCRIPTION: Operation = Operation {
    method: "POST",
    path: "{AC}/Calls/{CA}/Transcriptions.json",
    parameters: &[
        ("Name", Supported),
        ("Track", Supported),
        ("StatusCallbackUrl", Supported),
        ("StatusCallbackMethod", Supported),
        ("InboundTrackLabel", Supported),
        ("OutboundTrackLabel", Supported),
        ("PartialResults", Supported),
        ("LanguageCode", Differs(PASSED_ON)),
        ("Hints", Differs(PASSED_ON)),
        ("SpeechModel", Differs(PASSED_ON)),
        ("ProfanityFilter", Differs(PASSED_ON)),
        ("TranscriptionEngine", Differs("in any case the recogniser of `[recognition]`")),
        ("EnableAutomaticPunctuation", Differs("the recogniser punctuates or not")),
        ("EnableProviderData", Only(&["false"])),
        ("IntelligenceService", NOT_OF_AN_EDGE),
        ("ConversationConfiguration", NOT_OF_AN_EDGE),
        ("ConversationId", NOT_OF_AN_EDGE),
    ],
};

/// `POST …/Calls.json`
pub static CREATE_CALL: Operation = Operation {
    method: "POST",
    path: "{AC}/Calls.json",
    parameters: &[
        (
            "To",
            Differs(
                "a number, or a SIP address whose host is that of a trunk, or a `client:` of [`[client]`](configuration.md#client)",
            ),
        ),
        ("From", Differs("a `[[number]]` of the edge")),
        ("Url", Supported),
        ("Method", Supported),
        ("Twiml", Supported),
        ("FallbackUrl", Supported),
        ("FallbackMethod", Supported),
        ("StatusCallback", Supported),
        ("StatusCallbackMethod", Supported),
        ("StatusCallbackEvent", Supported),
        ("SendDigits", Supported),
        ("Timeout", Supported),
        ("TimeLimit", Supported),
        ("Record", Differs(NEEDS_RECORDING)),
        ("RecordingChannels", Supported),
        ("RecordingTrack", Supported),
        ("RecordingStatusCallback", Supported),
        ("RecordingStatusCallbackMethod", Supported),
        ("RecordingStatusCallbackEvent", Supported),
        ("Trim", Supported),
        ("AsyncAmd", Supported),
        ("ApplicationSid", NO_TWIML_APP),
        ("AsyncAmdStatusCallback", Supported),
        ("AsyncAmdStatusCallbackMethod", Supported),
        ("MachineDetection", Differs(DETECTOR)),
        ("MachineDetectionSilenceTimeout", Supported),
        ("MachineDetectionSpeechEndThreshold", Supported),
        ("MachineDetectionSpeechThreshold", Supported),
        ("MachineDetectionTimeout", Supported),
        ("RecordingConfigurationId", NOT_OF_AN_EDGE),
        (
            "Transcribe",
            Refused(
                "a live transcription is begun by `Transcriptions.json`, one of the recording by `all` of `[transcription]`",
            ),
        ),
        ("SipAuthPassword", NO_SIP_LOGIN),
        ("SipAuthUsername", NO_SIP_LOGIN),
        ("CallToken", NO_TOKEN),
        ("Passports", NOT_SIGNED),
        ("StirPassportSid", NOT_SIGNED),
        ("Byoc", Refused("trunks are chosen by `[api] connect`")),
        ("CallReason", NO_REASON),
        ("CallerId", Refused("the party sees `From`")),
        ("ClientNotificationUrl", NO_CLIENTS_TOLD),
        ("IfMachine", Only(&["Continue"])),
        ("ValidityPeriod", Ignored("a call is made at once")),
    ],
};

/// `GET …/Conferences.json`
pub static LIST_CONFERENCES: Operation = Operation {
    method: "GET",
    path: "{AC}/Conferences.json",
    parameters: &[
        ("FriendlyName", Supported),
        ("Status", Supported),
        ("DateCreated", SPAN),
        ("DateCreated>", SPAN),
        ("DateCreated<", SPAN),
        ("DateUpdated", Differs("of a conference that goes on, its beginning")),
        ("DateUpdated>", Differs("the same")),
        ("DateUpdated<", Differs("the same")),
        ("PageSize", Supported),
        ("Page", PAGE),
        ("PageToken", Supported),
    ],
};

/// `POST …/Conferences/{CF}.json`
pub static UPDATE_CONFERENCE: Operation = Operation {
    method: "POST",
    path: "{AC}/Conferences/{CF}.json",
    parameters: &[
        ("Status", Differs("`completed`; the parties' calls go on behind the conference")),
        ("AnnounceUrl", Supported),
        ("AnnounceMethod", Supported),
    ],
};

/// `GET …/Conferences/{CF}/Recordings.json`
pub static LIST_CONFERENCE_RECORDINGS: Operation = Operation {
    method: "GET",
    path: "{AC}/Conferences/{CF}/Recordings.json",
    parameters: &[
        ("DateCreated", SPAN),
        ("DateCreated>", SPAN),
        ("DateCreated<", SPAN),
        ("PageSize", Supported),
        ("Page", PAGE),
        ("PageToken", Supported),
    ],
};

/// `GET …/Conferences/{CF}/Participants.json`
pub static LIST_PARTICIPANTS: Operation = Operation {
    method: "GET",
    path: "{AC}/Conferences/{CF}/Participants.json",
    parameters: &[
        ("Muted", Supported),
        ("Hold", Supported),
        ("Coaching", Supported),
        ("PageSize", Supported),
        ("Page", PAGE),
        ("PageToken", Supported),
    ],
};

/// `POST …/Conferences/{CF}/Participants.json`
pub static CREATE_PARTICIPANT: Operation = Operation {
    method: "POST",
    path: "{AC}/Conferences/{CF}/Participants.json",
    parameters: &[
        (
            "To",
            Differs(
                "a number, a SIP address whose host is that of a trunk, a `client:` of [`[client]`](configuration.md#client), or `agent:NAME`",
            ),
        ),
        ("From", Differs("a `[[number]]` of the edge; not required with `agent:`")),
        ("Label", Supported),
        ("Muted", Supported),
        ("Beep", Supported),
        ("StartConferenceOnEnter", Supported),
        ("EndConferenceOnExit", Supported),
        ("WaitUrl", Supported),
        ("WaitMethod", Supported),
        ("MaxParticipants", Differs("50 at most")),
        ("Coaching", Supported),
        ("CallSidToCoach", Supported),
        ("ConferenceStatusCallback", Supported),
        ("ConferenceStatusCallbackMethod", Supported),
        ("ConferenceStatusCallbackEvent", Supported),
        ("StatusCallback", Supported),
        ("StatusCallbackMethod", Supported),
        ("StatusCallbackEvent", Supported),
        ("Timeout", Supported),
        ("TimeLimit", Supported),
        ("Record", Differs(NEEDS_RECORDING)),
        ("RecordingChannels", Supported),
        ("RecordingTrack", Supported),
        ("RecordingStatusCallback", Supported),
        ("RecordingStatusCallbackMethod", Supported),
        ("RecordingStatusCallbackEvent", Supported),
        ("Trim", Supported),
        ("EarlyMedia", Ignored("the conference hears the party from its answer on")),
        ("ConferenceRecord", Differs("needs [`[recording]`](recording.md)")),
        ("ConferenceTrim", Supported),
        ("ConferenceRecordingStatusCallback", Supported),
        ("ConferenceRecordingStatusCallbackMethod", Supported),
        ("ConferenceRecordingStatusCallbackEvent", Supported),
        ("Region", Ignored("a conference is mixed at the edge that its parties call")),
        ("JitterBufferSize", Ignored("the mixer's buffer follows the arrival of each party's packets")),
        ("SipAuthPassword", NO_SIP_LOGIN),
        ("SipAuthUsername", NO_SIP_LOGIN),
        ("Byoc", Refused("trunks are chosen by `[api] connect`")),
        ("CallReason", NO_REASON),
        ("CallerId", Refused("the party sees `From`")),
        ("CallerDisplayName", Ignored("the party sees `From`")),
        ("CallToken", NO_TOKEN),
        ("ClientNotificationUrl", NO_CLIENTS_TOLD),
        ("AmdStatusCallback", Supported),
        ("AmdStatusCallbackMethod", Supported),
        ("MachineDetection", Differs(DETECTOR)),
        ("MachineDetectionSilenceTimeout", Supported),
        ("MachineDetectionSpeechEndThreshold", Supported),
        ("MachineDetectionSpeechThreshold", Supported),
        ("MachineDetectionTimeout", Supported),
    ],
};

/// `POST …/Conferences/{CF}/Participants/{CA}.json`
pub static UPDATE_PARTICIPANT: Operation = Operation {
    method: "POST",
    path: "{AC}/Conferences/{CF}/Participants/{CA}.json",
    parameters: &[
        ("Muted", Supported),
        ("Hold", Supported),
        ("HoldUrl", Differs("the edge's own music by default")),
        ("HoldMethod", Supported),
        ("BeepOnExit", Supported),
        ("EndConferenceOnExit", Supported),
        ("Coaching", Supported),
        ("CallSidToCoach", Supported),
        ("WaitUrl", Supported),
        ("WaitMethod", Supported),
        ("AnnounceUrl", Supported),
        ("AnnounceMethod", Supported),
    ],
};

/// `POST …/Calls/{CA}/Recordings.json`
pub static CREATE_RECORDING: Operation = Operation {
    method: "POST",
    path: "{AC}/Calls/{CA}/Recordings.json",
    parameters: &[
        ("RecordingChannels", Supported),
        ("RecordingTrack", Supported),
        ("Trim", Supported),
        ("RecordingStatusCallback", Supported),
        ("RecordingStatusCallbackMethod", Supported),
        ("RecordingStatusCallbackEvent", Supported),
        ("RecordingConfigurationId", NOT_OF_AN_EDGE),
    ],
};

/// `GET …/Recordings.json`
pub static LIST_RECORDINGS: Operation = Operation {
    method: "GET",
    path: "{AC}/Recordings.json",
    parameters: &[
        ("CallSid", Supported),
        ("ConferenceSid", Supported),
        ("DateCreated", SPAN),
        ("DateCreated>", SPAN),
        ("DateCreated<", SPAN),
        ("IncludeSoftDeleted", Supported),
        ("PageSize", Supported),
        ("Page", PAGE),
        ("PageToken", Supported),
    ],
};

/// `POST …/Messages.json`
pub static CREATE_MESSAGE: Operation = Operation {
    method: "POST",
    path: "{AC}/Messages.json",
    parameters: &[
        ("To", NUMBER_FORM),
        ("From", Differs("a `[[number]]` of the edge, or the SID of a messaging service")),
        ("MessagingServiceSid", Differs("with `[twilio]`")),
        ("Body", Supported),
        ("StatusCallback", Supported),
        ("ValidityPeriod", Differs("1 to 36000; `expires` of `[sms]` bounds it further")),
        ("ForceDelivery", Ignored("a message is sent as it is")),
        ("ProvideFeedback", Ignored("feedback is not taken")),
        ("ShortenUrls", Only(FALSE)),
        ("SmartEncoded", Only(&["false", "False", "true", "True"])),
        ("AddressRetention", Only(&["retain"])),
        ("ApplicationSid", NO_TWIML_APP),
        ("Attempt", NO_SCORES),
        ("ContentRetention", Only(&["retain"])),
        ("ContentSid", NOT_OF_AN_EDGE),
        ("ContentVariables", NOT_OF_AN_EDGE),
        ("FallbackFrom", NOT_OF_AN_EDGE),
        ("MaxPrice", Refused("the edge knows no prices")),
        ("MediaUrl", NO_MEDIA),
        ("MessageIntent", NO_SCORES),
        ("PersistentAction", NOT_OF_AN_EDGE),
        ("RiskCheck", NO_SCORES),
        ("ScheduleType", NO_SCHEDULE),
        ("SendAsMms", NO_MEDIA),
        ("SendAt", NO_SCHEDULE),
        ("Tags", Ignored("messages have no tags")),
        ("TrafficType", NO_SCORES),
    ],
};

/// `POST …/IncomingPhoneNumbers/{PN}.json`
pub static UPDATE_NUMBER: Operation = Operation {
    method: "POST",
    path: "{AC}/IncomingPhoneNumbers/{PN}.json",
    parameters: &[
        ("VoiceUrl", Supported),
        ("VoiceMethod", Supported),
        ("VoiceFallbackUrl", Supported),
        ("VoiceFallbackMethod", Supported),
        ("StatusCallback", Supported),
        ("StatusCallbackMethod", Supported),
        ("SmsUrl", Supported),
        ("SmsMethod", Supported),
        ("SmsFallbackUrl", Supported),
        ("SmsFallbackMethod", Supported),
        ("FriendlyName", Supported),
        ("VoiceCallerIdLookup", Only(FALSE)),
        ("VoiceReceiveMode", Only(&["voice"])),
        ("AccountSid", Refused("there is one account")),
        ("AddressSid", NO_REGULATION),
        ("ApiVersion", Only(&["2010-04-01"])),
        ("BundleSid", NO_REGULATION),
        ("EmergencyAddressSid", NO_REGULATION),
        ("EmergencyStatus", NO_REGULATION),
        ("IdentitySid", NO_REGULATION),
        ("SmsApplicationSid", NO_TWIML_APP),
        ("StatusCallbackEvent", Refused("a number reports the end of a call")),
        ("TrunkSid", Refused("trunks are chosen by the configuration")),
        ("VoiceApplicationSid", NO_TWIML_APP),
    ],
};

/// `GET …/IncomingPhoneNumbers.json`
pub static LIST_NUMBERS: Operation = Operation {
    method: "GET",
    path: "{AC}/IncomingPhoneNumbers.json",
    parameters: &[
        ("PhoneNumber", Supported),
        ("FriendlyName", Supported),
        ("PageSize", Supported),
        ("Page", PAGE),
        ("PageToken", Supported),
        ("Beta", Only(FALSE)),
        ("Origin", Refused("numbers are not bought here")),
    ],
};

/// Requests that are answered, in the page's order.
pub static OPERATIONS: &[&Operation] = &[
    &Operation {
        method: "GET",
        path: ".json",
        parameters: &[
            ("FriendlyName", Supported),
            ("Status", Supported),
            ("PageSize", Supported),
            ("Page", PAGE),
            ("PageToken", Supported),
        ],
    },
    &Operation { method: "GET", path: "{AC}.json", parameters: &[] },
    &Operation {
        method: "GET",
        path: "{AC}/Calls.json",
        parameters: &[
            ("To", NUMBER_FORM),
            ("From", NUMBER_FORM),
            ("Status", Supported),
            ("ParentCallSid", Supported),
            ("StartTime", SPAN),
            ("StartTime>", SPAN),
            ("StartTime<", SPAN),
            ("EndTime", SPAN),
            ("EndTime>", SPAN),
            ("EndTime<", SPAN),
            ("PageSize", Supported),
            ("Page", PAGE),
            ("PageToken", Supported),
        ],
    },
    &CREATE_CALL,
    &Operation { method: "GET", path: "{AC}/Calls/{CA}.json", parameters: &[] },
    &Operation {
        method: "POST",
        path: "{AC}/Calls/{CA}.json",
        parameters: &[
            ("Status", Supported),
            ("Url", NOT_OF_PARTY),
            ("Method", Supported),
            ("Twiml", NOT_OF_PARTY),
            ("FallbackUrl", Differs("with `Url` or `Twiml`")),
            ("FallbackMethod", Supported),
            ("StatusCallback", NOT_OF_PARTY),
            ("StatusCallbackMethod", Supported),
            ("StatusCallbackEvent", Supported),
            ("TimeLimit", NOT_OF_PARTY),
        ],
    },
    &Operation { method: "DELETE", path: "{AC}/Calls/{CA}.json", parameters: &[] },
    &Operation {
        method: "POST",
        path: "{AC}/Calls/{CA}/Streams.json",
        parameters: &[
            ("Url", Differs("`ws:` is accepted beside `wss:`, where the configuration allows the address")),
            ("Name", Supported),
            ("Track", Supported),
            ("StatusCallback", Supported),
            ("StatusCallbackMethod", Supported),
            ("Parameter{n}.Name", Supported),
            ("Parameter{n}.Value", Supported),
        ],
    },
    &Operation { method: "POST", path: "{AC}/Calls/{CA}/Streams/{MZ}.json", parameters: &[("Status", Supported)] },
    &START_TRANSCRIPTION,
    &Operation {
        method: "POST",
        path: "{AC}/Calls/{CA}/Transcriptions/{GT}.json",
        parameters: &[("Status", Supported)],
    },
    &Operation {
        method: "GET",
        path: "{AC}/Calls/{CA}/Recordings.json",
        parameters: &[
            ("DateCreated", SPAN),
            ("DateCreated>", SPAN),
            ("DateCreated<", SPAN),
            ("IncludeSoftDeleted", Supported),
            ("PageSize", Supported),
            ("Page", PAGE),
            ("PageToken", Supported),
        ],
    },
    &CREATE_RECORDING,
    &Operation {
        method: "GET",
        path: "{AC}/Calls/{CA}/Recordings/{RE}.json",
        parameters: &[("IncludeSoftDeleted", Supported)],
    },
    &Operation {
        method: "POST",
        path: "{AC}/Calls/{CA}/Recordings/{RE}.json",
        parameters: &[("Status", Supported), ("PauseBehavior", Supported)],
    },
    &Operation { method: "DELETE", path: "{AC}/Calls/{CA}/Recordings/{RE}.json", parameters: &[] },
    &LIST_RECORDINGS,
    &Operation { method: "GET", path: "{AC}/Recordings/{RE}.json", parameters: &[("IncludeSoftDeleted", Supported)] },
    &Operation {
        method: "GET",
        path: "{AC}/Recordings/{RE}.wav",
        parameters: &[("RequestedChannels", Differs("that of the recording; another is refused by name"))],
    },
    &Operation { method: "DELETE", path: "{AC}/Recordings/{RE}.json", parameters: &[] },
    &Operation {
        method: "GET",
        path: "{AC}/Recordings/{RE}/Transcriptions.json",
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &Operation { method: "GET", path: "{AC}/Recordings/{RE}/Transcriptions/{TR}.json", parameters: &[] },
    &Operation { method: "DELETE", path: "{AC}/Recordings/{RE}/Transcriptions/{TR}.json", parameters: &[] },
    &Operation {
        method: "GET",
        path: "{AC}/Transcriptions.json",
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &Operation { method: "GET", path: "{AC}/Transcriptions/{TR}.json", parameters: &[] },
    &Operation { method: "DELETE", path: "{AC}/Transcriptions/{TR}.json", parameters: &[] },
    &LIST_CONFERENCES,
    &Operation { method: "GET", path: "{AC}/Conferences/{CF}.json", parameters: &[] },
    &UPDATE_CONFERENCE,
    &LIST_CONFERENCE_RECORDINGS,
    &Operation { method: "GET", path: "{AC}/Conferences/{CF}/Recordings/{RE}.json", parameters: &[] },
    &Operation {
        method: "POST",
        path: "{AC}/Conferences/{CF}/Recordings/{RE}.json",
        parameters: &[("Status", Supported), ("PauseBehavior", Supported)],
    },
    &Operation { method: "DELETE", path: "{AC}/Conferences/{CF}/Recordings/{RE}.json", parameters: &[] },
    &LIST_PARTICIPANTS,
    &CREATE_PARTICIPANT,
    &Operation { method: "GET", path: "{AC}/Conferences/{CF}/Participants/{CA}.json", parameters: &[] },
    &UPDATE_PARTICIPANT,
    &Operation { method: "DELETE", path: "{AC}/Conferences/{CF}/Participants/{CA}.json", parameters: &[] },
    &Operation {
        method: "GET",
        path: "{AC}/Queues.json",
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &Operation {
        method: "POST",
        path: "{AC}/Queues.json",
        parameters: &[("FriendlyName", Supported), ("MaxSize", Supported)],
    },
    &Operation { method: "GET", path: "{AC}/Queues/{QU}.json", parameters: &[] },
    &Operation {
        method: "POST",
        path: "{AC}/Queues/{QU}.json",
        parameters: &[("FriendlyName", Supported), ("MaxSize", Supported)],
    },
    &Operation { method: "DELETE", path: "{AC}/Queues/{QU}.json", parameters: &[] },
    &Operation {
        method: "GET",
        path: "{AC}/Queues/{QU}/Members.json",
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &Operation { method: "GET", path: "{AC}/Queues/{QU}/Members/{CA}.json", parameters: &[] },
    &Operation {
        method: "POST",
        path: "{AC}/Queues/{QU}/Members/{CA}.json",
        parameters: &[
            ("Url", Supported),
            ("Method", Supported),
            ("Twiml", Differs("instead of `Url`; Twilio does not document it")),
        ],
    },
    &LIST_NUMBERS,
    &Operation { method: "GET", path: "{AC}/IncomingPhoneNumbers/{PN}.json", parameters: &[] },
    &UPDATE_NUMBER,
    &Operation {
        method: "GET",
        path: "{AC}/Messages.json",
        parameters: &[
            ("To", NUMBER_FORM),
            ("From", NUMBER_FORM),
            ("DateSent", SPAN),
            ("DateSent>", SPAN),
            ("DateSent<", SPAN),
            ("PageSize", Supported),
            ("Page", PAGE),
            ("PageToken", Supported),
        ],
    },
    &CREATE_MESSAGE,
    &Operation { method: "GET", path: "{AC}/Messages/{SM}.json", parameters: &[] },
    &Operation { method: "DELETE", path: "{AC}/Messages/{SM}.json", parameters: &[] },
    &Operation {
        method: "GET",
        path: "{AC}/Keys.json",
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &Operation { method: "POST", path: "{AC}/Keys.json", parameters: &[("FriendlyName", Supported)] },
    &Operation { method: "GET", path: "{AC}/Keys/{SK}.json", parameters: &[] },
    &Operation { method: "POST", path: "{AC}/Keys/{SK}.json", parameters: &[("FriendlyName", Supported)] },
    &Operation { method: "DELETE", path: "{AC}/Keys/{SK}.json", parameters: &[] },
];

/// Lists below an account or a call that are refused by name.
pub static LATER: [&str; 14] = [
    "Addresses",
    "Applications",
    "AvailablePhoneNumbers",
    "Balance",
    "Events",
    "Notifications",
    "OutgoingCallerIds",
    "Payments",
    "SIP",
    "Siprec",
    "SMS",
    "Usage",
    "UserDefinedMessages",
    "UserDefinedMessageSubscriptions",
];

/// Methods and paths of resources above that are refused by name.
pub static LATER_METHODS: &[(&str, &str)] = &[
    ("POST", "{AC}/IncomingPhoneNumbers.json"),
    ("GET", "{AC}/IncomingPhoneNumbers/Local.json"),
    ("POST", "{AC}/IncomingPhoneNumbers/Local.json"),
    ("GET", "{AC}/IncomingPhoneNumbers/Mobile.json"),
    ("POST", "{AC}/IncomingPhoneNumbers/Mobile.json"),
    ("GET", "{AC}/IncomingPhoneNumbers/TollFree.json"),
    ("POST", "{AC}/IncomingPhoneNumbers/TollFree.json"),
    ("DELETE", "{AC}/IncomingPhoneNumbers/{PN}.json"),
    ("POST", "{AC}/Messages/{SM}.json"),
    ("GET", "{AC}/Recordings/{RE}/AddOnResults.json"),
    ("GET", "{AC}/Messages/{SM}/Media.json"),
    ("POST", "{AC}/Messages/{SM}/Feedback.json"),
];

impl Operation {
    /// Returns the extent to which a parameter is carried out; `None` for one that the table does not name.
    pub fn given(&self, name: &str) -> Option<Given> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, given)| *given)
    }
}

/// Parts of names of parameters that are never ignored: recording, privacy, who hears whom, money, time limits, and who is called.
const GUARDED: [&str; 21] = [
    "record",
    "redact",
    "retention",
    "price",
    "limit",
    "timeout",
    "trim",
    "schedule",
    "sendat",
    "callerid",
    "mute",
    "coach",
    "hold",
    "digits",
    "participant",
    "exit",
    "duration",
    "pause",
    "media",
    "policy",
    "keytype",
];
/// Whole names of such parameters.
const GUARDED_NAMES: [&str; 2] = ["to", "from"];

/// Returns whether a parameter must not be ignored where it is not known: it concerns recording, privacy, money, time limits or who is
/// called.
pub fn is_guarded(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    GUARDED_NAMES.contains(&name.as_str()) || GUARDED.iter().any(|part| name.contains(part))
}

/// Returns the parameter that a name is one letter away from, or that differs in case only.
pub fn meant(name: &str) -> Option<&'static str> {
    let names = OPERATIONS.iter().flat_map(|operation| operation.parameters).map(|(known, _)| *known);
    let mut near = names.filter(|known| known.is_ascii() && !known.contains('{') && is_near(name, known));
    near.next()
}

/// Returns whether two names differ by one letter that was left out, added, replaced, or written in another case.
fn is_near(given: &str, known: &str) -> bool {
    if given.eq_ignore_ascii_case(known) {
        return given != known;
    }
    let (given, known) = (given.as_bytes(), known.as_bytes());
    if given.len().abs_diff(known.len()) > 1 || given.len().min(known.len()) < 3 {
        return false;
    }
    let is_same = |(one, other): &(&u8, &u8)| one.eq_ignore_ascii_case(other);
    let front = given.iter().zip(known).take_while(is_same).count();
    let back = given.iter().rev().zip(known.iter().rev()).take_while(is_same).count();
    front + back + 1 >= given.len().max(known.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_one_letter_off_is_recognised() {
        for (given, known) in [
            ("StatusCalback", "StatusCallback"),
            ("StatusCallbackk", "StatusCallback"),
            ("Methid", "Method"),
            ("statuscallback", "StatusCallback"),
            ("TimeLimt", "TimeLimit"),
            ("Recort", "Record"),
        ] {
            assert_eq!(meant(given), Some(known), "{given}");
        }
        for given in ["Method", "Bogus", "Tp", "", "StatusCall", "\u{e4}\u{e4}\u{e4}"] {
            assert_eq!(meant(given), None, "{given}");
        }
    }

    #[test]
    fn parameters_of_weight_are_guarded() {
        for name in [
            "RecordCall",
            "MaxPrice",
            "time_limit",
            "Timeouts",
            "ContentRetention",
            "to",
            "FROM",
            "PciRedaction",
            "Mutedd",
        ] {
            assert!(is_guarded(name), "{name}");
        }
        for name in ["CallReason", "Tags", "Colour", "Tokens", "Platform"] {
            assert!(!is_guarded(name), "{name}");
        }
    }
}
