// Reading by pread after the header was checked against the file's size; writing through a locked temporary
// file.
#include <ccdl/core/error.h>
#include <ccdl/core/parallel.h>
#include <ccdl/io/safetensors.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

namespace ccdl::io {
namespace {

constexpr int64_t kPiece = int64_t{16} << 20;  // bytes between two looks at Ctrl-C
constexpr const char* kTempMark = ".ccdl-tmp-";

[[noreturn]] void fail_system(const char* what, const std::string& path) {
  const int code = errno;
  fail(ErrorKind::File, str("safetensors: cannot ", what, " '", path, "': ", std::strerror(code)));
}

void read_exact(int fd, void* out, int64_t n, int64_t at, const std::string& path) {
  char* p = static_cast<char*>(out);
  while (n > 0) {
    check_interrupt();
    const ssize_t got = pread(fd, p, static_cast<size_t>(std::min(n, kPiece)), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_system("read", path);
    CCDL_CHECK(got > 0, Checkpoint, "safetensors: '", path, "': the file ended ", n,
               " bytes early while it was read");
    p += got;
    at += got;
    n -= got;
  }
}

void write_all(int fd, const void* data, int64_t n, const std::string& path) {
  const char* p = static_cast<const char*>(data);
  while (n > 0) {
    check_interrupt();
    const ssize_t put = write(fd, p, static_cast<size_t>(std::min(n, kPiece)));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_system("write", path);
    p += put;
    n -= put;
  }
}

void append_json_string(std::string& out, const std::string& text) {
  out += '"';
  for (const char ch : text) {
    const auto c = static_cast<unsigned char>(ch);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += ch;
    } else if (c < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", c);
      out += buffer;
    } else {
      out += ch;
    }
  }
  out += '"';
}

int64_t checked_size(const TensorBytes& t) {
  int64_t bytes = item_size(t.dtype);
  for (const int64_t s : t.shape) {
    CCDL_CHECK(s >= 0 && !__builtin_mul_overflow(bytes, s, &bytes), Value, "save: tensor '", t.name,
               "' has a bad shape");
  }
  return bytes;
}

// Wide elements first, so that every tensor of the file is aligned to its element size.
std::vector<size_t> data_order(const std::vector<TensorBytes>& tensors) {
  std::vector<size_t> order(tensors.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return item_size(tensors[a].dtype) > item_size(tensors[b].dtype);
  });
  return order;
}

std::string make_header(const std::vector<TensorBytes>& tensors, const std::vector<size_t>& order,
                        const StringMap& metadata) {
  std::vector<int64_t> begin(tensors.size());
  int64_t at = 0;
  for (const size_t i : order) {
    begin[i] = at;
    CCDL_CHECK(!__builtin_add_overflow(at, checked_size(tensors[i]), &at), Value,
               "save: the tensors exceed 63 bits of bytes");
  }
  std::string json = "{";
  std::unordered_set<std::string> seen;
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      CCDL_CHECK(seen.insert(key).second, Value, "save: metadata key '", key, "' appears twice");
      append_json_string(json, key);
      json += ':';
      append_json_string(json, value);
      json += ',';
    }
    json.back() = '}';
    json += ',';
  }
  seen.clear();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorBytes& t = tensors[i];
    CCDL_CHECK(t.name != "__metadata__", Value, "save: the tensor name '__metadata__' is reserved");
    CCDL_CHECK(seen.insert(t.name).second, Value, "save: tensor name '", t.name, "' appears twice");
    append_json_string(json, t.name);
    json += str(":{\"dtype\":\"", safetensors_dtype(t.dtype), "\",\"shape\":[");
    for (size_t d = 0; d < t.shape.size(); ++d) json += (d ? "," : "") + std::to_string(t.shape[d]);
    json += str("],\"data_offsets\":[", begin[i], ",", begin[i] + checked_size(t), "]},");
  }
  if (json.back() == ',') json.pop_back();
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  CCDL_CHECK(static_cast<int64_t>(json.size()) <= kMaxHeaderBytes, Value, "save: names and metadata take ",
             json.size(), " bytes; the format allows ", kMaxHeaderBytes);
  return json;
}

struct Target {
  std::string folder, name, path;
};

Target resolve(const std::string& path) {
  CCDL_CHECK(!path.empty() && path.find('\0') == std::string::npos, Value, "save: bad file name '", path,
             "'");
  std::string real = path;
  if (char* followed = realpath(path.c_str(), nullptr)) {  // an existing link keeps pointing at the file
    real = followed;
    std::free(followed);
  }
  const size_t slash = real.rfind('/');
  Target t{slash == std::string::npos ? "."
           : slash == 0               ? "/"
                                      : real.substr(0, slash),
           real.substr(slash + 1), real};
  CCDL_CHECK(!t.name.empty(), Value, "save: '", path, "' names a folder");
  return t;
}

// Removes temporary files of the target whose process is gone and whose lock is free.
void remove_stale(const Target& target) {
  DIR* folder = opendir(target.folder.c_str());
  if (folder == nullptr) return;
  const std::string prefix = "." + target.name + kTempMark;
  while (const dirent* entry = readdir(folder)) {
    if (std::strncmp(entry->d_name, prefix.c_str(), prefix.size()) != 0) continue;
    const long pid = std::strtol(entry->d_name + prefix.size(), nullptr, 10);
    if (pid <= 0 || kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH) continue;
    const int fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) continue;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(folder), entry->d_name, 0);
    close(fd);
  }
  closedir(folder);
}

// Unlinks itself unless it was renamed into place.
class TempFile {
 public:
  explicit TempFile(const Target& target) {
    static std::atomic<unsigned> counter{0};
    path_ = str(target.folder, "/.", target.name, kTempMark, getpid(), "-", counter++);
    fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0) fail_system("create a file beside", target.path);
    flock(fd_, LOCK_EX | LOCK_NB);
    struct stat old;
    if (stat(target.path.c_str(), &old) == 0 && fchmod(fd_, old.st_mode & 0777) != 0)
      errno = 0;  // best effort
  }
  ~TempFile() {
    if (fd_ >= 0) close(fd_);
    if (!kept_) unlink(path_.c_str());
  }
  int fd() const { return fd_; }
  void replace(const Target& target) {
    if (fsync(fd_) != 0) fail_system("write", target.path);
    if (rename(path_.c_str(), target.path.c_str()) != 0) fail_system("replace", target.path);
    kept_ = true;
    const int fd = fd_;
    fd_ = -1;
    if (close(fd) != 0) fail_system("close", target.path);
    const int folder = open(target.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
      fsync(folder);  // some file systems have no folder sync; the file itself is safe already
      close(folder);
    }
  }

 private:
  std::string path_;
  int fd_ = -1;
  bool kept_ = false;
};

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& path) : path_(path) {
  CCDL_CHECK(path.find('\0') == std::string::npos, Value, "load: bad file name");
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // non-blocking: a pipe must not hang us
  if (fd_ < 0) fail_system("open", path);
  try {
    struct stat info;
    if (fstat(fd_, &info) != 0) fail_system("inspect", path);
    CCDL_CHECK(S_ISREG(info.st_mode), File, "safetensors: '", path, "' is not a regular file");
    const int64_t size = info.st_size;
    CCDL_CHECK(size >= 8, Checkpoint, "safetensors: '", path, "' has ", size,
               " bytes; a file has at least 8");
    unsigned char raw[8];
    read_exact(fd_, raw, 8, 0, path);
    uint64_t length = 0;
    for (int i = 0; i < 8; ++i) length |= static_cast<uint64_t>(raw[i]) << (8 * i);
    CCDL_CHECK(length <= static_cast<uint64_t>(kMaxHeaderBytes), Checkpoint, "safetensors: '", path,
               "' announces a header of ", length, " bytes; at most ", kMaxHeaderBytes, " are allowed");
    CCDL_CHECK(static_cast<int64_t>(length) <= size - 8, Checkpoint, "safetensors: '", path,
               "' announces a header of ", length, " bytes but only ", size - 8,
               " follow: truncated, or not a safetensors file");
    std::string json(length, '\0');
    read_exact(fd_, json.data(), static_cast<int64_t>(length), 8, path);
    data_start_ = 8 + static_cast<int64_t>(length);
    header_ = parse_safetensors_header(json.data(), json.size(), size - data_start_, "'" + path + "'");
  } catch (...) {
    close(fd_);
    throw;
  }
}

SafetensorsReader::~SafetensorsReader() {
  if (fd_ >= 0) close(fd_);
}

const TensorEntry* SafetensorsReader::find(const std::string& name) const {
  for (const TensorEntry& e : header_.tensors) {
    if (e.name == name) return &e;
  }
  return nullptr;
}

void SafetensorsReader::read(const TensorEntry& entry, void* out) const {
  read_exact(fd_, out, entry.bytes(), data_start_ + entry.begin, path_);
  if (entry.dtype != DType::Bool) return;
  const auto* p = static_cast<const unsigned char*>(out);
  const bool clean = std::all_of(p, p + entry.bytes(), [](unsigned char b) { return b <= 1; });
  CCDL_CHECK(clean, Checkpoint, "safetensors: '", path_, "': a BOOL tensor holds a byte other than 0 and 1");
}

void write_safetensors(const std::string& path, const std::vector<TensorBytes>& tensors,
                       const StringMap& metadata) {
  const Target target = resolve(path);
  const std::vector<size_t> order = data_order(tensors);
  const std::string json = make_header(tensors, order, metadata);
  remove_stale(target);
  TempFile file(target);
  unsigned char raw[8];
  for (int i = 0; i < 8; ++i)
    raw[i] = static_cast<unsigned char>(static_cast<uint64_t>(json.size()) >> (8 * i));
  write_all(file.fd(), raw, 8, path);
  write_all(file.fd(), json.data(), static_cast<int64_t>(json.size()), path);
  for (const size_t i : order) write_all(file.fd(), tensors[i].data, checked_size(tensors[i]), path);
  file.replace(target);
}

}  // namespace ccdl::io
