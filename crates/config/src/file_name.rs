//! Names of TwiML files that contain request parameters: `choice-{{Digits}}.xml`.

/// Replaces each `{{NAME}}` in a file name by the value of that parameter; by nothing if the parameter is missing or
/// its value is not allowed in a file name.
pub fn filled(name: &str, parameters: &[(String, String)]) -> String {
    let mut parts = name.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((wanted, rest)) = part.split_once("}}") else {
            filled.push_str("{{");
            filled.push_str(part);
            continue;
        };
        let value = parameters.iter().find(|(known, _)| known == wanted).map(|(_, value)| value.as_str());
        filled.push_str(value.filter(|value| is_plain(value)).unwrap_or_default());
        filled.push_str(rest);
    }
    filled
}

/// Returns a file name for a trace: parameters are inserted only if each has one character, such as a menu digit.
/// Longer values may be a PIN or a phone number, so the name is then returned as written.
pub fn shown(name: &str, parameters: &[(String, String)]) -> String {
    let is_long = |(known, value): &&(String, String)| value.len() > 1 && name.contains(&format!("{{{{{known}}}}}"));
    match parameters.iter().any(|one| is_long(&one)) {
        true => name.to_owned(),
        false => filled(name, parameters),
    }
}

/// Returns whether a file name can match a name with parameters.
pub(super) fn may_be(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split("{{");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.map(|part| part.split_once("}}").map_or(part, |(_, behind)| behind)).peekable();
    while let Some(part) = parts.next() {
        let at = match parts.peek() {
            Some(_) => rest.find(part),
            None => rest.strip_suffix(part).map(str::len),
        };
        let Some((value, behind)) = at.and_then(|at| rest.split_at_checked(at)) else { return false };
        if !is_plain(value) {
            return false;
        }
        rest = behind.strip_prefix(part).unwrap_or_default();
    }
    rest.is_empty()
}

/// Returns whether a value may be part of a file name.
fn is_plain(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || "+-_*#".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_in_the_name_of_a_file() {
        let parameters = [("Digits", "1#"), ("To", "../x"), ("DialCallStatus", "no-answer")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (name, expected) in [
            ("menu.xml", "menu.xml"),
            ("choice-{{Digits}}.xml", "choice-1#.xml"),
            ("{{DialCallStatus}}/{{Digits}}.xml", "no-answer/1#.xml"),
            ("choice-{{To}}{{Other}}.xml", "choice-.xml"),
            ("{{Digits", "{{Digits"),
            ("a{{}}b}}{{", "ab}}{{"),
        ] {
            assert_eq!(filled(name, &parameters), expected, "{name}");
        }
    }

    #[test]
    fn a_trace_shows_no_more_than_the_key_of_a_menu() {
        let with =
            |digits: &str| [("Digits".to_owned(), digits.to_owned()), ("From".to_owned(), "+14155550100".to_owned())];
        assert_eq!(shown("choice-{{Digits}}.xml", &with("2")), "choice-2.xml");
        assert_eq!(shown("choice-{{Digits}}.xml", &with("")), "choice-.xml");
        assert_eq!(shown("pin-{{Digits}}.xml", &with("918273")), "pin-{{Digits}}.xml");
        assert_eq!(shown("{{From}}/menu.xml", &with("2")), "{{From}}/menu.xml");
        assert_eq!(shown("menu.xml", &with("918273")), "menu.xml");
    }

    #[test]
    fn files_are_known_by_a_name_with_parameters() {
        for (pattern, name, expected) in [
            ("choice-{{Digits}}.xml", "choice-1.xml", true),
            ("choice-{{Digits}}.xml", "choice-.xml", true),
            ("choice-{{Digits}}.xml", "choice-*2#.xml", true),
            ("choice-{{Digits}}.xml", "choice-1.xml.bak", false),
            ("choice-{{Digits}}.xml", "choice-a.b.xml", false),
            ("choice-{{Digits}}.xml", "choice-", false),
            ("choice-{{Digits}}.xml", "other-1.xml", false),
            ("a/{{To}}-{{Digits}}", "a/+1-2-3", true),
            ("a/{{To}}-{{Digits}}", "a/+123", false),
            ("{{To}}", "", true),
            ("menu.xml", "menu.xml", true),
            ("menu.xml", "menu.xml2", false),
        ] {
            assert_eq!(may_be(pattern, name), expected, "{pattern} {name}");
        }
    }
}
