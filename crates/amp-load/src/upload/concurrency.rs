//! How many requests may be under way at the same time: more while more of them bring more, half when the server has too many. Nothing here
//! knows a clock or a connection.
//!
//! It is judged by rounds, each as long as it takes to answer as many requests as are allowed. While it climbs, every round that brings more
//! than the last allows twice as many. Two rounds that do not end the climb where it last paid, and from time to time a step up tries again.
//! A server that wants fewer requests halves them. Then they are back quickly to what went well, approach what was too many by half the way at
//! a time, and try the last of it in small steps and seldom.

use std::mem;
use std::time::Duration;

/// How many requests are under way at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// As many as pay.
    Auto,
    /// So many.
    Fixed(usize),
}

impl Concurrency {
    /// How many a run begins with.
    pub fn at_start(self) -> usize {
        match self {
            Self::Auto => 16,
            Self::Fixed(number) => number,
        }
    }

    /// How many there are at most.
    fn max(self) -> usize {
        match self {
            Self::Auto => 256,
            Self::Fixed(number) => number,
        }
    }

    /// How many of them may have bodies of more than `SMALL_BODY` bytes, which fill the buffers of a connection.
    pub fn max_large(self) -> usize {
        match self {
            Self::Auto => 64,
            Self::Fixed(number) => number,
        }
    }
}

/// A body of so many bytes at most is small.
pub(super) const SMALL_BODY: u64 = 64 << 10;

/// A shorter round tells nothing.
const MIN_ROUND: Duration = Duration::from_millis(20);
/// A request without any bytes is worth as much as so many.
const REQUEST_WORTH: u64 = 32 << 10;
/// Twice or half again as many requests pay when they bring so many times as much.
const PAYS: f64 = 1.1;
/// Rounds before the first step up is tried.
const PATIENCE: u32 = 8;
/// The longest that patience grows.
const MAX_PATIENCE: u32 = 32;

/// Decides how many requests may be under way. Times are counted from any one moment.
#[derive(Debug)]
pub(super) struct Controller {
    limit: usize,
    max: usize,
    is_fixed: bool,
    under_way: usize,
    round: Round,
    phase: Phase,
    patience: u32,
    /// So many were too many, when last it was said.
    ceiling: Option<usize>,
    /// The last round that was asked for no less had so many.
    sustained: usize,
    last_cut: Option<Duration>,
}

/// What was answered since a moment.
#[derive(Debug, Default)]
struct Round {
    began: Duration,
    answers: usize,
    worth: u64,
    /// Whether there was work for as many as were allowed.
    is_full: bool,
}

/// So many requests brought so much a second.
#[derive(Debug, Clone, Copy)]
struct Yield {
    limit: usize,
    rate: f64,
}

#[derive(Debug)]
enum Phase {
    /// More are tried than brought `best`.
    Climbing { best: Yield, is_second_look: bool },
    /// After a cut, on the way back.
    Recovering { target: usize },
    /// For so many rounds more.
    Holding { rounds: u32, rate: f64 },
}

impl Controller {
    /// Nothing is under way, and never more than `most` will be.
    pub(super) fn new(concurrency: Concurrency, most: usize) -> Self {
        let limit = concurrency.at_start().min(most);
        Self {
            limit,
            max: concurrency.max().min(most),
            is_fixed: matches!(concurrency, Concurrency::Fixed(_)),
            under_way: 0,
            round: Round::default(),
            phase: Phase::Climbing { best: Yield { limit, rate: 0.0 }, is_second_look: false },
            patience: PATIENCE,
            ceiling: None,
            sustained: 1,
            last_cut: None,
        }
    }

    /// How many may be under way.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A request begins.
    pub(super) fn begin(&mut self, now: Duration) {
        if self.under_way == 0 {
            // A time without work must not count for a slow one.
            self.round = Round { began: now, ..Round::default() };
        }
        self.under_way += 1;
        self.round.is_full |= self.under_way >= self.limit;
    }

    /// A request ends, however.
    pub(super) fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A request that carried so many bytes was answered.
    pub(super) fn answered(&mut self, bytes: u64, now: Duration) {
        self.round.answers += 1;
        self.round.worth += bytes + REQUEST_WORTH;
        let time = now.saturating_sub(self.round.began);
        if self.round.answers < self.limit || time < MIN_ROUND {
            return;
        }
        let ended = mem::replace(&mut self.round, Round { began: now, ..Round::default() });
        if ended.is_full && !self.is_fixed {
            self.sustained = self.limit;
            self.conclude(ended.worth as f64 / time.as_secs_f64());
        }
        self.round.is_full = self.under_way >= self.limit;
    }

    /// A request that began at `began` was too many: the server said so, or did not answer in time.
    pub(super) fn overtaxed(&mut self, began: Duration, now: Duration) {
        // Those that were sent before a cut say nothing of what came after it.
        if !self.is_fixed && self.last_cut.is_none_or(|cut| began > cut) {
            self.cut(now);
        }
    }

    fn cut(&mut self, now: Duration) {
        let too_many = self.under_way.min(self.limit);
        let target = self.sustained.min(too_many * 15 / 16).max(1);
        self.ceiling = Some(too_many);
        self.limit = (too_many / 2).max(1);
        self.last_cut = Some(now);
        self.round = Round { began: now, ..Round::default() };
        self.patience = (2 * self.patience).min(MAX_PATIENCE);
        self.phase = if self.limit < target { Phase::Recovering { target } } else { self.hold(0.0) };
    }

    fn hold(&self, rate: f64) -> Phase {
        let rounds = if self.room().is_some() { 2 } else { self.patience };
        Phase::Holding { rounds, rate }
    }

    /// How far it is to what was too many, where that is far.
    fn room(&self) -> Option<usize> {
        self.ceiling?.checked_sub(self.limit).filter(|room| *room > self.limit / 8 + 1)
    }

    /// Decides after a round in which all that were allowed were under way.
    fn conclude(&mut self, rate: f64) {
        match &mut self.phase {
            Phase::Climbing { best, is_second_look } => {
                if rate >= PAYS * best.rate {
                    *best = Yield { limit: self.limit, rate };
                    *is_second_look = false;
                    self.limit = (2 * self.limit).min(self.max);
                    if self.limit == best.limit {
                        self.phase = self.hold(rate);
                    }
                } else if *is_second_look {
                    let best = *best;
                    self.limit = best.limit;
                    self.patience = (2 * self.patience).min(MAX_PATIENCE);
                    self.phase = self.hold(best.rate);
                } else {
                    *is_second_look = true;
                }
            }
            Phase::Recovering { target } => {
                let target = *target;
                self.limit = (2 * self.limit).min(target);
                if self.limit == target {
                    self.phase = self.hold(rate);
                }
            }
            Phase::Holding { rounds, rate: usual } => {
                *usual = if *usual > 0.0 { 0.75 * *usual + 0.25 * rate } else { rate };
                *rounds = rounds.saturating_sub(1);
                if *rounds == 0 {
                    let usual = *usual;
                    self.step_up(usual);
                }
            }
        }
    }

    /// Tries more requests than bring `usual`.
    fn step_up(&mut self, usual: f64) {
        let before = self.limit;
        match self.ceiling {
            Some(ceiling) if before <= ceiling => {
                let step = self.room().map_or(before / 16, |room| room / 2).max(1);
                self.limit = (before + step).min(self.max);
                self.phase = self.hold(0.0);
            }
            _ => {
                self.ceiling = None;
                self.limit = (before + (before / 2).max(1)).min(self.max);
                self.phase = Phase::Climbing { best: Yield { limit: before, rate: usual }, is_second_look: false };
            }
        }
    }
}

#[cfg(test)]
mod tests;
