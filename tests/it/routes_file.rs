//! `routes_file`: accepted lines, places of errors, capacity, `why`, and reloads in mid-call.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use crate::support::sip::{Party, field, to_tag};
use crate::support::{Process, config, depends_on_machine, finish, until};
use nix::sys::signal::Signal;
use serde_json::Value;
use trunkgate_config as file;
use trunkgate_route::{CallInfo, RoutePlan, RoutingTable};

const TRUNKS: &str = "[trunk.carrier]\npeers = ['sip:198.51.100.7']\n[trunk.pbx]\npeers = ['sip:10.0.0.5']\n\
                      [agent.desk]\nurl = 'ws://127.0.0.1:9/'\n";

/// Folder with a configuration, of which the first route names a routes file with these bytes.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(route: &str, csv: impl AsRef<[u8]>) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let text = format!("{TRUNKS}[[route]]\nname = 'numbers'\nroutes_file = 'data/numbers.csv'\n{route}\n");
        std::fs::write(folder.path().join("t.toml"), text).unwrap();
        let folder = Folder(folder);
        std::fs::write(folder.csv(), csv).unwrap();
        folder
    }

    fn toml(&self) -> PathBuf {
        self.0.path().join("t.toml")
    }

    fn csv(&self) -> PathBuf {
        self.0.path().join("data/numbers.csv")
    }

    /// Returns `code line:column message: help` of each finding.
    fn found(&self) -> Vec<String> {
        let (Ok((_, found)) | Err(found)) = file::load(&self.toml());
        let json = file::to_json(&self.toml(), &std::fs::read_to_string(self.toml()).unwrap(), &found);
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        let all = json.as_array().unwrap().iter().filter(|one| !depends_on_machine(one["code"].as_str().unwrap()));
        let told = all.map(|one| {
            let name = PathBuf::from(text(one, "file"));
            let name = name.file_name().unwrap().to_str().unwrap();
            let (message, help) = (text(one, "message"), text(one, "help"));
            format!("{} {name}:{}:{} {message}: {help}", text(one, "code"), one["line"], one["column"])
        });
        told.collect()
    }

    fn table(&self) -> RoutingTable {
        match file::load(&self.toml()) {
            Ok((config, _)) => RoutingTable::new(config.definition(&Default::default())),
            Err(found) => panic!("{found:?}"),
        }
    }
}

fn call<'a>(from: &'a str, called: &'a str) -> CallInfo<'a> {
    let at = "2026-11-20T11:00:00Z".parse().unwrap();
    CallInfo { from, called, caller: "+14155550100", at, headers: &[], draw: Some(0) }
}

fn plan(table: &RoutingTable, from: &str, called: &str) -> Option<(u32, String, RoutePlan)> {
    let plan = table.plan(&call(from, called), &mut |_| 0)?;
    let targets: Vec<String> = plan.targets.iter().map(|target| format!("{:?}", target.spec())).collect();
    Some((plan.route.line.as_ref()?.line, targets.join(" "), plan))
}

#[test]
fn a_line_is_a_route_and_what_it_leaves_out_its_route_says() {
    let csv = "# our numbers, of 2026\nto,connect,caller,from,when,share,fork,on_busy,ring_timeout,search_timeout,note\n\
               +14155551234,trunk:pbx/1001 agent:desk,,,,,,,,,\"Doe, Jane\"\n\
               \n+1415*,,,,mon-fri 09:00-17:00,,agent:desk,true,5s,30s,\n\
               +1415*,reject:480,,carrier,,,,FALSE,,,at night\n\
               /^\\+44(?<rest>\\d+)$/,trunk:pbx/0{rest},+1415*,,,,,,,\n\
               service,trunk:carrier@70 trunk:pbx@30,,,,100,,,,\n\
               ,,,,,,,,,\n112,reject:604\n";
    let folder = Folder::new("from = ['carrier', 'pbx']\nconnect = ['trunk:carrier']\non_busy = true", csv);
    assert_eq!(folder.found(), [""; 0]);
    let table = folder.table();
    let of = |from: &str, called: &str| plan(&table, from, called).map(|(line, targets, _)| (line, targets));
    let (line, targets, first) = plan(&table, "pbx", "+14155551234").unwrap();
    assert!(line == 3 && targets.contains("1001") && targets.contains("desk") && first.route.on_busy, "{targets}");
    let (line, targets, second) = plan(&table, "pbx", "+14155550000").unwrap();
    assert!(line == 5 && targets.contains("carrier") && second.forks.len() == 1, "{targets}");
    assert_eq!(second.ring_timeout, Some(std::time::Duration::from_secs(5)));
    assert_eq!(second.route.search_timeout, std::time::Duration::from_secs(30));
    assert_eq!(first.route.search_timeout, trunkgate_route::SEARCH_TIMEOUT);
    assert_eq!(second.route.name.as_ref(), "numbers");
    assert!(matches!(of("pbx", "+442079460018"), Some((7, targets)) if targets.contains("02079460018")));
    assert_eq!((of("pbx", "service").unwrap().0, of("pbx", "112").unwrap().0, of("pbx", "911")), (8, 10, None));
    let late = CallInfo { at: "2026-11-20T20:00:00Z".parse().unwrap(), ..call("carrier", "+14155550000") };
    let night = table.plan(&late, &mut |_| 0).unwrap();
    assert_eq!((night.route.line.as_ref().unwrap().line, night.route.on_busy), (6, false));
    assert!(table.plan(&CallInfo { from: "pbx", ..late }, &mut |_| 0).is_none());
}

#[test]
fn files_of_spreadsheets_are_read() {
    let folder = Folder::new("connect = ['trunk:pbx']", "");
    for csv in [
        "\u{feff}to,note\r\n+14155551234,Müller\r\n",
        "to;note;;\r\n\"+14155551234\";\"a;\"\"b\"\"\";;\r\n;;;\r\n",
        "TO\tNote\n +14155551234 \tx\t\t\n",
        "to\n+14155551234",
        "\n\n# a remark\n\nto\n+14155551234\n",
        "sep=;\r\nto;note\r\n+14155551234;a,b\r\n",
        "\u{feff}\"sep=|\"\nto|note\n+14155551234|a;b\n",
    ] {
        std::fs::write(folder.csv(), csv).unwrap();
        assert_eq!(folder.found(), [""; 0], "{csv}");
        assert!(plan(&folder.table(), "carrier", "+14155551234").is_some(), "{csv}");
    }
}

#[test]
fn every_error_is_told_at_its_place() {
    let csv = "to,connect,when,share\r\n\r\n+14155551234,trunk:pxb,,\r\n\"+1*4\", agent:desk trunk:,mon-fry,\r\n\
               4155551235,trunk:pbx,,10%\r\n+14155551236,\"agent:desk,trunk:pbx\",,\r\n+14155551237,,,\r\n\
               +14155551238,trunk:pbx/{rest},,,more\r\n+14155551239,trunk:pbx/{rest},,\r\n";
    let expected = [
        "TG0120 numbers.csv:3:14 unknown trunk: pxb: did you mean \"pbx\"?",
        "TG0111 numbers.csv:4:1 `to`: \"+1*4\" is not a pattern: `*` is allowed at the end only; for a literal `*` use a \
         regular expression",
        "TG0112 numbers.csv:4:9 \"trunk:\" is not a trunk: trunk:NAME",
        "TG0105 numbers.csv:4:27 `when`: `mon-fry` is not a day: use mon tue wed thu fri sat sun, mon-fri or sat,sun; \
         exceptions: \"not holidays\"",
        "TG0129 numbers.csv:5:1 `to`: no number equals \"4155551235\" after normalization: write \"+14155551235\"",
        "TG0103 numbers.csv:5:23 `share` is not a percentage: use 1 to 100: share = 10",
        "TG0133 numbers.csv:6:14 unknown agent: desk,trunk:pbx: ",
        "TG0106 numbers.csv:7:1 this line has no `connect`: ",
        "TG0102 numbers.csv:8:33 5 fields, but the header has 4 columns: ",
        "TG0112 numbers.csv:9:14 {rest}: no pattern defines this group: ",
    ];
    let found = Folder::new("", csv).found();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    let one = |route: &str, csv: &str| Folder::new(route, csv).found().join("\n");
    let connect = "connect = ['trunk:pbx']";
    for (csv, expected) in [
        ("number,note\n1,x\n", "TG0104 numbers.csv:1:1 unknown column `number`: did you mean `to`?"),
        ("to,conect\n1,x\n", "TG0104 numbers.csv:1:4 unknown column `conect`: did you mean `connect`?"),
        ("to,to\n1,x\n", "TG0107 numbers.csv:1:4 duplicate column `to`: keep one of them"),
        ("+14155551234,trunk:pbx\n", "TG0106 numbers.csv:1:1 the first line is not a header: "),
        ("note,connect\nx,trunk:pbx\n", "TG0106 numbers.csv:1:1 no column `to`: "),
        ("", "TG0106 numbers.csv:1:1 the file is empty: the first line must be the header: to,connect"),
        ("to\n\"112\n911\n", "TG0102 numbers.csv:2:1 a field contains a line break: is a quote never closed?"),
    ] {
        assert!(one(connect, csv).starts_with(expected), "{}", one(connect, csv));
    }
    assert!(one("", "to\n1\n").starts_with("TG0106 numbers.csv:1:1 no column `connect`"));
    for (bytes, part, from) in [
        (&b"\xff\xfet\0"[..], "UTF-16: ", "iconv -f UTF-16 -t UTF-8 "),
        (b"t\0o\0\n\0", "UTF-16: ", "iconv -f UTF-16LE -t UTF-8 "),
        (b"to\n1\n\xe9\n", "line 3 is not UTF-8", "iconv -f LATIN1 -t UTF-8 "),
        (b"to\n1\n\x84\xe9\n", "line 3 is not UTF-8", "iconv -f WINDOWS-1252 -t UTF-8 "),
        (b"to,note\n1,\xc3\xa9\n2,\xe9\n", "line 3 is not UTF-8", "correct that line"),
    ] {
        let found = Folder::new(connect, bytes).found();
        assert!(found.len() == 1 && found[0].starts_with("TG0114 t.toml:9:15 "), "{found:?}");
        assert!(found[0].contains(part) && found[0].contains(from), "{found:?}");
    }
}

#[test]
fn what_a_spreadsheet_has_made_of_numbers_is_told_at_its_place() {
    let csv = "to;connect;caller\n1,41556E+10;trunk:pbx;\n+14155551234;trunk:pbx;1.41556E+10\n'+14155551234;trunk:pbx;\n\
               =\"+14155551234\";trunk:pbx;\n14155551234.0;trunk:pbx;\n+1415;trunk:pbx;\n+141555512345;trunk:pbx;\n";
    let rounded = "format the column as text, and enter the complete numbers again: +14155551234";
    let expected = [
        format!(
            "TG0111 numbers.csv:2:1 `to`: a spreadsheet has rounded \"1,41556E+10\": its last digits are lost: {rounded}"
        ),
        "TG0111 numbers.csv:3:24 `caller`: a spreadsheet has rounded \"1.41556E+10\": ".to_owned(),
        "TG0111 numbers.csv:4:1 `to`: \"'+14155551234\" is text after an apostrophe of a spreadsheet, not a phone number: \
         write +14155551234"
            .to_owned(),
        "TG0111 numbers.csv:5:1 `to`: \"=\"+14155551234\"\" is a formula of a spreadsheet, not a phone number: write \
         +14155551234"
            .to_owned(),
        "TG0111 numbers.csv:6:1 `to`: \"14155551234.0\" is a decimal amount, not a phone number: ".to_owned(),
        "TG0129 numbers.csv:7:1 `to`: \"+1415\" is too short for a number with its country code: write \"+1415*\" for all \
         numbers with this prefix"
            .to_owned(),
        "TG0129 numbers.csv:8:1 `to`: \"+141555512345\" is too long for a number with its country code: ".to_owned(),
    ];
    let found = Folder::new("", csv).found();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(&expected), "{found}\n{expected}");
    }
    // The same applies if the separator is a comma.
    let cut = Folder::new("", "to,connect\n1,41556E+10,trunk:pbx\n").found();
    assert!(cut.len() == 1 && cut[0].starts_with("TG0111 numbers.csv:2:1 a spreadsheet has rounded "), "{cut:?}");
}

#[test]
fn all_that_is_wrong_with_a_line_is_told_and_of_every_line() {
    let csv = "to,connect,when,share,ring_timeout,on_busy,from,fork\n+1*4,trunk:pxb,mon-fry,0,5x,perhaps,cariier,agent:x\n\
               +14155551234,trunk:pxb,mon-fry,0,5x,perhaps,cariier,agent:x\n+1*5,trunk:pxb,,,,,,,more\n";
    let found = Folder::new("", csv).found();
    let places: Vec<&str> = found.iter().map(|text| text.split(' ').nth(1).unwrap()).collect();
    let columns = [(2, &[1, 6, 16, 24, 26, 29, 37, 45][..]), (3, &[14, 24]), (4, &[1, 6, 22])];
    let at = |(line, columns): (u32, &[u32])| columns.iter().map(|at| format!("numbers.csv:{line}:{at}")).collect();
    let all: Vec<String> = columns.into_iter().flat_map(|one| -> Vec<String> { at(one) }).collect();
    assert_eq!(places, all, "{found:#?}");
    assert_eq!(found[8], "TG0120 numbers.csv:3:14 same error as in line 2: correct it here as well");
}

#[test]
fn a_file_of_names_alone_is_warned_of() {
    let found = Folder::new("", "to,connect\n# nobody yet\n").found();
    let help = "add one line per number: +14155551234,trunk:NAME";
    let message = "no line below the header: the route matches no call";
    assert_eq!(found, [format!("TG0130 numbers.csv:1:1 {message}: {help}")]);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let connect = "connect = ['trunk:pbx']";
    let gone = Folder::new(connect, "to\n1\n");
    std::fs::remove_file(gone.csv()).unwrap();
    assert!(gone.found()[0].contains("data/numbers.csv: No such file"), "{:?}", gone.found());
    std::fs::create_dir(gone.csv()).unwrap();
    assert!(gone.found()[0].contains("not a regular file"), "{:?}", gone.found());
    let large = Folder::new(connect, "to\n1\n");
    let bytes = trunkgate_system::limits::ROUTES_FILE_BYTES + 1;
    std::fs::OpenOptions::new().write(true).open(large.csv()).unwrap().set_len(bytes).unwrap();
    assert!(large.found()[0].contains("the limit is"), "{:?}", large.found());
    let empty = Folder::new(connect, "to\n1\n");
    let text = std::fs::read_to_string(empty.toml()).unwrap().replace("data/numbers.csv", "");
    std::fs::write(empty.toml(), text).unwrap();
    assert!(empty.found()[0].contains("`routes_file` is empty"), "{:?}", empty.found());
}

#[test]
fn a_line_without_end_is_one_short_error() {
    let connect = "connect = ['trunk:pbx']";
    let unclosed: String = (0..2000).map(|at| format!("+1415555{at:04},x\n")).collect();
    for (csv, place) in [
        (format!("to,connect{}\n", ",zz".repeat(100_000)), "numbers.csv:1:1 "),
        (format!("to,connect{}\n", ",".repeat(100_000)), "numbers.csv:1:1 "),
        (format!("to,note\n+14155551234,\"never closed\n{unclosed}"), "numbers.csv:2:1 "),
    ] {
        let folder = Folder::new(connect, csv);
        let found = folder.found();
        let help = " bytes, the limit is 16384 (16 KiB): use one line per number, and quotes (\") in pairs";
        assert!(found.len() == 1 && found[0].contains(place) && found[0].ends_with(help), "{found:?}");
        let toml = folder.toml();
        let checked = finish(&["--config", toml.to_str().unwrap(), "check"]);
        assert!(checked.stderr.len() < 1000, "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn lines_that_are_never_reached_are_warned_of_and_only_so_many_are_told() {
    let csv = "to,from\n+14155551234,\n+1415*,carrier\n+14155559999,carrier\n+14155559998,\n+14155551234,pbx\n";
    let hidden = Folder::new("connect = ['trunk:pbx']", csv);
    assert_eq!(
        hidden.found(),
        [
            "TG0122 numbers.csv:4:1 line 4 is never reached: line 3 before it matches its calls: move it before line 3, or \
             remove it",
            "TG0122 numbers.csv:6:1 line 6 is never reached: line 2 before it matches its calls: move it before line 2, or \
             remove it",
        ]
    );
    let csv = "to\n/555$/\n/55\\d$/\n/555$/\n+14155551555\n";
    let hidden = Folder::new("connect = ['trunk:pbx']", csv).found();
    let expected = [(4, 2), (5, 2)].map(|(line, before)| format!("line {line} is never reached: line {before} before"));
    assert!(hidden.len() == 2 && hidden.iter().zip(expected).all(|(one, part)| one.contains(&part)), "{hidden:?}");
    // Spreadsheets easily produce blank cells.
    let blank = Folder::new("connect = ['trunk:pbx']", "to,from,note\n+14155551234,,\n,pbx,\n,,Miller\n,,\n");
    let help = "is a number missing? For all other calls use a [[route]] after this one";
    assert_eq!(
        blank.found(),
        [format!("TG0122 numbers.csv:4:1 line 4 has no condition: it matches every call: {help}")]
    );
    let lines: String = (0..250).map(|at| format!("+1415555{at:04},trunk:x{at}\n")).collect();
    let found = Folder::new("", format!("to,connect\n{lines}")).found();
    assert_eq!(found.len(), 101);
    assert!(found[100].contains("numbers.csv: 150 more errors: the first 100 are shown"), "{}", found[100]);
}

#[test]
fn thousands_of_routes_and_lines_are_checked_and_looked_up() {
    let lines: String = (0..10_000).map(|at| format!("+1415{at:07},trunk:pbx/{at}\n")).collect();
    let folder = Folder::new("", format!("to,connect\n{lines}"));
    let routes: String = (0..2_000)
        .map(|at| format!("[[route]]\nname = 'r{at}'\nto = ['+1212{at:07}']\nconnect = ['trunk:pbx']\n"))
        .collect();
    let text = std::fs::read_to_string(folder.toml()).unwrap();
    std::fs::write(folder.toml(), format!("{text}{routes}")).unwrap();
    assert_eq!(folder.found(), [""; 0]);
    let table = folder.table();
    assert_eq!(plan(&table, "carrier", "+14150009999").map(|(line, _, _)| line), Some(10_001));
    let last = table.plan(&call("carrier", "+12120001999"), &mut |_| 0).unwrap();
    assert_eq!(last.route.name.as_ref(), "r1999");
}

#[test]
fn check_and_why_name_the_line() {
    let folder =
        Folder::new("from = ['carrier']", "to,connect,from\n+1415*,reject:486,pbx\n+14155551234,trunk:pbx/100,\n");
    let path = folder.toml();
    let path = path.to_str().unwrap();
    let checked = finish(&["--config", path, "check"]);
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(told.contains("1 route, 2 lines of ") && told.contains("numbers.csv"), "{told}");
    let why = |called: &str, json: &str| {
        let all = ["--config", path, "why", "--from", "carrier", "--called", called];
        let all: Vec<&str> = all.into_iter().chain((!json.is_empty()).then_some(json)).collect();
        String::from_utf8(finish(&all).stdout).unwrap()
    };
    let text = why("+14155551234", "");
    assert!(
        text.contains("numbers   yes  from carrier, to +14155551234, ") && text.contains("numbers.csv:3 ("),
        "{text}"
    );
    let text = why("+14155550000", "");
    assert!(text.contains("numbers.csv:2: from: carrier matches none of pbx") && text.contains("404"), "{text}");
    let json: Value = serde_json::from_str(&why("+12125550100", "--json")).unwrap();
    let failed = json["routes"][0]["failed"].as_str().unwrap();
    assert!(failed.starts_with("routes_file: no line of ") && failed.ends_with("matches +12125550100"), "{failed}");
    std::fs::write(folder.csv(), "to,connect\n+14155551234,trunk:pxb\n").unwrap();
    let checked = finish(&["--config", path, "check"]);
    let told = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(2));
    assert!(told.contains("numbers.csv:2:14\n") && told.contains("2 | +14155551234,trunk:pxb\n"), "{told}");
    assert!(told.contains("  |              ^^^^^^^^^ did you mean \"pbx\"?"), "{told}");
}

/// Sends an INVITE from the caller, which the callee answers; returns the tags of both dialogs.
fn set_up(edge: &Process, caller: &Party, callee: &Party, id: &str) -> String {
    let sip = edge.address("udp");
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, id, 1, ""));
    let (invite, from) = callee.receive("INVITE ");
    callee.send(from, &callee.answer(&invite, "200 OK", true));
    let (ok, _) = caller.receive("SIP/2.0 200");
    caller.send(sip, &caller.request("ACK", "+14155550123", sip, id, 1, to_tag(&ok)));
    callee.receive("ACK ");
    to_tag(&ok).to_owned()
}

#[test]
fn a_file_is_read_again_in_mid_call_and_a_broken_one_changes_nothing() {
    let (caller, one, two) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"), Party::new("127.0.0.6"));
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("numbers.csv");
    let write = |target: &str| {
        let lines: String = (0..500).map(|at| format!("+1212{at:07},reject:480\n")).collect();
        std::fs::write(&csv, format!("to,connect\n{lines}+14155550123,{target}\n")).unwrap();
    };
    write("trunk:one");
    let trunk = |name: &str, party: &Party| {
        format!("[trunk.{name}]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n", party.address)
    };
    let edge = Process::start(&config(&format!(
        "{}{}{}[[route]]\nname = 'numbers'\nroutes_file = '{}'\n",
        trunk("caller", &caller),
        trunk("one", &one),
        trunk("two", &two),
        csv.display()
    )));
    let sip = edge.address("udp");
    let tag = set_up(&edge, &caller, &one, "before");
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, "ringing", 1, ""));
    let (ringing, from) = one.receive("INVITE ");
    one.send(from, &one.answer(&ringing, "180 Ringing", false));
    caller.receive("SIP/2.0 180");

    write("trunk:two");
    let (status, answer) = edge.ask("POST", "/v1/reload", "");
    assert_eq!(status, 200, "{answer}");
    // Calls that ring or are answered continue, and new calls use the new routes.
    one.send(from, &one.answer(&ringing, "200 OK", true));
    let (ok, _) = caller.receive("SIP/2.0 200");
    assert!(field(&ok, "Call-ID").starts_with("ringing"), "{ok}");
    caller.send(sip, &caller.request("ACK", "+14155550123", sip, "ringing", 1, to_tag(&ok)));
    one.receive("ACK ");
    set_up(&edge, &caller, &two, "after");
    assert_eq!(edge.metric("trunkgate_calls_active{trunk=\"caller\"}"), 3.0);
    caller.send(sip, &caller.request("BYE", "+14155550123", sip, "before", 2, &tag));
    let (bye, from) = one.receive("BYE ");
    one.send(from, &one.answer(&bye, "200 OK", false));
    caller.receive("SIP/2.0 200");

    write("trunk:too");
    edge.signal(Signal::SIGHUP);
    let failed = || edge.metric("trunkgate_config_reloads_total{result=\"failure\"}") > 0.0;
    until("the reload is refused", || failed().then_some(()));
    until("the log says where", || edge.log().contains("numbers.csv:502:14").then_some(()));
    set_up(&edge, &caller, &two, "still");
    let sid = edge.json("/v1/calls")["calls"][0]["sid"].as_str().unwrap().to_owned();
    let (_, trace) = edge.get(&format!("/v1/calls/{sid}/trace.txt"));
    assert!(trace.contains("numbers.csv:502"), "{trace}");
}
