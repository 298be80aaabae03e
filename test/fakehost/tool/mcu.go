package tool

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/test/fakehost"
)

// upgrades are the actions of npu-smi upgrade, by option.
var upgrades = map[string]func(*call, int, []string) int{
	"-b": (*call).mcuVersion, "-t": (*call).mcuWrite, "-q": (*call).mcuStatus, "-a": (*call).mcuRun,
}

// upgrade plays npu-smi upgrade -b|-t|-q|-a mcu -i CARD [-f IMAGE], with the texts
// of published runs on an Atlas 800I A2. A writer that is killed leaves the old image,
// and one that meets another is told to wait.
func (c *call) upgrade(args []string) int {
	card, err := strconv.Atoi(option(args, "-i"))
	if err != nil || len(c.chipsOf(card)) == 0 {
		c.printf("Invalid card id.\nError parameter of -i\n")
		c.usage()
		return rcInvalid
	}
	for flag, play := range upgrades {
		if option(args, flag) == "mcu" {
			return play(c, card, args)
		}
	}
	c.printf("Error parameter of upgrade\n")
	c.usage()
	return rcInvalid
}

func (c *call) mcuVersion(card int, _ []string) int {
	c.field("Version", c.state.MCUOf(card))
	return 0
}

func (c *call) mcuStatus(card int, _ []string) int {
	if c.state.MCUWritten[card] != "" {
		c.field("Message", "need active mcu")
		return 0
	}
	c.field("Message", "no upgrade is in progress")
	return 0
}

func (c *call) mcuWrite(card int, args []string) int {
	c.printf("[WARNING]: Do not power off or restart the system during the upgrade.\n")
	version, err := readImage(option(args, "-f"), c.state.Profile().Chip)
	if err != nil {
		c.field("Validity", "fail")
		c.printf("cms_validate_sign operate file err. Error:%v\n", err)
		return 1
	}
	c.field("Validity", "success")
	lock, err := c.mcuLock()
	if err != nil {
		c.printf("Updating. Please try again later.\n")
		return 1
	}
	defer lock.Close()
	c.printf("\nfile_len(554991)--offset(554991) [100].\n")
	c.field("transfile", "successfully")
	c.field("Status", "start to upgrade")
	for percent := range 4 {
		time.Sleep(c.state.Pace / 4)
		c.printf("Start upgrade [%d].\r", (percent+1)*25)
		if c.out.Flush() != nil {
			return 1
		}
	}
	if fault, fails := c.state.Hits(fakehost.MCUFails, card); fails {
		c.printf("\n%s\n", fault.String("says", "Failed to upgrade the MCU firmware."))
		return 0
	}
	err = c.host.Update(func(s *fakehost.State) error {
		if s.MCUWritten == nil {
			s.MCUWritten = map[int]string{}
		}
		s.MCUWritten[card] = version
		return nil
	})
	if err != nil {
		c.printf("%v\n", err)
		return 1
	}
	c.printf("\n")
	c.field("Status", "OK")
	c.field("Message", "Start device upgrade successfully")
	c.field("Message", "need active mcu")
	return 0
}

func (c *call) mcuRun(card int, _ []string) int {
	err := c.host.Update(func(s *fakehost.State) error {
		written := s.MCUWritten[card]
		if written == "" {
			return errors.New("no new image to run")
		}
		delete(s.MCUWritten, card)
		if _, stays := s.Hits(fakehost.MCUStaysOld, card); stays {
			return nil
		}
		if s.MCU == nil {
			s.MCU = map[int]string{}
		}
		s.MCU[card] = written
		return nil
	})
	if err != nil {
		c.field("Status", "fail")
		c.field("Message", err)
		return 1
	}
	c.field("Status", "OK")
	c.field("Message", "The upgrade has taken effect after performed reboot successfully.")
	return 0
}

// mcuLock keeps two images from being written at one time on a host.
func (c *call) mcuLock() (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(c.host.Dir(), "run", "mcu.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// readImage reads which version an image is of.
func readImage(path, chip string) (version string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	line, _ := bufio.NewReader(file).ReadString('\n')
	var whose string
	if _, err := fmt.Sscanf(line, fakehost.Magic[fakehost.HPM]+"%s %s\n", &whose, &version); err != nil || whose != chip {
		return "", errors.New(strconv.Itoa(int(unix.EBADMSG)))
	}
	return version, nil
}
