//! The program as users and scripts meet it: every test runs the real binary on a lake of its own.

#![allow(clippy::unwrap_used)] // what fails here is the test

mod at_once;
mod bad_input;
mod care;
mod disk;
mod dumps;
mod faults;
mod files;
mod guide;
mod hostile;
mod job;
mod own_table;
mod plan;
mod privacy;
mod program;
mod readme;
mod retry;
mod s3;
mod s3_server;
mod tables;
