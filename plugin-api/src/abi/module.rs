//! A loaded plugin, as its host sees it.

use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use serde_json::Value;

use super::reply::{Reply, ask_for_extension};
use super::services::hand_out;
use super::{Instance, ModuleError, RawBytes, RawClass, RawModuleRef, shake_hands};
use crate::manifest::Manifest;
use crate::{Context, HostServices, RawExtension, SinkError};

/// A plugin that was loaded, and shook hands. It stays loaded until the process ends.
#[derive(Clone, Copy)]
pub struct Module(pub(super) RawModuleRef);

impl Module {
    /// Loads the plugin and shakes hands with it; `manifest` is what its file says about itself.
    ///
    /// The file runs code of its own as soon as it is loaded: check it before.
    pub fn load(path: &Path, manifest: &Manifest) -> Result<Self, ModuleError> {
        shake_hands(path, &manifest.entry_symbol()).map(Self)
    }

    /// The class paths in it. Those of a damaged plugin may be no UTF-8.
    pub fn classes(&self) -> Vec<String> {
        let name = |class: &RawClass| String::from_utf8_lossy(class.name.as_rslice().as_slice()).into_owned();
        self.0.classes().iter().map(name).collect()
    }

    /// Checks the options of a class (a JSON object, without the worker's), without any side effect.
    pub fn validate(&self, class: &str, options: &Value, context: &Context) -> Result<(), SinkError> {
        let class = self.class(class)?;
        let (options, context) = (options.to_string(), write_context(context)?);
        let mut reply = Reply::default();
        // SAFETY: all arguments live until the call has returned.
        let status = unsafe {
            (class.validate)(
                RawBytes::lend(options.as_bytes()),
                RawBytes::lend(context.as_bytes()),
                &reply.lend(),
            )
        };
        reply.into_nothing(status)
    }

    /// Opens an instance of a class. What it calls goes to `services`.
    pub fn open(
        &self,
        class: &str,
        options: &Value,
        context: &Context,
        services: Arc<dyn HostServices>,
    ) -> Result<Instance, SinkError> {
        let class = self.class(class)?;
        let (options, context) = (options.to_string(), write_context(context)?);
        let mut reply = Reply::default();
        let mut instance = ptr::null_mut();
        // SAFETY: all arguments live until the call has returned; the plugin owns the host, and releases it.
        let status = unsafe {
            (class.open)(
                RawBytes::lend(options.as_bytes()),
                RawBytes::lend(context.as_bytes()),
                hand_out(services),
                &mut instance,
                &reply.lend(),
            )
        };
        reply.into_nothing(status)?;
        match NonNull::new(instance) {
            Some(instance) => Ok(Instance { class, instance }),
            None => Err(SinkError::retryable(format!("`{}` opened without an instance", class.name))),
        }
    }

    /// Asks the module for an extension.
    pub fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        let ask = self.0.extension();
        // SAFETY: the id and the place live until the call has returned.
        ask_for_extension(|out| unsafe { ask(RawBytes::lend(id.as_bytes()), version, out) })
    }

    fn class(&self, name: &str) -> Result<&'static RawClass, SinkError> {
        let classes = self.0.classes().as_slice();
        classes.iter().find(|class| class.name.as_str() == name).ok_or_else(|| {
            SinkError::permanent(format!(
                "the plugin has no class `{name}`, although its manifest says so; it has {}",
                self.classes().join(", ")
            ))
        })
    }
}

fn write_context(context: &Context) -> Result<String, SinkError> {
    serde_json::to_string(context)
        .map_err(|error| SinkError::permanent(format!("the context cannot be written as JSON: {error}")))
}
