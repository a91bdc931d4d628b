//! Values of the rules for single files, clients and repositories that are well written and still can't be meant.

use super::FallbackSettings;
use super::limits::values;
use super::section::Reading;
use crate::decide::{self, Keep};
use crate::repository::Repositories;
use crate::{http, repository};

/// The most rules of a kind: each request is held against all of them.
const MAX_RULES: usize = 1_000;
/// Each request that no mirror can take is held against all of them.
const MAX_FALLBACKS: usize = 100;
/// Each request for what is no file is held against all of them.
const MAX_REPOSITORIES: usize = 1_000;
/// A longer pattern is a slip.
const MAX_WORD_BYTES: usize = 256;

pub(super) fn keep(reading: &mut Reading<'_>, settings: &decide::Settings) {
    let mut keep = values(reading, "keep");
    for path in &settings.paths {
        let one = decide::Settings { paths: vec![path.clone()], ..decide::Settings::default() };
        if let Err((pattern, why)) = Keep::new(&one, Vec::new()) {
            keep.require("paths", false, || format!("{pattern:?} is no pattern of paths: {why}"));
        }
    }
    for (key, words) in [("types", &settings.types), ("user-agents", &settings.user_agents)] {
        let good = |word: &String| (1..=MAX_WORD_BYTES).contains(&word.len());
        let wrong = words.iter().find(|word| !good(word));
        keep.require(key, wrong.is_none(), || format!("a pattern has 1 to {MAX_WORD_BYTES} bytes"));
    }
    for (key, count) in [
        ("paths", settings.paths.len()),
        ("types", settings.types.len()),
        ("user-agents", settings.user_agents.len()),
        ("networks", settings.networks.len()),
    ] {
        keep.require(key, count <= MAX_RULES, || format!("{count} rules; {MAX_RULES} is the most"));
    }
}

pub(super) fn answers(reading: &mut Reading<'_>, settings: &http::AnswerSettings) {
    let mut answers = values(reading, "answers");
    let both = settings.stamp_key_file.is_some() && settings.stamp_key_variable.is_some();
    answers.require("stamp-key-variable", !both, || "`stamp-key-file` names the key already".to_owned());
}

pub(super) fn fallbacks(reading: &mut Reading<'_>, fallbacks: &[(usize, FallbackSettings)]) {
    let many = fallbacks.len() > MAX_FALLBACKS;
    values(reading, "fallback[0]")
        .require("http", !many, || format!("{} fallback mirrors; {MAX_FALLBACKS} is the most", fallbacks.len()));
    for (index, _) in fallbacks {
        let mut fallback = values(reading, &format!("fallback[{index}]"));
        let has_base = fallback.has("https") || fallback.has("http");
        fallback.require("http", has_base, || "it has neither `https` nor `http`: nowhere to send clients".to_owned());
    }
}

pub(super) fn repositories(reading: &mut Reading<'_>, repositories: &[(usize, repository::Settings)]) {
    let many = repositories.len() > MAX_REPOSITORIES;
    values(reading, "repository[0]")
        .require("path", !many, || format!("{} repositories; {MAX_REPOSITORIES} is the most", repositories.len()));
    for (index, settings) in repositories {
        let mut repository = values(reading, &format!("repository[{index}]"));
        repository.age("accept-old", settings.accept_old);
        if let Err((_, (key, text))) = Repositories::new(std::slice::from_ref(settings)) {
            repository.require(key, false, || text);
        }
        if let Err((pattern, why)) = settings.metadata() {
            repository.require("metadata", false, || format!("{pattern:?} is no pattern of paths: {why}"));
        }
    }
}
