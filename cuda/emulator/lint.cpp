// Requests are put together lane by lane and judged when all lanes of the warp have come, or the block ends.
#include <emulator/inspect.h>
#include <emulator/lint.h>
#include <emulator/memory.h>
#include <emulator/report.h>
#include <emulator/streams.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <tuple>
#include <unordered_map>

namespace ccdl::emu {

namespace {

struct Request {
  const void* pc;
  unsigned lanes = 0, wanted;
  bool shared, writes;
  uint8_t bytes[32];
  uintptr_t at[32];
};
struct Key {
  uint64_t block;
  const void* pc;
  int warp;
  unsigned epoch, turn;
  bool operator==(const Key&) const = default;
};
struct KeyHash {
  size_t operator()(const Key& k) const {
    uint64_t h = reinterpret_cast<uintptr_t>(k.pc) * 0x9e3779b97f4a7c15u;
    h = (h ^ k.block ^ (uint64_t{k.epoch} << 32) ^ k.turn ^ (static_cast<uint64_t>(k.warp) << 56)) *
        0xbf58476d1ce4e5b9u;
    return h ^ h >> 29;
  }
};
struct Tally {
  uint64_t requests = 0, ways = 0, least = 0;
  int worst = 0, worst_least = 0;
  bool shared = false, writes = false;
  int bytes = 0;
};
struct Turns {  // of a thread: how often it ran each instruction since its last collective
  unsigned epoch = 0;
  std::vector<std::pair<const void*, unsigned>> count;
};

auto& open_requests = *new std::unordered_map<Key, Request, KeyHash>;
auto& turns = *new std::unordered_map<const Thread*, Turns>;
auto& tallies = *new std::map<std::pair<std::string, const void*>, Tally>;

// Passes over the banks that the widest bank needs. 16-byte accesses go by quarters of a warp, 8-byte ones by
// halves; equal words are one.
int bank_ways(const Request& r, int first, int count) {
  int worst = 0;
  std::vector<uintptr_t> words;
  for (int i = first; i < first + count; ++i)
    if (r.lanes >> i & 1)
      for (uintptr_t w = r.at[i] / 4; w <= (r.at[i] + r.bytes[i] - 1) / 4; ++w) words.push_back(w);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  int used[32] = {};
  for (uintptr_t w : words) worst = std::max(worst, ++used[w % 32]);
  return worst;
}

void judge(const Request& r) {
  Tally& t = tallies[{active->site.name, r.pc}];
  t.shared = r.shared;
  t.writes = r.writes;
  int widest = 0, ways = 0, least = 0;
  for (int i = 0; i < 32; ++i)
    if (r.lanes >> i & 1) widest = std::max<int>(widest, r.bytes[i]);
  t.bytes = widest;
  if (r.shared) {
    const int part = widest > 8 ? 8 : widest > 4 ? 16 : 32;
    for (int i = 0; i < 32; i += part) ways = std::max(ways, bank_ways(r, i, part));
    least = 1;
  } else {
    std::vector<uintptr_t> sectors, bytes;
    for (int i = 0; i < 32; ++i)
      if (r.lanes >> i & 1)
        for (uintptr_t b = r.at[i]; b < r.at[i] + r.bytes[i]; ++b) {
          sectors.push_back(b / 32);
          bytes.push_back(b);
        }
    const auto distinct = [](std::vector<uintptr_t>& v) {
      std::sort(v.begin(), v.end());
      return static_cast<int>(std::unique(v.begin(), v.end()) - v.begin());
    };
    ways = distinct(sectors);
    least = (distinct(bytes) + 31) / 32;
  }
  ++t.requests;
  t.ways += static_cast<uint64_t>(ways);
  t.least += static_cast<uint64_t>(least);
  if (ways - least > t.worst - t.worst_least || t.worst == 0) {
    t.worst = ways;
    t.worst_least = least;
  }
}

bool prints_all = false;

void print_at_exit() {
  for (const LintEntry& e : lint_entries())
    if (prints_all || e.worst > e.least)
      std::fprintf(
          stderr,
          "ccdl emulator: %s: %d-byte %s of %s memory: %d %s where %d would do, %.1f on average, %llu "
          "requests, at %s\n",
          e.kernel.c_str(), e.bytes, e.writes ? "stores" : "loads", e.shared ? "shared" : "global", e.worst,
          e.shared ? "passes" : "sectors", e.least, e.mean, static_cast<unsigned long long>(e.requests),
          e.where.c_str());
}

}  // namespace

bool lint_on = [] {
  const char* text = std::getenv("CCDL_EMULATOR_LINT");
  const bool on = text && *text && *text != '0';
  prints_all = on && std::string(text) == "all";
  if (on) std::atexit(print_at_exit);
  return on;
}();

void lint_access(const void* p, size_t bytes, bool writes, const void* pc) {
  const Thread* t = current;
  Turns& mine = turns[t];
  if (mine.epoch != t->collectives) {
    mine.epoch = t->collectives;
    mine.count.clear();
  }
  for (size_t done = 0; done < bytes; done += 16) {
    auto turn =
        std::find_if(mine.count.begin(), mine.count.end(), [pc](const auto& c) { return c.first == pc; });
    if (turn == mine.count.end()) turn = mine.count.insert(turn, {pc, 0});
    const Key key{t->block->linear, pc, t->warp->index, mine.epoch, turn->second++};
    Request& r = open_requests[key];
    if (r.lanes == 0) {
      r.pc = pc;
      const int lanes = std::min(32, t->block->threads - 32 * t->warp->index);
      r.wanted = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
      r.shared = in_window(p);
      r.writes = writes;
    }
    r.lanes |= 1u << t->lane;
    r.at[t->lane] = reinterpret_cast<uintptr_t>(p) + done;
    r.bytes[t->lane] = static_cast<uint8_t>(std::min<size_t>(16, bytes - done));
    if (r.lanes != r.wanted) continue;
    judge(r);
    open_requests.erase(key);
  }
}

void lint_block_ends() {
  for (const auto& [key, request] : open_requests) judge(request);
  open_requests.clear();
  turns.clear();
}

void set_lint(bool on) {
  Guard guard(lock());
  run_everything();
  lint_on = on;
  tallies.clear();
}

std::vector<LintEntry> lint_entries() {
  Guard guard(lock());
  run_everything();
  std::vector<const void*> pcs;
  for (const auto& [key, t] : tallies) pcs.push_back(key.second);
  const std::vector<std::string> where = describe_all(pcs);
  std::map<std::tuple<std::string, std::string, bool, bool>, LintEntry> merged;
  size_t i = 0;
  for (const auto& [key, t] : tallies) {
    LintEntry& e = merged[{key.first, where[i], t.shared, t.writes}];
    e.kernel = key.first;
    e.where = where[i++];
    e.shared = t.shared;
    e.writes = t.writes;
    e.bytes = t.bytes;
    e.mean = (e.mean * static_cast<double>(e.requests) + static_cast<double>(t.ways)) /
             static_cast<double>(e.requests + t.requests);
    e.requests += t.requests;
    if (t.worst - t.worst_least > e.worst - e.least || e.worst == 0) {
      e.worst = t.worst;
      e.least = t.worst_least;
    }
  }
  std::vector<LintEntry> all;
  for (auto& [key, e] : merged) all.push_back(std::move(e));
  return all;
}

}  // namespace ccdl::emu
