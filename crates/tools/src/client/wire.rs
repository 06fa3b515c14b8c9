//! `trace SID --raw`: prints the SIP messages of a call as on the wire.

use serde_json::Value;

use super::print::shown;
use trunkgate_system::terminal;

/// Returns the SIP messages of a trace as on the wire, each below a line with time, leg and addresses.
pub(super) fn messages(trace: &Value) -> String {
    let mut out = String::new();
    let text = |value: &Value| terminal::harmless(&shown(value));
    for entry in trace["entries"].as_array().into_iter().flatten().filter(|entry| entry["kind"] == "message") {
        let at = entry["at_us"].as_f64().unwrap_or_default() / 1e6;
        let leg = entry["leg"].as_u64().and_then(|leg| trace["legs"].get(usize::try_from(leg).ok()?));
        let way = if entry["received"] == true { "from" } else { "to" };
        let again = if entry["again"] == true { ", again" } else { "" };
        let head = format!("+{at:.3} s  {} {way} {}{again}", text(&entry["text"]), text(leg.unwrap_or(&Value::Null)));
        let Some(raw) = entry["raw"].as_str() else {
            out.push_str(&format!("{head}: message text no longer stored\n\n"));
            continue;
        };
        let [transport, local, remote] = ["transport", "local", "remote"].map(|key| text(&entry[key]));
        let arrow = if entry["received"] == true { "←" } else { "→" };
        out.push_str(&format!("{head}  ({transport} {local} {arrow} {remote})\n"));
        raw.lines().for_each(|line| out.push_str(&format!("{}\n", terminal::harmless(line.trim_end_matches('\r')))));
        if let Some(cut) = entry["cut"].as_u64().filter(|cut| *cut > 0) {
            out.push_str(&format!("… {cut} octets more were not stored\n"));
        }
        out.push('\n');
    }
    if out.is_empty() { "no messages of this call are stored\n".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_printed_below_their_addresses() {
        let invite = json!({"kind": "message", "leg": 0, "received": true, "text": "INVITE", "at_us": 1500, "again": false,
            "raw": "INVITE sip:a@b SIP/2.0\r\nFrom: \u{1b}[31m\r\n\r\nv=0\r\n", "cut": 7, "transport": "udp",
            "local": "192.0.2.1:5060", "remote": "192.0.2.9:5060"});
        let gone = json!({"kind": "message", "leg": 0, "received": false, "text": "200 OK", "at_us": 2_000_000, "again": true});
        let trace = json!({"legs": ["carrier"], "entries": [invite, {"kind": "decision", "text": "x"}, gone]});
        assert_eq!(
            messages(&trace),
            "+0.002 s  INVITE from carrier  (udp 192.0.2.1:5060 ← 192.0.2.9:5060)\nINVITE sip:a@b SIP/2.0\nFrom: ·[31m\n\nv=0\n\
             … 7 octets more were not stored\n\n+2.000 s  200 OK to carrier, again: message text no longer \
             stored\n\n"
        );
        assert_eq!(messages(&json!({})), "no messages of this call are stored\n");
    }
}
