//! Applications: connectivity to the servers of their URLs. No request is sent, since an application would treat it as
//! a call.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;
use trunkgate_route::{App, AppDocument};

use super::{Report, all as all_of, recordings, twilio};
use crate::findings::Finding;
use trunkgate_config::Config;
use trunkgate_delivery::webhooks::client::WebhookClient;
use trunkgate_delivery::webhooks::codes;
use trunkgate_runtime::own_sockets::OwnSockets;
use trunkgate_system::interfaces;
use trunkgate_system::reach::ReachRules;

/// Prefix of the line names, followed by the application's name.
pub(super) const KIND: &str = "app";

/// Returns the findings about applications, about their requests to Twilio, and about the receivers of recordings.
pub(super) async fn all(config: &Arc<Config>, report: &Arc<Report>) -> Vec<Finding> {
    let (apps, hosts, recordings) =
        tokio::join!(apps(config, report), twilio::examine(config, report), recordings::examine(config, report));
    apps.into_iter().chain(hosts).chain(recordings).collect()
}

/// Returns one finding for each application, and one for each further server in the URLs of an application.
async fn apps(config: &Arc<Config>, report: &Arc<Report>) -> Vec<Finding> {
    if !report.wants(KIND) {
        return Vec::new();
    }
    let client = Arc::new(WebhookClient::new());
    let interfaces = interfaces::read();
    let mut own = OwnSockets::default();
    own.follow(config, config);
    let begun = config.apps.iter().map(|app| {
        let (app, config) = (app.clone(), Arc::clone(config));
        let (client, report) = (Arc::clone(&client), Arc::clone(report));
        let reach = own.reach(app.allow_private, &interfaces);
        tokio::spawn(async move { report.take(of_app(&app, &config, &client, &reach).await) })
    });
    all_of(begun.collect()).await.into_iter().flatten().collect()
}

async fn of_app(app: &App, config: &Config, client: &WebhookClient, reach: &ReachRules) -> Vec<Finding> {
    let name = format!("{KIND} {}", app.name);
    let mut findings = Vec::new();
    let mut urls = Vec::new();
    match &app.document {
        AppDocument::Url { url, .. } => urls.push(("url", url)),
        // The `play:` file of a route is read with the configuration, and the other kinds need no server.
        AppDocument::Sound(_) | AppDocument::Mailbox(_) | AppDocument::Text(_) | AppDocument::Conference(_) => {}
        AppDocument::File(file) => {
            let is_loaded = config.app_settings.get(&app.name).is_some_and(|settings| settings.document.is_some());
            findings.push(match is_loaded {
                true => Finding::ok(&name, format!("{file} can be used")),
                false => Finding::fail(&name, format!("{file} cannot be used"), "trunkgate check"),
            });
        }
    }
    urls.extend(app.fallback_url.iter().map(|url| ("fallback_url", url)));
    urls.extend(app.status_callback.iter().map(|callback| ("status_callback", &callback.url)));
    let mut seen = HashSet::new();
    for (key, url) in urls {
        let (server, found) = of_url((&name, key), url, client, reach).await;
        if server.is_none_or(|server| seen.insert(server)) {
            findings.push(found);
        }
    }
    findings
}

/// Returns the server of a URL if it is reachable, and the finding about it.
pub(super) async fn of_url(
    (line, key): (&str, &str),
    url: &str,
    client: &WebhookClient,
    reach: &ReachRules,
) -> (Option<String>, Finding) {
    let began = Instant::now();
    match client.reach(url, reach).await {
        Ok((server, remote)) => {
            let took = began.elapsed().as_millis();
            let found = Finding::ok(line, format!("{key}: {server} ({remote}) connected after {took} ms"));
            (Some(server), found)
        }
        Err(failure) => {
            let fix = codes::explain(failure.code).map(|(_, fix)| fix).unwrap_or_default();
            (None, Finding::fail(line, format!("{key}: {} (error {})", failure.what, failure.code), fix))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::{configured, everything};
    use super::*;
    use crate::findings::Level;

    async fn found(keys: &str) -> Vec<(Level, String)> {
        let api = "[api]\nauth_token = 'ab34567890123456789012345678901234567890'\n";
        let config =
            format!("{api}[trunk.a]\npeers = ['sip:10.0.0.5']\n[[route]]\nconnect = ['app:ivr']\n[app.ivr]\n{keys}");
        let findings = apps(&Arc::new(configured(&config)), &everything()).await;
        assert!(findings.iter().all(|finding| finding.name == "app ivr"));
        findings.into_iter().map(|finding| (finding.level, finding.text)).collect()
    }

    #[tokio::test]
    async fn each_server_of_an_application_is_connected_to_once_and_asked_nothing() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = server.local_addr().unwrap();
        // A port that had a listener and has none any more.
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let keys = format!(
            "allow_private = true\nurl = 'http://{live}/voice?token=secret'\nfallback_url = 'http://{live}/other'\n\
             status_callback = 'http://{dead}/status'\n"
        );
        let found = found(&keys).await;
        let [(Level::Ok, url), (Level::Fail, callback)] = found.as_slice() else { panic!("{found:?}") };
        assert!(url.starts_with(&format!("url: http://{live} ({live}) connected after ")), "{url}");
        assert!(callback.starts_with("status_callback: not reachable: ") && callback.ends_with("(error 11205)"));
        server.set_nonblocking(true).unwrap();
        let (mut stream, _) = server.accept().unwrap();
        stream.set_nonblocking(false).unwrap();
        assert_eq!(std::io::Read::read(&mut stream, &mut [0; 8]).unwrap(), 0, "a request was sent");
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere_fails() {
        // `check` validates addresses only; the addresses of a name are found by a lookup.
        let found = found("url = 'http://ip6-localhost.invalid/voice'\n").await;
        let [(Level::Fail, what)] = found.as_slice() else { panic!("{found:?}") };
        assert!(what.starts_with("url: host name not found") && what.ends_with("(error 11210)"), "{what}");
    }
}
