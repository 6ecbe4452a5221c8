//! Signing what is in a registry: an image or release by its digest, and all that we attached to it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::publish::apply::PARALLEL_UPLOADS;
use crate::errors::{all, hinted};
use crate::gather::workspace::Workspace;
use crate::image::labels::ATTACHMENT;
use crate::image::record::RecordedImage;
use crate::image::reference::{Digest, ImageReference};
use crate::image::statement::{
    BUNDLE_CONTENT, BUNDLE_PREDICATE, BUNDLE_TYPE, SBOMS, SIGNATURE, STATEMENT_TYPE, Statement, signed_statement,
};
use crate::registry::{Attachment, Client, Referrer, Releases, StoredRelease};
use crate::signing::{Cosign, Signing, Trusted};
use crate::system::environment::variable;
use crate::system::parallel;
use crate::system::progress::Progress;

/// The name of an image's own signature.
const NAME: &str = "signature";
/// Begins the names of what builders state that built an image again: each signs its own.
pub(crate) const REBUILT_NAME: &str = "rebuilt-";
/// A larger one makes Kyverno refuse the image (`maxLayerSize` in its `pkg/cosign/sigstore.go`).
const MAX_BUNDLE: usize = 10_000_000;

/// Who signs, ready to.
pub(crate) struct Signer {
    cosign: Cosign,
    with: Signing,
    /// By whom a signature that is there has to be to stay.
    trusted: Option<Trusted>,
}

impl Signer {
    /// Signs as the settings say, or `COSIGN_KEY`; makes sure that the key can be used.
    ///
    /// # Errors
    /// Nothing says how; the key cannot be used; there is no cosign.
    pub(crate) fn new(workspace: &Workspace) -> Result<Self> {
        let settings = &workspace.packages.settings.sign;
        let key = variable("COSIGN_KEY").or_else(|| settings.key.clone());
        if key.is_none() && settings.identity.is_none() {
            bail!(hinted(
                "nothing says how to sign",
                "name a key by `COSIGN_KEY` or `sign = { key = … }`, or whom CI vouches for by `sign = { identity = …, \
                 issuer = … }`"
            ));
        }
        let cosign = Cosign::find(workspace.root(), &workspace.output())?;
        let (with, trusted) = match key {
            Some(key) => {
                let public = cosign.public_key(&key)?;
                (Signing::Key(key), Some(Trusted::Key(public.into_string())))
            }
            None => (Signing::Keyless, identity(workspace)),
        };
        Ok(Signer { cosign, with, trusted })
    }

    /// Signs a release and all its images.
    ///
    /// # Errors
    /// Whatever was not signed.
    pub(crate) fn sign_release(
        &self,
        client: &Client,
        releases: &Releases<'_>,
        stored: &StoredRelease,
        progress: &Progress,
    ) -> Result<()> {
        let components = stored.release.components.iter();
        let images = components.map(|(name, component)| (name.as_str(), &component.image));
        self.sign_images(client, images.collect(), progress)?;
        self.sign_one(client, &releases.repository, &stored.digest, true, "release", progress)
    }

    /// Signs images, and what is attached to them and to their platforms' images.
    ///
    /// # Errors
    /// As [`Signer::sign_release`].
    pub(crate) fn sign_images(
        &self,
        client: &Client,
        images: Vec<(&str, &RecordedImage)>,
        progress: &Progress,
    ) -> Result<()> {
        all(parallel::map(images, PARALLEL_UPLOADS, |(name, image)| {
            self.sign_one(client, &image.image, &image.digest, true, name, progress)?;
            let platforms = image.platforms.values().filter(|platform| platform.digest != image.digest);
            // Who admits an image asks for the digest that a tag or a pin names: the index's.
            platforms
                .into_iter()
                .try_for_each(|platform| self.sign_one(client, &image.image, &platform.digest, false, name, progress))
        }))
        .map(drop)
    }

    /// Signs what is attached to a release, such as a proof.
    ///
    /// # Errors
    /// As [`Signer::sign_release`].
    pub(crate) fn sign_attached(
        &self,
        client: &Client,
        repository: &ImageReference,
        digest: &Digest,
        progress: &Progress,
    ) -> Result<()> {
        self.sign_one(client, repository, digest, false, "release", progress)
    }

    fn sign_one(
        &self,
        client: &Client,
        repository: &ImageReference,
        digest: &Digest,
        with_image: bool,
        name: &str,
        progress: &Progress,
    ) -> Result<()> {
        let signed = self.sign(client, repository, digest, with_image);
        let signed = signed.with_context(|| format!("`{name}` is not signed: {}@{digest}", repository.name()))?;
        if !signed.is_empty() {
            progress.say(&format!("signed {name}: {} of {digest}", signed.join(", ")));
        }
        Ok(())
    }

    /// Signs what has no valid signature of ours, and gives its names.
    fn sign(
        &self,
        client: &Client,
        repository: &ImageReference,
        digest: &Digest,
        with_image: bool,
    ) -> Result<Vec<String>> {
        let referrers = client.referrers(repository, digest)?;
        let image = (NAME.to_owned(), Statement::new(digest, SIGNATURE, json!({})));
        let mut wanted: Vec<(String, Statement)> = with_image.then_some(image).into_iter().collect();
        for referrer in &referrers {
            wanted.extend(self::statement(client, repository, digest, referrer)?);
        }
        let mut attachments = Vec::new();
        let mut signed = Vec::new();
        for (name, statement) in wanted {
            if self.is_signed(client, repository, digest, &referrers, &name, &statement)? {
                continue;
            }
            attachments.push(self.bundle(&name, &statement)?);
            signed.push(name);
        }
        if !attachments.is_empty() {
            client.attach(repository, digest, attachments)?;
        }
        Ok(signed)
    }

    /// Attaches a statement that is signed, and not beside it as it is, in place of an earlier one of this name.
    ///
    /// # Errors
    /// It cannot be signed; the registry refuses.
    pub(crate) fn attach(
        &self,
        client: &Client,
        repository: &ImageReference,
        digest: &Digest,
        name: &str,
        statement: &Statement,
    ) -> Result<()> {
        let referrers = client.referrers(repository, digest)?;
        if !self.is_signed(client, repository, digest, &referrers, name, statement)? {
            client.attach(repository, digest, vec![self.bundle(name, statement)?])?;
        }
        Ok(())
    }

    /// What tells it from other signers; nothing when that is known of nobody.
    ///
    /// # Errors
    /// The public key cannot be read.
    pub(crate) fn id(&self) -> Result<Option<String>> {
        Ok(match &self.trusted {
            Some(Trusted::Key(key)) => Some(self.cosign.read_key(key)?),
            Some(Trusted::Identity { identity, issuer }) => Some(format!("{identity} {issuer}")),
            None => None,
        })
    }

    fn bundle(&self, name: &str, statement: &Statement) -> Result<Attachment> {
        let bundle = self.cosign.sign(&self.with, &statement.to_bytes())?;
        ensure!(bundle.len() <= MAX_BUNDLE, "the {name} is too large for those who verify it");
        Ok(Attachment::new(name, BUNDLE_TYPE, bundle)
            .annotated(BUNDLE_CONTENT, "dsse-envelope")
            .annotated(BUNDLE_PREDICATE, &statement.predicate_type))
    }

    /// Whether this very statement is signed already, by whom it should be.
    fn is_signed(
        &self,
        client: &Client,
        repository: &ImageReference,
        digest: &Digest,
        referrers: &[Referrer],
        name: &str,
        statement: &Statement,
    ) -> Result<bool> {
        let Some(trusted) = &self.trusted else { return Ok(false) };
        let is_it = |it: &&Referrer| it.artifact_type() == BUNDLE_TYPE && it.annotation(ATTACHMENT) == Some(name);
        for referrer in referrers.iter().filter(is_it) {
            let Ok(bundle) = client.attached_document(repository, referrer) else { continue };
            let is_same = signed_statement(&bundle).is_ok_and(|signed| signed == *statement);
            if is_same && self.cosign.verify(trusted, &bundle, digest, &statement.predicate_type)?.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The statement that a document of ours is, or that carries it, and its name; nothing for all else.
fn statement(
    client: &Client,
    repository: &ImageReference,
    digest: &Digest,
    referrer: &Referrer,
) -> Result<Option<(String, Statement)>> {
    let name = referrer.annotation(ATTACHMENT).filter(|name| !name.starts_with(REBUILT_NAME));
    let Some(name) = name else { return Ok(None) };
    let sbom = SBOMS.iter().find(|(_, kind)| *kind == referrer.artifact_type());
    if sbom.is_none() && referrer.artifact_type() != STATEMENT_TYPE {
        return Ok(None);
    }
    let content = client.attached_document(repository, referrer)?;
    let statement = match sbom {
        Some((predicate_type, _)) => {
            let predicate = serde_json::from_slice(&content).with_context(|| format!("the {name} is no JSON"))?;
            Statement::new(digest, predicate_type, predicate)
        }
        None => Statement::parse(&content).with_context(|| format!("the {name} is damaged"))?,
    };
    statement.check_about(digest).with_context(|| format!("the {name} is not to be signed"))?;
    // One image has an SBOM in several formats.
    let format = sbom.map(|(_, kind)| if kind.contains("spdx") { "-spdx" } else { "-cyclonedx" });
    Ok(Some((format!("{name}{}", format.unwrap_or_default()), statement)))
}

/// Whom CI vouches for, by the settings.
pub(crate) fn identity(workspace: &Workspace) -> Option<Trusted> {
    let settings = &workspace.packages.settings.sign;
    let (identity, issuer) = settings.identity.clone().zip(settings.issuer.clone())?;
    Some(Trusted::Identity { identity, issuer })
}
