use super::*;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A line and a server, on which requests take time; nothing waits for it.
#[derive(Debug, Clone, Copy)]
struct Line {
    round_trip_ms: u64,
    /// Requests that the server answers in a second, however many are under way.
    capacity: u64,
    /// Bytes of each request.
    bytes: u64,
    /// Bytes a second that one connection carries.
    connection: u64,
    /// The server turns away what comes while so many are under way, until that moment.
    throttles: Option<(usize, u64)>,
}

const LONG: Line = Line { round_trip_ms: 60, capacity: 3000, bytes: 4 << 10, connection: 40_000_000, throttles: None };

/// What came of a simulated run.
#[derive(Debug)]
struct Course {
    seconds: f64,
    turned_away: usize,
    /// The limit after each answer.
    limits: Vec<usize>,
}

impl Course {
    fn last(&self) -> usize {
        *self.limits.last().unwrap()
    }

    fn most(&self) -> usize {
        *self.limits.iter().max().unwrap()
    }
}

impl Line {
    /// Sends so many requests, each until it is accepted; one that is turned away comes again 150 ms later.
    fn send(self, concurrency: Concurrency, requests: usize) -> Course {
        let micros = Duration::from_micros;
        let mut controller = Controller::new(concurrency, 1000);
        let mut events = BinaryHeap::new();
        let (mut waiting, mut again, mut accepted) = (requests, 0, 0);
        let (mut now, mut server_free, mut connections) = (0, 0, 0);
        let (mut in_server, mut course) = (0, Course { seconds: 0.0, turned_away: 0, limits: Vec::new() });
        while accepted < requests {
            while controller.under_way < controller.limit() && waiting > 0 {
                waiting -= 1;
                controller.begin(micros(now));
                let connects = u64::from(controller.under_way > connections) * self.round_trip_ms * 1000;
                connections = connections.max(controller.under_way);
                let arrives = now + connects + self.round_trip_ms * 500;
                let is_throttling = self.throttles.is_some_and(|(_, until)| now < until * 1000);
                if is_throttling && in_server >= self.throttles.unwrap().0 {
                    events.push(Reverse((arrives + self.round_trip_ms * 500, false, now)));
                } else {
                    in_server += 1;
                    let carried = arrives + self.bytes * 1_000_000 / self.connection;
                    server_free = carried.max(server_free + 1_000_000 / self.capacity);
                    events.push(Reverse((server_free + self.round_trip_ms * 500, true, now)));
                }
            }
            let Some(Reverse((time, is_accepted, began))) = events.pop() else { panic!("nothing is under way") };
            now = time;
            if began == u64::MAX {
                (waiting, again) = (waiting + 1, again - 1);
                continue;
            }
            if is_accepted {
                (accepted, in_server) = (accepted + 1, in_server - 1);
                controller.answered(self.bytes, micros(now));
            } else {
                course.turned_away += 1;
                controller.overtaxed(micros(began), micros(now));
                events.push(Reverse((now + 150_000, false, u64::MAX)));
                again += 1;
            }
            controller.end();
            course.limits.push(controller.limit());
        }
        assert_eq!((waiting, again), (0, 0));
        course.seconds = now as f64 / 1e6;
        course
    }
}

/// A controller of `limit` requests that are all under way at second 1.
fn full(limit: usize) -> Controller {
    let mut controller = Controller { limit, ..Controller::new(Concurrency::Auto, 1000) };
    (0..limit).for_each(|_| controller.begin(Duration::from_secs(1)));
    controller
}

/// A round of a controller all of whose requests are under way: each is answered and followed by another.
fn round(controller: &mut Controller, began_ms: u64, ended_ms: u64) {
    let (began, ended) = (Duration::from_millis(began_ms), Duration::from_millis(ended_ms));
    controller.round.began = began;
    for _ in 0..controller.limit {
        controller.answered(0, ended);
        controller.end();
        controller.begin(ended);
    }
    while controller.under_way < controller.limit {
        controller.begin(ended);
    }
}

#[test]
fn it_begins_with_sixteen_or_as_told_and_never_exceeds_what_the_process_can_open() {
    let at_start = |concurrency, most| Controller::new(concurrency, most).limit();
    assert_eq!([Concurrency::Auto, Concurrency::Fixed(5)].map(|it| at_start(it, 1000)), [16, 5]);
    assert_eq!([Concurrency::Auto, Concurrency::Fixed(50)].map(|it| at_start(it, 7)), [7, 7]);
}

#[test]
fn a_round_that_brings_more_allows_twice_as_many_and_two_that_do_not_end_the_climb() {
    let mut controller = full(16);
    let mut limits = Vec::new();
    // A round trip of 60 ms up to 64 requests; beyond, twice as many take twice as long.
    for (began, ended) in [(1000, 1060), (1060, 1120), (1120, 1180), (1180, 1300), (1300, 1420)] {
        round(&mut controller, began, ended);
        limits.push(controller.limit());
    }
    assert_eq!(limits, [32, 64, 128, 128, 64]);
}

#[test]
fn rounds_without_work_for_all_decide_nothing() {
    let mut controller = Controller::new(Concurrency::Auto, 1000);
    for ms in 1..1000 {
        controller.begin(Duration::from_millis(ms));
        controller.answered(100, Duration::from_millis(ms + 1));
        controller.end();
    }
    assert_eq!(controller.limit(), 16);
}

#[test]
fn a_server_that_has_too_many_halves_them_once_for_all_that_were_sent_before() {
    let mut controller = full(40);
    let (began, now) = (Duration::from_secs(1), Duration::from_secs(2));
    (0..10).for_each(|_| controller.overtaxed(began, now));
    assert_eq!(controller.limit(), 20);
    controller.overtaxed(now + Duration::from_millis(1), now + Duration::from_millis(2));
    assert_eq!(controller.limit(), 10);
}

#[test]
fn what_is_under_way_is_halved_where_that_is_less_and_one_always_remains() {
    let mut controller = Controller { limit: 256, ..Controller::new(Concurrency::Auto, 1000) };
    let began = Duration::from_secs(1);
    controller.begin(began);
    controller.overtaxed(began, began);
    assert_eq!(controller.limit(), 1);
}

#[test]
fn a_number_that_was_asked_for_stays() {
    let mut controller = Controller::new(Concurrency::Fixed(16), 1000);
    (0..16).for_each(|_| controller.begin(Duration::ZERO));
    round(&mut controller, 0, 60);
    controller.overtaxed(Duration::from_secs(1), Duration::from_secs(1));
    assert_eq!(controller.limit(), 16);
}

#[test]
fn small_objects_fill_a_long_way() {
    for round_trip_ms in [20, 60, 150] {
        let line = Line { round_trip_ms, ..LONG };
        let (auto, most) = (line.send(Concurrency::Auto, 3000), line.send(Concurrency::Fixed(256), 3000));
        let climb = 10.0 * round_trip_ms as f64 / 1e3;
        assert!(auto.seconds < most.seconds + climb + 0.1, "{round_trip_ms} ms: {} {}", auto.seconds, most.seconds);
    }
    assert_eq!(LONG.send(Concurrency::Auto, 5000).most(), 256);
}

#[test]
fn what_brings_no_more_is_given_up_again() {
    let near = Line { round_trip_ms: 1, ..LONG };
    let course = near.send(Concurrency::Auto, 20_000);
    assert!(course.last() <= 64 && course.seconds < 6.8, "{} {}", course.last(), course.seconds);
}

#[test]
fn large_bodies_over_a_thin_line_stay_few() {
    let thin = Line { capacity: 10, bytes: 8 << 20, ..LONG };
    let course = thin.send(Concurrency::Auto, 500);
    assert!(course.last() <= 32, "{}", course.last());
}

#[test]
fn a_server_that_throttles_costs_little_time_and_few_requests() {
    for most in [4, 16, 32, 100] {
        let line = Line { throttles: Some((most, u64::MAX / 1000)), ..LONG };
        let (auto, told) = (line.send(Concurrency::Auto, 6000), line.send(Concurrency::Fixed(most), 6000));
        assert!(auto.seconds < 1.2 * told.seconds, "{most}: {} {}", auto.seconds, told.seconds);
        assert!(auto.turned_away < 300, "{most}: {}", auto.turned_away);
    }
}

#[test]
fn it_grows_again_when_the_server_has_room_again() {
    let line = Line { throttles: Some((8, 2000)), ..LONG };
    let course = line.send(Concurrency::Auto, 20_000);
    assert!(course.limits[..200].iter().min() < Some(&9) && course.most() > 64, "{} {}", course.most(), course.seconds);
}
