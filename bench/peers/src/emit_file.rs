//! emit with emit_file, which throws away what is queued when its queue of 10,000 events is full. Its files are named by the
//! hour; the one of this run is renamed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bench_harness::{Case, Contender, Event, Stamper};
use emit::Props;

/// Where its files are, and where they shall go.
pub struct Emit {
    folder: PathBuf,
    out: PathBuf,
}

impl Emit {
    /// Sets it up for this process.
    pub fn open(case: &Case) -> Self {
        let out = case.out();
        let folder = out.with_file_name("emit");
        let files = emit_file::set_with_writer(
            folder.join("audit.ndjson"),
            |line, event| serde_json::to_writer(line, event.props().as_map()).map_err(Into::into),
            b"\n",
        );
        let _ = emit::setup().emit_to(files.spawn()).init();
        Self { folder, out }
    }
}

impl Contender for Emit {
    fn producer(&self) -> impl FnMut(&Event) {
        let mut stamper = Stamper::default();
        move |event| {
            let event = stamper.stamp(event);
            emit::emit!(
                "permission",
                event_id: event.event_id,
                timestamp: event.timestamp,
                action: event.action,
                #[emit::as_serde]
                attributes: &event.attributes,
                granted: event.granted,
                bypassed: event.bypassed,
                #[emit::as_serde]
                manager: event.manager,
                #[emit::as_serde]
                user_id: event.user_id,
                #[emit::as_serde]
                user: event.user,
                #[emit::as_serde]
                permissions: &event.permissions,
                #[emit::as_serde]
                metadata: event.metadata,
            );
        }
    }

    fn finish(self) -> Option<u64> {
        emit::runtime::shared().blocking_flush(Duration::from_secs(60));
        let files = fs::read_dir(&self.folder).expect("its folder is there");
        for file in files {
            fs::rename(file.expect("an entry").path(), &self.out).expect("the same file system");
        }
        None
    }
}
