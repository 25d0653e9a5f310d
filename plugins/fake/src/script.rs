//! What becomes of the events, one step each: `ok*100, retryable*3, permanent, hang 5s, panic`.
//!
//! After the last step all goes well.

use std::collections::VecDeque;
use std::time::Duration;

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{OptionType, OptionsError};

/// What becomes of the events, one step each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(VecDeque<(Step, u64)>);

/// What becomes of one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// It is sent.
    #[default]
    Ok,
    /// It may be sent later.
    Retryable,
    /// It can never be sent.
    Permanent,
    /// It is sent after this time.
    Hang(Duration),
    /// The sink panics.
    Panic,
}

impl Script {
    /// The next step.
    pub fn next(&self) -> Step {
        self.0.front().map(|&(step, _)| step).unwrap_or_default()
    }

    /// Goes on to the step behind the next one.
    pub fn advance(&mut self) {
        if let Some((_, count)) = self.0.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.0.pop_front();
            }
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let steps = text.split(',').map(str::trim).zip(1..).map(|(text, position)| {
            repeated_step(text).ok_or_else(|| {
                format!(
                    "step {position}, {text:?}, is none of ok, retryable, permanent, hang 5s (or 500ms) and panic, alone or as in ok*3"
                )
            })
        });
        steps.collect::<Result<_, _>>().map(Self)
    }
}

impl OptionType for Script {
    const TYPES: &'static [&'static str] = &["string"];

    fn from_value(value: Value) -> Result<Self, OptionsError> {
        Self::parse(&String::from_value(value)?).map_err(OptionsError::new)
    }
}

fn repeated_step(text: &str) -> Option<(Step, u64)> {
    let (step, count) = match text.split_once('*') {
        None => (text, 1),
        Some((step, count)) => (step.trim_end(), count.trim_start().parse().ok().filter(|&count| count > 0)?),
    };
    let step = match step {
        "ok" => Step::Ok,
        "retryable" => Step::Retryable,
        "permanent" => Step::Permanent,
        "panic" => Step::Panic,
        hang => Step::Hang(duration(hang.strip_prefix("hang ")?.trim_start())?),
    };
    Some((step, count))
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s')?, 1.0),
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str, count: usize) -> Vec<Step> {
        let mut script = Script::parse(text).unwrap();
        let next = |_| {
            let step = script.next();
            script.advance();
            step
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn each_event_takes_one_step_and_after_the_last_all_goes_well() {
        let hang = Step::Hang(Duration::from_secs(5));
        assert_eq!(
            steps("ok*2, retryable*3, permanent, hang 5s, panic", 10),
            [
                Step::Ok,
                Step::Ok,
                Step::Retryable,
                Step::Retryable,
                Step::Retryable,
                Step::Permanent,
                hang,
                Step::Panic,
                Step::Ok,
                Step::Ok
            ]
        );
        assert_eq!(steps("", 1), [Step::Ok]);
    }

    #[test]
    fn durations_are_seconds_or_milliseconds() {
        for (text, millis) in [("hang 5s", 5000), ("hang 1.5s", 1500), ("hang 250ms", 250), ("hang  0s", 0)] {
            assert_eq!(steps(text, 1), [Step::Hang(Duration::from_millis(millis))]);
        }
    }

    #[test]
    fn a_step_that_is_none_is_named_with_its_position() {
        for (text, position, step) in [
            ("okay", 1, "okay"),
            ("ok, hagn 5s", 2, "hagn 5s"),
            ("ok,,ok", 2, ""),
            ("ok, panic,", 3, ""),
            ("ok*0", 1, "ok*0"),
            ("ok*x", 1, "ok*x"),
            ("ok*-1", 1, "ok*-1"),
            ("hang", 1, "hang"),
            ("hang 5", 1, "hang 5"),
            ("hang -5s", 1, "hang -5s"),
            ("hang 5m", 1, "hang 5m"),
        ] {
            let error = Script::from_value(text.into()).unwrap_err();
            assert!(error.reason.starts_with(&format!("step {position}, {step:?}, is none of")), "{error}");
        }
    }
}
