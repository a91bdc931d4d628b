//! `redirector geoip`: where addresses are, by which database.

use std::net::IpAddr;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;

use super::output::{print, print_json, print_table, table};
use crate::geo::{DatabaseInfo, Finding, Locator, Role, Settings};
use crate::model::{Continent, Country};

/// See what the GeoIP databases know.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell where addresses are: country, coordinates, autonomous system, and which database says so.
    #[command(after_help = "Example:\n  redirector geoip lookup 145.97.39.155 2001:610::1")]
    Lookup {
        /// IPv4 or IPv6 addresses.
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<IpAddr>,
        /// Print JSON, for programs; with the databases' whole records.
        #[arg(long)]
        json: bool,
    },
}

/// What `--json` prints of one instance.
#[derive(Serialize)]
struct Report<'a> {
    instance: &'a str,
    addresses: Vec<Finding>,
    databases: Vec<DatabaseInfo>,
}

/// Runs the command for each instance: its name and its `[geoip]`.
pub(crate) fn run(instances: &[(&str, &Settings)], command: &Command) -> anyhow::Result<()> {
    let Command::Lookup { addresses, json } = command;
    let mut reports = Vec::new();
    for &(instance, settings) in instances {
        let (locator, problems) = Locator::open(settings).context("can't open the GeoIP databases")?;
        for problem in problems {
            eprintln!("{instance}: {problem}");
        }
        let addresses = addresses.iter().map(|&address| locator.look_up(address)).collect();
        reports.push(Report { instance, addresses, databases: locator.describe() });
    }
    if *json {
        return print_json(&reports);
    }
    for (index, report) in reports.iter().enumerate() {
        if reports.len() > 1 {
            let gap = if index > 0 { "\n" } else { "" };
            print(&format!("{gap}{}:", report.instance))?;
        }
        print_report(report)?;
    }
    Ok(())
}

fn print_report(report: &Report<'_>) -> anyhow::Result<()> {
    let mut places = table(["ADDRESS", "NETWORK", "COUNTRY", "CONTINENT", "PLACE", "AS"]);
    for finding in &report.addresses {
        places.add_row(cells(finding));
    }
    print_table(&places)?;
    print("")?;
    let mut databases = table(["DATABASE", "FOR", "KIND", "MADE", "ADDRESSES", "COORDINATES"]);
    for info in &report.databases {
        databases.add_row([
            info.source.to_string(),
            info.role.to_string(),
            info.kind.clone(),
            info.built.map_or_else(|| "?".to_owned(), |built| built.strftime("%Y-%m-%d").to_string()),
            versions(info),
            if info.has_coordinates { "yes" } else { "no" }.to_owned(),
        ]);
    }
    print_table(&databases)?;
    for info in &report.databases {
        if let Some(credit) = info.credit {
            print(&format!("{} ({})", credit.text, credit.url))?;
        }
    }
    Ok(())
}

fn versions(info: &DatabaseInfo) -> String {
    let known = [(info.ip_versions.ipv4, "IPv4"), (info.ip_versions.ipv6, "IPv6")];
    let known: Vec<&str> = known.into_iter().filter_map(|(is_known, name)| is_known.then_some(name)).collect();
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

fn cells(finding: &Finding) -> [String; 6] {
    let place = finding.place;
    let address = match finding.looked_up {
        Some(looked_up) if looked_up != finding.address => format!("{} = {looked_up}", finding.address),
        _ => finding.address.to_string(),
    };
    let network = finding.records.iter().find_map(|found| found.network);
    let unknown = || finding.special.unwrap_or("unknown").to_owned();
    let country = |country: Country| format!("{country} {}", country.name().unwrap_or_default());
    let point = place.point.map(|point| format!("{:.2}, {:.2}", point.latitude, point.longitude));
    let city = text(finding, Role::Location, &["/city/names/en", "/city"]);
    let organization = text(finding, Role::Asn, &["/autonomous_system_organization", "/as_name"]);
    [
        address,
        network.map_or_else(|| "-".to_owned(), |network| network.to_string()),
        place.country.map_or_else(unknown, country),
        place.continent.map_or("-", Continent::name).to_owned(),
        [city, point].into_iter().flatten().collect::<Vec<_>>().join(" "),
        place.asn.map_or_else(|| "-".to_owned(), |asn| format!("AS{asn} {}", organization.unwrap_or_default())),
    ]
}

/// The first of these texts that the record for the role has.
fn text(finding: &Finding, role: Role, pointers: &[&str]) -> Option<String> {
    let found = finding.records.iter().find(|found| found.role == role)?;
    let texts = pointers.iter().filter_map(|pointer| found.record.pointer(pointer)?.as_str());
    texts.map(str::trim).find(|text| !text.is_empty()).map(str::to_owned)
}
