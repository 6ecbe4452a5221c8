//! What was published before: what is carried on, and what the new images are compared with.

use anyhow::Result;
use camino::Utf8Path;

use crate::commands::chosen_release::{is_of, of_checkout};
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
    /// What is carried on: the branch's newest release, and what it lacks, of the record in the workspace; without either,
    /// the release of what is checked out.
    pub(crate) record: DigestRecord,
    /// The branch's newest release.
    pub(crate) release: Option<StoredRelease>,
}

impl Before {
    /// Reads the file at `path` and asks the registry; says when neither the file nor the branch knows anything.
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
        let file = record::read_if_there(path)?;
        // A release that is gone is no reason to publish none; two branches may share a tag.
        let digest = releases.digest(line)?;
        let release = digest.map(|digest| releases.by_digest(&digest)).transpose()?.flatten();
        let release = release.filter(|found| is_of(&found.release, &ci.reference));
        if release.is_none() && file.is_none() {
            let Some((found, whose)) = of_checkout(workspace, releases, ci)? else { return Ok(Before::default()) };
            progress.say(&format!("no digest record here; what is not published now is as in the release {whose}"));
            return Ok(Before { record: found.release.record(), release });
        }
        let mut record = file.unwrap_or_default();
        if let Some(found) = &release {
            record.images.extend(found.release.record().images);
        }
        Ok(Before { record, release })
    }

    /// What the new images are compared with.
    pub(crate) fn compared(&self) -> DigestRecord {
        self.release.as_ref().map_or_else(|| self.record.clone(), |before| before.release.record())
    }
}
