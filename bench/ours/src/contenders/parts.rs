//! What a load of a plugin is made of, one part a process, done as the loader does it: `part` is `sha256`, `copy` or `dlopen`.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use bench_harness::{Case, Outcome, Places};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest, Sha256};

/// How much the loader copies and hashes at a time.
const PIECE_BYTES: usize = 128 << 10;

/// Does one part for the `plugin`; `seconds` is how long it took.
pub fn run(case: &Case) {
    let path = Places::new().built().join(case.text("plugin"));
    // Also brings the file into memory, so that no part waits for the disk.
    let bytes = fs::read(&path).expect("the plugin is built");
    let seconds = match case.text("part") {
        "sha256" => time(|| {
            let mut hasher = Sha256::new();
            bytes.chunks(PIECE_BYTES).for_each(|piece| hasher.update(piece));
            hasher.finalize()
        }),
        "copy" => time(|| copy(&path)),
        "dlopen" => {
            let memory = copy(&path);
            time(|| load(&memory))
        }
        part => panic!("a load has no part {part}"),
    };
    Outcome { events: 1, seconds, ..Outcome::default() }.print();
}

/// How many seconds something takes; what comes of it is thrown away later.
fn time<T>(work: impl FnOnce() -> T) -> f64 {
    let started = Instant::now();
    let made = work();
    let seconds = started.elapsed().as_secs_f64();
    drop(black_box(made));
    seconds
}

/// Copies the file into memory, and seals the copy.
fn copy(path: &Path) -> File {
    seal(path).expect("the plugin can be copied into memory")
}

fn seal(path: &Path) -> io::Result<File> {
    let mut plugin = File::open(path)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // As the loader has it: kernels before 6.3 do not know EXEC.
    let memory =
        memfd_create("plugin", flags | MemfdFlags::EXEC).or_else(|_| memfd_create("plugin", flags))?;
    let (mut memory, mut piece) = (File::from(memory), vec![0; PIECE_BYTES]);
    loop {
        match plugin.read(&mut piece)? {
            0 => break,
            len => memory.write_all(&piece[..len])?,
        }
    }
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memory)
}

/// Loads the copy for good, all symbols bound.
#[allow(unsafe_code)]
fn load(memory: &File) {
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    // SAFETY: constructors of the library run: those of a plugin that this repository's build made, which audit-host loads as well.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    std::mem::forget(library.expect("a plugin"));
}
