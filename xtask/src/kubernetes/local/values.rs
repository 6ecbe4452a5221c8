//! Values of variables and arguments, as they must read on this machine: Services, ports and paths replaced.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::variables::last;

/// Hosts under which a program listens, or talks to its own pod.
const OWN_HOSTS: &[&str] = &["", "0.0.0.0", "127.0.0.1", "localhost", "[::]", "[::1]", "*"];

/// A name with one of these words may hold a port.
const PORT_WORDS: &[&str] = &["port", "ports", "listen", "bind", "addr", "address"];

/// What the variable with another program's host is called, where another with its port has `_PORT`.
const HOST_ENDINGS: &[&str] = &["_HOST", "_HOSTNAME", "_ADDR", "_ADDRESS", "_SERVER"];

/// Ports by number: that of the manifest, and the one here.
pub(crate) type Ports = BTreeMap<u16, u16>;

/// What is replaced in the values of one pod.
#[derive(Debug, Default)]
pub(crate) struct Replacements {
    pub(crate) own: Ports,
    /// Services by each of their names (`engine`, `engine.demon-system.svc`).
    pub(crate) services: BTreeMap<String, Ports>,
    /// Paths in the container, and the folders here; volumes.
    pub(crate) mounts: Vec<(Utf8PathBuf, Utf8PathBuf)>,
    /// Absolute paths that the image has.
    pub(crate) image_paths: BTreeSet<Utf8PathBuf>,
    /// Where the image's files are here.
    pub(crate) image_root: Utf8PathBuf,
}

impl Replacements {
    /// `value` of the variable, or after the flag, `name` as it must read here.
    pub(crate) fn apply(&self, name: &str, value: &str) -> String {
        if let Some(number) = self.bare_port(name, value) {
            return number;
        }
        self.addresses(&self.paths(value))
    }

    /// Variables as they must read here.
    pub(crate) fn apply_variables(&self, variables: &[(String, String)]) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| (name.clone(), self.apply(name, value))).collect();
        for (host, port) in pairs(variables, |name| self.services.contains_key(name)) {
            let number = last(variables, &port).and_then(|value| value.parse::<u16>().ok());
            let ports = last(variables, &host).and_then(|name| self.services.get(name.trim_end_matches('.')));
            if let Some(local) = number.and_then(|number| ports?.get(&number)) {
                all.insert(port, local.to_string());
                all.insert(host, "127.0.0.1".to_owned());
            }
        }
        all
    }

    /// Arguments as they must read here.
    pub(crate) fn apply_all(&self, arguments: &[String]) -> Vec<String> {
        let flags = std::iter::once("").chain(arguments.iter().map(String::as_str));
        flags.zip(arguments).map(|(flag, argument)| self.apply(flag, argument)).collect()
    }

    /// Replaces nothing but `port`, by another one: what reads differently then tells where to listen.
    pub(crate) fn only(port: u16) -> Self {
        Replacements { own: Ports::from([(port, if port == 1 { 2 } else { 1 })]), ..Self::default() }
    }

    /// A value, or what follows its `=`, that is nothing but one of the pod's ports. Any number could be one, so
    /// the name must say it.
    fn bare_port(&self, name: &str, value: &str) -> Option<String> {
        let (before, number) = value.rsplit_once('=').map_or(("", value), |(name, _)| value.split_at(name.len() + 1));
        let name = format!("{name} {before}");
        if !words(&name).any(|word| PORT_WORDS.contains(&word.as_str())) && name.trim() != "-p" {
            return None;
        }
        let port = number.parse().ok().filter(|_| !number.starts_with(['+', '0']))?;
        Some(format!("{before}{}", self.own.get(&port)?))
    }

    /// Replaces paths of volumes and of the image: all of a value, what follows its `=`, or the path of a URL
    /// without a host (`sqlite:///data/ledger.db`).
    fn paths(&self, value: &str) -> String {
        let start = match value {
            _ if value.starts_with('/') => 0,
            _ => match (value.find(":///"), value.find("=/")) {
                (Some(url), _) => url + "://".len(),
                (None, Some(equals)) => equals + "=".len(),
                (None, None) => return value.to_owned(),
            },
        };
        let end = value[start..].find('?').map_or(value.len(), |length| start + length);
        match self.path(Utf8Path::new(&value[start..end])) {
            Some(path) => format!("{}{path}{}", &value[..start], &value[end..]),
            None => value.to_owned(),
        }
    }

    /// Where a path of the container is here.
    pub(crate) fn path(&self, path: &Utf8Path) -> Option<Utf8PathBuf> {
        let mounted = self.mounts.iter().filter(|(at, _)| path.starts_with(at));
        // The deepest mount has the file.
        if let Some((at, folder)) = mounted.max_by_key(|(at, _)| at.components().count()) {
            let below = path.strip_prefix(at).ok()?;
            return Some(if below.as_str().is_empty() { folder.clone() } else { folder.join(below) });
        }
        let in_image = path.as_str() != "/" && self.image_paths.contains(path);
        in_image.then(|| self.image_root.join(path.as_str().trim_start_matches('/')))
    }

    /// Replaces hosts and ports.
    fn addresses(&self, value: &str) -> String {
        let mut text = String::new();
        let mut rest = value;
        while !rest.is_empty() {
            let length = host_length(rest);
            let (host, after) = rest.split_at(length);
            let digits = after
                .strip_prefix(':')
                .map_or(0, |after| after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len()));
            let port = (digits > 0).then(|| after[1..=digits].parse::<u16>().ok()).flatten();
            match self.address(host, port, &text) {
                Some(address) => {
                    text.push_str(&address);
                    rest = &after[port.map_or(0, |_| 1 + digits)..];
                }
                None if length > 0 => {
                    text.push_str(host);
                    rest = after;
                    // What follows is no listening address of its own.
                    if digits > 0 {
                        text.push_str(&rest[..=digits]);
                        rest = &rest[1 + digits..];
                    }
                }
                None => {
                    let next = rest.chars().next().map_or(0, char::len_utf8);
                    text.push_str(&rest[..next]);
                    rest = &rest[next..];
                }
            }
        }
        text
    }

    /// The address here of `host` and `port`, which come after `before`.
    fn address(&self, host: &str, port: Option<u16>, before: &str) -> Option<String> {
        if OWN_HOSTS.contains(&host) {
            let local = self.own.get(&port?)?;
            // Only this machine needs to reach it.
            return Some(if host.is_empty() { format!(":{local}") } else { format!("127.0.0.1:{local}") });
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let ports = self.services.get(name)?;
        let local = match port {
            Some(port) => ports.get(&port)?,
            None if before.ends_with("https://") => ports.get(&443)?,
            None if before.ends_with("://") => ports.get(&80)?,
            // A full name is nothing else; a short one may be any word.
            None if name.contains('.') => return Some("127.0.0.1".to_owned()),
            None => return None,
        };
        Some(format!("127.0.0.1:{local}"))
    }
}

/// Pairs of variables that hold the host and the port of a Service: `BETA_HOST` and `BETA_PORT`.
pub(crate) fn pairs(variables: &[(String, String)], is_service: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let hosts = variables.iter().filter(|(_, value)| is_service(value.trim_end_matches('.')));
    let pair = |(host, _): &(String, String)| {
        let prefix = HOST_ENDINGS.iter().find_map(|ending| host.strip_suffix(ending))?;
        let port = format!("{prefix}_PORT");
        variables.iter().any(|(name, _)| *name == port).then(|| (host.clone(), port))
    };
    hosts.filter_map(pair).collect()
}

/// The words of a name, in small letters: `HTTP_PORT`, `--listenAddr`, `serverPort`.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut text = String::new();
    let mut was_small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && was_small {
            text.push(' ');
        }
        was_small = c.is_ascii_lowercase() || c.is_ascii_digit();
        text.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    }
    text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// How long the host is that `text` begins with.
fn host_length(text: &str) -> usize {
    if text.starts_with('[') {
        return text.find(']').map_or(0, |end| end + 1);
    }
    if text.starts_with('*') {
        return 1;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || ".-_".contains(c))).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replacements() -> Replacements {
        let engine = Ports::from([(8081, 40001), (80, 40001)]);
        let names =
            ["engine", "engine.demon-system", "engine.demon-system.svc", "engine.demon-system.svc.cluster.local"];
        Replacements {
            own: Ports::from([(3000, 50000), (9090, 50001)]),
            services: names.into_iter().map(|name| (name.to_owned(), engine.clone())).collect(),
            mounts: vec![("/data".into(), "/tmp/volume".into()), ("/data/cache".into(), "/tmp/cache".into())],
            image_paths: ["/app", "/app/static"].into_iter().map(Utf8PathBuf::from).collect(),
            image_root: "/tmp/image".into(),
        }
    }

    #[track_caller]
    fn becomes(value: &str, expected: &str) {
        assert_eq!(replacements().apply("", value), expected, "{value}");
    }

    #[test]
    fn services_become_local_addresses() {
        becomes("http://engine:8081", "http://127.0.0.1:40001");
        becomes("http://engine/path?a=b", "http://127.0.0.1:40001/path?a=b");
        becomes("engine:8081", "127.0.0.1:40001");
        becomes("--url=http://engine.demon-system.svc.cluster.local:8081/x", "--url=http://127.0.0.1:40001/x");
        becomes("http://engine.demon-system.svc.cluster.local.:8081", "http://127.0.0.1:40001");
        becomes("postgres://user:5432@engine.demon-system:8081/db", "postgres://user:5432@127.0.0.1:40001/db");
        becomes("a=http://engine:8081,b=http://engine", "a=http://127.0.0.1:40001,b=http://127.0.0.1:40001");
        becomes("engine.demon-system", "127.0.0.1");
        for same in
            ["engine", "https://engine", "http://engine:9999", "http://engines:8081", "my-engine:8081", "x engine y"]
        {
            becomes(same, same);
        }
    }

    #[test]
    fn a_host_and_its_port_may_be_two_variables() {
        let variables =
            [("A_HOST", "engine"), ("A_PORT", "8081"), ("B_HOST", "example.com"), ("B_PORT", "8081"), ("PORT", "3000")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = replacements().apply_variables(&variables);
        let expected = [
            ("A_HOST", "127.0.0.1"),
            ("A_PORT", "40001"),
            ("B_HOST", "example.com"),
            ("B_PORT", "8081"),
            ("PORT", "50000"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn own_ports_become_local_ones_where_the_program_listens() {
        becomes("0.0.0.0:3000", "127.0.0.1:50000");
        becomes("[::]:9090", "127.0.0.1:50001");
        becomes(":3000", ":50000");
        becomes("--listen=:3000", "--listen=:50000");
        becomes("--port=3000", "--port=50000");
        becomes("http://localhost:3000/self", "http://127.0.0.1:50000/self");
        for same in ["http://example.com:3000", "30000", "0.0.0.0:30000", "10.0.0.1:3000", "a3000", "user:3000"] {
            becomes(same, same);
        }
        becomes("--timeout=3000", "--timeout=3000");
        assert_eq!(replacements().apply("HTTP_PORT", "3000"), "50000");
        for name in ["TIMEOUT", "SUPPORT", "REPORT_EVERY", "--transport-limit", "IMPORT_MAX", "BINDINGS"] {
            assert_eq!(replacements().apply(name, "3000"), "3000", "{name}");
        }
        for name in ["PORT", "serverPort", "--listen", "METRICS_ADDR", "server.port", "HTTP2Port"] {
            assert_eq!(replacements().apply(name, "3000"), "50000", "{name}");
        }
        let arguments = ["-p", "3000", "--limit", "3000", "--bind-port", "9090"].map(str::to_owned);
        assert_eq!(replacements().apply_all(&arguments), ["-p", "50000", "--limit", "3000", "--bind-port", "50001"]);
    }

    #[test]
    fn paths_of_volumes_and_the_image_become_local_ones() {
        becomes("/data", "/tmp/volume");
        becomes("/data/engine.db", "/tmp/volume/engine.db");
        becomes("/data/cache/x", "/tmp/cache/x");
        becomes("sqlite:///data/engine.db?mode=rwc", "sqlite:///tmp/volume/engine.db?mode=rwc");
        becomes("--static-dir=/app/static", "--static-dir=/tmp/image/app/static");
        becomes("/app/static", "/tmp/image/app/static");
        for same in ["/", "/database", "/etc/passwd", "data", "http://example.com/app/static", "a /app/static"] {
            becomes(same, same);
        }
    }
}
