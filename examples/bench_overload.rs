//! The load for the last part of `scripts/bench-local`: requests come at a fixed rate, whether or not those before them were answered.
//!
//! `bench_overload ADDRESS PATH RATE SECONDS [--host HOST] [--head] [--anew] [--from-start]` prints, tab-separated: requests sent, those answered with 200 or 302 and
//! the median, 99th and 99.9th percentile of their latency in milliseconds, then the same of those that were turned away (503), then those that came to
//! nothing. Latency counts from when the request was due to the last byte of the answer. The first second, in which the server has to notice, is not
//! counted.
//!
//! Requests come by connections that are kept, as proxies have them: by one that has nothing to do, else by a new one. With `--anew` each comes by
//! one of its own, as most people's do.

#![expect(clippy::print_stdout, reason = "figures for a script")]

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use redirector::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

#[derive(Parser)]
struct Args {
    address: SocketAddr,
    path: String,
    rate: f64,
    seconds: f64,
    #[arg(long, default_value = "download.example")]
    host: String,
    /// HEAD: of an answer, to make it counts, and not its bytes.
    #[arg(long)]
    head: bool,
    #[arg(long)]
    anew: bool,
    #[arg(long)]
    from_start: bool,
}

/// What is not counted, in seconds.
const START: f64 = 1.0;

/// How long anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests under way at once: as many as a server takes connections by default.
const MOST: usize = 20_000;

#[derive(Default)]
struct Seen {
    anew: bool,
    head: bool,
    /// The same for what is counted and what is not.
    idle: Rc<RefCell<Vec<TcpStream>>>,
    under_way: Cell<usize>,
    accepted: RefCell<Vec<f64>>,
    turned_away: RefCell<Vec<f64>>,
    failed: Cell<usize>,
}

enum Answer {
    Accepted,
    TurnedAway,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = Args::parse();
    let request: Rc<str> =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n\r\n", if args.head { "HEAD" } else { "GET" }, args.path, args.host).into();
    let seen = Rc::new(Seen { anew: args.anew, head: args.head, ..Seen::default() });
    let unseen = Rc::new(Seen { anew: args.anew, head: args.head, idle: Rc::clone(&seen.idle), ..Seen::default() });
    let start = if args.from_start { 0.0 } else { START };
    let mut sent = 0_usize;
    LocalSet::new()
        .run_until(async {
            let began = clock::instant();
            let due = |number: usize| began + Duration::from_secs_f64(number as f64 / args.rate);
            let not_counted = (args.rate * start) as usize;
            let all = not_counted + (args.rate * args.seconds) as usize;
            while sent < all {
                while sent < all && due(sent) <= clock::instant() {
                    let seen = if sent < not_counted { &unseen } else { &seen };
                    if seen.under_way.get() < MOST {
                        tokio::task::spawn_local(one(Rc::clone(seen), Rc::clone(&request), args.address, due(sent)));
                    } else {
                        seen.failed.set(seen.failed.get() + 1);
                    }
                    sent += 1;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            while seen.under_way.get() + unseen.under_way.get() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            sent -= not_counted;
        })
        .await;
    println!("{sent}\t{}\t{}\t{}", row(&seen.accepted), row(&seen.turned_away), seen.failed.get());
}

async fn one(seen: Rc<Seen>, request: Rc<str>, address: SocketAddr, due: Instant) {
    seen.under_way.set(seen.under_way.get() + 1);
    let answer = tokio::time::timeout(PATIENCE, ask(&seen, &request, address)).await;
    let took = clock::instant().saturating_duration_since(due).as_secs_f64() * 1000.0;
    match answer {
        Ok(Ok(Answer::Accepted)) => seen.accepted.borrow_mut().push(took),
        Ok(Ok(Answer::TurnedAway)) => seen.turned_away.borrow_mut().push(took),
        _ => seen.failed.set(seen.failed.get() + 1),
    }
    seen.under_way.set(seen.under_way.get() - 1);
}

/// Asks once, by a connection that is idle, else by a new one.
async fn ask(seen: &Seen, request: &str, address: SocketAddr) -> std::io::Result<Answer> {
    let idle = if seen.anew { None } else { seen.idle.borrow_mut().pop() };
    let mut stream = match idle {
        Some(stream) => stream,
        None => TcpStream::connect(address).await?,
    };
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    let head = read_head(&mut stream).await?;
    let mut rest = if seen.head { 0 } else { head.rest };
    let mut buffer = [0; 64 * 1024];
    while rest > 0 {
        let read = stream.read(&mut buffer[..rest.min(64 * 1024)]).await?;
        if read == 0 {
            return Err(ErrorKind::ConnectionReset.into());
        }
        rest -= read;
    }
    if !seen.anew && !head.closes {
        seen.idle.borrow_mut().push(stream);
    }
    Ok(if head.status == 503 { Answer::TurnedAway } else { Answer::Accepted })
}

struct Head {
    status: u16,
    closes: bool,
    /// Bytes of the body that did not come with it.
    rest: usize,
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<Head> {
    let mut buffer = [0; 16 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(ErrorKind::ConnectionReset.into());
        }
        filled += read;
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(&buffer[..filled]).map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
        let httparse::Status::Complete(length) = parsed else { continue };
        let field = |name: &str| response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        let body = field("content-length").and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok());
        return Ok(Head {
            status: response.code.unwrap_or_default(),
            closes: field("connection").is_some_and(|field| field.value.eq_ignore_ascii_case(b"close")),
            rest: body.unwrap_or_default().saturating_sub(filled - length),
        });
    }
}

/// How many, and their percentiles.
fn row(latencies: &RefCell<Vec<f64>>) -> String {
    let mut sorted = latencies.borrow().clone();
    sorted.sort_by(f64::total_cmp);
    let percentile = |part: f64| sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    format!("{}\t{:.1}\t{:.1}\t{:.1}", sorted.len(), percentile(0.5), percentile(0.99), percentile(0.999))
}
