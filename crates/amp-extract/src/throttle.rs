//! How many windows are asked for at the same time: fewer, once Amplitude says that it is too much.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::locked::locked;

/// Places for requests under way.
#[derive(Debug)]
pub(crate) struct Throttle {
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    places: usize,
    /// Nobody asks before.
    resume_at: Instant,
}

impl Throttle {
    /// Room for `places` requests at the same time.
    pub(crate) fn new(places: usize) -> Self {
        Self { places: Semaphore::new(places), state: Mutex::new(State { places, resume_at: Instant::now() }) }
    }

    /// Waits for a place, and until everyone may ask again.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        let place = self.places.acquire().await.ok()?;
        loop {
            let resume_at = locked(&self.state).resume_at;
            if resume_at <= Instant::now() {
                return Some(place);
            }
            sleep_until(resume_at).await;
        }
    }

    /// The request of `place` was one too many: all that come after it wait for so long, and one fewer goes on, if any is left then.
    pub(crate) fn slow_down(&self, place: SemaphorePermit<'_>, wait: Duration) {
        let mut state = locked(&self.state);
        state.resume_at = state.resume_at.max(Instant::now() + wait);
        if state.places > 1 {
            state.places -= 1;
            place.forget();
            tracing::warn!("Amplitude wants fewer requests: {} at the same time from now on", state.places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_wait_and_one_fewer_goes_on_but_one_always_does() {
        let throttle = Throttle::new(2);
        let (first, second) = (throttle.place().await.unwrap(), throttle.place().await.unwrap());
        throttle.slow_down(first, Duration::from_millis(30));
        assert_eq!(throttle.places.available_permits(), 0, "the second's place is the only one left");
        throttle.slow_down(second, Duration::ZERO);
        let began = Instant::now();
        let place = throttle.place().await.unwrap();
        assert!(locked(&throttle.state).resume_at <= Instant::now(), "{:?}", began.elapsed());
        assert_eq!(throttle.places.available_permits(), 0);
        drop(place);
    }
}
