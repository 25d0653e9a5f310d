//! A real `.so` on the other side of the boundary.
//!
//! `manifest`: what it says about itself; `calls`: requests, answers and errors; `options`; `panics`; `pending`:
//! acknowledgements and held bytes; `extensions`; `kept`: the binary that was built with 1.0.0.

mod calls;
mod extensions;
#[cfg(target_arch = "x86_64")]
mod kept;
mod manifest;
mod options;
mod panics;
mod pending;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit_plugin_api::manifest::{MAGIC, Manifest, SECTION};
use audit_plugin_api::testing::{TestBatch, TestHost, context};
use audit_plugin_api::{
    Action, Context, Deadline, Instance, Module, PermissionAuditEvent, SinkError, Written,
};
use object::{Object, ObjectSection};
use serde_json::Value;

/// Nothing waits this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

fn plugin(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    test.parent().expect("it is in a folder").join(format!("lib{name}.so"))
}

fn manifest(plugin: &Path) -> Manifest {
    let bytes = std::fs::read(plugin).expect("the plugin was built");
    let file = object::File::parse(&*bytes).expect("it is an ELF file");
    let section = file.section_by_name(SECTION).expect("it has a manifest");
    let section = section.data().expect("the section is in the file");
    let (magic, rest) = section.split_at(MAGIC.len());
    assert_eq!(magic, MAGIC);
    let (len, json) = rest.split_first_chunk().expect("a length follows");
    serde_json::from_slice(&json[..u32::from_le_bytes(*len) as usize]).expect("it is JSON")
}

fn module() -> Module {
    let plugin = plugin("audit_test_sinks");
    Module::load(&plugin, &manifest(&plugin)).unwrap_or_else(|error| panic!("{error}\n{}", error.report))
}

fn open_as(
    context: &Context,
    class: &str,
    options: Value,
    host: &Arc<TestHost>,
) -> Result<Instance, SinkError> {
    module().open(class, &options, context, host.clone())
}

fn open(class: &str, options: Value) -> (Instance, Arc<TestHost>) {
    let host = Arc::new(TestHost::new());
    (open_as(&context(), class, options, &host).expect("it opens"), host)
}

fn events(count: usize) -> Vec<PermissionAuditEvent> {
    (0..count)
        .map(|index| {
            PermissionAuditEvent::new(Action::Update, true).manager("Project").user_id(index.to_string())
        })
        .collect()
}

fn write(instance: &mut Instance, batch: &TestBatch) -> Result<Written, SinkError> {
    batch.lend(|batch| instance.write_batch(batch))
}

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}
