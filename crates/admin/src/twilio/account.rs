//! Account resource of the API. The edge has exactly one account.

use serde_json::{Value, json};

use super::Asked;
use super::error::Error;
use super::page::PageRequest;
use super::parameters::Parameters;
use super::text::{moment, subresources};

/// Lists below the account that `subresource_uris` names.
const BELOW: [&str; 8] =
    ["calls", "conferences", "incoming_phone_numbers", "messages", "queues", "recordings", "transcriptions", "keys"];

/// Lists the account (`GET /Accounts.json`).
pub(super) fn list(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let page = PageRequest::take("/2010-04-01/Accounts", cx.query, &mut parameters)?;
    let name = parameters.take("FriendlyName");
    let status = parameters.take("Status");
    parameters.finish()?;
    let fits = name.is_none_or(|name| name == cx.edge) && status.is_none_or(|status| status == "active");
    let accounts: Vec<()> = Vec::from_iter(fits.then_some(()).filter(|()| page.behind.is_none()));
    Ok(page.json("accounts", accounts, |()| cx.account.clone(), |()| json(cx)))
}

/// Returns the account (`GET /Accounts/{sid}.json`).
pub(super) fn fetch(cx: &Asked<'_>, parameters: Parameters) -> Result<Value, Error> {
    parameters.finish()?;
    Ok(json(cx))
}

fn json(cx: &Asked<'_>) -> Value {
    let uri = format!("/2010-04-01/Accounts/{}", cx.account);
    let since = moment(cx.handle.shared.running(|running| cx.created(running, &cx.account)));
    json!({
        "auth_token": null,
        "date_created": since,
        "date_updated": since,
        "friendly_name": cx.edge,
        "owner_account_sid": cx.account,
        "sid": cx.account,
        "status": "active",
        "subresource_uris": subresources(&uri, &BELOW),
        "type": "Full",
        "uri": format!("{uri}.json"),
    })
}
