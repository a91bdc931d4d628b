//! Metalinks: where a file can be had and how to tell that it is the right one, as XML. Version 4 is RFC 5854; version 3
//! is what dnf and older programs read.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::write::number;
use super::xml::{Writer, text};
use super::{File, GENERATOR, Kind, Missing, Source};
use crate::model::Country;

/// Version 4 (RFC 5854). Its elements have no prefix: some clients read no other form.
pub(super) fn meta4(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    let settings = file.settings;
    let mut xml = Writer::new(room(file));
    xml.open("metalink", &[("xmlns", b"urn:ietf:params:xml:ns:metalink")]);
    xml.element("generator", &[], &[GENERATOR.as_bytes()]);
    xml.element("origin", &[("dynamic", b"true")], &[file.url_of(Kind::Meta4).as_bytes()]);
    xml.element("published", &[], &[seconds(file.published).as_bytes()]);
    xml.open("file", &[("name", file.name())]);
    if let Some(publisher) = &settings.publisher {
        let name = ("name", publisher.as_bytes());
        match &settings.publisher_url {
            Some(url) => xml.empty("publisher", &[name, ("url", url.as_bytes())]),
            None => xml.empty("publisher", &[name]),
        }
    }
    xml.number("size", file.size);
    hashes(&mut xml, file, ["md5", "sha-1", "sha-256", "sha-512"]);
    if let Some(pieces) = file.digests.map(|digests| &digests.pieces).filter(|pieces| !pieces.sha1.is_empty()) {
        // Not SHA-256: libzypp reads no other. What guards the content as a whole is above.
        xml.open("pieces", &[("length", pieces.length.to_string().as_bytes()), ("type", b"sha-1")]);
        pieces.sha1s().for_each(|piece| xml.hex("hash", &[], piece));
        xml.close();
    }
    if let Some(armour) = file.signature.and_then(|signature| signature.armour.as_ref()) {
        xml.element("signature", &[("mediatype", b"application/pgp-signature")], &[armour.as_bytes()]);
    }
    if settings.has_peers() {
        xml.element("metaurl", &[("mediatype", b"torrent"), ("priority", b"1")], &[file.url_of(Kind::Torrent).as_bytes()]);
    }
    urls(&mut xml, file, |out, source, rank| {
        match source.country {
            Some(country) => out.extend_from_slice(&with_country(*b"<url location=\"xx\" priority=\"", 15, country)),
            None => out.extend_from_slice(b"<url priority=\""),
        }
        number(out, rank.min(MAX_PRIORITY));
    });
    Ok(xml.finish())
}

/// The last priority that RFC 5854 knows.
const MAX_PRIORITY: u64 = 999_999;

/// Version 3.0.
pub(super) fn version_3(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    let settings = file.settings;
    let mut xml = Writer::new(room(file));
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&file.published).unwrap_or_default();
    let root: [(&str, &[u8]); 6] = [
        ("version", b"3.0"),
        ("xmlns", b"http://www.metalinker.org/"),
        ("origin", &file.url_of(Kind::Metalink).into_bytes()),
        ("generator", GENERATOR.as_bytes()),
        ("type", b"dynamic"),
        ("pubdate", date.as_bytes()),
    ];
    xml.open("metalink", &root);
    if let Some(publisher) = &settings.publisher {
        xml.open("publisher", &[]);
        xml.element("name", &[], &[publisher.as_bytes()]);
        if let Some(url) = &settings.publisher_url {
            xml.element("url", &[], &[url.as_bytes()]);
        }
        xml.close();
    }
    xml.open("files", &[]);
    xml.open("file", &[("name", file.name())]);
    xml.number("size", file.size);
    verification(&mut xml, file);
    xml.open("resources", &[]);
    if settings.has_peers() {
        xml.element("url", &[("type", b"bittorrent"), ("preference", b"100")], &[file.url_of(Kind::Torrent).as_bytes()]);
    }
    urls(&mut xml, file, |out, source, rank| {
        let is_https = source.base.starts_with("https:");
        out.extend_from_slice(if is_https { b"<url type=\"https\"" } else { b"<url type=\"http\"" });
        match source.country {
            Some(country) => out.extend_from_slice(&with_country(*b" location=\"xx\" preference=\"", 11, country)),
            None => out.extend_from_slice(b" preference=\""),
        }
        number(out, (MAX_PREFERENCE + 1).saturating_sub(rank).max(1));
    });
    Ok(xml.finish())
}

/// The preference of the best source in version 3.
const MAX_PREFERENCE: u64 = 100;

/// A line for each source, in as few pieces as can be: there may be hundreds. `start` writes it up to the value of its last attribute,
/// and gets its rank as well, 1 for the best.
fn urls(xml: &mut Writer, file: &File<'_>, start: impl Fn(&mut Vec<u8>, &Source<'_>, u64)) {
    let mut end = Vec::with_capacity(file.encoded.len() + 8);
    text(&mut end, file.encoded.as_bytes());
    end.extend_from_slice(b"</url>");
    for (source, rank) in file.sources.iter().zip(1..) {
        xml.line(|out| {
            start(out, source, rank);
            out.extend_from_slice(b"\">");
            text(out, source.base.as_bytes());
            out.extend_from_slice(&end);
        });
    }
}

/// A piece of a line with a country in place of the two letters at `at`.
fn with_country<const N: usize>(mut piece: [u8; N], at: usize, country: Country) -> [u8; N] {
    piece[at..at + 2].copy_from_slice(&country.code());
    piece
}

fn verification(xml: &mut Writer, file: &File<'_>) {
    let armour = file.signature.and_then(|signature| signature.armour.as_ref().map(|armour| (signature.kind, armour)));
    if file.digests.is_none() && armour.is_none() {
        return;
    }
    xml.open("verification", &[]);
    if let Some((kind, armour)) = armour {
        let name = [file.name(), kind.suffix().as_bytes()].concat();
        xml.element("signature", &[("type", b"pgp"), ("file", &name)], &[armour.as_bytes()]);
    }
    hashes(xml, file, ["md5", "sha1", "sha256", "sha512"]);
    if let Some(pieces) = file.digests.map(|digests| &digests.pieces).filter(|pieces| !pieces.sha1.is_empty()) {
        xml.open("pieces", &[("length", pieces.length.to_string().as_bytes()), ("type", b"sha1")]);
        for (index, piece) in pieces.sha1s().enumerate() {
            xml.hex("hash", &[("piece", index.to_string().as_bytes())], piece);
        }
        xml.close();
    }
    xml.close();
}

/// The digests of the whole file under the names of this version: MD5, SHA-1, SHA-256, SHA-512.
fn hashes(xml: &mut Writer, file: &File<'_>, names: [&str; 4]) {
    let Some(digests) = file.digests else { return };
    let values: [&[u8]; 4] = [&digests.md5, &digests.sha1, &digests.sha256.0, &digests.sha512];
    for (name, value) in names.into_iter().zip(values) {
        xml.hex("hash", &[("type", name.as_bytes())], value);
    }
}

/// About how many bytes it will have: what is allocated once needs not grow.
fn room(file: &File<'_>) -> usize {
    let urls: usize = file.sources.iter().map(|source| source.base.len() + file.encoded.len() + 64).sum();
    let pieces = file.digests.map_or(0, |digests| digests.pieces.sha1s().len() * 72);
    let signature = file.signature.and_then(|signature| signature.armour.as_ref()).map_or(0, String::len);
    1500 + urls + pieces + signature
}

/// RFC 3339, in whole seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
