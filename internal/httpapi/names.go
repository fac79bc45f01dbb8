package httpapi

import (
	"errors"
	"strings"
)

// CheckName says what is wrong with the name of a schedule or a limit.
func CheckName(name string) error {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	if name == "" || len(name) > 64 || strings.Trim(name, plain) != "" || strings.Trim(name, ".") == "" {
		return errors.New("expected 1 to 64 letters, digits, dots, dashes and underscores")
	}
	return nil
}
