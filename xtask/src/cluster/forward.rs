//! A port-forward to one port of a pod: the way for probes whose headers the API server would change.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::ChildStdout;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kubectl::Kubectl;
use super::kubelet;
use crate::kubernetes::objects::HttpRequest;
use crate::system::background::Background;

const PATIENCE: Duration = Duration::from_secs(30);
/// As much of a body as is read.
const MAX_BODY: u64 = 64 * 1024;

/// A running `kubectl port-forward`.
pub(crate) struct Forward {
    _child: Background,
    /// Kept open: it says there of each connection, and a closed pipe would end it.
    _stdout: BufReader<ChildStdout>,
    port: u16,
    deadline: Instant,
}

impl Forward {
    /// Starts it and waits for its port. What it complains of goes through a file in `folder`.
    pub(super) fn start(
        kubectl: &Kubectl,
        folder: &Path,
        namespace: &str,
        pod: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Self> {
        let deadline = deadline.min(Instant::now() + PATIENCE);
        let log = folder.join(format!("forward-{pod}-{port}"));
        let file = File::create(&log).context("cannot write in a temporary folder")?;
        let namespace = format!("--namespace={namespace}");
        let (pod, ports) = (format!("pod/{pod}"), format!(":{port}"));
        let command = ["port-forward", "--address=127.0.0.1", &namespace, &pod, &ports];
        let shell = kubectl.shell()?;
        let mut child = Background::start(kubectl.command(&shell, command), file)?;
        let stdout = child.stdout().context("a piped output is there")?;
        let (sender, first) = channel();
        // Ends with the child.
        std::thread::spawn(move || {
            let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
            let read = stdout.read_line(&mut line);
            // Nobody waits any more once time is up.
            let _ = sender.send(read.map(|_| (line, stdout)));
        });
        let Ok(read) = first.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
            bail!("`kubectl port-forward` opened no port in time");
        };
        let (line, stdout) = read.context("cannot read what `kubectl port-forward` prints")?;
        // `Forwarding from 127.0.0.1:41234 -> 8080`
        let local = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let Some(port) = local else {
            let why = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("`kubectl port-forward` failed: {}", why.trim().trim_start_matches("error: "));
        };
        Ok(Forward { _child: child, _stdout: stdout, port, deadline })
    }

    pub(super) fn get(&self, request: HttpRequest) -> Result<(u16, Vec<u8>)> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let answer = kubelet::get(&HttpRequest { port: self.port, ..request }, left);
        let answer = answer.context("the port-forward gives no answer")?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        // What arrived tells enough.
        let _ = answer.into_body().into_reader().take(MAX_BODY).read_to_end(&mut body);
        Ok((status, body))
    }
}
