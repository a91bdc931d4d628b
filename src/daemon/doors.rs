//! The sockets: opened before anything else is, one server each, so that a reload can open and close some and leave the
//! others alone.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::cause::chain;
use crate::config::Config;
use crate::http::listener::Error;
use crate::http::{Admin, Limits, Router, Server, Start, Workers, bind};

/// What is listened at, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Door {
    address: SocketAddr,
    whom: Whom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Clients,
    /// Those that begin each connection with a PROXY header.
    Proxies,
    Administrators,
}

/// A socket that nobody answers at yet: who connects waits in the kernel's queue.
pub(super) struct Socket {
    door: Door,
    limits: Limits,
    listener: TcpListener,
}

/// Opens the sockets that these configurations name.
///
/// # Errors
/// When one can't be opened.
pub(super) async fn sockets(configs: &[Config]) -> Result<Vec<Socket>, Error> {
    let mut sockets = Vec::new();
    for (door, limits) in wanted(configs) {
        sockets.push(Socket::open_soon(door, limits).await?);
    }
    Ok(sockets)
}

impl Socket {
    fn open(door: Door, limits: Limits) -> Result<Self, Error> {
        let listener = bind(door.address)?;
        Ok(Self { door, limits, listener })
    }

    /// The same at an address that may be in use for a moment: by one that is being closed, or by a server that was killed just now.
    async fn open_soon(door: Door, limits: Limits) -> Result<Self, Error> {
        let (tries, pause) = TRIES;
        for number in 1..tries {
            match Self::open(door, limits) {
                Err(error) if is_in_use(&error) => {
                    if number == 1 {
                        tracing::info!(address = %door.address, "the address is in use; trying again for two seconds");
                    }
                    tokio::time::sleep(pause).await;
                }
                opened => return opened,
            }
        }
        Self::open(door, limits)
    }
}

/// The sockets, with who answers.
pub(super) struct Doors {
    /// Where clients are answered.
    workers: Workers,
    router: Arc<Router>,
    admin: Arc<Admin>,
    open: Vec<Open>,
    /// Servers that no longer listen, and whose last connections end.
    closing: TaskTracker,
}

struct Open {
    socket: Socket,
    server: Server,
}

/// What is listened at by new configurations, with the sockets that were opened for that.
pub(super) struct New {
    wanted: Vec<(Door, Limits)>,
    sockets: Vec<Socket>,
    late: Vec<(Door, Limits)>,
}

/// How often, and how far apart, a socket is tried whose address was in use.
const TRIES: (u32, Duration) = (40, Duration::from_millis(50));

impl Doors {
    /// Begins to answer.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn open(sockets: Vec<Socket>, workers: Workers, router: Arc<Router>, admin: Arc<Admin>) -> Result<Self, Error> {
        let mut doors = Self { workers, router, admin, open: Vec::new(), closing: TaskTracker::new() };
        for socket in sockets {
            doors.add(socket)?;
        }
        Ok(doors)
    }

    fn add(&mut self, socket: Socket) -> Result<(), Error> {
        let Socket { door: Door { address, whom }, limits, listener } = &socket;
        let failed = |source| Error { address: *address, source };
        let here = listener.local_addr().map_err(failed)?;
        // A second handle: the first one outlives the server, whose limits may change.
        let listener = listener.try_clone().map_err(failed)?;
        // Administrators find an answer also when clients have to wait.
        let workers = if *whom == Whom::Administrators { Workers::here() } else { self.workers.clone() };
        let server = Server::new(*limits, workers);
        match whom {
            Whom::Clients => server.serve(listener, Start::Request, &self.router),
            Whom::Proxies => server.serve(listener, Start::ProxyHeader, &self.router),
            Whom::Administrators => server.serve(listener, Start::Request, &self.admin),
        }
        .map_err(failed)?;
        match whom {
            Whom::Clients => tracing::info!(address = %here, "listening"),
            Whom::Proxies => tracing::info!(address = %here, "listening for proxies that send a PROXY header"),
            Whom::Administrators => tracing::info!(address = %here, "listening for administrators"),
        }
        self.open.push(Open { socket, server });
        Ok(())
    }

    /// Opens the sockets that are new in these configurations. An address that is in use by what goes then can only be had later.
    ///
    /// # Errors
    /// When one can't be opened.
    pub(super) async fn prepare(&self, configs: &[Config]) -> Result<New, Error> {
        let wanted = wanted(configs);
        let is_wanted = |known: &Door| wanted.iter().any(|(door, _)| door == known);
        let is_open = |door: &Door| self.open.iter().any(|open| open.socket.door == *door);
        let goes = |port| self.open.iter().any(|open| open.socket.door.address.port() == port && !is_wanted(&open.socket.door));
        let (mut sockets, mut late) = (Vec::new(), Vec::new());
        for (door, limits) in wanted.iter().filter(|(door, _)| !is_open(door)) {
            match Socket::open(*door, *limits) {
                Err(error) if is_in_use(&error) && goes(door.address.port()) => late.push((*door, *limits)),
                Err(error) if is_in_use(&error) => sockets.push(Socket::open_soon(*door, *limits).await?),
                opened => sockets.push(opened?),
            }
        }
        Ok(New { wanted, sockets, late })
    }

    /// Answers at what is new and closes what is no longer wanted; connections there may end. Where only limits changed, the socket
    /// stays open.
    pub(super) async fn change(&mut self, New { wanted, sockets, late }: New) {
        for socket in sockets {
            if let Err(error) = self.add(socket) {
                tracing::error!(error = chain(&error), "not listening there");
            }
        }
        for open in std::mem::take(&mut self.open) {
            match wanted.iter().find(|(door, _)| *door == open.socket.door) {
                Some((_, limits)) if *limits == open.socket.limits => self.open.push(open),
                Some((_, limits)) => self.renew(open, *limits),
                None => {
                    tracing::info!(address = %open.socket.door.address, "no longer listening");
                    self.retire(open.server);
                }
            }
        }
        for (door, limits) in late {
            self.add_late(door, limits).await;
        }
    }

    /// Adds a door that has to wait until another one is closed: `0.0.0.0:80` for `127.0.0.1:80`.
    async fn add_late(&mut self, door: Door, limits: Limits) {
        let added = Socket::open_soon(door, limits).await.and_then(|socket| self.add(socket));
        if let Err(error) = added {
            tracing::error!(error = chain(&error), "not listening there");
        }
    }

    /// Other limits: they hold for connections from now on.
    fn renew(&mut self, open: Open, limits: Limits) {
        let Open { socket, server } = open;
        let address = socket.door.address;
        if let Err(error) = self.add(Socket { limits, ..socket }) {
            tracing::error!(%address, error = chain(&error), "no longer listening");
        }
        self.retire(server);
    }

    fn retire(&self, server: Server) {
        self.closing.spawn(server.stop());
    }

    /// Closes all, those for administrators last.
    pub(super) async fn close(self) {
        let (admin, others): (Vec<_>, Vec<_>) =
            self.open.into_iter().partition(|open| open.socket.door.whom == Whom::Administrators);
        // The sockets go first: connections are refused from now on, not left waiting.
        for servers in [others, admin] {
            let servers: Vec<Server> = servers.into_iter().map(|open| open.server).collect();
            futures_util::future::join_all(servers.into_iter().map(Server::stop)).await;
        }
        self.closing.close();
        self.closing.wait().await;
    }
}

fn is_in_use(error: &Error) -> bool {
    error.source.kind() == io::ErrorKind::AddrInUse
}

/// The sockets of all instances, each once, with the limits of the first that names it.
fn wanted(configs: &[Config]) -> Vec<(Door, Limits)> {
    let mut doors: Vec<(Door, Limits)> = Vec::new();
    for config in configs {
        let server = &config.server;
        let clients = server.listen.iter().map(|address| (*address, Whom::Clients));
        let proxies = server.listen_proxy_protocol.iter().map(|address| (*address, Whom::Proxies));
        let administrators = server.admin_listen.iter().map(|address| (*address, Whom::Administrators));
        for (address, whom) in clients.chain(proxies).chain(administrators) {
            let door = Door { address, whom };
            if !doors.iter().any(|(known, _)| *known == door) {
                doors.push((door, Limits::new(server)));
            }
        }
    }
    doors
}
