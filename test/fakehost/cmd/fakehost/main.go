// Command fakehost builds, boots, breaks and shows fake Ascend hosts; the tools of
// such a host start it too, as "fakehost tool NAME --host DIR -- ARGS", or as their
// interpreter, which reads those words in the script.
package main

import (
	"fmt"
	"os"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}
