package protocol

import (
	"bytes"
	"crypto/ed25519"
	"testing"
)

// samples are messages of every kind by the name of their golden file. What
// comes before the first hyphen is the kind.
func samples(t testing.TB) map[string]any {
	t.Helper()
	key := signer(1)
	return map[string]any{
		"task":                   sampleTask(),
		"task-least":             leastTask(),
		"cancel":                 sampleCancel(),
		"resend":                 sampleResend(),
		"envelope-task":          seal(t, key, sampleTask()),
		"envelope-cancel":        seal(t, key, sampleCancel()),
		"envelope-resend":        seal(t, key, sampleResend()),
		"envelope-unsigned":      seal(t, nil, sampleCancel()),
		"mailbox":                sampleMailbox(t, key),
		"mailbox-empty":          Mailbox{ServerID: "a3-pod", Epoch: "2026-03-01T08:00:00.000000001Z", Statements: []Envelope{}},
		"status-accepted":        sampleAccepted(t, key),
		"status-progress":        sampleProgress(),
		"status-success":         sampleVerdict(),
		"status-failed":          sampleFailure(),
		"status-by-controlplane": Status{TaskID: "task-1", JobID: "job-1", ServerID: "a3-pod", Status: Failed, Phase: Done, Percent: 100, Code: HostLost, Message: "Silent since 2026-03-01T09:00:00Z, in RUNNING.", At: 1772442000000},
		"chunk":                  Chunk{TaskID: "task-1", ServerID: "a3-pod", InstallationID: "inst-1", Item: 1, Offset: 65536, Data: []byte("NPU 3: \xff\x00\n")},
		"facts":                  sampleFacts(),
		"presence":               Presence{ServerID: "a3-pod", InstallationID: "inst-1", BootID: "boot-1", AgentVersion: "v1.2.3", Open: 2, At: 1772355660000},
		"audit":                  AuditLines{ServerID: "a3-pod", InstallationID: "inst-1", At: 1772355660000, Lines: []string{`{"seq":1,"prev":"","at":1772355650000,"event":"STARTED"}`}},
		"notice":                 Notice{ServerID: "a3-pod", InstallationID: "inst-1", Code: NoticeContentChanged, Message: "task task-1 is known with other content", TaskID: "task-1", Digest: digest([]byte("other")), Count: 3, At: 1772355660000},
	}
}

func sampleJob() Job {
	return Job{
		ProjectID: "0d1c", Name: "upgrade <A3> & check", Description: "März", Type: "ASCEND_SOFTWARE_UPGRADE", TemplateID: "tmpl-1",
		UserName: "local", CreatedAt: 1772355600000, ServerCount: 2, Servers: []string{"a2-train", "a3-pod"},
		MaxConcurrent: 10, MaxFailures: 3,
	}
}

func sampleTask() Task {
	return Task{
		TaskID: "task-1", JobID: "job-1", ServerID: "a3-pod", Job: sampleJob(), Type: "ASCEND_SOFTWARE_UPGRADE", IsReboot: true,
		Items: []Item{
			{Type: "HDK_UPGRADE", Spec: map[string]string{"version": "24.1.rc3.10", "force": "true"}},
			{Type: "HDK_QUERY"},
		},
		IssuedAt: 1772355600000, ExpiresAt: 1772355600000 + DefaultExpires.Milliseconds(), TimeoutSeconds: 5400,
	}
}

func leastTask() Task {
	return Task{TaskID: "1", JobID: "1", ServerID: "1", Items: []Item{{Type: "HDK_QUERY"}}, ExpiresAt: 1}
}

func sampleCancel() Cancel {
	return Cancel{TaskID: "task-1", ServerID: "a3-pod", ExpiresAt: 1772960400000, Reason: "job deleted by local"}
}

func sampleResend() Resend {
	return Resend{TaskID: "task-1", ServerID: "a3-pod", Item: 1, From: 65536}
}

func sampleMailbox(t testing.TB, key ed25519.PrivateKey) Mailbox {
	return Mailbox{
		ServerID: "a3-pod", Epoch: "2026-03-01T08:00:00.000000001Z",
		Statements: []Envelope{seal(t, key, sampleTask()), seal(t, key, sampleCancel()), seal(t, key, sampleResend())},
		AcceptedBy: map[string]string{"task-1": "inst-1"},
	}
}

func sampleAccepted(t testing.TB, key ed25519.PrivateKey) Status {
	e := seal(t, key, sampleTask())
	return Status{
		TaskID: "task-1", JobID: "job-1", ServerID: "a3-pod", InstallationID: "inst-1", Seq: 1, Status: Processing, Phase: Accepted,
		Message: "Accepted.", BootID: "boot-1", AgentVersion: "v1.2.3", At: 1772355601000, Envelope: &e,
	}
}

func sampleProgress() Status {
	return Status{
		TaskID: "task-1", JobID: "job-1", ServerID: "a3-pod", InstallationID: "inst-1", Seq: 3, Progress: true, Status: Processing, Phase: Running,
		Item: 0, ItemType: "HDK_UPGRADE", Step: "firmware", Percent: 40, Message: "Firmware of card 3.", BootID: "boot-1", AgentVersion: "v1.2.3", At: 1772355700000,
	}
}

func sampleVerdict() Status {
	return Status{
		TaskID: "task-1", JobID: "job-1", ServerID: "a3-pod", InstallationID: "inst-1", Seq: 9, Status: Success, Phase: Done,
		Item: 1, ItemType: "HDK_QUERY", Percent: 100, Message: "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220", Code: RebootRequired, RebootRequired: true,
		Attempts: 2, Items: []ItemOutput{{Bytes: 100 << 20, Dropped: 36 << 20}, {Bytes: 812}}, BootID: "boot-2", AgentVersion: "v1.2.3", At: 1772357400000,
	}
}

func sampleFailure() Status {
	return Status{
		TaskID: "task-1", JobID: "job-1", ServerID: "a3-pod", InstallationID: "inst-1", Seq: 4, Status: Failed, Phase: Done,
		ItemType: "HDK_QUERY", Percent: 100, Message: "npu-smi did not answer within 20 s.", Code: ToolTimeout, Items: []ItemOutput{{}}, At: 1772357400000,
	}
}

func sampleFacts() Facts {
	return Facts{
		SuperNode: "a3-pod-7",
		ServerID:  "a3-pod", ServerName: "liteserver-a3-pod", CloudServer: CloudServer{Type: "HPS", ID: "cloud-a3-pod"},
		InstallationID: "inst-1", BootID: "boot-1", AgentVersion: "v1.2.3", Hostname: "node-7", OS: "openEuler 22.03", Kernel: "5.10.0-216.aarch64",
		Arch: "aarch64", CPUs: 320, MemoryBytes: 2 << 40, BootedAt: 1772300000000, NPUs: []string{"910_93", "910_93"},
		Executors: append(Catalogue(), ItemType{Type: "site.probe", Template: "COMMON", Description: "Of a plug-in.", Version: "1.0", TimeoutSeconds: 60}),
		Held:      true, Draining: true, At: 1772355660000,
	}
}

// signer is a private key that is the same in every run.
func signer(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func seal(t testing.TB, key ed25519.PrivateKey, statement any) Envelope {
	t.Helper()
	e, err := Seal(key, statement)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
