//! What a power cut of the server does to what runs: nothing.

use crate::kubectl::Kubectl;
use crate::lab::{Lab, wait};

/// kill -9 while a Deployment runs: containers go on, the restarted server finds them, nothing acknowledged is lost.
pub(crate) fn containers_go_on(lab: &Lab) {
    let machine = lab.machine("solo");
    machine.provide_images();
    machine.start_server(&[]);
    let kubectl = Kubectl::new(&machine);
    kubectl.until_is(r#"get nodes -o jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#, "True");
    kubectl.run("create deployment web --image=busybox.local/busybox:1 --replicas=2 -- /bin/sleep 100000");
    kubectl.until_is("get deployment web -o jsonpath={.status.availableReplicas}", "2");
    let pods = "get pods -l app=web --sort-by=.metadata.name -o jsonpath={range.items[*]}{.metadata.name}={.status.containerStatuses[0].containerID}={.status.containerStatuses[0].restartCount},{end}";
    let before = kubectl.run(pods);
    for round in 0..3 {
        // Everything acknowledged up to the moment of the kill must be there afterwards.
        for n in 0..20 {
            kubectl.run(&format!("create configmap kept-{round}-{n} --from-literal=a=b"));
        }
        machine.kill();
        machine.start_server(&[]);
        wait("the API", || kubectl.attempt("get --raw /readyz").ok());
        let names = kubectl.run("get configmaps -o name");
        for n in 0..20 {
            let name = format!("configmap/kept-{round}-{n}");
            assert!(names.lines().any(|line| line == name), "{name} was acknowledged and is gone");
        }
    }
    kubectl.until_is(r#"get nodes -o jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#, "True");
    kubectl.until_is("get deployment web -o jsonpath={.status.availableReplicas}", "2");
    assert_eq!(kubectl.run(pods), before, "the same containers, no restart counted");
    // And the agent is alive: a new pod runs.
    kubectl.run("scale deployment web --replicas=3");
    kubectl.until_is("get deployment web -o jsonpath={.status.availableReplicas}", "3");
    kubectl.run("delete deployment web");
    kubectl.until_is("get pods -o name", "");
}
