// SPDX-License-Identifier: Apache-2.0
#include "base_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <memory>
#include <tuple>

#include "base_keeper.h"
#include "signals.h"
#include "snap/restore.h"
#include "text.h"

namespace snap::tool {
namespace {

// A registration is a file DIGEST.NUMBER, NUMBER that of the region: "PID BYTES REGION\n". Who reads or changes it holds a lock on it.
// It stays when its keeper ends, so that nobody holds a lock on a file that has lost its name.
constexpr std::size_t kMaxRegistration = 2048;

struct Registration {
  int keeper = 0;
  std::uint64_t bytes = 0;
  std::string region;
};

std::string default_directory() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return std::string(runtime) + "/vmsnap";
  return ::geteuid() == 0 ? "/run/vmsnap" : fmt::format("/tmp/vmsnap-{}", ::geteuid());
}

/// A wait ends with a signal.
void lock(const Fd& file, int how, const std::string& path) {
  constexpr useconds_t kPollMicroseconds = 2000;
  while (::flock(file.get(), how | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) fail_errno(path, "cannot lock");
    if (cancelled()) tool::fail(path, Error{.code = Code::kCancelled});
    ::usleep(kPollMicroseconds);
  }
}

/// A lock for as long as it lives.
class Locked {
 public:
  explicit Locked(const std::string& path) : path_(path), file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    if (file_.get() < 0) fail_errno(path_, "cannot open");
    lock(file_, LOCK_EX, path_);
  }

  Registration read() const {
    std::array<char, kMaxRegistration> text;
    const ssize_t got = ::pread(file_.get(), text.data(), text.size(), 0);
    if (got < 0) fail_errno(path_, "cannot read");
    Registration found;
    const char* const end = text.data() + got;
    const auto keeper = std::from_chars(text.data(), end, found.keeper);
    const auto bytes = keeper.ptr == end ? keeper : std::from_chars(keeper.ptr + 1, end, found.bytes);
    // One that was not written whole is of a keeper that nobody knows.
    if (keeper.ec != std::errc() || bytes.ec != std::errc() || bytes.ptr == end || end[-1] != '\n') return {};
    found.region.assign(bytes.ptr + 1, end - 1);
    return found;
  }

  void write(const Registration& registration) {
    const std::string text = fmt::format("{} {} {}\n", registration.keeper, registration.bytes, registration.region);
    if (::ftruncate(file_.get(), 0) != 0 || ::pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      fail_errno(path_, "cannot write");
    }
  }

 private:
  std::string path_;
  Fd file_;
};

std::string kept_path(int keeper) { return fmt::format("/proc/{}/fd/{}", keeper, kKeptFd); }

/// What /proc calls a base's memory file.
std::string memory_name(const std::string& registration) { return "vmsnap-base-" + registration; }

/// Somebody else's process may have the number of a keeper that ended, and give its memory any name.
bool is_ours(int memory, std::uint64_t bytes) {
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  struct stat status {};
  const int seals = ::fcntl(memory, F_GET_SEALS);
  return ::fstat(memory, &status) == 0 && status.st_uid == ::geteuid() && static_cast<std::uint64_t>(status.st_size) == bytes && seals >= 0 &&
         (seals & kSeals) == kSeals;
}

/// The memory file behind a registration, opened anew; none where its keeper ended, or the number is another process's by now.
Fd open_kept(const std::string& name, const Registration& registration) {
  if (registration.keeper <= 0) return Fd();
  const std::string path = kept_path(registration.keeper);
  std::array<char, PATH_MAX> link;
  const ssize_t length = ::readlink(path.c_str(), link.data(), link.size());
  if (length < 0 || std::string_view(link.data(), static_cast<std::size_t>(length)) != "/memfd:" + memory_name(name) + " (deleted)") return Fd();
  Fd memory(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (memory.get() >= 0 && !is_ours(memory.get(), registration.bytes)) return Fd();
  return memory;
}

void share(const Fd& memory, const std::string& path) {
  lock(memory, LOCK_SH, path);
}

}  // namespace

BaseStore::BaseStore(const std::string& directory) : directory_(directory.empty() ? default_directory() : directory) {
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) fail_errno(directory_, "cannot make the directory of bases");
  struct stat status {};
  if (::lstat(directory_.c_str(), &status) != 0) fail_errno(directory_, "cannot look at the directory of bases");
  // Who can write there could have guests run on memory of their own making.
  if (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 0022) != 0) {
    throw Failure{kExitIo, fmt::format("{}: is no directory that only its owner, who must be this user, can write to", directory_)};
  }
}

std::string BaseStore::path_of(const std::string& name) const { return directory_ + "/" + name; }

BaseStore::Memory BaseStore::open(Reader& reader, std::size_t region, const std::string& file, unsigned threads, Tally& tally) {
  const RegionInfo& info = reader.regions()[region];
  const std::string name = fmt::format("{}.{}", to_hex(reader.digest()), region);
  Locked locked(path_of(name));
  Registration registration = locked.read();
  Fd memory = open_kept(name, registration);
  const bool made = memory.get() < 0;
  if (made) {
    tally.done = 0;
    tally.total = info.size;
    const RestoreOptions how{.threads = threads, .progress = &tally.done, .cancel = &cancel_flag()};
    const auto held = must(hold_region(reader, region, memory_name(name).c_str(), how), file);
    Keeper keeper(held->memory_fd(region), path_of(name));
    registration = {keeper.process(), info.size, info.name};
    locked.write(registration);
    keeper.confirm();
    memory = open_kept(name, registration);
    if (memory.get() < 0) fail_errno(kept_path(registration.keeper), "cannot open the base's memory");
  }
  share(memory, directory_);
  return {std::move(memory), kept_path(registration.keeper), made};
}

std::vector<BaseStore::Kept> BaseStore::list() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(directory_.c_str()), ::closedir);
  if (!directory) fail_errno(directory_, "cannot read");
  std::vector<Kept> all;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    const std::size_t dot = name.find('.');
    if (dot != 2 * sizeof(Digest)) continue;
    Locked locked(path_of(name));
    const Registration registration = locked.read();
    const Fd memory = open_kept(name, registration);
    if (memory.get() < 0) continue;
    const bool used = ::flock(memory.get(), LOCK_EX | LOCK_NB) != 0;
    all.push_back({name, name.substr(0, dot), registration.region, kept_path(registration.keeper), registration.bytes, registration.keeper, used});
  }
  std::sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) { return std::tie(a.digest, a.region) < std::tie(b.digest, b.region); });
  return all;
}

bool BaseStore::drop(const Kept& kept) {
  Locked locked(path_of(kept.name));
  const Registration registration = locked.read();
  const Fd memory = open_kept(kept.name, registration);
  if (memory.get() < 0) return true;  // somebody else was faster
  if (::flock(memory.get(), LOCK_EX | LOCK_NB) != 0) return false;
  ::kill(registration.keeper, SIGTERM);
  locked.write({});
  return true;
}

}  // namespace snap::tool
