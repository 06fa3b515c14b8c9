//! Explains Q.850 causes, as sent by carriers and by the edge in Reason.

use trunkgate_call::q850::{CAUSES, name};

/// Explains `Q.850 34`, `q850` or, if the number has no other meaning, `34`.
pub(super) fn explain(topic: &str) -> Option<String> {
    let lower = topic.trim().to_ascii_lowercase();
    let rest = ["q.850", "q850"].iter().find_map(|prefix| lower.strip_prefix(prefix));
    let number = rest.unwrap_or(&lower).trim_start_matches([' ', '_', '-', ';', ',']).trim_start_matches("cause=");
    if number.is_empty() && rest.is_some() {
        let all = CAUSES.iter().map(|(cause, name)| format!("{cause:>3}  {name}\n")).collect::<String>();
        return Some(format!(
            "Q.850: causes of the telephone network, in Reason of SIP responses and requests (RFC 3326)\n\n{all}"
        ));
    }
    let cause = number.parse().ok()?;
    let known = name(cause)?;
    Some(format!(
        "Q.850 {cause}: {known}\n\nCause of the telephone network (ITU-T Q.850), in Reason of a SIP response or request (RFC 3326). From a carrier it \
         says why the call failed beyond the carrier: `status`, the verdict of a trace and `calls show` have it in parentheses after the code, \
         where it has no text of its own. Give the cause and the Call-ID to the carrier. `trunkgate help Q.850` lists the common causes.\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_explained_by_its_number() {
        for topic in ["Q.850 34", "q850", "34", "Q.850;cause=34", "q.850_34"] {
            assert!(explain(topic).unwrap().contains("no circuit available"), "{topic}");
        }
        assert_eq!((explain("999"), explain("Q.850 200")), (None, None));
    }
}
