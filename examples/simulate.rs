//! Selection over the whole Internet: who gets which mirror, how far it is, and who moves when a mirror leaves.
//!
//! `scripts/simulate [--city FILE]` runs it. Clients are IPv4 addresses, each address of the databases as likely as any other, the
//! same in every run. With a city database (any mmdb with coordinates) clients are really where it says, and mirrors are chosen
//! once by it and once by the built-in country database. Without one nobody knows how far a mirror really is: only shares, moves
//! and the most used mirrors are shown. Fails when a promise is broken or an aim is not met.

#![expect(clippy::print_stdout, reason = "a report is what it is for")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use redirector::clock::instant;
use redirector::geo::{self, Locator};
use redirector::model::{BaseUrl, ClientNetwork, Country, Mirror, MirrorName, Place, Point, Scheme};
use redirector::selection::{PlaceKey, Ranking, Selector, Tiers};

/// Simulates the choice of mirrors for clients all over the Internet.
#[derive(Parser, Debug)]
#[command(name = "simulate")]
struct Arguments {
    /// A GeoIP database with coordinates.
    #[arg(long, value_name = "FILE")]
    city: Option<PathBuf>,
    /// Mirrors: name, city, country, continent, latitude, longitude, and if wanted score, between tabs.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mirrors.tsv"))]
    mirrors: PathBuf,
    /// How many clients.
    #[arg(long, default_value_t = 1_000_000)]
    clients: usize,
    /// Another number makes other clients.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let text =
        std::fs::read_to_string(&arguments.mirrors).with_context(|| format!("reading {}", arguments.mirrors.display()))?;
    let mirrors = parse_mirrors(&text)?;
    let country = locator(None)?;
    let city = arguments.city.clone().map(|file| locator(Some(file))).transpose()?;
    let clients = Clients::new(&arguments, &country, city.as_ref());
    let countries: BTreeSet<Country> = clients.list.iter().filter_map(|(_, country, _)| *country).collect();
    println!("{} mirrors; {} IPv4 clients in {} countries", mirrors.len(), clients.list.len(), countries.len());

    let mut sound = true;
    if let Some(city) = &city {
        let choice = Choice { by: "city database", clients: &clients, places: clients.places(city) };
        sound &= choice.report(&mirrors, Some(AIM_CITY));
    } else {
        println!("No --city FILE: distances are left out, as nobody knows where in their countries these clients are.");
    }
    let choice = Choice { by: "country database", clients: &clients, places: clients.places(&country) };
    sound &= choice.report(&mirrors, None);
    cost(&mirrors, &clients, city.as_ref().unwrap_or(&country));
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The aim for the mean distance, as a multiple of that to the nearest mirror that has the file.
const AIM_CITY: f64 = 1.15;
/// How far a share may be off its score.
const AIM_SHARE: f64 = 0.03;
/// Mirrors that are due fewer clients may be off by more than that by mere chance,
const ENOUGH: f64 = 10_000.0;
/// but none by so many standard deviations.
const AIM_CHANCE: f64 = 4.5;
/// Clients of the test in which each mirror leaves in turn.
const MOVERS: usize = 20_000;

/// Clients, and where they really are.
struct Clients {
    list: Vec<(IpAddr, Option<Country>, Option<Point>)>,
    seed: u64,
}

impl Clients {
    /// Draws addresses until there are enough of which it is known where they are.
    fn new(arguments: &Arguments, country: &Locator, city: Option<&Locator>) -> Self {
        let mut random = Random(arguments.seed);
        let mut list = Vec::with_capacity(arguments.clients);
        while list.len() < arguments.clients {
            let address = IpAddr::V4(Ipv4Addr::from_bits((random.next() >> 32) as u32));
            let place = city.unwrap_or(country).locate(address);
            let is_known = if city.is_some() { place.point.is_some() } else { place.country.is_some() };
            if is_known {
                list.push((address, place.country, place.point));
            }
        }
        Self { list, seed: arguments.seed }
    }

    fn places(&self, locator: &Locator) -> Vec<Place> {
        self.list.iter().map(|(address, ..)| locator.locate(*address)).collect()
    }
}

/// A way to choose, and what it knows of each client.
struct Choice<'a> {
    by: &'static str,
    clients: &'a Clients,
    places: Vec<Place>,
}

/// Which mirrors have a client's file.
type Holdings = fn(mirror: usize, file: u64) -> bool;

impl Choice<'_> {
    fn report(&self, mirrors: &[Arc<Mirror>], aim: Option<f64>) -> bool {
        println!("\n== Mirrors chosen by the {} ==", self.by);
        let everything: Holdings = |_, _| true;
        // Every third mirror has 70 % of the files, the same ones.
        let partly: Holdings = |mirror, file| mirror % 3 != 2 || file % 10 < 7;
        let near = self.distances(mirrors, "every mirror has the file", everything, aim);
        let near_partly = self.distances(mirrors, "a third of the mirrors has 70 % of the files", partly, aim);
        let even = self.shares(mirrors, "all scores 100");
        let scored = |(number, mirror): (usize, &Arc<Mirror>)| {
            Arc::new(Mirror { score: [50, 100, 200][number % 3], ..(**mirror).clone() })
        };
        let uneven: Vec<Arc<Mirror>> = mirrors.iter().enumerate().map(scored).collect();
        let uneven = self.shares(&uneven, "scores 50, 100, 200 in turn");
        let loyal = self.leave(mirrors);
        near && near_partly && even && uneven && loyal
    }

    /// The mean distance as a multiple of always taking the nearest mirror that has the file.
    fn distances(&self, mirrors: &[Arc<Mirror>], what: &str, holds: Holdings, aim: Option<f64>) -> bool {
        let mut atlas = Atlas::new(mirrors);
        let mut random = Random(self.clients.seed ^ 0xf11e);
        let (mut chosen, mut nearest) = (Vec::new(), Vec::new());
        let mut used: BTreeMap<usize, usize> = BTreeMap::new();
        for ((address, _, client), place) in self.clients.list.iter().zip(&self.places) {
            let file = random.next();
            let ranking = atlas.draw(place, *address, |mirror| holds(mirror, file), 1);
            let Some(best) = ranking.first() else { continue };
            *used.entry(best.index()).or_default() += 1;
            let Some(client) = client else { continue };
            let km = |mirror: &Mirror| mirror.point.map_or(f64::NAN, |point| point.distance_km(*client));
            chosen.push(km(&mirrors[best.index()]));
            let holders = mirrors.iter().enumerate().filter(|(index, _)| holds(*index, file));
            nearest.push(holders.map(|(_, mirror)| km(mirror)).fold(f64::INFINITY, f64::min));
        }
        println!("{what}:");
        println!("  most used: {}", most_used(mirrors, &used, self.clients.list.len()));
        if chosen.is_empty() {
            return true;
        }
        let ratio = mean(&chosen) / mean(&nearest);
        let good = aim.is_none_or(|aim| ratio <= aim);
        let verdict = aim.map_or_else(String::new, |aim| format!(" (aim {aim}: {})", ok(good)));
        println!("  mean distance: {ratio:.3} times the nearest{verdict}");
        println!("  km mean/median/p90: chosen {}, nearest {}", spread(&mut chosen), spread(&mut nearest));
        good
    }

    /// Requests of each mirror against what its score promises, within the tier that each client's mirror comes from.
    fn shares(&self, mirrors: &[Arc<Mirror>], what: &str) -> bool {
        let mut atlas = Atlas::new(mirrors);
        let mut tallies = vec![Tally::default(); mirrors.len()];
        let (mut shared, mut choices) = (0, 0);
        for ((address, ..), place) in self.clients.list.iter().zip(&self.places) {
            let tiers = atlas.tiers(place, *address);
            let best = tiers.draw(ClientNetwork::of(*address), |_| true, 1)[0].index();
            let Some(tier) = tiers.iter().next() else { continue };
            choices += tier.members().len();
            if tier.members().len() > 1 {
                let score = |index: usize| f64::from(mirrors[index].score);
                let sum: f64 = tier.members().map(score).sum();
                tier.members().for_each(|index| tallies[index].expect(score(index) / sum));
                tallies[best].got += 1.0;
                shared += 1;
            }
        }
        let large = tallies.iter().filter(|tally| tally.due >= ENOUGH);
        let worst = large.clone().map(|tally| (tally.got / tally.due - 1.0).abs()).fold(0.0, f64::max);
        let chance = tallies.iter().filter(|tally| tally.due >= 100.0).map(Tally::deviations).fold(0.0, f64::max);
        let good = worst <= AIM_SHARE && chance <= AIM_CHANCE;
        let clients = self.clients.list.len() as f64;
        println!(
            "shares, {what}: off by at most {:.1} % (aim {:.0} %) over the {} mirrors that are due {ENOUGH} clients and more, by at most \
             {chance:.1} standard deviations (aim {AIM_CHANCE}) over all: {}",
            100.0 * worst,
            100.0 * AIM_SHARE,
            large.count(),
            ok(good),
        );
        let (shared, choices) = (100.0 * f64::from(shared) / clients, choices as f64 / clients);
        println!("  {shared:.0} % of clients have several mirrors about as near; {choices:.2} on average");
        good
    }

    /// Each mirror leaves in turn: its clients move, and nobody else.
    fn leave(&self, mirrors: &[Arc<Mirror>]) -> bool {
        let count = MOVERS.min(self.clients.list.len());
        let first = |mirrors: &[Arc<Mirror>]| -> Vec<Option<MirrorName>> {
            let mut atlas = Atlas::new(mirrors);
            let clients = self.clients.list.iter().zip(&self.places).take(count);
            clients
                .map(|((address, ..), place)| {
                    let ranking = atlas.draw(place, *address, |_| true, 1);
                    ranking.first().map(|best| mirrors[best.index()].name.clone())
                })
                .collect()
        };
        let before = first(mirrors);
        let (mut moved, mut foreign, mut most) = (0, 0, 0);
        for leaving in 0..mirrors.len() {
            let mut others = mirrors.to_vec();
            let name = others.remove(leaving).name.clone();
            let after = first(&others);
            let movers = before.iter().zip(&after).filter(|(before, after)| before != after);
            let (own, not_own): (Vec<_>, Vec<_>) = movers.partition(|(before, _)| before.as_ref() == Some(&name));
            moved += own.len();
            foreign += not_own.len();
            most = most.max(own.len());
        }
        let share = |movers: usize| 100.0 * movers as f64 / count as f64;
        println!(
            "a mirror leaves (each in turn): {:.2} % of clients move on average, {:.1} % at most; clients of other mirrors that moved: \
             {foreign} ({})",
            share(moved) / mirrors.len() as f64,
            share(most),
            ok(foreign == 0),
        );
        foreign == 0
    }
}

/// One mirror's clients: how many it is due by its score, with the variance of that, and how many it got.
#[derive(Clone, Default)]
struct Tally {
    due: f64,
    variance: f64,
    got: f64,
}

impl Tally {
    fn expect(&mut self, probability: f64) {
        self.due += probability;
        self.variance += probability * (1.0 - probability);
    }

    fn deviations(&self) -> f64 {
        (self.got - self.due).abs() / self.variance.sqrt()
    }
}

/// What choosing costs, with these mirrors and with 500.
fn cost(mirrors: &[Arc<Mirror>], clients: &Clients, locator: &Locator) {
    println!("\n== Cost, 5 mirrors wanted (busy machines show more) ==");
    let mut random = Random(5);
    let many: Vec<Arc<Mirror>> = (0..500)
        .map(|number| {
            let mut mirror = (*mirrors[number % mirrors.len()]).clone();
            mirror.name = MirrorName::parse(&format!("m{number}")).expect("a name");
            let shift = |random: &mut Random| random.fraction() * 4.0 - 2.0;
            mirror.point = mirror
                .point
                .and_then(|point| Point::new(point.latitude + shift(&mut random), point.longitude + shift(&mut random)));
            Arc::new(mirror)
        })
        .collect();
    let places: Vec<(Place, IpAddr)> =
        clients.list.iter().take(20_000).map(|(address, ..)| (locator.locate(*address), *address)).collect();
    let countries: Vec<(Place, IpAddr)> =
        places.iter().map(|(place, address)| (Place { point: None, ..*place }, *address)).collect();
    let nowhere: Vec<(Place, IpAddr)> = places.iter().map(|(_, address)| (Place::default(), *address)).collect();
    for mirrors in [mirrors, &many] {
        for (what, places) in [("coordinates", &places), ("the country", &countries), ("nothing", &nowhere)] {
            let selector = Selector::new(mirrors);
            let keys = nanoseconds(places, |(place, address)| selector.key(place, *address));
            let tiers = nanoseconds(&places[..1000.min(places.len())], |(place, address)| selector.tiers(place, *address));
            let sorted: Vec<(Tiers, ClientNetwork)> = places
                .iter()
                .take(5000)
                .map(|(place, address)| (selector.tiers(place, *address), ClientNetwork::of(*address)))
                .collect();
            let draws = nanoseconds(&sorted, |(tiers, network)| tiers.draw(*network, |_| true, 5).len());
            println!(
                "{} mirrors, {what} known: key {keys:.0} ns, draw {draws:.0} ns; tiers of a new place {:.1} us",
                mirrors.len(),
                tiers / 1e3
            );
        }
    }
}

/// Nanoseconds for one, the best of three rounds.
fn nanoseconds<T, R>(inputs: &[T], mut run: impl FnMut(&T) -> R) -> f64 {
    let mut round = || {
        let start = instant();
        inputs.iter().for_each(|input| drop(std::hint::black_box(run(input))));
        start.elapsed().as_nanos() as f64 / inputs.len().max(1) as f64
    };
    (0..3).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// A selector with its tiers kept by place.
struct Atlas {
    selector: Selector,
    tiers: HashMap<PlaceKey, Tiers>,
}

impl Atlas {
    fn new(mirrors: &[Arc<Mirror>]) -> Self {
        Self { selector: Selector::new(mirrors), tiers: HashMap::new() }
    }

    fn tiers(&mut self, place: &Place, address: IpAddr) -> &Tiers {
        let key = self.selector.key(place, address);
        self.tiers.entry(key).or_insert_with(|| self.selector.tiers_by_key(&key))
    }

    fn draw(&mut self, place: &Place, address: IpAddr, usable: impl FnMut(usize) -> bool, wanted: usize) -> Ranking {
        self.tiers(place, address).draw(ClientNetwork::of(address), usable, wanted)
    }
}

/// splitmix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn locator(location: Option<PathBuf>) -> Result<Locator> {
    let (locator, problems) = Locator::open(&geo::Settings { location, ..geo::Settings::default() })?;
    ensure!(problems.is_empty(), "the GeoIP databases have problems: {problems:?}");
    Ok(locator)
}

fn parse_mirrors(text: &str) -> Result<Vec<Arc<Mirror>>> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines.map(|line| parse_mirror(line).with_context(|| format!("in the line {line:?}")).map(Arc::new)).collect()
}

fn parse_mirror(line: &str) -> Result<Mirror> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, _, country, continent, latitude, longitude, rest @ ..] = fields.as_slice() else {
        anyhow::bail!("fewer than 6 fields");
    };
    Ok(Mirror {
        https: Some(BaseUrl::parse(&format!("https://{name}.example/"), Scheme::Https)?),
        country: Some(country.parse()?),
        continent: Some(continent.parse()?),
        point: Some(Point::new(latitude.parse()?, longitude.parse()?).context("no point on Earth")?),
        score: rest.first().map_or(Ok(100), |score| score.parse())?,
        ..Mirror::new(MirrorName::parse(name)?)
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values.get(values.len() * share / 100).copied().unwrap_or(f64::NAN);
    format!("{:.0}/{:.0}/{:.0}", mean(values), at(50), at(90))
}

fn most_used(mirrors: &[Arc<Mirror>], used: &BTreeMap<usize, usize>, all: usize) -> String {
    let mut used: Vec<(usize, usize)> = used.iter().map(|(index, count)| (*index, *count)).collect();
    used.sort_by_key(|(index, count)| (std::cmp::Reverse(*count), *index));
    let share = |count: usize| 100.0 * count as f64 / all as f64;
    let line = |(index, count): &(usize, usize)| format!("{} {:.1} %", mirrors[*index].name, share(*count));
    format!("{} ({} mirrors used)", used.iter().take(6).map(line).collect::<Vec<_>>().join(", "), used.len())
}

const fn ok(good: bool) -> &'static str {
    if good { "ok" } else { "NOT MET" }
}
