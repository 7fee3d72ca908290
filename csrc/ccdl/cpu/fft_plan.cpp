#include <ccdl/cpu/fft_plan.h>

#include <cmath>
#include <list>
#include <mutex>

namespace ccdl::cpu {
namespace {

constexpr int64_t kMostBytes = int64_t{64} << 20;
constexpr size_t kMostKept = 128;
constexpr int64_t kMostPrime = 31;  // a pass of more points costs more than a convolution

struct Pair {
  long double re, im;
};
// exp(-2 pi i r / n) for 0 <= r < n: products of two tables of about sqrt(n) entries.
class Roots {
 public:
  explicit Roots(int64_t n) : n_(n) {
    while (step_ * step_ < n) step_ *= 2;
    for (int64_t r = 0; r < step_; ++r) fine_.push_back(root(r));
    for (int64_t r = 0; r < n; r += step_) coarse_.push_back(root(r));
  }
  Pair at(int64_t r) const {
    const Pair a = coarse_[static_cast<size_t>(r / step_)], b = fine_[static_cast<size_t>(r % step_)];
    if (4 * r % n_ == 0 || 8 * r % n_ == 0) return root(r);  // exact zeros and equal parts
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  Pair of(int64_t r) const { return at(r % n_); }

 private:
  // The angle is brought below an eighth of the circle without rounding.
  Pair root(int64_t r) const {
    r %= n_;
    const int64_t quarter = 4 * r / n_, rest = 4 * r - quarter * n_;  // rest / (4 n) of the circle is left
    const bool late = 2 * rest > n_;
    const long double angle = 1.57079632679489661923132169163975144L *
                              static_cast<long double>(late ? n_ - rest : rest) /
                              static_cast<long double>(n_);
    long double c = std::cos(angle), s = std::sin(angle);
    if (2 * rest == n_) s = c = 0.707106781186547524400844362104849039L;
    if (late) std::swap(c, s);
    switch (quarter) {
      case 0:
        return {c, -s};
      case 1:
        return {-s, -c};
      case 2:
        return {-c, s};
      default:
        return {s, c};
    }
  }
  int64_t n_, step_ = 1;
  std::vector<Pair> fine_, coarse_;
};

// count numbers of the type, owned by the tables.
void* room(FftTables& t, int64_t count, int type) {
  const int64_t bytes = count * (type == 0 ? 4 : 8);
  t.memory.push_back(std::make_unique<Buffer<char>>(bytes));
  t.bytes += bytes;
  return t.memory.back()->get();
}
void put(void* to, int type, int64_t at, long double value) {
  if (type == 0)
    static_cast<float*>(to)[at] = static_cast<float>(value);
  else
    static_cast<double*>(to)[at] = static_cast<double>(value);
}
void put_pair(void* to, int type, int64_t at, Pair value) {
  put(to, type, 2 * at, value.re);
  put(to, type, 2 * at + 1, value.im);
}

// Radices of the passes, large ones first.
std::vector<int64_t> radices(int64_t n) {
  std::vector<int64_t> found;
  int twos = 0;
  for (; n % 2 == 0; n /= 2) ++twos;
  for (; twos > 4 || twos == 3; twos -= 3) found.push_back(8);
  for (; twos >= 2; twos -= 2) found.push_back(4);
  if (twos == 1) found.push_back(2);
  for (int64_t p = 3; n > 1; p += 2) {
    if (p * p > n) p = n;
    for (; n % p == 0; n /= p) found.push_back(p);
  }
  return found;
}

void add_passes(FftTables& t, int64_t n, int type) {
  FftLanes& lanes = t.lanes;
  lanes.size = n;
  const Roots roots(n);
  int64_t rest = n;
  for (const int64_t radix : radices(n)) {
    FftPass& pass = lanes.pass[lanes.passes++];
    pass.radix = radix;
    const int64_t step = n / rest;
    rest /= radix;
    void* turns = room(t, rest * (radix - 1) * 2, type);
    for (int64_t p = 0; p < rest; ++p)
      for (int64_t k = 1; k < radix; ++k)
        put_pair(turns, type, p * (radix - 1) + k - 1, roots.at(p * k * step));
    pass.turns = turns;
    if (radix % 2 == 0) continue;
    void* own = room(t, 2 * radix, type);
    const Roots of(radix);
    for (int64_t k = 0; k < radix; ++k) put_pair(own, type, k, {of.at(k).re, -of.at(k).im});
    pass.roots = own;
  }
}

// chirp[j] = exp(-pi i j^2 / n) and the transform of its conjugate, continued to both sides, over m.
void add_chirp(FftTables& t, int64_t n, int64_t m, int type, const void** chirp_out, const void** spectrum) {
  const Roots roots(2 * n);
  void* chirp = room(t, 2 * n, type);
  Buffer<double> line(2 * m), image(2 * m);
  for (int64_t j = 0; j < 2 * m; ++j) line[j] = 0;
  int64_t square = 0;  // j^2 mod 2 n
  for (int64_t j = 0; j < n; ++j) {
    const Pair w = roots.at(square);
    put_pair(chirp, type, j, w);
    for (const int64_t at : {j, (m - j) % m}) {
      line[2 * at] = static_cast<double>(w.re);
      line[2 * at + 1] = static_cast<double>(-w.im);
    }
    square = (square + 2 * j + 1) % (2 * n);
  }
  View from{line.get(), {1, m, 1, 2}, {2 * m, 2, 2, 1}, 4, DType::Float64}, to = from;
  to.data = image.get();
  FftSpec spec;
  spec.n = m;
  spec.factor = 1.0 / static_cast<double>(m);
  fft_transform(from, to, spec);
  void* rounded = room(t, 2 * m, type);
  for (int64_t j = 0; j < 2 * m; ++j) put(rounded, type, j, image[j]);
  *chirp_out = chirp;
  *spectrum = rounded;
}

// Vectors through the passes of n, in and out.
int64_t vectors(int64_t n) { return n * (static_cast<int64_t>(radices(n).size()) + 4); }
int64_t split_cost(int64_t a, int64_t b, int64_t width) {
  return (b + width - 1) / width * vectors(a) + (a + width - 1) / width * vectors(b);
}
// The divisor a with which a b = n is fastest in two steps; 1: none.
int64_t best_split(int64_t n, int64_t width) {
  int64_t best = 1, least = 0;
  for (int64_t a = 2; a * a <= n; ++a) {
    if (n % a != 0) continue;
    for (const int64_t d : {a, n / a}) {
      const int64_t cost = split_cost(d, n / d, width);
      if (best == 1 || cost < least) best = d, least = cost;
    }
  }
  return best;
}

void build_lanes(FftTables& t, int64_t n, int type) {
  t.lanes.n = n;
  const int64_t size = fft_smooth(n) ? n : fft_convolved(n);
  add_passes(t, size, type);
  t.cost = vectors(size) * (size == n ? 1 : 2);
  if (size != n) add_chirp(t, n, size, type, &t.lanes.chirp, &t.lanes.spectrum);
}

void build_split(FftTables& t, int64_t n, int type) {
  const int64_t width = simd_fft().lanes[type];
  FftSplit& split = t.split;
  split.n = n;
  split.a = best_split(n, width);
  split.b = n / split.a;
  if (split.a == 1) return;
  t.cost = split_cost(split.a, split.b, width);
  split.padded = ((split.b + width - 1) / width + 1) * width;  // no power of two
  for (const int64_t part : {split.a, split.b}) t.others.push_back(fft_tables(FftTable::lanes, part, type));
  split.first = &t.others[0]->lanes;
  split.second = &t.others[1]->lanes;
  const int64_t blocks = (split.b + width - 1) / width;
  void* turns = room(t, blocks * split.a * 2 * width, type);
  const Roots roots(n);
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t k = 0; k < split.a; ++k)
      for (int64_t l = 0; l < width; ++l) {
        const int64_t at = (block * split.a + k) * 2 * width + l, q = block * width + l;
        const Pair w = q < split.b ? roots.at(k * q) : Pair{0, 0};
        put(turns, type, at, w.re);
        put(turns, type, at + width, w.im);
      }
  split.turns = turns;
}

struct Key {
  FftTable kind;
  int64_t n;
  int type;
  bool operator==(const Key&) const = default;
};
struct Kept {
  Key key;
  std::shared_ptr<const FftTables> tables;
};
struct Cache {
  std::mutex lock;
  std::list<Kept> items;  // the last used first
  int64_t bytes = 0;
};
Cache& cache() {
  static Cache* kept = new Cache;  // never destroyed: threads may still run at exit
  return *kept;
}
std::shared_ptr<const FftTables> find(Cache& c, const Key& key) {
  for (auto it = c.items.begin(); it != c.items.end(); ++it) {
    if (!(it->key == key)) continue;
    c.items.splice(c.items.begin(), c.items, it);
    return it->tables;
  }
  return nullptr;
}

}  // namespace

bool fft_smooth(int64_t n) {
  for (int64_t p = 2; p <= kMostPrime; ++p)
    while (n % p == 0) n /= p;
  return n == 1;
}

int64_t fft_convolved(int64_t n) {
  int64_t best = 1;
  while (best < 2 * n - 1) best *= 2;
  for (const int64_t odd : {3, 5, 9, 15, 25, 27, 45})
    for (int64_t m = odd * 4; m < best; m *= 2)
      if (m >= 2 * n - 1) best = m;
  return best;
}

std::shared_ptr<const FftTables> fft_tables(FftTable kind, int64_t n, int type) {
  Cache& c = cache();
  const Key key{kind, n, type};
  {
    const std::lock_guard guard(c.lock);
    if (auto found = find(c, key)) return found;
  }
  auto made = std::make_shared<FftTables>();
  switch (kind) {
    case FftTable::lanes:
      build_lanes(*made, n, type);
      break;
    case FftTable::split:
      build_split(*made, n, type);
      break;
    case FftTable::half_turns: {
      const Roots roots(n);
      void* turns = room(*made, 2 * (n / 4 + 1), type);
      for (int64_t k = 0; k <= n / 4; ++k) put_pair(turns, type, k, roots.of(k));
      made->turns = turns;
      break;
    }
    case FftTable::line:
      made->m = fft_convolved(n);
      add_chirp(*made, n, made->m, type, &made->chirp, &made->spectrum);
  }
  const std::lock_guard guard(c.lock);
  if (auto found = find(c, key)) return found;  // another thread was first
  c.items.push_front({key, made});
  c.bytes += made->bytes;
  while ((c.bytes > kMostBytes || c.items.size() > kMostKept) && c.items.size() > 1) {
    c.bytes -= c.items.back().tables->bytes;
    c.items.pop_back();
  }
  return made;
}

}  // namespace ccdl::cpu
