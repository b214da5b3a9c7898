//! The rules of the contract, on both implementations: what a test sees on the fake is what a node sees with containerd.

mod node;

use std::time::Duration;

use node::{BUSYBOX, Node, soon, words};
use runtime::types::*;
use runtime::{Error, FakeRuntime, Result, Runtime, StreamOptions};

#[tokio::test(flavor = "multi_thread")]
async fn containerd_keeps_the_rules() {
    let node = Node::start().await;
    let sandbox = node.sandbox("conformance");
    soon(rules(&node.cri, &sandbox, &node.container("web", "sleep 1000"))).await;
}

#[tokio::test]
async fn the_fake_keeps_the_rules() {
    let fake = FakeRuntime::new();
    fake.add_image(BUSYBOX);
    let metadata = SandboxMetadata { name: "a".into(), uid: "u".into(), namespace: "default".into(), attempt: 0 };
    let sandbox = SandboxSpec { metadata, log_directory: "/logs".into(), ..SandboxSpec::default() };
    let container = ContainerSpec {
        metadata: ContainerMetadata { name: "web".into(), attempt: 0 },
        image: BUSYBOX.into(),
        log_path: "web.log".into(),
        ..ContainerSpec::default()
    };
    soon(rules(&fake, &sandbox, &container)).await;
}

fn kind<T: std::fmt::Debug>(result: &Result<T>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::NotFound(_)) => "not found",
        Err(Error::AlreadyExists(_)) => "already exists",
        Err(Error::InvalidState(_)) => "invalid state",
        Err(_) => "other",
    }
}

/// Checks the answer to one call.
macro_rules! check {
    ($call:expr, $expect:literal) => {{
        let result = $call.await;
        assert_eq!(kind(&result), $expect, "{}: {result:?}", stringify!($call));
        result
    }};
}

async fn rules(runtime: &dyn Runtime, sandbox: &SandboxSpec, container: &ContainerSpec) {
    let streams = StreamOptions { stdout: true, ..StreamOptions::default() };
    let command = words("true");
    let unset = Resources { cpu_shares: 128, ..Resources::default() };

    // Nothing is there yet.
    check!(runtime.sandbox_status("absent"), "not found").unwrap_err();
    check!(runtime.container_status("absent"), "not found").unwrap_err();
    check!(runtime.start_container("absent"), "not found").unwrap_err();
    check!(runtime.exec_sync("absent", &command, None), "not found").unwrap_err();
    check!(runtime.exec("absent", &command, streams), "not found").unwrap_err();
    check!(runtime.attach("absent", streams), "not found").unwrap_err();
    check!(runtime.port_forward("absent", 80), "not found").unwrap_err();
    check!(runtime.reopen_log("absent"), "not found").unwrap_err();
    check!(runtime.update_resources("absent", &unset), "not found").unwrap_err();
    check!(runtime.create_container("absent", container, sandbox), "not found").unwrap_err();
    check!(runtime.stop_container("absent", Duration::ZERO), "ok").unwrap();
    check!(runtime.remove_container("absent"), "ok").unwrap();
    check!(runtime.stop_sandbox("absent"), "ok").unwrap();
    check!(runtime.remove_sandbox("absent"), "ok").unwrap();
    check!(runtime.remove_image("docker.io/library/absent:1"), "ok").unwrap();
    assert_eq!(runtime.image_status("docker.io/library/absent:1").await.unwrap(), None);

    let pod = check!(runtime.run_sandbox(sandbox), "ok").unwrap();
    check!(runtime.run_sandbox(sandbox), "already exists").unwrap_err();
    let other_image = ContainerSpec { image: "docker.io/library/absent:1".into(), ..container.clone() };
    check!(runtime.create_container(&pod, &other_image, sandbox), "not found").unwrap_err();
    let web = check!(runtime.create_container(&pod, container, sandbox), "ok").unwrap();
    check!(runtime.create_container(&pod, container, sandbox), "already exists").unwrap_err();

    // Made, not started.
    let status = runtime.container_status(&web).await.unwrap();
    assert_eq!((status.state, status.started_at, status.finished_at), (ContainerState::Created, None, None));
    assert_eq!(status.log_path, sandbox.log_directory.join(&container.log_path));
    check!(runtime.exec_sync(&web, &command, None), "invalid state").unwrap_err();
    check!(runtime.reopen_log(&web), "invalid state").unwrap_err();
    check!(runtime.start_container(&web), "ok").unwrap();
    check!(runtime.start_container(&web), "invalid state").unwrap_err();

    // Running.
    let of_pod = ContainerFilter { sandbox_id: Some(pod.clone()), ..ContainerFilter::default() };
    let listed = runtime.list_containers(&of_pod).await.unwrap();
    assert_eq!((listed.len(), &listed[0].id, listed[0].state), (1, &web, ContainerState::Running));
    assert_eq!(listed[0].metadata, container.metadata);
    check!(runtime.exec_sync(&web, &command, None), "ok").unwrap();
    check!(runtime.update_resources(&web, &unset), "ok").unwrap();
    check!(runtime.reopen_log(&web), "ok").unwrap();
    check!(runtime.container_stats(&web), "ok").unwrap();
    check!(runtime.sandbox_stats(&pod), "ok").unwrap();

    // Stopped.
    check!(runtime.stop_container(&web, Duration::ZERO), "ok").unwrap();
    check!(runtime.stop_container(&web, Duration::ZERO), "ok").unwrap();
    let status = runtime.container_status(&web).await.unwrap();
    assert_eq!((status.state, status.exit_code, status.reason.as_str()), (ContainerState::Exited, 137, "Error"));
    check!(runtime.start_container(&web), "invalid state").unwrap_err();
    check!(runtime.exec(&web, &command, streams), "invalid state").unwrap_err();
    check!(runtime.attach(&web, streams), "invalid state").unwrap_err();

    // The sandbox goes, its containers with it.
    check!(runtime.stop_sandbox(&pod), "ok").unwrap();
    check!(runtime.stop_sandbox(&pod), "ok").unwrap();
    let late = ContainerSpec { metadata: ContainerMetadata { name: "late".into(), attempt: 0 }, ..container.clone() };
    // containerd 2 notices only when the container is to be started.
    let late = match runtime.create_container(&pod, &late, sandbox).await {
        Ok(id) => runtime.start_container(&id).await,
        Err(error) => Err(error),
    };
    assert_eq!(kind(&late), "invalid state", "{late:?}");
    check!(runtime.port_forward(&pod, 80), "invalid state").unwrap_err();
    assert_eq!(runtime.sandbox_status(&pod).await.unwrap().sandbox.state, SandboxState::NotReady);
    check!(runtime.remove_sandbox(&pod), "ok").unwrap();
    check!(runtime.container_status(&web), "not found").unwrap_err();
    check!(runtime.sandbox_status(&pod), "not found").unwrap_err();
    // The name is free again.
    let again = check!(runtime.run_sandbox(sandbox), "ok").unwrap();
    assert_ne!(again, pod);
    check!(runtime.remove_sandbox(&again), "ok").unwrap();
}
