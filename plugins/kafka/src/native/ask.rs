//! Asks the brokers about the topic.

use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use super::{Producer, failure, lend, milliseconds};

impl Producer {
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
