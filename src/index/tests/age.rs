//! What is young, and how versions are told from one another, while a tree changes under the index.

use super::*;

#[tokio::test]
async fn an_old_tree_is_as_old_as_its_files_say_when_it_is_first_indexed() {
    let world = World::new().await;
    world.write_old("4078/labyrinth-7.xo", "old");
    world.write_old("4079/ü.xo", "old too");
    world.write_old(".hidden", "no");
    let report = world.walk_once().await;
    assert_eq!((report.files, report.changed, report.forgotten, report.moving), (2, 2, 0, 0));
    assert_eq!(report.ending, Ending::Complete);
    assert_eq!(seconds(world.file("4079/ü.xo").await.expect("known").public_since), 1_000_000_000);
    assert!(world.inventory.is_indexed().await.expect("it works"));
    assert_eq!(world.file(".hidden").await, None);
    let again = world.walk_once().await;
    assert_eq!((again.files, again.changed), (2, 0));
}

#[tokio::test]
async fn a_file_that_comes_later_is_young_whatever_its_mtime() {
    let mut world = World::new().await;
    world.start_and_walk().await;
    let before = seconds(Clock::system().now());
    world.write_old("4078/copied-with-its-time.xo", "cp -p");
    world.pass(0);
    let record = world.wait_for("4078/copied-with-its-time.xo", |_| true).await;
    assert!(seconds(record.public_since) >= before, "{record:?}");
    world.stop().await;
}

#[tokio::test]
async fn what_came_while_nobody_looked_is_young_as_well() {
    let world = World::new().await;
    world.write_old("old", "old");
    world.walk_once().await;
    let world = world.restart().await;
    world.write_old("new", "new");
    world.walk_once().await;
    assert_eq!(seconds(world.file("old").await.expect("known").public_since), 1_000_000_000);
    assert!(seconds(world.file("new").await.expect("known").public_since) > 1_000_000_000);
}

#[tokio::test]
async fn a_new_file_is_taken_in_when_it_has_stood_still() {
    let mut world = World::new().await;
    world.start_and_walk().await;
    world.write("4078/upload.xo", "first half");
    world.pass(1);
    let watched = world.running().watcher.clone();
    until("the new folder is watched", || matches!(watched.watching(), Watching::All(_))).await;
    world.write("4078/upload.xo", "first half, second half");
    world.write("4078/other.xo", "other");
    assert_eq!(world.file("4078/upload.xo").await, None);
    world.pass(3);
    let record = world.wait_for("4078/upload.xo", |_| true).await;
    assert_eq!((record.fingerprint.size, record.state), (23, FileState::Settled));
    world.wait_for("4078/other.xo", |_| true).await;
    world.stop().await;
}

#[tokio::test]
async fn a_file_that_is_being_written_is_changing_until_it_stands_still() {
    let mut world = World::new().await;
    world.write_old("bundle.xo", "the old content");
    world.start_and_walk().await;
    let old = world.hashed("bundle.xo").await;
    let mut file = OpenOptions::new().write(true).truncate(true).open(world.path("bundle.xo")).expect("the file");
    let changing = world.wait_for("bundle.xo", |record| record.state == FileState::Changing).await;
    assert_eq!((changing.version, changing.fingerprint), (old.version, old.fingerprint), "an empty file is never a version");
    file.write_all(b"the new").expect("written");
    world.pass(3);
    // It shrank: it must stand still for longer than others.
    world.wait_for("bundle.xo", |record| record.state == FileState::Changing).await;
    file.write_all(b" content, which is longer").expect("written");
    drop(file);
    world.pass(3);
    let new = world.wait_for("bundle.xo", |record| record.state == FileState::Settled).await;
    assert!(new.version != old.version && new.fingerprint.size == 32, "{new:?}");
    assert!(new.public_since > old.public_since);
    assert_ne!(world.hashed("bundle.xo").await.sha256, old.sha256);
    world.stop().await;
}

#[tokio::test]
async fn a_folder_that_is_moved_into_the_tree_is_young_however_old_its_files_are() {
    let mut world = World::new().await;
    world.write_old("here", "text");
    world.start_and_walk().await;
    world.write_old("../staged/deep/file", "text");
    // Two hours later it is published, which nothing shows at the file itself.
    world.pass(7200);
    let before = world.clock.now();
    fs::rename(world.path("../staged"), world.path("release")).expect("moved");
    let record = world.wait_for("release/deep/file", |_| true).await;
    assert!(record.public_since >= before, "{record:?}");
    assert_eq!(seconds(record.version_time()), OLD.cast_signed());

    // Another tree takes the place of the whole one.
    world.write_old("../next/other", "text");
    world.pass(7200);
    let before = world.clock.now();
    let at = |name| world.folder.path().join(name);
    fs::rename(at("tree"), at("last")).expect("moved");
    fs::rename(at("next"), at("tree")).expect("moved");
    let record = world.wait_for("other", |_| true).await;
    assert!(record.public_since >= before, "{record:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_tree_that_is_rewritten_with_the_same_bytes_keeps_its_versions() {
    // publish_files: every file anew, in place, with new times.
    let mut world = World::new().await;
    let names: Vec<String> = (0..20).map(|number| format!("{}/bundle-{number}.xo", 4000 + number)).collect();
    for name in &names {
        world.write_old(name, name);
    }
    world.start_and_walk().await;
    let mut before = Vec::new();
    for name in &names {
        before.push(world.hashed(name).await);
    }
    for name in &names {
        world.write(name, name);
    }
    world.pass(40);
    for (name, before) in names.iter().zip(before) {
        let after =
            world.wait_for(name, |record| record.state == FileState::Settled && record.fingerprint != before.fingerprint).await;
        assert_eq!((after.version, after.sha256, after.public_since), (before.version, before.sha256, before.public_since));
        assert_eq!(after.version_mtime_ns, before.version_mtime_ns);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_file_that_is_replaced_by_one_of_equal_size_and_time_is_another_version() {
    let mut world = World::new().await;
    world.write_old("4078/labyrinth-7.xo", "first version");
    world.start_and_walk().await;
    let old = world.hashed("4078/labyrinth-7.xo").await;
    fs::remove_file(world.path("4078/labyrinth-7.xo")).expect("deleted");
    world.write_old("4078/labyrinth-7.xo", "other version");
    world.pass(3);
    let new = world.wait_for("4078/labyrinth-7.xo", |record| record.version != old.version).await;
    assert_eq!(new.fingerprint.size, old.fingerprint.size);
    assert_eq!(new.fingerprint.mtime_ns, old.fingerprint.mtime_ns);
    assert!(new.version_time() >= new.public_since, "copies that are as old as both may be of the other one: {new:?}");
    assert_ne!(world.hashed("4078/labyrinth-7.xo").await.sha256, old.sha256);
    world.stop().await;
}

#[tokio::test]
async fn a_file_that_is_replaced_before_it_was_read_starts_from_nothing() {
    let world = World::new().await;
    let replace = |name: &str, text: &str, mtime| {
        world.write("../next", text);
        world.set_mtime("../next", mtime);
        fs::rename(world.path("../next"), world.path(name)).expect("replaced");
    };
    for name in ["time", "older", "chmod", "a", "b"] {
        replace(name, name, OLD);
    }
    replace("b", "c", OLD + 7000);
    world.walk_once().await;
    let mut before = Vec::new();
    for name in ["time", "older", "chmod"] {
        before.push(world.file(name).await.expect("it is known"));
    }
    let noticed = world.clock.now();

    replace("time", "same", OLD);
    replace("older", "oldie", OLD - 5000);
    fs::set_permissions(world.path("chmod"), fs::Permissions::from_mode(0o600)).expect("changed");
    world.pass(3);
    world.walk_once().await;
    for (name, before) in ["time", "older", "chmod"].into_iter().zip(before) {
        let now = world.file(name).await.expect("it is known");
        assert_ne!(now.version, before.version, "{name}: nobody knows that it has the same bytes");
        assert_eq!(now.public_since == before.public_since, name == "chmod", "{name}");
        let time = now.copies().time_ns / 1_000_000_000;
        match name {
            "time" => assert!(time >= noticed.as_second() - 1, "copies of both look alike: {now:?}"),
            "older" => assert_eq!((time, now.exact_time), (OLD.cast_signed() - 5000, true)),
            _ => assert_eq!((time, now.exact_time), (OLD.cast_signed(), false), "as nobody writes and sets back the time"),
        }
    }

    // Two files of equal size change places, with a walk in between.
    fs::rename(world.path("a"), world.path("../next")).expect("moved");
    world.pass(3);
    world.walk_once().await;
    fs::rename(world.path("b"), world.path("a")).expect("moved");
    fs::rename(world.path("../next"), world.path("b")).expect("moved");
    world.pass(6);
    world.walk_once().await;
    let (a, b) = (world.file("a").await.expect("it is known"), world.file("b").await.expect("it is known"));
    assert_eq!((seconds(a.version_time()), a.exact_time), (OLD.cast_signed() + 7000, true));
    assert_eq!((seconds(b.version_time()), b.exact_time), (OLD.cast_signed(), true));
}

#[tokio::test]
async fn who_puts_the_clock_on_makes_no_file_older() {
    // As on a machine that starts in 1970 and hears the right time later.
    let mut world = World::new().await;
    world.write_old("old", "text");
    world.start_and_walk().await;
    world.write("young", "text");
    world.write("cut", "text");
    world.pass(3);
    world.wait_for("young", |record| record.sha256.is_some()).await;
    let before = world.hashed("young").await;
    let half_an_hour = SignedDuration::from_mins(30);
    assert!(before.public_since > world.clock.now() - half_an_hour);
    let year = SignedDuration::from_hours(24 * 365);
    world.clock.put_on(year);
    let moved = world.wait_for("young", |record| record.public_since > before.public_since).await;
    assert_eq!((moved.version, moved.sha256), (before.version, before.sha256));
    assert_eq!(moved.public_since, before.public_since + year, "it is as young as before");
    assert_eq!(world.file("old").await.map(|old| seconds(old.public_since)), Some(OLD.cast_signed()), "what is old stays so");
    let entry = || world.inventory.snapshot().file(&path("young")).expect("is known");
    until("requests know it", || entry().public_since >= seconds(moved.public_since)).await;

    // What came shortly before the leap, and is noticed after it: its times were made by the clock as it was.
    world.write("late", "text");
    let late = world.wait_for("late", |_| true).await;
    assert!(late.public_since >= world.clock.now() - SignedDuration::from_mins(1), "{late:?}");

    // Put back by an hour, and on again.
    world.clock.put_on(-SignedDuration::from_hours(1));
    world.write("before", "text");
    world.wait_for("before", |_| true).await;
    world.write("between", "text");
    let between = world.wait_for("between", |record| record.state == FileState::Settled).await;
    world.clock.put_on(SignedDuration::from_hours(1));
    world.wait_for("between", |record| record.public_since > between.public_since).await;
    world.stop().await;
}

#[tokio::test]
async fn a_clock_that_stands_before_what_is_known_is_told_and_makes_no_file_older() {
    let mut world = World::new().await;
    world.write_old("old", "text");
    world.start_and_walk().await;
    world.write("young", "text");
    world.pass(3);
    let known = world.hashed("young").await;
    world.stop().await;
    let ahead = |world: &World| world.running().watcher.last_walk().and_then(|report| report.ahead);
    world.start_and_walk().await;
    assert_eq!(ahead(&world), None);
    world.stop().await;

    // Put back while nobody looked: by less than clocks differ, and by more.
    for (by, is_told) in [(SignedDuration::from_secs(30), false), (SignedDuration::from_hours(72), true)] {
        world.clock.set(known.public_since - by);
        world.start_and_walk().await;
        assert_eq!(ahead(&world).is_some(), is_told, "{by:#}: {:?}", ahead(&world));
        assert_eq!(
            world.file("young").await.map(|file| file.public_since),
            Some(known.public_since),
            "it is younger than ever"
        );
        world.stop().await;
    }
}

#[tokio::test]
async fn chmod_and_new_links_do_not_make_a_file_young() {
    let mut world = World::new().await;
    world.write_old("file", "content");
    world.start_and_walk().await;
    let old = world.hashed("file").await;
    fs::set_permissions(world.path("file"), fs::Permissions::from_mode(0o600)).expect("changed");
    world.pass(3);
    let moved = |record: &FileRecord| record.fingerprint != old.fingerprint && record.state == FileState::Settled;
    let new = world.wait_for("file", moved).await;
    assert_eq!((new.version, new.public_since), (old.version, old.public_since));
    fs::hard_link(world.path("file"), world.path("second")).expect("linked");
    world.pass(3);
    // The kernel tells of the new name only; the next request meets the new ctime.
    world.running().nudges.send(path("file")).await.expect("it runs");
    let newer = world.wait_for("file", |record| record.fingerprint != new.fingerprint && moved(record)).await;
    assert_eq!((newer.version, newer.public_since), (old.version, old.public_since));
    world.wait_for("second", |_| true).await;
    world.stop().await;
}
