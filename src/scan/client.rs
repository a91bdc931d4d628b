//! The HTTP clients that mirrors are asked with: who we say we are, how long we wait, whom we trust, whom we connect to.
//!
//! Redirects are not followed here (`session` does, within the mirror's own URLs), proxies of the environment are not
//! used, cookies are not kept.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use super::etiquette::{Etiquette, Manners};
use super::{Settings, reach};
use crate::cause::chain;
use crate::model::Mirror;

/// Clients for all mirrors of an instance; cheap to clone, and its clones share their connections.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For listings: takes compressed pages.
    pub(super) pages: reqwest::Client,
    /// For questions about files: what the server says about lengths is not touched.
    pub(super) files: reqwest::Client,
    /// What mirrors want of those who ask them.
    pub(super) etiquette: Arc<Etiquette>,
    /// Whether mirrors may be in our own network.
    pub(super) allow_private_addresses: bool,
    /// What clients for one version of the Internet Protocol are made from, when somebody wants them.
    single: Arc<Single>,
}

/// Clients that use addresses of one version of the Internet Protocol only, and look at certificates.
#[derive(Debug)]
struct Single {
    settings: Settings,
    agent: String,
    made: [OnceLock<reqwest::Client>; 2],
}

/// A version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip {
    /// 32 bits.
    V4,
    /// 128 bits.
    V6,
}

impl Ip {
    /// Whether an address is one of these.
    #[must_use]
    pub fn has(self, address: &IpAddr) -> bool {
        address.to_canonical().is_ipv6() == (self == Self::V6)
    }
}

/// Why there are no clients.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The contact can't stand in a header.
    #[error("scan.contact {0:?} can't be sent in a header; use a URL or a mail address")]
    Contact(String),
    /// The library refused.
    #[error("can't set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

impl Clients {
    /// Makes the clients. `contact` stands in the User-Agent when the settings name none.
    ///
    /// # Errors
    /// When the contact can't be sent.
    pub fn new(settings: &Settings, contact: Option<&str>) -> Result<Self, Error> {
        // Another part may have installed a provider first; all of them are ring.
        rustls::crypto::ring::default_provider().install_default().ok();
        let agent = user_agent(settings.contact.as_deref().or(contact))?;
        let builder = || configured(settings, &agent, None);
        let pages = build(&builder, true)?;
        let files = build(&builder, false)?;
        let etiquette = Arc::new(Etiquette::new(settings.requests_per_second));
        let allow_private_addresses = settings.allow_private_addresses;
        let single = Arc::new(Single { settings: settings.clone(), agent, made: Default::default() });
        Ok(Self { pages, files, etiquette, allow_private_addresses, single })
    }

    /// The same, with questions about files over one version of the Internet Protocol only.
    ///
    /// # Errors
    /// When the library refuses.
    pub(super) fn over(&self, version: Ip) -> Result<Self, Error> {
        let Single { settings, agent, made } = &*self.single;
        let cell = &made[usize::from(version == Ip::V6)];
        let files = match cell.get() {
            Some(client) => client.clone(),
            None => {
                let made = build(&|| configured(settings, agent, Some(version)).tls_info(true), false)?;
                cell.get_or_init(|| made).clone()
            }
        };
        Ok(Self { files, ..self.clone() })
    }

    /// How a mirror is treated by all who ask it.
    #[must_use]
    pub fn manners(&self, mirror: &Mirror) -> Arc<Manners> {
        self.etiquette.of(mirror)
    }
}

/// Connecting takes one round trip, or with loss and TLS a few: what takes longer than this is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A server that is silent for this long in the middle of an answer has stopped.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection is kept for the next question.
const IDLE: Duration = Duration::from_secs(20);

fn user_agent(contact: Option<&str>) -> Result<String, Error> {
    let version = env!("CARGO_PKG_VERSION");
    match contact {
        None => Ok(format!("redirector/{version}")),
        Some(contact) if contact.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'(' | b')')) => {
            Ok(format!("redirector/{version} (+{contact})"))
        }
        Some(contact) => Err(Error::Contact(contact.to_owned())),
    }
}

fn configured(settings: &Settings, agent: &str, only: Option<Ip>) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(agent)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout.0))
        .read_timeout(SILENCE.min(settings.timeout.0))
        .timeout(settings.timeout.0)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(settings.connections.max(1));
    let allow_private = settings.allow_private_addresses;
    if allow_private && only.is_none() { builder } else { builder.dns_resolver(Lookup { allow_private, only }) }
}

/// Builds one client. Without any certificates of the system, cleartext mirrors still work, and those over TLS are told to fail.
fn build(builder: &dyn Fn() -> reqwest::ClientBuilder, compressed: bool) -> Result<reqwest::Client, Error> {
    let finished = || if compressed { builder().gzip(true) } else { builder().no_gzip() };
    finished().build().or_else(|error| {
        tracing::warn!(error = %chain(&error), "no usable certificates on this system: mirrors can't be asked over TLS");
        finished().tls_certs_only([]).build().map_err(Error::Client)
    })
}

/// Looks names up, and leaves out the addresses of our own network unless they are allowed, and those of another version than the
/// wanted one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookup {
    pub(super) allow_private: bool,
    pub(super) only: Option<Ip>,
}

/// A name has no public address.
#[derive(Debug, thiserror::Error)]
#[error("{0} has only private addresses (scan.allow-private-addresses is off)")]
struct OnlyPrivate(String);

impl Lookup {
    /// The addresses of a name that may be used.
    ///
    /// # Errors
    /// When it has no address at all.
    pub(super) async fn addresses(self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        // Who wrote it into the file meant that; a redirect to such a name is not followed.
        let is_free = self.allow_private || reach::is_localhost(name);
        let is_wanted = |address: &IpAddr| self.only.is_none_or(|only| only.has(address));
        Ok(found.filter(|found| is_wanted(&found.ip()) && (is_free || reach::is_public(found.ip()))).collect())
    }
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = *self;
        Box::pin(async move {
            let usable = lookup.addresses(name.as_str()).await?;
            if usable.is_empty() {
                return Err(OnlyPrivate(name.as_str().to_owned()).into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_agent_names_whom_to_ask() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(user_agent(None).expect("fine"), format!("redirector/{version}"));
        let named = user_agent(Some("https://download.example/mirrors")).expect("fine");
        assert_eq!(named, format!("redirector/{version} (+https://download.example/mirrors)"));
        for contact in ["a b", "x\r\nHost: y", "a)b", "ü"] {
            assert!(user_agent(Some(contact)).is_err(), "{contact}");
        }
    }

    #[tokio::test]
    async fn a_name_of_our_own_network_is_not_connected_to() {
        let lookup = Lookup { allow_private: false, only: None };
        // Every resolver answers names that are literal addresses by themselves.
        let private = lookup.resolve("10.0.0.1".parse().expect("a name")).await;
        let Err(error) = private else { panic!("10.0.0.1 was let through") };
        assert!(error.to_string().contains("private"), "{error}");
        assert!(lookup.resolve("192.0.78.9".parse().expect("a name")).await.is_ok());
    }

    #[test]
    fn localhost_is_the_administrators_own_word() {
        for (name, own) in [("localhost", true), ("a.localhost.", true), ("LOCALHOST", true), ("localhost.example", false)] {
            assert_eq!(reach::is_localhost(name), own, "{name}");
        }
    }
}
