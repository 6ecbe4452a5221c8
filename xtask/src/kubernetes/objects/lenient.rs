//! How objects are read.

use serde::{Deserialize, Deserializer};

/// `null` means the same as a field that is not there.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Declares objects. Every field may be absent or null: the API server leaves out what is empty, and authors what they
/// do not need.
macro_rules! objects {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            $(
                $(#[$field_meta])*
                #[serde(deserialize_with = "crate::kubernetes::objects::lenient::nullable")]
                pub(crate) $field: $type,
            )*
        }
    )*};
}
pub(super) use objects;
