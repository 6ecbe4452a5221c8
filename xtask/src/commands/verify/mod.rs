//! `verify`: what is attached to a release's images, and whether it is signed by whom it should be.

mod check;
mod differ;
mod policy;
mod rebuild;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8Path;

use self::check::{Checker, Found, Verdict};
use super::chosen_release::{named, numbered, of_checkout, releases, releases_in};
use super::environments::{client_of, environment, own_client};
use super::sign::identity;
use super::{Outcome, print};
use crate::cli::SignaturesArgs;
use crate::errors::hinted;
use crate::gather::ci::CiState;
use crate::gather::workspace::Workspace;
use crate::image::record::DigestRecord;
use crate::image::reference::{ImageReference, Registry};
use crate::image::release::{RELEASES, deployed_tag};
use crate::image::statement::Kind;
use crate::registry::{Client, StoredRelease};
use crate::signing::{Cosign, Trusted};
use crate::system::parallel;
use crate::workspace::signing::Requirement;

/// So many of an environment's last deployments are asked for a proof.
const EARLIER: usize = 20;

/// Shows what is attached, and demands what is required.
pub(crate) fn run(manifest: Option<&Utf8Path>, arguments: &SignaturesArgs) -> Result<Outcome> {
    let workspace = Workspace::load(manifest, &[])?;
    if arguments.rebuild {
        let (place, record) = subject(&workspace, arguments)?;
        return rebuild::run(&workspace, &place, &record, arguments);
    }
    let verifier = Verifier::new(&workspace, arguments.key.as_deref(), &arguments.require)?;
    if arguments.emit_policy {
        let (_, record) = subject(&workspace, arguments)?;
        let names = record.images.values().map(|image| image.repository.clone()).collect();
        print(&policy::policies(&verifier.policy_authority()?, &names)?)?;
        return Ok(Outcome::Done);
    }
    let (place, record) = subject(&workspace, arguments)?;
    let looked = verifier.look(&place, &record)?;
    let required = verifier.with_signature(&arguments.require);
    let lacking = verifier.lacking(&workspace, &place.insecure, &record, &looked, &required)?;
    print(&match arguments.json {
        true => report::json(&place.release, &record, &looked, &lacking)?,
        false => report::table(&place.release, &looked),
    })?;
    for line in looked.iter().flat_map(|(name, found)| report::invalid(name, found)).chain(lacking.clone()) {
        eprintln!("{line}");
    }
    Ok(if lacking.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// Where a release is.
pub(crate) struct Place {
    pub(crate) client: Arc<Client>,
    /// The releases' repository.
    pub(crate) repository: ImageReference,
    pub(crate) release: StoredRelease,
    pub(crate) insecure: Vec<Registry>,
}

/// The release that is meant, and its images that are.
fn subject(workspace: &Workspace, arguments: &SignaturesArgs) -> Result<(Place, DigestRecord)> {
    let components = workspace.component_names();
    let (names, others): (Vec<&String>, Vec<&String>) =
        arguments.names.iter().partition(|name| components.contains(&name.as_str()));
    ensure!(others.len() < 2, "`{}` and `{}` both name a release, or no component", others[0], others[1]);
    let insecure = &arguments.registry.insecure_registry;
    let settings = &workspace.packages.settings;
    let name = others.first().map(|name| name.as_str());
    let place = match name.filter(|name| settings.environments.contains_key(*name)) {
        Some(name) => Some(environment(settings, name)?),
        None => None,
    };
    let (client, repository) = match &place {
        Some(place) => (client_of(place, insecure), Some(place.repository_of(workspace, RELEASES)?)),
        None => (own_client(insecure), None),
    };
    let releases = match repository {
        Some(repository) => releases_in(workspace, &client, repository)?,
        None => releases(workspace, &client, arguments.registry.registry.as_ref())?,
    };
    let release = match name {
        Some(name) => named(workspace, &releases, name, insecure)?,
        None => {
            let found = of_checkout(workspace, &releases, &CiState::gather(workspace.root(), &[])?)?;
            let (found, whose) = found.ok_or_else(|| {
                let error = format!("`{}` has no release of what is checked out", releases.repository.name());
                hinted(error, "`cargo xtask publish` makes one; or name one")
            })?;
            eprintln!("the release {whose}");
            found
        }
    };
    let mut record = release.release.record();
    for name in &names {
        ensure!(record.images.contains_key(*name), "the release {} has no component `{name}`", release.digest);
    }
    record.images.retain(|name, _| names.is_empty() || names.contains(&name));
    let repository = releases.repository.clone();
    Ok((Place { client: Arc::new(client), repository, release, insecure: insecure.clone() }, record))
}

/// Looks at signatures, when somebody is trusted.
pub(crate) struct Verifier {
    signatures: Option<(Cosign, Trusted)>,
    /// Whose rebuilds count, each once.
    rebuilders: Vec<Trusted>,
}

impl Verifier {
    /// Trusts the key that is given, else whom the settings name.
    ///
    /// # Errors
    /// A signature is required, and nobody is trusted; there is no cosign, no key.
    pub(crate) fn new(workspace: &Workspace, key: Option<&str>, required: &[Requirement]) -> Result<Self> {
        let settings = &workspace.packages.settings.sign;
        let key = key.or(settings.public_key.as_deref()).map(|key| Trusted::Key(key.to_owned()));
        let Some(trusted) = key.or_else(|| identity(workspace)) else {
            let is_signature = |it: &Requirement| matches!(it, Requirement::Signature | Requirement::Rebuilds(_));
            ensure!(
                !required.iter().any(is_signature),
                hinted(
                    "a signature is required, and nobody is trusted",
                    "name the public key by `--key` or `sign = { public-key = … }`, or whom CI vouches for by `sign = { \
                     identity = …, issuer = … }`"
                )
            );
            return Ok(Verifier { signatures: None, rebuilders: Vec::new() });
        };
        if let Trusted::Key(key) = &trusted {
            let is_there = key.contains("://") || workspace.root().join(key).exists();
            ensure!(is_there, "there is no public key `{key}`");
        }
        let cosign = Cosign::find(workspace.root(), &workspace.output())?;
        let rebuilders = rebuilders(&cosign, &workspace.packages.settings.sign.rebuilders, &trusted)?;
        for requirement in required {
            if let Requirement::Rebuilds(count) = requirement {
                ensure!(
                    *count <= rebuilders.len(),
                    hinted(
                        format!("{count} rebuilds are required, and those of {} count", rebuilders.len()),
                        "list the public keys of more builders in `sign = { rebuilders = [ … ] }`"
                    )
                );
            }
        }
        Ok(Verifier { signatures: Some((cosign, trusted)), rebuilders })
    }

    fn checker<'a>(&'a self, client: &'a Client) -> Checker<'a> {
        let signatures = self.signatures.as_ref().map(|(cosign, trusted)| (cosign, trusted));
        Checker { client, signatures, rebuilders: &self.rebuilders }
    }

    /// Looks at the release, under no name, and at the images of `record`.
    fn look(&self, place: &Place, record: &DigestRecord) -> Result<BTreeMap<String, Found>> {
        let mut looked = self.look_at_images(&place.client, record)?;
        let release = self.checker(&place.client).digest(&place.repository, &place.release.digest)?;
        looked.insert(String::new(), release);
        Ok(looked)
    }

    fn look_at_images(&self, client: &Client, record: &DigestRecord) -> Result<BTreeMap<String, Found>> {
        let checker = self.checker(client);
        let images = parallel::map(record.images.iter().collect(), parallel::REQUESTS, |(name, image)| {
            Ok((name.clone(), checker.image(image).with_context(|| format!("cannot verify `{name}`"))?))
        });
        images.into_iter().collect()
    }

    /// Demands of a release, before anything is done with it, what is required.
    ///
    /// # Errors
    /// All that it lacks; nobody can tell.
    pub(crate) fn demand(&self, workspace: &Workspace, place: &Place, required: &[Requirement]) -> Result<()> {
        if required.is_empty() {
            return Ok(());
        }
        let record = place.release.release.record();
        let looked = self.look(place, &record)?;
        let subject = format!("the release {} lacks", place.release.digest);
        self.refuse(workspace, &place.insecure, &record, &looked, required, &subject)
    }

    /// As [`Verifier::demand`], of images that no release is known of.
    ///
    /// # Errors
    /// As [`Verifier::demand`].
    pub(crate) fn demand_of_images(
        &self,
        workspace: &Workspace,
        client: &Client,
        record: &DigestRecord,
        insecure: &[Registry],
        required: &[Requirement],
    ) -> Result<()> {
        let looked = self.look_at_images(client, record)?;
        self.refuse(workspace, insecure, record, &looked, required, "the images lack")
    }

    fn refuse(
        &self,
        workspace: &Workspace,
        insecure: &[Registry],
        record: &DigestRecord,
        looked: &BTreeMap<String, Found>,
        required: &[Requirement],
        subject: &str,
    ) -> Result<()> {
        let lacking = self.lacking(workspace, insecure, record, looked, &self.with_signature(required))?;
        if lacking.is_empty() {
            return Ok(());
        }
        let why: Vec<String> = looked.iter().flat_map(|(name, found)| report::invalid(name, found)).collect();
        bail!(hinted(
            format!("{subject} what is required:\n{}", [lacking, why].concat().join("\n")),
            "`cargo xtask verify` shows what there is; nothing was changed"
        ))
    }

    /// What is required, and the signatures too where somebody is trusted: which images a release has, and which
    /// platforms these, is known from nobody else than who signed it.
    fn with_signature(&self, required: &[Requirement]) -> Vec<Requirement> {
        let mut all = required.to_vec();
        if self.signatures.is_some() && !all.is_empty() && !all.contains(&Requirement::Signature) {
            all.push(Requirement::Signature);
        }
        all
    }

    /// What is required and not there, a line each.
    fn lacking(
        &self,
        workspace: &Workspace,
        insecure: &[Registry],
        record: &DigestRecord,
        looked: &BTreeMap<String, Found>,
        required: &[Requirement],
    ) -> Result<Vec<String>> {
        let mut lacking = Vec::new();
        for requirement in required {
            let kind = match requirement {
                Requirement::Signature => Kind::Signature,
                Requirement::Sbom => Kind::Sbom,
                Requirement::Provenance => Kind::Provenance,
                Requirement::Proof(environment) => {
                    lacking.extend(self.lacking_proof(workspace, insecure, record, looked.get(""), environment)?);
                    continue;
                }
                Requirement::Rebuilds(count) => {
                    lacking.extend(lacking_rebuilds(looked, *count));
                    continue;
                }
            };
            // The release has no SBOM of its own.
            let asked = looked.iter().filter(|(name, _)| kind == Kind::Signature || !name.is_empty());
            let bad = asked.filter(|(_, found)| !self.is_enough(&found.verdict(kind)));
            lacking.extend(bad.map(|(name, found)| {
                format!("{}: {requirement} is required, and is {}", report::shown(name), found.verdict(kind).word())
            }));
        }
        Ok(lacking)
    }

    /// Whoever says whom to trust has all signed.
    fn is_enough(&self, verdict: &Verdict) -> bool {
        *verdict == Verdict::Signed || (*verdict == Verdict::Unsigned && self.signatures.is_none())
    }

    /// Why there is no proof that an environment ran exactly these images; it may lie at the release itself, or at the
    /// environment's.
    fn lacking_proof(
        &self,
        workspace: &Workspace,
        insecure: &[Registry],
        record: &DigestRecord,
        own: Option<&Found>,
        name: &str,
    ) -> Result<Option<String>> {
        let undeployed = &workspace.packages.settings.undeployed;
        // The newest counts, whatever it says and whoever says it: one that failed, or that nobody signed, is no proof.
        let proves = |found: &Found| {
            let of_it = found.results.iter().filter(|(statement, _)| statement.predicate["environment"] == name);
            let newest = of_it.max_by_key(|(statement, verdict)| {
                (statement.predicate["finished"].as_str().unwrap_or_default().to_owned(), verdict.clone())
            });
            newest.is_some_and(|(statement, verdict)| {
                self.is_enough(verdict) && report::proves(&statement.predicate, name, record, undeployed)
            })
        };
        if own.is_some_and(proves) {
            return Ok(None);
        }
        let environment = environment(&workspace.packages.settings, name)?;
        let client = client_of(&environment, insecure);
        let releases = releases_in(workspace, &client, environment.repository_of(workspace, RELEASES)?)?;
        let earlier = numbered(&releases, name)?.into_iter().rev().map(|(_, tag)| tag).take(EARLIER);
        for tag in [deployed_tag(name)?].into_iter().chain(earlier) {
            if let Some(digest) = releases.digest(&tag)?
                && proves(&self.checker(&client).digest(&releases.repository, &digest)?)
            {
                return Ok(None);
            }
        }
        let signed = if self.signatures.is_some() { "signed " } else { "" };
        Ok(Some(format!("no {signed}test result says that `{name}` ran exactly these images and passed")))
    }

    fn policy_authority(&self) -> Result<policy::Authority> {
        match &self.signatures {
            Some((_, Trusted::Key(key))) if key.contains("://") => Ok(policy::Authority::Address(key.clone())),
            Some((cosign, Trusted::Key(key))) => Ok(policy::Authority::Key(cosign.read_key(key)?)),
            Some((_, Trusted::Identity { identity, issuer })) => {
                Ok(policy::Authority::Identity { identity: identity.clone(), issuer: issuer.clone() })
            }
            None => bail!(hinted("there is nobody to trust", "name the public key by `--key`")),
        }
    }
}

/// Those whose rebuilds count, each once however often its key is listed: else one builder would pass for two.
fn rebuilders(cosign: &Cosign, keys: &[String], trusted: &Trusted) -> Result<Vec<Trusted>> {
    if keys.is_empty() {
        return Ok(vec![trusted.clone()]);
    }
    let mut known = BTreeMap::new();
    for key in keys {
        let text = match key.contains("://") {
            true => cosign.read_key(cosign.public_key(key)?.as_str())?,
            false => cosign.read_key(key)?,
        };
        known.entry(key_of(&text).with_context(|| format!("`{key}` is no public key"))?).or_insert(key);
    }
    Ok(known.into_values().map(|key| Trusted::Key(key.clone())).collect())
}

/// The key in a PEM text, however its lines are broken.
fn key_of(pem: &str) -> Option<String> {
    let (_, rest) = pem.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (key, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    Some(key.split_whitespace().collect())
}

/// The images that too few built again.
fn lacking_rebuilds(looked: &BTreeMap<String, Found>, count: usize) -> Vec<String> {
    let images = looked.iter().filter(|(name, found)| !name.is_empty() && found.rebuilders.len() < count);
    let line = |(name, found): (&String, &Found)| {
        format!("{name}: rebuilds:{count} is required, and there are {} that count", found.rebuilders.len())
    };
    images.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_in_two_files_is_one() {
        let key = |text: &str| key_of(&format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"));
        assert_eq!(key("ab\ncd"), key("abcd\r\n"));
        assert_ne!(key("abcd"), key("abce"));
        assert_eq!(key_of("abcd"), None);
    }
}
