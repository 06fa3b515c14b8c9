//! Media networks of a trunk: findings of `check` for a carrier without configured networks.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use trunkgate_config as config;

use crate::support::depends_on_machine;

#[test]
fn a_carrier_whose_media_networks_are_not_written_is_told_of() {
    let codes = |lines: &str| -> Vec<&'static str> {
        let text = format!("[trunk.x]\n{lines}\n[[route]]\nconnect = ['trunk:x']\n");
        let (_, found) = config::parse(Path::new("x.toml"), &text).unwrap();
        found.iter().map(|one| one.code).filter(|code| !depends_on_machine(code)).collect()
    };
    let warned = |lines: &str| assert_eq!(codes(lines), ["TG0151"], "{lines}");
    let trunk = |lines: &str| assert_eq!(codes(lines), Vec::<&str>::new(), "{lines}");
    warned("peers = 'sip:198.51.100.9'\naccept_from = ['198.51.100.9', '198.51.100.10']");
    warned("preset = 'carrier'\npeers = 'sip:198.51.100.9'");
    warned("preset = 'carrier'\npeers = 'sip:sbc.carrier.example'");
    // Media comes from the signalling address, or the signalling address cannot be forged.
    trunk("peers = 'sip:198.51.100.9'\naccept_from = '198.51.100.9'\nmedia_from = []");
    trunk("peers = 'sip:198.51.100.9'\naccept_from = '198.51.100.9'\nmedia_from = '192.0.2.0/24'");
    trunk("peers = 'sip:198.51.100.9'\naccept_from = '198.51.100.0/24'");
    trunk("preset = 'carrier'\npeers = 'sip:198.51.100.9;transport=tcp'");
    trunk(
        "peers = 'sip:198.51.100.9'\naccept_from = '198.51.100.9'\nrequire_auth = { username = 'u', password = 'a-long-one' }",
    );
    trunk("peers = 'sip:10.0.0.9'\naccept_from = '10.0.0.9'");
    trunk("preset = 'carrier'\npeers = 'sip:10.0.0.9'");
    trunk("peers = 'sip:198.51.100.9'");
}
