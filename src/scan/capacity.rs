//! What a mirror can do for clients, tried: parts of files, the ends of large files, both versions of the Internet Protocol, and
//! until when its certificate is good.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::CONTENT_RANGE;
use reqwest::{StatusCode, Url};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::answer::{Answer, Failure, text};
use super::client::{Clients, Ip, Lookup};
use super::limits::Limits;
use super::matching::{Before, Verdict, Wanted, judge_copy};
use super::part::Part;
use super::session::{Session, is_end_of};
use crate::clock::Clock;
use crate::model::{BaseUrl, FileRecord, Mirror, Ranges, Reached, TreePath};

/// What it takes to try something.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The clients.
    pub clients: &'a Clients,
    /// The mirror.
    pub mirror: &'a Mirror,
    /// How long each answer may take.
    pub timeout: Duration,
    /// For `Retry-After`.
    pub clock: &'a Clock,
}

impl<'a> Trial<'a> {
    fn session(&self, clients: &Clients, base: &BaseUrl, retries: u32) -> Session {
        let limits = Limits { retries, ..Limits::default() };
        Session::new(clients, self.mirror, base, 1, &limits, self.clock)
    }

    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.timeout, answer).await.ok()
    }

    /// Asks for a part of a file over each of these URLs; the first one that ignores that counts.
    pub async fn ranges(&self, bases: &[&'a BaseUrl], file: &FileRecord) -> Ranges {
        let mut ranges = Ranges::Unknown;
        for base in bases {
            let session = self.session(self.clients, base, 0);
            match self.in_time(session.look_for_ranges(&file.path, file.fingerprint.size)).await {
                Some(Ranges::Ignored) => return Ranges::Ignored,
                Some(Ranges::Kept) => ranges = Ranges::Kept,
                Some(Ranges::Unknown) | None => {}
            }
        }
        ranges
    }

    /// Asks for a part of a file over one of the mirror's URLs. `None`: it did not come.
    pub async fn part(&self, base: &BaseUrl, path: &TreePath<'_>, part: Part) -> Option<Vec<u8>> {
        self.in_time(self.session(self.clients, base, 0).part(path, part)).await.flatten()
    }

    /// Asks for the last bytes of a large file over each of these URLs.
    ///
    /// # Errors
    /// What was wrong, when something else came. `Ok(false)`: it can't be told.
    pub async fn end_of(&self, bases: &[&'a BaseUrl], file: &FileRecord) -> Result<bool, String> {
        let mut told = false;
        for base in bases {
            let session = self.session(self.clients, base, 1);
            let size = file.fingerprint.size;
            let Some(answer) = self.in_time(session.look_at_end(&file.path, size)).await else { continue };
            let wrong = |what: String| Err(format!("{base}{}: {what}", file.path.encoded()));
            match answer {
                Ok(response) if response.status() == StatusCode::PARTIAL_CONTENT => {
                    if !is_end_of(&response, size) {
                        let range = text(&response, &CONTENT_RANGE).unwrap_or_default();
                        return wrong(format!("asked for its last bytes, it sends {range:?}"));
                    }
                    told = true;
                }
                // The whole file instead: that it is whole would take a download.
                Ok(_) => {}
                Err(failure @ Failure::Status(StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::BAD_REQUEST)) => {
                    return wrong(format!("asked for its last bytes, {failure}"));
                }
                // A server that can't count so far may do anything; but so may one that has a bad day, or lacks the file.
                Err(failure @ (Failure::Status(StatusCode::INTERNAL_SERVER_ERROR) | Failure::Broken(_))) => {
                    let (wanted, head) = (wanted(file), self.in_time(session.look(&file.path)).await);
                    if matches!(head, Some(Answer::Copy(copy)) if judge_copy(&wanted, &copy) == Verdict::Holds) {
                        return wrong(format!("asked for its last bytes, {failure}"));
                    }
                }
                Err(_) => {}
            }
        }
        Ok(told)
    }

    /// Asks for a file (or the base URL itself) over both versions of the Internet Protocol, IPv4 first, and looks at the
    /// certificate meanwhile. One that fails counts only while the other one works.
    pub async fn reached(&self, base: &BaseUrl, file: Option<&FileRecord>) -> ([Reached; 2], Option<Timestamp>) {
        let (v4, until) = self.reached_over(Ip::V4, base, file).await;
        let (v6, until_6) = self.reached_over(Ip::V6, base, file).await;
        let works = [v4, v6].contains(&Attempt::Answers);
        let said = |attempt: Attempt| match attempt {
            Attempt::Answers => Reached::Yes,
            Attempt::NoAddress => Reached::No,
            Attempt::Fails if works => Reached::No,
            Attempt::Fails | Attempt::Impossible => Reached::Unknown,
        };
        ([said(v4), said(v6)], until.or(until_6))
    }

    async fn reached_over(&self, ip: Ip, base: &BaseUrl, file: Option<&FileRecord>) -> (Attempt, Option<Timestamp>) {
        let lookup = Lookup { allow_private: self.clients.allow_private_addresses, only: Some(ip) };
        let addresses = match addresses(lookup, base).await {
            Some(addresses) if addresses.is_empty() => return (Attempt::NoAddress, None),
            Some(addresses) => addresses,
            None => return (Attempt::Impossible, None),
        };
        if !addresses.iter().any(|address| has_route(*address)) {
            return (Attempt::Impossible, None);
        }
        let Ok(clients) = self.clients.over(ip) else { return (Attempt::Impossible, None) };
        let session = self.session(&clients, base, 1);
        let answer = match file {
            Some(file) => self.in_time(session.look(&file.path)).await,
            None => self.in_time(session.look_at_base()).await,
        };
        let attempt = match (answer, file) {
            (Some(Answer::Copy(copy)), Some(file)) if judge_copy(&wanted(file), &copy) == Verdict::Mismatched => Attempt::Fails,
            (Some(Answer::Copy(_)), _) | (Some(Answer::Missing | Answer::Unclear(Failure::Status(_))), None) => {
                Attempt::Answers
            }
            // That we ask too much says nothing about clients.
            (Some(Answer::Unclear(Failure::LeftAlone | Failure::Status(StatusCode::TOO_MANY_REQUESTS))), _) => {
                Attempt::Impossible
            }
            _ => Attempt::Fails,
        };
        (attempt, session.certificate().and_then(good_until))
    }
}

/// What came of a question over one version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Answers,
    /// The mirror's name stands for no such address.
    NoAddress,
    Fails,
    /// It can't be tried from here, or not now.
    Impossible,
}

fn wanted(file: &FileRecord) -> Wanted {
    Wanted::of(&file.into(), Before::Confirmed)
}

/// The addresses of a URL's host; `None` when they can't be looked up.
async fn addresses(lookup: Lookup, base: &BaseUrl) -> Option<Vec<SocketAddr>> {
    let url = Url::parse(base.as_str()).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    if let Ok(literal) = host.parse::<IpAddr>() {
        let is_wanted = lookup.only.is_none_or(|only| only.has(&literal));
        return Some(is_wanted.then_some(SocketAddr::new(literal, 0)).into_iter().collect());
    }
    lookup.addresses(host).await.ok()
}

/// Whether this machine has a way to an address, by its own tables: nothing is sent.
fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Port 9 is for what is thrown away (RFC 863).
    UdpSocket::bind(any).and_then(|socket| socket.connect(SocketAddr::new(address.ip(), 9))).is_ok()
}

/// Until when a certificate (DER) is good.
fn good_until(certificate: &[u8]) -> Option<Timestamp> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let until = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Timestamp::from_second(i64::try_from(until.as_secs()).ok()?).ok()
}
