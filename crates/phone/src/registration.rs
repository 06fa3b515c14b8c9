//! A phone's registration (RFC 3261 §10.2): asked for, refreshed and taken back when it is told to.

use std::time::Instant;

use trunkgate_sip::{ClientId, Event, Flow, Register};

use crate::phone::Phone;
use crate::script::PhoneConfig;

/// Where a phone can be called, as it has told a registrar.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    call_id: Option<String>,
    cseq: u32,
    asking: Option<ClientId>,
    /// The last answer; 0: none came.
    code: Option<u16>,
}

impl Registration {
    /// Takes what is its own of the endpoint's news. Whether it was.
    pub(crate) fn heard(&mut self, event: &Event) -> bool {
        let asked = |id: &ClientId| self.asking == Some(*id);
        if let Event::Challenged { id, .. } = event
            && asked(id)
        {
            self.cseq += 1;
            return true;
        }
        let answered = if let Event::Response { id, code, .. } = event
            && *code >= 200
        {
            Some((id, *code))
        } else if let Event::TimedOut { id } | Event::TransportFailed { id } = event {
            Some((id, 0))
        } else {
            None
        };
        let Some((_, code)) = answered.filter(|(id, _)| asked(id)) else { return false };
        (self.asking, self.code) = (None, Some(code));
        true
    }
}

impl Phone {
    /// Registers at `uri` as `user` for so many seconds, by this flow; 0 takes the registration back.
    pub fn register(&mut self, now: Instant, flow: Flow, uri: &str, user: &str, expires: u32) {
        self.registration.cseq += 1;
        let register = Register {
            flow,
            local: self.local(),
            party: PhoneConfig::PARTY,
            uri: uri.to_owned(),
            address: format!("sip:{user}@{}", uri.trim_start_matches("sip:")),
            contact_user: self.config.name.clone(),
            expires,
            call_id: self.registration.call_id.clone(),
            cseq: self.registration.cseq,
        };
        let id = self.endpoint.register(now, register);
        self.registration.asking = Some(id);
        self.registration.code = None;
        let named = self.endpoint.call_id(id).map(str::to_owned);
        self.registration.call_id = self.registration.call_id.take().or(named);
        self.drain(now);
    }

    /// The last answer to its REGISTER, 0 where there was none in time; `None` before it.
    pub fn registered(&self) -> Option<u16> {
        self.registration.code
    }
}
