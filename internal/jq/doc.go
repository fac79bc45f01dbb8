// Package jq runs jq expressions over records of JSON text. An expression is
// compiled by gojq; one that only compares fields with each other and with
// literals is also compiled to a scan of the text, which decodes nothing and
// gives the same answers. Records are checked as they are scanned: RFC 8259
// texts in UTF-8, nested at most MaxDepth deep.
package jq
