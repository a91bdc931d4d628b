//! `[[fallback]]`: a server that takes the clients that no mirror can take.

use serde::Deserialize;

use super::mirror::{host, http, https};
use crate::model::{BaseUrl, Continent, Country, MirrorName};
use crate::selection::Fallback;

/// `[[fallback]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FallbackSettings {
    /// Where clients are sent over TLS.
    #[serde(default, deserialize_with = "https")]
    pub https: Option<BaseUrl>,
    /// Where clients are sent in the clear.
    #[serde(default, deserialize_with = "http")]
    pub http: Option<BaseUrl>,
    /// Whose clients come here first; with neither countries nor continents, everybody's.
    #[serde(default)]
    pub countries: Vec<Country>,
    /// Whose clients come here next.
    #[serde(default)]
    pub continents: Vec<Continent>,
}

impl FallbackSettings {
    /// The fallback mirror.
    #[must_use]
    pub fn complete(&self) -> Fallback {
        let Self { https, http, countries, continents } = self.clone();
        Fallback { name: self.name(), https, http, countries, continents }
    }

    /// The host as a name: an IPv6 address has `-` for each colon.
    fn name(&self) -> MirrorName {
        let host = self.https.as_ref().or(self.http.as_ref()).map_or("", |base| host(base.authority()));
        let letter = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        let name: String = host.chars().map(letter).take(64).collect();
        MirrorName::parse(&name).unwrap_or_else(|_| MirrorName::parse("fallback").expect("it is a name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_is_called_as_its_host_is() {
        for (url, name) in [
            ("http://cdn.example/pub/", "cdn.example"),
            ("http://127.0.0.1:8080/", "127.0.0.1"),
            ("http://[2001:db8::1]:80/", "2001-db8--1"),
        ] {
            let settings: FallbackSettings = toml::from_str(&format!("http = '{url}'")).expect("settings");
            assert_eq!(settings.complete().name.as_str(), name, "{url}");
        }
    }
}
