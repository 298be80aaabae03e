package objects_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/cmd/devserverctl/objects"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/brokertest"
)

const (
	driver   = "Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run"
	firmware = "Ascend-hdk-910b-npu-firmware_7.5.0.5.220.run"
)

func TestPush(t *testing.T) {
	broker, err := brokertest.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	push := func() (told []string, err error) {
		err = objects.Push(context.Background(), objects.Broker{URL: broker.ClientURL()}, "hdk", os.DirFS(dir), func(name string, sent bool) {
			if sent {
				told = append(told, name)
			}
		})
		return told, err
	}
	if _, err := push(); err == nil || !strings.Contains(err.Error(), "hdk index") {
		t.Errorf("without an index: %v", err)
	}
	write(driver, "#!the driver")
	write(firmware, "#!the firmware")
	declared := func(kind repository.Kind, version ascend.Version, file, text string) repository.Package {
		return repository.Package{Kind: kind, Chip: ascend.Chip910B, Arch: repository.NoArch, Version: version, File: file, Size: int64(len(text)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(text)))}
	}
	raw, err := json.Marshal(repository.Index{Releases: []repository.Release{{Version: "24.1.0", Packages: []repository.Package{
		declared(repository.Driver, "24.1.0", driver, "#!the driver"), declared(repository.Firmware, "7.5.0.2.220", firmware, "#!the firmware"),
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	write(repository.IndexFile, string(raw))
	for _, want := range [][]string{{driver, firmware, repository.IndexFile}, {repository.IndexFile}} {
		sent, err := push()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
	}
	store := bucket(t, broker.ClientURL())
	if got, err := store.GetString(context.Background(), firmware); err != nil || got != "#!the firmware" {
		t.Errorf("got %q, %v", got, err)
	}
	write(firmware, "another one")
	if err := store.Delete(context.Background(), firmware); err != nil {
		t.Fatal(err)
	}
	if _, err := push(); err == nil || !strings.Contains(err.Error(), "not what the index declares") {
		t.Errorf("a package that is not the index's: %v", err)
	}
	if _, err := store.GetInfo(context.Background(), firmware); err == nil {
		t.Error("it was left there")
	}
}

func bucket(t *testing.T, url string) jetstream.ObjectStore {
	t.Helper()
	js := brokertest.JetStream(t, url)
	store, err := js.ObjectStore(context.Background(), "hdk")
	if err != nil {
		t.Fatal(err)
	}
	return store
}
