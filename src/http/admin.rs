//! What administrators and monitoring ask: is it alive, can it answer, what does it count. Not for the public.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::accept::Form;
use super::body::Body;
use super::listener::{Handler, Origin};
use super::metrics::Sites;
use super::response;
use super::router::Router;
use super::site::Site;

/// Something that works less well than it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The instance that has it; none: all have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// A word for programs: `public-tree`, `application-tree`, `mirrors`, `geoip`, `database`, `index`, ...
    pub what: &'static str,
    /// A sentence for people.
    pub detail: String,
}

/// What asks the other parts for their problems. It is asked for each `/readyz`, and must not wait.
pub type Problems = Box<dyn Fn() -> Vec<Problem> + Send + Sync>;

/// Answers on the admin socket.
pub struct Admin {
    router: Arc<Router>,
    own: Registry,
    others: Vec<Arc<Registry>>,
    problems: Problems,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("router", &self.router).finish_non_exhaustive()
    }
}

/// The body of `/readyz`.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    degraded: Vec<Problem>,
}

impl Admin {
    /// An admin face: for these sites, with the metrics that other parts registered, and the problems that they have.
    #[must_use]
    pub fn new(router: Arc<Router>, others: Vec<Arc<Registry>>, problems: Problems) -> Self {
        let mut own = Registry::default();
        own.register_collector(Box::new(Sites(Arc::clone(&router))));
        Self { router, own, others, problems }
    }

    /// What of all is not as it should be.
    #[must_use]
    pub fn degraded(&self) -> Vec<Problem> {
        let mut degraded: Vec<Problem> = self.router.sites().iter().flat_map(|site| problems_of(site)).collect();
        degraded.extend((self.problems)());
        degraded
    }

    /// Whether there is anything that can be answered: while a tree is there, its files are.
    fn is_ready(&self) -> bool {
        self.router.sites().iter().any(|site| {
            let trees = site.trees();
            !trees.public.is_away() || trees.application.as_ref().is_some_and(|root| !root.is_away())
        })
    }

    fn readiness(&self) -> Response<Body> {
        let readiness = Readiness { ready: self.is_ready(), degraded: self.degraded() };
        let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        response::written(status, serde_json::to_string(&readiness).unwrap_or_default() + "\n", Form::Json)
    }

    fn metrics(&self) -> Response<Body> {
        let mut text = String::with_capacity(16 * 1024);
        let mut registries = std::iter::once(&self.own).chain(self.others.iter().map(|registry| &**registry));
        let printed = registries.try_for_each(|registry| encode_registry(&mut text, registry));
        if printed.and_then(|()| encode_eof(&mut text)).is_err() {
            return response::written(StatusCode::INTERNAL_SERVER_ERROR, "metrics can't be printed\n".to_owned(), Form::Text);
        }
        let mut response = response::written(StatusCode::OK, text, Form::Text);
        response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
        response
    }
}

const OPEN_METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What the site itself sees to be wrong.
fn problems_of(site: &Site) -> Vec<Problem> {
    let problem = |what, detail: String| Problem { instance: Some(site.name().to_owned()), what, detail };
    let mut problems = Vec::new();
    let trees = site.trees();
    if trees.public.is_away() {
        problems.push(problem("public-tree", format!("{} is not there", trees.public.path().display())));
    }
    if let Some(root) = trees.application.as_ref().filter(|root| root.is_away()) {
        problems.push(problem("application-tree", format!("{} is not there", root.path().display())));
    }
    let mirrors = site.snapshot().mirrors();
    let enabled = mirrors.members.iter().filter(|state| state.mirror.enabled).count();
    if enabled > 0 && !mirrors.members.iter().any(|state| state.mirror.enabled && state.health.is_usable()) {
        problems.push(problem("mirrors", format!("all {enabled} mirrors are down; everything is served from here")));
    }
    problems
}

impl Handler for Admin {
    async fn answer(&self, request: &Parts, _from: Origin) -> Response<Body> {
        let mut response = match (&request.method, request.uri.path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => response::written(StatusCode::OK, "ok\n".to_owned(), Form::Text),
            (&Method::GET | &Method::HEAD, "/readyz") => self.readiness(),
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics(),
            (&Method::GET | &Method::HEAD, _) => {
                response::error(StatusCode::NOT_FOUND, "Try /healthz, /readyz or /metrics.", &request.headers)
            }
            _ => response::error(StatusCode::METHOD_NOT_ALLOWED, "This can only be read.", &request.headers),
        };
        if request.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    }

    fn trusts(&self, _peer: IpAddr) -> bool {
        false
    }
}
