//! Values that are well written and still can't be meant: nothing where something is needed, more than can be.

use std::collections::BTreeMap;
use std::time::Duration;

use super::MirrorSettings;
use super::section::Reading;
use crate::hash::{MAX_PIECE_BYTES, MIN_PIECE_BYTES};
use crate::model::{Point, Span, is_host};
use crate::tree::{self, ApplicationAccess, Hidden};
use crate::{format, hash, http, inventory, probe, scan};

/// Mirrors are told apart by 16-bit numbers in memory; no site has a tenth of this.
const MAX_MIRRORS: usize = 10_000;
/// Every magnet link names all of them.
const MAX_TRACKERS: usize = 32;
/// A share beyond a million to one is a slip.
const MAX_SCORE: u32 = 1_000_000;
/// More at once than this helps no scan, and looks like an attack to mirrors.
const MAX_PARALLEL: usize = 1_000;
/// More questions a second than this are more than a server answers.
const MAX_REQUESTS_PER_SECOND: usize = 100_000;
/// Oftener than this, watching a mirror is a burden to it.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Rarer, or older, than this is a slip in the unit; and times that far away can't be reckoned with.
const MAX_AGE: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
/// More threads than this read slower than fewer, from any disk.
const MAX_HASH_THREADS: usize = 256;
/// The largest file for which block sums may be made: all of them are in memory at a time, and in one row of the database.
const MAX_ZSYNC_BYTES: u64 = 128 << 30;
/// Longer than this, nobody waits: a slip in the unit.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// What is wrong with a section's values, told at their place.
pub(super) struct Values<'a, 'r> {
    reading: &'a mut Reading<'r>,
    label: String,
}

impl Values<'_, '_> {
    pub(super) fn require(&mut self, key: &str, good: bool, text: impl FnOnce() -> String) {
        if !good {
            let full = format!("{}.{key}", self.label);
            let span = self.reading.source.span(&full).unwrap_or(0..0);
            let section = self.label.split('[').next().unwrap_or("");
            self.reading.problem(span, format!("{section}.{key}: {}", text()), None);
        }
    }

    /// As [`Self::require`], of one entry of a list.
    fn require_entry(&mut self, key: &str, index: usize, good: bool, text: impl FnOnce() -> String) {
        if !good {
            let list = format!("{}.{key}", self.label);
            let span = self.reading.source.span(&format!("{list}[{index}]")).unwrap_or(0..0);
            self.reading.problem(span, format!("{list}: {}", text()), None);
        }
    }

    /// Whether something was told of a key already.
    fn was_told(&self, key: &str) -> bool {
        let start = format!("{}.{key}:", self.label);
        self.reading.problems.iter().any(|problem| problem.text.starts_with(&start))
    }

    /// Whether the file says something about a key, good or bad: what is bad has been told.
    pub(super) fn has(&self, key: &str) -> bool {
        self.reading.source.has(&format!("{}.{key}", self.label))
    }

    fn interval(&mut self, key: &str, span: Span) {
        self.require(key, span.0 >= MIN_INTERVAL, || format!("{span} is too often; at least 1s"));
        self.age(key, span);
    }

    pub(super) fn age(&mut self, key: &str, span: Span) {
        self.require(key, span.0 <= MAX_AGE, || format!("{span} is longer than ten years"));
    }

    fn timeout(&mut self, key: &str, span: Span) {
        self.require(key, !span.0.is_zero(), || "no time at all; nothing would ever be done within it".to_owned());
        self.require(key, span.0 <= MAX_TIMEOUT, || format!("{span} is longer than a day"));
    }

    fn count(&mut self, key: &str, number: usize, most: usize) {
        self.require(key, (1..=most).contains(&number), || format!("{number} is not between 1 and {most}"));
    }
}

pub(super) fn values<'a, 'r>(reading: &'a mut Reading<'r>, label: &str) -> Values<'a, 'r> {
    Values { reading, label: label.to_owned() }
}

pub(super) fn server(reading: &mut Reading<'_>, settings: &http::Settings) {
    let mut server = values(reading, "server");
    let listens = settings.listen.len() + settings.listen_proxy_protocol.len();
    let was_told = server.was_told("listen") || server.was_told("listen-proxy-protocol");
    server.require("listen", listens > 0 || was_told, || "nothing is listened to".to_owned());
    server.count("max-connections", settings.max_connections, 10_000_000);
    server.require("max-queue-delay", settings.max_queue_delay.0 <= MAX_TIMEOUT, || "longer than a day".to_owned());
    server.timeout("header-timeout", settings.header_timeout);
    server.timeout("idle-timeout", settings.idle_timeout);
    server.timeout("write-timeout", settings.write_timeout);
    server.require("drain-timeout", settings.drain_timeout.0 <= MAX_TIMEOUT, || "longer than a day".to_owned());
    let header = settings.max_header_size;
    // hyper's own least; and a megabyte for each of many connections is a way to run out of memory.
    server.require("max-header-size", (8192..=1 << 20).contains(&header.0), || {
        format!("{header} is not between 8 KiB and 1 MiB")
    });
    if let Some(url) = &settings.public_url {
        server.require("public-url", is_origin(url), || {
            format!("{url:?} is not scheme, host and perhaps port alone, like \"https://download.example.org\"")
        });
    }
    for (index, host) in settings.hosts.iter().enumerate() {
        server.require_entry("hosts", index, is_bare_host(host), || {
            format!("{host:?} is no host name; write it without scheme and port")
        });
    }
}

pub(super) fn tree(reading: &mut Reading<'_>, settings: &tree::Settings) {
    let mut tree = values(reading, "tree");
    tree.interval("walk-interval", settings.walk_interval);
    tree.age("min-age", settings.min_age);
    for (key, span) in [("settle", settings.settle), ("settle-shrunken", settings.settle_shrunken)] {
        tree.require(key, span.0 <= MAX_TIMEOUT, || format!("{span} is longer than a day"));
    }
    let folders = [("public", Some(&settings.public)), ("application", settings.application.as_ref())];
    for (key, folder) in folders {
        tree.require(key, folder.is_none_or(|folder| !folder.as_os_str().is_empty()), || "an empty path".to_owned());
    }
    let signed = settings.application_access == ApplicationAccess::Signed;
    let has_key = tree.has("application-key-file");
    tree.require("application-access", !signed || has_key, || {
        "\"signed\" needs `application-key-file`, the key that links are signed with".to_owned()
    });
    for (index, pattern) in settings.hidden.iter().enumerate() {
        if let Err((pattern, why)) = Hidden::parse([pattern.as_str()]) {
            tree.require_entry("hidden", index, false, || format!("{pattern:?} hides nothing: {why}"));
        }
    }
}

pub(super) fn describe(reading: &mut Reading<'_>, settings: &format::Settings) {
    let mut describe = values(reading, "describe");
    let is_url = |url: &str, schemes: &[&str]| {
        let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)?.strip_prefix("://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) && url.bytes().all(|byte| byte.is_ascii_graphic())
    };
    for tracker in &settings.trackers {
        describe.require("trackers", is_url(tracker, &["http", "https", "udp", "wss"]), || {
            format!("{tracker:?} is no tracker's URL, like \"udp://tracker.example:6969/announce\"")
        });
    }
    let many = settings.trackers.len().max(settings.dht_nodes.len());
    describe.require("trackers", many <= MAX_TRACKERS, || format!("{many} trackers or nodes; {MAX_TRACKERS} is the most"));
    if let Some(url) = &settings.publisher_url {
        describe.require("publisher-url", is_url(url, &["http", "https"]), || format!("{url:?} is no URL of a page"));
    }
}

pub(super) fn inventory(reading: &mut Reading<'_>, settings: &inventory::Settings) {
    let text = settings.database.to_string_lossy();
    let mut inventory = values(reading, "inventory");
    inventory.require("database", !text.is_empty(), || "an empty path".to_owned());
    inventory.require("database", !text.contains("://"), || {
        format!("{text:?} is a URL; this version keeps its inventory in a file")
    });
}

pub(super) fn hash(reading: &mut Reading<'_>, settings: &hash::Settings) {
    let mut hash = values(reading, "hash");
    if let Some(threads) = settings.threads {
        hash.count("threads", threads, MAX_HASH_THREADS);
    }
    let length = settings.piece_length;
    let good = length.0.is_power_of_two() && (MIN_PIECE_BYTES..=MAX_PIECE_BYTES).contains(&length.0);
    hash.require("piece-length", good, || format!("{length} is not a power of two between 16 KiB and 64 MiB"));
    hash.require("max-pieces", settings.max_pieces != Some(0), || "every file has a piece, but for empty ones".to_owned());
    let (least, most) = (settings.zsync_min_size, settings.zsync_max_size);
    hash.require("zsync-max-size", most.0 <= MAX_ZSYNC_BYTES, || {
        format!("{most} is more than 128 GiB; block sums of such a file fill hundreds of megabytes")
    });
    hash.require("zsync-max-size", !settings.zsync || least <= most, || format!("less than zsync-min-size ({least})"));
}

pub(super) fn scan(reading: &mut Reading<'_>, settings: &scan::Settings) {
    let mut scan = values(reading, "scan");
    scan.interval("interval", settings.interval);
    scan.count("parallel", settings.parallel, MAX_PARALLEL);
    scan.count("connections", settings.connections, 64);
    scan.count("requests-per-second", settings.requests_per_second as usize, MAX_REQUESTS_PER_SECOND);
    scan.timeout("timeout", settings.timeout);
    let contact = settings.contact.as_deref().unwrap_or("");
    let good = contact.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '(' | ')' | '\\'));
    scan.require("contact", good, || format!("{contact:?} can't stand in a header; write a URL or a mail address"));
}

pub(super) fn probe(reading: &mut Reading<'_>, settings: &probe::Settings) {
    let mut probe = values(reading, "probe");
    probe.interval("interval", settings.interval);
    probe.timeout("timeout", settings.timeout);
    probe.count("failures", settings.failures as usize, 1000);
    probe.count("successes", settings.successes as usize, 1000);
}

pub(super) fn mirrors(reading: &mut Reading<'_>, mirrors: &[(usize, MirrorSettings)]) {
    let many = mirrors.len() > MAX_MIRRORS;
    values(reading, "mirror[0]").require("name", !many, || format!("{} mirrors; {MAX_MIRRORS} is the most", mirrors.len()));
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, settings) in mirrors {
        mirror(&mut values(reading, &format!("mirror[{index}]")), settings);
        let first = *names.entry(settings.name.as_str().to_ascii_lowercase()).or_insert(*index);
        if first != *index {
            let line = reading.source.position(&format!("mirror[{first}].name")).map_or(0, |at| at.line);
            let text = format!("the name `{}` is taken already, in line {line}", settings.name);
            values(reading, &format!("mirror[{index}]")).require("name", false, || text);
        }
    }
}

fn mirror(mirror: &mut Values<'_, '_>, settings: &MirrorSettings) {
    let (latitude, longitude) = (settings.latitude, settings.longitude);
    let (has_latitude, has_longitude) = (mirror.has("latitude"), mirror.has("longitude"));
    let has_base = mirror.has("https") || mirror.has("http");
    mirror.require("name", has_base, || "it has neither `https` nor `http`: nowhere to send clients".to_owned());
    mirror.require("score", settings.score <= MAX_SCORE, || format!("{} is more than {MAX_SCORE}", settings.score));
    mirror.require("latitude", !has_longitude || has_latitude, || "missing beside `longitude`".to_owned());
    mirror.require("longitude", !has_latitude || has_longitude, || "missing beside `latitude`".to_owned());
    if let Some(latitude) = latitude {
        mirror.require("latitude", Point::new(latitude, 0.0).is_some(), || format!("{latitude} is not between -90 and 90"));
    }
    if let Some(longitude) = longitude {
        mirror
            .require("longitude", Point::new(0.0, longitude).is_some(), || format!("{longitude} is not between -180 and 180"));
    }
    mirror.require("asn", settings.asn != Some(0), || "0 is no autonomous system (RFC 7607)".to_owned());
    mirror.require("max-file-size", settings.max_file_size.is_none_or(|size| size.0 > 0), || {
        "a mirror for empty files only".to_owned()
    });
    mirror.require("requests-per-second", settings.requests_per_second != Some(0), || "it could never be asked".to_owned());
    let both = settings.also_countries.iter().find(|country| settings.exclude_countries.contains(country));
    mirror.require("also-countries", both.is_none(), || {
        format!("`exclude-countries` has {} too", both.map_or("", |c| c.as_str()))
    });
}

/// Scheme, host and perhaps port: what an absolute link to ourselves starts with.
fn is_origin(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        is_host(authority)
    })
}

/// A name or an address, as a `Host` header has it but for the port.
fn is_bare_host(host: &str) -> bool {
    let has_port = !host.ends_with(']') && host.contains(':');
    is_host(host) && !has_port || host.parse::<std::net::Ipv6Addr>().is_ok()
}
