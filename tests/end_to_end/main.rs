//! The program as users and scripts meet it: every test runs the real binary on a lake of its own.

#![allow(clippy::unwrap_used)] // what fails here is the test

mod bad_input;
mod guide;
mod job;
mod plan;
mod privacy;
mod program;
mod readme;
mod tables;
