//! Twilio's error codes for requests to applications: their meaning for the edge, and the fix.

/// Error codes with meaning and fix.
const CODES: &[(u32, &str, &str)] = &[
    (
        11_100,
        "A URL in the document is malformed or not allowed there",
        "correct the URL; a document that came over HTTP names no files",
    ),
    (
        11_200,
        "A document or sound could not be fetched. From a URL: no answer in time, a status other than 2xx, or an answer that is too \
         large. From a file: it is missing, cannot be opened, lies outside the directory of the configuration, or is too large",
        "read the error in `trunkgate trace SID`. For a URL it has the status and the body: check the application's own log. A file's \
         name is relative to the document that names it: record or correct it; `trunkgate check` lists files that are missing",
    ),
    (
        11_205,
        "No TCP connection to the application, or its address is not allowed",
        "check that the application runs and its port; an application in a private network needs `allow_private = true` in [app.NAME]",
    ),
    (11_206, "The answer is not HTTP", "check scheme and port of the URL"),
    (11_210, "The host of the URL is not found in DNS", "check the host name; `trunkgate doctor` tests the resolver"),
    (
        11_215,
        "Too many redirects, or documents that lead to each other without end",
        "check Location headers and <Redirect>",
    ),
    (
        11_216,
        "A redirect that is not followed: no valid Location, a scheme other than http and https, or https to http on another host or port",
        "check status and Location of the answer; the request in `trunkgate trace SID` has the reason. From https to http of the same host, \
         another port is followed in private networks, or with `insecure_redirects = true` in [app.NAME]. One to a private address without \
         `allow_private = true` is 11205",
    ),
    (11_220, "The TLS handshake failed", "check that the port speaks TLS: `openssl s_client -connect HOST:PORT`"),
    (11_235, "The certificate is for another host", "use the name of the certificate in the URL"),
    (11_236, "The certificate has expired or is not valid yet", "renew the application's certificate; check the clock"),
    (
        11_237,
        "The certificate is not from a known authority",
        "use a certificate of a public authority, with its chain",
    ),
    (11_243, "The connection policy in the URL's fragment is malformed", "check #rc, #rp, #ct, #rt and #tt of the URL"),
    (11_750, "The document exceeds 64 KiB or another limit", "shorten the document"),
    (
        12_100,
        "The document is not well-formed XML",
        "`trunkgate trace SID` shows line and column; check the application's responses to failed requests",
    ),
    (12_102, "The root element is not <Response>", "answer <Response>…</Response>"),
    (
        12_200,
        "An element or attribute is unknown, misplaced or not available here",
        "see docs/reference/twilio-compat.md",
    ),
    (
        12_300,
        "The Content-Type of a document is neither TwiML nor audio nor text/plain",
        "answer with Content-Type: text/xml; an error page or JSON in the document's place has another one",
    ),
    (
        13_201,
        "A verb that may not be used in the called party's document",
        "use Say, Play, Pause, Gather, Hangup or Redirect there",
    ),
    (
        13_214,
        "The callerId of <Dial> may not be shown: it is not a number of the edge, of the call or in `callers` of the app",
        "use a [[number]], the caller's number or the called one, or add the number to `callers` of [app.NAME]; in a sandbox `--number` adds one",
    ),
    (13_215, "A noun of <Dial> that is not available here", "see docs/reference/twilio-compat.md"),
    (13_223, "<Dial> has no party to call", "give a number, <Number> or <Sip>"),
    (13_224, "The number of <Dial> is not a valid E.164 phone number", "write it as +14155550100"),
    (13_243, "<Sip> has no SIP URI", "give sip:USER@HOST"),
    (13_250, "<Dial> has too many nouns", "call at most ten parties at once"),
    (13_252, "A SIP header of <Sip> is incomplete or may not be set", "use X- headers"),
    (13_320, "<Gather> has a nested verb that it cannot have", "use Say, Play or Pause there"),
    (
        13_326,
        "<Gather> asks for an input that is not available here",
        "add [recognition] for speech, or use input=\"dtmf\"",
    ),
    (
        13_420,
        "The file of a <Play> was found but cannot be played: not WAV, AIFF, AU, MP3, Ogg Vorbis or Ogg Opus, damaged, or longer \
         than 30 minutes",
        "convert it (`sox IN -r 8000 -c 1 -b 16 OUT.wav`), or cut it; a URL must lead to the audio itself, not to a page",
    ),
    (13_430, "`digits` of <Play> is not a string of digits", "use 0-9, *, #, A-D and w"),
    (
        13_520,
        "A text of <Say> was not spoken: there is no text-to-speech, its program or service failed or took longer than 10 s, or the text is empty",
        "read the error in `trunkgate trace SID`; install espeak-ng, configure [speech], or play a recording with <Play>",
    ),
    (13_521, "<Say> has too much text", "use several <Say>"),
    (14_103, "<Message> has neither text nor media", "give a text"),
    (14_109, "A messaging document has too many replies", "answer fewer <Message>"),
    (14_110, "A messaging document has a verb that only calls have, or an unknown one", "use <Message> and <Redirect>"),
    (
        31_901,
        "The media stream of a <Connect> could not be opened",
        "check that the WebSocket server of its `url` runs and answers in time; `trunkgate trace SID` shows the server's response",
    ),
];

/// Returns meaning and fix of an error code.
pub fn explain(code: u32) -> Option<(&'static str, &'static str)> {
    CODES.iter().find(|(known, ..)| *known == code).map(|(_, meaning, fix)| (*meaning, *fix))
}

/// Returns the fix for an error code. `cause` describes the failure of the request, if any; `sid` is a call in which it
/// occurred.
pub fn fix(code: u32, cause: &str, sid: &str) -> String {
    let is_url = cause.contains("http://") || cause.contains("https://");
    let fix = match code {
        11_200 if cause.contains("the application answered ") => {
            "read the application's own log of that time: the request reached it, and it answered with that status"
        }
        11_200 if cause.contains(" within ") => {
            "find out why the application is slow: it must respond within the time limit"
        }
        11_200 if is_url => "check that the application stays up while it answers: the connection was lost",
        11_200 if !cause.is_empty() => {
            "record or correct the file: its name is relative to the document that names it; `trunkgate check` lists files that are \
             missing"
        }
        _ => explain(code).map(|(_, fix)| fix).unwrap_or_default(),
    };
    fix.replace("trace SID", &format!("trace {sid}"))
}

/// Returns all error codes in the table.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = u32> {
    CODES.iter().map(|(code, ..)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_about_what_was_asked_for() {
        let of = |cause| fix(11_200, cause, "CA1");
        assert!(of("start POST http://a/b: the application answered 500").contains("own log"));
        assert!(of("start POST http://a/b: no answer within 15 s").contains("time limit"));
        assert!(of("start POST http://a/b: the connection was lost").contains("stays up"));
        assert!(of("menu.wav: no such file").contains("`trunkgate check`"));
        assert!(fix(12_100, "", "CA1").starts_with("`trunkgate trace CA1` shows line and column"));
    }

    #[test]
    fn codes_stand_in_order_and_those_of_our_requests_are_explained() {
        assert!(all().is_sorted());
        for code in [11_200, 11_205, 11_750, 12_100, 12_300, 13_420, 13_520, 31_901] {
            assert!(explain(code).is_some(), "{code}");
        }
    }
}
