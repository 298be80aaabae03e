package repository

import "devserver-agent/executors/ascend"

// published is the firmware that a driver was published with, as the ModelArts
// bulletins and the board queries of public reports have them. Ranges alone do
// not say it: a driver admits the firmware of many releases.
var published = map[ascend.Version]ascend.Version{
	"23.0.rc3":    "7.0.0.5.242",
	"23.0.0":      "7.1.0.3.220",
	"23.0.1":      "7.1.0.4.220",
	"23.0.2":      "7.1.0.4.220",
	"23.0.3":      "7.1.0.5.220",
	"23.0.5":      "7.1.0.7.220",
	"23.0.6":      "7.1.0.9.220",
	"23.0.7":      "7.1.0.11.220",
	"24.1.rc3.9":  "7.5.0.108.220",
	"24.1.rc3.10": "7.5.0.109.220",
	"24.1.0":      "7.5.0.2.220",
	"24.1.0.1":    "7.5.0.5.220",
	"24.1.0.3":    "7.5.0.5.220",
	"24.1.0.6":    "7.5.0.5.220",
	"24.1.1.1":    "7.5.0.5.220",
	"25.0.rc1.1":  "7.7.0.1.231",
	"25.2.1":      "7.7.0.9.220",
	"25.3.rc1":    "7.8.0.2.212",
	"25.5.1":      "7.8.0.6.201",
	"25.5.2":      "7.8.0.7.220",
}
