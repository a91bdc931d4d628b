//! Where mirrors are: the addresses of their hosts by DNS, the places of the addresses by GeoIP.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::config::{Config, MirrorSettings};
use crate::geo::Locator;
use crate::model::Place;

/// The addresses of mirrors' hosts, as they were last found. A name that can't be looked up keeps the address that it had,
/// so that a name server that is down takes no mirror out of its country.
#[derive(Debug, Default)]
pub struct Addresses(Mutex<HashMap<String, IpAddr>>);

/// How long one name may take to look up; a mirror whose name does not resolve in time has no place for now.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// Names that are looked up at once.
const LOOKUPS: usize = 32;

impl Addresses {
    /// The places of the mirrors' hosts, as far as they are known without asking anybody.
    #[must_use]
    pub fn places(&self, config: &Config, locator: &Locator) -> HashMap<String, Place> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = |host: &str| host.parse().ok().or_else(|| known.get(host).copied());
        let place = |mirror: &MirrorSettings| Some((mirror.host().to_owned(), locator.locate(address(mirror.host())?)));
        config.mirrors.iter().filter_map(place).collect()
    }

    /// Looks up all names. True if that was possible for each.
    pub async fn look_up(&self, config: &Config) -> bool {
        let hosts = config.mirrors.iter().map(|mirror| mirror.host().to_owned());
        let names: Vec<String> = hosts.filter(|host| host.parse::<IpAddr>().is_err()).collect();
        let lookups = stream::iter(names).map(|host| async move {
            let address = resolve(&host).await;
            (host, address)
        });
        let found: Vec<(String, Option<IpAddr>)> = lookups.buffer_unordered(LOOKUPS).collect().await;
        let is_complete = found.iter().all(|(_, address)| address.is_some());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|host, _| found.iter().any(|(name, _)| name == host));
        known.extend(found.into_iter().filter_map(|(host, address)| Some((host, address?))));
        is_complete
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn a_mirror_whose_name_can_not_be_looked_up_any_more_stays_where_it_was() {
        // No name server is asked for a label of more than 63 letters.
        let name = format!("{}.example", "a".repeat(70));
        let text = format!("[tree]\npublic = \"tree\"\n[[mirror]]\nname = \"one\"\nhttp = \"http://{name}/\"\n");
        let mut config = Config::parse(Path::new("test.toml"), text).expect("good");
        let (locator, _) = Locator::open(&config.geoip).expect("the built-in databases");
        let addresses = Addresses::default();
        assert!(!addresses.look_up(&config).await);
        assert!(addresses.places(&config, &locator).is_empty());

        let found = "8.8.8.8".parse().expect("an address");
        addresses.0.lock().expect("nobody panicked").insert(name.clone(), found);
        assert!(!addresses.look_up(&config).await);
        assert_eq!(addresses.places(&config, &locator).get(&name), Some(&locator.locate(found)));

        config.mirrors.clear();
        assert!(addresses.look_up(&config).await);
        assert!(addresses.0.lock().expect("nobody panicked").is_empty(), "a host that left is forgotten");
    }
}
