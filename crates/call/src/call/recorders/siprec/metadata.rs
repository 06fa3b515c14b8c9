//! Recording metadata (RFC 7865): the participants of a call and their streams. Pure: facts in, XML out.

use std::fmt::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use trunkgate_resources::random::Random;
use trunkgate_story::wall::rfc3339;

/// Label of the stream with the caller's voice (RFC 4574), as in its m-line.
pub(crate) const CALLER_LABEL: &str = "1";
/// Label of the stream with the audio sent to the caller (RFC 4574), as in its m-line.
pub(crate) const CALLEE_LABEL: &str = "2";

/// Identifiers of the parts of a recording session: UUIDs in Base64 (RFC 7865 §6.9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetadataIds {
    /// Identifier of the communication session group: the call.
    pub(crate) group: String,
    /// Identifier of the communication session.
    pub(crate) session: String,
    /// Identifiers of the streams: from the near party, and to it.
    pub(crate) streams: [String; 2],
}

/// A party of the call, in the form shown to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParticipantName {
    /// Address-of-record of the party.
    pub(crate) aor: String,
    /// Display name of the party; empty if there is none.
    pub(crate) name: String,
}

/// A participant of the recorded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedParticipant {
    /// Participant id in the metadata.
    pub(crate) id: String,
    /// Name of the participant as shown to the server.
    pub(crate) who: ParticipantName,
    /// Index of the stream with the participant's voice; the participant hears the other stream.
    pub(crate) stream: usize,
    /// Time at which the participant joined.
    pub(crate) joined: SystemTime,
    /// Time since which the participant's voice is in `stream`.
    pub(crate) since: SystemTime,
    /// Time at which the participant left.
    pub(crate) left: Option<SystemTime>,
}

/// Content of a session's metadata.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metadata<'a> {
    /// Identifiers of the session.
    pub(crate) ids: &'a MetadataIds,
    /// Present and former participants.
    pub(crate) people: &'a [RecordedParticipant],
    /// Time at which the call was answered.
    pub(crate) answered: SystemTime,
    /// Time at which the recording of the call began.
    pub(crate) began: SystemTime,
    /// Time at which the streams started or resumed.
    pub(crate) streaming: SystemTime,
    /// Time of the pause, while the session is paused.
    pub(crate) paused: Option<SystemTime>,
}

impl MetadataIds {
    /// Draws new identifiers.
    pub(crate) fn draw(random: &mut Random) -> MetadataIds {
        let mut next = || id(random);
        MetadataIds { group: next(), session: next(), streams: [next(), next()] }
    }
}

/// Draws an identifier: a UUID in Base64.
pub(crate) fn id(random: &mut Random) -> String {
    let mut uuid = [0; 16];
    random.draw(&mut uuid);
    // Version 4, variant 1 (RFC 4122 §4.4).
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    BASE64.encode(uuid)
}

impl Metadata<'_> {
    /// Returns the whole document; its elements are in the order of the schema.
    pub(crate) fn to_xml(self) -> String {
        let Metadata { ids, people, answered, began, streaming, paused } = self;
        let MetadataIds { group, session, .. } = ids;
        let mut xml = String::with_capacity(2048);
        xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n");
        xml.push_str("<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">\r\n<datamode>complete</datamode>\r\n");
        let (answered, began) = (rfc3339(answered), rfc3339(began));
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            let _ = xml.write_fmt(text);
            xml.push_str("\r\n");
        };
        line(format_args!("<group group_id=\"{group}\"><associate-time>{answered}</associate-time></group>"));
        line(format_args!(
            "<session session_id=\"{session}\"><group-ref>{group}</group-ref><start-time>{answered}</start-time></session>"
        ));
        for RecordedParticipant { id, who: ParticipantName { aor, name }, .. } in people {
            let aor = escaped(aor);
            match name.is_empty() {
                true => {
                    line(format_args!("<participant participant_id=\"{id}\"><nameID aor=\"{aor}\"/></participant>"))
                }
                false => line(format_args!(
                    "<participant participant_id=\"{id}\"><nameID aor=\"{aor}\"><name>{}</name></nameID></participant>",
                    escaped(name)
                )),
            }
        }
        for (id, label) in ids.streams.iter().zip([CALLER_LABEL, CALLEE_LABEL]) {
            line(format_args!("<stream stream_id=\"{id}\" session_id=\"{session}\"><label>{label}</label></stream>"));
        }
        line(format_args!(
            "<sessionrecordingassoc session_id=\"{session}\"><associate-time>{began}</associate-time></sessionrecordingassoc>"
        ));
        let ended = |at: Option<SystemTime>| {
            at.map(|at| format!("<disassociate-time>{}</disassociate-time>", rfc3339(at))).unwrap_or_default()
        };
        for RecordedParticipant { id, joined, left, .. } in people {
            let (joined, left) = (rfc3339(*joined), ended(*left));
            line(format_args!(
                "<participantsessionassoc participant_id=\"{id}\" session_id=\"{session}\"><associate-time>{joined}</associate-time>{left}</participantsessionassoc>"
            ));
        }
        let [one, other] = &ids.streams;
        for RecordedParticipant { id, stream, since, left, .. } in people {
            let (sent, received) = if *stream == 0 { (one, other) } else { (other, one) };
            // A party that left before a pause ended heard nothing after it.
            let began = if left.is_some_and(|left| left < streaming) { *since } else { streaming.max(*since) };
            let (since, stopped) = (rfc3339(began), ended(left.or(paused)));
            line(format_args!(
                "<participantstreamassoc participant_id=\"{id}\"><send>{sent}</send><recv>{received}</recv><associate-time>{since}</associate-time>{stopped}</participantstreamassoc>"
            ));
        }
        xml.push_str("</recording>\r\n");
        xml
    }
}

/// Returns a text as the content of an element or attribute, without the characters that XML does not allow.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            character if character.is_control() => {}
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Schema rule of RFC 7865 for an element: its allowed children in order, each with its minimum and maximum count,
    /// and its required attributes.
    type Rule = (&'static str, &'static [(&'static str, usize, usize)], &'static [&'static str]);

    const MANY: usize = usize::MAX;
    const TIMES: &[(&str, usize, usize)] = &[("associate-time", 0, 1), ("disassociate-time", 0, 1)];
    const SCHEMA: &[Rule] = &[
        (
            "recording",
            &[
                ("datamode", 0, 1),
                ("group", 0, MANY),
                ("session", 0, MANY),
                ("participant", 0, MANY),
                ("stream", 0, MANY),
                ("sessionrecordingassoc", 0, MANY),
                ("participantsessionassoc", 0, MANY),
                ("participantstreamassoc", 0, MANY),
            ],
            &["xmlns"],
        ),
        ("group", TIMES, &["group_id"]),
        (
            "session",
            &[
                ("sipSessionID", 0, MANY),
                ("reason", 0, MANY),
                ("group-ref", 0, 1),
                ("start-time", 0, 1),
                ("stop-time", 0, 1),
            ],
            &["session_id"],
        ),
        ("participant", &[("nameID", 1, MANY)], &["participant_id"]),
        ("nameID", &[("name", 0, 1)], &["aor"]),
        ("stream", &[("label", 0, 1)], &["stream_id", "session_id"]),
        ("sessionrecordingassoc", TIMES, &["session_id"]),
        ("participantsessionassoc", TIMES, &["participant_id", "session_id"]),
        (
            "participantstreamassoc",
            &[("send", 0, MANY), ("recv", 0, MANY), ("associate-time", 0, 1), ("disassociate-time", 0, 1)],
            &["participant_id"],
        ),
    ];

    #[derive(Debug, Default)]
    struct Element {
        name: String,
        attributes: BTreeMap<String, String>,
        children: Vec<Element>,
        text: String,
    }

    impl Element {
        fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
            self.children.iter().filter(move |child| child.name == name)
        }
        fn text_of<'a>(&'a self, name: &'a str) -> &'a str {
            self.all(name).next().map_or("", |child| &child.text)
        }
    }

    /// Parses a document of elements, attributes in double quotes and text.
    fn read(xml: &str) -> Element {
        let xml = xml.split_once("?>").unwrap().1;
        let mut open = vec![Element::default()];
        for piece in xml.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').unwrap();
            if let Some(name) = tag.strip_prefix('/') {
                let ended = open.pop().unwrap();
                assert_eq!(ended.name, name);
                open.last_mut().unwrap().children.push(ended);
                continue;
            }
            let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
            let mut element = Element { name: name.to_owned(), text: text.trim().to_owned(), ..Element::default() };
            while let Some((name, behind)) = rest.split_once("=\"") {
                let (value, behind) = behind.split_once('"').unwrap();
                element.attributes.insert(name.trim().to_owned(), value.to_owned());
                rest = behind;
            }
            if is_empty { open.last_mut().unwrap().children.push(element) } else { open.push(element) }
        }
        assert_eq!(open.len(), 1);
        open.remove(0).children.remove(0)
    }

    fn obeys_schema(element: &Element) {
        let rule = SCHEMA.iter().find(|(name, ..)| *name == element.name);
        let (children, attributes) =
            rule.map_or((&[][..], &[][..]), |(_, children, attributes)| (*children, *attributes));
        let names: Vec<&str> = element.attributes.keys().map(String::as_str).collect();
        let mut wanted = attributes.to_vec();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{}", element.name);
        let mut at = 0;
        for (name, least, most) in children {
            let count = element.children.iter().skip(at).take_while(|child| child.name == *name).count();
            assert!((*least..=*most).contains(&count), "{count} {name} in {}", element.name);
            at += count;
        }
        assert_eq!(at, element.children.len(), "{element:?}: what is left is not allowed there");
        for (name, value) in &element.attributes {
            if name.ends_with("_id") {
                assert_eq!(BASE64.decode(value).unwrap().len(), 16, "{name}");
            }
        }
        if element.name.ends_with("-time") {
            assert!(element.text.len() == 24 && element.text.ends_with('Z'), "{}", element.text);
        }
        element.children.iter().for_each(obeys_schema);
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    /// Returns three participants: the caller, a party that was transferred to another one, and that one.
    fn people(name: &str) -> Vec<RecordedParticipant> {
        let person = |id: u8, number: &str, name: &str, stream, joined, left| RecordedParticipant {
            id: BASE64.encode([id; 16]),
            who: ParticipantName { aor: format!("sip:{number}@203.0.113.10"), name: name.to_owned() },
            stream,
            joined,
            since: joined,
            left,
        };
        vec![
            person(1, "+14155551234", name, 0, at(0), None),
            person(2, "+14155550100", "", 1, at(0), Some(at(5))),
            person(3, "+14155550111", "", 1, at(5), None),
        ]
    }

    fn document(name: &str, paused: Option<SystemTime>) -> (MetadataIds, Element) {
        let ids = MetadataIds::draw(&mut Random::new([3; 32]));
        let metadata =
            Metadata { ids: &ids, people: &people(name), answered: at(0), began: at(1), streaming: at(2), paused };
        let xml = metadata.to_xml();
        (ids, read(&xml))
    }

    #[test]
    fn rfc7865_every_document_obeys_the_schema() {
        for name in ["", "Alice", "<&\">\u{1}\u{fffe}]]>"] {
            for paused in [None, Some(at(9))] {
                obeys_schema(&document(name, paused).1);
            }
        }
    }

    #[test]
    fn each_party_sends_its_own_stream_and_receives_the_others() {
        let (ids, root) = document("Alice", None);
        assert_eq!(root.text_of("datamode"), "complete");
        let labels: Vec<(&str, &str)> = root
            .all("stream")
            .map(|stream| (stream.attributes["stream_id"].as_str(), stream.text_of("label")))
            .collect();
        assert_eq!(labels, [(ids.streams[0].as_str(), "1"), (ids.streams[1].as_str(), "2")]);
        let associated: Vec<_> = root
            .all("participantstreamassoc")
            .map(|one| (one.attributes["participant_id"].as_str(), one.text_of("send"), one.text_of("recv")))
            .collect();
        let (people, streams) = (people("Alice"), &ids.streams);
        let (one, other) = (&*streams[0], &*streams[1]);
        assert_eq!(
            associated,
            [(&*people[0].id, one, other), (&*people[1].id, other, one), (&*people[2].id, other, one)]
        );
        let names: Vec<(&str, &str)> = root
            .all("participant")
            .map(|one| one.all("nameID").next().unwrap())
            .map(|id| (id.attributes["aor"].as_str(), id.text_of("name")))
            .collect();
        assert_eq!(
            names,
            [
                ("sip:+14155551234@203.0.113.10", "Alice"),
                ("sip:+14155550100@203.0.113.10", ""),
                ("sip:+14155550111@203.0.113.10", "")
            ]
        );
        let session = root.all("session").next().unwrap();
        assert_eq!(session.text_of("start-time"), "2027-01-15T08:00:00.000Z");
        assert_eq!(session.text_of("group-ref"), ids.group);
        let recorded = root.all("sessionrecordingassoc").next().unwrap();
        assert_eq!(recorded.text_of("associate-time"), "2027-01-15T08:00:01.000Z");
        assert_eq!(recorded.attributes["session_id"], ids.session);
    }

    #[test]
    fn a_pause_ends_the_association_with_the_streams_and_so_does_leaving() {
        let time = |second: u64| format!("2027-01-15T08:00:0{second}.000Z");
        for (paused, ended) in [(None, String::new()), (Some(at(9)), time(9))] {
            let (_, root) = document("", paused);
            let times: Vec<(&str, &str)> = root
                .all("participantstreamassoc")
                .map(|one| (one.text_of("associate-time"), one.text_of("disassociate-time")))
                .collect();
            let expected = [(time(2), ended.clone()), (time(2), time(5)), (time(5), ended)];
            assert_eq!(times, expected.each_ref().map(|(from, to)| (from.as_str(), to.as_str())));
        }
    }

    #[test]
    fn rfc7865_6_5_who_leaves_the_session_is_no_longer_associated_with_it() {
        let (_, root) = document("", None);
        let times: Vec<(&str, &str)> = root
            .all("participantsessionassoc")
            .map(|one| (one.text_of("associate-time"), one.text_of("disassociate-time")))
            .collect();
        let (answer, transfer) = ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:05.000Z");
        assert_eq!(times, [(answer, ""), (answer, transfer), (transfer, "")]);
    }

    #[test]
    fn what_parties_call_themselves_changes_no_document() {
        let (_, root) = document("</name><stream stream_id=\"x\"/>\u{0}", None);
        assert_eq!(root.all("stream").count(), 2);
        assert_eq!(escaped("a\u{1}<b>&\"'\u{ffff}ü"), "a&lt;b&gt;&amp;&quot;'ü");
    }

    #[test]
    fn names_are_uuids_and_differ() {
        let mut random = Random::new([1; 32]);
        let (one, other) = (MetadataIds::draw(&mut random), MetadataIds::draw(&mut random));
        let all = |ids: &MetadataIds| {
            let MetadataIds { group, session, streams } = ids.clone();
            [vec![group, session], streams.to_vec()].concat()
        };
        let mut names = [all(&one), all(&other)].concat();
        for name in &names {
            let uuid = BASE64.decode(name).unwrap();
            assert_eq!((uuid.len(), uuid[6] >> 4, uuid[8] >> 6), (16, 4, 2));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 8);
    }
}
