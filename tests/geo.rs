//! GeoIP databases of every layout: read, checked, exchanged while they are in use.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use mmdb_writer::{IpVersion, Value, Writer};
use redirector::geo::{Change, Locator, Settings, Source};
use redirector::model::{Continent, Place};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn country(place: &Place) -> Option<String> {
    place.country.map(|country| country.to_string())
}

/// A database with these records.
fn database<'a>(kind: &str, version: IpVersion, records: impl IntoIterator<Item = (&'a str, Value)>) -> Vec<u8> {
    let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut writer = Writer::builder(kind).ip_version(version).build_epoch(made).build();
    for (network, record) in records {
        writer.insert_value(network.parse::<IpNet>().expect("a network"), record).expect("a good record");
    }
    writer.to_bytes().expect("a database")
}

/// A database of countries, flat.
fn countries<'a>(version: IpVersion, records: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let records = records.into_iter().map(|(network, code)| (network, Value::map([("country_code", code)])));
    database("country", version, records)
}

/// Files in a temporary folder.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Puts a file into its place by renaming it.
    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        redirector::durable::write(&path, content).expect("written");
        path
    }
}

fn location(path: &Path) -> Settings {
    Settings { location: Some(path.into()), ..Settings::default() }
}

/// A locator by these settings, all of which are good.
fn open(settings: &Settings) -> Locator {
    let (locator, problems) = Locator::open(settings).expect("the built-in databases");
    assert_eq!(problems, []);
    locator
}

mod built_in {
    use super::*;
    use std::io::Read as _;

    const GEOIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/geoip");

    fn sha256(content: &[u8]) -> String {
        use sha2::Digest as _;
        sha2::Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_lone_binary_knows_countries_and_networks() {
        let locator = open(&Settings::default());
        let cases = [
            ("1.1.1.1", Some("au"), Some(13335)),
            ("8.8.8.8", Some("us"), Some(15169)),
            ("193.0.6.139", Some("nl"), Some(3333)),
            ("2001:67c:2e8:22::c100:68b", Some("nl"), Some(3333)),
            ("::ffff:193.0.6.139", Some("nl"), Some(3333)),
            ("64:ff9b::193.0.6.139", Some("nl"), Some(3333)),
            ("2002:c100:068b::1", Some("nl"), Some(3333)),
            ("200.160.2.3", Some("br"), Some(22548)),
            ("2001:200::8801", Some("jp"), Some(2500)),
            ("10.0.0.1", None, None),
            ("127.0.0.1", None, None),
            ("::1", None, None),
            ("192.0.2.1", None, None),
            ("2001:db8::1", None, None),
        ];
        for (text, expected, asn) in cases {
            let place = locator.locate(address(text));
            assert_eq!((country(&place).as_deref(), place.asn), (expected, asn), "{text}");
            assert_eq!(place.point, None, "{text}: the database has no coordinates");
            assert_eq!(place.continent, place.country.and_then(redirector::model::Country::continent), "{text}");
        }
    }

    #[test]
    fn they_are_described() {
        let all = open(&Settings::default()).describe();
        assert_eq!(all.len(), 2);
        for info in all {
            assert_eq!((&info.source, info.problem, info.credit), (&Source::BuiltIn, None, None));
            assert!(info.ip_versions.ipv4 && info.ip_versions.ipv6 && !info.has_coordinates);
            assert!(info.built.is_some_and(|built| built.as_second() > 1_780_000_000), "made after May 2026");
        }
    }

    #[test]
    fn the_files_are_those_that_were_checked_in() {
        let sums = fs::read_to_string(Path::new(GEOIP).join("SHA256SUMS")).expect("readable");
        assert_eq!(sums.lines().count(), 3);
        for line in sums.lines() {
            let (sum, file) = line.split_once("  ").expect("two columns");
            let content = fs::read(Path::new(GEOIP).join(file)).expect("readable");
            assert_eq!(sha256(&content), sum, "{file}");
        }
    }

    #[test]
    fn they_unpack_to_what_their_source_published() {
        let source = fs::read_to_string(Path::new(GEOIP).join("SOURCE.tsv")).expect("readable");
        for line in source.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let [file, _, _, size, sum] = columns[..] else { panic!("five columns: {line}") };
            let packed = fs::read(Path::new(GEOIP).join(file)).expect("readable");
            let mut content = Vec::new();
            zstd::stream::read::Decoder::new(&packed[..]).expect("zstd").read_to_end(&mut content).expect("whole");
            assert_eq!((content.len().to_string().as_str(), sha256(&content).as_str()), (size, sum), "{file}");
        }
    }
}

mod layouts {
    use super::*;

    fn names(name: &str) -> Value {
        Value::map([("names", Value::map([("de", name), ("en", name)]))])
    }

    fn coded(key: &str, code: &str) -> Value {
        Value::map([("geoname_id", Value::from(1_u32)), (key, Value::from(code)), ("names", Value::map([("en", code)]))])
    }

    fn coordinates(latitude: f64, longitude: f64, accuracy_km: u16) -> Value {
        Value::map([
            ("accuracy_radius", Value::from(accuracy_km)),
            ("latitude", Value::from(latitude)),
            ("longitude", Value::from(longitude)),
            ("time_zone", Value::from("Europe/Amsterdam")),
        ])
    }

    /// (latitude, longitude) to two decimals, as text.
    fn point(place: &Place) -> Option<String> {
        place.point.map(|point| format!("{:.2} {:.2}", point.latitude, point.longitude))
    }

    /// A city, and the ways in which MaxMind says that it knows less.
    fn maxmind() -> Vec<u8> {
        let record = |records: Vec<(&'static str, Value)>| Value::map(records);
        database(
            "GeoLite2-City",
            IpVersion::V6,
            [
                (
                    "192.0.2.0/25",
                    record(vec![
                        ("city", names("Delft")),
                        ("continent", coded("code", "EU")),
                        ("country", coded("iso_code", "NL")),
                        ("location", coordinates(52.01, 4.36, 20)),
                        ("registered_country", coded("iso_code", "US")),
                        ("subdivisions", Value::array([coded("iso_code", "ZH")])),
                        ("traits", Value::map([("is_anycast", true)])),
                    ]),
                ),
                // No more than the country is known: its middle.
                (
                    "192.0.2.128/26",
                    record(vec![
                        ("continent", coded("code", "NA")),
                        ("country", coded("iso_code", "US")),
                        ("location", coordinates(37.751, -97.822, 1000)),
                    ]),
                ),
                // A city, but hardly known where.
                (
                    "192.0.2.192/27",
                    record(vec![
                        ("city", names("Springfield")),
                        ("country", coded("iso_code", "US")),
                        ("location", coordinates(37.751, -97.822, 1000)),
                    ]),
                ),
                // A middle without a radius.
                (
                    "192.0.2.224/28",
                    record(vec![("country", coded("iso_code", "BE")), ("location", coordinates(50.8, 4.5, 100))]),
                ),
                ("192.0.2.240/28", record(vec![("registered_country", coded("iso_code", "AU"))])),
                (
                    "198.51.100.0/25",
                    record(vec![("continent", coded("code", "EU")), ("registered_country", coded("iso_code", "US"))]),
                ),
                ("198.51.100.128/25", record(vec![("traits", Value::map([("is_satellite_provider", true)]))])),
                (
                    "2001:db8::/32",
                    record(vec![
                        ("country", coded("iso_code", "JP")),
                        ("location", coordinates(35.69, 139.69, 50)),
                        ("subdivisions", Value::array([coded("iso_code", "13")])),
                    ]),
                ),
            ],
        )
    }

    #[test]
    fn maxmind_city() {
        let folder = Folder::new();
        let locator = open(&location(&folder.put("city.mmdb", &maxmind())));
        let cases = [
            ("192.0.2.1", Some("nl"), Some(Continent::Eu), Some("52.01 4.36")),
            ("::ffff:192.0.2.1", Some("nl"), Some(Continent::Eu), Some("52.01 4.36")),
            ("2002:c000:0201::1", Some("nl"), Some(Continent::Eu), Some("52.01 4.36")),
            ("192.0.2.130", Some("us"), Some(Continent::Na), None),
            ("192.0.2.200", Some("us"), Some(Continent::Na), None),
            ("192.0.2.230", Some("be"), Some(Continent::Eu), None),
            ("192.0.2.250", Some("au"), Some(Continent::Oc), None),
            ("198.51.100.1", None, Some(Continent::Eu), None),
            ("198.51.100.200", None, None, None),
            ("203.0.113.1", None, None, None),
            ("2001:db8::1", Some("jp"), Some(Continent::As), Some("35.69 139.69")),
        ];
        for (text, expected, continent, at) in cases {
            let place = locator.locate(address(text));
            let found = (country(&place), place.continent, point(&place));
            assert_eq!((found.0.as_deref(), found.1, found.2.as_deref()), (expected, continent, at), "{text}");
        }
        let info = &locator.describe()[0];
        assert!(info.has_coordinates && info.kind == "GeoLite2-City");
        assert_eq!(info.built.map(jiff::Timestamp::as_second), Some(1_700_000_000));
        assert!(info.credit.is_some_and(|credit| credit.text.contains("MaxMind")));
    }

    #[test]
    fn dbip_city_has_no_radius_and_asks_for_a_credit() {
        let record = Value::map([
            ("city", names("Paris")),
            ("continent", coded("code", "EU")),
            ("country", Value::map([("iso_code", Value::from("FR")), ("is_in_european_union", Value::from(true))])),
            ("location", Value::map([("latitude", 48.8566_f64), ("longitude", 2.3522)])),
            ("subdivisions", Value::array([names("Paris")])),
        ]);
        let folder = Folder::new();
        let path = folder.put("city.mmdb", &database("DBIP-City-Lite", IpVersion::V6, [("192.0.2.0/24", record)]));
        let locator = open(&location(&path));
        let place = locator.locate(address("192.0.2.9"));
        assert_eq!((country(&place).as_deref(), point(&place).as_deref()), (Some("fr"), Some("48.86 2.35")));
        let credit = locator.describe()[0].credit.expect("needed");
        assert_eq!((credit.text, credit.url), ("IP Geolocation by DB-IP", "https://db-ip.com"));
    }

    #[test]
    fn flat_city_with_single_precision() {
        let city = |code: &str, state: &str, city: &str, latitude: f32, longitude: f32| {
            Value::map([
                ("city", Value::from(city)),
                ("country_code", Value::from(code)),
                ("latitude", Value::from(latitude)),
                ("longitude", Value::from(longitude)),
                ("postcode", Value::from("")),
                ("state1", Value::from(state)),
                ("state2", Value::from("")),
            ])
        };
        let bytes = database(
            "city ipv4",
            IpVersion::V4,
            [
                ("192.0.2.0/26", city("NL", "Zuid-Holland", "Delft", 52.01, 4.36)),
                ("192.0.2.64/26", city("US", "", "", 37.751, -97.822)),
                ("192.0.2.128/26", city("", "", "", 0.0, 0.0)),
                ("192.0.2.192/26", city("US", "Ohio", "", 0.0, 0.0)),
                ("198.51.100.0/24", city("XX", "Nowhere", "Nowhere", 91.0, 4.0)),
            ],
        );
        let folder = Folder::new();
        let locator = open(&location(&folder.put("city-ipv4.mmdb", &bytes)));
        let cases = [
            ("192.0.2.1", Some("nl"), Some("52.01 4.36")),
            ("192.0.2.65", Some("us"), None),
            ("192.0.2.129", None, None),
            ("192.0.2.193", Some("us"), None),
            ("198.51.100.1", None, None),
            ("2001:db8::1", None, None),
        ];
        for (text, expected, at) in cases {
            let place = locator.locate(address(text));
            assert_eq!((country(&place).as_deref(), point(&place).as_deref()), (expected, at), "{text}");
        }
    }

    #[test]
    fn coordinates_without_cities_are_believed_unless_the_database_is_of_countries() {
        let record = || {
            Value::map([
                ("country", Value::map([("iso_code", "DE")])),
                ("location", Value::map([("latitude", 50.0_f64), ("longitude", 8.0)])),
            ])
        };
        let folder = Folder::new();
        for (kind, is_believed) in [("My-Locations", true), ("My-Country-Points", false)] {
            let path = folder.put(kind, &database(kind, IpVersion::V4, [("192.0.2.0/24", record())]));
            let locator = open(&location(&path));
            assert_eq!(locator.locate(address("192.0.2.1")).point.is_some(), is_believed, "{kind}");
            assert_eq!(locator.describe()[0].has_coordinates, is_believed, "{kind}");
        }
    }

    #[test]
    fn texts_where_others_have_maps_or_numbers() {
        let lite = Value::map([
            ("as_name", Value::from("RIPE NCC")),
            ("asn", Value::from("AS3333")),
            ("continent", Value::from("Europe")),
            ("continent_code", Value::from("EU")),
            ("country", Value::from("Netherlands")),
            ("country_code", Value::from("NL")),
        ]);
        let location_as_text = Value::map([
            ("asn", Value::from("?")),
            ("city", Value::from("Mountain View")),
            ("country", Value::from("US")),
            ("latitude", Value::from("37.4056")),
            ("location", Value::from("37.4056,-122.0775")),
            ("longitude", Value::from("-122.0775")),
        ]);
        let odd = Value::map([
            ("city", Value::from(true)),
            ("country", Value::array([Value::from("US")])),
            ("country_code", Value::from(7_u32)),
            ("latitude", Value::from(u128::MAX)),
            ("longitude", Value::from(vec![1_u8, 2])),
            ("location", Value::from(-3_i32)),
        ]);
        let folder = Folder::new();
        let records = [("192.0.2.0/26", lite), ("192.0.2.64/26", location_as_text), ("192.0.2.128/26", odd)];
        let locator = open(&location(&folder.put("lite.mmdb", &database("ipinfo lite", IpVersion::V6, records))));
        let place = locator.locate(address("192.0.2.1"));
        assert_eq!((country(&place).as_deref(), place.continent, place.asn), (Some("nl"), Some(Continent::Eu), Some(3333)));
        let place = locator.locate(address("192.0.2.70"));
        assert_eq!(
            (country(&place).as_deref(), point(&place).as_deref(), place.asn),
            (Some("us"), Some("37.41 -122.08"), None)
        );
        assert_eq!(locator.locate(address("192.0.2.130")), Place::default());
    }

    #[test]
    fn codes_that_are_no_country_are_none() {
        let networks: Vec<String> = (0..8).map(|index| format!("192.0.2.{}/29", index * 8)).collect();
        let codes = ["ZZ", "XX", "T1", "A2", "", "EU", "AP", "de"];
        let records = networks.iter().map(String::as_str).zip(codes);
        let folder = Folder::new();
        let locator = open(&location(&folder.put("country.mmdb", &countries(IpVersion::V6, records))));
        let found: Vec<_> = (0..8).map(|index| locator.locate(address(&format!("192.0.2.{}", index * 8)))).collect();
        assert!(found[..7].iter().all(|place| place.country.is_none()));
        let continents: Vec<_> = found.iter().map(|place| place.continent).collect();
        assert_eq!(continents[5..], [Some(Continent::Eu), Some(Continent::As), Some(Continent::Eu)]);
        assert_eq!(continents[..5], [None; 5]);
        assert_eq!(country(&found[7]).as_deref(), Some("de"));
    }

    #[test]
    fn one_file_for_each_ip_version() {
        let folder = Folder::new();
        let ipv4 = folder.put("v4.mmdb", &countries(IpVersion::V4, [("192.0.2.0/24", "NL")]));
        let ipv6 = folder.put("v6.mmdb", &countries(IpVersion::V6, [("2001:db8::/32", "BE")]));
        for (first, second) in [(&ipv4, &ipv6), (&ipv6, &ipv4)] {
            let settings =
                Settings { location: Some(first.clone()), location_ipv6: Some(second.clone()), ..Settings::default() };
            let locator = open(&settings);
            assert_eq!(country(&locator.locate(address("192.0.2.1"))).as_deref(), Some("nl"));
            assert_eq!(country(&locator.locate(address("2001:db8::1"))).as_deref(), Some("be"));
            assert_eq!(country(&locator.locate(address("::ffff:192.0.2.1"))).as_deref(), Some("nl"));
            assert_eq!(country(&locator.locate(address("198.51.100.1"))), None);
            assert!(
                locator
                    .describe()
                    .iter()
                    .all(|info| info.role != redirector::geo::Role::Location || info.source != Source::BuiltIn)
            );
        }
    }

    #[test]
    fn an_ip_version_that_no_file_knows_is_left_to_the_built_in_database() {
        let folder = Folder::new();
        let path = folder.put("v4.mmdb", &countries(IpVersion::V4, [("193.0.0.0/8", "BE")]));
        let locator = open(&location(&path));
        assert_eq!(country(&locator.locate(address("193.0.6.139"))).as_deref(), Some("be"));
        assert_eq!(country(&locator.locate(address("8.8.8.8"))), None, "a configured file is the last word on what it covers");
        assert_eq!(country(&locator.locate(address("2001:67c:2e8:22::c100:68b"))).as_deref(), Some("nl"));
        assert_eq!(locator.describe().len(), 3);
    }

    #[test]
    fn as_numbers_come_from_the_configured_file_first() {
        let asn = |number: u32| Value::map([("autonomous_system_number", number)]);
        let combined = Value::map([("country_code", Value::from("NL")), ("asn", Value::from(64_500_u32))]);
        let folder = Folder::new();
        let both = folder.put("both.mmdb", &database("both", IpVersion::V6, [("193.0.0.0/16", combined)]));
        let numbers = folder.put("asn.mmdb", &database("GeoLite2-ASN", IpVersion::V6, [("193.0.6.0/24", asn(64_501))]));
        let numbers_of = |settings: &Settings| {
            let locator = open(settings);
            ["193.0.6.139", "193.0.99.1", "8.8.8.8"].map(|text| locator.locate(address(text)).asn)
        };
        assert_eq!(numbers_of(&location(&both)), [Some(64_500), Some(64_500), Some(15169)]);
        let configured = Settings { location: Some(both), asn: Some(numbers), ..Settings::default() };
        assert_eq!(numbers_of(&configured), [Some(64_501), Some(64_500), None]);
    }

    #[test]
    fn prepared_look_ups_say_what_the_databases_say() {
        let folder = Folder::new();
        let path = folder.put("v4.mmdb", &countries(IpVersion::V4, [("193.0.0.0/8", "BE"), ("193.0.6.0/25", "FR")]));
        let six = folder.put("v6.mmdb", &countries(IpVersion::V6, [("193.0.6.128/25", "ES"), ("80.0.0.0/8", "ES")]));
        let both = Settings { location: Some(path), location_ipv6: Some(six), ..Settings::default() };
        for settings in [Settings::default(), both] {
            let locator = open(&settings);
            // Spread evenly over all addresses, and some next to each other.
            let spread = (0..20_000_u32).map(|number| number.wrapping_mul(0x9e37_79b1));
            let near = (0..1024).map(|number| u32::from_be_bytes([193, 0, 4, 0]) + number);
            let addresses: Vec<IpAddr> = spread.chain(near).map(|bits| IpAddr::V4(bits.into())).collect();
            let before: Vec<Place> = addresses.iter().map(|address| locator.locate(*address)).collect();
            assert!(before.iter().any(|place| place.country.is_some() && place.asn.is_some()));
            locator.prepare();
            for (address, before) in addresses.into_iter().zip(before) {
                assert_eq!(locator.locate(address), before, "{address}");
            }
        }
    }

    #[test]
    fn a_look_up_for_people_shows_the_records() {
        let folder = Folder::new();
        let locator = open(&location(&folder.put("v4.mmdb", &countries(IpVersion::V4, [("193.0.6.0/23", "NL")]))));
        let finding = locator.look_up(address("::ffff:193.0.6.139"));
        assert_eq!(finding.looked_up, Some(address("193.0.6.139")));
        assert_eq!(finding.records.len(), 2);
        assert_eq!(finding.records[0].network, Some("193.0.6.0/23".parse().expect("a network")));
        assert_eq!(finding.records[0].record["country_code"], "NL");
        assert_eq!(finding.records[1].record["autonomous_system_number"], 3333);
        let finding = locator.look_up(address("192.168.1.1"));
        assert_eq!((finding.looked_up, finding.special, finding.records.len()), (None, Some("private network (RFC 1918)"), 0));
    }
}

mod broken_files {
    use super::*;

    #[test]
    fn a_file_that_is_no_database_is_told_and_the_built_in_one_serves() {
        let folder = Folder::new();
        let good = countries(IpVersion::V6, [("193.0.0.0/16", "BE"), ("2001:67c::/32", "BE")]);
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("text", b"<html>404 Not Found</html>".to_vec()),
            ("zeros", vec![0; 100_000]),
            ("marker", b"\xab\xcd\xefMaxMind.com".to_vec()),
            ("beginning", good[..good.len() / 2].to_vec()),
            ("end", good[good.len() / 2..].to_vec()),
            ("numbers", database("asn", IpVersion::V6, [("193.0.0.0/16", Value::map([("autonomous_system_number", 1_u32)]))])),
            ("nothing", countries(IpVersion::V6, [])),
        ];
        for (name, content) in cases {
            let path = folder.put(name, &content);
            let (locator, problems) = Locator::open(&location(&path)).expect("no error");
            assert_eq!(problems.len(), 1, "{name}");
            let text = problems[0].to_string();
            assert!(
                text.starts_with("geoip.location: ") && text.contains(name) && text.ends_with("built-in database is used"),
                "{text}"
            );
            assert_eq!(country(&locator.locate(address("193.0.6.139"))).as_deref(), Some("nl"), "{name}");
            let described = locator.describe();
            assert!(described[0].problem.is_some() && described.len() == 3, "{name}: {described:?}");
        }
    }

    #[test]
    fn what_is_no_file_is_told_at_once() {
        let folder = Folder::new();
        let fifo = folder.0.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("coreutils");
        assert!(made.success());
        for path in [folder.0.path().to_owned(), fifo, folder.0.path().join("missing"), PathBuf::from("/dev/zero")] {
            let (_, problems) = Locator::open(&location(&path)).expect("no error");
            assert_eq!(problems.len(), 1, "{}", path.display());
        }
    }

    #[test]
    fn a_database_of_another_kind_is_refused_as_one_of_as_numbers() {
        let folder = Folder::new();
        let path = folder.put("country.mmdb", &countries(IpVersion::V6, [("193.0.0.0/16", "BE")]));
        let (locator, problems) = Locator::open(&Settings { asn: Some(path), ..Settings::default() }).expect("no error");
        assert!(problems[0].reason.contains("has no AS numbers"), "{}", problems[0]);
        assert_eq!(locator.locate(address("193.0.6.139")).asn, Some(3333));
    }

    /// A database of IPv4 addresses with these nodes and this data, written by hand: <https://maxmind.github.io/MaxMind-DB/>.
    fn by_hand(nodes: &[[u32; 2]], data: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = nodes.iter().flatten().flat_map(|record| record.to_be_bytes()[1..].to_vec()).collect();
        bytes.extend([0; 16]);
        bytes.extend(data);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        let text = |text: &str| [&[0x40 | u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        let short = |number: u16| [&[0xa2], &number.to_be_bytes()[..]].concat();
        let pairs = [
            ("binary_format_major_version", short(2)),
            ("binary_format_minor_version", short(0)),
            ("build_epoch", vec![0x01, 0x02, 1]),
            ("database_type", text("country")),
            ("description", vec![0xe0]),
            ("ip_version", short(4)),
            ("languages", vec![0x00, 0x04]),
            ("node_count", vec![0xc1, u8::try_from(nodes.len()).expect("few")]),
            ("record_size", short(24)),
        ];
        bytes.push(0xe0 | u8::try_from(pairs.len()).expect("few"));
        pairs.iter().for_each(|(key, value)| bytes.extend([text(key), value.clone()].concat()));
        bytes
    }

    const BELGIUM: &[u8] = b"\xe1\x4ccountry_code\x42BE";

    #[test]
    fn a_record_that_refers_to_the_next_one_again_and_again_is_refused_at_once() {
        let folder = Folder::new();
        // Each map has the next one twice: who reads all would read 2^60 of them.
        let level = |next: usize| {
            let pointer = [0x20 | u8::try_from(next >> 8).expect("small"), next.to_le_bytes()[0]];
            [b"\xe2\x44code".as_slice(), &pointer, b"\x44code", &pointer].concat()
        };
        let mut data = b"\xe2\x4ccountry_code\x42BE\x47country\x20\x1b".to_vec();
        (0..60).for_each(|_| data.extend(level(data.len() + 15)));
        data.extend(b"\x42BE");
        let nodes = [[1 + 16, 1 + 16]];
        let (_, problems) = Locator::open(&location(&folder.put("country.mmdb", &by_hand(&nodes, &data)))).expect("no error");
        assert!(problems[0].reason.contains("damaged"), "{}", problems[0]);
    }

    #[test]
    fn a_tree_that_names_one_network_four_billion_times_takes_no_time() {
        let folder = Folder::new();
        let nodes: Vec<[u32; 2]> = (1..=32).map(|next| if next == 32 { [32 + 16; 2] } else { [next; 2] }).collect();
        let locator = open(&location(&folder.put("country.mmdb", &by_hand(&nodes, BELGIUM))));
        locator.prepare();
        assert_eq!(country(&locator.locate(address("193.0.6.139"))).as_deref(), Some("be"));
    }

    /// Any byte may be wrong: the file is refused or a place is unknown or wrong, and nothing worse happens.
    #[test]
    fn damaged_bytes_never_panic() {
        let records: Vec<(String, Value)> = (0..200_u32)
            .map(|index| {
                let names = Value::map([("en", Value::from(format!("city {index}")))]);
                let record = Value::map([
                    ("city", Value::map([("names", names)])),
                    ("country", Value::map([("iso_code", ["NL", "BE", "FR"][index as usize % 3])])),
                    ("location", Value::map([("latitude", f64::from(index) / 4.0), ("longitude", 4.0)])),
                ]);
                (format!("{}.0.2.0/24", index + 1), record)
            })
            .collect();
        let good = database("City", IpVersion::V6, records.iter().map(|(network, record)| (network.as_str(), record.clone())));
        let folder = Folder::new();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100 {
            let mut bad = good.clone();
            for _ in 0..3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let position = usize::try_from(random >> 33).expect("31 bits") % bad.len();
                bad[position] ^= random.to_le_bytes()[3] | 1;
            }
            let path = folder.0.path().join("bad.mmdb");
            std::io::Write::write_all(&mut fs::File::create(&path).expect("created"), &bad).expect("written");
            let (locator, _) = Locator::open(&location(&path)).expect("no error");
            for index in 0..220 {
                let _place = locator.locate(address(&format!("{}.0.2.1", index + 1)));
            }
        }
    }
}

mod replacement {
    use super::*;

    const PROBE: &str = "193.0.6.139";

    fn place_of(locator: &Locator) -> Option<String> {
        country(&locator.locate(address(PROBE)))
    }

    fn belgian() -> Vec<u8> {
        countries(IpVersion::V4, [("193.0.0.0/16", "BE")])
    }

    fn french() -> Vec<u8> {
        countries(IpVersion::V4, [("193.0.0.0/16", "FR")])
    }

    #[test]
    fn a_replaced_file_is_used_from_the_next_look_on() {
        let folder = Folder::new();
        let locator = open(&location(&folder.put("country.mmdb", &belgian())));
        assert_eq!(locator.refresh(), []);
        folder.put("country.mmdb", &french());
        assert_eq!(place_of(&locator).as_deref(), Some("be"));
        let changes = locator.refresh();
        assert!(matches!(&changes[..], [Change::Replaced { key: "geoip.location", .. }]), "{changes:?}");
        assert!(changes[0].to_string().contains("country.mmdb is now in use, made 2023-11-14"), "{}", changes[0]);
        assert_eq!(place_of(&locator).as_deref(), Some("fr"));
        assert_eq!(locator.refresh(), []);
    }

    #[test]
    fn a_broken_or_missing_new_file_is_told_once_and_the_old_one_stays_in_use() {
        let folder = Folder::new();
        let path = folder.put("country.mmdb", &belgian());
        let locator = open(&location(&path));
        let refused = |changes: &[Change]| matches!(changes, [Change::Refused(problem)] if problem.is_old_kept);

        folder.put("country.mmdb", b"half a download");
        let changes = locator.refresh();
        assert!(refused(&changes), "{changes:?}");
        assert!(changes[0].to_string().ends_with("the one read before stays in use"), "{}", changes[0]);
        assert_eq!(locator.refresh(), [], "told once");
        assert_eq!(place_of(&locator).as_deref(), Some("be"));
        assert!(locator.describe()[0].problem.is_some());

        fs::remove_file(&path).expect("removed");
        assert!(refused(&locator.refresh()));
        assert_eq!(locator.refresh(), [], "told once");
        assert_eq!(place_of(&locator).as_deref(), Some("be"));

        folder.put("country.mmdb", &french());
        assert!(matches!(locator.refresh()[..], [Change::Replaced { .. }]));
        assert_eq!(place_of(&locator).as_deref(), Some("fr"));
        assert_eq!(locator.describe()[0].problem, None);
    }

    #[test]
    fn a_file_that_was_missing_at_the_start_is_used_when_it_comes() {
        let folder = Folder::new();
        let path = folder.0.path().join("country.mmdb");
        let (locator, problems) = Locator::open(&location(&path)).expect("no error");
        assert_eq!(problems.len(), 1);
        assert_eq!(place_of(&locator).as_deref(), Some("nl"));
        folder.put("country.mmdb", &belgian());
        assert!(matches!(locator.refresh()[..], [Change::Replaced { .. }]));
        assert_eq!(place_of(&locator).as_deref(), Some("be"));
    }

    /// A database so large that it is mapped.
    fn large(code: &str) -> Vec<u8> {
        let filler = |byte: u8| Value::map([("filler", Value::from(vec![byte; 13 << 20]))]);
        let country = Value::map([("country_code", code)]);
        database(
            "large",
            IpVersion::V4,
            [("192.0.2.0/25", filler(1)), ("192.0.2.128/25", filler(2)), ("193.0.0.0/16", country)],
        )
    }

    #[test]
    fn threads_go_on_while_files_are_replaced_and_even_overwritten_in_place() {
        let folder = Folder::new();
        let path = folder.put("country.mmdb", &large("BE"));
        let locator = open(&location(&path));
        let (stop, looks) = (AtomicBool::new(false), AtomicU64::new(0));
        let read = || {
            while !stop.load(Ordering::Relaxed) {
                let found = place_of(&locator);
                assert!(["be", "fr"].contains(&found.as_deref().unwrap_or("none")), "{found:?}");
                looks.fetch_add(1, Ordering::Relaxed);
            }
        };
        std::thread::scope(|scope| {
            // Readers end when this thread does, however it does.
            let _stop = Stop(&stop);
            let readers: Vec<_> = (0..3).map(|_| scope.spawn(read)).collect();
            let wait_for_looks = || {
                let before = looks.load(Ordering::Relaxed);
                while looks.load(Ordering::Relaxed) < before + 1000 {
                    assert!(!readers.iter().any(std::thread::ScopedJoinHandle::is_finished), "a reader panicked");
                    std::thread::yield_now();
                }
            };
            for content in [french(), large("FR"), belgian(), large("BE")] {
                wait_for_looks();
                folder.put("country.mmdb", &content);
                assert!(matches!(locator.refresh()[..], [Change::Replaced { .. }]));
            }
            wait_for_looks();
            let file = fs::File::options().write(true).open(&path).expect("open");
            file.set_len(0).expect("cut short in place");
            wait_for_looks();
            assert!(matches!(locator.refresh()[..], [Change::Refused(_)]));
            std::io::Write::write_all(&mut &file, &french()).expect("overwritten in place");
            assert!(matches!(locator.refresh()[..], [Change::Replaced { .. }]));
            wait_for_looks();
        });
        assert_eq!(place_of(&locator).as_deref(), Some("fr"));
    }

    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
