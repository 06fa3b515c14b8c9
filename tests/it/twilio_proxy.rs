//! `[api] proxy` through the real binary: TLS of a client that trusts only the CA, permitted and forbidden targets, and
//! `trunkgate twilio env`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::support::tls::{provider, tcp};
use crate::support::{PATIENCE, closed_address, http, until};
use crate::twilio_api::{Rig, SID, TOKEN, assert_shape, authorization};

const API: &str = "api.twilio.com:443";

/// Starts an edge with this value of `proxy`.
fn open(proxy: &str) -> Rig {
    Rig::new(&format!("proxy = {proxy}\n"))
}

fn address(rig: &Rig) -> SocketAddr {
    rig.edge.address("http")
}

/// Reads one response; returns the status line with the headers, and the body.
pub(crate) fn answer(stream: &mut impl Read) -> io::Result<(String, String)> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body)?;
    Ok((head, String::from_utf8(body).unwrap()))
}

/// Sends a CONNECT from a loopback address.
pub(crate) fn connect(to: SocketAddr, target: &str, headers: &str) -> (TcpStream, String, String) {
    let mut stream = tcp("127.0.0.1", to).unwrap();
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{headers}\r\n").unwrap();
    let (head, body) = answer(&mut stream).unwrap();
    (stream, head, body)
}

/// Returns the status and error code of a CONNECT that is refused.
fn refused(to: SocketAddr, target: &str, headers: &str) -> (u16, String) {
    let (_, head, body) = connect(to, target, headers);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let json: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{target}: {head}{body}"));
    let (code, message) = (json["error"]["code"].as_str(), json["error"]["message"].as_str());
    let reason = head.lines().next().unwrap().splitn(3, ' ').nth(2).unwrap();
    assert_eq!(Some(reason), message, "clients print the status line only");
    (status, code.unwrap().to_owned())
}

/// Returns the CA certificate of the edge's proxy.
pub(crate) fn ca(rig: &Rig) -> String {
    let (status, pem) = rig.edge.get("/v1/twilio/ca");
    assert_eq!(status, 200, "{pem}");
    pem
}

fn trusting(pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// Completes a TLS handshake for a host name, as a client that trusts only the CA.
pub(crate) fn secure(stream: TcpStream, pem: &str, host: &str) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut stream = stream;
    stream.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut session = ClientConnection::new(trusting(pem), name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

pub(crate) fn request(
    stream: &mut (impl Read + Write),
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, Value) {
    let length = body.len();
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: api.twilio.com\r\n{kind}Content-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let (head, body) = answer(stream).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() })
}

/// Returns `Authorization`, or another header, with the SID and this token.
pub(crate) fn basic(name: &str, token: &str) -> String {
    format!("{name}: {}\r\n", authorization(SID, token).1)
}

#[test]
fn clients_of_the_ca_reach_the_api_only() {
    let rig = open("true");
    let pem = ca(&rig);
    for host in ["api.twilio.com", "api.ie1.twilio.com", "api.dublin.ie1.twilio.com"] {
        let (stream, head, _) = connect(address(&rig), &format!("{host}:443"), "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut stream = secure(stream, &pem, host).unwrap();
        let by = basic("Authorization", TOKEN);
        // One connection carries several requests.
        let (status, account) = request(&mut stream, "GET", &format!("/2010-04-01/Accounts/{SID}.json"), &by, "");
        assert_eq!((status, account["sid"].as_str()), (200, Some(SID)));
        let calls = format!("/2010-04-01/Accounts/{SID}/Calls.json");
        let (status, list) = request(&mut stream, "GET", &format!("{calls}?PageSize=1"), &by, "");
        assert!(status == 200 && list["calls"].is_array() && list["uri"].as_str().unwrap().starts_with("/2010-04-01/"));
        let (status, error) = request(&mut stream, "POST", &calls, &by, "To=%2B14155550100");
        assert_shape(status, &error);
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/healthz"),
            ("GET", "/metrics"),
            ("GET", "/v1/status"),
            ("GET", "/v1/calls"),
            ("POST", "/v1/drain"),
            ("POST", "/v1/reload"),
            ("POST", "/sms/inbound"),
            ("GET", "/v1/twilio/ca"),
            ("GET", "/2010-04-01/../v1/status"),
            ("GET", "//v1/status"),
            ("GET", "http://127.0.0.1/v1/status"),
            ("CONNECT", "api.twilio.com:443"),
        ] {
            let (status, error) = request(&mut stream, method, path, &by, "");
            assert_eq!((status, error["code"].as_u64()), (404, Some(20_404)), "{method} {path}: {error}");
        }
        let (status, error) = request(&mut stream, "GET", &calls, "", "");
        assert_eq!((status, error["code"].as_u64()), (401, Some(20_003)), "the API has its own credentials");
        let body = "a".repeat(trunkgate_system::limits::HTTP_BODY_BYTES + 1);
        let (status, error) = request(&mut stream, "POST", &calls, &by, &body);
        assert_eq!((status, error["code"].as_u64()), (413, Some(20_413)));
    }
    assert!(!rig.edge.whole_log().contains(TOKEN), "{}", rig.edge.log());
}

#[test]
fn other_hosts_ports_and_forms_are_refused_by_what_they_are() {
    let rig = open("true");
    for (target, status, code) in [
        ("example.com:443", 403, "not_proxied"),
        ("verify.twilio.com:443", 403, "not_proxied"),
        ("api.twilio.com.example.com:443", 403, "not_proxied"),
        ("api.twilio.com:80", 403, "not_proxied"),
        ("127.0.0.1:443", 403, "not_proxied"),
        ("[::1]:443", 403, "not_proxied"),
        ("user@api.twilio.com:443", 400, "bad_connect"),
        ("api.twilio.com", 400, "bad_connect"),
        ("-.twilio.com:443", 400, "bad_connect"),
    ] {
        assert_eq!(refused(address(&rig), target, ""), (status, code.to_owned()), "{target}");
    }
}

/// Sends a request in absolute form, as to a plain proxy; returns the head and the body of the response.
pub(crate) fn ask_absolute(rig: &Rig, method: &str, url: &str, headers: &str) -> (String, String) {
    let mut stream = tcp("127.0.0.1", address(rig)).unwrap();
    write!(stream, "{method} {url} HTTP/1.1\r\nHost: api.twilio.com\r\nContent-Length: 0\r\n{headers}\r\n").unwrap();
    answer(&mut stream).unwrap()
}

#[test]
fn a_tunnel_is_established_by_a_status_line_alone() {
    let rig = open("true");
    // twilio-php strips exactly these bytes.
    assert_eq!(connect(address(&rig), API, "").1, "HTTP/1.1 200 Connection established\r\n\r\n");
    let (head, _) = ask_absolute(&rig, "GET", "/healthz", "");
    assert!(head.to_lowercase().contains("\r\ndate: "), "others have a date: {head}");
}

#[test]
fn a_request_for_a_whole_url_of_the_api_is_served_on_this_machine() {
    let rig = open("true");
    let by = basic("Authorization", TOKEN);
    let of = |host: &str| format!("https://{host}/2010-04-01/Accounts/{SID}.json");
    for host in ["api.twilio.com", "api.twilio.com:443", "API.twilio.com", "api.dublin.ie1.twilio.com"] {
        let (head, body) = ask_absolute(&rig, "GET", &of(host), &by);
        assert!(head.starts_with("HTTP/1.1 200 "), "{host}: {head}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["sid"], SID);
    }
    let (head, body) =
        ask_absolute(&rig, "POST", &format!("https://api.twilio.com/2010-04-01/Accounts/{SID}/Calls.json"), &by);
    assert!(head.starts_with("HTTP/1.1 400 ") && body.contains("21205"), "a POST is read: {head}{body}");
    let (head, _) = ask_absolute(&rig, "GET", &of("api.twilio.com"), "");
    assert!(head.starts_with("HTTP/1.1 401 "), "with credentials as always: {head}");
    for path in ["/v1/status", "/v1/calls", "/metrics", "/", "/healthz", "/console"] {
        let (head, body) = ask_absolute(&rig, "GET", &format!("https://api.twilio.com{path}"), &by);
        assert!(head.starts_with("HTTP/1.1 404 ") && body.contains("20404"), "the API alone: {path}: {head}{body}");
    }
    for (url, headers) in [
        ("http://api.twilio.com/2010-04-01/Accounts.json", ""),
        ("https://api.twilio.com:8443/2010-04-01/Accounts.json", ""),
        ("https://verify.twilio.com/v2/Services", ""),
        ("https://example.com/healthz", ""),
        ("https://api.twilio.com.example.com/healthz", ""),
        ("https://api.twilio.com/2010-04-01/Accounts.json", "X-Forwarded-For: 192.0.2.1\r\n"),
        ("https://api.twilio.com/2010-04-01/Accounts.json", "Via: 1.1 proxy\r\n"),
    ] {
        let (head, body) = ask_absolute(&rig, "GET", url, &format!("{by}{headers}"));
        assert!(head.starts_with("HTTP/1.1 403 ") && body.contains("not_proxied"), "{url} {headers}: {head}{body}");
    }
    let (head, body) = ask_absolute(&Rig::new(""), "GET", &of("api.twilio.com"), &by);
    assert!(head.starts_with("HTTP/1.1 403 ") && body.contains("proxy_off"), "{head}{body}");
}

#[test]
fn without_the_key_or_a_token_there_is_no_proxy() {
    for rig in [Rig::new(""), open("false")] {
        assert_eq!(refused(address(&rig), API, ""), (403, "proxy_off".to_owned()));
        assert_eq!(refused(address(&rig), "example.com:443", ""), (403, "proxy_off".to_owned()));
        let (status, text) = rig.edge.get("/v1/twilio/ca");
        assert!(status == 403 && text.contains("`proxy = true`"), "{status} {text}");
        assert!(!rig.edge.directory.path().join("twilio-ca.pem").exists(), "nothing is made before it is used");
    }
}

#[test]
fn the_ca_is_made_once_for_its_owner_and_vouches_for_twilio_alone() {
    let rig = open("true");
    let file = rig.edge.directory.path().join("twilio-ca.pem");
    assert!(!file.exists());
    let pem = ca(&rig);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!pem.contains("PRIVATE KEY"), "the certificate alone is given");
    let text = std::fs::read_to_string(&file).unwrap();
    let rig = rig.restart();
    assert_eq!((ca(&rig), std::fs::read_to_string(&file).unwrap()), (pem.clone(), text.clone()));
    assert!(!rig.edge.whole_log().contains("PRIVATE"));
    // Even a stolen key can sign only for Twilio's names: clients reject any other name.
    for (name, is_taken) in [("example.com", false), ("twilio.com.example.com", false), ("api.twilio.com", true)] {
        let shaken = shake(&text, &pem, name);
        assert_eq!(shaken.is_ok(), is_taken, "{name}: {shaken:?}");
        assert!(is_taken || shaken.unwrap_err().contains("NameConstraintViolation"), "{name}");
    }
}

/// Completes a handshake with a server certificate for this name, which the CA's key has signed; the error is the
/// client's.
fn shake(file: &str, pem: &str, name: &str) -> Result<(), String> {
    let key = rcgen::KeyPair::try_from(&PrivateKeyDer::from_pem_slice(file.as_bytes()).unwrap()).unwrap();
    let mut own = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    own.distinguished_name.push(rcgen::DnType::CommonName, common_name(pem));
    let issuer = rcgen::Issuer::new(own, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut session = ServerConnection::new(Arc::new(config)).unwrap();
        while session.is_handshaking() && session.complete_io(&mut stream).is_ok() {}
    });
    let shaken = secure(tcp("127.0.0.1", to).unwrap(), pem, name).map(drop).map_err(|error| format!("{error:?}"));
    server.join().unwrap();
    shaken
}

/// Returns the CA's name, which is plain text in the certificate.
fn common_name(pem: &str) -> String {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let text = String::from_utf8_lossy(&der).into_owned();
    let name = &text[text.find("Trunkgate CA for").unwrap()..];
    name[..=name.find(')').unwrap()].to_owned()
}

#[test]
fn a_client_from_elsewhere_needs_credentials() {
    let rig = open("\"tunnel\"");
    // The request is forwarded by a reverse proxy on this machine.
    let elsewhere = "X-Forwarded-For: 192.0.2.1\r\n";
    let with = |token: &str| elsewhere.to_owned() + &basic("Proxy-Authorization", token);
    let (_, head, body) = connect(address(&rig), API, elsewhere);
    assert!(head.starts_with("HTTP/1.1 407 "), "{head}");
    assert!(head.contains("proxy-authenticate: Basic realm=") && body.contains("proxy_credentials"), "{head}{body}");
    for header in ["X-Forwarded-Host: edge.example", "CF-Connecting-IP: 192.0.2.1", "X-Client-IP: 192.0.2.1"] {
        assert_eq!(refused(address(&rig), API, &format!("{header}\r\n")).0, 407, "{header}");
    }
    let mut authorization = elsewhere.to_owned() + &basic("Authorization", TOKEN);
    assert_eq!(refused(address(&rig), API, &authorization).0, 407, "that is not the proxy's");
    authorization = with(TOKEN);
    let (stream, head, _) = connect(address(&rig), API, &authorization);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut stream = secure(stream, &ca(&rig), "api.twilio.com").unwrap();
    let account = format!("/2010-04-01/Accounts/{SID}.json");
    assert_eq!(request(&mut stream, "GET", &account, "", "").0, 401, "the proxy's are not the API's");
    assert_eq!(refused(address(&rig), "example.com:443", &authorization), (403, "not_proxied".to_owned()));
    let key = rig.post("Keys.json", "");
    let of_key = crate::twilio_api::authorization(key["sid"].as_str().unwrap(), key["secret"].as_str().unwrap()).1;
    let (_, head, _) = connect(address(&rig), API, &format!("{elsewhere}Proxy-Authorization: {of_key}\r\n"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let statuses: Vec<u16> = (0..11)
        .map(|_| connect(address(&rig), API, &with("wrong")).1.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(statuses, [[407; 10].as_slice(), &[429]].concat(), "ten failures a minute");
    let (status, _) = rig.ask_as((SID, "wrong"), "GET", &account, "");
    assert_eq!(status, 429, "they are the API's failures too");
    assert_eq!(rig.ask("GET", &account, "").0, 200);
}

#[test]
fn tunnels_lead_to_public_addresses() {
    let rig = open("\"tunnel\"");
    assert_eq!(refused(address(&rig), "localhost:443", ""), (403, "not_proxied".to_owned()));
    assert_eq!(refused(address(&rig), "localhost:8080", ""), (403, "not_proxied".to_owned()));
    assert_eq!(refused(address(&rig), "169.254.169.254:443", ""), (403, "not_proxied".to_owned()));
    assert_eq!(refused(address(&rig), "10.0.0.1:443", ""), (403, "not_proxied".to_owned()));
    assert_eq!(refused(address(&rig), "127.1:443", ""), (403, "not_proxied".to_owned()));
    assert_eq!(refused(address(&rig), "host.invalid:443", ""), (502, "unreachable".to_owned()));
    // Twilio's own names still lead to the edge itself.
    let (stream, ..) = connect(address(&rig), API, "");
    secure(stream, &ca(&rig), "api.twilio.com").unwrap();
}

#[test]
fn a_client_that_does_not_know_the_ca_is_logged_with_what_to_do() {
    let (rig, other) = (open("true"), open("true"));
    let foreign = ca(&other);
    for _ in 0..3 {
        let (stream, ..) = connect(address(&rig), API, "");
        let error = secure(stream, &foreign, "api.twilio.com").unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    let line = until("the client is logged", || {
        rig.edge.log().lines().find(|line| line.contains("does not trust the CA")).map(str::to_owned)
    });
    assert!(line.contains("INFO") && line.contains("client 127.0.0.1 does not trust"), "{line}");
    assert!(line.contains("api.twilio.com") && line.contains("`trunkgate twilio env`"), "{line}");
    assert_eq!(rig.edge.whole_log().matches("does not trust the CA").count(), 1, "once for all of them");
}

#[test]
fn many_connects_at_once_keep_no_probe_and_no_other_client_out() {
    let rig = open("true");
    let pem = ca(&rig);
    let half: Vec<TcpStream> = (0..trunkgate_system::limits::HTTP_CONNECTIONS + 20)
        .map(|_| {
            let mut stream = tcp("127.0.0.1", address(&rig)).unwrap();
            // The beginning of a ClientHello follows.
            write!(stream, "CONNECT {API} HTTP/1.1\r\nHost: {API}\r\n\r\n").unwrap();
            let _ = stream.write_all(&[22, 3, 1, 2, 0]);
            stream
        })
        .collect();
    assert_eq!(rig.edge.get("/healthz").0, 200);
    let (stream, ..) = connect(address(&rig), API, "");
    secure(stream, &pem, "api.twilio.com").unwrap();
    drop(half);
}

/// Runs `trunkgate twilio env` with files in this folder, and further arguments.
fn env(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = crate::support::trunkgate(&["twilio", "env"]);
    command.args(arguments).env("XDG_CACHE_HOME", folder).env_remove("SSL_CERT_FILE").output().unwrap()
}

#[test]
fn the_shell_gets_variables_and_bundles() {
    let (rig, folder) = (open("true"), tempfile::tempdir().unwrap());
    let printed = env(folder.path(), &["--url", &rig.edge.url()]);
    assert!(printed.status.success() && printed.stderr.is_empty(), "{printed:?}");
    let script = folder.path().join("env.sh");
    std::fs::write(&script, &printed.stdout).unwrap();
    let names = "\"$HTTPS_PROXY\" \"$https_proxy\" \"$HTTP_PROXY\" \"$http_proxy\" \"$NO_PROXY\" \"$no_proxy\" \
                 \"$REQUESTS_CA_BUNDLE\" \"$SSL_CERT_FILE\" \"$CURL_CA_BUNDLE\" \"$NODE_EXTRA_CA_CERTS\" \
                 \"$TWILIO_ACCOUNT_SID\"";
    let shell = format!(". {} && printf '%s\\n' {names}", script.display());
    let shown = std::process::Command::new("sh").args(["-c", &shell]).env_clear().output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let values: Vec<&str> = shown.lines().collect();
    assert_eq!(values[..4], [rig.edge.url().as_str(); 4]);
    assert_eq!(values[4..6], ["localhost,127.0.0.1,::1"; 2]);
    assert!(values[6] == values[7] && values[7] == values[8] && values[8] != values[9], "{values:?}");
    assert_eq!(values[10], SID);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(values[9]).trim_end(), ca(&rig).trim_end());
    let (bundle, alone) = (read(values[6]), read(values[9]));
    assert!(bundle.ends_with(&alone) && bundle.matches("BEGIN CERTIFICATE").count() > 10, "the system's roots too");
    // A shell that already has the variables gets the same values.
    let mut again = crate::support::trunkgate(&["twilio", "env", "--url", &rig.edge.url()]);
    let again = again.env("XDG_CACHE_HOME", folder.path()).env("SSL_CERT_FILE", values[7]).output().unwrap();
    assert_eq!((again.stdout, read(values[6])), (printed.stdout.clone(), bundle));
    // The SID is no secret, but contains the digits of the token.
    let all = (String::from_utf8(printed.stdout).unwrap() + &rig.edge.whole_log()).replace(SID, "");
    assert!(!all.contains(TOKEN) && !all.contains("PRIVATE"), "{all}");
}

#[test]
fn the_shell_gets_an_error_where_there_is_no_proxy() {
    let (off, folder) = (Rig::new(""), tempfile::tempdir().unwrap());
    let fails = |arguments: &[&str], words: &str| {
        let printed = env(folder.path(), arguments);
        let error = String::from_utf8(printed.stderr).unwrap();
        assert!(!printed.status.success() && printed.stdout.is_empty() && error.contains(words), "{error}");
    };
    fails(&["--url", &off.edge.url()], "set `proxy = true` and `auth_token` of [api]");
    let free = closed_address();
    fails(&["--url", &format!("http://{free}")], "no edge at");
    // The CA of another server would be trusted for everything.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let pem = rcgen::generate_simple_self_signed(["api.twilio.com".to_owned()]).unwrap().cert.pem();
    let server = std::thread::spawn(move || {
        // The first request checks that the edge is running.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            answer(&mut stream).unwrap();
            let length = pem.len();
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{pem}").unwrap();
        }
    });
    fails(&["--url", &url], "is not limited to twilio.com");
    server.join().unwrap();
    let rig = open("true");
    fails(&["--url", &format!("{}/edge", rig.edge.url())], "is not a proxy address");
    fails(&["--url", &rig.edge.url(), "--directory", "/proc/none"], "/proc/none");
}

#[test]
fn the_proxy_follows_a_reload_and_needs_no_token_of_http() {
    let rig = Rig::with("token = \"of-the-operator\"\n", "proxy = false\n");
    let url = format!("{}/v1/twilio/ca", rig.edge.url());
    assert_eq!(http("GET", &url, &[], "").0, 403);
    let text = std::fs::read_to_string(&rig.edge.file).unwrap();
    std::fs::write(&rig.edge.file, text.replace("proxy = false", "proxy = true")).unwrap();
    let by = [("authorization", "Bearer of-the-operator")];
    assert_eq!(http("POST", &format!("{}/v1/reload", rig.edge.url()), &by, "").0, 200);
    let (status, pem) = http("GET", &url, &[], "");
    assert_eq!(status, 200, "the certificate is no secret");
    let folder = tempfile::tempdir().unwrap();
    let printed = env(folder.path(), &["--url", &rig.edge.url()]);
    let (lines, note) = (String::from_utf8_lossy(&printed.stdout), String::from_utf8_lossy(&printed.stderr));
    assert!(lines.contains("HTTPS_PROXY") && !lines.contains("ACCOUNT_SID"), "{lines}");
    assert!(note.contains("note: TWILIO_ACCOUNT_SID is not among the lines"), "{note}");
    let (stream, ..) = connect(address(&rig), API, "");
    let mut stream = secure(stream, &pem, "api.twilio.com").unwrap();
    let account = format!("/2010-04-01/Accounts/{SID}.json");
    assert_eq!(request(&mut stream, "GET", &account, &basic("Authorization", TOKEN), "").0, 200);
}
