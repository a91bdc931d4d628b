//! What the README shows is true: its configuration can be read, its commands and words exist, its files are there.

use std::path::Path;
use std::process::Command;

use redirector::config::Config;
use redirector::decide::Why;
use redirector::selection::Class;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README is there")
}

/// The fenced blocks of a language, without the white space that a list puts before their lines.
fn blocks(language: &str) -> Vec<String> {
    let (mut found, mut block) = (Vec::new(), None::<String>);
    for line in readme().lines() {
        let trimmed = line.trim_start();
        match (&mut block, trimmed.strip_prefix("```")) {
            (None, Some(tag)) if tag == language => block = Some(String::new()),
            (Some(_), Some(_)) => found.extend(block.take()),
            (Some(text), None) => text.push_str(&format!("{trimmed}\n")),
            _ => {}
        }
    }
    found
}

#[test]
fn its_configurations_can_be_read() {
    let blocks = blocks("toml");
    assert!(!blocks.is_empty());
    for text in blocks {
        Config::parse(Path::new("mirrors.toml"), text.clone()).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    }
}

#[test]
fn its_commands_exist() {
    let shown: Vec<String> = blocks("console").join("\n").lines().map(str::to_owned).collect();
    let commands: Vec<&str> = shown.iter().filter_map(|line| line.strip_prefix("$ redirector ")).collect();
    assert!(!commands.is_empty());
    for command in commands {
        let words = command.split_whitespace().take_while(|word| !word.starts_with(['-', '/']));
        let words: Vec<&str> = words.filter(|word| word.chars().all(|c| c.is_ascii_lowercase())).take(2).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_redirector")).args(&words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn it_explains_every_reason_that_a_header_can_give() {
    let readme = readme();
    let reasons = Why::ALL.iter().map(|why| why.as_str()).chain(
        [Class::Network, Class::As, Class::Country, Class::AlsoCountry, Class::Continent, Class::World]
            .iter()
            .map(|class| class.as_str()),
    );
    for reason in reasons {
        assert!(readme.contains(&format!("`{reason}`")), "the README does not say what why={reason} means");
    }
}

#[test]
fn the_files_that_it_points_at_are_there() {
    let readme = readme();
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files: Vec<&str> = links.filter(|link| !link.contains("://") && !link.starts_with('#')).collect();
    assert!(!files.is_empty());
    for file in files {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{file}");
    }
}
