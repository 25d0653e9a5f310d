//! Places that a run will write to, examined without making or opening anything.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use audit_host::trust::check_owner_and_mode;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::Serialize;

/// A folder that a run can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// It is there.
    Usable,
    /// It is not there, and can be made.
    ToBeMade,
}

/// Whether a run can keep a spool in this folder; if not, why, in words that name the folder.
pub fn examine_spool_dir(dir: &Path) -> Result<Place, String> {
    let shown = dir.display();
    match dir.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => can_be_made(dir).map(|()| Place::ToBeMade),
        Err(error) => Err(format!("{shown} cannot be examined: {error}")),
        Ok(metadata) if !metadata.is_dir() => {
            Err(format!("{shown} is not a folder: name another one, or move it away"))
        }
        Ok(metadata) => {
            check_owner_and_mode(&metadata, dir).map_err(|untrusted| untrusted.to_string())?;
            can_hold_files(dir).map_err(|error| format!("{shown} cannot be written: {error}"))?;
            Ok(Place::Usable)
        }
    }
}

/// Whether a run can append to this file, which is made with its folder where it is missing; if not, why, in words that
/// name the file.
pub fn examine_file(file: &Path) -> Result<(), String> {
    let shown = file.display();
    let metadata = match file.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = file.parent().unwrap_or(Path::new("/"));
            return match folder.metadata() {
                Ok(_) => can_hold_files(folder).map_err(|error| {
                    format!("{shown} cannot be made: {} cannot be written: {error}", folder.display())
                }),
                Err(_) => can_be_made(folder),
            };
        }
        Err(error) => return Err(format!("{shown} cannot be examined: {error}")),
        Ok(metadata) => metadata,
    };
    match kind(&metadata) {
        Some(kind) => Err(format!("{shown} is {kind}, but must be a file")),
        None => access(file, Access::WRITE_OK).map_err(|error| format!("{shown} cannot be written: {error}")),
    }
}

/// What stands in the place of a file.
fn kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_char_device() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_symlink() {
        Some("a symbolic link, which is not followed,")
    } else {
        Some("a pipe, a socket or a block device")
    }
}

/// Whether a missing folder can be made: whether the nearest one above that is there can be written.
fn can_be_made(folder: &Path) -> Result<(), String> {
    let cannot = |above: &Path, why: &str| {
        Err(format!("{} cannot be made: {} {why}", folder.display(), above.display()))
    };
    for above in folder.ancestors().skip(1) {
        match above.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return cannot(above, &format!("cannot be examined: {error}")),
            Ok(metadata) if !metadata.is_dir() => return cannot(above, "is not a folder"),
            Ok(_) => {
                return can_hold_files(above)
                    .or_else(|error| cannot(above, &format!("cannot be written: {error}")));
            }
        }
    }
    Ok(())
}

fn can_hold_files(folder: &Path) -> io::Result<()> {
    if !folder.metadata()?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    access(folder, Access::WRITE_OK | Access::EXEC_OK)
}

/// Asks for the user that files will be opened as.
fn access(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder of the kernel's in which nobody may make anything, not even root.
    const READ_ONLY: &str = "/proc/sys";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("a mode");
        folder
    }

    fn refusal<T: std::fmt::Debug>(examined: Result<T, String>) -> String {
        examined.expect_err("refused")
    }

    #[test]
    fn a_folder_is_usable_or_can_be_made_and_is_not_made_here() {
        let folder = folder();
        assert_eq!(examine_spool_dir(folder.path()), Ok(Place::Usable));
        assert_eq!(examine_spool_dir(&folder.path().join("a/b/c")), Ok(Place::ToBeMade));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_folder_that_others_may_write_is_no_place_for_a_spool() {
        let folder = folder();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o707)).expect("a mode");
        assert!(refusal(examine_spool_dir(folder.path())).contains("run `chmod o-w "));
    }

    #[test]
    fn a_file_is_no_folder_and_no_folder_can_be_made_below_it() {
        let folder = folder();
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        assert!(refusal(examine_spool_dir(&file)).contains("file is not a folder"));
        for path in [file.join("x"), file.join("x/y")] {
            refusal(examine_spool_dir(&path));
            refusal(examine_file(&path));
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_place_for_anything() {
        let below = Path::new(READ_ONLY).join("x");
        assert!(refusal(examine_spool_dir(Path::new(READ_ONLY))).contains("/proc/sys cannot be written: "));
        assert!(
            refusal(examine_spool_dir(&below)).contains("x cannot be made: /proc/sys cannot be written: ")
        );
        assert!(refusal(examine_file(&below)).contains("x cannot be made: /proc/sys cannot be written: "));
        assert!(
            refusal(examine_file(&below.join("y")))
                .contains("x cannot be made: /proc/sys cannot be written: ")
        );
        assert!(
            refusal(examine_file(Path::new("/proc/sys/kernel/ostype")))
                .contains("ostype cannot be written: ")
        );
    }

    #[test]
    fn a_file_may_be_there_or_missing_with_its_folder() {
        let folder = folder();
        let file = folder.path().join("file");
        assert_eq!(examine_file(&file), Ok(()));
        assert_eq!(examine_file(&folder.path().join("a/b/file")), Ok(()));
        std::fs::write(&file, "").expect("written");
        assert_eq!(examine_file(&file), Ok(()));
        assert_eq!(examine_file(Path::new("/dev/null")), Ok(()));
    }

    #[test]
    fn what_stands_in_the_place_of_a_file_is_said() {
        let folder = folder();
        assert!(refusal(examine_file(folder.path())).ends_with("is a folder, but must be a file"));
        let link = folder.path().join("link");
        symlink("nowhere", &link).expect("a link");
        assert!(refusal(examine_file(&link)).contains("is a symbolic link"));
    }
}
