//! Streams that listen to a call, over a restart of the edge.

use std::time::Duration;

use trunkgate_media::{MediaCommand, SocketSpec, UrlOrigin};

use super::*;
use crate::bench::agents::hang_up;

const START: &str = "<Start><Stream url='wss://bot.example.com/media' name='one' statusCallback='/stream'/></Start>";

/// Returns name and event of the reports of streams.
fn events(menu: &mut Menu) -> Vec<(String, String)> {
    let value = |report: &DocumentRequest, name| parameter(report, name).unwrap().to_owned();
    let reports = menu.reports().into_iter().filter(|report| report.purpose == "stream");
    reports.map(|report| (value(&report, "StreamName"), value(&report, "StreamEvent"))).collect()
}

/// Returns end, stream SID and socket of the agent requested last.
fn requested(menu: &Menu) -> (EndId, String, SocketSpec) {
    let mut requested = menu.bench.media.iter().filter_map(|(_, command)| match command {
        MediaCommand::AddAgent { end, spec } => Some((*end, spec.settings.stream_sid.clone(), spec.socket.clone())),
        _ => None,
    });
    requested.next_back().unwrap()
}

#[derive(Clone, Copy, PartialEq)]
enum Restart {
    HandOver,
    Crash,
}

/// After a hand-over the stream continues, so its start is not reported again. After a crash it is another stream with
/// the same name.
#[test]
fn a_stream_keeps_its_name_its_receiver_and_the_settings_of_its_application() {
    for restart in [Restart::HandOver, Restart::Crash] {
        let app = App { auth_token: Some("12345".into()), ..app() };
        let table = table_with(app, vec![TargetSpec::App("ivr".into())]);
        let mut menu = Menu::at(table.clone());
        menu.document(&format!("{START}<Gather timeout='60'/><Stop><Stream name='one'/></Stop><Pause length='60'/>"));
        menu.is_answered();
        let (end, sid, socket) = requested(&menu);
        menu.bench.open(end);
        let event = |name: &str| vec![("one".to_owned(), name.to_owned())];
        assert_eq!(events(&mut menu), event("stream-started"));
        menu.bench.media.clear();
        match restart {
            Restart::HandOver => menu.bench.hand_over(table),
            Restart::Crash => menu.bench.crash(table, Duration::from_millis(100)),
        }
        let (again, sid_after, socket_after) = requested(&menu);
        assert_eq!(sid_after == sid, restart == Restart::HandOver);
        assert_eq!(socket_after.origin, UrlOrigin::Application { allow_private: false });
        assert_eq!((socket_after.origin, socket_after.auth_token), (socket.origin, socket.auth_token));
        menu.bench.open(again);
        let reported = if restart == Restart::HandOver { Vec::new() } else { event("stream-started") };
        assert_eq!(events(&mut menu), reported);
        // The document stops the stream by its name.
        menu.bench.pass(Duration::from_secs(60));
        assert_eq!(events(&mut menu), event("stream-stopped"));
        hang_up(&mut menu.bench, &mut menu.caller);
        assert!(events(&mut menu).is_empty());
        menu.ends("caller_hung_up");
    }
}
