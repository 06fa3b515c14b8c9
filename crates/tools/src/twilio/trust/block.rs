//! CA certificate of an edge inside another program's bundle (PEM), between two marker lines that allow its removal.

const BEGIN: &str = "\n# trunkgate twilio trust: begin\n";
const END: &str = "# trunkgate twilio trust: end\n";

/// Returns the bundle with a CA certificate appended, in place of an earlier one.
pub(super) fn added(bundle: &str, ca: &str) -> String {
    let without = removed(bundle);
    format!("{without}{BEGIN}{}\n{END}", ca.trim_end())
}

/// Returns the bundle without the certificate appended by [`added`].
pub(super) fn removed(bundle: &str) -> String {
    let Some((before, rest)) = bundle.split_once(BEGIN) else { return bundle.to_owned() };
    match rest.split_once(END) {
        Some((_, behind)) => format!("{before}{}", removed(behind)),
        // The end marker is missing, so everything after the start marker is removed.
        None => before.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_as_it_was_once_the_ca_is_removed() {
        for bundle in ["", "roots", "roots\n", "roots\n\n", "# a comment\nroots\n"] {
            let with = added(bundle, "CA\n");
            assert!(with.contains("begin\nCA\n#"), "{with}");
            assert_eq!(removed(&with), bundle);
            assert_eq!(removed(bundle), bundle);
        }
    }

    #[test]
    fn a_new_ca_takes_the_place_of_the_last_and_what_others_added_behind_it_stays() {
        let with = added("roots\n", "one") + "more\n";
        let new = added(&with, "two");
        assert!(!new.contains("one") && new.contains("two"));
        assert_eq!(removed(&new), "roots\nmore\n");
    }
}
