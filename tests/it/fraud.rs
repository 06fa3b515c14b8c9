//! Limits and fraud protection through the real binary: configuration, refused numbers, daily counts across a reload,
//! alarms, and `why`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crate::support::sip::{Party, field, to_tag};
use crate::support::{Process, config, depends_on_machine, finish, until};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use trunkgate_config as file;

/// Returns code and message of each finding for a trunk's line.
fn wrong(line: &str) -> Vec<(&'static str, String)> {
    let text = format!("[trunk.far]\npeers = ['sip:10.0.0.5']\n{line}\n[[route]]\nconnect = ['trunk:far']\n");
    let (Ok((_, found)) | Err(found)) = file::parse(Path::new("t.toml"), &text);
    let found = found.into_iter().filter(|diagnostic| !depends_on_machine(diagnostic.code));
    found.map(|diagnostic| (diagnostic.code, diagnostic.message)).collect()
}

#[test]
fn what_a_file_may_say() {
    for line in [
        "allow_prefixes = ['+1', '+4420*', '1']",
        "allow_prefixes = '+1'",
        "high_risk = 'allow'",
        "calls_per_day = 100",
        "limits = [{ to = '+44*', calls_per_day = 5 }, { caller = ['+1*'], max_calls = 1, calls_per_second = 1 }]",
        "limits = { max_calls = 3 }",
    ] {
        assert_eq!(wrong(line), [], "{line}");
    }
    for (line, code, part) in [
        ("allow_prefixes = []", "TG0105", "`allow_prefixes` is empty"),
        ("allow_prefixes = ['+1 415']", "TG0105", "is not a number prefix"),
        ("allow_prefixes = ['*']", "TG0105", "is not a number prefix"),
        ("high_risk = true", "TG0103", "`high_risk`"),
        ("limits = [{ to = '+44*' }]", "TG0106", "without a limit"),
        ("limits = [{ too = '+44*', max_calls = 1 }]", "TG0104", "unknown key `too` in `limits`"),
        ("limits = 5", "TG0103", "`limits`"),
        ("calls_per_day = -1", "TG0105", "`calls_per_day`"),
        (
            "allow_prefixes = ['1']",
            "TG0129",
            "`allow_prefixes`: numbers are compared after normalization: 1* becomes +1*",
        ),
        ("allow_prefixes = ['+1', '44']", "TG0129", "44* becomes +144*"),
        ("deny = ['1900*']", "TG0129", "`deny`: numbers are compared after normalization: 1900* becomes +1900*"),
        ("deny = ['+1900']", "TG0129", "`deny`: \"+1900\" is too short"),
        ("limits = { to = ['1900*'], max_calls = 1 }", "TG0129", "`to`: numbers are compared"),
        ("limits = { caller = ['4155551234'], max_calls = 1 }", "TG0129", "`caller`: no number equals \"4155551234\""),
    ] {
        let found = wrong(line);
        assert!(found.iter().any(|(c, message)| *c == code && message.contains(part)), "{line}: {found:?}");
    }
}

#[test]
fn trunks_with_phones_get_what_is_theirs() {
    for (keys, takes) in [
        ("preset = 'carrier'", false),
        ("preset = 'freepbx'", true),
        ("preset = 'freepbx'\nhigh_risk = 'refuse'", false),
        ("high_risk = 'allow'", true),
        ("accept_register = true\nrequire_auth = { username = 'a', password = 'b' }", true),
    ] {
        let text = format!("[trunk.x]\npeers = ['sip:10.0.0.5']\n{keys}\n[[route]]\nconnect = ['trunk:x']\n");
        let (config, _) = file::parse(Path::new("t.toml"), &text).unwrap();
        assert_eq!(config.trunks[0].takes_high_risk, takes, "{keys}");
    }
}

/// Makes a call from the PBX, which is refused with this code.
fn refused(pbx: &Party, edge: &Process, id: &str, number: &str, code: &str) -> String {
    let sip = edge.address("udp");
    pbx.send(sip, &pbx.request("INVITE", number, sip, id, 1, ""));
    // The response to an earlier call is retransmitted if its ACK was late.
    let mut answers = std::iter::repeat_with(|| pbx.receive(&format!("SIP/2.0 {code}")).0);
    let answer = answers.find(|answer| field(answer, "Call-ID") == id).unwrap();
    let ack = pbx.request("ACK", number, sip, id, 1, to_tag(&answer));
    pbx.send(sip, &ack.replace(&format!("{id}ACK1"), &format!("{id}INVITE1")));
    answer
}

/// Makes a call from the PBX that reaches the other side.
fn through(pbx: &Party, far: &Party, edge: &Process, id: &str) {
    let sip = edge.address("udp");
    pbx.send(sip, &pbx.request("INVITE", "+14155550123", sip, id, 1, ""));
    let (got, from) = far.receive("INVITE ");
    far.send(from, &far.answer(&got, "404 Not Found", false));
    far.receive("ACK ");
    let (answer, _) = pbx.receive("SIP/2.0 404");
    let ack = pbx.request("ACK", "+14155550123", sip, id, 1, to_tag(&answer));
    pbx.send(sip, &ack.replace(&format!("{id}ACK1"), &format!("{id}INVITE1")));
}

#[test]
fn expensive_numbers_are_refused() {
    let (pbx, far) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let text = config(&format!(
        "[trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [trunk.far]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\nallow_prefixes = [\"+1\"]\npace = \"0s\"\n\
         limits = [{{ to = [\"+1415*\"], calls_per_day = 2 }}]\n\
         [[route]]\nname = \"out\"\nfrom = [\"pbx\"]\nconnect = [\"trunk:far\"]\n",
        pbx.address, far.address
    ));
    let edge = Process::start(&text);
    for (id, number, reason) in
        [("a", "+19005550123", "high_risk"), ("b", "011881651234567", "denied"), ("c", "+442079460018", "denied")]
    {
        let answer = refused(&pbx, &edge, id, number, "403");
        assert!(answer.contains(&format!("text=\"{reason}\"")), "{answer}");
    }
    assert!(far.heard_nothing());
    through(&pbx, &far, &edge, "d");
    let reloaded = finish(&["reload", "--url", &edge.url()]);
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
    through(&pbx, &far, &edge, "e");
    let answer = refused(&pbx, &edge, "f", "+14155550123", "503");
    assert!(answer.contains("limit_day"), "{answer}");
    let (_, metrics) = edge.get("/metrics");
    for (reason, count) in [("high_risk", 1), ("denied", 2), ("limit_day", 1)] {
        let line = format!("trunkgate_limits_reached_total{{trunk=\"far\",reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line}");
    }
    let why = |called: &str| {
        let out = finish(&["why", "--url", &edge.url(), "--from", "pbx", "--called", called]);
        String::from_utf8(out.stdout).unwrap()
    };
    for (called, part) in [
        ("+19005550123", "✗ trunk:far  403: trunk far does not allow calls to +19005550123 (high_risk: premium rate)"),
        ("+442079460018", "does not allow calls to +442079460018 (not in allow_prefixes)"),
        ("+14155550123", "limit to +1415*: 2 a day"),
    ] {
        assert!(why(called).contains(part), "{}", why(called));
    }
}

/// Reads the count of calls from a copy of the store, which its process has locked.
fn stored_count(store: &Path) -> Option<u32> {
    let copy = tempfile::tempdir().unwrap();
    for name in ["trunkgate.db", "trunkgate.db-wal"] {
        std::fs::copy(store.with_file_name(name), copy.path().join(name)).ok()?;
    }
    let store = Connection::open(copy.path().join("trunkgate.db")).ok()?;
    store.query_row("SELECT sum(count) FROM day_count", [], |row| row.get(0)).ok()
}

#[test]
fn a_day_that_is_used_up_stays_so_over_sigkill() {
    let (pbx, far) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    // In this time zone, there is no midnight during the test.
    let zone = if Timestamp::now().to_zoned(TimeZone::UTC).hour().abs_diff(12) < 10 { "UTC" } else { "Asia/Tokyo" };
    let text = config(&format!(
        "[trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [trunk.far]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\npace = \"0s\"\ncalls_per_day = 2\n\
         [[route]]\nname = \"out\"\nfrom = [\"pbx\"]\nconnect = [\"trunk:far\"]\n",
        pbx.address, far.address
    ));
    let text = text.replace("[edge]\n", &format!("[edge]\ntime_zone = \"{zone}\"\n"));
    let edge = Process::start(&text);
    let counts = edge.directory.path().join("trunkgate.db");
    assert!(!counts.exists(), "made with the first count");
    through(&pbx, &far, &edge, "a");
    until("the first call is stored", || (stored_count(&counts)? == 1).then_some(()));
    let edge = edge.kill_and_start_again();
    through(&pbx, &far, &edge, "b");
    until("the second call is stored", || (stored_count(&counts)? == 2).then_some(()));
    let edge = edge.kill_and_start_again();
    let answer = refused(&pbx, &edge, "c", "+14155550123", "503");
    assert!(answer.contains("limit_day"), "{answer}");
    // If the file cannot be written, the edge reports a problem and calls continue.
    std::fs::write(edge.directory.path().join("trunkgate.toml"), text.replace("per_day = 2", "per_day = 4")).unwrap();
    std::fs::remove_file(&counts).unwrap();
    std::fs::create_dir(&counts).unwrap();
    let edge = edge.kill_and_start_again();
    through(&pbx, &far, &edge, "d");
    let (_, status) = edge.get("/v1/status");
    assert!(status.contains("a restart continues with the counts stored last"), "{status}");
}
