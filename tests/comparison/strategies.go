package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	extensionsinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	registrationinstall "k8s.io/kube-aggregator/pkg/apis/apiregistration/install"
	"k8s.io/kube-aggregator/pkg/registry/apiservice"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/certificates/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingadmissionpolicy"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingadmissionpolicybinding"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingwebhookconfiguration"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/resolver"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicy"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingadmissionpolicybinding"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingwebhookconfiguration"
	"k8s.io/kubernetes/pkg/registry/apps/controllerrevision"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/certificates/certificates"
	"k8s.io/kubernetes/pkg/registry/coordination/lease"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/endpoint"
	"k8s.io/kubernetes/pkg/registry/core/event"
	"k8s.io/kubernetes/pkg/registry/core/limitrange"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/podtemplate"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/resourcequota"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/flowschema"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/prioritylevelconfiguration"
	"k8s.io/kubernetes/pkg/registry/networking/ingress"
	"k8s.io/kubernetes/pkg/registry/networking/ingressclass"
	"k8s.io/kubernetes/pkg/registry/networking/ipaddress"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	"k8s.io/kubernetes/pkg/registry/node/runtimeclass"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	"k8s.io/kubernetes/pkg/registry/resource/deviceclass"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaimtemplate"
	"k8s.io/kubernetes/pkg/registry/resource/resourceslice"
	"k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattributesclass"
)

type mainStrategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

type row struct {
	codecs serializer.CodecFactory
	main   mainStrategy
	parts  map[string]rest.RESTUpdateStrategy
	// The storage, where it has something to do before the strategy is asked.
	storage *registry.Store
}

// A namespace without labels is all that strategies ask for.
type namespaces struct {
	corev1client.NamespaceInterface
}

func (namespaces) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.Namespace, error) {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, nil
}

// Who may read the parameters of a policy is a question to an authorizer, and there is none.
var unresolved = resolver.ResourceResolverFunc(func(kind schema.GroupVersionKind) (schema.GroupVersionResource, error) {
	return schema.GroupVersionResource{}, &meta.NoKindMatchError{GroupKind: kind.GroupKind()}
})

func plain(main mainStrategy) row { return row{legacyscheme.Codecs, main, nil, nil} }

func withStatus(main mainStrategy, status rest.RESTUpdateStrategy) row {
	return row{legacyscheme.Codecs, main, map[string]rest.RESTUpdateStrategy{"status": status}, nil}
}

func (r row) with(part string, strategy rest.RESTUpdateStrategy) row {
	r.parts[part] = strategy
	return r
}

func (r row) in(codecs serializer.CodecFactory) row {
	r.codecs = codecs
	return r
}

func (r row) after(storage *registry.Store) row {
	r.storage = storage
	return r
}

func scheme(install func(*runtime.Scheme)) (*runtime.Scheme, serializer.CodecFactory) {
	scheme := runtime.NewScheme()
	install(scheme)
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	return scheme, serializer.NewCodecFactory(scheme)
}

var (
	definitions, definitionCodecs     = scheme(extensionsinstall.Install)
	registrations, registrationCodecs = scheme(registrationinstall.Install)
	claims                            = resourceclaim.NewStrategy(namespaces{})
	policies                          = validatingadmissionpolicy.NewStrategy(nil, nil)
)

var strategies = map[string]row{
	"configmaps":             plain(configmap.Strategy),
	"endpoints":              plain(endpoint.Strategy),
	"events":                 plain(event.Strategy),
	"events.events.k8s.io":   plain(event.Strategy),
	"limitranges":            plain(limitrange.Strategy),
	"namespaces":             withStatus(namespace.Strategy, namespace.StatusStrategy).with("finalize", namespace.FinalizeStrategy),
	"nodes":                  withStatus(node.Strategy, node.StatusStrategy),
	"persistentvolumeclaims": withStatus(persistentvolumeclaim.Strategy, persistentvolumeclaim.StatusStrategy),
	"persistentvolumes":      withStatus(persistentvolume.Strategy, persistentvolume.StatusStrategy),
	"pods": withStatus(pod.Strategy, pod.StatusStrategy).
		with("ephemeralcontainers", pod.EphemeralContainersStrategy).with("resize", pod.ResizeStrategy),
	"podtemplates":           plain(podtemplate.Strategy),
	"replicationcontrollers": withStatus(replicationcontroller.Strategy, replicationcontroller.StatusStrategy),
	"resourcequotas":         withStatus(resourcequota.Strategy, resourcequota.StatusStrategy),
	"secrets":                plain(secret.Strategy),
	"serviceaccounts":        plain(serviceaccount.Strategy),
	"services":               withStatus(service.Strategy, service.StatusStrategy).after(services),

	"mutatingadmissionpolicies.admissionregistration.k8s.io":         plain(mutatingadmissionpolicy.NewStrategy(nil, nil)),
	"mutatingadmissionpolicybindings.admissionregistration.k8s.io":   plain(mutatingadmissionpolicybinding.NewStrategy(nil, nil, unresolved)),
	"mutatingwebhookconfigurations.admissionregistration.k8s.io":     plain(mutatingwebhookconfiguration.Strategy),
	"validatingadmissionpolicies.admissionregistration.k8s.io":       withStatus(policies, validatingadmissionpolicy.NewStatusStrategy(policies)),
	"validatingadmissionpolicybindings.admissionregistration.k8s.io": plain(validatingadmissionpolicybinding.NewStrategy(nil, nil, unresolved)),
	"validatingwebhookconfigurations.admissionregistration.k8s.io":   plain(validatingwebhookconfiguration.Strategy),

	"customresourcedefinitions.apiextensions.k8s.io": withStatus(
		customresourcedefinition.NewStrategy(definitions), customresourcedefinition.NewStatusStrategy(definitions)).in(definitionCodecs),
	"apiservices.apiregistration.k8s.io": withStatus(
		apiservice.NewStrategy(registrations), apiservice.NewStatusStrategy(registrations)).in(registrationCodecs),

	"controllerrevisions.apps": plain(controllerrevision.Strategy),
	"daemonsets.apps":          withStatus(daemonset.Strategy, daemonset.StatusStrategy),
	"deployments.apps":         withStatus(deployment.Strategy, deployment.StatusStrategy),
	"replicasets.apps":         withStatus(replicaset.Strategy, replicaset.StatusStrategy),
	"statefulsets.apps":        withStatus(statefulset.Strategy, statefulset.StatusStrategy),

	"horizontalpodautoscalers.autoscaling": withStatus(horizontalpodautoscaler.Strategy, horizontalpodautoscaler.StatusStrategy),

	"cronjobs.batch": withStatus(cronjob.Strategy, cronjob.StatusStrategy),
	"jobs.batch":     withStatus(job.Strategy, job.StatusStrategy),

	"certificatesigningrequests.certificates.k8s.io": withStatus(certificates.Strategy, certificates.StatusStrategy).
		with("approval", certificates.ApprovalStrategy),

	"leases.coordination.k8s.io": plain(lease.Strategy),

	"endpointslices.discovery.k8s.io": plain(endpointslice.Strategy),

	"flowschemas.flowcontrol.apiserver.k8s.io":                 withStatus(flowschema.Strategy, flowschema.StatusStrategy),
	"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": withStatus(prioritylevelconfiguration.Strategy, prioritylevelconfiguration.StatusStrategy),

	"ingressclasses.networking.k8s.io":  plain(ingressclass.Strategy),
	"ingresses.networking.k8s.io":       withStatus(ingress.Strategy, ingress.StatusStrategy),
	"ipaddresses.networking.k8s.io":     plain(ipaddress.Strategy),
	"networkpolicies.networking.k8s.io": plain(networkpolicy.Strategy),
	"servicecidrs.networking.k8s.io":    withStatus(servicecidr.Strategy, servicecidr.StatusStrategy),

	"runtimeclasses.node.k8s.io": plain(runtimeclass.Strategy),

	"poddisruptionbudgets.policy": withStatus(poddisruptionbudget.Strategy, poddisruptionbudget.StatusStrategy),

	"clusterrolebindings.rbac.authorization.k8s.io": plain(clusterrolebinding.Strategy),
	"clusterroles.rbac.authorization.k8s.io":        plain(clusterrole.Strategy),
	"rolebindings.rbac.authorization.k8s.io":        plain(rolebinding.Strategy),
	"roles.rbac.authorization.k8s.io":               plain(role.Strategy),

	"deviceclasses.resource.k8s.io":          plain(deviceclass.Strategy),
	"resourceclaims.resource.k8s.io":         withStatus(claims, resourceclaim.NewStatusStrategy(claims)),
	"resourceclaimtemplates.resource.k8s.io": plain(resourceclaimtemplate.NewStrategy(namespaces{})),
	"resourceslices.resource.k8s.io":         plain(resourceslice.Strategy),

	"priorityclasses.scheduling.k8s.io": plain(priorityclass.Strategy),

	"csidrivers.storage.k8s.io":              plain(csidriver.Strategy),
	"csinodes.storage.k8s.io":                plain(csinode.Strategy),
	"csistoragecapacities.storage.k8s.io":    plain(csistoragecapacity.Strategy),
	"storageclasses.storage.k8s.io":          plain(storageclass.Strategy),
	"volumeattachments.storage.k8s.io":       withStatus(volumeattachment.Strategy, volumeattachment.StatusStrategy),
	"volumeattributesclasses.storage.k8s.io": plain(volumeattributesclass.Strategy),
}
