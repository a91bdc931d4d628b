//! Magnet links: a torrent named by its info-hash (BEP 9), with web seeds (BEP 19) and where to get the torrent itself.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::torrent::info_hash;
use super::write::hex_text;
use super::{File, Kind, Missing};

/// Web seeds in a link: people paste it into programs and mails; the torrent names all of them.
const MAX_WEB_SEEDS: usize = 5;

pub(super) fn magnet(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    let mut link = format!("magnet:?xt=urn:btih:{}", hex_text(&info_hash(file)?));
    let mut add = |key: &str, value: &[u8]| {
        link.push('&');
        link.push_str(key);
        link.push('=');
        link.extend(percent_encode(value, VALUE));
    };
    add("dn", file.name());
    add("xl", file.size.to_string().as_bytes());
    file.settings.trackers.iter().for_each(|tracker| add("tr", tracker.as_bytes()));
    file.urls().take(MAX_WEB_SEEDS).for_each(|url| add("ws", url.as_bytes()));
    if file.settings.gives(Kind::Torrent) {
        add("xs", file.url_of(Kind::Torrent).as_bytes());
    }
    file.settings.dht_nodes.iter().for_each(|node| add("x.pe", node.to_string().as_bytes()));
    link.push('\n');
    Ok(link.into_bytes())
}

/// All but RFC 3986's unreserved characters.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
