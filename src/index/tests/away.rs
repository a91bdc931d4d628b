//! What is not believed to be deleted: trees that are not there, empty ones, folders that can't be read.

use super::*;

#[tokio::test]
async fn a_tree_that_goes_away_takes_nothing_along() {
    let mut world = World::new().await;
    world.write_old("4078/labyrinth-7.xo", "content");
    world.start_and_walk().await;
    let known = world.hashed("4078/labyrinth-7.xo").await;
    let (tree, aside) = (world.folder.path().join("tree"), world.folder.path().join("aside"));
    fs::rename(&tree, &aside).expect("unmounted");
    until("the tree is away", || world.trees.public.is_away()).await;
    assert_eq!(world.walk_once().await.ending, Ending::Away(Some(crate::tree::Absence::Missing)));
    fs::create_dir(&tree).expect("an empty mount point");
    until("it is empty", || world.trees.public.absence() == Some(crate::tree::Absence::Emptied)).await;
    assert!(matches!(world.walk_once().await.ending, Ending::Away(_)));
    world.running().nudges.send(path("4078/labyrinth-7.xo")).await.expect("it runs");
    world.pass(4000);
    assert_eq!(world.file("4078/labyrinth-7.xo").await, Some(known.clone()));
    fs::remove_dir(&tree).expect("removed");
    fs::rename(&aside, &tree).expect("mounted again");
    until("the tree is back", || !world.trees.public.is_away()).await;
    world.wait_for_walks().await;
    assert_eq!(world.hashed("4078/labyrinth-7.xo").await.version, known.version);
    world.write_old("4078/new", "new");
    world.wait_for("4078/new", |_| true).await;
    world.stop().await;
}

#[tokio::test]
async fn a_tree_that_is_empty_at_the_start_is_not_believed() {
    let world = World::new().await;
    world.write_old("file", "content");
    world.walk_once().await;
    fs::remove_file(world.path("file")).expect("deleted");
    let world = world.restart().await;
    assert!(matches!(world.walk_once().await.ending, Ending::Away(Some(crate::tree::Absence::Emptied))));
    assert!(world.trees.public.is_away());
    assert!(world.file("file").await.is_some());
}

#[tokio::test]
async fn a_tree_with_folders_and_no_file_is_not_believed_either() {
    let world = World::new().await;
    world.write_old("4078/file", "content");
    world.walk_once().await;
    fs::remove_file(world.path("4078/file")).expect("deleted");
    let mut world = world.restart().await;
    assert_eq!(world.walk_once().await.ending, Ending::Empty(1));
    world.start_and_walk().await;
    assert!(world.file("4078/file").await.is_some());
    let problem = world.running().watcher.problem().expect("it is told");
    assert!(problem.contains("no file where 1 were"), "{problem}");
    world.write_old("4078/other", "content");
    world.wait_for("4078/other", |_| true).await;
    world.wait_for_walks().await;
    world.wait_until_gone("4078/file").await;
    assert_eq!(world.running().watcher.problem(), None);
    world.stop().await;
}

#[tokio::test]
async fn a_file_system_that_is_missing_within_the_tree_takes_nothing_along() {
    let world = World::new().await;
    for name in ["big/iso", "small"] {
        world.write_old(name, name);
    }
    world.walk_once().await;
    fs::remove_file(world.path("big/iso")).expect("what was mounted is not there");
    let orders = Orders::for_nobody();
    let (trees, inventory) = (world.trees.clone(), world.inventory.clone());
    let mut intake = Intake::new(trees, inventory, world.clock.clone(), patience(&world.settings), orders);
    intake.mounts.insert(path("big"));
    intake.look(vec![path("big/iso")], Why::Request).await.expect("it works");
    assert!(world.file("big/iso").await.is_some());
    for _ in 0..2 {
        let mut round = Round::begin(&mut intake, TreePath::root(), None, &CancellationToken::new());
        assert!(round.next().await.is_none());
        let (report, _) = round.finish(&mut intake).await.expect("it works");
        assert_eq!((report.ending, report.forgotten), (Ending::Complete, 0));
        assert!(world.file("big/iso").await.is_some());
    }
}

#[tokio::test]
async fn a_directory_that_can_not_be_read_any_more_keeps_its_files() {
    // As root nothing is unreadable; so the test calls itself as another user.
    const INNER: &str = "REDIRECTOR_TEST_AS_NOBODY";
    const NAME: &str = "index::tests::a_directory_that_can_not_be_read_any_more_keeps_its_files";
    if rustix::process::geteuid().is_root() && std::env::var_os(INNER).is_none() {
        let output = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(std::env::current_exe().expect("this test"))
            .args(["--exact", NAME, "--nocapture"])
            .env(INNER, "1")
            .output();
        match output {
            Ok(output) if output.status.code() == Some(126 | 127) => eprintln!("skipped: another user may not run this test"),
            Ok(output) => assert!(
                output.status.success(),
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => eprintln!("skipped: setpriv: {error}"),
        }
        return;
    }
    let world = World::new().await;
    for name in ["closed/deep/file", "closed/other", "open/file", "open/gone"] {
        world.write_old(name, name);
    }
    world.walk_once().await;
    let before = world.file("closed/deep/file").await;
    fs::remove_file(world.path("open/gone")).expect("deleted");
    fs::set_permissions(world.path("closed"), fs::Permissions::from_mode(0o0)).expect("closed");
    let report = world.walk_once().await;
    fs::set_permissions(world.path("closed"), fs::Permissions::from_mode(0o755)).expect("opened");
    assert_eq!((report.ending, report.unreadable, report.forgotten), (Ending::Complete, 1, 1));
    assert_eq!(report.troubles[0].0, path("closed"));
    assert_eq!(world.file("closed/deep/file").await, before);
    assert!(world.file("closed/other").await.is_some());
}
