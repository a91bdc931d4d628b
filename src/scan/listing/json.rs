//! Listings as JSON: nginx (also as JSONP), Caddy, npm's `serve` and `serve-index`.
//!
//! nginx writes names as the bytes that they are, so the page need not be UTF-8: names are read as bytes. Entries are taken one by
//! one, so that of a page that was cut what came is not lost.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::collect::Collector;
use super::size::{self, Rounding};
use super::time;
use super::{Error, Family, Kind, Size};

const WRONG: Error = Error::NotAListing("it is JSON of another kind");

/// Whether a page that does not start with `<` looks like JSON or JSONP.
pub(super) fn is_likely(page: &[u8]) -> bool {
    matches!(page[0], b'[' | b'{') || payload(page).is_some()
}

/// Reads the page.
pub(super) fn read(page: &[u8], collector: &mut Collector<'_>) -> Result<Family, Error> {
    let (json, wrapped) = if matches!(page[0], b'[' | b'{') { (page, false) } else { (payload(page).ok_or(WRONG)?, true) };
    let mut family = None;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let sink = Sink { collector, family: &mut family };
    let outcome = match json[0] {
        b'{' => reader.deserialize_map(ServeDocument(sink)),
        _ => reader.deserialize_seq(sink),
    };
    match (outcome, family) {
        (Ok(()), found) => {
            let rest = &json[reader.into_iter::<IgnoredAny>().byte_offset()..];
            if wrapped || rest.trim_ascii().is_empty() {
                collector.complete();
            }
            found.or_else(|| empty(json, wrapped)).ok_or(WRONG)
        }
        (Err(_), Some(family)) => Ok(family),
        (Err(_), None) => Err(WRONG),
    }
}

/// Who writes an empty array like this: nginx puts a line end into it.
fn empty(json: &[u8], wrapped: bool) -> Option<Family> {
    match json.get(1)? {
        _ if json[0] != b'[' => None,
        b'\r' | b'\n' => Some(Family::NginxJson),
        _ if wrapped => Some(Family::NginxJson),
        _ => Some(Family::CaddyJson),
    }
}

/// The array in `/* callback */ name([...]);`.
fn payload(page: &[u8]) -> Option<&[u8]> {
    const LONGEST_CALLBACK: usize = 256;
    let comment = page.strip_prefix(b"/* callback */").unwrap_or(page).trim_ascii_start();
    let open = comment.iter().take(LONGEST_CALLBACK).position(|&b| b == b'(')?;
    let name_like = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'.');
    let array = comment[open + 1..].trim_ascii_start();
    (comment[..open].iter().all(name_like) && array.first() == Some(&b'[')).then_some(array)
}

/// Takes the elements of an array.
struct Sink<'s, 'b> {
    collector: &'s mut Collector<'b>,
    family: &'s mut Option<Family>,
}

impl<'de> Visitor<'de> for Sink<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Element>()? {
            if self.collector.is_full() {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
            match element {
                Element::Name(name) => {
                    *self.family = Some(Family::ServeIndex);
                    if let Some(name) = self.collector.name(&name) {
                        self.collector.push(name, Kind::Unknown, None, None);
                    }
                }
                Element::Item(item) => match add(&item, self.collector) {
                    Some(family) => *self.family = Some(family),
                    None => return Err(serde::de::Error::custom("no listing's item")),
                },
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Sink<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

/// `serve`'s document: `{"files": [...], "directory": ..., "paths": ...}`.
struct ServeDocument<'s, 'b>(Sink<'s, 'b>);

impl<'de> Visitor<'de> for ServeDocument<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document with files")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Sink { collector, family } = self.0;
        while let Some(key) = fields.next_key::<String>()? {
            if key == "files" {
                fields.next_value_seed(Sink { collector: &mut *collector, family: &mut *family })?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A string as bytes, whether they are UTF-8 or not.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }
        }
        deserializer.deserialize_bytes(Any)
    }
}

/// An item of any of the families; what one lacks is left out.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Item {
    name: Option<Bytes>,
    base: Option<Bytes>,
    #[serde(rename = "type")]
    kind: Option<Bytes>,
    mtime: Option<Bytes>,
    mod_time: Option<Bytes>,
    size: Printed,
    url: Option<Bytes>,
    is_dir: Option<bool>,
}

/// A size: a number (`None` if it is none that a file has) or a text.
#[derive(Default)]
struct Printed(Option<Size>);

impl<'de> Deserialize<'de> for Printed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Printed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size")
            }

            fn visit_u64<E>(self, bytes: u64) -> Result<Printed, E> {
                Ok(Printed(Some(Size::exactly(bytes))))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Printed, E> {
                Ok(Printed(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Printed, E> {
                Ok(Printed(None))
            }

            fn visit_unit<E>(self) -> Result<Printed, E> {
                Ok(Printed(None))
            }

            fn visit_str<E>(self, text: &str) -> Result<Printed, E> {
                Ok(Printed(size::parse(text.as_bytes(), Rounding::Nearest)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// An element of the array: `serve-index` has bare names.
enum Element {
    Name(Vec<u8>),
    Item(Box<Item>),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or an item")
            }

            fn visit_str<E>(self, text: &str) -> Result<Element, E> {
                Ok(Element::Name(text.as_bytes().to_vec()))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Element, A::Error> {
                let item = Item::deserialize(serde::de::value::MapAccessDeserializer::new(fields))?;
                Ok(Element::Item(Box::new(item)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Adds an item, and says whose it is; none if it is nobody's.
fn add(item: &Item, collector: &mut Collector<'_>) -> Option<Family> {
    let kind = item.kind.as_ref().map(|bytes| bytes.0.as_slice());
    let (family, name, plain, modified) = match (item, kind) {
        (Item { url: Some(url), is_dir: Some(directory), .. }, _) => {
            let name = collector.address(&url.0);
            (Family::CaddyJson, name, if *directory { Kind::Directory } else { Kind::File }, &item.mod_time)
        }
        (Item { base: Some(base), .. }, Some(kind)) => {
            // A link to a directory is a "file" of some size.
            let plain = if kind == b"folder" || kind == b"directory" { Kind::Directory } else { Kind::Unknown };
            (Family::Serve, collector.name(&base.0), plain, &None)
        }
        (Item { name: Some(name), .. }, Some(kind)) => {
            let plain = match kind {
                b"directory" => Kind::Directory,
                b"file" => Kind::File,
                _ => Kind::Unknown,
            };
            (Family::NginxJson, collector.name(&name.0), plain, &item.mtime)
        }
        _ => return None,
    };
    if let Some(name) = name {
        let time = modified.as_ref().and_then(|bytes| time::parse(&bytes.0));
        collector.push(name, plain, item.size.0, time);
    }
    Some(family)
}
