//! What `[buffer]` says in each mode of the README's table.

/// Accepted events wait in memory.
pub const MEMORY: &str = "";
/// They wait in the spool.
pub const PROCESS: &str = "spool_dir = \"spool\"\n";
/// The same, and all of them are on the disk first, one word for the other.
pub const DISK_FOR: &str = "spool_dir = \"spool\"\ndisk_for = [\"granted\", \"denied\"]\n";
/// They are on the disk first.
pub const DISK: &str = "spool_dir = \"spool\"\ndurability = \"disk\"\n";

/// Of `[buffer]`, where it is not shown how long anything waits: a disk that is busy with other tests may take long to answer.
pub const PATIENT_BUFFER: &str = "block_timeout = 120\n";
/// The same of the sinks, as a section of its own.
pub const PATIENT: &str = "[delivery]\nopen_timeout = 120\nwrite_timeout = 120\nshutdown_timeout = 120\n";

/// All of them.
pub const ALL: [&str; 4] = [MEMORY, PROCESS, DISK_FOR, DISK];
/// Those with a spool.
pub const WITH_SPOOL: [&str; 3] = [PROCESS, DISK_FOR, DISK];

/// Does this in each of these modes at once, since most of it is waiting.
///
/// # Panics
/// Where one of them does.
pub fn in_each(modes: &[&'static str], test: impl Fn(&'static str) + Sync) {
    std::thread::scope(|scope| {
        for mode in modes {
            scope.spawn(|| test(mode));
        }
    });
}
