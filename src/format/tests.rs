use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::mirrorlist::{self, Visitor};
use super::write::hex_text as hex;
use super::*;
use crate::model::digests::{Pieces, SignatureKind, Zsync};
use crate::model::{self, Place};

const CONTENT: &[u8] = b"0123456789";

fn digests() -> Digests {
    let pieces = || CONTENT.chunks(4);
    Digests {
        size: CONTENT.len() as u64,
        md5: Md5::digest(CONTENT).into(),
        sha1: Sha1::digest(CONTENT).into(),
        sha256: model::Sha256(Sha256::digest(CONTENT).into()),
        sha512: Sha512::digest(CONTENT).into(),
        pieces: Pieces {
            length: 4,
            sha1: pieces().flat_map(Sha1::digest).collect(),
            sha256: pieces().flat_map(Sha256::digest).collect(),
        },
        zsync: Some(Zsync {
            block_size: 2048,
            sequence_matches: 1,
            rsum_bytes: 2,
            checksum_bytes: 3,
            sums: Box::new([0xab, 0xcd, 1, 2, 3]),
        }),
    }
}

const BERLIN: Source<'static> = Source {
    base: "http://berlin.example/sugar/",
    name: "berlin",
    operator: Some("FU & TU <Berlin>"),
    country: None,
    point: None,
    class: "country",
    distance_km: Some(12.4),
};

/// A file as it is described here; each test changes what it is about.
struct Example {
    path: TreePath<'static>,
    encoded: String,
    digests: Option<Digests>,
    signature: Option<Signature>,
    sources: Vec<Source<'static>>,
    settings: Settings,
    naming: Naming,
}

impl Example {
    fn new(path: impl Into<Vec<u8>>) -> Self {
        let path = TreePath::parse(path.into()).expect("a path");
        let leiden =
            Source { base: "https://leiden.example/", name: "leiden", class: "continent", distance_km: None, ..BERLIN };
        let german = Source { country: "de".parse().ok(), ..BERLIN };
        Self {
            encoded: encoded(&path),
            path,
            digests: Some(digests()),
            signature: None,
            sources: vec![german, Source { operator: None, ..leiden }],
            settings: Settings::default(),
            naming: Naming::Named,
        }
    }

    fn file(&self) -> File<'_> {
        File {
            path: &self.path,
            encoded: &self.encoded,
            size: CONTENT.len() as u64,
            modified: "2023-11-14T22:13:20.5Z".parse().expect("a time"),
            published: "2023-11-15T00:00:00.9Z".parse().expect("a time"),
            digests: self.digests.as_ref(),
            signature: self.signature.as_ref(),
            sources: &self.sources,
            base: "https://download.example/activities/",
            settings: &self.settings,
            naming: self.naming,
        }
    }

    fn text(&self, kind: Kind) -> String {
        String::from_utf8_lossy(&kind.render(&self.file()).expect("known")).into_owned()
    }
}

fn visitor() -> Visitor {
    let place = Place { country: "de".parse().ok(), ..Place::default() };
    Visitor { address: "192.0.2.7".to_owned(), place, credit: None }
}

#[test]
fn the_table_is_in_the_order_of_its_kinds() {
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, index);
        assert_eq!(serde_json::to_value(kind).expect("a word"), kind.word());
    }
}

#[test]
fn a_suffix_is_what_stands_behind_the_last_dot() {
    let of = |text: &str| {
        let path = TreePath::parse(text.as_bytes()).expect("a path");
        Kind::of_suffix(&path).map(|(kind, path)| (kind, path.to_string()))
    };
    assert_eq!(of("d/a.iso.meta4"), Some((Kind::Meta4, "d/a.iso".to_owned())));
    assert_eq!(of("a.md5"), Some((Kind::Md5, "a".to_owned())));
    assert_eq!(of("a.md5.sha512"), Some((Kind::Sha512, "a.md5".to_owned())));
    for other in ["a.MD5", "a.iso", "md5", ".md5", "d/.md5x", "d.md5/a", "a.md5.", "d/.md5"] {
        assert_eq!(of(other), None, "{other}");
    }
}

#[test]
fn of_several_arguments_the_last_in_the_order_of_the_table_counts() {
    for (query, expected) in [
        ("meta4", Some(Kind::Meta4)),
        ("md5=1", Some(Kind::Md5)),
        ("md5=0&only_hash", Some(Kind::Md5)),
        ("btih&meta4&sha1", Some(Kind::Btih)),
        ("metalink&meta4", Some(Kind::Metalink)),
        ("x=meta4", None),
        ("meta4x", None),
        ("", None),
        ("&&=&", None),
    ] {
        assert_eq!(Kind::of_query(query), expected, "{query}");
    }
    // MirrorBrain's order; SHA-512, which it has not, behind SHA-256.
    let order = "meta4 metalink mirrorlist torrent zsync magnet md5 sha1 sha256 sha512 btih";
    let order: Vec<&str> = order.split(' ').collect();
    assert_eq!(Kind::ALL.map(Kind::word).to_vec(), order);
    for (at, earlier) in order.iter().enumerate() {
        for later in &order[at..] {
            for query in [format!("{earlier}&{later}=1"), format!("{later}&x&{earlier}")] {
                assert_eq!(Kind::of_query(&query).map(Kind::word), Some(*later), "{query}");
            }
        }
    }
    assert_eq!(Naming::of_query("md5&only_hash=1"), Naming::Bare);
    assert_eq!(Naming::of_query("md5"), Naming::Named);
}

#[test]
fn lines_are_as_the_tools_write_them() {
    let mut example = Example::new("d/a b.iso");
    for (kind, expected) in [
        (Kind::Md5, "781e5e245d69b566979b86e28d23f2c7  a b.iso\n"),
        (Kind::Sha1, "87acec17cd9dcd20a716cc2cf67417b71c8a7016  a b.iso\n"),
        (Kind::Sha256, "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882  a b.iso\n"),
    ] {
        assert_eq!(example.text(kind), expected);
    }
    assert_eq!(example.text(Kind::Sha512).len(), 128 + 2 + 7 + 1);
    example.naming = Naming::Bare;
    assert_eq!(example.text(Kind::Md5), "781e5e245d69b566979b86e28d23f2c7\n");
}

#[test]
fn what_is_not_known_is_said() {
    let mut example = Example::new("a.iso");
    example.digests = None;
    for kind in [Kind::Md5, Kind::Torrent, Kind::Magnet, Kind::Btih, Kind::Zsync] {
        assert_eq!(kind.render(&example.file()), Err(Missing::Digests), "{kind:?}");
    }
    for kind in [Kind::Meta4, Kind::Metalink, Kind::Mirrorlist] {
        assert!(example.text(kind).contains("http://berlin.example/sugar/a.iso"), "{kind:?}");
    }
    example.digests = Some(Digests { zsync: None, ..digests() });
    assert_eq!(Kind::Zsync.render(&example.file()), Err(Missing::BlockSums));
}

#[test]
fn a_meta4_has_all_that_clients_look_for() {
    let mut example = Example::new("d/a b&c.iso");
    example.settings.publisher = Some("Oranges & Co".to_owned());
    example.settings.publisher_url = Some("https://juice.example/?a&b".to_owned());
    let text = example.text(Kind::Meta4);
    let expected = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>{GENERATOR}</generator>
  <origin dynamic="true">https://download.example/activities/d/a%20b%26c.iso.meta4</origin>
  <published>2023-11-15T00:00:00Z</published>
  <file name="a b&amp;c.iso">
    <publisher name="Oranges &amp; Co" url="https://juice.example/?a&amp;b"/>
    <size>10</size>
    <hash type="md5">781e5e245d69b566979b86e28d23f2c7</hash>
    <hash type="sha-1">87acec17cd9dcd20a716cc2cf67417b71c8a7016</hash>
    <hash type="sha-256">84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882</hash>
    <hash type="sha-512">{}</hash>
    <pieces length="4" type="sha-1">
      <hash>{}</hash>
      <hash>{}</hash>
      <hash>{}</hash>
    </pieces>
    <url location="de" priority="1">http://berlin.example/sugar/d/a%20b%26c.iso</url>
    <url priority="2">https://leiden.example/d/a%20b%26c.iso</url>
  </file>
</metalink>
"#,
        hex(&digests().sha512),
        hex(&Sha1::digest(b"0123")),
        hex(&Sha1::digest(b"4567")),
        hex(&Sha1::digest(b"89")),
    );
    assert_eq!(text, expected);
    assert!(!text.contains("metaurl"), "a torrent without trackers is no better way");
    example.settings.trackers = vec!["http://tracker.example/announce".to_owned()];
    let torrent = "<metaurl mediatype=\"torrent\" priority=\"1\">https://download.example/activities/d/a%20b%26c.iso.torrent<";
    assert!(example.text(Kind::Meta4).contains(torrent));
}

#[test]
fn links_to_descriptions_are_queries_where_there_are_no_suffixes() {
    let mut example = Example::new("a.iso");
    example.settings.suffixes = false;
    assert!(
        example.text(Kind::Meta4).contains("<origin dynamic=\"true\">https://download.example/activities/a.iso?meta4</origin>")
    );
}

#[test]
fn a_signature_stands_in_metalinks_as_it_was_written() {
    let mut example = Example::new("a.iso");
    let armour = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";
    example.signature = Signature::parse(SignatureKind::Asc, armour.as_bytes());
    let meta4 = example.text(Kind::Meta4);
    assert!(meta4.contains(&format!("<signature mediatype=\"application/pgp-signature\">{armour}</signature>")), "{meta4}");
    let version_3 = example.text(Kind::Metalink);
    assert!(version_3.contains(&format!("<signature type=\"pgp\" file=\"a.iso.asc\">{armour}</signature>")), "{version_3}");
}

#[test]
fn version_3_has_the_names_that_older_programs_know() {
    let mut example = Example::new("d/a.iso");
    example.sources = vec![example.sources[0]; 103];
    let text = example.text(Kind::Metalink);
    for part in [
        "<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\" origin=\"https://download.example/activities/d/a.iso.metalink\"",
        "pubdate=\"Wed, 15 Nov 2023 00:00:00 GMT\"",
        "<hash type=\"sha1\">87acec",
        "<hash type=\"sha256\">84d898",
        "<hash type=\"sha512\">",
        "<pieces length=\"4\" type=\"sha1\">",
        "<hash piece=\"2\">",
        "<url type=\"http\" location=\"de\" preference=\"100\">http://berlin.example/sugar/d/a.iso</url>",
        "preference=\"2\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.matches("preference=\"1\"").count(), 4, "never below 1");
}

#[test]
fn a_torrent_keeps_its_identity_whatever_its_mirrors_are() {
    let mut example = Example::new("d/a.iso");
    let plain = b"d6:lengthi10e4:name5:a.iso12:piece lengthi4e6:pieces60:";
    let torrent = Kind::Torrent.render(&example.file()).expect("known");
    assert!(torrent.windows(plain.len()).any(|part| part == plain), "{}", String::from_utf8_lossy(&torrent));
    assert!(torrent.ends_with(b"8:url-listl35:http://berlin.example/sugar/d/a.iso30:https://leiden.example/d/a.isoee"));
    assert!(torrent.starts_with(b"d7:comment5:a.iso10:created by"));
    let hash = example.text(Kind::Btih);
    example.sources.clear();
    example.settings.trackers = vec!["http://a.example/announce".to_owned(), "udp://b.example:6969".to_owned()];
    example.settings.dht_nodes = vec!["[2001:db8::1]:6881".parse().expect("a node")];
    assert_eq!(example.text(Kind::Btih), hash);
    let torrent = String::from_utf8_lossy(&Kind::Torrent.render(&example.file()).expect("known")).into_owned();
    assert!(torrent.starts_with(
        "d8:announce25:http://a.example/announce13:announce-listll25:http://a.example/announceel20:udp://b.example:6969ee7:comment"
    ));
    assert!(torrent.contains("5:nodesll11:2001:db8::1i6881eee7:sourcesle8:url-listlee"), "{torrent}");
    example.settings.torrent_info = TorrentInfo::Mirrorbrain;
    assert_ne!(example.text(Kind::Btih), hash);
    let torrent = String::from_utf8_lossy(&Kind::Torrent.render(&example.file()).expect("known")).into_owned();
    assert!(
        torrent.contains("6:lengthi10e6:md5sum32:781e5e245d69b566979b86e28d23f2c74:name5:a.iso12:piece length"),
        "{torrent}"
    );
    assert!(torrent.contains("4:sha120:") && torrent.contains("6:sha25632:"), "{torrent}");
}

#[test]
fn a_magnet_link_is_one_valid_line() {
    let mut example = Example::new("d/a b&c.iso");
    example.settings.trackers = vec!["udp://t.example:6969/announce?x=1&y".to_owned()];
    let hash = example.text(Kind::Btih);
    let hash = hash.split(' ').next().expect("a hash");
    let expected = format!(
        "magnet:?xt=urn:btih:{hash}&dn=a%20b%26c.iso&xl=10&tr=udp%3A%2F%2Ft.example%3A6969%2Fannounce%3Fx%3D1%26y\
         &ws=http%3A%2F%2Fberlin.example%2Fsugar%2Fd%2Fa%2520b%2526c.iso&ws=https%3A%2F%2Fleiden.example%2Fd%2Fa%2520b%2526c.iso\
         &xs=https%3A%2F%2Fdownload.example%2Factivities%2Fd%2Fa%2520b%2526c.iso.torrent\n"
    );
    assert_eq!(example.text(Kind::Magnet), expected);
}

#[test]
fn a_zsync_file_is_a_header_and_the_sums() {
    let bytes = Kind::Zsync.render(&Example::new("d/a.iso").file()).expect("known");
    let header = "zsync: 0.6.2\nFilename: a.iso\nMTime: Tue, 14 Nov 2023 22:13:20 GMT\nBlocksize: 2048\nLength: 10\n\
                  Hash-Lengths: 1,2,3\nURL: http://berlin.example/sugar/d/a.iso\nURL: https://leiden.example/d/a.iso\n\
                  SHA-1: 87acec17cd9dcd20a716cc2cf67417b71c8a7016\n\n";
    assert_eq!(bytes, [header.as_bytes(), &[0xab, 0xcd, 1, 2, 3]].concat());
}

#[test]
fn a_page_shows_what_is_known_and_escapes_it() {
    let mut example = Example::new("d/<b>&.iso");
    let page = mirrorlist::page(&example.file(), &visitor());
    for part in [
        "Mirrors for &#60;b&#62;&#38;.iso",
        "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
        "href=\"http://berlin.example/sugar/d/%3Cb%3E%26.iso\"",
        "FU &#38; TU &#60;Berlin&#62;",
        "In your country (Germany)",
        "On your continent",
        "12 km",
        "<svg",
        "<path class=\"land\"",
        "href=\"https://download.example/activities/d/%3Cb%3E%26.iso.meta4\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    example.sources[0].country = None;
    assert!(!mirrorlist::page(&example.file(), &visitor()).contains("<svg"), "nothing to show");
}

#[test]
fn programs_get_the_same_as_json() {
    let json = mirrorlist::json(&Example::new("d/a.iso").file(), &visitor());
    let list: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(list["path"], "d/a.iso");
    assert_eq!(list["size"], 10);
    assert_eq!(list["client"]["country"], "de");
    assert_eq!(list["digests"]["md5"], "781e5e245d69b566979b86e28d23f2c7");
    assert_eq!(list["mirrors"][0]["url"], "http://berlin.example/sugar/d/a.iso");
    assert_eq!(list["mirrors"][0]["class"], "country");
    assert_eq!(list["mirrors"][1]["rank"], 2);
    assert_eq!(list["descriptions"][0]["kind"], "meta4");
}

#[test]
fn nodes_are_hosts_with_ports() {
    for good in ["router.example:6881", "[2001:db8::1]:6881", "192.0.2.1:1"] {
        assert_eq!(good.parse::<Node>().map(|node| node.to_string()), Ok(good.to_owned()));
    }
    for bad in ["router.example", "router.example:0", ":1", "a b:1", "2001:db8::1:1", "a:99999"] {
        assert!(bad.parse::<Node>().is_err(), "{bad}");
    }
}

/// Whether each tag ends, and neither text nor an attribute's value has what only tags may have.
fn are_tags_whole(text: &str) -> bool {
    let (mut is_tag, mut quote) = (false, None);
    for c in text.chars() {
        match (is_tag, quote, c) {
            (true, Some(open), _) if c == open => quote = None,
            (true, _, '<') | (false, _, '>') => return false,
            (true, Some(_), _) => {}
            (true, None, '"' | '\'') => quote = Some(c),
            (_, None, '<' | '>') => is_tag = c == '<',
            _ => {}
        }
    }
    !is_tag
}

proptest::proptest! {
    #[test]
    fn whatever_a_file_is_called_its_metalinks_are_well_formed(name in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..40)) {
        let name: Vec<u8> = name.into_iter().filter(|&byte| byte >= 0x20 && byte != 0x7f && !matches!(byte, b'/' | b'\\')).collect();
        proptest::prop_assume!(TreePath::parse(&name[..]).is_ok_and(|path| !path.is_root()));
        let example = Example::new(name);
        for kind in [Kind::Meta4, Kind::Metalink] {
            let bytes = kind.render(&example.file()).expect("known");
            let text = String::from_utf8(bytes).expect("UTF-8");
            let is_xml = |c: char| matches!(c, '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
            proptest::prop_assert!(text.chars().all(is_xml));
            proptest::prop_assert!(are_tags_whole(&text), "{text}");
            proptest::prop_assert!(text.split('&').skip(1).all(|rest| rest.split_once(';').is_some_and(|(name, _)| name.len() <= 5)));
        }
    }
}

#[test]
fn a_file_with_the_longest_name_can_be_asked_for_with_every_suffix() {
    for kind in Kind::ALL {
        assert!(kind.word().len() < crate::model::path::MAX_SUFFIX_BYTES, "{kind:?}");
    }
}
