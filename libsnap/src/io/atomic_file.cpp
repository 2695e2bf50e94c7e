// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/fail.h"
#include "io/file.h"

namespace snap {

namespace {

constexpr int kAttempts = 16;
constexpr mode_t kPrivate = 0600;  // RAM holds keys and passwords

std::string temporary_name(const std::string& base) {
  std::uint64_t salt = 0;
  if (::getrandom(&salt, sizeof salt, GRND_NONBLOCK) != sizeof salt) salt = static_cast<std::uint64_t>(::getpid());
  char suffix[32];
  std::snprintf(suffix, sizeof suffix, ".%016llx.tmp", static_cast<unsigned long long>(salt));
  // Long enough names stay within the limit of a file name.
  std::string name(1, '.');
  name.append(base, 0, 200).append(suffix);
  return name;
}

class PosixAtomicFile final : public AtomicFile {
 public:
  PosixAtomicFile(int dir_fd, int fd, std::string name, std::string temporary)
      : dir_fd_(dir_fd), fd_(fd), name_(std::move(name)), temporary_(std::move(temporary)) {}
  ~PosixAtomicFile() override {
    if (fd_ >= 0) ::close(fd_);
    if (!temporary_.empty()) ::unlinkat(dir_fd_, temporary_.c_str(), 0);
    ::close(dir_fd_);
  }
  PosixAtomicFile(const PosixAtomicFile&) = delete;
  PosixAtomicFile& operator=(const PosixAtomicFile&) = delete;

  int fd() const override { return fd_; }

  Result<void> commit() override {
    // After a failed fsync Linux may already have dropped the dirty pages: a second fsync that succeeds proves nothing.
    if (fd_ < 0) return invalid("the file is already committed");
    if (::fsync(fd_) != 0) return io_error("cannot sync the new file");
    if (temporary_.empty()) SNAP_TRY(give_name());
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0 && errno != EINTR) return io_error("cannot close the new file");
    if (::renameat(dir_fd_, temporary_.c_str(), dir_fd_, name_.c_str()) != 0) return io_error("cannot rename the new file");
    temporary_.clear();
    // The name is there; a failing sync of the directory means that it may not survive a power cut.
    if (::fsync(dir_fd_) != 0 && errno != EINVAL && errno != EROFS) return io_error("cannot sync the directory of the new file");
    return {};
  }

 private:
  // linkat cannot replace a file, rename cannot name an unnamed one: so a link first, then a rename.
  Result<void> give_name() {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd_);
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      std::string temporary = temporary_name(name_);
      if (::linkat(AT_FDCWD, path, dir_fd_, temporary.c_str(), AT_SYMLINK_FOLLOW) == 0) {
        temporary_ = std::move(temporary);
        return {};
      }
      if (errno != EEXIST) break;
    }
    return io_error("cannot name the new file");
  }

  int dir_fd_;
  int fd_;
  std::string name_;
  std::string temporary_;
};

}  // namespace

Result<std::unique_ptr<AtomicFile>> AtomicFile::create(const char* path) {
  const std::string whole(path);
  const std::size_t slash = whole.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : whole.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? whole : whole.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return invalid("not a file name");

  const int dir_fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir_fd < 0) return io_error("cannot open the directory of the new file");
  std::string temporary;
  int fd = -1;
  // Without /proc an unnamed file could not be given its name.
  if (::access("/proc/self/fd", X_OK) == 0) fd = ::openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, kPrivate);
  for (int attempt = 0; fd < 0 && attempt < kAttempts; ++attempt) {
    temporary = temporary_name(name);
    fd = ::openat(dir_fd, temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kPrivate);
    if (fd < 0 && errno != EEXIST) break;
  }
  if (fd < 0) {
    const Error error = io_error("cannot create the new file");
    ::close(dir_fd);
    return error;
  }
  return std::unique_ptr<AtomicFile>(std::make_unique<PosixAtomicFile>(dir_fd, fd, name, std::move(temporary)));
}

Result<int> anonymous_file(int dir_fd) {
  const int fd = dir_fd >= 0 ? ::openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, kPrivate)
                             : ::open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, kPrivate);
  if (fd < 0) return io_error("cannot create a spool file");
  return fd;
}

}  // namespace snap
