//! `redirector` sends each download to the closest mirror that is known to hold that very version of the file, and
//! serves the file itself when no mirror may or can. This page is the architecture: the map, the promises, and three
//! walk-throughs.
//!
//! # The map
//!
//! From top to bottom; a module uses modules below it only (`tests/layers.rs` holds the table). `*` marks pure
//! modules: functions from values to values, without I/O, clock or randomness of their own.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`command`] | the command line: one file a sub-command |
//! | [`daemon`] | `serve`: starts the parts in order, reloads, waits, stops them in reverse |
//! | [`config`] | `mirrors.toml`: reads, merges and checks each part's settings; all problems at once |
//! | [`http`] | requests: whose address, which instance, the answer; the admin listener |
//! | [`decide`] * | the one decision: what is known about a request to the kind of answer, with the reason |
//! | [`repository`] | lists for package managers: which one a request is for, and what is in it |
//! | [`selection`] * | which mirrors may serve a client, in which order |
//! | [`format`](mod@format) * | what describes a file: metalinks, lists of mirrors, digests, torrents, zsync |
//! | [`scan`], [`probe`] | asking mirrors what they have, whether they work, and what they can do for clients; `scan::listing` * reads listings |
//! | [`index`], [`hash`] | keeping the inventory's idea of the public tree current; digests in the background |
//! | [`inventory`] | the snapshot that requests are answered from, the store behind it, the one thread that writes both |
//! | [`tree`] | folders opened once, and files below them |
//! | [`geo`] | addresses to places |
//! | [`model`] * | the nouns: paths, versions, mirrors, places, quantities |
//! | [`metrics`], [`clock`], [`file`](mod@file), [`durable`], [`cause`] | counting, the time, files by their names, whole files, errors as one line |
//!
//! Three ideas carry it. **Pure core, thin shell:** deciding, ranking, reading listings and printing are functions that a
//! test can call with a table of cases; whatever waits is a thin shell around them. **Requests are answered from a
//! snapshot:** immutable values that are swapped piece by piece; a request waits for memory and the local file system
//! and for nothing else. **Each part owns its settings, its errors and its tests.**
//!
//! Where the table of `tests/layers.rs` could surprise:
//!
//! - [`index`] stands beside [`hash`] and may use it: whoever sees a changed file orders its digest.
//! - [`probe`] may use [`scan`]: it asks with the same client, under the same limits, and wishes for a scan of a mirror that lacks
//!   what it should have.
//! - [`inventory`] may use [`clock`]: its owner writes down when something was noticed, and tests pass a clock of their own.
//! - [`http`] may use [`selection`] and [`clock`]: it keeps the costly half of a ranking for the next client of the same place, and
//!   bounds how long a connection may take. [`decide`] gets the time as a value.
//!
//! # The promises
//!
//! Each with tests that show it.
//!
//! 1. *No wrong redirect.* A mirror is used for a path only while its copy was seen to match the version that the tree
//!    holds now. A replaced file gets a version number that was never used before ([`inventory`]), and every request
//!    compares the file with what the snapshot says of it ([`http`]). `tests/http/changes.txt`,
//!    `an_older_copy_of_equal_size_is_no_holding`, `a_version_number_is_never_used_again`,
//!    `a_copy_of_the_content_before_never_passes_for_the_new_one_of_equal_size`,
//!    `a_content_that_nobody_has_read_before_it_was_replaced_leaves_its_times_all_the_same`, `what_was_deleted_is_remembered`,
//!    `where_others_were_there_before_a_copy_has_just_its_time_or_is_younger_than_they_can_be`,
//!    `a_url_that_was_never_scanned_is_used_for_nobody`.
//! 2. *Young and private stay home* ([`decide`]). `tests/http/young.txt`, `tests/http/not_public.txt`,
//!    `a_folder_that_is_moved_into_the_tree_is_young_however_old_its_files_are`, `who_puts_the_clock_on_makes_no_file_older`.
//! 3. *A request waits for memory and the local file system, for nothing else* ([`inventory::Snapshot`]). `tests/http/away.txt`,
//!    `a_locked_database_delays_nobody_but_the_writer`, `a_mirror_that_hangs_holds_nobody_up`.
//! 4. *A scan can't hurt.* What one did not disprove stays ([`scan`]). `everything_is_a_login_page`,
//!    `the_server_dies_in_the_middle_of_a_scan`, `an_empty_listing_at_the_root_and_the_files_are_there`,
//!    `listings_are_right_and_every_file_is_something_else`, and more beside them.
//! 5. *Kill it anywhere.* Every write is one transaction; the snapshot changes after the commit ([`inventory`]).
//!    `whenever_it_is_killed_the_last_commit_stands_and_no_wrong_mirror_is_known`,
//!    `a_start_takes_the_image_and_what_was_committed_since`, `an_image_that_is_broken_or_another_databases_is_not_used`,
//!    `whoever_is_killed_while_it_writes_an_image_loses_nothing`,
//!    `a_start_on_a_full_disk_serves_what_is_known_and_writes_when_there_is_room`.
//! 6. *The key is the requested path,* never a resolved one; nothing outside the roots opens ([`tree`]).
//!    `a_tree_whose_folder_is_a_symlink_works`, `a_symlink_in_the_tree_to_the_application_tree_works_only_where_that_is_allowed`.
//! 7. *`Location` names configured mirrors only,* encoded right ([`model::path`], [`model::mirror`]). `tests/http/names.txt`,
//!    `tests/http/queries.txt`, `a_base_url_can_stand_in_a_header`.
//! 8. *One client stays with one mirror:* the order depends on the client's network and on the mirrors ([`selection`]).
//!    `tests/http/stability.txt`, `when_a_mirror_leaves_only_its_clients_move`, `neighbours_get_the_same`,
//!    `a_client_leaves_its_mirror_only_for_files_that_it_lacks`.
//! 9. *Shares follow scores* within one class of nearness ([`selection`]). `a_near_mirror_beats_a_far_one_and_equals_share`,
//!    `a_higher_score_never_loses_a_client`, `shares_follow_scores_in_every_tier_and_among_those_who_hold_the_file`, and
//!    `scripts/simulate` for a whole world of clients.
//! 10. *Instances share nothing:* each has its own trees, database, mirrors and counters; prefixes match at segment
//!     boundaries ([`model::request_path::Prefix`]). `tests/http/instances.txt`, `the_longest_prefix_wins_at_a_segment_boundary`.
//! 11. *Everything outside is hostile:* every input has a limit, and what happens at the limit is tested.
//!     `headers_that_are_too_large_or_too_many_are_refused`, `a_small_page_unpacks_to_a_huge_one`, `tests/listings_hostile.rs`,
//!     `scripts/fuzz`.
//!
//! # A download
//!
//! 1. A listener of [`http`] accepts a connection and gives it to one of the threads that answer ([`http::workers`]), which
//!    reads a PROXY header where one is due.
//! 2. The request's path is decoded once into a [`model::RequestPath`]; host and prefix choose the instance.
//! 3. The client's address is the peer's, or what trusted proxies say it is. [`geo::Locator`] turns it into a
//!    [`model::Place`].
//! 4. The path is looked up in the [`inventory::Snapshot`], and the file itself is glanced at: one `statx`. Together
//!    they give the path's [`decide::Standing`]. What else is read from memory that no cache has is on its way meanwhile
//!    ([`inventory::Sought`], [`geo::Locator::prefetch`]).
//! 5. [`decide::decide`] says what is answered and why. Where a mirror may be used, [`selection`] walks the tiers of
//!    mirrors around that place, draws within a tier by weighted rendezvous hashing, and skips whatever is down or does
//!    not hold the version. Where none is left, a fallback mirror may take the client.
//! 6. The answer is rendered (a redirect into one buffer, a file from one open handle, by the kernel where the file stands still) and
//!    counted.
//!
//! Most requests are plain, and most of those are answered by a redirect or with a file that is at hand: [`http::plain`] reads them, and they are
//! answered at once. With the first request of a connection that is not plain, the connection goes to hyper. When more is asked than can be answered, [`http::pressure`] says
//! who is told to come again, so that the others wait for no longer than they should.
//!
//! # A scan
//!
//! 1. The schedule, or `redirector scan`, takes a mirror. Where it has a stamp that stands still, that is all. Else [`scan`] tries its ways in
//!    order: rsync, FTP, listings over HTTP, a HEAD for each file. The first that works counts; what failed is told.
//! 2. It first asks for a name that can't exist: a server that says 200 to that can't be trusted in anything.
//! 3. Over HTTP, directories that the tree has too are fetched, recognised and read by `scan::listing`, each size an interval and each
//!    time with its doubt. What rsync (a child process) or FTP list is read line by line, and counts once a sample of it was found at the web
//!    server: that is where clients are sent. A page that is the same as at the last scan, of a directory of which we know the same, is
//!    not judged again; one that the page above shows with the time that it had is not asked for. What that takes is kept in the store. Of what
//!    listings over HTTP show, a sample is asked for, too: where they are right and the files are something else, each file that was not known
//!    before is.
//! 4. Each entry is judged against the version of its path. Doubts about versions that were never confirmed on this mirror are
//!    settled by HEAD.
//! 5. What would be taken away in bulk is verified by samples first. A mirror's other base URL counts only when a sample of what
//!    was found is there as well; until then no client is sent to it. The result is one bitmap of version numbers, written in one
//!    transaction with the base URLs that it was seen at, and swapped into the snapshot.
//!
//! # A new file
//!
//! 1. A file event, a walk, or a request that saw something else than the snapshot makes [`index`] look at the path.
//! 2. While it still moves it is `changing`: served from one open handle, and not hashed.
//! 3. Once it stands still, the inventory gives it a version number that was never used and writes down since when it is
//!    public. No mirror holds that number yet.
//! 4. [`hash`] reads it in the background, once for all digests: they describe it to clients, and later tell a rewrite with the
//!    same bytes from new content, and both from a bad disk.
//! 5. When it is about to be `min-age` old, [`scan::demand`] asks all mirrors for it, and again soon while some lack it; scans find
//!    what is left. Requests that miss it near the client, or come back for it, give rise to doubts ([`http::doubts`]) that make it ask sooner.
//! 6. When it is older than `min-age` and a mirror was seen with it, the first request is redirected.

pub mod cause;
pub mod clock;
pub mod command;
pub mod config;
pub mod daemon;
pub mod decide;
pub mod durable;
pub mod file;
pub mod format;
pub mod geo;
pub mod hash;
pub mod http;
pub mod index;
pub mod inventory;
pub mod metrics;
pub mod model;
pub mod probe;
pub mod repository;
pub mod scan;
pub mod selection;
pub mod tree;
