//! A day of the library (scenario 46): 125 GB of demand, five releases, and mirrors that sync every hour, every six hours and
//! once a day. The success that counts is the share of bytes that mirrors carry.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use jiff::SignedDuration;

use super::mirror::Mirror;
use super::site::{NETHERLANDS, Site, UNITED_STATES, URUGUAY, bundle, write};

/// Real activities, most downloaded first: add-on id, status, file, bytes.
const CATALOGUE: &str = include_str!("../../src/command/demo/activities.tsv");
/// What is downloaded in a day.
const DEMAND: f64 = 125e9;
/// What the origin may send of it.
const MOST: f64 = 5e9;

/// An activity on offer.
struct Offer {
    path: String,
    /// Its share of the bytes.
    share: f64,
    seed: u64,
    size: usize,
}

/// Shares as they are in the library: by far not all downloads go to the first one (Zipf's law, flattened at the top).
fn offers() -> Vec<Offer> {
    let rows = CATALOGUE.lines().filter(|line| !line.starts_with('#'));
    let mut offers: Vec<Offer> = (1_u32..)
        .zip(rows)
        .filter_map(|(rank, line)| {
            let mut fields = line.split('\t');
            let (id, status, file, bytes) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let size = bytes.parse().ok()?;
            (status == "P").then(|| Offer {
                path: format!("{id}/{file}"),
                share: 1.0 / f64::from(rank + 5),
                seed: rank.into(),
                size,
            })
        })
        .collect();
    let sum: f64 = offers.iter().map(|offer| offer.share).sum();
    offers.iter_mut().for_each(|offer| offer.share /= sum);
    offers
}

/// Scenario 46.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_day_of_125_gb_mirrors_carry_all_but_5_gb_and_nobody_gets_wrong_bytes() {
    let mut site = Site::new();
    site.production().set("scan", "interval = \"45m\"");
    let tree = site.production().public();
    let mut offers = offers();
    assert!(offers.len() > 60, "{}", offers.len());
    for offer in &offers {
        write(&tree.join(&offer.path), &bundle(offer.seed, offer.size), site.clock.now() - SignedDuration::from_hours(24 * 30));
    }
    for (name, country) in [("leiden", "nl"), ("rochester", "us"), ("canberra", "au")] {
        let mirror = Mirror::new(name, country);
        mirror.sync(&tree);
        site.production().add(mirror);
    }
    site.start().await;

    let (mut home, mut away) = (0.0, 0.0);
    let mut verified = HashSet::new();
    for hour in 0..24_usize {
        // Releases of the five most wanted, spread over the day: new versions by a new name, and one by an upload under the old.
        if hour % 5 == 2 {
            let offer = &mut offers[hour / 5];
            offer.seed += 1000;
            if hour == 12 {
                fs::remove_file(tree.join(&offer.path)).expect("it is there");
            } else {
                offer.path = offer.path.replace(".xo", "1.xo");
            }
            site.publish(&offer.path, &bundle(offer.seed, offer.size)).await;
        }
        for (mirror, every) in [("leiden", 1), ("rochester", 6), ("canberra", 24)] {
            if hour % every == every - 1 {
                site.mirror(mirror).sync(&tree);
            }
        }
        let client = [NETHERLANDS, UNITED_STATES, URUGUAY][hour % 3];
        for offer in &offers {
            let answer = site.ask("HEAD", &format!("/activities/{}", offer.path), &[("X-Forwarded-For", client)]).await;
            let bytes = DEMAND / 24.0 * offer.share;
            match answer.status {
                200 => home += bytes,
                302 => {
                    away += bytes;
                    let copy = site.mirror(answer.mirror()).copy().join(&offer.path);
                    if verified.insert((answer.mirror().to_owned(), offer.path.clone(), offer.seed)) {
                        assert!(is_same(&copy, &tree.join(&offer.path)), "hour {hour}: {} at {}", offer.path, answer.mirror());
                    }
                }
                _ => panic!("hour {hour}: {}: {}", offer.path, answer.gist()),
            }
        }
        site.minutes_later(60).await;
    }
    let share = away / (home + away);
    println!("mirrors carried {:.2} % of {:.0} GB", share * 100.0, (home + away) / 1e9);
    assert!(share >= 0.95 && home < MOST, "{share} went away, {home} bytes came from here");
}

fn is_same(a: &Path, b: &Path) -> bool {
    fs::read(a).expect("the copy is there") == fs::read(b).expect("it is there")
}
