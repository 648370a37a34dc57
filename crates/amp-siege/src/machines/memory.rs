//! The state in the bucket, and what befalls it behind the machines' backs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;

use amp_sandbox::s3::S3Server;
use chrono::{NaiveDate, TimeDelta};
use fastrand::Rng;

use super::STATE;
use crate::lab::BUCKET;

/// State that is lost is of days that daily calls still repair; of older ones they only say that they are owed.
const REPAIRED_DAYS: i64 = 4;
const FOREIGN: &str = "_state/days/notes.txt";

/// Every state object with its bytes.
type Objects = BTreeMap<String, Vec<u8>>;

/// What the bucket held on the last days.
#[derive(Default)]
pub(super) struct Memory {
    earlier: VecDeque<Objects>,
    has_foreign: bool,
}

/// What was done to the state.
pub(super) struct Disturbed {
    pub(super) what: &'static str,
    /// The days of which it no longer says all, so that they may be asked for once more.
    pub(super) lost: BTreeSet<NaiveDate>,
}

impl Memory {
    /// Keeps what the bucket holds now.
    pub(super) fn remember(&mut self, s3: &S3Server) {
        self.earlier.push_back(read(s3));
        if self.earlier.len() > 2 {
            self.earlier.pop_front();
        }
    }

    pub(super) fn disturb(&mut self, s3: &S3Server, today: NaiveDate, random: &mut Rng) -> io::Result<Disturbed> {
        let now = read(s3);
        let oldest = today - TimeDelta::days(REPAIRED_DAYS);
        let may_be_lost = |key: &&String| day_of(key).map_or(key.contains("/summary/"), |day| day >= oldest);
        let victims: Vec<&String> = now.keys().filter(may_be_lost).collect();
        let Some(victim) = random.choice(victims).cloned() else {
            return Ok(Disturbed { what: "nothing to disturb", lost: BTreeSet::new() });
        };
        let of_victim = day_of(&victim).into_iter().collect();
        let earlier = self.earlier.front().cloned().unwrap_or_default();
        let changed = now.keys().chain(earlier.keys()).filter(|key| now.get(*key) != earlier.get(*key));
        let lost_since: BTreeSet<NaiveDate> = changed.filter_map(|key| day_of(key)).collect();
        match random.u8(..4) {
            0 => {
                s3.delete_object_directly(BUCKET, &victim);
                Ok(Disturbed { what: "state deleted", lost: of_victim })
            }
            1 => {
                let mut bytes = now.get(&victim).cloned().unwrap_or_default();
                let at = random.usize(..bytes.len().max(1));
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.u8(..7));
                s3.put_object_directly(BUCKET, &victim, &bytes)?;
                Ok(Disturbed { what: "state damaged", lost: of_victim })
            }
            2 if lost_since.iter().all(|day| *day >= oldest) => {
                now.keys().filter(|key| !earlier.contains_key(*key)).for_each(|key| {
                    s3.delete_object_directly(BUCKET, key);
                });
                for (key, bytes) in &earlier {
                    s3.put_object_directly(BUCKET, key, bytes)?;
                }
                Ok(Disturbed { what: "state set back", lost: lost_since })
            }
            _ => {
                s3.put_object_directly(BUCKET, FOREIGN, b"somebody else's")?;
                self.has_foreign = true;
                Ok(Disturbed { what: "somebody else's object", lost: BTreeSet::new() })
            }
        }
    }

    /// What is wrong with somebody else's object, which must be left alone.
    pub(super) fn foreign_gone(&self, s3: &S3Server) -> Option<String> {
        let is_there = s3.object_bytes(BUCKET, FOREIGN).is_some_and(|bytes| bytes == b"somebody else's");
        (self.has_foreign && !is_there).then(|| format!("{FOREIGN} is gone, or other bytes"))
    }
}

fn read(s3: &S3Server) -> Objects {
    let objects =
        s3.objects(BUCKET).into_iter().filter(|object| object.key.starts_with(STATE) && object.key != FOREIGN);
    objects.filter_map(|object| Some((object.key, fs::read(object.path).ok()?))).collect()
}

/// From `_state/days/2025-11-06/…`.
fn day_of(key: &str) -> Option<NaiveDate> {
    key.strip_prefix(STATE)?.strip_prefix("days/")?.split('/').next()?.parse().ok()
}
