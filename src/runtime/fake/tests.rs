//! The rules a runtime keeps, checked on the fake.

use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{FakeRuntime, Program};
use crate::types::*;
use crate::{Error, Runtime, SessionEnd, StreamOptions, TerminalSize};

fn sandbox(name: &str) -> SandboxSpec {
    SandboxSpec {
        metadata: SandboxMetadata { name: name.into(), uid: name.into(), namespace: "default".into(), attempt: 0 },
        log_directory: "/var/log/pods/x".into(),
        ..SandboxSpec::default()
    }
}

fn container(name: &str) -> ContainerSpec {
    ContainerSpec {
        metadata: ContainerMetadata { name: name.into(), attempt: 0 },
        image: "busybox:1".into(),
        log_path: "web/0.log".into(),
        labels: Map::from([("name".into(), name.into())]),
        ..ContainerSpec::default()
    }
}

/// A runtime with one running container: runtime, sandbox id, container id.
async fn running(program: Program) -> (FakeRuntime, String, String) {
    let fake = FakeRuntime::new();
    fake.add_image("busybox:1");
    fake.set_program("busybox:1", program);
    let pod = fake.run_sandbox(&sandbox("a")).await.unwrap();
    let web = fake.create_container(&pod, &container("web"), &sandbox("a")).await.unwrap();
    fake.start_container(&web).await.unwrap();
    (fake, pod, web)
}

#[tokio::test]
async fn steps_out_of_order_are_refused() {
    let (fake, pod, web) = running(Program::default()).await;
    let invalid = |error: Error| assert!(matches!(error, Error::InvalidState(_)), "{error:?}");
    let exists = |error: Error| assert!(matches!(error, Error::AlreadyExists(_)), "{error:?}");
    let missing = |error: Error| assert!(error.is_not_found(), "{error:?}");

    invalid(fake.start_container(&web).await.unwrap_err());
    exists(fake.run_sandbox(&sandbox("a")).await.unwrap_err());
    exists(fake.create_container(&pod, &container("web"), &sandbox("a")).await.unwrap_err());
    missing(fake.create_container("nope", &container("web"), &sandbox("a")).await.unwrap_err());
    let other_image = ContainerSpec { image: "other:1".into(), ..container("x") };
    missing(fake.create_container(&pod, &other_image, &sandbox("a")).await.unwrap_err());

    fake.stop_container(&web, Duration::from_secs(30)).await.unwrap();
    invalid(fake.exec_sync(&web, &[], None).await.unwrap_err());
    invalid(fake.start_container(&web).await.unwrap_err());
    fake.stop_sandbox(&pod).await.unwrap();
    invalid(fake.create_container(&pod, &container("late"), &sandbox("a")).await.unwrap_err());
    fake.remove_container(&web).await.unwrap();
    missing(fake.start_container(&web).await.unwrap_err());
    missing(fake.container_status(&web).await.unwrap_err());
    fake.remove_sandbox(&pod).await.unwrap();
    fake.remove_sandbox(&pod).await.unwrap();
    fake.stop_container(&web, Duration::ZERO).await.unwrap();
    missing(fake.sandbox_status(&pod).await.unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn programs_exit_as_told() {
    let check = async |program: Program, grace: u64, code: i32, took: u64| {
        let (fake, _, web) = running(program).await;
        let start = tokio::time::Instant::now();
        fake.stop_container(&web, Duration::from_secs(grace)).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), took, "{program:?}");
        let status = fake.container_status(&web).await.unwrap();
        assert_eq!((status.state, status.exit_code), (ContainerState::Exited, code), "{program:?}");
    };
    check(Program::default(), 30, 143, 0).await;
    check(Program::default(), 0, 137, 0).await;
    check(Program { ignores_term: true, ..Program::default() }, 30, 137, 30).await;
    check(Program { exits: Some((Duration::from_secs(5), 3)), ignores_term: true }, 30, 3, 5).await;
}

#[tokio::test]
async fn events_tell_the_life_of_a_container() {
    let (fake, pod, web) = running(Program::default()).await;
    let mut events = fake.events();
    fake.exit(&web, 137, true);
    fake.remove_sandbox(&pod).await.unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&(EventKind::Removed, pod.clone())) {
        let event = events.next().await.unwrap();
        seen.push((event.kind, event.id));
    }
    let expect = [
        (EventKind::Resync, String::new()),
        (EventKind::OutOfMemory, web.clone()),
        (EventKind::Exited(137), web.clone()),
        (EventKind::Removed, web),
        (EventKind::Removed, pod),
    ];
    assert_eq!(seen, expect);
}

#[tokio::test]
async fn lists_select_and_statuses_tell_what_was_given() {
    let (fake, pod, web) = running(Program::default()).await;
    let count = async |filter: ContainerFilter| fake.list_containers(&filter).await.unwrap().len();
    assert_eq!(count(ContainerFilter::default()).await, 1);
    assert_eq!(count(ContainerFilter { state: Some(ContainerState::Exited), ..Default::default() }).await, 0);
    assert_eq!(
        count(ContainerFilter { labels: Map::from([("name".into(), "web".into())]), ..Default::default() }).await,
        1
    );
    assert_eq!(count(ContainerFilter { sandbox_id: Some("other".into()), ..Default::default() }).await, 0);
    let status = fake.container_status(&web).await.unwrap();
    assert_eq!(status.log_path.to_str(), Some("/var/log/pods/x/web/0.log"));
    assert!(status.image_ref.starts_with("busybox@sha256:"), "{}", status.image_ref);
    let limits = Resources { memory_limit: 5, ..Resources::default() };
    fake.update_resources(&web, &limits).await.unwrap();
    assert_eq!(fake.container_status(&web).await.unwrap().resources, Some(limits));
    assert_eq!(fake.sandbox_status(&pod).await.unwrap().ips.len(), 1);
}

#[tokio::test]
async fn failures_are_injected_and_counted_down() {
    let fake = FakeRuntime::new();
    fake.fail("pull_image", 1, || Error::Unavailable("injected".into()));
    fake.add_to_registry("busybox:1");
    assert!(fake.pull_image("busybox:1", None, None).await.unwrap_err().is_transient());
    let id = fake.pull_image("busybox:1", None, None).await.unwrap();
    assert_eq!(fake.image_status("busybox:1").await.unwrap().unwrap().id, id);
    assert!(fake.pull_image("absent:1", None, None).await.unwrap_err().is_not_found());
    assert_eq!(
        fake.calls(),
        ["pull_image busybox:1", "pull_image busybox:1", "image_status busybox:1", "pull_image absent:1"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_that_takes_too_long_is_given_up() {
    let (fake, _, web) = running(Program::default()).await;
    fake.delay("exec_sync", Duration::from_secs(10));
    let error = fake.exec_sync(&web, &[], Some(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
}

#[tokio::test]
async fn sessions_echo_or_say_what_the_handler_says() {
    let (fake, _, web) = running(Program::default()).await;
    let all = StreamOptions { stdin: true, stdout: true, stderr: true, tty: false };
    let mut session = fake.exec(&web, &["cat".into()], all).await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    let mut text = String::new();
    session.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
    assert_eq!(session.status.await.unwrap(), SessionEnd::Exited(0));

    fake.on_exec(|_, command| ExecOutput {
        stderr: command.join(" ").into_bytes(),
        exit_code: 9,
        ..ExecOutput::default()
    });
    let mut session = fake.exec(&web, &["a".into(), "b".into()], all).await.unwrap();
    let mut text = String::new();
    session.stderr.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "a b");
    assert_eq!(session.status.await.unwrap(), SessionEnd::Exited(9));

    let session = fake.attach(&web, StreamOptions { tty: true, ..all }).await.unwrap();
    let size = TerminalSize { width: 80, height: 25 };
    session.resize.unwrap().send(size).await.unwrap();
    fake.exit(&web, 4, false);
    assert_eq!(session.status.await.unwrap(), SessionEnd::Exited(4));
    while fake.resizes() != [size] {
        tokio::task::yield_now().await;
    }
}
