//! `[tls] acme`: obtains and renews the certificate of TLS listeners (RFC 8555). `renewal` decides without a clock when
//! to order; `order` makes one order with the authority through the edge's HTTP client (`http`), while `challenge`
//! serves its proof. The certificate is a file in the data directory, loaded like any other replaced file (`reload`).

mod challenge;
mod http;
mod order;
mod renewal;

use std::net::TcpListener;
use std::time::Duration;

use challenge::ChallengeTokens;
use rand::TryRng as _;
use renewal::{Renewal, RenewalAction};
use tokio::time::sleep;

use super::acme_report::OrderFailure;
use super::handle::EdgeHandle;
use trunkgate_config::AcmeSettings;
use trunkgate_system::clock;
use trunkgate_system::limits::ACME_LOOK_SECONDS;

/// Keeps the certificate valid, and serves challenges on the listener. Never returns; idle without `acme` in the
/// configuration.
pub async fn keep(handle: EdgeHandle, listener: Option<TcpListener>) {
    let acme = handle.shared.running(|running| running.boot.acme.clone());
    let Some((acme, listener)) = acme.zip(listener) else { return };
    let tokens = ChallengeTokens::default();
    tokio::select! {
        served = challenge::serve(listener, tokens.clone()) => {
            if let Err(error) = served {
                tracing::error!("[tls] acme: the certificate is not renewed until a restart, because challenges cannot be answered: {error}");
            }
        }
        () = renew(&handle, &acme, &tokens) => {}
    }
}

async fn renew(handle: &EdgeHandle, acme: &AcmeSettings, tokens: &ChallengeTokens) {
    let mut renewal = Renewal::new(clock::now(), order::stored(acme), random());
    loop {
        match renewal.poll(clock::now()) {
            RenewalAction::Wait(until) => {
                let time = Duration::try_from(until.duration_since(clock::now())).unwrap_or_default();
                // The clock may be set meanwhile.
                sleep(time.min(Duration::from_secs(ACME_LOOK_SECONDS))).await;
            }
            RenewalAction::Order => match order::obtain(acme, renewal.certificate(), tokens).await {
                Ok(validity) => {
                    renewal.issued(clock::now(), validity, random());
                    handle.shared.acme.note_success();
                    handle.refresh_certificates();
                    tracing::info!(
                        "ACME: new certificate for {}, valid until {}; next order at {}",
                        acme.domains.join(", "),
                        validity.ends,
                        renewal.next()
                    );
                }
                Err(failure) => note(handle, acme, &mut renewal, failure),
            },
        }
    }
}

fn note(handle: &EdgeHandle, acme: &AcmeSettings, renewal: &mut Renewal, failure: OrderFailure) {
    renewal.failed(clock::now(), failure.retry_after, random());
    tracing::warn!("ACME: order failed: {}; next order at {}", failure.evidence(), renewal.next());
    let domain = acme.domains.first().map_or("", String::as_str);
    let valid_until = renewal.certificate().map(|certificate| certificate.ends);
    handle.shared.acme.note_failure(domain, failure, valid_until, renewal.next());
}

fn random() -> u32 {
    rand::rngs::SysRng.try_next_u32().unwrap_or_default()
}
