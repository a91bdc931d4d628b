//! Requests that two servers could read differently: each has one answer, its body is never read as a request, and where it is in doubt
//! where a request ends, the connection ends with it. Whoever answers, `http::plain` or hyper, and however the bytes come, it is the same.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::world::{self, Content, World};
use super::{connect, put, rest};
use redirector::http::Settings;

/// What follows each case on its connection. It is answered only if the connection goes on.
const END: &str = "GET /activities/end.xo HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
/// What stands in bodies. It is never answered.
const HIDDEN: &str = "GET /activities/hidden.xo HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// What makes a connection hyper's before the case begins.
const NOT_PLAIN: &str = "GET /activities/a.xo?x HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A site whose files a mirror has.
async fn site() -> World {
    let mut world = World::with_limits(&Settings::default()).await;
    for path in ["a.xo", "end.xo", "hidden.xo"] {
        put(&mut world, path, &Content::Text("0123456789".to_owned()));
        world.instance().hash(path);
    }
    world.instance().add_mirror(world::mirror("leiden", "nl", &BTreeMap::new()));
    world.instance().let_hold("leiden", "*");
    world.publish();
    world
}

/// How the bytes of a case are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    AtOnce,
    ByteByByte,
    /// Behind a request that is not plain.
    ByHyper,
}

/// What is answered, as statuses; the last is `end` where the connection went on.
async fn answers(world: &World, bytes: &[u8], way: Way) -> String {
    let mut stream = connect(world).await;
    stream.set_nodelay(true).expect("it is open");
    let before = if way == Way::ByHyper { NOT_PLAIN } else { "" };
    let all = [before.as_bytes(), bytes, END.as_bytes()].concat();
    send(&mut stream, &all, way).await;
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    assert!(!answer.contains("hidden.xo"), "a body was read as a request: {answer}");
    let words = answer.split("HTTP/1.").skip(1).map(|one| match one.contains("/end.xo\r\n") {
        true => "end",
        false => one.split(' ').nth(1).unwrap_or("?"),
    });
    words.skip(usize::from(way == Way::ByHyper)).collect::<Vec<_>>().join(" ")
}

/// Sends until all is sent or the other side wants no more.
async fn send(stream: &mut TcpStream, bytes: &[u8], way: Way) {
    if way != Way::ByteByByte || bytes.len() > 10_000 {
        stream.write_all(bytes).await.ok();
        return;
    }
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Asks in all ways, and tells which cases were answered otherwise.
async fn assert_answered<'a>(cases: impl IntoIterator<Item = (String, &'a str)>) {
    let world = site().await;
    let mut wrong = Vec::new();
    for (request, expected) in cases {
        for way in [Way::AtOnce, Way::ByHyper, Way::ByteByByte] {
            let found = answers(&world, request.as_bytes(), way).await;
            if found != expected {
                wrong.push(format!("{way:?}: {found:?}, not {expected:?}: {request:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A request with these lines and this body.
fn request(method: &str, lines: &str, body: &str) -> String {
    format!("{method} /activities/a.xo HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n{body}")
}

#[tokio::test]
async fn the_length_of_a_body_has_one_reading_or_the_connection_ends() {
    let length = HIDDEN.len();
    let chunk = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let trailer = "0\r\nX: y\r\n\r\n";
    let mut cases = Vec::new();
    for (method, status) in [("GET", "302"), ("POST", "405"), ("PUT", "405"), ("OPTIONS", "405"), ("BREW", "405")] {
        let goes_on = if status == "302" { "302 end" } else { "405 end" };
        let mut add = |lines: &str, body: &str, expected| cases.push((request(method, lines, body), expected));
        add(&format!("Content-Length: {length}\r\n"), HIDDEN, goes_on);
        add("Content-Length: 0\r\n", "", goes_on);
        add(&format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"), HIDDEN, goes_on);
        add(&format!("Content-Length: {length}\r\nContent-Length: 0\r\n"), HIDDEN, "400");
        add("Transfer-Encoding: chunked\r\n", &chunk, goes_on);
        add("Transfer-Encoding: chunked\r\n", trailer, goes_on);
        add("transfer-encoding: \tCHUNKED \r\n", &chunk, goes_on);
        add("Transfer-Encoding: chunked\r\n", "1;x=y\r\nZ\r\n0\r\n\r\n", goes_on);
        // Both: read as chunked, and the last of its connection (RFC 9112 section 6.1).
        add("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{HIDDEN}"), status);
        add("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &format!("0\r\n\r\n{HIDDEN}"), status);
        add(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &chunk, status);
        // Chunks that are none: no more is read.
        for body in [
            "0x5\r\nabcde\r\n",
            "+5\r\nabcde\r\n",
            "-1\r\n",
            "5 6\r\nabcde\r\n",
            "ffffffffffffffffff\r\n",
            "\r\n",
            "1\nZ\n0\n\n",
        ] {
            add("Transfer-Encoding: chunked\r\n", &format!("{body}{HIDDEN}"), status);
        }
    }
    for lines in ["+5", "-5", "0x5", "5 5", "5, 5", "5;", "", "five", "5.0", "18446744073709551616", "1e1"] {
        cases.push((request("GET", &format!("Content-Length: {lines}\r\n"), HIDDEN), "400"));
    }
    for lines in
        ["identity", "xchunked", "chunked, identity", "gzip", "chunked;q=1", "\"chunked\"", "chunked\r\nTransfer-Encoding: x"]
    {
        cases.push((request("POST", &format!("Transfer-Encoding: {lines}\r\n"), &chunk), "400"));
    }
    // More than is thrown away.
    let long = "x".repeat(300_000) + HIDDEN;
    cases.push((request("PUT", &format!("Content-Length: {}\r\n", long.len()), &long), "405"));
    let old = "POST /activities/a.xo HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    cases.push((format!("{old}{chunk}"), "400"));
    assert_answered(cases).await;
}

#[tokio::test]
async fn lines_that_one_server_would_mend_and_another_would_not_are_refused() {
    let lines = [
        "X: a\r\n folded\r\n",
        "X: a\r\n\tfolded\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " X: a\r\n",
        "X\r\n",
        ": a\r\n",
        "X Y: a\r\n",
        "X\0: a\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: a\r\r\n",
        "X\r: a\r\n",
        "X: a\x0bb\r\n",
        "X: a\x7fb\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "X(Y): a\r\n",
        "X\u{fc}: a\r\n",
    ];
    let targets = [
        "GET /activities/a\0.xo HTTP/1.1",
        "GET /activities/a\r.xo HTTP/1.1",
        "GET /activities/a\t.xo HTTP/1.1",
        "GET /activities/a .xo HTTP/1.1",
        "GET  /activities/a.xo HTTP/1.1",
        "GET /activities/a.xo  HTTP/1.1",
        "GET /activities/a.xo HTTP/1.1 ",
        "GET /activities/a.xo\tHTTP/1.1",
        "GET\t/activities/a.xo HTTP/1.1",
        " GET /activities/a.xo HTTP/1.1",
        "GET /activities/a.xo HTTP/1.2",
        "GET /activities/a.xo HTTP/2.0",
        "GET /activities/a.xo HTTP/0.9",
        "GET /activities/a.xo http/1.1",
        "GET /activities/a.xo HTTP/1.10",
        "GET /activities/a.xo",
        "GET activities/a.xo HTTP/1.1",
        "GET ? HTTP/1.1",
        "G\u{fc}T /activities/a.xo HTTP/1.1",
    ];
    let lines = lines.iter().map(|lines| request("GET", lines, ""));
    let targets = targets.iter().map(|line| format!("{line}\r\nHost: a.example\r\n\r\n"));
    assert_answered(lines.chain(targets).map(|request| (request, "400"))).await;
}

#[tokio::test]
async fn what_all_servers_read_alike_is_answered() {
    let plain = request("GET", "", "");
    let many = [plain.as_str(), NOT_PLAIN].concat().repeat(50);
    assert_answered([
        (plain.clone(), "302 end"),
        (request("HEAD", "", ""), "302 end"),
        (format!("\r\n{plain}"), "302 end"),
        (format!("{plain}\r\n{plain}"), "302 302 end"),
        // RFC 9112 section 2.2: a line may end with LF alone.
        (plain.replace("\r\n", "\n"), "302 end"),
        (request("GET", "X: \u{fc}\r\nY:\r\nZ: \t \r\n", ""), "302 end"),
        (many, (["302"; 100].join(" ") + " end").leak()),
        ("GET /activities/a.xo HTTP/1.0\r\n\r\n".to_owned(), "302"),
        ("GET /activities/a.xo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(), "302 end"),
        (request("GET", "Connection: close\r\n", ""), "302"),
        (request("GET", "Connection: keep-alive\r\nConnection: close\r\n", ""), "302"),
        (request("TRACE", "", ""), "405 end"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "405 end"),
        ("CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "405 end"),
        ("GET http://b.example/activities/a.xo HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "302 end"),
    ])
    .await;
}

#[tokio::test]
async fn a_host_is_one_host_or_none_and_the_request_is_refused() {
    let long = format!("{}.example", "a.".repeat(130));
    let good = [
        "a.example",
        "A.EXAMPLE",
        "a.example.",
        "a.example:80",
        "a.example:65535",
        "a.example:",
        "a_b",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
    ];
    let bad = [
        "",
        ":80",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:x",
        "[::g]",
        "[127.0.0.1]",
        "[::1]]",
        "a]",
        "user@a.example",
        "user:word@a.example",
        "a/b",
        "a\\b",
        "a\"b",
        "a'b",
        "a<b",
        "a b",
        "a,b",
        "a?b",
        "a#b",
        "a;b",
        "a%41",
        "a:0",
        "a:99999",
        "a:-1",
        "a:+80",
        "a:80:80",
        "a:8x",
        "b\u{fc}cher.example",
        "http://a.example",
        "a.example\r\nHost: a.example",
        "a.example\r\nhost: b.example",
        &long,
    ];
    let line = |host: &&str| format!("GET /activities/a.xo HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let whole = |host: &&str| format!("GET http://{host}/activities/a.xo HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut cases: Vec<_> = good.iter().map(|host| (line(host), "302 end")).collect();
    cases.extend(good.iter().map(|host| (whole(host), "302 end")));
    cases.extend(bad.iter().map(|host| (line(host), "400 end")));
    let in_targets = ["user@a.example", "a:99999", "a:0", ":80"];
    cases.extend(in_targets.iter().map(|host| (whole(host), "400 end")));
    cases.push((whole(&"[::1"), "400"));
    cases.push(("GET /activities/a.xo HTTP/1.1\r\n\r\n".to_owned(), "400 end"));
    cases.push(("GET http://a.example/activities/a.xo HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), "400 end"));
    assert_answered(cases).await;
}

#[tokio::test]
async fn who_expects_to_be_told_to_go_on_is_told_whether_the_connection_does() {
    let world = site().await;
    // The body comes at once, or never: the server does not wait for it.
    for (body, lines) in
        [("01234", "Content-Length: 5\r\n"), ("", "Content-Length: 5\r\n"), ("", "Transfer-Encoding: chunked\r\n")]
    {
        let mut stream = connect(&world).await;
        let asked = request("PUT", &format!("Expect: 100-continue\r\n{lines}"), body);
        stream.write_all(asked.as_bytes()).await.expect("sent");
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 405 ") && answer.contains("connection: close\r\n"), "{lines}{body:?}: {answer}");
    }
    assert_eq!(answers(&world, request("GET", "Expect: 100-continue\r\n", "").as_bytes(), Way::AtOnce).await, "302 end");
}

#[tokio::test]
async fn a_client_that_has_said_all_and_closed_its_side_is_answered() {
    let world = site().await;
    for (request, status) in [
        (request("GET", "", ""), "302"),
        (NOT_PLAIN.to_owned(), "302"),
        ("GET /activities/ HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "200"),
        ("GET /activities/?x HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(), "200"),
        ("GET /activities/ HTTP/1.0\r\n\r\n".to_owned(), "200"),
    ] {
        let mut stream = connect(&world).await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("half closed");
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_begins_with_http_2_or_never_speaks_it() {
    let world = site().await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut stream = connect(&world).await;
    stream.write_all(preface.as_bytes()).await.expect("sent");
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.expect("a frame");
    assert_eq!(frame[3], 4, "SETTINGS: {frame:?}");
    for way in [Way::AtOnce, Way::ByHyper, Way::ByteByByte] {
        let bytes = [request("GET", "", "").as_str(), preface].concat();
        let found = answers(&world, bytes.as_bytes(), way).await;
        assert!(found == "302" || found == "302 400", "{way:?}: {found}");
    }
}

/// What requests of the next test are put together from.
const METHODS: [&str; 6] = ["GET", "GET", "HEAD", "POST", "OPTIONS", "get"];
const TARGETS: [&str; 14] = [
    "/activities/a.xo",
    "/activities/a.xo",
    "/activities/%61.xo",
    "//activities//a.xo",
    "/activities/a.xo.sha256",
    "/activities/a.xo.meta4",
    "/activities/a.xo\"",
    "/activities/a.xo#x",
    "/activities/\u{fc}",
    "/activities/",
    "/activities",
    "/activities/..",
    "/%zz",
    "http://b.example/activities/a.xo",
];
const VERSIONS: [&str; 5] = ["1.1", "1.1", "1.1", "1.0", "1.2"];
const LINES: [&str; 30] = [
    "Host: a.example",
    "Host: a.example",
    "host:\ta.example:1 ",
    "Host: a b",
    "Host: [::1",
    "Accept: */*",
    "Accept: application/metalink4+xml",
    "If-None-Match: *",
    "If-Match: \"x\"",
    "If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT",
    "Range: bytes=0-3",
    "Range: x",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: Keep-Alive, x",
    "Content-Length: 0",
    "Content-Length: 3",
    "Transfer-Encoding: chunked",
    "Expect: 100-continue",
    "Upgrade: h2c",
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Proto: https",
    "Forwarded: for=192.0.2.1;proto=https",
    "User-Agent: \u{fc}",
    "X:",
    "X y: z",
    " folded",
    "X: a\0b",
    "Cookie: sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss",
    "Trailer: x",
];
const BODIES: [&str; 5] = ["", "", "abc", "0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"];

/// The heads of all answers on one connection, without what tells of the connection and the moment.
async fn heads(world: &World, before: &str, request: &str) -> Vec<String> {
    let mut stream = connect(world).await;
    stream.write_all([before, request, END].concat().as_bytes()).await.expect("sent");
    let answers = String::from_utf8_lossy(&rest(&mut stream).await).to_lowercase();
    let skipped = usize::from(!before.is_empty());
    let of_one = |answer: &str| {
        let head = answer.split("\r\n\r\n").next().unwrap_or("");
        let mut lines: Vec<&str> =
            head.split("\r\n").filter(|line| !line.starts_with("date:") && !line.starts_with("connection:")).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    answers.split("http/1.").skip(1 + skipped).map(of_one).collect()
}

#[tokio::test]
async fn whatever_is_asked_both_who_answer_say_the_same() {
    let world = site().await;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).expect("31 bits") % below
    };
    for _ in 0..1000 {
        let (method, target, version) = (METHODS[next(6)], TARGETS[next(14)], VERSIONS[next(5)]);
        // Mostly with a host, and with few other lines, so that not all is wrong.
        let lines: String = (0..1 + next(4)).map(|at| LINES[next(if at == 0 { 5 } else { 30 })].to_owned() + "\r\n").collect();
        let request = format!("{method} {target} HTTP/{version}\r\n{lines}\r\n{}", BODIES[next(5)]);
        assert_eq!(heads(&world, "", &request).await, heads(&world, NOT_PLAIN, &request).await, "{request:?}");
    }
}
