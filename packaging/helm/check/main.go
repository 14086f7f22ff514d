// Command check reads what helm rendered and holds it to the types of the Kubernetes API, strictly: a field that is misspelt
// or in the wrong place is an error, where the API server would drop it. It also wants of every pod what the chart promises:
// no root, no privilege, a root file system that is read-only, bounded memory, and probes where it serves. It prints the
// kinds it read, and writes the files of ConfigMaps into the folder named.
//
//	helm template stocktake ... | check FOLDER
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	if err := run(os.Stdin, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, folder string) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{core.AddToScheme, apps.AddToScheme, batch.AddToScheme, networking.AddToScheme, policy.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewYAMLReader(bufio.NewReader(in))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		object, kind, err := decoder.Decode(document, nil, nil)
		if err == nil {
			err = judge(object, folder)
		}
		if err != nil {
			return fmt.Errorf("%w in\n%s", err, document)
		}
		fmt.Println(kind.Kind)
	}
}

func judge(object runtime.Object, folder string) error {
	switch o := object.(type) {
	case *core.ConfigMap:
		for name, text := range o.Data {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				return err
			}
		}
	case *apps.Deployment:
		return pod(&o.Spec.Template, o.Spec.Selector.MatchLabels, true)
	case *apps.StatefulSet:
		return pod(&o.Spec.Template, o.Spec.Selector.MatchLabels, true)
	case *batch.Job:
		return pod(&o.Spec.Template, nil, false)
	}
	return nil
}

func pod(p *core.PodTemplateSpec, selector map[string]string, serves bool) error {
	for name, value := range selector {
		if p.Labels[name] != value {
			return fmt.Errorf("its selector wants the label %s=%s, which its pods do not have", name, value)
		}
	}
	volumes := map[string]bool{"data": true} // of the claim
	for _, v := range p.Spec.Volumes {
		volumes[v.Name] = true
	}
	s := p.Spec.SecurityContext
	if s == nil || !is(s.RunAsNonRoot) || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || is(p.Spec.AutomountServiceAccountToken) {
		return errors.New("the pod may run as root, without seccomp or with a token of the cluster")
	}
	for _, c := range p.Spec.Containers {
		s := c.SecurityContext
		if s == nil || !is(s.ReadOnlyRootFilesystem) || s.AllowPrivilegeEscalation == nil || is(s.AllowPrivilegeEscalation) || s.Capabilities == nil || len(s.Capabilities.Drop) == 0 {
			return errors.New("the container may write its root, gain privileges or keep capabilities")
		}
		if c.Resources.Limits.Memory().IsZero() {
			return errors.New("the container's memory is not bounded")
		}
		if serves && (c.LivenessProbe == nil || c.ReadinessProbe == nil) {
			return errors.New("the container has no probes")
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				return fmt.Errorf("the container mounts %s, which is no volume of the pod", m.Name)
			}
		}
	}
	return nil
}

func is(b *bool) bool { return b != nil && *b }
