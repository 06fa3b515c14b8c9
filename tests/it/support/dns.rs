//! Small name server on loopback: authoritative for the records set, over UDP, and able to be silent, slow or wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// Behaviour of the name server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers queries correctly.
    Answers,
    /// Answers queries correctly, but only after a change of behaviour.
    Slow,
    /// Answers no query.
    Silent,
    /// Answers queries with SERVFAIL.
    Fails,
    /// Sends malformed packets, and then answers to other questions.
    Lies,
}

type Zone = BTreeMap<(String, RecordType), Vec<(u32, RData)>>;

#[derive(Debug)]
struct State {
    zone: Zone,
    mood: Mood,
    asked: Vec<String>,
    /// Source address of each query.
    sources: Vec<SocketAddr>,
    /// Answers that [`Mood::Slow`] has not sent yet.
    held: Vec<(Message, SocketAddr)>,
}

/// Running name server, which ends with the process.
#[derive(Debug, Clone)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    socket: Arc<UdpSocket>,
    state: Arc<Mutex<State>>,
}

impl NameServer {
    pub(crate) fn start() -> NameServer {
        let socket = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).unwrap());
        let address = socket.local_addr().unwrap();
        let state =
            State { zone: Zone::new(), mood: Mood::Answers, asked: Vec::new(), sources: Vec::new(), held: Vec::new() };
        let server = NameServer { address, socket: Arc::clone(&socket), state: Arc::new(Mutex::new(state)) };
        let state = Arc::clone(&server.state);
        std::thread::spawn(move || serve(&socket, &state));
        server
    }

    /// Returns the environment variable by which the edge uses this server.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        ("TRUNKGATE_DNS", self.address.to_string())
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        let mut state = self.state.lock().unwrap();
        state.mood = mood;
        state.held.drain(..).for_each(|(answer, to)| send(&self.socket, &answer, to));
    }

    /// Replaces the addresses for a name.
    pub(crate) fn addresses(&self, name: &str, ttl: u32, addresses: &[&str]) {
        for kind in [RecordType::A, RecordType::AAAA] {
            let all = addresses.iter().map(|address| match address.parse().unwrap() {
                IpAddr::V4(ip) => RData::A(A(ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
            });
            let of_kind = all.filter(|data| data.record_type() == kind).map(|data| (ttl, data)).collect();
            self.replace(name, kind, of_kind);
        }
    }

    /// Replaces the SRV records for a name: priority, weight, port, target.
    pub(crate) fn srv(&self, name: &str, ttl: u32, records: &[(u16, u16, u16, &str)]) {
        let data = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            (ttl, RData::SRV(SRV::new(*priority, *weight, *port, absolute(target))))
        };
        self.replace(name, RecordType::SRV, records.iter().map(data).collect());
    }

    /// Replaces the NAPTR records for a name: order, preference, service, replacement.
    pub(crate) fn naptr(&self, name: &str, ttl: u32, records: &[(u16, u16, &str, &str)]) {
        let data = |(order, preference, service, replacement): &(u16, u16, &str, &str)| {
            let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
            let naptr = NAPTR::new(*order, *preference, bytes("s"), bytes(service), bytes(""), absolute(replacement));
            (ttl, RData::NAPTR(naptr))
        };
        self.replace(name, RecordType::NAPTR, records.iter().map(data).collect());
    }

    fn replace(&self, name: &str, kind: RecordType, records: Vec<(u32, RData)>) {
        self.state.lock().unwrap().zone.insert((name.to_owned(), kind), records);
    }

    /// Takes the questions since the last call of this function, as `SRV _sip._udp.pbx.test`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    /// Returns the source addresses of the edge's queries.
    pub(crate) fn sources(&self) -> Vec<SocketAddr> {
        self.state.lock().unwrap().sources.clone()
    }

    /// Returns how often a question was asked since the last call of `asked`.
    pub(crate) fn count(&self, question: &str) -> usize {
        self.state.lock().unwrap().asked.iter().filter(|asked| *asked == question).count()
    }
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).unwrap()
}

fn serve(socket: &UdpSocket, state: &Mutex<State>) {
    let mut buffer = [0; 4096];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        let Ok(query) = Message::from_vec(&buffer[..len]) else { continue };
        let mut state = state.lock().unwrap();
        state.sources.push(from);
        let answer = state.answer(&query);
        match state.mood {
            Mood::Silent => {}
            Mood::Answers | Mood::Fails => send(socket, &answer, from),
            Mood::Slow => state.held.push((answer, from)),
            Mood::Lies => {
                let whole = answer.to_vec().unwrap();
                // The packets are truncated at every length, and have each count at its maximum.
                for end in 0..whole.len() {
                    let _ = socket.send_to(&whole[..end], from);
                }
                for count in [4, 6, 8, 10] {
                    let mut bytes = whole.clone();
                    bytes[count] = 0xff;
                    let _ = socket.send_to(&bytes, from);
                }
                let mut other = answer.clone();
                other.metadata.id = answer.metadata.id.wrapping_add(1);
                send(socket, &other, from);
            }
        }
    }
}

fn send(socket: &UdpSocket, answer: &Message, to: SocketAddr) {
    let _ = socket.send_to(&answer.to_vec().unwrap(), to);
}

impl State {
    fn answer(&mut self, query: &Message) -> Message {
        let mut answer = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
        answer.metadata.authoritative = true;
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        let Some(question) = query.queries.first() else { return answer };
        answer.add_query(question.clone());
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let kind = question.query_type();
        self.asked.push(format!("{kind} {name}"));
        if self.mood == Mood::Fails {
            answer.metadata.response_code = ResponseCode::ServFail;
            return answer;
        }
        if !self.zone.keys().any(|(known, _)| *known == name) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        for (ttl, data) in self.zone.get(&(name, kind)).into_iter().flatten() {
            answer.add_answer(Record::from_rdata(question.name().clone(), *ttl, data.clone()));
        }
        answer
    }
}
