package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// resume is a file beside the data that says how far an earlier run of the same command came.
type resume struct {
	file string
	State
}

// State is what a resume file holds. Job tells runs of different commands apart.
type State struct {
	Job   string `json:"job"`
	Rows  int64  `json:"rows"`            // finished
	Bytes int64  `json:"bytes,omitempty"` // of the output
	Next  string `json:"next,omitempty"`  // id where an export goes on, as JSON
}

// openResume reads the state of an earlier run of the same job; another one's does not count.
func openResume(file, job string) (*resume, error) {
	r := &resume{file: file, State: State{Job: job}}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	var earlier State
	if json.Unmarshal(data, &earlier) == nil && earlier.Job == job {
		r.State = earlier
	}
	return r, nil
}

// save replaces the file, so that a crash leaves the old one or the new one.
func (r *resume) save() error {
	data, err := json.Marshal(r.State)
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.file+".tmp", data, 0o644); err != nil {
		return err
	}
	return os.Rename(r.file+".tmp", r.file)
}

// finish removes the file: there is nothing left to go on with.
func (r *resume) finish() error {
	if err := os.Remove(r.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
