package bucket

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"longshore/internal/blob"
)

var _ blob.Ruled = (*Store)(nil)

// sumHeader is what a part comes with whose bytes are to be checked.
const sumHeader = "x-amz-checksum-sha256"

// least is after how many days a rule may end uploads: they live a day after their last part.
const least = 2

// Rules looks at the bucket's rules for pages of other origins and for what is old. They are the owner's to
// make: we need no right to look at them.
func (s *Store) Rules(parent context.Context) []blob.Rule {
	ctx, cancel := context.WithTimeout(parent, smallTimeout)
	defer cancel()
	cors, err := s.api.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: &s.bucket})
	list := []blob.Rule{{Name: "bucket CORS", Detail: unseen(err, "GetBucketCORS")}}
	if err == nil {
		list[0] = judgeCORS(cors.CORSRules)
	} else if code(err) == "NoSuchCORSConfiguration" {
		list[0] = judgeCORS(nil)
	}
	old, err := s.api.GetBucketLifecycleConfiguration(ctx,
		&s3.GetBucketLifecycleConfigurationInput{Bucket: &s.bucket})
	switch {
	case err == nil:
		return append(list, s.judgeOld(old.Rules)...)
	case code(err) == "NoSuchLifecycleConfiguration":
		return append(list, s.judgeOld(nil)...)
	}
	return append(list, blob.Rule{Name: lifecycle, Detail: unseen(err, "GetLifecycleConfiguration")})
}

// unseen says why rules can't be looked at, which is no fault.
func unseen(err error, right string) string {
	switch status(err) {
	case http.StatusForbidden:
		return "its rules may not be looked at (right " + right + ")"
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return "the server has no such rules"
	}
	return fmt.Sprintf("its rules can't be seen: %v", err)
}

func judgeCORS(rules []types.CORSRule) blob.Rule {
	r := blob.Rule{Name: "bucket CORS", Fix: "docs/blobs.md has the rule"}
	var origins []string
	for _, rule := range rules {
		if !slices.Contains(rule.AllowedMethods, http.MethodPut) {
			continue
		}
		if !slices.ContainsFunc(rule.AllowedHeaders, allowsSum) {
			r.Bad = true
			r.Detail = "its rule for PUT doesn't allow the header " + sumHeader + ": pages can't send a part with its sum"
			continue
		}
		origins = append(origins, rule.AllowedOrigins...)
	}
	switch {
	case len(origins) > 0:
		return blob.Rule{Name: r.Name, Detail: "pages of " + strings.Join(origins, ", ") + " may send files straight to it"}
	case r.Bad:
	case len(rules) > 0:
		r.Bad, r.Detail = true, "its rules let no page send files straight to it, by PUT"
	default:
		r.Detail, r.Fix = "it has no rule: no page sends files straight to it (docs/blobs.md)", ""
	}
	return r
}

// allowsSum reports whether a pattern of headers, with at most one star, fits that of the sum.
func allowsSum(pattern string) bool {
	before, after, star := strings.Cut(strings.ToLower(pattern), "*")
	return before == sumHeader ||
		star && strings.HasPrefix(sumHeader, before) && strings.HasSuffix(sumHeader, after)
}

const lifecycle = "bucket lifecycle"

func (s *Store) judgeOld(rules []types.LifecycleRule) (list []blob.Rule) {
	ends := int32(0) // days after which uploads are ended
	for _, rule := range rules {
		prefix, tagged := scope(&rule)
		if rule.Status != types.ExpirationStatusEnabled || tagged ||
			!strings.HasPrefix(s.prefix, prefix) && !strings.HasPrefix(prefix, s.prefix) {
			continue // our objects have no tags
		}
		if e := rule.Expiration; e != nil && (e.Days != nil || e.Date != nil) {
			list = append(list, blob.Rule{Name: lifecycle, Bad: true,
				Fix:    "let no rule expire objects below " + s.prefix + ": they go with their jobs",
				Detail: fmt.Sprintf("rule %q deletes files of jobs that are still kept", aws.ToString(rule.ID))})
		}
		if a := rule.AbortIncompleteMultipartUpload; a != nil && strings.HasPrefix(s.prefix, prefix) {
			if days := aws.ToInt32(a.DaysAfterInitiation); ends == 0 || days < ends {
				ends = days
			}
		}
	}
	const fix = "docs/blobs.md has the rule"
	switch {
	case ends == 0:
		list = append(list, blob.Rule{Name: lifecycle, Bad: true, Fix: fix,
			Detail: "no rule ends uploads that nobody completes: parts that come late, or while no process runs, stay"})
	case ends < least:
		list = append(list, blob.Rule{Name: lifecycle, Bad: true, Fix: fix,
			Detail: fmt.Sprintf("uploads are ended after %d day, also those that still come", ends)})
	default:
		list = append(list, blob.Rule{Name: lifecycle,
			Detail: fmt.Sprintf("uploads that nobody completes are ended after %d days", ends)})
	}
	return list
}

// scope is what a rule is for; tagged: only for objects with tags, or of some sizes.
func scope(rule *types.LifecycleRule) (prefix string, tagged bool) {
	f := rule.Filter
	switch {
	case f == nil:
		return aws.ToString(rule.Prefix), false //nolint:staticcheck // the form before there were filters
	case f.And != nil:
		return aws.ToString(f.And.Prefix), len(f.And.Tags) > 0
	}
	return aws.ToString(f.Prefix), f.Tag != nil
}
