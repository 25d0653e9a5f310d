//! Folders of processes, and who may take them over.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::stage::*;
use crate::spool::{Age, Backlog, Disk, RealDisk, Spool, close_locks_in_child};

#[test]
fn many_folders_are_taken_over_the_oldest_first() {
    let stage = Stage::new(&["a"]);
    let spools: Vec<_> = (0..20).map(|_| stage.open()).collect();
    for (number, opened) in spools.iter().enumerate() {
        fill(&opened.spool, 1 + number as u64 * 10, 10);
    }
    let left = stage.killed();
    let opened = left.open();
    assert_eq!(owed(&opened.backlog, 0), (1..=200).collect::<Vec<_>>());
    settle(&opened.backlog);
    opened.spool.close();
    assert!(left.disk.files().is_empty(), "{:?}", left.disk.files());
}

#[test]
fn the_folder_of_a_living_process_is_left_alone() {
    let stage = Stage::new(&["a"]);
    let living = stage.open();
    fill(&living.spool, 1, 10);
    let other = stage.open();
    assert!(other.backlog.parts.is_empty());
    assert_ne!(living.spool.folder(), other.spool.folder());
    other.spool.close();
    living.spool.close();
    assert_eq!(owed(&stage.open().backlog, 0), (1..=10).collect::<Vec<_>>(), "closed: free for the next");
}

#[test]
fn a_folder_goes_to_one_of_many_that_open_at_once() {
    let stage = Stage::new(&["a"]);
    for number in 0..4 {
        let opened = stage.open();
        fill(&opened.spool, 1 + number * 10, 10);
    }
    let left = stage.killed();
    let start = AtomicBool::new(false);
    let opened: Vec<Opened> = std::thread::scope(|scope| {
        let open = || {
            while !start.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            left.open()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        start.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut all: Vec<u64> = opened.iter().flat_map(|opened| owed(&opened.backlog, 0)).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=40).collect::<Vec<_>>());
}

#[test]
fn what_a_process_left_that_died_while_it_made_its_folder_is_cleared_away() {
    let stage = Stage::new(&["a"]);
    for operations in 0..12 {
        let dying = stage.with(stage.disk.after_kill());
        dying.disk.die_after(operations);
        drop(dying.try_open());
        let left = dying.killed();
        let opened = left.open();
        assert!(opened.backlog.parts.is_empty() && opened.backlog.gaps.is_empty());
        opened.spool.close();
        let names = left.disk.list(&left.options.dir).unwrap();
        assert_eq!(names, [""; 0], "after {operations}");
    }
}

#[test]
fn damaged_copies_stay_and_their_folder_with_them() {
    let stage = Stage::new(&["a"]);
    let opened = stage.open();
    fill(&opened.spool, 1, 1);
    let left = stage.killed();
    let path = left.disk.segments()[0].clone();
    let mut bytes = left.disk.bytes(&path);
    bytes[PAGE + 200] ^= 1;
    left.disk.put(&path, &bytes);
    let opened = left.open();
    opened.backlog.gaps.into_iter().for_each(|gap| gap.heal().unwrap());
    opened.spool.close();
    let files = left.disk.files();
    assert!(
        files.iter().any(|file| file.to_str().unwrap().ends_with("0000000001.segment.damaged-1")),
        "{files:?}"
    );
    assert!(left.disk.segments().is_empty());
    left.open().spool.close();
    assert_eq!(left.disk.files(), files);
}

fn real_stage(dir: &std::path::Path) -> (Arc<Spool>, Backlog) {
    let mut options = Stage::new(&["a"]).options;
    options.dir = dir.to_owned();
    Spool::open(Arc::new(RealDisk), options, unbounded()).unwrap()
}

#[test]
fn on_a_real_disk_the_folder_of_a_living_process_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let (living, _) = real_stage(temp.path());
    let chunks = fill(&living, 1, 30);
    let (other, backlog) = real_stage(temp.path());
    assert!(backlog.parts.is_empty() && backlog.gaps.is_empty());
    other.close();
    // All of it is still there, and its owner's.
    assert_eq!(
        chunks.iter().map(|chunk| chunk.read(0, 152, Age::Waited, sequences).unwrap()[0]).min(),
        Some(1)
    );
    living.close();
    let (heir, backlog) = real_stage(temp.path());
    assert_eq!(owed(&backlog, 0), (1..=30).collect::<Vec<_>>());
    settle(&backlog);
    heir.close();
}

#[test]
fn on_a_real_disk_folders_and_files_are_for_their_owner_alone_and_go_when_they_are_done() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("made/spool");
    let (spool, _) = real_stage(&dir);
    let chunks = fill(&spool, 1, 300);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&dir), mode(spool.folder())), (0o700, 0o700));
    for entry in std::fs::read_dir(spool.folder()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let pid = std::fs::read_to_string(spool.folder().join("lock")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
    spool.close();
    let (spool, backlog) = real_stage(&dir);
    assert_eq!(owed(&backlog, 0), (1..=300).collect::<Vec<_>>());
    settle(&backlog);
    spool.close();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    drop(chunks);
}

#[test]
fn a_folder_that_others_may_write_is_refused_with_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut options = Stage::new(&["a"]).options;
    options.dir = temp.path().to_owned();
    let error = Spool::open(Arc::new(RealDisk), options, unbounded()).err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with("the spool cannot be trusted: ") && text.contains("run `chmod"), "{text}");
}

#[test]
fn a_path_that_is_no_folder_is_refused_by_name() {
    let temp = tempfile::NamedTempFile::new().unwrap();
    let mut options = Stage::new(&["a"]).options;
    options.dir = temp.path().join("spool");
    let error = Spool::open(Arc::new(RealDisk), options.clone(), unbounded()).err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with(&format!("making the folder {} failed: ", options.dir.display())), "{text}");
}

#[test]
fn a_forked_child_does_not_keep_its_parents_folder() {
    let temp = tempfile::tempdir().unwrap();
    let (spool, _) = real_stage(temp.path());
    fill(&spool, 1, 10);
    let lock_is_free = || {
        let file = std::fs::File::open(spool.folder().join("lock")).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok()
    };
    assert!(!lock_is_free());
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let (ready_reader, ready_writer) = rustix::pipe::pipe().unwrap();
    // SAFETY: the child only calls `close`, `read`, `write` and `_exit`, which is allowed in the child of a process
    // with threads.
    let child = unsafe { libc::fork() };
    if child == 0 {
        close_locks_in_child();
        let _ = rustix::io::write(&ready_writer, &[1]);
        drop(writer);
        // Until the parent closes its end.
        let _ = rustix::io::read(&reader, &mut [0; 1]);
        // SAFETY: ends the child without running anything else in it.
        unsafe { libc::_exit(0) };
    }
    drop((reader, ready_writer));
    let mut ready = [0; 1];
    assert_eq!(rustix::io::read(&ready_reader, &mut ready).unwrap(), 1);
    assert!(!lock_is_free(), "the parent still has it");
    let folder = spool.folder().to_owned();
    spool.close();
    let (next, backlog) = real_stage(temp.path());
    assert_eq!(
        owed(&backlog, 0),
        (1..=10).collect::<Vec<_>>(),
        "the child lives, and {} is free",
        folder.display()
    );
    drop(writer);
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).unwrap();
    next.close();
}
