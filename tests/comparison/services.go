package main

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/registry/core/service/allocator"
	"k8s.io/kubernetes/pkg/registry/core/service/ipallocator"
	"k8s.io/kubernetes/pkg/registry/core/service/portallocator"
	servicestorage "k8s.io/kubernetes/pkg/registry/core/service/storage"
	netutils "k8s.io/utils/net"
)

// What services are given: as isopod's registry has it.
const (
	serviceNetwork = "10.43.0.0/16"
	nodePorts      = "30000-32767"
)

// Upstream's storage of services, over no store: it gives services their addresses and ports before its strategy is asked.
var services = func() *registry.Store {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	_, network, err := netutils.ParseCIDRSloppy(serviceNetwork)
	must(err)
	addresses, err := ipallocator.New(network, newLowest)
	must(err)
	ports, err := portallocator.New(*utilnet.ParsePortRangeOrDie(nodePorts), newLowest)
	must(err)
	options := generic.RESTOptions{
		StorageConfig:  &storagebackend.ConfigForResource{},
		Decorator:      noStore,
		ResourcePrefix: "services",
	}
	families := map[core.IPFamily]ipallocator.Interface{core.IPv4Protocol: addresses}
	made, _, _, err := servicestorage.NewREST(options, core.IPv4Protocol, families, ports, nil, nil, nil)
	must(err)
	return made.Store
}()

// Gives the lowest number that is free: always the same.
type lowest struct {
	*allocator.AllocationBitmap
	max int
}

func newLowest(max int, spec string, _ int) (allocator.Interface, error) {
	return lowest{allocator.NewAllocationMap(max, spec), max}, nil
}

func (l lowest) AllocateNext() (int, bool, error) {
	for at := 0; at < l.max; at++ {
		if free, err := l.Allocate(at); free || err != nil {
			return at, free, err
		}
	}
	return 0, false, nil
}

func noStore(*storagebackend.ConfigForResource, string, func(runtime.Object) (string, error), func() runtime.Object, func() runtime.Object,
	storage.AttrFunc, storage.IndexerFuncs, *cache.Indexers) (storage.Interface, factory.DestroyFunc, error) {
	return nil, func() {}, nil
}

// What the storage does before a strategy is asked about a write. Afterwards, everything given is free again.
func (r row) begin(ctx context.Context, object, old runtime.Object) (func(), error) {
	if r.storage == nil {
		return func() {}, nil
	}
	if old == nil {
		finish, err := r.storage.BeginCreate(ctx, object, &metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		return func() { finish(ctx, false) }, nil
	}
	giveBack := func() {}
	// What the old object holds is taken.
	if finish, err := r.storage.BeginCreate(ctx, old.DeepCopyObject(), &metav1.CreateOptions{}); err == nil {
		giveBack = func() { finish(ctx, false) }
	}
	finish, err := r.storage.BeginUpdate(ctx, object, old, &metav1.UpdateOptions{})
	if err != nil {
		giveBack()
		return nil, err
	}
	return func() { finish(ctx, false); giveBack() }, nil
}

// What the storage makes of an object that is read.
func (r row) read(object runtime.Object) {
	if r.storage != nil {
		r.storage.Decorator(object)
	}
}
