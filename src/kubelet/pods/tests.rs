use serde_json::{Value, json};

use super::pod::{CONFIG_HASH, CONFIG_SOURCE};
use super::statics;

#[test]
fn manifests_become_pods_of_this_node() {
    let manifest = || json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "a"}]}});
    let pod = statics::pod("n1", manifest()).unwrap();
    let value = pod.to_value().unwrap();
    assert_eq!((&*pod.meta.name, &*pod.meta.namespace), ("web-n1", "default"));
    assert_eq!(value["spec"]["nodeName"], "n1");
    assert_eq!(value["metadata"]["annotations"][CONFIG_SOURCE], "file");
    assert_eq!(value["metadata"]["annotations"][CONFIG_HASH], value["metadata"]["uid"]);
    assert_eq!(statics::pod("n1", manifest()).unwrap().meta.uid, pod.meta.uid, "the same manifest is the same pod");
    assert_ne!(statics::pod("n2", manifest()).unwrap().meta.uid, pod.meta.uid);
    let check = |value: Value| assert!(statics::pod("n1", value).is_err());
    check(json!({"apiVersion": "apps/v1", "kind": "Deployment"}));
    check(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}));
}
