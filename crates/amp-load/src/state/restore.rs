//! Merges the state of other machines into the ledger.

use std::collections::BTreeMap;

use amp_core::checksum::Digester;
use amp_core::disk::DiskError;
use amp_core::ledger::{DoneDay, LedgerPosition, LedgerPositions, Owners, Partition, append_done_days, done_days};
use serde::Serialize;

use super::State;
use super::content::DoneClaim;
use super::fetch::{Fetched, Scope};
use super::journal::Known;
use super::prefix::{StateObject, Subject, crc_of};
use crate::manifest::ManifestJournal;

/// What a restore brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RestoreCounts {
    /// Days of which state objects were read.
    pub days: usize,
    /// Lines that the ledger did not have.
    pub lines: usize,
    /// Objects that are damaged or were written by a newer version, as far as it cannot be read.
    pub unread: usize,
    /// Objects that are not state: somebody else's, left alone.
    pub foreign: usize,
}

impl State {
    /// The names of the objects of which every line is here, if the files that had them are as long as they were.
    pub(super) fn held(&self, partition: Partition) -> Result<&[String], DiskError> {
        let Some(known) = self.journal.known(Subject::Lines(partition)) else { return Ok(&[]) };
        let now = self.ledger.positions(partition)?;
        let bytes = |position: Option<LedgerPosition>| position.map_or(0, |position| position.bytes);
        let is_whole =
            bytes(now.hours) >= bytes(known.positions.hours) && bytes(now.loads) >= bytes(known.positions.loads);
        Ok(if is_whole { &known.objects } else { &[] })
    }

    /// Merges what was read into the ledger. For the holder of the locks of both programs.
    ///
    /// # Errors
    /// When the ledger cannot be read or written. What was merged before stays, and is true.
    pub(crate) fn apply(&mut self, fetched: Fetched, scope: &Scope) -> Result<RestoreCounts, DiskError> {
        let Fetched { listing, days, summary, summaries, left, unread, .. } = fetched;
        let mut counts = RestoreCounts { days: days.len(), lines: 0, unread, foreign: listing.foreign.len() };
        let of_days = days.values().flat_map(|(content, _)| content.sources.values().cloned());
        counts.lines += Owners::join(&self.ledger, summary.sources.into_values().chain(of_days))?;
        let mut held: BTreeMap<Partition, Vec<String>> = BTreeMap::new();
        for partition in self.ledger.partitions()? {
            held.insert(partition, self.held(partition)?.to_vec());
        }
        let manifests = ManifestJournal::open(&self.staging)?;
        for (partition, (content, objects)) in days {
            counts.lines += self.ledger.merge(partition, content.lines)?.1;
            manifests.merge(content.manifests.portable())?;
            held.entry(partition).or_default().extend(objects);
        }
        let around = self.surroundings()?;
        let listed = |name: &String| StateObject::named(name).is_some_and(|object| listing.objects.contains(&object));
        let (mut lines, mut done) = (Vec::new(), Vec::new());
        for (partition, mut objects) in held {
            let subject = Subject::Lines(partition);
            // What is gone from the bucket is put again by the next load.
            if matches!(scope, Scope::Since(_)) {
                objects.retain(listed);
            }
            let known = self.journal.known(subject);
            if known.is_some_and(|known| known.objects == objects) || known.is_none() && objects.is_empty() {
                continue;
            }
            let (_, known) = self.read(partition, &around, objects)?;
            let claims =
                summary.done.iter().filter(|claim| Partition::Day(claim.day) == partition && claim.crc == known.crc);
            done.extend(claims.flat_map(|claim| done_lines(claim, known.positions)));
            lines.push((subject, known));
        }
        let nothing = LedgerPositions { hours: None, loads: None };
        for claim in &left {
            done.extend(done_lines(claim, nothing));
            let known = Known { crc: claim.crc.clone(), ..Known::default() };
            lines.push((Subject::Lines(Partition::Day(claim.day)), known));
        }
        self.append_done(done)?;
        self.journal.append(lines)?;
        if listing.has_marker && !self.journal.has_marker() {
            self.journal.append_marker()?;
        }
        if matches!(scope, Scope::Since(_)) {
            // With the checksum of what is said here: the next load puts it, unless one of them says just that.
            let crc = crc_of(Digester::digest_of(&self.summary()?.to_bytes()));
            self.journal.append(vec![(Subject::Summary, Known { crc, objects: summaries, ..Known::default() })])?;
        }
        Ok(counts)
    }

    fn append_done(&self, mut days: Vec<DoneDay>) -> Result<(), DiskError> {
        let mut known = BTreeMap::new();
        done_days(&self.staging.state_dir(), |line| {
            known.insert((line.day, line.owner), line.positions);
        })?;
        days.retain(|line| known.get(&(line.day, line.owner.clone())) != Some(&line.positions));
        append_done_days(&self.staging.state_dir(), &days)
    }
}

fn done_lines(claim: &DoneClaim, positions: LedgerPositions) -> impl Iterator<Item = DoneDay> {
    claim.owners.iter().map(move |owner| DoneDay { day: claim.day, owner: owner.clone(), positions })
}
