//! What objects of all kinds have.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::lenient::objects;
use crate::image::time::parse_rfc3339;

objects! {
    /// Times are RFC 3339, whole seconds.
    Metadata {
        name: String,
        namespace: String,
        /// Unique for ever; a name may come again.
        uid: String,
        /// Moves with each change.
        resource_version: String,
        /// Moves with each change of `spec`.
        generation: i64,
        creation_timestamp: Option<String>,
        /// There once the object is being deleted.
        deletion_timestamp: Option<String>,
        annotations: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
        owner_references: Vec<OwnerReference>,
    }

    /// Who made an object.
    OwnerReference {
        kind: String,
        name: String,
        uid: String,
        /// Whether it is the one owner that looks after the object.
        controller: bool,
    }

    Condition {
        /// `Ready`, `Progressing`, …
        #[serde(rename = "type")]
        kind: String,
        /// `True`, `False`, `Unknown`.
        status: String,
        reason: String,
        message: String,
        last_transition_time: Option<String>,
    }

    ListMetadata {
        /// The state that the list shows, where a watch takes up.
        resource_version: String,
    }

    /// The body of the API server's own refusals (`kind: Status`, `apiVersion: v1`).
    Status {
        kind: String,
        api_version: String,
        message: String,
        reason: String,
    }
}

/// A list of objects.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct List<T> {
    pub(crate) metadata: ListMetadata,
    /// `null` when there are none.
    pub(crate) items: Option<Vec<T>>,
}

impl Metadata {
    /// Whether `uid` made this object and looks after it.
    pub(crate) fn is_controlled_by(&self, uid: &str) -> bool {
        self.owner_references.iter().any(|owner| owner.controller && owner.uid == uid)
    }

    /// The owner that controls it.
    pub(crate) fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether it is being deleted.
    pub(crate) fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// The condition `kind`, when its status is `status`.
pub(crate) fn condition<'a>(conditions: &'a [Condition], kind: &str, status: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind && condition.status == status)
}

/// Seconds since 1970 of a time that Kubernetes wrote; nothing for what is no time.
pub(crate) fn seconds(time: Option<&String>) -> Option<i64> {
    parse_rfc3339(time?)
}
