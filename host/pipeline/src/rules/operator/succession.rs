//! Whether a change of the rules fits what has written the groups of a race type so far.

use std::collections::BTreeSet;

use paceline_engine::Digest;

use super::change::{ChangeError, Edit, OneWay};
use crate::rules::document::Rulebook;
use crate::rules::error::RulebookError;
use crate::rules::routing::{Routing, StateFormats};
use crate::rules::successor::{Candidate, Met, Succession, check_disjoint, check_earlier, check_successor, is_covered};

/// A published rulebook.
struct Known {
    document: Rulebook,
    formats: Vec<StateFormats>,
}

impl Known {
    fn candidate(&self) -> Candidate<'_> {
        Candidate { document: &self.document, formats: &self.formats }
    }
}

impl Edit<'_> {
    /// Sets what a race type runs. What it has had is remembered, and so is that there is no way back, if so.
    pub(super) async fn route(
        &mut self,
        race_type: &str,
        current: Option<Digest>,
        fallback: Option<Digest>,
    ) -> Result<(), ChangeError> {
        let before = self.rules.routing.get(race_type);
        let (past, had) = before.map(|before| (before.past.clone(), before.writers())).unwrap_or_default();
        let routing = Routing { current, candidate: None, fallback, one_way: false, past, since: self.revision };
        self.rules.routing.insert(race_type.to_owned(), routing);
        self.remember(race_type, &had).await?;
        self.check_way_back(race_type).await
    }

    /// Remembers that rulebooks have written groups of a race type. Those of which others have every group in the same way
    /// are left out, so that a long history of versions takes no more room than the last one.
    pub(super) async fn remember(&mut self, race_type: &str, wrote: &[Digest]) -> Result<(), ChangeError> {
        let routing = self.routing(race_type)?;
        let reference = routing.reference();
        let all: BTreeSet<Digest> = routing.past.iter().chain(wrote).copied().collect();
        let mut by: Vec<Known> = Vec::new();
        let mut past = Vec::new();
        for digest in all.into_iter().filter(|digest| Some(*digest) != reference) {
            if let (true, Some(reference)) = (by.is_empty(), reference) {
                by.push(self.known(reference).await?);
            }
            let earlier = self.known(digest).await?;
            if !is_covered(earlier.candidate(), &by.iter().map(Known::candidate).collect::<Vec<_>>()) {
                by.push(earlier);
                past.push(digest);
            }
        }
        self.rules.routing.get_mut(race_type).expect("it has a routing").past = past;
        Ok(())
    }

    /// Whether races, or one race, that run `from` may go on with another rulebook, or new races begin with it. `from` is
    /// `None` if nothing is known of it.
    pub(super) async fn check_successor(
        &mut self,
        (race_type, race): (&str, Option<&str>),
        from: Option<Digest>,
        to: Digest,
        succession: Succession,
    ) -> Result<(), ChangeError> {
        let after = self.known(to).await?;
        let mut moved = Vec::new();
        if let Some(from) = from.filter(|from| *from != to) {
            let before = self.known(from).await?;
            check_successor(before.candidate(), after.candidate(), succession)?;
            if succession == Succession::BothWays {
                // Races may have been moved twice without a record in between. Each move had equal groups, so that only
                // formats may differ.
                moved.extend(self.rules.origins(race_type, race, from));
                moved.retain(|origin| {
                    let published = self.rules.rulebooks.get(origin);
                    published.is_some_and(|published| published.formats != before.formats)
                });
            }
        }
        let writers = self.rules.routing.get(race_type).map(Routing::writers).unwrap_or_default();
        let earlier = writers.into_iter().map(|digest| (digest, Met::Lasting));
        let earlier: Vec<_> = moved.into_iter().map(|digest| (digest, Met::All)).chain(earlier).collect();
        for (digest, met) in earlier.into_iter().filter(|(digest, _)| *digest != to && Some(*digest) != from) {
            check_earlier(self.known(digest).await?.candidate(), after.candidate(), met)?;
        }
        Ok(())
    }

    /// Whether the groups of a rulebook are disjoint from those that the other race types have or had.
    pub(super) async fn check_disjoint(&mut self, race_type: &str, rulebook: Digest) -> Result<(), ChangeError> {
        let ours = self.document(rulebook).await?;
        for (other, routing) in self.rules.routing.clone() {
            for digest in routing.writers().into_iter().filter(|_| other != race_type) {
                let theirs = self.document(digest).await?;
                check_disjoint(self.route, (race_type, &ours), (&other, &theirs))?;
            }
        }
        Ok(())
    }

    /// That a roll-back will be impossible is known and said before it is needed.
    async fn check_way_back(&mut self, race_type: &str) -> Result<(), ChangeError> {
        let routing = self.routing(race_type)?;
        let (Some(from), Some(fallback)) = (routing.current, routing.fallback) else { return Ok(()) };
        match self.check_successor((race_type, None), Some(from), fallback, Succession::BothWays).await {
            Err(ChangeError::Rulebook(RulebookError::Incompatible(why))) => {
                self.rules.routing.get_mut(race_type).expect("it has a routing").one_way = true;
                self.one_way.push(OneWay { race_type: race_type.to_owned(), fallback, why });
                Ok(())
            }
            checked => checked,
        }
    }

    async fn known(&mut self, digest: Digest) -> Result<Known, ChangeError> {
        let document = self.document(digest).await?;
        let formats = self.rules.rulebooks[&digest].formats.clone();
        Ok(Known { document, formats })
    }

    /// The document of a published rulebook.
    pub(super) async fn document(&mut self, digest: Digest) -> Result<Rulebook, ChangeError> {
        if !self.rules.rulebooks.contains_key(&digest) {
            return Err(ChangeError::Invalid(format!("no rulebook with the digest {digest} was published")));
        }
        if !self.documents.contains_key(&digest) {
            self.documents.insert(digest, self.registry.rulebook(digest).await?);
        }
        Ok(self.documents[&digest].clone())
    }
}
