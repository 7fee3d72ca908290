// Warnings: what is accepted but probably not meant. Whoever embeds the library says where they go (Python:
// warnings.warn); without a handler they are dropped.
#pragma once
#include <string>

namespace ccdl {

using WarningHandler = void (*)(const std::string& message);  // may throw, which ends the op

void set_warning_handler(WarningHandler handler);
void warn(const std::string& message);

}  // namespace ccdl
