"""What a Python program does with a cluster, by the official client; ends with a stack trace where that fails.

Usage: check.py KUBECONFIG NAMESPACE IMAGE
"""
import sys
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream

KUBECONFIG, NAMESPACE, IMAGE = sys.argv[1:]


def until(what, condition, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"waited for {what}")


config.load_kube_config(KUBECONFIG)
core, apps, custom = client.CoreV1Api(), client.AppsV1Api(), client.CustomObjectsApi()
core.create_namespace({"metadata": {"name": NAMESPACE}})
until("the default service account", lambda: core.list_namespaced_service_account(NAMESPACE).items)

# Configuration: typed objects, every kind of patch the client sends.
core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"k": "1"}))
assert core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"l": "2"}}).data == {"k": "1", "l": "2"}
operations = [{"op": "remove", "path": "/data/l"}]
assert core.patch_namespaced_config_map("a", NAMESPACE, operations).data == {"k": "1"}
try:
    core.read_namespaced_config_map("missing", NAMESPACE)
    raise SystemExit("a missing object was found")
except ApiException as error:
    assert error.status == 404 and 'configmaps \\"missing\\" not found' in error.body, error.body

# A deployment from a manifest, watched until it is there.
manifest = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": NAMESPACE},
    "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"terminationGracePeriodSeconds": 0,
                     "containers": [{"name": "c", "image": IMAGE, "command": ["sh", "-c", "echo up; sleep 100000"]}]},
        },
    },
}
utils.create_from_dict(client.ApiClient(), manifest)
for event in watch.Watch().stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=90):
    if event["object"].status.available_replicas == 1:
        break
else:
    raise SystemExit("the deployment did not become available")
apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 2}})
until("two replicas", lambda: apps.read_namespaced_deployment_status("web", NAMESPACE).status.ready_replicas == 2)

# Logs, and exec over a WebSocket.
pod = core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items[0].metadata.name
assert core.read_namespaced_pod_log(pod, NAMESPACE) == "up\n"
answer = stream(core.connect_get_namespaced_pod_exec, pod, NAMESPACE, command=["echo", "hi"], stdout=True, stderr=True,
                stdin=False, tty=False)
assert answer == "hi\n", answer

# Custom resources: by the generic API, and by the dynamic client's discovery.
site = {"apiVersion": "example.org/v1", "kind": "Site", "metadata": {"name": "py"}, "spec": {"image": IMAGE}}
made = custom.create_namespaced_custom_object("example.org", "v1", NAMESPACE, "sites", site)
assert made["spec"]["replicas"] == 1, made
kind = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="example.org/v1", kind="Site")
applied = kind.server_side_apply(body={**site, "spec": {"image": IMAGE, "replicas": 2}}, namespace=NAMESPACE, name="py",
                                 field_manager="python", force_conflicts=True)
assert applied.spec.replicas == 2
custom.delete_namespaced_custom_object("example.org", "v1", NAMESPACE, "sites", "py")

core.delete_namespace(NAMESPACE)
print("ok")
