// SPDX-License-Identifier: Apache-2.0
#include "open.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "pipe.h"
#include "signals.h"
#include "snap/reader.h"

namespace snap::tool {
namespace {

constexpr std::size_t kLookBytes = 512;
constexpr std::size_t kCopyBytes = 1 << 20;

std::string temporary_path() {
  const char* chosen = std::getenv("TMPDIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp";
}

std::string directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

bool is_fifo_or_device_name(const std::string& path) { return path.starts_with("/dev/") || path.starts_with("/proc/"); }

bool is_stdout(const struct stat& status) {
  struct stat out {};
  return ::fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == status.st_dev && out.st_ino == status.st_ino;
}

bool is_regular(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

GuardedSink& TemporaryFile::sink() {
  if (!sink_) {
    file_ = open_temporary();
    sink_.emplace(file_.get());
  }
  return *sink_;
}

std::unique_ptr<RandomSource> TemporaryFile::start_again() {
  first_ = std::move(file_);
  sink_.reset();
  return file_source(first_.get());
}

Fd open_temporary() {
  const std::string directory = temporary_path();
  if (const int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); fd >= 0) return Fd(fd);
  std::string name = directory + "/vmsnap.XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) fail_errno(directory, "cannot make a temporary file");
  ::unlink(name.c_str());
  return Fd(fd);
}

int temporary_directory() {
  static const Fd directory(::open(temporary_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return directory.get();
}

bool is_directory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

unsigned online_cpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<unsigned>(CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

Input::Input(const std::string& path, std::optional<Format> format) : name_(path == "-" ? "standard input" : path) {
  fd_ = Fd(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd_.get() < 0 || ::fstat(fd_.get(), &status_) != 0) fail_errno(name_, "cannot open");
  if (S_ISDIR(status_.st_mode)) fail(Error{.code = Code::kIo, .sys_errno = EISDIR, .what = "cannot read"});
  // A file on stdin that something has read from already is read on from there, as a stream.
  const bool at_random = S_ISREG(status_.st_mode) || S_ISBLK(status_.st_mode);
  if (at_random && ::lseek(fd_.get(), 0, SEEK_CUR) == 0) {
    source_ = std::make_unique<GuardedSource>(file_source(fd_.get()));
    if (path != "-") directory_ = directory_of(path);
  } else {
    stream_ = std::make_unique<GuardedStream>(fd_.get());
  }
  if (format) {
    format_ = *format;
  } else {
    detect();
  }
}

Input::Input(Fd stream, std::string name, Format format) : name_(std::move(name)), fd_(std::move(stream)), format_(format) {
  if (::fstat(fd_.get(), &status_) != 0) fail_errno(name_, "cannot read");
  stream_ = std::make_unique<GuardedStream>(fd_.get());
}

bool Input::ended() const {
  pollfd stream{.fd = fd_.get(), .events = 0, .revents = 0};
  return ::poll(&stream, 1, 0) > 0 && (stream.revents & POLLHUP) != 0;
}

void Input::detect() {
  std::vector<std::byte> first;
  const auto look = [&](std::size_t bytes) -> std::span<const std::byte> {
    if (stream_) return must(stream_->peek(bytes), name_);
    first.resize(bytes);
    return std::span(first).first(must(source_->read_at(0, first), name_));
  };
  const auto bytes = look(kLookBytes);
  // Whoever writes into a pipe may have failed at once.
  if (stream_ && bytes.empty()) throw Failure{kExitIncomplete, fmt::format("{}: is empty; -f raw makes a snapshot of it all the same", name_)};
  const std::size_t needed = detect_bytes(bytes);
  format_ = detect_format(needed > kLookBytes ? look(needed) : bytes);
}

GuardedSource& Input::source() {
  if (source_) return *source_;
  Fd copy = open_temporary();
  GuardedSink sink(copy.get());
  std::vector<std::byte> buffer(kCopyBytes);
  while (const std::size_t count = must(read_full(*stream_, buffer), name_)) {
    must(sink.write(std::span(buffer).first(count)), temporary_path());
  }
  fd_ = std::move(copy);
  source_ = std::make_unique<GuardedSource>(file_source(fd_.get()));
  return *source_;
}

ByteSource& Input::in_order() {
  if (!seekable()) return *stream_;
  range_ = range_stream(source(), 0, size());
  return *range_;
}

void Input::fail(const Error& error) {
  const bool lacks_feature =
      format_ == Format::kVmsnap && source_ && error.code == Code::kUnsupported && std::strstr(error.what, "feature") != nullptr;
  const bool about_choice = format_ == Format::kQcow2 && (error.code == Code::kNotFound || error.code == Code::kInvalidArgument);
  if (about_choice && source_) {
    const auto snapshots = list_qcow2_snapshots(*source_);
    if (snapshots && !snapshots->empty()) {
      throw Failure{exit_status(error), fmt::format("{}: {}; 'vmsnap info' lists them", name_, describe(error))};
    }
  }
  tool::fail(name_, error, lacks_feature ? feature_name(*source_, static_cast<unsigned>(error.detail)) : "");
}

// One link at a time, since what the last one points to need not be there.
std::string followed(const std::string& path) {
  constexpr int kMostLinks = 40;
  std::filesystem::path at = path;
  std::error_code error;
  for (int links = 0; std::filesystem::is_symlink(at, error); ++links) {
    const auto target = std::filesystem::read_symlink(at, error);
    if (error || links == kMostLinks) return path;
    at = at.parent_path() / target;  // an absolute target replaces the whole
  }
  // The link of an open file may say a name that is not the file's any more.
  struct stat named {}, found {};
  const bool same = ::stat(path.c_str(), &named) != 0 ||
                    (::stat(at.c_str(), &found) == 0 && named.st_dev == found.st_dev && named.st_ino == found.st_ino);
  return same ? at.string() : path;
}

Output::Output(const std::string& path, const Input& input) : name_(path) {
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (path == "-" || (exists && is_fifo_or_device_name(path) && is_stdout(status))) {
    name_ = "standard output";
    fd_ = STDOUT_FILENO;
  } else if (exists && !S_ISREG(status.st_mode)) {
    open_existing(path, input, status);
  } else {
    path_ = followed(path);
    file_ = must(AtomicFile::create(path_.c_str()), name_);
    fd_ = file_->fd();
    seekable_ = true;
  }
  if (::isatty(fd_) == 1) fail_usage(fmt::format("{}: is a terminal; guest memory is not written to it", name_));
  if (is_pipe(fd_)) let_reader_go_first();
  sink_.emplace(fd_);
}

void Output::open_existing(const std::string& path, const Input& input, const struct stat& status) {
  if (S_ISBLK(status.st_mode) && S_ISBLK(input.status().st_mode) && status.st_rdev == input.status().st_rdev) {
    fail_usage(fmt::format("{}: is the source as well", name_));
  }
  opened_ = Fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (opened_.get() < 0) fail_errno(name_, "cannot write");
  fd_ = opened_.get();
  seekable_ = S_ISBLK(status.st_mode);
}

std::uint64_t Output::written_bytes() const {
  struct stat status {};
  const bool placed = seekable_ && sink_->taken_bytes() == 0 && ::fstat(fd_, &status) == 0;
  return placed ? static_cast<std::uint64_t>(status.st_size) : sink_->taken_bytes();
}

void Output::may_start_again() {
  if (!file_) draft_.emplace();
}

std::unique_ptr<RandomSource> Output::start_again() {
  if (draft_) return draft_->start_again();
  first_ = std::move(file_);
  file_ = must(AtomicFile::create(path_.c_str()), name_);
  fd_ = file_->fd();
  sink_.emplace(fd_);
  return file_source(first_->fd());
}

void Output::pass_draft_on() {
  const auto source = file_source(draft_->fd());
  const auto stream = range_stream(*source, 0, must(source->size(), "temporary file"));
  std::vector<std::byte> buffer(kCopyBytes);
  while (const std::size_t count = must(read_full(*stream, buffer), "temporary file")) {
    must(sink_->write(std::span(buffer).first(count)), name_);
  }
  draft_.reset();
}

void Output::commit() {
  if (std::exchange(committed_, true)) return;
  if (cancelled()) fail(name_, Error{.code = Code::kCancelled});
  if (draft_) pass_draft_on();
  if (file_) {
    must(file_->commit(), name_);
  } else if ((seekable_ || is_regular(fd_)) && ::fsync(fd_) != 0) {
    fail_errno(name_, "cannot sync");
  } else if (fd_ == STDOUT_FILENO && ::close(fd_) != 0) {
    fail_errno(name_, "cannot close");
  }
}

void keep_mode(int fd, const Input& input) {
  [[maybe_unused]] const int owner_kept = ::fchown(fd, input.status().st_uid, input.status().st_gid);
  if (::fchmod(fd, input.status().st_mode & 07777) != 0) fail_errno(input.name(), "cannot set the mode");
}

void fail_between(const Error& error, Input& input, const Output& output) {
  if (error.code == Code::kIo && !input.failed()) fail(output.name(), error);
  input.fail(error);
}

}  // namespace snap::tool
