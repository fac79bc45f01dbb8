// Package wasm runs WebAssembly modules that are commands of WASI, preview 1 (wasip1), on
// wazero: in a child process that can be killed (package isolate), since a module that
// loops can't be stopped in any other way without making all modules slow.
//
// A child keeps the modules that it compiled last, and makes a fresh instance for each
// job. What is compiled is kept on disk too, so that another child needs not compile it
// again. Serve is the child's side; an Executor is the worker's.
//
// A module sees a work folder at /work and its function's folder, read-only, at
// /function. Neither lets it make links: wazero follows them out of a folder.
package wasm
