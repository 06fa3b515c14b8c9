//! Calls that last while the edge is replaced: SIPp with audio until it is asked to end, a baresip phone that it calls,
//! and the tones that parties hear meanwhile.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::baresip::{Baresip, Setup};
use super::edge::Edge;
use super::rtp::{self, SAMPLE_RATE};
use super::sipp::{self, Calls, DESK, UAC_RTP};
use super::sniffer::{Packet, Sniffer};
use super::sound;

/// Number of the phone.
pub(crate) const PHONE_NUMBER: &str = "+14155550101";
/// Tones in Hz of SIPp and of the phone, neither a harmonic of the other.
pub(crate) const SIPP_HZ: u32 = 440;
pub(crate) const PHONE_HZ: u32 = 660;
/// Trunks of SIPp and of the phone.
pub(crate) const TRUNKS: &str = r#"
[trunk.callers]
accept_from = ["127.0.4.0/24"]
[trunk.desk]
options_interval = "0s"
peers = ["sip:127.0.0.4:5060"]
media_from = ["127.0.0.1/32"]
srtp = "required"
"#;
/// Maximum wait for each step.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Length in ms of a tone without a pause that counts as heard.
const HEARD_MS: u32 = 2_000;
/// Length of the phone's tone in seconds, above that of a case.
const TONE_SECONDS: u32 = 600;
/// Limit of a call in SIPp, which waits for twice this time.
const LONGEST: Duration = Duration::from_secs(120);
/// SIP port of SIPp at each address.
const PORT: u16 = 5_070;

/// Call of SIPp with audio, ended on drop.
#[derive(Debug)]
pub(crate) struct LastingCall {
    sipp: sipp::Caller,
    address: &'static str,
}

impl LastingCall {
    /// Calls a number from an address that no other call has; SIPp sends its tone, or `says` repeatedly.
    pub(crate) fn start(
        edge: SocketAddr,
        address: &'static str,
        number: &'static str,
        says: Option<Vec<u8>>,
    ) -> anyhow::Result<LastingCall> {
        let calls = Calls {
            rtp: true,
            says,
            scenario: Some(scenario()?.into()),
            address,
            port: PORT,
            number,
            ..Calls::new(1, 1, LONGEST)
        };
        Ok(LastingCall { sipp: calls.start(edge)?, address })
    }

    /// Returns the packets that SIPp has received since a time.
    pub(crate) fn packets(&self, sniffer: &Sniffer, since: Instant) -> anyhow::Result<Vec<Packet>> {
        let packets = sniffer.heard(self.address.parse::<Ipv4Addr>()?);
        Ok(packets.into_iter().filter(|packet| packet.at >= since).collect())
    }

    /// Waits until SIPp has heard a tone since a time.
    pub(crate) fn hears(&self, sniffer: &Sniffer, hz: u32, since: Instant) -> anyhow::Result<()> {
        hears(self.address, hz, || {
            let packets = self.packets(sniffer, since)?;
            Ok(packets.into_iter().flat_map(|packet| packet.samples).collect())
        })
    }

    /// Fails if the call has ended: SIPp ends at the first message that its scenario does not expect.
    pub(crate) fn goes_on(&mut self) -> anyhow::Result<()> {
        self.sipp.assert_running().with_context(|| self.address)
    }

    /// Asks SIPp to renew the session by a re-INVITE and to hang up, and checks that both are answered.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        // SIPp takes each message with the Call-ID of its call for one of the call.
        let call_id = format!("1-{}@{}", self.sipp.pid(), self.address);
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let (here, there) = (socket.local_addr()?, format!("{}:{PORT}", self.address));
        let message = format!(
            "MESSAGE sip:sipp@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKend\r\nFrom: <sip:case@{here}>;tag=end\r\n\
             To: <sip:sipp@{there}>\r\nCall-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(message.as_bytes(), there)?;
        let counted = self.sipp.wait()?;
        ensure!(counted.successful == 1 && counted.failed == 0, "the call of {} has failed", self.address);
        Ok(())
    }
}

/// Returns the scenario of SIPp's callers, in which a MESSAGE, a re-INVITE and its ACK replace the pause.
fn scenario() -> anyhow::Result<String> {
    let (before, after) = UAC_RTP.split_once("<pause/>").context("the scenario has no pause")?;
    let (_, invite) = before.split_once("<send retrans=\"500\">").context("the scenario has no INVITE")?;
    let (invite, _) = invite.split_once("<nop>").context("the scenario has no audio")?;
    let again = invite.replace("[remote_port]>\n", "[remote_port]>[peer_tag_param]\n").replace("CSeq: 1 ", "CSeq: 2 ");
    let after = after.replace("CSeq: 2 BYE", "CSeq: 3 BYE");
    Ok(format!("{before}<recv request=\"MESSAGE\"/>\n<send retrans=\"500\">{again}{after}"))
}

/// Starts the phone, which answers with SRTP.
pub(crate) fn phone() -> anyhow::Result<Baresip> {
    let phone = Baresip::start(&Setup {
        ip: DESK,
        port: 5060,
        account: &format!("<sip:{PHONE_NUMBER}@{DESK}>;regint=0;answermode=auto;audio_codecs=PCMU;mediaenc=srtp-mand"),
        says: tone(PHONE_HZ),
        ca: None,
        dial: None,
        lasts: None,
    })?;
    phone.wait_for("baresip is ready", PATIENCE)?;
    Ok(phone)
}

/// Returns a tone as a WAV file that lasts longer than a case.
pub(crate) fn tone(hz: u32) -> Vec<u8> {
    sound::wav(SAMPLE_RATE, 1, TONE_SECONDS, |t| sound::tone(hz, t))
}

/// Waits until a baresip phone has heard a tone since this number of samples.
pub(crate) fn phone_hears(phone: &Baresip, hz: u32, since: usize) -> anyhow::Result<()> {
    hears("baresip", hz, || Ok(phone.heard()?.split_off(since)))
}

/// Waits until a tone is heard without a pause; `heard` returns the samples so far.
fn hears(who: &str, hz: u32, heard: impl Fn() -> anyhow::Result<Vec<f64>>) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        // A party without audio has no recording yet.
        let samples = heard();
        let tones = rtp::tones(samples.as_deref().unwrap_or_default(), &[hz]);
        if tones.iter().any(|(_, length_ms)| *length_ms >= HEARD_MS) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("{who} does not hear {hz} Hz within {PATIENCE:?}, but {tones:?} in {} samples", samples?.len());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until the call with this number in the list of the edge has a state.
pub(crate) fn call_is(edge: &Edge, number: &str, state: &str) -> anyhow::Result<()> {
    edge.wait_until(&format!("the call of {number} is {state}"), PATIENCE, |edge| {
        let calls: Value = serde_json::from_str(&edge.get("/v1/calls")?)?;
        let is_it = |call: &Value| call.to_string().contains(number) && call["state"] == state;
        Ok(calls["calls"].as_array().is_some_and(|calls| calls.iter().any(is_it)))
    })?;
    Ok(())
}

/// Waits for the records of these called numbers, and checks that each call has exactly one and was answered.
pub(crate) fn has_one_record_each(edge: &Edge, numbers: &[&str]) -> anyhow::Result<()> {
    edge.wait_until("the calls have their records", PATIENCE, |edge| Ok(edge.records()?.len() >= numbers.len()))?;
    edge.no_dialog_is_left()?;
    let records = edge.records()?;
    for number in numbers {
        let own = records.iter().filter(|record| record["to"] == *number && record["outcome"] == "answered").count();
        ensure!(own == 1, "{own} records of an answered call to {number}: {records:?}");
    }
    ensure!(records.len() == numbers.len(), "{} records of {} calls", records.len(), numbers.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_renews_its_session_before_its_end() {
        let scenario = scenario().unwrap();
        let steps: Vec<&str> = scenario.lines().map(str::trim).filter(|line| line.starts_with("CSeq: ")).collect();
        assert_eq!(steps, ["CSeq: 1 INVITE", "CSeq: 1 ACK", "CSeq: 2 INVITE", "CSeq: 2 ACK", "CSeq: 3 BYE"]);
        assert_eq!(scenario.matches("[peer_tag_param]").count(), 4);
    }
}
