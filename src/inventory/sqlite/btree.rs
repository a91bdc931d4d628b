//! SQLite's pages of a table without row numbers, and the records in them (<https://www.sqlite.org/fileformat2.html>, "B-tree Pages" and
//! "Record Format"). Whatever is not as it should be is [`Odd`]: it is SQLite that says what is wrong then.

/// Not what is expected here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Odd;

/// How a database's pages are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    /// Bytes of a page, without those at its end that are reserved for others.
    usable: usize,
}

const LEAF: u8 = 0x0a;
const INTERIOR: u8 = 0x02;
/// The least that SQLite itself takes.
const MIN_USABLE: usize = 480;

impl Layout {
    /// That of the database with this first page.
    pub(super) fn of(first_page: &[u8]) -> Result<Self, Odd> {
        let reserved = usize::from(*first_page.get(20).ok_or(Odd)?);
        let usable = first_page.len().checked_sub(reserved).filter(|usable| *usable >= MIN_USABLE).ok_or(Odd)?;
        Ok(Self { usable })
    }

    /// How much of a record of so many bytes stands in its page; what remains is in overflow pages.
    fn local(self, length: usize) -> usize {
        let most = (self.usable - 12) * 64 / 255 - 23;
        let least = (self.usable - 12) * 32 / 255 - 23;
        if length <= most {
            return length;
        }
        let rest = least + (length - least) % (self.usable - 4);
        if rest <= most { rest } else { least }
    }

    /// The number of the next overflow page (0: there is none) and the part of the record in this one.
    pub(super) fn overflow(self, page: &[u8]) -> Result<(u32, &[u8]), Odd> {
        let (next, part) = page.get(..self.usable).and_then(<[u8]>::split_first_chunk).ok_or(Odd)?;
        Ok((u32::from_be_bytes(*next), part))
    }
}

/// A page of the tree.
pub(super) struct Page<'p> {
    layout: Layout,
    bytes: &'p [u8],
    cells: &'p [[u8; 2]],
    /// The child with what comes after all cells, where this is no leaf.
    pub(super) last: Option<u32>,
}

/// A record, as a page has it.
pub(super) struct Cell<'p> {
    /// The child with what comes before it, where the page is no leaf.
    pub(super) before: Option<u32>,
    /// Its beginning.
    pub(super) local: &'p [u8],
    /// Bytes of it that are elsewhere, and the page where they begin.
    pub(super) rest: Option<(usize, u32)>,
}

impl<'p> Page<'p> {
    pub(super) fn of(bytes: &'p [u8], layout: Layout) -> Result<Self, Odd> {
        let bytes = bytes.get(..layout.usable).ok_or(Odd)?;
        let mut rest = bytes;
        let [kind, _, _, count @ .., _, _, _] = take::<8>(&mut rest)?;
        let last = match *kind {
            LEAF => None,
            INTERIOR => Some(u32::from_be_bytes(*take(&mut rest)?)),
            _ => return Err(Odd),
        };
        let cells = rest.get(..2 * usize::from(u16::from_be_bytes(*count))).ok_or(Odd)?.as_chunks().0;
        Ok(Self { layout, bytes, cells, last })
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = Result<Cell<'p>, Odd>> {
        self.cells.iter().map(|at| self.cell(u16::from_be_bytes(*at)))
    }

    fn cell(&self, at: u16) -> Result<Cell<'p>, Odd> {
        let mut bytes = self.bytes.get(usize::from(at)..).ok_or(Odd)?;
        let before = if self.last.is_some() { Some(u32::from_be_bytes(*take(&mut bytes)?)) } else { None };
        let length = usize::try_from(varint(&mut bytes)?).ok().filter(|length| *length <= MAX_RECORD_BYTES).ok_or(Odd)?;
        let local = bytes.split_off(..self.layout.local(length)).ok_or(Odd)?;
        let left = length - local.len();
        let rest = if left > 0 { Some((left, u32::from_be_bytes(*take(&mut bytes)?))) } else { None };
        Ok(Cell { before, local, rest })
    }
}

/// The longest record that is taken: a path has at most a few thousand bytes.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// What stands in a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Value<'r> {
    Null,
    Integer(i64),
    Blob(&'r [u8]),
}

/// The columns of a record that were not taken yet.
pub(super) struct Record<'r> {
    kinds: &'r [u8],
    values: &'r [u8],
}

impl<'r> Record<'r> {
    pub(super) fn of(bytes: &'r [u8]) -> Result<Self, Odd> {
        let mut rest = bytes;
        let head = usize::try_from(varint(&mut rest)?).map_err(|_| Odd)?;
        let (head, values) = bytes.split_at_checked(head).ok_or(Odd)?;
        let kinds = head.get(bytes.len() - rest.len()..).ok_or(Odd)?;
        Ok(Self { kinds, values })
    }

    /// Takes the next value; none where the record has no more: the column was added after it was written.
    pub(super) fn take(&mut self) -> Result<Option<Value<'r>>, Odd> {
        if self.kinds.is_empty() {
            return Ok(None);
        }
        let value = match varint(&mut self.kinds)? {
            0 => Value::Null,
            kind @ 1..=6 => Value::Integer(self.integer([1, 2, 3, 4, 6, 8][kind as usize - 1])?),
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            kind @ 12.. if kind.is_multiple_of(2) => {
                let length = usize::try_from((kind - 12) / 2).map_err(|_| Odd)?;
                Value::Blob(self.values.split_off(..length).ok_or(Odd)?)
            }
            _ => return Err(Odd),
        };
        Ok(Some(value))
    }

    fn integer(&mut self, bytes: usize) -> Result<i64, Odd> {
        let digits = self.values.split_off(..bytes).ok_or(Odd)?;
        let sign = if digits[0] & 0x80 == 0 { 0 } else { -1 };
        Ok(digits.iter().fold(sign, |number, digit| number << 8 | i64::from(*digit)))
    }
}

fn take<'b, const N: usize>(bytes: &mut &'b [u8]) -> Result<&'b [u8; N], Odd> {
    bytes.split_off(..N).and_then(<[u8]>::as_array).ok_or(Odd)
}

/// Seven bits a byte, the highest first, as long as the eighth is set; the ninth byte counts whole.
fn varint(bytes: &mut &[u8]) -> Result<u64, Odd> {
    let mut number = 0;
    for _ in 0..8 {
        let byte = *bytes.split_off_first().ok_or(Odd)?;
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Ok(number << 8 | u64::from(*bytes.split_off_first().ok_or(Odd)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_taken_apart_value_by_value() {
        let record = [9, 0, 1, 2, 5, 8, 9, 18, 12, 0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, b'a', b'b', b'c'];
        let mut record = Record::of(&record).expect("is one");
        for value in [
            Value::Null,
            Value::Integer(-128),
            Value::Integer(0x7fff),
            Value::Integer(-2),
            Value::Integer(0),
            Value::Integer(1),
            Value::Blob(b"abc"),
            Value::Blob(b""),
        ] {
            assert_eq!(record.take(), Ok(Some(value)));
        }
        assert_eq!(record.take(), Ok(None));
    }

    #[test]
    fn text_and_fractions_and_what_ends_too_early_are_odd() {
        for record in [&[2, 7, 0, 0, 0, 0, 0, 0, 0, 0][..], &[2, 15, b'a'], &[2, 10], &[2, 2, 1], &[2, 14], &[2, 0x80]] {
            assert_eq!(Record::of(record).expect("has a head").take(), Err(Odd), "{record:?}");
        }
        assert!(Record::of(&[3, 1]).is_err() && Record::of(&[]).is_err() && Record::of(&[0, 1]).is_err());
    }

    #[test]
    fn the_ninth_byte_of_a_number_counts_whole() {
        for (bytes, number) in [
            (&[0x7f][..], Ok(127)),
            (&[0x81, 0x00], Ok(128)),
            (&[0xff; 9], Ok(u64::MAX)),
            (&[0x80; 8], Err(Odd)),
            (&[], Err(Odd)),
        ] {
            assert_eq!(varint(&mut &*bytes), number, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_page_has_nothing_worse_than_odd_comes_of_it(
            leaf in any::<bool>(),
            reserved in any::<u8>(),
            mut bytes in prop::collection::vec(any::<u8>(), 0..2000)
        ) {
            if let Some(kind) = bytes.first_mut() {
                *kind = if leaf { LEAF } else { INTERIOR };
            }
            if let Some(place) = bytes.get_mut(20) {
                *place = reserved;
            }
            let Ok(layout) = Layout::of(&bytes) else { return Ok(()) };
            prop_assert!(layout.overflow(&bytes).is_ok_and(|(_, part)| part.len() < bytes.len()));
            let Ok(page) = Page::of(&bytes, layout) else { return Ok(()) };
            for cell in page.cells().flatten() {
                let Ok(mut record) = Record::of(cell.local) else { continue };
                while let Ok(Some(_)) = record.take() {}
            }
        }
    }
}
