//! Cookies of applications through the real binary: one jar for each call or conversation, and values that appear
//! nowhere.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::apps::{Rig as AppRig, path};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::twilio::{Deed, Twilio};
use crate::support::{PUBLIC_URL, until};
use crate::twilio_api::Rig;
use crate::twilio_inbound::set;
use crate::twilio_messages::{NUMBER, OURS, THEIRS, from_twilio};

/// Starts an application with a session cookie, as in web frameworks: each response increments it, and also sets a
/// secret cookie.
fn counting(document: impl Fn(&str, u32) -> String + Send + Sync + 'static) -> Endpoint {
    Endpoint::reading(TcpListener::bind("127.0.0.1:0").unwrap(), move |_, post, stream| {
        let step = step_of(post) + 1;
        let body = format!("<Response>{}</Response>", document(path(post), step));
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nSet-Cookie: step={step}; Path=/; HttpOnly\r\n\
             Set-Cookie: session=S3CRET-{step}; Path=/\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).is_ok()
    })
}

/// Returns the value of the application's own cookie; 0 if it is absent.
fn step_of(post: &Post) -> u32 {
    let cookies = post.headers.get("cookie").map_or("", String::as_str);
    cookies.split("; ").find_map(|pair| pair.strip_prefix("step=")).map_or(0, |step| step.parse().unwrap())
}

#[test]
fn a_menu_with_a_session_goes_on_instead_of_beginning_again() {
    let application = counting(|_, step| match step {
        1..=3 => "<Redirect>/voice</Redirect>".to_owned(),
        _ => "<Hangup/>".to_owned(),
    });
    let url = format!("http://{}/voice", application.address);
    let rig = AppRig::new(&format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n"), r#""app:ivr""#, &[]);
    rig.invite();
    let posts = until("four requests", || Some(application.posts()).filter(|posts| posts.len() >= 4));
    assert_eq!(posts.iter().map(step_of).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let trace = rig.trace();
    assert!(trace.contains("cookie set: step, session"), "{trace}");
    let json = rig.edge.get(&format!("/v1/calls/{}/trace", rig.edge.sid())).1;
    for shown in [trace, json, rig.edge.whole_log()] {
        assert!(!shown.contains("S3CRET"), "{shown}");
    }
}

#[test]
fn messages_of_one_sender_to_one_number_share_a_session_and_others_do_not() {
    let application = counting(|_, _| String::new());
    let twilio = Twilio::start(|_, _| Deed::Take);
    let rig = Rig::with(PUBLIC_URL, &format!("{NUMBER}{}", twilio.keys("")));
    set(&rig, &[("SmsUrl", &format!("http://{}/sms", application.address))]);
    let comes = |rig: &Rig, (sid, from): (&str, &str), steps: &[u32]| {
        let fields = [("MessageSid", sid), ("From", from), ("To", OURS), ("Body", "hi"), ("NumMedia", "0")];
        assert_eq!(from_twilio(rig, "/sms/inbound", &fields).0, 200);
        let posts = until("the webhook", || Some(application.posts()).filter(|posts| posts.len() == steps.len()));
        assert_eq!(posts.iter().map(step_of).collect::<Vec<_>>(), steps);
    };
    comes(&rig, ("SM1", THEIRS), &[0]);
    comes(&rig, ("SM2", THEIRS), &[0, 1]);
    comes(&rig, ("SM3", "+14155550177"), &[0, 1, 0]);
    let noted = || rig.edge.json("/v1/api")["message_webhooks"].as_array().map(Vec::len);
    until("the answers are read", || (noted() == Some(3)).then_some(()));
    assert!(!rig.edge.whole_log().contains("S3CRET") && !rig.edge.get("/v1/api").1.contains("S3CRET"));
    // In a file that only the owner can read, sessions survive the process.
    let rig = Rig { edge: rig.edge.stop_and_start_again(), ..rig };
    comes(&rig, ("SM4", THEIRS), &[0, 1, 0, 2]);
    comes(&rig, ("SM5", "+14155550177"), &[0, 1, 0, 2, 1]);
    let file = std::fs::metadata(rig.edge.directory.path().join("trunkgate.db")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}
