//! All IPv4 networks of a database in one flat table. An address costs four looks at memory; the database's own tree costs up to 32,
//! and reading the record that it leads to a thousand instructions.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::model::Place;

/// What is known about each IPv4 address.
pub(super) struct Table {
    /// Where the networks of each /16 begin in `starts` and `records`, and where those of the last one end.
    blocks: Box<[u32]>,
    /// The lower half of each network's first address. Those of one /16 are sorted, and the first is 0.
    starts: Box<[u16]>,
    /// What is known about each network: a number of `places`.
    records: Box<[u32]>,
    /// The first two are `NOTHING` and `DAMAGED`.
    places: Box<[Place]>,
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

const BLOCKS: usize = 1 << 16;
const NOTHING: u32 = 0;
const DAMAGED: u32 = 1;

impl Table {
    /// What is known about an address.
    pub(super) fn find(&self, address: Ipv4Addr) -> Found {
        let (block, low) = halves(address.to_bits());
        let (first, end) = (self.blocks[block] as usize, self.blocks[block + 1] as usize);
        let after = self.starts[first..end].partition_point(|start| *start <= low);
        match self.records[first + after - 1] {
            NOTHING => Found::Nothing,
            DAMAGED => Found::Damaged,
            place => Found::Place(self.places[place as usize]),
        }
    }
}

/// Makes a table of networks in the order of their addresses.
pub(super) struct Builder {
    /// From each address on, up to the next, this is what is known. Neighbours differ.
    edges: Vec<(u32, u32)>,
    /// Behind the last network; `None` after the last address.
    next: Option<u32>,
    places: Vec<Place>,
    /// Numbers of places by the offsets of their records in the database.
    known: HashMap<usize, u32>,
}

impl Builder {
    /// The most networks of a table: with six bytes each, 50 MB. City databases have five million.
    pub(super) const MAX_NETWORKS: usize = 1 << 23;

    pub(super) fn new() -> Self {
        Self { edges: vec![(0, NOTHING)], next: Some(0), places: vec![Place::default(); 2], known: HashMap::new() }
    }

    /// Adds a network behind all others, with the record at `offset`, which is `read` if it is new; `None` if it can't be. False if the
    /// network is not behind the others, or is one too many.
    pub(super) fn add(&mut self, network: Ipv4Net, offset: usize, read: impl FnOnce() -> Option<Place>) -> bool {
        let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
        let Some(next) = self.next.filter(|next| *next <= first) else { return false };
        let record = *self.known.entry(offset).or_insert_with(|| match (read(), u32::try_from(self.places.len())) {
            (Some(place), Ok(number)) => {
                self.places.push(place);
                number
            }
            _ => DAMAGED,
        });
        if next < first {
            self.edge(next, NOTHING);
        }
        self.edge(first, record);
        self.next = last.checked_add(1);
        self.edges.len() <= Self::MAX_NETWORKS
    }

    fn edge(&mut self, from: u32, record: u32) {
        match self.edges.last_mut() {
            Some((_, last)) if *last == record => {}
            Some(last) if last.0 == from => last.1 = record,
            _ => self.edges.push((from, record)),
        }
    }

    pub(super) fn build(mut self) -> Table {
        if let Some(next) = self.next {
            self.edge(next, NOTHING);
        }
        let (mut blocks, mut starts, mut records) = (Vec::with_capacity(BLOCKS + 1), Vec::new(), Vec::new());
        let mut edges = self.edges.iter().peekable();
        let mut now = NOTHING;
        for block in 0..BLOCKS {
            blocks.push(starts.len() as u32);
            if edges.peek().is_none_or(|(from, _)| halves(*from) != (block, 0)) {
                starts.push(0);
                records.push(now);
            }
            while let Some((from, record)) = edges.next_if(|(from, _)| halves(*from).0 == block) {
                starts.push(halves(*from).1);
                records.push(*record);
                now = *record;
            }
        }
        blocks.push(starts.len() as u32);
        Table { blocks: blocks.into(), starts: starts.into(), records: records.into(), places: self.places.into() }
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
        let mut builder = Builder::new();
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
        let mut builder = Builder::new();
        let mut add = |network: &str| builder.add(network.parse().expect("a network"), 5, || Some(place(5)));
        assert!(add("1.1.0.0/16"));
        assert!(!add("1.1.1.0/24"));
        assert!(!add("1.0.0.0/24"));
        assert!(add("255.0.0.0/8"));
        assert!(!add("255.255.255.255/32"));
    }
}
