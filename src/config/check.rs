//! What goes wrong although every value is right: problems between the parts of one instance, and between instances.
