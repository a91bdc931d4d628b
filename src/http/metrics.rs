//! What is counted of requests, and how `/metrics` prints it: one family a question, with the instance as a label.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::router::Router;
use super::site::Site;
use crate::decide::Why;
use crate::metrics::{Counter, Latency};
use crate::model::MirrorName;
use crate::selection::Class;

/// What one instance counts of its requests. It outlives a reload.
#[derive(Debug, Default)]
pub struct Counts {
    redirects: [Counter; CLASSES.len()],
    fallbacks: Counter,
    local: [Counter; Why::ALL.len()],
    others: [Counter; Other::ALL.len()],
    redirected_bytes: Counter,
    served_bytes: Counter,
    latency: Latency,
    mirrors: Mutex<BTreeMap<MirrorName, Arc<MirrorCounts>>>,
}

/// What is counted of one mirror.
#[derive(Debug, Default)]
pub struct MirrorCounts {
    redirects: Counter,
    bytes: Counter,
}

/// Answers that are neither a redirect to a mirror nor a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// A list of a directory, or a page on mirrors.
    Index,
    /// A description of a file.
    Description,
    /// To the same path with a slash.
    Slash,
    /// The decision about a request, as it asked to be told.
    Trace,
    /// A list of mirrors for a package manager.
    List,
    /// 400.
    BadRequest,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    NotAllowed,
    /// 410.
    Gone,
    /// 503.
    Unavailable,
    /// 503, or a connection that was closed, since too many others waited.
    Overloaded,
}

impl Other {
    const ALL: [Self; 12] = [
        Self::Index,
        Self::Description,
        Self::Slash,
        Self::Trace,
        Self::List,
        Self::BadRequest,
        Self::Forbidden,
        Self::NotFound,
        Self::NotAllowed,
        Self::Gone,
        Self::Unavailable,
        Self::Overloaded,
    ];

    /// The word for it in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Description => "description",
            Self::Slash => "slash",
            Self::Trace => "trace",
            Self::List => "list",
            Self::BadRequest => "bad-request",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::NotAllowed => "not-allowed",
            Self::Gone => "gone",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
        }
    }
}

const CLASSES: [Class; 6] = [Class::Network, Class::As, Class::Country, Class::AlsoCountry, Class::Continent, Class::World];

impl Counts {
    /// Counts a redirect of `bytes` to a mirror.
    pub fn redirected(&self, class: Class, bytes: u64, mirror: &MirrorCounts) {
        if let Some(at) = CLASSES.iter().position(|&known| known == class) {
            self.redirects[at].inc();
        }
        self.redirected_bytes.inc_by(bytes);
        mirror.redirects.inc();
        mirror.bytes.inc_by(bytes);
    }

    /// Counts a redirect of `bytes` to a fallback mirror.
    pub fn fell_back(&self, bytes: u64, fallback: &MirrorCounts) {
        self.fallbacks.inc();
        self.redirected_bytes.inc_by(bytes);
        fallback.redirects.inc();
        fallback.bytes.inc_by(bytes);
    }

    /// Counts a file that is served from here.
    pub fn local(&self, why: Why) {
        self.local[why.index()].inc();
    }

    /// Counts bytes of files that were sent from here.
    pub fn served(&self, bytes: u64) {
        self.served_bytes.inc_by(bytes);
    }

    /// Counts another answer.
    pub fn other(&self, other: Other) {
        self.others[other as usize].inc();
    }

    /// Counts how long it took to find an answer; sending it is the client's business.
    pub fn took(&self, duration: Duration) {
        self.latency.observe(duration);
    }

    /// The counts of one mirror: the same ones for the same name, whatever the list of mirrors was meanwhile.
    #[must_use]
    pub fn of_mirror(&self, name: &MirrorName) -> Arc<MirrorCounts> {
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(mirrors.entry(name.clone()).or_default())
    }

    /// The part of all bytes that mirrors carried; `None` while there was none.
    #[must_use]
    pub fn offload(&self) -> Option<f64> {
        let (away, here) = (self.redirected_bytes.get() as f64, self.served_bytes.get() as f64);
        (away + here > 0.0).then(|| away / (away + here))
    }
}

/// Prints what all instances count.
#[derive(Debug)]
pub struct Sites(pub Arc<Router>);

impl Collector for Sites {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let sites = self.0.sites();
        let mut printer = Printer { encoder: &mut encoder, sites: &sites };
        printer.requests(self.0.unrouted())?;
        printer.bytes_and_time()?;
        printer.mirrors()?;
        printer.knowledge()
    }
}

struct Printer<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    sites: &'a [Arc<Site>],
}

impl Printer<'_, '_> {
    /// One family: its name and help, then for each instance what `each` prints.
    fn family(
        &mut self,
        (name, help): (&str, &str),
        kind: MetricType,
        each: impl Fn(&Site, &mut MetricEncoder<'_>) -> std::fmt::Result,
    ) -> std::fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        self.sites.iter().try_for_each(|site| each(site, &mut family))
    }

    fn requests(&mut self, unrouted: &Counts) -> std::fmt::Result {
        const HELP: &str = "Requests by answer, and why it was that one";
        let mut family = self.encoder.encode_descriptor("redirector_requests", HELP, None, MetricType::Counter)?;
        let mut print = |instance: &str, answer: &str, why: &str, counter: &Counter| {
            put(&mut family, &[("instance", instance), ("answer", answer), ("why", why)], &ConstCounter::new(counter.get()))
        };
        for site in self.sites {
            let counts = site.counts();
            for (class, counter) in CLASSES.iter().zip(&counts.redirects) {
                print(site.name(), "redirect", class.as_str(), counter)?;
            }
            print(site.name(), "redirect", "fallback", &counts.fallbacks)?;
            for (why, counter) in Why::ALL.iter().zip(&counts.local) {
                print(site.name(), "local", why.as_str(), counter)?;
            }
            for (other, counter) in Other::ALL.iter().zip(&counts.others) {
                print(site.name(), other.as_str(), "", counter)?;
            }
        }
        for other in [Other::BadRequest, Other::NotFound, Other::NotAllowed, Other::Overloaded] {
            print("", other.as_str(), "", &unrouted.others[other as usize])?;
        }
        Ok(())
    }

    fn bytes_and_time(&mut self) -> std::fmt::Result {
        let counter = MetricType::Counter;
        self.family(
            ("redirector_redirected_bytes", "Bytes that clients were sent to mirrors for"),
            counter,
            |site, family| put(family, &[("instance", site.name())], &ConstCounter::new(site.counts().redirected_bytes.get())),
        )?;
        self.family(("redirector_served_bytes", "Bytes of files that were served from here"), counter, |site, family| {
            put(family, &[("instance", site.name())], &ConstCounter::new(site.counts().served_bytes.get()))
        })?;
        let help = "The part of all bytes that mirrors carried, since the start";
        self.family(("redirector_offload_ratio", help), MetricType::Gauge, |site, family| match site.counts().offload() {
            Some(ratio) => put(family, &[("instance", site.name())], &ConstGauge::new(ratio)),
            None => Ok(()),
        })?;
        let help = "How long it took to find an answer";
        self.family(("redirector_request_duration_seconds", help), Latency::TYPE, |site, family| {
            put(family, &[("instance", site.name())], &site.counts().latency)
        })
    }

    fn mirrors(&mut self) -> std::fmt::Result {
        let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);
        let of_counts = |value: fn(&MirrorCounts) -> u64| {
            move |site: &Site, family: &mut MetricEncoder<'_>| {
                let mirrors = site.counts().mirrors.lock().unwrap_or_else(PoisonError::into_inner);
                mirrors.iter().try_for_each(|(name, counts)| {
                    put(family, &[("instance", site.name()), ("mirror", name.as_str())], &ConstCounter::new(value(counts)))
                })
            }
        };
        let redirects = ("redirector_mirror_redirects", "Clients sent to this mirror");
        self.family(redirects, counter, of_counts(|counts| counts.redirects.get()))?;
        let bytes = ("redirector_mirror_redirected_bytes", "Bytes that clients were sent to this mirror for");
        self.family(bytes, counter, of_counts(|counts| counts.bytes.get()))?;
        self.family(("redirector_mirror_health", "1 for the state that the mirror is in"), gauge, |site, family| {
            site.snapshot().mirrors().members.iter().try_for_each(|state| {
                let labels =
                    [("instance", site.name()), ("mirror", state.mirror.name.as_str()), ("health", state.health.as_str())];
                put(family, &labels, &ConstGauge::new(1_i64))
            })
        })?;
        self.family(("redirector_mirror_files", "Versions that the mirror is known to hold"), gauge, |site, family| {
            site.snapshot().mirrors().members.iter().try_for_each(|state| {
                let labels = [("instance", site.name()), ("mirror", state.mirror.name.as_str())];
                put(family, &labels, &ConstGauge::new(state.holdings.len()))
            })
        })
    }

    fn knowledge(&mut self) -> std::fmt::Result {
        self.family(("redirector_files", "Files of the public tree in the inventory"), MetricType::Gauge, |site, family| {
            put(family, &[("instance", site.name())], &ConstGauge::new(site.snapshot().file_count()))
        })?;
        let help = "How long ago the snapshot was last seen to agree with the database";
        self.family(("redirector_snapshot_age_seconds", help), MetricType::Gauge, |site, family| {
            let age = site.now().duration_since(site.snapshot().stats().synced_at).as_secs_f64();
            put(family, &[("instance", site.name())], &ConstGauge::new(age.max(0.0)))
        })?;
        let help = "Mirrors in the configuration";
        self.family(("redirector_mirrors", help), MetricType::Gauge, |site, family| {
            put(family, &[("instance", site.name())], &ConstGauge::new(site.snapshot().mirrors().members.len() as u64))
        })
    }
}

fn put(family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], metric: &impl EncodeMetric) -> std::fmt::Result {
    metric.encode(family.encode_family(&labels)?)
}
