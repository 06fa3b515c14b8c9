//! Sample call and leg views.

use std::net::SocketAddr;

use trunkgate_call::view::RtpView;
use trunkgate_call::{CallView, LegView};

/// Returns the SID of call number `n`.
pub fn sid(n: u64) -> String {
    format!("CA0123456789abcdef{n:016x}")
}

/// Returns an ended leg of this kind (`sip` or `agent`); `name` is its trunk or agent.
pub fn leg(n: u64, kind: &'static str, name: &str) -> LegView {
    let is_agent = kind == "agent";
    LegView {
        sid: sid(n),
        kind,
        trunk: if is_agent { String::new() } else { name.to_owned() },
        agent: if is_agent { name.to_owned() } else { String::new() },
        direction: if n == 1 { "inbound" } else { "outbound" },
        transport: if is_agent { "wss" } else { "udp" },
        remote: (!is_agent).then(|| SocketAddr::from(([192, 0, 2, (n % 256) as u8], 5060))),
        sip_call_id: if is_agent { String::new() } else { format!("call-{n}") },
        codec: "PCMU".into(),
        state: "ended",
        reason: Some("caller_hung_up"),
        ended_by: Some("edge"),
        rtp: RtpView { rx_packets: 50, tx_packets: 60, mos: Some(4.4), ..RtpView::default() },
        ..LegView::default()
    }
}

/// Returns a new call without legs.
pub fn began(sid: &str) -> CallView {
    CallView {
        sid: sid.into(),
        state: "trying",
        route: "r".into(),
        from: "+1".into(),
        to: "+2".into(),
        started_at: "2026-01-01T00:00:00.000Z".into(),
        ..CallView::default()
    }
}
