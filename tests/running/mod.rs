//! The real program under way: its configuration, its log, signals to it and requests.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of these")]

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::servers::{Folder, free_address};
use crate::until::look;
pub use crate::until::until;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_redirector");
/// 2023: old enough for mirrors.
pub const OLD: i64 = 1_700_000_000;
/// An instance's files: its configuration, tree and database.
pub struct Site {
    pub name: String,
    pub folder: Folder,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
}

impl Site {
    pub fn new(name: &str) -> Self {
        let site = Self { name: name.to_owned(), folder: Folder::new(), listen: free_address(), admin: free_address() };
        fs::create_dir(site.tree()).expect("a tree");
        site
    }

    /// One with an old file, `old.xo`.
    pub fn with_a_file(name: &str) -> Self {
        let site = Self::new(name);
        site.folder.write("tree/old.xo", 100_000, OLD);
        site
    }

    pub fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("state/redirector.sqlite")
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.toml", self.name))
    }

    /// Writes the configuration: `server` and `tree` are more lines of these sections, `rest` is what follows.
    pub fn configure(&self, server: &str, tree: &str, rest: &str) {
        let Self { listen, admin, .. } = self;
        let listen = if server.contains("listen =") { String::new() } else { format!("listen = [\"{listen}\"]\n") };
        let public = if tree.contains("public =") { "" } else { "public = \"tree\"\n" };
        let database = if rest.contains("[inventory]") { "" } else { "[inventory]\ndatabase = \"state/redirector.sqlite\"\n" };
        fs::create_dir_all(self.folder.path().join("state")).expect("a folder");
        self.write(&format!(
            "[server]\n{listen}admin-listen = \"{admin}\"\n{server}[tree]\n{public}settle = \"0s\"\nsettle-shrunken = \"0s\"\nwalk-interval = \"1s\"\n{tree}{database}\
             [scan]\nallow-private-addresses = true\ninterval = \"5s\"\n[probe]\ninterval = \"1s\"\ntimeout = \"500ms\"\n{rest}"
        ));
    }

    pub fn write(&self, text: &str) {
        self.folder.write_bytes(&format!("{}.toml", self.name), text.as_bytes(), OLD);
    }

    /// Runs a command on it.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM).arg("-c").arg(self.path()).args(arguments).output().expect("it runs")
    }

    #[track_caller]
    pub fn run_well(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }

    pub fn get(&self, path: &str) -> Reply {
        get(self.listen, path, "").unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// What of it is not as it should be, by `/readyz`.
    pub fn degraded(&self) -> Vec<String> {
        let reply = get(self.admin, "/readyz", "").expect("administrators are answered");
        let told: serde_json::Value = serde_json::from_slice(&reply.body).expect("it is JSON");
        let problems = told["degraded"].as_array().expect("a list");
        problems.iter().map(|problem| problem["what"].as_str().expect("a word").to_owned()).collect()
    }

    pub fn is_degraded(&self, what: &str) -> bool {
        self.degraded().iter().any(|word| word == what)
    }

    pub fn metrics(&self) -> String {
        text(&get(self.admin, "/metrics", "").expect("administrators are answered").body)
    }
}

/// A mirror in a configuration.
pub fn mirror(name: &str, url: &str) -> String {
    format!("[[mirror]]\nname = \"{name}\"\nhttp = \"{url}\"\n")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How a reload ends.
const RELOADED: &str = "INFO reloaded\n";
const NOT_RELOADED: &str = "ERROR not reloaded: the old configuration stays";

/// `redirector serve` under way.
pub struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// Serves these sites, and waits until it does.
    #[track_caller]
    pub fn start(sites: &[&Site]) -> Self {
        let running = Self::spawn(serve(sites));
        running.wait_for_log("serving");
        running
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, written) = (BufReader::new(child.stderr.take().expect("it is piped")), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                written.lock().expect("nobody panics with it").push_str(&(line + "\n"));
            }
        });
        Self { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    #[track_caller]
    pub fn wait_for_log(&self, what: &str) {
        self.wait_for_more_log(0, what);
    }

    /// Waits until this is told after the first `from` bytes of the log.
    #[track_caller]
    pub fn wait_for_more_log(&self, from: usize, what: &str) {
        let told = look(|| self.log()[from..].contains(what).then_some(()));
        assert!(told.is_some(), "it never told {what:?}:\n{}", self.log());
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a process id")).expect("not zero");
        kill_process(pid, signal).expect("it runs");
    }

    /// SIGHUP; waits until all is reloaded, and returns what was told meanwhile.
    #[track_caller]
    pub fn reload(&self) -> String {
        let told = self.try_reload();
        assert!(!told.contains(NOT_RELOADED), "{told}");
        told
    }

    /// SIGHUP; waits until it is told that nothing was reloaded, and returns what was told meanwhile.
    #[track_caller]
    pub fn reload_in_vain(&self) -> String {
        let told = self.try_reload();
        assert!(told.contains(NOT_RELOADED), "{told}");
        told
    }

    #[track_caller]
    fn try_reload(&self) -> String {
        let from = self.log().len();
        let told = || self.log()[from..].to_owned();
        self.signal(Signal::HUP);
        until("an order to reload ends", || told().contains(RELOADED) || told().contains(NOT_RELOADED));
        told()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        let ended = look(|| self.child.try_wait().expect("it is our child"));
        ended.unwrap_or_else(|| panic!("it does not end:\n{}", self.log()))
    }

    #[track_caller]
    pub fn assert_well(&self) {
        let log = self.log();
        assert!(!log.contains("panicked") && !log.contains("this is a bug"), "{log}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The command that serves these sites.
pub fn serve(sites: &[&Site]) -> Command {
    let mut command = Command::new(PROGRAM);
    for site in sites {
        command.arg("-c").arg(site.path());
    }
    command.arg("serve");
    command
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    }

    /// The mirror that it leads to.
    pub fn mirror(&self) -> Option<&str> {
        self.header("x-redirector")?.split(';').next()?.strip_prefix("mirror=")
    }
}

/// Asks over a new connection; `more` are headers, each with its line end.
pub fn get(address: SocketAddr, path: &str, more: &str) -> io::Result<Reply> {
    let mut stream = ask(address, path, more)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| io::Error::other(format!("an answer without a head: {}", text(&bytes))))
}

/// Asks, and leaves the answer to be read.
pub fn ask(address: SocketAddr, path: &str, more: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let host = if more.contains("Host:") { "" } else { "Host: download.example\r\n" };
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n{more}\r\n").as_bytes())?;
    Ok(stream)
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = text(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head, body: bytes[end + 4..].to_vec() })
}

/// Requests one after the other until it is stopped.
pub struct Stream {
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<(u64, Vec<String>)>,
}

impl Stream {
    pub fn start(address: SocketAddr, path: &'static str) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut good, mut bad) = (0, Vec::new());
            while !told.load(std::sync::atomic::Ordering::Relaxed) {
                match get(address, path, "") {
                    Ok(reply) if reply.status == 200 || reply.status == 302 => good += 1,
                    Ok(reply) => bad.push(reply.head),
                    Err(error) => bad.push(error.to_string()),
                }
            }
            (good, bad)
        });
        Self { stop, thread }
    }

    /// Ends it; none may have failed.
    #[track_caller]
    pub fn assert_good(self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let (good, bad) = self.thread.join().expect("it does not panic");
        assert!(bad.is_empty(), "{} of {good} failed, the first: {}", bad.len(), bad[0]);
        assert!(good > 10, "{good} requests");
    }
}

/// A path for a child that is another user's.
pub fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.ancestors().all(|path| fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o005 == 0o005))
}
