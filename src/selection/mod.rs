//! Which mirrors can serve a request, and in which order: pure.
