//! `redirector` sends each download to the closest mirror that is known to hold that very version of the file.

pub mod clock;
pub mod command;
pub mod config;
pub mod daemon;
pub mod decide;
pub mod durable;
pub mod geo;
pub mod hash;
pub mod http;
pub mod index;
pub mod inventory;
pub mod metrics;
pub mod model;
pub mod probe;
pub mod scan;
pub mod selection;
pub mod tree;
