//! The only unsafe code of the loader: mapping and loading foreign machine code.

use std::fs::File;
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Whether the system allows to map this file as code.
pub(super) fn can_be_run(file: &File) -> bool {
    const LEN: usize = 1;
    // SAFETY: a new private mapping at an address that the kernel chooses; nothing ever reads it or jumps into it.
    let mapping = unsafe {
        mmap(std::ptr::null_mut(), LEN, ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE, file, 0)
    };
    let Ok(address) = mapping else { return false };
    // SAFETY: `address` is the mapping made above, of the same length, and nobody else knows it.
    let _ = unsafe { munmap(address, LEN) };
    true
}

/// Loads a shared object for good; all of its symbols are bound now, and it gives none to others.
///
/// Its constructors run, so a file that passed every check can still end this process: see `probe`.
pub(super) fn load(path: &Path) -> Result<(), String> {
    // SAFETY: constructors of the library run. That they are sound is what the operator vouches for who put the file
    // into a plugin folder (owner, mode, pin); no check of ours can establish it.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    match library {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(libloading::Error::DlOpen { source }) => Err(source.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
