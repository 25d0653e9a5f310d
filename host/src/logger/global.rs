//! The one logger of a process, under general_manager's names.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use audit_plugin_api::PermissionAuditEvent;

use super::process::{self, CloseAtExit};
use super::{AuditLogger, ConfigureError, Loading, Plan, Source};
use crate::config::Config;
use crate::pipeline::RecordError;

/// The logger of the process, and the process (by its generation) that configured it.
struct Configured {
    logger: Arc<dyn AuditLogger>,
    generation: u32,
}

static CURRENT: LazyLock<ArcSwapOption<Configured>> = LazyLock::new(ArcSwapOption::empty);
/// One configures at a time.
static CONFIGURING: Mutex<()> = Mutex::new(());
static SAID_NONE: AtomicBool = AtomicBool::new(false);

/// Makes this the logger of the process.
///
/// The new one is opened and checked first: if that fails, the old one stays. Then events go to the new one, and the old one
/// is drained, for at most its `shutdown_timeout`. What is configured when the process exits is closed then, whoever wrote it.
/// Configuring the logger that is configured already changes nothing.
pub fn configure_audit_logger(source: Source) -> Result<(), ConfigureError> {
    let logger = match source {
        Source::None => None,
        Source::Logger(logger) => Some(logger),
        Source::Factory(make) => Some(make().map_err(ConfigureError::Factory)?),
        Source::Class { class, options, base_dir } => open(Config::from_class(&class, &options, &base_dir)?)?,
    };
    replace(logger);
    Ok(())
}

/// Makes the logger that this `audit.toml` describes the logger of the process; one without a sink means none.
pub fn configure_audit_logger_from_file(path: impl AsRef<Path>) -> Result<(), ConfigureError> {
    replace(open(Config::load(path.as_ref())?)?);
    Ok(())
}

/// As [`configure_audit_logger_from_file`], from a text; relative paths in it start from `base_dir`.
pub fn configure_audit_logger_from_str(toml: &str, base_dir: impl AsRef<Path>) -> Result<(), ConfigureError> {
    replace(open(Config::from_str(toml, base_dir.as_ref())?)?);
    Ok(())
}

fn open(config: Config) -> Result<Option<Arc<dyn AuditLogger>>, ConfigureError> {
    let plan = Plan::new(config, &Loading::default())?;
    if plan.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(plan.open()?)))
}

fn replace(logger: Option<Arc<dyn AuditLogger>>) {
    let _one = CONFIGURING.lock().unwrap_or_else(PoisonError::into_inner);
    SAID_NONE.store(false, Ordering::Relaxed);
    let is_current = |logger: &Arc<dyn AuditLogger>| {
        CURRENT.load().as_ref().is_some_and(|current| Arc::ptr_eq(&current.logger, logger))
    };
    if logger.as_ref().is_some_and(is_current) {
        return;
    }
    if logger.is_some() {
        close_the_current_one_at_exit();
    }
    let generation = process::generation();
    let old = CURRENT.swap(logger.map(|logger| Arc::new(Configured { logger, generation })));
    if let Some(old) = old {
        close(&old.logger, "that was replaced");
    }
}

fn close(logger: &Arc<dyn AuditLogger>, which: &str) {
    match logger.close(logger.shutdown_timeout()) {
        Ok(report) if report.totals.delivered < report.totals.accepted => {
            tracing::error!(counts = ?report.totals, "not everything was delivered by the audit logger {which}");
        }
        Ok(_) => {}
        Err(error) => tracing::error!("the audit logger {which} could not be closed: {error}"),
    }
}

struct CloseCurrent;

impl CloseAtExit for CloseCurrent {
    fn close_at_exit(&self) {
        // A forked child must not wait for threads that only its parent has; a `Logger` of ours sees to its own child.
        if let Some(current) =
            CURRENT.load_full().filter(|current| current.generation == process::generation())
        {
            close(&current.logger, "of the process, which exited");
        }
    }
}

fn close_the_current_one_at_exit() {
    static CLOSE: LazyLock<Arc<dyn CloseAtExit>> = LazyLock::new(|| {
        let close: Arc<dyn CloseAtExit> = Arc::new(CloseCurrent);
        process::close_at_exit(&close);
        close
    });
    LazyLock::force(&CLOSE);
}

/// The logger of the process, if there is one.
pub fn get_audit_logger() -> Option<Arc<dyn AuditLogger>> {
    CURRENT.load().as_ref().map(|current| current.logger.clone())
}

/// Whether there is one.
pub fn audit_logging_enabled() -> bool {
    CURRENT.load().is_some()
}

/// Records an event with the logger of the process. Without one it goes nowhere, which is said once in the log.
pub fn emit_permission_audit_event(event: &PermissionAuditEvent) -> Result<(), RecordError> {
    loop {
        let current = CURRENT.load();
        let Some(Configured { logger, .. }) = current.as_deref() else {
            if !SAID_NONE.swap(true, Ordering::Relaxed) {
                tracing::warn!("no audit logger is configured: permission audit events go nowhere");
            }
            return Ok(());
        };
        match logger.record(event) {
            // It was replaced between the look and the call: the event is for the new one.
            Err(RecordError::Closed)
                if CURRENT.load().as_ref().is_none_or(|now| !Arc::ptr_eq(&now.logger, logger)) => {}
            recorded => return recorded,
        }
    }
}
