//! librdkafka's producer, as this sink needs it: the one file with `unsafe`.
//!
//! rdkafka's own `BaseProducer` looks its topic up by name and copies the payload for each message, and reports every
//! error twice. Here a topic handle is made once, payloads are sent from the bytes that [`InFlight`] keeps, a whole batch
//! goes over in one call where it has no headers, and reports are taken from librdkafka's event queue an array at a time.
//!
//! No callback of librdkafka runs code of ours: everything comes out of [`Producer::poll`].

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use audit_kafka_message::{Form, Message, NotCanonical, Payload};
use audit_plugin_api::{Batch, Event, Held};
use rdkafka::ClientConfig;
use rdkafka::bindings as rd;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr, RDKafkaType};

use crate::in_flight::{InFlight, Settled, Ticket};
use crate::verdict::Verdict;

/// Messages that are handed over in one call: few enough to stay in the cache.
const CHUNK: usize = 256;
/// Most events that one poll hands out.
const EVENTS: usize = 64;

/// librdkafka's partitioner chooses.
const ANY_PARTITION: i32 = -1;

/// A producer for one topic, and what it has in flight.
pub struct Producer {
    client: NonNull<rd::rd_kafka_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
    topic: NonNull<rd::rd_kafka_topic_t>,
    name: CString,
    /// Outlives the client, which reads payloads in it: see `drop`.
    in_flight: Mutex<InFlight>,
}

// SAFETY: librdkafka's handles may be used from any thread, and at the same time.
unsafe impl Send for Producer {}
// SAFETY: as above.
unsafe impl Sync for Producer {}

/// What came of a batch that was handed over.
#[derive(Default)]
pub struct Sent {
    /// How many messages, from the first, are settled or on their way.
    pub taken: usize,
    /// Why no more were taken, unless the queue is full.
    pub stopped: Option<String>,
}

/// What comes out of the event queue.
pub enum Happening<'a> {
    /// Messages were delivered, or failed.
    Reports(Settled),
    /// A line of librdkafka's log: level as in syslog, facility, text.
    Log(i32, Cow<'a, str>, Cow<'a, str>),
    /// An error that concerns no message.
    Error(Code, Cow<'a, str>),
    /// Statistics, as JSON.
    Statistics(&'a [u8]),
}

impl Producer {
    /// Makes a producer. It connects by itself, when the configuration names brokers.
    pub fn new(config: &ClientConfig, topic: &str) -> Result<Self, KafkaError> {
        let name = CString::new(topic)?;
        let mut config = config.clone();
        config.set("log.queue", "true");
        let native = ManuallyDrop::new(config.create_native_config()?);
        let events = rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_STATS | rd::RD_KAFKA_EVENT_ERROR;
        // SAFETY: the configuration is whole, and ours.
        unsafe { rd::rd_kafka_conf_set_events(native.ptr(), events) };
        let mut words: [c_char; 512] = [0; 512];
        // SAFETY: the client takes the configuration over when it is made; when not, it stays ours and is given back
        // below. `words` is as long as it is said to be, and ends with a NUL afterwards.
        let client = unsafe {
            rd::rd_kafka_new(RDKafkaType::RD_KAFKA_PRODUCER, native.ptr(), words.as_mut_ptr(), words.len())
        };
        let Some(client) = NonNull::new(client) else {
            drop(ManuallyDrop::into_inner(native));
            // SAFETY: librdkafka has written a text that ends with a NUL, or nothing into zeros.
            let words = unsafe { CStr::from_ptr(words.as_ptr()) };
            return Err(KafkaError::ClientCreation(words.to_string_lossy().into_owned()));
        };
        // SAFETY: the client is alive; a null configuration means the client's own.
        let topic = unsafe { rd::rd_kafka_topic_new(client.as_ptr(), name.as_ptr(), ptr::null_mut()) };
        let Some(topic) = NonNull::new(topic) else {
            // SAFETY: nothing else refers to the client. The error is that of this thread's last call.
            let code = unsafe {
                let code = rd::rd_kafka_last_error();
                rd::rd_kafka_destroy(client.as_ptr());
                code
            };
            return Err(KafkaError::ClientCreation(words_of(code)));
        };
        // SAFETY: the client is alive. A client always has a main queue.
        let queue = unsafe { NonNull::new_unchecked(rd::rd_kafka_queue_get_main(client.as_ptr())) };
        // SAFETY: both are alive.
        unsafe { rd::rd_kafka_set_log_queue(client.as_ptr(), queue.as_ptr()) };
        Ok(Self { client, queue, topic, name, in_flight: Mutex::default() })
    }

    /// Sends the first `count` events of a batch, in order, until the queue is full. What failed at once stands in
    /// `settled`.
    pub fn send(&self, batch: &Batch<'_>, count: usize, form: &Form, settled: &mut Settled) -> Sent {
        let held = (form.payload == Payload::Full).then(|| batch.hold());
        let slot = self.in_flight().begin(batch.id(), count, held.clone());
        let mut progress = Progress::default();
        match &held {
            Some(held) if form.headers.is_empty() => {
                self.send_lines(batch, count, form, held, slot, &mut progress);
            }
            _ => {
                let now = milliseconds_since_1970();
                for (position, event) in batch.events().take(count).enumerate() {
                    let sent = self.send_event(&event, form, held.as_ref(), now, opaque(slot, position));
                    if !progress.note(position, sent) {
                        break;
                    }
                }
            }
        }
        let mut in_flight = self.in_flight();
        for (position, verdict) in progress.failed {
            in_flight.report(Ticket { slot, position: position as u32 }, verdict, settled);
        }
        in_flight.cut(slot, progress.sent.taken, settled);
        progress.sent
    }

    /// Sends canonical lines without headers, in one call.
    fn send_lines(
        &self,
        batch: &Batch<'_>,
        count: usize,
        form: &Form,
        held: &Held,
        slot: u32,
        progress: &mut Progress,
    ) {
        let mut events = batch.events().take(count).enumerate().peekable();
        let mut keys: Vec<Option<Cow<'_, [u8]>>> = Vec::with_capacity(CHUNK);
        let mut messages: Vec<rd::rd_kafka_message_t> = Vec::with_capacity(CHUNK);
        while let Some(&(first, _)) = events.peek() {
            keys.clear();
            messages.clear();
            for (position, event) in events.by_ref().take(CHUNK) {
                let payload = line_in(held, &event);
                let key = Message::key(&event, form.key);
                // The bytes of a key that is made here stay where they are when the key itself moves.
                let (raw_key, key_len) = raw_key(key.as_deref());
                keys.push(key);
                messages.push(rd::rd_kafka_message_t {
                    err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
                    rkt: ptr::null_mut(),
                    partition: ANY_PARTITION,
                    payload: payload.as_ptr().cast_mut().cast(),
                    len: payload.len(),
                    key: raw_key,
                    key_len,
                    offset: 0,
                    _private: opaque(slot, position),
                });
            }
            // SAFETY: topic, messages and keys are alive during the call, and librdkafka copies keys. The payloads lie in
            // the bytes of `held`, which the slot keeps until the last report of the batch, or until the client is gone.
            unsafe {
                rd::rd_kafka_produce_batch(
                    self.topic.as_ptr(),
                    ANY_PARTITION,
                    0,
                    messages.as_mut_ptr(),
                    messages.len() as c_int,
                )
            };
            // Once its queue is full, librdkafka fails all messages that follow.
            for (message, position) in messages.iter().zip(first..) {
                if !progress.note(position, Ok(message.err)) {
                    return;
                }
            }
        }
    }

    /// Waits for something to happen, and hands out what there is then (not more than 64 events).
    pub fn poll(&self, timeout: Duration, take: &mut dyn FnMut(Happening<'_>)) {
        let mut timeout_ms = milliseconds(timeout);
        for _ in 0..EVENTS {
            // SAFETY: the queue is alive.
            let event = unsafe { rd::rd_kafka_queue_poll(self.queue.as_ptr(), timeout_ms) };
            let Some(event) = NonNull::new(event) else { return };
            let settled = self.read(event.as_ptr(), take);
            // SAFETY: the event is ours, and nothing that `read` lent lives on.
            unsafe { rd::rd_kafka_event_destroy(event.as_ptr()) };
            // Its messages count in librdkafka's queue until here, and whoever hears of them may send more at once.
            if let Some(settled) = settled {
                take(Happening::Reports(settled));
            }
            timeout_ms = 0;
        }
    }

    /// Reads an event: returns what it settled, or hands out what it says.
    fn read(&self, event: *mut rd::rd_kafka_event_t, take: &mut dyn FnMut(Happening<'_>)) -> Option<Settled> {
        // SAFETY: the event is alive.
        match unsafe { rd::rd_kafka_event_type(event) } {
            rd::RD_KAFKA_EVENT_DR => return Some(self.read_reports(event)),
            rd::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                // SAFETY: the event is a log event; the texts live as long as it does.
                if unsafe { rd::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) } == 0 {
                    // SAFETY: as above, and both end with a NUL.
                    let (facility, text) = unsafe { (lend(facility), lend(text)) };
                    take(Happening::Log(level, facility, text));
                }
            }
            rd::RD_KAFKA_EVENT_ERROR => {
                // SAFETY: the event is an error event, and its text lives as long as it does.
                let (code, text) = unsafe {
                    (rd::rd_kafka_event_error(event), lend(rd::rd_kafka_event_error_string(event)))
                };
                take(Happening::Error(Code::from(code), text));
            }
            rd::RD_KAFKA_EVENT_STATS => {
                // SAFETY: the event is a statistics event; its text ends with a NUL and lives as long as it does.
                let json = unsafe { CStr::from_ptr(rd::rd_kafka_event_stats(event)) };
                take(Happening::Statistics(json.to_bytes()));
            }
            _ => {}
        }
        None
    }

    fn read_reports(&self, event: *mut rd::rd_kafka_event_t) -> Settled {
        // SAFETY: the event is alive, and one of reports.
        let count = unsafe { rd::rd_kafka_event_message_count(event) };
        let mut messages: Vec<*const rd::rd_kafka_message_t> = vec![ptr::null(); count];
        // SAFETY: there is room for `count` pointers.
        let count = unsafe { rd::rd_kafka_event_message_array(event, messages.as_mut_ptr(), count) };
        let mut settled = Settled::default();
        let mut in_flight = self.in_flight();
        for &message in &messages[..count] {
            // SAFETY: the messages live as long as their event. A broker may answer with a code that is not in the enum.
            let (code, opaque) = unsafe {
                ((&raw const (*message).err).cast::<i32>().read(), (*message)._private.addr() as u64)
            };
            let ticket = Ticket { slot: (opaque >> 32) as u32, position: opaque as u32 };
            let code = RDKafkaRespErr::try_from(code).unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN);
            let verdict = match code {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Verdict::Delivered,
                code => {
                    // SAFETY: the message is a report of a producer, and lives as long as its event.
                    let words = unsafe { rd::rd_kafka_message_produce_errstr(message) };
                    let words = match words.is_null() {
                        true => words_of(code),
                        // SAFETY: it ends with a NUL, and lives as long as the message.
                        false => unsafe { lend(words) }.into_owned(),
                    };
                    Verdict::of(Code::from(code), words, in_flight.company(ticket))
                }
            };
            in_flight.report(ticket, verdict, &mut settled);
        }
        settled
    }

    /// What is in flight.
    pub fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a [`Producer::poll`] that waits.
    pub fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { rd::rd_kafka_queue_yield(self.queue.as_ptr()) };
    }

    /// Lets librdkafka send what it has without waiting for more; does not wait itself.
    pub fn hurry(&self) {
        // SAFETY: the client is alive. A timeout of 0 comes back at once, with the same answer as `in_flight`.
        unsafe { rd::rd_kafka_flush(self.client.as_ptr(), 0) };
    }

    /// The error after which this producer is of no more use, if there was one.
    pub fn fatal_error(&self) -> Option<String> {
        let mut words: [c_char; 512] = [0; 512];
        // SAFETY: the client is alive, and `words` as long as it is said to be.
        let code = unsafe { rd::rd_kafka_fatal_error(self.client.as_ptr(), words.as_mut_ptr(), words.len()) };
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka has written a text that ends with a NUL.
        let words = unsafe { lend(words.as_ptr()) };
        Some(format!("{}: {words}", words_of(code)))
    }

    /// Makes librdkafka behave as after a fatal error.
    #[cfg(test)]
    pub fn provoke_fatal_error(&self) {
        let reason = c"provoked by a test";
        let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        // SAFETY: the client is alive, and the text ends with a NUL.
        unsafe { rd::rd_kafka_test_fatal_error(self.client.as_ptr(), code, reason.as_ptr()) };
    }

    /// Asks the brokers for the topic: how many partitions it has.
    pub fn partitions(&self, timeout: Duration) -> Result<usize, (Code, String)> {
        let mut metadata: *const rd::rd_kafka_metadata = ptr::null();
        // SAFETY: client and topic are alive, and `metadata` is a place for the answer.
        let code = unsafe {
            rd::rd_kafka_metadata(
                self.client.as_ptr(),
                0,
                self.topic.as_ptr(),
                &mut metadata,
                milliseconds(timeout),
            )
        };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failure(code));
        }
        // SAFETY: the answer is whole when there is no error, and stays until it is destroyed.
        let topic = unsafe {
            let answer = &*metadata;
            (answer.topic_cnt > 0).then(|| ((*answer.topics).err, (*answer.topics).partition_cnt))
        };
        // SAFETY: nothing refers to it any more.
        unsafe { rd::rd_kafka_metadata_destroy(metadata) };
        match topic {
            Some((RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, count)) => Ok(count.max(0) as usize),
            Some((code, _)) => Err(failure(code)),
            None => Err(failure(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)),
        }
    }

    /// Asks the brokers whether this client may write to the topic; `None` where they do not say.
    pub fn may_write(&self, timeout: Duration) -> Result<Option<bool>, (Code, String)> {
        let mut names = [self.name.as_ptr()];
        // SAFETY: everything made here is alive until it is destroyed below, and the reply is awaited on a queue of its own.
        unsafe {
            let queue = rd::rd_kafka_queue_new(self.client.as_ptr());
            let topics = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            let options = rd::rd_kafka_AdminOptions_new(
                self.client.as_ptr(),
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            );
            let mut words: [c_char; 128] = [0; 128];
            rd::rd_kafka_AdminOptions_set_request_timeout(
                options,
                milliseconds(timeout),
                words.as_mut_ptr(),
                words.len(),
            );
            let refused = rd::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
            if !refused.is_null() {
                rd::rd_kafka_error_destroy(refused);
            }
            rd::rd_kafka_DescribeTopics(self.client.as_ptr(), topics, options, queue);
            let event = rd::rd_kafka_queue_poll(queue, milliseconds(timeout));
            let answer = match event.is_null() {
                true => Err(failure(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT)),
                false => read_permission(event),
            };
            if !event.is_null() {
                rd::rd_kafka_event_destroy(event);
            }
            rd::rd_kafka_AdminOptions_destroy(options);
            rd::rd_kafka_TopicCollection_destroy(topics);
            rd::rd_kafka_queue_destroy(queue);
            answer
        }
    }

    fn send_event(
        &self,
        event: &Event<'_>,
        form: &Form,
        held: Option<&Held>,
        now: i64,
        opaque: *mut c_void,
    ) -> Result<RDKafkaRespErr, NotCanonical> {
        let line = held.map(|held| line_in(held, event));
        let made = match line {
            Some(_) => Cow::Borrowed(&[][..]),
            None => Message::payload(event, form.payload)?,
        };
        let (payload, flags) = match line {
            Some(line) => (line, 0),
            None => (&*made, rd::RD_KAFKA_MSG_F_COPY),
        };
        let key = Message::key(event, form.key);
        let (key, key_len) = raw_key(key.as_deref());
        let headers = match form.headers.is_empty() {
            true => ptr::null_mut(),
            false => raw_headers(event, form),
        };
        use rd::rd_kafka_vtype_t as vtype;
        let memory = |ptr, size| rd::rd_kafka_vu_s__bindgen_ty_1 {
            mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size },
        };
        let value = |vtype, u| rd::rd_kafka_vu_t { vtype, u };
        let arguments = [
            value(vtype::RD_KAFKA_VTYPE_RKT, rd::rd_kafka_vu_s__bindgen_ty_1 { rkt: self.topic.as_ptr() }),
            value(vtype::RD_KAFKA_VTYPE_MSGFLAGS, rd::rd_kafka_vu_s__bindgen_ty_1 { i: flags }),
            value(vtype::RD_KAFKA_VTYPE_VALUE, memory(payload.as_ptr().cast_mut().cast(), payload.len())),
            value(vtype::RD_KAFKA_VTYPE_KEY, memory(key, key_len)),
            // Otherwise librdkafka asks the clock for each message.
            value(vtype::RD_KAFKA_VTYPE_TIMESTAMP, rd::rd_kafka_vu_s__bindgen_ty_1 { i64_: now }),
            value(vtype::RD_KAFKA_VTYPE_OPAQUE, rd::rd_kafka_vu_s__bindgen_ty_1 { ptr: opaque }),
            value(vtype::RD_KAFKA_VTYPE_HEADERS, rd::rd_kafka_vu_s__bindgen_ty_1 { headers }),
        ];
        let count = if headers.is_null() { arguments.len() - 1 } else { arguments.len() };
        // SAFETY: the arguments are alive during the call. librdkafka copies the key, and the payload where the flags say
        // so; any other payload lies in bytes that the slot keeps until its report, or until the client is gone. It takes
        // the headers over unless it fails.
        let error = unsafe { rd::rd_kafka_produceva(self.client.as_ptr(), arguments.as_ptr(), count) };
        if error.is_null() {
            return Ok(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        }
        // SAFETY: the error is ours, and so are the headers, since the call failed.
        unsafe {
            let code = rd::rd_kafka_error_code(error);
            rd::rd_kafka_error_destroy(error);
            if !headers.is_null() {
                rd::rd_kafka_headers_destroy(headers);
            }
            Ok(code)
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: nobody uses the handles any more. When the client is destroyed, no message of it is left, so nothing
        // refers to the bytes that `in_flight` keeps, which is dropped afterwards.
        unsafe {
            rd::rd_kafka_purge(
                self.client.as_ptr(),
                rd::RD_KAFKA_PURGE_F_QUEUE
                    | rd::RD_KAFKA_PURGE_F_INFLIGHT
                    | rd::RD_KAFKA_PURGE_F_NON_BLOCKING,
            );
            rd::rd_kafka_topic_destroy(self.topic.as_ptr());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
            rd::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}

/// How far the sending of a batch has come.
#[derive(Default)]
struct Progress {
    sent: Sent,
    failed: Vec<(usize, Verdict)>,
}

impl Progress {
    /// Notes what came of the next event; returns whether to go on.
    fn note(&mut self, position: usize, sent: Result<RDKafkaRespErr, NotCanonical>) -> bool {
        let verdict = match sent {
            Err(error) => Verdict::GiveUp { reason: error.to_string() },
            Ok(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR) => Verdict::Delivered,
            Ok(code) => match Code::from(code) {
                Code::QueueFull => return false,
                Code::Fatal | Code::Fenced | Code::State => {
                    self.sent.stopped = Some(words_of(code));
                    return false;
                }
                code_of => Verdict::at_once(code_of, words_of(code)),
            },
        };
        self.sent.taken = position + 1;
        if verdict != Verdict::Delivered {
            self.failed.push((position, verdict));
        }
        true
    }
}

/// The line of an event in the bytes that are held.
fn line_in<'h>(held: &'h Held, event: &Event<'_>) -> &'h [u8] {
    let raw = event.raw();
    let start = raw.offset as usize;
    held.run(raw.run as usize).get(start..start + raw.len as usize).unwrap_or_default()
}

/// What a report brings back: a number in the place of a pointer.
fn opaque(slot: u32, position: usize) -> *mut c_void {
    ptr::without_provenance_mut((u64::from(slot) << 32 | position as u64) as usize)
}

/// An empty key is not a null key: librdkafka tells them apart by the pointer.
fn raw_key(key: Option<&[u8]>) -> (*mut c_void, usize) {
    key.map_or((ptr::null_mut(), 0), |key| (key.as_ptr().cast_mut().cast(), key.len()))
}

fn raw_headers(event: &Event<'_>, form: &Form) -> *mut rd::rd_kafka_headers_t {
    // SAFETY: this makes a new list.
    let list = unsafe { rd::rd_kafka_headers_new(form.headers.len()) };
    for &header in &form.headers {
        let (name, value) = Message::header(event, header);
        // SAFETY: the list is alive, and librdkafka copies name and value, which are of these lengths.
        unsafe {
            rd::rd_kafka_header_add(
                list,
                name.as_ptr().cast(),
                name.len() as isize,
                value.as_ptr().cast(),
                value.len() as isize,
            )
        };
    }
    list
}

/// Reads the reply to a description of one topic.
///
/// # Safety
/// The event must be alive.
unsafe fn read_permission(event: *mut rd::rd_kafka_event_t) -> Result<Option<bool>, (Code, String)> {
    // SAFETY: the caller keeps the event alive, and with it everything that is read here.
    unsafe {
        let code = rd::rd_kafka_event_error(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err((Code::from(code), lend(rd::rd_kafka_event_error_string(event)).into_owned()));
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Ok(None);
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if count == 0 {
            return Ok(None);
        }
        let topic = *topics;
        let error = rd::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            let code = rd::rd_kafka_error_code(error);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err((Code::from(code), lend(rd::rd_kafka_error_string(error)).into_owned()));
            }
        }
        let mut count = 0;
        let operations = rd::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        if operations.is_null() || count == 0 {
            return Ok(None);
        }
        let operations = std::slice::from_raw_parts(operations, count);
        use rd::rd_kafka_AclOperation_t as operation;
        Ok(Some(operations.iter().any(|each| {
            matches!(each, operation::RD_KAFKA_ACL_OPERATION_WRITE | operation::RD_KAFKA_ACL_OPERATION_ALL)
        })))
    }
}

/// Text of librdkafka.
///
/// # Safety
/// The text must end with a NUL and stay for as long as the result is used.
unsafe fn lend<'a>(text: *const c_char) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// librdkafka's words for a code.
fn words_of(code: RDKafkaRespErr) -> String {
    // SAFETY: librdkafka has a static text for each code.
    unsafe { lend(rd::rd_kafka_err2str(code)) }.into_owned()
}

fn failure(code: RDKafkaRespErr) -> (Code, String) {
    (Code::from(code), words_of(code))
}

/// What librdkafka itself gives a message as its time.
fn milliseconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(i64::MAX)
}

/// Rounded up: a wait of less than a millisecond is not to become one of nothing, over and over.
fn milliseconds(timeout: Duration) -> c_int {
    timeout.as_micros().div_ceil(1000).min(c_int::MAX as u128) as c_int
}
