//! How changes are noticed, and what that costs.

use super::*;

#[tokio::test]
async fn what_is_deleted_or_moved_is_followed() {
    let mut world = World::new().await;
    for name in ["one", "a/two", "a/b/three", "c/four"] {
        world.write_old(name, name);
    }
    world.start_and_walk().await;
    world.wait_for("c/four", |_| true).await;
    fs::remove_file(world.path("one")).expect("deleted");
    world.wait_until_gone("one").await;
    world.pass(2);
    fs::rename(world.path("a"), world.path("moved")).expect("moved");
    world.wait_until_gone("a/two").await;
    world.wait_until_gone("a/b/three").await;
    world.wait_for("moved/b/three", |_| true).await;
    world.write_old("moved/b/five", "in a folder that moved");
    world.wait_for("moved/b/five", |_| true).await;
    world.pass(3);
    fs::remove_dir_all(world.path("moved")).expect("deleted");
    world.wait_until_gone("moved/b/three").await;
    world.wait_until_gone("moved/two").await;
    fs::remove_file(world.path("c/four")).expect("deleted");
    world.wait_until_gone("c/four").await;
    assert_eq!(world.inventory.snapshot().file_count(), 0);
    world.stop().await;
}

#[tokio::test]
async fn a_request_that_met_another_file_than_known_makes_the_index_look() {
    let world = World::new().await;
    world.write_old("file", "content");
    world.walk_once().await;
    let old = world.file("file").await.expect("known");
    // No watch and no walk: as on NFS between two walks.
    let (trees, inventory) = (world.trees.clone(), world.inventory.clone());
    let mut intake = Intake::new(trees, inventory, world.clock.clone(), patience(&world.settings), Orders::for_nobody());
    world.write("file", "longer content");
    intake.look(vec![path("file"), path("none")], Why::Request).await.expect("it works");
    assert_eq!(world.file("file").await.expect("known").state, FileState::Changing);
    world.pass(3);
    intake.look_at_moving().await.expect("it works");
    let new = world.file("file").await.expect("known");
    assert!(new.version != old.version && new.state == FileState::Settled, "{new:?}");
    fs::remove_file(world.path("file")).expect("deleted");
    intake.look(vec![path("file")], Why::Request).await.expect("it works");
    assert_eq!(world.file("file").await, None);
}

#[tokio::test]
async fn a_walk_finds_what_no_event_told() {
    let mut world = World::new().await;
    world.write_old("file", "content");
    world.write_old("gone", "content");
    world.start_and_walk().await;
    world.stop().await;
    world.write_old("new", "content");
    fs::remove_file(world.path("gone")).expect("deleted");
    world.pass(1);
    world.start_and_walk().await;
    world.wait_for("new", |_| true).await;
    world.wait_until_gone("gone").await;
    let report = world.running().watcher.last_walk().expect("walked");
    assert_eq!((report.files, report.changed, report.forgotten), (2, 1, 1));
    world.stop().await;
}

#[tokio::test]
async fn an_unchanged_tree_costs_no_store_work() {
    let world = World::new().await;
    for number in 0..100 {
        world.write_old(&format!("{number}"), "x");
    }
    world.walk_once().await;
    let before: Vec<VersionNumber> = versions(&world).await;
    let report = world.walk_once().await;
    assert_eq!((report.changed, report.forgotten), (0, 0));
    assert_eq!(versions(&world).await, before);
}

async fn versions(world: &World) -> Vec<VersionNumber> {
    let files = world.inventory.files(TreePath::root(), None, 1000).await.expect("it works");
    files.iter().map(|file| file.version).collect()
}

#[tokio::test]
async fn it_stops_within_a_second_while_it_walks() {
    let mut world = World::new().await;
    for number in 0..2000 {
        world.write_old(&format!("{}/{number}", number % 40), "x");
    }
    world.start();
    let began = crate::clock::instant();
    world.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2));
    let again = world.walk_once().await;
    assert_eq!((again.files, again.ending), (2000, Ending::Complete));
    assert_eq!(seconds(world.file("0/0").await.expect("known").public_since), 1_000_000_000, "still the first indexing");
}
