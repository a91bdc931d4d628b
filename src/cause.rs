//! Errors as one line for people: what happened, and what caused it.

use std::error::Error;

/// An error with all that caused it. Errors don't repeat their sources, so neither does the line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("can't read the page")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the connection broke")]
    struct Inner(#[source] std::fmt::Error);

    #[test]
    fn every_cause_is_told_once() {
        let error = Outer(Inner(std::fmt::Error));
        assert_eq!(chain(&error), format!("can't read the page: the connection broke: {}", std::fmt::Error));
    }
}
