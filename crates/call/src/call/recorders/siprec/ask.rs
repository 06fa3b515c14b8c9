//! INVITE to a recording server: the choice of servers, the request and its body.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{SIPREC_ANSWER_SECONDS, SIPREC_ATTEMPTS, SIPREC_UDP_BYTES};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::CallIdOwner;
use trunkgate_resources::lookups::rewrite;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_resources::random::pick;
use trunkgate_resources::trunks::health::TrunkAddress;
use trunkgate_route::{Srtp, Transport, Trunk};
use trunkgate_sdp::SessionDescription;
use trunkgate_sip::{Flow, InviteRequest, LocalAddress, MessageBody, Uri};

use super::metadata::{Metadata, ParticipantName, RecordedParticipant};
use super::offer;
use super::recorded::{RecordingServer, RecordingSession};
use crate::call::legs::leg::{Leg, StreamEnd};
use crate::call::shared::CallCx;
use crate::call::words::incoming::MAX_FORWARDS;
use crate::call::words::waits::silence;

/// Returns the servers of a group in the order of attempts. Servers known to be down are omitted, unless all are.
pub(super) fn servers(edge: &mut Edge, now: Instant, trunk: &Trunk) -> VecDeque<RecordingServer> {
    let peers = trunk.ordered_peers(&mut pick(&mut edge.random_mut().rng));
    let each = peers.into_iter().flat_map(|peer| {
        let host = (peer.destination.host, peer.destination.port);
        let sockets: Vec<_> =
            peer.servers.iter().flat_map(|one| one.sockets().map(|socket| (one.transport, socket))).collect();
        let server = move |(transport, address)| RecordingServer {
            peer: peer.uri.clone(),
            host: host.clone(),
            transport,
            address,
            plain: false,
            by_udp: false,
        };
        sockets.into_iter().map(server)
    });
    let is_fit = |server: &RecordingServer| {
        edge.health().unfit(now, &TrunkAddress::new(&trunk.name, server.transport, server.address)).is_none()
    };
    let (fit, unfit): (VecDeque<RecordingServer>, VecDeque<RecordingServer>) = each.partition(is_fit);
    if fit.is_empty() { unfit } else { fit }
}

impl RecordingSession {
    /// Sends the INVITE of a session to the next server. `at` is the index of the session in its call.
    ///
    /// # Errors
    /// The reason in plain text why the server cannot be called; `None` if no server is left or the maximum of attempts
    /// is reached.
    pub(super) fn ask_next_server(&mut self, cx: &mut CallCx<'_>, at: usize) -> Result<(), Option<String>> {
        if self.attempts >= SIPREC_ATTEMPTS {
            return Err(None);
        }
        let server = self.left.pop_front().ok_or(None)?;
        self.attempts += 1;
        self.current = Some(server.clone());
        let way = cx.edge.addressing().way(self.trunk.listen.as_deref(), server.transport, server.address);
        let (flow, local) = way.ok_or_else(|| Some("no [[listen]] has its transport and address family".to_owned()))?;
        let leg = new_leg(cx, &self.trunk, &server, flow);
        let mut leg = leg.ok_or_else(|| Some("no media port is free".to_owned()))?;
        if self.invite(cx, &mut leg, (flow, local), &server).is_none() {
            cx.close_ends(&mut leg);
            return Err(Some("no offer can be made".to_owned()));
        }
        cx.call.legs.reserve_exact(1);
        let leg = cx.call.legs.push(leg);
        self.leg = Some(leg);
        let is_by_tcp = goes_by_tcp_instead(&cx.call.legs[leg], &server);
        let wait = self.trunk.no_response_timeout;
        cx.arm(timer(at), if is_by_tcp { silence(wait) } else { wait });
        Ok(())
    }

    /// Returns our next offer on a leg, with SRTP keys if the leg uses SRTP. `is_first` is true if nothing has been
    /// negotiated yet. `None` without ports or a usable SRTP suite.
    pub(super) fn offer_on(&self, edge: &mut Edge, leg: &mut Leg, is_first: bool) -> Option<SessionDescription> {
        let is_plain = self.current.as_ref().is_some_and(|server| server.plain);
        let ports = ports(leg)?;
        let mut offer = offer::offer(&self.trunk.codecs, ports, &leg.identity(), self.paused.is_some());
        let protected = match is_first {
            true => leg.protect_first(edge, &mut offer, leg.first_form(is_plain)),
            false => leg.protect_again(edge, &mut offer),
        };
        protected.ok()?;
        Some(leg.stamp(offer))
    }

    fn invite(
        &self,
        cx: &mut CallCx<'_>,
        leg: &mut Leg,
        (flow, local): (Flow, LocalAddress),
        server: &RecordingServer,
    ) -> Option<()> {
        let sdp = self.offer_on(cx.edge, leg, true)?;
        let user = Uri::parse(server.peer.as_bytes()).map(|uri| uri.user.to_owned());
        let uri = request_uri(&user.unwrap_or_default(), server);
        let ours = rewrite::host_port(&local.ip.to_string(), None);
        let body = self.body(cx.edge, &sdp, local);
        let mut headers = vec![extra("Require", "siprec")];
        headers.extend(leg.session_headers());
        let invite = InviteRequest {
            flow,
            local,
            oversize: self.by_tcp(cx, flow, server),
            party: leg.party,
            from: format!("<sip:trunkgate@{ours}>"),
            to: format!("<{uri}>"),
            uri,
            contact_user: "trunkgate".to_owned(),
            max_forwards: MAX_FORWARDS,
            headers,
            body: Some(body),
        };
        let place = cx.call.legs.place(cx.call.legs.next_id());
        let client = cx.edge.invite(cx.now, place, invite);
        leg.flow = Some(cx.edge.endpoint().client_flow(client).unwrap_or(flow));
        leg.sip.call_id = cx.edge.endpoint().call_id(client).unwrap_or_default().to_owned();
        leg.sip.invite = Some(client);
        let named = CallIdOwner { at: place, party: leg.party, trunk: leg.trunk.clone(), remote: flow.remote.ip() };
        cx.edge.index_mut().enter(leg.sip.call_id.as_bytes(), named);
        Some(())
    }

    /// Returns the TCP flow for an INVITE that is too long for UDP (RFC 3261 §18.1.1), to the same address. `None` if
    /// the trunk or the server uses UDP nevertheless, or no TCP listener leads there.
    fn by_tcp(&self, cx: &CallCx<'_>, flow: Flow, server: &RecordingServer) -> Option<(usize, Flow, LocalAddress)> {
        if !self.trunk.oversize_by_tcp || flow.transport != Transport::Udp || server.by_udp {
            return None;
        }
        let (flow, local) = cx.edge.addressing().way(self.trunk.listen.as_deref(), Transport::Tcp, server.address)?;
        Some((SIPREC_UDP_BYTES, flow, local))
    }

    /// Returns the body of an INVITE or re-INVITE: our session description, and the metadata (RFC 7866 §9.1).
    pub(super) fn body(&self, edge: &mut Edge, sdp: &SessionDescription, local: LocalAddress) -> MessageBody {
        let host = rewrite::host_port(&local.ip.to_string(), None);
        let shown = |of: &ParticipantName| {
            let aor = match of.aor.is_empty() {
                true => "sip:anonymous@anonymous.invalid".to_owned(),
                false => format!("sip:{}@{host}", rewrite::escape_user(&of.aor)),
            };
            ParticipantName { aor, name: of.name.clone() }
        };
        let people: Vec<RecordedParticipant> = self
            .parties
            .people()
            .map(|person| RecordedParticipant { who: shown(&person.who), ..person.clone() })
            .collect();
        let metadata = Metadata {
            ids: &self.ids,
            people: &people,
            answered: self.answered,
            began: self.began,
            streaming: self.streaming,
            paused: self.paused,
        };
        let boundary = edge.random_mut().boundary();
        let text = format!(
            "--{boundary}\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--{boundary}\r\n\
             Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n{}\r\n--{boundary}--\r\n",
            metadata.to_xml()
        );
        MessageBody { content_type: format!("multipart/mixed;boundary={boundary}"), bytes: text.into() }
    }
}

/// Returns the timer of a session: for a server that does not respond, and for the repetition of a re-INVITE.
pub(super) fn timer(at: usize) -> CallTimer {
    CallTimer::Siprec(u8::try_from(at).unwrap_or(u8::MAX))
}

/// Starts the wait for the final response of a server that has responded provisionally.
pub(super) fn wait_for_answer(cx: &mut CallCx<'_>, at: usize) {
    cx.arm(timer(at), Duration::from_secs(SIPREC_ANSWER_SECONDS));
}

/// Creates the leg of an INVITE, with an end for each stream. `None` without a media session, address or port.
fn new_leg(cx: &mut CallCx<'_>, trunk: &std::sync::Arc<Trunk>, server: &RecordingServer, flow: Flow) -> Option<Leg> {
    let media = cx.call.session?;
    let party = cx.edge.party(&trunk.name);
    let media_ip = cx.edge.addressing().media_shown_to(flow.remote.ip(), flow.listener)?;
    let leg = Leg::new(cx.edge.random_mut().sid(), party, flow, media_ip, cx.edge.random_mut().session_id());
    let mut leg = Leg { trunk: Some(trunk.clone()), peer: server.peer.clone(), ..leg };
    let bind = cx.edge.addressing().media_bind_for(Some(flow))?;
    for index in 0..offer::STREAMS {
        match cx.edge.add_end(media, bind) {
            Some(end) => leg.ends.push(StreamEnd::new(index, end)),
            None => {
                cx.close_ends(&mut leg);
                return None;
            }
        }
    }
    Some(leg)
}

/// Returns the ports of both streams on a leg.
pub(super) fn ports(leg: &Leg) -> Option<[u16; offer::STREAMS]> {
    Some([leg.end(0)?.bind.port(), leg.end(1)?.bind.port()])
}

/// Returns whether the INVITE of a leg was sent over TCP because it is too long for UDP.
pub(super) fn goes_by_tcp_instead(leg: &Leg, server: &RecordingServer) -> bool {
    server.transport == Transport::Udp && leg.flow.is_some_and(|flow| flow.transport == Transport::Tcp)
}

/// Returns the Request-URI of a server.
fn request_uri(user: &str, server: &RecordingServer) -> String {
    let (host, port) = (&server.host.0, server.host.1);
    if !user.is_empty() {
        return rewrite::request_uri(user, &server.peer, host, port);
    }
    let is_sips = server.peer.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
    format!("{}:{}", if is_sips { "sips" } else { "sip" }, rewrite::host_port(host, port))
}

/// Returns the server in the form in which it is called without SRTP.
pub(super) fn without_srtp(server: RecordingServer) -> RecordingServer {
    RecordingServer { plain: true, ..server }
}

/// Returns whether a server that rejects an SRTP offer is called again without SRTP.
pub(super) fn may_go_plain(leg: &Leg) -> bool {
    leg.srtp_policy() == Srtp::Optional
}
