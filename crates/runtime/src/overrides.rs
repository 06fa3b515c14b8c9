//! API overrides of phone numbers: persistent in the store, and in force for the next call.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use trunkgate_call::{ConfigChangeScope, EdgeSettings as GatewaySettings, GatewayInput};

use super::handle::{EdgeHandle, RunningConfig, SignallingEnded};
use trunkgate_config::{Config, NumberOverride, NumberOverrides, NumberParameter, PhoneNumber};
pub use trunkgate_delivery::sinks::store::{Commit, Store};
use trunkgate_system::clock;

/// Parameter of a number with its new value; `None` removes the override.
pub type NumberChange = (NumberParameter, Option<String>);

/// Name of the stored parameter with the time when a number, or the account, was first configured. Earlier versions of
/// the program ignore it.
const FIRST_SEEN: &str = "first_seen";

/// Reads the overrides of numbers if the API is open; `None` otherwise.
///
/// # Errors
/// Returns the error of the store.
pub fn at_start(store: &Store, config: &Config) -> io::Result<Option<NumberOverrides>> {
    let mut all = match (config.api.auth_token.is_some(), store.has_any()) {
        (false, _) => return Ok(None),
        (true, false) => NumberOverrides::new(),
        (true, true) => store.read_now(read_all)?,
    };
    note_first_seen(store, config, &mut all);
    Ok(Some(all))
}

/// Records when the account and each number of a configuration first appeared, which are their creation dates in the
/// API; restarts and changes of the file do not alter them. Nothing waits for the store: if it fails, the dates last
/// until the process ends.
pub(super) fn note_first_seen(store: &Store, config: &Config, all: &mut NumberOverrides) {
    let now = clock::now();
    let sids = config.numbers.iter().map(PhoneNumber::sid).chain([config.api.account_sid.clone()]);
    let new: Vec<String> = sids.filter(|sid| all.entry(sid.clone()).or_default().see(now)).collect();
    if new.is_empty() {
        return;
    }
    let write = move |store: &Connection| new.iter().try_for_each(|sid| write_first_seen(store, sid, now));
    store.submit(Commit::Soon, write, |done| {
        if let Err(error) = done {
            tracing::warn!("the API may show later creation dates of numbers after a restart, because they were not stored: {error}");
        }
    });
}

/// Reads the overrides of numbers into memory; has no effect if they were read before.
///
/// # Errors
/// Returns the error of the store.
pub(super) async fn read(handle: &EdgeHandle) -> io::Result<()> {
    if handle.shared.running(|running| running.overrides.is_some()) {
        return Ok(());
    }
    let all = match handle.store.has_any() {
        true => handle.store.read(read_all).await?,
        false => NumberOverrides::new(),
    };
    handle.shared.running(|running| running.overrides = Some(all));
    Ok(())
}

/// Interval between attempts to read the overrides after a failure at the start.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Reads the overrides of numbers after a failure at the start, once the store accepts changes again, and applies them
/// to all later calls.
pub async fn read_late(handle: EdgeHandle) {
    let is_unread = || {
        let is_open =
            |running: &mut RunningConfig| running.written.api.auth_token.is_some() && running.overrides.is_none();
        handle.shared.running(is_open)
    };
    while is_unread() {
        handle.store.health().writable().await;
        let turn = handle.shared.reloading.lock().await;
        if let Err(error) = read(&handle).await {
            tracing::debug!("settings of numbers made by requests cannot be read: {error}");
            drop(turn);
            // The store may be writable although its rows are damaged.
            tokio::time::sleep(READ_AGAIN).await;
            continue;
        }
        let settings = handle.shared.running(|running| {
            let written = running.written.clone();
            running.overrides.iter_mut().for_each(|all| note_first_seen(&handle.store, &written, all));
            take_effect(&handle, running)
        });
        let _ = handle.input(GatewayInput::Configure(Box::new(settings))).await;
        drop(turn);
        tracing::info!("settings of numbers made by API requests are in force: the store can be read again");
    }
}

/// Applies the overrides to the configuration in force; returns the resulting settings of the gateway.
fn take_effect(handle: &EdgeHandle, running: &mut RunningConfig) -> GatewaySettings {
    running.config = running.in_force(&running.written);
    running.table = Arc::new(running.config.table(&running.names));
    handle.settings(running)
}

/// Changes overrides of the number with this SID, and applies them to the next call. The change completes even if the
/// returned future is dropped.
///
/// # Errors
/// Returns the error of the store, with nothing changed, or [`SignallingEnded`] if the edge has ended.
pub async fn set(
    handle: &EdgeHandle,
    sid: &str,
    changes: Vec<NumberChange>,
) -> Result<io::Result<()>, SignallingEnded> {
    let (handle, sid) = (handle.clone(), sid.to_owned());
    let change = async move {
        let _turn = handle.shared.reloading.lock().await;
        if let Err(error) = keep(&handle, &sid, &changes).await {
            return Ok(Err(error));
        }
        let (settings, app) = handle.shared.running(|running| {
            let settings = take_effect(&handle, running);
            (settings, running.config.app_of_number(&sid))
        });
        handle.input(GatewayInput::Configure(Box::new(settings))).await?;
        let concerned = ConfigChangeScope { apps: app.into_iter().collect(), ..ConfigChangeScope::default() };
        handle.input(GatewayInput::Reconfigured(concerned)).await?;
        // The client may rely on the change as soon as it has the response.
        handle.ask(|_, _| ()).await.map(Ok)
    };
    tokio::spawn(change).await.map_err(|_| SignallingEnded)?
}

/// Writes changes to the store, then applies them in memory.
async fn keep(handle: &EdgeHandle, sid: &str, changes: &[NumberChange]) -> io::Result<()> {
    read(handle).await?;
    let now = clock::now();
    let (of, all) = (sid.to_owned(), changes.to_vec());
    handle.store.run(Commit::Now, move |store| write(store, &of, &all, now)).await?;
    handle.shared.running(|running| {
        let set = running.overrides.get_or_insert_default().entry(sid.to_owned()).or_default();
        for (parameter, value) in changes {
            set.set(*parameter, value.clone(), now);
        }
    });
    Ok(())
}

fn write(store: &Connection, sid: &str, changes: &[NumberChange], now: Timestamp) -> rusqlite::Result<()> {
    for (parameter, value) in changes {
        let key = parameter.as_str();
        match value {
            Some(value) => store.execute(
                "INSERT OR REPLACE INTO number_override (number, parameter, value, updated) VALUES (?1, ?2, ?3, ?4)",
                params![sid, key, value, now.as_millisecond()],
            )?,
            None => store.execute("DELETE FROM number_override WHERE number = ?1 AND parameter = ?2", [sid, key])?,
        };
    }
    Ok(())
}

fn write_first_seen(store: &Connection, sid: &str, at: Timestamp) -> rusqlite::Result<()> {
    let row = params![sid, FIRST_SEEN, at.as_millisecond()];
    store
        .execute(
            "INSERT OR IGNORE INTO number_override (number, parameter, value, updated) VALUES (?1, ?2, '', ?3)",
            row,
        )
        .map(drop)
}

fn read_all(store: &Connection) -> rusqlite::Result<NumberOverrides> {
    let mut all = NumberOverrides::new();
    let mut rows = store.prepare("SELECT number, parameter, value, updated FROM number_override")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (sid, parameter, updated): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let updated = Timestamp::from_millisecond(updated).unwrap_or_default();
        if parameter == FIRST_SEEN {
            all.entry(sid).or_default().see(updated);
            continue;
        }
        // A parameter of a later version is unknown to this one.
        if let Some(parameter) = NumberParameter::named(&parameter) {
            let set: &mut NumberOverride = all.entry(sid).or_default();
            set.set(parameter, Some(row.get(2)?), updated);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_config::DataDirectory;

    #[test]
    fn what_is_set_survives_the_process_and_what_is_removed_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let start = || Store::start(DataDirectory::of(directory.path())).unwrap();
        let (url, name) = (NumberParameter::VoiceUrl, NumberParameter::FriendlyName);
        let change = |changes: Vec<NumberChange>| {
            start().run_now(move |store| write(store, "PN1", &changes, Timestamp::UNIX_EPOCH)).unwrap();
        };
        change(vec![(url, Some("https://a.example/".to_owned())), (name, Some("Desk".to_owned()))]);
        change(vec![(url, Some("https://b.example/".to_owned())), (name, None)]);
        let all = start().run_now(read_all).unwrap();
        assert_eq!((all.len(), all["PN1"].get(url), all["PN1"].get(name)), (1, Some("https://b.example/"), None));
    }

    #[test]
    fn a_number_was_created_when_it_was_first_configured() {
        let directory = tempfile::tempdir().unwrap();
        let file = |numbers: &str| {
            let text = format!("[api]\nauth_token = '0123456789abcdef0123456789abcdef'\n{numbers}");
            trunkgate_config::parse(std::path::Path::new("t.toml"), &text).unwrap().0
        };
        let (one, two) = ("[[number]]\nnumber = '+14155550100'\n", "[[number]]\nnumber = '+14155550101'\n");
        let start = |config: &Config| {
            let store = Store::start(DataDirectory::of(directory.path())).unwrap();
            at_start(&store, config).unwrap().unwrap()
        };
        let first = file(one);
        let sid = first.numbers[0].sid();
        let seen = start(&first)[&sid].first_seen().unwrap();
        // The store has millisecond resolution.
        let kept = Timestamp::from_millisecond(seen.as_millisecond()).unwrap();
        let both = file(&format!("{two}{one}"));
        let all = start(&both);
        assert_eq!(all[&sid].first_seen(), Some(kept));
        assert!(all[&both.numbers[0].sid()].first_seen() >= Some(kept), "and the new one since this start");
        assert_eq!(all[&both.api.account_sid].first_seen(), Some(kept));
        assert!(all.values().all(NumberOverride::is_empty), "nothing is set of any");
    }
}
