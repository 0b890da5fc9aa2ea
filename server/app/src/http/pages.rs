//! The web bundle: built into the program, or read from a folder with `--web`.
//!
//! `web/dist` always exists in a checkout, if only with a placeholder, so that this compiles before
//! the pages are built.

use std::path::{Component, Path, PathBuf};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use include_dir::{Dir, include_dir};

use super::Server;
use super::refusal::Refusal;

static BUNDLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../web/dist");

/// The folder of the checkout that this program was built from: used when the program was built
/// before the pages were.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist");

const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>fedseal</title>\
<p>The report pages are not built into this program. Run <code>npm ci &amp;&amp; npm run build</code> in \
<code>web/</code> and build again, or give <code>fedseal serve --web DIR</code>.\
<p>The same data is JSON under <a href=/api/runs>/api/runs</a>.";

/// Where pages come from.
pub(super) struct Pages {
    folder: Option<PathBuf>,
}

impl Pages {
    /// From the given folder, else from the program, else from the checkout.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        let bundled = BUNDLE.get_file("index.html").is_some();
        let checkout =
            || Some(PathBuf::from(CHECKOUT)).filter(|dir| dir.join("index.html").exists());
        Pages {
            folder: folder.or_else(|| if bundled { None } else { checkout() }),
        }
    }

    /// Whether there are any.
    pub(super) fn exist(&self) -> bool {
        self.read(Path::new("index.html")).is_some()
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        match &self.folder {
            Some(folder) => std::fs::read(folder.join(path)).ok(),
            None => BUNDLE.get_file(path).map(|file| file.contents().to_vec()),
        }
    }
}

/// A file of the bundle; any other path is a page's address and gets index.html.
pub(super) async fn serve(State(shared): Server, request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Refusal::missing("interface", request.uri().path()).into_response();
    }
    let path = Path::new(request.uri().path().trim_start_matches('/'));
    // Names as they stand: a percent sign or a `..` is in no name of a bundle.
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let named = (plain && path.extension().is_some())
        .then(|| Some((shared.pages.read(path)?, path)))
        .flatten();
    if let Some((bytes, path)) = named {
        // Names under assets/ carry a hash of their content.
        let keep = if path.starts_with("assets") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let kind = HeaderValue::from_static(media_type(path));
        let keep = HeaderValue::from_static(keep);
        return (
            [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)],
            bytes,
        )
            .into_response();
    }
    if path.extension().is_some() && path.starts_with("assets") {
        return Refusal::missing("file", request.uri().path()).into_response();
    }
    match shared.pages.read(Path::new("index.html")) {
        Some(index) => (
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            )],
            index,
        )
            .into_response(),
        None => (StatusCode::OK, Html(NOT_BUILT)).into_response(),
    }
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
