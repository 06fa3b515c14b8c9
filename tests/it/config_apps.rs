//! `[app.NAME]`, `[[number]]`, `[api]`, `play:FILE` and `voices`: accepted values, and the place of each mistake.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use trunkgate_config::{self as config, Config, Diagnostic};
use trunkgate_route::{AppDocument, CallInfo, CallTarget, TargetSpec, WebhookMethod};

use crate::support::depends_on_machine;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const TRUNKS: &str = "[trunk.carrier]\npeers = ['sip:198.51.100.7']\n[trunk.pbx]\npeers = ['sip:10.0.0.5']\n";
const ROUTE: &str = "[[route]]\nname = 'all'\nconnect = ['app:ivr', 'trunk:pbx']\n";

/// Returns a file with two trunks, a token, and more.
fn file(more: &str) -> String {
    format!("{TRUNKS}[api]\nauth_token = '{TOKEN}'\n{more}")
}

/// Returns a file with an application of these lines, and a route to it.
fn app(lines: &str) -> String {
    file(&format!("{ROUTE}[app.ivr]\n{lines}\n"))
}

fn parse(text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    config::parse(Path::new("trunkgate.toml"), text)
}

fn accepted(text: &str) -> Config {
    let (config, warnings) = parse(text).unwrap_or_else(|found| panic!("{text}\n{found:#?}"));
    let warnings: Vec<_> = warnings.iter().filter(|warning| !depends_on_machine(warning.code)).collect();
    assert!(warnings.is_empty(), "{text}\n{warnings:#?}");
    config
}

/// Checks the findings for a text: the code (with a `w` before the code of a warning) and the marked text.
#[track_caller]
fn check(text: &str, expected: &[(&str, &str)]) {
    let (Ok((_, found)) | Err(found)) = parse(text);
    let found: Vec<_> = found.iter().filter(|one| !depends_on_machine(one.code)).collect();
    assert!(found.iter().all(|one| !one.help.is_empty() || one.elsewhere.is_some()), "{found:#?}");
    let shown: Vec<(String, &str)> = found
        .iter()
        .map(|one| {
            let mark = if one.is_error { "" } else { "w" };
            (format!("{mark}{}", one.code), one.span.clone().map_or("", |span| &text[span]))
        })
        .collect();
    let shown: Vec<(&str, &str)> = shown.iter().map(|(code, about)| (code.as_str(), *about)).collect();
    assert_eq!(shown, expected, "\n{text}\n{found:#?}");
}

/// Folder with a configuration and further files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(toml: &str, files: &[(&str, &[u8])]) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sounds")).unwrap();
        std::fs::write(folder.path().join("t.toml"), toml).unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        Folder(folder)
    }

    fn toml(&self) -> PathBuf {
        self.0.path().join("t.toml")
    }

    /// Returns `code file:line:column message: help` of each finding.
    fn found(&self) -> Vec<String> {
        let (Ok((_, found)) | Err(found)) = config::load(&self.toml());
        let json = config::to_json(&self.toml(), &std::fs::read_to_string(self.toml()).unwrap(), &found);
        let all = json.as_array().unwrap().iter().filter(|one| !depends_on_machine(one["code"].as_str().unwrap()));
        let text = |one: &Value| {
            let word = |key: &str| one[key].as_str().unwrap().to_owned();
            let name = word("file").replace(self.0.path().to_str().unwrap(), "").trim_start_matches('/').to_owned();
            format!("{} {name}:{}:{} {}", word("code"), one["line"], one["column"], word("message"))
        };
        all.map(text).collect()
    }

    fn config(&self) -> Config {
        config::load(&self.toml()).unwrap_or_else(|found| panic!("{found:#?}")).0
    }
}

fn tone() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tone.mp3")).unwrap()
}

#[test]
fn an_app_has_its_defaults() {
    let config = accepted(&app("url = 'https://app.example.com/voice'"));
    let ivr = &config.apps[0];
    let document = AppDocument::Url { url: "https://app.example.com/voice".into(), method: WebhookMethod::Post };
    assert_eq!((&*ivr.name, &ivr.document, &ivr.fallback_url), ("ivr", &document, &None));
    assert!(!ivr.allow_private && ivr.connect.is_empty() && ivr.sip_to.is_empty());
    let settings = &config.app_settings["ivr"];
    assert!(ivr.status_callback.is_none() && settings.document.is_none());
    assert_eq!(config.api.auth_token.as_ref().unwrap().reveal(), TOKEN);
    assert!(config.api.connect.is_empty() && config.numbers.is_empty());
    assert_eq!(config.routes[0].connect[0], TargetSpec::App("ivr".into()));
    let table = config.table(&HashMap::new());
    let plan = table.plan(&CallInfo { from: "carrier", called: "100", ..CallInfo::default() }, &mut |_| 0).unwrap();
    let [CallTarget::App(app), CallTarget::Trunk { .. }] = &plan.targets[..] else { panic!("{:?}", plan.targets) };
    assert_eq!(app.place(), "https://app.example.com/voice");
}

#[test]
fn an_app_with_everything() {
    let lines = "url = 'http://ann:hunter2@10.0.0.9:3000/v?key=hunter2#ct=2000&rt=100&tt=15000&rc=5&rp=5xx,ct'\n\
                 method = 'GET'\nfallback_url = 'https://b.example/'\nstatus_callback = 'https://c.example/s'\n\
                 status_callback_events = ['completed', 'initiated', 'completed']\nallow_private = true\n\
                 sip_to = ['sip:*@pbx.example.com', 'sips:1*@*.example.com:5071']\n";
    let config = accepted(&app(lines).replace("[[route]]", "connect = ['trunk:carrier', 'trunk:pbx']\n[[route]]"));
    let ivr = &config.apps[0];
    assert!(matches!(&ivr.document, AppDocument::Url { method: WebhookMethod::Get, url } if url.contains("#ct=2000")));
    assert_eq!(ivr.fallback_url.as_deref(), Some("https://b.example/"));
    assert!(ivr.allow_private);
    assert_eq!(
        ivr.sip_to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        "sip:*@pbx.example.com sips:1*@*.example.com:5071"
    );
    let trunk = |name: &str| TargetSpec::Trunk { name: name.into(), number: None, weight: None };
    assert_eq!(ivr.connect, [trunk("carrier"), trunk("pbx")]);
    let wanted = |config: &Config| {
        let callback = config.apps[0].status_callback.clone().unwrap();
        assert_eq!(callback.url, "https://c.example/s");
        [callback.initiated, callback.ringing, callback.answered, callback.completed]
    };
    assert_eq!(wanted(&config), [true, false, false, true]);
    assert!(!format!("{config:?}").contains("hunter2"));
    let default = accepted(&app("url = 'https://a.example/'\nstatus_callback = 'https://c.example/s'"));
    assert_eq!(wanted(&default), [false, false, false, true]);
}

#[test]
fn each_mistake_of_an_app_is_at_its_place() {
    let url = "url = 'https://a.example/'";
    for (lines, expected) in [
        ("", &[("TG0106", "[app.ivr]")][..]),
        ("allow_private = true", &[("TG0106", "[app.ivr]")]),
        ("url = 'https://a.example/'\nfile = '/x.xml'", &[("TG0105", "'/x.xml'"), ("TG0105", "'/x.xml'")]),
        ("url = 5", &[("TG0103", "5")]),
        ("url = 'app.example.com'", &[("TG0154", "'app.example.com'")]),
        ("url = 'ftp://a.example/'", &[("TG0154", "'ftp://a.example/'")]),
        ("url = 'https://'", &[("TG0154", "'https://'")]),
        ("url = 'https://a.example:0/'", &[("TG0154", "'https://a.example:0/'")]),
        ("url = ' https://a.example/'", &[("TG0154", "' https://a.example/'")]),
        (&format!("{url}\nmethod = 'post'"), &[("TG0105", "'post'")]),
        (&format!("{url}\nfallback_url = 'x'"), &[("TG0154", "'x'")]),
        (&format!("{url}\nstatus_callback = 'x'"), &[("TG0154", "'x'")]),
        (&format!("{url}\nstatus_callback_events = 'answered'"), &[("wTG0105", "'answered'")]),
        (&format!("{url}\nstatus_callback = 'https://b.example/'\nstatus_callback_events = []"), &[("TG0105", "[]")]),
        (
            &format!("{url}\nstatus_callback = 'https://b.example/'\nstatus_callback_events = ['ring']"),
            &[("TG0105", "'ring'")],
        ),
        (
            &format!("{url}\nsip_to = ['trunk:pbx', 'sip:pbx', '*']"),
            &[("TG0112", "'trunk:pbx'"), ("TG0112", "'sip:pbx'"), ("TG0112", "'*'")],
        ),
        (&format!("{url}\nvoice_url = 'x'"), &[("TG0104", "voice_url")]),
        (&format!("{url}\nconnect = 'trunk:pbx'"), &[("TG0104", "connect")]),
    ] {
        check(&app(lines), expected);
    }
    check("[app]\nx = 1\n", &[("TG0103", "1"), ("wTG0130", "")]);
    check("app = 1\n", &[("TG0103", "1"), ("wTG0130", "")]);
    let unused = file("[app.ivr]\nurl = 'https://a.example/'\n[[route]]\nconnect = 'trunk:pbx'\n");
    check(&unused, &[("wTG0145", "ivr")]);
    let grouped =
        "[app.ivr]\nurl = 'https://a.example/'\n[group.desk]\nconnect = 'app:ivr'\n[[route]]\nconnect = 'group:desk'\n";
    check(&file(grouped), &[]);
}

#[test]
fn the_fragment_of_a_webhook_is_judged_as_connection_overrides() {
    for (fragment, expected) in [
        ("ct=100&rt=15000&tt=100&rc=0&rp=all", None),
        ("ct=99", Some("TG0154")),
        ("ct=10001", Some("TG0154")),
        ("rt=15001", Some("TG0154")),
        ("tt=soon", Some("TG0154")),
        ("rc=6", Some("TG0154")),
        ("rc=-1", Some("TG0154")),
        ("rp=6xx", Some("TG0154")),
        ("rp=", Some("TG0154")),
        ("section-2", Some("wTG0154")),
        ("sni=n", Some("wTG0154")),
        ("cc=100", Some("wTG0154")),
    ] {
        let value = format!("'https://a.example/x#{fragment}'");
        let expected: Vec<_> = expected.iter().map(|code| (*code, value.as_str())).collect();
        check(&app(&format!("url = {value}")), &expected);
    }
}

#[test]
fn a_url_that_can_never_be_reached_is_refused() {
    for (host, is_private) in [
        ("127.0.0.1", true),
        ("localhost", true),
        ("app.LOCALHOST", true),
        ("10.1.2.3", true),
        ("192.168.0.9:8080", true),
        ("169.254.1.1", true),
        ("[::1]", true),
        ("[fd12::1]", true),
        ("[fe80::1]", true),
        ("[::ffff:10.0.0.1]", true),
        ("0x7f.1", true),
        ("169.254.169.254", false),
        ("[fd00:ec2::254]", false),
        ("0.0.0.0", false),
        ("224.0.0.1", false),
    ] {
        for key in ["fallback_url", "status_callback"] {
            let value = format!("'http://{host}/'");
            let lines = format!("url = 'https://a.example/'\n{key} = {value}\n");
            check(&app(&lines), &[("TG0154", &value)]);
            let allowed = format!("{lines}allow_private = true");
            let refused = [("TG0154", value.as_str())];
            check(&app(&allowed), if is_private { &[] } else { &refused });
        }
    }
    let (Ok((_, found)) | Err(found)) = parse(&app("url = 'http://127.0.0.1:9/'"));
    let help = "set `allow_private = true` in [app.ivr] if your own application is there, or use its public address";
    assert!(found.iter().any(|one| one.help == help), "{found:#?}");
    // The edge's own address is rejected, whichever settings the application has.
    let own = "'http://127.0.0.1:8080/v'";
    check(&app(&format!("url = {own}\nallow_private = true")), &[("TG0154", own)]);
    check(&app("url = 'http://8.8.8.8/'\nfallback_url = 'https://app.internal/'"), &[]);
}

#[test]
fn an_app_with_a_url_needs_a_token_and_a_long_one() {
    let without = app("url = 'https://a.example/'").replace(&format!("auth_token = '{TOKEN}'\n"), "");
    check(&without, &[("TG0106", "'https://a.example/'")]);
    let short = app("url = 'https://a.example/'").replace(TOKEN, &TOKEN[1..]);
    check(&short, &[("wTG0156", &format!("'{}'", &TOKEN[1..]))]);
    let unset = app("url = 'https://a.example/'").replace(&format!("'{TOKEN}'"), "{ env = 'TRUNKGATE_NO_SUCH' }");
    check(&unset, &[("TG0110", "'TRUNKGATE_NO_SUCH'")]);
    // A document without webhooks needs no signature key.
    let folder =
        Folder::new(&format!("{TRUNKS}{ROUTE}[app.ivr]\nfile = 'menu.xml'\n"), &[("menu.xml", b"<Response/>")]);
    assert_eq!(folder.found(), [""; 0]);
    assert_eq!(folder.config().app_settings["ivr"].document.as_deref(), Some("<Response/>"));
    assert_eq!(folder.config().apps[0].document, AppDocument::File("menu.xml".into()));
}

#[test]
fn the_api_has_an_account_and_trunks() {
    let api = |lines: &str| file(&format!("{lines}\n[[route]]\nconnect = 'trunk:pbx'\n"));
    for (lines, expected) in [
        ("connect = 'trunk:carrier'", &[][..]),
        ("connect = []", &[("TG0106", "[]")]),
        ("connect = 'trunk:carier'", &[("TG0120", "'trunk:carier'")]),
        (
            "connect = ['trunk:carrier/100', 'trunk:pbx@5']",
            &[("TG0112", "'trunk:carrier/100'"), ("TG0112", "'trunk:pbx@5'")],
        ),
        ("connect = ['agent:a', 'group:g']", &[("TG0112", "'agent:a'"), ("TG0112", "'group:g'")]),
        ("allow_private = true", &[]),
        ("requests_per_second = 5", &[]),
        ("proxy = true", &[]),
        ("proxy = \"tunnel\"", &[]),
        ("proxy = \"all\"", &[("TG0105", "\"all\"")]),
        ("proxy = 1", &[("TG0103", "1")]),
        ("token = 'x'", &[("TG0104", "token")]),
    ] {
        check(&api(lines), expected);
    }
    let alone =
        "[api]\nrequests_per_second = 5\n[trunk.pbx]\npeers = ['sip:10.0.0.5']\n[[route]]\nconnect = 'trunk:pbx'\n";
    check(alone, &[("wTG0105", "5")]);
    let named = |name: &str| accepted(&format!("[edge]\nname = '{name}'\n{}", api(""))).api.account_sid;
    assert_eq!(named("edge-1"), "AC6c8032919dfd8c347e0edfc8ea2deb14");
    assert_ne!(named("edge-2"), named("edge-1"));
}

#[test]
fn a_name_that_is_no_app_gets_a_suggestion() {
    let help = |text: &str| {
        let found = parse(text).unwrap_err();
        let [one] = &found[..] else { panic!("{found:#?}") };
        assert_eq!(one.code, "TG0153");
        one.help.clone()
    };
    let more = "[app.ivr]\nurl = 'https://a.example/'\n[agent.desk]\nurl = 'wss://a.example/'\n";
    let route = |target: &str| file(&format!("[[route]]\nconnect = ['{target}', 'app:ivr', 'agent:desk']\n{more}"));
    assert_eq!(help(&route("app:irv")), "did you mean \"ivr\"?");
    assert_eq!(help(&route("app:desk")), "did you mean \"agent:desk\"?");
    assert_eq!(help(&route("app:pbx")), "did you mean \"trunk:pbx\"?");
    assert_eq!(help(&route("app:nothing-like-it")), "the apps are ivr");
    assert_eq!(help(&file("[[route]]\nconnect = 'app:x'\n")), "the file has no apps");
    check(&route("app:"), &[("TG0112", "'app:'")]);
    check(&route("ap:ivr"), &[("TG0112", "'ap:ivr'")]);
    for wrong in ["app:ivr", "play:x.wav"] {
        let text = file(&format!(
            "[[route]]\nconnect = [{{ ring_all = ['trunk:pbx', '{wrong}'] }}, 'app:ivr']\n[app.ivr]\nurl = 'https://a.example/'\n"
        ));
        let (Ok((_, found)) | Err(found)) = parse(&text);
        let about = format!("'{wrong}'");
        let is_it = |one: &&Diagnostic| one.code == "TG0112" && text[one.span.clone().unwrap()] == about;
        assert_eq!(found.iter().filter(is_it).count(), 1, "{found:#?}");
    }
}

#[test]
fn a_sound_is_below_the_configuration_and_can_be_decoded() {
    let toml = |target: &str| format!("{TRUNKS}[[route]]\nconnect = ['trunk:pbx', '{target}']\n");
    let tone = tone();
    let files: [(&str, &[u8]); 3] = [("sounds/closed.mp3", &tone), ("text.wav", b"no sound"), ("numbers.csv", b"to,connect\n+14155550100,play:sounds/closed.mp3 play:none.wav\n+14155550101,trunk:pbx play:text.wav\n+14155550102,play:../x.wav\n")];
    let folder = |target: &str| Folder::new(&toml(target), &files);
    let good = folder("play:sounds/closed.mp3");
    assert_eq!(good.found(), [""; 0]);
    let config = good.config();
    assert_eq!(config.routes[0].connect[1], TargetSpec::Play("sounds/closed.mp3".into()));
    assert!(config.sounds["sounds/closed.mp3"].len() > 800, "a tone at 8 kHz");
    for (target, expected) in [
        ("play:", "TG0112 t.toml:6:25 \"play:\": no file is named"),
        ("play:/etc/passwd", "TG0112 t.toml:6:25 \"play:/etc/passwd\": an absolute path"),
        ("play:../x.wav", "TG0112 t.toml:6:25 \"play:../x.wav\": `..` leads out of the directory of the configuration"),
        ("play:none.wav", "TG0114 t.toml:6:25 \"play:none.wav\": no such file"),
        ("play:sounds", "TG0114 t.toml:6:25 \"play:sounds\": it is a directory"),
    ] {
        let found = folder(target).found();
        assert!(
            found.len() == 1
                && found[0].starts_with(expected.rsplit_once("it is").map_or(expected, |(begin, _)| begin)),
            "{found:?}"
        );
    }
    let found = folder("play:text.wav").found();
    assert!(found.len() == 1 && found[0].starts_with("TG0114 t.toml:6:25 \"play:text.wav\": "), "{found:?}");
    let link = folder("play:out.wav");
    std::os::unix::fs::symlink("/etc/hostname", link.0.path().join("out.wav")).unwrap();
    assert_eq!(
        link.found(),
        ["TG0114 t.toml:6:25 \"play:out.wav\": a symbolic link leads out of the directory of the configuration"]
    );

    let csv = Folder::new(&format!("{TRUNKS}[[route]]\nroutes_file = 'numbers.csv'\n"), &files);
    let found = csv.found();
    let begins = [
        "TG0114 numbers.csv:2:14 \"play:none.wav\"",
        "TG0114 numbers.csv:3:14 \"play:text.wav\"",
        "TG0112 numbers.csv:4:14 \"play:../x.wav\"",
    ];
    assert!(found.len() == 3 && found.iter().zip(begins).all(|(one, begin)| one.starts_with(begin)), "{found:#?}");
}

#[test]
fn a_document_is_judged_at_its_place() {
    let toml = |file: &str| format!("{TRUNKS}{ROUTE}[app.ivr]\nfile = '{file}'\n");
    let large = vec![b' '; (64 << 10) + 1];
    let files: [(&str, &[u8]); 6] = [
        ("menu.xml", b"<Response/>"),
        ("empty.xml", b"\xef\xbb\xbf \n"),
        ("latin.xml", b"<Response>\n <Say>\xe9</Say>"),
        ("broken.xml", b"<Response>\n  <Hangup></Response>"),
        ("odd.xml", b"<Response>\n  <Frobnicate/>\n</Response>"),
        ("large.xml", &large),
    ];
    for (file, expected) in [
        ("menu.xml", &[][..]),
        ("./menu.xml", &[]),
        ("none.xml", &["TG0114 t.toml:9:8 `file`: \"none.xml\": no such file"]),
        ("large.xml", &["TG0114 t.toml:9:8 `file`: \"large.xml\": more than 64 KiB"]),
        ("empty.xml", &["TG0155 empty.xml:1:1 `file`: the document has no element"]),
        ("latin.xml", &["TG0155 latin.xml:2:7 `file`: the document is not UTF-8"]),
        ("/menu.xml", &["TG0105 t.toml:9:8 `file`: \"/menu.xml\": an absolute path"]),
        (
            "../menu.xml",
            &["TG0105 t.toml:9:8 `file`: \"../menu.xml\": `..` leads out of the directory of the configuration"],
        ),
    ] {
        assert_eq!(Folder::new(&toml(file), &files).found(), expected, "{file}");
    }
    let folder = Folder::new(&toml("latin.xml"), &files);
    let found = config::load(&folder.toml()).unwrap_err();
    let text = config::render(&folder.toml(), &toml("latin.xml"), &found);
    assert!(
        text.contains("latin.xml:2:7\n  |\n2 |  <Say>\u{fffd}</Say>\n  |       ^ save the file as UTF-8"),
        "{text}"
    );
}

#[test]
fn a_number_with_an_app_comes_before_the_routes() {
    let phones = "[trunk.phone]\naccept_register = true\nrequire_auth = { username = 'a', password = 'a-long-one' }\n";
    let numbers = "[[number]]\nnumber = '415 555 0100'\nname = 'Front desk'\napp = 'ivr'\n\
                   [[number]]\nnumber = '+14155550101'\napp = 'ivr'\nfrom = ['phone']\n[[number]]\nnumber = '+14155550102'\n";
    let app = "[app.ivr]\nurl = 'https://a.example/'\n";
    let routes = "[[route]]\nname = 'emergency'\nto = ['911']\nconnect = 'trunk:carrier'\n[[route]]\nname = 'all'\nconnect = 'trunk:pbx'\n";
    let config = accepted(&format!("{phones}{}", file(&format!("{numbers}{app}{routes}"))));
    let table = config.table(&HashMap::new());
    let route = |from: &str, called: &str| {
        let plan = table.plan(&CallInfo { from, called, ..CallInfo::default() }, &mut |_| 0).unwrap();
        plan.route.name.to_string()
    };
    assert_eq!(route("carrier", "+14155550100"), "number +14155550100");
    assert_eq!(route("pbx", "+14155550100"), "number +14155550100");
    assert_eq!(route("phone", "+14155550100"), "all");
    assert_eq!(route("phone", "+14155550101"), "number +14155550101");
    assert_eq!(route("carrier", "+14155550101"), "all");
    assert_eq!(route("carrier", "+14155550102"), "all");
    let first = &config.numbers[0];
    assert_eq!(
        (first.number.as_str(), first.name.as_deref(), first.app.as_deref()),
        ("+14155550100", Some("Front desk"), Some("ivr"))
    );
    assert_eq!(
        (&first.from[..], &config.numbers[1].from[..]),
        (&["carrier".to_owned(), "pbx".into()][..], &["phone".to_owned()][..])
    );
    // The route has the conditions of the `[[number]]` entry, so the number of trunks does not matter.
    let plain = accepted(&file(&format!("{}{app}{routes}", numbers.replace("from = ['phone']\n", ""))));
    assert!(plain.routes[0].from.is_empty() && plain.places.route(0) == Some(8), "{:?}", plain.routes[0]);
}

#[test]
fn each_mistake_of_a_number_is_at_its_place() {
    let with = |numbers: &str| file(&format!("{numbers}[app.ivr]\nurl = 'https://a.example/'\n{ROUTE}"));
    let one = "[[number]]\nnumber = '+14155550100'\n";
    let carrier = format!("{one}from = 'carrier'\n");
    for (numbers, expected) in [
        ("[[number]]\napp = 'ivr'\n".to_owned(), &[("TG0106", "[[number]]")][..]),
        ("[[number]]\nnumber = '555'\n".to_owned(), &[("TG0105", "'555'")]),
        ("[[number]]\nnumber = 'service'\n".to_owned(), &[("TG0105", "'service'")]),
        ("[[number]]\nnumber = 14155550100\n".to_owned(), &[("TG0103", "14155550100")]),
        (format!("{one}name = ''\n"), &[("TG0105", "''")]),
        (format!("{one}name = \"a\\nb\"\n"), &[("TG0105", "\"a\\nb\"")]),
        (format!("{one}app = 'irv'\n"), &[("TG0153", "'irv'")]),
        (format!("{one}app = 'app:ivr'\n"), &[("TG0105", "'app:ivr'")]),
        (format!("{one}from = []\n"), &[("TG0105", "[]")]),
        (format!("{one}from = ['carier']\n"), &[("TG0120", "'carier'")]),
        (format!("{one}from = ['carier']\napp = 'ivr'\n"), &[("TG0120", "'carier'")]),
        (format!("{one}friendly_name = 'x'\n"), &[("TG0104", "friendly_name")]),
        (format!("{one}{one}"), &[("TG0107", "'+14155550100'")]),
        (format!("{one}{carrier}"), &[("TG0107", "'+14155550100'")]),
        (format!("{carrier}{one}from = ['pbx', 'carrier']\napp = 'ivr'\n"), &[("TG0107", "'+14155550100'")]),
        (format!("{carrier}app = 'ivr'\n{one}from = ['pbx']\napp = 'ivr'\n"), &[]),
    ] {
        check(&with(&numbers), expected);
    }
    check("[number]\nnumber = '+14155550100'\n", &[("TG0103", "[number]"), ("wTG0130", "")]);
    // The route for the number has become unreachable.
    let hidden = format!("{one}app = 'ivr'\n[[route]]\nname = 'old'\nto = '+14155550100'\nconnect = 'trunk:pbx'\n");
    check(&with(&hidden), &[("wTG0122", "'old'")]);
    let phones = "[trunk.phone]\naccept_register = true\nrequire_auth = { username = 'a', password = 'a-long-one' }\n";
    let app = format!("[api]\nauth_token = '{TOKEN}'\n[app.ivr]\nurl = 'https://a.example/'\n");
    let routes = "[[route]]\nconnect = ['app:ivr']\n";
    check(&format!("{phones}{one}app = 'ivr'\n{app}{routes}"), &[("wTG0130", "'+14155550100'")]);
}

#[test]
fn voices_are_names_for_names() {
    let speech = |lines: &str| app(&format!("url = 'https://a.example/'\n[speech]\n{lines}"));
    let config =
        accepted(&speech("url = 'https://tts.example/'\nvoices = { 'Polly.Joanna' = 'en-us+f3', alice = 'x' }"));
    let voices = config.speech.unwrap().voices;
    assert_eq!(voices.get("Polly.Joanna").map(String::as_str), Some("en-us+f3"));
    assert_eq!(voices.len(), 2);
    let url = "url = 'https://tts.example/'\n";
    check(&speech(&format!("{url}voices = {{ a = 5 }}")), &[("TG0103", "5")]);
    check(&speech(&format!("{url}voices = {{ a = '' }}")), &[("TG0105", "''")]);
    check(&speech(&format!("{url}voices = ['a']")), &[("TG0103", "['a']")]);
    check(&speech("command = ['cat', '{text}']\nvoices = { a = 'b' }"), &[("wTG0105", "{ a = 'b' }")]);
    let without = file(&format!("[[route]]\nconnect = 'trunk:pbx'\n[speech]\n{url}voices = {{ a = 'b' }}\n"));
    check(&without, &[("wTG0139", "[speech]"), ("wTG0105", "{ a = 'b' }")]);
    // Requests may define applications, which may need speech.
    check(&format!("{without}[[number]]\nnumber = '+14155550100'\n"), &[]);
}

#[test]
fn clients_are_sip_parties_and_agents() {
    let client = |lines: &str| app(&format!("url = 'https://a.example/'\n[client]\n{lines}"));
    let config =
        accepted(&client("agent1 = 'trunk:pbx/201'\n'ann@example.com' = ['trunk:pbx/202', 'sip:ann@192.0.2.7']"));
    let targets: Vec<_> = config.clients.iter().map(|(name, targets)| (&**name, targets.len())).collect();
    assert_eq!(targets, [("agent1", 1), ("ann@example.com", 2)]);
    let config = accepted(&client("bot = ['trunk:pbx/201', 'agent:desk']\n[agent.desk]\nurl = 'ws://127.0.0.1:9/a'"));
    assert_eq!(config.clients["bot"].len(), 2);
    for (line, code, about) in [
        ("a = 'trunk:pbx'", "TG0112", "'trunk:pbx'"),
        ("a = 'agent:b'", "TG0133", "'agent:b'"),
        ("a = 'agent:ear'\n[agent.ear]\nurl = 'rtp://10.0.0.9:6000'", "TG0112", "'agent:ear'"),
        ("a = 'app:ivr'", "TG0112", "'app:ivr'"),
        ("a = 'trunk:none/1'", "TG0120", "'trunk:none/1'"),
        ("a = 5", "TG0103", "5"),
        ("a = []", "TG0106", "[]"),
        ("' ' = 'trunk:pbx/1'", "TG0105", "' '"),
    ] {
        check(&client(line), &[(code, about)]);
    }
}

#[test]
fn why_and_config_show_name_the_number_and_no_secret() {
    let toml =
        app("url = 'https://ann:hunter2@a.example/v?key=hunter2#rc=2'\nstatus_callback = 'https://b.example/?hunter2'")
            .replace(TOKEN, "hunter2hunter2hunter2hunter2hunter2")
            + "[[number]]\nnumber = '+14155550100'\napp = 'ivr'\n";
    let folder = Folder::new(&toml, &[]);
    let run = |words: &[&str]| {
        let file = folder.toml();
        let mut all = vec!["--config", file.to_str().unwrap()];
        all.extend(words);
        let output = Command::new(env!("CARGO_BIN_EXE_trunkgate")).args(&all).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !text.contains("hunter2"), "{text}");
        text
    };
    let why = run(&["why", "--from", "carrier", "--called", "+14155550100"]);
    let (name, line) = ("number +14155550100", toml.lines().position(|line| line.starts_with("number")).unwrap() + 1);
    assert!(
        why.contains(&format!("1 {name}   yes  to +14155550100 ")) && why.contains(&format!("t.toml:{line})")),
        "{why}"
    );
    assert!(why.contains("app:ivr") && why.contains("https://a.example/v"), "{why}");
    let shown = run(&["config", "show"]);
    for expected in [
        "[app.ivr]",
        "url = \"https://a.example/v?(not shown)\"",
        "auth_token = \"(not shown)\"",
        "method = \"POST\"   # default",
        "[[number]]",
        "allow_private = false   # default",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    run(&["check"]);
}

#[test]
fn a_reload_tells_what_has_changed() {
    let told =
        |old: &Config, new: &Config| config::differences(old, new).iter().map(ToString::to_string).collect::<Vec<_>>();
    let numbers = "[[number]]\nnumber = '+14155550100'\napp = 'ivr'\n[[number]]\nnumber = '+14155559100'\n";
    let base = format!("{}{numbers}", app("url = 'https://a.example/?key=hunter2'"));
    let old = accepted(&base);
    for (from, to, expected) in [
        ("hunter2", "hunter3", "app ivr: url changed (secret value)"),
        ("a.example", "b.example", "app ivr: url changed"),
        ("[[number]]\nnumber = '+14155559100'\n", "", "number +1415****100: removed"),
        ("number = '+14155559100'", "number = '+14155559100'\nname = 'x'", "number +1415****100: name added"),
        (TOKEN, "fedcba9876543210fedcba9876543210", "[api] auth_token changed (secret value)"),
        ("[app.ivr]", "[app.ivr]\nallow_private = true", "app ivr: allow_private false -> true"),
    ] {
        let expected = expected.replace("100: removed", "100 removed");
        assert_eq!(told(&old, &accepted(&base.replacen(from, to, 1))), [expected], "{from}");
    }
    let toml = format!(
        "{TRUNKS}[[route]]\nconnect = ['trunk:pbx', 'app:menu', 'play:closed.mp3']\n[app.menu]\nfile = 'menu.xml'\n"
    );
    let folder = Folder::new(&toml, &[("menu.xml", b"<Response/>"), ("closed.mp3", &tone())]);
    let old = folder.config();
    std::fs::write(folder.0.path().join("menu.xml"), "<Response></Response>").unwrap();
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tone.ogg"),
        folder.0.path().join("closed.mp3"),
    )
    .unwrap();
    let expected = ["route route-1: connect: the contents of closed.mp3", "app menu: file: the contents of menu.xml"];
    assert_eq!(told(&old, &folder.config()), expected);
}

#[test]
fn documents_that_a_document_leads_to_are_checked_with_their_sounds() {
    let toml = format!("{TRUNKS}[speech]\ncommand = ['echo', '{{text}}']\n{ROUTE}[app.ivr]\nfile = './menu.xml'\n");
    let menu = "<Response>\n<Gather action='choice-{{Digits}}.xml'><Say>One</Say>\n <Play>sounds/none.wav</Play></Gather>\n\
                <Dial action='sounds/after.xml'><Number url='whisper.xml'>100</Number></Dial>\n<Play digits='1'>x.wav</Play>\n\
                <Play>https://a.example/x.wav</Play><Play>../up.wav</Play>\n<Redirect>menu.xml</Redirect></Response>";
    let after = "<Response>\n<Play>here.mp3</Play><Play>/etc/x.wav</Play><Foo/>\n<Redirect>../menu.xml</Redirect>\n\
                 <Redirect>broken.xml</Redirect><Redirect/></Response>";
    let tone = tone();
    let files: [(&str, &[u8]); 5] = [
        ("menu.xml", menu.as_bytes()),
        ("choice-1.xml", b"<Response/>"),
        ("sounds/after.xml", after.as_bytes()),
        ("sounds/here.mp3", &tone),
        ("sounds/broken.xml", b"<Response>\n<Say></Response>"),
    ];
    let folder = Folder::new(&toml, &files);
    assert_eq!(
        folder.found(),
        [
            "TG0155 menu.xml:5:1 `file`: <Play> with digits does not play its URL",
            "TG0155 menu.xml:3:2 `file`: the sound \"sounds/none.wav\": no such file",
            "TG0155 menu.xml:4:33 `file`: the document \"whisper.xml\": no such file",
            "TG0155 sounds/after.xml:2:45 `file`: unknown element <Foo> in <Response> is skipped",
            "TG0155 menu.xml:6:37 `file`: the file \"../up.wav\" is outside of the document's folder",
            "TG0155 sounds/after.xml:2:22 `file`: the file \"/etc/x.wav\" is not a path relative to the document's folder",
            "TG0155 sounds/broken.xml:2:6 `file`: ill-formed document: expected `</Say>`, but `</Response>` was found",
        ]
    );
    assert!(
        folder.config().app_settings["ivr"].document.is_some(),
        "what comes later is no error of the configuration"
    );
}

#[test]
fn files_that_a_name_with_parameters_may_stand_for_are_checked() {
    let toml = format!("{TRUNKS}{ROUTE}[app.ivr]\nfile = 'menu.xml'\n");
    let menu = "<Response><Gather action='sounds/choice-{{Digits}}.xml'/>\n<Gather action='none-{{Digits}}.xml'/>\n\
                <Gather action='none-{{Digits}}.xml'/><Gather action='{{From}}/menu.xml'/><Gather action='../{{Digits}}.xml'/>\n\
                <Gather action='https://a.example/{{Digits}}.xml'/><Gather action='nowhere/{{Digits}}.xml'/></Response>";
    let files: [(&str, &[u8]); 6] = [
        ("menu.xml", menu.as_bytes()),
        ("sounds/choice-.xml", b"<Response><Redirect>../none.xml</Redirect></Response>"),
        ("sounds/choice-2.xml", b"<Response>\n<Redirect>choice-{{Digits}}.xml</Redirect></Response>"),
        ("sounds/choice-3.xml", b"<Response>\n<Say></Response>"),
        ("sounds/choice-3.xml.orig", b"<Response>"),
        ("sounds/other.xml", b"<Response>"),
    ];
    let folder = Folder::new(&toml, &files);
    assert_eq!(
        folder.found(),
        [
            "TG0155 sounds/choice-3.xml:2:6 `file`: ill-formed document: expected `</Say>`, but `</Response>` was found",
            "TG0155 menu.xml:2:1 `file`: no file has a name like \"none-{{Digits}}.xml\"",
            "TG0155 menu.xml:3:75 `file`: the file \"../{{Digits}}.xml\" is outside of the document's folder",
            "TG0155 menu.xml:4:52 `file`: no file has a name like \"nowhere/{{Digits}}.xml\"",
            "TG0155 sounds/choice-.xml:1:11 `file`: the document \"none.xml\": no such file",
        ]
    );
}

#[test]
fn names_with_parameters_are_found_beside_a_configuration_without_a_folder() {
    let menu: &[u8] =
        b"<Response><Gather action='choice-{{Digits}}.xml'/><Gather action='none-{{Digits}}.xml'/></Response>";
    let files: [(&str, &[u8]); 2] = [("menu.xml", menu), ("choice-1.xml", b"<Response/>")];
    let folder = Folder::new(&format!("{TRUNKS}{ROUTE}[app.ivr]\nfile = 'menu.xml'\n"), &files);
    let mut check = Command::new(env!("CARGO_BIN_EXE_trunkgate"));
    let output = check.args(["check", "--config", "t.toml"]).current_dir(folder.0.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no file has a name like \"none-{{Digits}}.xml\""), "{text}");
    assert!(!text.contains("like \"choice-"), "{text}");
}

#[test]
fn a_text_that_nothing_could_speak_is_warned_of() {
    let toml = format!("{TRUNKS}{ROUTE}[app.ivr]\nfile = 'menu.xml'\n[speech]\ninstalled = false\n");
    let files: [(&str, &[u8]); 2] = [
        ("menu.xml", b"<Response><Redirect>more.xml</Redirect></Response>"),
        ("more.xml", b"<Response><Pause/>\n <Say>One</Say><Say>Two</Say></Response>"),
    ];
    let expected = "TG0155 more.xml:2:2 <Say>, but there is no text-to-speech: [speech] has neither `command` nor `url`, and espeak-ng is not installed or is switched off";
    assert_eq!(Folder::new(&toml, &files).found(), [expected]);
}

#[test]
fn documents_are_read_up_to_a_limit() {
    let toml = format!("{TRUNKS}{ROUTE}[app.ivr]\nfile = 'd0.xml'\n");
    let folder = Folder::new(&toml, &[]);
    for number in 0..600 {
        let text = format!("<Response><Redirect>d{}.xml</Redirect><Redirect>d0.xml</Redirect></Response>", number + 1);
        std::fs::write(folder.0.path().join(format!("d{number}.xml")), text).unwrap();
    }
    assert_eq!(folder.found(), [""; 0], "d600.xml is missing, and not looked at");
    std::fs::remove_file(folder.0.path().join("d499.xml")).unwrap();
    assert_eq!(folder.found(), ["TG0155 d498.xml:1:11 `file`: the document \"d499.xml\": no such file"]);
}
