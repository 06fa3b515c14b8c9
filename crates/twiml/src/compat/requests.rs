//! Requests of the REST API below `/2010-04-01` and of Lookup, with their parameters, and the kinds of fields in
//! resources. The API decides by this table which parameters it rejects by name or ignores. The tests of `libraries`
//! ensure that it contains every parameter of Twilio's libraries.

use super::lookups::{LOOK_UP_V1, LOOK_UP_V2};
use super::requests::ParameterSupport::{Differs, Ignored, Only, Refused, Supported};
use super::tables::PASSED_ON;

/// Extent of support for a parameter of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterSupport {
    /// Same behaviour as on Twilio.
    Supported,
    /// Supported with the difference described.
    Differs(&'static str),
    /// Accepted with these values, which request the only available behaviour; rejected by name with any other.
    Only(&'static [&'static str]),
    /// Ignored for this reason, because it affects neither the call nor the message; rejected by name with
    /// `[api] strict`.
    Ignored(&'static str),
    /// Rejected by name with code 20501, for this reason; accepted without a value, because it then changes nothing.
    Refused(&'static str),
}

/// Operation of the REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table has the method, the path and the parameters of each")]
pub enum Endpoint {
    ListAccounts,
    FetchAccount,
    ListCalls,
    CreateCall,
    FetchCall,
    UpdateCall,
    DeleteCall,
    StartStream,
    StopStream,
    StartLiveTranscription,
    StopLiveTranscription,
    ListCallRecordings,
    CreateRecording,
    FetchCallRecording,
    UpdateCallRecording,
    DeleteCallRecording,
    ListRecordings,
    FetchRecording,
    FetchRecordingAudio,
    DeleteRecording,
    ListRecordingTranscriptions,
    FetchRecordingTranscription,
    DeleteRecordingTranscription,
    ListTranscriptions,
    FetchTranscription,
    DeleteTranscription,
    ListConferences,
    FetchConference,
    UpdateConference,
    ListConferenceRecordings,
    FetchConferenceRecording,
    UpdateConferenceRecording,
    DeleteConferenceRecording,
    ListParticipants,
    CreateParticipant,
    FetchParticipant,
    UpdateParticipant,
    DeleteParticipant,
    ListQueues,
    CreateQueue,
    FetchQueue,
    UpdateQueue,
    DeleteQueue,
    ListMembers,
    FetchMember,
    DequeueMember,
    ListNumbers,
    FetchNumber,
    UpdateNumber,
    ListMessages,
    CreateMessage,
    FetchMessage,
    DeleteMessage,
    ListKeys,
    CreateKey,
    FetchKey,
    UpdateKey,
    DeleteKey,
    LookUpV1,
    LookUpV2,
}

/// Request of the API: HTTP method and path, with its parameters.
#[derive(Debug, Clone, Copy)]
pub struct ApiOperation {
    /// HTTP method of the operation.
    pub method: &'static str,
    /// Path below `/2010-04-01/Accounts`, with `{AC}` and other SIDs in braces; the whole path if it begins with `/`.
    pub path: &'static str,
    /// Operation that the request performs.
    pub endpoint: Endpoint,
    /// Parameters by name; `{n}` in a name is a number from 1 to 99.
    pub parameters: &'static [(&'static str, ParameterSupport)],
}

/// Extent to which a field of a resource has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldPresence {
    /// The field always has a value.
    Value,
    /// The field has a value in the described cases, and is null otherwise.
    Sometimes(&'static str),
    /// The field is always null, for this reason.
    Null(&'static str),
}

/// Resource that the API returns in a response.
#[derive(Debug, Clone, Copy)]
pub struct ApiResource {
    /// Name of the resource in docs/reference/twilio-compat.md.
    pub name: &'static str,
    /// Fields of the resource, by name.
    pub fields: &'static [(&'static str, FieldPresence)],
}

const NEEDS_RECORDING: &str = "needs [`[recording]`](../configure/recording.md), else 21220";
const DETECTOR: &str = "a verdict of the edge's own detector ([limits](benchmarks.md#answering-machine-detection))";
const NO_REASON: ParameterSupport = Ignored("the reason is not passed on");
const NO_TOKEN: ParameterSupport = Ignored("calls are not signed; `From` is checked as without it");
const NO_CLIENTS_TOLD: ParameterSupport = Ignored("Voice SDK clients are not supported");
const NO_SCORES: ParameterSupport = Ignored("messages are not scored");
const NO_SIP_LOGIN: ParameterSupport = Refused("a challenge is answered with the credentials of the trunk");
const NO_TWIML_APP: ParameterSupport = Refused("TwiML applications are not in this version");
const NOT_SIGNED: ParameterSupport = Refused("calls are not signed");
const NO_EMERGENCY_LOCATION: ParameterSupport = Refused("a requested call carries no location for emergency services");
const NO_REGULATION: ParameterSupport = Refused("numbers are the carrier's: the edge has no register of addresses");
const NO_MEDIA: ParameterSupport = Refused("messages with media are not in this version");
const NO_SCHEDULE: ParameterSupport = Refused("messages are not scheduled");
const NOT_OF_AN_EDGE: ParameterSupport = Refused("a function of Twilio's cloud");
const FALSE: &[&str] = &["false", "False"];
const NUMBER_FORM: ParameterSupport = Differs("a number in any form");
const OF_ANY_CALL: ParameterSupport = Differs(
    "for the called party of a Dial: separates it from the caller, runs the document for it alone, and ends the caller's Dial",
);
const WITH_DOCUMENT: ParameterSupport =
    Differs("of the call of a dialled party together with `Url` or `Twiml`, else refused (501)");
const PAGE: ParameterSupport = Differs("with the `PageToken` of `next_page_uri`");
const SPAN: ParameterSupport = Differs("bounds belong to the range; a date is a day in UTC");

/// Request that starts a live transcription of a call.
pub static START_TRANSCRIPTION: ApiOperation = ApiOperation {
    method: "POST",
    path: "{AC}/Calls/{CA}/Transcriptions.json",
    endpoint: Endpoint::StartLiveTranscription,
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
        ("TranscriptionConfigurationId", NOT_OF_AN_EDGE),
    ],
};

/// Creation of a call: `POST …/Calls.json`.
pub static CREATE_CALL: ApiOperation = ApiOperation {
    method: "POST",
    path: "{AC}/Calls.json",
    endpoint: Endpoint::CreateCall,
    parameters: &[
        (
            "To",
            Differs(
                "a number, or a SIP address whose host is that of a trunk, with headers `X-…` and `User-to-User` after `?`, or a `client:` of [`[client]`](../configure/configuration.md#client) that is not a voice agent",
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

/// List of conferences: `GET …/Conferences.json`.
pub(crate) static LIST_CONFERENCES: ApiOperation = ApiOperation {
    method: "GET",
    path: "{AC}/Conferences.json",
    endpoint: Endpoint::ListConferences,
    parameters: &[
        ("FriendlyName", Supported),
        ("Status", Supported),
        ("DateCreated", SPAN),
        ("DateCreated>", SPAN),
        ("DateCreated<", SPAN),
        ("DateUpdated", Differs("of a conference in progress, its beginning")),
        ("DateUpdated>", Differs("the same")),
        ("DateUpdated<", Differs("the same")),
        ("PageSize", Supported),
        ("Page", PAGE),
        ("PageToken", Supported),
    ],
};

/// Update of a conference: `POST …/Conferences/{CF}.json`.
pub static UPDATE_CONFERENCE: ApiOperation = ApiOperation {
    method: "POST",
    path: "{AC}/Conferences/{CF}.json",
    endpoint: Endpoint::UpdateConference,
    parameters: &[
        ("Status", Differs("`completed`; the parties' calls continue after the conference")),
        ("AnnounceUrl", Supported),
        ("AnnounceMethod", Supported),
    ],
};

/// List of a conference's recordings: `GET …/Conferences/{CF}/Recordings.json`.
pub(crate) static LIST_CONFERENCE_RECORDINGS: ApiOperation = ApiOperation {
    method: "GET",
    path: "{AC}/Conferences/{CF}/Recordings.json",
    endpoint: Endpoint::ListConferenceRecordings,
    parameters: &[
        ("DateCreated", SPAN),
        ("DateCreated>", SPAN),
        ("DateCreated<", SPAN),
        ("PageSize", Supported),
        ("Page", PAGE),
        ("PageToken", Supported),
    ],
};

/// List of participants: `GET …/Conferences/{CF}/Participants.json`.
pub(crate) static LIST_PARTICIPANTS: ApiOperation = ApiOperation {
    method: "GET",
    path: "{AC}/Conferences/{CF}/Participants.json",
    endpoint: Endpoint::ListParticipants,
    parameters: &[
        ("Muted", Supported),
        ("Hold", Supported),
        ("Coaching", Supported),
        ("PageSize", Supported),
        ("Page", PAGE),
        ("PageToken", Supported),
    ],
};

/// Creation of a participant: `POST …/Conferences/{CF}/Participants.json`.
pub static CREATE_PARTICIPANT: ApiOperation = ApiOperation {
    method: "POST",
    path: "{AC}/Conferences/{CF}/Participants.json",
    endpoint: Endpoint::CreateParticipant,
    parameters: &[
        (
            "To",
            Differs(
                "a number, a SIP address whose host is that of a trunk, with headers as for `Calls.json`, a `client:` of [`[client]`](../configure/configuration.md#client), or `agent:NAME`",
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
        ("ConferenceRecord", Differs("needs [`[recording]`](../configure/recording.md)")),
        ("ConferenceTrim", Supported),
        ("ConferenceRecordingStatusCallback", Supported),
        ("ConferenceRecordingStatusCallbackMethod", Supported),
        ("ConferenceRecordingStatusCallbackEvent", Supported),
        ("Region", Ignored("a conference is mixed at the edge that its parties call")),
        ("JitterBufferSize", Ignored("the mixer's buffer follows the arrival of each party's packets")),
        ("RecordingConfigurationId", NOT_OF_AN_EDGE),
        ("SipAuthPassword", NO_SIP_LOGIN),
        ("SipAuthUsername", NO_SIP_LOGIN),
        ("Byoc", Refused("trunks are chosen by `[api] connect`")),
        ("CallReason", NO_REASON),
        ("CallerId", Refused("the party sees `From`")),
        ("CallerDisplayName", Ignored("the party sees `From`")),
        ("CallToken", NO_TOKEN),
        ("Passports", NOT_SIGNED),
        ("ClientNotificationUrl", NO_CLIENTS_TOLD),
        ("EmergencyAddress", NO_EMERGENCY_LOCATION),
        ("EmergencyCallerLocation", NO_EMERGENCY_LOCATION),
        ("EmergencyCallerPosition", NO_EMERGENCY_LOCATION),
        ("EmergencyCity", NO_EMERGENCY_LOCATION),
        ("EmergencyCountry", NO_EMERGENCY_LOCATION),
        ("EmergencyName", NO_EMERGENCY_LOCATION),
        ("EmergencyState", NO_EMERGENCY_LOCATION),
        ("EmergencyZipCode", NO_EMERGENCY_LOCATION),
        ("AmdStatusCallback", Supported),
        ("AmdStatusCallbackMethod", Supported),
        ("MachineDetection", Differs(DETECTOR)),
        ("MachineDetectionSilenceTimeout", Supported),
        ("MachineDetectionSpeechEndThreshold", Supported),
        ("MachineDetectionSpeechThreshold", Supported),
        ("MachineDetectionTimeout", Supported),
    ],
};

/// Update of a participant: `POST …/Conferences/{CF}/Participants/{CA}.json`.
pub static UPDATE_PARTICIPANT: ApiOperation = ApiOperation {
    method: "POST",
    path: "{AC}/Conferences/{CF}/Participants/{CA}.json",
    endpoint: Endpoint::UpdateParticipant,
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

/// Start of a call's recording: `POST …/Calls/{CA}/Recordings.json`.
pub static CREATE_RECORDING: ApiOperation = ApiOperation {
    method: "POST",
    path: "{AC}/Calls/{CA}/Recordings.json",
    endpoint: Endpoint::CreateRecording,
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

/// List of recordings: `GET …/Recordings.json`.
pub(crate) static LIST_RECORDINGS: ApiOperation = ApiOperation {
    method: "GET",
    path: "{AC}/Recordings.json",
    endpoint: Endpoint::ListRecordings,
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

/// Creation of a message: `POST …/Messages.json`.
pub static CREATE_MESSAGE: ApiOperation = ApiOperation {
    method: "POST",
    path: "{AC}/Messages.json",
    endpoint: Endpoint::CreateMessage,
    parameters: &[
        ("To", NUMBER_FORM),
        ("From", Differs("a `[[number]]` of the edge, or the SID of a messaging service")),
        ("MessagingServiceSid", Differs("with `[twilio]`")),
        ("Body", Supported),
        ("StatusCallback", Supported),
        ("ValidityPeriod", Differs("1 to 36000; `expires` of `[sms]` limits it further")),
        ("ForceDelivery", Ignored("a message is sent as it is")),
        ("ProvideFeedback", Ignored("feedback is not recorded")),
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

/// Update of a number: `POST …/IncomingPhoneNumbers/{PN}.json`.
pub static UPDATE_NUMBER: ApiOperation = ApiOperation {
    method: "POST",
    path: "{AC}/IncomingPhoneNumbers/{PN}.json",
    endpoint: Endpoint::UpdateNumber,
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
        ("StatusCallbackEvent", Ignored("only the end of a call is reported")),
        ("TrunkSid", Refused("trunks are chosen by the configuration")),
        ("VoiceApplicationSid", NO_TWIML_APP),
    ],
};

/// List of numbers: `GET …/IncomingPhoneNumbers.json`.
pub static LIST_NUMBERS: ApiOperation = ApiOperation {
    method: "GET",
    path: "{AC}/IncomingPhoneNumbers.json",
    endpoint: Endpoint::ListNumbers,
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

/// Supported requests, in the order of the page.
pub static OPERATIONS: &[&ApiOperation] = &[
    &ApiOperation {
        method: "GET",
        path: ".json",
        endpoint: Endpoint::ListAccounts,
        parameters: &[
            ("FriendlyName", Supported),
            ("Status", Supported),
            ("PageSize", Supported),
            ("Page", PAGE),
            ("PageToken", Supported),
        ],
    },
    &ApiOperation { method: "GET", path: "{AC}.json", endpoint: Endpoint::FetchAccount, parameters: &[] },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Calls.json",
        endpoint: Endpoint::ListCalls,
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
    &ApiOperation { method: "GET", path: "{AC}/Calls/{CA}.json", endpoint: Endpoint::FetchCall, parameters: &[] },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Calls/{CA}.json",
        endpoint: Endpoint::UpdateCall,
        parameters: &[
            ("Status", Supported),
            ("Url", OF_ANY_CALL),
            ("Method", Supported),
            ("Twiml", OF_ANY_CALL),
            ("FallbackUrl", Differs("with `Url` or `Twiml`")),
            ("FallbackMethod", Supported),
            ("StatusCallback", WITH_DOCUMENT),
            ("StatusCallbackMethod", Supported),
            ("StatusCallbackEvent", Supported),
            ("TimeLimit", WITH_DOCUMENT),
        ],
    },
    &ApiOperation { method: "DELETE", path: "{AC}/Calls/{CA}.json", endpoint: Endpoint::DeleteCall, parameters: &[] },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Calls/{CA}/Streams.json",
        endpoint: Endpoint::StartStream,
        parameters: &[
            ("Url", Differs("`ws:` is also accepted, if the configuration allows the address")),
            ("Name", Supported),
            ("Track", Supported),
            ("StatusCallback", Supported),
            ("StatusCallbackMethod", Supported),
            ("Parameter{n}.Name", Supported),
            ("Parameter{n}.Value", Supported),
        ],
    },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Calls/{CA}/Streams/{MZ}.json",
        endpoint: Endpoint::StopStream,
        parameters: &[("Status", Supported)],
    },
    &START_TRANSCRIPTION,
    &ApiOperation {
        method: "POST",
        path: "{AC}/Calls/{CA}/Transcriptions/{GT}.json",
        endpoint: Endpoint::StopLiveTranscription,
        parameters: &[("Status", Supported)],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Calls/{CA}/Recordings.json",
        endpoint: Endpoint::ListCallRecordings,
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
    &ApiOperation {
        method: "GET",
        path: "{AC}/Calls/{CA}/Recordings/{RE}.json",
        endpoint: Endpoint::FetchCallRecording,
        parameters: &[("IncludeSoftDeleted", Supported)],
    },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Calls/{CA}/Recordings/{RE}.json",
        endpoint: Endpoint::UpdateCallRecording,
        parameters: &[("Status", Supported), ("PauseBehavior", Supported)],
    },
    &ApiOperation {
        method: "DELETE",
        path: "{AC}/Calls/{CA}/Recordings/{RE}.json",
        endpoint: Endpoint::DeleteCallRecording,
        parameters: &[],
    },
    &LIST_RECORDINGS,
    &ApiOperation {
        method: "GET",
        path: "{AC}/Recordings/{RE}.wav",
        endpoint: Endpoint::FetchRecordingAudio,
        parameters: &[("RequestedChannels", Differs("that of the recording; another is refused by name"))],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Recordings/{RE}.json",
        endpoint: Endpoint::FetchRecording,
        parameters: &[("IncludeSoftDeleted", Supported)],
    },
    &ApiOperation {
        method: "DELETE",
        path: "{AC}/Recordings/{RE}.json",
        endpoint: Endpoint::DeleteRecording,
        parameters: &[],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Recordings/{RE}/Transcriptions.json",
        endpoint: Endpoint::ListRecordingTranscriptions,
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Recordings/{RE}/Transcriptions/{TR}.json",
        endpoint: Endpoint::FetchRecordingTranscription,
        parameters: &[],
    },
    &ApiOperation {
        method: "DELETE",
        path: "{AC}/Recordings/{RE}/Transcriptions/{TR}.json",
        endpoint: Endpoint::DeleteRecordingTranscription,
        parameters: &[],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Transcriptions.json",
        endpoint: Endpoint::ListTranscriptions,
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Transcriptions/{TR}.json",
        endpoint: Endpoint::FetchTranscription,
        parameters: &[],
    },
    &ApiOperation {
        method: "DELETE",
        path: "{AC}/Transcriptions/{TR}.json",
        endpoint: Endpoint::DeleteTranscription,
        parameters: &[],
    },
    &LIST_CONFERENCES,
    &ApiOperation {
        method: "GET",
        path: "{AC}/Conferences/{CF}.json",
        endpoint: Endpoint::FetchConference,
        parameters: &[],
    },
    &UPDATE_CONFERENCE,
    &LIST_CONFERENCE_RECORDINGS,
    &ApiOperation {
        method: "GET",
        path: "{AC}/Conferences/{CF}/Recordings/{RE}.json",
        endpoint: Endpoint::FetchConferenceRecording,
        parameters: &[],
    },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Conferences/{CF}/Recordings/{RE}.json",
        endpoint: Endpoint::UpdateConferenceRecording,
        parameters: &[("Status", Supported), ("PauseBehavior", Supported)],
    },
    &ApiOperation {
        method: "DELETE",
        path: "{AC}/Conferences/{CF}/Recordings/{RE}.json",
        endpoint: Endpoint::DeleteConferenceRecording,
        parameters: &[],
    },
    &LIST_PARTICIPANTS,
    &CREATE_PARTICIPANT,
    &ApiOperation {
        method: "GET",
        path: "{AC}/Conferences/{CF}/Participants/{CA}.json",
        endpoint: Endpoint::FetchParticipant,
        parameters: &[],
    },
    &UPDATE_PARTICIPANT,
    &ApiOperation {
        method: "DELETE",
        path: "{AC}/Conferences/{CF}/Participants/{CA}.json",
        endpoint: Endpoint::DeleteParticipant,
        parameters: &[],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Queues.json",
        endpoint: Endpoint::ListQueues,
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Queues.json",
        endpoint: Endpoint::CreateQueue,
        parameters: &[("FriendlyName", Supported), ("MaxSize", Supported)],
    },
    &ApiOperation { method: "GET", path: "{AC}/Queues/{QU}.json", endpoint: Endpoint::FetchQueue, parameters: &[] },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Queues/{QU}.json",
        endpoint: Endpoint::UpdateQueue,
        parameters: &[("FriendlyName", Supported), ("MaxSize", Supported)],
    },
    &ApiOperation { method: "DELETE", path: "{AC}/Queues/{QU}.json", endpoint: Endpoint::DeleteQueue, parameters: &[] },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Queues/{QU}/Members.json",
        endpoint: Endpoint::ListMembers,
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Queues/{QU}/Members/{CA}.json",
        endpoint: Endpoint::FetchMember,
        parameters: &[],
    },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Queues/{QU}/Members/{CA}.json",
        endpoint: Endpoint::DequeueMember,
        parameters: &[
            ("Url", Supported),
            ("Method", Supported),
            ("Twiml", Differs("instead of `Url`; Twilio does not document it")),
        ],
    },
    &LIST_NUMBERS,
    &ApiOperation {
        method: "GET",
        path: "{AC}/IncomingPhoneNumbers/{PN}.json",
        endpoint: Endpoint::FetchNumber,
        parameters: &[],
    },
    &UPDATE_NUMBER,
    &ApiOperation {
        method: "GET",
        path: "{AC}/Messages.json",
        endpoint: Endpoint::ListMessages,
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
    &ApiOperation { method: "GET", path: "{AC}/Messages/{SM}.json", endpoint: Endpoint::FetchMessage, parameters: &[] },
    &ApiOperation {
        method: "DELETE",
        path: "{AC}/Messages/{SM}.json",
        endpoint: Endpoint::DeleteMessage,
        parameters: &[],
    },
    &ApiOperation {
        method: "GET",
        path: "{AC}/Keys.json",
        endpoint: Endpoint::ListKeys,
        parameters: &[("PageSize", Supported), ("Page", PAGE), ("PageToken", Supported)],
    },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Keys.json",
        endpoint: Endpoint::CreateKey,
        parameters: &[("FriendlyName", Supported)],
    },
    &ApiOperation { method: "GET", path: "{AC}/Keys/{SK}.json", endpoint: Endpoint::FetchKey, parameters: &[] },
    &ApiOperation {
        method: "POST",
        path: "{AC}/Keys/{SK}.json",
        endpoint: Endpoint::UpdateKey,
        parameters: &[("FriendlyName", Supported)],
    },
    &ApiOperation { method: "DELETE", path: "{AC}/Keys/{SK}.json", endpoint: Endpoint::DeleteKey, parameters: &[] },
    &LOOK_UP_V1,
    &LOOK_UP_V2,
];

/// Lists below an account or a call that Twilio has and the edge rejects by name.
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

/// Methods and paths of supported resources that Twilio has and the edge rejects by name.
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
    ("GET", "{AC}/Messages/{SM}/Media/{ME}.json"),
    ("POST", "{AC}/Messages/{SM}/Feedback.json"),
];

impl ApiOperation {
    /// Returns the support of a parameter; `None` if the table does not contain it.
    pub fn given(&self, name: &str) -> Option<ParameterSupport> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, given)| *given)
    }
}
