package config

import (
	"reflect"
	"strings"
)

// environment puts the variables of environ over the configuration. A variable without a value counts as not set. A name with
// the prefix that is no key is a finding only where it is a slip away from one:
// other parts of the agent have variables of their own.
func (l *loader) environment(environ []string) {
	byEnv := map[string]Key{}
	var names []string
	for _, k := range Keys() {
		byEnv[k.Env] = k
		names = append(names, k.Env)
	}
	for _, variable := range environ {
		name, text, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, EnvPrefix) || text == "" {
			continue
		}
		key, ok := byEnv[name]
		if !ok {
			if near := closest(name, names); near != "" {
				l.findings = append(l.findings, "unknown variable "+name+"; did you mean "+near+"?")
			}
			continue
		}
		l.origin[key.Path] = name
		l.fromEnv(key, text)
	}
}

func (l *loader) fromEnv(key Key, text string) {
	v := key.in(&l.config)
	if v.Kind() == reflect.Slice {
		list := strings.Split(text, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
		v.Set(reflect.ValueOf(list))
		return
	}
	if err := setText(v, text); err != nil {
		l.find(key.Path, "%v", err)
	}
}
