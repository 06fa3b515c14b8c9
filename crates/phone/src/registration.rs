//! Registration of a phone (RFC 3261 §10.2), refreshed and removed as scripted.

use trunkgate_sip::{ClientId, EndpointEvent, Flow, LocalAddress, RegisterRequest};

use crate::cx::PhoneCx;
use crate::script::PhoneConfig;

/// Binding of a phone at a registrar.
#[derive(Debug, Default)]
pub(crate) struct RegistrarBinding {
    call_id: Option<String>,
    cseq: u32,
    asking: Option<ClientId>,
    /// Status code of the last response, 0 if none arrived in time; `None` before the end of the first REGISTER.
    code: Option<u16>,
}

impl RegistrarBinding {
    /// Handles an endpoint event. Returns whether it belongs to the registration.
    pub(crate) fn handle_endpoint_event(&mut self, event: &EndpointEvent) -> bool {
        let asked = |id: &ClientId| self.asking == Some(*id);
        if let EndpointEvent::Challenged { id, .. } = event
            && asked(id)
        {
            self.cseq += 1;
            return true;
        }
        let answered = if let EndpointEvent::Response { id, code, .. } = event
            && *code >= 200
        {
            Some((id, *code))
        } else if let EndpointEvent::TimedOut { id } | EndpointEvent::TransportFailed { id } = event {
            Some((id, 0))
        } else {
            None
        };
        let Some((_, code)) = answered.filter(|(id, _)| asked(id)) else { return false };
        (self.asking, self.code) = (None, Some(code));
        true
    }
}

impl RegistrarBinding {
    /// Registers a user at `uri` for `expires` seconds over this flow; 0 removes the registration.
    pub(crate) fn register(&mut self, cx: &mut PhoneCx<'_>, flow: Flow, uri: &str, (user, expires): (&str, u32)) {
        self.cseq += 1;
        let register = RegisterRequest {
            flow,
            local: LocalAddress { ip: cx.config.sip.ip(), port: cx.config.sip.port() },
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

    /// Returns the status code of the last response to REGISTER, 0 if there was none in time, and `None` before that.
    pub(crate) fn code(&self) -> Option<u16> {
        self.code
    }
}
