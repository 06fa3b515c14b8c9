//! Web service that accepts POST requests, on plain threads.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// POST request that the service has received.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    /// Request line of the post.
    pub(crate) line: String,
    /// Header fields, with names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// Running web service; its threads end with the test.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Endpoint {
    /// Starts a service that responds to each post, by its number, with the output of `answer`; if `answer` returns
    /// false, the connection is closed.
    pub(crate) fn doing(answer: impl Fn(usize, &mut TcpStream) -> bool + Send + Sync + 'static) -> Endpoint {
        Endpoint::on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    pub(crate) fn on(
        listener: TcpListener,
        answer: impl Fn(usize, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Endpoint {
        Endpoint::reading(listener, move |number, _, stream| answer(number, stream))
    }

    /// Starts a service that responds to each post by its number and content.
    pub(crate) fn reading(
        listener: TcpListener,
        answer: impl Fn(usize, &Post, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Endpoint {
        let address = listener.local_addr().unwrap();
        let posts = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&posts), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &kept, &*answer));
            }
        });
        Endpoint { address, posts }
    }

    /// Starts a service that accepts every post.
    pub(crate) fn taking() -> Endpoint {
        Endpoint::doing(|_, stream| ok(stream))
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }
}

/// Sends a 200 response, and keeps the connection.
pub(crate) fn ok(stream: &mut TcpStream) -> bool {
    say(stream, "200 OK", "")
}

/// Sends a response with this status and further headers.
pub(crate) fn say(stream: &mut TcpStream, status: &str, headers: &str) -> bool {
    stream.write_all(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n").as_bytes()).is_ok()
}

fn serve(mut stream: TcpStream, posts: &Mutex<Vec<Post>>, answer: &impl Fn(usize, &Post, &mut TcpStream) -> bool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut line, mut headers) = (String::new(), HashMap::new());
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return;
        }
        loop {
            let mut header = String::new();
            if !matches!(reader.read_line(&mut header), Ok(1..)) {
                return;
            }
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let post =
            Post { line: line.trim_end().to_owned(), headers, body: String::from_utf8_lossy(&body).into_owned() };
        let number = {
            let mut posts = posts.lock().unwrap();
            posts.push(post.clone());
            posts.len() - 1
        };
        if !answer(number, &post, &mut stream) {
            return;
        }
    }
}
