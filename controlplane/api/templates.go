package api

import (
	"net/http"

	"devserver-agent/controlplane/templates"
)

// templateAnswer is DevServerTemplateListResponse.
type templateAnswer struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Type        string            `json:"type"`
	FlavorType  string            `json:"flavor_type"`
	Params      []templates.Param `json:"params"`
}

func (a *api) templates(r *http.Request, b *Backend) (any, error) {
	query := r.URL.Query()
	limit, offset, err := paging(query)
	if err != nil {
		return nil, err
	}
	var kept []templates.Template
	for _, t := range a.Templates.List(b.View.Announced(nil)) {
		if matches(query.Get("id"), t.ID) && matches(query.Get("name"), t.Name) && matches(query.Get("type"), t.Type) {
			kept = append(kept, t)
		}
	}
	return page(kept, limit, offset, func(t templates.Template) templateAnswer {
		return templateAnswer{t.ID, t.Name, t.Description, t.Type, t.FlavorType, t.Params}
	}), nil
}

func matches(wanted, value string) bool { return wanted == "" || wanted == value }

func (a *api) template(r *http.Request, b *Backend) (any, error) {
	id := r.PathValue("id")
	for _, t := range a.Templates.List(b.View.Announced(nil)) {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, fail(http.StatusNotFound, codeNotFound, "there is no template %.80q", id)
}
