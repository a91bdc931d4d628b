//! The list of a file's mirrors: a page for people, JSON and plain text for programs.

use askama::Template;
use jiff::Timestamp;
use serde::Serialize;

use super::torrent::info_hash;
use super::write::hex_text;
use super::{File, Kind, Missing, Source};
use crate::model::{ByteSize, Country, Place, Point};

/// For whom the list is made.
#[derive(Clone, Debug, Serialize)]
pub struct Visitor {
    /// The address.
    pub address: String,
    /// Where that is.
    #[serde(flatten)]
    pub place: Place,
    /// What the licence of a GeoIP database wants pages to say, and a link for it.
    #[serde(skip)]
    pub credit: Option<(&'static str, &'static str)>,
}

/// URLs alone, best first, one a line.
pub(super) fn text(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    let room = file.sources.iter().map(|source| source.base.len() + file.encoded.len() + 1).sum();
    let mut out = Vec::with_capacity(room);
    for source in file.sources {
        [source.base, file.encoded, "\n"].iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
    Ok(out)
}

/// A page for people.
#[must_use]
pub fn page(file: &File<'_>, visitor: &Visitor) -> String {
    Page::new(file, visitor).to_string()
}

/// For programs.
#[must_use]
pub fn json(file: &File<'_>, visitor: &Visitor) -> String {
    serde_json::to_string(&Page::new(file, visitor)).unwrap_or_default()
}

#[derive(Template, Serialize)]
#[template(path = "mirrorlist.html", config = "src/http/templates/askama.toml")]
struct Page<'a> {
    name: String,
    path: String,
    url: String,
    size: u64,
    modified: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    digests: Option<Hashes>,
    #[serde(skip)]
    has_signature: bool,
    descriptions: Vec<Link>,
    client: &'a Visitor,
    mirrors: Vec<Line<'a>>,
    #[serde(skip)]
    client_point: Option<Spot>,
}

/// Digests in hexadecimal.
#[derive(Serialize)]
struct Hashes {
    sha512: String,
    sha256: String,
    sha1: String,
    md5: String,
    btih: String,
}

/// A description and where it is.
#[derive(Serialize)]
struct Link {
    kind: Kind,
    url: String,
}

/// A mirror.
#[derive(Serialize)]
struct Line<'a> {
    rank: usize,
    url: String,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<&'a str>,
    class: &'static str,
    country: Option<Country>,
    distance_km: Option<f64>,
    #[serde(skip)]
    spot: Option<Spot>,
}

/// A place on the map: a tenth of a degree is a unit, and the date line is at both ends.
#[derive(Clone, Copy)]
struct Spot {
    x: i32,
    y: i32,
}

impl From<Point> for Spot {
    #[expect(clippy::cast_possible_truncation, reason = "an angle in tenths of a degree")]
    fn from(point: Point) -> Self {
        let tenths = |degrees: f64| (degrees * 10.0).round() as i32;
        Self { x: 1800 + tenths(point.longitude), y: 900 - tenths(point.latitude) }
    }
}

impl<'a> Page<'a> {
    fn new(file: &File<'a>, visitor: &'a Visitor) -> Self {
        let offered = |kind: &Kind| file.settings.gives(*kind) && *kind != Kind::Mirrorlist && is_there(file, *kind);
        let descriptions = Kind::ALL.into_iter().filter(offered);
        let place = &visitor.place;
        Self {
            name: shown(file.name()),
            path: file.path.to_string(),
            url: file.own_url(),
            size: file.size,
            modified: Timestamp::from_second(file.modified.as_second()).unwrap_or_default(),
            digests: hashes(file),
            has_signature: file.signature.is_some(),
            descriptions: descriptions.map(|kind| Link { kind, url: file.url_of(kind) }).collect(),
            client: visitor,
            mirrors: file.sources.iter().zip(1..).map(|(source, rank)| Line::new(file, source, rank)).collect(),
            client_point: place.point.or_else(|| place.country.and_then(Country::point)).map(Spot::from),
        }
    }

    fn size_for_people(&self) -> String {
        ByteSize(self.size).to_string()
    }

    fn time_for_people(&self) -> String {
        self.modified.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }

    /// Where to read a digest of this kind.
    fn link(&self, kind: &str) -> Option<&str> {
        self.descriptions.iter().find(|link| link.kind.word() == kind).map(|link| link.url.as_str())
    }

    /// The digests with their names, the best first.
    fn hashes(&self) -> Vec<(&'static str, &'static str, &str)> {
        let Some(hashes) = &self.digests else { return Vec::new() };
        vec![
            ("SHA-512", "sha512", &hashes.sha512),
            ("SHA-256", "sha256", &hashes.sha256),
            ("SHA-1", "sha1", &hashes.sha1),
            ("MD5", "md5", &hashes.md5),
            ("BitTorrent info-hash", "btih", &hashes.btih),
        ]
    }

    /// Ways to download it that check what comes, with what they are called.
    fn ways(&self) -> Vec<(&'static str, &str)> {
        let named = [
            ("Metalink", "meta4"),
            ("Metalink 3", "metalink"),
            ("Torrent", "torrent"),
            ("Magnet link", "magnet"),
            ("zsync", "zsync"),
        ];
        named.into_iter().filter_map(|(name, kind)| Some((name, self.link(kind)?))).collect()
    }

    /// Mirrors that are about as near, together.
    fn groups(&self) -> impl Iterator<Item = &[Line<'a>]> {
        self.mirrors.chunk_by(|a, b| a.class == b.class)
    }

    /// What such mirrors have in common.
    fn title(&self, class: &str) -> String {
        let country = self.client.place.country.and_then(Country::name);
        let continent = self.client.place.continent.map(|continent| continent.name());
        match (class, country, continent) {
            ("network", ..) => "In your network".to_owned(),
            ("as", ..) => match self.client.place.asn {
                Some(asn) => format!("At your network's operator (AS{asn})"),
                None => "At your network's operator".to_owned(),
            },
            ("country", Some(country), _) => format!("In your country ({country})"),
            ("country", None, _) => "In your country".to_owned(),
            ("also-country", ..) => "For your country".to_owned(),
            ("continent", _, Some(continent)) => format!("On your continent ({continent})"),
            ("continent", _, None) => "On your continent".to_owned(),
            ("origin", ..) => "At its origin".to_owned(),
            (_, None, None) => "Anywhere".to_owned(),
            _ => "In other parts of the world".to_owned(),
        }
    }

    /// Where the client is, in words that stand behind its address.
    fn whereabouts(&self) -> String {
        let Place { country, continent, asn, .. } = &self.client.place;
        let country = country.map(|country| match country.name() {
            Some(name) => format!("{name} ({country})"),
            None => country.to_string(),
        });
        let continent = continent.map(|continent| continent.name().to_owned()).filter(|_| country.is_none());
        let system = asn.map(|asn| format!("AS{asn}"));
        let known: Vec<String> = [country, continent, system].into_iter().flatten().collect();
        if known.is_empty() { ", whose place is not known".to_owned() } else { format!(", {}", known.join(", ")) }
    }

    /// Whether there is something to show on a map.
    fn has_map(&self) -> bool {
        self.mirrors.iter().any(|line| line.spot.is_some() && line.class != "origin")
    }

    /// Mirrors on the map, the farthest first, so that the best lie on top.
    fn spots(&self) -> impl Iterator<Item = (&Line<'a>, Spot)> {
        self.mirrors.iter().rev().filter_map(|line| Some((line, line.spot?)))
    }
}

impl<'a> Line<'a> {
    fn new(file: &File<'_>, source: &Source<'a>, rank: usize) -> Self {
        Self {
            rank,
            url: [source.base, file.encoded].concat(),
            name: source.name,
            operator: source.operator,
            class: source.class,
            country: source.country,
            distance_km: source.distance_km,
            spot: source.point.or_else(|| source.country.and_then(Country::point)).map(Spot::from),
        }
    }

    fn place(&self) -> &str {
        self.country.as_ref().map_or("", |country| country.name().unwrap_or(country.as_str()))
    }

    /// Whole kilometres from the client.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a distance on Earth")]
    fn distance(&self) -> Option<u32> {
        self.distance_km.map(|km| km.round() as u32)
    }
}

/// Whether there is enough known for this kind.
fn is_there(file: &File<'_>, kind: Kind) -> bool {
    match kind {
        Kind::Meta4 | Kind::Metalink | Kind::Mirrorlist => true,
        Kind::Zsync => file.digests.is_some_and(|digests| digests.zsync.is_some()),
        _ => file.digests.is_some(),
    }
}

fn hashes(file: &File<'_>) -> Option<Hashes> {
    let digests = file.digests?;
    Some(Hashes {
        sha512: hex_text(&digests.sha512),
        sha256: hex_text(&digests.sha256.0),
        sha1: hex_text(&digests.sha1),
        md5: hex_text(&digests.md5),
        btih: hex_text(&info_hash(file).ok()?),
    })
}

/// A name as people may see it.
fn shown(name: &[u8]) -> String {
    crate::model::TreePath::parse(name).map_or_else(|_| String::new(), |name| name.to_string())
}
