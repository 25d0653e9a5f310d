//! The frozen boundary between a host and a plugin: what crosses it, and the handshake.
//!
//! A plugin exports one symbol: the header of abi_stable, from which the host gets the table of every class in it after
//! both sides compared versions and layouts. The tables hold C functions over plain pointers and numbers; JSON goes
//! across as bytes. What may have to grow (a batch, an event, an error, an acknowledgement) crosses behind an untyped
//! pointer and says its own size, see [`wire`]; everything else grows through the extension door only.
//!
//! Inside the plugin run `plugin_side` (the tables' functions, which catch panics), `foreign` (the host as it sees it) and
//! `panic_hook`; in the host [`Module`], [`Instance`], `reply` and `services`.
//! Everything unsafe of this crate is here, and all names of abi_stable are in this file.

// The attribute macros of abi_stable 0.11 predate these lints.
#![allow(non_local_definitions, missing_docs)]

mod extension;
mod foreign;
mod instance;
mod module;
mod module_error;
mod panic_hook;
mod plugin_side;
mod reply;
mod services;
#[cfg(test)]
mod tests;
mod wire;

use std::ffi::c_void;
use std::path::Path;

use abi_stable::StableAbi;
use abi_stable::library::{
    AbiHeaderRef, CheckTypeLayout, LibHeader, LibraryError, RawLibrary, RootModule, RootModuleResult,
};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RSlice, RStr};

use crate::{API_VERSION, RawExtension, Sink};
pub use extension::Extension;
pub use instance::Instance;
pub use module::Module;
pub use module_error::ModuleError;

/// Bytes lent for the time of a call.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawBytes {
    ptr: *const u8,
    len: usize,
}

/// Where a callback leaves its answer, before it returns.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawReply {
    context: *mut c_void,
    /// Takes the JSON of an answer; called at most once.
    value: unsafe extern "C" fn(*mut c_void, RawBytes),
    /// Takes a `wire::RawError`; called once when the status is `wire::status::FAILED`.
    error: unsafe extern "C" fn(*mut c_void, *const c_void),
}

/// The host as an instance sees it. The plugin owns it: it counts its clones itself, and calls `release` once.
/// All functions may be called from any thread.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawHost {
    context: *const c_void,
    /// Level, target, text.
    log: unsafe extern "C" fn(*const c_void, u32, RawBytes, RawBytes),
    /// Takes a `wire::RawAcknowledgement`.
    acknowledge: unsafe extern "C" fn(*const c_void, *const c_void),
    /// Takes JSON.
    report: unsafe extern "C" fn(*const c_void, RawBytes),
    /// Id, version, where to write the [`RawExtension`]; 1 when there is one, else 0.
    extension: unsafe extern "C" fn(*const c_void, RawBytes, u32, *mut c_void) -> u32,
    release: unsafe extern "C" fn(*const c_void),
}

/// One class: the frozen functions. Those with a `RawReply` return a `wire::status`.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawClass {
    name: RStr<'static>,
    /// Options, context.
    validate: unsafe extern "C" fn(RawBytes, RawBytes, *const RawReply) -> u32,
    /// Options, context, host, where to write the instance.
    open: unsafe extern "C" fn(RawBytes, RawBytes, RawHost, *mut *mut c_void, *const RawReply) -> u32,
    /// Instance, `wire::RawBatch`, where to write how many events were taken.
    write_batch: unsafe extern "C" fn(*mut c_void, *const c_void, *mut u32, *const RawReply) -> u32,
    /// Instance, nanoseconds left.
    flush: unsafe extern "C" fn(*mut c_void, u64, *const RawReply) -> u32,
    /// Instance, nanoseconds left.
    close: unsafe extern "C" fn(*mut c_void, u64, *const RawReply) -> u32,
    /// Instance, request, nanoseconds left.
    control: unsafe extern "C" fn(*mut c_void, RawBytes, u64, *const RawReply) -> u32,
    /// Instance, request.
    inspect: unsafe extern "C" fn(*mut c_void, RawBytes, *const RawReply) -> u32,
    /// Ends the instance: the pointer is invalid afterwards, whatever the status.
    drop: unsafe extern "C" fn(*mut c_void, *const RawReply) -> u32,
    /// Instance, id, version, where to write the [`RawExtension`]; 1 when there is one, else 0.
    extension: unsafe extern "C" fn(*const c_void, RawBytes, u32, *mut c_void) -> u32,
}

/// What a plugin hands out at the handshake.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RawModuleRef, prefix_fields = RawModulePrefix)))]
pub struct RawModule {
    classes: RSlice<'static, RawClass>,
    /// Id, version, where to write the [`RawExtension`]; 1 when there is one, else 0.
    #[sabi(last_prefix_field)]
    extension: unsafe extern "C" fn(RawBytes, u32, *mut c_void) -> u32,
}

impl RootModule for RawModuleRef {
    abi_stable::declare_root_module_statics! {RawModuleRef}
    const BASE_NAME: &'static str = "audit_plugin";
    const NAME: &'static str = "audit_plugin";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new(API_VERSION);
}

/// What `export_sinks!` implements: the content of a plugin.
pub trait Plugin {
    /// The tables of its classes.
    const CLASSES: &'static [RawClass];

    /// The module's extension door.
    fn extension(id: &str, version: u32) -> Option<RawExtension>;
}

/// The exported static of a plugin.
pub type Entry = LibHeader;

/// Makes the exported static of a plugin.
pub const fn entry<P: Plugin>() -> Entry {
    extern "C" fn construct<P: Plugin>() -> RootModuleResult {
        abi_stable::library::__call_root_module_loader(table::<P>)
    }
    // SAFETY: `construct` answers with a `RawModuleRef`, which is the type named here.
    unsafe { LibHeader::from_constructor::<RawModuleRef>(construct::<P>, CheckTypeLayout::Yes) }
}

fn table<P: Plugin>() -> RawModuleRef {
    panic_hook::install();
    RawModule { classes: RSlice::from_slice(P::CLASSES), extension: plugin_side::module_extension::<P> }
        .leak_into_prefix()
}

/// Makes the table of a class.
pub const fn class<S: Sink>(path: &'static str) -> RawClass {
    RawClass {
        name: name(path),
        validate: plugin_side::validate::<S>,
        open: plugin_side::open::<S>,
        write_batch: plugin_side::write_batch::<S>,
        flush: plugin_side::flush::<S>,
        close: plugin_side::close::<S>,
        control: plugin_side::control::<S>,
        inspect: plugin_side::inspect::<S>,
        drop: plugin_side::drop_instance::<S>,
        extension: plugin_side::extension::<S>,
    }
}

const fn name(path: &'static str) -> RStr<'static> {
    RStr::from_str(path)
}

/// Loads the file and shakes hands: same abi_stable, same C ABI, same major version, same layout of all tables.
fn shake_hands(path: &Path, symbol: &str) -> Result<RawModuleRef, ModuleError> {
    let library = RawLibrary::load_at(path).map_err(|error| refusal(path, symbol, error))?;
    // Loaded code stays until the process ends: nothing that it hands out may dangle.
    let library: &'static RawLibrary = Box::leak(Box::new(library));
    // SAFETY: the symbol is the one that `export_sinks!` gives to its `Entry`, whose first field is the ABI header.
    let header: AbiHeaderRef = match unsafe { library.get::<AbiHeaderRef>(symbol.as_bytes()) } {
        Ok(header) => *header,
        Err(error) => return Err(refusal(path, symbol, error)),
    };
    header
        .upgrade()
        .and_then(|header| header.init_root_module::<RawModuleRef>())
        .map_err(|error| refusal(path, symbol, error))
}

fn refusal(path: &Path, symbol: &str, error: LibraryError) -> ModuleError {
    let file = path.display();
    let summary = match &error {
        LibraryError::OpenError { err, .. } => format!("{file}: the system cannot load it: {err}"),
        LibraryError::GetSymbolError { .. } => format!(
            "{file}: it lacks the symbol `{symbol}`, which its manifest promises; its author must export sinks with \
             `export_sinks!` and must not strip exported symbols"
        ),
        LibraryError::IncompatibleVersionNumber { expected_version, actual_version, .. } => format!(
            "{file}: it was built with plugin-api {actual_version}, and this host speaks {expected_version}; its author \
             must rebuild it with plugin-api {}.x",
            expected_version.major
        ),
        LibraryError::AbiInstability(_) => format!(
            "{file}: its layout of the interface differs from that of this host, plugin-api {API_VERSION}; its author \
             must rebuild it with an unmodified plugin-api"
        ),
        LibraryError::InvalidAbiHeader(found) => format!(
            "{file}: it was built with abi_stable {}.{}, and this host with {}.{}; its author must rebuild it with \
             plugin-api {API_VERSION}",
            found.abi_major,
            found.abi_minor,
            abi_stable::library::AbiHeader::VALUE.abi_major,
            abi_stable::library::AbiHeader::VALUE.abi_minor,
        ),
        LibraryError::InvalidCAbi { .. } => format!(
            "{file}: its compiler passes arguments differently from that of this host; its author must rebuild it with \
             the same Rust version"
        ),
        LibraryError::RootModule { .. } => {
            format!("{file}: it panicked while it made its table of classes; its author must repair it")
        }
        LibraryError::ParseVersionError(_) | LibraryError::Many(_) => format!(
            "{file}: what it says about its interface cannot be read, and this host speaks plugin-api {API_VERSION}; \
             its author must rebuild it"
        ),
    };
    ModuleError { summary, report: error.to_string() }
}

#[cfg(test)]
mod handshake_tests {
    use super::*;

    /// The interface as another version, or another author, would have it.
    mod other {
        #![allow(dead_code)]

        use super::*;

        #[repr(C)]
        #[derive(StableAbi)]
        #[sabi(kind(Prefix(prefix_ref = OtherModuleRef, prefix_fields = OtherModulePrefix)))]
        pub struct OtherModule {
            #[sabi(last_prefix_field)]
            pub classes: u8,
        }
    }

    impl RootModule for other::OtherModuleRef {
        abi_stable::declare_root_module_statics! {other::OtherModuleRef}
        const BASE_NAME: &'static str = "audit_plugin";
        const NAME: &'static str = "audit_plugin";
        const VERSION_STRINGS: VersionStrings = VersionStrings::new("2.3.4");
    }

    fn refused_for(error: LibraryError) -> ModuleError {
        refusal(Path::new("/plugins/x.so"), "audit_sinks_of_x", error)
    }

    fn other_header() -> LibHeader {
        extern "C" fn construct() -> RootModuleResult {
            abi_stable::library::__call_root_module_loader(|| {
                other::OtherModule { classes: 0 }.leak_into_prefix()
            })
        }
        // SAFETY: `construct` answers with the type named here.
        unsafe { LibHeader::from_constructor::<other::OtherModuleRef>(construct, CheckTypeLayout::Yes) }
    }

    #[test]
    fn another_major_version_is_refused_with_both_versions() {
        let refused = refused_for(other_header().init_root_module::<RawModuleRef>().err().unwrap());
        assert!(refused.summary.starts_with("/plugins/x.so: "), "{refused}");
        assert!(refused.summary.contains("2.3.4") && refused.summary.contains(API_VERSION), "{refused}");
        assert!(!refused.summary.contains('\n'));
    }

    #[test]
    fn another_layout_is_refused_in_one_sentence_and_reported_apart() {
        let refused = refused_for(other_header().check_layout::<RawModuleRef>().err().unwrap());
        assert!(refused.summary.contains("layout") && !refused.summary.contains('\n'), "{refused}");
        assert!(refused.report.lines().count() > 10, "{}", refused.report);
    }

    #[test]
    fn a_file_that_is_no_library_and_one_without_the_symbol_are_refused() {
        let text = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let refused = shake_hands(text, "audit_sinks_of_x").err().unwrap();
        assert!(refused.summary.contains("Cargo.toml: the system cannot load it"), "{refused}");
        let refused = shake_hands(Path::new("libc.so.6"), "audit_sinks_of_x").err().unwrap();
        assert!(refused.summary.contains("lacks the symbol `audit_sinks_of_x`"), "{refused}");
    }
}
