//! From a file's text to a `Config`, section by section, collecting all that is wrong on the way.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::section::{Reading, Section, bracketed, fields};
use super::source::{Problem, Problems, Source};
use super::{Config, FallbackSettings, MirrorSettings, limits, names, rules};
use crate::{decide, geo, hash, http, inventory, probe, repository, scan, tree};

/// Sections with their keys.
type Keys = Vec<(&'static str, &'static [&'static str])>;

/// All sections with their keys, in the order in which they are written.
#[must_use]
pub fn keys() -> Keys {
    vec![
        ("server", fields::<http::Settings>()),
        ("tree", fields::<tree::Settings>()),
        ("keep", fields::<decide::Settings>()),
        ("answers", fields::<http::AnswerSettings>()),
        ("inventory", fields::<inventory::Settings>()),
        ("hash", fields::<hash::Settings>()),
        ("geoip", fields::<geo::Settings>()),
        ("scan", fields::<scan::Settings>()),
        ("probe", fields::<probe::Settings>()),
        ("mirror", fields::<MirrorSettings>()),
        ("fallback", fields::<FallbackSettings>()),
        ("repository", fields::<repository::Settings>()),
    ]
}

/// Reads the text of the file at `path`.
pub(super) fn config(path: &Path, text: String) -> Result<Config, Problems> {
    let mut reading = Reading { path, source: Source::new(text.clone()), problems: Vec::new() };
    let (root, errors) = DeTable::parse_recoverable(&text);
    let end = text.trim_end().len();
    for error in &errors {
        let span = error.span().unwrap_or(end..end);
        let unquoted = error.message().starts_with("string values must be quoted");
        let written = text.get(span.clone()).filter(|_| unquoted);
        reading.problem(span, error.message().to_owned(), written.map(|text| format!("write it in quotes: \"{text}\"")));
    }
    let syntax = std::mem::take(&mut reading.problems);
    let config = sections(&mut reading, root.into_inner(), end..end);
    let mut problems = without_consequences(syntax, reading.problems);
    problems.sort_by_key(|problem| problem.position);
    match config {
        Some(config) if problems.is_empty() => Ok(Config { source: reading.source, ..config }),
        _ => Err(Problems(problems)),
    }
}

/// What could not be read is missing to what is read afterwards: that is told once.
fn without_consequences(syntax: Vec<Problem>, mut meaning: Vec<Problem>) -> Vec<Problem> {
    let broken: Vec<usize> = syntax.iter().filter_map(|problem| problem.position).map(|at| at.line).collect();
    if !broken.is_empty() {
        let on_broken_line = |problem: &Problem| problem.position.is_some_and(|at| broken.contains(&at.line));
        meaning.retain(|problem| !on_broken_line(problem) && !problem.text.contains("missing"));
    }
    syntax.into_iter().chain(meaning).collect()
}

/// Reads section after section. `None` only when something is missing without which nothing goes.
fn sections(reading: &mut Reading<'_>, mut root: DeTable<'_>, end: Range<usize>) -> Option<Config> {
    let all = keys();
    take_unknown(reading, &mut root, &all);
    if !root.contains_key("tree") {
        let advice = "write it, with at least `public = \"/the/folder/that/the/mirrors/carry\"`";
        reading.problem(end, "[tree] is missing".to_owned(), Some(advice.to_owned()));
    }
    let server = section(reading, &mut root, "server", &all);
    let tree = if root.contains_key("tree") { section(reading, &mut root, "tree", &all) } else { None };
    let inventory = section(reading, &mut root, "inventory", &all);
    let hash = section(reading, &mut root, "hash", &all);
    let geoip = section(reading, &mut root, "geoip", &all);
    let scan = section(reading, &mut root, "scan", &all);
    let probe = section(reading, &mut root, "probe", &all);
    let keep = section(reading, &mut root, "keep", &all);
    let answers = section(reading, &mut root, "answers", &all);
    let mirrors = list(reading, &mut root, "mirror", &all);
    let fallbacks = list(reading, &mut root, "fallback", &all);
    let repositories = list(reading, &mut root, "repository", &all);
    server.iter().for_each(|settings| limits::server(reading, settings));
    tree.iter().for_each(|settings| limits::tree(reading, settings));
    inventory.iter().for_each(|settings| limits::inventory(reading, settings));
    hash.iter().for_each(|settings| limits::hash(reading, settings));
    scan.iter().for_each(|settings| limits::scan(reading, settings));
    probe.iter().for_each(|settings| limits::probe(reading, settings));
    limits::mirrors(reading, &mirrors);
    keep.iter().for_each(|settings| rules::keep(reading, settings));
    answers.iter().for_each(|settings| rules::answers(reading, settings));
    rules::fallbacks(reading, &fallbacks);
    rules::repositories(reading, &repositories);
    Some(Config {
        path: reading.path.to_owned(),
        name: reading.path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        server: server?,
        tree: tree?,
        inventory: inventory?,
        hash: hash?,
        geoip: geoip?,
        scan: scan?,
        probe: probe?,
        keep: keep?,
        answers: answers?,
        mirrors: mirrors.into_iter().map(|(_, mirror)| mirror).collect(),
        fallbacks: fallbacks.into_iter().map(|(_, fallback)| fallback).collect(),
        repositories: repositories.into_iter().map(|(_, repository)| repository).collect(),
        source: Source::default(),
    })
}

/// Reads a section that stands in the file once or not at all.
fn section<T: DeserializeOwned>(
    reading: &mut Reading<'_>,
    root: &mut DeTable<'_>,
    name: &'static str,
    all: &Keys,
) -> Option<T> {
    let table = match root.remove(name) {
        None => Spanned::new(0..0, DeTable::new()),
        Some(value) => table(reading, name, value)?,
    };
    reading.section(Section { name, label: name, all }, table)
}

fn table<'i>(reading: &mut Reading<'_>, name: &str, value: Spanned<DeValue<'i>>) -> Option<Spanned<DeTable<'i>>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Some(Spanned::new(span, table)),
        DeValue::Array(list) => {
            let at = list.first().map_or(span, Spanned::span);
            reading.problem(
                at,
                format!("[[{name}]] is one section, not a list of them"),
                Some(format!("write [{name}], once")),
            );
            None
        }
        _ => {
            reading.problem(span, format!("`{name}` is a section, not a key"), Some(format!("write [{name}]")));
            None
        }
    }
}

/// Reads all sections of a list, like `[[mirror]]`, that can be read, each with its place in the file's order.
fn list<T: DeserializeOwned>(
    reading: &mut Reading<'_>,
    root: &mut DeTable<'_>,
    name: &'static str,
    all: &Keys,
) -> Vec<(usize, T)> {
    let Some(value) = root.remove(name) else { return Vec::new() };
    let span = value.span();
    let list = match value.into_inner() {
        DeValue::Array(list) => list,
        DeValue::Table(table) => {
            reading.problem(span.clone(), format!("[{name}] is a list of sections"), Some(format!("write [[{name}]]")));
            let mut list = DeArray::new();
            list.push(Spanned::new(span, DeValue::Table(table)));
            list
        }
        _ => {
            reading.problem(span, format!("`{name}` is a list of sections, not a key"), Some(format!("write [[{name}]]")));
            return Vec::new();
        }
    };
    let one = |(index, value): (usize, Spanned<DeValue<'_>>)| {
        let label = format!("{name}[{index}]");
        let table = table(reading, name, value)?;
        Some((index, reading.section(Section { name, label: &label, all }, table)?))
    };
    list.into_iter().enumerate().filter_map(one).collect()
}

/// Takes out what is no section.
fn take_unknown(reading: &mut Reading<'_>, root: &mut DeTable<'_>, all: &Keys) {
    let known = |name: &str| all.iter().any(|(section, _)| *section == name);
    let unknown: Vec<_> = root
        .iter()
        .filter(|(key, _)| !known(key.get_ref()))
        .map(|(key, value)| {
            (key.get_ref().to_string(), key.span(), matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_)))
        })
        .collect();
    let sections: Vec<&str> = all.iter().map(|(section, _)| *section).collect();
    for (name, span, is_section) in unknown {
        root.remove(name.as_str());
        let owner = all.iter().find(|(_, keys)| keys.contains(&name.as_str()));
        let near = names::nearest(&name, &sections);
        let (text, advice) = match (owner, near) {
            (Some((section, _)), _) if !is_section || near.is_none() => {
                (format!("`{name}` stands outside of its section"), Some(format!("it is a key of {}", bracketed(section))))
            }
            (_, Some(near)) => (format!("unknown section [{name}]"), Some(format!("did you mean {}?", bracketed(near)))),
            _ if is_section => (format!("unknown section [{name}]"), None),
            _ => (format!("unknown key `{name}`, outside of all sections"), None),
        };
        reading.problem(span, text, advice);
    }
}
