//! Signing what is in a registry: an image or release by its digest, and what this run attached to it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::publish::apply::PARALLEL_UPLOADS;
use crate::errors::{all, hinted};
use crate::gather::workspace::Workspace;
use crate::image::labels::ATTACHMENT;
use crate::image::record::RecordedImage;
use crate::image::reference::{Digest, ImageReference};
use crate::image::statement::{
    BUNDLE_CONTENT, BUNDLE_PREDICATE, BUNDLE_TYPE, SBOMS, SIGNATURE, Statement, signed_statement,
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

/// What a run made, by the image that it is about: statements with the names of their signatures.
pub(crate) type Made = BTreeMap<Digest, Vec<(String, Statement)>>;

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

    /// Whether an image has a signature of whom this run signs as. Who signs what it did not make vouches for whoever
    /// wrote it there.
    ///
    /// # Errors
    /// The registry cannot be asked; cosign cannot be run.
    pub(crate) fn has_signed(&self, client: &Client, repository: &ImageReference, digest: &Digest) -> Result<bool> {
        let referrers = client.referrers(repository, digest)?;
        self.is_signed(client, repository, digest, &referrers, NAME, &signature(digest))
    }

    /// Demands our signatures of images that were carried on from the release before: whoever signs a release vouches for
    /// all its images.
    ///
    /// # Errors
    /// One that we did not sign.
    pub(crate) fn demand(&self, client: &Client, carried: &BTreeMap<String, RecordedImage>) -> Result<()> {
        let checked = parallel::map(carried.iter().collect(), PARALLEL_UPLOADS, |(name, image)| {
            let is_signed = self.has_signed(client, &image.image, &image.digest)?;
            let error =
                format!("`{name}` is carried on from the release before, and we did not sign `{}`", image.image);
            ensure!(is_signed, hinted(error, "publish all components with `--sign`"));
            Ok(())
        });
        all(checked).map(drop)
    }

    /// Signs a release, whose images are signed.
    ///
    /// # Errors
    /// It was not signed.
    pub(crate) fn sign_release(
        &self,
        client: &Client,
        releases: &Releases<'_>,
        stored: &StoredRelease,
        progress: &Progress,
    ) -> Result<()> {
        let wanted = vec![(NAME.to_owned(), signature(&stored.digest))];
        self.sign_one(client, &releases.repository, &stored.digest, wanted, "release", progress)
    }

    /// Signs images, and of what is attached to them and to their platforms' images that which this run `made`.
    ///
    /// # Errors
    /// Whatever was not signed.
    pub(crate) fn sign_images(
        &self,
        client: &Client,
        images: Vec<(&str, &RecordedImage)>,
        made: &Made,
        progress: &Progress,
    ) -> Result<()> {
        all(parallel::map(images, PARALLEL_UPLOADS, |(name, image)| {
            let made = |digest: &Digest| made.get(digest).cloned().unwrap_or_default();
            let own = [vec![(NAME.to_owned(), signature(&image.digest))], made(&image.digest)].concat();
            self.sign_one(client, &image.image, &image.digest, own, name, progress)?;
            let mut platforms = image.platforms.values().filter(|platform| platform.digest != image.digest);
            // Who admits an image asks for the digest that a tag or a pin names: the index's.
            platforms.try_for_each(|platform| {
                self.sign_one(client, &image.image, &platform.digest, made(&platform.digest), name, progress)
            })
        }))
        .map(drop)
    }

    /// Signs a statement that this run attached to a release.
    ///
    /// # Errors
    /// It was not signed.
    pub(crate) fn sign_statement(
        &self,
        client: &Client,
        repository: &ImageReference,
        digest: &Digest,
        statement: (String, Statement),
        progress: &Progress,
    ) -> Result<()> {
        self.sign_one(client, repository, digest, vec![statement], "release", progress)
    }

    fn sign_one(
        &self,
        client: &Client,
        repository: &ImageReference,
        digest: &Digest,
        wanted: Vec<(String, Statement)>,
        name: &str,
        progress: &Progress,
    ) -> Result<()> {
        let signed = self.sign(client, repository, digest, wanted);
        let signed = signed.with_context(|| format!("`{name}` is not signed: {}@{digest}", repository.name()))?;
        if !signed.is_empty() {
            progress.say(&format!("signed {name}: {} of {digest}", signed.join(", ")));
        }
        Ok(())
    }

    /// Signs what of `wanted` has no valid signature of ours, and gives its names. What lies in the registry is no
    /// reason to sign it: whoever may write there could have it signed.
    fn sign(
        &self,
        client: &Client,
        repository: &ImageReference,
        digest: &Digest,
        wanted: Vec<(String, Statement)>,
    ) -> Result<Vec<String>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let referrers = client.referrers(repository, digest)?;
        let mut attachments = Vec::new();
        let mut signed = Vec::new();
        for (name, statement) in wanted {
            statement.check_about(digest).with_context(|| format!("the {name} is not to be signed"))?;
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

/// What cosign's signature of an image states.
fn signature(digest: &Digest) -> Statement {
    Statement::new(digest, SIGNATURE, json!({}))
}

/// The statement that a document is, or that carries it, and the name of its signature.
///
/// # Errors
/// It is neither an SBOM nor a statement.
pub(crate) fn statement(digest: &Digest, attachment: &Attachment) -> Result<(String, Statement)> {
    let name = attachment.name();
    let Some((predicate_type, kind)) = SBOMS.iter().find(|(_, kind)| *kind == attachment.artifact_type) else {
        return Ok((name.to_owned(), Statement::parse(&attachment.content)?));
    };
    let predicate = serde_json::from_slice(&attachment.content).with_context(|| format!("the {name} is no JSON"))?;
    // One image has an SBOM in several formats.
    let format = if kind.contains("spdx") { "spdx" } else { "cyclonedx" };
    Ok((format!("{name}-{format}"), Statement::new(digest, predicate_type, predicate)))
}

/// Whom CI vouches for, by the settings.
pub(crate) fn identity(workspace: &Workspace) -> Option<Trusted> {
    let settings = &workspace.packages.settings.sign;
    let (identity, issuer) = settings.identity.clone().zip(settings.issuer.clone())?;
    Some(Trusted::Identity { identity, issuer })
}
