use clap::Parser;
use kubelet::Amount;

use super::{Components, of_node};
use crate::cli::{Cli, Command};

/// The options that a server's command line comes to, its node's included.
fn server(flags: &[&str]) -> anyhow::Result<(Components, super::kubelet::Options)> {
    let args = ["isopod", "server"].into_iter().chain(flags.iter().copied());
    let Command::Server(args) = Cli::parse_from(args).command else { unreachable!("it says server") };
    Ok((Components::new(&args)?, of_node(&args.node)?))
}

#[test]
fn an_argument_sets_its_option() {
    let (components, kubelet) = server(&[
        "--kube-apiserver-arg=event-ttl=5m",
        "--kube-apiserver-arg=--anonymous-auth=false",
        "--kube-apiserver-arg",
        "max-requests-inflight=7",
        "--kube-apiserver-arg=max-requests-inflight=8",
        "--kube-controller-manager-arg=controllers=*,-job-controller",
        "--kube-controller-manager-arg=node-monitor-grace-period=16s",
        "--kube-controller-manager-arg=mirroring-max-endpoints-per-subset=9",
        "--kube-scheduler-arg=leader-elect=false",
        "--kube-proxy-arg=proxy-mode=nftables",
        "--max-pods=50",
        "--node-label=a=1",
        "--kubelet-arg=max-pods=60",
        "--kubelet-arg=eviction-hard=nodefs.available<1%",
        "--kubelet-arg=node-labels=b=2,c=3",
        "--kubelet-arg=register-with-taints=k=v:NoSchedule",
        "--kubelet-arg=serialize-image-pulls",
        "--kubelet-arg=container-log-max-size=5Mi",
    ])
    .unwrap();
    assert_eq!(components.api_server.event_ttl.as_secs(), 300);
    assert_eq!(components.api_server.authentication.anonymous, apiserver::Anonymous::Nowhere);
    assert_eq!(components.api_server.in_flight.reads, 8, "the last counts");
    assert_eq!(components.controllers.disabled, ["job-controller"]);
    assert_eq!(components.controllers.node_monitor_grace.as_secs(), 16);
    assert_eq!(components.controllers.mirroring_max_endpoints_per_subset, 9);
    assert_eq!(kubelet.max_pods, 60, "the argument wins over the flag");
    assert_eq!(kubelet.limits.disk_available, Amount::Percent(1));
    assert_eq!(kubelet.labels.into_iter().map(|(k, v)| k + &v).collect::<Vec<_>>(), ["a1", "b2", "c3"]);
    assert_eq!((&*kubelet.taints[0].key, &*kubelet.taints[0].effect), ("k", "NoSchedule"));
    assert_eq!(kubelet.max_parallel_pulls, 1);
    assert_eq!(kubelet.limits.log_size, 5 << 20);
}

#[test]
fn only_the_named_controllers_run() {
    let (components, _) = server(&["--kube-controller-manager-arg=controllers=job-controller"]).unwrap();
    let disabled = &components.controllers.disabled;
    assert_eq!(disabled.len() + 1, controllers::names().count());
    assert!(!disabled.iter().any(|name| name == "job-controller"));
}

#[test]
fn what_is_wrong_is_named() {
    let check = |flag: &str, expect: &[&str]| {
        let error = format!("{:#}", server(&[flag]).unwrap_err());
        assert!(expect.iter().all(|words| error.contains(words)), "{error}");
    };
    check("--kube-apiserver-arg=etcd-prefix=/x", &["etcd-prefix", "no such argument", "anonymous-auth"]);
    for component in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"] {
        let flag = format!("--{component}-arg=feature-gates=A=true");
        check(&flag, &["feature-gates", "unrecognized feature gate: A"]);
    }
    check("--kube-apiserver-arg=audit-log-truncate-max-batch-size=5", &["log max batch size 5", "(102400)"]);
    check("--kube-apiserver-arg=event-ttl=soon", &["event-ttl=soon", "1h30m"]);
    check("--kube-apiserver-arg=runtime-config=x.io/v1=true", &["runtime-config", "unknown api groups x.io"]);
    check("--kube-apiserver-arg=max-requests-inflight=0", &["from 1 to"]);
    check("--kube-apiserver-arg=authorization-mode=Magic", &["Magic", "RBAC"]);
    check("--kube-apiserver-arg=authorization-mode=ABAC", &["authorization-policy-file", "ABAC"]);
    check("--kube-apiserver-arg=token-auth-file=/nonexistent", &["/nonexistent", "cannot be read"]);
    check("--kube-controller-manager-arg=controllers=*,-nothing", &["\"nothing\"", "job-controller"]);
    check("--kube-scheduler-arg=leader-elect", &["leader-elect", "one way"]);
    check("--kube-proxy-arg=proxy-mode=ipvs", &["ipvs", "nftables"]);
    check("--kubelet-arg=max-pods=many", &["max-pods=many", "a number"]);
    check("--kubelet-arg=cgroup-driver=systemd", &["cgroup-driver", "max-pods"]);
    check("--node-taint=k", &["--node-taint", "NoSchedule"]);
    check("--node-label=k", &["--node-label", "key=value"]);
    check("--eviction-hard=disk<1", &["--eviction-hard", "disk"]);
    check("--image-gc-high-threshold=101", &["101"]);
}

#[test]
fn every_table_is_sorted_and_says_each_name_once() {
    fn check<T>(table: &[super::Argument<T>]) {
        let names: Vec<&str> = table.iter().map(|row| row.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
    check(super::api_server::TABLE);
    check(super::controller_manager::TABLE);
    check(super::kubelet::TABLE);
    check(super::proxy::TABLE);
    check(super::scheduler::TABLE);
}
