//! The API server of the cluster.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use axum::http::HeaderValue;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use service::Client;

use crate::ApiArgs;

/// How long the API server may take to answer.
const LIMIT: Duration = Duration::from_millis(1500);

/// Where Kubernetes mounts the files of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What Kubernetes tells a pod about the cluster it runs in.
#[derive(Clone, Debug)]
pub struct InCluster {
    /// Host and port of the API server.
    pub address: Option<(String, String)>,
    /// Folder with the files `ca.crt` and `token` of the service account.
    pub account: PathBuf,
}

impl InCluster {
    /// Reads `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`.
    #[must_use]
    pub fn from_env() -> Self {
        let value = |key| env::var(key).ok().filter(|value| !value.is_empty());
        let port = || value("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        Self {
            address: value("KUBERNETES_SERVICE_HOST").map(|host| (host, port())),
            account: PathBuf::from(SERVICE_ACCOUNT),
        }
    }

    fn url(&self) -> Option<String> {
        let (host, port) = self.address.as_ref()?;
        Some(if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") })
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.account.join(name)).filter(|path| path.exists())
    }
}

/// A client of the API server.
#[derive(Clone, Debug)]
pub struct Cluster {
    client: Client<HttpsConnector<HttpConnector>>,
    url: String,
    token: Option<Arc<Path>>,
}

impl Cluster {
    /// Finds the API server; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the URL or one of the files cannot be used.
    pub fn configure(args: &ApiArgs, pod: &InCluster) -> anyhow::Result<Option<Self>> {
        let by_hand = args.api_server.as_ref().filter(|url| !url.is_empty());
        let ca = given(&args.api_ca_file);
        let token = given(&args.api_token_file);
        let (url, ca, token) = match (by_hand, pod.url()) {
            (Some(url), _) => (url.clone(), ca, token),
            (None, Some(url)) => (url, ca.or_else(|| pod.file("ca.crt")), token.or_else(|| pod.file("token"))),
            (None, None) => {
                if let Some(file) = ca.or(token) {
                    bail!("{} is of no use without --api-server", file.display());
                }
                tracing::info!("no cluster is configured");
                return Ok(None);
            }
        };
        let url = service::base_url(&url, &["https", "http"])?;
        if let Some(path) = &token {
            ensure!(url.starts_with("https://"), "will not send a token to {url}: it has no TLS");
            authorization(&fs::read_to_string(path).with_context(|| unreadable(path))?)
                .with_context(|| unreadable(path))?;
        }
        tracing::info!(url, ca = ?ca, token = ?token, "using the API server");
        Ok(Some(Self { client: client(ca.as_deref())?, url, token: token.map(Arc::from) }))
    }

    /// Checks that the API server answers, with any status below 500.
    ///
    /// # Errors
    ///
    /// When it does not, with the reason.
    pub async fn check(&self) -> anyhow::Result<()> {
        let token = match &self.token {
            None => None,
            Some(path) => {
                let token = tokio::fs::read_to_string(path).await;
                let token = token.with_context(|| unreadable(path))?;
                Some(authorization(&token).with_context(|| unreadable(path))?)
            }
        };
        let reply = self.client.get(&self.url, "/readyz", token).await?;
        ensure!(!reply.status.is_server_error(), "{} answers {}", self.url, reply.status);
        Ok(())
    }
}

/// A file named by a flag or a variable; an empty variable names none.
fn given(path: &Option<PathBuf>) -> Option<PathBuf> {
    path.clone().filter(|path| !path.as_os_str().is_empty())
}

fn unreadable(path: &Path) -> String {
    format!("cannot read the token {}", path.display())
}

/// The header of a token.
fn authorization(token: &str) -> anyhow::Result<HeaderValue> {
    let token = token.trim();
    ensure!(!token.is_empty(), "the file is empty");
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).context("the file holds something else")?;
    value.set_sensitive(true);
    Ok(value)
}

/// A client that trusts the authorities in the file `ca`, or the public ones.
fn client(ca: Option<&Path>) -> anyhow::Result<Client<HttpsConnector<HttpConnector>>> {
    let roots = match ca {
        Some(path) => authorities(path).with_context(|| format!("cannot use the CA file {}", path.display()))?,
        None => RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    };
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(Client::with_connector(connector, LIMIT))
}

fn authorities(path: &Path) -> anyhow::Result<RootCertStore> {
    let pem = fs::read(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    ensure!(!roots.is_empty(), "it has no certificate");
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(host: &str, account: &Path) -> InCluster {
        InCluster { address: Some((host.to_owned(), "443".to_owned())), account: account.to_owned() }
    }

    fn by_hand(url: &str) -> ApiArgs {
        ApiArgs { api_server: Some(url.to_owned()), ..ApiArgs::default() }
    }

    #[test]
    fn the_service_account_serves_only_its_own_cluster() {
        let account = tempfile::tempdir().unwrap();
        fs::write(account.path().join("token"), "secret\n").unwrap();
        let pod = pod("10.0.0.1", account.path());

        let inside = Cluster::configure(&ApiArgs::default(), &pod).unwrap();
        let inside = inside.unwrap();
        assert_eq!(inside.url, "https://10.0.0.1:443");
        assert_eq!(inside.token.as_deref(), Some(account.path().join("token").as_path()));

        let args = by_hand("https://elsewhere/");
        let outside = Cluster::configure(&args, &pod).unwrap().unwrap();
        assert_eq!(outside.url, "https://elsewhere");
        assert_eq!(outside.token, None);
    }

    #[test]
    fn an_ipv6_host_is_bracketed() {
        let url = pod("fd00::1", Path::new("/missing")).url();
        assert_eq!(url.as_deref(), Some("https://[fd00::1]:443"));
    }

    #[test]
    fn wrong_configuration_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            Some(path)
        };
        let alone = InCluster { address: None, account: PathBuf::from("/missing") };
        let mut cases = vec![(by_hand("cluster:6443"), "expected https://HOST[:PORT] or http://")];
        let mut args = by_hand("https://a");
        args.api_ca_file = Some("/missing/ca.crt".into());
        cases.push((args, "cannot use the CA file /missing/ca.crt: No such file"));
        let mut args = by_hand("https://a");
        args.api_ca_file = file("ca.crt", "nothing");
        cases.push((args, "it has no certificate"));
        let mut args = by_hand("https://a");
        args.api_token_file = Some("/missing/token".into());
        cases.push((args, "cannot read the token /missing/token: No such file"));
        let mut args = by_hand("https://a");
        args.api_token_file = file("empty", "\n");
        cases.push((args, "the file is empty"));
        let mut args = by_hand("http://a");
        args.api_token_file = file("token", "secret");
        cases.push((args, "it has no TLS"));
        let args = ApiArgs { api_token_file: file("token", "secret"), ..ApiArgs::default() };
        cases.push((args, "is of no use without --api-server"));
        for (args, reason) in cases {
            let error = format!("{:#}", Cluster::configure(&args, &alone).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }
}
