package api

import (
	"cmp"
	"net/url"
	"strconv"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// jobAnswer is DevServerJobResponse of the API pages.
type jobAnswer struct {
	CreateAt      any             `json:"create_at"`
	UpdateAt      any             `json:"update_at"`
	ID            string          `json:"id"`
	Name          string          `json:"name"`
	Description   string          `json:"description,omitempty"`
	Type          string          `json:"type"`
	Status        string          `json:"status"`
	Items         []protocol.Item `json:"items"`
	Tasks         []taskAnswer    `json:"tasks"`
	TemplateID    string          `json:"template_id"`
	UserName      string          `json:"user_name"`
	AbnormalCount int             `json:"abnormal_count"`
	Warnings      []string        `json:"warnings,omitempty"` // of the answer to POST only
	controlAnswer
}

// controlAnswer is what this project adds to a job: how much of it may happen at
// once, and why it does not go on if it does not.
type controlAnswer struct {
	MaxConcurrent int          `json:"max_concurrent,omitempty"` // absent: no limit
	MaxFailures   int          `json:"max_failures,omitempty"`   // absent: no limit
	Message       string       `json:"message,omitempty"`
	Halted        bool         `json:"halted,omitempty"` // max_failures was reached
	Paused        *orderAnswer `json:"paused,omitempty"`
	Cancelled     *orderAnswer `json:"cancelled,omitempty"`
	Stopped       *orderAnswer `json:"stopped,omitempty"` // the whole fleet is, and tasks wait for it
}

// orderAnswer is what an operator said, and since when it holds.
type orderAnswer struct {
	Since  any    `json:"since"`
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// taskAnswer is DevServerTaskResponse, and after it what this project adds.
type taskAnswer struct {
	CreateAt    any               `json:"create_at"`
	UpdateAt    any               `json:"update_at"`
	ID          string            `json:"id"`
	ServerID    string            `json:"server_id"`
	ServerName  string            `json:"server_name"`
	CloudServer map[string]string `json:"cloud_server,omitempty"`
	Status      protocol.State    `json:"status"`
	Message     string            `json:"message"`

	Phase          protocol.Phase        `json:"phase,omitempty"`
	Step           string                `json:"step,omitempty"`
	Percent        int                   `json:"percent"`
	Code           protocol.Code         `json:"code,omitempty"`
	Remedy         string                `json:"remedy,omitempty"`
	AcceptedBy     string                `json:"accepted_by,omitempty"`
	SilentSince    any                   `json:"silent_since,omitempty"`
	RebootRequired bool                  `json:"reboot_required,omitempty"`
	Attempts       int                   `json:"attempts,omitempty"`
	Output         []protocol.ItemOutput `json:"output,omitempty"`
	Late           []lateAnswer          `json:"late,omitempty"`
}

// lateAnswer is a verdict that came after the verdict.
type lateAnswer struct {
	Status         protocol.State `json:"status"`
	Code           protocol.Code  `json:"code,omitempty"`
	Message        string         `json:"message"`
	InstallationID string         `json:"installation_id,omitempty"`
	At             any            `json:"at"`
}

// listAnswer is DevServerJobListResponse.
type listAnswer struct {
	CreateAt      any    `json:"create_at"`
	UpdateAt      any    `json:"update_at"`
	ID            string `json:"id"`
	Name          string `json:"name"`
	UserName      string `json:"user_name"`
	Description   string `json:"description,omitempty"`
	Type          string `json:"type"`
	Status        string `json:"status"`
	AbnormalCount int    `json:"abnormal_count"`
	controlAnswer
}

// fleetPage is a page of a list, and whether the fleet is stopped.
type fleetPage[T any] struct {
	pageAnswer[T]
	Stopped *orderAnswer `json:"stopped,omitempty"`
}

// pageAnswer is a page of a list.
type pageAnswer[T any] struct {
	Current int `json:"current"`
	Data    []T `json:"data"`
	Pages   int `json:"pages"`
	Size    int `json:"size"`
	Total   int `json:"total"`
}

// millis is a time as this API was told to give it.
func (a *api) millis(ms int64) any {
	if a.NumericTimes {
		return ms
	}
	return strconv.FormatInt(ms, 10)
}

func (a *api) jobAnswer(j view.Job) jobAnswer {
	out := jobAnswer{
		CreateAt: a.millis(j.CreatedAt), UpdateAt: a.millis(j.UpdatedAt), ID: j.ID, Name: j.Name,
		Description: j.Description, Type: j.Type, Status: j.Status, Items: j.Items,
		Tasks: []taskAnswer{}, TemplateID: j.TemplateID, UserName: j.UserName, AbnormalCount: j.Abnormal,
		controlAnswer: a.controlAnswer(j),
	}
	for _, t := range j.Tasks {
		out.Tasks = append(out.Tasks, a.taskAnswer(t))
	}
	return out
}

func (a *api) taskAnswer(t view.Task) taskAnswer {
	out := taskAnswer{
		CreateAt: a.millis(t.CreatedAt), UpdateAt: a.millis(t.UpdatedAt), ID: t.ID,
		ServerID: t.ServerID, ServerName: t.ServerName, CloudServer: cloudServer(t.CloudServer),
		Status: t.Status, Message: t.Message,
		Phase: t.Phase, Step: t.Step, Percent: t.Percent, Code: t.Code, Remedy: protocol.Advice(t.Code, t.Message),
		AcceptedBy: t.AcceptedBy, RebootRequired: t.RebootRequired, Attempts: t.Attempts, Output: t.Items,
	}
	if t.SilentSince != 0 {
		out.SilentSince = a.millis(t.SilentSince)
	}
	for _, late := range t.Late {
		out.Late = append(out.Late, a.lateAnswer(late))
	}
	return out
}

func (a *api) lateAnswer(v jobs.Verdict) lateAnswer {
	return lateAnswer{Status: v.Status, Code: v.Code, Message: v.Message, InstallationID: v.InstallationID, At: a.millis(v.At)}
}

func (a *api) listAnswer(j view.Job) listAnswer {
	return listAnswer{
		CreateAt: a.millis(j.CreatedAt), UpdateAt: a.millis(j.UpdatedAt), ID: j.ID, Name: j.Name,
		UserName: j.UserName, Description: j.Description, Type: j.Type, Status: j.Status, AbnormalCount: j.Abnormal,
		controlAnswer: a.controlAnswer(j),
	}
}

func (a *api) controlAnswer(j view.Job) controlAnswer {
	return controlAnswer{
		MaxConcurrent: j.MaxConcurrent, MaxFailures: j.MaxFailures, Message: j.Message, Halted: j.Halted != nil,
		Paused: a.order(j.Paused), Cancelled: a.order(j.Cancelled), Stopped: a.order(j.Stopped),
	}
}

func (a *api) order(o *jobs.Order) *orderAnswer {
	if o == nil {
		return nil
	}
	return &orderAnswer{Since: a.millis(o.At), By: o.By, Reason: o.Reason}
}

func cloudServer(c protocol.CloudServer) map[string]string {
	if cmp.Or(c.ID, c.Type) == "" {
		return nil
	}
	return map[string]string{"id": c.ID, "type": c.Type}
}

// paging reads which page of a list is asked for. Without a limit it is 0.
func paging(query url.Values) (limit, offset int, err error) {
	if limit, err = number(query, "limit"); err != nil {
		return 0, 0, err
	}
	offset, err = number(query, "offset")
	return limit, offset, err
}

// number reads a query parameter, 0 when it is not there.
func number(query url.Values, name string) (int, error) {
	text := query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badRequest("%s must be a number from 0, it is %.80q", name, text)
	}
	return n, nil
}

// page cuts one page out of a list. Without a limit everything is one page.
func page[T, A any](all []T, limit, offset int, answer func(T) A) pageAnswer[A] {
	out := pageAnswer[A]{Current: 1, Pages: 1, Data: []A{}, Total: len(all)}
	from, to := min(offset, len(all)), len(all)
	if limit > 0 {
		to = min(from+limit, len(all))
		out.Current = offset/limit + 1
		out.Pages = max(1, (len(all)+limit-1)/limit)
	}
	for _, one := range all[from:to] {
		out.Data = append(out.Data, answer(one))
	}
	out.Size = len(out.Data)
	return out
}
