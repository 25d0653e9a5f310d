//! What a code of librdkafka means for an event.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

/// How long events wait whose failure somebody has to repair by hand.
const REPAIR: Duration = Duration::from_secs(1);

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The broker has it.
    Delivered,
    /// It is offered again.
    Retry {
        /// Why, in librdkafka's own words.
        reason: String,
        /// The earliest next attempt.
        after: Option<Duration>,
    },
    /// It is offered again, in smaller company: the batch that it travelled in was too large, or it is so itself.
    TooMany {
        /// Why, in librdkafka's own words.
        reason: String,
    },
    /// It will never be taken.
    GiveUp {
        /// Why, in librdkafka's own words.
        reason: String,
    },
}

impl Verdict {
    /// The verdict on an event that failed with this code. A broker that finds a batch too large says so of every event
    /// in it, so that only one which travelled alone is too large itself.
    pub fn of(code: Code, reason: String, company: Company) -> Self {
        match code {
            Code::NoError => Self::Delivered,
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge if company == Company::Others => {
                Self::TooMany { reason }
            }
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidArgument
            | Code::UnsupportedForMessageFormat => Self::GiveUp { reason },
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition => Self::Retry { reason, after: Some(REPAIR) },
            _ => Self::Retry { reason, after: None },
        }
    }

    /// The verdict on an event that librdkafka itself did not take: nobody else has to do with that.
    pub fn at_once(code: Code, reason: String) -> Self {
        Self::of(code, reason, Company::Alone)
    }
}

/// Whether an event travelled with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nothing else was on its way.
    Alone,
    /// Others may have been in its batch.
    Others,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(code: Code, company: Company) -> Verdict {
        Verdict::of(code, "words".into(), company)
    }

    #[test]
    fn only_what_can_never_be_taken_is_given_up() {
        for code in [Code::InvalidRecord, Code::InvalidMessageSize, Code::InvalidTimestamp] {
            assert_eq!(verdict(code, Company::Others), Verdict::GiveUp { reason: "words".into() });
        }
        for code in [
            Code::MessageTimedOut,
            Code::NotEnoughReplicas,
            Code::TopicAuthorizationFailed,
            Code::UnknownTopicOrPartition,
            Code::PurgeQueue,
            Code::InvalidDifferentRecord,
            Code::KafkaStorageError,
            Code::Unknown,
        ] {
            assert!(matches!(verdict(code, Company::Alone), Verdict::Retry { .. }), "{code:?}");
        }
    }

    #[test]
    fn too_large_is_final_only_for_an_event_that_travelled_alone() {
        let code = Code::MessageSizeTooLarge;
        assert!(matches!(verdict(code, Company::Others), Verdict::TooMany { .. }));
        assert!(matches!(verdict(code, Company::Alone), Verdict::GiveUp { .. }));
    }
}
