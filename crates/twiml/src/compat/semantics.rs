//! Rules that do not belong to a single attribute.

use super::FeatureSupport;

/// Rule of Twilio that applications rely on.
#[derive(Debug, Clone, Copy)]
pub struct SemanticRule {
    /// Name of the rule, also in the names of its tests.
    pub name: &'static str,
    /// Text of the rule, as it applies at Twilio.
    pub text: &'static str,
    /// Extent to which the edge follows the rule.
    pub state: FeatureSupport,
}

const fn rule(name: &'static str, text: &'static str) -> SemanticRule {
    SemanticRule { name, text, state: FeatureSupport::Supported }
}

/// All rules, in the order of the page.
pub static SEMANTICS: &[SemanticRule] = &[
    rule("default-action", "Without `action`, Gather requests the current document's URL."),
    rule("relative-urls", "Relative URLs are resolved against the document's URL after HTTP redirects."),
    rule("default-method", "Requests are POST unless `method` says GET."),
    rule(
        "gather-timeout",
        "Gather's `timeout` (5 s) counts from the end of the nested prompts, and again from each digit.",
    ),
    rule("gather-finish", "The finishing key (`#`) is not in Digits; an empty `finishOnKey` disables it."),
    rule(
        "gather-finish-first",
        "A finishing key before any digit is ignored, as Twilio's current documentation has it; older versions ended the Gather.",
    ),
    rule("gather-empty", "No input: the next verb follows, unless `actionOnEmptyResult` is set."),
    rule("gather-barge-in", "A digit during a nested prompt stops all prompts in the same step, and counts."),
    rule("gather-speech", "Speech goes to the action as `SpeechResult`, with `Confidence` and `Language`."),
    rule(
        "gather-first-input",
        "With `dtmf speech` the first input decides: a digit ends the recognition, the first word makes digits and `finishOnKey` ignored.",
    ),
    rule(
        "gather-speech-barge-in",
        "The first word stops nested prompts; with `bargeIn=\"false\"` speech counts from their end on.",
    ),
    rule(
        "gather-speech-timeout",
        "`timeout` bounds the wait for the first word, from the end of the prompts; `speechTimeout` the pause after the last word, its default is `timeout`.",
    ),
    rule(
        "gather-partial",
        "Each partial result is reported to `partialResultCallback`, numbered from 0; the response is not run.",
    ),
    SemanticRule {
        name: "gather-recogniser-failed",
        text: "If the recogniser cannot be reached, fails or closes, speech input ends as without speech.",
        state: FeatureSupport::Differs(
            "final results that it has sent before count; with `dtmf speech` digits still do",
        ),
    },
    rule("gather-nothing-carried", "Digits outside of a Gather are dropped; nothing carries over to the next one."),
    rule("gather-parameters", "After digits a Gather's request has `Digits`, `FinishedOnKey` and `msg=Gather End`."),
    rule("dial-defaults", "Dial rings for 30 s and connects for at most 14,400 s."),
    rule(
        "dial-next-verb",
        "Dial without `action`: the next verb follows, whether the party was reached, hung up or never answered.",
    ),
    rule("dial-action", "Dial with `action`: the verbs after it are never run."),
    rule("dial-hung-up", "A caller who hangs up during a Dial with `action` still causes its request."),
    rule("dial-parallel", "Several nouns ring at once, the first answer wins; with `sequential` they ring in turn."),
    rule(
        "dial-answers",
        "Dial answers the caller at once, who hears ringing; with `answerOnBridge` the caller's call is answered when the party's is.",
    ),
    rule(
        "dial-progress",
        "A noun's `statusCallback` gets one request for each of its events, in the order of `SequenceNumber` (from 0) and with `ParentCallSid`; a party's call has one `CallSid`, whichever trunk it is tried by.",
    ),
    rule(
        "dial-digits",
        "`sendDigits` are sent after the party's answer, before its document and before it is connected.",
    ),
    rule("dial-parameters", "A Dial's request has `DialCallStatus`, `DialCallSid`, `DialCallDuration`, `DialBridged`."),
    SemanticRule {
        name: "dial-attempts",
        text: "A Dial calls at most 10 parties.",
        state: FeatureSupport::Differs(
            "a call makes at most 32 attempts to reach parties, agents and streams; after that a Dial fails",
        ),
    },
    SemanticRule {
        name: "refer-result",
        text: "Refer sends REFER to the caller and waits for its NOTIFY requests; `ReferCallStatus` (`ringing`, `in-progress`, `busy`, `no-answer`, `failed`) is absent if REFER is refused or no NOTIFY arrives. A caller who hangs up meanwhile still causes the request of `action`.",
        state: FeatureSupport::Differs("without a final NOTIFY the verb ends after 60 s"),
    },
    rule(
        "dial-sip",
        "Several `Uri` of one `Sip` are tried in the order of `priority` and by chance as `weight` says; they and a number's trunks share the Dial's `timeout`.",
    ),
    rule("pause-default", "Pause lasts 1 s."),
    rule("loop-forever", "Say and Play with `loop=\"0\"` repeat until the caller hangs up."),
    rule("say-limit", "Say speaks at most 4,096 characters."),
    rule(
        "reject-first",
        "Reject ends the call only before the answer, with 486 (`busy`) or 603 (`rejected`); after it the call is hung up, with a warning.",
    ),
    rule("answering", "Say, Play, Gather and Dial answer the call; Pause, Redirect and Reject do not."),
    rule(
        "hangup-answers",
        "Hangup, and the end of a document, answer a call that is not answered yet, and end it, as Twilio does.",
    ),
    rule("connect-next-verb", "Connect ends with its stream: the next verb follows, or `action` is requested."),
    rule(
        "connect-hung-up",
        "A caller who hangs up during a Connect with `action` causes its request. Twilio documents this for some nouns only.",
    ),
    rule("document-end", "A document that ends hangs up."),
    rule(
        "content-types",
        "`text/xml`, `application/xml` and `text/html` are TwiML, `audio/…` is played, `text/plain` is said; then the call ends. Any other type is error 12300.",
    ),
    rule(
        "invalid-values",
        "A value that an attribute does not allow is replaced by the default, with Twilio's warning code.",
    ),
    rule("unknown-names", "Unknown verbs and attributes are skipped with warning 12200; names are case-sensitive."),
    rule(
        "fallback",
        "An error requests the fallback URL with `ErrorCode` and `ErrorUrl`. An error in its document too, or no fallback URL: the call continues with the next target of its route, or ends.",
    ),
    rule(
        "redirect-bound",
        "A call may fetch 30 documents at once and then 3 a second, at most 20,000 in all, and begin 50 sounds at once and then 5 a second. Beyond that: error 11215.",
    ),
    rule(
        "static-files",
        "A static document's URLs may name files of its folder; a document from HTTP never names a file.",
    ),
    rule(
        "play-failed",
        "A Play that cannot be fetched or decoded is skipped, with the error in the trace and the verdict.",
    ),
    rule(
        "refused-by-name",
        "A known verb that is not supported is an application error that names it; an attribute is skipped with a warning.",
    ),
    SemanticRule {
        name: "whisper",
        text: "The document of a noun's `url` runs on the called party's side; its end connects the parties, Hangup declines. Dial, Connect, Record, Refer and Reject are errors there (13201).",
        state: FeatureSupport::Differs(
            "a document that cannot be fetched or run declines too, so that no party is connected unscreened; Twilio does not document that case",
        ),
    },
    rule(
        "record-defaults",
        "Record answers, plays a tone, ends after 5 s of silence, 3,600 s or any key, and without `action` requests the current document's URL.",
    ),
    rule(
        "record-silence",
        "A Record of silence only makes no request: the next verb follows. A caller who hangs up causes the request with `Digits=hangup`.",
    ),
    rule(
        "record-parameters",
        "A Record's request has `RecordingUrl`, `RecordingSid`, `RecordingDuration`, and `Digits` if a key has ended it.",
    ),
    SemanticRule {
        name: "dial-record",
        text: "`record` of a Dial records what the caller says and hears, from the connection or from the ringing on, to the end of the Dial.",
        state: FeatureSupport::Differs("with `-dual` the caller is left, and right is what the caller hears"),
    },
    SemanticRule {
        name: "conference-wait",
        text: "A party hears the document of `waitUrl` again and again until the conference starts; Say, Play, Pause and Redirect may stand in it, another verb is an error (13238).",
        state: FeatureSupport::Differs(
            "a document that fails is followed by the edge's music; an audio file is fetched once and repeated",
        ),
    },
    rule(
        "queue-wait",
        "A queued caller hears the document of `waitUrl` again and again; Say, Play, Pause, Gather, Redirect, Hangup and Leave may stand in it. An error in it takes the caller out (`QueueResult=error`).",
    ),
    SemanticRule {
        name: "queue-action",
        text: "Enqueue with `action` requests it at once when the caller leaves the queue or cannot enter it, and after the connection when a party has dialled the queue; without it the next verb follows. A caller who hangs up, or is given another document, causes the request too, whose answer is not run.",
        state: FeatureSupport::Differs("`QueueResult` is never `bridging-in-process`"),
    },
    rule(
        "queue-dial",
        "Dial with Queue takes the caller that has waited longest; with an empty queue it waits for `timeout` (`no-answer`), without such a queue it fails.",
    ),
    rule("queue-leave", "Leave outside of a queue has no effect, with a warning."),
    rule("recording-default", "A recording has one channel unless `dual` is requested; in Start it has two."),
];
