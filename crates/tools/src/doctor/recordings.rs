//! Services for recordings: the mail server, the transcription service, and the receivers of reports about recordings
//! and messages. No request is sent: a receiver would treat it as a recording.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use trunkgate_route::Mailbox;

use super::Report;
use super::apps::of_url;
use crate::findings::Finding;
use trunkgate_config::{Config, MailSettings};
use trunkgate_delivery::sinks::recordings::reach_mail_server;
use trunkgate_delivery::webhooks::client::WebhookClient;
use trunkgate_runtime::own_sockets::OwnSockets;
use trunkgate_system::interfaces;
use trunkgate_system::limits::CONNECT_SECONDS;

/// Names of the findings about the mail server, the transcription service, and the receivers of notifications.
const MAIL: &str = "mail";
const TRANSCRIPTION: &str = "transcription";
const NOTIFY: &str = "notify";

/// Returns a finding for the mail server, one for the transcription service, and one for each receiver.
pub(super) async fn examine(config: &Arc<Config>, report: &Arc<Report>) -> Vec<Finding> {
    let Some(recording) = &config.recording else { return Vec::new() };
    let mut findings = Vec::new();
    if let Some(mail) = recording.mail.as_ref().filter(|_| report.wants(MAIL)) {
        findings.extend(report.take(vec![of_mail(mail).await]));
    }
    let service =
        recording.transcription.as_ref().map(|service| (TRANSCRIPTION, "[transcription] url", service.url.as_str()));
    let all = recording.notify.as_deref().map(|url| (NOTIFY, "[recording] url", url));
    let of_mailbox = |mailbox: &Mailbox| {
        let url = mailbox.notify.clone().filter(|url| !url.starts_with(Mailbox::MAILTO))?;
        Some((format!("`notify` of [voicemail.{}]", mailbox.name), url))
    };
    let mailboxes: Vec<(String, String)> = config.mailboxes.iter().filter_map(of_mailbox).collect();
    let of_mailboxes = mailboxes.iter().map(|(key, url)| (NOTIFY, key.as_str(), url.as_str()));
    let (client, mut own) = (WebhookClient::new(), OwnSockets::default());
    own.follow(config, config);
    let reach = own.reach(true, &interfaces::read());
    for (line, key, url) in service.into_iter().chain(all).chain(of_mailboxes).filter(|(line, ..)| report.wants(line)) {
        findings.extend(report.take(vec![of_url((line, key), url, &client, &reach).await.1]));
    }
    findings
}

async fn of_mail(mail: &MailSettings) -> Finding {
    let (began, place) = (Instant::now(), format!("{}:{}", mail.host, mail.port));
    let reached = timeout(Duration::from_secs(2 * CONNECT_SECONDS), reach_mail_server(mail)).await;
    match reached.unwrap_or_else(|_| Err("does not answer".to_owned())) {
        Ok(()) => {
            let user = mail.user.as_ref().map(|_| " and logged in").unwrap_or_default();
            Finding::ok(MAIL, format!("{place} connected{user} after {} ms", began.elapsed().as_millis()))
        }
        Err(what) => Finding::fail(
            MAIL,
            format!("{place} {what}"),
            "check `server`, user, `password` and `ca` of [mail], and the firewall",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::{configured, everything};
    use super::*;
    use crate::findings::Level;

    #[tokio::test]
    async fn each_service_is_connected_to_and_asked_nothing() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = server.local_addr().unwrap();
        // A port that had a listener and has none any more.
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "[trunk.a]\npeers = ['sip:10.0.0.5']\n[[route]]\nconnect = ['voicemail:front']\n\
             [recording]\ndirectory = '/tmp/recordings'\nurl = 'http://{live}/all'\n\
             [transcription]\nurl = 'http://{dead}/asr'\n[mail]\nserver = 'smtp://{dead}'\nfrom = 'a@example.com'\n\
             [voicemail.front]\nnotify = 'http://{live}/front'\n"
        );
        let findings = examine(&Arc::new(configured(&config)), &everything()).await;
        let found: Vec<(Level, &str, &str)> =
            findings.iter().map(|one| (one.level, one.name.as_str(), one.text.as_str())).collect();
        let [
            (Level::Fail, "mail", mail),
            (Level::Fail, "transcription", asr),
            (Level::Ok, "notify", all),
            (Level::Ok, "notify", front),
        ] = found.as_slice()
        else {
            panic!("{found:?}")
        };
        assert!(mail.starts_with(&format!("{dead} cannot be reached: ")), "{mail}");
        assert!(asr.starts_with("[transcription] url: not reachable"), "{asr}");
        assert!(all.starts_with(&format!("[recording] url: http://{live} ")), "{all}");
        assert!(front.starts_with("`notify` of [voicemail.front]: "), "{front}");
    }
}
