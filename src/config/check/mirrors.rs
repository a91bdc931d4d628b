//! Mirrors that can't be used, that are meant otherwise, or that are ourselves.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Finding, Severity};
use crate::config::{Config, MirrorSettings, is_inside, mirror::host};
use crate::model::{BaseUrl, Country, Only, Point, Protocol, Scheme};

pub(super) fn alone(config: &Config, findings: &mut Vec<Finding>) {
    let nobody = match config.mirrors.len() {
        0 => Some("there are no mirrors"),
        _ if config.mirrors.iter().all(|mirror| !mirror.enabled) => Some("all mirrors are disabled"),
        _ => None,
    };
    if let Some(text) = nobody {
        findings.push(Finding::new(Severity::Warning, config, "mirror[0]", text, "every file is served from here"));
    }
    for (index, mirror) in config.mirrors.iter().enumerate() {
        let mut one = One { config, mirror, index, findings };
        one.reach();
        one.ways();
        one.clients();
        one.place();
    }
}

struct One<'a> {
    config: &'a Config,
    mirror: &'a MirrorSettings,
    index: usize,
    findings: &'a mut Vec<Finding>,
}

impl One<'_> {
    fn tell(&mut self, severity: Severity, key: &str, text: &str, advice: &str) {
        let full = format!("mirror[{}].{key}", self.index);
        let text = format!("{}: {text}", self.mirror.name);
        self.findings.push(Finding::new(severity, self.config, &full, text, advice));
    }

    /// Where it is asked, and whether that is somebody else.
    fn reach(&mut self) {
        for (key, base) in bases(self.mirror) {
            match ourselves(self.config, base) {
                Some(true) => {
                    self.tell(
                        Severity::Error,
                        key,
                        &format!("{base} is this server"),
                        "clients would be sent in a circle; remove it",
                    );
                }
                Some(false) => self.tell(
                    Severity::Warning,
                    key,
                    &format!("{base} is on this server's own host"),
                    "it takes no load off this machine, if that is what answers there",
                ),
                None => {}
            }
            if is_private(base) && !self.config.scan.allow_private_addresses {
                let advice = "clients elsewhere can't go there; fine for a site that serves its own network only (scan.allow-private-addresses = true says so)";
                self.tell(Severity::Hint, key, &format!("{base} is in a private network"), advice);
            }
        }
        let by_https = self.config.server.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
        if self.mirror.https.is_none() && by_https && self.mirror.enabled {
            let advice = "clients that come by https are never sent to plain http, and server.public-url says that they do";
            self.tell(Severity::Warning, "http", "it has no `https`", advice);
        }
    }

    /// Whether the ways to scan it can be gone.
    fn ways(&mut self) {
        let mirror = self.mirror;
        let ways = [
            (Protocol::Rsync, "rsync", &mirror.rsync, "rsync-password-file", &mirror.rsync_password_file),
            (Protocol::Ftp, "ftp", &mirror.ftp, "ftp-password-file", &mirror.ftp_password_file),
        ];
        for (way, key, url, secret_key, secret) in ways {
            let named = mirror.scan_by.contains(&way);
            if named && url.is_none() {
                self.tell(
                    Severity::Error,
                    "scan-by",
                    &format!("it names {way}, and there is no `{key}`"),
                    &format!("write `{key}`"),
                );
            }
            if !mirror.scan_by.is_empty() && !named && url.is_some() {
                let advice = "add it to `scan-by`, or leave one of the two out";
                self.tell(Severity::Hint, key, &format!("`{key}` is not used: `scan-by` does not name it"), advice);
            }
            let Some(url) = url else {
                if secret.is_some() {
                    self.tell(Severity::Warning, secret_key, &format!("there is no `{key}` that it is for"), "remove it");
                }
                continue;
            };
            if secret.is_some() && !url.contains('@') {
                let advice = &format!("write the user into `{key}`, as in {way}://user@host/");
                self.tell(Severity::Warning, secret_key, &format!("it is a password, and `{key}` has no user"), advice);
            }
            if way == Protocol::Ftp && secret.is_some() && url.starts_with("ftp://") {
                let advice = "anybody on the way can read it; use ftps:// where the server knows it";
                self.tell(Severity::Hint, key, "the password is sent in the clear", advice);
            }
        }
    }

    /// Whether there is anybody whom it serves.
    fn clients(&mut self) {
        let mirror = self.mirror;
        if mirror.only == Some(Only::Network) && mirror.networks.is_empty() {
            self.tell(Severity::Error, "only", "it serves its own networks only, and has none", "write `networks`");
        }
        let excluded = mirror.country.filter(|country| mirror.exclude_countries.contains(country));
        if let (Some(country), Some(Only::Country)) = (excluded, mirror.only) {
            let text = format!("it serves its own country only, and excludes it ({country})");
            self.tell(Severity::Error, "exclude-countries", &text, "nobody is left");
        }
        let named: [(&str, &[Country]); 3] = [
            ("country", mirror.country.as_slice()),
            ("also-countries", &mirror.also_countries),
            ("exclude-countries", &mirror.exclude_countries),
        ];
        for (key, countries) in named {
            for country in countries.iter().filter(|country| country.name().is_none()) {
                let advice = match country.as_str() {
                    "uk" => "the United Kingdom is gb",
                    "en" => "England is in gb",
                    "eu" => "Europe is a continent: continent = \"eu\"",
                    _ => "see ISO 3166-1 for the two letters of each country",
                };
                self.tell(Severity::Warning, key, &format!("no country has the code {country}"), advice);
            }
        }
    }

    /// Whether it is where it says it is.
    fn place(&mut self) {
        let mirror = self.mirror;
        let Some(country) = mirror.country else { return };
        if let (Some(written), Some(known)) = (mirror.continent, country.continent())
            && written != known
        {
            let text = format!("{country} is not on the continent {written}, but on {known}");
            self.tell(Severity::Warning, "continent", &text, "leave `continent` out: the country tells it");
        }
        let point = mirror.latitude.zip(mirror.longitude).and_then(|(latitude, longitude)| Point::new(latitude, longitude));
        if let (Some(point), Some(main)) = (point, country.point())
            && point.distance_km(main) > FAR_RADII.mul_add(country.radius_km(), FAR_KM)
        {
            let text = format!(
                "{}, {} is {:.0} km from {country}'s main city",
                point.latitude,
                point.longitude,
                point.distance_km(main)
            );
            self.tell(Severity::Warning, "latitude", &text, "are the two swapped, or is a sign missing?");
        }
    }
}

/// Hawaii is 4.6 of the country's radii from New York and belongs to it; Siberia is far from Moscow, too.
const FAR_RADII: f64 = 4.0;
/// So is many a small country's island.
const FAR_KM: f64 = 1500.0;

/// Mirrors at one address: two names for one, or two trees for which one was copied and not changed.
pub(super) fn together(configs: &[Config], findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<String, (&Config, &MirrorSettings)> = BTreeMap::new();
    for config in configs {
        for (index, mirror) in config.mirrors.iter().enumerate() {
            for (key, base) in bases(mirror) {
                let (other, twin) = *seen.entry(normal(base)).or_insert((config, mirror));
                if std::ptr::eq(twin, mirror) {
                    continue;
                }
                let full = format!("mirror[{index}].{key}");
                let (whose, advice) = if other.path == config.path {
                    (String::new(), "one server under two names gets two shares")
                } else {
                    (
                        format!(" of instance `{}`", other.name),
                        "one URL can't carry two trees; did you copy it and forget to change it?",
                    )
                };
                let text = format!("{}: {base} is the URL of `{}`{whose} too", mirror.name, twin.name);
                findings.push(Finding::new(Severity::Warning, config, &full, text, advice));
            }
        }
    }
}

fn bases(mirror: &MirrorSettings) -> impl Iterator<Item = (&'static str, &BaseUrl)> {
    [("https", mirror.https.as_ref()), ("http", mirror.http.as_ref())].into_iter().filter_map(|(key, base)| Some((key, base?)))
}

/// One spelling for each URL: host in lower case, no port that goes without saying (RFC 3986 section 6.2).
fn normal(base: &BaseUrl) -> String {
    let (host, port) = host_and_port(base);
    format!("{host}:{port}{}", path(base))
}

fn path(base: &BaseUrl) -> &str {
    let rest = base.as_str().split_once("://").map_or("", |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

fn host_and_port(base: &BaseUrl) -> (String, u16) {
    let authority = base.authority();
    let name = host(authority).to_ascii_lowercase();
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    (name, port.unwrap_or(if base.scheme() == Scheme::Https { 443 } else { 80 }))
}

/// Whether a mirror's URL leads to this instance (`Some(true)`), or at least to its host (`Some(false)`).
pub(super) fn ourselves(config: &Config, base: &BaseUrl) -> Option<bool> {
    let (name, port) = host_and_port(base);
    let server = &config.server;
    let public =
        server.public_url.as_deref().and_then(|url| url.split_once("://")).map(|(_, rest)| host(rest.trim_end_matches('/')));
    let named = public.into_iter().chain(server.hosts.iter().map(String::as_str)).any(|ours| ours.eq_ignore_ascii_case(&name));
    let address: Option<IpAddr> = if name == "localhost" { Some([127, 0, 0, 1].into()) } else { name.parse().ok() };
    let listened = server.listen.iter().any(|listen| {
        let here = |ip: IpAddr| ip == listen.ip() || (listen.ip().is_unspecified() && ip.is_loopback());
        listen.port() == port && address.is_some_and(here)
    });
    let prefix = config.tree.prefix.encoded();
    let below = path(base).starts_with(prefix.as_str());
    (named || listened).then_some(listened || below)
}

fn is_private(base: &BaseUrl) -> bool {
    let (name, _) = host_and_port(base);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| is_inside(ip) && !ip.is_unspecified())
}
