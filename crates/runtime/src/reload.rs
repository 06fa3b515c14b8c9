//! Application of a new configuration, or of new addresses of peers or of the machine: the new state is built
//! separately and swapped in. Calls in progress keep their settings.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, interval, interval_at, timeout};
use trunkgate_call::{
    ConfigChangeScope, EdgeEvent, EdgeEventKind, EdgeSettings as GatewaySettings, GatewayInput, RecordingLinks,
};
use trunkgate_route::TargetSpec;

use crate::handle::{EdgeHandle, RunningConfig, SignallingEnded};
use crate::overrides;
use crate::own_certificates::{ExpiringCertificate, LISTENER, rejected_certificate};
use crate::settings::{self, ResolvedServers, stamps};
use crate::speech;
use crate::transport::{TlsFaultsView, TlsSettings};
use trunkgate_config::{self as config, Config, ConfigDifference, Diagnostic};
pub use trunkgate_delivery::sinks::records::ReportOrder;
pub use trunkgate_delivery::sinks::sms::SmsOrder;
pub use trunkgate_delivery::sinks::sms::outlets::Outlets;
use trunkgate_delivery::sinks::{hep, needs_store, otel};
use trunkgate_system::clock;
use trunkgate_system::limits;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{EdgeProblem, ProblemKind};
use trunkgate_system::routing::RouteWatcher;
use trunkgate_system::text::number;
use trunkgate_system::{interfaces, log};

/// Result of a successful reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReloadSummary {
    /// Trunks in the new configuration.
    pub trunks: usize,
    /// Routes in the new configuration.
    pub routes: usize,
    /// Number of warnings about the new configuration.
    pub warnings: usize,
    /// First warnings, one line each.
    #[serde(skip)]
    pub warned: Vec<String>,
    /// Differences to the previous configuration, one per key, without secrets and phone numbers.
    pub changed: Vec<String>,
    /// Number of differences to the previous configuration.
    #[serde(skip)]
    pub changes: usize,
    /// Trunks and applications of which the change may have repaired rejected calls or audio problems.
    #[serde(skip)]
    pub concerned: ConfigChangeScope,
    /// Keys that differ from those with which the edge runs and that only a restart applies; `[[listen]]` if a listener
    /// was added or removed.
    pub needs_restart: Vec<String>,
}

/// Keys that are read at the start only, by table; for an array of tables, adding or removing a table requires a
/// restart too.
const ONLY_A_RESTART: [(&str, &[&str]); 8] = [
    ("edge", &["name", "data_directory", "data_required", "state", "state_directory", "standby"]),
    ("listen", &["name", "transport", "address"]),
    ("media", &["ports", "threads", "idle_timeout", "latch"]),
    ("limits", &["sip_message_bytes"]),
    ("http", &["address"]),
    ("tls", &["acme"]),
    ("api", &["tls"]),
    ("log", &["format", "numbers"]),
];

/// Reason why a reload changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadError {
    /// The file has errors.
    File {
        /// Path of the configuration file.
        path: PathBuf,
        /// Errors and warnings about the file.
        diagnostics: Vec<Diagnostic>,
    },
    /// Too many reloads are waiting; one of them will read the same file.
    Busy,
    /// A file was not read, or the announcements were not synthesized, within the time limit.
    Late,
    /// The edge has ended.
    Gone,
}

impl ReloadError {
    /// Describes the error in one line, without an excerpt of the file.
    fn brief(&self) -> String {
        match self {
            ReloadError::File { path, diagnostics } => {
                let source = config::text(path).unwrap_or_default();
                config::summary(path, &source, diagnostics)
            }
            ReloadError::Busy | ReloadError::Late | ReloadError::Gone => self.to_string(),
        }
    }
}

impl From<SignallingEnded> for ReloadError {
    fn from(_: SignallingEnded) -> ReloadError {
        ReloadError::Gone
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::File { path, diagnostics } => {
                let source = config::text(path).unwrap_or_default();
                f.write_str(config::render(path, &source, diagnostics).trim_end())
            }
            ReloadError::Busy => f.write_str("reloads are already queued; the last one reads the current file"),
            ReloadError::Late => {
                let seconds = limits::RELOAD_SECONDS;
                write!(
                    f,
                    "the files it names could not be read within {seconds} s: is a disk or a network share stuck?"
                )
            }
            ReloadError::Gone => SignallingEnded.fmt(f),
        }
    }
}

/// Loads the library for national formats if a trunk needs it; the first call would otherwise wait 12 ms for it.
fn load_number_formats(config: &Config) {
    let table = config.table(&ResolvedServers::new());
    if table.formats_nationally() {
        table.numbers().warm_up();
    }
}

impl EdgeHandle {
    /// Reads the configuration file again. Trunks, routes, limits, public addresses, tokens and the log level are
    /// replaced at once; an invalid file changes nothing. Reloads run one after the other, and complete even if the
    /// returned future is dropped.
    ///
    /// # Errors
    /// Returns the errors of the file, [`Busy`](ReloadError::Busy), [`Late`](ReloadError::Late) or
    /// [`Gone`](ReloadError::Gone).
    pub async fn reload(&self) -> Result<ReloadSummary, ReloadError> {
        let shared = Arc::clone(&self.shared);
        let place = Arc::clone(&shared.reloads_waiting).try_acquire_owned().map_err(|_| ReloadError::Busy)?;
        let handle = self.clone();
        let reload = async move {
            let turn = shared.reloading.lock().await;
            let outcome = handle.reload_in_turn().await;
            drop((turn, place));
            outcome
        };
        tokio::spawn(reload).await.map_err(|_| ReloadError::Gone)?
    }

    async fn reload_in_turn(&self) -> Result<ReloadSummary, ReloadError> {
        let path = self.config_path();
        let file = path.clone();
        let (before, boot) = self.shared.running(|running| (running.config.clone(), running.boot.clone()));
        // Decoding audio, synthesizing texts and comparing large files take a while, so a separate thread does that.
        let load = move || {
            config::load(&file).map(|(mut config, warnings)| {
                speech::speak(&mut config);
                load_number_formats(&config);
                let differences = config::differences(&before, &config);
                let done = ReloadSummary {
                    trunks: config.trunk_count(),
                    routes: config.routes.len(),
                    warnings: warnings.len(),
                    warned: config::in_lines(&file, &warnings),
                    changed: told_changes(&differences),
                    changes: differences.len(),
                    concerned: concerned((&before, &config), &differences),
                    needs_restart: needs_restart(&boot, &config),
                };
                (config, done)
            })
        };
        let limit = Duration::from_secs(limits::RELOAD_SECONDS);
        let outcome = match in_time(limit, &self.shared.reloads_reading, load).await {
            Ok(Ok((config, done))) => match self.take_records(&config).await? {
                Ok(()) => {
                    self.swap(config, &done).await?;
                    Ok(done)
                }
                Err(error) => Err(ReloadError::File { path, diagnostics: config.cdr_refused(&error) }),
            },
            Ok(Err(diagnostics)) => Err(ReloadError::File { path, diagnostics }),
            Err(error) => Err(error),
        };
        let counter = if outcome.is_ok() { &self.shared.reloads_ok } else { &self.shared.reloads_failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.shared.last_reload_ok.store(outcome.is_ok(), Ordering::Relaxed);
        let rejected = outcome.as_ref().err().map(ReloadError::brief);
        self.shared.running(|running| running.last_rejected = rejected);
        self.shared.events.tell(told(&outcome));
        let level = outcome.is_ok().then(|| self.shared.running(|running| running.config.log.level.clone()));
        log::change_level(level.as_deref(), || tell_log(&outcome));
        outcome
    }

    /// Applies the destinations of call records before anything else is changed. The inner error is that of a changed
    /// destination that cannot be opened; unchanged destinations may continue to fail and are retried with the next
    /// record.
    async fn take_records(&self, config: &Config) -> Result<io::Result<()>, SignallingEnded> {
        let (answer, changed) = oneshot::channel();
        let needs_store = needs_store(config);
        let cdr = Box::new(config.cdr.clone());
        self.reports.send(ReportOrder::Reopen { cdr, needs_store, answer }).await.map_err(|_| SignallingEnded)?;
        let changed = changed.await.map_err(|_| SignallingEnded)?;
        let is_same = self
            .shared
            .running(|running| running.config.cdr == config.cdr && Outlets::of(&running.config) == Outlets::of(config));
        if let (Err(error), true) = (&changed, is_same) {
            tracing::warn!(
                "reload: [cdr] is unchanged, but its file, its journal or the store could not be opened again: {error}; the next call record tries again"
            );
            return Ok(Ok(()));
        }
        Ok(changed)
    }

    async fn swap(&self, config: Config, done: &ReloadSummary) -> Result<(), SignallingEnded> {
        if config.api.auth_token.is_some()
            && let Err(error) = overrides::read(self).await
        {
            tracing::error!(
                "settings of numbers made by API requests stay as before, because the store cannot be read: {error}"
            );
        }
        let settings = self.shared.running(|running| {
            if let (Some(all), true) = (&mut running.overrides, config.api.auth_token.is_some()) {
                overrides::note_first_seen(&self.store, &config, all);
            }
            running.config = running.in_force(&config);
            running.table = Arc::new(running.config.table(&running.names));
            self.shared.own.send_modify(|own| own.follow(&running.boot, &config));
            running.written = config.clone();
            running.warnings = done.warnings;
            running.warned.clone_from(&done.warned);
            running.restart_needed.clone_from(&done.needs_restart);
            running.loaded_at = clock::now();
            self.settings(running)
        });
        // Before the table, so that the first connection of a trunk finds its certificate.
        self.read_certificates();
        self.input(GatewayInput::Configure(Box::new(settings))).await?;
        self.input(GatewayInput::Reconfigured(done.concerned.clone())).await?;
        let _ = self.sms.send(SmsOrder::Settings(Box::new(Outlets::of(&config)))).await;
        self.shared.calls.configure(config.api.kept_calls());
        let links = self.shared.running(|running| self.recording_links(running));
        self.recordings.configure(config.recording.clone(), links);
        if self.shared.alerts.configure(config.alerts.clone()) {
            self.shared.problems.lock().unwrap_or_else(PoisonError::into_inner).report_again();
        }
        set(&self.shared.hep, hep::HepTarget::of(&config));
        set(&self.shared.otel, otel::OtelTarget::of(&config));
        self.shared.refresh.notify_one();
        self.shared.renamed.notify_one();
        Ok(())
    }

    /// Returns how recordings are named in URLs and reported, by the configuration in force; `None` without an HTTP
    /// listener.
    pub fn recording_links(&self, running: &RunningConfig) -> Option<RecordingLinks> {
        // The account SID changes only with a restart.
        let account = &running.boot.api.account_sid;
        config::recording_links(&running.config, account, self.shared.own.borrow().http()?)
    }

    /// Returns the gateway's settings for the configuration in force and the machine's current addresses.
    pub(super) fn settings(&self, running: &RunningConfig) -> GatewaySettings {
        let addressing = settings::addressing(&running.config, &self.shared.listeners, &running.interfaces);
        settings::settings(&running.config, Arc::clone(&running.table), addressing, self.recording_links(running))
    }

    /// Publishes a routing table with new addresses of peers, if they have changed.
    pub(crate) async fn put_names_in_force(&self, found: ResolvedServers) -> Result<(), SignallingEnded> {
        let settings = self.shared.running(|running| {
            if found == running.names {
                return None;
            }
            running.names = found;
            running.table = Arc::new(running.config.table(&running.names));
            Some(self.settings(running))
        });
        match settings {
            Some(settings) => {
                self.shared.refresh.notify_one();
                self.input(GatewayInput::Configure(Box::new(settings))).await
            }
            None => Ok(()),
        }
    }

    /// Reads the certificate files again if any has changed since the last read. An invalid file only causes a log
    /// entry; existing connections are not affected.
    pub(crate) fn refresh_certificates(&self) {
        let changed = self.shared.running(|running| stamps(&running.config) != running.stamps);
        if changed && self.read_certificates() {
            tracing::info!("certificates reloaded");
        }
    }

    /// Reads all certificate files and applies the usable ones; returns whether all were usable.
    fn read_certificates(&self) -> bool {
        let before = Arc::clone(&self.shared.tls.borrow());
        let (settings, faults) = self.shared.running(|running| {
            // Take the stamps first, so that a change during the read causes another one.
            running.stamps = stamps(&running.config);
            let (settings, faults) = TlsSettings::read(&running.config, &before);
            running.certificate_faults.clone_from(&faults);
            (settings, faults)
        });
        for fault in &faults {
            tracing::error!("a certificate was not reloaded, the current one stays in use: {fault}");
        }
        self.shared.tls.send_replace(Arc::new(settings));
        self.warn_of_expiry();
        faults.is_empty()
    }

    fn warn_of_expiry(&self) {
        for one in self.expiring() {
            if one.has_expired() { tracing::error!("{}", one.kind()) } else { tracing::warn!("{}", one.kind()) }
        }
    }

    /// Returns the edge's certificates that have expired or are about to.
    fn expiring(&self) -> Vec<ExpiringCertificate> {
        let now = clock::now();
        let expiries = self.shared.tls.borrow().expiries();
        let ending = expiries.into_iter().filter_map(|(owner, expires)| ExpiringCertificate::of(owner, expires, now));
        self.shared.running(|running| {
            let with_file = |one: ExpiringCertificate| {
                let file = running.config.certificate_of(one.owner.kind, &one.owner.name, one.owner.at);
                let is_issued =
                    one.owner.kind == LISTENER && one.owner.at == 0 && running.config.is_issued(&one.owner.name);
                let one = one.in_file(file).renewed_by_acme(is_issued);
                // Until it expires, a certificate of ACME is only a problem if its renewal fails, which has its own
                // problem.
                (!is_issued || one.has_expired()).then_some(one)
            };
            ending.filter_map(with_file).collect()
        })
    }

    /// Returns the problems of the edge's certificates: unusable files, expiry, and rejection by peers. An expired
    /// certificate makes calls fail.
    pub fn certificate_problems(&self) -> Vec<Problem> {
        let faults = self.shared.running(|running| running.certificate_faults.clone());
        let kept = |fault: String| {
            let kept = Problem::of(ProblemKind::Edge(EdgeProblem::CertificateUnusable));
            kept.shown_by(format!("{fault}; the edge keeps the certificate that it loaded before"))
        };
        let mut problems: Vec<Problem> = faults.into_iter().map(kept).collect();
        problems.extend(self.shared.acme.problem(clock::now()));
        let tls = Arc::clone(&self.shared.tls.borrow());
        let mut rejected = self.shared.sockets.tls_faults.ours(std::time::Instant::now(), |shown| tls.shows(shown));
        for one in self.expiring() {
            // A valid certificate is rejected for another reason than its dates.
            let explains = |seen: &TlsFaultsView| {
                one.has_expired() && one.owner.kind == LISTENER && seen.listener == one.owner.name
            };
            let at = rejected.iter().position(explains);
            problems.push(one.problem(at.map(|at| rejected.swap_remove(at))));
        }
        let file = |seen: &TlsFaultsView| {
            self.shared.running(|running| running.config.certificate_of(LISTENER, &seen.listener, 0))
        };
        problems.extend(rejected.into_iter().map(|seen| rejected_certificate(file(&seen), &seen)));
        problems
    }

    async fn refresh_interfaces(&self) -> Result<(), SignallingEnded> {
        let table = self.shared.running(|running| Arc::clone(&running.table));
        // The system is queried once per route.
        let read = tokio::task::spawn_blocking(move || settings::machine_addresses(&table));
        let Ok(found) = read.await else { return Ok(()) };
        // Every machine has a loopback interface, so an empty list means that no file descriptor was free.
        if found.networks.is_empty() {
            return Ok(());
        }
        let settings = self.shared.running(|running| {
            if interfaces::same(&found, &running.interfaces) {
                return None;
            }
            let change = interfaces::change(&running.interfaces, &found);
            running.interfaces = found;
            Some((change, self.settings(running)))
        });
        match settings {
            Some((change, settings)) => {
                tracing::info!("{change}");
                self.input(GatewayInput::Configure(Box::new(settings))).await
            }
            None => Ok(()),
        }
    }
}

/// Sets a watched value, and notifies its watchers if it has changed.
fn set<T: PartialEq>(watched: &watch::Sender<T>, new: T) {
    watched.send_if_modified(|value| {
        let changed = *value != new;
        *value = new;
        changed
    });
}

/// Logs the result of a reload.
fn tell_log(outcome: &Result<ReloadSummary, ReloadError>) {
    match outcome {
        Ok(done) if done.needs_restart.is_empty() => tracing::info!("configuration reloaded: {}", done.brief()),
        Ok(done) => {
            let kept = done.needs_restart.join(", ");
            tracing::warn!("configuration reloaded: {}; restart required for {kept}", done.brief());
        }
        Err(error) => tracing::error!("reload rejected; configuration unchanged:\n{error}"),
    }
}

/// Returns the live event about a reload.
fn told(outcome: &Result<ReloadSummary, ReloadError>) -> EdgeEvent {
    match outcome {
        Ok(done) => {
            let counts = [(done.trunks, "trunk"), (done.routes, "route"), (done.warnings, "warning")];
            let counts = counts.map(|(count, word)| number(count, word)).join(", ");
            let text = format!("{counts}: {}", done.brief());
            EdgeEvent { text: Some(text), ..EdgeEvent::new(EdgeEventKind::ConfigReloaded) }
        }
        Err(error) => EdgeEvent { text: Some(error.brief()), ..EdgeEvent::new(EdgeEventKind::ConfigRefused) },
    }
}

/// Runs work on a separate thread with a time limit. Work that exceeds the limit continues and keeps its slot, so that
/// the number of stuck threads is limited.
async fn in_time<T: Send + 'static>(
    limit: Duration,
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReloadError> {
    let place = Arc::clone(places).try_acquire_owned().map_err(|_| ReloadError::Late)?;
    let work = move || {
        let done = work();
        drop(place);
        done
    };
    match timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.map_err(|_| ReloadError::Gone),
        Err(_) => Err(ReloadError::Late),
    }
}

/// Keeps the interfaces and certificates up to date.
pub async fn keep_fresh(handle: EdgeHandle) {
    let every = Duration::from_secs(limits::INTERFACES_REFRESH_SECONDS);
    let mut addresses = interval_at(Instant::now() + every, every);
    let every = Duration::from_secs(limits::CERTIFICATES_REFRESH_SECONDS);
    let mut certificates = interval_at(Instant::now() + every, every);
    let mut expiry = interval(Duration::from_secs(limits::CERTIFICATE_WARNING_SECONDS));
    let routes = RouteWatcher::new();
    let changed = async |routes: Option<&RouteWatcher>| match routes {
        Some(routes) => routes.changed().await,
        None => std::future::pending().await,
    };
    loop {
        let done = tokio::select! {
            () = changed(routes.as_ref()) => {
                // Changes usually come in bursts.
                tokio::time::sleep(Duration::from_millis(limits::ROUTES_PATIENCE_MILLISECONDS)).await;
                handle.refresh_interfaces().await
            }
            _ = addresses.tick() => handle.refresh_interfaces().await,
            _ = certificates.tick() => {
                handle.refresh_certificates();
                continue;
            }
            _ = expiry.tick() => {
                handle.warn_of_expiry();
                continue;
            }
            () = handle.shared.refresh.notified() => handle.refresh_interfaces().await,
        };
        if done.is_err() {
            return;
        }
    }
}

/// Returns the changed keys that require a restart.
fn needs_restart(boot: &Config, new: &Config) -> Vec<String> {
    let is_kept = |one: &ConfigDifference| {
        let keys = ONLY_A_RESTART.iter().find(|(table, _)| *table == one.table).map(|(_, keys)| *keys);
        keys.is_some_and(|keys| one.key.map_or(one.table == "listen", |key| keys.contains(&key)))
    };
    let differences = config::differences(boot, new);
    let mut kept: BTreeSet<String> =
        differences.iter().filter(|one| is_kept(one)).map(ConfigDifference::place).collect();
    let is_written = |one: &&ConfigDifference| one.table == "api" && one.key == Some("account_sid");
    if boot.api.account_sid != new.api.account_sid {
        kept.extend(differences.iter().find(is_written).map(ConfigDifference::place));
    }
    kept.into_iter().collect()
}

/// Returns the first differences as sentences, and a sentence with the number of further ones.
fn told_changes(differences: &[ConfigDifference]) -> Vec<String> {
    let most = limits::CHANGES_TOLD;
    let mut told: Vec<String> = differences.iter().take(most).map(ToString::to_string).collect();
    if differences.len() > most {
        told.push(format!("and {} more", differences.len() - most));
    }
    told
}

/// Keys of a trunk that affect the audio of its calls.
const MEDIA_KEYS: [&str; 15] = [
    "accept_from",
    "codecs",
    "domain",
    "dtmf",
    "edges",
    "listen",
    "media_from",
    "peers",
    "preset",
    "ptime",
    "region",
    "secure",
    "srtp",
    "srtp_suites",
    "unproven_early_media",
];
/// Keys of a trunk that never cause it to reject a call.
const NOT_REJECTED_FOR: [&str; 11] = [
    "accept_from",
    "accept_register",
    "hold",
    "hold_music",
    "media_from",
    "options_interval",
    "refer",
    "refer_to",
    "reinvite",
    "require_auth",
    "unproven_early_media",
];

/// Returns the trunks and applications of which these changes may have repaired rejected calls or audio problems.
fn concerned((old, new): (&Config, &Config), differences: &[ConfigDifference]) -> ConfigChangeScope {
    let mut concerned = ConfigChangeScope::default();
    for one in differences {
        match (one.table, one.name.as_deref(), one.key) {
            ("trunk", Some(name), key) => {
                if key.is_none_or(|key| MEDIA_KEYS.contains(&key)) {
                    concerned.media.insert(name.into());
                }
                if key.is_none_or(|key| !NOT_REJECTED_FOR.contains(&key)) {
                    concerned.calls.insert(name.into());
                }
            }
            ("app", Some(name), _) => drop(concerned.apps.insert(name.into())),
            ("route", Some(name), _) => {
                let trunks: BTreeSet<Arc<str>> = led_to(old, name).chain(led_to(new, name)).collect();
                concerned.media.extend(trunks.iter().cloned());
                concerned.calls.extend(trunks);
            }
            ("media", ..) | ("edge" | "listen", _, Some("public_address" | "local_networks")) => {
                concerned.all_media = true
            }
            _ => {}
        }
    }
    concerned
}

/// Returns the trunks among the targets of a route.
fn led_to<'a>(config: &'a Config, route: &'a str) -> impl Iterator<Item = Arc<str>> + 'a {
    let targets = config.routes.iter().filter(move |one| *one.name == *route).flat_map(|one| &one.connect);
    targets.flat_map(TargetSpec::singles).filter_map(|target| match target {
        TargetSpec::Trunk { name, .. } => Some(Arc::from(name.as_str())),
        TargetSpec::Uri { .. }
        | TargetSpec::Agent(_)
        | TargetSpec::App(_)
        | TargetSpec::Play(_)
        | TargetSpec::Voicemail(_)
        | TargetSpec::Conference(_)
        | TargetSpec::Reject(_)
        | TargetSpec::RingAll(_) => None,
    })
}

impl ReloadSummary {
    /// Describes the changes in one line for the log.
    fn brief(&self) -> String {
        match self.changed.as_slice() {
            [] => "nothing changed".to_owned(),
            all if self.changes <= limits::CHANGES_IN_A_LINE => all.join("; "),
            all => {
                let told = all.get(..limits::CHANGES_IN_A_LINE).unwrap_or(all);
                format!("{}; and {} more", told.join("; "), self.changes - told.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use std::path::Path;

    #[test]
    fn a_changed_key_withdraws_what_it_may_mend() {
        let file = |key: &str| -> Config {
            let text = format!(
                "[edge]\nname = 'e'\n[http]\naddress = '127.0.0.1:0'\n[trunk.t]\npeers = ['sip:192.0.2.1']\n{key}\n\
                 [[route]]\nname = 'r'\nfrom = ['t']\nconnect = ['trunk:t']\n"
            );
            config::parse(Path::new("f.toml"), &text).unwrap().0
        };
        let of = |key: &str| {
            let (old, new) = (file(""), file(key));
            let concerned = concerned((&old, &new), &config::differences(&old, &new));
            (!concerned.media.is_empty(), !concerned.calls.is_empty())
        };
        assert_eq!(of("options_interval = '10s'"), (false, false));
        assert_eq!(of("codecs = ['PCMA']"), (true, true));
        assert_eq!(of("media_from = ['192.0.2.0/24']"), (true, false));
        assert_eq!(of("send_numbers = 'national'"), (false, true));
        let keys = include_str!("../../../docs/reference/keys.md");
        for key in MEDIA_KEYS.iter().chain(&NOT_REJECTED_FOR) {
            assert!(keys.contains(&format!("| `{key}` |")), "{key} is not a key");
        }
    }

    #[test]
    fn a_line_counts_all_changes_not_only_those_that_are_told() {
        let brief = |changes: usize| {
            let file = |count: usize| -> Config {
                let trunk =
                    "[edge]\nname = 'e'\n[http]\naddress = '127.0.0.1:0'\n[trunk.t]\npeers = ['sip:192.0.2.1']\n";
                let routes =
                    (0..count).map(|n| format!("[[route]]\nname = 'r{n}'\nfrom = ['t']\nconnect = ['trunk:t']\n"));
                config::parse(Path::new("f.toml"), &(trunk.to_owned() + &routes.collect::<String>())).unwrap().0
            };
            let differences = config::differences(&file(1), &file(1 + changes));
            assert_eq!(differences.len(), changes);
            let changed = told_changes(&differences);
            ReloadSummary {
                trunks: 1,
                routes: 1,
                warnings: 0,
                warned: Vec::new(),
                changed,
                changes,
                concerned: ConfigChangeScope::default(),
                needs_restart: Vec::new(),
            }
            .brief()
        };
        assert_eq!(brief(0), "nothing changed");
        let most = limits::CHANGES_IN_A_LINE;
        assert!(!brief(most).contains("more"));
        assert!(brief(most + 1).ends_with("; and 1 more"));
        let many = limits::CHANGES_TOLD + 100;
        assert!(brief(many).ends_with(&format!("; and {} more", many - most)), "{}", brief(many));
    }

    #[tokio::test]
    async fn a_file_that_is_never_read_costs_its_reload_and_no_other() {
        let places = Arc::new(Semaphore::new(2));
        let soon = Duration::from_millis(20);
        let (done, stuck) = channel::<()>();
        assert_eq!(in_time(soon, &places, move || stuck.recv().is_ok()).await, Err(ReloadError::Late));
        let long = Duration::from_secs(600);
        assert_eq!(in_time(long, &places, || 7).await, Ok(7));
        let (also_done, stuck) = channel::<()>();
        assert_eq!(in_time(soon, &places, move || stuck.recv().is_ok()).await, Err(ReloadError::Late));
        assert_eq!(in_time(long, &places, || 7).await, Err(ReloadError::Late), "no more threads than that");
        drop((done, also_done));
        let _both = places.acquire_many(2).await.unwrap();
    }
}
