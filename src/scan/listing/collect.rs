//! Gathers the entries of a page and keeps the promises that hold for every family: one segment below the directory, no name twice,
//! a limit on their number.

use std::collections::{HashMap, HashSet};

use super::address::{Base, Name, Target, is_possible};
use super::html::unescape;
use super::{Entry, Family, Kind, ListedTime, Listing, MAX_ENTRIES, Size};

/// The entries so far.
pub(super) struct Collector<'a> {
    base: &'a Base,
    moved: Moved,
    entries: Vec<Entry>,
    dropped: u64,
    /// A link led elsewhere.
    astray: bool,
    complete: bool,
    next: Option<String>,
}

/// What `<base href>` made of relative links.
enum Moved {
    No,
    To(Vec<Vec<u8>>),
    Away,
}

impl<'a> Collector<'a> {
    pub(super) fn new(base: &'a Base) -> Self {
        Self { base, moved: Moved::No, entries: Vec::new(), dropped: 0, astray: false, complete: false, next: None }
    }

    pub(super) fn base(&self) -> &'a Base {
        self.base
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes a page's `<base href>`.
    pub(super) fn move_base(&mut self, href: &[u8]) {
        self.moved = match self.base.moved(&unescape(href)) {
            Some(segments) if segments == self.base.segments() => Moved::No,
            Some(segments) => Moved::To(segments),
            None => Moved::Away,
        };
    }

    /// The page came whole.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// The directory goes on elsewhere.
    pub(super) fn continues(&mut self, token: String) {
        self.next = Some(token);
    }

    /// An entry belongs elsewhere.
    pub(super) fn drop_stray(&mut self) {
        self.dropped += 1;
        self.astray = true;
    }

    /// Takes the address in a link, as the attribute has it. Counts what is dropped.
    pub(super) fn link(&mut self, href: &[u8]) -> Option<Name> {
        self.address(&unescape(href))
    }

    /// Takes an address. Counts what is dropped.
    pub(super) fn address(&mut self, address: &[u8]) -> Option<Name> {
        match self.look(address) {
            Target::Entry(name) => Some(name),
            Target::Aside => None,
            Target::Impossible => {
                self.dropped += 1;
                None
            }
            Target::Foreign => {
                self.drop_stray();
                None
            }
        }
    }

    /// Where an address leads.
    fn look(&self, address: &[u8]) -> Target {
        match &self.moved {
            Moved::No => self.base.target(address, None),
            Moved::To(segments) => self.base.target(address, Some(segments)),
            Moved::Away => Target::Foreign,
        }
    }

    /// Takes a name that is no address: decoded, perhaps with a slash at its end.
    pub(super) fn name(&mut self, raw: &[u8]) -> Option<Name> {
        let bytes = raw.strip_suffix(b"/").unwrap_or(raw);
        if is_possible(bytes) {
            return Some(Name { bytes: bytes.to_vec(), slash: bytes.len() < raw.len() });
        }
        self.dropped += u64::from(!matches!(bytes, b"." | b".."));
        None
    }

    /// Adds an entry. A directory's size is none that anyone needs.
    pub(super) fn push(&mut self, name: Name, plain: Kind, size: Option<Size>, time: Option<ListedTime>) {
        let kind = if name.slash { Kind::Directory } else { plain };
        let size = if kind == Kind::Directory { None } else { size };
        self.entries.push(Entry { name: name.bytes, kind, size, time });
    }

    /// Whether no more is taken.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES
    }

    pub(super) fn finish(mut self, family: Family) -> Listing {
        let full = self.is_full();
        self.merge_twins();
        // A link that leads elsewhere may be one that the server did not escape: then what it should have led to is there. What an
        // unknown server's page links to besides entries tells nothing.
        let misled = self.astray && family != Family::Generic;
        // Where every entry was dropped, the page is not about this directory as it was understood: nothing follows from it.
        let senseless = self.entries.is_empty() && self.dropped > 0;
        let complete = self.complete && self.next.is_none() && !full && !misled && !senseless;
        Listing { entries: self.entries, family, complete, dropped: self.dropped, next: self.next }
    }

    fn has_no_twins(&self) -> bool {
        /// So many are sooner compared with each other than hashed.
        const FEW: usize = 8;
        if self.entries.len() <= FEW {
            let is_new = |(at, entry): (usize, &Entry)| self.entries[..at].iter().all(|other| other.name != entry.name);
            return self.entries.iter().enumerate().all(is_new);
        }
        let mut seen = HashSet::with_capacity(self.entries.len());
        self.entries.iter().all(|entry| seen.insert(entry.name.as_slice()))
    }

    /// Leaves each name once. Where two entries of one name differ, nobody knows which is right: what they differ in is left out.
    fn merge_twins(&mut self) {
        if self.has_no_twins() {
            return;
        }
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut merged: Vec<Entry> = Vec::with_capacity(self.entries.len());
        for entry in self.entries.drain(..) {
            if let Some(&place) = places.get(&entry.name) {
                let first = &mut merged[place];
                first.size = first.size.filter(|size| entry.size == Some(*size));
                first.time = first.time.filter(|time| entry.time == Some(*time));
                first.kind = if first.kind == entry.kind { first.kind } else { Kind::Unknown };
                self.dropped += 1;
            } else {
                places.insert(entry.name.clone(), merged.len());
                merged.push(entry);
            }
        }
        self.entries = merged;
    }
}
