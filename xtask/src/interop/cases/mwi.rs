//! baresip registers as a phone and subscribes to its mailbox: the phone indicates a message until it is heard. An
//! extension of a PBX is notified without a subscription.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, numbered_tone};
use crate::interop::sipp::{CARRIER, PBX};

/// IP address of the phone.
const PHONE: &str = "127.0.0.10";
const PATIENCE: Duration = Duration::from_secs(15);
/// Maximum number of phones started until one subscribes only once.
const TRIES: usize = 10;
/// Length of the message in packets of 20 ms.
const PACKETS: u32 = 100;

/// Registers and subscribes a phone, leaves a message, and plays it.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the mailbox belongs to another trunk.
    let shown_by = if setting.sabotage { "pbx" } else { "desk" };
    let pbx = Phone::new(PBX, 0, "pbx")?;
    let edge = Edge::start(&configuration(shown_by, pbx.sip.local_addr()?.port()))?;
    // Retransmissions of the previous notification may come first.
    let told = |pbx: &Phone, summary: &str| -> anyhow::Result<()> {
        for _ in 0..20 {
            let (notify, from) = pbx.expect("NOTIFY sip:200@")?;
            pbx.reply(&notify, from, "200 OK", "")?;
            if notify.0.ends_with(&format!("Voice-Message: {summary}\r\n")) {
                return Ok(());
            }
        }
        bail!("the PBX is not notified of {summary}")
    };
    told(&pbx, "0/0 (0/0)")?;
    let all = |phone: &Baresip| format!("{}\n{}", edge.log_tail(), phone.log());
    let mut phone = subscriber(&edge)?;
    for _ in 0..TRIES {
        let shown = phone.wait_for("Voice-Message: 0/0 (0/0)", PATIENCE);
        std::thread::sleep(Duration::from_millis(100));
        if !is_flooding(&phone) {
            shown.with_context(|| all(&phone))?;
            break;
        }
        drop(phone);
        phone = subscriber(&edge)?;
    }
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let call = caller.call(edge.udp, "+14155550100")?;
    caller.talk(call.media, &numbered_tone(PACKETS))?;
    caller.bye(&call)?;
    phone.wait_for("Voice-Message: 1/0 (0/0)", PATIENCE).with_context(|| all(&phone))?;
    phone.wait_for("Messages-Waiting: yes", PATIENCE).with_context(|| all(&phone))?;
    told(&pbx, "1/0 (0/0)")?;
    edge.post("/v1/voicemail/front/heard", "")?;
    phone.wait_for("Voice-Message: 0/1 (0/0)", PATIENCE).with_context(|| all(&phone))?;
    told(&pbx, "0/1 (0/0)")?;
    if edge.metric("trunkgate_sip_subscriptions_active")? < 1.0 {
        bail!("no subscription is counted");
    }
    Ok("baresip and an extension: 0/0, 1/0, and 0/1 once it was heard".to_owned())
}

/// Starts a phone that registers and subscribes to its mailbox.
fn subscriber(edge: &Edge) -> anyhow::Result<Baresip> {
    Baresip::start(&Setup {
        ip: PHONE,
        port: 0,
        account: &format!(
            "<sip:desk@{}>;auth_user=desk;auth_pass=a-right-one;regint=60;mwi=yes;audio_codecs=PCMU",
            edge.udp
        ),
        says: wav(440),
        ca: None,
        dial: None,
        lasts: None,
    })
}

/// Returns whether the phone subscribes again every millisecond, as baresip 1.0.0 may if its registration takes less
/// than one.
fn is_flooding(phone: &Baresip) -> bool {
    phone.log().matches("mwi: subscribing").count() > 5
}

fn configuration(shown_by: &str, pbx: u16) -> String {
    format!(
        r#"
[recording]
directory = "recordings"
[trunk.desk]
options_interval = "0s"
accept_register = true
require_auth = {{ username = "desk", password = "a-right-one", algorithms = ["MD5"] }}
[trunk.carrier]
options_interval = "0s"
accept_from = ["{CARRIER}/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:{PBX}:{pbx}"]
[[route]]
from = ["carrier"]
connect = ["voicemail:front"]
[voicemail.front]
mwi = ["trunk:{shown_by}", "trunk:pbx/200"]
"#
    )
}
