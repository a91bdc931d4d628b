//! How many connections are open, of those that may be; and how long they may do nothing when room gets short.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The connections of one server.
#[derive(Debug, Clone)]
pub struct Crowd {
    free: Arc<Semaphore>,
    most: usize,
}

/// A connection's part of the room, as long as this is kept.
#[derive(Debug)]
pub struct Place {
    crowd: Crowd,
    _permit: OwnedSemaphorePermit,
}

/// However many there are, a connection gets so long to say something.
const LEAST: Duration = Duration::from_secs(1);

impl Crowd {
    /// Nobody yet; at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(most)), most }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.most.saturating_sub(self.free.available_permits())
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place, as soon as there is one.
    pub async fn enter(&self) -> Place {
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("nobody closes the semaphore");
        Place { crowd: self.clone(), _permit: permit }
    }
}

impl Place {
    /// How long a connection may do nothing that otherwise may for so long. Clients keep connections that they have no use for, each for as long as it
    /// may; so from when half of the room is taken on, they may the less the less is left, and others find room.
    #[must_use]
    pub fn shorten(&self, limit: Duration) -> Duration {
        let Crowd { free, most } = &self.crowd;
        let free = free.available_permits();
        if free >= most / 2 {
            return limit;
        }
        let shorter = limit.as_secs_f64() * free as f64 / (most / 2) as f64;
        Duration::try_from_secs_f64(shorter).unwrap_or(limit).max(LEAST).min(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_less_room_is_left_the_sooner_a_connection_has_to_say_something() {
        let crowd = Crowd::new(100);
        let minute = Duration::from_secs(60);
        let mut places = vec![crowd.enter().await];
        let mut seen = Vec::new();
        for taken in [50, 60, 75, 99, 100] {
            while places.len() < taken {
                places.push(crowd.enter().await);
            }
            assert_eq!(crowd.len(), taken);
            seen.push(places[0].shorten(minute).as_millis());
        }
        assert_eq!(seen, [60_000, 48_000, 30_000, 1_200, 1_000]);
        assert_eq!(places[0].shorten(Duration::from_millis(60)).as_millis(), 60, "never longer than the limit");
        assert!(futures_util::poll!(Box::pin(crowd.enter())).is_pending(), "no more than that");
        places.clear();
        assert!(crowd.is_empty());
    }

    #[tokio::test]
    async fn where_there_is_room_for_one_it_may_do_nothing_for_as_long_as_it_may() {
        let only = Crowd::new(1).enter().await;
        assert_eq!(only.shorten(Duration::from_secs(60)).as_secs(), 60);
    }
}
