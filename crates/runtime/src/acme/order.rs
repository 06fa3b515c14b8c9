//! Order of a certificate (RFC 8555 §7.4): account, proofs, certificate, and its verification before it is stored.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use trunkgate_call::numbers::plain;

use super::challenge::{self, ChallengeTokens};
use super::http::{AcmeHttp, LastRequest};
use super::renewal::Validity;
use crate::acme_report::{FailedStep, OrderFailure};
use trunkgate_config::AcmeSettings;
use trunkgate_system::certificates::{TrustAnchors, carries, dns_names, not_after, not_before, pair_of};
use trunkgate_system::files::{self, ReplacedRights, SECRET};
use trunkgate_system::limits::{ACME_ACCOUNT_BYTES, ACME_ORDER_SECONDS, ACME_STEP_SECONDS, COMPLAINT_CHARACTERS};
use trunkgate_system::text::number;
use trunkgate_system::{clock, web};

/// Mode of the folder for account, key and certificate: accessible by the owner only.
const FOLDER_RIGHTS: u32 = 0o700;
/// First interval between requests for the state of an order; it doubles each time.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// Interval between attempts to lock the folder.
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// Maximum characters of a URL in a report, enough for the longest host name, path and token of a challenge.
const ASKED_CHARACTERS: usize = 400;

/// Failure of an order, before the requested URL is added.
#[derive(Debug)]
struct OrderError {
    step: FailedStep,
    cause: String,
    /// URL that the authority requested, if the challenge failed.
    asked: Option<String>,
}

impl OrderError {
    fn new(step: FailedStep, cause: impl Into<String>) -> OrderError {
        OrderError { step, cause: cause.into(), asked: None }
    }
}

impl From<Error> for OrderError {
    fn from(error: Error) -> OrderError {
        let Error::Api(problem) = &error else { return OrderError::new(FailedStep::Unanswered, error.to_string()) };
        let step = if is(problem, "rateLimited") { FailedStep::RateLimited } else { FailedStep::Refused };
        OrderError::new(step, words(problem))
    }
}

/// Returns whether a problem document has the type `urn:ietf:params:acme:error:` followed by `kind` (RFC 8555 §6.7).
fn is(problem: &instant_acme::Problem, kind: &str) -> bool {
    let kind_of = problem.r#type.as_deref().and_then(|text| text.strip_prefix("urn:ietf:params:acme:error:"));
    kind_of == Some(kind)
}

/// Returns the text of the authority's problem document in one line.
fn words(problem: &instant_acme::Problem) -> String {
    let text = problem.to_string();
    let text = text.strip_prefix("API error").map_or(text.as_str(), |rest| rest.trim_start_matches([':', ' ']));
    plain(if text.is_empty() { "without a reason" } else { text }, COMPLAINT_CHARACTERS)
}

/// Orders a certificate and stores it with its key; `current` is the certificate in force. Edges that share a data
/// directory order one after the other, and use a certificate that another edge has stored meanwhile.
///
/// # Errors
/// Returns the reason why there is no new certificate; the existing file is unchanged.
pub(super) async fn obtain(
    acme: &AcmeSettings,
    current: Option<Validity>,
    tokens: &ChallengeTokens,
) -> Result<Validity, OrderFailure> {
    let lock = lock(&acme.folder, Duration::from_secs(2 * ACME_ORDER_SECONDS)).await;
    let lock = lock.map_err(|failed| failure(failed, LastRequest::default()))?;
    if lock.is_some() {
        remove_leftovers(&acme.folder);
    }
    if let Some(newer) = stored(acme).filter(|stored| is_newer(*stored, current, clock::now())) {
        return Ok(newer);
    }
    let tls = acme.ca.as_deref().map(|ca| TrustAnchors::of_file(ca).and_then(web::trusting)).transpose();
    let tls = tls.map_err(|what| {
        let cause = format!("`ca` of [tls] acme: {what}");
        OrderFailure { step: FailedStep::Unanswered, asked: String::new(), cause, retry_after: None }
    })?;
    let http = AcmeHttp::new(tls, acme.is_in_clear());
    let unanswered = |what: String| Err(OrderError::new(FailedStep::Unanswered, what));
    // Use a separate task, cancelled with this one, because the library panics on invalid responses, such as a newNonce
    // that is not a URL.
    let mut task = JoinSet::new();
    let (of_order, by, answered) = (acme.clone(), http.clone(), tokens.clone());
    task.spawn(async move { ordered(&of_order, &by, &answered).await });
    let ended = timeout(Duration::from_secs(ACME_ORDER_SECONDS), task.join_next()).await;
    drop(task);
    tokens.clear();
    let ordered = match ended {
        Ok(Some(Ok(ordered))) => ordered,
        Ok(Some(Err(_)) | None) => unanswered("the response is not a valid ACME response".to_owned()),
        Err(_) => unanswered(format!("not complete within {ACME_ORDER_SECONDS} s")),
    };
    ordered.map_err(|failed| failure(failed, http.last()))
}

/// Returns the report of a failed order, with each text of the authority in one line.
fn failure(failed: OrderError, last: LastRequest) -> OrderFailure {
    if matches!(failed.step, FailedStep::Files { .. }) {
        return OrderFailure {
            step: failed.step,
            asked: String::new(),
            cause: failed.cause,
            retry_after: last.retry_after,
        };
    }
    let cause = match last.refused {
        // The library's error only shows that the response is not JSON.
        Some(status) if failed.step == FailedStep::Unanswered => format!("answered {status}"),
        _ => plain(&failed.cause, COMPLAINT_CHARACTERS),
    };
    let asked = plain(&failed.asked.unwrap_or(last.url), ASKED_CHARACTERS);
    OrderFailure { step: failed.step, asked, cause, retry_after: last.retry_after }
}

async fn ordered(acme: &AcmeSettings, http: &AcmeHttp, tokens: &ChallengeTokens) -> Result<Validity, OrderError> {
    // Without a writable folder each attempt would create an account and lose its key.
    writable(&acme.folder).map_err(|error| files_failed(&acme.folder, &error))?;
    let names: Vec<Identifier> = acme.domains.iter().cloned().map(Identifier::Dns).collect();
    let account = account(acme, http).await?;
    let mut order = match account.new_order(&NewOrder::new(&names)).await {
        // An authority that was reinstalled does not know earlier accounts.
        Err(Error::Api(problem)) if is(&problem, "accountDoesNotExist") => {
            new_account(acme, http).await?.new_order(&NewOrder::new(&names)).await?
        }
        made => made?,
    };
    prove(acme, &mut order, tokens).await?;
    let patience = RetryPolicy::new().initial_delay(FIRST_LOOK).timeout(Duration::from_secs(ACME_STEP_SECONDS));
    let proved = order.poll_ready(&patience).await;
    if !matches!(proved, Ok(OrderStatus::Ready)) {
        let unproved = unproved(acme, &mut order).await;
        return Err(match (unproved, proved) {
            (Some(failed), _) => failed,
            (None, Err(error)) => error.into(),
            (None, Ok(_)) => OrderError::new(challenge_step(acme), "the order is invalid, without a reason"),
        });
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&patience).await?;
    let certificate = judge(&chain, &key, &acme.domains, clock::now());
    let validity = certificate.map_err(|what| OrderError::new(FailedStep::Certificate, what))?;
    store(&acme.certificate(), format!("{key}{chain}").as_bytes())
        .map_err(|error| files_failed(&acme.folder, &error))?;
    Ok(validity)
}

const fn challenge_step(acme: &AcmeSettings) -> FailedStep {
    FailedStep::Challenge { answered_at: acme.challenge_address }
}

fn files_failed(folder: &Path, error: &io::Error) -> OrderError {
    OrderError::new(FailedStep::Files { folder: folder.to_owned() }, error.to_string())
}

/// Opens the account in the data directory, or creates one.
async fn account(acme: &AcmeSettings, http: &AcmeHttp) -> Result<Account, OrderError> {
    let stored = match files::read_whole(&acme.account(), ACME_ACCOUNT_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return new_account(acme, http).await,
        Err(error) => return Err(files_failed(&acme.folder, &error)),
    };
    let damaged = |_| {
        let what = format!("{} is not an account: remove it, and a new one is made", acme.account().display());
        files_failed(&acme.folder, &io::Error::other(what))
    };
    let credentials: AccountCredentials = serde_json::from_slice(&stored).map_err(damaged)?;
    Ok(Account::builder_with_http(Box::new(http.clone())).from_credentials(credentials).await?)
}

/// Creates an account and stores its key.
async fn new_account(acme: &AcmeSettings, http: &AcmeHttp) -> Result<Account, OrderError> {
    let contact: Vec<String> = acme.email.iter().map(|email| format!("mailto:{email}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let about = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_http(Box::new(http.clone()));
    let (account, credentials) = builder.create(&about, acme.directory.clone(), None).await?;
    let stored = serde_json::to_vec(&credentials).map_err(io::Error::other);
    let stored = stored.and_then(|bytes| store(&acme.account(), &bytes));
    stored.map_err(|error| files_failed(&acme.folder, &error))?;
    Ok(account)
}

/// Completes the challenges that the authority still requires for the order's host names.
async fn prove(acme: &AcmeSettings, order: &mut Order, tokens: &ChallengeTokens) -> Result<(), OrderError> {
    let wanted = order.state().authorizations.len();
    if wanted > acme.domains.len() {
        let cause =
            format!("the authority requires {wanted} challenges for {}", number(acme.domains.len(), "host name"));
        return Err(OrderError::new(FailedStep::Refused, cause));
    }
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        let status = authorization.status;
        if status == AuthorizationStatus::Valid {
            continue;
        }
        if status != AuthorizationStatus::Pending {
            return Err(OrderError::new(FailedStep::Refused, format!("the authorization of {name} is {status:?}")));
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
            let cause = format!("the authority offers no challenge http-01 for {name}");
            return Err(OrderError::new(challenge_step(acme), cause));
        };
        tokens.insert(&challenge.token, challenge.key_authorization().as_str());
        challenge.set_ready().await?;
    }
    Ok(())
}

/// Returns the order's failed challenge, with the URL that the authority requested; `None` if no challenge failed.
async fn unproved(acme: &AcmeSettings, order: &mut Order) -> Option<OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let name = authorization.identifier().to_string();
        let state = authorization.refresh().await.ok()?;
        let challenge = state.challenges.iter().find(|one| one.r#type == ChallengeType::Http01)?;
        let cause = match &challenge.error {
            Some(problem) => words(problem),
            None if state.status == AuthorizationStatus::Valid => continue,
            None => format!("the authority has not accepted the proof within {ACME_STEP_SECONDS} s"),
        };
        let asked = Some(format!("http://{name}{}{}", challenge::PATH, challenge.token));
        return Some(OrderError { step: challenge_step(acme), cause, asked });
    }
    None
}

/// Checks an issued certificate: it must match the key, contain all names and not have expired.
///
/// # Errors
/// Returns a description of the difference, or of the reason why the certificate cannot be read.
fn judge(chain: &str, key: &str, domains: &[String], now: Timestamp) -> Result<Validity, String> {
    let pair = pair_of(chain.as_bytes(), key.as_bytes()).map_err(|fault| fault.what().to_owned())?;
    let own = pair.key.cert.first().ok_or("no certificate")?;
    if let Some(missing) = domains.iter().find(|domain| !carries(own, domain)) {
        return Err(format!("it is not valid for {missing}, but for {}", dns_names(own).join(", ")));
    }
    let (begins, ends) = not_before(own).zip(not_after(own)).ok_or("its dates cannot be read")?;
    if ends <= now {
        return Err(format!("it expired on {}", ends.strftime("%Y-%m-%d %H:%M UTC")));
    }
    Ok(Validity { begins, ends })
}

/// Returns the validity of the stored certificate; `None` if there is none, or it does not contain all configured
/// names.
pub(super) fn stored(acme: &AcmeSettings) -> Option<Validity> {
    let pem = files::read_to_string(&acme.certificate(), ACME_ACCOUNT_BYTES).ok()?;
    judge(&pem, &pem, &acme.domains, Timestamp::UNIX_EPOCH).ok()
}

/// Returns whether a stored certificate can replace the one in force without an order: it has not expired and is valid
/// for longer.
fn is_newer(stored: Validity, current: Option<Validity>, now: Timestamp) -> bool {
    stored.ends > now && current.is_none_or(|current| stored.ends > current.ends)
}

/// Waits for the exclusive lock of this folder, which is created if needed. Dropping the file releases the lock. `None`
/// if the file system has no locks.
///
/// # Errors
/// Returns the system's error, or an error if others have held the lock for longer than `patience`, as happens with
/// more than two edges with failing orders.
async fn lock(folder: &Path, patience: Duration) -> Result<Option<File>, OrderError> {
    let path = folder.join("lock");
    let file = make_folder(folder).and_then(|()| files::append(&path, SECRET));
    let file = file.map_err(|error| files_failed(folder, &error))?;
    let locked = async {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE).await,
                // Some file systems have no locks. Files are replaced atomically nevertheless.
                Err(TryLockError::Error(error)) if has_no_locks(&error) => return Ok(false),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    };
    match timeout(patience, locked).await {
        Ok(Ok(is_locked)) => Ok(is_locked.then_some(file)),
        Ok(Err(error)) => Err(files_failed(folder, &error)),
        Err(_) => {
            let held = format!("other processes have held {} for {} s", path.display(), patience.as_secs());
            Err(OrderError::new(FailedStep::Locked, held))
        }
    }
}

/// Returns whether an error means that the file system has no locks; NFS without a lock service returns ENOLCK.
fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(nix::libc::ENOLCK)
}

/// Removes the temporary files that a crash has left in a folder. Their names are random, and they may contain keys.
fn remove_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|end| end == "new" || end == "try") {
            // A failed removal is retried with the next order.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Checks that files can be stored in a folder, which is created if needed.
///
/// # Errors
/// Returns the system's error.
fn writable(folder: &Path) -> io::Result<()> {
    let probe = files::beside(&folder.join("probe"), "try")?;
    store(&probe, b"")?;
    std::fs::remove_file(probe)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_RIGHTS).create(folder)
}

/// Writes a file atomically, readable by the owner only.
fn store(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    files::replace(path, bytes, ReplacedRights::New(SECRET))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use hyper::StatusCode;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Returns a certificate for these names, valid between the starts of two years, and its key.
    fn made(names: &[&str], years: (i32, i32)) -> (String, String) {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_was_not_ordered_is_refused() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let domains = ["a.example".to_owned(), "b.example".to_owned()];
        let (chain, key) = made(&["a.example", "b.example"], (2026, 2027));
        let validity = judge(&chain, &key, &domains, now).unwrap();
        assert_eq!(validity.begins.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(validity.ends.to_string(), "2027-01-01T00:00:00Z");
        let (other, others_key) = made(&["a.example", "c.example"], (2026, 2027));
        let (old, old_key) = made(&["a.example", "b.example"], (2025, 2026));
        let cases = [
            (&other, &others_key, "it is not valid for b.example, but for a.example, c.example"),
            (&chain, &others_key, "it is not the private key of the certificate"),
            (&old, &old_key, "it expired on 2026-01-01 00:00 UTC"),
            (&String::new(), &key, "no certificate in it (PEM)"),
        ];
        for (chain, key, what) in cases {
            assert_eq!(judge(chain, key, &domains, now).unwrap_err(), what);
        }
    }

    #[test]
    fn texts_of_the_authority_are_one_line_each() {
        let url = "https://ca.example/order".to_owned();
        let of = |asked: Option<&str>, refused| {
            let failed =
                OrderError::new(FailedStep::Unanswered, format!("unknown `a\u{1b}[2J\n{}`", "b".repeat(9_999)));
            let failed = OrderError { asked: asked.map(str::to_owned), ..failed };
            failure(failed, LastRequest { url: url.clone(), refused, retry_after: None })
        };
        let steered = of(Some("http://a.example/\u{202e}token\r\n"), None);
        assert_eq!(steered.asked, "http://a.example/token");
        assert!(steered.cause.starts_with("unknown `a[2Jbbb") && steered.cause.len() == COMPLAINT_CHARACTERS);
        let refused = of(None, Some(StatusCode::BAD_GATEWAY));
        assert_eq!((refused.asked, refused.cause), (url.clone(), "answered 502 Bad Gateway".to_owned()));
    }

    #[test]
    fn store_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme/ca.example/certificate.pem");
        store(&path, b"one").unwrap();
        store(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let rights = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(rights(&path), 0o600);
        assert_eq!(rights(path.parent().unwrap()) & 0o077, 0);
        writable(path.parent().unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left of the try");
        assert!(writable(&path).is_err(), "a file is not a folder");
    }

    #[test]
    fn several_edges_try_one_folder_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let tries = || (0..50).try_for_each(|_| writable(folder.path()));
        std::thread::scope(|scope| {
            let edges: Vec<_> = (0..3).map(|_| scope.spawn(tries)).collect();
            for edge in edges {
                edge.join().unwrap().unwrap();
            }
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_system_without_locks_is_known_by_its_errors() {
        let error = io::Error::from_raw_os_error;
        for code in [nix::libc::ENOLCK, nix::libc::EOPNOTSUPP, nix::libc::ENOSYS] {
            assert!(has_no_locks(&error(code)), "{code}");
        }
        for code in [nix::libc::EACCES, nix::libc::EIO, nix::libc::ETIMEDOUT] {
            assert!(!has_no_locks(&error(code)), "{code}");
        }
    }

    #[test]
    fn keys_that_a_crash_has_left_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let kept = ["account.json", "certificate.pem", "lock", "new"].map(|name| folder.path().join(name));
        let left = [("certificate.pem", "new"), ("account.json", "new"), ("probe", "try")]
            .map(|(name, end)| files::beside(&folder.path().join(name), end).unwrap());
        for path in kept.iter().chain(&left) {
            std::fs::write(path, "key").unwrap();
        }
        remove_leftovers(folder.path());
        assert!(kept.iter().all(|path| path.exists()) && left.iter().all(|path| !path.exists()));
        remove_leftovers(&folder.path().join("missing"));
    }

    #[tokio::test]
    async fn one_edge_orders_at_a_time_and_takes_what_another_one_has_obtained() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme/ca.example");
        let patience = Duration::from_secs(60);
        let first = lock(&path, patience).await.unwrap().unwrap();
        let late = failure(lock(&path, Duration::ZERO).await.unwrap_err(), LastRequest::default());
        let cause = format!("other processes have held {} for 0 s", path.join("lock").display());
        assert_eq!((late.step.clone(), late.evidence()), (FailedStep::Locked, cause));
        let second = tokio::spawn(async move { lock(&path, patience).await.map(|file| file.is_some()) });
        drop(first);
        assert!(second.await.unwrap().unwrap());
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let until = |ends: &str| Validity { begins: Timestamp::UNIX_EPOCH, ends: ends.parse().unwrap() };
        let (old, new) = (until("2026-12-01T00:00:00Z"), until("2027-03-01T00:00:00Z"));
        assert!(is_newer(new, Some(old), now) && is_newer(old, None, now));
        assert!(!is_newer(old, Some(old), now), "its own, which is due");
        assert!(!is_newer(old, Some(new), now) && !is_newer(until("2026-11-01T00:00:00Z"), None, now));
    }
}
