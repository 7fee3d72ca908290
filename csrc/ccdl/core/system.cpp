// Reads the affinity mask, /proc/self/cgroup and the cgroup files of versions 2 and 1.
#include <ccdl/core/system.h>

#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace ccdl {
namespace {

std::string read_line(const std::string& path) {
  std::string text;
  if (FILE* f = std::fopen(path.c_str(), "re")) {
    char buffer[512];
    if (std::fgets(buffer, sizeof buffer, f) != nullptr) text = buffer;
    std::fclose(f);
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// The process's cgroup path in the hierarchy of `controller` ("" is the unified hierarchy of version 2).
std::string cgroup_path(const std::string& controller) {
  std::string found;
  FILE* f = std::fopen("/proc/self/cgroup", "re");
  if (f == nullptr) return found;
  char buffer[4096];
  while (std::fgets(buffer, sizeof buffer, f) != nullptr) {  // id:controllers:path
    std::string line = buffer;
    const size_t a = line.find(':'), b = line.find(':', a + 1);
    if (b == std::string::npos) continue;
    const std::string names = "," + line.substr(a + 1, b - a - 1) + ",";
    if (names != "," + controller + "," &&
        (controller.empty() || names.find("," + controller + ",") == std::string::npos)) {
      continue;
    }
    found = line.substr(b + 1);
    while (!found.empty() && (found.back() == '\n' || found.back() == '/')) found.pop_back();
    break;
  }
  std::fclose(f);
  return found;
}

// Calls visit(folder) for the process's cgroup and each of its parents: every level may carry a limit.
template <class F>
void for_each_level(const std::string& root, std::string path, const F& visit) {
  for (;;) {
    visit(root + path);
    if (path.empty()) return;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

double cgroup_cpus() {
  double cpus = 1e9;
  const auto take = [&cpus](double quota, double period) {
    if (quota > 0 && period > 0 && quota / period < cpus) cpus = quota / period;
  };
  for_each_level("/sys/fs/cgroup", cgroup_path(""), [&](const std::string& folder) {
    double quota = 0, period = 0;
    if (std::sscanf(read_line(folder + "/cpu.max").c_str(), "%lf %lf", &quota, &period) == 2)
      take(quota, period);
  });
  for_each_level("/sys/fs/cgroup/cpu", cgroup_path("cpu"), [&](const std::string& folder) {
    take(std::atof(read_line(folder + "/cpu.cfs_quota_us").c_str()),
         std::atof(read_line(folder + "/cpu.cfs_period_us").c_str()));
  });
  return cpus;
}

}  // namespace

int usable_cpus() {
  int n = 0;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  if (n < 1) n = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const double quota = cgroup_cpus();
  if (quota < n) n = static_cast<int>(quota + 0.999);
  return n < 1 ? 1 : n;
}

int64_t physical_memory_limit() {
  int64_t limit = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  const auto take = [&limit](const std::string& text) {
    const long long n = std::atoll(text.c_str());  // "max" reads as 0
    if (n > 0 && n < limit) limit = n;
  };
  for_each_level("/sys/fs/cgroup", cgroup_path(""),
                 [&](const std::string& f) { take(read_line(f + "/memory.max")); });
  for_each_level("/sys/fs/cgroup/memory", cgroup_path("memory"),
                 [&](const std::string& f) { take(read_line(f + "/memory.limit_in_bytes")); });
  return limit;
}

}  // namespace ccdl
