//! Servers for tests: the real ones that mirrors run (nginx, Apache httpd, lighttpd), started on loopback with a folder to serve,
//! and one that does whatever a test tells it to, wrong things above all. They end when they are dropped.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of these")]

pub mod ftp;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::until::look;

/// A folder with files of chosen sizes and times.
pub struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    /// An empty one, which every user of this machine may read: servers give up their rights.
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of this many bytes with this mtime, and the folders above it.
    pub fn write(&self, name: &str, size: usize, mtime: i64) {
        self.write_bytes(name, &vec![b'x'; size], mtime);
    }

    pub fn write_bytes(&self, name: &str, content: &[u8], mtime: i64) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("folders can be made");
        let mut file = fs::File::create(&path).expect("files can be made");
        file.write_all(content).expect("there is room");
        let seconds = Duration::from_secs(u64::try_from(mtime).expect("after 1970"));
        file.set_modified(SystemTime::UNIX_EPOCH + seconds).expect("the time can be set");
    }

    pub fn remove(&self, name: &str) {
        let path = self.path().join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it was there");
    }
}

/// A server program under way.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Its configuration, logs and such.
    home: Folder,
}

impl Server {
    /// The URL of its root.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// nginx with `autoindex`; `more` goes into the location.
    pub fn nginx(root: &Path, more: &str) -> Self {
        Self::nginx_with(root, more, |_| String::new())
    }

    fn nginx_with(root: &Path, more: &str, listen: impl Fn(SocketAddr) -> String) -> Self {
        Self::start("nginx", |home, address| Self::nginx_configuration(home, root, more, address, &listen(address)))
    }

    fn nginx_configuration(home: &Path, root: &Path, more: &str, address: SocketAddr, listen: &str) -> (String, Vec<String>) {
        let home = home.display();
        let config = format!(
            "daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;\n\
             events {{ worker_connections 64; }}\n\
             http {{ log_format short '$server_protocol $connection $request_method $uri'; access_log off; client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c;\n\
             uwsgi_temp_path {home}/d; scgi_temp_path {home}/e; charset utf-8;\n\
             server {{ listen {address}{listen}; location / {{ root {}; {more} }} }} }}\n",
            root.display()
        );
        let user = if is_root() { "user root;\n" } else { "" };
        (user.to_owned() + &config, vec!["-p".into(), home.to_string(), "-c".into()])
    }

    /// nginx with `autoindex`, over TLS, with a certificate for `localhost` that nobody trusts who is not told to. It is
    /// there, too, under the same port.
    pub fn nginx_tls(root: &Path) -> Self {
        Self::nginx_tls_as(root, "cert")
    }

    /// The same with another certificate, and a new connection for each question.
    pub fn nginx_tls_as(root: &Path, certificate: &str) -> Self {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
        Self::nginx_with(root, "autoindex on; keepalive_timeout 0;", |address| {
            let port = address.port();
            format!(
                " ssl; listen 127.0.0.1:{port} ssl; ssl_certificate {data}/{certificate}.pem; ssl_certificate_key {data}/key.pem"
            )
        })
    }

    /// nginx over TLS and HTTP/2 for `localhost`, without listings. It writes down what it was asked: protocol, number of the
    /// connection, method, path.
    pub fn nginx_h2(root: &Path, more: &str) -> Self {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
        Self::nginx_with(root, &format!("access_log access.log short; {more}"), |address| {
            let port = address.port();
            format!("; listen 127.0.0.1:{port} ssl http2; ssl_certificate {data}/cert.pem; ssl_certificate_key {data}/key.pem")
        })
    }

    /// nginx with `autoindex` at an address of IPv6 alone.
    pub fn nginx_at_ipv6(root: &Path) -> Self {
        let listener = TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).expect("loopback has IPv6");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        Self::start_at(address, "nginx", |home, address| Self::nginx_configuration(home, root, "autoindex on;", address, ""))
    }

    /// What it was asked, where it writes that down.
    pub fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.home.path().join("access.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// nginx with `autoindex` at 127.0.0.1 alone: `localhost` has an address of IPv6, too, where nobody answers.
    pub fn nginx_at_localhost(root: &Path) -> Self {
        Self::nginx_with(root, "autoindex on;", |address| format!("; listen 127.0.0.1:{}", address.port()))
    }

    /// Apache httpd with `mod_autoindex`; `options` are its `IndexOptions`.
    pub fn apache(root: &Path, options: &str, more: &str) -> Self {
        Self::start("apache2", |home, address| {
            let (home, root) = (home.display(), root.display());
            let modules: String = ["mpm_event", "authz_core", "autoindex", "dir", "mime"]
                .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
                .concat();
            let config = format!(
                "ServerRoot {home}\nServerName localhost\nPidFile {home}/pid\nErrorLog {home}/error.log\nListen {address}\n{modules}\
                 TypesConfig /etc/mime.types\nUser nobody\nGroup nogroup\nStartServers 1\nThreadsPerChild 8\nMinSpareThreads 1\n\
                 MaxSpareThreads 16\nMaxRequestWorkers 16\nDefaultRuntimeDir {home}\nDocumentRoot {root}\n\
                 <Directory {root}>\nRequire all granted\nOptions Indexes FollowSymLinks\nIndexOptions {options}\n{more}\n</Directory>\n"
            );
            (config, vec!["-DFOREGROUND".into(), "-f".into()])
        })
    }

    /// lighttpd with `mod_dirlisting`, and a media type for all files: of those that have none it tells no times.
    pub fn lighttpd(root: &Path) -> Self {
        Self::start("lighttpd", |home, address| {
            let config = format!(
                "server.modules = (\"mod_dirlisting\")\nserver.document-root = \"{}\"\nserver.bind = \"{}\"\nserver.port = {}\n\
                 server.errorlog = \"{}/error.log\"\n\
                 server.stat-cache-engine = \"disable\"\nmimetype.assign = (\"\" => \"application/octet-stream\")\ndir-listing.activate = \"enable\"\ndir-listing.encoding = \"utf-8\"\n",
                root.display(),
                address.ip(),
                address.port(),
                home.display()
            );
            (config, vec!["-D".into(), "-f".into()])
        })
    }

    /// mini-httpd, which lists by `ls -l` in lines of its own.
    pub fn mini_httpd(root: &Path) -> Self {
        Self::start("mini_httpd", |_, address| {
            let user = if is_root() { "user=root\n" } else { "" };
            let (ip, port) = (address.ip(), address.port());
            let config = format!("host={ip}\nport={port}\ndir={}\nnochroot\n{user}", root.display());
            (config, vec!["-D".into(), "-C".into()])
        })
    }

    /// Civetweb.
    pub fn civetweb(root: &Path) -> Self {
        Self::start("civetweb", |_, address| {
            let config = format!("listening_ports {address}\ndocument_root {}\nnum_threads 4\n", root.display());
            (config, Vec::new())
        })
    }

    /// h2o, which lists names alone.
    pub fn h2o(root: &Path) -> Self {
        Self::start("h2o", |_, address| {
            let user = if is_root() { "user: root\n" } else { "" };
            let (ip, port) = (address.ip(), address.port());
            let config = format!(
                "listen: {{host: {ip}, port: {port}}}\n{user}num-threads: 1\nhosts:\n  default:\n    paths:\n      /:\n        \
                 file.dir: {}\n        file.dirlisting: ON\n",
                root.display()
            );
            (config, vec!["-c".into()])
        })
    }

    /// The one in Python's library, which lists names alone.
    pub fn python(root: &Path) -> Self {
        Self::start("python3", |_, address| {
            let serve = "import functools, http.server, sys\n\
                         handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[3])\n\
                         http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), handler).serve_forever()";
            let (ip, port) = (address.ip().to_string(), address.port().to_string());
            let arguments = ["-c", serve, &ip, &port, &root.display().to_string()].map(str::to_owned);
            ("# it takes no file\n".to_owned(), arguments.to_vec())
        })
    }

    /// rsyncd with a module `m`; `more` goes into it.
    pub fn rsyncd(root: &Path, more: &str) -> Self {
        Self::rsyncd_at(free_address(), root, more)
    }

    pub fn rsyncd_at(address: SocketAddr, root: &Path, more: &str) -> Self {
        Self::start_at(address, "rsync", |home, address| {
            let user = if is_root() { "uid = root\ngid = root\n" } else { "" };
            let config = format!(
                "address = {}\nport = {}\nuse chroot = no\nlog file = {home}/error.log\nlock file = {home}/lock\n{user}\
                 motd file = {home}/server.conf\n[m]\npath = {}\n{more}\n",
                address.ip(),
                address.port(),
                root.display(),
                home = home.display()
            );
            (config, vec!["--daemon".into(), "--no-detach".into(), "--config".into()])
        })
    }

    /// The URL of the module of an [`Server::rsyncd`].
    pub fn rsync_url(&self) -> String {
        format!("rsync://{}/m/", self.address)
    }

    /// vsftpd, which knows LIST alone, for anybody; `more` goes into its configuration.
    pub fn vsftpd(root: &Path, more: &str) -> Self {
        Self::vsftpd_at(free_address(), root, more)
    }

    pub fn vsftpd_at(address: SocketAddr, root: &Path, more: &str) -> Self {
        Self::start_at(address, "vsftpd", |home, address| {
            let listen = if address.is_ipv4() { "listen=YES\nlisten_address" } else { "listen_ipv6=YES\nlisten_address6" };
            let config = format!(
                "{listen}={}\nlisten_port={}\nbackground=NO\nrun_as_launching_user=YES\nseccomp_sandbox=NO\n\
                 anonymous_enable=YES\nno_anon_password=YES\nanon_root={}\nsecure_chroot_dir={}\n{more}\n",
                address.ip(),
                address.port(),
                root.display(),
                home.display()
            );
            (config, Vec::new())
        })
    }

    /// The same, encrypted, with a certificate for `localhost`, which it is.
    pub fn vsftpd_tls(root: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        Self::vsftpd_at(address, root, &Self::vsftpd_encrypts())
    }

    /// The same, encrypted from the first byte, at the port for that. `None` where this user may not take that port.
    pub fn vsftpd_implicit_tls(root: &Path) -> Option<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 990));
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
            taken => drop(taken.expect("the port is free")),
        }
        Some(Self::vsftpd_at(address, root, &(Self::vsftpd_encrypts() + "implicit_ssl=YES\n")))
    }

    fn vsftpd_encrypts() -> String {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
        format!(
            "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\nrequire_ssl_reuse=NO\n\
             ssl_ciphers=HIGH\nrsa_cert_file={data}/cert.pem\nrsa_private_key_file={data}/key.pem\n"
        )
    }

    /// ProFTPD, which knows MLSD, for anybody.
    pub fn proftpd(root: &Path) -> Self {
        Self::start("proftpd", |home, address| {
            let (home, root) = (home.display(), root.display());
            let who = if is_root() { "User nobody\nGroup nogroup\nUserAlias anonymous nobody\n" } else { "" };
            let config = format!(
                "ServerType standalone\nDefaultAddress {}\nSocketBindTight on\nPort {}\nUseIPv6 off\nUseReverseDNS off\n\
                 User nobody\nGroup nogroup\nRequireValidShell off\nUseFtpUsers off\nScoreboardFile {home}/score\n\
                 PidFile {home}/pid\nDelayEngine off\nWtmpLog off\nSystemLog none\nTransferLog none\n\
                 <Anonymous {root}>\n{who}</Anonymous>\n",
                address.ip(),
                address.port()
            );
            (config, vec!["-n".into(), "-c".into()])
        })
    }

    /// The URL of an FTP server.
    pub fn ftp_url(&self) -> String {
        format!("ftp://{}/", self.address)
    }

    /// Any program that takes a configuration as its last argument and listens to the address.
    pub fn start(program: &str, configure: impl Fn(&Path, SocketAddr) -> (String, Vec<String>)) -> Self {
        Self::start_at(free_address(), program, configure)
    }

    /// The same, at an address that was free a moment ago.
    fn start_at(
        mut address: SocketAddr,
        program: &str,
        configure: impl Fn(&Path, SocketAddr) -> (String, Vec<String>),
    ) -> Self {
        // Another process may take the port between choosing and using it: then another one is tried.
        for _ in 0..5 {
            let home = Folder::new();
            let (config, arguments) = configure(home.path(), address);
            home.write_bytes("server.conf", config.as_bytes(), 1_700_000_000);
            let errors = fs::File::create(home.path().join("stderr")).expect("a log");
            let child = Command::new(find(program))
                .args(arguments)
                .arg(home.path().join("server.conf"))
                .env("TZ", "Europe/Berlin")
                .env("LD_LIBRARY_PATH", libraries(program))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(errors)
                .process_group(0)
                .spawn()
                .unwrap_or_else(|error| panic!("{program} can't be started (scripts/test installs it): {error}"));
            let mut server = Self { child, address, home };
            if server.answers() {
                return server;
            }
            eprintln!("{program} did not start: {}", server.complaints());
            address = free_address();
        }
        panic!("{program} does not start");
    }

    /// Waits until it listens, or has ended.
    fn answers(&mut self) -> bool {
        let answers = look(|| {
            let answers = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok();
            let has_ended = self.child.try_wait().expect("it is our child").is_some();
            (answers || has_ended).then_some(!has_ended)
        });
        answers == Some(true)
    }

    fn complaints(&self) -> String {
        ["stderr", "error.log"].map(|name| fs::read_to_string(self.home.path().join(name)).unwrap_or_default()).concat()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its whole group: some servers have children of their own.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
        self.child.wait().ok();
    }
}

/// Debian keeps servers where the path of ordinary users does not lead.
fn find(program: &str) -> PathBuf {
    let usual = Path::new("/usr/sbin").join(program);
    let unpacked = unpacked(program).join("usr/sbin").join(program);
    [usual, unpacked].into_iter().find(|path| path.exists()).unwrap_or_else(|| PathBuf::from(program))
}

/// Where `scripts/test` unpacks what can't be installed beside the others: in the folder of all that is built.
fn unpacked(program: &str) -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_redirector")).ancestors().nth(2).expect("it lies below a folder");
    built.join("servers").join(program)
}

/// Where the libraries of such a program lie.
fn libraries(program: &str) -> PathBuf {
    unpacked(program).join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An address on loopback of which nothing else in these tests makes use, with a free port.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let last = NEXT.fetch_add(1, Ordering::Relaxed).clamp(2, 250);
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), 0)).expect("loopback has free ports");
    listener.local_addr().expect("it is bound")
}

/// A request, as an [`Odd`] server sees it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What an [`Odd`] server does with a request: writes whatever it likes to the connection, which is then closed.
pub type Behaviour = dyn Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync;

/// A server that does what a test wants.
pub struct Odd {
    address: SocketAddr,
    behaviour: Arc<Mutex<Arc<Behaviour>>>,
    stopped: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
}

impl Odd {
    pub fn start(behaviour: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let (stopped, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let behaviour: Arc<Mutex<Arc<Behaviour>>> = Arc::new(Mutex::new(Arc::new(behaviour)));
        let (is_stopped, count, current) = (Arc::clone(&stopped), Arc::clone(&requests), Arc::clone(&behaviour));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (behaviour, count) = (Arc::clone(&current.lock().expect("no test panics with it")), Arc::clone(&count));
                std::thread::spawn(move || serve(stream, &*behaviour, &count).ok());
            }
        });
        Self { address, behaviour, stopped, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes its ways.
    pub fn turn_into(&self, behaviour: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) {
        *self.behaviour.lock().expect("no test panics with it") = Arc::new(behaviour);
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}

fn serve(mut stream: TcpStream, behaviour: &Behaviour, count: &AtomicUsize) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?).take(64 * 1024);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut request = Request { method: method.to_owned(), path: path.to_owned(), headers: Vec::new() };
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            request.headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    count.fetch_add(1, Ordering::SeqCst);
    behaviour(&request, &mut stream)
}

/// Writes a whole response; of an answer to HEAD only the head.
pub fn respond(request: &Request, out: &mut impl Write, status: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
    write!(out, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    for (name, value) in headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding"))
    {
        write!(out, "Content-Length: {}\r\n", body.len())?;
    }
    out.write_all(b"\r\n")?;
    if request.method == "HEAD" { Ok(()) } else { out.write_all(body) }
}

/// A page as nginx writes it for a directory: names that end with a slash are directories, the others files with their sizes and
/// times (seconds since 1970).
pub fn listing(path: &str, entries: &[(&str, u64, i64)]) -> String {
    let mut page = format!(
        "<html>\r\n<head><title>Index of {path}</title></head>\r\n<body>\r\n<h1>Index of {path}</h1><hr><pre><a href=\"../\">../</a>\r\n"
    );
    for (name, size, mtime) in entries {
        let time = jiff::Timestamp::from_second(*mtime).expect("valid").strftime("%d-%b-%Y %H:%M");
        let size = if name.ends_with('/') { "-".to_owned() } else { size.to_string() };
        page.push_str(&format!(
            "<a href=\"{name}\">{name}</a>{:pad$} {time} {size:>19}\r\n",
            "",
            pad = 50usize.saturating_sub(name.len())
        ));
    }
    page.push_str("</pre><hr></body>\r\n</html>\r\n");
    page
}

/// Stands between clients and servers.
pub struct Relay {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Relay {
    /// Cuts each connection after so many bytes from the server.
    pub fn cutting(server: SocketAddr, bytes: u64) -> Self {
        Self::start(move || (server, bytes))
    }

    /// `choose` says of each connection where it is led, and how many bytes come back.
    pub fn start(choose: impl Fn() -> (SocketAddr, u64) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (server, bytes) = choose();
                let (Ok(mut client), Ok(mut server)) = (client, TcpStream::connect(server)) else { continue };
                let (Ok(mut asks), Ok(mut asked)) = (client.try_clone(), server.try_clone()) else { continue };
                std::thread::spawn(move || io::copy(&mut asks, &mut asked).ok());
                std::thread::spawn(move || {
                    io::copy(&mut (&mut server).take(bytes), &mut client).ok();
                    client.shutdown(std::net::Shutdown::Both).ok();
                    server.shutdown(std::net::Shutdown::Both).ok();
                });
            }
        });
        Self { address, stopped }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}
