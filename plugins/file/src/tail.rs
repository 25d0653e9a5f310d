//! A last line that a crash or a full disk has torn.
//!
//! What would be appended to it would be lost with it. So it is moved to a file beside, where nothing is lost, and the
//! file ends with a whole line again. Where the file cannot be made shorter (`chattr +a`) the torn line is ended with a
//! newline instead.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::Mode;

/// How far back one look goes.
const BLOCK_BYTES: u64 = 64 * 1024;

/// What became of the end of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Tail {
    /// It ends with a whole line, or is empty.
    Whole,
    /// This many bytes were moved.
    Moved(u64),
    /// This many bytes, that could not be moved, were ended with a newline.
    Ended(u64),
}

/// Makes a file of this length end with a whole line. What is torn is appended to `torn_path`, made with `mode`, and is
/// on the disk before it is cut off here.
pub fn repair(file: &File, len: u64, torn_path: &Path, mode: Mode) -> io::Result<Tail> {
    let start = end_of_last_line(file, len)?;
    if start == len {
        return Ok(Tail::Whole);
    }
    let mut torn = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode.0)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(torn_path)?;
    let mut source = file;
    source.seek(SeekFrom::Start(start))?;
    io::copy(&mut source.take(len - start), &mut torn)?;
    torn.write_all(b"\n")?;
    torn.sync_data()?;
    match file.set_len(start) {
        Ok(()) => Ok(Tail::Moved(len - start)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            source.write_all(b"\n")?;
            Ok(Tail::Ended(len - start))
        }
        Err(error) => Err(error),
    }
}

/// The position behind the last newline among the first `len` bytes.
fn end_of_last_line(file: &File, len: u64) -> io::Result<u64> {
    let mut block = [0; BLOCK_BYTES as usize];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        // Usually the last byte is the newline.
        let start = if end == len { end - 1 } else { start };
        let bytes = &mut block[..(end - start) as usize];
        file.read_exact_at(bytes, start)?;
        if let Some(position) = bytes.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + position as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    use super::*;

    fn repaired(content: &[u8]) -> (Tail, Vec<u8>, Option<Vec<u8>>, PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (path, torn) = (folder.path().join("a"), folder.path().join("a.torn"));
        fs::write(&path, content).unwrap();
        let file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
        let tail = repair(&file, content.len() as u64, &torn, Mode(0o600)).unwrap();
        (tail, fs::read(&path).unwrap(), fs::read(&torn).ok(), torn, folder)
    }

    #[test]
    fn a_whole_file_is_left_alone() {
        for content in [&b""[..], b"\n", b"one\n", b"one\ntwo\n"] {
            let (tail, file, torn, ..) = repaired(content);
            assert_eq!((tail, file.as_slice(), torn), (Tail::Whole, content, None));
        }
    }

    #[test]
    fn a_torn_line_is_moved_beside_and_nothing_of_it_is_lost() {
        for kept in [&b""[..], b"one\n"] {
            for torn_bytes in
                [1, BLOCK_BYTES as usize - 1, BLOCK_BYTES as usize + 1, 3 * BLOCK_BYTES as usize]
            {
                let torn_line = vec![b'x'; torn_bytes];
                let (tail, file, torn, ..) = repaired(&[kept, &torn_line].concat());
                assert_eq!(tail, Tail::Moved(torn_bytes as u64));
                assert_eq!(file, kept);
                assert_eq!(torn.unwrap(), [&torn_line[..], b"\n"].concat());
            }
        }
    }

    #[test]
    fn a_second_torn_line_joins_the_first() {
        let (.., torn, folder) = repaired(b"one\ntw");
        let path = folder.path().join("a");
        fs::write(&path, b"one\nthr").unwrap();
        let file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
        repair(&file, 7, &torn, Mode(0o600)).unwrap();
        assert_eq!(fs::read(&torn).unwrap(), b"tw\nthr\n");
    }

    #[test]
    fn the_place_for_torn_lines_is_never_a_symbolic_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, torn) = (folder.path().join("a"), folder.path().join("a.torn"));
        fs::write(&path, b"one\ntw").unwrap();
        std::os::unix::fs::symlink(folder.path().join("victim"), &torn).unwrap();
        let file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
        assert!(repair(&file, 6, &torn, Mode(0o600)).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one\ntw");
    }

    #[test]
    fn a_torn_line_that_cannot_be_cut_off_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let torn = folder.path().join("a.torn");
        let mut file = File::from(memfd_create("a", MemfdFlags::ALLOW_SEALING).unwrap());
        file.write_all(b"one\ntw").unwrap();
        fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        assert_eq!(repair(&file, 6, &torn, Mode(0o600)).unwrap(), Tail::Ended(2));
        let mut content = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "one\ntw\n");
        assert_eq!(fs::read(&torn).unwrap(), b"tw\n");
    }
}
