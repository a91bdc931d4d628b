//! Reads one section of a configuration into its part's `Settings`, so that one mistake doesn't hide the next:
//! an unknown key or a bad value is told, taken out, and the rest is read again.

use std::ops::Range;
use std::path::Path;

use serde::de::{DeserializeOwned, Deserializer, Visitor, value};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::names;
use super::source::{Problem, Source};

/// Where a section stands and what it may hold.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    /// As in the file's text: `tree`, `mirror`.
    pub(super) name: &'a str,
    /// As keys of it are noted: `tree`, `mirror[2]`.
    pub(super) label: &'a str,
    /// All sections with their keys, to tell where a misplaced key belongs.
    pub(super) all: &'a [(&'static str, &'static [&'static str])],
}

/// What is being read, and what was found wrong so far.
pub(super) struct Reading<'a> {
    pub(super) path: &'a Path,
    pub(super) source: Source,
    pub(super) problems: Vec<Problem>,
}

impl Reading<'_> {
    pub(super) fn problem(&mut self, span: Range<usize>, text: String, advice: Option<String>) {
        self.problems.push(Problem::at(self.path, self.source.text(), span, text).advise(advice));
    }

    /// Reads `table` as a `T`. `None` only when something that `T` can't do without is missing.
    pub(super) fn section<T: DeserializeOwned>(&mut self, section: Section<'_>, table: Spanned<DeTable<'_>>) -> Option<T> {
        let span = table.span();
        let mut table = table.into_inner();
        self.source.note(section.label.to_owned(), span.clone());
        self.take_unknown(section, fields::<T>(), &mut table);
        let mut taken: Vec<String> = Vec::new();
        let mut stands_in = Vec::new();
        loop {
            let value = Spanned::new(span.clone(), DeValue::Table(table.clone()));
            let error = match T::deserialize(ValueDeserializer::from(value)) {
                Ok(settings) => return Some(settings),
                Err(error) => error,
            };
            if error.message().contains(STAND_IN) {
                return None;
            }
            let at = narrow::<T>(&table, error.span().unwrap_or_else(|| span.clone()), error.message());
            match take(&mut table, &at) {
                Some(key) => {
                    let (text, advice) = reword(error.message(), self.source.text().get(at.clone()).unwrap_or(""));
                    self.problem(at, format!("{}.{key}: {text}", section.name), advice);
                    taken.push(key);
                    if taken.len() >= MAX_TOLD {
                        return None;
                    }
                }
                None => {
                    let missing = quoted(error.message()).next().unwrap_or("");
                    match taken.iter().any(|key| key == missing) {
                        // It is there, but bad, and that has been told. Something in its place lets the rest be read, where a
                        // text can stand there at all.
                        true => {
                            if stands_in.iter().any(|key| key == missing) {
                                return None;
                            }
                            stands_in.push(missing.to_owned());
                            let text = format!("{STAND_IN}{}", span.start);
                            table.insert(
                                Spanned::new(0..0, missing.to_owned().into()),
                                Spanned::new(0..0, DeValue::String(text.into())),
                            );
                        }
                        false => {
                            let text = error.message().replace("missing field", "missing key");
                            self.problem(at, format!("{}: {text}", bracketed(section.name)), None);
                            return None;
                        }
                    }
                }
            }
        }
    }

    /// Takes the keys that the section does not have out of `table`; notes the places of the others.
    fn take_unknown(&mut self, section: Section<'_>, known: &[&'static str], table: &mut DeTable<'_>) {
        let mut unknown = Vec::new();
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                self.source.note(format!("{}.{name}", section.label), value.span());
                for (index, entry) in value.get_ref().as_array().into_iter().flatten().enumerate() {
                    self.source.note(format!("{}.{name}[{index}]", section.label), entry.span());
                }
            } else {
                unknown.push((name.to_owned(), key.span()));
            }
        }
        for (name, span) in unknown {
            table.remove(name.as_str());
            let advice = advice(section, known, &name);
            self.problem(span, format!("unknown key `{name}` in {}", bracketed(section.name)), advice);
        }
    }
}

fn advice(section: Section<'_>, known: &[&'static str], name: &str) -> Option<String> {
    let elsewhere = |near: &dyn Fn(&[&'static str]) -> Option<&'static str>| {
        let others = section.all.iter().filter(|(other, _)| *other != section.name);
        others.filter_map(|(other, keys)| near(keys).map(|key| format!("it is `{key}` of {}", bracketed(other)))).next()
    };
    names::translate(section.name, name)
        .map(|right| format!("here it is called `{right}`"))
        .or_else(|| {
            elsewhere(&|keys| keys.iter().copied().find(|key| *key == name)).map(|there| format!("{there}, move it there"))
        })
        .or_else(|| names::nearest(name, known).map(|near| format!("did you mean `{near}`?")))
        .or_else(|| elsewhere(&|keys| names::nearest(name, keys)).map(|there| format!("perhaps {there}")))
}

/// The name of a section as it is written.
pub(super) fn bracketed(section: &str) -> String {
    if LISTS.contains(&section) { format!("[[{section}]]") } else { format!("[{section}]") }
}

/// Sections that may stand in the file any number of times.
const LISTS: [&str; 3] = ["mirror", "fallback", "repository"];

/// How a text begins that stands in the place of what could not be read.
const STAND_IN: &str = "stand-in-";

/// Nobody reads more problems of one section than this; each costs another reading of the section.
const MAX_TOLD: usize = 50;

/// Where in a list the entry stands that `message` is about, if `at` is that list: not every type tells.
fn narrow<T: DeserializeOwned>(table: &DeTable<'_>, at: Range<usize>, message: &str) -> Range<usize> {
    let list =
        table.iter().find(|(_, value)| value.span() == at).and_then(|(key, value)| Some((key, value.get_ref().as_array()?)));
    let Some((key, list)) = list else { return at };
    let mut rest = table.clone();
    rest.remove(key);
    let is_wrong = |entry: &&Spanned<DeValue<'_>>| {
        let mut alone = DeArray::new();
        alone.push((*entry).clone());
        let mut table = rest.clone();
        table.insert(key.clone(), Spanned::new(at.clone(), DeValue::Array(alone)));
        let result = T::deserialize(ValueDeserializer::from(Spanned::new(at.clone(), DeValue::Table(table))));
        result.is_err_and(|error| error.message() == message)
    };
    list.iter().find(is_wrong).map_or(at.clone(), Spanned::span)
}

/// Takes the value that covers `at` out of the table: an entry of a list alone where it is one. Says which key it was.
fn take(table: &mut DeTable<'_>, at: &Range<usize>) -> Option<String> {
    let covers = |span: Range<usize>| span.start <= at.start && at.end <= span.end;
    let (key, value) = table.iter_mut().find(|(_, value)| covers(value.span()))?;
    let key = key.get_ref().to_string();
    if let DeValue::Array(list) = value.get_mut()
        && let Some(wrong) = list.iter().position(|entry| covers(entry.span()))
    {
        let entries = std::mem::replace(list, DeArray::new()).into_iter().enumerate();
        entries.filter(|(index, _)| *index != wrong).for_each(|(_, entry)| list.push(entry));
        return Some(key);
    }
    table.remove(key.as_str());
    Some(key)
}

/// A message of serde's in our words, with advice where there is one.
fn reword(message: &str, written: &str) -> (String, Option<String>) {
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let mut words = quoted(rest);
        let wrong = words.next().unwrap_or("");
        let right: Vec<&str> = words.collect();
        let near = names::nearest(wrong, &right).map(|near| format!("did you mean \"{near}\"?"));
        return (format!("\"{wrong}\" is none of {}", right.join(", ")), near);
    }
    let text = EXPECTED.iter().find_map(|(theirs, ours)| {
        let found = message.strip_suffix(theirs)?;
        let found = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
        let found = found.trim_end_matches(", expected ").trim_end_matches(" as i128").trim_end_matches(" as u128");
        // Dates are maps to serde.
        let found = if found == "map" && !written.starts_with('{') { "a date" } else { found };
        Some(format!("{found} where {ours} should be"))
    });
    if let Some((_, why, example)) = UNREADABLE.iter().find(|(theirs, ..)| message.starts_with(theirs)) {
        return (format!("{written} {why}"), Some(format!("write it like {example}")));
    }
    let bare = !written.is_empty() && !written.starts_with(['"', '\'', '[', '{']);
    let advice = (bare && message.ends_with(" string")).then(|| format!("write it in quotes: \"{written}\""));
    (text.unwrap_or_else(|| message.to_owned()), advice)
}

/// What serde expected, and how people call it.
const EXPECTED: [(&str, &str); 11] = [
    ("path string", "a path"),
    ("a string", "text"),
    ("u16", "a whole number from 0 to 65,535"),
    ("u32", "a whole number from 0 to 4,294,967,295"),
    ("u64", "a whole number from 0 on"),
    ("usize", "a whole number from 0 on"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("a duration in quotes, like \"30m\"", "a duration in quotes, like \"30m\","),
    ("a size in quotes, like \"4KiB\"", "a size in quotes, like \"4KiB\","),
    ("a sequence", "a list"),
];

/// Texts of the standard library and of `ipnet` that don't say what was read or what is right.
const UNREADABLE: [(&str, &str, &str); 4] = [
    ("invalid socket address", "is no address with a port", "\"0.0.0.0:8080\" or \"[::]:8080\""),
    ("invalid IP address syntax", "is no network", "\"192.0.2.0/24\" or \"2001:db8::/32\""),
    ("invalid IPv4 address", "is no IPv4 address", "\"192.0.2.1\""),
    ("invalid IPv6 address", "is no IPv6 address", "\"2001:db8::1\""),
];

/// The words between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The keys of a `Settings` struct, as its `Deserialize` names them.
pub(super) fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // There is no value, only the question which fields are asked for.
    let failed = T::deserialize(Names(&mut fields)).is_err();
    debug_assert!(failed, "nothing was made of nothing");
    fields
}

struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only names are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
