//! The program `cosign`, version 3 or newer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use crate::errors::{hinted, hinted_cause};
use crate::image::reference::Digest;
use crate::system::environment::variable;
use crate::system::process::{Output, exchange, failure, shell_in};

/// The longest that one call may take: without a key it speaks with several services.
const LIMIT: Duration = Duration::from_secs(120);
/// Signing by a key asks no service: no timestamps, no transparency log (Sigstore protobuf-specs, SigningConfig).
const NO_SERVICES: &str = r#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}"#;
/// And none is trusted, or cosign would fetch who is.
const NOBODY: &str = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
/// What we leave out of errors: how a verification without a log is warned of.
const WARNING: &str = "WARNING:";

/// What signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// A private key: a path, or an address that cosign knows.
    Key(String),
    /// The identity that CI vouches for, logged in public.
    Keyless,
}

/// Whose signatures are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trusted {
    /// Those of a public key: a path, or an address that cosign knows.
    Key(String),
    /// Those whose certificate names an identity, by the word of an issuer.
    Identity { identity: String, issuer: String },
}

/// The program, and a folder for what it reads and writes.
pub(crate) struct Cosign {
    /// Keys are named from here.
    root: Utf8PathBuf,
    folder: Utf8PathBuf,
    files: AtomicUsize,
}

impl Cosign {
    /// Finds it; keys are named from the workspace's `root`, files are made below `output`.
    ///
    /// # Errors
    /// It is not installed, or too old.
    pub(crate) fn find(root: &Utf8Path, output: &Utf8Path) -> Result<Self> {
        let folder = output.join(format!("signing-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create `{folder}`"))?;
        let cosign = Cosign { root: root.to_owned(), folder, files: AtomicUsize::new(0) };
        let shell = cosign.shell()?;
        let answer = cosign.run(cmd!(shell, "cosign version --json"));
        let install = "install cosign 3: https://docs.sigstore.dev/cosign/system_config/installation";
        let answer = answer.map_err(|error| hinted_cause(error, "signatures need the program `cosign`", install))?;
        let version: Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
        let version = version["gitVersion"].as_str().unwrap_or_default();
        let is_old = ["v0.", "v1.", "v2."].iter().any(|old| version.starts_with(old));
        ensure!(!is_old, hinted(format!("`cosign` is {version}, which writes no bundles"), install));
        for (name, text) in [("services.json", NO_SERVICES), ("trusted.json", NOBODY)] {
            cosign.write(name, text.as_bytes())?;
        }
        Ok(cosign)
    }

    /// The public key of a private one, as a file: so a wrong password is known before anything is built.
    ///
    /// # Errors
    /// The key cannot be read or opened.
    pub(crate) fn public_key(&self, key: &str) -> Result<Utf8PathBuf> {
        let shell = self.shell()?;
        let answer = self.run(cmd!(shell, "cosign public-key --key {key}")).map_err(|error| {
            let text = format!("{error:#}");
            let hint = if text.contains("decrypt") || text.contains("password") {
                "set `COSIGN_PASSWORD` to the password of the key"
            } else {
                "`cosign generate-key-pair` makes one; `COSIGN_KEY` or `sign = { key = … }` says where it is"
            };
            hinted_cause(error, format!("cannot sign with the key `{key}`"), hint)
        })?;
        self.write(&self.name("pub"), &answer.stdout)
    }

    /// The text of a public key, as it is in a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read_key(&self, key: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(key)).with_context(|| format!("cannot read `{key}`"))
    }

    /// Signs a statement: gives the bundle.
    ///
    /// # Errors
    /// As cosign says.
    pub(crate) fn sign(&self, with: &Signing, statement: &[u8]) -> Result<Vec<u8>> {
        let statement = self.write(&self.name("statement.json"), statement)?;
        let bundle = self.folder.join(self.name("bundle.json"));
        let (services, nobody) = (self.folder.join("services.json"), self.folder.join("trusted.json"));
        let shell = self.shell()?;
        let command = cmd!(shell, "cosign attest-blob --yes --statement {statement} --bundle {bundle}");
        let (command, hint) = match with {
            Signing::Key(key) => {
                (command.args(["--key", key, "--signing-config"]).arg(services).arg("--trusted-root").arg(nobody), None)
            }
            Signing::Keyless => {
                (command, Some("without a key, CI has to give a token: in GitHub, `permissions: id-token: write`"))
            }
        };
        let signed = self.run(command);
        match hint {
            Some(hint) => signed.map_err(|error| hinted_cause(error, "cannot sign", hint))?,
            None => signed.context("cannot sign")?,
        };
        std::fs::read(&bundle).with_context(|| format!("cannot read `{bundle}`"))
    }

    /// Whether a bundle is a valid signature of a statement of this type about `image`; or why not.
    ///
    /// # Errors
    /// Nobody can tell: the key cannot be read, cosign not be run.
    pub(crate) fn verify(
        &self,
        trusted: &Trusted,
        bundle: &[u8],
        image: &Digest,
        predicate_type: &str,
    ) -> Result<Result<(), String>> {
        let bundle = self.write(&self.name("bundle.json"), bundle)?;
        let (hex, shell) = (image.hex(), self.shell()?);
        let command = cmd!(
            shell,
            "cosign verify-blob-attestation --bundle {bundle} --type {predicate_type} --digest {hex} --digestAlg sha256"
        );
        let command = match trusted {
            // What is signed by a key is in no log.
            Trusted::Key(key) => command.args(["--insecure-ignore-tlog", "--key", key]),
            Trusted::Identity { identity, issuer } => {
                command.args(["--certificate-identity", identity, "--certificate-oidc-issuer", issuer])
            }
        };
        let answer = self.exchange(command)?;
        Ok(if answer.status.success() { Ok(()) } else { Err(reason(&answer.stderr)) })
    }

    /// Threads need one each.
    fn shell(&self) -> Result<Shell> {
        shell_in(&self.root)
    }

    fn run(&self, command: Cmd<'_>) -> Result<Output> {
        let shown = command.to_string();
        let answer = self.exchange(command)?;
        match answer.status.success() {
            true => Ok(answer),
            false => bail!(failure(&shown, answer.status, &reason(&answer.stderr))),
        }
    }

    fn exchange(&self, command: Cmd<'_>) -> Result<Output> {
        let shown = command.to_string();
        // Set, it is never asked for; a key may have none.
        let password = variable("COSIGN_PASSWORD").unwrap_or_default();
        exchange(command.env("COSIGN_PASSWORD", password), b"", LIMIT).with_context(|| format!("`{shown}`"))
    }

    fn name(&self, ending: &str) -> String {
        format!("{}.{ending}", self.files.fetch_add(1, Ordering::Relaxed))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<Utf8PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write `{path}`"))?;
        Ok(path)
    }
}

impl Drop for Cosign {
    fn drop(&mut self) {
        // What is left lies in a folder of caches.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What cosign says last of what went wrong.
fn reason(output: &str) -> String {
    let mut lines = output.lines().filter(|line| !line.is_empty() && !line.starts_with(WARNING));
    let error = lines.clone().find_map(|line| line.strip_prefix("Error: "));
    error.or_else(|| lines.next_back()).unwrap_or("cosign says nothing").to_owned()
}
