//! Connections of clients on this machine to other hosts, whose bytes nothing here reads.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Proxy;
use super::host::PORT;
use crate::admin::ApiError;
use crate::admin::places::Occupant;
use crate::limits;
use crate::system::connector::{Connector, look_up};
use crate::system::reach::Reach;

/// Connects to a host, and passes bytes on once the answer to CONNECT has left.
///
/// # Errors
/// There are too many connections, or the host is not reached, or may not be.
pub(super) async fn open(proxy: &Proxy, host: &str, occupant: Occupant, request: Request) -> Result<(), ApiError> {
    let Ok(permit) = proxy.tunnels().try_acquire_owned() else {
        let message = format!("{} connections to other hosts are open", limits::PROXY_TUNNELS);
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_tunnels", message));
    };
    let reach = proxy.reach();
    let mut far = dial(&reach, host, PORT).await?;
    // Before the answer: what is waited for is no request from then on.
    let serving = occupant.tunnel();
    tokio::spawn(async move {
        let (_permit, _serving) = (permit, serving);
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            // The connection of the client ends it where nothing passes for too long.
            let _ = copy_bidirectional(&mut TokioIo::new(upgraded), &mut far).await;
        }
    });
    Ok(())
}

/// Looks a host up once, and connects to those of its addresses that may be reached.
async fn dial(reach: &Reach, host: &str, port: u16) -> Result<TcpStream, ApiError> {
    let unreachable = |what: String| {
        let message = format!("{host} cannot be reached: {what}");
        ApiError::new(StatusCode::BAD_GATEWAY, "unreachable", message)
    };
    let limit = Duration::from_secs(limits::PROXY_CONNECT_SECONDS);
    let connected = timeout(limit, async {
        let found: Vec<SocketAddr> = look_up(host, port).await.map_err(|error| unreachable(error.to_string()))?;
        let allowed = reach.select(&found).map_err(|barred| {
            let message = format!("{host} is not proxied: {} is private, reserved or of this machine", barred.address);
            ApiError::new(StatusCode::FORBIDDEN, "not_proxied", message)
        })?;
        Connector::default().first(&allowed).await.map_err(|error| unreachable(error.to_string()))
    });
    connected.await.unwrap_or_else(|_| Err(unreachable(format!("no connection within {} s", limit.as_secs()))))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_addresses_that_may_be_reached_are_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let barred = dial(&Reach::default(), "localhost", address.port()).await.unwrap_err();
        assert_eq!((barred.code, barred.status), ("not_proxied", StatusCode::FORBIDDEN));
        assert!(barred.message.contains("localhost is not proxied: "), "{}", barred.message);
        let open = Reach { allow_private: true, ..Reach::default() };
        let stream = dial(&open, "localhost", address.port()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), address.port());
        let own = Reach { closed: [address].into(), ..open.clone() };
        assert_eq!(dial(&own, "localhost", address.port()).await.unwrap_err().code, "not_proxied");
        drop(listener);
        let refused = dial(&open, "localhost", address.port()).await.unwrap_err();
        assert_eq!((refused.code, refused.status), ("unreachable", StatusCode::BAD_GATEWAY));
        let unknown = dial(&open, "host.invalid", 443).await.unwrap_err();
        assert_eq!(unknown.code, "unreachable", "{}", unknown.message);
    }
}
