//! What `audit.toml` settles for the pipeline, as plain values with their defaults.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::DiskFor;

/// What `record` does while the store is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits while the sinks make progress, and fails `block_timeout` after their last progress.
    #[default]
    Block,
    /// It fails at once.
    Fail,
}

/// `[buffer]`.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferSettings {
    /// Bound of the store, all sinks together.
    pub capacity_bytes: usize,
    /// Largest canonical line, without its newline.
    pub max_event_bytes: usize,
    /// What `record` does while the store is full.
    pub when_full: WhenFull,
    /// How long `record` waits after the last progress.
    pub block_timeout: Duration,
    /// Where accepted events are kept so that they outlive the process; `None`: in memory only.
    pub spool: Option<SpoolSettings>,
}

/// What an accepted event in the spool has outlived when `record` returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, by whatever signal.
    #[default]
    Process,
    /// Loss of power: it was synced to the disk.
    Disk,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Disk => "disk",
        })
    }
}

/// The crash-safe form of the store: what `[buffer]` says about it where it names a `spool_dir`.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolSettings {
    /// Its folder (absolute).
    pub dir: PathBuf,
    /// What an event has outlived when `record` returns.
    pub durability: Durability,
    /// Bound of its files, all processes together that this one knows of.
    pub max_bytes: u64,
    /// Which events are synced first whatever `durability` says.
    pub disk_for: DiskFor,
    /// Who gets what an earlier process left in it.
    pub heirs: Heirs,
}

/// Which sinks get the events that an earlier process left in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heirs {
    /// The sink of the same name as the one that they were for; for a name that is configured no more, the sinks that
    /// are new since.
    #[default]
    Namesakes,
    /// Every sink gets every event, whatever sinks they were for.
    AllSinks,
}

impl SpoolSettings {
    /// A spool in this folder, with the defaults of everything else.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::default(),
            max_bytes: 1 << 30,
            disk_for: DiskFor::default(),
            heirs: Heirs::default(),
        }
    }
}

impl Default for BufferSettings {
    fn default() -> Self {
        Self {
            capacity_bytes: 64 << 20,
            max_event_bytes: 1 << 20,
            when_full: WhenFull::Block,
            block_timeout: Duration::from_secs(5),
            spool: None,
        }
    }
}

/// `[delivery]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliverySettings {
    /// First delay before a retry.
    pub retry_initial: Duration,
    /// Longest delay before a retry.
    pub retry_max: Duration,
    /// Attempts before an event is dead-lettered; 0 = until the drain ends.
    pub max_attempts: u32,
    /// How long an `open` may take.
    pub open_timeout: Duration,
    /// How long a `write_batch` may take before it is abandoned.
    pub write_timeout: Duration,
    /// How long a pending event may stay unacknowledged.
    pub ack_timeout: Duration,
    /// How long a shutdown may take.
    pub shutdown_timeout: Duration,
    /// Where dead letters go (absolute).
    pub dead_letter_path: PathBuf,
    /// Where rejected lines go (absolute).
    pub rejected_path: PathBuf,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            retry_initial: Duration::from_millis(100),
            retry_max: Duration::from_secs(30),
            max_attempts: 0,
            open_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(8),
            dead_letter_path: "dead-letters.ndjson".into(),
            rejected_path: "rejected.ndjson".into(),
        }
    }
}

/// The worker's side of one sink: what stands in `[[audit_logger]]`, defaults of the class filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkSettings {
    /// Unique name.
    pub name: String,
    /// Class path.
    pub class: String,
    /// Whether it may stop admission (`false`: it drops for itself).
    pub required: bool,
    /// Most events in one batch.
    pub batch_size: usize,
    /// The oldest waiting event waits no longer.
    pub flush_interval: Duration,
    /// `false`: `record` writes through, in the caller.
    pub use_worker: bool,
    /// Batches that the sink may hold unacknowledged.
    pub max_in_flight: usize,
}

impl Default for SinkSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            class: String::new(),
            required: true,
            batch_size: 100,
            flush_interval: Duration::from_millis(500),
            use_worker: true,
            max_in_flight: 1,
        }
    }
}
