//! How long requests wait for their turn at one of the threads that answer, and which are turned away when that gets too long.
//!
//! A server that is asked more than it can answer makes everybody wait longer and longer. Each request knows how long it waited from when
//! the kernel told of it to its turn (`bell`). Once for a quarter of a second nobody waited for less than `server.max-queue-delay`, it is
//! an overload, until nobody had to be turned away for a second. Short waits are no overload, however many wait: what counts is the
//! least wait of some time, and whether waits get shorter by themselves (Nichols and Jacobson, "Controlling queue delay", 2012). In an overload each is told at its turn to come again that
//! waited for longer, or would wait for longer until it is answered, as the one before did (compare Maurer, "Fail at Scale", 2015). A new connection costs more
//! than all that, so it is not even taken while those before it wait too long.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// What is known of one thread's queue. Its thread writes it; who accepts connections for it reads it. Times are in microseconds since it
/// was made.
#[derive(Debug)]
pub struct Pressure {
    made: Instant,
    /// How long the one waited who had its turn last.
    wait: AtomicU64,
    /// When that was.
    seen: AtomicU64,
    /// Since when all waited for too long; [`NOT`] when somebody did not.
    late_since: AtomicU64,
    /// The longest of these waits.
    late_from: AtomicU64,
    /// Until when it is an overload.
    overload_until: AtomicU64,
    /// How many waited for too long.
    late: AtomicU64,
    /// How many connections and requests stand in line.
    line: AtomicI64,
    /// How long it takes from one answer to the next, on average, in nanoseconds.
    pace: AtomicU64,
}

/// Somebody who stands in line, as long as this is kept.
#[derive(Debug)]
pub struct InLine<'a>(&'a Pressure);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.line(-1);
    }
}

/// Waits are too long for so long before they count: a pause of the machine is no overload.
const WINDOW: Duration = Duration::from_millis(250);
/// An overload is over when nobody waited for too long for so long.
const CALM: Duration = Duration::from_secs(1);
/// Of those that waited for too long, one of so many is answered all the same. Where it costs nearly as much to turn a request away as to
/// answer it, as it does for redirects, a server could turn away all without ever catching up.
const SPARED: u64 = 4;
/// Answers that the average pace is of, about.
const PACES: u64 = 32;
/// Never.
const NOT: u64 = u64::MAX;

impl Default for Pressure {
    fn default() -> Self {
        Self {
            made: clock::instant(),
            wait: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            late_since: AtomicU64::new(NOT),
            late_from: AtomicU64::new(0),
            overload_until: AtomicU64::new(0),
            late: AtomicU64::new(0),
            line: AtomicI64::new(0),
            pace: AtomicU64::new(0),
        }
    }
}

impl Pressure {
    /// Notes that a request was answered that waited for so long, in all its turns; waits should not be longer than `most`. Zero: it does not matter.
    pub fn note(&self, now: Instant, waited: Duration, most: Duration) {
        if most.is_zero() {
            return;
        }
        let at = self.at(now);
        self.keep_pace(at);
        self.see(at, waited);
        let since = self.late_since.load(Ordering::Relaxed);
        match () {
            () if waited <= most && since != NOT => self.late_since.store(NOT, Ordering::Relaxed),
            () if waited <= most => {}
            () if since == NOT => self.be_late(at, waited),
            () if at.saturating_sub(since) < micros(WINDOW) => {
                self.late_from.fetch_max(micros(waited), Ordering::Relaxed);
            }
            // What a pause has left is being worked off.
            () if micros(waited) < self.late_from.load(Ordering::Relaxed) / 16 * 15 => self.be_late(at, waited),
            () => self.go_on(at),
        }
    }

    /// Somebody stands in line from now on, as the last.
    pub fn stand_in_line(&self) -> InLine<'_> {
        self.line(1);
        InLine(self)
    }

    /// So many more stand in line, or less.
    pub fn line(&self, more: i64) {
        self.line.fetch_add(more, Ordering::Relaxed);
    }

    /// Whether a request that waited for so long is to be turned away, if waits should not be longer than `most`; zero: never.
    pub fn turns_away(&self, now: Instant, waited: Duration, most: Duration) -> bool {
        if most.is_zero() || !self.is_late(now, waited, most) {
            return false;
        }
        self.late.fetch_add(1, Ordering::Relaxed) % SPARED != SPARED - 1
    }

    /// The same for a connection that just came.
    pub fn turns_arrival_away(&self, now: Instant, most: Duration) -> bool {
        !most.is_zero() && (self.is_late(now, Duration::ZERO, most) || self.is_long(now, most))
    }

    /// Whether it is an overload, and who is the last in line now would wait for too long. Those who were answered so far tell only how long the line was when
    /// they came. Where they hardly waited, the overload does not go on for that: a disk may hold those up who stand in line.
    pub fn is_long(&self, now: Instant, most: Duration) -> bool {
        let line = u64::try_from(self.line.load(Ordering::Relaxed)).unwrap_or(0);
        let expected = line.saturating_mul(self.pace.load(Ordering::Relaxed)) / 1000;
        let (at, most) = (self.at(now), micros(most));
        let is_long = self.is_overload(at) && expected > most;
        if is_long && self.wait.load(Ordering::Relaxed) > most / 2 {
            self.go_on(at);
        }
        is_long
    }

    /// Whether it is an overload, and one waited for too long or would do so: as long as the one that was seen last, but for the time since
    /// then, in which nobody may have come.
    fn is_late(&self, now: Instant, waited: Duration, most: Duration) -> bool {
        let at = self.at(now);
        if !self.is_overload(at) {
            return false;
        }
        let since = at.saturating_sub(self.seen.load(Ordering::Relaxed));
        let expected = self.wait.load(Ordering::Relaxed).saturating_sub(since);
        let is_late = micros(waited).max(expected) > micros(most);
        if is_late {
            self.go_on(at);
        }
        is_late
    }

    fn be_late(&self, at: u64, waited: Duration) {
        self.late_since.store(at, Ordering::Relaxed);
        self.late_from.store(micros(waited), Ordering::Relaxed);
    }

    fn keep_pace(&self, at: u64) {
        let last = at.saturating_sub(self.seen.load(Ordering::Relaxed)).min(micros(WINDOW)) * 1000;
        let pace = self.pace.load(Ordering::Relaxed);
        self.pace.store(pace - pace / PACES + last / PACES, Ordering::Relaxed);
    }

    fn see(&self, at: u64, waited: Duration) {
        self.wait.store(micros(waited), Ordering::Relaxed);
        self.seen.store(at, Ordering::Relaxed);
    }

    fn is_overload(&self, at: u64) -> bool {
        at < self.overload_until.load(Ordering::Relaxed)
    }

    fn go_on(&self, at: u64) {
        self.overload_until.store(at + micros(CALM), Ordering::Relaxed);
    }

    fn at(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.made))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(20);

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Somebody has its turn each millisecond, of a span since the pressure was made, after waiting for what `wait` says.
    fn pass(pressure: &Pressure, span: std::ops::Range<u64>, wait: impl Fn(u64) -> u64) {
        span.for_each(|at| pressure.note(pressure.made + ms(at), ms(wait(at)), MOST));
    }

    fn turned_away_of_100(pressure: &Pressure, at: u64, wait: u64) -> usize {
        (0..100).filter(|_| pressure.turns_away(pressure.made + ms(at), ms(wait), MOST)).count()
    }

    #[test]
    fn only_once_all_waited_too_long_for_a_while_those_are_turned_away_who_did() {
        let pressure = Pressure::default();
        pass(&pressure, 0..250, |_| 50);
        assert_eq!(turned_away_of_100(&pressure, 249, 50), 0, "not yet");
        pass(&pressure, 250..251, |_| 50);
        assert_eq!(turned_away_of_100(&pressure, 250, 50), 75, "one of four is answered");
        assert_eq!(turned_away_of_100(&pressure, 281, 20), 0, "who waited for no longer than it should");
        assert!(!pressure.turns_away(pressure.made + ms(250), ms(50), Duration::ZERO), "switched off");
    }

    #[test]
    fn a_pause_of_the_machine_or_a_burst_is_no_overload() {
        let pressure = Pressure::default();
        pass(&pressure, 0..245, |_| 150);
        pass(&pressure, 245..250, |_| 0);
        pass(&pressure, 250..495, |_| 150);
        assert_eq!(turned_away_of_100(&pressure, 495, 150), 0);
        // What came in 150 ms, of which the kernel told then, is answered while more comes: it takes a second.
        let pressure = Pressure::default();
        pass(&pressure, 0..1000, |at| if at < 130 { at } else { 149 - at * 15 / 100 });
        assert_eq!(turned_away_of_100(&pressure, 999, 150), 0);
    }

    #[test]
    fn an_overload_goes_on_while_some_are_turned_away_and_then_for_a_second() {
        let pressure = Pressure::default();
        pass(&pressure, 0..251, |_| 50);
        // Waits are short again since others were turned away.
        pass(&pressure, 251..1000, |_| 10);
        assert_eq!(turned_away_of_100(&pressure, 1000, 21), 75);
        pass(&pressure, 1000..1999, |_| 10);
        assert_eq!(turned_away_of_100(&pressure, 1999, 21), 75);
        assert_eq!(turned_away_of_100(&pressure, 2999, 21), 0, "it is over");
    }

    #[test]
    fn a_connection_is_not_taken_while_it_would_have_to_wait_too_long() {
        let pressure = Pressure::default();
        let turns_away = |at: u64, most| pressure.turns_arrival_away(pressure.made + ms(at), most);
        pass(&pressure, 0..250, |_| 50);
        assert!(!turns_away(250, MOST), "it is no overload yet");
        pass(&pressure, 250..251, |_| 50);
        assert!(turns_away(250, MOST) && turns_away(279, MOST) && !turns_away(279, Duration::ZERO));
        assert!(!turns_away(280, MOST), "meanwhile those before it had their turn");
        pass(&pressure, 280..281, |_| 20);
        assert!(!turns_away(280, MOST));
    }

    #[test]
    fn in_an_overload_no_more_stand_in_line_than_can_be_answered_in_time() {
        let pressure = Pressure::default();
        let is_long = |at: u64| pressure.is_long(pressure.made + ms(at), MOST);
        let line: Vec<InLine<'_>> = (0..50).map(|_| pressure.stand_in_line()).collect();
        pass(&pressure, 0..250, |_| 50);
        assert!(!is_long(249), "it is no overload yet");
        pass(&pressure, 250..350, |at| if at == 250 { 50 } else { 15 });
        assert!(is_long(350), "fifty wait, and one is answered each millisecond");
        assert!(pressure.turns_arrival_away(pressure.made + ms(350), MOST));
        drop(line);
        assert!(!is_long(350));
        assert!(!is_long(1350), "it is over");
    }

    #[test]
    fn who_waits_for_a_disk_does_not_make_an_overload_go_on() {
        let pressure = Pressure::default();
        pass(&pressure, 0..251, |_| 50);
        let _line: Vec<InLine<'_>> = (0..50).map(|_| pressure.stand_in_line()).collect();
        pass(&pressure, 251..1240, |_| 1);
        let is_long = |at: u64| pressure.is_long(pressure.made + ms(at), MOST);
        assert!(is_long(1249));
        assert!(!is_long(1251), "the others hardly wait");
    }
}
