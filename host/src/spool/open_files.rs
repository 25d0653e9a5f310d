//! Files of a folder that were opened a short while ago: a sink that is behind comes back to the same segment for each
//! chunk in it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Access, DiskFile};

/// Files that are kept open.
const MOST: usize = 16;

/// Files of a folder that were opened a short while ago, the latest last.
#[derive(Default)]
pub struct OpenFiles(Mutex<VecDeque<Open>>);

struct Open {
    name: String,
    access: Access,
    file: Arc<dyn DiskFile>,
}

impl OpenFiles {
    /// The file of this name, opened for this: by calling `open`, if it is not open.
    pub fn get(
        &self,
        name: &str,
        access: Access,
        open: impl FnOnce() -> io::Result<Box<dyn DiskFile>>,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.lock();
        let place = files.iter().position(|open| open.name == name && open.access == access);
        if let Some(found) = place.and_then(|place| files.remove(place)) {
            let file = found.file.clone();
            files.push_back(found);
            return Ok(file);
        }
        let file: Arc<dyn DiskFile> = Arc::from(open()?);
        if files.len() == MOST {
            files.pop_front();
        }
        files.push_back(Open { name: name.to_owned(), access, file: file.clone() });
        Ok(file)
    }

    /// Closes the file of this name: it is to be deleted or renamed, or failed.
    pub fn close(&self, name: &str) {
        self.lock().retain(|open| open.name != name);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
