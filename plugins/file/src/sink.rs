//! The file sink.
//!
//! An answer of yes means that the lines were handed to the kernel; a flush that said yes, that they are on the disk
//! (unless `fsync = "never"`). Whatever befalls the file (moved, deleted, truncated, replaced, disk full) is noticed
//! with the next batch, and the events stay with the host until they stand in a file of that path.

use std::sync::Arc;
use std::{io, mem};

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{Batch, Context, Deadline, ErrorKind, Host, Level, Sink, SinkError, Written};
use jiff::Timestamp;

use crate::FileOptions;
use crate::lock::{Busy, Owner};
use crate::log_file::{End, Failed, LogFile};
use crate::place::Place;
use crate::rotation::rotate;
use crate::section::Section;
use crate::settings::Settings;
use crate::syncer::Syncer;

/// Appends events to a file.
pub struct FileSink {
    settings: Settings,
    host: Host,
    owner: Arc<Owner>,
    syncer: Syncer,
    file: Option<LogFile>,
    /// Whether it was said that somebody else writes to the file.
    grown: bool,
    /// Whether it was said that the file cannot be rotated.
    stuck: bool,
    written_bytes: u64,
    written_events: u64,
    rotations: u64,
}

impl Sink for FileSink {
    type Options = FileOptions;

    fn validate(options: &FileOptions, context: &Context) -> Result<(), SinkError> {
        Settings::new(options, context).map(drop)
    }

    fn open(options: FileOptions, context: Context, host: Host) -> Result<Self, SinkError> {
        let settings = Settings::new(&options, &context)?;
        let owner = Owner::new(&context.name);
        let file = LogFile::open(&settings, &owner, &host)
            .map_err(|reason| SinkError::retryable(reason).option("path"))?;
        let syncer = Syncer::start(settings.fsync)
            .map_err(|error| SinkError::retryable(format!("no thread for syncing: {error}")))?;
        Ok(Self {
            settings,
            host,
            owner,
            syncer,
            file: Some(file),
            grown: false,
            stuck: false,
            written_bytes: 0,
            written_events: 0,
            rotations: 0,
        })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let owner = Arc::clone(&self.owner);
        let _busy = enter(&owner, batch.deadline())?;
        self.syncer.failure().map_err(|error| self.sync_failed(&error))?;
        let mut rest = Section::whole(batch);
        while !rest.is_empty() {
            let done = rest.start() as u32;
            let len = self.ready().map_err(|error| after(error, done))?;
            let now = match self.settings.max_bytes {
                None => rest,
                Some(max_bytes) => match rest.first_bytes(max_bytes.saturating_sub(len)) {
                    fitting if !fitting.is_empty() => fitting,
                    // A line that is longer than `max_bytes` has a file of its own.
                    _ if len == 0 => rest.first_event(),
                    _ if self.rotate().map_err(|error| after(error, done))? => continue,
                    _ => rest,
                },
            };
            self.append(now)?;
            rest = rest.behind(now);
        }
        Ok(Written::Delivered)
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let owner = Arc::clone(&self.owner);
        let _busy = enter(&owner, deadline)?;
        let synced = match &self.file {
            Some(file) => self.syncer.sync(file.file()),
            None => self.syncer.failure(),
        };
        synced.map_err(|error| self.sync_failed(&error))
    }

    fn close(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        self.flush(deadline)?;
        self.file = None;
        Ok(())
    }

    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        let owner = Arc::clone(&self.owner);
        let _busy = enter(&owner, deadline)?;
        match request.get("control").and_then(Value::as_str) {
            Some("reopen") => {
                self.leave()?;
                self.ready()?;
                Ok(json!({"control": "reopen", "path": self.settings.path.display().to_string()}))
            }
            Some("rotate") => {
                let rotated = self.ready()? > 0 && self.rotate()?;
                self.ready()?;
                Ok(
                    json!({"control": "rotate", "rotated": rotated, "path": self.settings.path.display().to_string()}),
                )
            }
            _ => Err(SinkError::unsupported(&format!("control {request}"))),
        }
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        if request != "state" {
            return Err(SinkError::unsupported(&format!("inspect {request:?}")));
        }
        let last_sync = self.syncer.last().and_then(|time| Timestamp::try_from(time).ok());
        Ok(json!({
            "path": self.settings.path.display().to_string(),
            "open": self.file.is_some(),
            "file_bytes": self.file.as_ref().map(LogFile::len),
            "written_bytes": self.written_bytes,
            "written_events": self.written_events,
            "rotations": self.rotations,
            "last_sync": last_sync.map(|time| time.to_string()),
            "sync_due": self.syncer.is_due(),
        }))
    }
}

impl FileSink {
    /// Sees to it that the open file is the one that the path names, and returns its length.
    fn ready(&mut self) -> Result<u64, SinkError> {
        if let Some(file) = &self.file {
            match file.place(&self.settings.path) {
                Place::Kept => {
                    let len = file.len();
                    return file.renew_lock().map(|()| len).map_err(|refused| {
                        self.file = None;
                        SinkError::retryable(format!("{} {refused}", self.settings.path.display()))
                    });
                }
                place => {
                    let len = file.len();
                    self.warn(&place, len);
                    self.leave()?;
                }
            }
        }
        let file = LogFile::open(&self.settings, &self.owner, &self.host).map_err(SinkError::retryable)?;
        Ok(self.file.insert(file).len())
    }

    /// Logs what befell the file; that somebody else writes to it is said once.
    fn warn(&mut self, place: &Place, len: u64) {
        let befell = match place {
            Place::Kept => return,
            Place::Moved => "was moved away".to_owned(),
            Place::Deleted => format!("was deleted, with {len} bytes in it"),
            Place::Replaced => "was replaced by another file".to_owned(),
            Place::Truncated(bytes) => format!("was truncated: its last {bytes} bytes are gone"),
            Place::Grown(_) if mem::replace(&mut self.grown, true) => return,
            Place::Grown(bytes) => format!("was written to by somebody else: {bytes} bytes"),
        };
        let text = format!("{} {befell}; it is opened anew", self.settings.path.display());
        self.host.log(Level::Warn, "file", &text);
    }

    fn append(&mut self, section: Section<'_>) -> Result<(), SinkError> {
        let file = self.file.as_mut().ok_or_else(|| SinkError::retryable("no file is open"))?;
        let handle = Arc::clone(file.file());
        let result = file.append(&section.slices(), section.ends());
        let (lines, bytes) = match &result {
            Ok(bytes) => (section.len(), *bytes),
            Err(failed) => (failed.lines, failed.bytes),
        };
        self.written_events += lines as u64;
        self.written_bytes += bytes;
        if lines > 0 {
            self.syncer.written(&handle).map_err(|error| self.sync_failed(&error))?;
        }
        let Err(Failed { error, end, .. }) = result else { return Ok(()) };
        if end == End::Torn {
            self.file = None;
        }
        let reason = format!("appending to {}: {error}", self.settings.path.display());
        Err(SinkError::retryable(reason).after((section.start() + lines) as u32))
    }

    /// Rotates the file; `false`, said once, where that is not possible: then it grows on.
    fn rotate(&mut self) -> Result<bool, SinkError> {
        let Some(file) = &self.file else { return Ok(false) };
        self.syncer.sync(file.file()).map_err(|error| self.sync_failed(&error))?;
        match rotate(&self.settings.path, self.settings.max_files) {
            Ok(deleted) => {
                for path in deleted {
                    self.host.log(Level::Info, "file", &format!("{} was deleted: max_files", path.display()));
                }
                self.file = None;
                self.rotations += 1;
                self.stuck = false;
                Ok(true)
            }
            Err(error) => {
                if !mem::replace(&mut self.stuck, true) {
                    let shown = self.settings.path.display();
                    let text = format!("{shown} cannot be rotated, so it grows beyond max_bytes: {error}");
                    self.host.log(Level::Error, "file", &text);
                }
                Ok(false)
            }
        }
    }

    /// Closes the file, after a sync.
    fn leave(&mut self) -> Result<(), SinkError> {
        if let Some(file) = self.file.take() {
            self.syncer.sync(file.file()).map_err(|error| self.sync_failed(&error))?;
        }
        Ok(())
    }

    /// Gives the file up: after a failed sync nobody knows what of it is on the disk.
    fn sync_failed(&mut self, error: &io::Error) -> SinkError {
        self.file = None;
        self.syncer.forget();
        let reason = format!(
            "syncing {} failed, so what was written last may not be on the disk: {error}",
            self.settings.path.display()
        );
        self.host.log(Level::Error, "file", &reason);
        SinkError::reopen(reason)
    }
}

/// Says that the first `done` events are delivered, unless nobody knows that after a failed sync.
fn after(error: SinkError, done: u32) -> SinkError {
    match error.kind {
        ErrorKind::Reopen => error,
        _ => error.after(done),
    }
}

/// Enters a call, unless the host has given this instance up.
fn enter(owner: &Owner, deadline: Deadline) -> Result<Busy<'_>, SinkError> {
    let busy = owner.enter(deadline);
    match owner.is_deposed() {
        true => Err(SinkError::reopen("another instance has taken over the file")),
        false => Ok(busy),
    }
}

#[cfg(test)]
mod tests;
