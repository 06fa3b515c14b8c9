//! Tests with tables of cookies, and a property of arbitrary headers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use crate::{Cookie, CookieJar, MAX_COOKIES, MAX_JAR_BYTES, RejectedCookie, RequestSite};

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn https<'a>(host: &'a str, path: &'a str) -> RequestSite<'a> {
    RequestSite { host, path, is_https: true }
}

fn http<'a>(host: &'a str, path: &'a str) -> RequestSite<'a> {
    RequestSite { host, path, is_https: false }
}

/// Returns a jar with the cookies that `site` sets by these Set-Cookie headers.
fn jar(site: RequestSite<'_>, headers: &[&str]) -> CookieJar {
    let mut jar = CookieJar::default();
    for header in headers {
        if let Ok(cookie) = Cookie::parse(header, site, now()) {
            jar.store(cookie, now());
        }
    }
    jar
}

fn sent(jar: &CookieJar, site: RequestSite<'_>) -> String {
    jar.header_for(site, now()).unwrap_or_default()
}

#[test]
fn a_session_cookie_goes_back_to_its_host() {
    let flask = "session=eyJzdGVwIjoxfQ.Z0.abc-_; HttpOnly; Path=/";
    let jar = jar(https("app.example.com", "/voice"), &[flask]);
    assert_eq!(sent(&jar, https("app.example.com", "/menu")), "session=eyJzdGVwIjoxfQ.Z0.abc-_");
    for other in ["example.com", "b.app.example.com", "app.example.com.evil.test", "xapp.example.com"] {
        assert_eq!(sent(&jar, https(other, "/menu")), "", "{other}");
    }
}

#[test]
fn domain_widens_a_cookie_only_where_the_host_lies_in_it_and_others_cannot() {
    for (host, domain, elsewhere, goes) in [
        ("app.example.com", "example.com", "api.example.com", true),
        ("app.example.com", ".EXAMPLE.com", "api.example.com", true),
        ("example.com", "example.com", "api.example.com", true),
        // The domains are public suffixes, registered and private ones.
        ("app.example.com", "com", "other.com", false),
        ("app.example.co.uk", "co.uk", "other.co.uk", false),
        ("app.herokuapp.com", "herokuapp.com", "other.herokuapp.com", false),
        ("app.github.io", "github.io", "other.github.io", false),
        // The domains do not contain the host.
        ("app.example.com", "evil.test", "evil.test", false),
        ("app.example.com", "b.app.example.com", "b.app.example.com", false),
        ("notexample.com", "example.com", "example.com", false),
        // The hosts are names without a dot, and addresses.
        ("localhost", "localhost", "a.localhost", false),
        ("10.0.0.1", "0.0.1", "9.0.0.1", false),
        ("10.0.0.1", "10.0.0.1", "a.10.0.0.1", false),
        ("::1", "::1", "2::1", false),
    ] {
        let jar = jar(https(host, "/"), &[&format!("a=1; Domain={domain}")]);
        assert_eq!(sent(&jar, https(host, "/")), "a=1", "{host} {domain}");
        assert_eq!(sent(&jar, https(elsewhere, "/")) == "a=1", goes, "{host} {domain} {elsewhere}");
    }
}

#[test]
fn plain_http_replaces_no_secure_cookie() {
    let kept = jar(https("app.example.com", "/voice"), &["session=good; Secure; Path=/", "theme=dark; Path=/"]);
    for (set, host, path, is_accepted) in [
        ("session=evil; Path=/", "app.example.com", "/", false),
        ("session=evil; Path=/voice", "app.example.com", "/voice", false),
        ("session=evil; Domain=example.com; Path=/", "app.example.com", "/", false),
        ("theme=light; Path=/", "app.example.com", "/", true),
        ("session=own; Path=/", "other.test", "/", true),
    ] {
        let cookie = |site| Cookie::parse(set, site, now()).unwrap();
        assert_eq!(kept.accepts(&cookie(http(host, path))), is_accepted, "{set}");
        assert!(kept.accepts(&cookie(https(host, path))), "{set}");
    }
}

#[test]
fn a_secure_cookie_of_another_request_stays_when_an_earlier_request_ends_later() {
    let (plain, secure) = (http("app.example.com", "/"), https("app.example.com", "/"));
    // Two requests began with an empty jar; the cookies of the second one are stored first.
    let empty = CookieJar::default();
    let evil = Cookie::parse("session=evil; Path=/", plain, now()).unwrap();
    let removal = Cookie::parse("session=; Path=/; Max-Age=0", plain, now()).unwrap();
    assert!(empty.accepts(&evil));
    let mut kept = jar(secure, &["session=good; Secure; Path=/"]);
    for (cookie, expected) in [
        (evil, "session=good"),
        (removal, "session=good"),
        (Cookie::parse("theme=dark", plain, now()).unwrap(), "session=good; theme=dark"),
        (Cookie::parse("session=next; Path=/", secure, now()).unwrap(), "session=next; theme=dark"),
    ] {
        kept.store(cookie, now());
        assert_eq!(sent(&kept, secure), expected);
    }
    // A cookie restored from its serialised form is protected as well.
    let text = serde_json::to_string(&jar(secure, &["session=good; Secure; Path=/"])).unwrap();
    let mut restored: CookieJar = serde_json::from_str(&text).unwrap();
    restored.store(Cookie::parse("session=evil; Path=/", plain, now()).unwrap(), now());
    assert_eq!(sent(&restored, secure), "session=good");
}

#[test]
fn a_host_prefix_needs_no_domain_and_an_empty_age_is_none() {
    let site = https("app.example.com", "/");
    for set in ["__Host-a=1; Secure; Path=/; Domain=evil.test", "__Host-a=1; Secure; Path=/; Domain=example.com"] {
        assert_eq!(
            Cookie::parse(set, site, now()),
            Err(RejectedCookie::Insecure { name: "__Host-a".to_owned() }),
            "{set}"
        );
    }
    let past = "a=1; Max-Age=; Expires=Thu, 01 Jan 2015 00:00:00 GMT";
    assert!(jar(site, &[past]).is_empty(), "Expires counts");
    assert_eq!(sent(&jar(site, &["a=1; Max-Age="]), site), "a=1");
}

#[test]
fn path_limits_a_cookie() {
    for (set_at, attribute, asked, goes) in [
        ("/ivr/welcome", "", "/ivr/menu", true),
        ("/ivr/welcome", "", "/other", false),
        ("/ivr/welcome", "", "/ivrx", false),
        ("/welcome", "", "/other", true),
        ("", "", "/other", true),
        ("/a", "; Path=/ivr", "/ivr", true),
        ("/a", "; Path=/ivr", "/ivr/x", true),
        ("/a", "; Path=/ivr", "/ivrx", false),
        ("/a", "; Path=/ivr/", "/ivr", false),
        ("/a/b", "; Path=relative", "/a/c", true),
        ("/a/b", "; Path=", "/c", false),
        ("/a", "; Path=/", "", true),
    ] {
        let jar = jar(https("a.example", set_at), &[&format!("a=1{attribute}")]);
        assert_eq!(sent(&jar, https("a.example", asked)) == "a=1", goes, "{set_at} {attribute} {asked}");
    }
}

#[test]
fn secure_cookies_stay_on_tls() {
    let secure = "a=1; Secure";
    let rejected = Cookie::parse(secure, http("a.example", "/"), now()).unwrap_err();
    assert_eq!(rejected, RejectedCookie::Insecure { name: "a".to_owned() });
    let kept = jar(https("a.example", "/"), &[secure, "b=2"]);
    assert_eq!(sent(&kept, http("a.example", "/")), "b=2");
    assert_eq!(sent(&kept, https("a.example", "/")), "a=1; b=2");
    // Servers on this machine may set Secure cookies, as in development.
    for host in ["localhost", "app.localhost", "127.0.0.1", "::1"] {
        assert_eq!(sent(&jar(http(host, "/"), &[secure]), http(host, "/")), "a=1", "{host}");
    }
    for (header, is_kept) in [
        ("__Host-a=1; Secure; Path=/", true),
        ("__Host-a=1; Secure", false),
        ("__Host-a=1; Path=/", false),
        ("__Host-a=1; Secure; Path=/; Domain=a.example", false),
        ("__Secure-a=1; Secure", true),
        ("__Secure-a=1", false),
    ] {
        assert_eq!(Cookie::parse(header, https("x.a.example", "/b/c"), now()).is_ok(), is_kept, "{header}");
    }
}

#[test]
fn a_cookie_ends_by_max_age_expires_or_deletion() {
    let site = https("a.example", "/");
    let later = |seconds| now() + Duration::from_secs(seconds);
    for (attributes, seconds) in [
        ("Max-Age=60", Some(60)),
        ("Max-Age=60; Expires=Wed, 09 Jun 2021 10:18:14 GMT", Some(60)),
        ("Expires=Fri, 15 Jan 2027 08:01:00 GMT", Some(60)),
        ("Expires=Friday, 15-Jan-27 08:01:00 GMT", Some(60)),
        ("Expires=Fri Jan 15 08:01:00 2027", Some(60)),
        ("Max-Age=99999999999999999999", None),
        ("Expires=rubbish", None),
        ("", None),
    ] {
        let jar = jar(site, &[&format!("a=1; {attributes}")]);
        let ends = |at| jar.header_for(site, later(at)).is_none();
        match seconds {
            Some(seconds) => assert!(!ends(seconds - 1) && ends(seconds), "{attributes}"),
            None => assert!(!ends(10_000_000), "{attributes}"),
        }
    }
    for deletion in ["a=; Max-Age=0", "a=; Max-Age=-1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
        let mut kept = jar(site, &["a=1"]);
        kept.store(Cookie::parse(deletion, site, now()).unwrap(), now());
        assert!(kept.is_empty(), "{deletion}");
    }
}

#[test]
fn malformed_cookies_are_ignored() {
    for header in ["", "=1", "a", ";", "a\u{7}=1", "a=1\u{1}2"] {
        assert_eq!(Cookie::parse(header, https("a.example", "/"), now()).unwrap_err(), RejectedCookie::Malformed);
    }
    let long = format!("a={}", "x".repeat(4096));
    let rejected = Cookie::parse(&long, https("a.example", "/"), now()).unwrap_err();
    assert_eq!((rejected.name(), rejected.to_string().as_str()), (Some("a"), "4,097 bytes, 4,096 at most"));
}

#[test]
fn the_newest_value_counts_and_longer_paths_come_first() {
    let site = https("a.example", "/ivr/menu");
    let jar = jar(site, &["a=1; Path=/", "b=2; Path=/", "c=3; Path=/ivr", "a=4; Path=/"]);
    assert_eq!(sent(&jar, site), "c=3; a=4; b=2");
}

#[test]
fn a_jar_is_bounded() {
    let site = https("a.example", "/");
    let mut jar = CookieJar::default();
    for n in 0..10_000 {
        jar.store(Cookie::parse(&format!("c{n}={n}"), site, now()).unwrap(), now());
    }
    let header = sent(&jar, site);
    assert_eq!(header.split("; ").count(), MAX_COOKIES);
    assert!(header.ends_with("c9999=9999"));
    for n in 0..20 {
        jar.store(Cookie::parse(&format!("d{n}={}", "x".repeat(4000)), site, now()).unwrap(), now());
    }
    let header = sent(&jar, site);
    assert!(header.len() <= MAX_JAR_BYTES && header.contains("d19="), "{}", header.len());
}

#[test]
fn cookies_that_give_way_are_returned_oldest_first() {
    let site = https("a.example", "/");
    let mut jar = CookieJar::default();
    let mut store = |set: &str| {
        let evicted = jar.store(Cookie::parse(set, site, now()).unwrap(), now());
        evicted.iter().map(|cookie| cookie.name().to_owned()).collect::<Vec<_>>()
    };
    for n in 0..4 {
        assert!(store(&format!("k{n}={}", "x".repeat(4000))).is_empty(), "k{n}");
    }
    assert_eq!(store(&format!("k4={}", "x".repeat(4000))), ["k0"]);
    assert!(store("k4=; Max-Age=-1").is_empty(), "a removal evicts none");
    assert!(store("k5=1").is_empty(), "it has room");
}

#[test]
fn values_are_never_shown() {
    let jar = jar(https("a.example", "/"), &["session=S3CRET"]);
    let shown = format!("{jar:?}");
    assert!(shown.contains("session") && !shown.contains("S3CRET"), "{shown}");
}

#[test]
fn a_jar_survives_a_snapshot() {
    let kept = jar(https("a.example", "/"), &["a=1; Secure; Max-Age=60", "b=2; Domain=a.example"]);
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(serde_json::from_str::<CookieJar>(&text).unwrap(), kept);
}

proptest! {
    #[test]
    fn any_header_is_taken_or_rejected_and_never_breaks_a_request(
        headers in prop::collection::vec("\\PC{0,80}|[a-c]{0,2}=[a-z\"=, ]{0,5}(; ?(Domain|Path|Max-Age|Expires)=[a-z0-9./-]{0,12}){0,3}", 0..70),
        host in "[a-c]{1,2}(\\.[a-c]{1,2}){0,3}",
        path in "(/[a-c]{0,2}){0,3}",
    ) {
        let site = http(&host, &path);
        let refs: Vec<&str> = headers.iter().map(String::as_str).collect();
        let header = sent(&jar(site, &refs), site);
        prop_assert!(!header.chars().any(char::is_control));
        prop_assert!(header.len() <= MAX_JAR_BYTES + 2 * MAX_COOKIES);
        prop_assert!(header.is_empty() || header.split("; ").count() <= MAX_COOKIES);
    }
}
