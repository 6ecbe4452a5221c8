//! Addresses: what may be shown of them, whose they are, where answers lead.

use anyhow::{Context, Result};
use ureq::http::{HeaderMap, Uri};

/// An address without what may be secret in it: signatures are in the query, passwords before the host.
pub(crate) fn redacted(url: &Uri) -> String {
    format!("{}{}", host_port(url), url.path())
}

/// `host[:port]` of an address.
pub(crate) fn host_port(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether two addresses have one origin (RFC 6454): scheme, host and port.
pub(crate) fn is_same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |url: &Uri| {
        let port = url.port_u16().or(match url.scheme_str() {
            Some("https") => Some(443),
            _ => Some(80),
        });
        (url.scheme_str().map(str::to_owned), url.host().map(str::to_ascii_lowercase), port)
    };
    origin(one) == origin(other)
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A part of a path, a query or a form (RFC 3986 section 2.1).
pub(crate) fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
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

/// The address of the next page (RFC 8288, `Link: <…>; rel="next"`).
pub(crate) fn next_link(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all("Link").iter().filter_map(|value| value.to_str().ok());
    links.flat_map(targets).find(|(_, relation)| relation == "next").map(|(target, _)| target)
}

/// Addresses and relations of one header, which may hold several links.
fn targets(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in header.split('<').skip(1) {
        let Some((target, parameters)) = part.split_once('>') else { continue };
        let relation = parameters.split([';', ',']).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
        });
        found.push((target.trim().to_owned(), relation.unwrap_or_default()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_in_all_their_forms() {
        let next = |header: &str| {
            targets(header).into_iter().find(|(_, relation)| relation == "next").map(|(target, _)| target)
        };
        let cases = [
            ("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", Some("/v2/a/tags/list?last=b&n=2")),
            ("<https://r.io/v2/a/tags/list?last=b%2Cc>;rel=next", Some("https://r.io/v2/a/tags/list?last=b%2Cc")),
            ("</first>; rel=\"first\", </next>; title=\"x\"; rel=\"next\"", Some("/next")),
            ("</prev>; rel=\"prev\"", None),
            ("</unclosed; rel=\"next\"", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(next(header).as_deref(), expected, "{header}");
        }
    }
}
