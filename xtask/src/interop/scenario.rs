//! SIPp scenarios made of steps: messages that one side of a call sends and expects. Any other message fails the call.

use std::fmt::Write as _;

/// Allow header of a side, unless a case sets another.
pub(crate) const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE, INFO, REFER, NOTIFY";

/// Scenario of one side of a call. Steps that check a message take regular expressions (POSIX) that the message must
/// match.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// Whether the side is the caller.
    calls: bool,
    steps: String,
    /// CSeq of the side's last request.
    cseq: u32,
    /// CSeq of the side's last INVITE.
    invite: u32,
    /// Direction and version of the side's last SDP.
    described: (String, u32),
    /// Number of checks so far, which is the number of variables.
    looks: u32,
    /// Number of Via headers in the INVITE received.
    hops: u32,
    /// Whether the INVITE received is the last message.
    called: bool,
    allow: &'static str,
}

impl Scenario {
    /// Creates a caller, which has sent nothing yet.
    pub(crate) fn caller() -> Scenario {
        Scenario {
            calls: true,
            steps: String::new(),
            cseq: 0,
            invite: 0,
            described: (String::new(), 0),
            looks: 0,
            hops: 0,
            called: false,
            allow: ALLOW,
        }
    }

    /// Creates a callee that expects a matching INVITE with `hops` Vias: one of the edge and, if there are two, one of
    /// a proxy that adds two Record-Routes.
    pub(crate) fn callee(hops: u32, fits: &[&str]) -> Scenario {
        let mut callee = Scenario { calls: false, called: true, hops, ..Scenario::caller() };
        // Values that are repeated in later responses to this INVITE, and in the callee's own requests.
        let all = [("From", "theirs", 1), ("To", "ours", 1), ("CSeq", "number", 1)]
            .into_iter()
            .chain((1..=hops).map(|hop| ("Via", "via", hop)))
            .chain((1..=2 * (hops - 1)).map(|hop| ("Record-Route", "route", hop)));
        let (mut kept, mut names) = (keep("sip:[^>]*", "Contact", 1, "uri1"), "uri1".to_owned());
        for (header, name, at) in all {
            kept.push_str(&keep(".*", header, at, &format!("{name}{at}")));
            let _ = write!(names, ",{name}{at}");
        }
        let looks = callee.looks(fits);
        let _ = write!(
            callee.steps,
            "<recv request=\"INVITE\" rrs=\"true\"><action>{kept}{looks}</action></recv>\n<Reference variables=\"{names}\"/>\n"
        );
        callee
    }

    /// Sets another Allow header than [`ALLOW`].
    pub(crate) fn allowing(mut self, allow: &'static str) -> Scenario {
        self.allow = allow;
        self
    }

    /// Sends the next request of the dialog, with these header lines and an SDP of this direction.
    pub(crate) fn ask(mut self, method: &str, lines: &str, direction: &str) -> Scenario {
        self.cseq += 1;
        let to_tag = if self.invite == 0 && self.calls && method == "INVITE" { "" } else { "[peer_tag_param]" };
        if method == "INVITE" {
            self.invite = self.cseq;
        }
        let cseq = self.cseq;
        self.request((method, cseq), to_tag, lines, direction, " retrans=\"500\"")
    }

    /// Sends the first INVITE again after its rejection.
    pub(crate) fn ask_again(mut self, lines: &str, direction: &str) -> Scenario {
        self.invite = 0;
        self.ask("INVITE", lines, direction)
    }

    /// Acknowledges the 2xx to the last INVITE.
    pub(crate) fn ack(self, direction: &str) -> Scenario {
        let cseq = self.invite;
        self.request(("ACK", cseq), "[peer_tag_param]", "", direction, "")
    }

    /// Acknowledges a rejection, in the transaction of its INVITE (RFC 3261 §17.1.1.3).
    pub(crate) fn ack_refusal(mut self) -> Scenario {
        let invite = self.invite;
        let _ = writeln!(
            self.steps,
            "<send><![CDATA[\nACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n[last_Via:]\n[last_From:]\n[last_To:]\n\
             [last_Call-ID:]\nCSeq: {invite} ACK\nMax-Forwards: 70\nContent-Length: 0\n\n]]></send>"
        );
        self
    }

    fn request(
        mut self,
        (method, cseq): (&str, u32),
        to_tag: &str,
        lines: &str,
        direction: &str,
        retransmitted: &str,
    ) -> Scenario {
        let body = self.body(direction);
        let (uri, parties) = if self.calls {
            let parties = format!(
                "From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]a[call_number]\n\
                 To: [service] <sip:[service]@[remote_ip]:[remote_port]>{to_tag}"
            );
            ("sip:[service]@[remote_ip]:[remote_port]", parties)
        } else {
            ("[$uri1]", "[routes]\nFrom:[$ours1];tag=[pid]b[call_number]\nTo:[$theirs1]".to_owned())
        };
        let allow = self.allow;
        let _ = writeln!(
            self.steps,
            "<send{retransmitted}><![CDATA[\n{method} {uri} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
             {parties}\nCall-ID: [call_id]\nCSeq: {cseq} {method}\nContact: <sip:sipp@[local_ip]:[local_port]>\n{allow}\n\
             Max-Forwards: 70\n{lines}{body}]]></send>"
        );
        self
    }

    /// Sends a response to the last request received.
    pub(crate) fn answer(self, status: &str, lines: &str, direction: &str) -> Scenario {
        if self.called {
            return self.answer_call(status, lines, direction);
        }
        self.respond("[last_Via:]\n[last_From:]\n[last_To:]\n[last_CSeq:]", status, lines, direction)
    }

    /// Sends a response to the INVITE of the call, independent of later messages.
    pub(crate) fn answer_call(self, status: &str, lines: &str, direction: &str) -> Scenario {
        let vias: String = (1..=self.hops).map(|at| format!("Via:[$via{at}]\n")).collect();
        let routes: String = (1..=2 * (self.hops - 1)).map(|at| format!("Record-Route:[$route{at}]\n")).collect();
        let head = format!("{vias}{routes}From:[$theirs1]\nTo:[$ours1];tag=[pid]b[call_number]\nCSeq:[$number1]");
        self.respond(&head, status, lines, direction)
    }

    fn respond(mut self, head: &str, status: &str, lines: &str, direction: &str) -> Scenario {
        let body = self.body(direction);
        let retransmitted = if head.contains("$number1") && status.starts_with('2') { " retrans=\"500\"" } else { "" };
        let contact = if lines.contains("Contact:") { "" } else { "Contact: <sip:sipp@[local_ip]:[local_port]>\n" };
        let allow = self.allow;
        let _ = writeln!(
            self.steps,
            "<send{retransmitted}><![CDATA[\nSIP/2.0 {status}\n{head}\n[last_Call-ID:]\n{contact}{allow}\n{lines}{body}]]></send>"
        );
        self
    }

    /// Waits for a matching request that has passed as many hops as the INVITE of the call.
    pub(crate) fn expect(mut self, method: &str, fits: &[&str]) -> Scenario {
        self.called = false;
        let hops = "Via: .*".repeat(self.hops.try_into().unwrap_or_default());
        let mut looks = self.looks(fits);
        if !hops.is_empty() {
            looks.push_str(&self.looks(&[&hops]));
        }
        let _ = writeln!(self.steps, "<recv request=\"{method}\"><action>{looks}</action></recv>");
        self
    }

    /// Waits for a matching response, optionally after 100.
    pub(crate) fn expect_answer(mut self, code: u16, fits: &[&str]) -> Scenario {
        let looks = self.looks(fits);
        let _ = writeln!(
            self.steps,
            "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"{code}\"><action>{looks}</action></recv>"
        );
        self
    }

    /// Waits for a matching reliable provisional response, and acknowledges it (RFC 3262).
    pub(crate) fn expect_reliable(mut self, code: u16, fits: &[&str], direction: &str) -> Scenario {
        let looks = self.looks(fits) + &keep("[0-9]+", "RSeq", 1, "rseq");
        let _ = writeln!(
            self.steps,
            "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"{code}\"><action>{looks}</action></recv>"
        );
        let rack = format!("RAck: [$rseq] {} INVITE\n", self.invite);
        self.ask("PRACK", &rack, direction).expect_answer(200, &["PRACK"])
    }

    /// Waits for a time during which any message fails the call.
    pub(crate) fn pause(mut self, milliseconds: u32) -> Scenario {
        let _ = writeln!(self.steps, "<pause milliseconds=\"{milliseconds}\"/>");
        self
    }

    /// Sends BYE after a moment, and waits for the response.
    pub(crate) fn hang_up(self) -> Scenario {
        self.pause(300).ask("BYE", "", "").expect_answer(200, &["BYE"])
    }

    /// Waits for a BYE and answers it.
    pub(crate) fn expect_bye(self, fits: &[&str]) -> Scenario {
        self.expect("BYE", fits).answer("200 OK", "", "")
    }

    /// Returns the scenario in SIPp's format.
    pub(crate) fn text(&self) -> String {
        let looked: Vec<String> = (1..=self.looks).map(|n| format!("look{n}")).collect();
        let looked = if looked.is_empty() {
            String::new()
        } else {
            format!("<Reference variables=\"{}\"/>\n", looked.join(","))
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"steps\">\n{}{looked}</scenario>\n",
            self.steps
        )
    }

    /// Returns Content-Type, Content-Length and text of an SDP; no SDP if the direction is empty.
    fn body(&mut self, direction: &str) -> String {
        if direction.is_empty() {
            return "Content-Length: 0\n\n".to_owned();
        }
        let (before, version) = &mut self.described;
        if before != direction {
            *version += 1;
            direction.clone_into(before);
        }
        format!(
            "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\no=sipp 53655765 {version} IN IP[local_ip_type] [local_ip]\n\
             s=-\nc=IN IP[media_ip_type] [media_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000\na={direction}\n\n"
        )
    }

    fn looks(&mut self, fits: &[&str]) -> String {
        let mut looks = String::new();
        for fit in fits {
            self.looks += 1;
            let fit = fit.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            let n = self.looks;
            let _ = write!(looks, "<ereg regexp=\"{fit}\" search_in=\"msg\" check_it=\"true\" assign_to=\"look{n}\"/>");
        }
        looks
    }
}

/// Returns a SIPp action that stores the matching part of a header's value as a variable.
fn keep(fits: &str, header: &str, occurrence: u32, name: &str) -> String {
    format!(
        "<ereg regexp=\"{fits}\" search_in=\"hdr\" header=\"{header}:\" occurrence=\"{occurrence}\" check_it=\"true\" assign_to=\"{name}\"/>"
    )
}
