//! The floor for `scripts/bench`: hyper alone, with a constant 302 of the same headers as a real one.
//!
//! `bench_floor ADDRESS FILE`; FILE has an answer's headers as `curl -D` writes them.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use http::header::DATE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[derive(Parser)]
struct Args {
    address: SocketAddr,
    headers: std::path::PathBuf,
}

type Headers = Vec<(HeaderName, HeaderValue)>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let headers = Arc::new(read(&fs::read_to_string(&args.headers)?)?);
    let listener = TcpListener::bind(args.address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let headers = Arc::clone(&headers);
        tokio::spawn(async move {
            let service = service_fn(|_| std::future::ready(Ok::<_, Infallible>(answer(&headers))));
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

fn answer(headers: &Headers) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::FOUND;
    for (name, value) in headers {
        response.headers_mut().append(name, value.clone());
    }
    response
}
