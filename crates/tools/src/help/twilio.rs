//! `trunkgate help 11200`: Twilio's error codes, as shown in traces of calls with an application.

use trunkgate_delivery::webhooks::codes;

/// Explains a Twilio error code of five digits.
pub(super) fn explain(topic: &str) -> Option<String> {
    let code: u32 = topic.parse().ok().filter(|_| topic.len() == 5)?;
    let (meaning, fix) = codes::explain(code)?;
    Some(format!("{code}: error code of an application (Twilio's number)\n\n{meaning}.\n\nWhat to do: {fix}.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained_with_what_to_do() {
        let text = explain("11205").unwrap();
        assert!(text.starts_with("11205: error code") && text.contains("What to do: check that"), "{text}");
        let redirect = explain("11216").unwrap();
        for part in ["another host or port", "a scheme other than", "allow_private"] {
            assert!(redirect.contains(part), "{redirect}");
        }
        assert!(explain("11299").is_none() && explain("011205").is_none());
    }
}
