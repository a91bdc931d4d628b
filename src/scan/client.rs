//! The HTTP clients that mirrors are asked with: who we say we are, how long we wait, whom we trust, whom we connect to.
//!
//! Redirects are not followed here (`session` does, within the mirror's own URLs), proxies of the environment are not
//! used, cookies are not kept.

use std::net::SocketAddr;
use std::sync::Arc;
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
        let builder = || configured(settings, &agent);
        let pages = build(&builder, true)?;
        let files = build(&builder, false)?;
        let etiquette = Arc::new(Etiquette::new(settings.requests_per_second));
        Ok(Self { pages, files, etiquette, allow_private_addresses: settings.allow_private_addresses })
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

fn configured(settings: &Settings, agent: &str) -> reqwest::ClientBuilder {
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
    if settings.allow_private_addresses { builder } else { builder.dns_resolver(PublicOnly) }
}

/// Builds one client. Without any certificates of the system, cleartext mirrors still work, and those over TLS are told to fail.
fn build(builder: &dyn Fn() -> reqwest::ClientBuilder, compressed: bool) -> Result<reqwest::Client, Error> {
    let finished = || if compressed { builder().gzip(true) } else { builder().no_gzip() };
    finished().build().or_else(|error| {
        tracing::warn!(error = %chain(&error), "no usable certificates on this system: mirrors can't be asked over TLS");
        finished().tls_certs_only([]).build().map_err(Error::Client)
    })
}

/// Looks names up, and leaves out the addresses of our own network.
#[derive(Debug)]
struct PublicOnly;

/// A name has no public address.
#[derive(Debug, thiserror::Error)]
#[error("{0} has only private addresses (scan.allow-private-addresses is off)")]
struct OnlyPrivate(String);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            // Who wrote it into the file meant that; a redirect to such a name is not followed.
            let is_own_word = reach::is_localhost(&name);
            let public: Vec<SocketAddr> = found.filter(|address| is_own_word || reach::is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(OnlyPrivate(name).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
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
        // Every resolver answers names that are literal addresses by themselves.
        let private = PublicOnly.resolve("10.0.0.1".parse().expect("a name")).await;
        let Err(error) = private else { panic!("10.0.0.1 was let through") };
        assert!(error.to_string().contains("private"), "{error}");
        assert!(PublicOnly.resolve("192.0.78.9".parse().expect("a name")).await.is_ok());
    }

    #[test]
    fn localhost_is_the_administrators_own_word() {
        for (name, own) in [("localhost", true), ("a.localhost.", true), ("LOCALHOST", true), ("localhost.example", false)] {
            assert_eq!(reach::is_localhost(name), own, "{name}");
        }
    }
}
