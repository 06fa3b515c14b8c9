//! Values of a call that a route's targets can use: `{called}`, `{caller}`, and named groups of the regular
//! expressions in `to` and `caller`, as in `trunk:pbx/0{rest}`.

use std::borrow::Cow;

use crate::pattern::Pattern;
use crate::route::{CallInfo, Route};
use crate::target::TargetSpec;

/// Names that targets can use in every route, without a named group.
pub const ALWAYS: [&str; 2] = ["called", "caller"];

/// Returns the names in braces in a text, or `None` if a brace is not closed.
pub fn names(text: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        found.push(name);
        rest = behind;
    }
    Some(found)
}

/// Returns a text with each name in braces replaced by its value.
pub fn filled(text: &str, value: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&value(name));
        rest = behind;
    }
    out.push_str(rest);
    out
}

impl Pattern {
    /// Iterates over the named groups of a regular expression; a number or prefix has none.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let Pattern::Regex(regex) = self else { return None.into_iter().flatten() };
        Some(regex.names()).into_iter().flatten()
    }

    /// Returns the text that a named group matched in a number, or `None` if there is no match or no such group.
    fn piece<'a>(&self, number: &'a str, name: &str) -> Option<&'a str> {
        let Pattern::Regex(regex) = self else { return None };
        regex.piece(number, name)
    }
}

impl Route {
    /// Returns a target of this route with its placeholders replaced by values of a call.
    pub(crate) fn target_for<'t>(&self, target: &'t TargetSpec, call: &CallInfo<'_>) -> Cow<'t, TargetSpec> {
        match target {
            TargetSpec::Trunk { name, number: Some(number), weight } if number.contains('{') => {
                let number = filled(number, |piece| self.piece(piece, call).to_owned());
                Cow::Owned(TargetSpec::Trunk { name: name.clone(), number: Some(number), weight: *weight })
            }
            TargetSpec::Uri { uri, destination, in_call } if uri.contains('{') => {
                let uri = filled(uri, |piece| escaped(self.piece(piece, call)));
                Cow::Owned(TargetSpec::Uri { uri, destination: destination.clone(), in_call: *in_call })
            }
            TargetSpec::RingAll(targets) => {
                let all = targets.iter().map(|target| self.target_for(target, call).into_owned());
                Cow::Owned(TargetSpec::RingAll(all.collect()))
            }
            TargetSpec::Trunk { .. }
            | TargetSpec::Uri { .. }
            | TargetSpec::Agent(_)
            | TargetSpec::App(_)
            | TargetSpec::Play(_)
            | TargetSpec::Voicemail(_)
            | TargetSpec::Conference(_)
            | TargetSpec::Reject(_) => Cow::Borrowed(target),
        }
    }

    fn piece<'a>(&self, name: &str, call: &CallInfo<'a>) -> &'a str {
        let of = |patterns: &[Pattern], number: &'a str| {
            patterns.iter().find(|pattern| pattern.matches(number))?.piece(number, name)
        };
        match name {
            "called" => call.called,
            "caller" => call.caller,
            _ => of(&self.to, call.called).or_else(|| of(&self.caller, call.caller)).unwrap_or_default(),
        }
    }
}

/// Escapes text for the user part of a URI, so that no called party can end that part or the URI (RFC 3261 §25.1).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'(' | b')' | b'+' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locate::Destination;
    use trunkgate_terms::Transport;

    fn uri(text: &str) -> TargetSpec {
        let destination = Destination { host: "h".into(), port: None, transport: Transport::Udp, is_fixed: false };
        TargetSpec::Uri { uri: text.into(), destination, in_call: false }
    }

    fn trunk(number: &str) -> TargetSpec {
        TargetSpec::Trunk { name: "pbx".into(), number: Some(number.into()), weight: None }
    }

    #[test]
    fn pieces_of_the_numbers_go_into_the_targets() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let route = Route {
            to: patterns(&["+49*", r"/^\+44(?<rest>\d+)$/", r"/^(?<rest>service.*)$/"]),
            caller: patterns(&[r"/^\+1(?<area>\d{3})/"]),
            ..Route::named("r", Vec::new())
        };
        let of = |called: &str, target: TargetSpec| {
            let call = CallInfo { called, caller: "+14155550100", ..CallInfo::default() };
            route.target_for(&target, &call).into_owned()
        };
        assert_eq!(of("+442079460018", trunk("0{rest}")), trunk("02079460018"));
        assert_eq!(of("+442079460018", trunk("{area}-{caller}-{called}")), trunk("415-+14155550100-+442079460018"));
        // A pattern without that name matched the call.
        assert_eq!(of("+4930123", trunk("0{rest}")), trunk("0"));
        assert_eq!(of("+442079460018", trunk("100")), trunk("100"));
        assert_eq!(of("+442079460018", uri("sip:{rest}@h")), uri("sip:2079460018@h"));
        let hostile = "service@evil;x=1?a=b%40\r";
        assert_eq!(of(hostile, uri("sip:{rest}@h")), uri("sip:service%40evil%3Bx%3D1%3Fa%3Db%2540%0D@h"));
        let all = |one: TargetSpec, two: TargetSpec| TargetSpec::RingAll(vec![one, two]);
        assert_eq!(
            of("+442079460018", all(trunk("{rest}"), uri("sip:a{rest}@h"))),
            all(trunk("2079460018"), uri("sip:a2079460018@h"))
        );
    }

    #[test]
    fn names_are_found() {
        assert_eq!(names("a{b}c{d}"), Some(vec!["b", "d"]));
        assert_eq!(names("abc}"), Some(vec![]));
        assert_eq!(names("a{b"), None);
        let pattern = Pattern::parse(r"/^(?<a>.)(.)(?<b>.)/").unwrap();
        assert_eq!(pattern.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Pattern::parse("+1*").unwrap().names().count(), 0);
    }
}
