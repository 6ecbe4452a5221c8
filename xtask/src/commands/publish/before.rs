//! What was published before: what is carried on, and what the new images are compared with.

use anyhow::Result;
use camino::Utf8Path;

use crate::commands::chosen_release::of_checkout;
use crate::gather::ci::CiState;
use crate::gather::record;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::image::reference::Tag;
use crate::registry::{Releases, StoredRelease};
use crate::system::progress::Progress;

/// What was published before.
#[derive(Default)]
pub(crate) struct Before {
    /// What is carried on: the record in the workspace, else the release of what is checked out.
    pub(crate) record: DigestRecord,
    /// The branch's newest release.
    pub(crate) release: Option<StoredRelease>,
}

impl Before {
    /// Reads the file at `path` and asks the registry; says where the record is from when it is not the file's.
    ///
    /// # Errors
    /// A record that cannot be read or is damaged; a registry that cannot be asked.
    pub(crate) fn look_up(
        workspace: &Workspace,
        releases: &Releases<'_>,
        ci: &CiState,
        line: &Tag,
        path: &Utf8Path,
        progress: &Progress,
    ) -> Result<Before> {
        let release = releases.tagged(line)?;
        if let Some(record) = record::read_if_there(path)? {
            return Ok(Before { record, release });
        }
        let Some((found, whose)) = of_checkout(workspace, releases, ci)? else {
            return Ok(Before { record: DigestRecord::default(), release });
        };
        progress.say(&format!("no digest record here; what is not published now is as in the release {whose}"));
        Ok(Before { record: found.release.record(), release })
    }

    /// What the new images are compared with.
    pub(crate) fn compared(&self) -> DigestRecord {
        self.release.as_ref().map_or_else(|| self.record.clone(), |before| before.release.record())
    }
}
