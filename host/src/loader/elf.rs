//! Reads just enough of an ELF file to know that loading it is not certain to kill the process.
//!
//! Guarantees: never panics, allocates a few MiB at most whatever the file says, reads nothing outside it. It accepts a
//! 64-bit shared object of this machine whose segments and section headers all lie within the file: `dlopen` of a file
//! that was cut off dies of SIGBUS. It does not find a flipped bit; that is what pins and the probe are for.

use std::fs::File;

use object::LittleEndian as Little;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::read::{ReadCache, ReadRef};

use super::Reason;

/// More headers than any linker makes of a plugin, few enough to be read whatever they say.
const MAX_HEADERS: u32 = 65_535;

#[cfg(target_arch = "x86_64")]
const MACHINE: elf::Machine = elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: elf::Machine = elf::EM_AARCH64;

/// An ELF file that is whole and of this machine.
pub(super) struct Elf<'a> {
    data: ReadCache<&'a File>,
}

impl<'a> Elf<'a> {
    /// Checks the file: machine, kind, and that every segment and the section headers lie within it.
    pub fn check(file: &'a File) -> Result<Self, Reason> {
        let elf = Self { data: ReadCache::new(file) };
        elf.check_identity()?;
        elf.check_segments()?;
        elf.sections()?;
        Ok(elf)
    }

    /// The bytes of the section of this name; `Ok(None)` where there is none. At most `max_bytes`.
    pub fn section(&self, name: &str, max_bytes: u64) -> Result<Option<&[u8]>, Reason> {
        let (header, data) = (self.header()?, &self.data);
        let sections = self.sections()?;
        let names = header
            .section_strings_index(Little, data)
            .ok()
            .and_then(|index| sections.get(index.0))
            .ok_or_else(|| Reason::damaged("it has no table of section names"))?;
        let names_offset = names.sh_offset(Little);
        let wanted = [name.as_bytes(), b"\0"].concat();
        for section in sections {
            let at = names_offset.saturating_add(section.sh_name(Little).into());
            if data.read_bytes_at(at, wanted.len() as u64) != Ok(&wanted) {
                continue;
            }
            let Some((offset, len)) = section.file_range(Little) else {
                return Err(Reason::damaged(format!("its section {name} holds no bytes")));
            };
            if len > max_bytes {
                return Err(Reason::damaged(format!(
                    "its section {name} says it holds {len} bytes, and more than {max_bytes} make no sense"
                )));
            }
            self.within(&format!("section {name}"), offset, len)?;
            return data
                .read_bytes_at(offset, len)
                .map(Some)
                .map_err(|()| Reason::damaged(format!("its section {name} cannot be read")));
        }
        Ok(None)
    }

    fn check_identity(&self) -> Result<(), Reason> {
        let data = &self.data;
        let len = self.len()?;
        if len == 0 {
            return Err(Reason::Empty);
        }
        let start = data.read_bytes_at(0, len.min(4)).map_err(|()| Reason::damaged("it cannot be read"))?;
        if start != elf::ELFMAG {
            return Err(Reason::NotElf { start: start.to_vec() });
        }
        let ident = data
            .read_bytes_at(0, 20)
            .map_err(|()| Reason::damaged(format!("its header does not fit into its {len} bytes")))?;
        if ident[4] != elf::ELFCLASS64.0 {
            return Err(Reason::Machine("a 32-bit machine".into()));
        }
        if ident[5] != elf::ELFDATA2LSB.0 {
            return Err(Reason::Machine("a big-endian machine".into()));
        }
        let machine = elf::Machine(u16::from_le_bytes([ident[18], ident[19]]));
        if machine != MACHINE {
            return Err(Reason::Machine(machine_name(machine)));
        }
        let kind = elf::FileType(u16::from_le_bytes([ident[16], ident[17]]));
        if kind != elf::ET_DYN {
            return Err(Reason::NotShared(kind_name(kind)));
        }
        self.header().map(drop)
    }

    fn check_segments(&self) -> Result<(), Reason> {
        let (header, data) = (self.header()?, &self.data);
        if header.phnum(Little, data).is_ok_and(|count| count > MAX_HEADERS) {
            return Err(Reason::damaged("it says it has more segments than make sense"));
        }
        let segments = header
            .program_headers(Little, data)
            .map_err(|_| Reason::damaged("its program headers are not within the file"))?;
        if !segments.iter().any(|segment| segment.p_type(Little) == elf::PT_LOAD) {
            return Err(Reason::damaged("it has no segment to load"));
        }
        for (index, segment) in segments.iter().enumerate() {
            let (offset, len) = segment.file_range(Little);
            self.within(&format!("segment {index}"), offset, len)?;
        }
        Ok(())
    }

    fn sections(&self) -> Result<&[elf::SectionHeader64<Little>], Reason> {
        let (header, data) = (self.header()?, &self.data);
        if header.shnum(Little, data).is_ok_and(|count| count > MAX_HEADERS) {
            return Err(Reason::damaged("it says it has more sections than make sense"));
        }
        header
            .section_headers(Little, data)
            .map_err(|_| Reason::damaged("its section headers are not within the file"))
    }

    fn header(&self) -> Result<&FileHeader64<Little>, Reason> {
        FileHeader64::parse(&self.data).map_err(|_| Reason::damaged("its ELF header makes no sense"))
    }

    fn within(&self, what: &str, offset: u64, len: u64) -> Result<(), Reason> {
        let (end, file) = (offset.saturating_add(len), self.len()?);
        if end > file {
            return Err(Reason::damaged(format!("its {what} ends at byte {end}, but the file at {file}")));
        }
        Ok(())
    }

    fn len(&self) -> Result<u64, Reason> {
        (&self.data).len().map_err(|()| Reason::damaged("its size cannot be read"))
    }
}

fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86_64".into(),
        elf::EM_AARCH64 => "aarch64".into(),
        elf::EM_386 => "x86".into(),
        elf::EM_ARM => "arm".into(),
        elf::EM_RISCV => "riscv64".into(),
        elf::EM_S390 => "s390x".into(),
        elf::EM_PPC64 => "powerpc64".into(),
        other => format!("ELF machine {}", other.0),
    }
}

fn kind_name(kind: elf::FileType) -> &'static str {
    match kind {
        elf::ET_REL => "an object file",
        elf::ET_EXEC => "a program",
        elf::ET_CORE => "a core dump",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use audit_plugin_api::manifest::SECTION;
    use proptest::prelude::*;

    use super::super::sample::*;
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Vec<u8>>, Reason> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let elf = Elf::check(&file)?;
        elf.section(SECTION, 1000).map(|section| section.map(<[u8]>::to_vec))
    }

    fn patched(at: usize, value: &[u8]) -> Vec<u8> {
        let mut bytes = shared_object(b"manifest");
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    }

    fn refusal(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_shared_object_of_this_machine_is_read() {
        assert_eq!(read(&shared_object(b"manifest")), Ok(Some(b"manifest".to_vec())));
    }

    #[test]
    fn an_absent_section_is_none() {
        let mut bytes = shared_object(b"manifest");
        let at = bytes.windows(SECTION.len()).position(|window| window == SECTION.as_bytes()).unwrap();
        bytes[at + 3] = b'x';
        assert_eq!(read(&bytes), Ok(None));
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = shared_object(b"manifest");
        assert_eq!(read(&[]), Err(Reason::Empty));
        for len in 1..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn another_machine_is_refused_with_both() {
        assert!(refusal(&patched(MACHINE_AT, &[40, 0])).contains("built for arm"));
        assert!(refusal(&patched(MACHINE_AT, &[0xff, 0xff])).contains("ELF machine 65535"));
        assert!(refusal(&patched(4, &[1])).contains("32-bit"));
        assert!(refusal(&patched(5, &[2])).contains("big-endian"));
        assert!(refusal(&patched(MACHINE_AT, &[40, 0])).contains(std::env::consts::ARCH));
    }

    #[test]
    fn what_is_no_shared_object_is_refused_as_what_it_is() {
        assert!(refusal(&patched(16, &[1, 0])).contains("an object file"));
        assert!(refusal(&patched(16, &[2, 0])).contains("a program"));
        assert!(refusal(b"#!/bin/sh\n").contains("begins with \"#!/b\""));
        assert!(refusal(b"\x7f").contains("begins with \"\\x7f\""));
    }

    #[test]
    fn headers_and_segments_beyond_the_end_are_refused() {
        for at in [PHOFF_AT, SHOFF_AT, SEGMENT_SIZE_AT] {
            for value in [1 << 40, u64::MAX, u64::MAX - 64] {
                assert!(
                    matches!(read(&patched(at, &value.to_le_bytes())), Err(Reason::Damaged(_))),
                    "{at} {value}"
                );
            }
        }
        for at in [PHNUM_AT, SHNUM_AT] {
            assert!(matches!(read(&patched(at, &[0xfe, 0xff])), Err(Reason::Damaged(_))), "{at}");
        }
        assert!(matches!(read(&patched(PHNUM_AT, &[0, 0])), Err(Reason::Damaged(_))));
    }

    #[test]
    fn a_section_that_is_too_large_is_not_read() {
        assert!(refusal(&shared_object(&[0; 1001])).contains("more than 1000"));
    }

    #[test]
    fn a_file_full_of_headers_is_not_read() {
        let len = 64 << 20;
        let mut bytes = shared_object(b"manifest");
        bytes.resize(len, 0);
        // Extended numbering: the number of sections stands in the size of the first one.
        bytes[SHNUM_AT..SHNUM_AT + 2].fill(0);
        let first = u64::from_le_bytes(bytes[SHOFF_AT..SHOFF_AT + 8].try_into().unwrap()) as usize;
        bytes[first + 32..first + 40].copy_from_slice(&(len as u64 / 128).to_le_bytes());
        assert!(refusal(&bytes).contains("more sections than make sense"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(flips in prop::collection::vec((0usize..400, any::<u8>()), 0..8)) {
            let mut bytes = shared_object(b"manifest");
            for (at, value) in flips {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            let _ = read(&bytes);
        }
    }
}
