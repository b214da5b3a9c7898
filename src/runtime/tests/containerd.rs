//! The CRI client, live streams and the supervisor against the containerd of this machine. Needs root, containerd, runc and busybox-static.

mod node;

use std::time::Duration;

use futures::StreamExt;
use node::{BUSYBOX, Node, busybox, soon, until, words};
use runtime::containerd::State;
use runtime::images::ImportOptions;
use runtime::types::*;
use runtime::{Error, Runtime, SessionEnd, StreamOptions, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ALL: StreamOptions = StreamOptions { stdin: true, stdout: true, stderr: true, tty: false };

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_lives_and_dies() {
    let node = Node::start().await;
    let cri = &node.cri;
    assert_eq!(cri.version().await.unwrap().runtime_name, "containerd");
    assert_eq!(cri.status().await.unwrap().not_ready, None);
    let mut events = cri.events();
    assert_eq!(soon(events.next()).await.unwrap().kind, EventKind::Resync);

    let sandbox = node.sandbox("a");
    let pod = cri.run_sandbox(&sandbox).await.unwrap();
    let script = "echo out $GREETING; echo err >&2; trap 'echo bye; exit 7' TERM; while true; do sleep 0.1; done";
    let mut spec = node.container("web", script);
    spec.resources = Resources { cpu_shares: 512, memory_limit: 64 << 20, ..Resources::default() };
    let web = node.run(&pod, &sandbox, &spec).await;
    node.logged(&sandbox, "web", "stdout F out hello there").await;
    node.logged(&sandbox, "web", "stderr F err").await;

    let status = cri.sandbox_status(&pod).await.unwrap();
    assert_eq!((status.sandbox.state, status.netns, status.ips.len()), (SandboxState::Ready, None, 0));
    // With the cgroupfs driver a container's cgroup is its id below the pod's, in every hierarchy it is in.
    let cgroups = std::fs::read_to_string(format!("/proc/{}/cgroup", status.pid.unwrap())).unwrap();
    assert!(cgroups.lines().any(|line| line.ends_with(&format!("{}/{pod}", sandbox.cgroup_parent))), "{cgroups}");
    let ready = SandboxFilter { state: Some(SandboxState::Ready), labels: sandbox.labels.clone(), id: None };
    assert_eq!(cri.list_sandboxes(&ready).await.unwrap()[0].metadata, sandbox.metadata);
    let status = cri.container_status(&web).await.unwrap();
    assert_eq!((status.state, status.image.as_str()), (ContainerState::Running, BUSYBOX));
    assert_eq!(status.log_path, sandbox.log_directory.join("web.log"));
    assert!(status.started_at.is_some() && status.finished_at.is_none());
    assert!(matches!(cri.start_container(&web).await, Err(Error::InvalidState(_) | Error::Other(_))));
    assert!(matches!(cri.run_sandbox(&sandbox).await, Err(Error::AlreadyExists(_))));
    assert!(cri.container_status("nope").await.unwrap_err().is_not_found());
    assert!(cri.sandbox_status("nope").await.unwrap_err().is_not_found());

    let resources = Resources { cpu_shares: 256, memory_limit: 32 << 20, ..Resources::default() };
    cri.update_resources(&web, &resources).await.unwrap();
    let stats = cri.container_stats(&web).await.unwrap();
    assert!(stats.cpu.unwrap().usage_core_nano_seconds.unwrap() > 0);
    assert!(stats.memory.unwrap().working_set_bytes.unwrap() > 0);
    assert_eq!(cri.list_container_stats(&ContainerFilter::default()).await.unwrap().len(), 1);
    let stats = cri.sandbox_stats(&pod).await.unwrap();
    assert_eq!((stats.metadata, stats.containers.len()), (sandbox.metadata.clone(), 1));
    assert!(stats.cpu.unwrap().usage_core_nano_seconds.is_some());
    until("disk usage", async || !cri.image_fs_info().await.unwrap().is_empty()).await;

    let log = sandbox.log_directory.join("web.log");
    std::fs::rename(&log, log.with_extension("1")).unwrap();
    cri.reopen_log(&web).await.unwrap();
    cri.stop_container(&web, Duration::from_secs(30)).await.unwrap();
    node.logged(&sandbox, "web", "stdout F bye").await;
    let status = cri.container_status(&web).await.unwrap();
    assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 7));
    assert!(status.finished_at.is_some());
    cri.stop_container(&web, Duration::ZERO).await.unwrap();
    cri.remove_container(&web).await.unwrap();
    cri.remove_container(&web).await.unwrap();
    cri.stop_sandbox(&pod).await.unwrap();
    assert_eq!(cri.sandbox_status(&pod).await.unwrap().sandbox.state, SandboxState::NotReady);
    cri.remove_sandbox(&pod).await.unwrap();
    cri.remove_sandbox(&pod).await.unwrap();
    assert_eq!(cri.list_containers(&ContainerFilter::default()).await.unwrap(), []);

    let mut seen = Vec::new();
    while seen.last() != Some(&(EventKind::Removed, pod.clone())) {
        let event = soon(events.next()).await.unwrap();
        seen.push((event.kind, event.id));
    }
    for expect in [EventKind::Created, EventKind::Started, EventKind::Exited(7), EventKind::Removed] {
        assert!(seen.contains(&(expect, web.clone())), "no {expect:?} of the container in {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_with_and_without_live_streams() {
    let node = Node::start().await;
    let cri = &node.cri;
    let sandbox = node.sandbox("b");
    let pod = cri.run_sandbox(&sandbox).await.unwrap();
    let web = node.run(&pod, &sandbox, &node.container("web", "sleep 1000")).await;

    let run = async |command: &[&str], timeout| {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        cri.exec_sync(&web, &command, timeout).await
    };
    let output = run(&["sh", "-c", "echo out; echo err >&2; exit 3"], None).await.unwrap();
    assert_eq!(output, ExecOutput { stdout: b"out\n".into(), stderr: b"err\n".into(), exit_code: 3 });
    let error = run(&["sleep", "100"], Some(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert!(run(&["no-such-program"], None).await.is_err());
    let large = run(&["head", "-c", "20000000", "/dev/zero"], None).await.unwrap();
    assert_eq!(large.stdout.len(), runtime::EXEC_OUTPUT_LIMIT);

    // stdin is closed half-way: wc answers only then.
    let mut session = cri.exec(&web, &words("wc -c"), ALL).await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    stdin.shutdown().await.unwrap();
    let mut text = String::new();
    soon(session.stdout.take().unwrap().read_to_string(&mut text)).await.unwrap();
    assert_eq!(text.trim(), (1 << 20).to_string());
    assert_eq!(soon(session.status).await.unwrap(), SessionEnd::Exited(0));

    // More output than any window, and stderr apart from it.
    let options = StreamOptions { stdin: false, ..ALL };
    let command = ["sh".into(), "-c".into(), "head -c 3000000 /dev/zero; echo e >&2; exit 42".into()];
    let mut session = cri.exec(&web, &command, options).await.unwrap();
    let (mut out, mut err) = (Vec::new(), String::new());
    let (mut stdout, mut stderr) = (session.stdout.take().unwrap(), session.stderr.take().unwrap());
    let read = soon(async { tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_string(&mut err)) }).await;
    assert_eq!((read.0.unwrap(), err.as_str()), (3_000_000, "e\n"));
    assert_eq!(soon(session.status).await.unwrap(), SessionEnd::Exited(42));

    // A terminal, its size, and an end that comes from inside.
    let tty = StreamOptions { tty: true, ..ALL };
    let mut session = cri.exec(&web, &words("sh"), tty).await.unwrap();
    assert!(session.stderr.is_none());
    session.resize.as_ref().unwrap().send(TerminalSize { width: 97, height: 31 }).await.unwrap();
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    let mut text = String::new();
    let mut asked = 0;
    while !text.contains("31 97") {
        // The size may arrive after the question.
        assert!(asked < 200, "{text}");
        asked += 1;
        stdin.write_all(b"stty size\n").await.unwrap();
        let mut piece = [0; 4096];
        let n = soon(stdout.read(&mut piece)).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    stdin.write_all(b"exit 5\n").await.unwrap();
    let (rest, end) = soon(async { tokio::join!(stdout.read_to_string(&mut text), session.status) }).await;
    rest.unwrap();
    assert_eq!(end.unwrap(), SessionEnd::Exited(5));

    let session = cri.exec(&web, &words("no-such-program"), options).await.unwrap();
    assert!(
        matches!(soon(session.status).await.unwrap(), SessionEnd::Failed(text) if text.contains("no-such-program"))
    );
    assert!(cri.exec("nope", &words("true"), options).await.unwrap_err().is_not_found());
    cri.stop_container(&web, Duration::ZERO).await.unwrap();
    assert!(cri.exec(&web, &words("true"), options).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_and_port_forward_reach_into_the_pod() {
    let node = Node::start().await;
    let cri = &node.cri;
    let sandbox = node.sandbox("c");
    let pod = cri.run_sandbox(&sandbox).await.unwrap();
    let mut spec = node.container("cat", "while read line; do echo got $line; done; exit 4");
    (spec.stdin, spec.stdin_once) = (true, true);
    let cat = node.run(&pod, &sandbox, &spec).await;
    let mut session = cri.attach(&cat, ALL).await.unwrap();
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    stdin.write_all(b"one\n").await.unwrap();
    let mut answer = [0; 8];
    soon(stdout.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"got one\n");
    node.logged(&sandbox, "cat", "stdout F got one").await;
    stdin.shutdown().await.unwrap();
    until("the end of the container", async || node.state(&cat).await == ContainerState::Exited).await;
    assert_eq!(cri.container_status(&cat).await.unwrap().exit_code, 4);
    drop((stdin, stdout, session));

    // The sandbox is on the host network, so its loopback is ours.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.unwrap();
            text.make_ascii_uppercase();
            stream.write_all(&text).await.unwrap();
        }
    });
    for text in ["hello".to_owned(), "y".repeat(2_000_000)] {
        let mut session = cri.port_forward(&pod, port).await.unwrap();
        let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
        stdin.write_all(text.as_bytes()).await.unwrap();
        stdin.shutdown().await.unwrap();
        let mut answer = String::new();
        soon(stdout.read_to_string(&mut answer)).await.unwrap();
        assert!(answer == text.to_ascii_uppercase());
    }
    server.await.unwrap();
    assert!(cri.port_forward(&pod, port).await.unwrap_err().to_string().contains("refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_process_namespace_has_the_pause_program_as_process_one() {
    let node = Node::start().await;
    let mut sandbox = node.sandbox("d");
    sandbox.security.namespaces.pid = NamespaceMode::Pod;
    let pod = node.cri.run_sandbox(&sandbox).await.unwrap();
    let mut spec = node.container("web", "sleep 1000");
    spec.security.namespaces.pid = NamespaceMode::Pod;
    let web = node.run(&pod, &sandbox, &spec).await;
    let run = async |script: &str| {
        let output = node.cri.exec_sync(&web, &["sh".into(), "-c".into(), script.into()], None).await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run("cat /proc/1/cmdline").await, "/pause\0");
    // An orphan is inherited and reaped.
    let orphan = run("(sleep 0.1 >/dev/null 2>&1 & echo $!)").await;
    until("reaping", async || run(&format!("ls /proc/{} 2>/dev/null", orphan.trim())).await.is_empty()).await;
    assert_eq!(node.cri.sandbox_status(&pod).await.unwrap().sandbox.state, SandboxState::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_containerd_and_it_is_restarted() {
    let node = Node::start().await;
    let sandbox = node.sandbox("e");
    let pod = node.cri.run_sandbox(&sandbox).await.unwrap();
    let spec = node.container("web", "n=0; while true; do n=$((n+1)); echo line-$n; sleep 0.05; done");
    let web = node.run(&pod, &sandbox, &spec).await;
    node.logged(&sandbox, "web", "line-3").await;
    let mut events = node.cri.events();
    assert_eq!(soon(events.next()).await.unwrap().kind, EventKind::Resync);
    let mut state = node.supervisor().state();
    let State::Running { pid: first } = *state.borrow_and_update() else { panic!("not running") };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::Signal::SIGKILL).unwrap();
    let restarted = |state: &State| matches!(state, State::Running { pid } if *pid != first);
    soon(state.wait_for(restarted)).await.unwrap();
    assert_eq!(node.state(&web).await, ContainerState::Running);
    while soon(events.next()).await.unwrap().kind != EventKind::Resync {}
    let lines = || std::fs::read_to_string(sandbox.log_directory.join("web.log")).unwrap().lines().count();
    let before = lines();
    until("more lines", async || lines() > before + 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_nine_of_our_process_the_same_containerd_is_found() {
    const ROLE: &str = "ISOPOD_TEST_SUPERVISE";
    // The test plays two parts: this one is the process that gets killed.
    if let Some(dir) = std::env::var_os(ROLE) {
        let supervisor = runtime::containerd::Supervisor::start(node::config(dir.as_ref())).await.unwrap();
        let State::Running { pid } = *supervisor.state().borrow() else { panic!("not running") };
        std::fs::write(std::path::Path::new(&dir).join("started"), pid.to_string()).unwrap();
        std::future::pending::<()>().await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "after_kill_nine_of_our_process_the_same_containerd_is_found"]).env(ROLE, dir.path());
    let mut other = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let started = dir.path().join("started");
    until("the other process", async || started.exists() || other.try_wait().unwrap().is_some()).await;
    other.kill().unwrap();
    other.wait().unwrap();
    let pid = std::fs::read_to_string(started).expect("the other process started containerd");
    let node = Node::start_in(dir).await;
    let running = *node.supervisor().state().borrow();
    assert_eq!(running, State::Running { pid: pid.parse().unwrap() });

    // What is adopted is watched like any other.
    let State::Running { pid: first } = running else { unreachable!() };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut state = node.supervisor().state();
    soon(state.wait_for(|state| matches!(state, State::Running { pid } if *pid != first))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_replaces_containerd_and_keeps_containers() {
    let mut node = Node::start().await;
    let sandbox = node.sandbox("f");
    let pod = node.cri.run_sandbox(&sandbox).await.unwrap();
    let web = node.run(&pod, &sandbox, &node.container("web", "sleep 1000")).await;
    let first = *node.supervisor().state().borrow();
    let mut config = node.supervisor().config().clone();
    drop(node.supervisor.take());
    config.registry_dir = node.path().join("other");
    let supervisor = runtime::containerd::Supervisor::start(config).await.unwrap();
    assert_ne!(*supervisor.state().borrow(), first);
    assert_eq!(node.state(&web).await, ContainerState::Running);
    // An orderly stop, then a start: still the same container.
    let config = supervisor.config().clone();
    supervisor.stop().await;
    assert!(node.cri.version().await.unwrap_err().is_transient());
    let supervisor = runtime::containerd::Supervisor::start(config.clone()).await.unwrap();
    assert_eq!(node.state(&web).await, ContainerState::Running);

    // A stop in the middle of a restart leaves nothing running either.
    let mut state = supervisor.state();
    let State::Running { pid } = *state.borrow_and_update() else { panic!("not running") };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    soon(state.wait_for(|state| *state == State::Restarting)).await.unwrap();
    soon(supervisor.stop()).await;
    assert_eq!(*state.borrow(), State::Stopped);
    assert!(node.cri.version().await.unwrap_err().is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_archives_run_and_broken_ones_leave_nothing() {
    let node = Node::start().await;
    let images = node.supervisor().images().unwrap();
    let import = async |bytes: Vec<u8>| images.import(std::io::Cursor::new(bytes), ImportOptions::default()).await;
    assert_eq!(import(docker_save("old/school:1", |_| {})).await.unwrap(), ["docker.io/old/school:1"]);
    let image = node.cri.image_status("docker.io/old/school:1").await.unwrap().unwrap();
    assert_eq!(image.repo_tags, ["docker.io/old/school:1"]);

    let sandbox = node.sandbox("g");
    let pod = node.cri.run_sandbox(&sandbox).await.unwrap();
    let mut spec = node.container("web", "echo from the old school");
    spec.image = image.id.clone();
    node.run(&pod, &sandbox, &spec).await;
    node.logged(&sandbox, "web", "from the old school").await;

    let before = images.list().await.unwrap().len();
    let mut wrong = busybox().build();
    let at = wrong.len() - 2000;
    wrong[at] ^= 1;
    let error = import(wrong).await.unwrap_err();
    assert!(matches!(&error, Error::Archive(text) if text.contains("digest")), "{error:?}");
    let missing = import(docker_save("x:1", |manifest| *manifest = manifest.replace("layer.tar", "absent.tar")))
        .await
        .unwrap_err();
    assert!(matches!(&missing, Error::Archive(text) if text.contains("missing")), "{missing:?}");
    let unnamed = import(docker_save("x:1", |manifest| *manifest = manifest.replace("\"x:1\"", ""))).await.unwrap_err();
    assert!(matches!(&unnamed, Error::Archive(text) if text.contains("name")), "{unnamed:?}");
    assert!(matches!(import(vec![0; 4096]).await, Err(Error::Archive(_))));
    assert_eq!(images.list().await.unwrap().len(), before);

    assert!(node.cri.image_status(runtime::pause::IMAGE).await.unwrap().unwrap().pinned);
    assert!(!image.pinned);
    images.remove("old/school:1").await.unwrap();
    images.remove("old/school:1").await.unwrap();
    until("the image is gone", async || node.cri.image_status("docker.io/old/school:1").await.unwrap().is_none()).await;
    node.cri.remove_image(BUSYBOX).await.unwrap();
    assert_eq!(node.cri.image_status(BUSYBOX).await.unwrap(), None);
}

/// busybox as `docker save` wrote it before version 25: a directory a layer, no manifest digests.
fn docker_save(name: &str, change: impl FnOnce(&mut String)) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    let program = std::fs::read("/bin/busybox").unwrap();
    let put = |builder: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes).unwrap();
    };
    put(&mut layer, "bin/sh", &program);
    let layer = layer.into_inner().unwrap();
    let diff_id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &layer);
    let diff_id: String = diff_id.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{"Env":["PATH=/bin"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#,
        runtime::pause::Arch::HOST.oci_name()
    );
    let mut manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":["abc/layer.tar"]}}]"#);
    change(&mut manifest);
    let mut archive = tar::Builder::new(Vec::new());
    put(&mut archive, "abc/VERSION", b"1.0");
    put(&mut archive, "abc/layer.tar", &layer);
    put(&mut archive, "config.json", config.as_bytes());
    put(&mut archive, "manifest.json", manifest.as_bytes());
    archive.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_overlayfs_does_not_work_images_are_copied() {
    use nix::mount::{MsFlags, mount};
    let dir = tempfile::tempdir().unwrap();
    // An overlay cannot be the upper layer of another one. The node's end unmounts it.
    let root = node::config(dir.path()).root;
    let [lower, upper, work] = ["lower", "upper", "work"].map(|part| dir.path().join(part));
    for part in [&lower, &upper, &work, &root] {
        std::fs::create_dir_all(part).unwrap();
    }
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str())).unwrap();
    let node = Node::start_in(dir).await;
    let config = std::fs::read_to_string(node.supervisor().config().config_dir.join("config.toml")).unwrap();
    assert!(config.contains("snapshotter = \"native\""), "{config}");
    let sandbox = node.sandbox("native");
    let pod = node.cri.run_sandbox(&sandbox).await.unwrap();
    node.run(&pod, &sandbox, &node.container("web", "echo copied > /file; cat /file")).await;
    node.logged(&sandbox, "web", "stdout F copied").await;
}
