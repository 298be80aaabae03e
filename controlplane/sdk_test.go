package controlplane

import (
	"errors"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	modelarts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/modelarts/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/modelarts/v1/model"
)

func sdkClient(t *testing.T, p *plane) *modelarts.ModelArtsClient {
	t.Helper()
	credentials, err := basic.NewCredentialsBuilder().WithAk("ak").WithSk("sk").WithProjectId(project).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	client, err := modelarts.ModelArtsClientBuilder().WithEndpoints([]string{"http://" + p.Addr()}).WithCredential(credentials).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return modelarts.NewModelArtsClient(client)
}

func TestHuaweisSDKCreatesListsGetsAndDeletes(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	p.host("server-a", succeed).facts("lite-a")
	client := sdkClient(t, p)
	description, reboot := "Task description.", true
	created, err := client.CreateDevServerJob(&model.CreateDevServerJobRequest{Body: &model.DevServerJobCreateRequest{
		Name: "hdk_upgrade_task", Description: &description, ServerIds: []string{"server-a"}, Type: "HDK_UPGRADE", IsReboot: &reboot,
		Items: []model.DevServerJobItem{{Type: "HDK_UPGRADE", Spec: map[string]string{"version": "24.1.rc3.10"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if *created.Type != "ASCEND_SOFTWARE_UPGRADE" || *created.TemplateId != "6f02d33b-a5d6-485c-8d73-480da5870512" || *created.UserName != "local" {
		t.Errorf("created %+v", created)
	}
	p.finished(*created.Id)
	got, err := client.GetDevServerJob(&model.GetDevServerJobRequest{Id: *created.Id})
	if err != nil {
		t.Fatal(err)
	}
	task := (*got.Tasks)[0]
	if *got.Status != "FINISHED" || *got.AbnormalCount != 0 || *task.Status != "SUCCESS" || *task.ServerName != "lite-a" ||
		task.CloudServer["type"] != "BMS" || *task.Message != "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220" {
		t.Errorf("got %+v", got)
	}
	kind, visible := "ASCEND_SOFTWARE_UPGRADE", true
	listed, err := client.ListDevServerJobs(&model.ListDevServerJobsRequest{Id: created.Id, Type: &kind, Visible: &visible})
	if err != nil {
		t.Fatal(err)
	}
	if *listed.Total != 1 || *listed.Current != 1 || *listed.Pages != 1 || *listed.Size != 1 || *(*listed.Data)[0].Name != "hdk_upgrade_task" {
		t.Errorf("listed %+v", listed)
	}
	deleted, err := client.DeleteDevServerJobs(&model.DeleteDevServerJobsRequest{Body: &model.ServerJobDeleteRequest{JobIds: &[]string{*created.Id}}})
	if err != nil {
		t.Fatal(err)
	}
	if *deleted.Total != 1 || *(*deleted.Data)[0].Status != "DELETED" {
		t.Errorf("deleted %+v", deleted)
	}
	if listed, err = client.ListDevServerJobs(&model.ListDevServerJobsRequest{}); err != nil || *listed.Total != 0 {
		t.Errorf("a deleted job is listed: %+v %v", listed, err)
	}
	status := "DELETED"
	if listed, err = client.ListDevServerJobs(&model.ListDevServerJobsRequest{Status: &status}); err != nil || *listed.Total != 1 {
		t.Errorf("a deleted job is not listed as such: %+v %v", listed, err)
	}
	if got, err = client.GetDevServerJob(&model.GetDevServerJobRequest{Id: *created.Id}); err != nil || *got.Status != "DELETED" {
		t.Errorf("a deleted job is not answered by its id: %+v %v", got, err)
	}
}

func TestHuaweisSDKReadsTemplatesAndErrors(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	client := sdkClient(t, p)
	listed, err := client.ListDevServerJobTemplates(&model.ListDevServerJobTemplatesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range *listed.Data {
		got, err := client.GetDevServerJobTemplate(&model.GetDevServerJobTemplateRequest{Id: *template.Id})
		if err != nil {
			t.Fatal(err)
		}
		if *got.Type != *template.Type || *got.Timeout == "" || *got.CheckInterval == "" {
			t.Errorf("template %+v", got)
		}
	}
	_, err = client.GetDevServerJob(&model.GetDevServerJobRequest{Id: "none"})
	var failed *sdkerr.ServiceResponseError
	if !errors.As(err, &failed) || failed.StatusCode != 404 || failed.ErrorCode != "ModelArts.5058" || failed.ErrorMessage == "" || failed.RequestId == "" {
		t.Errorf("error is %v", err)
	}
}
