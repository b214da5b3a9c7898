// What upstream says of a write: decoding with its defaults, preparation, validation and warnings, by the strategies of its
// API server. Reads one case a line from standard input and answers each with one line on standard output.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/capabilities"
)

// A write to judge. Without Old it is a create.
type question struct {
	Group, Version, Plural, Subresource, Namespace string
	Old, New                                       json.RawMessage
}

type cause struct {
	Field, Reason, Message string
}

// What came of it: an object, or why not. Before is Old as the store would hold it.
type answer struct {
	Before   json.RawMessage `json:"before,omitempty"`
	Object   json.RawMessage `json:"object,omitempty"`
	Causes   []cause         `json:"causes,omitempty"`
	Failure  string          `json:"failure,omitempty"`
	Panic    string          `json:"panic,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
}

func main() {
	// As every API server does that lets the nodes run system pods.
	capabilities.Setup(true, 0)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	for in.Scan() {
		var asked question
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		line, _ := json.Marshal(judge(asked))
		out.Write(line)
		out.WriteByte('\n')
		out.Flush()
	}
}

type recorder struct{ texts []string }

func (r *recorder) AddWarning(_, text string) { r.texts = append(r.texts, text) }

// Upstream panics at some objects; its server answers that with an internal error, and says nothing that can be compared.
func judge(asked question) (said answer) {
	defer func() {
		if cause := recover(); cause != nil {
			said = answer{Panic: fmt.Sprint(cause)}
		}
	}()
	said, err := decide(asked)
	var status interface{ Status() metav1.Status }
	switch {
	case err == nil:
	case errors.As(err, &status) && status.Status().Reason == metav1.StatusReasonInvalid:
		for _, each := range status.Status().Details.Causes {
			said.Causes = append(said.Causes, cause{each.Field, string(each.Type), each.Message})
		}
		said.Object = nil
	default:
		said.Failure, said.Object = err.Error(), nil
	}
	return said
}

func decide(asked question) (answer, error) {
	var said answer
	resource := schema.GroupResource{Group: asked.Group, Resource: asked.Plural}
	row, known := strategies[resource.String()]
	if !known {
		return said, fmt.Errorf("no strategy of %s", resource)
	}
	warnings := &recorder{}
	ctx := request.WithNamespace(context.Background(), asked.Namespace)
	ctx = request.WithUser(ctx, &user.DefaultInfo{Name: "alice", Groups: []string{"devs", user.AllAuthenticated}})
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{
		IsResourceRequest: true, APIGroup: asked.Group, APIVersion: asked.Version, Resource: asked.Plural,
		Subresource: asked.Subresource, Namespace: asked.Namespace,
	})
	ctx = warning.WithWarningRecorder(ctx, warnings)
	version := schema.GroupVersion{Group: asked.Group, Version: asked.Version}
	object, err := decode(row.codecs, asked.New)
	if err != nil {
		return said, err
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return said, err
	}
	if asked.Old == nil {
		rest.WipeObjectMetaSystemFields(accessor)
		rest.FillObjectMetaSystemFields(accessor)
		if accessor.GetGenerateName() != "" && accessor.GetName() == "" {
			accessor.SetName(row.main.GenerateName(accessor.GetGenerateName()))
		}
		finish, err := row.begin(ctx, object, nil)
		if err != nil {
			return said, err
		}
		defer finish()
		if err := rest.BeforeCreate(row.main, ctx, object); err != nil {
			return said, err
		}
	} else {
		strategy := rest.RESTUpdateStrategy(row.main)
		if asked.Subresource != "" {
			if strategy, known = row.parts[asked.Subresource]; !known {
				return said, fmt.Errorf("no strategy of %s/%s", resource, asked.Subresource)
			}
		}
		old, err := decode(row.codecs, asked.Old)
		if err != nil {
			return said, err
		}
		row.read(old)
		if said.Before, err = encode(row.codecs, version, old); err != nil {
			return said, err
		}
		// Parts of a service are written without its storage's having a say.
		if asked.Subresource == "" {
			finish, err := row.begin(ctx, object, old)
			if err != nil {
				return said, err
			}
			defer finish()
		}
		if err := rest.BeforeUpdate(strategy, ctx, object, old); err != nil {
			return said, err
		}
	}
	said.Warnings = warnings.texts
	// What is answered was read back from the store, which may fill in what the strategy has taken away.
	stored, err := encode(row.codecs, version, object)
	if err != nil {
		return said, err
	}
	if object, err = decode(row.codecs, stored); err != nil {
		return said, err
	}
	row.read(object)
	said.Object, err = encode(row.codecs, version, object)
	return said, err
}

func decode(codecs serializer.CodecFactory, body []byte) (runtime.Object, error) {
	return runtime.Decode(codecs.UniversalDecoder(), body)
}

func encode(codecs serializer.CodecFactory, version schema.GroupVersion, object runtime.Object) ([]byte, error) {
	for _, info := range codecs.SupportedMediaTypes() {
		if info.MediaType == runtime.ContentTypeJSON {
			text, err := runtime.Encode(codecs.EncoderForVersion(info.Serializer, version), object)
			return bytes.TrimSpace(text), err
		}
	}
	return nil, fmt.Errorf("no JSON for %s", reflect.TypeOf(object))
}
