//! Whose files may be believed: the rule for owner and mode.
//!
//! `audit.toml`, plugin files and plugin folders decide what code runs and where audit events go. So they must belong to
//! root or to the running user, and nobody else may be able to write them: not others, and not a group, unless it is
//! the owner's own primary group and has no other members (what `umask 002` systems give each user).
//!
//! Callers pass the metadata of the *open descriptor* that they go on to read. Group membership comes from `/etc/passwd` and
//! `/etc/group`: an account or a group that only a directory service knows counts as one with other members. Access
//! control lists are seen only through the group bits, which the kernel keeps at least as wide.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a file or folder is not believed. The message is one sentence that ends with the command that repairs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// It belongs to somebody else.
    #[error(
        "{what} belongs to user {owner}, but it must belong to root or to the running user {user}: run `chown {user} {}`",
        Quoted(.what)
    )]
    Owner {
        /// The file or folder.
        what: PathBuf,
        /// Its owner.
        owner: u32,
        /// The running user.
        user: u32,
    },
    /// Somebody else may write it.
    #[error(
        "{what} is writable by {writers} (mode {mode:04o}), but only its owner may write it: {}",
        Repair(.what, *.mode, *.writers)
    )]
    Writable {
        /// The file or folder.
        what: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Who may write it.
        writers: Writers,
    },
}

/// Who may write a file beside its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writers {
    /// A group that is not the owner's alone.
    Group(u32),
    /// Everybody.
    Others,
    /// Everybody, and a group that is not the owner's alone.
    GroupAndOthers(u32),
}

impl fmt::Display for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(gid) => write!(f, "group {gid}"),
            Self::Others => f.write_str("others"),
            Self::GroupAndOthers(gid) => write!(f, "group {gid} and by others"),
        }
    }
}

/// Checks that `what`, whose metadata was taken from an open descriptor, belongs to root or the running user and that
/// nobody else may write it.
pub fn check_owner_and_mode(metadata: &Metadata, what: &Path) -> Result<(), Untrusted> {
    let facts = Facts { owner: metadata.uid(), group: metadata.gid(), mode: metadata.mode() & 0o7777 };
    let user = rustix::process::geteuid().as_raw();
    judge(facts, user, what, |facts| {
        let (Ok(passwd), Ok(group)) =
            (std::fs::read_to_string("/etc/passwd"), std::fs::read_to_string("/etc/group"))
        else {
            return false;
        };
        is_private_group(facts, &passwd, &group)
    })
}

#[derive(Clone, Copy)]
struct Facts {
    owner: u32,
    group: u32,
    mode: u32,
}

fn judge(
    facts: Facts,
    user: u32,
    what: &Path,
    is_private: impl FnOnce(Facts) -> bool,
) -> Result<(), Untrusted> {
    if facts.owner != 0 && facts.owner != user {
        return Err(Untrusted::Owner { what: what.to_owned(), owner: facts.owner, user });
    }
    let group = facts.mode & 0o020 != 0 && !is_private(facts);
    let others = facts.mode & 0o002 != 0;
    let writers = match (group, others) {
        (false, false) => return Ok(()),
        (true, false) => Writers::Group(facts.group),
        (false, true) => Writers::Others,
        (true, true) => Writers::GroupAndOthers(facts.group),
    };
    Err(Untrusted::Writable { what: what.to_owned(), mode: facts.mode, writers })
}

/// Whether the group is the primary group of the owner and of nobody else, and lists nobody else as a member.
fn is_private_group(facts: Facts, passwd: &str, group: &str) -> bool {
    let mut owner_names = Vec::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let name = fields.next();
        let uid = fields.nth(1).and_then(|text| text.parse::<u32>().ok());
        let gid = fields.next().and_then(|text| text.parse::<u32>().ok());
        if gid == Some(facts.group) {
            match (uid == Some(facts.owner), name) {
                (true, Some(name)) => owner_names.push(name),
                _ => return false,
            }
        }
    }
    let mut known = false;
    for line in group.lines() {
        let mut fields = line.split(':').skip(2);
        let gid = fields.next().and_then(|text| text.parse::<u32>().ok());
        if gid == Some(facts.group) {
            known = true;
            let members = fields.next().unwrap_or_default();
            if members.split(',').any(|member| !member.is_empty() && !owner_names.contains(&member)) {
                return false;
            }
        }
    }
    known && !owner_names.is_empty()
}

/// What to do about a file of that mode.
struct Repair<'a>(&'a Path, u32, Writers);

impl fmt::Display for Repair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taking write permission from a folder like /tmp would break it for everybody else.
        if self.1 & 0o1000 != 0 {
            return f.write_str("use a folder of your own, made with `mkdir -m 755`");
        }
        let who = match self.2 {
            Writers::Group(_) => "g",
            Writers::Others => "o",
            Writers::GroupAndOthers(_) => "go",
        };
        write!(f, "run `chmod {who}-w {}`", Quoted(self.0))
    }
}

/// A path as a shell takes it.
struct Quoted<'a>(&'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
        let dashes = if text.starts_with('-') { "./" } else { "" };
        if !text.is_empty() && text.chars().all(is_plain) {
            write!(f, "{dashes}{text}")
        } else {
            write!(f, "'{dashes}{}'", text.replace('\'', r"'\''"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:100::/:/bin/sh\ncat:x:1002:100::/:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nann:x:1000:\nusers:x:100:\ndevs:x:2000:ann,bob\n";

    fn judge_as_ann(owner: u32, group: u32, mode: u32) -> Result<(), String> {
        let facts = Facts { owner, group, mode };
        judge(facts, 1000, Path::new("/etc/audit.toml"), |facts| is_private_group(facts, PASSWD, GROUP))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn files_of_root_and_of_the_running_user_are_believed() {
        assert_eq!(judge_as_ann(0, 0, 0o644), Ok(()));
        assert_eq!(judge_as_ann(1000, 2000, 0o644), Ok(()));
    }

    #[test]
    fn a_file_of_somebody_else_is_refused_with_the_chown() {
        assert_eq!(
            judge_as_ann(1001, 100, 0o600).unwrap_err(),
            "/etc/audit.toml belongs to user 1001, but it must belong to root or to the running user 1000: run `chown \
             1000 /etc/audit.toml`"
        );
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_with_the_chmod() {
        assert_eq!(
            judge_as_ann(1000, 1000, 0o666).unwrap_err(),
            "/etc/audit.toml is writable by others (mode 0666), but only its owner may write it: run `chmod o-w \
             /etc/audit.toml`"
        );
        assert_eq!(
            judge_as_ann(1000, 2000, 0o666).unwrap_err(),
            "/etc/audit.toml is writable by group 2000 and by others (mode 0666), but only its owner may write it: run \
             `chmod go-w /etc/audit.toml`"
        );
    }

    #[test]
    fn the_owners_private_group_may_write() {
        assert_eq!(judge_as_ann(1000, 1000, 0o775), Ok(()));
        assert_eq!(judge_as_ann(0, 0, 0o664), Ok(()));
    }

    #[test]
    fn a_group_with_other_members_may_not_write() {
        for (owner, group) in [(1000, 2000), (1000, 0), (0, 1000), (1000, 100), (1000, 4242)] {
            let message = judge_as_ann(owner, group, 0o664).unwrap_err();
            assert!(message.contains("run `chmod g-w "), "{owner}:{group}: {message}");
        }
    }

    #[test]
    fn a_group_is_private_only_without_other_members_of_any_kind() {
        let facts = Facts { owner: 1000, group: 1000, mode: 0o664 };
        let private = |passwd: &str, group: &str| is_private_group(facts, passwd, group);
        assert!(private("ann:x:1000:1000:::\n", "ann:x:1000:\n"));
        assert!(private("ann:x:1000:1000:::\n", "ann:x:1000:ann\n"));
        assert!(!private("ann:x:1000:1000:::\n", "ann:x:1000:bob\n"), "listed member");
        assert!(
            !private("ann:x:1000:1000:::\nbob:x:1001:1000:::\n", "ann:x:1000:\n"),
            "primary group of two"
        );
        assert!(!private("ann:x:1000:100:::\n", "ann:x:1000:\n"), "not the primary group");
        assert!(!private("ann:x:1000:1000:::\n", ""), "a group that no file knows");
        assert!(!private("", "ann:x:1000:\n"), "an owner that no file knows");
        assert!(!private("garbage\n::::\nann:x:1000:1000", "garbage\n\nann"), "broken lines");
    }

    #[test]
    fn a_shared_folder_is_not_to_be_closed_for_everybody() {
        let message = judge_as_ann(0, 0, 0o1777).unwrap_err();
        assert!(message.ends_with("use a folder of your own, made with `mkdir -m 755`"), "{message}");
    }

    #[test]
    fn paths_are_quoted_for_the_shell() {
        let quoted = |path: &str| Quoted(Path::new(path)).to_string();
        assert_eq!(quoted("/opt/a b/it's.toml"), r"'/opt/a b/it'\''s.toml'");
        assert_eq!(quoted("-rf"), "./-rf");
    }

    #[test]
    fn metadata_of_an_open_file_is_judged() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        let set = |mode| {
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
            check_owner_and_mode(&file.as_file().metadata().unwrap(), file.path())
        };
        assert_eq!(set(0o600), Ok(()));
        assert!(matches!(set(0o602), Err(Untrusted::Writable { writers: Writers::Others, .. })));
    }
}
