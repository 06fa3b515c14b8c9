//! What requests have set of phone numbers: kept in the store, and in force for the next call.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use trunkgate_call::{Concerned, Input};

use super::handle::{Gone, Handle};
use crate::config::{Config, NumberOverride, NumberOverrides, NumberParameter};
use crate::sinks::store::{Commit, Store};

/// A parameter with its new value; `None` removes what is set.
pub(crate) type NumberChange = (NumberParameter, Option<String>);

/// Reads what is set of numbers, where the API is open. `None`: it is not, and nothing was read.
///
/// # Errors
/// The store cannot be used.
pub(crate) fn at_start(store: &Store, config: &Config) -> io::Result<Option<NumberOverrides>> {
    match (config.api.auth_token.is_some(), store.has_any()) {
        (false, _) => Ok(None),
        (true, false) => Ok(Some(NumberOverrides::new())),
        (true, true) => store.run_now(read_all).map(Some),
    }
}

/// Reads what is set of numbers where no earlier configuration had the API open.
///
/// # Errors
/// The store cannot be used.
pub(super) async fn read(handle: &Handle) -> io::Result<()> {
    if handle.shared.running(|running| running.overrides.is_some()) {
        return Ok(());
    }
    let all = match handle.store.has_any() {
        true => handle.store.run(Commit::Now, read_all).await?,
        false => NumberOverrides::new(),
    };
    handle.shared.running(|running| running.overrides = Some(all));
    Ok(())
}

/// Changes what is set of a number, by its SID, and has it in force for the next call. Goes on to its end when its caller has gone.
///
/// # Errors
/// The store has not taken it: nothing has changed. Or the edge has ended.
pub(crate) async fn set(handle: &Handle, sid: &str, changes: Vec<NumberChange>) -> Result<io::Result<()>, Gone> {
    let (handle, sid) = (handle.clone(), sid.to_owned());
    let change = async move {
        let _turn = handle.shared.reloading.lock().await;
        if let Err(error) = keep(&handle, &sid, &changes).await {
            return Ok(Err(error));
        }
        let (settings, app) = handle.shared.running(|running| {
            running.config = running.in_force(&running.written);
            running.table = Arc::new(running.config.table(&running.names));
            (handle.settings(running), running.config.app_of_number(&sid))
        });
        handle.input(Input::Configure(Box::new(settings))).await?;
        let concerned = Concerned { apps: app.into_iter().collect(), ..Concerned::default() };
        handle.input(Input::Reconfigured(concerned)).await?;
        // A client that has its answer may call by it at once.
        handle.ask(|_, _| ()).await.map(Ok)
    };
    tokio::spawn(change).await.map_err(|_| Gone)?
}

/// Writes changes to the store, then to what is held.
async fn keep(handle: &Handle, sid: &str, changes: &[NumberChange]) -> io::Result<()> {
    read(handle).await?;
    let now = Timestamp::now();
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

fn read_all(store: &Connection) -> rusqlite::Result<NumberOverrides> {
    let mut all = NumberOverrides::new();
    let mut rows = store.prepare("SELECT number, parameter, value, updated FROM number_override")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (sid, parameter, updated): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let updated = Timestamp::from_millisecond(updated).unwrap_or_default();
        // One of a later version is none that this one can carry out.
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
    use crate::config::DataDirectory;

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
}
