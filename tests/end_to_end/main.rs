//! The program as users and scripts meet it: every test runs the real binary on a lake of its own.

#![allow(clippy::unwrap_used)] // what fails here is the test

mod at_once;
mod bad_input;
mod build_time;
mod care;
mod collect;
mod disk;
mod documentation;
mod drift;
mod dumps;
mod explain;
mod faults;
mod files;
mod guide;
mod harmless;
mod hostile;
mod impossible;
mod incremental;
mod job;
mod key;
mod notebooks;
mod other_engines;
mod own_table;
mod plan;
mod plan_guards;
mod predict;
mod privacy;
mod program;
mod python;
mod readme;
mod record;
mod record_install;
mod retry;
mod s3;
mod s3_server;
mod services;
mod sql_questions;
mod sql_read_only;
mod sql_results;
mod sql_shell;
mod tables;
mod terminal;
mod valid_files;
