// Errors: always thrown, never abort. A message reads "op: what arrived, the rule, and the fix where there is
// one". Each kind becomes one class of ccdl.errors in Python, a subclass of the builtin that PyTorch raises
// there.
#pragma once
#include <exception>
#include <sstream>
#include <string>

namespace ccdl {

enum class ErrorKind {
  Value,           // ValueError: an argument's value is outside its domain
  Type,            // TypeError: an argument has the wrong type
  Index,           // IndexError: dimension, index, label or id out of range
  Shape,           // RuntimeError: shapes do not fit together
  DType,           // RuntimeError: element types do not fit
  Device,          // RuntimeError: devices do not fit or are absent
  Autograd,        // RuntimeError: misuse of the graph
  Runtime,         // RuntimeError: anything else
  Memory,          // MemoryError: a request that cannot be met
  NotImplemented,  // NotImplementedError: a deliberate gap
  Key,             // KeyError: a name that is not there
  Checkpoint,      // RuntimeError: a file that is damaged, hostile or does not fit
  File,            // OSError: the operating system refused
  LinAlg,          // RuntimeError: a matrix is singular, not positive definite, or did not converge
  Interrupt,       // KeyboardInterrupt: Ctrl-C arrived inside a long op
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}
  ErrorKind kind() const noexcept { return kind_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorKind kind_;
  std::string message_;
};

[[noreturn]] void fail(ErrorKind kind, std::string message);

template <class... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  out << std::boolalpha;
  (out << ... << args);
  return out.str();
}

}  // namespace ccdl

// CCDL_CHECK(condition, Kind, message parts...): the parts are only formatted when the condition is false.
#define CCDL_CHECK(condition, kind, ...)                               \
  do {                                                                 \
    if (!(condition)) [[unlikely]]                                     \
      ::ccdl::fail(::ccdl::ErrorKind::kind, ::ccdl::str(__VA_ARGS__)); \
  } while (0)
