//! Waiting for what will be so: in steps, with a bound.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of these")]

use std::time::Duration;

use redirector::clock;

/// Longer than anything here takes on a busy machine.
pub const BOUND: Duration = Duration::from_secs(60);
/// Between two looks.
const STEP: Duration = Duration::from_millis(10);

/// Looks until there is something; nothing where there is none within the bound.
pub fn look<T>(mut for_it: impl FnMut() -> Option<T>) -> Option<T> {
    let began = clock::instant();
    while began.elapsed() < BOUND {
        if let Some(found) = for_it() {
            return Some(found);
        }
        std::thread::sleep(STEP);
    }
    None
}

/// [`look`], where others of this thread have to go on meanwhile.
pub async fn look_async<T>(mut for_it: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let began = clock::instant();
    while began.elapsed() < BOUND {
        if let Some(found) = for_it().await {
            return Some(found);
        }
        tokio::time::sleep(STEP).await;
    }
    None
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    assert!(look(|| is_so().then_some(())).is_some(), "{what}: not within {BOUND:?}");
}

/// [`until`], where others of this thread have to go on meanwhile.
pub async fn until_async(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    assert!(look_async(async || is_so().await.then_some(())).await.is_some(), "{what}: not within {BOUND:?}");
}
