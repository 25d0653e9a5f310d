//! The file sink.
//!
//! An answer of yes means that the lines were handed to the kernel; a flush that said yes, that they are on the disk
//! (unless `fsync = "never"`). Whatever befalls the file (moved, deleted, truncated, replaced, disk full) is noticed
//! with the next batch or flush, and the events stay with the host until they stand in a file of that path.

use std::sync::Arc;
use std::{io, mem};

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{Batch, Context, Deadline, ErrorKind, Host, Level, Sink, SinkError, Written};
use jiff::Timestamp;

use crate::FileOptions;
use crate::lock::{Busy, Owner};
use crate::log_file::{Failed, LogFile};
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
        let owner = Owner::new(&context.config_dir, &context.name);
        let mut file = LogFile::open(&settings, &owner, &host)
            .map_err(|reason| SinkError::retryable(reason).option("path"))?;
        file.end_turn();
        let syncer = Syncer::start(settings.fsync)
            .map_err(|error| SinkError::retryable(format!("no thread for syncing: {error}")))?;
        Ok(Self {
            settings,
            host,
            owner,
            syncer,
            file: Some(file),
            stuck: false,
            written_bytes: 0,
            written_events: 0,
            rotations: 0,
        })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        self.in_turn(batch.deadline(), |sink| sink.write(batch))
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let owner = Arc::clone(&self.owner);
        let _busy = enter(&owner, deadline)?;
        let synced = match &self.file {
            Some(file) => self.syncer.sync(file.file()),
            None => self.syncer.failure(),
        };
        synced.map_err(|error| self.sync_failed(&error))?;
        // Somebody asks whether all is well: the next batch may be hours away.
        if let Some(befell) = self.what_befell() {
            let shown = self.settings.path.display();
            let text = format!("{shown} {befell}; it is opened anew with the next batch");
            self.host.log(Level::Warn, "file", &text);
            self.file = None;
        }
        Ok(())
    }

    fn close(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        self.flush(deadline)?;
        self.file = None;
        Ok(())
    }

    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        self.in_turn(deadline, |sink| match request.get("control").and_then(Value::as_str) {
            Some("reopen") => {
                sink.leave()?;
                sink.ready()?;
                Ok(json!({"control": "reopen", "path": sink.settings.path.display().to_string()}))
            }
            Some("rotate") => {
                let rotated = sink.ready()? > 0 && sink.rotate()?;
                sink.ready()?;
                let path = sink.settings.path.display().to_string();
                Ok(json!({"control": "rotate", "rotated": rotated, "path": path}))
            }
            _ => Err(SinkError::unsupported(&format!("control {request}"))),
        })
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
    /// Makes a call in which the file may be changed.
    fn in_turn<T>(
        &mut self,
        deadline: Deadline,
        call: impl FnOnce(&mut Self) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let owner = Arc::clone(&self.owner);
        let _busy = enter(&owner, deadline)?;
        let answer = call(self);
        if let Some(file) = &mut self.file {
            file.end_turn();
        }
        answer
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
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

    /// Sees to it that the open file is the one that the path names, and that it is its turn; returns its length.
    fn ready(&mut self) -> Result<u64, SinkError> {
        let shown = self.settings.path.display();
        if let Some(file) = &mut self.file {
            let retryable = |error| SinkError::retryable(format!("{shown}: {error}"));
            file.begin_turn().map_err(retryable)?;
            let place = file.place(&self.settings.path);
            let Some(befell) = place.what_befell(file.len()) else {
                if let Err(refused) = file.renew_lock() {
                    self.file = None;
                    return Err(SinkError::retryable(format!("{shown} {refused}")));
                }
                if place == Place::Grown {
                    file.find_end(&self.settings, &self.host).map_err(retryable)?;
                }
                return Ok(file.len());
            };
            self.host.log(Level::Warn, "file", &format!("{shown} {befell}; it is opened anew"));
            self.leave()?;
        }
        let file = LogFile::open(&self.settings, &self.owner, &self.host).map_err(SinkError::retryable)?;
        Ok(self.file.insert(file).len())
    }

    /// What befell the open file, if its path does not name it any more, as it was left.
    fn what_befell(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        file.place(&self.settings.path).what_befell(file.len())
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
        let Err(Failed { error, .. }) = result else { return Ok(()) };
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
