//! Web console at `/`: static files inside the binary, without secrets. Their scripts use `/v1` like any client, with
//! the token that the user enters.

use axum::extract::Request;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

/// Content security policy of the console: scripts and styles from this origin only, no framing, no HTML from strings.
const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// File of the web console, compiled into the binary.
struct ConsoleFile {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($name:literal, $kind:expr) => {
        ConsoleFile { path: concat!("/console/", $name), kind: $kind, text: include_str!(concat!("console/", $name)) }
    };
}

/// All files of the console.
const FILES: [ConsoleFile; 27] = [
    ConsoleFile { path: "/", kind: HTML, text: include_str!("console/index.html") },
    file!("style.css", CSS),
    file!("icon.svg", SVG),
    file!("app.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("plot.js", SCRIPT),
    file!("listing.js", SCRIPT),
    file!("ladder.js", SCRIPT),
    file!("message.js", SCRIPT),
    file!("overview.js", SCRIPT),
    file!("problems.js", SCRIPT),
    file!("calls.js", SCRIPT),
    file!("call.js", SCRIPT),
    file!("media.js", SCRIPT),
    file!("recordings.js", SCRIPT),
    file!("recorded.js", SCRIPT),
    file!("webhooks.js", SCRIPT),
    file!("trunks.js", SCRIPT),
    file!("routes.js", SCRIPT),
    file!("agents.js", SCRIPT),
    file!("conferences.js", SCRIPT),
    file!("queues.js", SCRIPT),
    file!("requests.js", SCRIPT),
    file!("security.js", SCRIPT),
    file!("system.js", SCRIPT),
];

/// Returns the paths of all files of the console.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.path)
}

/// Returns whether a path is a file of the console. Such files contain no secret, so they need no token.
pub(super) fn is_file(path: &str) -> bool {
    paths().any(|file| file == path)
}

/// Sends the file of the console at the request's path.
pub(super) async fn serve(request: Request) -> Response {
    let Some(file) = FILES.iter().find(|file| file.path == request.uri().path()) else {
        return axum::http::StatusCode::NOT_FOUND.into_response();
    };
    let headers: [(HeaderName, &str); 7] = [
        (header::CONTENT_TYPE, file.kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        // Another version of the edge has other files at these paths.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, file.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_and_no_other() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut there: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
        let mut served: Vec<String> =
            paths().map(|path| path.strip_prefix("/console/").unwrap_or("index.html").to_owned()).collect();
        there.sort();
        served.sort();
        assert_eq!(there, served);
        assert!(is_file("/") && !is_file("/console/") && !is_file("/console/../"));
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere_and_no_text_becomes_markup() {
        let forbidden =
            ["http://", "https://", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"];
        for file in FILES.iter() {
            // The XML namespace looks like a URL, but is not a link.
            let text = file.text.replace("http://www.w3.org/2000/svg", "");
            for word in forbidden {
                assert!(!text.contains(word), "{}: {word}", file.path);
            }
            assert!(
                file.kind != HTML
                    || !text.contains("<script>") && !text.contains("style=") && !text.contains("onclick")
            );
        }
    }
}
