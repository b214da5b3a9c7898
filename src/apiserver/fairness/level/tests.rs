//! Levels under contention, by the clock of the test.

use super::*;

fn told() -> Told {
    Told {
        schema: "s".into(),
        distinguisher: String::new(),
        arrived: jiff::Timestamp::UNIX_EPOCH,
        lingering: Duration::ZERO,
        details: Default::default(),
    }
}

fn level(seats: u64, response: Response) -> Arc<Level> {
    Level::new("l", response, Limits { nominal: seats, lower: seats, upper: seats })
}

fn queue(length_limit: usize) -> Response {
    Response::Queue(Queuing { queues: 4, hand_size: 1, length_limit })
}

const ONE: Work = Work { seats: 1, lingering: Duration::ZERO };

async fn seats(level: &Arc<Level>, work: Work, hash: u64, wait: u64) -> Result<Seats, Refusal> {
    let deadline = Instant::now() + Duration::from_secs(wait);
    match level.try_seats(work, false) {
        Some(seats) => Ok(seats),
        None => level.seats(work, hash, deadline, told, |_| {}).await,
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_seat_and_no_longer_than_it_may() {
    let level = level(1, queue(10));
    let first = seats(&level, ONE, 0, 1).await.unwrap();
    assert_eq!(seats(&level, ONE, 0, 1).await.unwrap_err(), Refusal::TimedOut);
    let waiting = tokio::spawn({
        let level = level.clone();
        async move { seats(&level, ONE, 0, 60).await.map(drop) }
    });
    while level.numbers().waiting == 0 {
        tokio::task::yield_now().await;
    }
    drop(first);
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert!(level.is_idle());
    assert_eq!(level.taken.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_level_without_queues_refuses_at_once() {
    let level = level(1, Response::Reject);
    let _first = seats(&level, ONE, 0, 60).await.unwrap();
    assert_eq!(seats(&level, ONE, 0, 60).await.unwrap_err(), Refusal::NoSeat);
}

#[tokio::test(start_paused = true)]
async fn without_seats_requests_are_let_in_one_by_one_and_wait_where_they_can() {
    let rejecting = level(0, Response::Reject);
    let first = seats(&rejecting, ONE, 0, 60).await.unwrap();
    assert_eq!(seats(&rejecting, ONE, 0, 60).await.unwrap_err(), Refusal::NoSeat);
    drop(first);
    drop(seats(&rejecting, ONE, 0, 60).await.unwrap());
    assert_eq!(seats(&level(0, queue(10)), ONE, 0, 60).await.unwrap_err(), Refusal::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let level = level(1, queue(1));
    let _first = seats(&level, ONE, 0, 60).await.unwrap();
    let second = seats(&level, ONE, 0, 60);
    let mut second = Box::pin(second);
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(seats(&level, ONE, 0, 60).await.unwrap_err(), Refusal::QueueFull);
}

#[tokio::test(start_paused = true)]
async fn clients_that_go_away_leave_their_place() {
    let level = level(1, queue(10));
    let first = seats(&level, ONE, 0, 60).await.unwrap();
    for _ in 0..3 {
        let mut gone = Box::pin(seats(&level, ONE, 0, 60));
        assert!(futures::poll!(&mut gone).is_pending());
    }
    assert_eq!((level.numbers().waiting, level.numbers().cancelled), (0, 3));
    // One that goes away in the moment it is served gives its seat back.
    let mut served = Box::pin(seats(&level, ONE, 0, 60));
    assert!(futures::poll!(&mut served).is_pending());
    drop(first);
    drop(served);
    assert_eq!(level.taken.load(Ordering::SeqCst), 0);
    assert!(level.is_idle());
}

#[tokio::test(start_paused = true)]
async fn lingering_seats_come_back_by_themselves() {
    let level = level(2, queue(10));
    let linger = Work { seats: 2, lingering: Duration::from_millis(50) };
    drop(seats(&level, linger, 0, 60).await.unwrap());
    let began = Instant::now();
    drop(seats(&level, ONE, 0, 60).await.unwrap());
    assert_eq!(began.elapsed().as_millis() / 10, 5);
}

#[tokio::test(start_paused = true)]
async fn more_seats_serve_whoever_waits() {
    let level = level(1, queue(10));
    let _first = seats(&level, ONE, 0, 60).await.unwrap();
    let mut second = Box::pin(seats(&level, ONE, 0, 60));
    assert!(futures::poll!(&mut second).is_pending());
    level.set_limit(2);
    assert!(second.await.is_ok());
    let (_, highest, _) = level.take_demand();
    assert_eq!(highest, 2);
}

#[tokio::test]
async fn no_seat_is_lost_or_taken_twice_in_a_crowd() {
    let level = level(3, queue(1000));
    let sitting = Arc::new(AtomicUsize::new(0));
    let crowd = (0..200_u64).map(|n| {
        let (level, sitting) = (level.clone(), sitting.clone());
        tokio::spawn(async move {
            let taken = seats(&level, Work { seats: 1 + n % 2, lingering: Duration::ZERO }, n, 60).await.unwrap();
            assert!(sitting.fetch_add(1, Ordering::SeqCst) < 3);
            tokio::task::yield_now().await;
            sitting.fetch_sub(1, Ordering::SeqCst);
            drop(taken);
        })
    });
    for one in crowd.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert!(level.is_idle());
    assert_eq!((level.taken.load(Ordering::SeqCst), level.numbers().dispatched), (0, 200));
}
