//! Parameters of the requests that applications get.

use super::State::{self, Differs, NotSupported, Supported};

/// A parameter and the requests that have it.
#[derive(Debug, Clone, Copy)]
pub struct ParameterEntry {
    /// Name as Twilio has it; one that ends with `…` stands for all that begin so.
    pub name: &'static str,
    /// Requests that have it.
    pub requests: &'static str,
    /// Extent of support.
    pub state: State,
}

const fn parameter(name: &'static str, requests: &'static str, state: State) -> ParameterEntry {
    ParameterEntry { name, requests, state }
}

const COUNTRY: State = Differs("from the number alone; absent where it is no country's");

const ALSO_OF_NUMBERS: State = Differs("also of numbers: every party is called by SIP");

/// Every parameter, in the page's order.
pub static PARAMETERS: &[ParameterEntry] = &[
    parameter("CallSid", "all", Supported),
    parameter("AccountSid", "all", Supported),
    parameter("From", "all", Differs("a number, not a SIP URI, also of callers by SIP")),
    parameter("To", "all", Differs("a number, also of callers by SIP; of a dialled SIP party its URI")),
    parameter("Caller", "all", Supported),
    parameter("Called", "all", Supported),
    parameter("CallStatus", "all", Supported),
    parameter("ApiVersion", "all", Supported),
    parameter("Direction", "all", Supported),
    parameter("FromCountry", "all", COUNTRY),
    parameter("ToCountry", "all", COUNTRY),
    parameter("CallerCountry", "all", COUNTRY),
    parameter("CalledCountry", "all", COUNTRY),
    parameter(
        "FromState",
        "all",
        NotSupported("no table of places is shipped; the same holds for ToState, FromCity, ToCity and the like"),
    ),
    parameter(
        "CallerName",
        "of the caller",
        Differs("the display name of its INVITE, from trunks that may assert it; Twilio looks names up"),
    ),
    parameter(
        "ForwardedFrom",
        "of the caller",
        Differs("from Diversion or History-Info, from trunks that may assert it; absent where it is the called number"),
    ),
    parameter(
        "StirVerstat",
        "of the caller",
        Differs(
            "as the trunk reports it (`verstat`, `X-Twilio-VerStat`, with the level of `Attestation-Info` or `P-Attestation-Indicator`), from trunks that may assert it",
        ),
    ),
    parameter("StirPassportToken", "of the caller", NotSupported("signatures are not verified here")),
    parameter("CallToken", "of the caller", NotSupported("calls are not signed")),
    parameter("SipCallId", "of the caller", Differs("of every caller: each one calls by SIP")),
    parameter(
        "SipHeader_…",
        "of the caller",
        Differs("`X-…` and `User-to-User`, unless the trunk's header rules remove them; 32 at most"),
    ),
    parameter(
        "SipDomain",
        "of the caller",
        NotSupported("the edge has no SIP domains; the same holds for SipUsername and SipSourceIp"),
    ),
    parameter("ParentCallSid", "of a dialled party", Supported),
    parameter("msg", "after Gather", Supported),
    parameter("Digits", "after Gather", Supported),
    parameter("FinishedOnKey", "after Gather", Supported),
    parameter("SpeechResult", "after Gather", Supported),
    parameter("Confidence", "after Gather", Differs("absent where the recogniser states none")),
    parameter("Language", "after Gather", Supported),
    parameter("StableSpeechResult", "partialResultCallback", Differs("the final results so far")),
    parameter("UnstableSpeechResult", "partialResultCallback", Supported),
    parameter("Stability", "partialResultCallback", NotSupported("recognisers do not state it")),
    parameter("DialCallStatus", "after Dial", Supported),
    parameter("DialCallSid", "after Dial", Supported),
    parameter("DialCallDuration", "after Dial", Supported),
    parameter("DialBridged", "after Dial", Supported),
    parameter(
        "DialSipResponseCode",
        "after Dial",
        Differs(
            "also of numbers; of a party without a final response, the code of the failure: 480 after the ring time-out",
        ),
    ),
    parameter("DialSipCallId", "after Dial", ALSO_OF_NUMBERS),
    parameter(
        "DialSipHeader_…",
        "after Dial",
        Differs(
            "`X-…` and `User-to-User` of the final response, unless the trunk's header rules remove them; 32 at most; also of numbers",
        ),
    ),
    parameter("RecordingUrl", "after Dial", NotSupported("recording is not in this version")),
    parameter("ReferCallStatus", "after Refer", Supported),
    parameter("ReferSipResponseCode", "after Refer", Supported),
    parameter("NotifySipResponseCode", "after Refer", Supported),
    parameter("ErrorCode", "fallback", Supported),
    parameter("ErrorUrl", "fallback", Supported),
    parameter("Timestamp", "statusCallback", Supported),
    parameter("CallbackSource", "statusCallback", Supported),
    parameter("SequenceNumber", "statusCallback, partialResultCallback", Supported),
    parameter("CallDuration", "statusCallback", Supported),
    parameter("SipResponseCode", "statusCallback", Supported),
    parameter("StreamSid", "statusCallback of Stream", Supported),
    parameter("StreamName", "statusCallback of Stream", Supported),
    parameter("StreamEvent", "statusCallback of Stream", Supported),
    parameter("StreamError", "statusCallback of Stream", Differs("the edge's own words")),
];
