//! Calls as CSV (RFC 4180), one row per call.

use std::sync::Arc;

use trunkgate_call::{CallView, LegView};

use super::calls::answered_seconds;
use super::parties::party;
use trunkgate_delivery::sinks::records::csv::{ended_by_legs, line, plain};

/// Header line of the table.
const HEAD: &str = "sid,started_at,answered_at,ended_at,duration_s,from,to,route,source,target,state,outcome,reason,sip_code,\
                    target_sip_code,codec,mos,flags,ended_by\r\n";

/// Returns calls as a CSV table with a header line.
pub(super) fn table(calls: &[Arc<CallView>]) -> String {
    let mut out = HEAD.to_owned();
    for call in calls {
        out.push_str(&row(call));
    }
    out
}

fn row(call: &CallView) -> String {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let code = |code: Option<u16>| code.map(|code| code.to_string()).unwrap_or_default();
    let source = call.legs.first();
    let target = call.legs.iter().skip(1).rfind(|leg| leg.kind != "siprec");
    // A leg without received audio has no score, and the score of the other party does not apply to it.
    let is_unheard = |leg: &LegView| leg.kind == "sip" && leg.rtp.tx_packets > 0 && leg.rtp.rx_packets == 0;
    let is_one_way = call.answered_at.is_some() && [source, target].into_iter().flatten().any(is_unheard);
    let mos = call.legs.iter().filter_map(|leg| leg.rtp.mos).reduce(f64::min).filter(|_| !is_one_way);
    let fields = [
        call.sid.clone(),
        call.started_at.clone(),
        text(call.answered_at.as_deref()),
        text(call.ended_at.as_deref()),
        answered_seconds(call).map(|seconds| format!("{seconds:.3}")).unwrap_or_default(),
        plain(&call.from),
        plain(&call.to),
        plain(&call.route),
        plain(source.map_or("", party)),
        plain(target.map_or("", party)),
        call.state.to_owned(),
        text(call.outcome),
        text(call.reason),
        code(call.sip_code),
        code(target.and_then(|leg| leg.sip_code)),
        plain(source.map_or("", |leg| &leg.codec)),
        mos.map(|mos| format!("{mos:.2}")).unwrap_or_default(),
        call.flags.join(" "),
        ended_by_legs(source.and_then(|leg| leg.ended_by), target.and_then(|leg| leg.ended_by)).to_owned(),
    ];
    String::from_utf8_lossy(&line(&fields)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_is_no_formula() {
        for (text, written) in [
            ("+14155550100", "+14155550100"),
            ("+1415****100", "+1415****100"),
            ("carrier", "carrier"),
            ("a,b", "a,b"),
            ("=1+1", "'=1+1"),
            ("-1+1", "'-1+1"),
            ("+1+cmd|x", "'+1+cmd|x"),
            ("+1*2*3", "'+1*2*3"),
            ("+1**2", "'+1**2"),
            ("+1****2****3", "'+1****2****3"),
            ("@sum", "'@sum"),
            ("\t=1+1", "'\u{fffd}=1+1"),
            ("\r=1+1", "'\u{fffd}=1+1"),
            ("1;=1+1", "1;'=1+1"),
            ("", ""),
        ] {
            assert_eq!(plain(text), written);
        }
    }

    #[test]
    fn a_table_without_calls_has_its_columns() {
        assert_eq!(table(&[]), HEAD);
        assert_eq!(HEAD.trim_end().split(',').count(), 19);
    }
}
