//! Addresses: what may be shown of them, whose they are, where they lead.

use anyhow::{Context, Result};
use ureq::http::Uri;

/// An address without what may be secret in it: signatures are in the query, passwords before the host.
pub(crate) fn shown(url: &Uri) -> String {
    format!("{}{}", place(url), url.path())
}

/// `host[:port]` of an address.
pub(crate) fn place(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether two addresses are one host's, the port and how it is spoken to included.
pub(crate) fn is_same_host(one: &Uri, other: &Uri) -> bool {
    let place = |url: &Uri| {
        let port = url.port_u16().or(match url.scheme_str() {
            Some("https") => Some(443),
            _ => Some(80),
        });
        (url.scheme_str().map(str::to_owned), url.host().map(str::to_ascii_lowercase), port)
    };
    place(one) == place(other)
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A `Location` (RFC 9110 section 10.2.2), absolute or relative to `from`.
pub(crate) fn resolve(from: &Uri, location: &str) -> Result<Uri> {
    let scheme = from.scheme_str().unwrap_or("https");
    let authority = from.authority().map_or("", |authority| authority.as_str());
    let is_scheme = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let absolute = if location.split_once("://").is_some_and(|(start, _)| is_scheme(start)) {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", from.path())
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    // The error would repeat the address, query and all.
    absolute.parse().ok().context("it cannot be parsed")
}
