//! The scenarios of the activity library (ASLO), from the upload of a bundle to the laptop that fetches it: each one a test,
//! named as a sentence, against real trees, a real database, real mirrors (nginx, filled by rsync) and the real daemon.
//!
//! The daemon runs in this process, with a clock that only the test moves, or, where the story is about processes, as
//! the program itself.

#![allow(unreachable_pub, reason = "a test crate has no outside")]

mod servers;

mod aslo {
    pub mod answer;
    pub mod curl;
    pub mod mirror;
    pub mod site;

    mod instances;
    mod life;
}
