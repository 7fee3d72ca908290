// cp.async: copies wait in groups per thread and run in the wait that covers them. Until then the destination
// holds NaN, and an access by any thread, the issuing one included, is a fault.
#include <emulator/lint.h>
#include <emulator/machine.h>
#include <emulator/memory.h>
#include <emulator/race.h>
#include <emulator/report.h>

#include <cstring>

namespace ccdl::emu {

namespace {

void run_group(Thread* t, CopyGroup& g) {
  for (const AsyncCopy& c : g.copies) {
    std::memcpy(c.dst, c.src, static_cast<size_t>(c.src_bytes));
    std::memset(c.dst + c.src_bytes, 0, static_cast<size_t>(c.bytes - c.src_bytes));
    shared_copy_ends(t, c.dst, static_cast<size_t>(c.bytes));
  }
}

}  // namespace

void cp_async(void* shared_dst, const void* global_src, int bytes, int src_bytes) {
  const Place here{nullptr, 0, __builtin_return_address(0)};
  if ((bytes != 4 && bytes != 8 && bytes != 16) || src_bytes < 0 || src_bytes > bytes)
    kernel_fault("misaligned", "cp.async moves 4, 8 or 16 bytes", here);
  check_shared(shared_dst, static_cast<size_t>(bytes), static_cast<size_t>(bytes));
  if (src_bytes > 0) check_global(global_src, static_cast<size_t>(src_bytes), 1);
  if (src_bytes > 0 && reinterpret_cast<uintptr_t>(global_src) % static_cast<uintptr_t>(bytes) != 0)
    kernel_fault("misaligned",
                 "the source of a " + std::to_string(bytes) + "-byte cp.async is not aligned to it", here);
  if (lint_on) {
    lint_access(shared_dst, static_cast<size_t>(bytes), true, here.pc);
    if (src_bytes > 0)  // an address of its own in the same call
      lint_access(global_src, static_cast<size_t>(src_bytes), false, static_cast<const char*>(here.pc) - 1);
  }
  if (current->copies.empty()) current->copies.emplace_back();
  current->copies.back().copies.push_back(
      {static_cast<char*>(shared_dst), static_cast<const char*>(global_src), bytes, src_bytes});
  shared_copy_begins(shared_dst, static_cast<size_t>(bytes), here.pc);
  std::memset(shared_dst, 0xff, static_cast<size_t>(bytes));
}

void cp_async_commit() {
  if (current->copies.empty()) current->copies.emplace_back();
  current->copies.emplace_back();
}

void cp_async_wait(int groups_left) {
  Thread* t = current;
  if (t->copies.empty()) return;
  size_t keep =
      groups_left < 0 ? 0 : static_cast<size_t>(groups_left) + 1;  // the open group is not committed
  const size_t have = t->copies.size();
  const size_t done = have > keep ? have - keep : 0;
  for (size_t i = 0; i < done; ++i) run_group(t, t->copies[i]);
  t->copies.erase(t->copies.begin(), t->copies.begin() + static_cast<std::ptrdiff_t>(done));
}

void copies_exit(Thread* t) {
  for (const CopyGroup& g : t->copies)
    if (!g.copies.empty())
      kernel_fault("missing-wait", "a thread finished with cp.async copies that were never waited for", {});
}

}  // namespace ccdl::emu
