//! Rows of the compatibility tables.

use super::ElementSupport;
use super::FeatureSupport::{Differs, NotSupported, Supported};

const NEEDS_SECTION: super::FeatureSupport =
    Differs("needs [`[recording]`](../configure/recording.md): without it the verb is refused by name");
const NEEDS_TRANSCRIPTION: super::FeatureSupport = Differs(
    "needs [`[transcription]`](../configure/recording.md#transcription): without it the recording is not transcribed, with a warning",
);
const NEEDS_RECORDING: super::FeatureSupport = Differs(
    "needs [`[recording]`](../configure/recording.md): without it the parties are connected unrecorded, with a warning",
);
const NO_CONFIGURATION: super::FeatureSupport = NotSupported("a function of Twilio's cloud");
const BY_RECOGNISER: &str = "speech by the recogniser of `[recognition]`; without one, and in the document of a called party, `dtmf speech` gathers digits only, with a warning, and `speech` alone is refused by name";
pub(super) const PASSED_ON: &str = "passed on to the recogniser, which may ignore it";
const AFTER_CONNECTION: &str =
    "a verdict of the edge's own detector; the party is judged from its answer on, also while it hears its document";
const NO_TASKROUTER: super::FeatureSupport = NotSupported("TaskRouter is not supported");
const NO_PAYMENT: super::FeatureSupport = NotSupported("payments are not supported");
const NO_CLIENT: super::FeatureSupport = NotSupported("Voice SDK clients are not supported");
const NO_SIPREC: super::FeatureSupport = NotSupported("a recording by servers is started by `Start`");
const NO_PRODUCT: super::FeatureSupport = NotSupported("this product of Twilio's is not supported");
const NO_RECEIVER: super::FeatureSupport = Differs("has no effect, with a warning");
const NO_TRANSFER: super::FeatureSupport =
    NotSupported("a REFER of the caller or of a dialled party is refused with 403 while an application has the call");
const NO_CREDENTIALS: super::FeatureSupport =
    NotSupported("a challenge is answered with the credentials of the trunk that the address belongs to");
const NO_ACTION: super::FeatureSupport = NotSupported("Twilio does not document an effect");

const fn element(path: &'static str, attributes: &'static [(&'static str, super::FeatureSupport)]) -> ElementSupport {
    ElementSupport { path, state: Supported, attributes }
}

const fn refused(
    path: &'static str,
    state: super::FeatureSupport,
    attributes: &'static [(&'static str, super::FeatureSupport)],
) -> ElementSupport {
    ElementSupport { path, state, attributes }
}

/// Verbs and nouns of documents for calls.
pub static VOICE: &[ElementSupport] = &[
    element(
        "Say",
        &[
            ("voice", Supported),
            ("language", Supported),
            ("loop", Supported),
            ("(SSML)", Supported),
            ("(text)", Differs("text beyond 4,096 characters is not spoken, whichever the voice, with warning 13521")),
        ],
    ),
    element("Play", &[("loop", Supported), ("digits", Supported)]),
    element("Pause", &[("length", Supported)]),
    element(
        "Gather",
        &[
            ("input", Differs(BY_RECOGNISER)),
            ("action", Supported),
            ("method", Supported),
            ("timeout", Supported),
            ("finishOnKey", Supported),
            ("numDigits", Supported),
            ("actionOnEmptyResult", Supported),
            ("(Say, Play, Pause)", Supported),
            (
                "speechTimeout",
                Differs("`auto` ends with the first final result of the recogniser, also beside `speechModel`"),
            ),
            ("maxSpeechTime", Differs("60 s by default: Twilio does not document its own")),
            ("speechModel", Differs(PASSED_ON)),
            ("enhanced", Differs(PASSED_ON)),
            ("profanityFilter", Differs(PASSED_ON)),
            ("partialResultCallback", Differs("one request at a time; of those that wait, only the last is made")),
            ("partialResultCallbackMethod", Supported),
            ("language", Differs("`en-US` by default; any tag is passed on to the recogniser")),
            ("hints", Differs(PASSED_ON)),
            ("bargeIn", Supported),
            ("debug", NotSupported("Twilio does not document an effect")),
        ],
    ),
    element(
        "Dial",
        &[
            ("action", Supported),
            ("method", Supported),
            ("timeout", Supported),
            ("timeLimit", Supported),
            ("hangupOnStar", Supported),
            (
                "callerId",
                Differs(
                    "to carriers a `[[number]]`, From or To of the call, or a number in `callers` of the [app](../configure/configuration.md#appname); anything else has error 13214, and the document continues after the Dial. Registered phones, and SIP addresses that belong to no trunk, also see names of letters, digits and `+-_.`; clients and SIP addresses see `client:NAME` as NAME, numbers do not (13214); an emergency call shows the number of its caller instead",
                ),
            ),
            ("answerOnBridge", Supported),
            ("sequential", Supported),
            ("(text)", Supported),
            ("record", NEEDS_RECORDING),
            ("trim", Supported),
            ("recordingTrack", Supported),
            ("recordingStatusCallback", Supported),
            ("recordingStatusCallbackMethod", Supported),
            ("recordingStatusCallbackEvent", Supported),
            ("recordingConfigurationId", NO_CONFIGURATION),
            ("ringTone", NotSupported("the caller hears the edge's ringing")),
            ("referUrl", NO_TRANSFER),
            ("referMethod", NO_TRANSFER),
            ("callReason", NotSupported("the reason is not passed on")),
            ("events", NO_ACTION),
            ("passports", NotSupported("calls are not signed")),
        ],
    ),
    element(
        "Dial/Number",
        &[
            ("sendDigits", Supported),
            ("url", Supported),
            ("method", Supported),
            ("statusCallback", Supported),
            ("statusCallbackMethod", Supported),
            ("statusCallbackEvent", Supported),
            ("(text)", Supported),
            ("byoc", NotSupported("trunks are chosen by the configuration")),
            ("machineDetection", Differs(AFTER_CONNECTION)),
            ("machineDetectionTimeout", Supported),
            ("machineDetectionSpeechThreshold", Supported),
            ("machineDetectionSpeechEndThreshold", Supported),
            ("machineDetectionSilenceTimeout", Supported),
            ("amdStatusCallback", Supported),
            ("amdStatusCallbackMethod", Supported),
        ],
    ),
    element(
        "Dial/Sip",
        &[
            ("username", NO_CREDENTIALS),
            ("password", NO_CREDENTIALS),
            ("url", Supported),
            ("method", Supported),
            ("statusCallback", Supported),
            ("statusCallbackMethod", Supported),
            ("statusCallbackEvent", Supported),
            (
                "(text)",
                Differs(
                    "an address without `sip:` is taken as a SIP URI; it is a trunk's or listed in the application's `sip_to`; of its headers `X-…` and `User-to-User` are sent, the others skipped with warning 13252",
                ),
            ),
            ("machineDetection", Differs(AFTER_CONNECTION)),
            ("machineDetectionTimeout", Supported),
            ("machineDetectionSpeechThreshold", Supported),
            ("machineDetectionSpeechEndThreshold", Supported),
            ("machineDetectionSilenceTimeout", Supported),
            ("amdStatusCallback", Supported),
            ("amdStatusCallbackMethod", Supported),
        ],
    ),
    element(
        "Dial/Sip/Uri",
        &[
            ("priority", Supported),
            ("weight", Supported),
            ("username", NO_CREDENTIALS),
            ("password", NO_CREDENTIALS),
            ("(text)", Supported),
        ],
    ),
    element("Dial/Sip/Headers", &[]),
    element(
        "Dial/Sip/Headers/Header",
        &[
            ("name", Differs("`X-…` and `User-to-User` only; others are skipped with warning 13252")),
            ("value", Supported),
        ],
    ),
    element(
        "Dial/Conference",
        &[
            ("(text)", Differs("a name, or the SID of an active conference")),
            ("muted", Supported),
            ("beep", Supported),
            ("startConferenceOnEnter", Supported),
            ("endConferenceOnExit", Supported),
            ("participantLabel", Supported),
            ("waitUrl", Differs("the edge's own music by default; it also follows a document that fails")),
            ("waitMethod", Supported),
            (
                "maxParticipants",
                Differs("50 at most; the lower of the first participant's and the joining participant's value applies"),
            ),
            ("coach", Supported),
            ("statusCallback", Supported),
            ("statusCallbackMethod", Supported),
            ("statusCallbackEvent", Supported),
            ("record", Differs("also `true` and `false`; needs [`[recording]`](../configure/recording.md)")),
            ("trim", Supported),
            ("recordingStatusCallback", Supported),
            ("recordingStatusCallbackMethod", Supported),
            ("recordingStatusCallbackEvent", Supported),
            ("recordingConfigurationId", NO_CONFIGURATION),
            ("region", NotSupported("a conference is mixed at the edge that its parties call")),
            ("jitterBufferSize", NotSupported("the mixer's buffer follows the arrival of each party's packets")),
            ("eventCallbackUrl", NotSupported("`statusCallback` reports the events")),
        ],
    ),
    element(
        "Dial/Queue",
        &[
            ("(text)", Supported),
            (
                "url",
                Differs(
                    "a document that fails is left out: the caller is connected; Twilio does not document that case",
                ),
            ),
            ("method", Supported),
            ("reservationSid", NO_TASKROUTER),
            ("postWorkActivitySid", NO_TASKROUTER),
        ],
    ),
    element(
        "Dial/Client",
        &[
            (
                "(text)",
                Differs(
                    "a SIP party or voice agent that [`[client]`](../configure/configuration.md#client) has for the identity; one without is left out",
                ),
            ),
            ("url", Supported),
            ("method", Supported),
            ("statusCallback", Supported),
            ("statusCallbackMethod", Supported),
            ("statusCallbackEvent", Supported),
        ],
    ),
    element("Dial/Client/Identity", &[("(text)", Supported)]),
    element(
        "Dial/Client/Parameter",
        &[
            ("name", NotSupported("the party gets no parameters")),
            ("value", NotSupported("the party gets no parameters")),
        ],
    ),
    refused(
        "Dial/Application",
        NO_CLIENT,
        &[("url", NO_CLIENT), ("method", NO_CLIENT), ("customerId", NO_CLIENT), ("copyParentTo", NO_CLIENT)],
    ),
    refused("Dial/Sim", NO_PRODUCT, &[]),
    refused("Dial/WhatsApp", NO_PRODUCT, &[]),
    element("Connect", &[("action", Supported), ("method", Supported)]),
    element(
        "Connect/Stream",
        &[
            ("url", Differs("`ws:` is also accepted, if the configuration allows the address")),
            ("name", Supported),
            ("track", Supported),
            ("statusCallback", Supported),
            ("statusCallbackMethod", Supported),
            ("connectorName", NO_PRODUCT),
            ("audioFormat", NotSupported("the format is that of the configuration, PCMU by default")),
            ("sampleRate", NotSupported("the format is that of the configuration, PCMU by default")),
        ],
    ),
    element("Connect/Stream/Parameter", &[("name", Supported), ("value", Supported)]),
    refused("Connect/ConversationRelay", NO_PRODUCT, &[]),
    refused("Connect/Siprec", NO_SIPREC, &[]),
    refused("Connect/Room", NO_PRODUCT, &[]),
    refused("Connect/VirtualAgent", NO_PRODUCT, &[]),
    refused("Connect/Autopilot", NO_PRODUCT, &[]),
    refused("Connect/Conversation", NO_PRODUCT, &[]),
    refused("Connect/Assistant", NO_PRODUCT, &[]),
    element("Start", &[("action", NO_ACTION), ("method", NO_ACTION)]),
    element(
        "Start/Stream",
        &[
            ("url", Differs("`ws:` is also accepted, if the configuration allows the address")),
            ("name", Supported),
            ("track", Supported),
            ("statusCallback", Supported),
            ("statusCallbackMethod", Supported),
            ("connectorName", NO_PRODUCT),
            ("audioFormat", NotSupported("the format is that of the configuration, PCMU by default")),
            ("sampleRate", NotSupported("the format is that of the configuration, PCMU by default")),
        ],
    ),
    element("Start/Stream/Parameter", &[("name", Supported), ("value", Supported)]),
    ElementSupport {
        path: "Start/Siprec",
        state: Differs(
            "a document continues if the edge has no [`[siprec]`](../configure/recording.md#recording-servers-siprec) of that name",
        ),
        attributes: &[
            ("connectorName", Differs("the name of a `[siprec.NAME]`, which records a call once at a time")),
            ("name", Supported),
            (
                "track",
                Differs(
                    "`both_tracks` alone: with `inbound_track` or `outbound_track` nothing is recorded, and `statusCallback` gets `siprec-error`",
                ),
            ),
            ("statusCallback", Supported),
            ("statusCallbackMethod", Supported),
        ],
    },
    ElementSupport {
        path: "Start/Siprec/Parameter",
        state: NO_RECEIVER,
        attributes: &[("name", NO_RECEIVER), ("value", NO_RECEIVER)],
    },
    ElementSupport {
        path: "Start/Transcription",
        state: Differs(
            "by the recogniser of [`[recognition]`](../configure/recognition.md#live-transcription); without one the document continues, and `transcription-error` is reported",
        ),
        attributes: &[
            ("name", Supported),
            ("track", Supported),
            ("inboundTrackLabel", Supported),
            ("outboundTrackLabel", Supported),
            ("statusCallbackUrl", Supported),
            ("statusCallbackMethod", Supported),
            ("partialResults", Supported),
            ("languageCode", Differs(PASSED_ON)),
            ("hints", Differs(PASSED_ON)),
            ("speechModel", Differs(PASSED_ON)),
            ("profanityFilter", Differs(PASSED_ON)),
            ("transcriptionEngine", NotSupported("the engine is the recogniser of `[recognition]`")),
            ("enableAutomaticPunctuation", NotSupported("the recogniser punctuates or not")),
            ("enableProviderData", NO_PRODUCT),
            ("intelligenceService", NO_PRODUCT),
            ("conversationConfiguration", NO_PRODUCT),
        ],
    },
    ElementSupport {
        path: "Start/Recording",
        state: NEEDS_SECTION,
        attributes: &[
            ("channels", Supported),
            ("track", Supported),
            ("trim", Supported),
            ("recordingStatusCallback", Supported),
            ("recordingStatusCallbackMethod", Supported),
            ("recordingStatusCallbackEvent", Supported),
        ],
    },
    element("Stop", &[]),
    element("Stop/Stream", &[("name", Supported)]),
    element("Stop/Siprec", &[("name", Supported)]),
    element("Stop/Transcription", &[("name", Supported)]),
    refused("Stop/Recording", NotSupported("a recording is stopped through the API"), &[]),
    element("Redirect", &[("method", Supported), ("(text)", Supported)]),
    element("Reject", &[("reason", Differs("`busy` is SIP 486, `rejected` SIP 603; Twilio does not say its codes"))]),
    ElementSupport {
        path: "Reject/Parameter",
        state: NO_RECEIVER,
        attributes: &[("name", NO_RECEIVER), ("value", NO_RECEIVER)],
    },
    element("Hangup", &[]),
    ElementSupport {
        path: "Hangup/Parameter",
        state: NO_RECEIVER,
        attributes: &[("name", NO_RECEIVER), ("value", NO_RECEIVER)],
    },
    element("Refer", &[("action", Supported), ("method", Supported)]),
    element(
        "Refer/Sip",
        &[(
            "(text)",
            Differs(
                "the address is a trunk's or listed in the application's `sip_to`; of its headers `X-…` and `User-to-User` are in Refer-To",
            ),
        )],
    ),
    ElementSupport {
        path: "Record",
        state: NEEDS_SECTION,
        attributes: &[
            ("action", Supported),
            ("method", Supported),
            ("timeout", Supported),
            ("finishOnKey", Supported),
            ("maxLength", Differs("at most 14,400 s")),
            ("playBeep", Supported),
            ("trim", Supported),
            ("transcribe", NEEDS_TRANSCRIPTION),
            ("transcribeCallback", Differs("asks for a transcription by itself; the request is repeated for 24 hours")),
            ("recordingStatusCallback", Supported),
            ("recordingStatusCallbackMethod", Supported),
            ("recordingStatusCallbackEvent", Supported),
            ("recordingConfigurationId", NO_CONFIGURATION),
        ],
    },
    element(
        "Enqueue",
        &[
            ("(text)", Supported),
            ("action", Supported),
            ("method", Supported),
            (
                "maxQueueSize",
                Differs("1,000 of a queue that begins without it; of the queue's and the verb's the lower holds"),
            ),
            ("waitUrl", Differs("the edge's own music by default")),
            ("waitUrlMethod", Supported),
            ("workflowSid", NO_TASKROUTER),
        ],
    ),
    refused("Enqueue/Task", NO_TASKROUTER, &[]),
    element("Leave", &[]),
    refused("Pay", NO_PAYMENT, &[]),
    refused("Prompt", NO_PAYMENT, &[]),
    refused("Sms", NotSupported("text messages are not sent from a call's document"), &[]),
    refused("Echo", NO_PRODUCT, &[]),
];

/// Verbs and nouns of documents in response to message webhooks.
pub static MESSAGING: &[ElementSupport] = &[
    element(
        "Message",
        &[
            ("to", Supported),
            ("from", Supported),
            ("action", Supported),
            ("method", Supported),
            ("statusCallback", Supported),
            ("(text)", Supported),
        ],
    ),
    element("Message/Body", &[("(text)", Supported)]),
    ElementSupport {
        path: "Message/Media",
        state: Differs("read, but not sent: the text leaves without it"),
        attributes: &[("(text)", Supported)],
    },
    element("Redirect", &[("method", Supported), ("(text)", Supported)]),
];
