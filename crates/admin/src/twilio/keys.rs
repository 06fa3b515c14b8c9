//! API keys: pairs of a SID and a secret that authenticate in place of the auth token, and can be revoked one by one.
//!
//! Keys are Twilio's standard keys, which cannot manage keys or the account. The store contains the SHA-256 of each
//! secret. A slow hash would protect secrets that people choose; these consist of 32 random characters, too many for a
//! brute-force search.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rand::TryRng as _;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, oneshot};

use super::error::{Error, shown};
use super::page::PageRequest;
use super::parameters::Parameters;
use super::text::moment;
use super::{Answer, Asked};
use crate::guesses::is_same_secret;
use trunkgate_delivery::sinks::store::{Commit, Store};
use trunkgate_system::clock;
use trunkgate_system::limits::API_KEYS;
use trunkgate_system::sids;

/// Maximum length of `FriendlyName`, in characters.
const NAME_CHARS: usize = 64;
/// Length of a generated secret, in characters.
pub(super) const SECRET_CHARS: usize = 32;
/// Characters of which the secret of a key consists.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

type SecretHash = [u8; 32];

/// API key without its secret, which is shown only once.
#[derive(Clone)]
struct ApiKey {
    name: Option<String>,
    hash: SecretHash,
    created: Timestamp,
    updated: Timestamp,
}

/// API keys in memory and in the store, by SID; clones share them.
#[derive(Clone)]
pub(super) struct ApiKeys {
    store: Store,
    /// API keys in memory, read from the store at the first use.
    held: Arc<OnceCell<LoadedKeys>>,
}

type LoadedKeys = Arc<Mutex<BTreeMap<String, ApiKey>>>;

impl ApiKeys {
    pub(super) fn new(store: Store) -> ApiKeys {
        ApiKeys { store, held: Arc::default() }
    }

    /// Reads the keys from the store, once.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub(super) async fn load(&self) -> Result<(), Error> {
        let all = async {
            // Reading would create the store, which the first change does.
            let all = if self.store.has_any() { self.store.read(read_all).await? } else { BTreeMap::new() };
            Ok(Arc::new(Mutex::new(all)))
        };
        self.held.get_or_try_init(|| all).await.map(drop).map_err(|error: io::Error| Error::store(&error))
    }

    /// Returns whether a secret is that of the key with this SID; compares in constant time.
    pub(super) fn has(&self, sid: &str, secret: &str) -> bool {
        let kept = self.look(|keys| keys.get(sid).map(|key| key.hash));
        let is_secret = is_same_secret(&hash(secret), &kept.unwrap_or_default());
        is_secret & kept.is_some()
    }

    /// Returns whether a key with this SID exists.
    pub(super) fn is_there(&self, sid: &str) -> bool {
        self.look(|keys| keys.contains_key(sid))
    }

    fn look<T>(&self, look: impl FnOnce(&mut BTreeMap<String, ApiKey>) -> T) -> T {
        match self.held.get() {
            Some(held) => look(&mut held.lock().unwrap_or_else(PoisonError::into_inner)),
            None => look(&mut BTreeMap::new()),
        }
    }

    /// Makes a change of the store and, once it is on disk, of the keys in memory, even if the client has disconnected
    /// meanwhile.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        follow: impl FnOnce(&mut BTreeMap<String, ApiKey>, &T) + Send + 'static,
    ) -> Result<T, Error> {
        self.load().await?;
        let (answer, answered) = oneshot::channel();
        let held = self.held.get().map(Arc::clone).unwrap_or_default();
        self.store.submit(Commit::Now, work, move |done| {
            if let Ok(value) = &done {
                follow(&mut held.lock().unwrap_or_else(PoisonError::into_inner), value);
            }
            let _ = answer.send(done);
        });
        let done = answered.await.unwrap_or_else(|_| Err(io::Error::other("the thread of the store has ended")));
        done.map_err(|error| Error::store(&error))
    }
}

pub(super) async fn list(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Answer, Error> {
    cx.keys.load().await?;
    let page = PageRequest::take(&cx.uri("Keys"), cx.query, &mut parameters)?;
    parameters.finish()?;
    let order = |(sid, key): &(String, ApiKey)| format!("{:015}{sid}", key.created.as_millisecond());
    let all = cx.keys.look(|keys| keys.clone());
    let mut found: Vec<(String, ApiKey)> = all.into_iter().collect();
    found.sort_by_cached_key(|one| std::cmp::Reverse(order(one)));
    found.retain(|one| page.behind.as_deref().is_none_or(|behind| order(one).as_str() < behind));
    found.truncate(page.size + 1);
    Ok(page.json("keys", found, order, |(sid, key)| json(sid, key)).into())
}

pub(super) async fn create(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Answer, Error> {
    cx.keys.load().await?;
    let name = take_name(&mut parameters)?;
    parameters.finish()?;
    let (sid, secret) = random()?;
    let now = clock::now();
    let key = ApiKey { name, hash: hash(&secret), created: now, updated: now };
    let (to_insert, of, to_keep) = (key.clone(), sid.clone(), key.clone());
    let insert = move |store: &Connection| insert(store, &of, &to_insert);
    let of = sid.clone();
    let follow = move |keys: &mut BTreeMap<String, ApiKey>, has_room: &bool| {
        if *has_room {
            keys.insert(of, to_keep);
        }
    };
    if !cx.keys.change(insert, follow).await? {
        return Err(Error::bad_request(format!("The limit of {API_KEYS} API keys is reached: delete one first")));
    }
    tracing::info!("API key {sid} created");
    let mut json = json(&sid, &key);
    json["secret"] = secret.into();
    Ok(Answer::Created(json))
}

pub(super) async fn fetch(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<Answer, Error> {
    cx.keys.load().await?;
    parameters.finish()?;
    find(cx, sid).map(|key| json(sid, &key).into())
}

pub(super) async fn update(cx: &Asked<'_>, sid: &str, mut parameters: Parameters) -> Result<Answer, Error> {
    cx.keys.load().await?;
    let name = take_name(&mut parameters)?;
    parameters.finish()?;
    let key = find(cx, sid)?;
    let Some(name) = name else { return Ok(json(sid, &key).into()) };
    let key = ApiKey { name: Some(name), updated: clock::now(), ..key };
    let (to_write, of) = (key.clone(), sid.to_owned());
    let write = move |store: &Connection| {
        let values = params![of, to_write.name, to_write.updated.as_millisecond()];
        store.execute("UPDATE api_key SET name = ?2, updated = ?3 WHERE sid = ?1", values)
    };
    let (of, to_keep) = (sid.to_owned(), key.clone());
    let follow = move |keys: &mut BTreeMap<String, ApiKey>, _: &usize| {
        // A key that was deleted meanwhile stays deleted.
        if let Some(held) = keys.get_mut(&of) {
            *held = to_keep;
        }
    };
    cx.keys.change(write, follow).await?;
    Ok(json(sid, &key).into())
}

pub(super) async fn delete(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<Answer, Error> {
    cx.keys.load().await?;
    parameters.finish()?;
    find(cx, sid)?;
    let (in_store, of) = (sid.to_owned(), sid.to_owned());
    let delete = move |store: &Connection| store.execute("DELETE FROM api_key WHERE sid = ?1", [in_store]);
    cx.keys.change(delete, move |keys, _| drop(keys.remove(&of))).await?;
    tracing::info!("API key {} deleted", shown(sid));
    Ok(Answer::Deleted)
}

fn find(cx: &Asked<'_>, sid: &str) -> Result<ApiKey, Error> {
    cx.keys.look(|keys| keys.get(sid).cloned()).ok_or_else(|| Error::not_found(cx.path))
}

fn take_name(parameters: &mut Parameters) -> Result<Option<String>, Error> {
    let name = parameters.take("FriendlyName");
    match &name {
        Some(text) if text.chars().count() > NAME_CHARS || text.chars().any(char::is_control) => {
            Err(Error::bad_request(format!("FriendlyName: at most {NAME_CHARS} characters, in one line")))
        }
        _ => Ok(name),
    }
}

fn json(sid: &str, key: &ApiKey) -> Value {
    json!({
        "date_created": moment(key.created),
        "date_updated": moment(key.updated),
        "friendly_name": key.name,
        "sid": sid,
    })
}

/// Generates the SID and the secret of a new key.
fn random() -> Result<(String, String), Error> {
    let mut secret = String::new();
    let draw = |bytes: &mut [u8]| rand::rngs::SysRng.try_fill_bytes(bytes).map_err(io::Error::other);
    let sid = sids::random("SK").map_err(|error| Error::store(&error))?;
    while secret.len() < SECRET_CHARS {
        let mut byte = [0; 1];
        draw(&mut byte).map_err(|error| Error::store(&error))?;
        // Rejection sampling uses 62 of the 64 values of six bits, so that all characters are equally likely.
        let character = ALPHABET.get(usize::from(byte[0] & 63));
        secret.extend(character.map(|byte| char::from(*byte)));
    }
    Ok((sid, secret))
}

fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

fn read_all(store: &Connection) -> rusqlite::Result<BTreeMap<String, ApiKey>> {
    let mut rows = store.prepare("SELECT sid, name, hash, created, updated FROM api_key")?;
    let time = |millis: i64| Timestamp::from_millisecond(millis).unwrap_or_default();
    let rows = rows.query_map([], |row| {
        let (created, updated): (i64, i64) = (row.get(3)?, row.get(4)?);
        let key = ApiKey { name: row.get(1)?, hash: row.get(2)?, created: time(created), updated: time(updated) };
        Ok((row.get(0)?, key))
    })?;
    rows.collect()
}

/// Inserts a key; returns false if the maximum number of keys is reached.
fn insert(store: &Connection, sid: &str, key: &ApiKey) -> rusqlite::Result<bool> {
    let most = i64::try_from(API_KEYS).unwrap_or(i64::MAX);
    let times = (key.created.as_millisecond(), key.updated.as_millisecond());
    let inserted = store.execute(
        "INSERT INTO api_key (sid, name, hash, created, updated)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE (SELECT count(*) FROM api_key) < ?6",
        params![sid, key.name, key.hash, times.0, times.1, most],
    )?;
    Ok(inserted == 1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use trunkgate_config::DataDirectory;

    /// Returns keys on a temporary store that has one key with this SID and secret.
    pub(in crate::twilio) fn with_one(sid: &str, secret: &str) -> (ApiKeys, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::start(DataDirectory::of(directory.path())).unwrap();
        let now = clock::now();
        let (sid, key) = (sid.to_owned(), ApiKey { name: None, hash: hash(secret), created: now, updated: now });
        assert!(store.run_now(move |store| insert(store, &sid, &key)).unwrap());
        let keys = ApiKeys::new(store);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(keys.load()).unwrap();
        (keys, directory)
    }

    #[test]
    fn only_the_whole_secret_of_a_known_key_is_right() {
        let (keys, _directory) = with_one("SK1", "secret");
        assert!(keys.has("SK1", "secret"));
        for (sid, secret) in [("SK1", "secre"), ("SK1", ""), ("SK2", "secret"), ("", ""), ("SK2", "")] {
            assert!(!keys.has(sid, secret), "{sid} {secret}");
        }
        let unread = ApiKeys { held: Arc::default(), ..keys };
        assert!(!unread.has("SK1", "secret"));
    }

    #[test]
    fn keys_are_random_and_of_the_form_of_twilios() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert!(one.0 != other.0 && one.1 != other.1);
        assert_eq!((one.0.len(), one.1.len()), (34, SECRET_CHARS));
        assert!(one.1.bytes().all(|byte| ALPHABET.contains(&byte)));
    }

    #[test]
    fn their_number_is_bounded() {
        let (keys, _directory) = with_one("SK", "secret");
        let key = keys.look(|keys| keys["SK"].clone());
        let fill = move |store: &Connection| {
            (1..=API_KEYS).map(|n| insert(store, &format!("SK{n}"), &key)).collect::<rusqlite::Result<Vec<bool>>>()
        };
        let inserted = keys.store.run_now(fill).unwrap();
        assert_eq!(inserted.iter().filter(|is_in| **is_in).count(), API_KEYS - 1);
        assert_eq!(inserted.last(), Some(&false));
    }
}
