// The one handler of warnings.
#include <ccdl/core/warn.h>

#include <atomic>

namespace ccdl {

static std::atomic<WarningHandler> g_handler{nullptr};

void set_warning_handler(WarningHandler handler) { g_handler.store(handler); }

void warn(const std::string& message) {
  if (const WarningHandler handler = g_handler.load()) handler(message);
}

}  // namespace ccdl
