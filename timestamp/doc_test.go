package timestamp_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestSpecListsEveryReason keeps the page and the code the same.
func TestSpecListsEveryReason(t *testing.T) {
	code, err := os.ReadFile("reason.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/spec/timestamp.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`Reason = "([a-z-]+)"`).FindAllStringSubmatch(string(code), -1)
	if rows := strings.Count(string(page), "\n| `"); rows != len(reasons) {
		t.Errorf("the page has %d reasons, the code %d", rows, len(reasons))
	}
	for _, r := range reasons {
		if !strings.Contains(string(page), "\n| `"+r[1]+"` |") {
			t.Errorf("the page does not list %s", r[1])
		}
	}
}
