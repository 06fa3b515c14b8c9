//! Hosted agent that answers messages by a webhook: form, signature, reply, and opt-out words.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::ApiStep;
use super::page::Page;
use super::provider::{Sent, inbound};
use super::rig::Rig;

/// Numbers of the agent, and of the customer.
const NUMBER: &str = "+14155550100";
const CUSTOMER: &str = "+14155550199";
/// Text with which the application replies.
const REPLY: &str = "We are open from 9 to 5.";

/// Numbers of the edge: the agent's.
pub(super) const NUMBERS: [&str; 1] = [NUMBER];

/// Steps of the page with messages, in order.
pub(super) const STEPS: [ApiStep; 4] = [
    ApiStep { section: "step 3", name: "the webhook of the number is set, by POST", run: set },
    ApiStep { section: "step 7", name: "the page's text: signed form, reply to the sender", run: answered },
    ApiStep { section: "step 3", name: "forged and unsigned messages are refused", run: forged },
    ApiStep { section: "compliance", name: "STOP and START are respected", run: stopped },
];

/// Returns the URL of the page's webhook, placed at the application.
fn webhook(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let url = page.url_ending("/twilio-sms")?;
    let path = reqwest::Url::parse(url)?.path().to_owned();
    Ok(rig.url(&path))
}

fn message(number: usize, body: &str) -> Sent {
    let sid = format!("SM{number:032}");
    Sent { sid, to: NUMBER.to_owned(), from: CUSTOMER.to_owned(), body: body.to_owned() }
}

fn set(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let edge = &rig.bench.edge;
    let numbers = edge.api("GET IncomingPhoneNumbers.json", &[])?;
    let sid = numbers["incoming_phone_numbers"][0]["sid"].as_str().context("no number")?;
    let url = webhook(page, rig)?;
    let request = format!("POST IncomingPhoneNumbers/{sid}.json");
    let number = edge.api(&request, &[("SmsUrl", &url), ("SmsMethod", "POST")])?;
    ensure!(number["sms_url"] == url && number["sms_method"] == "POST", "{number}");
    Ok("SmsUrl and SmsMethod".to_owned())
}

/// Passes a message on to the edge and waits for the application's reply.
fn reply(rig: &Rig, sent: &Sent) -> anyhow::Result<Sent> {
    let before = rig.provider.all().len();
    rig.provider.pass_on(rig.bench.edge.http, sent)?;
    rig.provider.next(before)
}

fn answered(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let text = page.quoted("for example, \"")?;
    let since = rig.judged();
    let replied = reply(rig, &message(1, text))?;
    ensure!((replied.to.as_str(), replied.from.as_str()) == (CUSTOMER, NUMBER), "{replied:?}");
    ensure!(replied.body == REPLY, "{replied:?}");
    let body = format!("\"Body\":\"{text}\"");
    rig.requested(since, &["POST ", "/twilio-sms", &body, "\"SmsStatus\":\"received\"", "\"NumMedia\":\"0\""])?;
    rig.provider.report(rig.bench.edge.http, &replied.sid, "delivered")?;
    let list = rig.bench.edge.api(&format!("GET Messages/{}.json", replied.sid), &[])?;
    ensure!(list["status"] == "delivered" && list["direction"] == "outbound-reply", "{list}");
    Ok("the SDK's validator accepts it, the reply leaves through the provider and is delivered".to_owned())
}

fn forged(_: &Page, rig: &Rig) -> anyhow::Result<String> {
    let before = rig.judged();
    for token in [None, Some("another-secret")] {
        let status = inbound(rig.bench.edge.http, &message(2, "Hi"), token)?;
        ensure!(status == 403, "{status} instead of 403");
    }
    ensure!(rig.judged() == before, "the application was asked");
    Ok("403, and no request to the application".to_owned())
}

fn stopped(_: &Page, rig: &Rig) -> anyhow::Result<String> {
    let edge = &rig.bench.edge;
    let since = rig.judged();
    let before = rig.provider.all().len();
    rig.provider.pass_on(edge.http, &message(3, "STOP"))?;
    rig.requested(since, &["POST ", "\"Body\":\"STOP\"", "\"OptOutType\":\"STOP\""])?;
    // The application replies to STOP as to any message; that must be over before START.
    edge.wait_until("the reply to STOP is not sent", Duration::from_secs(10), |edge| {
        Ok(edge.log_tail().contains("a reply is not sent: its recipient has just opted out"))
    })?;
    let send = [("To", CUSTOMER), ("From", NUMBER), ("Body", "Hello again")];
    let Err(refused) = edge.api("POST Messages.json", &send) else { bail!("a message was taken after STOP") };
    ensure!(format!("{refused:#}").contains("21610"), "{refused:#}");
    rig.provider.pass_on(edge.http, &message(4, "START"))?;
    rig.requested(since, &["POST ", "\"Body\":\"START\"", "\"OptOutType\":\"START\""])?;
    let made = edge.api("POST Messages.json", &send)?;
    let sid = made["sid"].as_str().context("no SID")?;
    let mut at = before;
    while rig.provider.next(at)?.sid != sid {
        at += 1;
    }
    let all = rig.provider.all();
    let replies = all.get(before..).unwrap_or_default().iter().filter(|sent| sent.body == REPLY).count();
    // The application may reply to START, but must not reply to STOP.
    ensure!(replies <= 1, "{replies} replies of the application since STOP");
    Ok("21610 and no reply after STOP, both again after START".to_owned())
}
