//! Causes of ITU-T Q.850, which carriers send in Reason (RFC 3326).

/// Common Q.850 causes with their names.
pub const CAUSES: [(u8, &str); 43] = [
    (1, "unallocated number"),
    (2, "no route to the transit network"),
    (3, "no route to the destination"),
    (4, "special information tone"),
    (5, "misdialled trunk prefix"),
    (6, "channel unacceptable"),
    (16, "normal call clearing"),
    (17, "user busy"),
    (18, "no user responding"),
    (19, "no answer from the user"),
    (20, "subscriber absent"),
    (21, "call rejected"),
    (22, "number changed"),
    (23, "redirection to a new destination"),
    (25, "exchange routing error"),
    (26, "non-selected user clearing"),
    (27, "destination out of order"),
    (28, "invalid number format"),
    (29, "facility rejected"),
    (30, "response to STATUS ENQUIRY"),
    (31, "normal, unspecified"),
    (34, "no circuit available"),
    (38, "network out of order"),
    (41, "temporary failure"),
    (42, "switching equipment congestion"),
    (43, "access information discarded"),
    (44, "requested circuit not available"),
    (47, "resource unavailable"),
    (50, "requested facility not subscribed"),
    (55, "incoming calls barred"),
    (57, "bearer capability not authorized"),
    (58, "bearer capability not available"),
    (63, "service or option not available"),
    (65, "bearer capability not implemented"),
    (69, "requested facility not implemented"),
    (79, "service or option not implemented"),
    (81, "invalid call reference"),
    (87, "user not member of the closed user group"),
    (88, "incompatible destination"),
    (95, "invalid message"),
    (102, "recovery on timer expiry"),
    (111, "protocol error"),
    (127, "interworking, unspecified"),
];

/// Returns the name of a Q.850 cause; `None` for one that is not in [`CAUSES`].
pub fn name(cause: u8) -> Option<&'static str> {
    CAUSES.iter().find(|(known, _)| *known == cause).map(|(_, name)| *name)
}

/// Returns a cause as text: `Q.850 34, no circuit available`.
pub fn words(cause: u8) -> String {
    match name(cause) {
        Some(name) => format!("Q.850 {cause}, {name}"),
        None => format!("Q.850 {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_in_order_and_have_their_names() {
        assert!(CAUSES.is_sorted_by(|(one, _), (other, _)| one < other));
        assert_eq!((words(34).as_str(), words(99).as_str()), ("Q.850 34, no circuit available", "Q.850 99"));
    }
}
