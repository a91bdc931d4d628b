//! HTTP: from a socket to an answer, and what is counted on the way.
//!
//! `listener` opens sockets, `arrivals` accepts connections, of which `crowd` knows how many there are, and gives them to the threads of `workers`; `door` has each of
//! them, `bell` and `pressure` know how long they wait there, and `overloaded` what those are told who would wait too long. `connection` keeps time for them, `proxy` reads who they are for; `router` and `route`
//! find the instance, `client` the client; `site` answers one request end to end, with its parts `standing` and `deciding`, and the help of `look` (what the
//! trees have), `ranker` (which mirrors), `local` (files of ours, by `conditional` and `range`), `page` and `accept` (what
//! people and programs read), `describe`, `representation` and `hints` (what describes a file, and links to that), `wishes`
//! (what a query asks for), `fallback` and `stamp` (where and how clients are sent besides), `explain` (the decision as a story),
//! `repository` (lists for package managers), `missing` (what nobody has), `doubts` (what requests give away about mirrors),
//! `mirrors_page` (what those who run mirrors read), `signature` (links to files that are not public), `response` (one constructor for each
//! kind of answer), `redirect` (the most frequent one; the lines of both by `lines`), `plain` (requests without hyper, answered `at_once` where that can
//! be, else by `answering`) and `body`: what is read of files (`reading`), or sent by the kernel itself, also below hyper (`promise`), from files that
//! are open once (`sending`). `metrics` counts, `admin` tells administrators.

pub mod accept;
pub mod admin;
mod answering;
mod arrivals;
mod at_once;
mod bell;
pub mod body;
pub mod client;
pub mod conditional;
pub mod connection;
pub mod crowd;
mod deciding;
pub mod describe;
mod door;
pub mod doubts;
pub mod explain;
pub mod fallback;
pub mod hints;
mod lines;
pub mod listener;
mod lister;
pub mod local;
pub mod look;
pub mod metrics;
pub mod mirrors_page;
pub mod missing;
mod overloaded;
pub mod page;
pub mod plain;
pub mod pressure;
mod promise;
pub mod proxy;
pub mod range;
pub mod ranker;
mod reading;
pub mod redirect;
pub mod repository;
mod representation;
pub mod response;
pub mod route;
pub mod router;
pub mod sending;
pub mod signature;
pub mod site;
pub mod stamp;
mod standing;
pub mod threads;
pub mod wishes;
pub mod workers;

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::model::{ByteSize, Span};

pub use admin::{Admin, Problem};
pub use client::{Client, ForwardedBy, Trust};
pub use describe::{NoRecords, Records, Silent};
pub use doubts::Doubts;
pub use explain::Explanation;
pub use fallback::Fallbacks;
pub use listener::{Limits, Server, Start, bind};
pub use metrics::Counts;
pub use repository::Packages;
pub use route::Route;
pub use router::Router;
pub use site::{Asked, Makings, Site};
pub use stamp::Stamp;
pub use wishes::{Settings as AnswerSettings, Wishes};
pub use workers::Workers;

/// `[server]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Where clients are listened to.
    pub listen: Vec<SocketAddr>,
    /// Where proxies are listened to that start each connection with a PROXY header (v1 or v2).
    pub listen_proxy_protocol: Vec<SocketAddr>,
    /// Where administrators and monitoring are listened to.
    pub admin_listen: Option<SocketAddr>,
    /// How this server is reached, for links to ourselves: scheme, host, port.
    pub public_url: Option<String>,
    /// Names that this instance answers to; none: any.
    pub hosts: Vec<String>,
    /// Whose word on a client's address and scheme is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which of their headers are read: `auto` (`X-Forwarded-For` and `X-Forwarded-Proto` where there is one of them, else
    /// `Forwarded`), `x-forwarded-for`, `forwarded`.
    pub forwarded_by: ForwardedBy,
    /// Whether there are pages on mirrors, for those who run them: `?mirrors` and `?mirror=NAME` on the root.
    pub mirror_pages: bool,
    /// How many connections are served at once at each address; more wait. Instances that share an address share these, and
    /// the limits and timeouts of the first of them count.
    pub max_connections: usize,
    /// How long requests may wait for their turn when more is asked than can be answered; who would wait longer is turned away
    /// (503). Zero: however long.
    pub max_queue_delay: Span,
    /// How long a client may take to send the headers of a request.
    pub header_timeout: Span,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Span,
    /// How long a client may read nothing of an answer.
    pub write_timeout: Span,
    /// The largest header section of a request.
    pub max_header_size: ByteSize,
    /// How long downloads under way may go on after SIGTERM. The next server on the same database is patient for longer.
    pub drain_timeout: Span,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = |n| Span(std::time::Duration::from_secs(n));
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            listen_proxy_protocol: Vec::new(),
            admin_listen: None,
            public_url: None,
            hosts: Vec::new(),
            trusted_proxies: vec!["127.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")],
            forwarded_by: ForwardedBy::Auto,
            mirror_pages: true,
            max_connections: 20_000,
            max_queue_delay: Span(std::time::Duration::from_millis(20)),
            header_timeout: seconds(10),
            idle_timeout: seconds(60),
            write_timeout: seconds(60),
            max_header_size: ByteSize(16 * 1024),
            drain_timeout: seconds(30),
        }
    }
}
