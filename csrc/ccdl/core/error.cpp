// The one place that throws: keeps the cold path out of every caller.
#include <ccdl/core/error.h>

namespace ccdl {

void fail(ErrorKind kind, std::string message) { throw Error(kind, std::move(message)); }

}  // namespace ccdl
