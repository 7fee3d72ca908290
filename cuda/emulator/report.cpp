// Fault reports, source lookup, and the signal handler that names host accesses to device memory.
#include <dlfcn.h>
#include <emulator/machine.h>
#include <emulator/memory.h>
#include <emulator/report.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace ccdl::emu {

namespace {

std::string& last_kind = *new std::string;
std::string& last_text = *new std::string;
cudaError_t unseen = cudaSuccess;

// Standard output of a program, found along PATH; "" when it cannot run.
std::string run_program(const char* const* argv) {
  int ends[2];
  if (pipe(ends) != 0) return "";
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    execvp(argv[0], const_cast<char* const*>(argv));
    _exit(127);
  }
  close(ends[1]);
  std::string out;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  if (child > 0) waitpid(child, &status, 0);
  return out;
}

const char* tail(const char* path) {  // the last two parts of a path
  const char* end = path + std::strlen(path);
  int slashes = 0;
  while (end > path) {
    if (end[-1] == '/' && ++slashes == 2) break;
    --end;
  }
  return end;
}

// Where the call is that returns to pc: in front of it. Position-independent objects are looked up by their
// offset.
std::string link_address(const void* pc, const Dl_info& info) {
  const auto base = reinterpret_cast<uintptr_t>(info.dli_fbase);
  char number[32];
  std::snprintf(number, sizeof number, "0x%zx",
                static_cast<size_t>(reinterpret_cast<uintptr_t>(pc) - 1 - (base >= 0x10000000 ? base : 0)));
  return number;
}

// Pairs of lines, function and place, as addr2line prints them.
std::string frames_text(const std::string& out) {
  std::string result;
  for (size_t at = 0; at < out.size();) {
    const size_t middle = out.find('\n', at);
    const size_t end = middle == std::string::npos ? middle : out.find('\n', middle + 1);
    if (end == std::string::npos) break;
    std::string function = out.substr(at, middle - at), where = out.substr(middle + 1, end - middle - 1);
    at = end + 1;
    if (where.empty() || where[0] == '?') continue;
    where = where.substr(0, where.find(' '));
    if (function.size() > 120) function = function.substr(0, 117) + "...";
    result +=
        (result.empty() ? "" : ", inlined at ") + std::string(tail(where.c_str())) + " (" + function + ")";
  }
  return result;
}

std::string describe_pc(const void* pc) {
  Dl_info info;
  char text[512];
  if (!dladdr(pc, &info) || !info.dli_fname) {
    std::snprintf(text, sizeof text, "code at %p", pc);
    return text;
  }
  const std::string number = link_address(pc, info);
  const char* argv[] = {"addr2line", "-i", "-f", "-C", "-e", info.dli_fname, number.c_str(), nullptr};
  const std::string result = frames_text(run_program(argv));
  if (!result.empty()) return result;
  std::snprintf(text, sizeof text, "%s+%s in %s", info.dli_sname ? info.dli_sname : "?", number.c_str(),
                tail(info.dli_fname));
  return text;
}

cudaError_t error_of(const char* kind) {
  if (!std::strcmp(kind, "out-of-bounds") || !std::strcmp(kind, "use-after-free") ||
      !std::strcmp(kind, "invalid-address"))
    return cudaErrorIllegalAddress;
  if (!std::strcmp(kind, "misaligned")) return cudaErrorMisalignedAddress;
  if (!std::strcmp(kind, "deadlock")) return cudaErrorLaunchTimeout;
  return cudaErrorLaunchFailure;
}

// ---- signals ----

struct sigaction previous_segv, previous_bus, previous_fpe;
thread_local const char* signal_kind;
thread_local Place signal_place;
thread_local char signal_message[160];

// Runs on the fiber after the handler has returned.
void fault_after_signal() { kernel_fault(signal_kind, signal_message, signal_place); }

void chain(int number, siginfo_t* info, void* context) {
  const struct sigaction& before = number == SIGSEGV  ? previous_segv
                                   : number == SIGBUS ? previous_bus
                                                      : previous_fpe;
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  } else {
    signal(number, SIG_DFL);  // the instruction runs again and ends the process
  }
}

void on_signal(int number, siginfo_t* info, void* context) {
  if (runs_kernels) {
#if defined(__x86_64__)
    auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    signal_place = {};
    signal_place.pc = reinterpret_cast<const char*>(registers[REG_RIP]) + 1;
    signal_kind = "invalid-address";
    if (number == SIGFPE) {
      signal_kind = "integer-division";
      std::snprintf(signal_message, sizeof signal_message,
                    "integer division by zero, or of the most negative integer by -1");
    } else if (on_guard_page(info->si_addr)) {
      std::snprintf(signal_message, sizeof signal_message, "the thread's stack of %zu KB overflowed",
                    kStackBytes / 1024);
    } else {
      std::snprintf(signal_message, sizeof signal_message, "access to %p, which is no valid memory",
                    info->si_addr);
    }
    // Half of a stack above the fault is certainly mapped; nothing on this fiber is used again.
    registers[REG_RSP] = static_cast<greg_t>(
        (reinterpret_cast<uintptr_t>(current->stack->low + current->stack->bytes / 2) & ~uintptr_t{15}) - 8);
    registers[REG_RIP] = reinterpret_cast<greg_t>(&fault_after_signal);
    return;
#endif
  } else if (number != SIGFPE && arena.base && in_arena(info->si_addr)) {
    char text[400];
    const void* pc = nullptr;
#if defined(__x86_64__)
    pc = reinterpret_cast<void*>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#endif
    Dl_info where{};
    if (pc) dladdr(pc, &where);
    const int n = std::snprintf(text, sizeof text,
                                "ccdl emulator: host-dereference: host code touches device memory at %p (in "
                                "%s); copy it with cudaMemcpy first\n",
                                info->si_addr, where.dli_sname ? where.dli_sname : "an unnamed function");
    if (write(2, text, static_cast<size_t>(n)) < 0) return;
  }
  chain(number, info, context);
}

}  // namespace

std::string describe(const Place& place) {
  if (place.file) return std::string(tail(place.file)) + ":" + std::to_string(place.line);
  if (place.pc) return describe_pc(place.pc);
  return "";
}

std::vector<std::string> describe_all(const std::vector<const void*>& pcs) {
  std::vector<std::string> all(pcs.size());
  std::map<std::string, std::vector<size_t>> by_object;
  std::vector<std::string> numbers(pcs.size());
  for (size_t i = 0; i < pcs.size(); ++i) {
    Dl_info info;
    if (!dladdr(pcs[i], &info) || !info.dli_fname) continue;
    numbers[i] = link_address(pcs[i], info);
    by_object[info.dli_fname].push_back(i);
  }
  for (const auto& [object, members] : by_object) {
    std::vector<const char*> argv = {"addr2line", "-a", "-i", "-f", "-C", "-e", object.c_str()};
    for (size_t i : members) argv.push_back(numbers[i].c_str());
    argv.push_back(nullptr);
    const std::string out = run_program(argv.data());
    size_t at = 0;  // each answer begins with its address
    for (size_t i : members) {
      at = out.find("0x", at);
      if (at == std::string::npos) break;
      const size_t begin = out.find('\n', at) + 1, next = out.find("\n0x", begin - 1);
      all[i] = frames_text(out.substr(begin, next == std::string::npos ? next : next + 1 - begin));
      at = next == std::string::npos ? next : next + 1;
    }
  }
  return all;
}

void fault(const char* kind, const std::string& message, const Place& place, const std::string& other) {
  if (unseen != cudaSuccess) return;  // the first one is the cause
  std::string text = std::string(kind) + ": " + message;
  const std::string where = describe(place);
  if (!where.empty()) text += "\n  at      " + where;
  if (!other.empty()) text += "\n  other   " + other;
  char line[512];
  if (active) {
    std::snprintf(line, sizeof line,
                  "\n  kernel  %s, grid (%u, %u, %u), block (%u, %u, %u), launched at %s:%d",
                  active->site.name, active->grid.x, active->grid.y, active->grid.z, active->block.x,
                  active->block.y, active->block.z, tail(active->site.file), active->site.line);
    text += line;
  }
  if (current) {
    std::snprintf(line, sizeof line, "\n  thread  (%u, %u, %u) of block (%u, %u, %u)", current->index.x,
                  current->index.y, current->index.z, current->block_index.x, current->block_index.y,
                  current->block_index.z);
    text += line;
  }
  std::snprintf(line, sizeof line, "\n  seed    %llu (set CCDL_EMULATOR_SEED to repeat)%s",
                static_cast<unsigned long long>(seed()), active ? "" : ", outside of kernels");
  text += line;
  last_kind = kind;
  last_text = text;
  unseen = error_of(kind);
}

void kernel_fault(const char* kind, const std::string& message, const Place& place,
                  const std::string& other) {
  runs_kernels = false;  // what follows is host code
  fault(kind, message, place, other);
  abandon_launch();
}

void fail(const char* kind, const char* message) {
  kernel_fault(kind, message, {nullptr, 0, __builtin_return_address(0)});
}

cudaError_t pending_fault() { return unseen; }
cudaError_t take_fault() {
  const cudaError_t e = unseen;
  unseen = cudaSuccess;
  return e;
}
const char* fault_kind() { return last_kind.c_str(); }
const char* fault_text() { return last_text.c_str(); }
void clear_fault() {
  last_kind.clear();
  last_text.clear();
  unseen = cudaSuccess;
}

void install_signal_handlers() {
  static bool done = false;
  if (done) return;
  done = true;
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &previous_segv);
  sigaction(SIGBUS, &action, &previous_bus);
  sigaction(SIGFPE, &action, &previous_fpe);
}

void prepare_signal_stack() {
  thread_local bool done = false;
  if (done) return;
  done = true;
  stack_t have{};
  if (sigaltstack(nullptr, &have) == 0 && !(have.ss_flags & SS_DISABLE)) return;
  struct Owned {
    char* memory = static_cast<char*>(std::malloc(64 * 1024));
    ~Owned() {
      stack_t off{};
      off.ss_flags = SS_DISABLE;
      sigaltstack(&off, nullptr);
      std::free(memory);
    }
  };
  thread_local Owned owned;
  stack_t mine{};
  mine.ss_sp = owned.memory;
  mine.ss_size = 64 * 1024;
  sigaltstack(&mine, nullptr);
}

}  // namespace ccdl::emu
