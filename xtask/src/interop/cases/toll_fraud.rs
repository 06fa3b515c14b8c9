//! Agent that its caller controls: the agent requests transfers to expensive numbers by names and spellings that rules
//! might miss, and to ports of the edge's own machine.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_tungstenite::tungstenite::Message;

use crate::interop::Setting;
use crate::interop::bots::{Bot, Manner};
use crate::interop::edge::{Edge, binary};
use crate::interop::names;
use crate::interop::raw::Phone;
use crate::interop::sipp::{CARRIER, PBX};

/// Host names of the trunk, and of the edge's own machine.
const NAMES: [(&str, Ipv4Addr); 2] =
    [("carrier.test", Ipv4Addr::new(127, 0, 0, 3)), ("inside.test", Ipv4Addr::LOCALHOST)];

/// Target of a transfer, whether the caller stays with the agent, and text expected in the trace.
struct Row {
    target: String,
    stays: bool,
    says: &'static str,
}

fn rows(port: u16) -> Vec<Row> {
    let row = |target: String, stays, says| Row { target, stays, says };
    let (denied, many) = ("does not allow calls to +18095550123", "-".repeat(60));
    vec![
        row("sip:+18095550123@carrier.test".into(), false, denied),
        row("sip:+18095550123@Carrier.test.".into(), false, denied),
        row("sip:+18095550123@127.0.0.3".into(), false, denied),
        row("sip:+18095550123@[::ffff:127.0.0.3]".into(), false, denied),
        row(format!("sip:+1{many}8095550123@carrier.test"), false, denied),
        row(format!("trunk:pbx/+1{many}8095550123"), false, denied),
        row("trunk:pbx/9011-1-809-555-0123".into(), false, denied),
        row("trunk:pbx/10102880111809.555.0123".into(), false, denied),
        row(format!("sip:x@127.0.0.1:{port};transport=tcp"), true, "refused"),
        row(format!("sip:x@[::ffff:127.0.0.1]:{port};transport=tcp"), true, "refused"),
        row(format!("sip:x@0.0.0.0:{port};transport=tcp"), true, "refused"),
        row(format!("sip:x@2130706433:{port};transport=tcp"), true, "malformed target"),
        row(format!("sip:x@inside.test:{port};transport=tcp"), false, "an address that transfers may not reach"),
    ]
}

/// Makes one call for each row, then one with a permitted transfer.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let names = names::serve(&NAMES)?;
    // The listener stands for any service on the edge's machine.
    let inner = TcpListener::bind("127.0.0.1:0")?;
    inner.set_nonblocking(true)?;
    let mut rows = rows(inner.local_addr()?.port());
    rows.push(Row {
        target: "sip:+14155550123@carrier.test".into(),
        stays: false,
        says: "the rules of that trunk apply",
    });
    let mut parts = Vec::new();
    let mut bots = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let text = format!(r#"{{"event":"transfer","target":"{}"}}"#, row.target);
        let bot = Bot::start(Manner::Say(vec![Message::text(text)]))?;
        parts.push(format!(
            "[agent.bot{at}]\nurl = \"{}\"\ntransfer_to = [\"*\"]\n[[route]]\nfrom = [\"carrier\"]\nto = [\"{}\"]\n\
             connect = [\"agent:bot{at}\"]\n",
            bot.url(),
            number(at)
        ));
        bots.push(bot);
    }
    // Broken: the trunk accepts every number.
    let deny = if setting.sabotage { "" } else { "deny = [\"+1809*\"]\n" };
    let trunks = format!(
        "[trunk.carrier]\naccept_from = [\"{CARRIER}/32\"]\n[trunk.pbx]\noptions_interval = \"0s\"\n\
         peers = [\"sip:{PBX}:5060\"]\n{deny}"
    );
    let mut command = Command::new(binary());
    command.env("TRUNKGATE_DNS", names.to_string());
    let mut edge = Edge::start_by(command, &format!("{trunks}{}", parts.concat()))?;
    let (caller, pbx) = (Phone::new(CARRIER, 0, "caller")?, Phone::new(PBX, 5060, "pbx")?);
    for (at, row) in rows.iter().enumerate() {
        let call = caller.call(edge.udp, &number(at))?;
        if at + 1 == rows.len() {
            // The permitted call must reach the PBX.
            let (invite, _) = pbx.receive(Duration::from_secs(5))?.context("an allowed number does not arrive")?;
            if !invite.first().starts_with("INVITE sip:+14155550123@carrier.test") {
                bail!("{} instead of the allowed call", invite.first());
            }
            continue;
        }
        edge.wait_until(row.says, Duration::from_secs(10), |edge| Ok(newest_trace(edge)?.contains(row.says)))
            .with_context(|| format!("{}\n{}", row.target, newest_trace(&edge).unwrap_or_default()))?;
        if row.stays {
            caller.bye(&call)?
        } else {
            caller.expect_bye()?
        }
        if let Some((message, _)) = pbx.receive(Duration::from_millis(300))? {
            bail!("{}: {} went to the trunk", row.target, message.first());
        }
        if inner.accept().is_ok() {
            bail!("{}: a connection to a port of the edge's own machine", row.target);
        }
    }
    edge.assert_alive()?;
    Ok(format!(
        "{} ways to a dear number or into the machine: none leads there, an allowed one arrives",
        rows.len() - 1
    ))
}

/// Returns the called number of the agent in a row.
fn number(at: usize) -> String {
    format!("+14155550{:03}", 300 + at)
}

/// Returns the ladder diagram of the newest call.
fn newest_trace(edge: &Edge) -> anyhow::Result<String> {
    let calls: serde_json::Value = serde_json::from_str(&edge.get("/v1/calls?limit=1")?)?;
    let sid = calls["calls"][0]["sid"].as_str().context("no call")?;
    edge.get(&format!("/v1/calls/{sid}/trace.txt"))
}
