//! What requests give reason to ask mirrors for, before the next scan.

use super::mirror::MirrorName;
use super::path::TreePath;

/// A question that a request gave rise to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// No mirror near the client is known to hold the present version of this path: has one got it meanwhile?
    WhoHolds(TreePath<'static>),
    /// A client came back soon for what this mirror should have sent it: is it there?
    DoesHold(TreePath<'static>, MirrorName),
}
