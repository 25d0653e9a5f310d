//! What librdkafka says, as the host's log and the sink's status get it.
//!
//! librdkafka repeats itself many times a second while brokers are down. The same text, whatever numbers stand in it, is
//! said once in half a minute, with how often it was repeated meanwhile.

use std::collections::HashMap;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::{self, Map, Value, json};
use audit_plugin_api::{Host, Level};
use rdkafka::types::RDKafkaErrorCode as Code;

/// How long the same text is not said again.
const QUIET: Duration = Duration::from_secs(30);
/// Texts that are remembered.
const TEXTS: usize = 256;
/// What of the statistics goes into the status.
const STATISTICS: [&str; 5] = ["msg_cnt", "msg_size", "txmsgs", "txmsg_bytes", "metadata_cache_cnt"];

/// What librdkafka says.
pub struct Notices {
    host: Host,
    /// Seconds after which the host may take an event for lost on its way.
    ack_timeout: f64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    said: HashMap<String, Said>,
    failing: bool,
    /// Whether an error was said since events were last said to be delivered again.
    complained: bool,
    last_error: Option<Trouble>,
    statistics: Map<String, Value>,
}

struct Said {
    at: Instant,
    repeated: u32,
}

/// An error that concerns no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its code.
    pub code: Code,
    /// librdkafka's words.
    pub words: String,
}

impl Trouble {
    /// Whether it stays until somebody changes the configuration, here or at the brokers.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self.code,
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::SSL
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidTopic
        )
    }
}

impl Notices {
    /// Nothing was said so far. A report needs `delivery_timeout` at most: the host is asked to wait a little longer.
    pub fn new(host: Host, delivery_timeout: Duration) -> Self {
        let ack_timeout = delivery_timeout.as_secs_f64() + 5.0;
        let notices = Self { host, ack_timeout, state: Mutex::default(), changed: Condvar::new() };
        notices.report(&notices.state());
        notices
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A line of librdkafka's log, with its level as in syslog.
    pub fn log(&self, level: i32, facility: &str, text: &str) {
        // It names its threads, which is of use to nobody.
        let text = match text.split_once("]: ") {
            Some((thread, rest)) if thread.starts_with("[thrd:") => rest,
            _ => text,
        };
        let level = match level {
            ..=2 => Level::Error,
            3..=4 => Level::Warn,
            5..=6 => Level::Info,
            _ => Level::Debug,
        };
        if level == Level::Debug {
            return self.host.log(level, "librdkafka", &format!("{facility}: {text}"));
        }
        self.say(&mut self.state(), level, text);
    }

    /// An error that concerns no message.
    pub fn error(&self, code: Code, words: &str) {
        let trouble = Trouble { code, words: words.to_owned() };
        let level = if trouble.is_lasting() || code == Code::Fatal { Level::Error } else { Level::Warn };
        let mut state = self.state();
        self.say(&mut state, level, words);
        // That all brokers are down says less than why the last one is.
        let vague = code == Code::AllBrokersDown && state.last_error.is_some();
        let news = !state.failing || state.last_error.as_ref().is_none_or(|last| last.code != code);
        state.failing = true;
        if !vague {
            state.last_error = Some(trouble);
        }
        if news && !vague {
            self.report(&state);
        }
        self.changed.notify_all();
    }

    /// Events failed, for this reason.
    pub fn failed(&self, reason: &str) {
        self.say(&mut self.state(), Level::Warn, &format!("events were not delivered: {reason}"));
    }

    /// Events were delivered: what was wrong is so no longer. While one of several brokers is down, errors and deliveries
    /// take turns: so that is said only where an error was.
    pub fn delivered(&self) {
        let mut state = self.state();
        if state.failing {
            state.failing = false;
            state.last_error = None;
            if mem::take(&mut state.complained) {
                self.host.log(Level::Info, "kafka", "events are delivered again");
            }
            self.report(&state);
        }
    }

    /// librdkafka's statistics.
    pub fn statistics(&self, json: &[u8]) {
        let Ok(Value::Object(all)) = serde_json::from_slice(json) else { return };
        let mut state = self.state();
        state.statistics =
            STATISTICS.iter().filter_map(|&name| Some((name.to_owned(), all.get(name)?.clone()))).collect();
        let brokers = all.get("brokers").and_then(Value::as_object).into_iter().flatten();
        let brokers: Map<_, _> = brokers
            .filter(|(_, broker)| broker["nodeid"].as_i64().is_some_and(|node| node >= 0))
            .map(|(name, broker)| {
                (name.clone(), json!({"state": broker["state"], "round_trip_p99_us": broker["rtt"]["p99"]}))
            })
            .collect();
        state.statistics.insert("brokers".to_owned(), brokers.into());
        self.report(&state);
    }

    /// What is wrong, as far as it is known.
    pub fn trouble(&self) -> Option<Trouble> {
        self.state().last_error.clone()
    }

    /// Waits for the next error.
    pub fn wait(&self, timeout: Duration) {
        drop(self.changed.wait_timeout(self.state(), timeout));
    }

    /// The status, as a JSON object.
    pub fn status(&self) -> Value {
        self.status_of(&self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, state: &State) {
        self.host.report(&self.status_of(state));
    }

    fn status_of(&self, state: &State) -> Value {
        json!({
            "state": if state.failing { "failing" } else { "running" },
            "ack_timeout": self.ack_timeout,
            "last_error": state.last_error.as_ref().map(|error| error.words.as_str()),
            "statistics": state.statistics,
        })
    }

    fn say(&self, state: &mut State, level: Level, text: &str) {
        let now = Instant::now();
        let pattern = pattern(text);
        let mut repeated = 0;
        if let Some(said) = state.said.get_mut(&pattern) {
            if now.duration_since(said.at) < QUIET {
                said.repeated += 1;
                return;
            }
            repeated = said.repeated;
        }
        if state.said.len() >= TEXTS {
            state.said.retain(|_, said| now.duration_since(said.at) < QUIET);
            if state.said.len() >= TEXTS {
                state.said.clear();
            }
        }
        state.said.insert(pattern, Said { at: now, repeated: 0 });
        state.complained |= level <= Level::Warn;
        match repeated {
            0 => self.host.log(level, "librdkafka", text),
            more => {
                self.host.log(level, "librdkafka", &format!("{text} (and {more} times like this before)"))
            }
        }
    }
}

/// The text without its numbers.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '0'..='9' if pattern.ends_with('#') => {}
            '0'..='9' => pattern.push('#'),
            other => pattern.push(other),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use audit_plugin_api::testing::TestHost;

    use super::*;

    fn notices() -> (Arc<TestHost>, Notices) {
        let host = Arc::new(TestHost::new());
        let notices = Notices::new(host.host(), Duration::from_secs(60));
        (host, notices)
    }

    #[test]
    fn the_same_text_with_other_numbers_is_said_once() {
        let (host, notices) = notices();
        for port in 0..100 {
            notices.error(Code::BrokerTransportFailure, &format!("127.0.0.1:{port}: refused after {port}ms"));
            notices.log(3, "FAIL", &format!("[thrd:main]: 127.0.0.1:{port}: refused after 7ms"));
        }
        notices.error(Code::AllBrokersDown, "1/1 brokers are down");
        let texts: Vec<_> = host.logs().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["127.0.0.1:0: refused after 0ms", "1/1 brokers are down"]);
    }

    #[test]
    fn errors_and_deliveries_in_turns_are_not_said_in_turns() {
        let (host, notices) = notices();
        for port in 0..100 {
            // librdkafka tells of an error in its log, and as an event.
            notices.log(3, "FAIL", &format!("[thrd:main]: 127.0.0.1:{port}: refused"));
            notices.error(Code::BrokerTransportFailure, &format!("127.0.0.1:{port}: refused"));
            notices.delivered();
        }
        notices.error(Code::Authentication, "wrong password");
        notices.delivered();
        let texts: Vec<_> = host.logs().into_iter().map(|line| line.text).collect();
        let again = "events are delivered again";
        assert_eq!(texts, ["127.0.0.1:0: refused", again, "wrong password", again]);
        assert_eq!(notices.status()["state"], "running");
    }

    #[test]
    fn the_status_says_what_is_wrong_until_events_are_delivered() {
        let (host, notices) = notices();
        notices.error(Code::BrokerTransportFailure, "refused");
        notices.error(Code::AllBrokersDown, "1/1 brokers are down");
        notices.error(Code::BrokerTransportFailure, "refused");
        let report = host.reports().pop().unwrap();
        assert_eq!((&report["state"], &report["last_error"]), (&json!("failing"), &json!("refused")));
        assert_eq!(host.reports().len(), 2, "a repetition is no news");
        notices.delivered();
        notices.delivered();
        let report = host.reports().pop().unwrap();
        assert_eq!((&report["state"], &report["last_error"]), (&json!("running"), &Value::Null));
        assert_eq!(host.reports().len(), 3);
        assert_eq!(notices.trouble(), None);
    }

    #[test]
    fn statistics_reach_the_status_without_the_bootstrap_brokers() {
        let (host, notices) = notices();
        notices.statistics(
            br#"{"msg_cnt": 7, "name": "x", "brokers": {
                "a/bootstrap": {"nodeid": -1, "state": "DOWN"},
                "a/1": {"nodeid": 1, "state": "UP", "rtt": {"p99": 12}}}}"#,
        );
        notices.statistics(b"no json");
        assert_eq!(
            host.reports().pop().unwrap()["statistics"],
            json!({"msg_cnt": 7, "brokers": {"a/1": {"state": "UP", "round_trip_p99_us": 12}}})
        );
    }
}
