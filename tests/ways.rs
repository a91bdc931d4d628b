//! Scans by other ways than listings over HTTP: rsync, FTP, questions for each file, stamps; by real servers, and by some that
//! misbehave. Whatever fails, what was known stays unless it was disproved (promise 4), and what another protocol lists counts only
//! where the web server has it too (promise 1).

mod scanning;
mod servers;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use redirector::inventory::{Counts, Protocol};
use redirector::scan::{Mode, Quiet, Report};
use scanning::{THEN, World, names, path};
use servers::{Folder, Odd, Server, respond};

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
                    settings.limits.duration = std::time::Duration::from_secs(2);
                })
                .await;
            let notes = report.notes.join("; ");
            assert!(report.outcome.is_ok() && notes.contains(why) && report.protocol == protocol, "{script}: {report:?}");
            assert_eq!(world.held().await, names(&FILES), "{script}: {report:?}");
        }
    }
}
