//! The floor for `scripts/bench`: hyper alone, with a constant 302 of the same headers as a real one.
//!
//! `bench_floor ADDRESS FILE [TREE]`; FILE has an answer's headers as `curl -D` writes them. With a TREE, each request looks at the file
//! that it asks for there, by one `statx`: what a redirector can't do without that answers for files as they are now.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use http::header::DATE;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use tokio::net::TcpListener;

#[derive(Parser)]
struct Args {
    address: SocketAddr,
    headers: PathBuf,
    tree: Option<PathBuf>,
}

type Headers = Vec<(HeaderName, HeaderValue)>;

struct Floor {
    headers: Headers,
    tree: Option<rustix::fd::OwnedFd>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let open = |path: &PathBuf| rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let headers = read(&fs::read_to_string(&args.headers)?)?;
    let floor = Arc::new(Floor { headers, tree: args.tree.as_ref().map(open).transpose()? });
    let listener = TcpListener::bind(args.address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let floor = Arc::clone(&floor);
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(floor.answer(&request))));
            // A client that goes away is no matter.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// The headers, but for the date, which hyper writes.
fn read(text: &str) -> anyhow::Result<Headers> {
    let lines = text.lines().skip(1).take_while(|line| !line.is_empty());
    let pairs = lines.map(|line| {
        let (name, value) = line.split_once(": ").context("a line that is no header")?;
        // It lives as long as the program, and so costs nothing to copy.
        let value: &'static str = String::leak(value.to_owned());
        Ok((name.parse::<HeaderName>()?, HeaderValue::from_static(value)))
    });
    pairs.filter(|pair| !matches!(pair, Ok((name, _)) if *name == DATE)).collect()
}

impl Floor {
    fn answer(&self, request: &Request<Incoming>) -> Response<Empty<Bytes>> {
        let mut response = Response::new(Empty::new());
        *response.status_mut() = if self.has(request.uri().path()) { StatusCode::FOUND } else { StatusCode::NOT_FOUND };
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response
    }

    fn has(&self, path: &str) -> bool {
        let Some(tree) = &self.tree else { return true };
        let path: std::borrow::Cow<'_, [u8]> = percent_decode_str(path.trim_start_matches('/')).into();
        rustix::fs::statx(tree, &*path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).is_ok()
    }
}
