//! The shipped fronts, nginx and haproxy, before a real server with a real mirror: whose download it is comes through, what clients
//! only claim does not.

mod servers;
mod until;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use servers::{Folder, Server, free_address};

const PROGRAM: &str = env!("CARGO_BIN_EXE_redirector");
const FILE: &str = "4078/labyrinth-7.xo";
/// 2023: old enough for mirrors.
const OLD: i64 = 1_700_000_000;
/// The only client that the mirror serves.
const NEAR: &str = "127.0.0.9";
/// One that it does not.
const FAR: &str = "127.0.0.8";

/// A site with a mirror for `NEAR`, scanned and served.
struct Site {
    tree: Folder,
    mirror: Server,
    state: Folder,
    admin: SocketAddr,
}

impl Site {
    fn new() -> Self {
        let tree = Folder::new();
        let content: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        tree.write_bytes(FILE, &content, OLD);
        let mirror = Server::nginx(tree.path(), "autoindex on;");
        let site = Self { tree, mirror, state: Folder::new(), admin: free_address() };
        let nowhere = free_address();
        site.state.write_bytes("scan.toml", site.config(nowhere, nowhere).as_bytes(), OLD);
        let scan =
            Command::new(PROGRAM).arg("-c").arg(site.state.path().join("scan.toml")).arg("scan").output().expect("it runs");
        assert!(scan.status.success(), "{}{}", text(&scan.stdout), text(&scan.stderr));
        site
    }

    fn config(&self, listen: SocketAddr, listen_proxy: SocketAddr) -> String {
        format!(
            "[server]\nlisten = [\"{listen}\"]\nadmin-listen = \"{}\"\nlisten-proxy-protocol = [\"{listen_proxy}\"]\ntrusted-proxies = [\"127.0.0.1/32\"]\n\
             [tree]\nprefix = \"/activities\"\npublic = \"{}\"\n[inventory]\ndatabase = \"{}/inventory.sqlite\"\n\
             [scan]\nallow-private-addresses = true\n\
             [[mirror]]\nname = \"near\"\nhttp = \"{}\"\nonly = \"network\"\nnetworks = [\"{NEAR}\"]\n",
            self.admin,
            self.tree.path().display(),
            self.state.path().display(),
            self.mirror.url(),
        )
    }

    /// How many requests were for what is not there.
    fn not_found(&self) -> u32 {
        let output =
            Command::new("curl").args(["-sS", &format!("http://{}/metrics", self.admin)]).output().expect("curl is here");
        let metrics = text(&output.stdout);
        let lines =
            metrics.lines().filter(|line| line.starts_with("redirector_requests_total{") && line.contains("\"not-found\""));
        lines.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u32>().ok()).expect("a count")).sum()
    }

    fn serve(&self, listen_proxy: SocketAddr) -> Server {
        Server::start(PROGRAM, |_, address| (self.config(address, listen_proxy), vec!["serve".into(), "-c".into()]))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)).expect("it is shipped")
}

fn nginx(behind: SocketAddr) -> Server {
    Server::start("nginx", |home, address| {
        let front = shipped("nginx.conf")
            .replace("listen 80;", &format!("listen {address};"))
            .replace("listen [::]:80;", "")
            .replace("127.0.0.1:8080", &behind.to_string());
        let home = home.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {home}/{what};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{front}\n}}\n"
        );
        (config, vec!["-p".into(), home.to_string(), "-c".into()])
    })
}

/// haproxy, listening for both ways; the one by headers at the server's address.
fn haproxy(by_headers: SocketAddr, by_proxy_protocol: SocketAddr, listen: SocketAddr) -> Server {
    Server::start("haproxy", |_, address| {
        let front = shipped("haproxy.cfg")
            // A test has no right to many open files.
            .replace("maxconn 20000", "maxconn 100")
            .replace("bind :8000", &format!("bind {listen}"))
            .replace("bind :80\n", &format!("bind {address}\n"))
            .replace("127.0.0.1:8080 check port 8081", &by_headers.to_string())
            .replace("127.0.0.1:8082", &by_proxy_protocol.to_string());
        (front, vec!["-db".into(), "-f".into()])
    })
}

/// What curl gets: the status with the headers, and the body.
fn ask(front: SocketAddr, from: &str, arguments: &[&str]) -> (String, Vec<u8>) {
    let output = Command::new("curl")
        .args(["-sS", "-D", "/dev/stderr", "--interface", from, "--max-time", "20", "-H", "Host: download.example"])
        .args(arguments)
        .arg(format!("http://{front}/activities/{FILE}"))
        .output()
        .expect("curl is here (scripts/test installs it)");
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stderr).to_ascii_lowercase(), output.stdout)
}

/// What must hold behind every front.
#[track_caller]
fn assert_good(site: &Site, front: SocketAddr) {
    let (near, _) = ask(front, NEAR, &[]);
    assert!(near.starts_with("http/1.1 302"), "{near}");
    assert!(near.contains(&format!("location: {}{FILE}", site.mirror.url())), "{near}");
    assert!(near.contains("x-redirector: mirror=near; why=network"), "{near}");

    let (far, body) = ask(front, FAR, &[]);
    assert!(far.starts_with("http/1.1 200") && far.contains("x-redirector: local; why=no-mirror"), "{far}");
    assert_eq!(body, fs::read(site.tree.path().join(FILE)).expect("read"));
    let (part, body) = ask(front, FAR, &["-r", "10-19"]);
    assert!(part.starts_with("http/1.1 206") && body.len() == 10, "{part}");

    for claim in [format!("X-Forwarded-For: {NEAR}"), format!("Forwarded: for={NEAR}")] {
        let (claimed, _) = ask(front, FAR, &["-H", &claim]);
        assert!(claimed.starts_with("http/1.1 200"), "{claim} was believed: {claimed}");
    }
}

/// Requests that two servers could read differently: with another one inside, which is for a path that is not there.
fn smuggled() -> Vec<String> {
    const HIDDEN: &str = "GET /activities/hidden HTTP/1.1\r\nHost: download.example\r\n\r\n";
    let length = HIDDEN.len();
    let (none, some) = (format!("0\r\n\r\n{HIDDEN}"), format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"));
    let lines = [
        (format!("Content-Length: {length}\r\nContent-Length: 0\r\n"), HIDDEN),
        (format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), HIDDEN),
        (format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &some),
        (format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", none.len()), &none),
        (format!("Content-Length: {}\r\nTransfer-Encoding: xchunked\r\n", none.len()), &none),
        (format!("Content-Length: {}\r\nTransfer-Encoding : chunked\r\n", none.len()), &none),
        (format!("Content-Length: {}\r\nTransfer-Encoding:\x0bchunked\r\n", none.len()), &none),
        (format!("Content-Length: {}\r\nX: y\r\n Transfer-Encoding: chunked\r\n", none.len()), &none),
        (format!("Content-Length: {}\r\nX: y\rTransfer-Encoding: chunked\r\n", none.len()), &none),
        (format!("Content-Length: {}\r\nTransfer-Encoding: chunked, identity\r\n", none.len()), &none),
        (format!("Content-Length: +{length}\r\n"), HIDDEN),
        (format!("Content-Length: 0,{length}\r\n"), HIDDEN),
        (format!("Content-Length: {length}\r\n"), HIDDEN),
        ("Transfer-Encoding: chunked\r\n".to_owned(), &some),
        (format!("Expect: 100-continue\r\nContent-Length: {length}\r\n"), HIDDEN),
    ];
    let ask = |method: &str, version: &str, lines: &str, body: &str| {
        format!("{method} /activities/{FILE} HTTP/{version}\r\nHost: download.example\r\n{lines}\r\n{body}")
    };
    let all = lines.iter().flat_map(|(lines, body)| {
        [("GET", "1.1"), ("POST", "1.1"), ("GET", "1.0")].map(|(method, version)| ask(method, version, lines, body))
    });
    all.collect()
}

/// Whatever a client makes of a request, what it hid in its body is answered by nobody.
#[track_caller]
fn assert_nothing_is_smuggled(site: &Site, front: SocketAddr) {
    let end = format!("GET /activities/{FILE} HTTP/1.1\r\nHost: download.example\r\nConnection: close\r\n\r\n");
    for request in smuggled() {
        let mut stream = TcpStream::connect(front).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it is open");
        stream.write_all((request.clone() + &end).as_bytes()).ok();
        let mut answer = Vec::new();
        // A reset is an end as well.
        stream.read_to_end(&mut answer).ok();
        let answer = text(&answer);
        assert!(!answer.contains(" 404 "), "{request:?} was answered twice: {answer:?}");
    }
    // Nor by us, whoever got the answer.
    assert_eq!(site.not_found(), 0);
    ask(front, FAR, &["--url", &format!("http://{front}/activities/hidden")]);
    assert_eq!(site.not_found(), 1, "it would have been seen");
}

#[test]
fn nothing_is_smuggled_through_nginx_or_haproxy_or_past_them() {
    for choose in [
        (|server: &Server, _, _| (None, server.address()))
            as fn(&Server, SocketAddr, SocketAddr) -> (Option<Server>, SocketAddr),
        |server, _, _| with_address(nginx(server.address())),
        |server, listen_proxy, listen| with_address(haproxy(server.address(), listen_proxy, listen)),
        |server, listen_proxy, listen| (Some(haproxy(server.address(), listen_proxy, listen)), listen),
    ] {
        let (site, listen_proxy, listen) = (Site::new(), free_address(), free_address());
        let server = site.serve(listen_proxy);
        let (_front, address) = choose(&server, listen_proxy, listen);
        assert_nothing_is_smuggled(&site, address);
    }
}

fn with_address(front: Server) -> (Option<Server>, SocketAddr) {
    let address = front.address();
    (Some(front), address)
}

#[test]
fn nginx_in_front_tells_whose_download_it_is() {
    let site = Site::new();
    let server = site.serve(free_address());
    let front = nginx(server.address());
    assert_good(&site, front.address());
    // Behind a front, the client is the one whom the front names; a client that comes directly can't name another.
    let (direct, _) = ask(server.address(), FAR, &["-H", &format!("X-Forwarded-For: {NEAR}")]);
    assert!(direct.starts_with("http/1.1 200"), "{direct}");
    let (trusted, _) = ask(server.address(), "127.0.0.1", &["-H", &format!("X-Forwarded-For: {NEAR}")]);
    assert!(trusted.starts_with("http/1.1 302"), "{trusted}");
    // https at the front, as it says, needs an https mirror: there is none.
    let secure = ["-H", &format!("X-Forwarded-For: {NEAR}"), "-H", "X-Forwarded-Proto: https"];
    let (secure, _) = ask(server.address(), "127.0.0.1", &secure);
    assert!(secure.starts_with("http/1.1 200"), "{secure}");
}

#[test]
fn haproxy_in_front_tells_whose_download_it_is() {
    let site = Site::new();
    let (listen_proxy, listen_front) = (free_address(), free_address());
    let server = site.serve(listen_proxy);
    let front = haproxy(server.address(), listen_proxy, listen_front);
    assert_good(&site, front.address());
    assert_good(&site, listen_front);
}
