//! `serve`: the parts are started in order, then it waits for signals, and stops them in reverse.

pub mod instance;
pub mod places;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cause::chain;
use crate::clock::Clock;
use crate::config::check;
use crate::config::{self, Config};
use crate::http::{self, Admin, Limits, Router, Server, Start, bind};

use instance::Instance;

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
    /// The configurations don't go together.
    #[error("{0}")]
    Configuration(String),
    /// Signals can't be waited for.
    #[error("can't wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Serves these instances until SIGTERM, SIGINT or `stop`. SIGHUP reads `paths` again.
///
/// # Errors
/// When it can't start; once it runs, it goes on.
pub async fn serve(configs: Vec<Config>, paths: &[PathBuf], clock: Clock, stop: CancellationToken) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::Signals)?;
    refuse_contradictions(&configs)?;
    let mut registry = Registry::default();
    let mut instances = Vec::new();
    for config in &configs {
        let started = Instance::start(config, &clock, &mut registry).await;
        instances.push(started.map_err(|source| Error::Instance { name: config.name.clone(), source: Box::new(source) })?);
    }
    let router = Arc::new(Router::new(sites(&instances)));
    let mut doors = Doors::open(&configs, &router)?;
    let admin = open_admin(&configs, &router, registry, &instances)?;
    tracing::info!(instances = instances.len(), "serving");
    notify(&[NotifyState::Ready]);

    while let Order::Reload = signals.next(&stop).await {
        notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading)]);
        reload(paths, &mut instances, &router, &mut doors).await;
        notify(&[NotifyState::Ready]);
    }

    tracing::info!("stopping: no new connections; downloads under way may end");
    notify(&[NotifyState::Stopping]);
    doors.close().await;
    if let Some(admin) = admin {
        admin.stop().await;
    }
    for instance in instances.into_iter().rev() {
        instance.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
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
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            () = stop.cancelled() => Order::Stop,
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

/// Reads the configurations again. What is wrong is told, and everything stays as it was.
async fn reload(paths: &[PathBuf], instances: &mut [Instance], router: &Arc<Router>, doors: &mut Doors) {
    let configs = match config::read_all(paths) {
        Ok(configs) => configs,
        Err(problems) => {
            tracing::error!("the configuration was not reloaded, the old one stays:\n{problems}");
            return;
        }
    };
    if let Err(error) = refuse_contradictions(&configs) {
        tracing::error!("the configuration was not reloaded, the old one stays: {error}");
        return;
    }
    for (instance, config) in instances.iter_mut().zip(&configs) {
        if config.source == instance.config().source {
            instance.refresh();
        } else if let Err(error) = instance.reload(config).await {
            tracing::error!(instance = config.name, error = chain(&error), "not reloaded");
        }
    }
    router.replace(sites(instances));
    doors.change(&configs, router).await;
    tracing::info!("reloaded");
}

/// What is listened at, and how connections begin there.
type Door = (SocketAddr, Start);

/// The sockets for clients: one server each, so that a reload can close one and leave the others alone.
struct Doors {
    open: Vec<(Door, Server)>,
}

impl Doors {
    fn open(configs: &[Config], router: &Arc<Router>) -> Result<Self, Error> {
        let mut doors = Self { open: Vec::new() };
        for (door, limits) in wanted(configs) {
            doors.add(door, limits, router)?;
        }
        Ok(doors)
    }

    fn add(&mut self, door: Door, limits: Limits, router: &Arc<Router>) -> Result<(), http::listener::Error> {
        let (address, start) = door;
        let socket = bind(address)?;
        let server = Server::new(limits);
        server.serve(socket, start, router);
        tracing::info!(%address, "listening");
        self.open.push((door, server));
        Ok(())
    }

    /// Opens what is new and closes what is no longer wanted; connections there may end.
    async fn change(&mut self, configs: &[Config], router: &Arc<Router>) {
        let wanted = wanted(configs);
        for (door, limits) in &wanted {
            if !self.open.iter().any(|(open, _)| open == door)
                && let Err(error) = self.add(*door, *limits, router)
            {
                tracing::error!(error = chain(&error), "not listening there");
            }
        }
        let (keep, close) =
            std::mem::take(&mut self.open).into_iter().partition(|(open, _)| wanted.iter().any(|(door, _)| door == open));
        self.open = keep;
        Self { open: close }.close().await;
    }

    async fn close(self) {
        futures_util::future::join_all(self.open.into_iter().map(|(_, server)| server.stop())).await;
    }
}

/// The sockets of all instances, each once, with the limits of the first that names it.
fn wanted(configs: &[Config]) -> Vec<(Door, Limits)> {
    let mut doors: Vec<(Door, Limits)> = Vec::new();
    for config in configs {
        let server = &config.server;
        let plain = server.listen.iter().map(|address| (*address, Start::Request));
        let proxied = server.listen_proxy_protocol.iter().map(|address| (*address, Start::ProxyHeader));
        for door in plain.chain(proxied) {
            if !doors.iter().any(|(known, _)| *known == door) {
                doors.push((door, Limits::new(server)));
            }
        }
    }
    doors
}

/// Opens the sockets for administrators: what is there tells of all instances.
fn open_admin(
    configs: &[Config],
    router: &Arc<Router>,
    registry: Registry,
    instances: &[Instance],
) -> Result<Option<Server>, Error> {
    let addresses: BTreeSet<SocketAddr> = configs.iter().filter_map(|config| config.server.admin_listen).collect();
    let Some(first) = configs.first().filter(|_| !addresses.is_empty()) else { return Ok(None) };
    let asked: Vec<_> = instances.iter().map(Instance::problems).collect();
    let problems = Box::new(move || asked.iter().flat_map(|ask| ask()).collect());
    let admin = Arc::new(Admin::new(Arc::clone(router), vec![Arc::new(registry)], problems));
    let server = Server::new(Limits::new(&first.server));
    for address in addresses {
        server.serve(bind(address)?, Start::Request, &admin);
        tracing::info!(%address, "listening for administrators");
    }
    Ok(Some(server))
}
