//! Where a logger comes from.

use std::path::PathBuf;
use std::sync::Arc;

use audit_plugin_api::serde_json::Value;

use super::AuditLogger;
use crate::config::ConfigError;

type Factory = Box<dyn FnOnce() -> Result<Arc<dyn AuditLogger>, Box<dyn std::error::Error + Send + Sync>>>;

/// Where a logger comes from.
#[non_exhaustive]
pub enum Source {
    /// A sink class with its options, as in `AUDIT_LOGGER`.
    Class {
        /// Class path.
        class: String,
        /// Worker and sink options together, a JSON object.
        options: Value,
        /// What relative paths are relative to; its `plugins` folder is searched.
        base_dir: PathBuf,
    },
    /// A closure that makes a logger.
    Factory(Factory),
    /// A logger.
    Logger(Arc<dyn AuditLogger>),
    /// No logger: events go nowhere, which is said once.
    None,
}

impl Source {
    /// A sink class with its options; relative paths start from the working directory.
    pub fn class(class: impl Into<String>, options: Value) -> Self {
        Self::Class { class: class.into(), options, base_dir: PathBuf::from(".") }
    }

    /// A closure that makes a logger.
    pub fn factory<L, E>(make: impl FnOnce() -> Result<L, E> + 'static) -> Self
    where
        L: AuditLogger + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::Factory(Box::new(|| make().map(|logger| Arc::new(logger) as _).map_err(Into::into)))
    }

    /// A logger.
    pub fn logger(logger: impl AuditLogger + 'static) -> Self {
        Self::Logger(Arc::new(logger))
    }
}

impl From<Arc<dyn AuditLogger>> for Source {
    fn from(logger: Arc<dyn AuditLogger>) -> Self {
        Self::Logger(logger)
    }
}

/// Why a logger could not be configured; the one before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigureError {
    /// The configuration, a plugin, or the opening of a sink.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The closure that should make the logger failed.
    #[error("the audit logger could not be made: {0}")]
    Factory(Box<dyn std::error::Error + Send + Sync>),
}
