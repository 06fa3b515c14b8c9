//! Texts for the error codes of messages: codes that the edge sets, and codes that providers commonly report.

/// Error codes with Twilio's texts, sorted for binary search.
const ERRORS: [(u32, &str); 23] = [
    (14_107, "SMS send rate limit exceeded"),
    (21_211, "Invalid 'To' Phone Number"),
    (21_408, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"),
    (21_602, "Message body is required"),
    (21_606, "The 'From' phone number provided is not a valid message-capable phone number"),
    (21_608, "The 'To' phone number provided is not yet verified for this account"),
    (21_610, "Attempt to send to unsubscribed recipient"),
    (21_611, "This 'From' number has exceeded the maximum number of queued messages"),
    (21_612, "Message cannot be sent with the current combination of 'To' and/or 'From' parameters"),
    (21_614, "'To' number is not a valid mobile number"),
    (21_617, "The concatenated message body exceeds the 1600 character limit"),
    (30_001, "Queue overflow"),
    (30_002, "Account suspended"),
    (30_003, "Unreachable destination handset"),
    (30_004, "Message blocked"),
    (30_005, "Unknown destination handset"),
    (30_006, "Landline or unreachable carrier"),
    (30_007, "Message filtered"),
    (30_008, "Unknown error"),
    (30_022, "US A2P 10DLC - Rate Limits Exceeded"),
    (30_032, "Toll-Free Number Has Not Been Verified"),
    (30_034, "US A2P 10DLC - Message from an Unregistered Number"),
    (30_036, "Validity Period Expired"),
];

/// Returns the text for an error code of a message; `None` if it is unknown.
pub(super) fn error_text(code: u32) -> Option<&'static str> {
    ERRORS.binary_search_by_key(&code, |(known, _)| *known).ok().and_then(|at| ERRORS.get(at)).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_have_texts() {
        assert!(ERRORS.is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(error_text(30_006), Some("Landline or unreachable carrier"));
        assert_eq!(error_text(30_036), Some("Validity Period Expired"));
        assert_eq!(error_text(99_999), None);
    }
}
