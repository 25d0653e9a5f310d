//! `record` allocates nothing for an event: only for a new chunk, once for a hundred events at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_host::pipeline::FlushOutcome;
use audit_plugin_api::{Action, Metadata, PermissionAuditEvent};
use audit_tests::Dir;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is this one's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn record_allocates_nothing_per_event() {
    let dir = Dir::new();
    let text =
        "[audit_logger]\nclass = \"file.FileAuditLogger\"\n[audit_logger.options]\npath = \"audit.ndjson\"\n";
    let config = Config::load(&dir.write("audit.toml", text)).expect("a good configuration");
    let logger = Logger::open(config, &Loading::default()).expect("the sink opens");
    let event = PermissionAuditEvent::new(Action::Update, false)
        .attribute("status")
        .manager("Project")
        .user_id("4217")
        .permission("isAdmin")
        .metadata(Metadata::from_json(r#"{"ip":"203.0.113.7","note":"\"quoted\""}"#).expect("an object"));
    let count = 20_000;
    logger.record(&event).expect("accepted");
    let before = ALLOCATIONS.get();
    for _ in 0..count {
        logger.record(&event).expect("accepted");
    }
    let allocations = ALLOCATIONS.get() - before;
    assert!(allocations <= count / 100, "{allocations} allocations for {count} events");
    assert_eq!(logger.flush(Duration::from_secs(60)).expect("not in a callback"), FlushOutcome::Flushed);
    assert_eq!(dir.read("audit.ndjson").lines().count() as u64, count + 1);
}
