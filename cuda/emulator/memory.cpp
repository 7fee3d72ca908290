// Arena, shadow and first-fit device allocator. Freed memory is handed out again as late as possible, so that
// a use after free is seen.
#include <emulator/launch.h>
#include <emulator/memory.h>
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

namespace ccdl::emu {

Arena arena;

namespace {

constexpr size_t kAlign = 512;
constexpr size_t kZone = 256;  // in front of and behind each allocation
constexpr size_t kFillLimit = size_t{64} << 20;

struct Device {
  char* start = nullptr;
  size_t used = 0;
  std::map<char*, size_t> free;  // zones included
  char* cursor = nullptr;        // where the next search starts
};
// Never destroyed: others may still free memory while the process ends.
Device* const devices = new Device[kMaxDevices];
std::map<char*, Allocation>& live = *new std::map<char*, Allocation>;
int open_depth = 0;
bool closed = true;
constexpr double kShare = 0.03, kAllowance = 0.02;
double spent = 0, began = 0;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

size_t environment_bytes(const char* name, size_t fallback) {
  const char* text = std::getenv(name);
  if (!text || !*text) return fallback;
  char* end;
  double value = std::strtod(text, &end);
  if (*end == 'k' || *end == 'K') value *= 1024;
  if (*end == 'm' || *end == 'M') value *= 1024 * 1024;
  if (*end == 'g' || *end == 'G') value *= 1024.0 * 1024 * 1024;
  return value >= 1024 * 1024 ? round_up(static_cast<size_t>(value), 1 << 20) : fallback;
}

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void protect(int protection) { mprotect(reinterpret_cast<void*>(arena.base), arena.bytes, protection); }

// The first range at or behind the cursor, or else from the start: freed memory is used again as late as
// possible.
char* take(Device& d, size_t need) {
  for (char* from : {d.cursor, d.start}) {
    auto it = d.free.upper_bound(from);
    if (it != d.free.begin()) --it;
    for (; it != d.free.end(); ++it) {
      char* start = std::max(it->first, from);
      char* end = it->first + it->second;
      if (start > end || static_cast<size_t>(end - start) < need) continue;
      const size_t front = static_cast<size_t>(start - it->first);
      if (front)
        it->second = front;
      else
        d.free.erase(it);
      if (start + need < end) d.free[start + need] = static_cast<size_t>(end - start) - need;
      d.cursor = start + need;
      return start;
    }
  }
  return nullptr;
}

}  // namespace

void init_arena() {
  if (arena.base) return;
  const char* count = std::getenv("CCDL_EMULATOR_DEVICES");
  arena.devices = count ? std::min(std::max(std::atoi(count), 1), kMaxDevices) : 1;
  arena.per_device = environment_bytes("CCDL_EMULATOR_MEMORY", size_t{4} << 30);
  const size_t bytes = kWindow + arena.per_device * static_cast<size_t>(arena.devices);
  void* base = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void* shadow = mmap(nullptr, bytes / kGranule, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED || shadow == MAP_FAILED) {
    std::fprintf(stderr,
                 "ccdl emulator: cannot reserve %zu bytes of address space; lower CCDL_EMULATOR_MEMORY\n",
                 bytes);
    std::abort();
  }
  madvise(base, bytes, MADV_DONTFORK);
  arena.shadow = static_cast<uint8_t*>(shadow);
  arena.bytes = bytes;
  arena.base = reinterpret_cast<uintptr_t>(base);
  for (int i = 0; i < arena.devices; ++i) {
    devices[i].start = static_cast<char*>(base) + kWindow + arena.per_device * static_cast<size_t>(i);
    devices[i].free[devices[i].start] = arena.per_device;
    devices[i].cursor = devices[i].start;
  }
}

bool accessible(const void* p, size_t bytes) {
  const uintptr_t off = reinterpret_cast<uintptr_t>(p) - arena.base;
  if (off >= arena.bytes || bytes > arena.bytes - off) return false;
  const uint8_t* s = arena.shadow + off / kGranule;
  size_t in = off % kGranule;
  while (true) {
    const size_t part = in + bytes <= kGranule ? bytes : kGranule - in;
    if (*s > kGranule || in + part > *s) return false;
    bytes -= part;
    if (bytes == 0) return true;
    in = 0;
    ++s;
  }
}

void poison(const void* p, size_t bytes, uint8_t state) {
  std::memset(shadow_of(p), state, round_up(bytes, kGranule) / kGranule);
}

void unpoison(const void* p, size_t bytes) {
  uint8_t* s = shadow_of(p);
  std::memset(s, kGranule, bytes / kGranule);
  if (bytes % kGranule) s[bytes / kGranule] = static_cast<uint8_t>(bytes % kGranule);
}

void* device_allocate(int device, size_t bytes) {
  Device& d = devices[device];
  if (bytes > arena.per_device) return nullptr;
  const size_t need = round_up(bytes ? bytes : 1, kAlign) + 2 * kAlign;
  char* whole = take(d, need);
  if (!whole) return nullptr;
  char* start = whole + kAlign;
  live[start] = {start, bytes, false};
  d.used += need;
  poison(whole, need, kRedzoneByte);
  unpoison(start, bytes);
  OpenMemory open;
  if (bytes <= kFillLimit) std::memset(start, 0xff, bytes);
  return start;
}

bool device_free(void* p) {
  const auto it = live.find(static_cast<char*>(p));
  if (it == live.end()) return false;
  Device& d = devices[device_of(p)];
  char* whole = it->second.start - kAlign;
  size_t size = round_up(it->second.bytes ? it->second.bytes : 1, kAlign) + 2 * kAlign;
  if (size > (size_t{1} << 20)) madvise(whole, size & ~size_t{4095}, MADV_DONTNEED);
  d.used -= size;
  poison(whole, size, kFreedByte);
  live.erase(it);
  auto next = d.free.lower_bound(whole);
  if (next != d.free.end() && next->first == whole + size) {
    size += next->second;
    next = d.free.erase(next);
  }
  if (next != d.free.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == whole) {
      before->second += size;
      return true;
    }
  }
  d.free[whole] = size;
  return true;
}

size_t device_used(int device) { return devices[device].used; }

int device_of(const void* p) {
  if (!in_arena(p) || in_window(p)) return -1;
  return static_cast<int>((reinterpret_cast<uintptr_t>(p) - arena.base - kWindow) / arena.per_device);
}

const Allocation* find_allocation(const void* p) {
  auto it = live.upper_bound(static_cast<char*>(const_cast<void*>(p)));
  if (it == live.begin()) return nullptr;
  const Allocation& a = std::prev(it)->second;
  return static_cast<const char*>(p) < a.start + (a.bytes ? a.bytes : 1) ? &a : nullptr;
}

void apply_mark(void* p, size_t bytes, bool is_live) {
  auto* owner = const_cast<Allocation*>(find_allocation(p));
  if (!owner) return;
  if (!owner->marked) {
    owner->marked = true;
    poison(owner->start, owner->bytes, kRedzoneByte);
  }
  if (is_live) {
    unpoison(p, bytes);
    std::memset(p, 0xff, bytes);
  } else {
    poison(p, bytes, kFreedByte);
  }
}

std::string describe_address(const void* p) {
  char text[256];
  const auto* s = shadow_of(p);
  const auto* first = arena.shadow;
  if (*s == kFreedByte) {
    std::snprintf(text, sizeof text, "in freed memory at %p", p);
    return text;
  }
  // The nearest usable byte in front, within reason.
  const uint8_t* q = s;
  for (int i = 0; i < (1 << 20) && q > first && (*q == kRedzoneByte || *q == 0); ++i) --q;
  if (*q >= 1 && *q <= kGranule) {
    const uintptr_t end = arena.base + static_cast<uintptr_t>(q - first) * kGranule + *q;
    const uint8_t* b = q;
    while (b > first && b[-1] == kGranule) --b;
    const uintptr_t start = arena.base + static_cast<uintptr_t>(b - first) * kGranule;
    const auto address = reinterpret_cast<uintptr_t>(p);
    if (address < end)
      std::snprintf(text, sizeof text, "crossing the end of the block of %zu bytes at %p", end - start,
                    reinterpret_cast<void*>(start));
    else
      std::snprintf(text, sizeof text, "%zu bytes behind the block of %zu bytes at %p", address - end,
                    end - start, reinterpret_cast<void*>(start));
    const uint8_t* f = s;
    while (f < s + kZone / kGranule && (*f == kRedzoneByte || *f == 0)) ++f;
    if (*f >= 1 && *f <= kGranule) {
      const uintptr_t after = arena.base + static_cast<uintptr_t>(f - first) * kGranule;
      if (after - address < address - end)
        std::snprintf(text, sizeof text, "%zu bytes in front of the block at %p", after - address,
                      reinterpret_cast<void*>(after));
    }
    return text;
  }
  std::snprintf(text, sizeof text, "at %p, far from any live block", p);
  return text;
}

namespace {
std::map<char*, size_t>* const host_blocks =
    new std::map<char*, size_t>[2];  // from cudaHostAlloc, from cudaHostRegister
auto& objects = *new std::vector<std::pair<uintptr_t, uintptr_t>>;
}  // namespace

void host_block_add(void* p, size_t bytes, bool registered) {
  host_blocks[registered][static_cast<char*>(p)] = bytes;
}
bool host_block_remove(void* p, bool registered) {
  return host_blocks[registered].erase(static_cast<char*>(p)) > 0;
}
bool host_block_starts(const void* p, bool registered) {
  return host_blocks[registered].count(static_cast<char*>(const_cast<void*>(p))) > 0;
}
bool is_pinned(const void* p) {
  for (int registered = 0; registered < 2; ++registered) {
    const auto& blocks = host_blocks[registered];
    auto it = blocks.upper_bound(static_cast<char*>(const_cast<void*>(p)));
    if (it == blocks.begin()) continue;
    --it;
    if (static_cast<const char*>(p) < it->first + it->second) return true;
  }
  return false;
}

bool in_loaded_object(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  const auto known = [address] {
    for (const auto& [from, to] : objects)
      if (address >= from && address < to) return true;
    return false;
  };
  if (known()) return true;
  objects.clear();  // libraries may have been loaded since
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void*) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& h = info->dlpi_phdr[i];
          if (h.p_type != PT_LOAD) continue;
          const uintptr_t from = static_cast<uintptr_t>(info->dlpi_addr + h.p_vaddr);
          objects.push_back({from, from + h.p_memsz});
        }
        return 0;
      },
      nullptr);
  return known();
}

// Closing costs time in proportion to the pages in use, so it is left out once it has taken its share of the
// time since the start: small programs, and the start of every program, are always guarded.
OpenMemory::OpenMemory() {
  if (open_depth++ == 0 && closed) {
    const double start = seconds();
    protect(PROT_READ | PROT_WRITE);
    spent += seconds() - start;
    closed = false;
  }
}
OpenMemory::~OpenMemory() {
  if (--open_depth > 0) return;
  const double now = seconds();
  if (began == 0) began = now;
  if (spent > kShare * (now - began) + kAllowance) return;
  protect(PROT_NONE);
  closed = true;
  spent += seconds() - now;
}
void leave_open() {
  if (closed) protect(PROT_READ | PROT_WRITE);
  closed = false;
}

}  // namespace ccdl::emu
