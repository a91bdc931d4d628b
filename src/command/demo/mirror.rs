//! The demo's mirrors: real HTTP servers on loopback addresses of their own, with listings in the form of nginx's.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderName, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::decide::Why;
use crate::http::body::Body;
use crate::http::listener::{Error, Handler, Origin};
use crate::http::sending::Sending;
use crate::http::threads::Threads;
use crate::http::{Counts, Limits, Server, Settings, Start, Workers, bind, local};
use crate::model::{RequestPath, TreePath};
use crate::tree::{self, Kind, Root, Trees};

/// A mirror that answers.
pub(super) struct Mirror {
    root: Root,
    is_broken: bool,
    counts: Arc<Counts>,
    threads: Threads,
    sending: Sending,
    clock: Clock,
}

/// What our own server says of its files and a mirror does not.
const X_REDIRECTOR: HeaderName = HeaderName::from_static("x-redirector");
/// The most entries of a directory that are listed.
const MAX_ENTRIES: usize = 10_000;

impl Mirror {
    /// Serves a folder at a loopback address; the port is any that is free. A broken mirror answers 500 to everything.
    pub(super) fn serve(
        folder: &Path,
        address: IpAddr,
        is_broken: bool,
        clock: &Clock,
    ) -> anyhow::Result<(Server, SocketAddr)> {
        let trees = Trees::open(&tree::Settings::of(folder))?;
        let mirror = Self {
            root: trees.public,
            is_broken,
            counts: Arc::default(),
            threads: Threads::default(),
            sending: Sending::default(),
            clock: clock.clone(),
        };
        let (socket, address) = listen(address)?;
        let server = Server::new(Limits::new(&Settings::default()), Workers::here());
        server.serve(socket, Start::Request, &Arc::new(mirror)).map_err(|source| Error { address, source })?;
        Ok((server, address))
    }

    async fn respond(&self, request: &Parts) -> Response<Body> {
        let Ok(path) = RequestPath::parse(request.uri.path()) else { return status(StatusCode::BAD_REQUEST) };
        match path.is_directory() {
            true => self.list(path.whole()).unwrap_or_else(|| status(StatusCode::NOT_FOUND)),
            false => self.file(request, path.whole()),
        }
    }

    fn file(&self, request: &Parts, path: &TreePath<'_>) -> Response<Body> {
        if let Ok(opened) = self.root.open_file(path) {
            let asked = (&request.method, &request.headers);
            let mut response = local::answer(
                opened,
                path,
                (Why::NoMirror, None),
                asked,
                (&self.counts, &self.threads, &self.sending),
                self.clock.now(),
            );
            response.headers_mut().remove(X_REDIRECTOR);
            return response;
        }
        let Ok(location) = HeaderValue::try_from(format!("/{}/", path.encoded())) else {
            return status(StatusCode::BAD_REQUEST);
        };
        match self.root.look(path) {
            Ok(look) if look.kind == Kind::Directory => {
                let mut response = status(StatusCode::MOVED_PERMANENTLY);
                response.headers_mut().insert(LOCATION, location);
                response
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    fn list(&self, path: &TreePath<'_>) -> Option<Response<Body>> {
        let items = self.root.list(path, MAX_ENTRIES, |_| true).ok()?;
        let title = format!("Index of /{path}{}", if path.is_root() { "" } else { "/" });
        let mut page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1><hr><pre><a href=\"../\">../</a>\r\n"
        );
        for item in items {
            let name = TreePath::parse(item.name).ok()?;
            let (slash, size) = match item.kind {
                Kind::Directory => ("/", "-".to_owned()),
                Kind::File => ("", item.size.to_string()),
            };
            let modified = Timestamp::from_nanosecond(item.mtime_ns.into()).unwrap_or_default().strftime("%d-%b-%Y %H:%M");
            let gap = 50_usize.saturating_sub(name.name().len() + slash.len());
            write!(page, "<a href=\"{}{slash}\">{name}{slash}</a>{:gap$} {modified} {size:>19}\r\n", name.encoded(), "")
                .ok()?;
        }
        page.push_str("</pre><hr></body>\r\n</html>\r\n");
        let mut response = Response::new(Body::full(page));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        Some(response)
    }
}

impl Handler for Mirror {
    async fn answer(&self, request: &Parts, _from: Origin) -> Response<Body> {
        let mut response = match request.method {
            _ if self.is_broken => status(StatusCode::INTERNAL_SERVER_ERROR),
            Method::GET | Method::HEAD => self.respond(request).await,
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        };
        if request.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    }

    fn trusts(&self, _peer: IpAddr) -> bool {
        false
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn listen(address: IpAddr) -> Result<(std::net::TcpListener, SocketAddr), Error> {
    let any = SocketAddr::new(address, 0);
    let socket = bind(any)?;
    let address = socket.local_addr().map_err(|source| Error { address: any, source })?;
    Ok((socket, address))
}
