package stream_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"longshore/internal/jq"
	"longshore/internal/stream"
)

// show sends an input through stages to standard output.
func show(input string, stages ...stream.Stage) *stream.Report {
	p, err := stream.NewPipeline(stages...)
	if err != nil {
		fmt.Println(err)
		return nil
	}
	report, err := p.Run(context.Background(), os.Stdout, strings.NewReader(input), stream.Options{})
	if err != nil {
		fmt.Println(err)
	}
	return report
}

func compiled(source string) *jq.Expr {
	e, err := jq.Compile(source)
	if err != nil {
		panic(err)
	}
	return e
}

func ExamplePipeline() {
	rows := "name,status\nquay,200\ncrane,503\nferry,x\n"
	report := show(rows, stream.CSV(stream.CSVOptions{}), stream.Map(compiled(".status |= (tonumber? // 0)")),
		stream.Filter(compiled(".status >= 500")), stream.NDJSON())
	fmt.Println(report.RecordsIn, "records read")
	// Output:
	// {"name":"crane","status":503}
	// 3 records read
}

func ExampleNewPipeline() {
	_, err := stream.NewPipeline(stream.Filter(compiled(".status >= 500")))
	fmt.Println(err)
	// Output: stage 1: filter can't take bytes
}

func ExampleCSV() {
	show("a;b\r\n1;\"x\"\"y\"\r\n", stream.CSV(stream.CSVOptions{Delimiter: ';'}))
	// Output: {"a":"1","b":"x\"y"}
}

func ExampleReadCSV() {
	show("1,2\n", stream.ReadCSV(stream.CSVOptions{NoHeader: true, Columns: []string{"x", "y"}}))
	// Output: {"x":"1","y":"2"}
}

func ExampleWriteCSV() {
	show(`{"b":[1],"a":"x,y"}`, stream.NDJSON(),
		stream.WriteCSV(stream.CSVOptions{Columns: []string{"a", "b"}}))
	// Output:
	// a,b
	// "x,y",[1]
}

func ExampleNDJSON() {
	show("{\"a\":1}\n\n{\"a\":", stream.NDJSON())
	// Output: ndjson: line 3 at byte 14: JSON ends too early
}

func ExampleSplitLines() {
	show("no newline at the end", stream.SplitLines())
	// Output: no newline at the end
}

func ExampleFilter() {
	show("{\"a\":1}\n{\"a\":2}\n", stream.NDJSON(), stream.Filter(compiled(".a > 1")))
	// Output: {"a":2}
}

func ExampleMap() {
	show("two words\n", stream.SplitLines(), stream.Map(compiled(`split(" ")[]`)))
	// Output:
	// "two"
	// "words"
}

func ExampleSelect() {
	show(`{"a":1,"b":2,"c":3}`, stream.NDJSON(), stream.Select("c", "a"))
	// Output: {"c":3,"a":1}
}

func ExampleHead() {
	show("1\n2\n3\n", stream.SplitLines(), stream.Head(2))
	// Output:
	// 1
	// 2
}

func ExampleUpper() {
	show("école\n", stream.Upper())
	// Output: ÉCOLE
}

func ExampleLower() {
	show("ÉCOLE\n", stream.Lower())
	// Output: école
}

func ExampleReplace() {
	s, err := stream.Replace("crane", "ferry")
	if err != nil {
		panic(err)
	}
	show("a crane, another crane\n", stream.SplitLines(), s)
	// Output: a ferry, another ferry
}

func ExampleReplacePattern() {
	s, err := stream.ReplacePattern(`(\d+) ms`, "${1}ms")
	if err != nil {
		panic(err)
	}
	show("took 12 ms\n", stream.SplitLines(), s)
	// Output: took 12ms
}

func ExampleChecksum() {
	report := show("abc", stream.Checksum("md5"))
	fmt.Println("", report.Stages[0].Sums["md5"])
	// Output: abc 900150983cd24fb0d6963f7d28e17f72
}

func ExampleCount() {
	report := show("1\n2\n", stream.SplitLines(), stream.Count())
	fmt.Println(report.Stages[1].RecordsOut)
	// Output:
	// 1
	// 2
	// 2
}

func ExampleCompress() {
	report := show("abc\n", stream.Compress(stream.Gzip, 9), stream.Decompress(stream.Gzip, 100))
	fmt.Println(report.Stages[1].BytesOut)
	// Output:
	// abc
	// 4
}

func ExampleDecompress() {
	show("no gzip", stream.Decompress(stream.Gzip, 100))
	// Output: corrupt gzip input at byte 0: not in this format
}
