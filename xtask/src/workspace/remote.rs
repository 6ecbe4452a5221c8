//! Addresses of repositories, as people and git write them.

/// The address without user, password and token.
pub(crate) fn without_user(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
}

/// `https://HOST/OWNER/NAME` for a remote of git, however it is spelled: `git@host:o/r.git`, `ssh://`, with a token;
/// nothing for folders, and for what could be anything.
pub(crate) fn https_address(remote: &str) -> Option<String> {
    let (scheme, authority, path) = match remote.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/')?;
            (scheme, authority, path)
        }
        None => {
            let (authority, path) = remote.split_once(':')?;
            ("ssh", authority, path)
        }
    };
    let host = authority.rsplit('@').next().unwrap_or_default().to_lowercase();
    let (name, port) = host.split_once(':').map_or((host.as_str(), None), |(name, port)| (name, Some(port)));
    let is_plain = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c)) && !text.contains("..")
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    // A name without a dot is of one machine: a line of its ssh configuration.
    if !is_plain(name, ".-") || !name.contains('.') || !is_port {
        return None;
    }
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    // What is not in a repository's name may be a secret.
    let parts = path.split('/').all(|part| is_plain(part, "._-~"));
    let host = match scheme {
        "https" if port.is_none_or(|port| port == "443") => name,
        "https" => &host,
        // The web has another port than ssh.
        "ssh" | "git+ssh" | "git" | "http" => name,
        _ => return None,
    };
    (parts && path.contains('/')).then(|| format!("https://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_remote_are_one_address_without_secrets() {
        for remote in [
            "git@github.com:Acme/demon.git",
            "github.com:Acme/demon",
            "ssh://git@github.com/Acme/demon.git",
            "ssh://git@github.com:22/Acme/demon.git/",
            "git+ssh://git@GitHub.com/Acme/demon",
            "https://github.com/Acme/demon",
            "https://github.com:443/Acme/demon.git",
            "https://x-access-token:ghs_secret@github.com/Acme/demon.git",
            "https://ghp_secret@github.com/Acme/demon/",
            "http://user:pass@github.com/Acme/demon",
            "git://github.com/Acme/demon.git",
        ] {
            assert_eq!(https_address(remote).as_deref(), Some("https://github.com/Acme/demon"), "{remote}");
        }
        let port = https_address("https://t@git.acme.dev:8443/a/b/c.git");
        assert_eq!(port.as_deref(), Some("https://git.acme.dev:8443/a/b/c"));
    }

    #[test]
    fn what_could_be_anything_is_no_address() {
        for remote in [
            "",
            "/srv/git/demon.git",
            "../demon",
            "file:///srv/git/demon.git",
            "C:\\repos\\demon",
            "work:Acme/demon.git",
            "https://github.com/demon",
            "https://user:pa/ss@github.com/Acme/demon",
            "https://github.com/Acme/demon?token=secret",
            "https://github.com/../demon",
            "ext::sh -c secret% github.com/a/b",
        ] {
            assert_eq!(https_address(remote), None, "{remote}");
        }
    }

    #[test]
    fn an_address_in_a_manifest_keeps_all_but_its_user() {
        assert_eq!(without_user("https://me:secret@host/o/r?tab=x"), "https://host/o/r?tab=x");
        assert_eq!(without_user("https://host/@scope/r"), "https://host/@scope/r");
        assert_eq!(without_user("me"), "me");
    }
}
