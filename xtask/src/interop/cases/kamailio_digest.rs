//! Digest authentication with independent programs: Kamailio challenges the edge, and the edge challenges SIPp.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::kamailio::Kamailio;
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::Phone;
use crate::interop::sipp::{CARRIER, Callee, Calls, PBX};

const CONFIGURATION: &str = include_str!("../scenarios/kamailio_digest.cfg");
/// SIPp scenario of a caller that responds to a challenge.
const UAC_AUTH: &str = include_str!("../scenarios/uac_auth.xml");
/// Lifetime of a nonce at Kamailio, plus a little more.
const STALE: Duration = Duration::from_millis(4_200);

/// Tests the edge's credentials at Kamailio, then the edge's challenge to SIPp.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let shown = shows(setting).context("where Kamailio asks")?;
    let asked = asks(setting).context("where the edge asks")?;
    Ok(format!("{shown}; {asked}"))
}

/// Tests the edge at two carriers: one challenges by 407 with MD5, the other by 401 with SHA-256; both mark a stale
/// nonce.
fn shows(setting: &Setting) -> anyhow::Result<String> {
    let carrier = |port: u16, algorithm: &str, challenge: &str| {
        let text = CONFIGURATION.replace("PORT", &port.to_string()).replace("ALGORITHM", algorithm);
        Kamailio::start(&text.replace("CHALLENGE", challenge).replace("PASSWORD", "a-right-one"))
    };
    // Broken: the edge has wrong passwords.
    let right = if setting.sabotage { "another-one" } else { "a-right-one" };
    let trunk = |name: &str, port: u16, password: &str| {
        format!(
            "[trunk.{name}]\noptions_interval = \"0s\"\npeers = [\"sip:127.0.0.5:{port}\"]\nmedia_from = [\"{PBX}/32\"]\n\
             auth = {{ username = \"acme\", password = \"{password}\" }}\n\
             [[route]]\nfrom = [\"carrier\"]\nto = [\"{name}\"]\nconnect = [\"trunk:{name}\"]\n"
        )
    };
    let mut edge = Edge::start(&format!(
        "[trunk.carrier]\noptions_interval = \"0s\"\naccept_from = [\"{CARRIER}/32\"]\n{}{}{}",
        trunk("md5", 5080, right),
        trunk("sha", 5082, right),
        trunk("wrong", 5080, "a-wrong-one"),
    ))?;
    let (md5, sha) = (carrier(5080, "MD5", "proxy")?, carrier(5082, "SHA-256", "www")?);
    let callee = Callee::start(PBX, 5060)?;
    let challenged = |edge: &Edge, name: &str, code: u16| {
        let label = format!("trunk=\"{name}\",method=\"INVITE\",code=\"{code}\",direction=\"in\"");
        edge.labelled("trunkgate_sip_responses_total", &label)
    };
    let mut figures = Vec::new();
    let number = setting.calls(40, 10);
    let rounds = [("md5", 407, number), ("sha", 401, number), ("md5", 407, 3), ("sha", 401, 3)];
    for (round, (name, code, count)) in rounds.into_iter().enumerate() {
        if round == 2 {
            // By now, both nonces are stale.
            std::thread::sleep(STALE);
        }
        let before = challenged(&edge, name, code)?;
        let calls = Calls { number: name, ..Calls::new(count, 10, Duration::from_millis(500)) };
        let counted = calls.run(edge.udp)?;
        edge.assert_alive()?;
        if counted.failed > 0 || counted.successful != u64::from(count) {
            let logs = format!("{}\n{}\n{}", edge.log_tail(), md5.log(), sha.log());
            bail!("{} of {count} calls to {name} failed\n{logs}", counted.failed);
        }
        let times = challenged(&edge, name, code)? - before;
        // A nonce is reused during its lifetime, after which there is another challenge.
        if times < 1.0 || times > f64::from(count) {
            bail!("{times} challenges in {count} calls to {name}");
        }
        figures.push(format!("{count} calls to {name} with {times} times {code}"));
    }
    drop(callee);
    let refused = Phone::new(CARRIER, 0, "caller")?.call(edge.udp, "wrong").err().context("a wrong password passed")?;
    if !refused.to_string().contains("SIP/2.0 500") {
        bail!("with a wrong password: {refused:#}");
    }
    Ok(format!("{}; a wrong password is a failed target", figures.join(", ")))
}

/// Has the edge challenge SIPp, which gives up on any algorithm but MD5.
fn asks(setting: &Setting) -> anyhow::Result<String> {
    let edge = Edge::start(
        r#"
[trunk.caller]
options_interval = "0s"
accept_from = ["127.0.0.2/32"]
require_auth = { username = "pbx", password = "a-right-one", algorithms = ["MD5"] }
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
[[route]]
from = ["caller"]
connect = ["trunk:pbx"]
"#,
    )?;
    let _callee = Callee::start(PBX, 5060)?;
    let calls = |password: &'static str, count: u32| Calls {
        scenario: Some(UAC_AUTH.into()),
        credentials: Some(("pbx", password)),
        ..Calls::new(count, 10, Duration::from_millis(500))
    };
    let count = setting.calls(40, 10);
    let counted = calls("a-right-one", count).run(edge.udp)?;
    if counted.failed > 0 || counted.successful != u64::from(count) {
        bail!("{} of {count} calls of SIPp failed\n{}", counted.failed, edge.log_tail());
    }
    let wrong = calls("a-wrong-one", 2).run(edge.udp)?;
    if wrong.successful > 0 {
        bail!("{} calls with a wrong password", wrong.successful);
    }
    Ok(format!("{count} calls of SIPp that was asked, none with a wrong password"))
}
