//! The commands that the demo prints, each with what will happen.

use std::net::SocketAddr;

use serde::Serialize;

use super::super::output::{print, print_json};
use super::Demo;
use super::site::{Activity, Contents};

/// One thing to try.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    /// What it shows.
    title: String,
    /// For a shell.
    command: String,
    /// What will be found in what the command prints.
    expect: Vec<String>,
}

/// Addresses that the built-in database places in a country.
const NETHERLANDS: &str = "145.97.39.155";
const UNITED_STATES: &str = "129.21.1.40";
const GERMANY: &str = "141.44.1.1";
const JAPAN: &str = "133.11.0.1";
const URUGUAY: &str = "164.73.32.2";

/// What `--json` prints after the scan.
#[derive(Serialize)]
struct Told<'a> {
    listen: SocketAddr,
    admin: SocketAddr,
    config: &'a std::path::Path,
    steps: Vec<Step>,
}

pub(super) fn print_all(demo: &Demo, json: bool) -> anyhow::Result<()> {
    let steps = steps(demo);
    if json {
        return print_json(&Told { listen: demo.address, admin: demo.admin, config: &demo.config, steps });
    }
    print("\nIt serves. Things to try, in another terminal:\n")?;
    for (number, step) in (1..).zip(&steps) {
        print(&format!("{number:>2}. {}\n    $ {}", step.title, step.command))?;
        print(&format!("    -> {}\n", step.expect.join(", ")))?;
    }
    print("Ctrl-C ends it.")
}

fn steps(demo: &Demo) -> Vec<Step> {
    let has = |contents: Contents| move |index: &usize| contents.has(*index);
    let published = &demo.site.published;
    let pick =
        |wanted: &dyn Fn(&usize) -> bool| (0..published.len()).find(wanted).map_or(published[0], |index| published[index]);
    let everywhere = pick(&|index| has(Contents::Partial)(index) && has(Contents::Stale)(index));
    let not_rochester = pick(&|index| !has(Contents::Partial)(index) && has(Contents::Stale)(index));
    let not_frankfurt = pick(&|index| !has(Contents::Stale)(index));
    let mut steps = vec![
        client(demo, "the Netherlands", NETHERLANDS, everywhere, "to the Dutch mirror", "mirror=enschede; why=country"),
        client(demo, "the United States", UNITED_STATES, everywhere, "to the American mirror", "mirror=rochester; why=country"),
        client(demo, "Germany", GERMANY, everywhere, "to the German mirror", "mirror=frankfurt; why=country"),
        client(
            demo,
            "Germany",
            GERMANY,
            not_frankfurt,
            "to the Netherlands: Frankfurt has an older upload",
            "mirror=enschede; why=continent",
        ),
        client(demo, "the United States", UNITED_STATES, not_rochester, "abroad: Rochester lacks this activity", "why=world"),
        client(demo, "Japan", JAPAN, everywhere, "elsewhere: Tokyo's server is broken", "why="),
        client(demo, "Uruguay", URUGUAY, everywhere, "to some mirror: none is near", "why="),
    ];
    steps.extend(local(demo, everywhere));
    steps.extend(administration(demo, everywhere));
    steps
}

/// A client "from" somewhere: the demo trusts this machine as a proxy.
fn client(demo: &Demo, place: &str, address: &str, activity: Activity, outcome: &str, expect: &str) -> Step {
    Step {
        title: format!("A client in {place} is sent {outcome}."),
        command: format!("curl -sI -H 'X-Forwarded-For: {address}' {}", url(demo, activity)),
        expect: vec!["302 Found".to_owned(), expect.to_owned()],
    }
}

fn local(demo: &Demo, published: Activity) -> Vec<Step> {
    let step = |title: &str, command: String, expect: &[&str]| Step {
        title: title.to_owned(),
        command,
        expect: expect.iter().map(|&text| text.to_owned()).collect(),
    };
    let (young, experimental) = (url(demo, demo.site.young), url(demo, demo.site.experimental));
    let root = format!("http://{}/activities/", demo.address);
    vec![
        step("A file that was published just now comes from here.", format!("curl -sI {young}"), &["200 OK", "why=young"]),
        step("So does an activity that is not public.", format!("curl -sI {experimental}"), &["200 OK", "why=not-public"]),
        step(
            "Files from here can be had in parts.",
            format!("curl -s -o /dev/null -D - -r 0-99 {young}"),
            &["206 Partial Content", "content-range: bytes 0-99/"],
        ),
        step(
            "The whole way, with the bytes from a mirror.",
            format!("curl -sL -o /dev/null -w '%{{http_code}} %{{size_download}}\\n' {}", url(demo, published)),
            &[&format!("200 {}", published.bytes)],
        ),
        step("What is public, for browsers...", format!("curl -s {root}"), &["<html", &format!("{}/", published.id)]),
        step("...and for programs.", format!("curl -s -H 'Accept: application/json' {root}"), &["\"name\""]),
        step("What is not there is 404, and what is no path is 400.", format!("curl -sI {root}nothing.xo"), &["404 Not Found"]),
        step("(the same)", format!("curl -sI --path-as-is {root}../secret"), &["400 Bad Request"]),
    ]
}

fn administration(demo: &Demo, activity: Activity) -> Vec<Step> {
    let program = std::env::current_exe().map_or_else(|_| "redirector".to_owned(), |path| path.display().to_string());
    let redirector = format!("{program} -c {}", demo.config.display());
    let path = format!("/activities/{}", activity.path());
    let step = |title: &str, command: String, expect: &[&str]| Step {
        title: title.to_owned(),
        command,
        expect: expect.iter().map(|&text| text.to_owned()).collect(),
    };
    vec![
        step(
            "Why did that client get that mirror?",
            format!("{redirector} explain {path} --from {GERMANY}"),
            &["302 why=country", "frankfurt", "tokyo"],
        ),
        step("The mirrors, and one of them with its history.", format!("{redirector} mirrors list"), &["enschede", "failed"]),
        step("(the same)", format!("{redirector} mirrors show tokyo"), &["broken", "500"]),
        step("Where is an address?", format!("{redirector} geoip lookup {URUGUAY}"), &["Uruguay"]),
        step(
            "A file that must not be handed out any more is gone within a second...",
            format!(
                "{redirector} files hold {path} --because 'a wrong licence' && sleep 1 && curl -sI {}",
                url(demo, activity)
            ),
            &["on hold", "410 Gone"],
        ),
        step(
            "...until it is released.",
            format!("{redirector} files release {path} --because 'put right' && sleep 1 && curl -sI {}", url(demo, activity)),
            &["released", "302 Found"],
        ),
        step(
            "What is counted, for Prometheus.",
            format!("curl -s http://{}/metrics", demo.admin),
            &["redirector_offload_ratio", "redirector_requests_total"],
        ),
    ]
}

fn url(demo: &Demo, activity: Activity) -> String {
    format!("http://{}/activities/{}", demo.address, activity.path())
}
