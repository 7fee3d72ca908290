// Hot thread-local variables: CCDL_TLS int x. initial-exec is the cheapest model, but then all of the
// library's thread-local storage must fit into what the loader keeps free for dlopen: not in a build that
// carries the CUDA runtime, which brings a page of its own.
#pragma once

#ifdef CCDL_STATIC_TLS
#define CCDL_TLS __thread __attribute__((tls_model("initial-exec")))
#else
#define CCDL_TLS __thread
#endif
