//! The scenarios of the activity library (ASLO), from the upload of a bundle to the laptop that fetches it: each one a test,
//! named as a sentence, against real trees, a real database, real mirrors (nginx, filled by rsync) and the real daemon.
//!
//! Numbers are those of the library's list of acceptance scenarios. The daemon runs in this process, with a clock that only
//! the test moves, or, where the story is about processes, as the program itself.

#![allow(unreachable_pub, reason = "a test crate has no outside")]

mod servers;
mod until;

/// Scenarios 1 to 46; the last one, 47, is about importing logs.
#[test]
fn every_scenario_has_its_test() {
    let stories = [
        include_str!("aslo/clients.rs"),
        include_str!("aslo/day.rs"),
        include_str!("aslo/instances.rs"),
        include_str!("aslo/life.rs"),
        include_str!("aslo/mirrors.rs"),
        include_str!("aslo/paths.rs"),
    ];
    let lines = stories.iter().flat_map(|story| story.lines()).filter(|line| line.starts_with("/// Scenario"));
    let first_sentence = |line: &'static str| line.split(['.', ':', ',']).next().unwrap_or(line);
    let words = lines.flat_map(|line| first_sentence(line).split(' '));
    let told: std::collections::BTreeSet<u32> = words.filter_map(|word| word.parse().ok()).collect();
    assert_eq!(told, (1..=46).collect());
}

mod aslo {
    pub mod answer;
    pub mod curl;
    pub mod mirror;
    pub mod site;

    mod clients;
    mod day;
    mod instances;
    mod life;
    mod mirrors;
    mod paths;
}
