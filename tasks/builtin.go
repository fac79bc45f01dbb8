package tasks

import "errors"

// BuiltIn returns the definitions of the types that Longshore brings along.
func BuiltIn() ([]Info, error) {
	var infos []Info
	var errs []error
	for _, d := range []interface{ Info() (Info, error) }{
		CSVToNDJSONTask, FileChecksum, FileCompress, FileDecompress, ImageResize, LogAnalyze, MathPrimes,
		NDJSONFilterTask, NDJSONToCSVTask, TextTransform,
	} {
		info, err := d.Info()
		infos, errs = append(infos, info), append(errs, err)
	}
	return infos, errors.Join(errs...)
}
