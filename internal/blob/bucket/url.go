package bucket

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// A Location is what a URL like
//
//	s3://bucket/prefix?endpoint=https://minio.example.com&region=eu-central-1
//
// says. Its parameters: endpoint (default: AWS), public_endpoint (where clients reach
// it, if that is another), region, path_style (true or
// false; the default is true with an endpoint), and part_size (like 64MiB: a
// blob has at most 10,000 parts, and each upload holds one in memory).
type Location struct {
	Bucket    string
	Prefix    string // of all keys: "" or one that ends in a slash
	Endpoint  string // "" = AWS's for the region
	Public    string // the address that clients reach, for what is signed for them; "" = Endpoint
	Region    string // "" = not said
	PathStyle bool   // the bucket is in the path, not in the host's name
	PartSize  int64  // bytes
}

const (
	defaultPart = 5 << 20 // S3's smallest
	maxPart     = 1 << 30
)

// Form is what is said to who writes another URL.
const form = "expected s3://bucket/prefix?endpoint=https://host&region=name, where all but the bucket may be left out"

// bucketForm is S3's own rule for names, where a few old buckets break it.
var bucketForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`)

// ParseURL reads the URL of a bucket. Its errors show nothing of the URL but
// names of parameters: somebody may have put a password there.
func ParseURL(text string) (Location, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" {
		return Location{}, errors.New(form)
	}
	if u.User != nil {
		return Location{}, errors.New("credentials don't belong into the URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	if !bucketForm.MatchString(u.Host) {
		return Location{}, fmt.Errorf("no valid name of a bucket after s3://; %s", form)
	}
	l := Location{Bucket: u.Host, PartSize: defaultPart}
	if l.Prefix, err = prefix(u.Path); err != nil {
		return Location{}, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Location{}, errors.New(form)
	}
	l.PathStyle = query.Get("endpoint") != ""
	for name, values := range query {
		if err := l.set(name, values); err != nil {
			return Location{}, err
		}
	}
	return l, nil
}

// prefix turns the path of a URL into the prefix of keys.
func prefix(path string) (string, error) {
	path = strings.Trim(path, "/")
	if path == "" {
		return "", nil
	}
	for element := range strings.SplitSeq(path, "/") {
		if element == "" || element == "." || element == ".." {
			return "", errors.New("the prefix has an empty element or a dot for one")
		}
	}
	if len(path) > 256 {
		return "", errors.New("the prefix has more than 256 bytes")
	}
	return path + "/", nil
}

func (l *Location) set(name string, values []string) (err error) {
	if len(values) != 1 {
		return fmt.Errorf("%s is there twice", name)
	}
	switch value := values[0]; name {
	case "endpoint":
		l.Endpoint, err = value, checkEndpoint(name, value)
	case "public_endpoint":
		l.Public, err = value, checkEndpoint(name, value)
	case "region":
		l.Region = value
	case "path_style":
		if l.PathStyle, err = strconv.ParseBool(value); err != nil {
			err = errors.New("path_style: expected true or false")
		}
	case "part_size":
		l.PartSize, err = partSize(value)
	default:
		err = errors.New("a parameter other than endpoint, public_endpoint, region, path_style and part_size")
	}
	return err
}

func checkEndpoint(name, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New(name + ": expected an address like https://minio.example.com:9000, without a password")
	}
	return nil
}

func partSize(text string) (int64, error) {
	mib, err := strconv.ParseInt(strings.TrimSuffix(text, "MiB"), 10, 64)
	if err != nil || !strings.HasSuffix(text, "MiB") || mib < defaultPart>>20 || mib > maxPart>>20 {
		return 0, errors.New("part_size: expected 5MiB to 1024MiB")
	}
	return mib << 20, nil
}
