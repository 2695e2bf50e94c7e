// SPDX-License-Identifier: Apache-2.0
// The files of a command: an input of any format, an output that gets its name only when it is whole.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "guard.h"
#include "report.h"
#include "snap/import.h"
#include "snap/io.h"

namespace snap::tool {

/// A file descriptor that is closed at the end.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const { return fd_; }

 private:
  int fd_;
};

/// An unnamed file in $TMPDIR, else /var/tmp.
Fd open_temporary();
/// A descriptor of that directory that stays open, for the library's spool files.
int temporary_directory();
bool is_directory(const std::string& path);
/// The number of CPUs this process may use.
unsigned online_cpus();

/// All methods end the command where they fail.
class Input {
 public:
  /// "-" is stdin. Without a format the first bytes tell it.
  explicit Input(const std::string& path, std::optional<Format> format = std::nullopt);
  /// A stream that something else makes, by another name than a file's.
  Input(Fd stream, std::string name, Format format);
  Input(Input&&) = default;

  const std::string& name() const { return name_; }
  /// Where the file lies; empty for a stream.
  const std::string& directory() const { return directory_; }
  Format format() const { return format_; }
  /// A file or block device, not a pipe.
  bool seekable() const { return source_ != nullptr; }
  int fd() const { return fd_.get(); }
  /// For reading at random. A pipe is first copied into a temporary file.
  GuardedSource& source();
  /// A pipe's bytes; only where it is not seekable.
  GuardedStream& stream() { return *stream_; }
  /// All bytes from the beginning, of a file or a pipe. Once.
  ByteSource& in_order();
  std::uint64_t size() { return must(source().size(), name_); }
  const struct stat& status() const { return status_; }

  /// All of a stream was read, or its writer is gone.
  bool ended() const;
  bool failed() const { return (source_ && source_->failed()) || (stream_ && stream_->failed()); }
  /// Ends the command with an error of this file; looks up the name of a feature that is lacking.
  [[noreturn]] void fail(const Error& error);

 private:
  void detect();

  std::string name_;
  std::string directory_;
  Fd fd_;
  struct stat status_ {};
  Format format_ = Format::kRaw;
  std::unique_ptr<GuardedSource> source_;
  std::unique_ptr<GuardedStream> stream_;
  std::unique_ptr<ByteSource> range_;  // of a file in_order()
};

/// What a snapshot is written into. Where pages come again in the input it is written a second time, out of the first (Corrections).
class Destination {
 public:
  virtual ~Destination() = default;
  virtual GuardedSink& sink() = 0;
  /// Called before anything is written.
  virtual void may_start_again() {}
  /// What was written so far, to be read while sink() takes the second one, from its beginning.
  virtual std::unique_ptr<RandomSource> start_again() = 0;
};

/// An unnamed file in $TMPDIR.
class TemporaryFile final : public Destination {
 public:
  GuardedSink& sink() override;
  std::unique_ptr<RandomSource> start_again() override;
  int fd() const { return file_.get(); }

 private:
  Fd file_;
  Fd first_;
  std::optional<GuardedSink> sink_;
};

/// Refuses a terminal, a directory, and the device that `input` is.
class Output final : public Destination {
 public:
  /// "-" is stdout; a pipe or device is written into; anything else is replaced when commit() is reached.
  Output(const std::string& path, const Input& input);

  const std::string& name() const { return name_; }
  int fd() const { return fd_; }
  /// A file or block device: can be written at any place.
  bool seekable() const { return seekable_; }
  /// Reads as zeros where nothing was written.
  bool fresh() const { return file_ != nullptr; }
  /// What the sink took, or how large a file became that was written at any place.
  std::uint64_t written_bytes() const;
  /// A pipe that may_start_again() gets nothing before commit().
  GuardedSink& sink() override { return draft_ ? draft_->sink() : sink_.value(); }
  void may_start_again() override;
  std::unique_ptr<RandomSource> start_again() override;
  /// Nothing of an atomic output is seen before this. A second call does nothing.
  void commit();

 private:
  void open_existing(const std::string& path, const Input& input, const struct stat& status);
  void pass_draft_on();

  std::string name_;
  std::string path_;  // of file_, links followed
  std::unique_ptr<AtomicFile> file_;
  std::unique_ptr<AtomicFile> first_;  // after start_again()
  std::optional<TemporaryFile> draft_;  // for a pipe
  Fd opened_;
  int fd_ = -1;
  bool seekable_ = false;
  bool committed_ = false;
  std::optional<GuardedSink> sink_;
};

/// A new file that takes the place of `input` has its mode and, where that is allowed, its owner.
void keep_mode(int fd, const Input& input);
/// `path` with a symbolic link followed, so that a new file replaces what the link points to.
std::string followed(const std::string& path);
/// Ends the command with an error of a conversion: the input's, unless only the output can have had it.
[[noreturn]] void fail_between(const Error& error, Input& input, const Output& output);

}  // namespace snap::tool
