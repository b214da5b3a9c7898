use std::io::Write;

use tokio::sync::mpsc;

use super::entry;
use super::read::{Options, send};

#[test]
fn lines_are_parsed() {
    let check = |line: &str, expect: Option<(bool, bool, &str)>| {
        let parsed = entry::parse(line.as_bytes());
        assert_eq!(parsed.map(|e| (e.is_stderr, e.partial, std::str::from_utf8(e.text).unwrap())), expect, "{line:?}");
    };
    check("2026-01-02T03:04:05.000000006Z stdout F hello world\n", Some((false, false, "hello world")));
    check("2026-01-02T03:04:05.000000006Z stderr P half", Some((true, true, "half")));
    check("2026-01-02T03:04:05.000000006Z stdout F \n", Some((false, false, "")));
    check("2026-01-02T03:04:05.000000006Z stdout F\n", Some((false, false, "")));
    check("2026-01-02T03:04:05.000000006Z elsewhere F x\n", None);
    check("garbage\n", None);
}

fn line(second: u32, rest: &str) -> String {
    format!("2026-01-02T03:04:{second:02}.000000000Z {rest}\n")
}

async fn read_with(log: &std::path::Path, options: Options) -> String {
    let (sender, mut receiver) = mpsc::channel(100);
    let log = log.to_owned();
    tokio::task::spawn_blocking(move || send(log, options, || false, sender)).await.unwrap().unwrap();
    let mut all = Vec::new();
    while let Some(bytes) = receiver.recv().await {
        all.extend_from_slice(&bytes);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn logs_come_as_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("0.log");
    std::fs::write(dir.path().join("0.log.20260101-000000"), line(0, "stdout F older")).unwrap();
    let text =
        [line(1, "stdout F one"), line(2, "stdout P tw"), line(2, "stdout F o"), line(3, "stderr F err")].concat();
    std::fs::write(&log, text).unwrap();
    let check = async |options: Options, expect: &str| {
        assert_eq!(read_with(&log, options.clone()).await, expect, "{options:?}")
    };
    check(Options::default(), "one\ntwo\nerr\n").await;
    check(Options { tail_lines: Some(1), ..Options::default() }, "err\n").await;
    check(Options { tail_lines: Some(0), ..Options::default() }, "").await;
    check(Options { tail_lines: Some(5), ..Options::default() }, "older\none\ntwo\nerr\n").await;
    check(Options { stderr: Some(false), ..Options::default() }, "one\ntwo\n").await;
    check(Options { limit_bytes: Some(5), ..Options::default() }, "one\nt").await;
    check(Options { since: Some("2026-01-02T03:04:03Z".parse().unwrap()), ..Options::default() }, "err\n").await;
    let stamped = "2026-01-02T03:04:02.000000000Z two\n2026-01-02T03:04:03.000000000Z err\n";
    check(Options { timestamps: true, tail_lines: Some(3), ..Options::default() }, stamped).await;
}

#[tokio::test]
async fn a_follower_survives_rotation_and_ends_with_the_container() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("0.log");
    std::fs::write(&log, line(1, "stdout F one")).unwrap();
    let (sender, mut receiver) = mpsc::channel(100);
    let alive = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (path, running) = (log.clone(), alive.clone());
    let options = Options { follow: true, ..Options::default() };
    let reader = tokio::task::spawn_blocking(move || {
        send(path, options, move || running.load(std::sync::atomic::Ordering::SeqCst), sender)
    });
    assert_eq!(receiver.recv().await.unwrap(), "one\n");
    // A line in two pieces comes whole.
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    let whole = line(2, "stdout F two");
    file.write_all(&whole.as_bytes()[..40]).unwrap();
    file.write_all(&whole.as_bytes()[40..]).unwrap();
    assert_eq!(receiver.recv().await.unwrap(), "two\n");
    super::rotate::rename(&log, 5).unwrap();
    std::fs::write(&log, line(3, "stdout F three")).unwrap();
    assert_eq!(receiver.recv().await.unwrap(), "three\n");
    alive.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(receiver.recv().await.is_none());
    reader.await.unwrap().unwrap();
}
