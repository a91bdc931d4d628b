//! Selection as an administrator sees it: mirrors as lines of a table, clients, and who comes first.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::model::{BaseUrl, ClientNetwork, Country, Health, Mirror, MirrorName, Only, Place, Point, Scheme};

use super::{Class, PlaceKey, Ranking, Refusal, Request, Selector, Tiers, refusal};

/// `NAME [CC] [KEY=VALUE]...`; keys as in the configuration, but `at=LATITUDE,LONGITUDE`.
fn mirror(line: &str) -> Mirror {
    let mut words = line.split_whitespace();
    let name = words.next().expect("a name");
    let url = |scheme| {
        BaseUrl::parse(&format!("{scheme}://{name}.example/"), if scheme == "https" { Scheme::Https } else { Scheme::Http })
    };
    let mut mirror =
        Mirror { http: url("http").ok(), https: url("https").ok(), ..Mirror::new(MirrorName::parse(name).expect("a name")) };
    for word in words {
        let countries = |text: &str| text.split(',').map(|code| code.parse().expect("a country")).collect();
        match word.split_once('=') {
            None => mirror.country = Some(word.parse().expect("a country")),
            Some(("at", point)) => mirror.point = Some(at(point)),
            Some(("asn", asn)) => mirror.asn = Some(asn.parse().expect("a number")),
            Some(("networks", networks)) => {
                mirror.networks = networks.split(',').map(|network| network.parse().expect("a network")).collect();
            }
            Some(("score", score)) => mirror.score = score.parse().expect("a number"),
            Some(("only", only)) => mirror.only = Some(only_of(only)),
            Some(("also", codes)) => mirror.also_countries = countries(codes),
            Some(("exclude", codes)) => mirror.exclude_countries = countries(codes),
            Some(("max", bytes)) => mirror.max_file_size = Some(bytes.parse().expect("a number")),
            Some(("enabled", "no")) => mirror.enabled = false,
            Some(("https", "no")) => mirror.https = None,
            Some(other) => panic!("{other:?} is no key"),
        }
    }
    mirror
}

fn only_of(word: &str) -> Only {
    match word {
        "network" => Only::Network,
        "as" => Only::As,
        "country" => Only::Country,
        "continent" => Only::Continent,
        other => panic!("{other} is no class"),
    }
}

fn at(text: &str) -> Point {
    let (latitude, longitude) = text.split_once(',').expect("two numbers");
    Point::new(latitude.parse().expect("a number"), longitude.parse().expect("a number")).expect("on Earth")
}

/// A client: `[CC] [asn=N] [at=LATITUDE,LONGITUDE] [from=ADDRESS]`.
fn client(line: &str) -> (Place, IpAddr) {
    let (mut place, mut address) = (Place::default(), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    for word in line.split_whitespace() {
        match word.split_once('=') {
            None => place.country = Some(word.parse().expect("a country")),
            Some(("asn", asn)) => place.asn = Some(asn.parse().expect("a number")),
            Some(("at", point)) => place.point = Some(at(point)),
            Some(("from", from)) => address = from.parse().expect("an address"),
            Some(other) => panic!("{other:?} is no key"),
        }
    }
    place.continent = place.country.and_then(Country::continent);
    (place, address)
}

struct Site {
    mirrors: Vec<Arc<Mirror>>,
    selector: Selector,
}

impl Site {
    fn new(lines: &[&str]) -> Self {
        let mirrors: Vec<Arc<Mirror>> = lines.iter().map(|line| Arc::new(mirror(line))).collect();
        Self { selector: Selector::new(&mirrors), mirrors }
    }

    fn tiers(&self, line: &str) -> Tiers {
        let (place, address) = client(line);
        self.selector.tiers(&place, address)
    }

    fn key(&self, line: &str) -> PlaceKey {
        let (place, address) = client(line);
        self.selector.key(&place, address)
    }

    fn name(&self, index: usize) -> &str {
        self.mirrors[index].name.as_str()
    }

    /// The tiers as text: `country: a b | world: c`.
    fn map(&self, line: &str) -> String {
        let tier = |tier: super::Tier<'_>| {
            let names: Vec<&str> = tier.members().map(|index| self.name(index)).collect();
            format!("{}: {}", tier.class.as_str(), names.join(" "))
        };
        self.tiers(line).iter().map(tier).collect::<Vec<_>>().join(" | ")
    }

    fn first(&self, line: &str) -> (&str, &'static str) {
        let (place, address) = client(line);
        let ranking = self.selector.tiers(&place, address).draw(ClientNetwork::of(address), |_| true, 5);
        ranking.first().map_or(("nobody", ""), |best| (self.name(best.index()), best.class.as_str()))
    }
}

/// The nth /24, well spread.
fn network(number: u32) -> ClientNetwork {
    ClientNetwork::of(IpAddr::V4(Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1) & 0xffff_ff00)))
}

#[test]
fn a_client_in_luxembourg_goes_to_a_belgian_mirror_that_also_serves_lu() {
    let site = Site::new(&["berlin de", "brussels be also=lu,nl", "paris fr", "tokyo jp"]);
    assert_eq!(site.first("lu"), ("brussels", "also-country"));
    assert_eq!(site.first("lu at=49.6,6.1"), ("brussels", "also-country"));
    assert_eq!(site.first("be"), ("brussels", "country"));
}

#[test]
fn the_nearest_relation_counts_first() {
    let site = Site::new(&[
        "campus us networks=198.51.100.0/24",
        "provider us asn=64500",
        "home de",
        "neighbour nl also=de",
        "europe se",
        "far nz",
    ]);
    assert_eq!(
        site.map("de asn=64500 from=198.51.100.7"),
        "network: campus | as: provider | country: home | also-country: neighbour | continent: europe | world: far"
    );
    assert_eq!(site.first("de asn=64500"), ("provider", "as"));
    assert_eq!(site.first("de"), ("home", "country"));
    assert_eq!(site.first("de from=::ffff:198.51.100.7"), ("campus", "network"));
}

#[test]
fn the_narrower_network_comes_first() {
    let site =
        Site::new(&["nation networks=10.0.0.0/8", "campus networks=10.1.0.0/16,2001:db8::/32", "twin networks=10.1.0.0/16"]);
    assert_eq!(site.map("from=10.1.2.3"), "network: campus twin | network: nation");
    assert_eq!(site.map("from=10.2.0.1"), "network: nation | world: campus twin");
    assert_eq!(site.map("from=2001:db8::1"), "network: campus | world: nation twin");
}

#[test]
fn a_near_mirror_beats_a_far_one_and_equals_share() {
    // Client in Munich: Nuremberg is 150 km away, Frankfurt 305, Berlin 505, Hamburg 610.
    let site = Site::new(&[
        "hamburg de at=53.55,9.99",
        "nuremberg de at=49.45,11.08",
        "berlin de at=52.52,13.4",
        "twin de at=49.6,11.0",
    ]);
    assert_eq!(site.map("de at=48.14,11.58"), "country: nuremberg twin | country: berlin | country: hamburg");
    assert_eq!(site.map("de"), "country: berlin hamburg nuremberg twin");
}

#[test]
fn the_own_country_comes_before_a_nearer_mirror_over_the_border() {
    let site = Site::new(&["frankfurt de at=50.11,8.68", "paris fr at=48.86,2.35"]);
    assert_eq!(site.first("fr at=48.57,7.75"), ("paris", "country"), "Strasbourg");
}

#[test]
fn distance_counts_more_than_the_continent() {
    let site = Site::new(&["athens gr", "johannesburg za", "tokyo jp"]);
    for egypt in ["eg", "eg at=30.05,31.25"] {
        assert_eq!(site.map(egypt), "world: athens | continent: johannesburg | world: tokyo", "{egypt}");
    }
}

#[test]
fn without_a_place_everything_is_one_tier() {
    let site = Site::new(&["berlin de", "nowhere", "tokyo jp at=35.68,139.69"]);
    assert_eq!(site.map(""), "world: berlin nowhere tokyo");
    assert!((0..3).all(|index| site.selector.nearness(&site.key(""), index).expect("a mirror").distance_km.is_none()));
}

#[test]
fn a_mirror_without_coordinates_is_at_the_main_point_of_its_country() {
    let site = Site::new(&["vague de", "exact de at=52.52,13.4", "nowhere"]);
    let key = site.key("pl at=52.2,21.0");
    let distance = |index| site.selector.nearness(&key, index).expect("a mirror").distance_km.expect("known");
    assert!((distance(0) - distance(1)).abs() < 20.0, "{} {}", distance(0), distance(1));
    assert_eq!(site.map("pl at=52.2,21.0"), "continent: exact vague | world: nowhere");
}

#[test]
fn a_mirror_of_score_0_comes_after_all_others() {
    let site = Site::new(&["reserve de score=0 networks=192.0.2.0/24", "far jp", "other us score=0"]);
    assert_eq!(site.map("de"), "world: far | network: reserve | world: other");
    let network = network(1);
    let ranking = site.tiers("de").draw(network, |index| index != 1, 5);
    assert_eq!(ranking.iter().map(|ranked| ranked.index()).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn only_and_exclude_keep_clients_out() {
    for (mirror, client, may) in [
        ("m de only=country", "de", true),
        ("m de only=country", "fr", false),
        ("m de only=country", "", false),
        ("m de only=country also=fr", "fr", true),
        ("m de only=country networks=192.0.2.0/24", "fr", true),
        ("m de only=continent", "fr", true),
        ("m de only=continent", "jp", false),
        ("m de only=as asn=64500", "de", false),
        ("m de only=as asn=64500", "de asn=64500", true),
        ("m de only=network networks=192.0.2.0/24 asn=64500", "de asn=64500 from=203.0.113.1", false),
        ("m de only=network networks=192.0.2.0/24", "jp", true),
        ("m de exclude=fr", "fr", false),
        ("m de exclude=fr networks=192.0.2.0/24", "fr", false),
        ("m de exclude=fr", "", true),
        ("m de enabled=no", "de", false),
    ] {
        let site = Site::new(&[mirror]);
        assert_eq!(site.tiers(client).mirror_count() == 1, may, "{mirror} for {client}");
        let (place, address) = self::client(client);
        let request = Request { scheme: Scheme::Http, size: 1, place: &place, address };
        assert_eq!(refusal(&site.mirrors[0], Health::Up, &request).is_none(), may, "{mirror} for {client}");
    }
}

#[test]
fn every_refusal_says_why() {
    for (line, health, scheme, word, text) in [
        ("m enabled=no", Health::Up, Scheme::Http, "disabled", "disabled in the configuration"),
        ("m", Health::Down, Scheme::Http, "down", "down: it failed its last probes"),
        ("m https=no", Health::Up, Scheme::Https, "scheme", "has no https URL, and the request came over https"),
        ("m exclude=de,fr", Health::Up, Scheme::Http, "exclude-countries", "exclude-countries has fr, the client's country"),
        ("m only=as", Health::Up, Scheme::Http, "only", "serves clients of its own autonomous system only"),
        ("m max=2047", Health::Up, Scheme::Http, "max-file-size", "takes no files larger than 2.0 KiB"),
    ] {
        let (place, address) = client("fr");
        let request = Request { scheme, size: 2048, place: &place, address };
        let refusal = refusal(&mirror(line), health, &request).expect("a refusal");
        assert_eq!((refusal.as_str(), refusal.to_string().as_str()), (word, text), "{line}");
    }
    let (place, address) = client("fr");
    let request = Request { scheme: Scheme::Https, size: 2048, place: &place, address };
    for health in [Health::Unknown, Health::Up, Health::Failing] {
        assert_eq!(refusal(&mirror("m max=2048"), health, &request), None);
    }
    assert_eq!(
        refusal(&mirror("m only=country exclude=fr"), Health::Down, &request),
        Some(Refusal::Excluded("fr".parse().expect("fr")))
    );
}

#[test]
fn shares_follow_scores() {
    let site = Site::new(&[
        "small de score=50",
        "middle de score=100",
        "large de score=250",
        "reserve de score=0",
        "far jp score=100000",
    ]);
    let tiers = site.tiers("de");
    let (mut firsts, mut seconds) = (BTreeMap::new(), BTreeMap::new());
    let clients = 200_000;
    for number in 0..clients {
        let ranking = tiers.draw(network(number), |_| true, 2);
        *firsts.entry(ranking[0].index()).or_insert(0.0) += 1.0 / f64::from(clients);
        // Who is second when the large one is first: the others by their scores.
        if ranking[0].index() == 2 {
            *seconds.entry(ranking[1].index()).or_insert(0.0) += 1.0 / f64::from(clients);
        }
    }
    let close = |got: f64, expected: f64| (got / expected - 1.0).abs() < 0.03;
    assert!(close(firsts[&0], 0.125) && close(firsts[&1], 0.25) && close(firsts[&2], 0.625), "{firsts:?}");
    assert!(close(seconds[&0] / firsts[&2], 1.0 / 3.0) && close(seconds[&1] / firsts[&2], 2.0 / 3.0), "{seconds:?}");
    assert_eq!((firsts.len(), seconds.len()), (3, 2));
}

#[test]
fn the_order_is_the_same_in_every_release() {
    // Were this to change, every client would change its mirror with an upgrade.
    let site = Site::new(&["alpha", "beta", "gamma score=300", "delta score=50"]);
    let order = |address: &str| {
        let ranking = site.tiers("").draw(ClientNetwork::of(address.parse().expect("an address")), |_| true, 4);
        ranking.iter().map(|ranked| site.name(ranked.index())).collect::<Vec<_>>().join(" ")
    };
    for (address, expected) in [
        ("192.0.2.1", "gamma alpha beta delta"),
        ("198.51.100.1", "gamma alpha beta delta"),
        ("203.0.113.1", "alpha delta beta gamma"),
        ("2001:db8::1", "alpha gamma beta delta"),
        ("2001:db8:0:1::1", "alpha beta gamma delta"),
    ] {
        assert_eq!(order(address), expected, "{address}");
    }
}

#[test]
fn a_long_ranking_starts_like_a_short_one() {
    let lines: Vec<String> = (0..100).map(|n| format!("m{n} {} score={}", ["de", "fr", "jp"][n % 3], n * 7 % 5)).collect();
    let site = Site::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let tiers = site.tiers("de");
    for number in 0..200 {
        let usable = |index: usize| !index.is_multiple_of(4);
        let all = tiers.draw(network(number), usable, 1000);
        assert_eq!(all.len(), 75);
        for wanted in [0, 1, 5, Ranking::INLINE, Ranking::INLINE + 1, 40] {
            assert_eq!(tiers.draw(network(number), usable, wanted)[..], all[..wanted], "{wanted} of network {number}");
        }
    }
}

#[test]
fn a_draw_asks_only_of_mirrors_that_would_get_a_rank() {
    let lines: Vec<String> = (0..500).map(|n| format!("m{n} {}", if n < 300 { "us" } else { "jp" })).collect();
    let site = Site::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let tiers = site.tiers("us");
    let mut asked = 0;
    for number in 0..1000 {
        let count = |index| {
            asked += 1;
            assert!(index < 300, "a far mirror was asked although the near ones are enough");
            true
        };
        assert_eq!(tiers.draw(network(number), count, 5).len(), 5);
    }
    assert!(asked < 40_000, "{asked} questions for 1,000 draws of 5 out of 300");
}

#[test]
fn the_whole_order_tells_tiers_and_draws() {
    let site = Site::new(&["a de", "b de", "c fr", "d jp score=0", "e de only=network"]);
    let network = network(3);
    let drawn = site.tiers("de").drawn(network);
    assert_eq!(drawn.iter().map(|row| (row.rank, row.tier)).collect::<Vec<_>>(), [(0, 0), (1, 0), (2, 1), (3, 2)]);
    assert!(drawn[0].draw > drawn[1].draw);
    assert_eq!(drawn[0].index, site.tiers("de").draw(network, |_| true, 1)[0].index());
    assert_eq!(drawn[2].class, Class::Continent);
}

#[test]
fn clients_of_one_place_share_a_key() {
    let site = Site::new(&["a de asn=64500 networks=10.0.0.0/8"]);
    assert_eq!(site.key("de at=52.51,13.38"), site.key("de at=52.49,13.42 asn=1 from=203.0.113.5"));
    assert_ne!(site.key("de at=52.51,13.38"), site.key("de at=52.8,13.38"));
    assert_ne!(site.key("de"), site.key("de asn=64500"));
    assert_ne!(site.key("de"), site.key("de from=10.0.0.1"));
    assert_ne!(site.key("de"), site.key("de at=52.5,13.4"));
}

#[test]
fn no_mirrors_and_extreme_scores_do_no_harm() {
    assert_eq!(Site::new(&[]).first("de"), ("nobody", ""));
    let site = Site::new(&["most de score=4294967295", "least de score=1", "same de score=4294967295"]);
    for number in 0..1000 {
        let drawn = site.tiers("de").drawn(network(number));
        assert_eq!(drawn.len(), 3);
        assert!(drawn.iter().all(|row| row.draw.is_finite() && row.draw > 0.0));
    }
}

#[test]
fn a_mirror_that_speaks_the_clients_protocol_comes_first_where_that_costs_nobody_anything() {
    use super::IpVersion::{Prefer, Require};
    let site = Site::new(&["a de", "b de", "c fr"]);
    let tiers = site.tiers("de from=2001:db8::1");
    let network = ClientNetwork::of("2001:db8::1".parse().expect("an address"));
    let order = |rule, deaf: &str| {
        let answers = |index: usize| !deaf.split(' ').any(|name| name == site.name(index));
        let ranking = tiers.draw_reachable(network, rule, &mut |_| true, answers, 5);
        ranking.iter().map(|ranked| site.name(ranked.index())).collect::<Vec<_>>().join(" ")
    };
    let usual = order(Prefer, "");
    let (first, second) = if usual == "a b c" { ("a", "b") } else { ("b", "a") };
    for (rule, deaf, expected) in [
        (Prefer, second, format!("{first} {second} c")),
        (Prefer, first, format!("{second} {first} c")),
        (Prefer, "a b", usual.clone()),
        (Prefer, "a b c", usual.clone()),
        (Require, first, format!("{second} c")),
        (Require, "a b", "c".to_owned()),
        (Require, "a b c", String::new()),
    ] {
        assert_eq!(order(rule, deaf), expected, "{rule:?} without {deaf}");
    }
}
