//! Events.

use super::lenient::objects;
use super::metadata::{Metadata, seconds};

objects! {
    /// What happened to an object.
    Event {
        metadata: Metadata,
        involved_object: InvolvedObject,
        /// A word.
        reason: String,
        /// A sentence.
        message: String,
        /// `Normal` or `Warning`.
        #[serde(rename = "type")]
        kind: String,
        /// How often.
        count: Option<i64>,
        last_timestamp: Option<String>,
        /// Of newer events, in place of `lastTimestamp`.
        event_time: Option<String>,
    }

    /// What an event is about.
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
