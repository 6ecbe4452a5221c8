//! Events.

use super::lenient::objects;
use super::metadata::{Metadata, seconds};

objects! {
    Event {
        metadata: Metadata,
        involved_object: InvolvedObject,
        reason: String,
        message: String,
        /// `Normal` or `Warning`.
        #[serde(rename = "type")]
        kind: String,
        count: Option<i64>,
        last_timestamp: Option<String>,
        /// Of newer events, in place of `lastTimestamp`.
        event_time: Option<String>,
    }

    InvolvedObject {
        uid: String,
    }
}

impl Event {
    /// When it was last reported, unix seconds; 0 when it does not say.
    pub(crate) fn time(&self) -> i64 {
        let times = [&self.last_timestamp, &self.event_time, &self.metadata.creation_timestamp];
        times.into_iter().find_map(|time| seconds(time.as_ref())).unwrap_or(0)
    }
}
