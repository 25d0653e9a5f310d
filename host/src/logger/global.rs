//! The one logger of a process, under general_manager's names.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use audit_plugin_api::PermissionAuditEvent;

use super::{AuditLogger, ConfigureError, Loading, Plan, Source};
use crate::config::Config;
use crate::pipeline::RecordError;

static CURRENT: LazyLock<ArcSwapOption<Arc<dyn AuditLogger>>> = LazyLock::new(ArcSwapOption::empty);
/// One configures at a time.
static CONFIGURING: Mutex<()> = Mutex::new(());
static SAID_NONE: AtomicBool = AtomicBool::new(false);

/// Makes this the logger of the process.
///
/// The new one is opened and checked first: if that fails, the old one stays. Then events go to the new one, and the old one
/// is drained, for at most its `shutdown_timeout`.
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
    let old = CURRENT.swap(logger.map(Arc::new));
    if let Some(old) = old {
        match old.close(old.shutdown_timeout()) {
            Ok(report) if report.totals.delivered < report.totals.accepted => {
                tracing::error!(counts = ?report.totals, "not everything was delivered by the audit logger that was replaced");
            }
            Ok(_) => {}
            Err(error) => tracing::error!("the audit logger that was replaced could not be closed: {error}"),
        }
    }
}

/// The logger of the process, if there is one.
pub fn get_audit_logger() -> Option<Arc<dyn AuditLogger>> {
    CURRENT.load().as_deref().cloned()
}

/// Whether there is one.
pub fn audit_logging_enabled() -> bool {
    CURRENT.load().is_some()
}

/// Records an event with the logger of the process. Without one it goes nowhere, which is said once in the log.
pub fn emit_permission_audit_event(event: &PermissionAuditEvent) -> Result<(), RecordError> {
    loop {
        let current = CURRENT.load();
        let Some(logger) = &*current else {
            if !SAID_NONE.swap(true, Ordering::Relaxed) {
                tracing::warn!("no audit logger is configured: permission audit events go nowhere");
            }
            return Ok(());
        };
        match logger.record(event) {
            // It was replaced between the look and the call: the event is for the new one.
            Err(RecordError::Closed)
                if CURRENT.load().as_ref().is_none_or(|now| !Arc::ptr_eq(now, logger)) => {}
            recorded => return recorded,
        }
    }
}
