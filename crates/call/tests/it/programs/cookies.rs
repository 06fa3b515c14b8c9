//! Cookies of a call: kept between requests and over a restart, and dropped with the call.

use std::time::SystemTime;

use trunkgate_call::GatewayInput;
use trunkgate_cookies::{Cookie, RequestSite};
use trunkgate_route::TargetSpec;

use super::{Menu, table};
use crate::bench::agents::hang_up;
use crate::bench::{CARRIER, offer};

const SITE: RequestSite<'_> = RequestSite { host: "app.example.com", path: "/voice", is_https: true };

const DOCUMENT: &str = "<Say>one</Say><Redirect>/next</Redirect>";

/// Ends the prompt, so that the next document is requested.
fn goes_on(menu: &mut Menu) {
    menu.spoken(3);
    menu.played();
}

/// Sets cookies with an answer of the application.
fn set(menu: &mut Menu, call: &str, headers: &[&str]) {
    let cookies = headers.iter().map(|text| Cookie::parse(text, SITE, SystemTime::UNIX_EPOCH).unwrap()).collect();
    menu.bench.input(GatewayInput::CookiesSet { call: call.to_owned(), cookies });
}

/// Returns the cookies of the pending question.
fn sent(menu: &Menu) -> String {
    let cookies = &menu.bench.questions[0].cookies;
    cookies.header_for(SITE, SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[test]
fn a_call_has_its_cookies_to_its_end_and_over_a_restart() {
    let mut menu = Menu::answered(DOCUMENT);
    let call = menu.bench.gateway.calls(menu.bench.now)[0].sid.clone();
    set(&mut menu, &call, &["step=1; Path=/", "theme=dark; Path=/"]);
    set(&mut menu, "CA0", &["step=9; Path=/"]);
    goes_on(&mut menu);
    assert_eq!(sent(&menu), "step=1; theme=dark");
    set(&mut menu, &call, &["step=2; Path=/", "theme=; Max-Age=0; Path=/"]);
    menu.bench.questions.clear();
    menu.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    assert_eq!(sent(&menu), "step=2");
    hang_up(&mut menu.bench, &mut menu.caller);
    menu.ends("caller_hung_up");
}

#[test]
fn another_call_has_none_of_them() {
    let mut menu = Menu::answered(DOCUMENT);
    let call = menu.bench.gateway.calls(menu.bench.now)[0].sid.clone();
    set(&mut menu, &call, &["step=1; Path=/"]);
    menu.bench.questions.clear();
    menu.bench.invite(CARRIER, "+14155550100", &offer());
    menu.bench.expect(CARRIER, "SIP/2.0 100");
    menu.bench.expect(CARRIER, "SIP/2.0 180");
    assert_ne!(menu.bench.questions[0].call, call);
    assert_eq!(sent(&menu), "");
}
