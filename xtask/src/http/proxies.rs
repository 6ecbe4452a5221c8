//! Which proxy a request takes: the one that curl would take from the same environment.

use std::net::IpAddr;

use anyhow::{Result, bail, ensure};
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

use super::address::{host_port, is_loopback};
use crate::system::environment::variable;

/// Where the proxy for https is looked for, and that for http; the first one set wins.
const HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// What the environment says, unread: only what is used has to be right.
#[derive(Default)]
pub(crate) struct Proxies {
    https: Option<(&'static str, String)>,
    http: Option<(&'static str, String)>,
    /// Hosts that are spoken to without.
    none: Vec<String>,
}

/// A proxy, and where it was named.
#[derive(Clone)]
pub(crate) struct NamedProxy {
    pub(super) proxy: Proxy,
    pub(super) variable: &'static str,
}

impl NamedProxy {
    /// For messages: without what it is logged in to with.
    pub(crate) fn shown(&self) -> String {
        format!("the proxy `{}` (`{}`)", host_port(self.proxy.uri()), self.variable)
    }
}

impl Proxies {
    pub(crate) fn from_environment() -> Self {
        Proxies::from(variable)
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 4]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
        let none = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
        let none = none.split([',', ' ']).filter(|entry| !entry.is_empty()).map(str::to_ascii_lowercase);
        Proxies { https: first(HTTPS), http: first(HTTP), none: none.collect() }
    }

    /// The proxy for an address; this machine is reached without.
    ///
    /// # Errors
    /// A variable that names no proxy, or one that cannot be spoken to. Its value is not shown: it may hold a
    /// password.
    pub(crate) fn of(&self, url: &Uri) -> Result<Option<NamedProxy>> {
        let named = if url.scheme_str() == Some("http") { &self.http } else { &self.https };
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let Some((variable, value)) = named else { return Ok(None) };
        if is_loopback(url) || self.none.iter().any(|entry| names(entry, &host)) {
            return Ok(None);
        }
        let proxy = parse(variable, value)?;
        Ok(Some(NamedProxy { proxy, variable }))
    }
}

fn parse(variable: &str, value: &str) -> Result<Proxy> {
    let Ok(proxy) = Proxy::new(value) else { bail!("{}", invalid(variable)) };
    let is_http = matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    ensure!(is_http, "`{variable}` names a proxy of another kind than http, which is not supported");
    let authority = proxy.uri().authority().map_or("", |authority| authority.as_str());
    let after_host = authority.rsplit('@').next().unwrap_or_default().trim_start_matches(proxy.host());
    ensure!(!proxy.host().is_empty(), invalid(variable));
    ensure!(after_host.is_empty() || proxy.uri().port_u16().is_some(), invalid(variable));
    Ok(proxy)
}

fn invalid(variable: &str) -> String {
    format!("`{variable}` names no valid proxy: write `http://HOST:PORT`, or unset it")
}

/// Whether an entry of `NO_PROXY` names a host: a domain stands for all below it, a network for its addresses.
fn names(entry: &str, host: &str) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let (network, bits) = match entry.split_once('/') {
            Some((network, bits)) => (network, bits.parse().ok()),
            None => (entry, Some(u32::MAX)),
        };
        let network = network.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        return network.is_ok_and(|network| bits.is_some_and(|bits| is_within(address, network, bits)));
    }
    let domain = entry.trim_start_matches('*').trim_matches('.');
    let host = host.trim_end_matches('.');
    host == domain || (!domain.is_empty() && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let all = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => u128::from(a.to_bits() ^ n.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(n)) => a.to_bits() ^ n.to_bits(),
        _ => return false,
    };
    // The first `bits` bits are the same.
    all.leading_zeros() >= bits.min(if address.is_ipv4() { 32 } else { 128 })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Variables = &'static [(&'static str, &'static str)];

    fn proxies(variables: Variables) -> Proxies {
        Proxies::from(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn of(variables: Variables, url: &str) -> Option<String> {
        proxies(variables).of(&url.parse().unwrap()).unwrap().map(|named| named.shown())
    }

    #[test]
    fn each_scheme_has_its_own_variables() {
        let (https, http) = ("https://ghcr.io/v2/", "http://registry.lan:5000/v2/");
        let cases: [(Variables, Option<&str>, Option<&str>); 7] = [
            (&[], None, None),
            (&[("HTTP_PROXY", "http://p:1")], None, Some("the proxy `p:1` (`HTTP_PROXY`)")),
            (&[("HTTPS_PROXY", "p:1")], Some("the proxy `p:1` (`HTTPS_PROXY`)"), None),
            (
                &[("ALL_PROXY", "http://p:1")],
                Some("the proxy `p:1` (`ALL_PROXY`)"),
                Some("the proxy `p:1` (`ALL_PROXY`)"),
            ),
            (
                &[("all_proxy", "http://a:1"), ("https_proxy", "http://b:1"), ("HTTPS_PROXY", "http://c:1")],
                Some("the proxy `b:1` (`https_proxy`)"),
                Some("the proxy `a:1` (`all_proxy`)"),
            ),
            (&[("https_proxy", "http://user:s3cret@p:3128/")], Some("the proxy `p:3128` (`https_proxy`)"), None),
            (&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "ghcr.io")], None, None),
        ];
        for (variables, for_https, for_http) in cases {
            assert_eq!(of(variables, https).as_deref(), for_https, "{variables:?}");
            assert_eq!(of(variables, http).as_deref(), for_http, "{variables:?}");
            assert_eq!(of(variables, "https://localhost:5000/v2/"), None);
            assert_eq!(of(variables, "http://127.0.0.1:5000/v2/"), None);
        }
    }

    #[test]
    fn what_no_proxy_names_is_what_curl_takes_it_for() {
        let cases = [
            ("ghcr.io", "ghcr.io", true),
            ("ghcr.io", "pkg.ghcr.io", true),
            (".ghcr.io", "ghcr.io", true),
            ("*.ghcr.io", "pkg.ghcr.io", true),
            ("ghcr.io", "notghcr.io", false),
            ("pkg.ghcr.io", "ghcr.io", false),
            ("*", "ghcr.io", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.0.0.0/x", "10.0.0.0", false),
            ("fd00::/16", "fd00::1", true),
            ("[fd00::1]", "fd00::1", true),
            ("0.0.0.0/0", "10.1.2.3", true),
            ("", "ghcr.io", false),
        ];
        for (entry, host, is_named) in cases {
            assert_eq!(names(entry, host), is_named, "{entry} {host}");
        }
        let list = proxies(&[("HTTPS_PROXY", "http://p:1"), ("no_proxy", "Example.com, [fd00::1]  ghcr.io")]);
        for url in ["https://example.com/", "https://[fd00::1]/", "https://GHCR.io/"] {
            assert!(list.of(&url.parse().unwrap()).unwrap().is_none(), "{url}");
        }
    }

    #[test]
    fn a_value_that_is_no_proxy_is_an_error_that_names_the_variable_alone() {
        for value in [
            "http://user:s3cret@",
            "http://user:s3cret@p:port",
            "http://user:s3cret@p:99999",
            "user:s3cret@p q",
            "gopher://user:s3cret@p:1",
            "socks5://user:s3cret@p:1",
            "http://",
        ] {
            let proxies = Proxies { https: Some(("HTTPS_PROXY", value.to_owned())), ..Proxies::default() };
            let error = format!("{:#}", proxies.of(&"https://ghcr.io/".parse().unwrap()).map(drop).unwrap_err());
            assert!(error.starts_with("`HTTPS_PROXY` names "), "{value}: {error}");
            assert!(!error.contains("s3cret") && !error.contains("user"), "{error}");
            // Nothing goes through it.
            assert!(proxies.of(&"https://localhost:5000/".parse().unwrap()).unwrap().is_none());
        }
    }
}
