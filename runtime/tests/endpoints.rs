//! The endpoints of the runtime, against real API servers of this machine.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::get as route,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use runtime::{ApiArgs, Cluster, InCluster, app};
use service::{
    About,
    testing::{closed_address, get, spawn},
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
    server::TlsStream,
};

fn about() -> About {
    About::from_env("runtime", "0.1.0")
}

/// The router for an API server given by hand.
fn runtime(args: &ApiArgs) -> Router {
    let alone = InCluster { address: None, account: PathBuf::from("/missing") };
    app(about(), Cluster::configure(args, &alone).unwrap())
}

fn server(url: String) -> ApiArgs {
    ApiArgs { api_server: Some(url), ..ApiArgs::default() }
}

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// The TLS side of a server on this machine.
    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A folder like that of a service account: `ca.crt` and `token`.
    fn account(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.crt"), self.0.pem()).unwrap();
        fs::write(folder.path().join("token"), "secret\n").unwrap();
        folder
    }
}

/// A listener whose connections are within TLS.
struct Tls(TcpListener, TlsAcceptor);

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.0.accept().await.unwrap();
            // A client that does not trust this server breaks off here.
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// An API server with TLS that lets nobody in but the bearer of `secret`, and fails for others.
async fn tls_server(authority: &Authority) -> SocketAddr {
    let readyz = async |headers: HeaderMap| {
        let known = headers.get("authorization").is_some_and(|v| v == "Bearer secret");
        if known { StatusCode::FORBIDDEN } else { StatusCode::INTERNAL_SERVER_ERROR }
    };
    let app = Router::new().route("/readyz", route(readyz));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Tls(listener, authority.acceptor());
    tokio::spawn(async move { axum::serve(tls, app).await });
    address
}

#[tokio::test]
async fn ready_without_a_cluster() {
    let app = runtime(&ApiArgs::default());
    assert_eq!(get(&app, "/ready").await, (200, "ok".into()));
    assert_eq!(get(&app, "/health").await, (200, "ok".into()));
    assert_eq!(get(&app, "/nothing").await.0, 404);
    let (_, version) = get(&app, "/version").await;
    assert!(version.contains(r#""name":"runtime""#), "{version}");
    let (_, metrics) = get(&app, "/metrics").await;
    assert!(metrics.contains(r#"route="/ready",status="200"} 1"#));
}

#[tokio::test]
async fn ready_within_a_cluster() {
    let authority = Authority::new();
    let address = tls_server(&authority).await;
    let account = authority.account();
    let pod = InCluster {
        address: Some((address.ip().to_string(), address.port().to_string())),
        account: account.path().to_owned(),
    };
    let cluster = Cluster::configure(&ApiArgs::default(), &pod).unwrap();
    let app = app(about(), cluster);
    // 403 is an answer, and shows that the token arrived.
    assert_eq!(get(&app, "/ready").await, (200, "ok".into()));

    // The token is read anew each time.
    fs::write(account.path().join("token"), "replaced").unwrap();
    let reason = format!("https://{address} answers 500 Internal Server Error");
    assert_eq!(get(&app, "/ready").await, (503, reason));
    fs::remove_file(account.path().join("token")).unwrap();
    let (status, reason) = get(&app, "/ready").await;
    assert_eq!(status, 503);
    assert!(reason.contains("cannot read the token"), "{reason}");
}

#[tokio::test]
async fn not_ready_when_the_authority_is_another() {
    let address = tls_server(&Authority::new()).await;
    let other = Authority::new().account();
    let mut args = server(format!("https://{address}"));
    // Be it another authority or the public ones.
    for ca in [Some(other.path().join("ca.crt")), None] {
        args.api_ca_file = ca;
        let (status, reason) = get(&runtime(&args), "/ready").await;
        assert_eq!(status, 503);
        assert!(reason.contains("invalid peer certificate"), "{reason}");
    }
}

#[tokio::test]
async fn any_status_below_500_is_an_answer() {
    for (status, ready) in [
        (StatusCode::OK, 200),
        (StatusCode::UNAUTHORIZED, 200),
        (StatusCode::NOT_FOUND, 200),
        (StatusCode::INTERNAL_SERVER_ERROR, 503),
        (StatusCode::BAD_GATEWAY, 503),
    ] {
        let api = Router::new().route("/readyz", route(async move || status));
        let args = server(format!("http://{}", spawn(api).await));
        let (actual, reason) = get(&runtime(&args), "/ready").await;
        assert_eq!(actual, ready, "{status}: {reason}");
    }
}

#[tokio::test]
async fn not_ready_without_an_answer() {
    let args = server(format!("https://{}", closed_address()));
    let (status, reason) = get(&runtime(&args), "/ready").await;
    assert_eq!(status, 503);
    assert!(reason.contains("refused"), "{reason}");

    let hang = Router::new().route("/readyz", route(std::future::pending::<()>));
    let args = server(format!("http://{}", spawn(hang).await));
    let (status, reason) = get(&runtime(&args), "/ready").await;
    assert_eq!(status, 503);
    assert!(reason.ends_with("within 1.5s"), "{reason}");
}
