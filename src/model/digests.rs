//! Everything that describes one content of a file, as one pass over it gives it.

use super::digest::Sha256;

/// All digests of one version, made in one pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Digests {
    /// Bytes of the file that they were made of.
    pub size: u64,
    /// MD5 (RFC 1321).
    pub md5: [u8; 16],
    /// SHA-1 (FIPS 180-4).
    pub sha1: [u8; 20],
    /// SHA-256 (FIPS 180-4).
    pub sha256: Sha256,
    /// SHA-512 (FIPS 180-4).
    pub sha512: [u8; 64],
    /// Digests of its pieces.
    pub pieces: Pieces,
    /// zsync's block sums, where they were made.
    pub zsync: Option<Zsync>,
}

/// Digests of pieces of equal length; the last piece may be shorter, and an empty file has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pieces {
    /// Bytes of each piece but the last; not 0.
    pub length: u32,
    /// The SHA-1 of each, one after the other: 20 bytes a piece (BEP 3, RFC 5854).
    pub sha1: Box<[u8]>,
    /// The SHA-256 of each, one after the other: 32 bytes a piece.
    pub sha256: Box<[u8]>,
}

/// zsync's block sums. The last block is filled up with zeros; an empty file has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zsync {
    /// Bytes of a block: `Blocksize`.
    pub block_size: u32,
    /// Blocks in a row that must match: the first of `Hash-Lengths`.
    pub sequence_matches: u8,
    /// Bytes of the rolling sum that are kept, at most 4: the second of `Hash-Lengths`.
    pub rsum_bytes: u8,
    /// Bytes of the MD4 that are kept, at most 16: the third of `Hash-Lengths`.
    pub checksum_bytes: u8,
    /// For each block the tail of its rolling sum and the head of its MD4, as a `.zsync` file has them behind its header.
    pub sums: Box<[u8]>,
}

impl Digests {
    /// Whether the lists of digests have the lengths that the size asks for.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let fits = |list: &[u8], each: usize, length: u32| {
            length > 0 && Some(list.len() as u64) == self.size.div_ceil(length.into()).checked_mul(each as u64)
        };
        let Pieces { length, sha1, sha256 } = &self.pieces;
        let zsync = self.zsync.as_ref().is_none_or(|zsync| {
            let each = usize::from(zsync.rsum_bytes) + usize::from(zsync.checksum_bytes);
            zsync.rsum_bytes <= 4 && zsync.checksum_bytes <= 16 && fits(&zsync.sums, each, zsync.block_size)
        });
        fits(sha1, 20, *length) && fits(sha256, 32, *length) && zsync
    }

    /// About how many bytes of memory they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let sums = self.zsync.as_ref().map_or(0, |zsync| zsync.sums.len());
        size_of::<Self>() + self.pieces.sha1.len() + self.pieces.sha256.len() + sums
    }
}

impl Pieces {
    /// The SHA-1 of each piece, in order.
    pub fn sha1s(&self) -> impl ExactSizeIterator<Item = &[u8; 20]> {
        self.sha1.as_chunks().0.iter()
    }

    /// The SHA-256 of each piece, in order.
    pub fn sha256s(&self) -> impl ExactSizeIterator<Item = &[u8; 32]> {
        self.sha256.as_chunks().0.iter()
    }
}

/// How a detached signature is written. It is the file beside the signed one whose name has this suffix added.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignatureKind {
    /// `NAME.asc`
    Asc,
    /// `NAME.sig`
    Sig,
}

impl SignatureKind {
    /// All, the preferred first.
    pub const ALL: [Self; 2] = [Self::Asc, Self::Sig];

    /// What is added to the name of the signed file.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Asc => ".asc",
            Self::Sig => ".sig",
        }
    }
}

/// A detached signature (RFC 9580).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// By which name it was found.
    pub kind: SignatureKind,
    /// Its ASCII armour, from the first line to the last; `None` where it is binary, and for metalinks no use.
    pub armour: Option<String>,
}

/// The largest file that is taken for a detached signature, in bytes. Real ones have some hundreds.
pub const MAX_SIGNATURE_BYTES: usize = 64 * 1024;

const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

impl Signature {
    /// A signature of what its file has; `None` for a file that is too large or can't be one.
    #[must_use]
    pub fn parse(kind: SignatureKind, bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_SIGNATURE_BYTES {
            return None;
        }
        let armour = armour(bytes);
        // A binary OpenPGP packet begins with its highest bit set; a text without armour is something else.
        let is_binary = bytes.first().is_some_and(|first| first & 0x80 != 0);
        (armour.is_some() || is_binary).then_some(Self { kind, armour })
    }
}

/// The armoured signature in a text. Its lines are printable ASCII, so it can stand in any description.
fn armour(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let from = text.find(BEGIN)?;
    let length = text[from..].find(END)? + END.len();
    let lines: Vec<&str> = text[from..from + length].lines().map(str::trim_end).collect();
    let is_plain = lines.iter().all(|line| line.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')));
    is_plain.then(|| lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_one_by_one() {
        let pieces = Pieces { length: 5, sha1: Box::new([7; 40]), sha256: Box::new([8; 64]) };
        assert_eq!((pieces.sha1s().len(), pieces.sha256s().len()), (2, 2));
        assert_eq!((pieces.sha1s().next(), pieces.sha256s().last()), (Some(&[7; 20]), Some(&[8; 32])));
    }

    #[test]
    fn a_signature_is_armour_or_a_packet() {
        let armoured = |inside: &str| format!("{BEGIN}\r\n{inside}\r\n{END}\r\nrest");
        let parse = |bytes: &[u8]| Signature::parse(SignatureKind::Asc, bytes);
        let armour = |bytes: &[u8]| parse(bytes).map(|signature| signature.armour);
        let good = format!("{BEGIN}\n\niQ=\n=ab\n{END}\n");
        assert_eq!(armour(armoured("\r\niQ=\r\n=ab").as_bytes()), Some(Some(good.clone())));
        assert_eq!(armour(format!("Hello\n{good}").as_bytes()), Some(Some(good)));
        assert_eq!(armour(&[0x89, 1, 2]), Some(None), "binary");
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("a text", b"not signed".to_vec()),
            ("no end", BEGIN.as_bytes().to_vec()),
            ("too large", armoured(&"x".repeat(MAX_SIGNATURE_BYTES)).into_bytes()),
            ("steers terminals", armoured("\x1b[2J").into_bytes()),
            ("no ASCII", armoured("\u{fc}").into_bytes()),
        ] {
            assert_eq!(parse(&bytes), None, "{what}");
        }
    }
}
