//! What stands between a request and the store, with what it asks outside of the cluster: an identity provider, admission webhooks,
//! keys for what lies on the disk, and the fair shares of users.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use bootstrap::pki::{Authority, Leaf, Pair};

use crate::clients::text;
use crate::kubectl::Kubectl;
use crate::lab::{Background, Lab, Machine, wait};

/// Where the identity provider and the webhook listen on the server's machine.
const PORT: u16 = 9443;

/// People of an identity provider come in by what they are, webhooks are asked, users who ask too much wait, and secrets are not
/// readable on the disk, whatever key is in use.
pub(crate) fn people_webhooks_shares_and_keys(lab: &Lab) {
    let machine = lab.machine("gates");
    let folder = lab.dir().join("outside");
    let authority = Authority::ensure(&folder.join("ca"), "ca", "outside-ca").unwrap();
    let leaf = Leaf::server("outside", "", vec![], vec![[127, 0, 0, 1].into()]);
    let Pair { cert, key } = authority.issue(&leaf, SystemTime::now()).unwrap();
    std::fs::write(folder.join("tls.crt"), cert).unwrap();
    std::fs::write(folder.join("tls.key"), key).unwrap();
    std::fs::write(folder.join("ca.crt"), authority.cert()).unwrap();
    let outside = outside(&machine, &folder);

    let keys = folder.join("keys.yaml");
    std::fs::write(&keys, encryption(&["first"])).unwrap();
    let arguments = arguments(&folder, &keys);
    let start = || {
        machine.start_server(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let kubectl = Kubectl::new(&machine);
        wait("the API", || kubectl.attempt("get --raw /readyz").ok());
        kubectl
    };
    let kubectl = start();
    people(&kubectl, &folder);
    webhooks(&kubectl, authority.cert());
    shares(&kubectl);
    nobody_to_ask(&kubectl, outside);
    secrets(&machine, &keys, &start);
    machine.kill();
}

fn outside(machine: &Machine, folder: &Path) -> Background {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/outside.py");
    let mut python = machine.command("python3");
    python.args([text(&script), text(folder), &PORT.to_string()]).stdin(Stdio::null());
    let python = Background(python.spawn().unwrap());
    wait("the identity provider", || folder.join("ready").exists().then_some(()));
    python
}

fn arguments(folder: &Path, keys: &Path) -> Vec<String> {
    let issuer = format!("oidc-issuer-url=https://127.0.0.1:{PORT}");
    let ca = format!("oidc-ca-file={}", text(&folder.join("ca.crt")));
    let keys = format!("encryption-provider-config={}", text(keys));
    let claims =
        ["oidc-client-id=cluster", "oidc-username-claim=email", "oidc-groups-claim=groups", "oidc-groups-prefix=oidc:"];
    let passed = [&*issuer, &ca, &keys].into_iter().chain(claims);
    let passed = passed.flat_map(|argument| ["--kube-apiserver-arg".to_owned(), argument.to_owned()]);
    std::iter::once("--disable-agent".to_owned()).chain(passed).collect()
}

fn people(admin: &Kubectl, folder: &Path) {
    let as_person = |name: &str| {
        let token = std::fs::read_to_string(folder.join(format!("{name}.token"))).unwrap();
        let kubeconfig = folder.join(format!("{name}.yaml"));
        let of_admin: serde_json::Value = serde_json::from_str(&admin.run("config view --raw -o json")).unwrap();
        let mut config = of_admin.clone();
        config["users"][0]["user"] = serde_json::json!({"token": token});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        admin.with_kubeconfig(kubeconfig)
    };
    let alice = as_person("alice");
    // The keys are fetched in the background.
    alice.until("auth whoami -o jsonpath={.status.userInfo.username}", |user| {
        (user == "alice@example.com").then_some(())
    });
    assert_eq!(
        alice.run("auth whoami -o jsonpath={.status.userInfo.groups}"),
        r#"["oidc:devs","system:authenticated"]"#
    );
    let refused = alice.refused("get secrets");
    assert!(refused.contains(r#"User "alice@example.com" cannot list resource "secrets""#), "{refused}");
    admin.run("create rolebinding devs --clusterrole=edit --group=oidc:devs");
    alice.run("create configmap hers --from-literal=a=b");
    assert_eq!(alice.run("get configmap hers -o jsonpath={.data.a}"), "b");
    assert!(alice.refused("get nodes").contains("Forbidden"));
    for name in ["late", "elsewhere", "forged"] {
        let refused = as_person(name).refused("get configmaps");
        assert!(refused.contains("Unauthorized") || refused.contains("must be logged in"), "{name}: {refused}");
    }
}

fn webhooks(k: &Kubectl, ca: &str) {
    use base64::Engine;
    let bundle = base64::engine::general_purpose::STANDARD.encode(ca);
    for (kind, path) in [("ValidatingWebhookConfiguration", "validate"), ("MutatingWebhookConfiguration", "mutate")] {
        k.apply(&format!(
            r#"
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}
metadata: {{name: outside}}
webhooks:
- name: {path}.outside.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 20
  clientConfig: {{url: "https://127.0.0.1:{PORT}/{path}", caBundle: {bundle}}}
  rules: [{{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps], scope: Namespaced}}]
  matchConditions: [{{name: not-exempt, expression: "!('exempt' in object.metadata.labels)"}}]
  objectSelector: {{matchExpressions: [{{key: asks, operator: Exists}}]}}
"#
        ));
    }
    // Configurations are known a moment after they are made.
    let create = "create --dry-run=server -o jsonpath={.metadata.labels.marked} -f -";
    k.until("get configmap hers", |_| {
        let dry = k.pipe(create, &map("dry", "asks: '', mark: ''"));
        (dry.ok()? == "create").then_some(())
    });
    let refused = k.until("get configmap hers", |_| k.pipe(create, &map("refused", "asks: '', forbidden: ''")).err());
    assert!(refused.contains(r#".outside.example.com" denied the request: kubernetes-admin may not"#), "{refused}");
    k.apply(&map("taken", "asks: '', mark: ''"));
    assert_eq!(k.run("get configmap taken -o jsonpath={.metadata.labels.marked}"), "create");
    k.run("annotate configmap taken a=b");
    assert_eq!(k.run("get configmap taken -o jsonpath={.metadata.labels.marked}"), "update");
    k.apply(&map("exempt", "asks: '', exempt: '', forbidden: ''"));
    k.apply(&map("unasked", "forbidden: ''"));
}

/// Who cannot be asked is as good as no, unless the configuration says that it does not matter.
fn nobody_to_ask(k: &Kubectl, outside: Background) {
    drop(outside);
    let refused = k.pipe("create -f -", &map("later", "asks: ''")).unwrap_err();
    assert!(refused.contains(r#"failed calling webhook "mutate.outside.example.com""#), "{refused}");
    for kind in ["validating", "mutating"] {
        let ignore = r#"[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]"#;
        k.run(&format!("patch {kind}webhookconfiguration outside --type=json -p '{ignore}'"));
    }
    k.until("get configmap hers", |_| k.pipe("create -f -", &map("later", "asks: ''")).ok());
    k.run("delete validatingwebhookconfiguration,mutatingwebhookconfiguration outside");
}

/// A config map by name and labels.
fn map(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{{labels}}}}}")
}

/// Of a user whose level has no seats one request is served at a time; others are told to come back, and nobody else notices.
fn shares(k: &Kubectl) {
    k.apply(
        r#"
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: nothing}
spec: {type: Limited, limited: {nominalConcurrencyShares: 0, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: {type: Reject}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: bob}
spec:
  matchingPrecedence: 50
  priorityLevelConfiguration: {name: nothing}
  rules: [{subjects: [{kind: User, user: {name: bob}}], resourceRules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true}]}]
"#,
    );
    k.run("create rolebinding others --clusterrole=edit --user=bob --user=carol");
    // kubectl itself comes back when it is told to; the server counts whom it told so.
    let is_bob = |line: &&str| {
        line.starts_with("apiserver_flowcontrol_rejected_requests_total")
            && line.contains(r#"flow_schema="bob""#)
            && line.contains(r#"priority_level="nothing""#)
    };
    wait("bob to be turned away", || {
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| k.pipe("--as bob create -f -", &map("slow", "asks: '', slow: ''")));
            std::thread::sleep(Duration::from_secs(2));
            assert_eq!(k.run("--as carol get configmap hers -o name"), "configmap/hers");
            assert_eq!(k.run("--as bob get configmap hers -o name"), "configmap/hers");
            slow.join().unwrap().unwrap();
        });
        k.run("delete configmap slow");
        k.run("get --raw /metrics").lines().find(is_bob).filter(|line| !line.ends_with(" 0")).map(|_| ())
    });
    k.run("delete flowschema bob");
    k.run("delete prioritylevelconfiguration nothing");
}

/// Secrets on the disk, with one key, with two, and with the second alone.
fn secrets(machine: &Machine, keys: &Path, start: &dyn Fn() -> Kubectl) {
    let kubectl = start_again(machine, start);
    kubectl.run("create secret generic hidden --from-literal=word=needle-in-a-haystack");
    kubectl.run("create configmap shown --from-literal=word=straw-in-a-haystack");
    let read = |kubectl: &Kubectl| kubectl.run("get secret hidden -o jsonpath={.data.word}");
    let encoded = read(&kubectl);
    assert!(on_disk(machine, "straw-in-a-haystack"), "config maps are stored as they are");
    assert!(!on_disk(machine, "needle-in-a-haystack") && !on_disk(machine, &encoded));
    for (names, rewrite) in [(&["second", "first"][..], true), (&["second"][..], false)] {
        std::fs::write(keys, encryption(names)).unwrap();
        let kubectl = start_again(machine, start);
        assert_eq!(read(&kubectl), encoded, "{names:?}");
        if rewrite {
            let all = kubectl.run("get secrets -A -o json");
            kubectl.pipe("replace -f -", &all).unwrap();
        }
    }
    // Without the key there is no secret, and nothing else is lost.
    std::fs::write(keys, encryption(&["third"])).unwrap();
    let kubectl = start_again(machine, start);
    let refused = kubectl.refused("get secret hidden");
    assert!(refused.contains("Internal error") || refused.contains("InternalError"), "{refused}");
    assert_eq!(kubectl.run("get configmap shown -o jsonpath={.data.word}"), "straw-in-a-haystack");
}

fn start_again(machine: &Machine, start: &dyn Fn() -> Kubectl) -> Kubectl {
    machine.kill();
    start()
}

/// Keys by name, the first of which encrypts.
fn encryption(names: &[&str]) -> String {
    use base64::Engine;
    let key = |name: &&str| {
        let secret = base64::engine::general_purpose::STANDARD.encode(format!("{name:0>32}"));
        format!("{{name: {name}, secret: {secret}}}")
    };
    let keys: Vec<String> = names.iter().map(key).collect();
    format!(
        "{{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, \
         resources: [{{resources: [secrets], providers: [{{secretbox: {{keys: [{}]}}}}, {{identity: {{}}}}]}}]}}",
        keys.join(", ")
    )
}

/// Whether a text stands in any file of the server's data.
fn on_disk(machine: &Machine, text: &str) -> bool {
    fn files(folder: PathBuf) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.flat_map(|entry| if entry.path().is_dir() { files(entry.path()) } else { vec![entry.path()] }).collect()
    }
    let holds = |file: &PathBuf| {
        std::fs::read(file).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    files(machine.data.join("server")).iter().any(holds)
}
