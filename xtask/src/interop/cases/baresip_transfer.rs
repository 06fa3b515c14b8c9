//! baresip transfers its caller: the edge calls the target, the caller talks with the target, and baresip is notified
//! and leaves. If the transfer fails, baresip is notified of the reason.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, numbered_tone};
use crate::interop::sipp::{CARRIER, Callee, PBX};

/// IP address of the transfer target, which echoes the received audio.
const DESK: &str = "127.0.0.4";
const PATIENCE: Duration = Duration::from_secs(10);
/// Number of packets of 20 ms in a conversation.
const PACKETS: u32 = 50;

pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the trunk is not allowed to transfer.
    let refer = if setting.sabotage { "refuse" } else { "local" };
    let edge = Edge::start(&format!(
        r#"
[trunk.carrier]
options_interval = "0s"
accept_from = ["{CARRIER}/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:{PBX}:5060"]
hold = "local"
refer = "{refer}"
[trunk.desk]
options_interval = "0s"
peers = ["sip:{DESK}:5060"]
[[route]]
from = ["carrier"]
connect = ["trunk:pbx"]
[[route]]
from = ["pbx"]
to = ["+1212*"]
connect = ["trunk:desk"]
[[route]]
from = ["pbx"]
to = ["+1213*"]
connect = ["reject:486"]
"#
    ))?;
    let _desk = Callee::start(DESK, 5060)?;
    let phone = answering()?;
    let told = |phone: &Baresip| format!("{}\n{}", edge.log_tail(), phone.log());
    std::thread::sleep(Duration::from_secs(1));
    let called = || -> anyhow::Result<_> {
        let caller = Phone::new(CARRIER, 0, "caller")?;
        let call = caller.call(edge.udp, "+14155550100").with_context(|| told(&phone))?;
        caller.talk(call.media, &numbered_tone(PACKETS))?;
        Ok((caller, call))
    };
    let (caller, _call) = called()?;
    phone.command("transfer", &format!("sip:+12135550100@{}", edge.udp))?;
    phone.wait_for("transfer failed: 486", PATIENCE).with_context(|| told(&phone))?;
    // After the failed transfer, baresip hangs up.
    caller.expect_bye()?;
    let (caller, call) = called()?;
    phone.command("transfer", &format!("sip:+12125550100@{}", edge.udp))?;
    let left = |edge: &Edge| Ok(edge.get("/v1/calls")?.contains("\"transferred\""));
    edge.wait_until("the phone has left", PATIENCE, left).with_context(|| told(&phone))?;
    let tone = numbered_tone(PACKETS);
    // The sequence numbers differ from those before: the caller hears one stream since the first side answered.
    let heard = caller.talk(call.media, &tone)?;
    let back = heard.values().filter(|payload| tone.contains(payload)).count();
    if back < PACKETS as usize / 2 {
        bail!("only {back} packets came back from the target\n{}", told(&phone));
    }
    caller.bye(&call)?;
    edge.wait_until("both records are there", PATIENCE, |edge| Ok(edge.records()?.len() == 2))?;
    let records = edge.records()?;
    let reasons: Vec<_> = records.iter().map(|record| &record["legs"][1]["reason"]).collect();
    if reasons != ["callee_hung_up", "transferred"] {
        bail!("the phone's legs ended with {reasons:?}");
    }
    Ok(format!("one that fails with 486, then one that the target takes: {back} of {PACKETS} packets back from it"))
}

/// Starts the phone that transfers its caller.
fn answering() -> anyhow::Result<Baresip> {
    Baresip::start(&Setup {
        ip: PBX,
        port: 5060,
        account: &format!("<sip:+14155550100@{PBX};transport=udp>;regint=0;answermode=auto;audio_codecs=PCMU"),
        says: wav(440),
        ca: None,
        dial: None,
        lasts: None,
    })
}
