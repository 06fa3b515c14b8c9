//! Web applications of cases: a function from a request to the verbs of a document, served in threads, which also keep
//! all requests.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;

use super::front::{form, read_request};

/// Maximum wait for a request.
const PATIENCE: Duration = Duration::from_secs(15);

/// Request that the application received.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    /// Path of the request, with the query.
    pub(crate) path: String,
    form: Vec<(String, String)>,
}

impl Posted {
    /// Returns the value of a parameter; empty if the parameter is absent.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Running application; its thread ends with the process.
#[derive(Debug)]
pub(crate) struct WebApplication {
    /// Listening address of the application.
    pub(crate) address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl WebApplication {
    /// Starts an application on a free loopback port; for each request, `verbs` returns the verbs of the document.
    pub(crate) fn start(verbs: impl Fn(&Posted) -> String + Send + Sync + 'static) -> anyhow::Result<WebApplication> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let posted = Arc::new(Mutex::new(Vec::new()));
        let (kept, verbs) = (Arc::clone(&posted), Arc::new(verbs));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, verbs) = (Arc::clone(&kept), Arc::clone(&verbs));
                std::thread::spawn(move || drop(serve(stream, &*verbs, &kept)));
            }
        });
        Ok(WebApplication { address, posted })
    }

    /// Returns all requests so far, in order.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a request, not among the first `since`, for which `is_it` returns true.
    pub(crate) fn wait_for(&self, what: &str, since: usize, is_it: impl Fn(&Posted) -> bool) -> anyhow::Result<Posted> {
        let began = Instant::now();
        loop {
            let posted = self.posted();
            if let Some(found) = posted.iter().skip(since).find(|posted| is_it(posted)) {
                return Ok(found.clone());
            }
            if began.elapsed() > PATIENCE {
                bail!("no request of {what}, but: {posted:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn serve(mut stream: TcpStream, verbs: &impl Fn(&Posted) -> String, kept: &Mutex<Vec<Posted>>) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (head, body) = read_request(&mut stream)?;
    let posted = Posted { path: head.split(' ').nth(1).unwrap_or_default().to_owned(), form: form(&body)? };
    let text = format!("<Response>{}</Response>", verbs(&posted));
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(posted);
    let head = format!("Content-Type: text/xml\r\nContent-Length: {}\r\nConnection: close", text.len());
    Ok(stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{text}").as_bytes())?)
}
