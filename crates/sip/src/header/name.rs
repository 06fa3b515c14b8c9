//! Header names that the edge reads or writes, their compact forms, and the lookup by bytes.

/// Header name that the edge reads or writes. Any other header is `Other`, and its name stays in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each variant is named like its header
pub enum HeaderName {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    Contact,
    Route,
    RecordRoute,
    ContentType,
    ContentLength,
    ContentEncoding,
    ContentDisposition,
    Require,
    ProxyRequire,
    Supported,
    Unsupported,
    Allow,
    Accept,
    AcceptEncoding,
    Expires,
    RetryAfter,
    Reason,
    Warning,
    UserAgent,
    Server,
    Date,
    Timestamp,
    Authorization,
    ProxyAuthorization,
    WwwAuthenticate,
    ProxyAuthenticate,
    PAssertedIdentity,
    PPreferredIdentity,
    Privacy,
    Identity,
    Diversion,
    HistoryInfo,
    UserToUser,
    ReferTo,
    ReferredBy,
    Replaces,
    RSeq,
    RAck,
    SessionExpires,
    MinSe,
    Event,
    SubscriptionState,
    AlertInfo,
    InfoPackage,
    ContentId,
    Subject,
    Other,
}

impl HeaderName {
    /// All names except [`HeaderName::Other`].
    pub const ALL: [HeaderName; 52] = [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::MaxForwards,
        HeaderName::Contact,
        HeaderName::Route,
        HeaderName::RecordRoute,
        HeaderName::ContentType,
        HeaderName::ContentLength,
        HeaderName::ContentEncoding,
        HeaderName::ContentDisposition,
        HeaderName::Require,
        HeaderName::ProxyRequire,
        HeaderName::Supported,
        HeaderName::Unsupported,
        HeaderName::Allow,
        HeaderName::Accept,
        HeaderName::AcceptEncoding,
        HeaderName::Expires,
        HeaderName::RetryAfter,
        HeaderName::Reason,
        HeaderName::Warning,
        HeaderName::UserAgent,
        HeaderName::Server,
        HeaderName::Date,
        HeaderName::Timestamp,
        HeaderName::Authorization,
        HeaderName::ProxyAuthorization,
        HeaderName::WwwAuthenticate,
        HeaderName::ProxyAuthenticate,
        HeaderName::PAssertedIdentity,
        HeaderName::PPreferredIdentity,
        HeaderName::Privacy,
        HeaderName::Identity,
        HeaderName::Diversion,
        HeaderName::HistoryInfo,
        HeaderName::UserToUser,
        HeaderName::ReferTo,
        HeaderName::ReferredBy,
        HeaderName::Replaces,
        HeaderName::RSeq,
        HeaderName::RAck,
        HeaderName::SessionExpires,
        HeaderName::MinSe,
        HeaderName::Event,
        HeaderName::SubscriptionState,
        HeaderName::AlertInfo,
        HeaderName::InfoPackage,
        HeaderName::ContentId,
        HeaderName::Subject,
    ];

    /// Returns the name as written on the wire; empty for [`HeaderName::Other`].
    pub const fn as_str(self) -> &'static str {
        match self {
            HeaderName::Via => "Via",
            HeaderName::From => "From",
            HeaderName::To => "To",
            HeaderName::CallId => "Call-ID",
            HeaderName::CSeq => "CSeq",
            HeaderName::MaxForwards => "Max-Forwards",
            HeaderName::Contact => "Contact",
            HeaderName::Route => "Route",
            HeaderName::RecordRoute => "Record-Route",
            HeaderName::ContentType => "Content-Type",
            HeaderName::ContentLength => "Content-Length",
            HeaderName::ContentEncoding => "Content-Encoding",
            HeaderName::ContentDisposition => "Content-Disposition",
            HeaderName::Require => "Require",
            HeaderName::ProxyRequire => "Proxy-Require",
            HeaderName::Supported => "Supported",
            HeaderName::Unsupported => "Unsupported",
            HeaderName::Allow => "Allow",
            HeaderName::Accept => "Accept",
            HeaderName::AcceptEncoding => "Accept-Encoding",
            HeaderName::Expires => "Expires",
            HeaderName::RetryAfter => "Retry-After",
            HeaderName::Reason => "Reason",
            HeaderName::Warning => "Warning",
            HeaderName::UserAgent => "User-Agent",
            HeaderName::Server => "Server",
            HeaderName::Date => "Date",
            HeaderName::Timestamp => "Timestamp",
            HeaderName::Authorization => "Authorization",
            HeaderName::ProxyAuthorization => "Proxy-Authorization",
            HeaderName::WwwAuthenticate => "WWW-Authenticate",
            HeaderName::ProxyAuthenticate => "Proxy-Authenticate",
            HeaderName::PAssertedIdentity => "P-Asserted-Identity",
            HeaderName::PPreferredIdentity => "P-Preferred-Identity",
            HeaderName::Privacy => "Privacy",
            HeaderName::Identity => "Identity",
            HeaderName::Diversion => "Diversion",
            HeaderName::HistoryInfo => "History-Info",
            HeaderName::UserToUser => "User-to-User",
            HeaderName::ReferTo => "Refer-To",
            HeaderName::ReferredBy => "Referred-By",
            HeaderName::Replaces => "Replaces",
            HeaderName::RSeq => "RSeq",
            HeaderName::RAck => "RAck",
            HeaderName::SessionExpires => "Session-Expires",
            HeaderName::MinSe => "Min-SE",
            HeaderName::Event => "Event",
            HeaderName::SubscriptionState => "Subscription-State",
            HeaderName::AlertInfo => "Alert-Info",
            HeaderName::InfoPackage => "Info-Package",
            HeaderName::ContentId => "Content-ID",
            HeaderName::Subject => "Subject",
            HeaderName::Other => "",
        }
    }

    /// Returns the header with this name, case-insensitive, in its long or compact form (RFC 3261 §7.3.3).
    pub fn from_bytes(name: &[u8]) -> HeaderName {
        let Some(first) = name.first() else { return HeaderName::Other };
        // Length and first letter leave at most two candidates.
        match (name.len(), first.to_ascii_lowercase()) {
            (1, b'v') => HeaderName::Via,
            (1, b'f') => HeaderName::From,
            (1, b't') => HeaderName::To,
            (1, b'i') => HeaderName::CallId,
            (1, b'm') => HeaderName::Contact,
            (1, b'c') => HeaderName::ContentType,
            (1, b'l') => HeaderName::ContentLength,
            (1, b'e') => HeaderName::ContentEncoding,
            (1, b'k') => HeaderName::Supported,
            (1, b'y') => HeaderName::Identity,
            (1, b'r') => HeaderName::ReferTo,
            (1, b'b') => HeaderName::ReferredBy,
            (1, b'x') => HeaderName::SessionExpires,
            (1, b'o') => HeaderName::Event,
            (1, b's') => HeaderName::Subject,
            (2, b't') => pick(name, [HeaderName::To]),
            (3, b'v') => pick(name, [HeaderName::Via]),
            (4, b'c') => pick(name, [HeaderName::CSeq]),
            (4, b'd') => pick(name, [HeaderName::Date]),
            (4, b'f') => pick(name, [HeaderName::From]),
            (4, b'r') => pick(name, [HeaderName::RSeq, HeaderName::RAck]),
            (5, b'a') => pick(name, [HeaderName::Allow]),
            (5, b'e') => pick(name, [HeaderName::Event]),
            (5, b'r') => pick(name, [HeaderName::Route]),
            (6, b'a') => pick(name, [HeaderName::Accept]),
            (6, b'm') => pick(name, [HeaderName::MinSe]),
            (6, b'r') => pick(name, [HeaderName::Reason]),
            (6, b's') => pick(name, [HeaderName::Server]),
            (7, b'c') => pick(name, [HeaderName::CallId, HeaderName::Contact]),
            (7, b'e') => pick(name, [HeaderName::Expires]),
            (7, b'p') => pick(name, [HeaderName::Privacy]),
            (7, b'r') => pick(name, [HeaderName::Require]),
            (7, b's') => pick(name, [HeaderName::Subject]),
            (7, b'w') => pick(name, [HeaderName::Warning]),
            (8, b'i') => pick(name, [HeaderName::Identity]),
            (8, b'r') => pick(name, [HeaderName::ReferTo, HeaderName::Replaces]),
            (9, b'd') => pick(name, [HeaderName::Diversion]),
            (9, b's') => pick(name, [HeaderName::Supported]),
            (9, b't') => pick(name, [HeaderName::Timestamp]),
            (10, b'c') => pick(name, [HeaderName::ContentId]),
            (10, b'a') => pick(name, [HeaderName::AlertInfo]),
            (10, b'u') => pick(name, [HeaderName::UserAgent]),
            (11, b'r') => pick(name, [HeaderName::RetryAfter, HeaderName::ReferredBy]),
            (11, b'u') => pick(name, [HeaderName::Unsupported]),
            (12, b'c') => pick(name, [HeaderName::ContentType]),
            (12, b'h') => pick(name, [HeaderName::HistoryInfo]),
            (12, b'i') => pick(name, [HeaderName::InfoPackage]),
            (12, b'm') => pick(name, [HeaderName::MaxForwards]),
            (12, b'r') => pick(name, [HeaderName::RecordRoute]),
            (12, b'u') => pick(name, [HeaderName::UserToUser]),
            (13, b'a') => pick(name, [HeaderName::Authorization]),
            (13, b'p') => pick(name, [HeaderName::ProxyRequire]),
            (14, b'c') => pick(name, [HeaderName::ContentLength]),
            (15, b'a') => pick(name, [HeaderName::AcceptEncoding]),
            (15, b's') => pick(name, [HeaderName::SessionExpires]),
            (16, b'c') => pick(name, [HeaderName::ContentEncoding]),
            (16, b'w') => pick(name, [HeaderName::WwwAuthenticate]),
            (18, b'p') => pick(name, [HeaderName::ProxyAuthenticate]),
            (18, b's') => pick(name, [HeaderName::SubscriptionState]),
            (19, b'c') => pick(name, [HeaderName::ContentDisposition]),
            (19, b'p') => pick(name, [HeaderName::ProxyAuthorization, HeaderName::PAssertedIdentity]),
            (20, b'p') => pick(name, [HeaderName::PPreferredIdentity]),
            _ => HeaderName::Other,
        }
    }
}

/// Returns the candidate spelled by `name`, or `Other`.
#[inline]
fn pick<const N: usize>(name: &[u8], candidates: [HeaderName; N]) -> HeaderName {
    candidates
        .into_iter()
        .find(|candidate| name.eq_ignore_ascii_case(candidate.as_str().as_bytes()))
        .unwrap_or(HeaderName::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for name in HeaderName::ALL {
            for spelling in [name.as_str().to_owned(), name.as_str().to_lowercase(), name.as_str().to_uppercase()] {
                assert_eq!(HeaderName::from_bytes(spelling.as_bytes()), name, "{spelling}");
            }
        }
    }

    #[test]
    fn compact_forms_are_the_registered_ones() {
        let table = [
            ('v', HeaderName::Via),
            ('f', HeaderName::From),
            ('t', HeaderName::To),
            ('i', HeaderName::CallId),
            ('m', HeaderName::Contact),
            ('c', HeaderName::ContentType),
            ('l', HeaderName::ContentLength),
            ('e', HeaderName::ContentEncoding),
            ('k', HeaderName::Supported),
            ('y', HeaderName::Identity),
            ('r', HeaderName::ReferTo),
            ('b', HeaderName::ReferredBy),
            ('x', HeaderName::SessionExpires),
            ('o', HeaderName::Event),
            ('s', HeaderName::Subject),
        ];
        for letter in 'a'..='z' {
            let expected = table.iter().find(|(form, _)| *form == letter).map_or(HeaderName::Other, |(_, name)| *name);
            assert_eq!(HeaderName::from_bytes(&[letter as u8]), expected);
            assert_eq!(HeaderName::from_bytes(&[letter.to_ascii_uppercase() as u8]), expected);
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in ["", "Vi", "Call_ID", "Content-Lengt", "Max-Forwardz", "Froms"] {
            assert_eq!(HeaderName::from_bytes(name.as_bytes()), HeaderName::Other, "{name}");
        }
    }
}
