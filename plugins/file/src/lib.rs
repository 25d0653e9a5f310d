//! The file sink: appends canonical lines to a file that others may move, and never leaves half a line in it.
//!
//! [`FileOptions`] is what `audit.toml` may say, `settings` what it means, [`FileSink`] the sink. Underneath:
//!
//! ```text
//! log_file   an open file and its end: opened, appended to, cut back to the last whole line
//! lock       one sink for each file, in this process and in all others; turns among kin
//! kin        which processes are kin
//! range_lock locks between processes
//! tail       a last line that a crash has torn is moved out of the way
//! place      is the file still what its path names?
//! section    consecutive events of a batch
//! rotation   path → path.1 → path.2 → …
//! syncer     fdatasync, in time also when no batch comes
//! ```

mod fsync;
mod kin;
mod lock;
mod log_file;
mod mode;
mod options;
mod place;
mod range_lock;
mod rotation;
mod section;
mod settings;
mod sink;
mod syncer;
mod tail;

pub use fsync::Fsync;
pub use mode::Mode;
pub use options::FileOptions;
pub use sink::FileSink;

audit_plugin_api::export_sinks! {
    "file.FileAuditLogger" => FileSink { durable: true, batch_size: 1000 },
}
