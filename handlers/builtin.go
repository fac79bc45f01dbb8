package handlers

import "longshore/tasks"

// BuiltIn returns a registry with the types that Longshore brings along.
func BuiltIn() *Registry {
	r := &Registry{}
	Add(r, tasks.CSVToNDJSONTask, csvToNDJSON)
	Add(r, tasks.FileChecksum, checksum)
	Add(r, tasks.FileCompress, compress)
	Add(r, tasks.FileDecompress, decompress)
	Add(r, tasks.ImageResize, resize)
	Add(r, tasks.LogAnalyze, analyzeLog)
	Add(r, tasks.MathPrimes, primes)
	Add(r, tasks.NDJSONFilterTask, filterNDJSON)
	Add(r, tasks.NDJSONToCSVTask, ndjsonToCSV)
	Add(r, tasks.TextTransform, transform)
	return r
}
