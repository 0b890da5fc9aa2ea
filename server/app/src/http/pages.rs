//! The web bundle: built into the program, or read from a folder with `--web`.
//!
//! `web/dist` always exists in a checkout, if only with a placeholder, so that this compiles before
//! the pages are built. The bundle says in `pages.json` which addresses are pages: they get index.html,
//! and so do others, with status 404 (the pages' own words for that are in it).

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

/// List of the patterns of the pages' paths, which the bundle's build makes (web/src/pages.ts).
const LIST: &str = "pages.json";

/// First parts of paths that are for programs: no page is there.
const FOR_PROGRAMS: [&str; 3] = ["api", "healthz", "metrics"];

/// The module with which browsers check proofs. It is built after this program, so it is a file beside it.
const VERIFIER: &str = "verifier.wasm";

/// Where pages come from.
pub(super) struct Pages {
    folder: Option<PathBuf>,
    verifier: Option<PathBuf>,
}

impl Pages {
    /// From the given folder, else from the program, else from the checkout.
    pub(super) fn new(folder: Option<PathBuf>, verifier: Option<PathBuf>) -> Self {
        let bundled = BUNDLE.get_file("index.html").is_some();
        let checkout =
            || Some(PathBuf::from(CHECKOUT)).filter(|dir| dir.join("index.html").exists());
        Pages {
            verifier,
            folder: folder.or_else(|| if bundled { None } else { checkout() }),
        }
    }

    /// Whether there are any.
    pub(super) fn exist(&self) -> bool {
        self.read(Path::new("index.html")).is_some()
    }

    /// Whether a path is a page's address. Without a list there is the first page alone.
    fn has(&self, path: &str) -> bool {
        let list = self.read(Path::new(LIST)).unwrap_or_default();
        let patterns: Vec<String> = serde_json::from_slice(&list).unwrap_or_default();
        parts(path).next().is_none() || patterns.iter().any(|pattern| fits(pattern, path))
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        if path == Path::new(VERIFIER) {
            return std::fs::read(self.verifier.as_ref()?).ok();
        }
        match &self.folder {
            Some(folder) => std::fs::read(folder.join(path)).ok(),
            None => BUNDLE.get_file(path).map(|file| file.contents().to_vec()),
        }
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Whether a path has as many parts as a pattern, equal where the pattern has no colon.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (parts(pattern), parts(path));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted.starts_with(':') || wanted == found => (),
            _ => return false,
        }
    }
}

/// A file of the bundle; index.html for any other path, with 404 where no page is.
pub(super) async fn serve(State(shared): Server, request: Request) -> Response {
    let for_programs = parts(request.uri().path())
        .next()
        .is_some_and(|first| FOR_PROGRAMS.contains(&first));
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    if for_programs || !reads {
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
    let status = match shared.pages.has(request.uri().path()) {
        true => StatusCode::OK,
        false => StatusCode::NOT_FOUND,
    };
    match shared.pages.read(Path::new("index.html")) {
        Some(index) => (
            status,
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            )],
            index,
        )
            .into_response(),
        None => (status, Html(NOT_BUILT)).into_response(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_its_paths_alone() {
        for (pattern, path) in [
            ("/", ""),
            ("/modules", "/modules/"),
            ("/runs/:run", "/runs/demo~seed-1"),
            ("/runs/:run/updates/:update", "/runs/a.b/updates/00"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/", "/x"),
            ("/modules", "/modules/x"),
            ("/runs/:run", "/runs"),
            ("/runs/:run", "/run/x"),
            ("/runs/:run/answers", "/runs/x/answer"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }

    /// The list is made at the pages' build; where they are built, it and the bundle belong together.
    #[test]
    fn the_bundle_has_its_list() {
        let pages = Pages::new(None, None);
        if pages.exist() {
            for path in ["/", "/modules", "/runs/x", "/runs/x/updates/y"] {
                assert!(pages.has(path), "{path}");
            }
            assert!(!pages.has("/nowhere"));
        }
    }
}
