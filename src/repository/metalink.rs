//! The metalink of a repository's `repomd.xml`, version 3 as dnf's librepo reads it: which versions of the file are accepted, and
//! where they are.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Country;

/// A version of the file, as clients check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was written, in seconds since 1970.
    pub timestamp: i64,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal, as all digests here.
    pub md5: String,
    /// SHA-1.
    pub sha1: String,
    /// SHA-256.
    pub sha256: String,
    /// SHA-512: librepo checks the strongest that is given.
    pub sha512: String,
}

/// A place where some accepted version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's URL, percent-encoded.
    pub url: String,
    /// Where the server is.
    pub country: Option<Country>,
}

/// Writes the metalink. `sources` are best first; the preference falls from 100, and none is below 1. `written` is when the present
/// version became public.
#[must_use]
pub fn write(name: &str, current: &Version, alternates: &[Version], sources: &[Source], written: Timestamp) -> String {
    let date = written.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\" type=\"dynamic\" pubdate=\"{date}\" \
         generator=\"redirector/{}\" xmlns:mm0=\"http://fedorahosted.org/mirrormanager\">\n <files>\n  <file name=\"{}\">\n",
        env!("CARGO_PKG_VERSION"),
        escaped(name)
    );
    version(&mut text, "   ", current);
    if !alternates.is_empty() {
        text.push_str("   <mm0:alternates>\n");
        for alternate in alternates {
            text.push_str("    <mm0:alternate>\n");
            version(&mut text, "     ", alternate);
            text.push_str("    </mm0:alternate>\n");
        }
        text.push_str("   </mm0:alternates>\n");
    }
    text.push_str("   <resources maxconnections=\"1\">\n");
    for (source, preference) in sources.iter().zip((1..=100_u8).rev().chain(std::iter::repeat(1))) {
        let protocol = source.url.split(':').next().unwrap_or("http");
        let location = source
            .country
            .map_or_else(String::new, |country| format!(" location=\"{}\"", country.as_str().to_ascii_uppercase()));
        let url = escaped(&source.url);
        writeln!(
            text,
            "    <url protocol=\"{protocol}\" type=\"{protocol}\"{location} preference=\"{preference}\">{url}</url>"
        )
        .expect("a text takes all");
    }
    text.push_str("   </resources>\n  </file>\n </files>\n</metalink>\n");
    text
}

fn version(text: &mut String, indent: &str, version: &Version) {
    let Version { timestamp, size, md5, sha1, sha256, sha512 } = version;
    writeln!(text, "{indent}<mm0:timestamp>{timestamp}</mm0:timestamp>\n{indent}<size>{size}</size>\n{indent}<verification>")
        .expect("a text takes all");
    for (kind, digest) in [("md5", md5), ("sha1", sha1), ("sha256", sha256), ("sha512", sha512)] {
        writeln!(text, "{indent} <hash type=\"{kind}\">{}</hash>", escaped(digest)).expect("a text takes all");
    }
    writeln!(text, "{indent}</verification>").expect("a text takes all");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_of(letter: &str) -> Version {
        let digest = |length: usize| letter.repeat(length);
        Version { timestamp: 7, size: 3, md5: digest(32), sha1: digest(40), sha256: digest(64), sha512: digest(128) }
    }

    #[test]
    fn accepted_versions_and_sources_are_told_in_their_order() {
        let source = |url: &str, country: &str| Source { url: url.to_owned(), country: country.parse().ok() };
        let sources =
            [source("http://a.example/R&D/repodata/repomd.xml", "de"), source("https://b.example/r/repodata/repomd.xml", "")];
        let text = write("repomd.xml", &version_of("a"), &[version_of("b")], &sources, Timestamp::UNIX_EPOCH);
        for part in [
            "pubdate=\"Thu, 01 Jan 1970 00:00:00 GMT\"",
            "<file name=\"repomd.xml\">\n   <mm0:timestamp>7</mm0:timestamp>\n   <size>3</size>\n   <verification>\n",
            "<url protocol=\"http\" type=\"http\" location=\"DE\" preference=\"100\">http://a.example/R&amp;D/repodata/repomd.xml</url>",
            "<url protocol=\"https\" type=\"https\" preference=\"99\">https://b.example/r/repodata/repomd.xml</url>",
            &format!("<hash type=\"sha512\">{}</hash>", "b".repeat(128)),
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let (first, rest) = text.split_once("<mm0:alternates>").expect("alternates");
        assert!(first.contains(&"a".repeat(64)) && !first.contains(&"b".repeat(64)));
        assert!(rest.find("</mm0:alternates>") < rest.find("<resources"));
        assert!(!write("repomd.xml", &version_of("a"), &[], &sources, Timestamp::UNIX_EPOCH).contains("alternate"));
    }
}
