//! What clients do: Sugar and its updaters, Browse, curl and wget, browsers (scenarios 31 to 38).

use std::fs;
use std::process::Command;

use jiff::SignedDuration;

use super::curl::{curl, curled, status_of};
use super::mirror::Mirror;
use super::site::{NETHERLANDS, PRODUCTION, Site, UNITED_STATES, bundle, until, write};
use crate::servers::{Folder, Odd, Server, respond};

const FILE: &str = "4078/labyrinth-7.xo";
const LABYRINTH: &str = "/activities/4078/labyrinth-7.xo";
const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How nginx serves bundles where it knows their type.
const KNOWS_BUNDLES: &str = "autoindex on; types { application/vnd.olpc-sugar xo; text/html html; }";

/// A site with Labyrinth 7, old enough, and mirrors that hold it, in these countries.
async fn site_with(content: &[u8], mirrors: &[(&str, &str)]) -> Site {
    let mut site = Site::new();
    let tree = site.production().public();
    write(&tree.join(FILE), content, site.clock.now() - MONTH);
    for (name, country) in mirrors {
        let mirror = Mirror::with(name, "sugar/activities", &format!("country = \"{country}\"\n"), KNOWS_BUNDLES);
        mirror.sync(&tree);
        site.production().add(mirror);
    }
    site.start().await;
    for (name, _) in mirrors {
        until("the mirrors are scanned", async || site.holds(PRODUCTION, name, FILE).await).await;
    }
    if let [(name, _)] = mirrors {
        site.expect(LABYRINTH, &format!("302 {name}")).await;
    }
    site
}

/// Scenario 31.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_leads_to_the_same_mirror_as_get_and_to_the_size_of_the_tree() {
    let site = site_with(&bundle(7, 676_401), &[("leiden", "nl"), ("rochester", "us")]).await;
    for from in [NETHERLANDS, UNITED_STATES] {
        let headers = [("User-Agent", "Sugar/0.100"), ("X-Forwarded-For", from)];
        let (head, get) = (site.ask("HEAD", LABYRINTH, &headers).await, site.ask("GET", LABYRINTH, &headers).await);
        assert_eq!((head.status, get.status), (302, 302));
        assert_eq!(head.location(), get.location());
        assert!(head.body.is_empty() && get.body.is_empty());
        let there = site.fetch("HEAD", head.location(), &headers[..1]).await;
        assert_eq!((there.status, there.header("content-length")), (200, "676401"));
    }
}

/// Reads a remote zip as Sugar's updater does: asks for its length, then for one range after the other, each time beginning at
/// the first URL. Prints where each answer came from, with its status.
const HTTPRANGE: &str = r#"
import io, sys, urllib.request, zipfile
url, address = sys.argv[1:3]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def ask(method, headers):
    request = urllib.request.Request(url, method=method, headers={"X-Forwarded-For": address, **headers})
    with opener.open(request) as answer:
        print(answer.status, answer.url)
        return answer.headers, answer.read()
class Remote(io.RawIOBase):
    def __init__(self):
        self.size = int(ask("HEAD", {})[0]["Content-Length"])
        self.at = 0
    def seekable(self): return True
    def readable(self): return True
    def tell(self): return self.at
    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at
    def read(self, count=-1):
        count = self.size - self.at if count is None or count < 0 else min(count, self.size - self.at)
        if count <= 0: return b""
        body = ask("GET", {"Range": "bytes=%d-%d" % (self.at, self.at + count - 1)})[1]
        assert len(body) == count, (len(body), count)
        self.at += count
        return body
archive = zipfile.ZipFile(Remote())
assert archive.read("Labyrinth.activity/activity/activity.info") == b"[Activity]\nname = Labyrinth\n"
assert archive.testzip() is None
"#;

/// Makes a bundle.
const MAKE_ZIP: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("Labyrinth.activity/activity/activity.info", "[Activity]\nname = Labyrinth\n")
    for n in range(5):
        archive.writestr("Labyrinth.activity/part-%d" % n, bytes(range(256)) * 100)
"#;

fn python(script: &str, arguments: &[&str]) -> String {
    let output = Command::new("python3").args(["-c", script]).args(arguments).output();
    let output = output.expect("python3 (scripts/test installs it)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Scenario 32.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_ranges_of_one_bundle_come_from_one_mirror_and_make_a_zip() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("labyrinth-7.xo");
    python(MAKE_ZIP, &[file.to_str().expect("UTF-8")]);
    let content = fs::read(&file).expect("it was made");
    let site = site_with(&content, &[("leiden", "nl"), ("enschede", "nl"), ("delft", "nl"), ("utrecht", "nl")]).await;
    let mut chosen = std::collections::BTreeSet::new();
    for n in 0..4 {
        let client = format!("145.97.{n}.155");
        let url = site.url(LABYRINTH);
        let told = tokio::task::spawn_blocking(move || python(HTTPRANGE, &[&url, &client])).await.expect("it ends");
        let answers: Vec<(&str, &str)> = told.lines().filter_map(|line| line.split_once(' ')).collect();
        assert!(answers.len() > 5, "{told}");
        assert!(answers.iter().all(|(_, from)| *from == answers[0].1), "{told}");
        assert!(answers[1..].iter().all(|(status, _)| *status == "206"), "{told}");
        chosen.insert(answers[0].1.to_owned());
    }
    assert!(chosen.len() > 1, "clients of other networks go to other mirrors: {chosen:?}");
}

/// Scenario 32: such a mirror serves whole files as well as any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_ignores_ranges_is_not_chosen_for_them() {
    let mut site = Site::new();
    let tree = site.production().public();
    write(&tree.join(FILE), &bundle(7, 50_000), site.clock.now() - MONTH);
    for (name, country, options) in [("leiden", "nl", "autoindex on; max_ranges 0;"), ("rochester", "us", "autoindex on;")] {
        let mirror = Mirror::with(name, "sugar/activities", &format!("country = \"{country}\"\n"), options);
        mirror.sync(&tree);
        site.production().add(mirror);
    }
    site.start().await;
    let whole = [("X-Forwarded-For", NETHERLANDS)];
    let part = [("X-Forwarded-For", NETHERLANDS), ("Range", "bytes=100-199")];
    for name in ["leiden", "rochester"] {
        until("both hold it", async || site.holds(PRODUCTION, name, FILE).await).await;
    }
    // The next probe finds out.
    site.pass(SignedDuration::from_secs(70));
    until("parts come from elsewhere", async || site.ask("GET", LABYRINTH, &part).await.mirror() == "rochester").await;
    let answer = site.ask("GET", LABYRINTH, &part).await;
    assert_eq!(answer.links().len(), 1, "{answer:?}");
    assert_eq!(site.fetch("GET", answer.location(), &part[1..]).await.status, 206);
    assert_eq!(site.ask("GET", LABYRINTH, &whole).await.gist(), "302 leiden");
    assert_eq!(site.ask("HEAD", LABYRINTH, &part).await.gist(), "302 leiden", "ranges are for GET");

    // Where nobody else has it, the part comes from here.
    site.mirror("rochester").lose(FILE);
    site.minutes_later(6).await;
    until("it is gone there", async || !site.holds(PRODUCTION, "rochester", FILE).await).await;
    until("the part comes from here", async || site.ask("GET", LABYRINTH, &part).await.status == 206).await;
    assert_eq!(site.ask("GET", LABYRINTH, &whole).await.gist(), "302 leiden");
}

/// Scenario 33.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_ours_is_sent_in_ranges_and_resumed() {
    let content = bundle(7, 100_000);
    let site = site_with(&content, &[]).await;
    let url = site.url(LABYRINTH);
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    let copy_name = copy.to_str().expect("UTF-8");

    // A download that broke off, and goes on.
    redirector::durable::write(&copy, &content[..40_000]).expect("written");
    let told = curled(&["--continue-at", "-", "--output", copy_name, "--write-out", "%{http_code} %{size_download}", &url]);
    assert_eq!(told, "206 60000");
    assert_eq!(fs::read(&copy).expect("it is there"), content);

    let (status, body) = status_of(&site.url(""), LABYRINTH, &["--range", "99990-"]);
    assert_eq!((status, body.as_slice()), (206, &content[99_990..]));
    let beyond = site.ask("GET", LABYRINTH, &[("Range", "bytes=100000-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */100000"));

    let known = site.ask("HEAD", LABYRINTH, &[]).await;
    let (tag, time) = (known.header("etag").to_owned(), known.header("last-modified").to_owned());
    for (validator, expected) in
        [(tag.as_str(), 206), (time.as_str(), 206), ("\"another\"", 200), ("Mon, 12 Oct 2009 00:00:00 GMT", 200)]
    {
        let answer = site.ask("GET", LABYRINTH, &[("Range", "bytes=0-9"), ("If-Range", validator)]).await;
        assert_eq!(answer.status, expected, "{validator}");
        assert_eq!(answer.body.len(), if expected == 206 { 10 } else { content.len() });
    }
}

/// Scenario 34.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_is_saved_under_its_name_with_its_type_wherever_it_comes_from() {
    let content = bundle(7, 5000);
    let mut site = site_with(&content, &[("leiden", "nl")]).await;
    let (url, mirror) = (site.url(LABYRINTH), site.mirror("leiden").url());
    let told =
        curled(&["--location", "--output", "/dev/null", "--write-out", "%{http_code} %{content_type} %{url_effective}", &url]);
    assert_eq!(told, format!("200 application/vnd.olpc-sugar {mirror}{FILE}"));
    let held = site.url("/activities/4024/browse-129.xo");
    let young = "4027/turtle_blocks-171.xo";
    site.publish(young, b"turtle").await;
    for (url, path) in [(held, "4024/browse-129.xo"), (site.url(&format!("/activities/{young}")), young)] {
        let told = curled(&["--location", "--output", "/dev/null", "--write-out", "%{content_type} %{url_effective}", &url]);
        assert!(told.starts_with("application/vnd.olpc-sugar ") && told.ends_with(path), "{told}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let link = site.url("/activities/4078/labyrinth-7.xo?src=addondetail");
    let wget =
        Command::new("wget").args(["--quiet", "--no-proxy", "--trust-server-names", &link]).current_dir(folder.path()).status();
    assert!(wget.expect("wget (scripts/test installs it)").success());
    assert_eq!(fs::read(folder.path().join("labyrinth-7.xo")).expect("saved under its name"), content);
}

/// Scenario 35: a link without a language goes through four redirects of ASLO before it comes here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fifth_redirect_is_ours_and_the_last() {
    let content = bundle(7, 5000);
    let site = site_with(&content, &[("leiden", "nl")]).await;
    let files_host = site.url("/activities");
    let aslo = Odd::start(move |request, out| {
        let next = match request.path.as_str() {
            "/downloads/latest/4078/addon-4078-latest.xo" => "/en-US/downloads/latest/4078/addon-4078-latest.xo".to_owned(),
            "/en-US/downloads/latest/4078/addon-4078-latest.xo" => {
                "/en-US/sugar/downloads/latest/4078/addon-4078-latest.xo".to_owned()
            }
            "/en-US/sugar/downloads/latest/4078/addon-4078-latest.xo" => {
                "/en-US/sugar/downloads/file/26072/xpi/labyrinth-7.xo".to_owned()
            }
            _ => format!("{files_host}/{FILE}"),
        };
        let headers = [("Location", next.as_str()), ("Cache-Control", "public, max-age=3600")];
        respond(request, out, "302 Found", &headers, b"")
    });
    let link = format!("{}downloads/latest/4078/addon-4078-latest.xo", aslo.url());
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy").to_str().expect("UTF-8").to_owned();
    let follow = |limit: &str| {
        curl(&[
            "--location",
            "--max-redirs",
            limit,
            "--output",
            &copy,
            "--write-out",
            "%{num_redirects} %{url_effective}",
            &link,
        ])
    };
    let told = follow("5");
    let told = String::from_utf8_lossy(&told.stdout);
    assert!(told.starts_with("5 ") && told.ends_with(&format!("/sugar/activities/{FILE}")), "{told}");
    assert_eq!(fs::read(&copy).expect("saved"), content);
    assert!(!follow("4").status.success(), "there are five");
}

/// Scenario 36.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_ignored_and_never_passed_on() {
    let site = site_with(&bundle(7, 5000), &[("leiden", "nl")]).await;
    let plain = site.get(LABYRINTH).await;
    for query in ["?src=addondetail,confirmed=1", "?src=api&collection_id=1", "?", "?a=b?c=d", "?%0d%0aX-Evil:%20yes"] {
        let answer = site.get(&format!("{LABYRINTH}{query}")).await;
        assert_eq!((answer.status, answer.location()), (302, plain.location()), "{query}");
        assert!(!answer.location().contains('?') && answer.header("x-evil").is_empty(), "{answer:?}");
    }
}

/// Scenario 37, with real certificates, and so as the program of its own that can be told whom to trust.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn laptops_without_tls_and_browsers_with_it_each_get_mirrors_that_they_can_use() {
    let mut site = Site::new();
    let tree = site.production().public();
    for path in [FILE, "4030/etoys-113.xo"] {
        write(&tree.join(path), path.as_bytes(), site.clock.now() - MONTH);
    }
    // Leiden has no TLS; Utrecht speaks TLS only, and has no Etoys.
    let leiden = Mirror::new("leiden", "nl");
    leiden.sync(&tree);
    let secure = Mirror::new("utrecht", "nl");
    secure.rsync(&tree, &["--exclude=4030"]);
    let server = Server::nginx_tls(&secure.copy());
    site.production().entries = format!(
        "\n[[mirror]]\nname = \"utrecht\"\nhttps = \"https://localhost:{}/\"\ncountry = \"nl\"\n",
        server.address().port()
    );
    site.production().add(leiden);
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/authority.pem");
    let trust = [("SSL_CERT_FILE", authority)];
    site.spawn(&trust).await;
    site.command_with(PRODUCTION, &["scan"], &trust);
    let secure = [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", NETHERLANDS)];
    until("the mirrors are scanned", async || {
        site.ask("GET", LABYRINTH, &secure).await.mirror() == "utrecht" && site.holds(PRODUCTION, "leiden", FILE).await
    })
    .await;

    let answer = site.ask("GET", LABYRINTH, &secure).await;
    assert!(
        answer.location().starts_with("https://") && answer.links().iter().all(|url| url.starts_with("https://")),
        "{answer:?}"
    );
    let told = curled(&["--cacert", authority, "--write-out", " %{http_code}", answer.location()]);
    assert_eq!(told, format!("{FILE} 200"));
    let etoys = "/activities/4030/etoys-113.xo";
    let answer = site.ask("GET", etoys, &secure).await;
    assert_eq!((answer.gist().as_str(), answer.links().len()), ("200 no-mirror", 0), "better from here than in the clear");
    let answer = site.ask("GET", etoys, &[("X-Forwarded-For", NETHERLANDS)]).await;
    assert_eq!(answer.gist(), "302 leiden");
    assert!(answer.location().starts_with("http://"), "{answer:?}");
}

/// What was seen over TLS says nothing about a plain URL that leads elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_url_with_other_files_is_not_used_though_the_one_over_tls_is() {
    let mut site = Site::new();
    let tree = site.production().public();
    write(&tree.join(FILE), b"labyrinth", site.clock.now() - MONTH);
    let copy = Mirror::new("delft", "nl");
    copy.sync(&tree);
    let (secure, plain) = (Server::nginx_tls(&copy.copy()), Folder::new());
    plain.write(FILE, 4, 1_600_000_000);
    let plain = Server::nginx(plain.path(), "autoindex on;");
    site.production().entries = format!(
        "\n[[mirror]]\nname = \"delft\"\nhttps = \"https://localhost:{}/\"\nhttp = \"{}\"\ncountry = \"nl\"\n",
        secure.address().port(),
        plain.url()
    );
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/authority.pem");
    let trust = [("SSL_CERT_FILE", authority)];
    site.spawn(&trust).await;
    let told = site.command_with(PRODUCTION, &["scan"], &trust);
    assert!(told.contains("is missing there, or is another one"), "{told}");
    for scheme in ["https", "http"] {
        let from = [("X-Forwarded-Proto", scheme), ("X-Forwarded-For", NETHERLANDS)];
        until("delft is scanned", async || site.ask("GET", LABYRINTH, &from).await.status == 302).await;
        let answer = site.ask("GET", LABYRINTH, &from).await;
        assert_eq!(answer.gist(), "302 delft", "{scheme}");
        assert!(answer.location().starts_with("https://"), "{scheme}: {answer:?}");
    }
}

/// Scenario 38.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_can_be_written() {
    let site = site_with(&bundle(7, 5000), &[("leiden", "nl")]).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        for path in [LABYRINTH, "/activities/4078/new.xo", "/elsewhere"] {
            let answer = site.ask(method, path, &[]).await;
            assert_eq!((answer.status, answer.header("allow"), answer.location()), (405, "GET, HEAD", ""), "{method} {path}");
        }
    }
    assert_eq!(status_of(&site.url(""), LABYRINTH, &["--data", "a=b"]).0, 405);
    assert_eq!(site.get(LABYRINTH).await.gist(), "302 leiden");
}
