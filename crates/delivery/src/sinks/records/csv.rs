//! Call records as CSV (RFC 4180): a header line, and one line per call. New columns are only ever added before `legs`.

use csv::{QuoteStyle, Terminator, WriterBuilder};
use jiff::Timestamp;
use serde_json::Value;
use trunkgate_call::numbers::is_control_char;

/// Names of the columns. Those that are not fields of a record are computed here.
pub(super) const COLUMNS: [&str; 25] = [
    "sid",
    "started_at",
    "answered_at",
    "ended_at",
    "answered_s",
    "state",
    "outcome",
    "reason",
    "route",
    "caller_trunk",
    "from",
    "to",
    "sip_code",
    "q850_cause",
    "failovers",
    "post_dial_ms",
    "mos_min",
    "mos_avg",
    "flags",
    "turn_p50_ms",
    "turn_p95_ms",
    "target",
    "codec",
    "ended_by",
    "legs",
];

/// Returns the header line of a CSV record file.
pub fn head() -> Vec<u8> {
    line(&COLUMNS.map(str::to_owned))
}

/// Returns the line of a call record, or of a call in progress; unknown values are empty.
pub fn row(record: &Value) -> Vec<u8> {
    line(&COLUMNS.map(|column| field(record, column)))
}

fn field(record: &Value, column: &str) -> String {
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => plain(text),
        Some(other) => other.to_string(),
    };
    match column {
        "answered_s" => answered_seconds(record).map_or_else(String::new, |seconds| format!("{seconds:.3}")),
        "caller_trunk" => text(record.pointer("/legs/0/trunk")),
        "target" => target(record).map_or_else(String::new, |leg| {
            let name = |field: &str| leg.get(field).filter(|name| name.as_str().is_some_and(|name| !name.is_empty()));
            text(name("trunk").or(name("agent")))
        }),
        "codec" => text(record.pointer("/legs/0/codec")),
        "ended_by" => ended_by(record).to_owned(),
        "flags" => {
            let flags = record.get(column).and_then(Value::as_array).into_iter().flatten();
            flags.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        _ => text(record.get(column)),
    }
}

/// Returns the leg to the last target of a call, skipping recording servers.
fn target(record: &Value) -> Option<&Value> {
    let legs = record.get("legs")?.as_array()?;
    legs.iter().skip(1).rfind(|leg| leg.get("kind").and_then(Value::as_str) != Some("siprec"))
}

/// Returns the party that ended a call, by its record; empty while the call lasts.
fn ended_by(record: &Value) -> &'static str {
    let of = |leg: Option<&'_ Value>| leg.and_then(|leg| leg.get("ended_by")?.as_str().map(str::to_owned));
    let (caller, target) = (of(record.pointer("/legs/0")), of(target(record)));
    ended_by_legs(caller.as_deref(), target.as_deref())
}

/// Returns the party that ended a call, given `ended_by` of the caller's leg and of the target's leg.
pub fn ended_by_legs(caller: Option<&str>, target: Option<&str>) -> &'static str {
    match (caller, target) {
        (Some("far_end"), _) => "caller",
        (Some(_), Some("far_end")) => "target",
        (Some(_), _) => "edge",
        (None, _) => "",
    }
}

/// Returns the duration from the answer to the end of a call, in seconds.
fn answered_seconds(record: &Value) -> Option<f64> {
    let time = |field: &str| record.get(field)?.as_str()?.parse::<Timestamp>().ok();
    Some(time("ended_at")?.duration_since(time("answered_at")?).as_secs_f64())
}

/// Characters that make a spreadsheet interpret a cell as a formula.
const FORMULA: [char; 9] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{fffd}'];

/// Returns a remote party's text as one line that spreadsheets do not interpret as a formula. Numbers such as
/// `+14155550100`, also masked ones, are unchanged.
pub fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if is_control_char(c) { '\u{fffd}' } else { c }).collect();
    let is_formula = text.starts_with(FORMULA) && !is_number(&text);
    let text = if is_formula { format!("'{text}") } else { text };
    // If `;` separates cells, a formula may begin behind it.
    FORMULA.into_iter().fold(text, |text, sign| text.replace(&format!(";{sign}"), &format!(";'{sign}")))
}

/// Returns whether a text is `+` with digits and at most one group of four asterisks, the form of numbers in logs.
fn is_number(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('+') else { return false };
    let (head, tail) = rest.split_once("****").unwrap_or((rest, ""));
    [head, tail].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Formats cells as a line, quoted if needed.
pub fn line(fields: &[String]) -> Vec<u8> {
    let mut writer =
        WriterBuilder::new().terminator(Terminator::CRLF).quote_style(QuoteStyle::Necessary).from_writer(Vec::new());
    // Writing to memory cannot fail.
    let _ = writer.write_record(fields);
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::sinks::records::tests::record;

    fn read(line: &[u8]) -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line);
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1, "{}", String::from_utf8_lossy(line));
        rows[0].iter().map(str::to_owned).collect()
    }

    /// Pins the columns, because users' scripts depend on them.
    #[test]
    fn the_columns_are_what_they_were() {
        assert_eq!(
            String::from_utf8(head()).unwrap(),
            "sid,started_at,answered_at,ended_at,answered_s,state,outcome,reason,route,caller_trunk,from,to,sip_code,\
             q850_cause,failovers,post_dial_ms,mos_min,mos_avg,flags,turn_p50_ms,turn_p95_ms,target,codec,ended_by,legs\r\n"
        );
        let mut value = record("CA1").value();
        value["legs"] = json!([{"sid": "CA1", "trunk": "carrier, \"west\"", "codec": "PCMU", "ended_by": "edge"}, {"agent": "a"},
            {"trunk": "pbx", "ended_by": "far_end"}, {"kind": "siprec", "ended_by": "edge"}]);
        let parts = ["target", "codec", "ended_by"].map(|column| field(&value, column));
        assert_eq!(parts, ["pbx", "PCMU", "target"]);
        value["legs"] = json!([{"ended_by": "far_end"}, {"trunk": "", "agent": "desk", "ended_by": "edge"}]);
        assert_eq!(["target", "ended_by"].map(|column| field(&value, column)), ["desk", "caller"]);
        value["legs"] = json!([{"sid": "CA1", "trunk": "carrier, \"west\""}]);
        value["flags"] = json!(["codec_mismatch", "failed_over"]);
        assert_eq!(
            String::from_utf8(row(&value)).unwrap(),
            "CA1,2026-01-01T00:00:00.000Z,2026-01-01T00:00:01.000Z,2026-01-01T00:01:01.250Z,60.250,ended,answered,\
             caller_hung_up,r,\"carrier, \"\"west\"\"\",+1,+2,200,16,0,40,,,codec_mismatch failed_over,,,,,,\
             \"[{\"\"sid\"\":\"\"CA1\"\",\"\"trunk\"\":\"\"carrier, \\\"\"west\\\"\"\"\"}]\"\r\n"
        );
    }

    #[test]
    fn what_a_far_end_writes_is_no_formula() {
        for (text, shown) in [
            ("+14155550100", "+14155550100"),
            ("1000", "1000"),
            ("=HYPERLINK(\"http://evil.example\")", "'=HYPERLINK(\"http://evil.example\")"),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\t=1", "'\u{fffd}=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("a\r\n=1", "a\u{fffd}\u{fffd}=1"),
            ("+1415\u{202e}0100\u{2028}", "'+1415\u{fffd}0100\u{fffd}"),
        ] {
            let record = json!({ "sid": "CA1", "from": text });
            assert_eq!(read(&row(&record))[10], shown);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_that_reads_back(from: String, route: String) {
            let line = row(&json!({ "sid": "CA1", "from": from, "route": route }));
            let fields = read(&line);
            prop_assert_eq!(fields.len(), COLUMNS.len());
            prop_assert_eq!(&fields[10], &plain(&from));
            prop_assert_eq!(&fields[8], &plain(&route));
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        }
    }
}
