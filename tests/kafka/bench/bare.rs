//! librdkafka as it is: what the sink is measured against.

use std::ffi::{CString, c_void};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaRespErr, RDKafkaType};

use crate::contenders::Shape;

/// Messages of one call, as many as a batch of the sink has.
const BATCH: usize = 2000;

/// `RD_KAFKA_MSG_F_BLOCK`: wait while the queue is full.
const BLOCK: i32 = rd::RD_KAFKA_MSG_F_BLOCK;

/// A producer with a thread that polls.
pub struct BareProducer {
    client: *mut rd::rd_kafka_t,
    topic: *mut rd::rd_kafka_topic_t,
    key: bool,
    headers: bool,
    shared: Arc<Shared>,
    poller: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    delivered: AtomicUsize,
    ending: AtomicBool,
}

struct Client(*mut rd::rd_kafka_t);
// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl Send for Client {}

unsafe extern "C" fn delivered(
    _: *mut rd::rd_kafka_t,
    message: *const rd::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque is the `Shared` that the producer keeps until it is destroyed.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    // SAFETY: the message lives during the callback.
    if unsafe { (*message).err } == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        shared.delivered.fetch_add(1, Ordering::Release);
    }
}

impl BareProducer {
    pub fn new(config: &ClientConfig, topic: &str, shape: &Shape) -> Self {
        let shared = Arc::new(Shared::default());
        let native = ManuallyDrop::new(config.create_native_config().expect("a good configuration"));
        let name = CString::new(topic).expect("no NUL");
        // SAFETY: the client takes the configuration over; the topic is one of the client; `shared` outlives both.
        let (client, topic) = unsafe {
            rd::rd_kafka_conf_set_opaque(native.ptr(), Arc::as_ptr(&shared).cast_mut().cast());
            rd::rd_kafka_conf_set_dr_msg_cb(native.ptr(), Some(delivered));
            let client = rd::rd_kafka_new(RDKafkaType::RD_KAFKA_PRODUCER, native.ptr(), ptr::null_mut(), 0);
            assert!(!client.is_null(), "a producer");
            (client, rd::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()))
        };
        let (polled, sent) = (shared.clone(), Client(client));
        let poller = thread::spawn(move || {
            let client = sent;
            while !polled.ending.load(Ordering::Acquire) {
                // SAFETY: the client is destroyed after this thread has ended.
                unsafe { rd::rd_kafka_poll(client.0, 100) };
            }
        });
        Self { client, topic, key: shape.key, headers: shape.headers, shared, poller: Some(poller) }
    }

    /// Asks for the topic, so that its leaders are known.
    pub fn connect(&self) {
        let mut metadata = ptr::null();
        // SAFETY: client and topic are alive, and there is a place for the answer, which is destroyed.
        unsafe {
            let code = rd::rd_kafka_metadata(self.client, 0, self.topic, &mut metadata, 30_000);
            assert_eq!(code, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
            rd::rd_kafka_metadata_destroy(metadata);
        }
    }

    pub fn delivered(&self) -> usize {
        self.shared.delivered.load(Ordering::Acquire)
    }

    /// Sends this many messages, and waits until all are delivered. Payloads are not copied. Where librdkafka's queue is
    /// full it waits itself (`RD_KAFKA_MSG_F_BLOCK`), which wastes nothing.
    pub fn send_all(&self, lines: &[(Vec<u8>, String)], messages: usize) {
        let all = self.delivered() + messages;
        let mut sent = 0;
        while sent < messages {
            let batch: Vec<_> =
                (sent..messages.min(sent + BATCH)).map(|at| &lines[at % lines.len()]).collect();
            let taken = match self.headers {
                false => self.send_batch(&batch),
                true => batch.iter().take_while(|(line, user)| self.send_one(line, user)).count(),
            };
            assert_eq!(taken, batch.len(), "librdkafka takes all of them");
            sent += taken;
        }
        while self.delivered() < all {
            // Once, at the end, and at most a millisecond too long.
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn send_batch(&self, batch: &[&(Vec<u8>, String)]) -> usize {
        let mut natives: Vec<rd::rd_kafka_message_t> = batch
            .iter()
            .map(|(line, user)| rd::rd_kafka_message_t {
                err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
                rkt: ptr::null_mut(),
                partition: -1,
                payload: line.as_ptr().cast_mut().cast(),
                len: line.len(),
                key: self.key_of(user).0.cast_mut().cast(),
                key_len: self.key_of(user).1,
                offset: 0,
                _private: ptr::null_mut(),
            })
            .collect();
        // SAFETY: topic and messages are alive; the payloads outlive the producer.
        let taken = unsafe {
            rd::rd_kafka_produce_batch(self.topic, -1, BLOCK, natives.as_mut_ptr(), natives.len() as i32)
        };
        taken as usize
    }

    fn key_of(&self, user: &str) -> (*const u8, usize) {
        if self.key { (user.as_ptr(), user.len()) } else { (ptr::null(), 0) }
    }

    fn send_one(&self, line: &[u8], user: &str) -> bool {
        use rd::rd_kafka_vtype_t as vtype;
        let memory = |ptr: *const u8, size| rd::rd_kafka_vu_s__bindgen_ty_1 {
            mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: ptr.cast_mut().cast(), size },
        };
        let (key, key_len) = self.key_of(user);
        // The id stands at the same place in every line.
        let id = &line[13..49];
        // SAFETY: everything is alive during the call; librdkafka copies key and headers and takes the headers over
        // unless it fails; the payload outlives the producer.
        unsafe {
            let headers = rd::rd_kafka_headers_new(2);
            rd::rd_kafka_header_add(headers, c"event_id".as_ptr(), 8, id.as_ptr().cast(), 36);
            rd::rd_kafka_header_add(headers, c"schema".as_ptr(), 6, c"1".as_ptr().cast(), 1);
            let arguments = [
                rd::rd_kafka_vu_t {
                    vtype: vtype::RD_KAFKA_VTYPE_RKT,
                    u: rd::rd_kafka_vu_s__bindgen_ty_1 { rkt: self.topic },
                },
                rd::rd_kafka_vu_t {
                    vtype: vtype::RD_KAFKA_VTYPE_VALUE,
                    u: memory(line.as_ptr(), line.len()),
                },
                rd::rd_kafka_vu_t { vtype: vtype::RD_KAFKA_VTYPE_KEY, u: memory(key, key_len) },
                rd::rd_kafka_vu_t {
                    vtype: vtype::RD_KAFKA_VTYPE_MSGFLAGS,
                    u: rd::rd_kafka_vu_s__bindgen_ty_1 { i: BLOCK },
                },
                rd::rd_kafka_vu_t {
                    vtype: vtype::RD_KAFKA_VTYPE_HEADERS,
                    u: rd::rd_kafka_vu_s__bindgen_ty_1 { headers },
                },
            ];
            let error = rd::rd_kafka_produceva(self.client, arguments.as_ptr(), arguments.len());
            if error.is_null() {
                return true;
            }
            rd::rd_kafka_error_destroy(error);
            rd::rd_kafka_headers_destroy(headers);
            false
        }
    }
}

impl Drop for BareProducer {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Release);
        if let Some(poller) = self.poller.take() {
            poller.join().expect("the poller ends");
        }
        // SAFETY: nobody uses the handles any more.
        unsafe {
            rd::rd_kafka_topic_destroy(self.topic);
            rd::rd_kafka_destroy(self.client);
        }
    }
}
