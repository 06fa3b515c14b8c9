//! Transfer of the caller by REFER (RFC 3515): the caller's side calls the address itself and reports the progress by NOTIFY.

use std::fmt::Write as _;
use std::time::Duration;

use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::sip::extra;
use trunkgate_sip::{Answer, ClientId, ServerId};
use trunkgate_twiml::{Header, Input, ReferResult, SipUri};

use crate::call::program::{Dialler, Referrer, Runner};
use crate::call::shared::Cx;
use crate::call::transfer::refer_on::Told;

/// Longest wait for the last NOTIFY.
const NEWS: Duration = Duration::from_secs(60);

/// A REFER that the program has sent to its caller.
#[derive(Debug)]
pub(crate) struct Referral {
    /// Id of the step.
    id: u32,
    client: ClientId,
    /// Code of the answer to the REFER.
    answered: Option<u16>,
    /// Code of the last NOTIFY.
    reported: Option<u16>,
    /// Whether that was the last one.
    is_over: bool,
}

impl Referral {
    fn result(&self) -> ReferResult {
        let is_accepted = self.answered.is_none_or(|code| code < 300);
        let reported = self.reported.filter(|_| is_accepted);
        let status = reported.map(|code| match code {
            180..=199 => "ringing",
            0..200 => "initiated",
            200..300 => "in-progress",
            486 | 600 => "busy",
            408 | 480 | 487 => "no-answer",
            _ => "failed",
        });
        ReferResult { status, refer: self.answered, notify: reported }
    }
}

impl Referrer<'_> {
    /// Sends the caller to another address.
    pub(crate) fn refer(&mut self, cx: &mut Cx<'_>, id: u32, uri: String, headers: &[Header]) {
        let wanted = SipUri { uri, headers: Vec::new(), priority: 0, weight: 0 };
        let target = Dialler::of(self.parts).sip_address(cx, &wanted, &[]);
        let near = cx.call.legs.near;
        let sent = target.and_then(|_| {
            let dialog = cx.call.legs[near].sip.dialog.ok_or("the caller has no dialog")?;
            let to = extra("Refer-To", refer_to(&wanted.uri, headers));
            let client = cx.edge.request(cx.now, cx.call.legs.place(near), dialog, Purpose::Refer, vec![to], None);
            client.ok_or_else(|| "no REFER can be sent now".to_owned())
        });
        match sent {
            Ok(client) => {
                cx.arm(Timer::Program, NEWS);
                if let Some(run) = &mut self.parts.program.run {
                    run.referral = Some(Referral { id, client, answered: None, reported: None, is_over: false });
                }
            }
            Err(why) => {
                cx.edge.decide(cx.now, cx.call.key, format!("Refer: {why}"));
                let result = ReferResult { status: None, refer: None, notify: None };
                Runner::of(self.parts).tell_program(cx, Input::ReferEnded { id, result });
            }
        }
    }

    /// The REFER has its final answer; 408 where none came.
    pub(crate) fn refer_answered(&mut self, cx: &mut Cx<'_>, code: u16) {
        let Some(referral) = self.parts.program.run.as_mut().and_then(|run| run.referral.as_mut()) else { return };
        referral.answered = Some(code);
        if code >= 300 || referral.is_over {
            self.refer_over(cx);
        }
    }

    /// The caller's side reports how far the new call is.
    pub(crate) fn refer_told(&mut self, cx: &mut Cx<'_>, server: ServerId, told: &Told) {
        cx.edge.respond(cx.now, server, Answer { code: 200, ..Answer::default() });
        let Some(referral) = self.parts.program.run.as_mut().and_then(|run| run.referral.as_mut()) else { return };
        referral.reported = told.code.or(referral.reported);
        referral.is_over |= told.state == "terminated" || told.code.is_some_and(|code| code >= 200);
        // A NOTIFY may overtake the answer to the REFER (RFC 3515 §2.4.4).
        if referral.is_over && referral.answered.is_some() {
            self.refer_over(cx);
        }
    }

    /// Nothing more is waited for.
    pub(crate) fn refer_over(&mut self, cx: &mut Cx<'_>) {
        let Some(referral) = self.parts.program.run.as_mut().and_then(|run| run.referral.take()) else { return };
        cx.disarm(Timer::Program);
        if referral.answered.is_none() {
            cx.edge.index.clients.remove(&referral.client);
        }
        Runner::of(self.parts).tell_program(cx, Input::ReferEnded { id: referral.id, result: referral.result() });
    }

    /// The caller is gone: the program hears how far its transfer has come.
    pub(crate) fn refer_abandoned(&mut self, cx: &mut Cx<'_>) -> Option<Input> {
        let referral = self.parts.program.run.as_mut()?.referral.take()?;
        cx.edge.index.clients.remove(&referral.client);
        Some(Input::ReferEnded { id: referral.id, result: referral.result() })
    }

    /// Whether a request is the REFER that the program waits for.
    pub(crate) fn refers_by(&self, client: ClientId) -> bool {
        let referral = self.parts.program.run.as_ref().and_then(|run| run.referral.as_ref());
        referral.is_some_and(|referral| referral.client == client)
    }
}

/// Returns the value of Refer-To.
fn refer_to(uri: &str, headers: &[Header]) -> String {
    let mut value = format!("<{uri}");
    for (at, header) in headers.iter().enumerate() {
        value.push(if at == 0 { '?' } else { '&' });
        value.push_str(&header.name);
        value.push('=');
        for byte in header.value.bytes() {
            // RFC 3261 §25.1: unreserved characters stand for themselves.
            if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
                value.push(char::from(byte));
            } else {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value.push('>');
    value
}
