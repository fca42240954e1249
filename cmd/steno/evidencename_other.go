//go:build !linux

package main

import (
	"errors"
	"os"
)

// nameless and link are Linux's.
func nameless(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func link(*os.File, string) error { return errors.ErrUnsupported }
