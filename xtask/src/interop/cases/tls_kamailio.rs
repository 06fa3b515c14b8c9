//! Kamailio over TLS, as callee and as caller: each side presents a certificate and verifies the other side's.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::kamailio::{Kamailio, carried};
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::sipp::{Callee, Calls, PBX};

const CONFIGURATION: &str = include_str!("../scenarios/kamailio_tls.cfg");

/// Certificate authority that the case creates.
pub(super) struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// Creates an authority; its own certificate is written to `NAME.pem`.
    pub(super) fn new(folder: &Path, name: &str) -> anyhow::Result<Authority> {
        let mut params = CertificateParams::new(vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        std::fs::write(folder.join(format!("{name}.pem")), params.self_signed(&key)?.pem())?;
        Ok(Authority(Issuer::new(params, key)))
    }

    /// Issues a certificate for these names as `FILE.pem`, with the key `FILE.key`.
    pub(super) fn issue(&self, folder: &Path, file: &str, names: &[&str]) -> anyhow::Result<()> {
        self.issue_for(folder, file, names, Vec::new())
    }

    /// Issues a server-only certificate for these names, as public CAs do.
    pub(super) fn issue_for_servers(&self, folder: &Path, file: &str, names: &[&str]) -> anyhow::Result<()> {
        self.issue_for(folder, file, names, vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    fn issue_for(
        &self,
        folder: &Path,
        file: &str,
        names: &[&str],
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> anyhow::Result<()> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = usages;
        let certificate = params.signed_by(&key, &self.0)?;
        std::fs::write(folder.join(format!("{file}.pem")), certificate.pem())?;
        std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }
}

/// Makes calls with RTP: SIPp → edge → TLS → Kamailio → TLS → another edge → SIPp.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let authority = Authority::new(at, "authority")?;
    let other = Authority::new(at, "other")?;
    authority.issue(at, "edge", &["edge.test"])?;
    // Broken: Kamailio's certificate has the right names and another issuer.
    let signs = if setting.sabotage { &other } else { &authority };
    signs.issue(at, "kamailio", &["127.0.0.5", "kamailio.test"])?;
    let (mut first, mut second) = (calling(at)?, called(at)?);
    let listener = second.tls.context("no TLS listener")?;
    std::fs::write(at.join("tls.cfg"), tls_configuration(at))?;
    let configuration = CONFIGURATION.replace("TLS_CFG", &at.join("tls.cfg").display().to_string());
    let kamailio = Kamailio::start(&configuration.replace("EDGE", &listener.to_string()))?;
    let _callee = Callee::start(PBX, 5060)?;
    let mut calls = Calls::new(setting.calls(100, 40), 20, Duration::from_secs(2));
    calls.rtp = true;
    let counted = calls.run(first.udp)?;
    let mut connections = 0.0;
    for edge in [&mut first, &mut second] {
        carried(edge, &calls, &counted, &kamailio)?;
        connections += edge.metric("trunkgate_sip_connections_active")?;
    }
    if connections > 4.0 {
        bail!("{connections} connections with one far end");
    }
    Ok(format!("{} calls over {connections} TLS connections, 0 failed", counted.successful))
}

/// Starts an edge that presents its certificate to Kamailio and verifies Kamailio's.
fn calling(folder: &Path) -> anyhow::Result<Edge> {
    let at = folder.display();
    Edge::start(&format!(
        r#"
[[listen]]
transport = "tls"
address = "127.0.0.1:0"
certificate = "{at}/edge.pem"
private_key = "{at}/edge.key"
[trunk.carrier]
accept_from = ["127.0.0.2/32"]
[trunk.out]
options_interval = "0s"
peers = ["sip:127.0.0.5:5061;transport=tls"]
media_from = ["127.0.0.1/32"]
tls = {{ ca = "{at}/authority.pem", certificate = "{at}/edge.pem", private_key = "{at}/edge.key" }}
[[route]]
from = ["carrier"]
connect = ["trunk:out"]
"#
    ))
}

/// Starts an edge that identifies Kamailio by its certificate alone.
fn called(folder: &Path) -> anyhow::Result<Edge> {
    let at = folder.display();
    Edge::start(&format!(
        r#"
[[listen]]
transport = "tls"
address = "127.0.0.1:0"
certificate = "{at}/edge.pem"
private_key = "{at}/edge.key"
[trunk.in]
tls = {{ names = ["kamailio.test"], ca = "{at}/authority.pem" }}
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
[[route]]
from = ["in"]
connect = ["trunk:pbx"]
"#
    ))
}

/// Returns Kamailio's TLS configuration: with a certificate of its own, trusting our authority.
pub(super) fn tls_configuration(folder: &Path) -> String {
    let at = folder.display();
    let keys = format!(
        "method = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n\
         certificate = {at}/kamailio.pem\nprivate_key = {at}/kamailio.key\nca_list = {at}/authority.pem\n"
    );
    format!("[server:default]\n{keys}[client:default]\n{keys}")
}
