// SPDX-License-Identifier: Apache-2.0
// The guest that everything is measured on: its memory, snapshots of it, and the payloads inside those for bare loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "report.h"
#include "snap/model.h"
#include "snap/reader.h"
#include "snap/writer.h"

namespace bench {

struct Setup {
  std::string guest;  ///< the raw memory
  std::uint64_t guest_bytes = 0;
  std::string data;               ///< a directory for snapshots that are read
  std::string work = "/dev/shm";  ///< one for what is written: a tmpfs
  std::string self;               ///< this program
  std::string old_image;          ///< an image of the old layout; may be empty
  std::string old_stream;         ///< the zlib stream that it holds
  int rounds = 9;
  unsigned threads = 2;
  bool quick = false;
  Report* report = nullptr;
};

/// A file opened for its lifetime.
class File {
 public:
  File(const std::string& path, int flags);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// A file that is removed in the end.
class ScratchFile {
 public:
  ScratchFile(const std::string& directory, const std::string& name);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Anonymous memory that no page of which exists yet.
class FreshMemory {
 public:
  FreshMemory(std::size_t bytes, bool huge_pages);
  ~FreshMemory();
  FreshMemory(const FreshMemory&) = delete;
  FreshMemory& operator=(const FreshMemory&) = delete;
  std::byte* data() { return data_; }
  std::span<std::byte> span() { return {data_, bytes_}; }

 private:
  void* mapping_;
  std::size_t mapped_;
  std::byte* data_;
  std::size_t bytes_;
};

struct Coding {
  snap::Codec codec = snap::Codec::kZstd;
  int level = snap::WriterOptions::kDefaultLevel;
  std::uint32_t block_bytes = 64 * 1024;
};
std::string coding_name(const Coding& coding);
snap::WriterOptions writer_options(const Coding& coding, unsigned threads);

/// A snapshot of the raw file `from` in the file `to`: one region, read by the library itself. `to` is made anew.
void create_snapshot(const std::string& from, const std::string& to, const snap::WriterOptions& options);
/// A snapshot of what `fd` gives until it ends.
void create_snapshot_from_stream(int fd, const std::string& to, const snap::WriterOptions& options);

/// All of a snapshot of one region into fresh memory, by the library.
Sample restore_snapshot(const Setup& setup, const std::string& path, bool huge_pages);

/// A block's compressed pages.
struct Payload {
  std::uint64_t block = 0;
  snap::Codec codec = snap::Codec::kStore;
  std::size_t at = 0;  ///< in Payloads::bytes
  std::size_t stored = 0;
  std::size_t raw = 0;               ///< bytes decoded
  std::uint64_t target = 0;          ///< where in the region its first raw page is
  std::vector<std::uint64_t> pages;  ///< pages of the region that are not zero, copies among them
  std::vector<std::uint64_t> stored_pages;  ///< those that the payload holds, in its order
  bool over_parent = false;          ///< the parent's pages are its dictionary: those named, then those of the block
  std::vector<std::uint64_t> named;
  std::uint32_t block_pages = 0;
};
struct Payloads {
  std::vector<std::byte> bytes;
  std::vector<Payload> blocks;  ///< in file order
  std::uint64_t copies = 0;
};
/// All BLOCK records of a snapshot of one region, found front to back.
Payloads load_payloads(const std::string& path);

void write_file(const std::string& path, std::span<const std::byte> bytes);

/// Decodes one payload and nothing more. One per thread.
class BareDecoder {
 public:
  BareDecoder();
  ~BareDecoder();
  BareDecoder(const BareDecoder&) = delete;
  BareDecoder& operator=(const BareDecoder&) = delete;
  void decode(const Payload& payload, const std::byte* stored, std::byte* to, std::span<const std::byte> dictionary = {});

 private:
  void* zstd_;
};

/// The same for compressing.
class BareEncoder {
 public:
  explicit BareEncoder(const Coding& coding);
  ~BareEncoder();
  BareEncoder(const BareEncoder&) = delete;
  BareEncoder& operator=(const BareEncoder&) = delete;
  /// How many bytes it became; they are in encoded() until the next call.
  std::size_t encode(std::span<const std::byte> raw);
  const std::byte* encoded() const { return out_.data(); }

 private:
  Coding coding_;
  void* zstd_ = nullptr;
  std::vector<char> lz4_state_;
  std::vector<std::byte> out_;
};

// The parts of the table.
void measure_restore(const Setup& setup);
void measure_random_reads(const Setup& setup);
void measure_create(const Setup& setup);
void measure_sizes(const Setup& setup);
void measure_old_image(const Setup& setup);
void print_codings(const Setup& setup);

/// What this program does when it runs itself: the answer on standard output.
int child_create(const std::vector<std::string>& words);
int child_open(const std::vector<std::string>& words);
int child_decode(const std::vector<std::string>& words);
int child_decode_blocks(const std::vector<std::string>& words);

}  // namespace bench
