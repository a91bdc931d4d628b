//! All that is known about IPv4 addresses in one flat table. An address costs four looks at memory; each database's own tree costs up
//! to 32, and reading the record that it leads to a thousand instructions.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::record::POINTS_PER_DEGREE;
use crate::model::{Continent, Country, Place, Point};

/// What is known about each IPv4 address.
pub(super) struct Table {
    /// Where the networks of each /16 begin in `starts` and `known`, and where those of the last one end.
    blocks: Box<[u32]>,
    /// The lower half of each network's first address. Those of one /16 are sorted, and the first is 0.
    starts: Box<[u16]>,
    /// What is known about each network.
    known: Box<[Known]>,
}

/// What is known about a network, in twelve bytes.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Known {
    /// 0 for none: no network has it (RFC 7607).
    asn: u32,
    /// In hundredths of a degree, or one of the signs below.
    latitude: i16,
    longitude: i16,
    country: Option<Country>,
    continent: Option<Continent>,
}

/// What a table has about an address.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Found {
    /// No record.
    Nothing,
    /// One that can't be read.
    Damaged,
    /// What it tells.
    Place(Place),
}

impl Found {
    /// The place, if there is one.
    pub(super) const fn place(&self) -> Option<Place> {
        match self {
            Self::Place(place) => Some(*place),
            Self::Nothing | Self::Damaged => None,
        }
    }
}

const BLOCKS: usize = 1 << 16;
const NOTHING: Known = Known { asn: 0, latitude: i16::MIN, longitude: 0, country: None, continent: None };
const DAMAGED: Known = Known { latitude: i16::MIN + 1, ..NOTHING };
/// Stands where no coordinates are.
const NOWHERE: i16 = i16::MAX;

impl From<&Place> for Known {
    #[expect(clippy::cast_possible_truncation, reason = "a point's degrees are between -180 and 180")]
    fn from(place: &Place) -> Self {
        let hundredths = |degrees: f64| (degrees * POINTS_PER_DEGREE).round() as i16;
        let (latitude, longitude) =
            place.point.map_or((NOWHERE, 0), |point| (hundredths(point.latitude), hundredths(point.longitude)));
        Self { asn: place.asn.unwrap_or(0), latitude, longitude, country: place.country, continent: place.continent }
    }
}

impl From<Known> for Found {
    fn from(known: Known) -> Self {
        let degrees = |hundredths: i16| f64::from(hundredths) / POINTS_PER_DEGREE;
        match known {
            NOTHING => Self::Nothing,
            DAMAGED => Self::Damaged,
            Known { asn, latitude, longitude, country, continent } => Self::Place(Place {
                country,
                continent,
                // Where there are none, the latitude is beyond the poles.
                point: Point::new(degrees(latitude), degrees(longitude)),
                asn: (asn != 0).then_some(asn),
            }),
        }
    }
}

impl Table {
    /// What is known about an address.
    pub(super) fn find(&self, address: Ipv4Addr) -> Found {
        let (block, low) = halves(address.to_bits());
        let (first, end) = (self.blocks[block] as usize, self.blocks[block + 1] as usize);
        let after = self.starts[first..end].partition_point(|start| *start <= low);
        self.known[first + after - 1].into()
    }

    /// What several tables know, in one: `combine` gets what each of them has about a network. `None` if it would be too large.
    pub(super) fn join(tables: &[Self], combine: impl Fn(&[Found]) -> Found) -> Option<Self> {
        let mut builder = Builder::with_room(tables.iter().map(|table| table.known.len()).sum());
        let mut edges: Vec<_> = tables.iter().map(|table| table.edges().peekable()).collect();
        let mut found = vec![Found::Nothing; tables.len()];
        while let Some(from) = edges.iter_mut().filter_map(|edges| edges.peek().map(|(from, _)| *from)).min() {
            for (edges, found) in edges.iter_mut().zip(&mut found) {
                if let Some((_, known)) = edges.next_if(|(next, _)| *next == from) {
                    *found = known.into();
                }
            }
            let known = match combine(&found) {
                Found::Nothing => NOTHING,
                Found::Damaged => DAMAGED,
                Found::Place(place) => (&place).into(),
            };
            builder.edge(from, known);
            builder.is_small().then_some(())?;
        }
        builder.next = None;
        Some(builder.build())
    }

    /// From each address on, up to the next, this is what is known.
    fn edges(&self) -> impl Iterator<Item = (u32, Known)> {
        (0..BLOCKS).flat_map(move |block| {
            let of_block = self.blocks[block] as usize..self.blocks[block + 1] as usize;
            of_block.map(move |at| ((block as u32) << 16 | u32::from(self.starts[at]), self.known[at]))
        })
    }
}

/// Makes a table of networks in the order of their addresses: right in its last form, as lists between would be in memory beside it,
/// with everything else that a server has there.
pub(super) struct Builder {
    /// Those that have begun; the others only have what is known last.
    blocks: Vec<u32>,
    starts: Vec<u16>,
    known: Vec<Known>,
    /// Behind the last network; `None` after the last address.
    next: Option<u32>,
    /// What the records of the database say, by their offsets.
    records: HashMap<usize, Known>,
}

impl Builder {
    /// The most networks of a table: with fourteen bytes each, 120 MB. City databases have five million.
    pub(super) const MAX_NETWORKS: usize = 1 << 23;

    /// For so many networks, or fewer: memory that is not used is given back at the end, and what was never touched was never taken. A
    /// list that grows is copied again and again, and leaves a hole each time.
    pub(super) fn with_room(networks: usize) -> Self {
        let room = networks.min(Self::MAX_NETWORKS) + BLOCKS;
        let (mut starts, mut known) = (Vec::with_capacity(room), Vec::with_capacity(room));
        starts.push(0);
        known.push(NOTHING);
        let mut blocks = Vec::with_capacity(BLOCKS + 1);
        blocks.push(0);
        Self { blocks, starts, known, next: Some(0), records: HashMap::new() }
    }

    /// Adds a network behind all others, with the record at `offset`, which is `read` if it is new; `None` if it can't be. False if the
    /// network is not behind the others, or is one too many.
    pub(super) fn add(&mut self, network: Ipv4Net, offset: usize, read: impl FnOnce() -> Option<Place>) -> bool {
        let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
        let Some(next) = self.next.filter(|next| *next <= first) else { return false };
        let known = *self.records.entry(offset).or_insert_with(|| read().map_or(DAMAGED, |place| (&place).into()));
        if next < first {
            self.edge(next, NOTHING);
        }
        self.edge(first, known);
        self.next = last.checked_add(1);
        self.is_small()
    }

    const fn is_small(&self) -> bool {
        self.known.len() <= Self::MAX_NETWORKS
    }

    /// From here on, which is not before the last edge, this is known.
    fn edge(&mut self, from: u32, known: Known) {
        let (block, low) = halves(from);
        if known == self.last() {
            return;
        }
        self.begin_blocks(block + 1);
        match (self.starts.last(), self.known.last_mut()) {
            (Some(start), Some(last)) if *start == low => *last = known,
            _ => {
                self.starts.push(low);
                self.known.push(known);
            }
        }
    }

    /// What is known behind the last edge.
    fn last(&self) -> Known {
        self.known.last().copied().unwrap_or(NOTHING)
    }

    /// Has so many blocks begin, each new one with what is known last.
    fn begin_blocks(&mut self, count: usize) {
        let last = self.last();
        while self.blocks.len() < count {
            self.blocks.push(self.starts.len() as u32);
            self.starts.push(0);
            self.known.push(last);
        }
    }

    pub(super) fn build(mut self) -> Table {
        if let Some(next) = self.next {
            self.edge(next, NOTHING);
        }
        self.begin_blocks(BLOCKS);
        self.blocks.push(self.starts.len() as u32);
        let Self { blocks, starts, known, .. } = self;
        Table { blocks: blocks.into(), starts: starts.into(), known: known.into() }
    }
}

/// The /16 of an address, and which one in there it is.
const fn halves(address: u32) -> (usize, u16) {
    ((address >> 16) as usize, address as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(asn: u32) -> Place {
        Place { asn: Some(asn), ..Place::default() }
    }

    fn table(networks: &[(&str, usize)]) -> Table {
        let mut builder = Builder::with_room(0);
        for &(network, offset) in networks {
            let read = || (offset != 13).then(|| place(offset as u32));
            assert!(builder.add(network.parse().expect("a network"), offset, read), "{network}");
        }
        builder.build()
    }

    fn find(table: &Table, address: &str) -> Option<u32> {
        match table.find(address.parse().expect("an address")) {
            Found::Nothing => None,
            Found::Damaged => Some(13),
            Found::Place(place) => place.asn,
        }
    }

    #[test]
    fn each_address_is_found_in_its_network_and_nowhere_else() {
        let table = table(&[
            ("1.0.0.0/24", 5),
            ("1.0.1.0/24", 5),
            ("1.0.3.0/32", 6),
            ("1.0.3.1/32", 13),
            ("1.1.0.0/16", 7),
            ("1.2.0.0/15", 8),
            ("1.4.0.0/17", 8),
            ("100.0.0.0/6", 9),
            ("255.255.255.255/32", 10),
        ]);
        for (address, expected) in [
            ("0.0.0.0", None),
            ("0.255.255.255", None),
            ("1.0.0.0", Some(5)),
            ("1.0.1.255", Some(5)),
            ("1.0.2.0", None),
            ("1.0.3.0", Some(6)),
            ("1.0.3.1", Some(13)),
            ("1.0.3.2", None),
            ("1.0.255.255", None),
            ("1.1.0.0", Some(7)),
            ("1.1.255.255", Some(7)),
            ("1.2.0.0", Some(8)),
            ("1.3.255.255", Some(8)),
            ("1.4.127.255", Some(8)),
            ("1.4.128.0", None),
            ("99.255.255.255", None),
            ("100.0.0.0", Some(9)),
            ("103.255.255.255", Some(9)),
            ("104.0.0.0", None),
            ("255.255.255.254", None),
            ("255.255.255.255", Some(10)),
        ] {
            assert_eq!(find(&table, address), expected, "{address}");
        }
    }

    #[test]
    fn an_empty_and_a_whole_table_work_too() {
        assert_eq!(find(&table(&[]), "192.0.2.1"), None);
        let whole = table(&[("0.0.0.0/0", 5)]);
        assert_eq!((find(&whole, "0.0.0.0"), find(&whole, "255.255.255.255")), (Some(5), Some(5)));
    }

    #[test]
    fn networks_out_of_order_are_refused() {
        let mut builder = Builder::with_room(0);
        let mut add = |network: &str| builder.add(network.parse().expect("a network"), 5, || Some(place(5)));
        assert!(add("1.1.0.0/16"));
        assert!(!add("1.1.1.0/24"));
        assert!(!add("1.0.0.0/24"));
        assert!(add("255.0.0.0/8"));
        assert!(!add("255.255.255.255/32"));
    }

    #[test]
    fn joined_tables_say_at_each_address_what_they_say_together() {
        let tables = [
            table(&[("1.0.0.0/24", 5), ("1.0.2.0/23", 6), ("1.1.0.0/16", 13), ("2.0.0.0/8", 5)]),
            table(&[("1.0.0.128/25", 70), ("1.0.1.0/24", 80), ("1.1.128.0/17", 70), ("255.255.255.255/32", 90)]),
            table(&[]),
        ];
        let together = |found: &[Found]| match (found[0], found[1]) {
            (Found::Damaged, _) => Found::Damaged,
            (Found::Nothing, second) => second,
            (first, Found::Nothing) => first,
            (Found::Place(first), Found::Place(second)) => {
                Found::Place(place(first.asn.expect("one") + second.asn.expect("one")))
            }
            other => panic!("{other:?}"),
        };
        let joined = Table::join(&tables, together).expect("small");
        for (address, expected) in [
            ("0.0.0.0", None),
            ("1.0.0.0", Some(5)),
            ("1.0.0.127", Some(5)),
            ("1.0.0.128", Some(75)),
            ("1.0.0.255", Some(75)),
            ("1.0.1.0", Some(80)),
            ("1.0.2.0", Some(6)),
            ("1.0.3.255", Some(6)),
            ("1.0.4.0", None),
            ("1.1.0.1", Some(13)),
            ("1.1.128.0", Some(13)),
            ("1.2.0.0", None),
            ("2.255.255.255", Some(5)),
            ("3.0.0.0", None),
            ("255.255.255.254", None),
            ("255.255.255.255", Some(90)),
        ] {
            assert_eq!(find(&joined, address), expected, "{address}");
        }
        assert_eq!(find(&Table::join(&[], |_| Found::Nothing).expect("small"), "1.0.0.0"), None);
    }
}
