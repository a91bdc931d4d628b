//! `.torrent`: version 1 (BEP 3) of a single file, with its mirrors as web seeds (BEP 19), so that it can be had without a peer.

use sha1::{Digest, Sha1};

use super::write::{hex_text, number};
use super::{File, GENERATOR, Missing, TorrentInfo};

pub(super) fn torrent(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    let info = info(file)?;
    let settings = file.settings;
    let urls: usize = file.sources.iter().map(|source| source.base.len() + file.encoded.len() + 8).sum();
    let mut out = Vec::with_capacity(info.len() + 2 * urls + 512);
    out.push(b'd');
    if let Some(first) = settings.trackers.first() {
        text(&mut out, b"announce");
        text(&mut out, first.as_bytes());
        // A tier each (BEP 12): clients ask them in this order.
        text(&mut out, b"announce-list");
        list(&mut out, &settings.trackers, |out, tracker| list(out, &[tracker], |out, tracker| text(out, tracker.as_bytes())));
    }
    text(&mut out, b"comment");
    text(&mut out, file.name());
    text(&mut out, b"created by");
    text(&mut out, GENERATOR.as_bytes());
    text(&mut out, b"creation date");
    integer(&mut out, u64::try_from(file.modified.as_second()).unwrap_or(0));
    text(&mut out, b"info");
    out.extend_from_slice(&info);
    if !settings.dht_nodes.is_empty() {
        text(&mut out, b"nodes");
        list(&mut out, &settings.dht_nodes, |out, node| {
            out.push(b'l');
            text(out, node.host.as_bytes());
            integer(out, u64::from(node.port));
            out.push(b'e');
        });
    }
    text(&mut out, b"sources");
    let start = out.len();
    list(&mut out, file.sources, |out, source| {
        number(out, (source.base.len() + file.encoded.len()) as u64);
        out.push(b':');
        out.extend_from_slice(source.base.as_bytes());
        out.extend_from_slice(file.encoded.as_bytes());
    });
    let end = out.len();
    text(&mut out, b"url-list");
    out.extend_from_within(start..end);
    out.push(b'e');
    Ok(out)
}

/// What names the torrent everywhere: it hangs on the file and its name, and never on mirrors and trackers.
pub(super) fn info_hash(file: &File<'_>) -> Result<[u8; 20], Missing> {
    Ok(Sha1::digest(info(file)?).into())
}

/// The info dictionary. Its keys stand in the order of their bytes.
fn info(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    let digests = file.digests()?;
    let all = file.settings.torrent_info == TorrentInfo::Mirrorbrain;
    let mut out = Vec::with_capacity(digests.pieces.sha1.len() + file.name().len() + 256);
    out.push(b'd');
    text(&mut out, b"length");
    integer(&mut out, digests.size);
    if all {
        text(&mut out, b"md5sum");
        text(&mut out, hex_text(&digests.md5).as_bytes());
    }
    text(&mut out, b"name");
    text(&mut out, file.name());
    text(&mut out, b"piece length");
    integer(&mut out, u64::from(digests.pieces.length));
    text(&mut out, b"pieces");
    text(&mut out, &digests.pieces.sha1);
    if all {
        text(&mut out, b"sha1");
        text(&mut out, &digests.sha1);
        text(&mut out, b"sha256");
        text(&mut out, &digests.sha256.0);
    }
    out.push(b'e');
    Ok(out)
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn integer(out: &mut Vec<u8>, value: u64) {
    out.push(b'i');
    number(out, value);
    out.push(b'e');
}

fn list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'l');
    items.iter().for_each(|item| write(out, item));
    out.push(b'e');
}
