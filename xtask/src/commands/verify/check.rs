//! What is attached to an image, and whose signatures hold.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use crate::image::record::RecordedImage;
use crate::image::reference::{Digest, ImageReference};
use crate::image::statement::{
    BUNDLE_PREDICATE, BUNDLE_TYPES, Kind, SBOMS, STATEMENT_TYPE, Statement, signed_statement,
};
use crate::registry::{Client, Referrer};
use crate::signing::{Cosign, Trusted};

/// As many signed documents of one image are looked at; Kyverno looks at no more, either.
const MAX_BUNDLES: usize = 50;

/// What is known of a kind of document, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// There is none.
    #[default]
    Missing,
    /// There is one, and its signature does not hold.
    Invalid(String),
    /// There is one that nobody signed.
    Unsigned,
    /// There is one, signed by whom it should be.
    Signed,
}

impl Verdict {
    /// As it is shown.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Verdict::Missing => "missing",
            Verdict::Invalid(_) => "invalid",
            Verdict::Unsigned => "unsigned",
            Verdict::Signed => "signed",
        }
    }
}

/// What was found of one image or release.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) verdicts: BTreeMap<Kind, Verdict>,
    /// Of test results, with what is known of each.
    pub(super) results: Vec<(Statement, Verdict)>,
    /// Which of those who may say so built it again: their places in [`Checker::rebuilders`].
    pub(super) rebuilders: BTreeSet<usize>,
}

impl Found {
    pub(super) fn verdict(&self, kind: Kind) -> Verdict {
        self.verdicts.get(&kind).cloned().unwrap_or_default()
    }

    fn add(&mut self, kind: Kind, verdict: Verdict) {
        let known = self.verdicts.entry(kind).or_default();
        // A signature that holds is not made worse by others; one that does not is told before what nobody signed.
        let is_better = match (&*known, &verdict) {
            (Verdict::Invalid(_), Verdict::Unsigned) => false,
            (Verdict::Unsigned, Verdict::Invalid(_)) => true,
            (known, new) => new > known,
        };
        if is_better {
            *known = verdict;
        }
    }
}

/// Asks the registry, and cosign. Without anybody to trust, nothing is signed.
pub(super) struct Checker<'a> {
    pub(super) client: &'a Client,
    pub(super) signatures: Option<(&'a Cosign, &'a Trusted)>,
    /// Whose rebuilds count, each once.
    pub(super) rebuilders: &'a [Trusted],
}

impl Checker<'_> {
    /// What is attached to an image, and to its platforms' where SBOMs and provenance are theirs.
    ///
    /// # Errors
    /// The registry cannot be asked; cosign cannot be run.
    pub(super) fn image(&self, image: &RecordedImage) -> Result<Found> {
        let mut found = self.digest(&image.image, &image.digest)?;
        let digests: Vec<&Digest> = image
            .platforms
            .values()
            .map(|platform| &platform.digest)
            .filter(|digest| **digest != image.digest)
            .collect();
        let best = if self.signatures.is_some() { Verdict::Signed } else { Verdict::Unsigned };
        let is_worse = |kind| found.verdict(kind) != best;
        if digests.is_empty() || ![Kind::Sbom, Kind::Provenance].into_iter().any(is_worse) {
            return Ok(found);
        }
        let platforms = digests.iter().map(|digest| self.digest(&image.image, digest)).collect::<Result<Vec<_>>>()?;
        for kind in [Kind::Sbom, Kind::Provenance] {
            // Each must have its own.
            if let Some(worst) = platforms.iter().map(|platform| platform.verdict(kind)).min() {
                found.add(kind, worst);
            }
        }
        Ok(found)
    }

    /// What is attached to one digest.
    ///
    /// # Errors
    /// As [`Checker::image`].
    pub(super) fn digest(&self, repository: &ImageReference, digest: &Digest) -> Result<Found> {
        let referrers = self.client.referrers(repository, digest)?;
        let is_bundle = |it: &&Referrer| it.artifact_type().starts_with(BUNDLE_TYPES);
        let count = referrers.iter().filter(is_bundle).count();
        ensure!(
            count <= MAX_BUNDLES,
            "{count} signed documents are attached to `{}@{digest}`, more than {MAX_BUNDLES}",
            repository.name()
        );
        let mut found = Found::default();
        for referrer in &referrers {
            match referrer.artifact_type() {
                kind if kind.starts_with(BUNDLE_TYPES) => self.bundle(repository, digest, referrer, &mut found)?,
                STATEMENT_TYPE => self.statement(repository, digest, referrer, &mut found),
                kind if SBOMS.iter().any(|(_, sbom)| *sbom == kind) => found.add(Kind::Sbom, Verdict::Unsigned),
                _ => {}
            }
        }
        Ok(found)
    }

    fn bundle(
        &self,
        repository: &ImageReference,
        digest: &Digest,
        referrer: &Referrer,
        found: &mut Found,
    ) -> Result<()> {
        let read = self.client.attached_document(repository, referrer);
        let read = read.and_then(|bundle| Ok((signed_statement(&bundle)?, bundle)));
        let (statement, bundle) = match read {
            Ok(read) => read,
            Err(error) => {
                let announced = referrer.annotation(BUNDLE_PREDICATE).and_then(Kind::of_predicate);
                found.add(announced.unwrap_or(Kind::Signature), Verdict::Invalid(format!("{error:#}")));
                return Ok(());
            }
        };
        let Some(kind) = Kind::of_predicate(&statement.predicate_type) else { return Ok(()) };
        let verdict = match (statement.check_about(digest), self.signatures) {
            (Err(error), _) => Verdict::Invalid(format!("{error:#}")),
            (Ok(()), None) => Verdict::Unsigned,
            (Ok(()), Some((cosign, _))) if kind == Kind::Rebuilt => {
                self.rebuilt(cosign, &bundle, digest, &statement, found)?
            }
            (Ok(()), Some((cosign, trusted))) => {
                match cosign.verify(trusted, &bundle, digest, &statement.predicate_type)? {
                    Ok(()) => Verdict::Signed,
                    Err(why) => Verdict::Invalid(why),
                }
            }
        };
        found.add(kind, verdict.clone());
        if kind == Kind::TestResult {
            found.results.push((statement, verdict));
        }
        Ok(())
    }

    /// Notes by whom an image was built again.
    fn rebuilt(
        &self,
        cosign: &Cosign,
        bundle: &[u8],
        digest: &Digest,
        statement: &Statement,
        found: &mut Found,
    ) -> Result<Verdict> {
        for (number, rebuilder) in self.rebuilders.iter().enumerate() {
            if cosign.verify(rebuilder, bundle, digest, &statement.predicate_type)?.is_ok() {
                found.rebuilders.insert(number);
                return Ok(Verdict::Signed);
            }
        }
        Ok(Verdict::Invalid("it is signed by nobody whose rebuilds count".to_owned()))
    }

    /// A statement that nobody signed. One that cannot be read, or is about another image, is none.
    fn statement(&self, repository: &ImageReference, digest: &Digest, referrer: &Referrer, found: &mut Found) {
        let content = self.client.attached_document(repository, referrer);
        let Ok(statement) = content.and_then(|content| Statement::parse(&content)) else { return };
        let kind = Kind::of_predicate(&statement.predicate_type).filter(|kind| *kind != Kind::Signature);
        let Some(kind) = kind.filter(|_| statement.check_about(digest).is_ok()) else { return };
        found.add(kind, Verdict::Unsigned);
        if kind == Kind::TestResult {
            found.results.push((statement, Verdict::Unsigned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_that_holds_is_enough_and_one_that_does_not_is_told() {
        let invalid = || Verdict::Invalid("why".to_owned());
        let cases = [
            (vec![], Verdict::Missing),
            (vec![invalid(), Verdict::Signed], Verdict::Signed),
            (vec![Verdict::Signed, invalid(), Verdict::Unsigned], Verdict::Signed),
            (vec![Verdict::Unsigned, invalid()], invalid()),
            (vec![invalid(), Verdict::Unsigned], invalid()),
        ];
        for (verdicts, expected) in cases {
            let mut found = Found::default();
            verdicts.into_iter().for_each(|verdict| found.add(Kind::Sbom, verdict));
            assert_eq!(found.verdict(Kind::Sbom), expected);
        }
    }
}
