//! Twilio's Messages resource, reduced to the needs of texts: accepts a message or fails in several ways, and lists the
//! accepted ones.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const TOKEN: &str = "12345";

/// Reaction of the server to a request that sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Take,
    /// Rejects the request with this status and Twilio's code.
    Refuse(u16, u32),
    /// Rejects the request with this status, although it has accepted the message.
    TakeAndRefuse(u16),
    /// Sends no response; the value is whether the message was accepted.
    Silence(bool),
    /// Closes the connection without a response; the value is whether the message was accepted.
    Hangup(bool),
}

/// Request that the server has received.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Header fields of the request, with names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) form: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

#[derive(Default)]
pub(crate) struct State {
    /// All requests so far, in order.
    pub(crate) asked: Vec<Asked>,
    /// Messages that the server has accepted.
    pub(crate) messages: Vec<Value>,
}

impl State {
    /// Returns the number of messages to a number that were accepted.
    pub(crate) fn taken(&self, to: &str) -> usize {
        self.messages.iter().filter(|message| message["to"] == to).count()
    }
}

/// Function that returns the reaction to the nth request, counted from 0, to send a message to a number.
type Plan = dyn Fn(&str, usize) -> Deed + Send + Sync;

pub(crate) struct Twilio {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Twilio {
    pub(crate) fn start(plan: impl Fn(&str, usize) -> Deed + Send + Sync + 'static) -> Twilio {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let (shared, plan): (_, Arc<Plan>) = (Arc::clone(&state), Arc::new(plan));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, plan) = (Arc::clone(&shared), Arc::clone(&plan));
                std::thread::spawn(move || serve(&stream, &state, &*plan));
            }
        });
        Twilio { address, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Returns the section `[twilio]` with this server's address, and further keys.
    pub(crate) fn keys(&self, more: &str) -> String {
        let address = self.address;
        format!(
            "[twilio]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nbase_url = \"http://{address}\"\n{more}\n"
        )
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length: &String| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let query = target.split_once('?').map_or("", |(_, query)| query).as_bytes();
    let form = form_urlencoded::parse(if method == "GET" { query } else { &body }).into_owned().collect();
    Some(Asked { method, target, headers, form })
}

fn serve(stream: &TcpStream, state: &Mutex<State>, plan: &Plan) {
    let Some(asked) = read(stream) else { return };
    let mut state = state.lock().unwrap();
    state.asked.push(asked.clone());
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    if asked.headers.get("authorization") != Some(&format!("Basic {basic}")) {
        return answer(stream, 401, &json!({ "code": 20003, "message": "Authenticate", "status": 401 }));
    }
    if asked.target.split('?').next() != Some(&path) {
        return answer(stream, 404, &json!({ "code": 20404, "message": "not found", "status": 404 }));
    }
    let to = asked.field("To").to_owned();
    if asked.method == "GET" {
        let of_recipient = |message: &&Value| message["to"] == to.as_str() && message["from"] == asked.field("From");
        let messages: Vec<&Value> = state.messages.iter().rev().filter(of_recipient).collect();
        return answer(stream, 200, &json!({ "messages": messages, "page": 0, "next_page_uri": null }));
    }
    let before = state.asked.iter().filter(|one| one.method == "POST" && one.field("To") == to).count() - 1;
    let deed = plan(&to, before);
    let sid = format!("SM{:032x}", state.messages.len());
    if matches!(deed, Deed::Take | Deed::TakeAndRefuse(_) | Deed::Silence(true) | Deed::Hangup(true)) {
        let now = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        state.messages.push(json!({
            "sid": sid, "to": to, "from": asked.field("From"), "body": asked.field("Body"), "status": "queued",
            "direction": "outbound-api", "date_created": now, "date_sent": null, "error_code": null,
        }));
    }
    let made = state.messages.last().cloned();
    drop(state);
    match deed {
        Deed::Take => answer(stream, 201, &made.unwrap()),
        Deed::Refuse(status, code) => {
            answer(stream, status, &json!({ "code": code, "message": "no", "status": status }))
        }
        Deed::TakeAndRefuse(status) => answer(stream, status, &json!({})),
        // The connection stays open until the other side gives up.
        Deed::Silence(_) => drop((&*stream).read(&mut [0; 1])),
        Deed::Hangup(_) => {}
    }
}

fn answer(mut stream: &TcpStream, status: u16, body: &Value) {
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}
