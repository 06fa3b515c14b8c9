//! Menu as a web application, which counts the attempts in each call and stores every request.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::interop::front::{form, read_request};

/// Number that choice 1 leads to.
pub(super) const DESK: &str = "+14155550123";
/// First words of each prompt, in the order of the case's `Prompt`.
pub(super) const PROMPTS: [&str; 7] =
    ["Main menu", "Second try", "Third try", "Goodbye", "Invalid choice", "A call for you", "No answer there"];
/// Maximum wait for a request of the edge.
const PATIENCE: Duration = Duration::from_secs(20);

/// Request that the menu received.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    path: String,
    form: Vec<(String, String)>,
}

impl Asked {
    fn parameter(&self, name: &str) -> &str {
        self.form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Running application; its thread ends with the process.
#[derive(Debug)]
pub(super) struct Menu {
    /// Listening address of the application.
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<Asked>,
    /// Number of timeouts without a digit in each call, by SID.
    silences: HashMap<String, u32>,
    /// Whether the menu is played completely before digits are collected.
    before: bool,
}

impl Menu {
    /// Starts the application. With `before`, the menu is played before digits are collected, so that no digit
    /// interrupts it.
    pub(super) fn start(before: bool) -> anyhow::Result<Menu> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { before, ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Ok(Menu { address, state })
    }

    /// Returns the requests for calls from this caller: path, and collected input.
    pub(super) fn steps(&self, caller: &str) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of_caller = state.asked.iter().filter(|asked| asked.parameter("From").contains(caller));
        let step = |asked: &Asked| {
            let given = ["Digits", "DialCallStatus"].map(|name| asked.parameter(name)).join("");
            format!("{} {given}", asked.path).trim_end().to_owned()
        };
        of_caller.map(step).collect()
    }

    /// Waits until calls from this caller have caused this many requests.
    pub(super) fn has(&self, caller: &str, requests: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.steps(caller).len() < requests {
            if began.elapsed() > PATIENCE {
                bail!("{} instead of {requests} requests for {caller}", self.steps(caller).join(", "));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (head, body) = read_request(&mut stream)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let document = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked { path, form: form(&body)? };
        let document = state.document(&asked);
        state.asked.push(asked);
        document
    };
    let text = format!("<Response>{document}</Response>");
    let head = format!("Content-Type: text/xml\r\nContent-Length: {}\r\nConnection: close", text.len());
    Ok(stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{text}").as_bytes())?)
}

impl State {
    fn document(&mut self, asked: &Asked) -> String {
        let [menu, second, third, goodbye, invalid, whisper, unanswered] = PROMPTS;
        let hang_up = format!("<Say>{goodbye}</Say><Hangup/>");
        match (asked.path.as_str(), asked.parameter("Digits"), asked.parameter("DialCallStatus")) {
            ("/voice", ..) => self.gather(&format!("<Say loop=\"5\">{menu}</Say>")),
            ("/silence", ..) => {
                let silences = self.silences.entry(asked.parameter("CallSid").to_owned()).or_default();
                *silences += 1;
                match silences {
                    1 => self.gather(&format!("<Say>{second}</Say>")),
                    2 => self.gather(&format!("<Say>{third}</Say>")),
                    _ => hang_up,
                }
            }
            ("/key", "1", _) => {
                format!("<Dial timeout=\"3\" action=\"/dialled\"><Number url=\"/whisper\">{DESK}</Number></Dial>")
            }
            ("/key", ..) => format!("<Say>{invalid}</Say><Redirect>/voice</Redirect>"),
            ("/whisper", ..) => format!("<Say>{whisper}</Say>"),
            ("/dialled", _, "completed") => hang_up,
            ("/dialled", ..) => format!("<Say>{unanswered}</Say><Redirect>/voice</Redirect>"),
            _ => "<Reject/>".to_owned(),
        }
    }

    fn gather(&self, prompt: &str) -> String {
        let (before, inside) = if self.before { (prompt, "") } else { ("", prompt) };
        format!(
            "{before}<Gather numDigits=\"1\" timeout=\"1\" action=\"/key\">{inside}</Gather>\
             <Redirect>/silence</Redirect>"
        )
    }
}
