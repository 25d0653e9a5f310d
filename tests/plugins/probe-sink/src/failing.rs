//! Answers as it is told.

use std::path::PathBuf;

use audit_plugin_api::{Batch, Context, Host, OptionType, Seconds, Sink, SinkError, SinkOptions, Written};

use crate::lines::Lines;
use crate::turns::take_turn;

/// The options of [`Failing`].
#[derive(SinkOptions)]
pub struct FailingOptions {
    /// The file that is appended to.
    path: Option<PathBuf>,
    /// What the calls of `write_batch` are answered with, one after the other, also after a reopen; then all succeed.
    #[option(default = [])]
    answers: Vec<Answer>,
    /// A batch that holds this text in one of its lines is refused, once the answers are used up.
    poison: Option<String>,
    /// How it is refused.
    #[option(default = "permanent")]
    poison_as: Poison,
}

/// One answer.
#[derive(SinkOptions)]
struct Answer {
    /// What it is.
    kind: Kind,
    /// How often it is given.
    #[option(default = 1)]
    times: u64,
    /// How many events, from the first, are delivered all the same.
    prefix: Option<u32>,
    /// The events that failed; all others are delivered.
    positions: Option<Vec<u32>>,
    /// The earliest next attempt.
    retry_after: Option<Seconds>,
    /// Why.
    #[option(default = "scripted")]
    reason: String,
}

#[derive(Clone, Copy, OptionType)]
enum Kind {
    Ok,
    Retryable,
    Permanent,
    Reopen,
}

#[derive(Clone, Copy, OptionType)]
enum Poison {
    Retryable,
    /// Without a word on which event it was.
    Permanent,
    /// With the positions.
    Positions,
    Panic,
}

/// Answers as it is told.
pub struct Failing {
    options: FailingOptions,
    name: String,
    lines: Lines,
}

impl Sink for Failing {
    type Options = FailingOptions;

    fn open(options: FailingOptions, context: Context, _host: Host) -> Result<Self, SinkError> {
        let lines = Lines::open(options.path.as_ref(), &context)?;
        Ok(Self { options, name: context.name, lines })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let mut turn = take_turn(&self.name);
        let answer = self.options.answers.iter().find(|answer| {
            let is_next = turn < answer.times;
            turn = turn.saturating_sub(answer.times);
            is_next
        });
        let error = match answer {
            Some(answer) => answer.error(),
            None => self.options.poison.as_ref().and_then(|poison| {
                let poisonous: Vec<u32> = (0..)
                    .zip(batch.events())
                    .filter(|(_, event)| contains(event.json(), poison.as_bytes()))
                    .map(|(position, _)| position)
                    .collect();
                (!poisonous.is_empty()).then(|| match self.options.poison_as {
                    Poison::Retryable => SinkError::retryable("poison"),
                    Poison::Permanent => SinkError::permanent("poison"),
                    Poison::Positions => SinkError::permanent("poison").only(poisonous),
                    Poison::Panic => panic!("poison"),
                })
            }),
        };
        for (position, event) in (0..).zip(batch.events()) {
            if delivered(error.as_ref(), position) {
                self.lines.append(event.json())?;
            }
        }
        error.map_or(Ok(Written::Delivered), Err)
    }
}

impl Answer {
    fn error(&self) -> Option<SinkError> {
        let mut error = match self.kind {
            Kind::Ok => return None,
            Kind::Retryable => SinkError::retryable(&self.reason),
            Kind::Permanent => SinkError::permanent(&self.reason),
            Kind::Reopen => SinkError::reopen(&self.reason),
        };
        if let Some(count) = self.prefix {
            error = error.after(count);
        }
        if let Some(positions) = &self.positions {
            error = error.only(positions.iter().copied());
        }
        if let Some(delay) = self.retry_after {
            error = error.retry_after(delay.duration());
        }
        Some(error)
    }
}

fn delivered(error: Option<&SinkError>, position: u32) -> bool {
    use audit_plugin_api::Delivered::{AllExcept, Nothing, Prefix};
    match error.map(|error| &error.events) {
        None => true,
        Some(Nothing) => false,
        Some(Prefix(count)) => position < *count,
        Some(AllExcept(positions)) => !positions.contains(&position),
    }
}

fn contains(line: &[u8], text: &[u8]) -> bool {
    line.windows(text.len().max(1)).any(|window| window == text)
}
