//! The boundary without a `.so`: tables of this crate, and tables that answer what no honest plugin would.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use serde_json::{Value, json};

use super::reply::Reply;
use super::wire::{self, RawBatch, RawError, RawHeld, status};
use super::{Instance, Module, Plugin, RawBytes, RawClass, RawReply, class, name, plugin_side};
use crate::testing::{TestBatch, TestHost, context};
use crate::{
    AckStatus, Acknowledgement, Action, Batch, Context, Deadline, Delivered, ErrorKind, Host, HostServices,
    Level, PermissionAuditEvent, RawEvent, RawExtension, Sink, SinkError, Written,
};

/// Checks what it is given, and remembers it.
struct Checking {
    host: Host,
    seen: Vec<(u64, Vec<u8>)>,
}

impl Sink for Checking {
    type Options = ();

    fn open(_options: (), context: Context, host: Host) -> Result<Self, SinkError> {
        if context.name == "refused" {
            return Err(SinkError::permanent("refused"));
        }
        Ok(Self { host, seen: Vec::with_capacity(1024) })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        if batch.attempt() == 1 {
            self.seen.extend(batch.events().map(|event| (event.sequence(), event.json().to_vec())));
        }
        Ok(Written::Delivered)
    }

    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        self.host.acknowledge(Acknowledgement {
            batch: 7,
            first: 1,
            count: 2,
            status: AckStatus::Permanent,
            retry_after: Some(std::time::Duration::from_millis(1500)),
            reason: "too large".into(),
        });
        Ok(json!({"request": request, "in_time": !deadline.has_passed()}))
    }

    fn inspect(&mut self, _request: &str) -> Result<Value, SinkError> {
        Ok(json!(
            self.seen
                .iter()
                .map(|(sequence, line)| json!([sequence, String::from_utf8_lossy(line)]))
                .collect::<Vec<_>>()
        ))
    }
}

struct Sinks;

impl Plugin for Sinks {
    const CLASSES: &'static [RawClass] = &[class::<Checking>("test.Checking")];

    fn extension(_id: &str, _version: u32) -> Option<RawExtension> {
        None
    }
}

fn open(services: Arc<dyn HostServices>) -> Instance {
    Module(super::table::<Sinks>()).open("test.Checking", &json!({}), &context(), services).unwrap()
}

fn events(count: usize) -> Vec<PermissionAuditEvent> {
    (0..count)
        .map(|index| PermissionAuditEvent::new(Action::Read, index % 2 == 0).user_id(index.to_string()))
        .collect()
}

fn expected(batch: &TestBatch) -> Value {
    batch.lend(|batch| {
        json!(
            batch
                .events()
                .map(|event| json!([event.sequence(), String::from_utf8_lossy(event.json())]))
                .collect::<Vec<_>>()
        )
    })
}

#[test]
fn batches_arrive_as_they_are_whatever_the_number_of_runs() {
    for runs in [1, 2, 8, 9, 40] {
        let mut instance = open(Arc::new(TestHost::new()));
        let batch = (1..runs).fold(TestBatch::new(&events(3)), |batch, _| batch.run(&events(2)));
        assert_eq!(batch.lend(|batch| instance.write_batch(batch)), Ok(Written::Delivered));
        assert_eq!(instance.inspect("").unwrap(), expected(&batch));
    }
}

#[test]
fn an_empty_batch_is_delivered() {
    let mut instance = open(Arc::new(TestHost::new()));
    let nobody = TestBatch::new(&[]);
    assert_eq!(nobody.lend(|batch| instance.write_batch(batch)), Ok(Written::Delivered));
}

#[test]
fn acknowledgements_and_requests_cross_whole() {
    let host = Arc::new(TestHost::new());
    let mut instance = open(host.clone());
    let deadline = Deadline::after(std::time::Duration::from_secs(60));
    let answer = instance.control(&json!({"control": "x", "n": [1.5, null]}), deadline).unwrap();
    assert_eq!(answer, json!({"request": {"control": "x", "n": [1.5, null]}, "in_time": true}));
    let acknowledgement = &host.acknowledgements()[0];
    assert_eq!((acknowledgement.batch, acknowledgement.first, acknowledgement.count), (7, 1, 2));
    assert_eq!(acknowledgement.status, AckStatus::Permanent);
    assert_eq!(acknowledgement.retry_after, Some(std::time::Duration::from_millis(1500)));
    assert_eq!(acknowledgement.reason, "too large");
}

#[test]
fn the_plugin_gives_its_host_back() {
    let host: Arc<TestHost> = Arc::new(TestHost::new());
    let instance = open(host.clone());
    assert_eq!(Arc::strong_count(&host), 2);
    drop(instance);
    assert_eq!(Arc::strong_count(&host), 1);
    let refused = Context { name: "refused".into(), ..context() };
    let opened = Module(super::table::<Sinks>()).open("test.Checking", &json!({}), &refused, host.clone());
    assert_eq!(opened.err(), Some(SinkError::permanent("refused")));
    assert_eq!(Arc::strong_count(&host), 1);
}

#[test]
fn a_host_that_panics_does_not_end_the_plugin() {
    struct Panicking;
    impl HostServices for Panicking {
        fn log(&self, _level: Level, _target: &str, _text: &str) {}
        fn acknowledge(&self, _acknowledgement: Acknowledgement) {
            std::panic::resume_unwind(Box::new(()));
        }
        fn report(&self, _report: &Value) {}
        fn extension(&self, _id: &str, _version: u32) -> Option<RawExtension> {
            None
        }
    }
    let mut instance = open(Arc::new(Panicking));
    let deadline = Deadline::after(std::time::Duration::from_secs(60));
    assert!(instance.control(&json!({}), deadline).is_ok());
}

#[test]
fn modules_are_shared_and_instances_are_sent_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Module>();
    sent::<Instance>();
    shared::<crate::HeldJson>();
}

#[test]
fn a_class_that_is_not_there_is_named() {
    let module = Module(super::table::<Sinks>());
    let error = module.validate("test.Chekcing", &json!({}), &context()).unwrap_err();
    assert!(error.reason.contains("`test.Chekcing`") && error.reason.contains("test.Checking"), "{error}");
}

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all work is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as demanded of the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as demanded of the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_batch_crosses_without_an_allocation() {
    let mut instance = open(Arc::new(TestHost::new()));
    let batch = TestBatch::new(&events(100)).run(&events(100)).attempt(2);
    batch.lend(|batch| {
        let before = ALLOCATIONS.get();
        for _ in 0..10 {
            assert_eq!(instance.write_batch(batch), Ok(Written::Delivered));
        }
        assert_eq!(ALLOCATIONS.get() - before, 0);
    });
}

/// What a later version may make of an entry.
#[repr(C)]
#[derive(Clone, Copy)]
struct Grown {
    entry: RawEvent,
    more: [u32; 5],
}

/// Hands the batch to the plugin's function as a host would whose entries are these.
fn write_raw<E>(instance: &mut Instance, batch: &TestBatch, entries: &[E], size: u32) -> (u32, Reply) {
    unsafe extern "C" fn hold(_holder: *const c_void, _out: *mut c_void) {}
    batch.lend(|batch| {
        let runs: Vec<RawBytes> = batch.runs().iter().map(|run| RawBytes::lend(run)).collect();
        let raw = RawBatch {
            size,
            entry_size: size_of::<E>() as u32,
            id: 1,
            attempt: 1,
            reserved: 0,
            remaining: 1_000_000_000,
            runs: runs.as_ptr(),
            run_count: runs.len(),
            events: entries.as_ptr().cast(),
            event_count: entries.len(),
            holder: ptr::null(),
            hold,
        };
        let mut reply = Reply::default();
        let mut taken = 0;
        // SAFETY: all arguments live until the call has returned.
        let status = unsafe {
            plugin_side::write_batch::<Checking>(
                instance.instance.as_ptr(),
                ptr::from_ref(&raw).cast(),
                &mut taken,
                &reply.lend(),
            )
        };
        (status, reply)
    })
}

#[test]
fn a_newer_host_with_longer_entries_is_understood() {
    let mut instance = open(Arc::new(TestHost::new()));
    let batch = TestBatch::new(&events(20));
    let entries: Vec<Grown> = batch.lend(|batch| {
        batch.raw_events().iter().map(|entry| Grown { entry: *entry, more: [!0; 5] }).collect()
    });
    let (status, _) = write_raw(&mut instance, &batch, &entries, size_of::<RawBatch>() as u32 + 64);
    assert_eq!(status, status::OK);
    assert_eq!(instance.inspect("").unwrap(), expected(&batch));
}

#[test]
fn a_host_that_leaves_something_out_is_told() {
    let mut instance = open(Arc::new(TestHost::new()));
    let batch = TestBatch::new(&events(2));
    let (status, reply) = write_raw(&mut instance, &batch, &[[0_u32; 4]; 2], size_of::<RawBatch>() as u32);
    let error = reply.error.unwrap();
    assert_eq!((status, error.kind), (status::FAILED, ErrorKind::Retryable));
    assert!(error.reason.contains("16 bytes") && error.reason.contains("72"), "{error}");
    let (status, reply) = write_raw(&mut instance, &batch, &[RawEvent::default(); 2], 8);
    assert_eq!(status, status::FAILED);
    assert_eq!(reply.error.unwrap().kind, ErrorKind::Retryable);
}

/// What a plugin of another make answers to a batch.
#[derive(Clone, Copy)]
struct Answer {
    status: u32,
    taken: u32,
    error: Option<(u32, u32, u32)>,
    size: usize,
    value: &'static [u8],
}

const ANSWER: Answer =
    Answer { status: status::OK, taken: 0, error: None, size: size_of::<RawError>(), value: b"{}" };

/// An instance that gives this answer to everything.
fn answering(answer: Answer) -> Instance {
    unsafe fn say(instance: *mut c_void, taken: *mut u32, reply: *const RawReply) -> u32 {
        // SAFETY: the instance is the `Answer` that `answering` leaked, and the host lends the rest.
        let (answer, reply) = unsafe { (&*instance.cast::<Answer>(), &*reply) };
        if !taken.is_null() {
            // SAFETY: the host lends the place.
            unsafe { taken.write(answer.taken) };
        }
        if let Some((kind, delivered, position)) = answer.error {
            let positions = [position];
            let error = RawError {
                size: answer.size as u32,
                kind,
                delivered,
                prefix: position,
                positions: positions.as_ptr(),
                position_count: 1,
                reason: RawBytes::lend(b"because \xff"),
                option: RawBytes::NONE,
                retry_after: 5,
            };
            // SAFETY: the host takes what it wants before it returns.
            unsafe { (reply.error)(reply.context, ptr::from_ref(&error).cast()) };
        }
        // SAFETY: as above.
        unsafe { (reply.value)(reply.context, RawBytes::lend(answer.value)) };
        answer.status
    }
    unsafe extern "C" fn validate(_: RawBytes, _: RawBytes, _: *const RawReply) -> u32 {
        status::OK
    }
    unsafe extern "C" fn open(
        _: RawBytes,
        _: RawBytes,
        _: super::RawHost,
        _: *mut *mut c_void,
        _: *const RawReply,
    ) -> u32 {
        status::OK
    }
    unsafe extern "C" fn write(
        instance: *mut c_void,
        _: *const c_void,
        taken: *mut u32,
        reply: *const RawReply,
    ) -> u32 {
        // SAFETY: passed on as it came.
        unsafe { say(instance, taken, reply) }
    }
    unsafe extern "C" fn flush(instance: *mut c_void, _: u64, reply: *const RawReply) -> u32 {
        // SAFETY: passed on as it came.
        unsafe { say(instance, ptr::null_mut(), reply) }
    }
    unsafe extern "C" fn control(instance: *mut c_void, _: RawBytes, _: u64, reply: *const RawReply) -> u32 {
        // SAFETY: passed on as it came.
        unsafe { say(instance, ptr::null_mut(), reply) }
    }
    unsafe extern "C" fn inspect(instance: *mut c_void, _: RawBytes, reply: *const RawReply) -> u32 {
        // SAFETY: passed on as it came.
        unsafe { say(instance, ptr::null_mut(), reply) }
    }
    unsafe extern "C" fn end(instance: *mut c_void, _: *const RawReply) -> u32 {
        // SAFETY: the instance is the `Answer` that `answering` leaked, and this is the end of it.
        drop(unsafe { Box::from_raw(instance.cast::<Answer>()) });
        99
    }
    unsafe extern "C" fn extension(_: *const c_void, _: RawBytes, _: u32, _: *mut c_void) -> u32 {
        42
    }
    static CLASS: RawClass = RawClass {
        name: name("test.Strange"),
        validate,
        open,
        write_batch: write,
        flush,
        close: flush,
        control,
        inspect,
        drop: end,
        extension,
    };
    Instance { class: &CLASS, instance: NonNull::from(Box::leak(Box::new(answer))).cast() }
}

fn write(answer: Answer) -> Result<Written, SinkError> {
    let mut instance = answering(answer);
    TestBatch::new(&events(3)).lend(|batch| instance.write_batch(batch))
}

fn failed(kind: u32, delivered: u32, position: u32) -> SinkError {
    write(Answer { status: status::FAILED, error: Some((kind, delivered, position)), ..ANSWER }).unwrap_err()
}

#[test]
fn codes_that_are_not_known_mean_retryable() {
    for kind in [0, 6, u32::MAX] {
        assert_eq!(failed(kind, 0, 0).kind, ErrorKind::Retryable);
    }
    assert_eq!(failed(2, 9, 1), SinkError { events: Delivered::Nothing, ..failed(2, 0, 0) });
    let error = write(Answer { status: 77, ..ANSWER }).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retryable);
    assert!(error.reason.contains("77"), "{error}");
    assert_eq!(wire::level(200), Level::Info);
    let acknowledgement = wire::RawAcknowledgement {
        size: size_of::<wire::RawAcknowledgement>() as u32,
        status: 17,
        batch: 1,
        first: 0,
        count: 1,
        retry_after: u64::MAX,
        reason: RawBytes::NONE,
    };
    // SAFETY: it points at nothing.
    let acknowledgement = unsafe { acknowledgement.read() };
    assert_eq!((acknowledgement.status, acknowledgement.retry_after), (AckStatus::Retryable, None));
}

#[test]
fn known_codes_keep_their_meaning() {
    assert_eq!(write(Answer { status: 1, taken: 2, ..ANSWER }), Ok(Written::Pending { taken: 2 }));
    let error = failed(2, 2, 1);
    assert_eq!((error.kind, error.events), (ErrorKind::Permanent, Delivered::AllExcept(vec![1])));
    assert_eq!(error.retry_after, Some(std::time::Duration::from_nanos(5)));
    assert_eq!(error.reason, "because \u{fffd}");
    let error = failed(1, 1, 3);
    assert_eq!((error.kind, error.events), (ErrorKind::Retryable, Delivered::Prefix(3)));
    for (code, kind) in [(3, ErrorKind::Reopen), (4, ErrorKind::Unsupported), (5, ErrorKind::Panicked)] {
        assert_eq!(failed(code, 0, 0).kind, kind);
    }
}

#[test]
fn answers_that_cannot_be_true_mean_retryable() {
    for strange in [
        Answer { status: status::PENDING, taken: 4, ..ANSWER },
        Answer { status: status::FAILED, error: None, ..ANSWER },
        Answer { status: status::FAILED, error: Some((2, 1, 4)), ..ANSWER },
        Answer { status: status::FAILED, error: Some((2, 2, 3)), ..ANSWER },
        Answer { status: status::FAILED, error: Some((2, 0, 0)), size: 12, ..ANSWER },
    ] {
        let error = write(strange).unwrap_err();
        assert_eq!(
            (error.kind, error.events),
            (ErrorKind::Retryable, Delivered::Nothing),
            "{}",
            error.reason
        );
    }
    let deadline = Deadline::after(std::time::Duration::from_secs(1));
    for value in [b"".as_slice(), b"{", b"\xff"] {
        let mut instance = answering(Answer { value, ..ANSWER });
        assert_eq!(instance.inspect("").unwrap_err().kind, ErrorKind::Retryable);
        assert_eq!(instance.control(&json!({}), deadline).unwrap_err().kind, ErrorKind::Retryable);
    }
    let mut instance = answering(Answer { status: status::PENDING, ..ANSWER });
    assert_eq!(instance.flush(deadline).unwrap_err().kind, ErrorKind::Retryable);
    assert!(instance.extension("x", 1).is_none());
}

#[test]
fn an_error_of_a_newer_plugin_is_understood() {
    let error =
        Answer { status: status::FAILED, error: Some((2, 0, 0)), size: size_of::<RawError>() + 40, ..ANSWER };
    assert_eq!(write(error).unwrap_err().kind, ErrorKind::Permanent);
}

#[test]
fn the_sizes_are_those_of_the_first_release() {
    assert_eq!(size_of::<RawEvent>(), 72);
    assert_eq!(size_of::<RawBatch>(), 80);
    assert_eq!(size_of::<RawError>(), 72);
    assert_eq!(size_of::<wire::RawAcknowledgement>(), 48);
    assert_eq!(size_of::<RawHeld>(), 24);
    assert_eq!(size_of::<RawExtension>(), 16);
    assert_eq!(size_of::<RawClass>(), 88);
}
