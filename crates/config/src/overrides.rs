//! Parameters of phone numbers set through the Twilio-compatible API. They override the file until they are removed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use toml::Spanned;
use toml::de::DeValue;
use trunkgate_route::{App, AppDocument, Route, StatusCallback, TargetSpec, WebhookMethod};

use super::diagnostic::Findings;
use super::keys::EmptyScope;
use super::numbers::SmsWebhook;
use super::types::Config;
use super::values::KeyReader;
use super::webhook_url;
use trunkgate_system::reach::ReachRules;

/// Parameter of a number that API requests can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NumberParameter {
    /// Display name of the number.
    FriendlyName,
    /// URL of the first document of a call.
    VoiceUrl,
    /// HTTP method of `VoiceUrl`.
    VoiceMethod,
    /// URL requested if a document cannot be retrieved or run.
    VoiceFallbackUrl,
    /// HTTP method of `VoiceFallbackUrl`.
    VoiceFallbackMethod,
    /// URL notified of the progress of each call.
    StatusCallback,
    /// HTTP method of `StatusCallback`.
    StatusCallbackMethod,
    /// URL of the document that answers a message.
    SmsUrl,
    /// HTTP method of `SmsUrl`.
    SmsMethod,
    /// URL requested if `SmsUrl` cannot be retrieved or run.
    SmsFallbackUrl,
    /// HTTP method of `SmsFallbackUrl`.
    SmsFallbackMethod,
}

/// Kind of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Plain text.
    Text,
    /// HTTP or HTTPS URL.
    Url,
    /// `GET` or `POST`.
    Method,
}

impl NumberParameter {
    /// All parameters with their names in Twilio's API and their kinds.
    pub const ALL: [(&str, NumberParameter, ParameterKind); 11] = [
        ("FriendlyName", NumberParameter::FriendlyName, ParameterKind::Text),
        ("VoiceUrl", NumberParameter::VoiceUrl, ParameterKind::Url),
        ("VoiceMethod", NumberParameter::VoiceMethod, ParameterKind::Method),
        ("VoiceFallbackUrl", NumberParameter::VoiceFallbackUrl, ParameterKind::Url),
        ("VoiceFallbackMethod", NumberParameter::VoiceFallbackMethod, ParameterKind::Method),
        ("StatusCallback", NumberParameter::StatusCallback, ParameterKind::Url),
        ("StatusCallbackMethod", NumberParameter::StatusCallbackMethod, ParameterKind::Method),
        ("SmsUrl", NumberParameter::SmsUrl, ParameterKind::Url),
        ("SmsMethod", NumberParameter::SmsMethod, ParameterKind::Method),
        ("SmsFallbackUrl", NumberParameter::SmsFallbackUrl, ParameterKind::Url),
        ("SmsFallbackMethod", NumberParameter::SmsFallbackMethod, ParameterKind::Method),
    ];

    /// URL parameters with the parameters of their HTTP methods.
    pub const METHODS: [(NumberParameter, NumberParameter); 5] = [
        (NumberParameter::VoiceUrl, NumberParameter::VoiceMethod),
        (NumberParameter::VoiceFallbackUrl, NumberParameter::VoiceFallbackMethod),
        (NumberParameter::StatusCallback, NumberParameter::StatusCallbackMethod),
        (NumberParameter::SmsUrl, NumberParameter::SmsMethod),
        (NumberParameter::SmsFallbackUrl, NumberParameter::SmsFallbackMethod),
    ];

    /// Returns the name in Twilio's API.
    pub fn as_str(self) -> &'static str {
        NumberParameter::ALL.iter().find(|(_, known, _)| *known == self).map_or("", |(name, ..)| name)
    }

    /// Returns whether the parameter concerns calls (not messages).
    pub fn is_of_calls(self) -> bool {
        use NumberParameter as P;
        !matches!(self, P::FriendlyName | P::SmsUrl | P::SmsMethod | P::SmsFallbackUrl | P::SmsFallbackMethod)
    }

    /// Returns the parameter with this name in Twilio's API.
    pub fn named(name: &str) -> Option<NumberParameter> {
        NumberParameter::ALL.iter().find(|(known, ..)| *known == name).map(|(_, parameter, _)| *parameter)
    }
}

/// Parameters set for one number, and the time when it was first configured.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NumberOverride {
    values: BTreeMap<NumberParameter, String>,
    updated: Timestamp,
    first_seen: Option<Timestamp>,
}

/// Omits the values, because URLs may contain secrets.
impl std::fmt::Debug for NumberOverride {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl NumberOverride {
    /// Sets a parameter, or removes it.
    pub fn set(&mut self, parameter: NumberParameter, value: Option<String>, at: Timestamp) {
        match value {
            Some(value) => drop(self.values.insert(parameter, value)),
            None => drop(self.values.remove(&parameter)),
        }
        self.updated = self.updated.max(at);
    }

    /// Returns the value of a parameter.
    pub fn get(&self, parameter: NumberParameter) -> Option<&str> {
        self.values.get(&parameter).map(String::as_str)
    }

    /// Returns whether no parameter is set.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the time of the last change.
    pub fn updated(&self) -> Timestamp {
        self.updated
    }

    /// Records the time when the number was first configured, unless already known. Returns whether it was recorded.
    pub fn see(&mut self, at: Timestamp) -> bool {
        let is_first = self.first_seen.is_none();
        self.first_seen.get_or_insert(at);
        is_first
    }

    /// Returns the time when the number was first configured, if the store knows it.
    pub fn first_seen(&self) -> Option<Timestamp> {
        self.first_seen
    }

    /// Returns the parameters that are set.
    pub fn parameters(&self) -> impl Iterator<Item = NumberParameter> {
        self.values.keys().copied()
    }

    /// Returns the message webhook set for the number.
    fn sms(&self) -> SmsWebhook {
        use NumberParameter as P;
        let method = |parameter| self.method(parameter).unwrap_or_default();
        SmsWebhook {
            url: self.get(P::SmsUrl).map(str::to_owned),
            method: method(P::SmsMethod),
            fallback_url: self.get(P::SmsFallbackUrl).map(str::to_owned),
            fallback_method: method(P::SmsFallbackMethod),
        }
    }

    fn method(&self, parameter: NumberParameter) -> Option<WebhookMethod> {
        self.get(parameter).map(|method| if method == "GET" { WebhookMethod::Get } else { WebhookMethod::Post })
    }

    /// Returns the application for calls to the number: that of the configuration, if any, with the parameters set
    /// here. `None` if no parameter concerns calls, or no document could start a call.
    fn app(&self, name: &str, written: Option<&App>, shared: App) -> Option<App> {
        use NumberParameter as P;
        let mut app = match (self.get(P::VoiceUrl), written) {
            (Some(url), written) => {
                let method = match written.map(|written| &written.document) {
                    Some(AppDocument::Url { method, .. }) => *method,
                    Some(_) | None => WebhookMethod::default(),
                };
                let document = AppDocument::Url { url: url.to_owned(), method };
                // A document set by a request must not present numbers that the file allows to another document.
                App { document, callers: Vec::new(), ..written.cloned().unwrap_or(shared) }
            }
            (None, Some(written)) if self.parameters().any(P::is_of_calls) => written.clone(),
            (None, _) => return None,
        };
        app.name = name.into();
        if let (Some(method), AppDocument::Url { method: of_app, .. }) =
            (self.method(P::VoiceMethod), &mut app.document)
        {
            *of_app = method;
        }
        if let Some(url) = self.get(P::VoiceFallbackUrl) {
            app.fallback_url = Some(url.to_owned());
        }
        app.fallback_method = self.method(P::VoiceFallbackMethod).unwrap_or(app.fallback_method);
        if let Some(url) = self.get(P::StatusCallback) {
            let written = app.status_callback.take();
            let wanted = written.unwrap_or(StatusCallback {
                url: String::new(),
                method: WebhookMethod::default(),
                initiated: false,
                ringing: false,
                answered: false,
                completed: true,
            });
            app.status_callback = Some(StatusCallback { url: url.to_owned(), ..wanted });
        }
        if let (Some(method), Some(callback)) = (self.method(P::StatusCallbackMethod), &mut app.status_callback) {
            callback.method = method;
        }
        Some(app)
    }
}

/// Overrides of phone numbers, by SID.
pub type NumberOverrides = BTreeMap<String, NumberOverride>;

/// Tables with the `allow_private` that applies to URLs of requests.
const TABLES: &str = "[api], or in the [app] that has the call or number,";

/// Checks a URL of an API request by the rules for URLs of applications.
///
/// # Errors
/// Returns the reason why the URL is not allowed, without the URL itself.
pub fn judge_url(parameter: &str, url: &str, reach: &ReachRules) -> Result<(), String> {
    let mut findings = Findings::default();
    let value = Spanned::new(0..0, DeValue::String(url.into()));
    let parts = EmptyScope::of(Path::new(""));
    let scope = parts.scope(Path::new(""));
    let mut reader = KeyReader { key: parameter, value: &value, scope, findings: &mut findings };
    if webhook_url::read(&mut reader).is_some() {
        webhook_url::judge_by(reach, TABLES, parameter, url, 0..0, &mut findings);
    }
    match findings.into_sorted().into_iter().find(|found| found.is_error) {
        Some(found) => Err(format!("{}: {}", found.message, found.help)),
        None => Ok(()),
    }
}

impl Config {
    /// Returns the configuration with the parameters that API requests have set for its numbers.
    ///
    /// A number with overridden call parameters gets its own application, `api:NUMBER`, and a route that precedes all
    /// others.
    #[must_use]
    pub fn overridden(&self, overrides: &NumberOverrides) -> Config {
        let mut config = self.clone();
        let mut routes: Option<Vec<Route>> = None;
        for at in 0..config.numbers.len() {
            let Some(number) = config.numbers.get_mut(at) else { continue };
            let Some(set) = overrides.get(&number.sid()).filter(|set| !set.is_empty()) else { continue };
            if let Some(name) = set.get(NumberParameter::FriendlyName) {
                number.name = Some(name.to_owned());
            }
            number.sms = set.sms();
            let written = self.apps.iter().find(|app| number.app.as_deref() == Some(&*app.name));
            let Some(route) = &number.route else { continue };
            let name = format!("api:{}", route.name.trim_start_matches("number "));
            let Some(app) = set.app(&name, written, self.shared_app()) else { continue };
            let settings = written.and_then(|written| self.app_settings.get(&written.name)).cloned();
            config.app_settings.extend(settings.map(|settings| (app.name.clone(), settings)));
            number.app = Some(name.clone());
            let connect = vec![TargetSpec::App(name)];
            let all = routes.get_or_insert_with(|| self.routes.iter().map(|one| Route::clone(one)).collect());
            match all.iter_mut().find(|one| *one.name == *route.name) {
                Some(written) => written.connect = connect,
                None => {
                    all.insert(0, Route { connect, ..route.route(&number.number) });
                    config.places.begin_with_number(at);
                }
            }
            config.apps.push(app);
        }
        if let Some(routes) = routes {
            config.routes = routes.into();
        }
        config
    }

    /// Returns an application with only the settings that `[api]` gives to all.
    fn shared_app(&self) -> App {
        let document = AppDocument::Url { url: String::new(), method: WebhookMethod::default() };
        App {
            allow_private: self.api.allow_private,
            auth_token: self.api.auth_token.as_ref().map(|token| token.reveal().to_owned()),
            connect: self.api.connect.clone(),
            ..App::new("", document)
        }
    }

    /// Returns the name of the application of a number, by SID.
    pub fn app_of_number(&self, sid: &str) -> Option<Arc<str>> {
        let number = self.numbers.iter().find(|number| number.sid() == sid)?;
        number.app.as_deref().map(Arc::from)
    }

    /// Describes the overrides of each number, for reports:
    /// `VoiceUrl set through the API overrides [[number]] app "ivr"`.
    pub fn told_overrides(&self, overrides: &NumberOverrides) -> Vec<OverrideReport> {
        let told = |number: &super::PhoneNumber| {
            let set = overrides.get(&number.sid()).filter(|set| !set.is_empty())?;
            let parameters: Vec<&'static str> = set.parameters().map(NumberParameter::as_str).collect();
            let is_of_calls = set.parameters().any(NumberParameter::is_of_calls);
            let written = match (&number.app, set.get(NumberParameter::VoiceUrl)) {
                _ if !is_of_calls => "overrides [[number]]".to_owned(),
                (Some(app), Some(_)) => format!("overrides [[number]] app \"{app}\""),
                (Some(app), None) => format!("overrides keys of [[number]] app \"{app}\""),
                (None, Some(_)) => "takes this number's calls ahead of all routes".to_owned(),
                (None, None) => "overrides [[number]]".to_owned(),
            };
            let text = format!("{} set through the API {written}", parameters.join(", "));
            let route = number.route.as_ref().map(|route| route.name.clone());
            Some(OverrideReport { number: number.number.clone(), route, parameters, text })
        };
        self.numbers.iter().filter_map(told).collect()
    }
}

/// Overrides of a number, for reports.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OverrideReport {
    /// Number in E.164.
    pub number: String,
    /// Name of the route; `None` if no call reaches the number.
    #[serde(skip)]
    pub route: Option<Arc<str>>,
    /// Names of the parameters that are set.
    pub parameters: Vec<&'static str>,
    /// The setting as a sentence.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FILE: &str = "[api]\nauth_token = '0123456789abcdef0123456789abcdef'\nallow_private = true\n\
                        [trunk.carrier]\npeers = ['sip:198.51.100.7']\n[trunk.pbx]\npeers = ['sip:10.0.0.5']\n\
                        [app.ivr]\nurl = 'https://app.example.com/voice'\nmethod = 'GET'\nfallback_url = 'https://b.example.com/'\n\
                        [[number]]\nnumber = '+14155550100'\n\
                        [[number]]\nnumber = '+14155550101'\napp = 'ivr'\nfrom = ['carrier']\n\
                        [[route]]\nname = 'all'\nconnect = ['trunk:pbx']\n";

    fn parse(text: &str) -> Config {
        super::super::parse(Path::new("t.toml"), text).unwrap().0
    }

    /// Returns the configuration with parameters set for its first or second number.
    fn with(config: &Config, number: usize, all: &[(NumberParameter, &str)]) -> Config {
        let mut set = NumberOverride::default();
        for (parameter, value) in all {
            set.set(*parameter, Some((*value).to_owned()), Timestamp::UNIX_EPOCH);
        }
        config.overridden(&NumberOverrides::from([(config.numbers[number].sid(), set)]))
    }

    #[test]
    fn a_voice_url_gets_a_route_in_front_of_all_others_and_an_app_of_its_own() {
        let written = parse(FILE);
        let url = "https://other.example.com/";
        let config = with(&written, 0, &[(NumberParameter::VoiceUrl, url), (NumberParameter::StatusCallback, url)]);
        let names: Vec<&str> = config.routes.iter().map(|route| &*route.name).collect();
        assert_eq!(names, ["number +14155550100", "number +14155550101", "all"]);
        assert_eq!((config.places.route(0), config.places.route(2)), (Some(13), written.places.route(1)));
        assert_eq!(config.routes[0].connect, [TargetSpec::App("api:+14155550100".to_owned())]);
        let app = config.apps.last().unwrap();
        assert_eq!((&*app.name, app.allow_private, app.auth_token.is_some()), ("api:+14155550100", true, true));
        let callback = app.status_callback.as_ref().unwrap();
        assert!(callback.completed && !callback.initiated && callback.url == url);
        assert_eq!(written.overridden(&NumberOverrides::new()).routes.len(), 2);
    }

    #[test]
    fn what_is_set_stands_above_the_app_of_the_number_key_by_key() {
        let written = parse(FILE);
        let config = with(&written, 1, &[(NumberParameter::VoiceUrl, "https://other.example.com/")]);
        assert_eq!((config.routes.len(), &*config.routes[0].name), (2, "number +14155550101"));
        let app = config.apps.last().unwrap();
        let document = AppDocument::Url { url: "https://other.example.com/".to_owned(), method: WebhookMethod::Get };
        assert_eq!((&app.document, app.allow_private), (&document, false), "its own `allow_private`");
        assert_eq!(app.fallback_url.as_deref(), Some("https://b.example.com/"));
        assert_eq!(config.apps[0].document, written.apps[0].document, "others keep it");
        let config = with(&written, 1, &[(NumberParameter::VoiceFallbackMethod, "GET")]);
        let app = config.apps.last().unwrap();
        assert_eq!((&app.document, app.fallback_method), (&written.apps[0].document, WebhookMethod::Get));
        let config = with(&written, 1, &[(NumberParameter::FriendlyName, "Desk")]);
        assert_eq!((config.apps.len(), config.numbers[1].name.as_deref()), (1, Some("Desk")));
    }

    #[test]
    fn a_number_keeps_its_sid_while_trunks_are_added() {
        let sids = |text: &str| parse(text).numbers.iter().map(super::super::PhoneNumber::sid).collect::<Vec<_>>();
        let more = FILE.replace("[app.ivr]", "[trunk.more]\npeers = ['sip:198.51.100.8']\n[app.ivr]");
        assert_eq!(sids(FILE), sids(&more));
        assert_ne!(sids(FILE)[1], sids(&FILE.replace("from = ['carrier']", "from = ['pbx']"))[1]);
    }

    #[test]
    fn urls_are_judged_as_those_of_applications() {
        let [strict, lax] = [false, true].map(|allow_private| ReachRules { allow_private, ..ReachRules::default() });
        assert_eq!(judge_url("VoiceUrl", "https://app.example.com/?a=secret", &strict), Ok(()));
        assert_eq!(judge_url("VoiceUrl", "http://127.0.0.1:9/", &lax), Ok(()));
        assert_eq!(judge_url("VoiceUrl", "http://localhost:9/", &lax), Ok(()));
        for (url, part) in [
            ("ftp://app.example.com/", "is not a web address"),
            ("app.example.com", "is not a web address"),
            ("http://127.0.0.1:9/", "can never be reached"),
            (
                "http://127.0.0.1:9/",
                "set `allow_private = true` in [api], or in the [app] that has the call or number, if",
            ),
            ("http://localhost:9/", "can never be reached"),
            ("http://169.254.169.254/", "can never be reached"),
        ] {
            let why = judge_url("VoiceUrl", url, if url.contains("169.254") { &lax } else { &strict }).unwrap_err();
            assert!(why.starts_with("`VoiceUrl` ") && why.contains(part), "{url}: {why}");
        }
    }
}
