//! From the start of a service to its end.

use std::{future::Future, io::Write, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context;
use axum::Router;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::logging;

/// How long requests in flight may go on after SIGTERM or SIGINT.
///
/// What is left then is abandoned, so that a service always ends within five seconds.
pub const GRACE: Duration = Duration::from_secs(4);

/// Runs a service on the address `listen` until SIGTERM or SIGINT.
///
/// `setup` makes the router, usually with [`app`](crate::app), and runs within the asynchronous
/// runtime. An error, be it of `setup`, of the address or of the logging, is told in one line on
/// standard error, and the exit code is 1.
///
/// With port 0 the system picks a free port; the log line `listening` has the address.
pub fn run(listen: &str, setup: impl Future<Output = anyhow::Result<Router>>) -> ExitCode {
    match start(listen, setup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("{error:#}").replace('\n', " ");
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {line}");
            ExitCode::FAILURE
        }
    }
}

fn start(listen: &str, setup: impl Future<Output = anyhow::Result<Router>>) -> anyhow::Result<()> {
    let address: SocketAddr = listen.parse().ok().with_context(|| {
        format!("cannot read the listen address `{listen}`: expected IP:PORT such as 127.0.0.1:8080")
    })?;
    logging::init()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let outcome = runtime.block_on(async {
        // First of all, so that a signal during the setup is not lost.
        let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
        let app = setup.await?;
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr().context("no local address")?;
        tracing::info!(%address, "listening");
        let shutdown = async move {
            let signal = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal, "stopping");
        };
        serve(listener, app, shutdown, GRACE).await?;
        tracing::info!("stopped");
        Ok(())
    });
    // Blocking work such as a name lookup must not hold back the end.
    runtime.shutdown_background();
    outcome
}

/// Serves `app` until `shutdown` completes, then for at most `grace` until the requests in flight
/// are answered.
///
/// Requests that are left then are abandoned, with a warning in the log.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> anyhow::Result<()> {
    let (begin, begun) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = begin.send(());
    });
    let deadline = async {
        match begun.await {
            Ok(()) => tokio::time::sleep(grace).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = async { server.await } => outcome.context("cannot serve"),
        () = deadline => {
            tracing::warn!("requests are still in flight after {grace:?}: abandoned");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::Notify,
        task::JoinHandle,
    };

    use super::*;

    /// A server whose only route says so when it is asked and answers after `slow`.
    struct Server {
        address: SocketAddr,
        asked: Arc<Notify>,
        stop: oneshot::Sender<()>,
        task: JoinHandle<anyhow::Result<()>>,
    }

    async fn server(slow: Duration, grace: Duration) -> Server {
        let asked = Arc::new(Notify::new());
        let notify = asked.clone();
        let app = Router::new().route(
            "/slow",
            get(async move || {
                notify.notify_one();
                tokio::time::sleep(slow).await;
                "done"
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, app, shutdown, grace));
        Server { address, asked, stop, task }
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n";
        stream.write_all(request).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_request_in_flight_is_answered() {
        let server = server(Duration::from_millis(200), Duration::from_secs(60)).await;
        let mut stream = ask(server.address).await;
        server.asked.notified().await;
        server.stop.send(()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("done"), "{answer}");
        server.task.await.unwrap().unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn a_request_that_hangs_is_abandoned() {
        let server = server(Duration::from_secs(600), Duration::from_millis(200)).await;
        let _stream = ask(server.address).await;
        server.asked.notified().await;
        let start = Instant::now();
        server.stop.send(()).unwrap();
        server.task.await.unwrap().unwrap();
        assert!(start.elapsed() >= Duration::from_millis(200));
    }

    #[tokio::test]
    async fn idle_connections_do_not_delay_the_end() {
        let server = server(Duration::ZERO, Duration::from_secs(60)).await;
        let _fresh = TcpStream::connect(server.address).await.unwrap();
        let mut used = ask(server.address).await;
        let mut first = [0; 15];
        used.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        let start = Instant::now();
        server.stop.send(()).unwrap();
        server.task.await.unwrap().unwrap();
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
