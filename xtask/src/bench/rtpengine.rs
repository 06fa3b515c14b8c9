//! rtpengine for comparison: its daemon in user space with two threads, controlled by its own protocol (ng: a cookie
//! and a bencoded dictionary over UDP), as by Kamailio.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::dialer::sdp;
use super::generator::{Pair, Paths};
use super::process::{Device, on_device_core};
use super::speech::Codec;
use super::srtp::{self, Suite};
use crate::interop::raw::Text;

/// Address of the daemon's control socket.
const CONTROL: &str = "127.0.0.1:22222";

/// Running rtpengine daemon.
#[derive(Debug)]
pub(crate) struct Rtpengine {
    /// Process of the daemon.
    pub(crate) device: Device,
    control: UdpSocket,
}

impl Rtpengine {
    /// Starts the daemon and waits for its first response.
    pub(crate) fn start() -> anyhow::Result<Rtpengine> {
        Rtpengine::start_by(on_device_core("rtpengine"))
    }

    /// Starts the daemon by a command that runs `rtpengine` in another way.
    pub(crate) fn start_by(mut command: Command) -> anyhow::Result<Rtpengine> {
        let child = command
            .args(["--foreground", "--log-stderr", "--log-level=1", "--table=-1", "--interface=127.0.0.1"])
            .args(["--num-threads=2", "--port-min=30000", "--port-max=39999"])
            .arg(format!("--listen-ng={CONTROL}"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .context("starting rtpengine")?;
        let control = UdpSocket::bind("127.0.0.1:0")?;
        control.set_read_timeout(Some(Duration::from_millis(500)))?;
        let engine = Rtpengine { device: Device::new(child), control };
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if engine.ask("ping", "d7:command4:pinge").is_ok() {
                return Ok(engine);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("rtpengine does not answer")
    }

    /// Creates one session for each pair of sockets.
    pub(crate) fn dial(&self, pairs: &[Pair], suite: Option<Suite>) -> anyhow::Result<Vec<Paths>> {
        pairs.iter().enumerate().map(|(n, pair)| self.session(n, pair, suite)).collect()
    }

    fn session(&self, n: usize, pair: &Pair, suite: Option<Suite>) -> anyhow::Result<Paths> {
        let (call, near, far) = (format!("bench-{n}"), format!("near{n}"), format!("far{n}"));
        let body = sdp(pair.near.local_addr()?, pair.codecs.0, None, None);
        let mut offer = vec![
            ("ICE", string("remove")),
            ("call-id", string(&call)),
            ("command", string("offer")),
            ("from-tag", string(&near)),
            ("sdp", string(&body)),
        ];
        if suite.is_some() {
            offer.push(("DTLS", string("off")));
            offer.push(("transport-protocol", string("RTP/SAVP")));
        }
        if pair.codecs.0 != pair.codecs.1 {
            let only = |codec: Codec| format!("l{}e", string(codec.name()));
            let entries = vec![("mask", only(pair.codecs.0)), ("transcode", only(pair.codecs.1))];
            offer.push(("codec", encoded(entries)));
        }
        let offered = Text(self.ask(&format!("o{n}"), &encoded(offer))?);
        let keys = suite.map(|suite| srtp::answer(&offered, suite)).transpose()?;
        let number = pair.codecs.1.number_in(&offered)?;
        let crypto = keys.as_ref().map(|(line, _)| line.as_str());
        let body = sdp(pair.far.local_addr()?, pair.codecs.1, Some(number), crypto);
        let answer = vec![
            ("ICE", "remove"),
            ("call-id", call.as_str()),
            ("command", "answer"),
            ("from-tag", &near),
            ("to-tag", &far),
            ("sdp", &body),
        ];
        let answered = Text(self.ask(&format!("a{n}"), &dictionary(answer))?);
        let media = |text: &Text| -> anyhow::Result<SocketAddr> { text.media().context("no media in its answer") };
        let numbers = (pair.codecs.0.number_in(&answered)?, number);
        Ok(Paths { near: media(&answered)?, far: media(&offered)?, numbers, keys: keys.map(|(_, keys)| keys) })
    }

    /// Converts the codecs of an SDP to PCMU for `callee`, which answers in PCMU; returns the destination of the
    /// callee's RTP, and the answer to the SDP.
    pub(crate) fn transcode(
        &self,
        call: &str,
        offer: &str,
        callee: SocketAddr,
    ) -> anyhow::Result<(SocketAddr, String)> {
        let offer = vec![
            ("ICE", string("remove")),
            ("call-id", string(call)),
            ("codec", encoded(vec![("mask", "l3:alle".to_owned()), ("transcode", "l4:PCMUe".to_owned())])),
            ("command", string("offer")),
            ("from-tag", string("near")),
            ("sdp", string(offer)),
        ];
        let offered = Text(self.ask(&format!("o{call}"), &encoded(offer))?);
        let body = sdp(callee, Codec::Pcmu, None, None);
        let answer = vec![
            ("ICE", "remove"),
            ("call-id", call),
            ("command", "answer"),
            ("from-tag", "near"),
            ("to-tag", "far"),
            ("sdp", &body),
        ];
        let answered = self.ask(&format!("a{call}"), &dictionary(answer))?;
        let media = offered.media().context("no media in its answer")?;
        Ok((media, string_of(&answered, "sdp").context("no description in its answer")?))
    }

    /// Copies the packets of both sides of each session to one socket, which discards them.
    pub(crate) fn subscribe(&self, sessions: usize, listener: SocketAddr) -> anyhow::Result<()> {
        for n in 0..sessions {
            for side in ["near", "far"] {
                let (call, tag) = (format!("bench-{n}"), format!("{side}{n}"));
                let request = vec![
                    ("call-id", call.as_str()),
                    ("command", "subscribe request"),
                    ("from-tag", &tag),
                    ("transport-protocol", "RTP/AVP"),
                    ("DTLS", "off"),
                ];
                let offered = self.ask(&format!("s{side}{n}"), &dictionary(request))?;
                let to = string_of(&offered, "to-tag").context("no to-tag of the subscription")?;
                let body = sdp(listener, Codec::Pcmu, None, None).replace("a=rtpmap", "a=recvonly\r\na=rtpmap");
                let answer = vec![
                    ("call-id", call.as_str()),
                    ("command", "subscribe answer"),
                    ("to-tag", to.as_str()),
                    ("sdp", &body),
                ];
                self.ask(&format!("t{side}{n}"), &dictionary(answer))?;
            }
        }
        Ok(())
    }

    /// Sends a command to the daemon; returns the raw response, unless it is an error.
    fn ask(&self, cookie: &str, dictionary: &str) -> anyhow::Result<String> {
        self.control.send_to(format!("{cookie} {dictionary}").as_bytes(), CONTROL)?;
        let mut buffer = vec![0; 65_535];
        loop {
            let len = self.control.recv(&mut buffer)?;
            let text = String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned();
            let Some(answer) = text.strip_prefix(cookie) else { continue };
            return match string_of(answer, "result").as_deref() {
                Some("ok" | "pong") => Ok(answer.to_owned()),
                _ => bail!("rtpengine: {answer}"),
            };
        }
    }
}

/// Encodes a dictionary of strings.
fn dictionary(entries: Vec<(&str, &str)>) -> String {
    encoded(entries.into_iter().map(|(key, text)| (key, string(text))).collect())
}

/// Encodes a dictionary, sorted by key as bencode requires; the values are already encoded.
fn encoded(mut entries: Vec<(&str, String)>) -> String {
    entries.sort_by_key(|(key, _)| *key);
    let entry = |(key, value): (&str, String)| format!("{}{value}", string(key));
    format!("d{}e", entries.into_iter().map(entry).collect::<String>())
}

fn string(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// Returns the string that follows a key anywhere in the bencoded text.
fn string_of(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("{}:{key}", key.len()))?;
    let (len, rest) = rest.split_once(':')?;
    rest.get(..len.parse().ok()?).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bencode_is_sorted_and_read_back() {
        let text = dictionary(vec![("sdp", "v=0"), ("command", "offer")]);
        assert_eq!(text, "d7:command5:offer3:sdp3:v=0e");
        assert_eq!(string_of(&text, "sdp").as_deref(), Some("v=0"));
        assert_eq!(string_of(&text, "result"), None);
    }
}
