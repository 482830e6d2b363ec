//! Delta tables on a folder or an object store: what is read and written below the lake's root, and how a commit stays atomic.

pub(crate) mod commit;
pub(crate) mod data_files;
pub(crate) mod logged;
pub(crate) mod parquet_file;
pub(crate) mod root;
pub(crate) mod rooted;
pub(crate) mod some_files;
pub(crate) mod store;
pub(crate) mod table;
pub(crate) mod table_name;
pub(crate) mod writers;
