//! Targets of transfers by agents, in the syntax of `connect`.

use trunkgate_resources::limits::AGENT_TARGET_BYTES;
use trunkgate_resources::lookups::rewrite::is_callable;
use trunkgate_route::locate::bare_host;
use trunkgate_route::{Destination, NumberingPlan, TargetSpec, Transport};
use trunkgate_sip::{Scheme, Uri, has_control};

/// Parses `trunk:NAME[/NUMBER]`, `agent:NAME`, `sip:URI` or `sips:URI`; `None` for other text. Existence is checked
/// later.
pub(crate) fn target(text: &str, numbers: &NumberingPlan) -> Option<TargetSpec> {
    if text.len() > AGENT_TARGET_BYTES || has_control(text) {
        return None;
    }
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "agent" => Some(TargetSpec::Agent(rest.to_owned())),
        "trunk" => {
            let (name, number) = rest.split_once('/').map_or((rest, None), |(name, number)| (name, Some(number)));
            let callable = number.is_none_or(|number| numbers.normalise(number, None).is_ok());
            callable.then(|| TargetSpec::Trunk {
                name: name.to_owned(),
                number: number.map(str::to_owned),
                weight: None,
            })
        }
        "sip" | "sips" => {
            // `maddr` would lead to another host than the URI names (RFC 3261 §19.1.1).
            let is_plain = |uri: &Uri<'_>| uri.headers.is_empty() && uri.param("maddr").is_none();
            let uri = Uri::parse(text.as_bytes()).filter(is_plain)?;
            if !is_callable(text, numbers) {
                return None;
            }
            let written = uri.param("transport").is_some();
            let transport = match (uri.scheme, uri.param("transport").map(str::to_ascii_lowercase).as_deref()) {
                (Scheme::Sip, None | Some("udp")) => Transport::Udp,
                (Scheme::Sip, Some("tcp")) => Transport::Tcp,
                (Scheme::Sip, Some("tls")) | (Scheme::Sips, None | Some("tcp" | "tls")) => Transport::Tls,
                _ => return None,
            };
            let (host, port) = (bare_host(uri.host.host).to_ascii_lowercase(), uri.host.port);
            // In a `sips` URI, `tcp` only names the transport below TLS.
            let is_fixed = written && uri.scheme == Scheme::Sip;
            let destination = Destination { host, port, transport, is_fixed };
            if destination.is_odd_address() {
                return None;
            }
            Some(TargetSpec::Uri { uri: text.to_owned(), destination, in_call: true })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_connect() {
        let numbers = NumberingPlan::new("US").unwrap();
        let target = |text: &str| target(text, &numbers);
        let trunk = |number: Option<&str>| TargetSpec::Trunk {
            name: "pbx".into(),
            number: number.map(str::to_owned),
            weight: None,
        };
        assert_eq!(target("trunk:pbx"), Some(trunk(None)));
        assert_eq!(target("trunk:pbx/+14155550199"), Some(trunk(Some("+14155550199"))));
        assert_eq!(target("agent:desk"), Some(TargetSpec::Agent("desk".into())));
        let uri = TargetSpec::Uri {
            uri: "sip:bob@sbc.example:5070;transport=tcp".into(),
            destination: Destination {
                host: "sbc.example".into(),
                port: Some(5070),
                transport: Transport::Tcp,
                is_fixed: true,
            },
            in_call: true,
        };
        assert_eq!(target("sip:bob@sbc.example:5070;transport=tcp"), Some(uri));
        for text in ["sips:bob@sbc.example", "sips:bob@sbc.example;transport=tcp", "sip:bob@sbc.example;transport=TLS"]
        {
            let Some(TargetSpec::Uri { uri, destination, .. }) = target(text) else { panic!("{text}") };
            assert_eq!((uri.as_str(), destination.transport), (text, Transport::Tls));
        }
        for text in [
            "",
            "pbx",
            "trunk:pbx/",
            "trunk:pbx/+1x",
            "trunk:pbx/desk\r\nX-Header: 1",
            "trunk:pbx/\0",
            "sip:bob@sbc.example\r\nX-Header: 1",
            "sip:bob@sbc.example>",
            "reject:486",
            "sips:bob@sbc.example;transport=udp",
            "sip:bob@sbc.example;transport=ws",
            "sip:",
            "sip:bob@sbc.example;maddr=192.0.2.1",
            "sip:bob@0x7f.1",
            "sip:bob@2130706433",
            "sip:bob@127.0.0.01",
            "sip:bob%0d@sbc.example",
            "sip:bob@sbc.example;x=%0D%0AX-Header:1",
            "trunk:pbx/100%0a",
            "sip:+1809555012345678@sbc.example",
            "play:a.wav",
        ] {
            assert_eq!(target(text), None, "{text}");
        }
        assert_eq!(target(&format!("agent:{}", "x".repeat(AGENT_TARGET_BYTES))), None);
    }
}
