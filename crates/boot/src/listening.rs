//! Listening sockets of an edge: bound at the start, or received from the predecessor process.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use trunkgate_config::Config;
use trunkgate_runtime::transport::{self, BindError, BoundSocket};

/// Bound sockets of SIP and of the HTTP servers.
#[derive(Debug)]
pub(crate) struct ListeningSockets {
    /// SIP listeners, in the order of the configuration.
    pub(crate) sip: Vec<BoundSocket>,
    /// HTTP servers.
    pub(crate) http: HttpSockets,
}

/// Bound sockets of the HTTP servers.
#[derive(Debug)]
pub(crate) struct HttpSockets {
    pub(crate) http: TcpListener,
    /// Socket of `[api] tls`.
    pub(crate) api: Option<TcpListener>,
    /// Socket for ACME challenges (`[tls] acme`).
    pub(crate) challenge: Option<TcpListener>,
}

impl ListeningSockets {
    /// Binds all sockets.
    ///
    /// # Errors
    /// Returns the first address that cannot be bound.
    pub(crate) fn bind(config: &Config) -> Result<ListeningSockets, BindError> {
        Ok(ListeningSockets {
            sip: transport::bind(&config.listen)?,
            http: HttpSockets {
                http: transport::bind_http(&config.http)?,
                api: transport::bind_api(&config.api)?,
                challenge: transport::bind_challenge(config.acme.as_ref())?,
            },
        })
    }

    /// Takes the sockets that the predecessor process has bound for the same addresses, in the order of
    /// [`Self::duplicates`].
    ///
    /// # Errors
    /// Returns an error if a socket is missing, or if a descriptor is not a socket of the expected kind.
    pub(crate) fn received(config: &Config, sockets: Vec<OwnedFd>) -> io::Result<ListeningSockets> {
        let mut sockets = sockets.into_iter();
        let mut next = || sockets.next().ok_or_else(|| io::Error::other("a socket is missing"));
        let sip = config.listen.iter().map(|listener| BoundSocket::received(listener, next()?));
        let sip = sip.collect::<io::Result<_>>()?;
        let http = next()?.into();
        let api = config.api.open_tls().map(|_| next()).transpose()?.map(TcpListener::from);
        let challenge = config.acme.as_ref().map(|_| next()).transpose()?.map(TcpListener::from);
        Ok(ListeningSockets { sip, http: HttpSockets { http, api, challenge } })
    }

    /// Returns duplicated descriptors of all sockets, for a successor process.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn duplicates(&self) -> io::Result<Vec<OwnedFd>> {
        let HttpSockets { http, api, challenge } = &self.http;
        let servers = [Some(http), api.as_ref(), challenge.as_ref()].into_iter().flatten();
        let servers = servers.map(|socket| Ok(socket.try_clone()?.into()));
        self.sip.iter().map(BoundSocket::duplicate).chain(servers).collect()
    }
}

impl HttpSockets {
    /// Returns the bound address of the HTTP server.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }

    /// Returns the bound address of `[api] tls`; `None` without that server.
    pub(crate) fn api_address(&self) -> Option<SocketAddr> {
        self.api.as_ref()?.local_addr().ok()
    }

    /// Returns the bound address of the ACME challenge server; `None` without that server.
    pub(crate) fn challenge_address(&self) -> Option<SocketAddr> {
        self.challenge.as_ref()?.local_addr().ok()
    }
}
