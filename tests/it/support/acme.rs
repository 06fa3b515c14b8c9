//! ACME certificate authority (RFC 8555) with the parts that an order needs, over plain HTTP on threads. The authority
//! validates challenges like a real one, but does not verify the signatures of requests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use serde_json::{Value, json};

use super::PATIENCE;
use super::tls::Authority;

/// Bytes before the 64 bytes of a P-256 point in a DER BIT STRING.
const POINT: [u8; 4] = [0x03, 0x42, 0x00, 0x04];

/// Behaviour of the authority towards orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Issues a certificate for the ordered names.
    Issues,
    /// Issues a certificate for this name instead.
    IssuesFor(&'static str),
    /// Rejects orders by a rate limit, with Retry-After in seconds.
    Limits(u64),
    /// Answers every request with 503 and an HTML page.
    IsDown,
    /// Rejects the responses to challenges.
    RefusesProofs,
    /// Serves a directory without a URL for nonces.
    NamesNoNonce,
    /// Requires one authorization more than an order has names.
    WantsMoreProofs,
}

pub(crate) struct AcmeServer {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    authority: Arc<Authority>,
    behaviour: Behaviour,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Address that serves port 80 of every name; until it is known, challenges wait.
    challenges_at: Option<SocketAddr>,
    contacts: Vec<String>,
    orders: Vec<PlacedOrder>,
}

struct PlacedOrder {
    names: Vec<String>,
    /// Result of the challenge for each name; `None` while it is pending.
    proofs: Vec<Option<bool>>,
    certificate: Option<String>,
}

impl PlacedOrder {
    fn status(&self) -> &'static str {
        if self.certificate.is_some() {
            "valid"
        } else if self.proofs.contains(&Some(false)) {
            "invalid"
        } else if self.proofs.iter().all(Option::is_some) {
            "ready"
        } else {
            "pending"
        }
    }
}

/// Public key in a certificate request.
struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Response of the authority: status, further header fields, body.
type Answer = (&'static str, Vec<(&'static str, String)>, String);

impl AcmeServer {
    pub(crate) fn start(authority: &Arc<Authority>, behaviour: Behaviour) -> AcmeServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            address,
            authority: Arc::clone(authority),
            behaviour,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        AcmeServer { shared }
    }

    /// Returns the URL of the ACME directory.
    pub(crate) fn directory(&self) -> String {
        self.shared.url("directory")
    }

    /// Sets the address that serves port 80 of every name; challenges that wait for it continue.
    pub(crate) fn lead_challenges_to(&self, address: SocketAddr) {
        self.shared.state().challenges_at = Some(address);
        self.shared.changed.notify_all();
    }

    /// Returns the names in each order so far.
    pub(crate) fn orders(&self) -> Vec<Vec<String>> {
        self.shared.state().orders.iter().map(|order| order.names.clone()).collect()
    }

    /// Returns the contacts of all accounts.
    pub(crate) fn contacts(&self) -> Vec<String> {
        self.shared.state().contacts.clone()
    }
}

impl Shared {
    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(self: &Arc<Self>, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let (status, headers, body) = self.answer(&path, &payload(&body));
        let mut head = format!("HTTP/1.1 {status}\r\nReplay-Nonce: nonce\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // The response to HEAD has no body.
        let body = if first.starts_with("HEAD") { String::new() } else { body };
        let mut stream = stream;
        stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    }

    fn answer(self: &Arc<Self>, path: &str, payload: &Value) -> Answer {
        let parts: Vec<&str> = path.split('/').collect();
        let number = |at: usize| parts[at].parse::<usize>().unwrap();
        match (parts[0], parts.len()) {
            _ if self.behaviour == Behaviour::IsDown => {
                ("503 Service Unavailable", Vec::new(), "<html>down for maintenance</html>".to_owned())
            }
            ("directory", 1) => ok(&json!({
                "newNonce": if self.behaviour == Behaviour::NamesNoNonce { "not a URL".to_owned() } else { self.url("nonce") },
                "newAccount": self.url("account"), "newOrder": self.url("order"),
            })),
            ("nonce", 1) => ("200 OK", Vec::new(), String::new()),
            ("account", 1) => {
                let contacts = payload["contact"].as_array().into_iter().flatten().filter_map(Value::as_str);
                self.state().contacts.extend(contacts.map(str::to_owned));
                ("201 Created", vec![("Location", self.url("account/1"))], json!({ "status": "valid" }).to_string())
            }
            ("order", 1) => self.place(payload),
            ("order", 2) => ok(&self.order(number(1))),
            ("authorization", 3) => ok(&self.authorization(number(1), number(2))),
            ("challenge", 3) => {
                let (shared, order, name) = (Arc::clone(self), number(1), number(2));
                std::thread::spawn(move || shared.prove(order, name));
                ok(&self.challenge(number(1), number(2)))
            }
            ("finalize", 2) => {
                self.issue(number(1), payload["csr"].as_str().unwrap());
                ok(&self.order(number(1)))
            }
            ("certificate", 2) => {
                let chain = self.state().orders[number(1)].certificate.clone().unwrap();
                ("200 OK", vec![("Content-Type", "application/pem-certificate-chain".to_owned())], chain)
            }
            _ => ("404 Not Found", Vec::new(), json!({ "detail": "no such address" }).to_string()),
        }
    }

    fn place(&self, payload: &Value) -> Answer {
        if let Behaviour::Limits(seconds) = self.behaviour {
            let kind = "urn:ietf:params:acme:error:rateLimited";
            let problem = json!({ "type": kind, "detail": "too many certificates already issued" });
            return ("429 Too Many Requests", vec![("Retry-After", seconds.to_string())], problem.to_string());
        }
        let names = payload["identifiers"].as_array().unwrap().iter();
        let names: Vec<String> = names.map(|one| one["value"].as_str().unwrap().to_owned()).collect();
        let mut state = self.state();
        let number = state.orders.len();
        state.orders.push(PlacedOrder { proofs: vec![None; names.len()], names, certificate: None });
        drop(state);
        ("201 Created", vec![("Location", self.url(&format!("order/{number}")))], self.order(number).to_string())
    }

    fn order(&self, number: usize) -> Value {
        let state = self.state();
        let order = &state.orders[number];
        let mut authorizations: Vec<String> =
            (0..order.names.len()).map(|name| self.url(&format!("authorization/{number}/{name}"))).collect();
        if self.behaviour == Behaviour::WantsMoreProofs {
            authorizations.push(self.url(&format!("authorization/{number}/0")));
        }
        let mut shown = json!({
            "status": order.status(),
            "authorizations": authorizations,
            "finalize": self.url(&format!("finalize/{number}")),
        });
        if order.certificate.is_some() {
            shown["certificate"] = json!(self.url(&format!("certificate/{number}")));
        }
        shown
    }

    fn authorization(&self, order: usize, name: usize) -> Value {
        let challenge = self.challenge(order, name);
        let status = match challenge["status"].as_str().unwrap() {
            "processing" => "pending",
            other => other,
        };
        let identifier = json!({ "type": "dns", "value": self.state().orders[order].names[name] });
        json!({ "identifier": identifier, "status": status, "challenges": [challenge] })
    }

    fn challenge(&self, order: usize, name: usize) -> Value {
        let mut shown = json!({
            "type": "http-01",
            "url": self.url(&format!("challenge/{order}/{name}")),
            "token": token(order, name),
            "status": "processing",
        });
        match self.state().orders[order].proofs[name] {
            Some(true) => shown["status"] = json!("valid"),
            Some(false) => {
                shown["status"] = json!("invalid");
                shown["error"] = json!({
                    "type": "urn:ietf:params:acme:error:connection",
                    "detail": "203.0.113.7: Connection refused",
                });
            }
            None => {}
        }
        shown
    }

    /// Validates the challenge for a name, once the address that serves port 80 is known.
    fn prove(&self, order: usize, name: usize) {
        let state = self.state();
        let state = self.changed.wait_while(state, |state| state.challenges_at.is_none()).unwrap();
        let (at, host) = (state.challenges_at.unwrap(), state.orders[order].names[name].clone());
        drop(state);
        let token = token(order, name);
        let is_proof = |answer: String| {
            let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
            let thumbprint = body.strip_prefix(&format!("{token}."));
            // The thumbprint is the SHA-256 of the account's key in base64url.
            answer.starts_with("HTTP/1.1 200 ") && thumbprint.is_some_and(|text| text.len() == 43)
        };
        let is_asked = self.behaviour != Behaviour::RefusesProofs;
        let proved = is_asked && asked(at, &host, &token).is_ok_and(is_proof);
        self.state().orders[order].proofs[name] = Some(proved);
    }

    fn issue(&self, order: usize, csr: &str) {
        let csr = URL_SAFE_NO_PAD.decode(csr).unwrap();
        let at = csr.windows(POINT.len()).position(|four| four == POINT).unwrap() + POINT.len() - 1;
        let key = RequestedKey(csr[at..at + 65].to_vec());
        let names = if let Behaviour::IssuesFor(name) = self.behaviour {
            vec![name.to_owned()]
        } else {
            self.state().orders[order].names.clone()
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.state().orders[order].certificate = Some(self.authority.sign(&key, &names));
    }
}

fn ok(body: &Value) -> Answer {
    ("200 OK", Vec::new(), body.to_string())
}

fn token(order: usize, name: usize) -> String {
    format!("token-{order}-{name}")
}

/// Returns the payload of a signed request; null if it is empty.
fn payload(body: &[u8]) -> Value {
    let signed: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(signed["payload"].as_str().unwrap_or_default()).unwrap();
    serde_json::from_slice(&payload).unwrap_or_default()
}

/// Requests a challenge token from a listener; returns the response.
pub(crate) fn asked(at: SocketAddr, host: &str, token: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
