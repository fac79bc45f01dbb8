package answer_test

import (
	"errors"
	"fmt"

	"longshore/answer"
)

// A refusal has a stable code; client.Error and direct.Error are this type.
func Example() {
	err := fmt.Errorf("submit demo.greet: %w",
		answer.NewError(answer.StoreFull, "there are as many jobs as there may be"))
	var refused *answer.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Status)
	}
	fmt.Println(err)
	// Output:
	// store_full 503
	// submit demo.greet: store_full: there are as many jobs as there may be
}
