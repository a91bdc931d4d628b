//! Scans by other ways than listings over HTTP: rsync, FTP, questions for each file, stamps; by real servers, and by some that
//! misbehave. Whatever fails, what was known stays unless it was disproved (promise 4), and what another protocol lists counts only
//! where the web server has it too (promise 1).

mod running;
mod scanning;
mod servers;
mod until;

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redirector::inventory::{Counts, Protocol};
use redirector::scan::{Mode, Quiet, Report};
use scanning::{THEN, World, names, path};
use servers::ftp::{DONE, Deed, Ftp};
use servers::{Folder, Odd, Request, Server, listing, respond};
use until::until_async;

/// Names that servers and programs have trouble with, sizes that round, and an old file.
const FILES: [(&str, u64, i64); 12] = [
    ("4078/labyrinth-7.xo", 676_401, THEN),
    ("4078/labyrinth-8.xo", 1_000_000, THEN + 86_400),
    ("4078/notes.txt", 0, THEN),
    ("4259/+ciudadano-2.xo", 999, THEN),
    ("odd/a b.xo", 1024, THEN),
    ("odd/ lead.xo", 10, THEN),
    ("odd/100%.xo", 10_239, THEN),
    ("odd/ü-ñ-語.xo", 10_240, THEN),
    ("odd/a -> b.xo", 5, THEN),
    ("odd/#123.xo", 77, THEN),
    ("deep/er/and/deeper/x.xo", 1, THEN),
    ("top.xo", 42, 946_684_800),
];

fn folder() -> Folder {
    let folder = Folder::new();
    for (name, size, mtime) in FILES {
        folder.write(name, usize::try_from(size).expect("small"), mtime);
    }
    folder.write("not-ours/file.xo", 3, THEN);
    folder
}

fn counts(report: &Report) -> Counts {
    report.outcome.clone().unwrap_or_else(|reason| panic!("{reason}: {report:?}"))
}

/// A world whose mirror is a web server for a folder, which lists nothing.
async fn world(web: &Server) -> World {
    World::new(&FILES, &web.url()).await
}

fn web(root: &Path) -> Server {
    Server::nginx(root, "")
}

mod by_rsync {
    use super::*;

    /// A program in the place of `rsync`, which prints what it is told and ends with a code.
    struct Program(Folder);

    impl Program {
        fn new(shows: &str, complains: &str, code: i32) -> Self {
            let program = Self::script(&format!("cat \"$0.out\"\nprintf '%s\\n' '{complains}' >&2\nexit {code}"));
            program.0.write_bytes("rsync.out", shows.as_bytes(), THEN);
            program
        }

        fn script(text: &str) -> Self {
            let folder = Folder::new();
            folder.write_bytes("rsync", format!("#!/bin/sh\n{text}\n").as_bytes(), THEN);
            let path = folder.path().join("rsync");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
            Self(folder)
        }

        async fn scan(&self, world: &World) -> Report {
            let program = self.0.path().join("rsync");
            world.scan_with(|settings| settings.rsync_program = program).await
        }

        /// As the server's time for a file.
        fn time(mtime: i64) -> String {
            jiff::Timestamp::from_second(mtime).expect("valid").strftime("%Y/%m/%d %H:%M:%S").to_string()
        }

        /// The lines for all files.
        fn lines() -> String {
            FILES.iter().map(|(name, size, mtime)| format!("-rw-r--r-- {size} {} {name}\n", Self::time(*mtime))).collect()
        }
    }

    #[tokio::test]
    async fn what_is_there_is_found_and_nothing_else() {
        let folder = folder();
        let (web, rsync) = (web(folder.path()), Server::rsyncd(folder.path(), ""));
        let mut world = world(&web).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        let found = counts(&report);
        assert_eq!((found.found, found.gone, found.mismatched, found.doubtful), (12, 0, 0, 0), "{report:?}");
        assert!(report.complete && report.protocol == Protocol::Rsync && report.notes.is_empty(), "{report:?}");
        assert!(found.bytes > 500 && found.entries >= 12, "{report:?}");

        // The mirror loses one, cuts another one short, and has an older one; the tree has a new version and a new file.
        folder.remove("deep");
        folder.write("odd/a b.xo", 1000, THEN + 99);
        folder.write("4078/notes.txt", 0, THEN - 1000);
        folder.write("4078/new.xo", 5, THEN);
        world.put(&[("4078/labyrinth-7.xo", 676_401, THEN + 5), ("4078/new.xo", 5, THEN)]).await;
        let report = world.scan().await;
        let found = counts(&report);
        assert_eq!((found.found, found.gone, found.mismatched), (9, 1, 3), "{report:?}");
        let held = world.held().await;
        assert!(held.contains("4078/new.xo") && !held.contains("odd/a b.xo") && !held.contains("deep/er/and/deeper/x.xo"));
        assert_eq!(held.len(), 9, "{held:?}");
    }

    #[tokio::test]
    async fn a_directory_can_be_scanned_alone() {
        let folder = folder();
        let (web, rsync) = (web(folder.path()), Server::rsyncd(folder.path(), ""));
        let mut world = world(&web).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        world.scan().await;
        folder.remove("4078/labyrinth-7.xo");
        folder.remove("deep");
        let scanner = world.scanner(|_| {});
        let plan = scanner.plan(path("4078")).await.expect("readable");
        let report = scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
        let found = counts(&report);
        assert_eq!((found.found, found.gone, found.entries, report.protocol), (2, 1, 2, Protocol::Rsync), "{report:?}");
        assert!(world.held().await.contains("deep/er/and/deeper/x.xo"));
    }

    #[tokio::test]
    async fn links_are_what_the_public_tree_says() {
        let folder = folder();
        let elsewhere = Folder::new();
        elsewhere.write("out.xo", 9, THEN);
        symlink("labyrinth-7.xo", folder.path().join("4078/latest.xo")).expect("a link");
        symlink("4259", folder.path().join("current")).expect("a link");
        symlink(elsewhere.path(), folder.path().join("outside")).expect("a link");
        symlink("nowhere", folder.path().join("4078/broken.xo")).expect("a link");
        let (web, rsync) = (web(folder.path()), Server::rsyncd(folder.path(), "munge symlinks = no"));
        let mut world = world(&web).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        world
            .put(&[
                ("4078/latest.xo", 676_401, THEN),
                ("4078/broken.xo", 1, THEN),
                ("current/+ciudadano-2.xo", 999, THEN),
                ("outside/out.xo", 9, THEN),
            ])
            .await;
        let report = world.scan().await;
        let held = world.held().await;
        for there in ["4078/latest.xo", "current/+ciudadano-2.xo", "outside/out.xo"] {
            assert!(held.contains(there), "{there}: {report:?}");
        }
        assert!(!held.contains("4078/broken.xo") && held.len() == 15, "{held:?}");
        assert_eq!(report.protocol, Protocol::Rsync, "{report:?}");
        // Only the links' targets change.
        folder.remove("4259");
        world.scan().await;
        let held = world.held().await;
        assert!(!held.contains("current/+ciudadano-2.xo") && held.len() == 13, "{held:?}");
    }

    #[tokio::test]
    async fn a_module_with_a_password_is_listed_by_who_has_it() {
        let folder = folder();
        let secrets = Folder::new();
        secrets.write_bytes("users", b"mirror:open sesame\n", THEN);
        secrets.write_bytes("password", b"open sesame\n", THEN);
        secrets.write_bytes("wrong", b"guess\n", THEN);
        let users = secrets.path().join("users");
        std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        let more = format!("auth users = mirror\nsecrets file = {}", users.display());
        let (web, rsync) = (web(folder.path()), Server::rsyncd(folder.path(), &more));
        let mut world = world(&web).await;
        world.mirror.rsync = Some(rsync.rsync_url().replace("rsync://", "rsync://mirror@"));
        world.mirror.scanning.by = vec![Protocol::Rsync];
        for (file, why) in [(Some("wrong"), "auth failed"), (Some("missing"), "can't read the password"), (None, "auth failed")]
        {
            world.mirror.scanning.rsync_password_file = file.map(|file| secrets.path().join(file));
            let report = world.scan().await;
            let reason = report.outcome.as_ref().expect_err("it is refused");
            assert!(reason.contains(why) && !reason.contains("guess"), "{reason}");
        }
        world.mirror.scanning.rsync_password_file = Some(secrets.path().join("password"));
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
    }

    #[tokio::test]
    async fn a_module_that_can_be_read_in_part_takes_away_only_what_was_asked_for() {
        let folder = folder();
        let web = web(folder.path());
        let mut world = world(&web).await;
        world.mirror.rsync = Some("rsync://127.0.0.1/m/".to_owned());
        Program::new(&Program::lines(), "", 0).scan(&world).await;
        assert_eq!(world.held().await, names(&FILES));
        folder.remove("4078/labyrinth-8.xo");
        let talk = format!("-rw-r--r-- 676401 {} 4078/labyrinth-7.xo\n", Program::time(THEN));
        let program = Program::new(&talk, "rsync: opendir \"odd\" (in m) failed: Permission denied (13)", 23);
        let report = program.scan(&world).await;
        let found = counts(&report);
        assert_eq!((found.found, found.gone), (11, 1), "{report:?}");
        assert!(!report.complete && report.protocol == Protocol::Rsync, "{report:?}");
        assert!(report.notes.iter().any(|note| note.contains("Permission denied")), "{report:?}");
        assert_eq!(world.held().await.len(), 11);
    }

    #[tokio::test]
    async fn a_server_is_asked_over_ipv6() {
        let folder = folder();
        let listener = std::net::TcpListener::bind("[::1]:0").expect("loopback has IPv6");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        let (web, rsync) = (web(folder.path()), Server::rsyncd_at(address, folder.path(), ""));
        let mut world = world(&web).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        let report = world.scan().await;
        assert_eq!((counts(&report).found, report.protocol), (12, Protocol::Rsync), "{report:?}");
    }

    #[tokio::test]
    async fn a_connection_that_is_cut_takes_nothing_away() {
        let folder = Folder::new();
        let files: Vec<_> = (0..2000).map(|n| (format!("{}/a-rather-long-name-{n}.xo", n % 7), 5, THEN)).collect();
        let files: Vec<_> = files.iter().map(|(name, size, mtime)| (name.as_str(), *size, *mtime)).collect();
        for (name, _, mtime) in &files {
            folder.write(name, 5, *mtime);
        }
        let (web, rsync) = (web(folder.path()), Server::rsyncd(folder.path(), ""));
        let mut world = World::new(&files, &web.url()).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        world.scan().await;
        let all = world.inventory.snapshot().mirrors().members[0].holdings.len();
        assert_eq!(all, 2000);
        for bytes in [10, 300, 5_000, 20_000] {
            let cut = servers::Relay::cutting(rsync.address(), bytes);
            world.mirror.rsync = Some(format!("rsync://{}/m/", cut.address()));
            world.mirror.scanning.by = vec![Protocol::Rsync];
            let report = world.scan().await;
            assert!(!report.complete, "{report:?}");
            assert_eq!(world.inventory.snapshot().mirrors().members[0].holdings.len(), all, "after {bytes} bytes: {report:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_looks_like_another_line_of_the_list_is_none() {
        let (folder, served) = (folder(), folder());
        // Printed as it is, its end is a line for a file that is not there; so is a name with the program's own escapes.
        let line = format!("-rw-r--r-- 5 {} forged.xo", Program::time(THEN));
        folder.write(&format!("odd/x\n{line}"), 5, THEN);
        folder.write(&format!("odd/y\r{line}"), 5, THEN);
        folder.write("odd/\\#012-rw.xo", 5, THEN);
        folder.write("odd/z\u{1b}[2J.xo", 5, THEN);
        let (web, rsync) = (web(served.path()), Server::rsyncd(folder.path(), ""));
        let mut world = world(&web).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        world.put(&[("forged.xo", 5, THEN), ("odd/z.xo", 5, THEN)]).await;
        let report = world.scan().await;
        assert_eq!(report.protocol, Protocol::Rsync, "{report:?}");
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
    }

    #[tokio::test]
    async fn the_program_ends_with_the_scan_and_all_that_it_started() {
        let folder = folder();
        let web = web(folder.path());
        let mut world = world(&web).await;
        world.mirror.rsync = Some("rsync://127.0.0.1/m/".to_owned());
        let program = Program::script("sleep 1000 &\necho $$ $! >\"$0.tmp\"; mv \"$0.tmp\" \"$0.pids\"; wait").0;
        let pids = program.path().join("rsync.pids");
        let scan = world.scan_with(|settings| settings.rsync_program = program.path().join("rsync"));
        tokio::select! {
            report = scan => panic!("it ended: {report:?}"),
            () = until_async("it runs", async || pids.exists()) => {}
        }
        let started = std::fs::read_to_string(&pids).expect("written");
        let is_gone = |pid: &str| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
            Err(_) => true,
        };
        until_async("all are gone", async || started.split_whitespace().all(is_gone)).await;
    }

    #[tokio::test]
    async fn whatever_fails_is_told_and_the_next_way_is_used() {
        let folder = folder();
        let web = Server::nginx(folder.path(), "autoindex on;");
        let mut world = world(&web).await;
        world.mirror.rsync = Some("rsync://127.0.0.1/m/".to_owned());
        let endless = "while :; do echo '-rw-r--r-- 1 2020/01/01 00:00:00 top.xo'; done";
        let long = "head -c 100000 /dev/zero | tr '\\0' x";
        let (next, part) = (Protocol::Http, Protocol::Rsync);
        for (script, why, protocol) in [
            ("echo '@ERROR: Unknown module' >&2; exit 5", "the server refuses (@ERROR: Unknown module)", next),
            ("exit 10", "can't connect", next),
            ("kill -9 $$", "rsync was killed", next),
            ("sleep 1000 & sleep 1000", "the scan took too long", next),
            (long, "longer than any may be", next),
            (endless, "more entries than a scan may take", part),
        ] {
            let program = Program::script(script).0;
            let report = world
                .scan_with(|settings| {
                    settings.rsync_program = program.path().join("rsync");
                    settings.limits.entries = 500;
                    settings.limits.duration = Duration::from_secs(2);
                })
                .await;
            let notes = report.notes.join("; ");
            assert!(report.outcome.is_ok() && notes.contains(why) && report.protocol == protocol, "{script}: {report:?}");
            assert_eq!(world.held().await, names(&FILES), "{script}: {report:?}");
        }
    }
}

mod by_ftp {
    use super::*;

    /// The answer to MLSD for a directory of the files.
    fn facts(directory: &str) -> Vec<u8> {
        let prefix = directory.trim_matches('/').to_owned() + if directory == "/" { "" } else { "/" };
        let mut lines = BTreeSet::new();
        for (name, size, mtime) in FILES {
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
            let time = jiff::Timestamp::from_second(mtime).expect("valid").strftime("%Y%m%d%H%M%S").to_string();
            lines.insert(match rest.split_once('/') {
                Some((sub, _)) => format!("type=dir;modify={time}; {sub}\r\n"),
                None => format!("type=file;size={size};modify={time}; {rest}\r\n"),
            });
        }
        format!("type=cdir; {directory}\r\n{}", Vec::from_iter(lines).concat()).into_bytes()
    }

    pub(crate) fn good(command: &str, directory: &str) -> Deed {
        if command == "MLSD" { Deed::Send(facts(directory), DONE) } else { Deed::Usual }
    }

    async fn finds_what_is_there(folder: &Folder, ftp: &Server) {
        let web = web(folder.path());
        let mut world = world(&web).await;
        world.mirror.ftp = Some(ftp.ftp_url());
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        let found = counts(&report);
        assert_eq!((found.found, found.gone, found.mismatched, found.doubtful), (12, 0, 0, 0), "{report:?}");
        assert!(report.complete && report.protocol == Protocol::Ftp && report.notes.is_empty(), "{report:?}");

        folder.remove("deep");
        folder.write("odd/a b.xo", 1000, THEN + 99);
        folder.write("4078/new.xo", 5, THEN);
        world.put(&[("4078/labyrinth-7.xo", 676_401, THEN + 40 * 86_400), ("4078/new.xo", 5, THEN)]).await;
        let report = world.scan().await;
        let found = counts(&report);
        assert_eq!((found.found, found.gone, found.mismatched), (10, 1, 2), "{report:?}");
        let held = world.held().await;
        assert!(held.contains("4078/new.xo") && !held.contains("odd/a b.xo") && held.len() == 10, "{held:?}");
    }

    #[tokio::test]
    async fn by_lists_for_people() {
        let folder = folder();
        let ftp = Server::vsftpd(folder.path(), "");
        finds_what_is_there(&folder, &ftp).await;
    }

    #[tokio::test]
    async fn over_ipv6() {
        let folder = folder();
        let listener = std::net::TcpListener::bind("[::1]:0").expect("loopback has IPv6");
        let address = listener.local_addr().expect("it is bound");
        drop(listener);
        let ftp = Server::vsftpd_at(address, folder.path(), "");
        finds_what_is_there(&folder, &ftp).await;
    }

    #[tokio::test]
    async fn links_are_what_the_public_tree_says() {
        for (start, name) in
            [(Server::vsftpd as fn(&Path, &str) -> Server, "vsftpd"), (|root, _| Server::proftpd(root), "ProFTPD")]
        {
            let folder = folder();
            symlink("labyrinth-7.xo", folder.path().join("4078/latest.xo")).expect("a link");
            symlink("4259", folder.path().join("current")).expect("a link");
            symlink("nowhere", folder.path().join("4078/broken.xo")).expect("a link");
            let (web, ftp) = (web(folder.path()), start(folder.path(), ""));
            let mut world = world(&web).await;
            world.mirror.ftp = Some(ftp.ftp_url());
            let more = [("4078/latest.xo", 676_401, THEN), ("4078/broken.xo", 1, THEN), ("current/+ciudadano-2.xo", 999, THEN)];
            world.put(&more).await;
            let report = world.scan().await;
            let held = world.held().await;
            assert!(held.contains("4078/latest.xo") && held.contains("current/+ciudadano-2.xo"), "{name}: {report:?}");
            assert!(!held.contains("4078/broken.xo") && held.len() == 14, "{name}: {held:?}");
            assert_eq!(report.protocol, Protocol::Ftp, "{name}: {report:?}");
        }
    }

    #[tokio::test]
    async fn by_lists_for_people_in_another_time_zone() {
        let folder = folder();
        let ftp = Server::vsftpd(folder.path(), "use_localtime=YES");
        finds_what_is_there(&folder, &ftp).await;
    }

    #[tokio::test]
    async fn by_lists_for_programs() {
        let folder = folder();
        let ftp = Server::proftpd(folder.path());
        finds_what_is_there(&folder, &ftp).await;
    }

    #[tokio::test]
    async fn over_a_single_connection_if_the_server_wants_no_more() {
        let folder = folder();
        let ftp = Server::vsftpd(folder.path(), "max_per_ip=1");
        finds_what_is_there(&folder, &ftp).await;
    }

    #[tokio::test]
    async fn without_the_newer_word_for_passive() {
        let folder = folder();
        let ftp = Server::vsftpd(folder.path(), "cmds_denied=EPSV");
        finds_what_is_there(&folder, &ftp).await;
    }

    #[tokio::test]
    async fn an_answer_that_names_another_host_leads_nowhere_else() {
        let folder = folder();
        let ftp = Server::vsftpd(folder.path(), "cmds_denied=EPSV\npasv_address=127.0.0.254");
        finds_what_is_there(&folder, &ftp).await;
    }

    #[tokio::test]
    async fn by_lists_for_programs_of_a_server_of_our_own() {
        let folder = folder();
        let (web, ftp) = (web(folder.path()), Ftp::start(good));
        let mut world = world(&web).await;
        world.mirror.ftp = Some(ftp.url());
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        assert!(report.complete && report.protocol == Protocol::Ftp && report.notes.is_empty(), "{report:?}");
        // No clock and no time zone is in doubt: nothing but the sample is asked for at the web server.
        assert_eq!(counts(&report).doubtful, 0);
    }

    #[tokio::test]
    #[expect(clippy::too_many_lines, reason = "a table of what servers do wrong")]
    async fn a_server_that_misbehaves_takes_nothing_away() {
        let folder = folder();
        let (web, ftp) = (Server::nginx(folder.path(), "autoindex on;"), Ftp::start(good));
        let mut world = world(&web).await;
        world.mirror.ftp = Some(ftp.url());
        world.scan().await;
        assert_eq!(world.held().await, names(&FILES));
        type Talk = fn(&str, &str) -> Deed;
        let cases: [(&str, Talk, &str, Protocol); 13] = [
            (
                "it wants no guests",
                |command, _| if command.starts_with("PASS") { Deed::Say("530 No guests") } else { Deed::Usual },
                "530 No guests",
                Protocol::Http,
            ),
            ("it is full", |_, _| Deed::Say("421 Too many of you"), "421 Too many of you", Protocol::Http),
            ("it ends every conversation", |_, _| Deed::HangUp, "the connection broke", Protocol::Http),
            ("it does not answer", |_, _| Deed::Hang, "no answer in time", Protocol::Http),
            (
                "its data come from nowhere",
                |command, _| match command {
                    "EPSV" => Deed::Say("229 Passive (|||0|)"),
                    "PASV" => Deed::Say("227 Passive (999,0,0,1,255,255)"),
                    _ => Deed::Usual,
                },
                "",
                Protocol::Http,
            ),
            (
                "it talks and talks",
                |command, _| if command == "MLSD" { Deed::Say("150-Wait\r\n150-for\r\n150-it") } else { Deed::Usual },
                "",
                Protocol::Http,
            ),
            (
                "its listing is empty",
                |command, _| if command == "MLSD" { Deed::Send(Vec::new(), DONE) } else { Deed::Usual },
                "the others stay",
                Protocol::Ftp,
            ),
            (
                "its listing is cut",
                |command, directory| match command {
                    "MLSD" if directory == "/odd" => Deed::Send(facts("/odd")[..40].to_vec(), "426 Broken pipe"),
                    _ => good(command, directory),
                },
                "426 Broken pipe",
                Protocol::Ftp,
            ),
            (
                "a directory is forbidden",
                |command, directory| match command {
                    "CWD /odd" => Deed::Say("550 Permission denied"),
                    _ => good(command, directory),
                },
                "1 directories show no listing",
                Protocol::Ftp,
            ),
            (
                "its listing is endless",
                |command, _| match command {
                    "MLSD" => Deed::Send(b"type=file;size=1; x\r\n".repeat(100_000), DONE),
                    _ => Deed::Usual,
                },
                "larger than 1048576 bytes",
                Protocol::Http,
            ),
            (
                "its listing is a page",
                |command, _| match command {
                    "MLSD" => Deed::Send(b"<html>We have moved</html>\r\n".to_vec(), DONE),
                    _ => Deed::Usual,
                },
                "lines of the listing can't be read",
                Protocol::Http,
            ),
            (
                "its names lead elsewhere",
                |command, directory| match command {
                    "MLSD" => {
                        let mut lines = facts(directory);
                        lines.extend_from_slice(
                            b"type=dir; ..\r\ntype=dir; a/b\r\ntype=file;size=1; \x1b[2J\r\ntype=dir; /etc\r\n",
                        );
                        Deed::Send(lines, DONE)
                    }
                    _ => Deed::Usual,
                },
                "",
                Protocol::Ftp,
            ),
            (
                "it shows an endless loop",
                |command, directory| match command {
                    "MLSD" => {
                        let mut lines = facts(directory);
                        lines.extend_from_slice(b"type=OS.unix=slink:/; odd\r\ntype=dir; deep\r\ntype=dir; 4078\r\n");
                        Deed::Send(lines, DONE)
                    }
                    _ => Deed::Usual,
                },
                "",
                Protocol::Ftp,
            ),
        ];
        for (what, talk, why, protocol) in cases {
            ftp.turn_into(talk);
            let report = world.scan_with(|settings| settings.timeout = redirector::model::Span(Duration::from_secs(2))).await;
            let notes = report.notes.join("; ");
            assert!(report.outcome.is_ok() && notes.contains(why) && report.protocol == protocol, "{what}: {report:?}");
            assert_eq!(world.held().await, names(&FILES), "{what}: {report:?}");
        }
    }

    #[tokio::test]
    async fn an_encrypted_server_is_asked_if_its_certificate_is_trusted() {
        let folder = folder();
        let (web, ftp) = (web(folder.path()), Server::vsftpd_tls(folder.path()));
        let site = running::Site::new("a");
        for (name, size, mtime) in FILES {
            site.folder.write(&format!("tree/{name}"), usize::try_from(size).expect("small"), mtime);
        }
        let ftp = format!("ftps://localhost:{}/", ftp.address().port());
        site.configure("", "", &format!("[[mirror]]\nname = \"m\"\nhttp = \"{}\"\nftp = \"{ftp}\"\n", web.url()));
        let scan = |trust: Option<&str>| {
            let mut command = std::process::Command::new(running::PROGRAM);
            command.arg("-c").arg(site.path()).args(["scan", "--json"]);
            trust.iter().for_each(|file| _ = command.env("SSL_CERT_FILE", file));
            String::from_utf8(command.output().expect("it runs").stdout).expect("JSON")
        };
        let told = scan(None);
        assert!(told.contains("\"protocol\": \"head\"") && told.contains("certificate"), "{told}");
        let told = scan(Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/authority.pem")));
        assert!(told.contains("\"protocol\": \"ftp\"") && told.contains("\"found\": 12"), "{told}");
        let shown = site.run(&["mirrors", "show", "m"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("ftp") && shown.contains("head") && shown.contains("certificate"), "{shown}");
    }

    #[tokio::test]
    async fn a_server_that_encrypts_from_the_first_byte_is_asked() {
        let folder = folder();
        let Some(_ftp) = Server::vsftpd_implicit_tls(folder.path()) else {
            return eprintln!("not tested: port 990 needs root");
        };
        let web = web(folder.path());
        let site = running::Site::new("a");
        for (name, size, mtime) in FILES {
            site.folder.write(&format!("tree/{name}"), usize::try_from(size).expect("small"), mtime);
        }
        site.configure(
            "",
            "",
            &format!("[[mirror]]\nname = \"m\"\nhttp = \"{}\"\nftp = \"ftps://localhost:990/\"\n", web.url()),
        );
        let mut command = std::process::Command::new(running::PROGRAM);
        command.arg("-c").arg(site.path()).args(["scan", "--json"]);
        command.env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/authority.pem"));
        let told = String::from_utf8(command.output().expect("it runs").stdout).expect("JSON");
        assert!(told.contains("\"protocol\": \"ftp\"") && told.contains("\"found\": 12"), "{told}");
    }
}

mod over_http_2 {
    use super::*;

    #[tokio::test]
    async fn file_by_file_means_many_questions_over_one_connection() {
        let folder = Folder::new();
        let site = running::Site::new("a");
        for number in 0..150 {
            for (at, name) in [(&folder, format!("{number}.xo")), (&site.folder, format!("tree/{number}.xo"))] {
                at.write(&name, 1000 + number, running::OLD);
            }
        }
        let server = Server::nginx_h2(folder.path(), "");
        let base = format!("https://localhost:{}/", server.address().port());
        site.configure("", "", &format!("[[mirror]]\nname = \"m\"\nhttps = \"{base}\"\n"));
        let told = scan_trusting(&site);
        assert!(told.contains("\"protocol\": \"head\"") && told.contains("\"found\": 150"), "{told}");
        let asked = server.asked();
        let heads: Vec<Vec<&str>> =
            asked.iter().map(|line| line.split(' ').collect()).filter(|words: &Vec<&str>| words[2] == "HEAD").collect();
        assert!(heads.len() > 150 && heads.iter().all(|words| words[0] == "HTTP/2.0"), "{asked:?}");
        let connections: BTreeSet<&str> = heads.iter().map(|words| words[1]).collect();
        assert_eq!(connections.len(), 1, "{asked:?}");
    }

    /// A site with so many files, which a mirror has as well.
    fn site_and_mirror(files: u32) -> (running::Site, Folder) {
        let (site, folder) = (running::Site::new("a"), Folder::new());
        for number in 0..files {
            for (at, name) in [(&folder, format!("{number}.xo")), (&site.folder, format!("tree/{number}.xo"))] {
                at.write(&name, 1000, running::OLD);
            }
        }
        (site, folder)
    }

    /// A mirror at a relay that leads so many connections to one server, and all others to another.
    fn turning(site: &running::Site, good: &Server, bad: &Server) -> (Arc<AtomicUsize>, servers::Relay) {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        // TLS is spoken there by both kinds.
        let at_localhost = |server: &Server| std::net::SocketAddr::from(([127, 0, 0, 1], server.address().port()));
        let (count, good, bad) = (Arc::clone(&left), at_localhost(good), at_localhost(bad));
        let less = move || count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let relay = servers::Relay::start(move || (if less().is_ok() { good } else { bad }, u64::MAX));
        let base = format!("https://localhost:{}/", relay.address().port());
        site.configure("", "", &format!("[[mirror]]\nname = \"m\"\nhttps = \"{base}\"\n"));
        (left, relay)
    }

    /// How many files the mirror is known to hold.
    fn held(site: &running::Site) -> serde_json::Value {
        let list: serde_json::Value = serde_json::from_slice(&site.run(&["mirrors", "list", "--json"]).stdout).expect("JSON");
        list[0]["holds"].clone()
    }

    #[tokio::test]
    async fn streams_that_are_reset_and_connections_that_end_disprove_nothing() {
        let (site, folder) = site_and_mirror(60);
        let good = Server::nginx_h2(folder.path(), "");
        // Some streams are reset, and a connection ends after a few questions.
        let bad = Server::nginx_h2(folder.path(), "if ($uri ~ 5.xo) { return 444; } keepalive_requests 7;");
        let (left, _relay) = turning(&site, &good, &bad);
        let told = scan_trusting(&site);
        assert!(told.contains("\"found\": 60"), "{told}");
        left.store(0, Ordering::SeqCst);
        let told = scan_trusting(&site);
        assert!(told.contains("\"gone\": 0") && told.contains("\"found\": 54"), "{told}");
        assert_eq!(held(&site), 60);
    }

    #[tokio::test]
    async fn a_certificate_that_changes_in_the_middle_takes_nothing_away() {
        let (site, folder) = site_and_mirror(40);
        let (good, bad) = (Server::nginx_tls(folder.path()), Server::nginx_tls_as(folder.path(), "stranger"));
        let (left, _relay) = turning(&site, &good, &bad);
        let told = scan_trusting(&site);
        assert!(told.contains("\"found\": 40") && told.contains("\"complete\": true"), "{told}");
        for (connections, complete) in [(0, false), (2, false), (5, true)] {
            left.store(connections, Ordering::SeqCst);
            let told = scan_trusting(&site);
            assert!(told.contains("not trusted") || complete, "after {connections} connections: {told}");
            assert_eq!(held(&site), 40, "after {connections} connections: {told}");
        }
    }
}

/// Scans a site's only mirror by the real program, which trusts the certificate of the test servers.
fn scan_trusting(site: &running::Site) -> String {
    let mut command = std::process::Command::new(running::PROGRAM);
    command.arg("-c").arg(site.path()).args(["scan", "--json"]);
    command.env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/authority.pem"));
    String::from_utf8(command.output().expect("it runs").stdout).expect("JSON")
}

mod checked_at_the_web_server {
    use super::*;

    #[tokio::test]
    async fn a_module_that_is_laid_out_otherwise_leads_to_no_wrong_redirect() {
        let (listed, served) = (folder(), Folder::new());
        served.write("elsewhere/top.xo", 42, THEN);
        served.write("top.xo", 42, 946_684_800);
        let (web, rsync, ftp) = (web(served.path()), Server::rsyncd(listed.path(), ""), Ftp::start(by_ftp::good));
        let mut world = world(&web).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        world.mirror.ftp = Some(ftp.url());
        let report = world.scan().await;
        assert_eq!(report.protocol, Protocol::Head, "{report:?}");
        let told = report.notes.iter().filter(|note| note.contains("what it lists is not what the web server has")).count();
        assert_eq!(told, 2, "{report:?}");
        assert_eq!(world.held().await, BTreeSet::from(["top.xo".to_owned()]));
        // Where nothing else is wanted, nothing is known.
        world.mirror.scanning.by = vec![Protocol::Ftp, Protocol::Rsync];
        let report = world.scan().await;
        assert!(report.outcome.is_err() && report.protocol == Protocol::Rsync, "{report:?}");
        assert_eq!(world.held().await.len(), 1);
    }

    #[tokio::test]
    async fn a_web_server_that_says_yes_to_everything_proves_nothing() {
        let folder = folder();
        let rsync = Server::rsyncd(folder.path(), "");
        let web = Odd::start(|request, out| respond(request, out, "200 OK", &[], b"welcome"));
        let mut world = World::new(&FILES, &web.url()).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        let report = world.scan().await;
        assert!(report.outcome.as_ref().is_err_and(|reason| reason.contains("answers 200")), "{report:?}");
        assert_eq!(world.held().await, BTreeSet::new());
    }

    #[tokio::test]
    async fn the_ways_are_tried_in_the_order_of_the_configuration() {
        let folder = folder();
        let (web, rsync) = (Server::nginx(folder.path(), "autoindex on;"), Server::rsyncd(folder.path(), ""));
        let mut world = world(&web).await;
        world.mirror.rsync = Some(rsync.rsync_url());
        for (by, protocol) in [
            (vec![], Protocol::Rsync),
            (vec![Protocol::Http, Protocol::Rsync], Protocol::Http),
            (vec![Protocol::Head, Protocol::Http], Protocol::Head),
            (vec![Protocol::Ftp, Protocol::Http], Protocol::Http),
        ] {
            world.mirror.scanning.by = by;
            let report = world.scan().await;
            assert_eq!(report.protocol, protocol, "{report:?}");
            assert_eq!(world.held().await, names(&FILES));
        }
        world.mirror.scanning.by = vec![Protocol::Ftp];
        let report = world.scan().await;
        assert!(report.outcome.is_err_and(|reason| reason.contains("no way to scan it")));
    }
}

/// A mirror without listings that has some files of 10 bytes, and the paths that it was asked for.
struct Few {
    server: Odd,
    has: Arc<Mutex<BTreeSet<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

const TEN: [(&str, u64, i64); 10] = [
    ("0", 10, THEN),
    ("1", 10, THEN),
    ("2", 10, THEN),
    ("3", 10, THEN),
    ("4", 10, THEN),
    ("5", 10, THEN),
    ("6", 10, THEN),
    ("7", 10, THEN),
    ("8", 10, THEN),
    ("9", 10, THEN),
];

impl Few {
    fn new() -> Self {
        let has = Arc::new(Mutex::new(names(&TEN)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (files, log) = (Arc::clone(&has), Arc::clone(&asked));
        let server = Odd::start(move |request, out| {
            let name = request.path.trim_start_matches('/').to_owned();
            let there = files.lock().expect("no test panics with it").contains(&name);
            if name.len() == 1 {
                log.lock().expect("no test panics with it").push(name);
            }
            if there {
                respond(request, out, "200 OK", &[], &[b'x'; 10])
            } else {
                respond(request, out, "404 Not Found", &[], b"")
            }
        });
        Self { server, has, asked }
    }

    /// What was asked for since the last time.
    fn asked(&self) -> BTreeSet<String> {
        self.asked.lock().expect("no test panics with it").drain(..).collect()
    }
}

mod file_by_file {
    use super::*;

    #[tokio::test]
    async fn known_files_are_asked_for_in_turns_and_all_of_them_within_so_many_scans() {
        let few = Few::new();
        few.has.lock().expect("fine").remove("9");
        let world = World::new(&TEN, &few.server.url()).await;
        let scan = async || {
            let report = world
                .scan_with(|settings| {
                    settings.limits.heads = 5;
                    settings.limits.turns = 3;
                })
                .await;
            assert!(report.complete && report.protocol == Protocol::Head, "{report:?}");
            (counts(&report), few.asked())
        };
        let (found, asked) = scan().await;
        assert_eq!((found.found, found.doubtful, asked.len()), (9, 0, 10));
        let mut all = BTreeSet::new();
        for _ in 0..3 {
            let (found, asked) = scan().await;
            assert_eq!((found.found, found.gone, found.doubtful), (9, 0, 0));
            assert!(asked.contains("9") && (3..=5).contains(&asked.len()), "{asked:?}");
            all.extend(asked);
        }
        assert_eq!(all, names(&TEN), "within three scans");
        // The missing one comes.
        few.has.lock().expect("fine").insert("9".to_owned());
        assert_eq!(scan().await.0.found, 10);
        // Most of them go: as soon as one is missed, all are asked for.
        few.has.lock().expect("fine").retain(|name| name == "3" || name == "4");
        let (found, asked) = scan().await;
        assert_eq!((found.found, found.gone, asked.len()), (2, 8, 10));
        assert_eq!(world.held().await, BTreeSet::from(["3".to_owned(), "4".to_owned()]));
    }
}

mod stamped {
    use super::*;

    /// A file's name, size and time.
    type Listed = (&'static str, u64, i64);

    /// A mirror with listings, a stamp, and a count of what was asked for.
    struct Stamped {
        server: Odd,
        stamp: Arc<Mutex<&'static str>>,
        has: Arc<Mutex<Vec<Listed>>>,
    }

    impl Stamped {
        fn new() -> Self {
            let (stamp, has) = (Arc::new(Mutex::new("monday")), Arc::new(Mutex::new(TEN.to_vec())));
            let (now, files) = (Arc::clone(&stamp), Arc::clone(&has));
            let answer = move |request: &Request, out: &mut std::net::TcpStream| {
                let files = files.lock().expect("no test panics with it").clone();
                let name = request.path.trim_start_matches('/');
                match files.iter().find(|(file, ..)| *file == name) {
                    _ if name.is_empty() => {
                        let page = listing("/", &files);
                        respond(request, out, "200 OK", &[("Content-Type", "text/html")], page.as_bytes())
                    }
                    _ if name == "trace/main" => match *now.lock().expect("no test panics with it") {
                        "" => respond(request, out, "404 Not Found", &[], b""),
                        text => respond(request, out, "200 OK", &[], text.as_bytes()),
                    },
                    Some((_, size, _)) => {
                        respond(request, out, "200 OK", &[], &vec![b'x'; usize::try_from(*size).expect("small")])
                    }
                    None => respond(request, out, "404 Not Found", &[], b""),
                }
            };
            Self { server: Odd::start(answer), stamp, has }
        }

        fn set(&self, stamp: &'static str) {
            *self.stamp.lock().expect("fine") = stamp;
        }

        async fn scan(&self, world: &World) -> (Report, usize) {
            let before = self.server.requests();
            let report = world.scan_with(|settings| settings.stamp = Some(path("trace/main"))).await;
            assert!(report.outcome.is_ok(), "{report:?}");
            (report, self.server.requests() - before)
        }
    }

    #[tokio::test]
    async fn while_it_stands_still_nothing_else_is_asked() {
        let mirror = Stamped::new();
        let world = World::new(&TEN, &mirror.server.url()).await;
        let (report, _) = mirror.scan(&world).await;
        assert_eq!(report.protocol, Protocol::Http, "{report:?}");
        let (report, requests) = mirror.scan(&world).await;
        assert_eq!((report.protocol, counts(&report).found, requests), (Protocol::Stamp, 10, 2), "{report:?}");
        assert_eq!(world.held().await, names(&TEN));
        let scans = world.inventory.scans(world.mirror.name.clone(), 1).await.expect("readable");
        assert_eq!((scans[0].protocol, scans[0].complete), (Protocol::Stamp, true));

        // It moves.
        mirror.has.lock().expect("fine").pop();
        mirror.set("tuesday");
        let (report, _) = mirror.scan(&world).await;
        assert_eq!((report.protocol, counts(&report).gone), (Protocol::Http, 1), "{report:?}");
        // It lacks something now: what it lacks may be on its way, so that the stamp is believed at the second time.
        assert_eq!(mirror.scan(&world).await.0.protocol, Protocol::Http);
        assert_eq!(mirror.scan(&world).await.0.protocol, Protocol::Stamp);

        // The tree has a new version.
        world.put(&[("new", 5, THEN)]).await;
        mirror.has.lock().expect("fine").push(("new", 5, THEN));
        let (report, _) = mirror.scan(&world).await;
        assert_eq!((report.protocol, counts(&report).found), (Protocol::Http, 10), "{report:?}");
    }

    #[tokio::test]
    async fn one_that_a_probe_contradicts_or_that_is_gone_is_not_believed() {
        let mirror = Stamped::new();
        let world = World::new(&TEN, &mirror.server.url()).await;
        mirror.scan(&world).await;
        assert_eq!(mirror.scan(&world).await.0.protocol, Protocol::Stamp);
        let health = redirector::model::Health::Failing;
        let name = world.mirror.name.clone();
        world.inventory.record_health(name, health, world.clock.now(), Some("no file".into())).await.expect("written");
        assert_eq!(mirror.scan(&world).await.0.protocol, Protocol::Http);
        assert_eq!(mirror.scan(&world).await.0.protocol, Protocol::Stamp, "a complete scan came after the probe");
        mirror.set("");
        let (report, _) = mirror.scan(&world).await;
        assert_eq!(report.protocol, Protocol::Http, "{report:?}");
        assert!(report.notes.iter().any(|note| note.contains("the stamp /trace/main can't be read")), "{report:?}");
    }

    #[tokio::test]
    async fn a_wish_for_a_scan_is_more_than_a_stamp() {
        let mirror = Stamped::new();
        let world = World::new(&TEN, &mirror.server.url()).await;
        mirror.scan(&world).await;
        let scanner = world.scanner(|settings| settings.stamp = Some(path("trace/main")));
        let plan = scanner.plan(path("")).await.expect("readable");
        let protocol = async || scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await.protocol;
        assert_eq!(protocol().await, Protocol::Stamp);
        scanner.distrust(&world.mirror.name);
        assert_eq!(protocol().await, Protocol::Http);
        assert_eq!(protocol().await, Protocol::Stamp);
    }
}

mod seen_by_people {
    use super::*;

    #[test]
    fn on_a_terminal_a_scan_shows_a_bar_for_each_mirror_and_then_the_table() {
        let (site, folder) = (running::Site::new("a"), Folder::new());
        for number in 0..30 {
            let name = format!("d{}/{number}.xo", number % 3);
            folder.write(&name, 1000, running::OLD);
            site.folder.write(&format!("tree/{name}"), 1000, running::OLD);
        }
        let server = Server::nginx(folder.path(), "autoindex on;");
        let mirrors = running::mirror("first", &server.url()) + &running::mirror("second", &server.url());
        site.configure("", "", &mirrors);
        // `script` runs a command at a terminal of its own, and copies what is shown.
        let command = format!("stty cols 120; {} -c {} scan", running::PROGRAM, site.path().display());
        let mut script = std::process::Command::new("script");
        let shown = script.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").output().expect("every Debian has it");
        let shown = running::text(&shown.stdout);
        for part in ["files", "dirs", "/s", "of 2 mirrors"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let table = shown.rsplit("MIRROR").next().expect("a table");
        assert!(table.contains("first   30") && table.contains("second  30"), "{shown}");
        // Where no person looks, there are none.
        let plain = site.run(&["scan"]);
        assert!(!running::text(&plain.stderr).contains("files"), "{}", running::text(&plain.stderr));
    }

    /// A site with three old files, and a mirror `m` of it.
    fn site_and_mirror() -> (running::Site, Folder, Server) {
        let (site, folder) = (running::Site::new("a"), Folder::new());
        for name in ["d/one.xo", "d/two.xo", "top.xo"] {
            folder.write(name, 1000, running::OLD);
            site.folder.write(&format!("tree/{name}"), 1000, running::OLD);
        }
        let server = Server::nginx(folder.path(), "autoindex on;");
        site.configure("", "", &running::mirror("m", &server.url()));
        (site, folder, server)
    }

    fn json(site: &running::Site, arguments: &[&str]) -> serde_json::Value {
        let output = site.run(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", running::text(&output.stderr)))
    }

    #[test]
    fn a_dry_run_tells_path_by_path_what_would_change_and_writes_nothing_down() {
        let (site, folder, _server) = site_and_mirror();
        site.run_well(&["scan"]);
        let known = |site: &running::Site| {
            (json(site, &["mirrors", "list", "--json"]), json(site, &["mirrors", "show", "m", "--json"]))
        };
        folder.remove("d/two.xo");
        folder.write("new/three.xo", 10, running::OLD);
        site.folder.write("tree/new/three.xo", 10, running::OLD);
        // The tree is read: what is new there is no news of the mirror.
        let unchanged = site.run(&["scan", "--dry-run"]);
        let before = known(&site);
        let output = site.run(&["scan", "--dry-run", "--skip-tree"]);
        for told in [running::text(&unchanged.stdout), running::text(&output.stdout)] {
            let told = told.split_once("m would").map_or("", |(_, changes)| changes);
            assert_eq!(told, " gain 1 file and lose 1 file\n+ new/three.xo\n- d/two.xo\n");
        }
        let told = json(&site, &["scan", "--dry-run", "--json"]);
        let changes = serde_json::json!({ "gained": ["new/three.xo"], "lost": ["d/two.xo"], "untold": 0 });
        assert_eq!(told[0]["changes"], changes, "{told}");
        assert_eq!(known(&site), before);
        assert_eq!((&before.0[0]["holds"], before.1["scans"].as_array().map(Vec::len)), (&3.into(), Some(1)), "{before:?}");
        site.run_well(&["scan"]);
        assert!(running::text(&site.run(&["scan", "--dry-run"]).stdout).ends_with("m: nothing would change\n"));
    }

    #[test]
    fn the_history_of_a_mirror_tells_each_scan_and_probe_with_the_reason_for_each_failure() {
        let (site, folder, server) = site_and_mirror();
        site.run_well(&["scan"]);
        let serving = running::Running::start(&[&site]);
        let health = || json(&site, &["mirrors", "list", "--json"])[0]["health"].clone();
        running::until("it is up", || health() == "up");
        drop(server);
        running::until("it is down", || health() == "down");
        drop(serving);
        assert_eq!(site.run(&["scan"]).status.code(), Some(1), "a mirror was not scanned");
        let shown = running::text(&site.run(&["mirrors", "show", "m", "--last", "50"]).stdout);
        let line = |parts: &[&str]| shown.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(line(&["http", "3", "complete"]), "{shown}");
        assert!(line(&["failed"]) && line(&["can't connect", "Connection refused"]), "{shown}");
        assert!(line(&["up"]) && line(&["failing", "can't connect"]) && line(&["down", "can't connect"]), "{shown}");
        assert!(line(&["holds", "3 of 3 files"]), "what was known stays: {shown}");
        drop(folder);
    }

    #[test]
    fn what_a_mirror_holds_is_told_alike_to_administrators_and_to_who_runs_it() {
        let (site, folder, _server) = site_and_mirror();
        let shown = || running::text(&site.run(&["mirrors", "show", "m"]).stdout);
        assert!(shown().contains("0 files; of how many, no scan has told yet"), "{}", shown());
        let listed = || json(&site, &["mirrors", "list", "--json"])[0].clone();
        assert_eq!((&listed()["of"], &listed()["share"]), (&serde_json::Value::Null, &serde_json::Value::Null));

        // Too young for any mirror.
        let now = redirector::clock::Clock::system().now().as_second();
        site.folder.write("tree/new.xo", 1000, now);
        site.run_well(&["scan"]);
        assert!(shown().contains("3 of 3 files (100 %)"), "{}", shown());
        let _serving = running::Running::start(&[&site]);
        let page = |query: &str| -> serde_json::Value {
            serde_json::from_slice(&site.get(&format!("/?{query}&json")).body).expect("JSON")
        };
        let alike = || {
            let (all, one) = (page("mirrors")["mirrors"][0]["share"].clone(), page("mirror=m")["share"].clone());
            let (list, show) = (listed(), json(&site, &["mirrors", "show", "m", "--json"]));
            assert_eq!((&list["holds"], &list["of"]), (&list["share"]["held"], &list["share"]["files"]));
            assert_eq!((&all, &one, &list["share"]), (&list["share"], &list["share"], &show["share"]));
            list["share"]["held"].clone()
        };
        assert_eq!((alike(), &page("mirrors")["files"]), (3.into(), &4.into()));
        let table = running::text(&site.run(&["mirrors", "list"]).stdout);
        assert!(table.contains("100 %"), "{table}");

        // What it should have counts.
        folder.remove("top.xo");
        running::until("it is scanned", || listed()["holds"] == 2);
        assert!(shown().contains("2 of 3 files (66.67 %)"), "{}", shown());
        running::until("pages are made anew", || {
            page("mirror=m")["share"]["held"] == 2 && page("mirrors")["mirrors"][0]["share"]["held"] == 2
        });
        assert_eq!(alike(), 2);
    }

    #[test]
    fn a_scan_that_is_interrupted_says_so_and_leaves_nobody_at_work() {
        let (site, folder, server) = site_and_mirror();
        let program = folder.path().join("rsync");
        let text = "#!/bin/sh\nsleep 1000 &\necho $$ $! >\"$0.tmp\"; mv \"$0.tmp\" \"$0.pids\"; wait\n";
        folder.write_bytes("rsync", text.as_bytes(), THEN);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let hanging = format!("{}rsync = \"rsync://127.0.0.1/m/\"\n", running::mirror("hangs", &server.url()));
        site.configure("", "", &(running::mirror("m", &server.url()) + &hanging));
        let configured = std::fs::read_to_string(site.path()).expect("it is there");
        let scanning = format!("[scan]\nrsync-program = \"{}\"\n", program.display());
        site.write(&configured.replacen("[scan]\n", &scanning, 1));
        let mut command = std::process::Command::new(running::PROGRAM);
        command.arg("-c").arg(site.path()).arg("scan");
        let mut scan = running::Running::spawn(command);
        running::until("the program runs", || program.with_extension("pids").exists());
        running::until("the other one is scanned", || json(&site, &["mirrors", "list", "--json"])[0]["holds"] == 3);
        scan.signal(rustix::process::Signal::INT);
        assert_eq!(scan.end().code(), Some(1));
        scan.wait_for_log("interrupted");
        let pids = std::fs::read_to_string(program.with_extension("pids")).expect("written");
        for pid in pids.split_whitespace() {
            running::until("it is gone", || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
                Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
                Err(_) => true,
            });
        }
        let mirrors = json(&site, &["mirrors", "list", "--json"]);
        assert_eq!((&mirrors[0]["holds"], &mirrors[1]["holds"]), (&3.into(), &0.into()), "{mirrors}");
        assert!(mirrors[1]["last_scan"].is_null(), "as if it had not been begun: {mirrors}");
    }

    #[test]
    fn a_wrong_url_is_told() {
        let (site, folder, server) = site_and_mirror();
        folder.write("else/where.xo", 5, running::OLD);
        for (place, by) in [("else/", "http"), ("nowhere/", "head")] {
            let base = format!("{}{place}", server.url());
            site.configure("", "", &running::mirror("m", &base));
            let told = json(&site, &["scan", "--json"]);
            let note = format!("nothing of the public tree is there: is {base} the right place?");
            assert_eq!((&told[0]["found"], &told[0]["protocol"]), (&0.into(), &by.into()), "{told}");
            assert!(told[0]["notes"].as_array().is_some_and(|notes| notes.contains(&note.clone().into())), "{told}");
        }
        // A server in the clear where TLS was expected.
        let base = format!("https://{}/", server.address());
        site.configure("", "", &format!("[[mirror]]\nname = \"m\"\nhttps = \"{base}\"\n"));
        let told = json(&site, &["scan", "--json"]);
        assert!(told[0]["error"].as_str().is_some_and(|error| error.contains("does not speak TLS")), "{told}");
    }

    #[test]
    fn what_is_told_of_mirrors_fits_a_terminal() {
        let (site, _folder, server) = site_and_mirror();
        site.configure("", "", &running::mirror("mirrors.example", &server.url()));
        for arguments in ["scan", "mirrors list", "mirrors show mirrors.example"] {
            let command = format!("stty cols 80; {} -c {} {arguments} 2>/dev/null", running::PROGRAM, site.path().display());
            let mut script = std::process::Command::new("script");
            let shown =
                script.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").output().expect("every Debian has it");
            let shown = running::text(&shown.stdout);
            let widest = shown.lines().map(|line| line.trim_end().chars().count()).max();
            assert!(shown.contains("mirrors.example") && widest <= Some(80), "{arguments}: {widest:?}: {shown}");
        }
    }
}
