//! JUnit XML with one case for each assertion, and one for the generator.

use std::io;

use super::report::AssertionResult;
use crate::junit::{CaseFailure, TestCase, suite};

/// Returns the results of a load test as JUnit XML.
///
/// # Errors
/// Returns the error of the XML writer.
pub(super) fn xml(judged: &[AssertionResult], faults: &[String], seconds: f64) -> io::Result<Vec<u8>> {
    let case = |name: &str, is_error: bool, wrong: Option<String>| {
        let wrong = wrong.map(|what| CaseFailure { is_error, message: what.clone(), text: what });
        TestCase { name: name.to_owned(), seconds: None, wrong, output: None }
    };
    let faults = (!faults.is_empty()).then(|| format!("not valid: {}", faults.join("; ")));
    let mut cases: Vec<TestCase> = judged.iter().map(|one| case(&one.text, false, one.failure())).collect();
    cases.push(case("the generator kept its pace", true, faults));
    suite("trunkgate loadtest", "loadtest", seconds, &cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_assertion_is_a_case_and_its_text_is_escaped() {
        let judged = |text: &str, holds| AssertionResult { text: text.into(), value: Some("1.25 %".into()), holds };
        let all = [judged("loss<0.1%", false), judged("mos.p5>4", true)];
        let text = String::from_utf8(xml(&all, &[], 12.5).unwrap()).unwrap();
        assert!(
            text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"trunkgate loadtest\"")
        );
        assert!(text.contains("tests=\"3\" failures=\"1\" errors=\"0\" time=\"12.500\""), "{text}");
        assert!(text.contains("<testcase classname=\"loadtest\" name=\"mos.p5&gt;4\"/>"), "{text}");
        assert!(text.contains("<failure message=\"loss&lt;0.1% does not hold: 1.25 %\">"), "{text}");
        assert_eq!(text.matches("<testcase").count(), 3);
    }

    #[test]
    fn a_generator_that_was_too_slow_is_an_error() {
        let text = String::from_utf8(xml(&[], &["it slept & dreamt".into()], 1.0).unwrap()).unwrap();
        assert!(text.contains("errors=\"1\"") && text.contains("<error message=\"not valid: it slept &amp; dreamt\">"));
    }
}
