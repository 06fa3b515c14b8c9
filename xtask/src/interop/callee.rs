//! Called parties at one address, in a thread: the called number decides whether a party answers, is busy or only
//! rings.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::raw::{Phone, Text};
use super::sipp::PBX;

/// Last digits of a busy party's number.
const BUSY: &str = "02";
/// Last digits of the number of a party that only rings.
const SILENT: &str = "03";
/// Maximum wait for a message, after which the thread checks whether to end.
const GLANCE: Duration = Duration::from_millis(100);

/// Called parties; their thread ends on drop.
#[derive(Debug)]
pub(crate) struct Callees {
    called: Arc<Mutex<Vec<Text>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Callees {
    /// Starts the called parties, at the address of the trunk `pbx`.
    pub(crate) fn start() -> anyhow::Result<Callees> {
        let phone = Phone::new(PBX, 5060, "callee")?;
        nix::sys::socket::setsockopt(&phone.sip, nix::sys::socket::sockopt::RcvBuf, &(4 << 20))?;
        let (called, over) = (Arc::<Mutex<Vec<Text>>>::default(), Arc::new(AtomicBool::new(false)));
        let (kept, ends) = (Arc::clone(&called), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut ringing = HashMap::new();
            while !ends.load(Ordering::Relaxed) {
                if let Ok(Some((message, from))) = phone.receive(GLANCE) {
                    // A response that cannot be sent counts as lost.
                    drop(serve(&phone, &message, from, &kept, &mut ringing));
                }
            }
        });
        Ok(Callees { called, over, thread: Some(thread) })
    }

    /// Returns the INVITEs of all calls so far.
    pub(crate) fn called(&self) -> Vec<Text> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Callees {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(
    phone: &Phone,
    message: &Text,
    from: SocketAddr,
    called: &Mutex<Vec<Text>>,
    ringing: &mut HashMap<String, Text>,
) -> anyhow::Result<()> {
    match message.first().split(' ').next() {
        Some("INVITE") => {
            let id = message.header("Call-ID");
            let mut called = called.lock().unwrap_or_else(PoisonError::into_inner);
            if !called.iter().rev().take(1_000).any(|known| known.header("Call-ID") == id) {
                called.push(message.clone());
            }
            drop(called);
            let number = user(message);
            if number.ends_with(BUSY) {
                return phone.reply(message, from, "486 Busy Here", "");
            }
            phone.reply(message, from, "180 Ringing", "")?;
            if number.ends_with(SILENT) {
                ringing.insert(id.to_owned(), message.clone());
                return Ok(());
            }
            phone.reply(message, from, "200 OK", &phone.sdp()?)
        }
        Some("CANCEL") => {
            phone.reply(message, from, "200 OK", "")?;
            match ringing.remove(message.header("Call-ID")) {
                Some(invite) => phone.reply(&invite, from, "487 Request Terminated", ""),
                None => Ok(()),
            }
        }
        Some("BYE" | "OPTIONS") => phone.reply(message, from, "200 OK", ""),
        _ => Ok(()),
    }
}

/// Returns the user part of a Request-URI.
fn user(request: &Text) -> &str {
    let uri = request.first().split(' ').nth(1).unwrap_or_default();
    uri.split_once(':').and_then(|(_, rest)| rest.split_once('@')).map_or(uri, |(user, _)| user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_called_number_is_that_of_the_request_uri() {
        let invite =
            Text("INVITE sip:+14155550102@127.0.0.3:5060;user=phone SIP/2.0\r\nTo: <sip:x@y>\r\n\r\n".to_owned());
        assert_eq!(user(&invite), "+14155550102");
        assert_eq!(user(&Text("INVITE sip:127.0.0.3 SIP/2.0\r\n\r\n".to_owned())), "sip:127.0.0.3");
    }
}
