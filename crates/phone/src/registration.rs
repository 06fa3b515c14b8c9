//! A phone's registration (RFC 3261 §10.2): asked for, refreshed and taken back as the script says.

use trunkgate_sip::{ClientId, Event, Flow, Local, Register};

use crate::cx::Cx;
use crate::script::PhoneConfig;

/// The binding of a phone at a registrar.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    call_id: Option<String>,
    cseq: u32,
    asking: Option<ClientId>,
    /// The last answer; 0: none came.
    code: Option<u16>,
}

impl Registration {
    /// Takes an event of the endpoint. Reports whether it concerns the registration.
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

impl Registration {
    /// Registers a user at `uri` for so many seconds, by this flow; 0 takes the registration back.
    pub(crate) fn register(&mut self, cx: &mut Cx<'_>, flow: Flow, uri: &str, (user, expires): (&str, u32)) {
        self.cseq += 1;
        let register = Register {
            flow,
            local: Local { ip: cx.config.sip.ip(), port: cx.config.sip.port() },
            party: PhoneConfig::PARTY,
            uri: uri.to_owned(),
            address: format!("sip:{user}@{}", uri.trim_start_matches("sip:")),
            contact_user: cx.config.name.clone(),
            contact_host: None,
            expires,
            call_id: self.call_id.clone(),
            cseq: self.cseq,
        };
        let id = cx.endpoint.register(cx.now, register);
        (self.asking, self.code) = (Some(id), None);
        let named = cx.endpoint.call_id(id).map(str::to_owned);
        self.call_id = self.call_id.take().or(named);
    }

    /// Returns the last answer to its REGISTER, 0 where there was none in time; `None` before it.
    pub(crate) fn code(&self) -> Option<u16> {
        self.code
    }
}
