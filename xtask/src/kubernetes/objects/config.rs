//! ConfigMaps and Secrets.

use std::collections::BTreeMap;

use base64::Engine;
use serde_json::Value;

use super::lenient::objects;

objects! {
    ConfigMap {
        data: BTreeMap<String, Value>,
    }

    Secret {
        /// Base64.
        data: BTreeMap<String, Value>,
        /// As it is, over `data`.
        string_data: BTreeMap<String, Value>,
    }
}

impl ConfigMap {
    /// Its texts by key.
    pub(crate) fn entries(&self) -> BTreeMap<String, String> {
        texts(&self.data).collect()
    }
}

impl Secret {
    /// Its texts by key.
    ///
    /// # Errors
    /// A key whose value is no base64.
    pub(crate) fn entries(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut entries = BTreeMap::new();
        for (key, encoded) in texts(&self.data) {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(encoded.split_whitespace().collect::<String>())
                // The decoder's message shows what it could not read.
                .map_err(|_| anyhow::anyhow!("`{key}` in `data` is no base64"))?;
            entries.insert(key, String::from_utf8_lossy(&bytes).into_owned());
        }
        entries.extend(texts(&self.string_data));
        Ok(entries)
    }
}

fn texts(data: &BTreeMap<String, Value>) -> impl Iterator<Item = (String, String)> {
    data.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
}
