// Package parallel sets how many tests of a package run at once.
package parallel

import "flag"

// Default is how many do unless -parallel says so. It is called in TestMain, for packages
// whose tests wait for processes most of their time: go test's own default is the number
// of processors.
func Default(n string) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", n) // the flag exists in every test program
	}
}
