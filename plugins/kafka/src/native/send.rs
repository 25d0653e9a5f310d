//! Hands messages over to librdkafka.

use std::borrow::Cow;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::SystemTime;

use audit_kafka_message::{Form, Message, NotCanonical, Payload};
use audit_plugin_api::{Batch, Event};
use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use super::{Producer, words_of};
use crate::in_flight::{Settled, Ticket};
use crate::verdict::Verdict;

/// Messages that are handed over in one call: few enough to stay in the cache.
const CHUNK: usize = 256;

/// librdkafka's partitioner chooses.
const ANY_PARTITION: i32 = -1;

/// What came of a batch that was handed over.
#[derive(Default)]
pub struct Sent {
    /// How many messages, from the first, are settled or on their way.
    pub taken: usize,
    /// Why no more were taken, unless the queue is full.
    pub stopped: Option<String>,
}

impl Producer {
    /// Sends the first `count` events of a batch, in order, until the queue is full. What failed at once stands in
    /// `settled`.
    pub fn send(&self, batch: &Batch<'_>, count: usize, form: &Form, settled: &mut Settled) -> Sent {
        let held = (form.payload == Payload::Full).then(|| batch.hold());
        let slot = self.in_flight().begin(batch.id(), count, held.clone());
        // Asked for once, and not for each event: that is a call to the host.
        let runs: Option<Vec<&[u8]>> =
            held.as_ref().map(|held| (0..batch.runs().len()).map(|run| held.run(run)).collect());
        let runs = runs.as_deref();
        let mut progress = Progress::default();
        match runs {
            Some(runs) if form.headers.is_empty() => {
                self.send_lines(batch, count, form, runs, slot, &mut progress);
            }
            _ => {
                let now = milliseconds_since_1970();
                for (position, event) in batch.events().take(count).enumerate() {
                    let sent = self.send_event(&event, form, runs, now, opaque(slot, position));
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

    /// Sends canonical lines without headers, in one call. The runs are those that the slot keeps.
    fn send_lines(
        &self,
        batch: &Batch<'_>,
        count: usize,
        form: &Form,
        runs: &[&[u8]],
        slot: u32,
        progress: &mut Progress,
    ) {
        let mut events = batch.events().take(count).enumerate().peekable();
        let mut keys: Vec<Option<Cow<'_, [u8]>>> = Vec::with_capacity(CHUNK);
        let mut messages: Vec<rd::rd_kafka_message_t> = Vec::with_capacity(CHUNK);
        while let Some(&(first, _)) = events.peek() {
            keys.clear();
            messages.clear();
            let mut missing = None;
            for (position, event) in events.by_ref().take(CHUNK) {
                let payload = match line_in(runs, &event) {
                    Ok(line) => line,
                    Err(error) => {
                        missing = Some((position, error));
                        break;
                    }
                };
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
            // `runs`, which the slot keeps until the last report of the batch, or until the client is gone.
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
            if let Some((position, error)) = missing {
                progress.note(position, Err(error));
            }
        }
    }

    /// Sends one event: its canonical line, where there are runs, which are those that the slot keeps.
    fn send_event(
        &self,
        event: &Event<'_>,
        form: &Form,
        runs: Option<&[&[u8]]>,
        now: i64,
        opaque: *mut c_void,
    ) -> Result<RDKafkaRespErr, NotCanonical> {
        let line = runs.map(|runs| line_in(runs, event)).transpose()?;
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
            // After a fatal error it is of the code of that one, which says nothing about this event.
            let code = match rd::rd_kafka_error_is_fatal(error) {
                0 => rd::rd_kafka_error_code(error),
                _ => RDKafkaRespErr::RD_KAFKA_RESP_ERR__FATAL,
            };
            rd::rd_kafka_error_destroy(error);
            if !headers.is_null() {
                rd::rd_kafka_headers_destroy(headers);
            }
            Ok(code)
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

/// The line of an event in the runs of its batch.
fn line_in<'r>(runs: &[&'r [u8]], event: &Event<'_>) -> Result<&'r [u8], NotCanonical> {
    let raw = event.raw();
    let start = raw.offset as usize;
    let line = runs.get(raw.run as usize).and_then(|run| run.get(start..start + raw.len as usize));
    line.filter(|line| !line.is_empty()).ok_or(NotCanonical)
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

/// What librdkafka itself gives a message as its time.
fn milliseconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(i64::MAX)
}
