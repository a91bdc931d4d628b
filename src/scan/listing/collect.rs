//! Gathers the entries of a page and keeps the promises that hold for every family: one segment below the directory, no name twice,
//! a limit on their number.

use std::collections::HashSet;

use super::address::{Base, Name, Target, is_possible};
use super::html::unescape;
use super::{Entry, Family, Kind, ListedTime, Listing, MAX_ENTRIES, Size};

/// The entries so far.
pub(super) struct Collector<'a> {
    base: &'a Base,
    moved: Moved,
    entries: Vec<Entry>,
    dropped: u64,
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
        Self { base, moved: Moved::No, entries: Vec::new(), dropped: 0, complete: false, next: None }
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

    /// Something was an entry, and can't be used.
    pub(super) fn drop_one(&mut self) {
        self.dropped += 1;
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
            Target::Foreign => {
                self.dropped += 1;
                None
            }
        }
    }

    /// Where an address leads.
    pub(super) fn look(&self, address: &[u8]) -> Target {
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
        let all = self.entries.len();
        let mut seen = HashSet::with_capacity(all);
        let fresh: Vec<bool> = self.entries.iter().map(|entry| seen.insert(entry.name.as_slice())).collect();
        drop(seen);
        let mut fresh = fresh.into_iter();
        self.entries.retain(|_| fresh.next().unwrap_or(false));
        self.dropped += (all - self.entries.len()) as u64;
        // Where every entry was dropped, the page is not about this directory as it was understood: nothing follows from it.
        let senseless = self.entries.is_empty() && self.dropped > 0;
        let complete = self.complete && !full && !senseless;
        Listing { entries: self.entries, family, complete, dropped: self.dropped, next: self.next }
    }
}
