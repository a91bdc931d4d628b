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

/// The help of the command that a line starts with, after `redirector`; its own arguments are left out.
#[track_caller]
fn help_of(line: &str) -> String {
    // Options before the command, with their values, would be taken for it.
    let words = line.split_whitespace().skip_while(|word| word.starts_with('-') || word.ends_with(".toml"));
    let words = words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).take(2);
    let words: Vec<&str> = words.filter(|word| !["nluug", "here"].contains(word)).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_redirector")).args(&words).arg("--help").output().expect("it runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

#[test]
fn its_commands_exist() {
    let shown: Vec<String> = blocks("console").join("\n").lines().map(str::to_owned).collect();
    let commands: Vec<&str> =
        shown.iter().filter_map(|line| line.strip_prefix("$ redirector ").or(line.strip_prefix("# redirector "))).collect();
    assert!(commands.len() > 3, "{commands:?}");
    for command in commands {
        help_of(command);
    }
}

#[test]
fn every_command_helps_with_an_example_of_its_own() {
    let top = help_of("");
    assert!(top.contains("Exit status:") && top.contains("  78  "), "{top}");
    for command in [
        "serve",
        "scan",
        "check",
        "explain",
        "demo",
        "mirrors list",
        "mirrors show",
        "files show",
        "files hold",
        "files release",
        "files holds",
        "repositories expire",
        "geoip lookup",
    ] {
        let help = help_of(command);
        let mut examples = help.lines().filter_map(|line| line.strip_prefix("  redirector "));
        assert!(examples.any(|example| example.contains(command)), "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }
    let bare = Command::new(env!("CARGO_BIN_EXE_redirector")).output().unwrap();
    assert_eq!(bare.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bare.stderr).contains("Commands:"), "without arguments it helps");
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
