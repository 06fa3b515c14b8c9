//! `[[number]]`: phone numbers of the edge. A call to a number with an `app` goes to the application before any route.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use trunkgate_route::{Pattern, Route, TargetSpec, WebhookMethod};

use super::api::stable_sid;
use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SourceSpan, SpannedNumber, SpannedRoute, SpannedTrunk, TargetSpan};
use super::keys;
use super::section::Section;
use super::values::KeyReader;

/// Maximum length of `name` in characters, as Twilio's FriendlyName.
const NAME_CHARS: usize = 64;

/// Phone number of the edge: a `[[number]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumber {
    /// Number in E.164.
    pub number: String,
    /// Display name of the number.
    pub name: Option<String>,
    /// Application for calls to the number; `None` if the routes decide.
    pub app: Option<String>,
    /// Trunks from which calls to the number are accepted.
    pub from: Vec<String>,
    /// True if the key `from` is set in the file.
    pub has_from: bool,
    /// Route of the number, if it has an application and accepts calls.
    pub route: Option<NumberRoute>,
    /// Webhook for messages to the number; can only be set by API requests.
    pub sms: SmsWebhook,
}

/// Webhook for messages to a number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SmsWebhook {
    /// URL of the webhook; `None` if the number has none.
    pub url: Option<String>,
    /// HTTP method of the request for `url`.
    pub method: WebhookMethod,
    /// URL requested if `url` fails.
    pub fallback_url: Option<String>,
    /// HTTP method of `fallback_url`.
    pub fallback_method: WebhookMethod,
}

/// Omits the URLs, whose query strings may contain secrets.
impl std::fmt::Debug for SmsWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmsWebhook").finish_non_exhaustive()
    }
}

/// Route for calls to a number with an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberRoute {
    /// `number NUMBER`, followed by `from TRUNKS` if several tables have the number.
    pub name: Arc<str>,
    /// Trunks of the calls; if empty, calls of all trunks count.
    pub from: Vec<String>,
}

impl NumberRoute {
    /// Returns the route of `number` with this entry's name and `from`; the caller adds the targets.
    pub(super) fn route(&self, number: &str) -> Route {
        let to = vec![Pattern::Exact(number.to_owned())];
        Route { from: self.from.clone(), to, ..Route::named(&self.name, Vec::new()) }
    }
}

impl PhoneNumber {
    /// Returns the SID: a hash of the number and, if set, of its trunks.
    pub fn sid(&self) -> String {
        let from = if self.has_from { self.from.join(",") } else { String::new() };
        stable_sid("PN", &format!("trunkgate number {} {from}", self.number))
    }
}

/// Reads all numbers in file order.
pub(super) fn read(root: &Section<'_>, trunks: &[SpannedTrunk], findings: &mut Findings) -> Vec<SpannedNumber> {
    let carriers: Vec<String> = carriers(trunks).map(|placed| placed.trunk.name.to_string()).collect();
    let sections = root.rows("number", keys::NUMBERS, findings);
    sections.iter().filter_map(|section| read_one(section, &carriers, findings)).collect()
}

/// Returns the trunks that are neither phones nor recording servers.
fn carriers(trunks: &[SpannedTrunk]) -> impl Iterator<Item = &SpannedTrunk> {
    trunks.iter().filter(|placed| !placed.trunk.accept_register && placed.trunk.siprec.is_none())
}

fn read_one(section: &Section<'_>, carriers: &[String], findings: &mut Findings) -> Option<SpannedNumber> {
    let name = section.read("name", findings, name);
    let app = section.read("app", findings, |reader| reader.name());
    let from = section.read("from", findings, |reader| {
        if reader.is_empty_list() {
            let help = "remove it for all trunks but those of phones";
            reader.error(code::BAD_VALUE, "is empty", help);
        }
        reader.one_or_list(|reader| reader.string())
    });
    let Some(written) = section.get("number") else {
        let help = "add number = \"+14155550100\"";
        findings.error(code::MISSING, section.span.clone(), "a [[number]] without `number`", help);
        return None;
    };
    let number = section.read("number", findings, number)?;
    let is_partial = (section.get("app").is_some() && app.is_none())
        || section.get("from").is_some() && from.as_ref().is_none_or(Vec::is_empty);
    let (from, spans) = match from {
        Some(from) => from.into_iter().unzip(),
        None => (carriers.to_vec(), Vec::new()),
    };
    Some(SpannedNumber {
        number: PhoneNumber {
            number,
            name,
            app,
            from,
            has_from: section.get("from").is_some(),
            route: None,
            sms: SmsWebhook::default(),
        },
        span: written.span(),
        app: section.span_of("app"),
        is_default: section.get("from").is_none(),
        from: spans,
        is_partial,
    })
}

fn name(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let fits = !text.trim().is_empty() && text.chars().count() <= NAME_CHARS && !text.chars().any(char::is_control);
    if !fits {
        let help = format!("1 to {NAME_CHARS} characters, in one line");
        reader.error(code::BAD_VALUE, "is empty, too long, or contains a control character", help);
    }
    fits.then_some(text)
}

fn number(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let numbers = &reader.scope.edge.numbers;
    let number = numbers.normalise(text.trim(), None).ok().filter(|number| number.is_e164);
    if number.is_none() {
        let what = format!(": \"{text}\" is not a phone number in {}", numbers.country());
        reader.error(code::BAD_VALUE, what, "use complete numbers: \"+14155550100\"");
    }
    number.map(|number| number.text)
}

/// Assigns a route name to each number, and returns the routes of numbers with an application, to precede all others.
pub(super) fn routes(all: &mut [SpannedNumber], trunks: &[SpannedTrunk], findings: &mut Findings) -> Vec<SpannedRoute> {
    let mut listed: HashMap<String, usize> = HashMap::new();
    for placed in &*all {
        *listed.entry(placed.number.number.clone()).or_default() += 1;
    }
    let has_phones = trunks.iter().any(|placed| placed.trunk.accept_register);
    let mut routes = Vec::new();
    for placed in all {
        let PhoneNumber { number, from, .. } = &placed.number;
        if from.is_empty() && has_phones && !placed.is_partial {
            if placed.number.app.is_some() {
                let message = format!("{number} receives no calls: every trunk is for phones (`accept_register`)");
                findings.warning(code::NO_CALLS, Some(placed.span.clone()), message, "add from = [\"NAME\"]");
            }
            continue;
        }
        let is_only = listed.get(number) == Some(&1);
        let name =
            if is_only { format!("number {number}") } else { format!("number {number} from {}", from.join(", ")) };
        // Without phones the default is every trunk.
        let is_any = placed.is_default && !has_phones;
        let from = if is_any { Vec::new() } else { from.clone() };
        let own = placed.number.route.insert(NumberRoute { name: name.into(), from });
        let (name, from) = (own.name.clone(), own.from.clone());
        if placed.number.app.is_some() {
            let mut route = placed.route();
            (route.route.name, route.route.from) = (name, from);
            route.from.truncate(route.route.from.len());
            routes.push(route);
        }
    }
    routes
}

impl SpannedNumber {
    /// Returns the route of calls to the number, without a name.
    pub(super) fn route(&self) -> SpannedRoute {
        let app = self.number.app.iter().zip(&self.app);
        let place = |span: &SourceSpan| TargetSpan { span: span.clone(), members: Vec::new(), by_ratio: None };
        let (targets, places) = app.map(|(app, span)| (TargetSpec::App(app.clone()), place(span))).unzip();
        let route = Route {
            from: self.number.from.clone(),
            to: vec![Pattern::Exact(self.number.number.clone())],
            ..Route::named("", targets)
        };
        let from = if self.is_default { vec![self.span.clone(); route.from.len()] } else { self.from.clone() };
        let is_partial = self.is_partial;
        SpannedRoute { from, connect: places, is_partial, ..SpannedRoute::at(route, self.span.clone()) }
    }
}

/// Rejects a number that is listed twice for the same calls.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    let mut listed: HashMap<&str, Vec<&SpannedNumber>> = HashMap::new();
    for placed in &draft.numbers {
        let PhoneNumber { number, from, .. } = &placed.number;
        let before = listed.entry(number).or_default();
        let from: BTreeSet<&String> = from.iter().collect();
        let shares = |other: &&SpannedNumber| {
            other.is_default && placed.is_default || other.number.from.iter().any(|name| from.contains(name))
        };
        if before.iter().any(shares) {
            let help = "remove one of them, or give each trunks of its own with `from`";
            let message = format!("{number} is listed twice for calls from the same trunk");
            findings.error(code::DUPLICATE, placed.span.clone(), message, help);
        }
        before.push(placed);
    }
}
