// An operator as users write them: controller-runtime, a kind of its own, leader election, a finalizer,
// server-side apply, owner references, events, conditions. It speaks to the cluster its kubeconfig names.
package main

import (
	"context"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
	coreac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	manager   = "site-operator"
	finalizer = "example.org/site"
)

type reconciler struct {
	client.Client
	events record.EventRecorder
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var site Site
	if err := r.Get(ctx, request.NamespacedName, &site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.farewell(ctx, &site)
	}
	if controllerutil.AddFinalizer(&site, finalizer) {
		return ctrl.Result{}, r.Update(ctx, &site)
	}
	labels := map[string]string{"site": site.Name}
	owner := metaac.OwnerReference().WithAPIVersion(group.String()).WithKind("Site").WithName(site.Name).
		WithUID(site.UID).WithController(true).WithBlockOwnerDeletion(true)
	deployment := appsac.Deployment(site.Name, site.Namespace).WithLabels(labels).WithOwnerReferences(owner).
		WithSpec(appsac.DeploymentSpec().WithReplicas(site.Spec.Replicas).
			WithSelector(metaac.LabelSelector().WithMatchLabels(labels)).
			WithTemplate(coreac.PodTemplateSpec().WithLabels(labels).WithSpec(coreac.PodSpec().
				WithTerminationGracePeriodSeconds(0).
				WithContainers(coreac.Container().WithName("web").WithImage(site.Spec.Image).
					WithCommand("sleep", "100000")))))
	if err := r.Apply(ctx, deployment, client.FieldOwner(manager), client.ForceOwnership); err != nil {
		return ctrl.Result{}, err
	}
	var made appsv1.Deployment
	if err := r.Get(ctx, request.NamespacedName, &made); err != nil {
		// The cache has not seen it yet; its event brings us back.
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := site.DeepCopyObject().(*Site)
	site.Status.Ready = made.Status.ReadyReplicas
	site.Status.Selector = "site=" + site.Name
	condition := metav1.Condition{
		Type: "Ready", Status: metav1.ConditionFalse, Reason: "Waiting", ObservedGeneration: site.Generation,
		Message: fmt.Sprintf("%d of %d", made.Status.ReadyReplicas, site.Spec.Replicas),
	}
	if made.Status.ReadyReplicas == site.Spec.Replicas && made.Status.ObservedGeneration == made.Generation {
		condition.Status, condition.Reason = metav1.ConditionTrue, "AllReady"
	}
	if meta.SetStatusCondition(&site.Status.Conditions, condition) && condition.Status == metav1.ConditionTrue {
		r.events.Eventf(&site, corev1.EventTypeNormal, "Ready", "all %d replicas are ready", site.Spec.Replicas)
	}
	return ctrl.Result{}, r.Status().Patch(ctx, &site, client.MergeFrom(before))
}

// farewell leaves a note before it lets the object go: proof that the finalizer was honoured.
func (r *reconciler) farewell(ctx context.Context, site *Site) error {
	note := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "farewell-" + site.Name, Namespace: site.Namespace}}
	if _, err := controllerutil.CreateOrUpdate(ctx, r.Client, note, func() error {
		note.Data = map[string]string{"site": site.Name}
		return nil
	}); err != nil {
		return err
	}
	if controllerutil.RemoveFinalizer(site, finalizer) {
		return r.Update(ctx, site)
	}
	return nil
}

func main() {
	ctrl.SetLogger(zap.New())
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		fail(err)
	}
	addToScheme(scheme)
	mgr, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme:                  scheme,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		LeaderElection:          true,
		LeaderElectionID:        "site-operator.example.org",
		LeaderElectionNamespace: "default",
	})
	if err != nil {
		fail(err)
	}
	//nolint:staticcheck // the recorder most operators use
	events := mgr.GetEventRecorderFor(manager)
	err = ctrl.NewControllerManagedBy(mgr).For(&Site{}).Owns(&appsv1.Deployment{}).
		Complete(&reconciler{Client: mgr.GetClient(), events: events})
	if err != nil {
		fail(err)
	}
	if err := mgr.Start(ctrl.SetupSignalHandler()); err != nil {
		fail(err)
	}
}

func fail(err error) {
	log.Log.Error(err, "the operator ends")
	os.Exit(1)
}
