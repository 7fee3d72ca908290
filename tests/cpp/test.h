// A test program in forty lines: TEST(name) { CHECK(...); } bodies, run in order, a failing CHECK prints and
// counts. CHECK_THROWS(expr, Kind, "part of the message") wants a ccdl::Error. Exit status 1 when anything
// failed.
#pragma once
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <ccdl/core/error.h>

namespace test {
struct Case {
  const char* name;
  void (*run)();
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
inline int& failures() {
  static int n = 0;
  return n;
}
struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};
inline void report(const char* file, int line, const std::string& what) {
  std::printf("%s:%d: %s\n", file, line, what.c_str());
  ++failures();
}
inline int run_all() {
  for (const Case& c : cases()) {
    const int before = failures();
    try {
      c.run();
    } catch (const std::exception& e) {
      report(c.name, 0, std::string("unexpected exception: ") + e.what());
    }
    std::printf("%s %s\n", failures() == before ? "ok  " : "FAIL", c.name);
  }
  return failures() ? 1 : 0;
}
}  // namespace test

#define TEST(name)                                                 \
  static void test_##name();                                       \
  static const test::Register register_##name(#name, test_##name); \
  static void test_##name()
#define CHECK(cond)                                                    \
  do {                                                                 \
    if (!(cond)) test::report(__FILE__, __LINE__, "CHECK(" #cond ")"); \
  } while (0)
#define CHECK_CLOSE(a, b, tol)                                                                       \
  do {                                                                                               \
    const double a_ = (a), b_ = (b);                                                                 \
    if (!(std::abs(a_ - b_) <= (tol)))                                                               \
      test::report(__FILE__, __LINE__, ccdl::str("CHECK_CLOSE(" #a ", " #b "): ", a_, " and ", b_)); \
  } while (0)
#define CHECK_THROWS(expr, kind_, part)                                                                      \
  do {                                                                                                       \
    bool thrown_ = false;                                                                                    \
    try {                                                                                                    \
      (void)(expr);                                                                                          \
    } catch (const ccdl::Error& e) {                                                                         \
      thrown_ = e.kind() == ccdl::ErrorKind::kind_ && std::string(e.what()).find(part) != std::string::npos; \
      if (!thrown_) test::report(__FILE__, __LINE__, std::string("other error: ") + e.what());               \
    }                                                                                                        \
    if (!thrown_) test::report(__FILE__, __LINE__, "CHECK_THROWS(" #expr ", " #kind_ ")");                   \
  } while (0)
#define TEST_MAIN() \
  int main() { return test::run_all(); }
