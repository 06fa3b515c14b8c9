//! The assertions as JUnit XML: a case each, one more for the generator itself.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::report::Judged;

/// The file's text.
///
/// # Errors
/// What cannot be written.
pub(super) fn xml(judged: &[Judged], faults: &[String], seconds: f64) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let failures = judged.iter().filter(|one| !one.holds).count().to_string();
    let (tests, errors) = ((judged.len() + 1).to_string(), u8::from(!faults.is_empty()).to_string());
    let time = format!("{seconds:.3}");
    let counts = [
        ("name", "trunkgate loadtest"),
        ("tests", tests.as_str()),
        ("failures", failures.as_str()),
        ("errors", errors.as_str()),
        ("time", time.as_str()),
    ];
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").with_attributes(counts).write_inner_content(|writer| {
        writer.create_element("testsuite").with_attributes(counts).write_inner_content(|writer| {
            judged.iter().try_for_each(|one| case(writer, &one.text, "failure", one.failure()))?;
            let faults = (!faults.is_empty()).then(|| format!("not valid: {}", faults.join("; ")));
            case(writer, "the generator kept its pace", "error", faults)
        })?;
        Ok(())
    })?;
    let mut xml = writer.into_inner();
    xml.push(b'\n');
    Ok(xml)
}

fn case(writer: &mut Writer<Vec<u8>>, name: &str, kind: &str, wrong: Option<String>) -> io::Result<()> {
    let element = writer.create_element("testcase").with_attributes([("classname", "loadtest"), ("name", name)]);
    match wrong {
        None => element.write_empty()?,
        Some(what) => element.write_inner_content(|writer| {
            let told = writer.create_element(kind).with_attribute(("message", what.as_str()));
            told.write_text_content(BytesText::new(&what))?;
            Ok(())
        })?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_assertion_is_a_case_and_its_text_is_escaped() {
        let judged = |text: &str, holds| Judged { text: text.into(), value: Some("1.25 %".into()), holds };
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
