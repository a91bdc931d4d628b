//! Names, addresses and proxies: who answers what, and who can reach what.

use std::net::{IpAddr, SocketAddr};

use super::{Finding, Severity, pairs};
use crate::config::{Config, is_inside};

pub(super) fn alone(config: &Config, findings: &mut Vec<Finding>) {
    let server = &config.server;
    let mut tell = |severity, key, text: String, advice| findings.push(Finding::new(severity, config, key, text, advice));
    if let Some(admin) = server.admin_listen.filter(|admin| !is_inside(admin.ip())) {
        let advice = "it shows how the instance works inside; use a loopback or private address";
        tell(Severity::Warning, "server.admin-listen", format!("{admin} can be reached by everybody"), advice);
    }
    if let Some(network) = server.trusted_proxies.iter().find(|network| network.prefix_len() == 0) {
        let advice = "every client could claim any address and so choose its mirrors; name your proxies";
        tell(Severity::Warning, "server.trusted-proxies", format!("{network} believes everybody"), advice);
    }
    for address in server.listen.iter().chain(&server.listen_proxy_protocol).filter(|address| address.port() == 0) {
        tell(
            Severity::Warning,
            "server.listen",
            format!("{address}: the port will be another one at each start"),
            "choose a port",
        );
    }
    if let (Some(url), false) = (&server.public_url, server.hosts.is_empty()) {
        let authority = url.split("://").nth(1).unwrap_or("").trim_end_matches('/');
        let host = crate::config::mirror::host(authority);
        if !server.hosts.iter().any(|name| name.trim_matches(['[', ']']).eq_ignore_ascii_case(host)) {
            let text = format!("{url} leads to a name that is not among server.hosts");
            tell(Severity::Warning, "server.public-url", text, "links to ourselves would not be answered by this instance");
        }
    }
    if config.describe.publisher_url.is_some() && config.describe.publisher.is_none() {
        let text = "a page without a name is told nobody".to_owned();
        tell(Severity::Warning, "describe.publisher-url", text, "set `publisher` beside it");
    }
    if config.describe.links
        && server.public_url.is_none()
        && server.listen.iter().any(|address| ![80, 443].contains(&address.port()))
    {
        let text = "links to descriptions go by each request's Host header, which some clients (wget2) send without its port";
        tell(Severity::Hint, "server.public-url", text.to_owned(), "set it to how clients reach this server");
    }
    if config.scan.contact.is_none() && server.public_url.is_none() && !config.mirrors.is_empty() {
        let advice =
            "set `contact` to a page or address, so that mirrors' operators know whom to ask before they block the scanner";
        tell(Severity::Hint, "scan.contact", "mirrors are not told who scans them".to_owned(), advice);
    }
    if config.probe.timeout >= config.probe.interval {
        let text = format!("a probe may take {}, longer than the interval of {}", config.probe.timeout, config.probe.interval);
        tell(Severity::Warning, "probe.timeout", text, "make it shorter than the interval");
    }
}

pub(super) fn together(configs: &[Config], findings: &mut Vec<Finding>) {
    for (a, b) in pairs(configs) {
        if a.tree.prefix == b.tree.prefix
            && let Some(host) = shared_host(a, b)
        {
            let text = format!("instance `{}` answers for {}{} too", a.name, host, b.tree.prefix.encoded());
            let key = if b.source.has("tree.prefix") { "tree.prefix" } else { "server.hosts" };
            findings.push(Finding::new(Severity::Error, b, key, text, "tell them apart by tree.prefix or server.hosts"));
        }
    }
    let sockets: Vec<_> = configs.iter().enumerate().flat_map(|(index, config)| sockets(index, config)).collect();
    findings.extend(pairs(&sockets).filter_map(|(a, b)| collision(a, b)));
}

/// A host that both answer to. One that names no host takes only what nobody else takes.
fn shared_host<'a>(a: &'a Config, b: &Config) -> Option<&'a str> {
    match (a.server.hosts.as_slice(), b.server.hosts.as_slice()) {
        ([], []) => Some("any host, "),
        (hosts, others) => {
            hosts.iter().find(|host| others.iter().any(|other| other.eq_ignore_ascii_case(host))).map(String::as_str)
        }
    }
}

struct Socket<'a> {
    index: usize,
    config: &'a Config,
    key: &'static str,
    address: SocketAddr,
}

fn sockets(index: usize, config: &Config) -> Vec<Socket<'_>> {
    let server = &config.server;
    let of = |key, addresses: &[SocketAddr]| -> Vec<Socket<'_>> {
        addresses.iter().map(|&address| Socket { index, config, key, address }).collect()
    };
    let mut all = of("server.listen", &server.listen);
    all.extend(of("server.listen-proxy-protocol", &server.listen_proxy_protocol));
    all.extend(of("server.admin-listen", server.admin_listen.as_slice()));
    all
}

/// Two sockets that can't be open at once. Instances may share one of the same kind.
fn collision(a: &Socket<'_>, b: &Socket<'_>) -> Option<Finding> {
    let (one, other) = (a.address, b.address);
    let all = |ip: IpAddr| ip.is_unspecified();
    let meet = one.is_ipv4() == other.is_ipv4() && (one.ip() == other.ip() || all(one.ip()) || all(other.ip()));
    let shared = one == other && a.key == b.key && a.index != b.index;
    if one.port() != other.port() || one.port() == 0 || !meet || shared {
        return None;
    }
    let whose = if a.index == b.index { String::new() } else { format!(" of instance `{}`", a.config.name) };
    let text = format!("{other} is taken already, by {} ({one}){whose}", a.key);
    Some(Finding::new(Severity::Error, b.config, b.key, text, "choose another port"))
}
