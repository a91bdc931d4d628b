//! Runs a text script: a world, requests as bytes on a socket, and what is expected to come back. The language is described
//! at the top of `tests/http/redirects.txt`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use redirector::model::{FileState, Health, Question, Span};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Content, Instance, World, mirror};

/// Runs a script; panics with file name and line number where it is not as expected.
pub async fn run(name: &str, text: &str) {
    let mut run =
        Run { world: World::new().await, name, line: 0, from: None, before: Vec::new(), known: BTreeMap::new(), changed: true };
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    while let Some((at, line)) = lines.next() {
        run.line = at;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(first) = line.strip_prefix("> ") else {
            run.order(line);
            run.changed = true;
            continue;
        };
        let mut request = vec![first];
        while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with('>')) {
            request.push(more.strip_prefix("> ").unwrap_or(""));
        }
        let mut expected = Vec::new();
        while let Some(line) = lines.next_if(|(_, line)| line.starts_with(['<', '|']) || line.starts_with("body ")) {
            expected.push(line);
        }
        if std::mem::take(&mut run.changed) {
            run.world.publish();
        }
        let response = run.exchange(&request).await;
        run.compare(&expected, &response);
    }
    run.world.stop().await;
}

struct Run<'a> {
    world: World,
    name: &'a str,
    line: usize,
    /// The client's local address.
    from: Option<String>,
    /// Bytes that go before the next request, to the PROXY socket.
    before: Vec<u8>,
    known: BTreeMap<String, String>,
    /// Whether the server does not know the world as it is yet.
    changed: bool,
}

/// A response, taken apart.
#[derive(Debug)]
struct Response {
    status: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Run<'_> {
    fn fail(&self, what: impl std::fmt::Display) -> ! {
        panic!("tests/http/{}.txt:{}: {what}", self.name, self.line)
    }

    fn same(&self, what: &str, found: &[String], expected: &[&str]) {
        if found != expected {
            self.fail(format!("{what} {found:?}"));
        }
    }

    /// Makes the world as a line says.
    fn order(&mut self, line: &str) {
        let (words, text) = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let keys: BTreeMap<&str, &str> = words.iter().skip(1).map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
        let now = self.world.clock.now();
        let age = keys.get("age").map_or(Duration::from_secs(86_400), |age| span(age));
        let then = now - age;
        let content = match (&text, words.get(2).filter(|word| !word.contains('='))) {
            (Some(text), _) => Content::Text(text.clone()),
            (None, Some(size)) => Content::Size(size.parse().unwrap_or(16)),
            (None, None) => Content::Size(16),
        };
        let world = &mut self.world;
        match *words {
            ["public" | "unindexed" | "application" | "directory" | "link" | "index" | "forget" | "delete" | "state", ..] => {
                put(world.instance(), &words, &content, then);
            }
            ["now", time] => world.clock.set(time.parse().expect("a time")),
            ["later", by] => world.clock.set(now + span(by)),
            ["instance", name, ..] if keys.len() == 1 && world.has_instance(name) => world.choose(name),
            ["instance", name, ..] => {
                world.add_instance(name);
                configure(world, &keys);
            }
            ["settings", ..] => configure(world, &keys),
            ["place", network, country] => world.place(network, country),
            ["hashed", path] => world.instance().hash(path),
            ["silent"] => world.instance().silence_records(),
            ["ordered", ..] => {
                let ordered = world.instance().take_ordered();
                if ordered != words[1..] {
                    self.fail(format!("ordered {ordered:?}"));
                }
            }
            ["describe", ..] => describe(world, &keys),
            ["mirror", name, country, ..] => {
                world.instance().add_mirror(mirror(name, country, &keys));
                if let Some(paths) = keys.get("holds") {
                    world.instance().let_hold(name, paths);
                }
            }
            ["holds", name, paths] => world.instance().let_hold(name, paths),
            ["loses", name, paths] => world.instance().let_lose(name, paths),
            ["fallback" | "keep" | "answers" | "repository", ..] => rule(world.instance(), &words, text.as_deref()),
            ["down", name] => world.instance().set_health(name, Health::Down),
            ["up", name] => world.instance().set_health(name, Health::Up),
            ["hold", path] => world.instance().hold(path),
            ["release", path] => world.instance().release(path),
            ["unmount", which] => world.instance().unmount(which),
            ["mount", which] => world.instance().mount(which),
            ["nudged", ..] => {
                let nudged = world.instance().take_nudged();
                self.same("nudged", &nudged, &words[1..]);
            }
            ["asked", ..] => {
                let asked: Vec<String> = world.instance().take_questions().iter().map(shown).collect();
                self.same("asked", &asked, &words[1..]);
            }
            ["from", address] => self.from = Some(address.to_owned()),
            ["proxy-header"] => self.before = unescape(&text.expect("a header in quotes")),
            _ => self.fail(format!("unknown order {line:?}")),
        }
    }

    async fn exchange(&mut self, request: &[&str]) -> Response {
        let mut lines: Vec<Vec<u8>> = request.iter().map(|line| unescape(&self.fill(line))).collect();
        let is_raw = request[0].split(' ').count() > 2;
        if !is_raw {
            lines[0].extend_from_slice(b" HTTP/1.1");
            if !request.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
                lines.push(b"Host: download.example.org".to_vec());
            }
            lines.push(b"Connection: close".to_vec());
        }
        let mut bytes = std::mem::take(&mut self.before);
        let address = if bytes.is_empty() { self.world.address } else { self.world.proxied };
        for line in lines {
            bytes.extend(line);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        let conversation = async {
            let socket = TcpSocket::new_v4().expect("a socket");
            if let Some(from) = &self.from {
                socket.bind(format!("{from}:0").parse().expect("an address")).expect("bound");
            }
            let mut stream: TcpStream = socket.connect(address).await.expect("connected");
            stream.write_all(&bytes).await.expect("sent");
            let mut answer = Vec::new();
            // A reset ends the answer as well as a proper end does; what came before it counts.
            stream.read_to_end(&mut answer).await.ok();
            answer
        };
        match tokio::time::timeout(Duration::from_secs(10), conversation).await {
            Ok(answer) => parse(&answer),
            Err(_) => self.fail("no answer within ten seconds"),
        }
    }

    fn compare(&mut self, expected: &[(usize, &str)], response: &Response) {
        let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut body: Option<String> = None;
        for &(at, line) in expected {
            self.line = at;
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            match mark {
                "<" if rest.chars().all(|c| c.is_ascii_digit()) => self.expect("status", rest, &response.status),
                "<" if rest == "nothing" => self.expect("status", "", &response.status),
                "<" => {
                    let (name, value) = rest.split_once(':').unwrap_or_else(|| self.fail("a header has a colon"));
                    wanted.entry(name.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
                }
                "<!" => self.expect(rest, "[]", &format!("{:?}", response.all(rest))),
                "|" => body = Some(body.map_or_else(|| rest.to_owned(), |body| body + "\n" + rest)),
                "body" => self.compare_body(rest, &response.body),
                _ => self.fail(format!("unknown expectation {line:?}")),
            }
        }
        for (name, values) in wanted {
            let found = response.all(&name);
            if found.len() != values.len() {
                self.fail(format!("{name}: expected {values:?}, found {found:?}\n{response:?}"));
            }
            for (value, found) in values.iter().zip(found) {
                self.learn_or_expect(&name, value, found);
            }
        }
        if let Some(body) = body {
            self.expect("body", &body, &String::from_utf8_lossy(&response.body).replace("\r\n", "\n"));
        }
    }

    fn compare_body(&self, wanted: &str, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let good = match wanted.split_once(' ') {
            None => wanted == "empty" && body.is_empty(),
            Some((bytes, "bytes")) => body.len().to_string() == bytes,
            Some(("has", part)) => text.contains(part),
            Some(("lacks", part)) => !text.contains(part),
            Some(_) => false,
        };
        if !good {
            self.fail(format!("body {wanted}: it is {} bytes: {text:.2000}", body.len()));
        }
    }

    /// A value `{name}` that is not known yet is learnt; else it must match.
    fn learn_or_expect(&mut self, header: &str, value: &str, found: &str) {
        if let Some(name) = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
            && !self.known.contains_key(name)
        {
            self.known.insert(name.to_owned(), found.to_owned());
            return;
        }
        self.expect(header, &self.fill(value), found);
    }

    fn expect(&self, what: &str, pattern: &str, found: &str) {
        if !matches(pattern, found) {
            self.fail(format!("{what}: expected {pattern:?}, found {found:?}"));
        }
    }

    /// Puts in what was learnt.
    fn fill(&self, text: &str) -> String {
        self.known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

impl World {
    fn has_instance(&self, name: &str) -> bool {
        self.instances.iter().any(|instance| instance.name == name)
    }
}

/// What descriptions say, as `key=value`.
fn describe(world: &mut World, keys: &BTreeMap<&str, &str>) {
    let settings = &mut world.instance().describe;
    let list = |value: &str| value.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    for (&key, &value) in keys {
        match key {
            "formats" => settings.formats = serde_json::from_value(serde_json::json!(list(value))).expect("kinds"),
            "link-formats" => settings.link_formats = serde_json::from_value(serde_json::json!(list(value))).expect("kinds"),
            "suffixes" => settings.suffixes = value == "on",
            "negotiate" => settings.negotiate = value == "on",
            "links" => settings.links = value == "on",
            "publisher" => settings.publisher = Some(value.to_owned()),
            "trackers" => settings.trackers = list(value),
            _ => panic!("no such setting: {key}"),
        }
    }
}

/// Settings of an instance, as `key=value`.
fn configure(world: &mut World, keys: &BTreeMap<&str, &str>) {
    let instance = world.instance();
    let list = |value: &str| value.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    for (&key, &value) in keys {
        let said = serde_json::json!(value);
        match key {
            "prefix" => instance.settings.prefix = redirector::model::Prefix::parse(value).expect("a prefix"),
            "min-age" => instance.settings.min_age = value.parse().expect("a span"),
            "min-size" => instance.settings.min_size = value.parse().expect("a size"),
            "hidden" => instance.settings.hidden = list(value),
            "index" => instance.settings.index = value == "true",
            "symlinks" => instance.settings.symlinks = serde_json::from_value(said).expect("a policy"),
            "application-access" => instance.settings.application_access = serde_json::from_value(said).expect("an access"),
            "application" => instance.settings.application = None,
            "public-url" => instance.server.public_url = Some(value.to_owned()),
            "hosts" => instance.server.hosts = list(value),
            "forwarded-by" => instance.server.forwarded_by = serde_json::from_value(said).expect("a header"),
            "trusted-proxies" => {
                instance.server.trusted_proxies = list(value).iter().map(|n| n.parse().expect("a network")).collect();
            }
            _ if key == instance.name => {}
            _ => panic!("unknown setting {key}"),
        }
    }
    instance.open_trees();
}

/// Puts something into the trees, or what the inventory knows of them.
fn put(instance: &mut Instance, words: &[&str], content: &Content, then: Timestamp) {
    match *words {
        ["public", path, ..] => {
            instance.write("public", path, content, then);
            instance.index(path, then);
        }
        ["unindexed", path, ..] => instance.write("public", path, content, then),
        ["application", path, ..] => instance.write("application", path, content, then),
        ["directory", path] => std::fs::create_dir_all(instance.tree("public").join(path)).expect("a folder"),
        ["link", path, "->", target] => {
            let path = instance.tree("public").join(path);
            std::fs::create_dir_all(path.parent().expect("below a tree")).expect("a folder");
            std::os::unix::fs::symlink(target, path).expect("a link");
        }
        ["index", path, ..] => instance.index(path, then),
        ["forget", path] => instance.forget(path),
        ["delete", path] => std::fs::remove_file(instance.tree("public").join(path)).expect("a file"),
        ["state", path, "unconfirmed"] => instance.set_state(path, FileState::Unconfirmed),
        ["state", path, "changing"] => instance.set_state(path, FileState::Changing),
        _ => panic!("unknown order {words:?}"),
    }
}

/// A section of the configuration: its keys in quotes with `;` between, of a fallback mirror as words.
fn rule(instance: &mut super::Instance, words: &[&str], text: Option<&str>) {
    let text = text.unwrap_or("").replace(';', "\n");
    match words[0] {
        "keep" => instance.keep = toml::from_str(&text).expect("rules"),
        "answers" => {
            instance.answers = toml::from_str(&text).expect("answers");
            instance.stamp = redirector::http::Stamp::of(&instance.answers).expect("a key");
        }
        "repository" => instance.repositories.push(toml::from_str(&text).expect("a repository")),
        _ => {
            let key = |word: &&str| match word.split_once('=').expect("key=value") {
                (key @ ("http" | "https"), url) => format!("{key} = {url:?}\n"),
                (key, list) => format!("{key} = {:?}\n", list.split(',').collect::<Vec<_>>()),
            };
            let settings: String = words[1..].iter().map(key).collect();
            instance.add_fallback(&toml::from_str(&settings).expect("a fallback"));
        }
    }
}

fn span(text: &str) -> Duration {
    text.parse::<Span>().expect("a span").0
}

/// The words of a line, and what stands in double quotes.
fn words(line: &str) -> (Vec<String>, Option<String>) {
    let mut parts = line.splitn(3, '"');
    let before = parts.next().unwrap_or("");
    let text = parts.next().map(str::to_owned);
    let after = parts.next().unwrap_or("");
    let words = before.split_whitespace().chain(after.split_whitespace());
    // A space within a path is written %20, a percent sign %25.
    (words.map(|word| word.replace("%20", " ").replace("%25", "%")).collect(), text)
}

/// Undoes `\r`, `\n`, `\t`, `\\` and `\xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, length) = match (first, tail) {
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let hex = std::str::from_utf8(&digits).expect("hexadecimal digits");
                (u8::from_str_radix(hex, 16).expect("hexadecimal digits"), 4)
            }
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

/// Whether a text fits a pattern, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|tail| (0..=tail.len()).filter(|&at| tail.is_char_boundary(at)).any(|at| matches(rest, &tail[at..]))),
    }
}

fn parse(answer: &[u8]) -> Response {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("").to_owned();
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Response { status, headers: headers.collect(), body: answer.get(end + 4..).unwrap_or(&[]).to_vec() }
}

impl Response {
    fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// A question as a script writes it: the path, and `@` with the mirror where it is about one.
fn shown(question: &Question) -> String {
    match question {
        Question::WhoHolds(path) => path.to_string(),
        Question::DoesHold(path, mirror) => format!("{path}@{mirror}"),
    }
}
