//! Where mirrors are: the addresses of their hosts by DNS, the places of the addresses by GeoIP.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::config::{Config, MirrorSettings};
use crate::geo::Locator;
use crate::model::Place;

/// How long one name may take to look up; a mirror whose name does not resolve in time has no place for now.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// Names that are looked up at once.
const LOOKUPS: usize = 32;

/// The places of hosts that are written as addresses: nothing has to be asked for them.
#[must_use]
pub fn of_literals(config: &Config, locator: &Locator) -> HashMap<String, Place> {
    let literal = |mirror: &MirrorSettings| Some((mirror.host().to_owned(), mirror.host().parse::<IpAddr>().ok()?));
    config.mirrors.iter().filter_map(literal).map(|(host, address)| (host, locator.locate(address))).collect()
}

/// The places of all mirrors' hosts, as far as their names can be looked up.
pub async fn of_mirrors(config: &Config, locator: &Locator) -> HashMap<String, Place> {
    let mut places = of_literals(config, locator);
    let names: Vec<String> =
        config.mirrors.iter().map(|mirror| mirror.host().to_owned()).filter(|host| !places.contains_key(host)).collect();
    let found = stream::iter(names).map(|host| async move {
        let address = resolve(&host).await?;
        Some((host, address))
    });
    let found: Vec<(String, IpAddr)> = found.buffer_unordered(LOOKUPS).filter_map(std::future::ready).collect().await;
    places.extend(found.into_iter().map(|(host, address)| (host, locator.locate(address))));
    places
}

/// The first address of a name, IPv4 before IPv6: databases know more about it.
async fn resolve(host: &str) -> Option<IpAddr> {
    let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, 443)));
    match lookup.await {
        Ok(Ok(addresses)) => {
            let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
            addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
        }
        Ok(Err(error)) => {
            tracing::debug!(host, %error, "the mirror's name can't be looked up");
            None
        }
        Err(_) => {
            tracing::debug!(host, "the mirror's name could not be looked up in time");
            None
        }
    }
}
