//! Transfer of the caller by REFER (RFC 3515): the caller's side calls the address itself and reports the progress by
//! NOTIFY.

use std::fmt::Write as _;
use std::time::Duration;

use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::RequestPurpose;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_sip::{ClientId, ResponseSpec, ServerId};
use trunkgate_story::view::is_busy_or_declined;
use trunkgate_twiml::{ProgramInput, ReferResult, SipHeader, SipUri};

use crate::call::program::dial::DialledParties;
use crate::call::shared::CallCx;
use crate::call::words::refer_report::ReferReport;

/// Maximum wait for the last NOTIFY.
const NEWS: Duration = Duration::from_secs(60);

/// Transfer of a program's caller by REFER, one at a time.
#[derive(Debug, Default)]
pub(crate) struct CallerReferral {
    pending: Option<OutboundRefer>,
}

/// A REFER that the program has sent to its caller.
#[derive(Debug)]
struct OutboundRefer {
    /// Id of the program's step.
    id: u32,
    client: ClientId,
    /// Status code of the response to the REFER.
    answered: Option<u16>,
    /// Status code in the last NOTIFY.
    reported: Option<u16>,
    /// Whether the final NOTIFY has arrived.
    is_over: bool,
}

impl OutboundRefer {
    fn result(&self) -> ReferResult {
        let is_accepted = self.answered.is_none_or(|code| code < 300);
        let reported = self.reported.filter(|_| is_accepted);
        let status = reported.map(|code| match code {
            180..=199 => "ringing",
            0..200 => "initiated",
            200..300 => "in-progress",
            code if is_busy_or_declined(code) => "busy",
            408 | 480 | 487 => "no-answer",
            _ => "failed",
        });
        ReferResult { status, refer: self.answered, notify: reported }
    }
}

impl CallerReferral {
    /// Returns whether a REFER is pending.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Returns whether a request is the pending REFER.
    pub(crate) fn is_sent_by(&self, client: ClientId) -> bool {
        self.pending.as_ref().is_some_and(|referral| referral.client == client)
    }

    /// Sends the caller a REFER to an address that its application may dial. Returns the input for the program if that
    /// fails.
    pub(crate) fn send(
        &mut self,
        cx: &mut CallCx<'_>,
        parties: &DialledParties<'_>,
        id: u32,
        (uri, headers): (String, &[SipHeader]),
    ) -> Option<ProgramInput> {
        let wanted = SipUri { uri, headers: Vec::new(), priority: 0, weight: 0 };
        let target = parties.sip_address(cx, &wanted, &[]);
        let near = cx.call.legs.near;
        let sent = target.and_then(|_| {
            let dialog = cx.call.legs[near].sip.dialog.ok_or("the caller has no dialog")?;
            let to = extra("Refer-To", refer_to(&wanted.uri, headers));
            let client =
                cx.edge.request(cx.now, cx.call.legs.place(near), dialog, RequestPurpose::Refer, vec![to], None);
            client.ok_or_else(|| "no REFER can be sent now".to_owned())
        });
        match sent {
            Ok(client) => {
                cx.arm(CallTimer::Program, NEWS);
                self.pending = Some(OutboundRefer { id, client, answered: None, reported: None, is_over: false });
                None
            }
            Err(why) => {
                cx.edge.decide(cx.now, cx.call.key, format!("Refer: {why}"));
                let result = ReferResult { status: None, refer: None, notify: None };
                Some(ProgramInput::ReferEnded { id, result })
            }
        }
    }

    /// Handles the final response to the REFER, 408 if there was none. Returns the input for the program once the
    /// transfer is over.
    pub(crate) fn answered(&mut self, cx: &mut CallCx<'_>, code: u16) -> Option<ProgramInput> {
        let referral = self.pending.as_mut()?;
        referral.answered = Some(code);
        if code >= 300 || referral.is_over { self.over(cx) } else { None }
    }

    /// Handles a NOTIFY of the caller's side about the new call. Returns the input for the program once the transfer is
    /// over.
    pub(crate) fn reported(
        &mut self,
        cx: &mut CallCx<'_>,
        server: ServerId,
        report: &ReferReport,
    ) -> Option<ProgramInput> {
        cx.edge.respond(cx.now, server, ResponseSpec { code: 200, ..ResponseSpec::default() });
        let referral = self.pending.as_mut()?;
        referral.reported = report.code.or(referral.reported);
        referral.is_over |= report.state == "terminated" || report.code.is_some_and(|code| code >= 200);
        // A NOTIFY may overtake the response to the REFER (RFC 3515 §2.4.4).
        if referral.is_over && referral.answered.is_some() { self.over(cx) } else { None }
    }

    /// Ends the transfer, whether it is complete or not. Returns the input for the program. `None` if no transfer is in
    /// progress.
    pub(crate) fn over(&mut self, cx: &mut CallCx<'_>) -> Option<ProgramInput> {
        let referral = self.pending.take()?;
        cx.disarm(CallTimer::Program);
        if referral.answered.is_none() {
            cx.edge.index_mut().clients.remove(&referral.client);
        }
        Some(ProgramInput::ReferEnded { id: referral.id, result: referral.result() })
    }

    /// Ends a transfer after its caller has gone. Returns the input for the program: the progress of the transfer so
    /// far. `None` if no transfer is in progress.
    pub(crate) fn abandoned(&mut self, cx: &mut CallCx<'_>) -> Option<ProgramInput> {
        let referral = self.pending.take()?;
        cx.edge.index_mut().clients.remove(&referral.client);
        Some(ProgramInput::ReferEnded { id: referral.id, result: referral.result() })
    }
}

/// Returns the value of the Refer-To header.
fn refer_to(uri: &str, headers: &[SipHeader]) -> String {
    let mut value = format!("<{uri}");
    for (at, header) in headers.iter().enumerate() {
        value.push(if at == 0 { '?' } else { '&' });
        value.push_str(&header.name);
        value.push('=');
        for byte in header.value.bytes() {
            // RFC 3261 §25.1: unreserved characters are not escaped.
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
