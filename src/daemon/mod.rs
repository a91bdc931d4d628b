//! `serve`: the parts are started in order, then it waits for signals, and stops them in reverse.

mod claim;
mod doors;
pub mod instance;
pub mod making;
mod metrics;
pub mod places;
mod reload;
mod tasks;
mod ways;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::config::check;
use crate::http::{self, Admin, Router, Workers};

use doors::Doors;
use instance::Instance;
use metrics::Metrics;
use reload::reload;

/// Why `serve` can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An instance.
    #[error("instance {name} can't start")]
    Instance {
        /// Which.
        name: String,
        /// Why.
        source: Box<instance::Error>,
    },
    /// A socket.
    #[error(transparent)]
    Listen(#[from] http::listener::Error),
    /// No threads can be started.
    #[error("can't start threads")]
    Threads(#[source] std::io::Error),
    /// The configurations don't go together.
    #[error("{0}")]
    Configuration(String),
    /// Signals can't be waited for.
    #[error("can't wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Serves these instances until SIGTERM, SIGINT or `stop`; a second signal cuts downloads that are under way then. SIGHUP reads
/// `paths` again.
///
/// # Errors
/// When it can't start; once it runs, it goes on.
pub async fn serve(configs: Vec<Config>, paths: &[PathBuf], clock: Clock, stop: CancellationToken) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::Signals)?;
    refuse_contradictions(&configs)?;
    // First, so that clients wait while the rest is opened, and so that an address that is taken is told before any work.
    let sockets = doors::sockets(&configs).await?;
    let metrics = Metrics::default();
    let mut instances = start(&configs, &clock, &metrics).await?;
    let router = Arc::new(Router::new(sites(&instances)));
    let workers = Workers::start(std::thread::available_parallelism().map_or(1, NonZero::get)).map_err(Error::Threads)?;
    let mut doors = Doors::open(sockets, workers, Arc::clone(&router), admin(&router, &metrics, &instances))?;
    tracing::info!(instances = instances.len(), "serving");
    notify(&[NotifyState::Ready]);

    while let Order::Reload = signals.next(&stop).await {
        notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading)]);
        tokio::select! {
            () = reload(paths, &mut instances, &router, &mut doors) => notify(&[NotifyState::Ready]),
            () = signals.stop() => break,
        }
    }

    tracing::info!("stopping: no new connections; downloads under way may end");
    notify(&[NotifyState::Stopping]);
    tokio::select! {
        () = doors.close() => {}
        () = signals.stop() => tracing::warn!("told to stop again: downloads under way are cut"),
    }
    for instance in instances.into_iter().rev() {
        instance.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Starts all instances, or none.
async fn start(configs: &[Config], clock: &Clock, metrics: &Metrics) -> Result<Vec<Instance>, Error> {
    let mut instances = Vec::new();
    let patience = claim::patience(configs);
    for config in configs {
        match Instance::start(config, clock, metrics.of(&config.name), patience).await {
            Ok(instance) => instances.push(instance),
            Err(source) => {
                futures_util::future::join_all(instances.into_iter().map(Instance::stop)).await;
                return Err(Error::Instance { name: config.name.clone(), source: Box::new(source) });
            }
        }
    }
    Ok(instances)
}

/// What administrators are shown: it tells of all instances, now and after reloads.
fn admin(router: &Arc<Router>, metrics: &Metrics, instances: &[Instance]) -> Arc<Admin> {
    let asked: Vec<_> = instances.iter().map(Instance::problems).collect();
    let problems = Box::new(move || asked.iter().flat_map(|ask| ask()).collect());
    Arc::new(Admin::new(Arc::clone(router), vec![Arc::new(metrics.registry())], problems))
}

/// Tells systemd, if it started us, how far we are.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd can't be told");
    }
}

/// What a signal asks for.
enum Order {
    Reload,
    Stop,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self, stop: &CancellationToken) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            () = stop.cancelled() => Order::Stop,
            () = Self::end(&mut self.terminate, &mut self.interrupt) => Order::Stop,
        }
    }

    /// Waits for the order to stop; one to reload waits.
    async fn stop(&mut self) {
        Self::end(&mut self.terminate, &mut self.interrupt).await;
    }

    async fn end(terminate: &mut Signal, interrupt: &mut Signal) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// What can't be true of instances that run side by side.
fn refuse_contradictions(configs: &[Config]) -> Result<(), Error> {
    let errors: Vec<String> = check::conflicts(configs).iter().map(ToString::to_string).collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Configuration(errors.join("\n"))) }
}

fn sites(instances: &[Instance]) -> Vec<Arc<http::Site>> {
    instances.iter().map(|instance| Arc::clone(instance.site())).collect()
}
