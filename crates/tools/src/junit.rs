//! Test results in JUnit XML, for CI jobs.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use trunkgate_system::terminal;

/// Test case of a JUnit report.
#[derive(Debug)]
pub(crate) struct TestCase {
    pub(crate) name: String,
    /// Duration of the case, in seconds; `None` if unknown.
    pub(crate) seconds: Option<f64>,
    /// Failure or error; `None` if the case passed.
    pub(crate) wrong: Option<CaseFailure>,
    /// Text that the test case has printed.
    pub(crate) output: Option<String>,
}

/// Failure or error of a test case.
#[derive(Debug)]
pub(crate) struct CaseFailure {
    /// Whether the case could not be evaluated (`error`); otherwise an expectation failed (`failure`).
    pub(crate) is_error: bool,
    /// Summary, one line.
    pub(crate) message: String,
    pub(crate) text: String,
}

/// Returns a test suite as XML; `class` is the class name of all cases.
///
/// # Errors
/// Returns the error of the XML writer.
pub(crate) fn suite(name: &str, class: &str, seconds: f64, cases: &[TestCase]) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let count = |is_error: bool| {
        let wrong = cases.iter().filter_map(|case| case.wrong.as_ref());
        wrong.filter(|wrong| wrong.is_error == is_error).count().to_string()
    };
    let (tests, failures, errors, time) = (cases.len().to_string(), count(false), count(true), format!("{seconds:.3}"));
    let counts = [
        ("name", name),
        ("tests", tests.as_str()),
        ("failures", failures.as_str()),
        ("errors", errors.as_str()),
        ("time", time.as_str()),
    ];
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").with_attributes(counts).write_inner_content(|writer| {
        let suite = writer.create_element("testsuite").with_attributes(counts);
        suite.write_inner_content(|writer| cases.iter().try_for_each(|case| write(writer, class, case)))?;
        Ok(())
    })?;
    let mut xml = writer.into_inner();
    xml.push(b'\n');
    Ok(xml)
}

fn write(writer: &mut Writer<Vec<u8>>, class: &str, case: &TestCase) -> io::Result<()> {
    let name = terminal::harmless(&case.name);
    let time = case.seconds.map(|seconds| format!("{seconds:.3}"));
    let element = writer.create_element("testcase").with_attributes([("classname", class), ("name", name.as_str())]);
    let element = element.with_attributes(time.as_deref().map(|time| ("time", time)));
    if case.wrong.is_none() && case.output.is_none() {
        element.write_empty()?;
        return Ok(());
    }
    element.write_inner_content(|writer| {
        if let Some(CaseFailure { is_error, message, text }) = &case.wrong {
            let (message, text) = (terminal::harmless(message), terminal::harmless(text));
            let wrong = writer.create_element(if *is_error { "error" } else { "failure" });
            wrong.with_attribute(("message", message.as_str())).write_text_content(BytesText::new(&text))?;
        }
        if let Some(output) = &case.output {
            let output = terminal::harmless(output);
            writer.create_element("system-out").write_text_content(BytesText::new(&output))?;
        }
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_xml_does_not_know_are_replaced() {
        let wrong = CaseFailure { is_error: false, message: "a\u{1}".into(), text: "b\u{1b}[31m\nc".into() };
        let case =
            TestCase { name: "n\u{7}".into(), seconds: None, wrong: Some(wrong), output: Some("<\u{0}>".into()) };
        let text = String::from_utf8(suite("s", "c", 1.0, &[case]).unwrap()).unwrap();
        for part in ["name=\"n·\">", "message=\"a·\">b·[31m\nc</failure>", "<system-out>&lt;·&gt;</system-out>"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
